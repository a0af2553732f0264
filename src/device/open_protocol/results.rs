//! From data telegrams to what slots hear: readings, ids, and the keys by which the same telegram is known again.
//!
//! Owns putting together results of several telegrams (1201 with its 1202s). Does not own layouts ([`crate::wire`]).

use super::ledger::Owed;
use crate::model::plan::{OpenProtocolLink, ResultSource, Said};
use crate::model::{Moment, Raw};
use crate::wire::open_protocol::{Decoded, Field, Telegram, TraceOrder, decode, trace, variable};

/// The field that numbers results: of those of variable fields the index of the controller's memory.
pub(super) const fn id_field(results: ResultSource) -> &'static str {
    match results {
        ResultSource::Last | ResultSource::Multi => "tightening_id",
        ResultSource::Variable => "result_id",
    }
}

/// Telegrams of one result of variable fields at most.
const PARTS: usize = 64;

/// A data telegram that came (or several that belong together).
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent findings about a telegram, not a state"
)]
#[derive(Debug, Clone, Default)]
pub(super) struct Incoming {
    /// What it is; `None` only before it is known.
    pub(super) said: Option<Said>,
    /// Each becomes a sample of its own: spindles.
    pub(super) readings: Vec<Vec<Field>>,
    /// Why it cannot be read.
    pub(super) faults: Vec<String>,
    /// As it stood on the wire.
    pub(super) raw: String,
    /// When it came.
    pub(super) seen: Option<Moment>,
    /// It was made while somebody listened.
    pub(super) live: bool,
    /// Fetched later.
    pub(super) backfill: bool,
    /// Its number.
    pub(super) id: Option<i64>,
    /// The same telegram has the same key.
    pub(super) key: String,
    /// The key tells it from later ones, too: it says when or which.
    pub(super) lasting: bool,
    /// What the controller waits for.
    pub(super) owed: Option<Owed>,
    /// What lies before it was looked for.
    pub(super) checked: bool,
}

/// The value of a field.
pub(super) fn get<'a>(fields: &'a [Field], name: &str) -> Option<&'a Raw> {
    fields.iter().find(|field| field.name == name).map(|field| &field.value)
}

/// A number of ten digits at most in a value: also where it stands as text.
pub(super) fn number(raw: &Raw) -> Option<i64> {
    let number: i64 = match raw {
        Raw::Text(text) => text.trim().parse().ok()?,
        raw => i64::try_from(raw.number()?.to_i128()?).ok()?,
    };
    (0..=9_999_999_999).contains(&number).then_some(number)
}

/// Reads a data telegram.
pub(super) fn read(telegram: &Telegram, said: Said, link: &OpenProtocolLink, seen: Moment) -> Incoming {
    match decode(telegram) {
        Ok(decoded) => of(telegram, decoded, said, link, seen),
        Err(fault) => Incoming {
            readings: vec![Vec::new()],
            faults: vec![fault.to_string()],
            ..bare(telegram, said, seen)
        },
    }
}

fn bare(telegram: &Telegram, said: Said, seen: Moment) -> Incoming {
    Incoming {
        said: Some(said),
        raw: telegram.text(),
        seen: Some(seen),
        live: true,
        key: format!("{:04} {}", telegram.mid(), telegram.data_text()),
        ..Incoming::default()
    }
}

fn of(telegram: &Telegram, decoded: Decoded, said: Said, link: &OpenProtocolLink, seen: Moment) -> Incoming {
    let mut incoming = bare(telegram, said, seen);
    let mut fields = decoded.fields;
    if telegram.mid() == 900 && link.big_endian_traces {
        // Read again in the other order: the fields of its samples take the place of those in the usual one.
        match trace::decode(telegram, TraceOrder::Big) {
            Ok(found) => overlay(&mut fields, trace_fields(&found)),
            Err(fault) => incoming.faults.push(fault.to_string()),
        }
    } else if let Some(found) = &decoded.trace {
        overlay(&mut fields, trace_fields(found));
    }
    incoming.id = match said {
        Said::Result => get(&fields, id_field(link.results)).and_then(number),
        _ => None,
    };
    incoming.lasting =
        matches!(said, Said::Alarm | Said::Trace) || incoming.id.is_some() || !decoded.spindles.is_empty();
    if let (Said::Result, Some(id), true) = (said, incoming.id, decoded.spindles.is_empty()) {
        incoming.key = result_key(id, &fields);
    }
    incoming.readings = if decoded.spindles.is_empty() {
        vec![fields]
    } else {
        decoded
            .spindles
            .into_iter()
            .map(|mut spindle| {
                spindle.extend(fields.iter().cloned());
                spindle
            })
            .collect()
    };
    incoming
}

/// A result is the same whichever MID brings it.
fn result_key(id: i64, fields: &[Field]) -> String {
    let text = |name| get(fields, name).map(Raw::text).unwrap_or_default();
    format!(
        "result {id} {} {} {}",
        text("time_stamp"),
        text("torque"),
        text("angle")
    )
}

/// Puts `others` before `fields`, which lose what is among them.
fn overlay(fields: &mut Vec<Field>, mut others: Vec<Field>) {
    fields.retain(|field| !others.iter().any(|other| other.name == field.name));
    others.append(fields);
    *fields = others;
}

/// What a trace says, by names.
fn trace_fields(found: &trace::Trace) -> Vec<Field> {
    let field = |name: &'static str, value: Raw, uom: Option<&'static str>| Field {
        name: name.into(),
        value,
        uom,
    };
    let samples = found.samples.iter().map(|sample| Raw::Dec(*sample)).collect();
    let mut fields = vec![
        field("trace_type", Raw::Text(found.kind.clone()), None),
        field("samples", Raw::List(samples), found.uom),
    ];
    if let Some(uom) = found.uom {
        fields.push(field("trace_uom", Raw::Text(uom.to_owned()), None));
    }
    if let Some((what, uom, step)) = found.step {
        fields.push(field("step", Raw::Dec(step), uom));
        if let Some(uom) = uom {
            fields.push(field("step_uom", Raw::Text(uom.to_owned()), None));
        }
        fields.push(field("step_name", Raw::Text(what.to_owned()), None));
    }
    for known in &found.fields {
        if known.name == "result_id" && get(&found.fields, "tightening_id").is_none() {
            fields.push(field("tightening_id", known.value.clone(), None));
        }
        if known.name != "trace_type" {
            fields.push(known.clone());
        }
    }
    fields
}

/// What a 1201 or 1202 led to.
#[derive(Debug)]
pub(super) enum Collected {
    /// More is to come: this one is acknowledged for itself.
    Part,
    /// The whole.
    Whole(Box<Incoming>),
}

/// Results of variable fields that are not yet whole.
#[derive(Debug, Default)]
pub(super) struct Collector {
    id: String,
    total: u16,
    parts: Vec<Telegram>,
}

impl Collector {
    /// Forgets what is not whole, after a reconnect.
    pub(super) fn clear(&mut self) {
        self.parts.clear();
    }

    /// Takes one telegram.
    pub(super) fn take(&mut self, telegram: &Telegram, link: &OpenProtocolLink, seen: Moment) -> Collected {
        let (total, number, id) = match variable::place(telegram) {
            Ok(place) => place,
            Err(fault) => {
                let mut incoming = bare(telegram, Said::Result, seen);
                incoming.readings = vec![Vec::new()];
                incoming.faults = vec![fault.to_string()];
                return Collected::Whole(Box::new(incoming));
            }
        };
        if telegram.mid() == 1201 {
            self.parts.clear();
            (self.id, self.total) = (id, total);
        } else if self.parts.is_empty() || id != self.id {
            // Its beginning was not seen: nothing can be made of it, and the controller is not to wait for ever.
            tracing::debug!("part {number} of the result {id} came without its beginning");
            return Collected::Part;
        }
        if self.parts.len() < PARTS && !self.parts.contains(telegram) {
            self.parts.push(telegram.clone());
        }
        if self.parts.len() < usize::from(self.total.max(1)).min(PARTS) {
            return Collected::Part;
        }
        Collected::Whole(Box::new(whole(&std::mem::take(&mut self.parts), link, seen)))
    }
}

fn whole(parts: &[Telegram], link: &OpenProtocolLink, seen: Moment) -> Incoming {
    let mut faults = Vec::new();
    let mut decoded = parts.iter().filter_map(|part| match decode(part) {
        Ok(decoded) => Some(decoded),
        Err(fault) => {
            faults.push(fault.to_string());
            None
        }
    });
    let overall = decoded.next().unwrap_or_default();
    let objects: Vec<Decoded> = decoded.collect();
    let joined = variable::join(&overall, &objects);
    let Some(first) = parts.first() else {
        return Incoming::default();
    };
    let mut incoming = of(first, joined, Said::Result, link, seen);
    incoming.raw = parts.iter().map(Telegram::text).collect::<Vec<_>>().join("\n");
    incoming.faults.extend(faults);
    incoming
}
