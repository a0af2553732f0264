//! Points that are there by themselves, by protocol: what `lineside profile fields` lists. Owns no point of a profile.

use super::places;
use crate::wire::open_protocol::fields::{FIELDS, FieldKind};

/// A point that a device has without being told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownPoint {
    /// How it is called.
    pub name: &'static str,
    /// What kind of value it has, in words.
    pub kind: &'static str,
    /// Its words, where it has only these.
    pub words: &'static [&'static str],
    /// Unit of measure; what a telegram says itself counts.
    pub uom: Option<&'static str>,
    /// Which telegrams carry it; empty: every frame.
    pub from: &'static str,
    /// What it is.
    pub about: &'static str,
}

/// Points that devices of `protocol` have by themselves.
#[must_use]
pub fn known_points(protocol: &str) -> Vec<KnownPoint> {
    match protocol {
        "open-protocol" => FIELDS
            .iter()
            .map(|field| {
                let (kind, words): (_, &[&str]) = match field.kind {
                    FieldKind::Integer => ("whole number", &[]),
                    FieldKind::Number => ("number", &[]),
                    FieldKind::Word(words) => ("word", words),
                    FieldKind::Text => ("text", &[]),
                    FieldKind::Time => ("time", &[]),
                    FieldKind::Bool => ("true or false", &[]),
                    FieldKind::List => ("list", &[]),
                };
                KnownPoint {
                    name: field.name,
                    kind,
                    words,
                    uom: field.uom,
                    from: field.from,
                    about: field.about,
                }
            })
            .collect(),
        "serial" | "tcp" => places::ALWAYS
            .iter()
            .map(|(name, _, about)| KnownPoint {
                name,
                kind: "text",
                words: &[],
                uom: None,
                from: "",
                about,
            })
            .collect(),
        _ => Vec::new(),
    }
}
