//! TOML as a tree in which every key and value knows its file and place, and a reader that checks it.
//!
//! Owns the types that users' files are made of (text, numbers, durations, sizes) and what is said
//! when one is wrong. A profile may be merged of several files: places survive that.

use super::{Diagnostic, Diagnostics, Place, Source, meant};
use crate::model::Decimal;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Where it stands; of a table, its header or braces.
    pub place: Place,
    /// What it is.
    pub value: Value,
}

/// A TOML value. Dates are text.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `"…"`.
    Text(String),
    /// An integer, decimal or `0x…`.
    Integer(i64),
    /// A float, with the digits as written.
    Float(Decimal),
    /// `true`, `false`.
    Bool(bool),
    /// `[…]` or `[[…]]`.
    List(Vec<Node>),
    /// `{…}` or `[…]`.
    Table(Table),
}

/// A table: keys in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Each key, its place, its value.
    pub entries: Vec<(Key, Node)>,
}

/// A key and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The key.
    pub name: String,
    /// Where it stands.
    pub place: Place,
}

impl Table {
    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries
            .iter()
            .find(|(key, _)| key.name == name)
            .map(|(_, node)| node)
    }

    /// Key and value of `name`.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<(&Key, &Node)> {
        self.entries
            .iter()
            .find(|(key, _)| key.name == name)
            .map(|(key, node)| (key, node))
    }

    /// Puts `node` under `key`, in place of what was there.
    pub fn set(&mut self, key: Key, node: Node) {
        match self.entries.iter_mut().find(|(have, _)| have.name == key.name) {
            Some(slot) => *slot = (key, node),
            None => self.entries.push((key, node)),
        }
    }

    /// Takes `name` away and returns it.
    pub fn remove(&mut self, name: &str) -> Option<Node> {
        let at = self.entries.iter().position(|(key, _)| key.name == name)?;
        Some(self.entries.remove(at).1)
    }
}

impl Node {
    /// What it is, in words: `text`, `a whole number`, `a table`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.value {
            Value::Text(_) => "text",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Bool(_) => "true or false",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// Its text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Its table, if it is one.
    #[must_use]
    pub const fn as_table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Its elements, if it is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// Its number, whole or not.
    #[must_use]
    pub fn as_number(&self) -> Option<Decimal> {
        match &self.value {
            Value::Integer(value) => Some((*value).into()),
            Value::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// Its whole number.
    #[must_use]
    pub const fn as_integer(&self) -> Option<i64> {
        match &self.value {
            Value::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// One element or a list of them, as the list.
    #[must_use]
    pub fn one_or_more(&self) -> &[Self] {
        self.as_list().unwrap_or(std::slice::from_ref(self))
    }
}

/// Reads `source`. Faults of syntax go to `out`, all of them; what could be read is returned.
pub fn parse(source: &Arc<Source>, out: &mut Diagnostics) -> Table {
    let (tree, faults) = DeTable::parse_recoverable(&source.text);
    for fault in &faults {
        let place = Place {
            source: source.clone(),
            span: fault.span().unwrap_or(0..0),
        };
        out.push(Diagnostic::error(
            &place,
            format!("this is not TOML: {}", fault.message()),
        ));
    }
    table(tree.get_ref(), source, out)
}

fn table(tree: &DeTable<'_>, source: &Arc<Source>, out: &mut Diagnostics) -> Table {
    let mut entries: Vec<(Key, Node)> = tree
        .iter()
        .map(|(key, value)| {
            let place = Place {
                source: source.clone(),
                span: key.span(),
            };
            let key = Key {
                name: key.get_ref().to_string(),
                place,
            };
            let node = node(value, source, out);
            (key, node)
        })
        .collect();
    entries.sort_by_key(|(key, _)| key.place.span.start);
    Table { entries }
}

fn node(value: &toml::Spanned<DeValue<'_>>, source: &Arc<Source>, out: &mut Diagnostics) -> Node {
    let place = Place {
        source: source.clone(),
        span: value.span(),
    };
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => {
            let value = i64::from_str_radix(number.as_str(), number.radix());
            if value.is_err() {
                out.push(Diagnostic::error(&place, "this number does not fit 64 bits"));
            }
            Value::Integer(value.unwrap_or(0))
        }
        DeValue::Float(number) => {
            let value = number.as_str().parse();
            if value.is_err() {
                out.push(Diagnostic::error(&place, "this is not a finite number"));
            }
            Value::Float(value.unwrap_or(Decimal::ZERO))
        }
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(item, source, out)).collect()),
        DeValue::Table(inner) => Value::Table(table(inner, source, out)),
    };
    Node { place, value }
}

/// Reads one table key by key, collecting faults, and in the end names the keys that nobody asked for.
///
/// Every getter returns `None` both for a missing key and for a faulty one; the fault has been told then.
#[derive(Debug)]
pub struct Section<'a> {
    table: &'a Table,
    /// How it is called in messages: `[mqtt]`.
    name: String,
    /// Where it stands, for what is missing from it.
    place: Place,
    asked: BTreeSet<&'static str>,
}

impl<'a> Section<'a> {
    /// The table `table`, called `name` in messages, standing at `place`.
    #[must_use]
    pub fn new(table: &'a Table, name: impl Into<String>, place: &Place) -> Self {
        Self {
            table,
            name: name.into(),
            place: place.clone(),
            asked: BTreeSet::new(),
        }
    }

    /// How it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it stands.
    #[must_use]
    pub const fn place(&self) -> &Place {
        &self.place
    }

    /// The table itself.
    #[must_use]
    pub const fn table(&self) -> &'a Table {
        self.table
    }

    /// The value of `key`, whatever it is.
    pub fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.insert(key);
        self.table.get(key)
    }

    /// Says that `key` is missing.
    pub fn missing(&self, key: &str, help: &str, out: &mut Diagnostics) {
        out.push(Diagnostic::error(&self.place, format!("{} needs `{key}`", self.name)).help(help));
    }

    /// Text, with its place.
    pub fn text(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<(&'a str, &'a Place)> {
        let node = self.node(key)?;
        let found = node.as_text();
        if found.is_none() {
            wrong(node, key, "text", out);
        }
        Some((found?, &node.place))
    }

    /// Text that must be there.
    pub fn required_text(
        &mut self,
        key: &'static str,
        help: &str,
        out: &mut Diagnostics,
    ) -> Option<(&'a str, &'a Place)> {
        if self.node(key).is_none() {
            self.missing(key, help, out);
        }
        self.text(key, out)
    }

    /// A whole number in a range.
    pub fn integer(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<i64>,
        out: &mut Diagnostics,
    ) -> Option<i64> {
        let node = self.node(key)?;
        let Some(value) = node.as_integer() else {
            wrong(node, key, "a whole number", out);
            return None;
        };
        if !range.contains(&value) {
            let message = format!("`{key}` is {value}, but must be {} to {}", range.start(), range.end());
            out.push(Diagnostic::error(&node.place, message));
            return None;
        }
        Some(value)
    }

    /// A number, whole or not.
    pub fn number(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<Decimal> {
        let node = self.node(key)?;
        let found = node.as_number();
        if found.is_none() {
            wrong(node, key, "a number", out);
        }
        found
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<bool> {
        let node = self.node(key)?;
        if let Value::Bool(value) = node.value {
            return Some(value);
        }
        wrong(node, key, "true or false", out);
        None
    }

    /// A time: `"50ms"`, `"1s"`, `"30d"`.
    pub fn duration(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<Duration> {
        let (text, place) = self.text(key, out)?;
        let found = parse_duration(text);
        if found.is_none() {
            let message = format!("`{text}` is not a time");
            out.push(
                Diagnostic::error(place, message)
                    .help("write a number and ms, s, min, h or d: \"50ms\", \"1s\", \"30d\""),
            );
        }
        found
    }

    /// A size: `"256MiB"`, `"2GiB"`, `"0"`.
    pub fn size(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<u64> {
        let (text, place) = self.text(key, out)?;
        let found = parse_size(text);
        if found.is_none() {
            let message = format!("`{text}` is not a size");
            out.push(Diagnostic::error(place, message).help("write a number and KiB, MiB, GiB or TiB: \"256MiB\""));
        }
        found
    }

    /// One of these words.
    pub fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        out: &mut Diagnostics,
    ) -> Option<T> {
        let (text, place) = self.text(key, out)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            out.push(Diagnostic::error(place, format!("`{text}` is no `{key}`")).maybe_help(meant(text, &known)));
        }
        found
    }

    /// A table below this one.
    pub fn section(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<Section<'a>> {
        let name = format!("[{key}]");
        let node = self.node(key)?;
        let Some(table) = node.as_table() else {
            wrong(node, key, "a table", out);
            return None;
        };
        Some(Section::new(table, name, &node.place))
    }

    /// One text or a list of them, each with its place.
    pub fn texts(&mut self, key: &'static str, out: &mut Diagnostics) -> Option<Vec<(&'a str, &'a Place)>> {
        let node = self.node(key)?;
        let mut found = Vec::new();
        for item in node.one_or_more() {
            match item.as_text() {
                Some(text) => found.push((text, &item.place)),
                None => wrong(item, key, "text, or a list of texts", out),
            }
        }
        Some(found)
    }

    /// Says that a key may be there without reading it now.
    pub fn allow(&mut self, key: &'static str) {
        self.asked.insert(key);
    }

    /// Ends the reading: every key that nobody asked for is a fault, with the word that was probably meant.
    pub fn finish(self, out: &mut Diagnostics) {
        let known: Vec<_> = self.asked.iter().copied().collect();
        for (key, _) in &self.table.entries {
            if !self.asked.contains(key.name.as_str()) {
                let fault = Diagnostic::error(&key.place, format!("unknown key `{}`", key.name))
                    .label(format!("not a key of {}", self.name))
                    .maybe_help(meant(&key.name, &known));
                out.push(fault);
            }
        }
    }
}

/// Says that a value is of the wrong kind.
pub fn wrong(node: &Node, key: &str, wanted: &str, out: &mut Diagnostics) {
    out.push(Diagnostic::error(
        &node.place,
        format!("`{key}` is {}, but must be {wanted}", node.kind()),
    ));
}

/// `"50ms"`, `"1.5s"`, `"2min"`, `"1h"`, `"30d"`; at most 1000 years.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, word) = text.split_at(at);
    let millis: u64 = match word.trim_start() {
        "ms" => 1,
        "s" => 1_000,
        "min" | "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let total = number.parse::<Decimal>().ok()?.times(millis.into());
    let total = u64::try_from(total.to_i128()?).ok()?;
    (total <= 31_536_000_000_000).then(|| Duration::from_millis(total))
}

/// `"0"`, `"1024"`, `"256MiB"`, `"2GiB"`; decimal units (`MB`) are powers of ten.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, word) = text.split_at(at);
    let factor: u64 = match word.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    u64::try_from(number.parse::<Decimal>().ok()?.times(factor.into()).to_i128()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Arc<Source> {
        Arc::new(Source {
            path: "t.toml".into(),
            text: text.into(),
        })
    }

    #[test]
    fn all_faults_are_told_at_once_with_places() {
        let source = source("a = 1\nb = \"x\"\npoll = \"fast\"\ntimout = \"1s\"\n");
        let mut out = Diagnostics::new();
        let table = parse(&source, &mut out);
        let mut section = Section::new(&table, "[connection]", &Place::start_of(&source));
        assert_eq!(section.text("a", &mut out), None);
        assert_eq!(section.integer("b", 0..=9, &mut out), None);
        assert_eq!(section.duration("poll", &mut out), None);
        assert_eq!(section.duration("timeout", &mut out), None);
        section.finish(&mut out);
        let messages: Vec<_> = out.iter().map(|d| d.message.clone()).collect();
        assert_eq!(
            messages,
            [
                "`a` is a whole number, but must be text",
                "`b` is text, but must be a whole number",
                "`fast` is not a time",
                "unknown key `timout`"
            ]
        );
        assert!(out.render(false).contains("did you mean `timeout`?"));
        assert!(out.render(false).contains("t.toml:4:1"));
    }

    #[test]
    fn several_faults_of_syntax_are_all_told() {
        let source = source("a = \nb = 1\nc = [1,\n");
        let mut out = Diagnostics::new();
        let table = parse(&source, &mut out);
        assert!(out.has_errors());
        assert_eq!(table.get("b").and_then(Node::as_integer), Some(1));
    }

    #[test]
    fn numbers_keep_their_digits() {
        let source = source("scale = 0.01\nhex = 0x70A4\n");
        let mut out = Diagnostics::new();
        let table = parse(&source, &mut out);
        assert_eq!(
            table.get("scale").and_then(Node::as_number).unwrap().to_string(),
            "0.01"
        );
        assert_eq!(table.get("hex").and_then(Node::as_integer), Some(0x70A4));
        assert!(out.is_empty());
    }

    #[test]
    fn times_and_sizes() {
        assert_eq!(parse_duration("50ms"), Some(Duration::from_millis(50)));
        assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("30d"), Some(Duration::from_hours(720)));
        for bad in ["", "5", "s", "-1s", "1 week", "0.0001s"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        assert_eq!(parse_size("2GiB"), Some(2 << 30));
        assert_eq!(parse_size("0"), Some(0));
        assert_eq!(parse_size("1 apple"), None);
    }
}
