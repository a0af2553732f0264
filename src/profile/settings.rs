//! A merged profile as a list of its keys, each with the file and line that it comes from: `lineside profile show`.
//!
//! Owns how a tree is written back. Owns no meaning.

use crate::diagnostic::tree::{Node, Table, Value};

/// One key of a merged profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Where it stands: empty for the top of the file, else `connection`, `points`, `events.tightening`.
    pub section: String,
    /// The key.
    pub key: String,
    /// What counts, as TOML on one line.
    pub value: String,
    /// The file that says so, as it was read.
    pub file: String,
    /// One-based line in it.
    pub line: usize,
}

/// Every key of a merged tree, to the depth at which files are merged.
pub(super) fn of(top: &Table) -> Vec<Setting> {
    let mut found = Vec::new();
    let sections = ["connection", "frame", "points"];
    let whole: Vec<_> = top
        .entries
        .iter()
        .filter(|(key, _)| key.name != "events" && !sections.contains(&key.name.as_str()))
        .collect();
    for (key, node) in whole {
        found.push(setting("", &key.name, node));
    }
    for section in sections {
        if let Some(table) = top.get(section).and_then(Node::as_table) {
            found.extend(
                table
                    .entries
                    .iter()
                    .map(|(key, node)| setting(section, &key.name, node)),
            );
        }
    }
    for (event, node) in top
        .get("events")
        .and_then(Node::as_table)
        .iter()
        .flat_map(|table| &table.entries)
    {
        let section = format!("events.{}", bare(&event.name));
        let keys = node.as_table().into_iter().flat_map(|table| &table.entries);
        found.extend(keys.map(|(key, node)| setting(&section, &key.name, node)));
    }
    found
}

fn setting(section: &str, key: &str, node: &Node) -> Setting {
    Setting {
        section: section.to_owned(),
        key: bare(key),
        value: written(node),
        file: node.place.source.path.clone(),
        line: node.place.line_column().0,
    }
}

/// A key, quoted where it must be.
fn bare(key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if plain { key.to_owned() } else { quoted(key) }
}

/// JSON and TOML quote alike.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

fn written(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => quoted(text),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => {
            let text = number.to_string();
            if text.contains('.') { text } else { format!("{text}.0") }
        }
        Value::Bool(value) => value.to_string(),
        Value::List(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", ")),
        Value::Table(table) if table.entries.is_empty() => "{}".to_owned(),
        Value::Table(table) => {
            let entry =
                |(key, node): &(crate::diagnostic::tree::Key, Node)| format!("{} = {}", bare(&key.name), written(node));
            format!(
                "{{ {} }}",
                table.entries.iter().map(entry).collect::<Vec<_>>().join(", ")
            )
        }
    }
}
