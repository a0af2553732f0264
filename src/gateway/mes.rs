//! What the MES says of events that it got: that it rejects one (`…/response`), that it wants some again (`…/resend`).
//!
//! Owns the topics, the shapes of both messages, and how often a person is told of those that cannot be obeyed. What is
//! done about them is [`super::rejections`] and [`super::resend`].

use super::rejections::Rejections;
use super::resend::Resends;
use super::retry::Kept;
use crate::model::{EventType, Plant, SlotName};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Characters of an id at most.
const LONGEST_ID: usize = 128;
/// Characters of a reason that are kept.
const LONGEST_REASON: usize = 400;
/// Milliseconds between two alarms of one kind for one slot, where the MES says what cannot be obeyed.
const QUIET: u64 = 60_000;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// `…/response`
    Response,
    /// `…/resend`
    Resend,
}

/// The topics of all slots of this gateway.
#[derive(Debug)]
pub(super) struct Topics(HashMap<String, (SlotName, Word)>);

impl Topics {
    pub(super) fn new(plant: &Plant, slots: impl Iterator<Item = SlotName>) -> Self {
        let mut topics = HashMap::new();
        for slot in slots {
            for (last, word) in [("response", Word::Response), ("resend", Word::Resend)] {
                topics.insert(plant.slot_topic(&slot, last), (slot.clone(), word));
            }
        }
        Self(topics)
    }

    /// Whose topic it is. A slot of another gateway of the line is none of ours.
    pub(super) fn of(&self, topic: &str) -> Option<&(SlotName, Word)> {
        self.0.get(topic)
    }
}

/// What is subscribed to: one filter for all stations and slots of the line.
pub(super) fn filters(plant: &Plant) -> [String; 2] {
    let any = SlotName::new("+", "+");
    ["response", "resend"].map(|last| plant.slot_topic(&any, last))
}

/// All that the store's thread keeps of what the MES said.
#[derive(Debug, Default)]
pub(super) struct Mes {
    pub(super) rejections: Rejections,
    pub(super) resends: Resends,
    pub(super) kept: Kept,
    pub(super) quiet: Quiet,
    /// Tick at which what is no longer held is looked for next.
    pub(super) prune_at: u64,
}

/// When a person was last told, and how many times nobody was since.
#[derive(Debug, Default)]
pub(super) struct Quiet(HashMap<(SlotName, &'static str), (u64, u64)>);

impl Quiet {
    /// Whether it may be told now; then how many were not told since the last time.
    pub(super) fn may(&mut self, slot: &SlotName, code: &'static str, tick: u64) -> Option<u64> {
        let (last, untold) = self.0.entry((slot.clone(), code)).or_insert((0, 0));
        if *last > 0 && tick < last.saturating_add(QUIET) {
            *untold = untold.saturating_add(1);
            return None;
        }
        *last = tick.max(1);
        Some(std::mem::take(untold))
    }
}

/// A verdict of the MES on one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) id: String,
    /// `Err`: rejected, and why.
    pub(super) verdict: Result<(), String>,
}

/// A wish of the MES.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) kind: EventType,
    pub(super) from: Option<u64>,
    pub(super) to: Option<u64>,
}

fn object(payload: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(payload) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("it is JSON, but no object".to_owned()),
        Err(fault) => Err(format!("it is no JSON ({fault})")),
    }
}

/// Reads `{"id", "accepted", "reason"}`; members beside these mean nothing. `reason` may be missing.
///
/// # Errors
/// A sentence.
pub(super) fn response(payload: &[u8]) -> Result<Response, String> {
    let said = object(payload)?;
    let id = match said.get("id") {
        Some(Value::String(id)) if !id.is_empty() && id.chars().count() <= LONGEST_ID => id.clone(),
        Some(Value::String(_)) => return Err(format!("its `id` is empty or longer than {LONGEST_ID} characters")),
        _ => return Err("it has no `id`, the id of an event as text".to_owned()),
    };
    let reason = match said.get("reason") {
        None => "the MES gave no reason".to_owned(),
        Some(Value::String(reason)) => shown(reason),
        Some(_) => return Err("its `reason` is no text".to_owned()),
    };
    match said.get("accepted") {
        Some(Value::Bool(true)) => Ok(Response { id, verdict: Ok(()) }),
        Some(Value::Bool(false)) => Ok(Response {
            id,
            verdict: Err(reason),
        }),
        _ => Err("its `accepted` is neither true nor false".to_owned()),
    }
}

/// A text of the MES as it is shown: on one line, and not too long.
fn shown(text: &str) -> String {
    let one_line = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    let cut: String = one_line.take(LONGEST_REASON).collect();
    if cut.is_empty() {
        "the MES gave no reason".to_owned()
    } else {
        cut
    }
}

/// Reads `{"type", "from", "to"}`. Other members are a mistake: a misspelled `from` would ask for everything.
///
/// # Errors
/// A sentence.
pub(super) fn resend(payload: &[u8]) -> Result<Ask, String> {
    let said = object(payload)?;
    if let Some(other) = said
        .keys()
        .find(|name| !["type", "from", "to"].contains(&name.as_str()))
    {
        return Err(format!(
            "it has a member `{}`; it knows `type`, `from` and `to`",
            shown(other)
        ));
    }
    let kind = match said.get("type") {
        Some(Value::String(word)) => EventType::of(word)
            .or_else(|| {
                EventType::ALL
                    .iter()
                    .copied()
                    .find(|kind| kind.cloud_event_type() == *word)
            })
            .ok_or_else(|| format!("`{}` is no type of events", shown(word)))?,
        _ => return Err("it has no `type`, the last word of the topic".to_owned()),
    };
    let number = |name: &str| match said.get(name) {
        None => Ok(None),
        Some(Value::Number(number)) => whole(name, &number.to_string()),
        // As it stands in an event.
        Some(Value::String(text)) => whole(name, text),
        Some(_) => Err(format!("its `{name}` is no number")),
    };
    let (from, to) = (number("from")?, number("to")?);
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err(format!("it asks from {from} to {to}, which is nothing"));
    }
    Ok(Ask { kind, from, to })
}

fn whole(name: &str, text: &str) -> Result<Option<u64>, String> {
    match text.parse::<u64>() {
        Ok(number @ 1..) => Ok(Some(number)),
        _ => Err(format!(
            "its `{name}` is {}, but sequences are whole numbers from 1",
            shown(text)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_read_and_what_is_none_says_why() {
        let said = |text: &str| response(text.as_bytes());
        assert_eq!(
            said(r#"{"id": "a", "accepted": false, "reason": "wrong\nprogram", "by": "mes-1"}"#),
            Ok(Response {
                id: "a".into(),
                verdict: Err("wrong program".into())
            })
        );
        assert_eq!(said(r#"{"id": "a", "accepted": true}"#).unwrap().verdict, Ok(()));
        assert!(
            said(r#"{"id": "a", "accepted": false}"#)
                .unwrap()
                .verdict
                .unwrap_err()
                .contains("no reason")
        );
        let faults = [
            ("{", "no JSON"),
            ("[]", "no object"),
            (r#"{"accepted": true}"#, "no `id`"),
            (r#"{"id": 7, "accepted": true}"#, "no `id`"),
            (r#"{"id": "", "accepted": true}"#, "empty"),
            (r#"{"id": "a"}"#, "`accepted`"),
            (r#"{"id": "a", "accepted": "no"}"#, "`accepted`"),
            (r#"{"id": "a", "accepted": false, "reason": 7}"#, "`reason`"),
        ];
        for (text, why) in faults {
            assert!(said(text).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn a_wish_is_read_and_a_misspelled_one_does_not_ask_for_everything() {
        let said = |text: &str| resend(text.as_bytes());
        assert_eq!(
            said(r#"{"type": "tightening", "from": 4, "to": "00000000000000000009"}"#),
            Ok(Ask {
                kind: EventType::Tightening,
                from: Some(4),
                to: Some(9)
            })
        );
        let all = said(r#"{"type": "lineside.gap.v1"}"#).unwrap();
        assert_eq!((all.kind, all.from, all.to), (EventType::Gap, None, None));
        let faults = [
            (r#"{"type": "tightening", "form": 4}"#, "`form`"),
            (r#"{"type": "tihgtening"}"#, "no type"),
            (r#"{"from": 4}"#, "no `type`"),
            (r#"{"type": "gap", "from": 0}"#, "from 1"),
            (r#"{"type": "gap", "from": 1.5}"#, "from 1"),
            (r#"{"type": "gap", "to": -1}"#, "from 1"),
            (r#"{"type": "gap", "to": true}"#, "no number"),
            (r#"{"type": "gap", "from": 9, "to": 4}"#, "nothing"),
        ];
        for (text, why) in faults {
            assert!(said(text).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn a_person_is_told_once_a_minute_and_how_often_it_was() {
        let slot = SlotName::new("st10", "a");
        let mut quiet = Quiet::default();
        assert_eq!(quiet.may(&slot, "x", 5), Some(0));
        assert_eq!(quiet.may(&slot, "x", 6), None);
        assert_eq!(quiet.may(&slot, "y", 6), Some(0), "of another kind");
        assert_eq!(quiet.may(&slot, "x", 7), None);
        assert_eq!(quiet.may(&slot, "x", 5 + QUIET), Some(2));
    }

    proptest::proptest! {
        #[test]
        fn anything_may_be_said(payload in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            drop((response(&payload), resend(&payload)));
        }
    }
}
