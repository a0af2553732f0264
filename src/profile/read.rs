//! Holds a tree against the table of keys: unknown keys, wrong kinds, unknown words, all at once.
//!
//! What passes here has the shape that [`super::format`] declares; the compilers rely on that and say nothing
//! of kinds again. Owns no meaning.

use super::format::{EVENT, Key, Kind};
use crate::diagnostic::tree::{Node, Table, Value, parse_duration, wrong};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, meant};

/// Checks the keys of a table.
pub(super) fn table(table: &Table, keys: &[Key], name: &str, out: &mut Diagnostics) {
    for (key, node) in &table.entries {
        match keys.iter().find(|known| known.name == key.name) {
            Some(known) => {
                value(node, &known.kind, &key.name, &below(name, &key.name), out);
            }
            None => unknown(&key.place, &key.name, name, keys, out),
        }
    }
}

fn unknown(place: &Place, word: &str, name: &str, keys: &[Key], out: &mut Diagnostics) {
    if word == "password" && name == "[connection]" {
        out.push(
            Diagnostic::error(place, "a password does not belong into a profile").help(
                "write it into a file of its own, which only the gateway may read, and name that: password_file = \"st10.password\"",
            ),
        );
        return;
    }
    let known: Vec<&str> = keys.iter().map(|key| key.name).collect();
    out.push(
        Diagnostic::error(place, format!("unknown key `{word}`"))
            .label(format!("not a key of {name}"))
            .maybe_help(meant(word, &known)),
    );
}

/// How the table below `name` is called.
fn below(name: &str, key: &str) -> String {
    match name {
        "a profile" => format!("[{key}]"),
        _ => match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => format!("[{inner}.{key}]"),
            None => format!("`{key}`"),
        },
    }
}

/// Checks one value; whether it is of the kind.
pub(super) fn value(node: &Node, kind: &Kind, key: &str, name: &str, out: &mut Diagnostics) -> bool {
    if !fits(node, kind) {
        wrong(node, key, &wanted(kind), out);
        return false;
    }
    match kind {
        Kind::Words(words) => {
            let text = node.as_text().unwrap_or_default();
            if !words.contains(&text) {
                out.push(
                    Diagnostic::error(&node.place, format!("`{text}` is no `{key}`")).maybe_help(meant(text, words)),
                );
                return false;
            }
        }
        Kind::Integer(low, high) => {
            let number = node.as_integer().unwrap_or_default();
            if number < *low || number > *high {
                let range = if low == high {
                    low.to_string()
                } else {
                    format!("{low} to {high}")
                };
                out.push(Diagnostic::error(
                    &node.place,
                    format!("`{key}` is {number}, but must be {range}"),
                ));
                return false;
            }
        }
        Kind::Duration => {
            let text = node.as_text().unwrap_or_default();
            if parse_duration(text).is_none() {
                out.push(
                    Diagnostic::error(&node.place, format!("`{text}` is not a time"))
                        .help("write a number and ms, s, min, h or d: \"50ms\", \"1s\""),
                );
                return false;
            }
        }
        Kind::List(inner) | Kind::OneOrMore(inner) => {
            let mut good = true;
            for item in node.one_or_more() {
                good &= value(item, inner, key, name, out);
            }
            return good;
        }
        Kind::Table(keys) => {
            if let Some(inner) = node.as_table() {
                table(inner, keys, name, out);
            }
        }
        Kind::Map(inner) => {
            if let Some(entries) = node.as_table() {
                for (key, node) in &entries.entries {
                    value(node, inner, &key.name, &below(name, &key.name), out);
                }
            }
        }
        Kind::Either(kinds) => {
            if let Some(kind) = kinds.iter().find(|kind| fits(node, kind)) {
                return value(node, kind, key, name, out);
            }
        }
        Kind::Event => event(node, out),
        Kind::Text | Kind::Number | Kind::Bool | Kind::Scalar | Kind::Any => {}
    }
    true
}

/// The control keys of an event; its fields are looked at where they are compiled.
fn event(node: &Node, out: &mut Diagnostics) {
    let Some(entries) = node.as_table() else { return };
    for (key, node) in &entries.entries {
        if let Some(known) = EVENT.iter().find(|known| known.name == key.name) {
            value(node, &known.kind, &key.name, &format!("`{}`", key.name), out);
        }
    }
}

/// Whether the TOML kind is right; looks no deeper.
fn fits(node: &Node, kind: &Kind) -> bool {
    match kind {
        Kind::Text | Kind::Words(_) | Kind::Duration => matches!(node.value, Value::Text(_)),
        Kind::Integer(..) => matches!(node.value, Value::Integer(_)),
        Kind::Number => matches!(node.value, Value::Integer(_) | Value::Float(_)),
        Kind::Bool => matches!(node.value, Value::Bool(_)),
        Kind::Scalar => !matches!(node.value, Value::List(_) | Value::Table(_)),
        Kind::List(_) => matches!(node.value, Value::List(_)),
        Kind::OneOrMore(inner) => matches!(node.value, Value::List(_)) || fits(node, inner),
        Kind::Table(_) | Kind::Map(_) | Kind::Event => matches!(node.value, Value::Table(_)),
        Kind::Either(kinds) => kinds.iter().any(|kind| fits(node, kind)),
        Kind::Any => true,
    }
}

/// The kind in words.
fn wanted(kind: &Kind) -> String {
    match kind {
        Kind::Text | Kind::Words(_) => "text".into(),
        Kind::Duration => "a time as text, \"50ms\"".into(),
        Kind::Integer(..) => "a whole number".into(),
        Kind::Number => "a number".into(),
        Kind::Bool => "true or false".into(),
        Kind::Scalar => "text, a number, true or false".into(),
        Kind::List(inner) => match inner {
            Kind::Table(_) => "a list of tables, [[…]]".into(),
            _ => "a list".into(),
        },
        Kind::OneOrMore(inner) => format!("{} or a list of them", wanted(inner)),
        Kind::Table(_) | Kind::Map(_) | Kind::Event => "a table".into(),
        Kind::Either(kinds) => kinds.iter().map(wanted).collect::<Vec<_>>().join(" or "),
        Kind::Any => "anything".into(),
    }
}
