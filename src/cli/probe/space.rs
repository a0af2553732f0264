//! How the address space of a server looks on a terminal and as JSON.

use crate::device::opcua::browse::{Class, EventType, Found, Leaf, Seen, Variable};
use crate::model::Raw;
use crate::wire::opcua::Tree;
use serde_json::{Value, json};

/// Elements of an array that are shown on a line; and in JSON.
const ITEMS: usize = 8;
const ITEMS_JSON: usize = 1_000;
/// Characters of a value on a line.
const LONGEST: usize = 60;
/// Widths beyond which columns are not kept.
const WIDEST: [usize; 3] = [40, 60, 24];

/// A value on one line: long texts and arrays are cut.
pub(super) fn shown(tree: &Tree) -> String {
    let text = match (tree, tree.raw(), tree.to_short_json(ITEMS)) {
        (_, _, Value::String(text)) | (Tree::Struct(_), Some(Raw::Text(text)), _) => text,
        (_, _, json) => json.to_string(),
    };
    let mut out: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST)
        .collect();
    if text.chars().count() > LONGEST {
        out.push('…');
    }
    out
}

/// `Double[][]`.
fn typed(name: &str, dimensions: usize) -> String {
    format!("{name}{}", "[]".repeat(dimensions))
}

fn access(variable: &Variable) -> &'static str {
    match (variable.readable, variable.writable) {
        (true, true) => "rw",
        (true, false) => "r",
        (false, true) => "w",
        (false, false) => "-",
    }
}

/// `0 Undefined, 1 OK`.
pub(super) fn words(words: &[(i64, String)]) -> String {
    let words = words.iter().map(|(number, word)| format!("{number} {word}"));
    words.collect::<Vec<_>>().join(", ")
}

/// The word for a number, where there is one.
fn word(variable: &Variable) -> Option<&str> {
    let number = variable.value.as_ref()?.raw()?;
    let number = match number {
        Raw::Bool(value) => i64::from(value),
        other => i64::try_from(other.number()?.to_i128()?).ok()?,
    };
    let found = variable.words.iter().find(|(known, _)| *known == number);
    found.map(|(_, word)| word.as_str())
}

/// Value, uom and quality of a variable.
fn says(variable: &Variable) -> String {
    let mut parts = Vec::new();
    parts.extend(variable.value.as_ref().map(shown));
    parts.extend(word(variable).map(|word| format!("({word})")));
    parts.extend(variable.uom.clone());
    parts.extend(variable.quality.as_ref().map(|quality| format!("! {quality}")));
    parts.join(" ")
}

/// One node in columns.
fn row(seen: &Seen) -> [String; 4] {
    let name = format!("{}{}", "  ".repeat(seen.depth), seen.name);
    let node = seen.node.to_string();
    let more = if seen.unopened { " …" } else { "" };
    match (&seen.variable, seen.class) {
        (Some(variable), _) => [
            name,
            node,
            format!(
                "{} {}",
                typed(&variable.data_type, variable.dimensions),
                access(variable)
            ),
            says(variable),
        ],
        (None, Class::Object) if seen.notifies => [name, node, format!("object, tells events{more}"), String::new()],
        (None, class) => [name, node, format!("{}{more}", class.word()), String::new()],
    }
}

/// All of it.
pub(super) fn text(address: &str, found: &Found, depth: usize) -> String {
    let mut lines = vec![match &found.server.certificate {
        Some(certificate) => format!("{address}  {}  {certificate}", found.server.described()),
        None => format!("{address}  {}", found.server.described()),
    }];
    lines.push(String::new());
    lines.extend(columns(found.nodes.iter().map(row).collect()));
    if !found.events.is_empty() {
        lines.push(String::new());
        lines.push("types of events, and their fields beside those that every event has (EventId, EventType, SourceName, Time, Message, Severity):".to_owned());
        lines.extend(columns(found.events.iter().flat_map(event).collect()));
    }
    // Those above are the server's own, and marked.
    let unopened = found
        .nodes
        .iter()
        .filter(|seen| seen.unopened && seen.depth >= depth)
        .count();
    if unopened > 0 {
        lines.push(String::new());
        lines.push(format!(
            "… {unopened} of these were not opened: --under NODE begins there, --depth {} goes deeper",
            depth + 2
        ));
    }
    if let Some(looked) = found.cut {
        lines.push(format!(
            "! only the first {looked} nodes were looked at, and there are more: --under NODE begins lower, --depth says how deep"
        ));
    }
    lines.join("\n")
}

fn event(of: &EventType) -> Vec<[String; 4]> {
    let mut rows = vec![[
        format!("  {}", of.name),
        of.node.to_string(),
        "event".to_owned(),
        format!("below {}", of.above),
    ]];
    rows.extend(of.fields.iter().map(|field| {
        [
            format!("    {}", field.path),
            String::new(),
            typed(&field.data_type, usize::from(field.array)),
            words(&field.words),
        ]
    }));
    rows
}

fn columns(rows: Vec<[String; 4]>) -> Vec<String> {
    let mut widths = [0; 3];
    for row in &rows {
        for ((width, widest), cell) in widths.iter_mut().zip(WIDEST).zip(row) {
            let long = cell.chars().count();
            if long <= widest {
                *width = (*width).max(long);
            }
        }
    }
    rows.into_iter()
        .map(|[name, node, kind, says]| {
            let [a, b, c] = widths;
            format!("{name:<a$}  {node:<b$}  {kind:<c$}  {says}")
                .trim_end()
                .to_owned()
        })
        .collect()
}

fn words_json(words: &[(i64, String)]) -> Value {
    words
        .iter()
        .map(|(number, word)| (number.to_string(), json!(word)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn leaf_json(leaf: &Leaf) -> Value {
    let mut out = json!({ "field": leaf.path, "data_type": leaf.data_type, "array": leaf.array });
    if !leaf.words.is_empty() {
        put(&mut out, "words", words_json(&leaf.words));
    }
    out
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

fn seen_json(seen: &Seen) -> Value {
    let mut out = json!({
        "depth": seen.depth, "name": seen.name, "node": seen.node.to_string(), "class": seen.class.word(),
    });
    if let Some(variable) = &seen.variable {
        put(&mut out, "data_type", json!(variable.data_type));
        put(&mut out, "dimensions", json!(variable.dimensions));
        put(&mut out, "readable", json!(variable.readable));
        put(&mut out, "writable", json!(variable.writable));
        if let Some(value) = &variable.value {
            put(&mut out, "value", value.to_short_json(ITEMS_JSON));
        }
        put(
            &mut out,
            "quality",
            json!(variable.quality.as_deref().unwrap_or("Good")),
        );
        if let Some(uom) = &variable.uom {
            put(&mut out, "uom", json!(uom));
        }
        if !variable.words.is_empty() {
            put(&mut out, "words", words_json(&variable.words));
        }
    }
    if seen.class == Class::Object {
        put(&mut out, "tells_events", json!(seen.notifies));
    }
    if seen.unopened {
        put(&mut out, "unopened", json!(true));
    }
    out
}

/// All of it, for programs.
pub(super) fn json(address: &str, found: &Found) -> Value {
    let events = found.events.iter().map(|event| {
        json!({
            "name": event.name, "node": event.node.to_string(), "below": event.above,
            "fields": event.fields.iter().map(leaf_json).collect::<Vec<_>>(),
        })
    });
    json!({
        "address": address,
        "server": {
            "vendor": found.server.vendor, "product": found.server.product, "version": found.server.version,
            "certificate": found.server.certificate, "namespaces": found.server.namespaces,
        },
        "nodes": found.nodes.iter().map(seen_json).collect::<Vec<_>>(),
        "event_types": events.collect::<Vec<_>>(),
        "cut": found.cut,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::opcua::browse::Server;
    use crate::wire::opcua::node::parse_node;

    fn seen(depth: usize, name: &str, variable: Option<Variable>) -> Seen {
        Seen {
            depth,
            name: name.to_owned(),
            node: parse_node(&format!("nsu=urn:plc;s={name}")).unwrap(),
            class: if variable.is_some() {
                Class::Variable
            } else {
                Class::Object
            },
            variable,
            notifies: false,
            unopened: false,
        }
    }

    fn found() -> Found {
        let torque = Variable {
            data_type: "Float".to_owned(),
            readable: true,
            value: Some(Tree::Value(Raw::F32(12.5_f32.to_bits()))),
            uom: Some("N.m".to_owned()),
            quality: Some("UncertainLastUsableValue".to_owned()),
            ..Variable::default()
        };
        let verdict = Variable {
            data_type: "Verdict".to_owned(),
            readable: true,
            writable: true,
            value: Some(Tree::Value(Raw::Int(1))),
            words: vec![(0, "Undefined".to_owned()), (1, "OK".to_owned())],
            ..Variable::default()
        };
        let trace = Variable {
            data_type: "Double".to_owned(),
            dimensions: 1,
            value: Some(Tree::List(vec![Tree::Value(Raw::Int(1)); 2000])),
            ..Variable::default()
        };
        Found {
            server: Server::default(),
            nodes: vec![
                seen(0, "Tool", None),
                seen(1, "Torque", Some(torque)),
                seen(1, "Verdict", Some(verdict)),
                seen(1, "Trace", Some(trace)),
            ],
            events: Vec::new(),
            cut: Some(4),
        }
    }

    #[test]
    fn nodes_stand_below_what_they_belong_to_with_what_they_say() {
        let text = text("opc.tcp://plc:4840", &found(), 4);
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "Tool       nsu=urn:plc;s=Tool     object",
                "  Torque   nsu=urn:plc;s=Torque   Float r     12.5 N.m ! UncertainLastUsableValue",
                "  Verdict  nsu=urn:plc;s=Verdict  Verdict rw  1 (OK)",
                "  Trace    nsu=urn:plc;s=Trace    Double[] -  2000 values",
                "! only the first 4 nodes were looked at, and there are more: --under NODE begins lower, --depth says how deep",
            ]
        );
    }

    #[test]
    fn programs_get_numbers_as_numbers() {
        let json = json("opc.tcp://plc:4840", &found());
        assert_eq!(json["nodes"][1]["value"], json!(12.5));
        assert_eq!(json["nodes"][1]["quality"], "UncertainLastUsableValue");
        assert_eq!(json["nodes"][2]["words"]["1"], "OK");
        assert_eq!(json["nodes"][2]["quality"], "Good");
        assert_eq!(json["nodes"][3]["dimensions"], 1);
        assert_eq!(json["cut"], 4);
    }
}
