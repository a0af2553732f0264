//! How the events of two profiles differ, result by result.
//!
//! Owns which event of one is held against which of the other: by type and result id, else by type and order. What the
//! contract does not promise (`extra`, the name of the event in its profile) is told apart from what it does.

use super::{Made, Replayed};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// One field that is not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Dotted path.
    pub field: String,
    /// What the first profile makes of it; `None`: absent.
    pub first: Option<Value>,
    /// What the second one makes of it.
    pub second: Option<Value>,
}

/// An event of one, the other, or both.
#[derive(Debug, Clone, PartialEq)]
pub enum Pair<'a> {
    /// Only the first profile makes it.
    First(&'a Made),
    /// Only the second.
    Second(&'a Made),
    /// Both: what the MES sees otherwise, and what is beside the contract.
    Both {
        /// Of the first.
        first: &'a Made,
        /// Of the second.
        second: &'a Made,
        /// Fields of the contract.
        contract: Vec<Difference>,
        /// `extra`.
        beside: Vec<Difference>,
    },
}

impl Pair<'_> {
    /// Whether the MES would notice.
    #[must_use]
    pub fn is_same(&self) -> bool {
        matches!(self, Self::Both { contract, .. } if contract.is_empty())
    }

    /// When it was seen.
    #[must_use]
    pub fn ms(&self) -> u64 {
        match self {
            Self::First(made) | Self::Second(made) | Self::Both { first: made, .. } => made.ms,
        }
    }
}

/// What tells an event from its neighbours: type, result id, and of alarms and measurements which.
fn key(made: &Made) -> (String, String) {
    let text = |name: &str| {
        made.json
            .get(name)
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .unwrap_or_default()
    };
    // A quarantine stands for what it would have been.
    let kind = if text("type") == "quarantine" {
        text("of")
    } else {
        text("type")
    };
    let id = text("result_id");
    let which = ["code", "name"].map(&text).concat();
    (kind, format!("{id}\u{0}{which}"))
}

/// Holds both against each other, in order of time.
#[must_use]
pub fn differ<'a>(first: &'a Replayed, second: &'a Replayed) -> Vec<Pair<'a>> {
    let mut others: BTreeMap<(String, String), VecDeque<&Made>> = BTreeMap::new();
    for made in &second.events {
        others.entry(key(made)).or_default().push_back(made);
    }
    let mut pairs: Vec<Pair> = Vec::new();
    for made in &first.events {
        pairs.push(match others.get_mut(&key(made)).and_then(VecDeque::pop_front) {
            None => Pair::First(made),
            Some(other) => both(made, other),
        });
    }
    pairs.extend(others.into_values().flatten().map(Pair::Second));
    pairs.sort_by_key(Pair::ms);
    pairs
}

fn both<'a>(first: &'a Made, second: &'a Made) -> Pair<'a> {
    let (mut contract, mut beside) = (Vec::new(), Vec::new());
    let (a, b) = (flat(&first.json), flat(&second.json));
    let mut fields: Vec<&String> = a.keys().chain(b.keys()).collect();
    fields.sort();
    fields.dedup();
    for field in fields {
        let (of_first, of_second) = (a.get(field), b.get(field));
        if of_first == of_second || field == "event" {
            continue;
        }
        let difference = Difference {
            field: field.clone(),
            first: of_first.cloned(),
            second: of_second.cloned(),
        };
        if field.starts_with("extra.") {
            beside.push(difference);
        } else {
            contract.push(difference);
        }
    }
    Pair::Both {
        first,
        second,
        contract,
        beside,
    }
}

/// Every member by its dotted path.
fn flat(json: &Value) -> BTreeMap<String, Value> {
    fn walk(path: &str, json: &Value, found: &mut BTreeMap<String, Value>) {
        match json {
            Value::Object(members) => {
                for (name, value) in members {
                    let path = if path.is_empty() {
                        name.clone()
                    } else {
                        format!("{path}.{name}")
                    };
                    walk(&path, value, found);
                }
            }
            value => {
                found.insert(path.to_owned(), value.clone());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk("", json, &mut found);
    found
}
