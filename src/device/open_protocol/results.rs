//! From data telegrams to what slots hear: readings, ids, and the keys by which the same telegram is known again.
//!
//! Does not own what telegrams say, nor what comes in several of them ([`crate::wire::open_protocol::said`]).

use super::ledger::Owed;
use crate::model::plan::{OpenProtocolLink, ResultSource, Said};
use crate::model::sample::Mark;
use crate::model::{Moment, Raw};
use crate::wire::open_protocol::said::Hearer;
use crate::wire::open_protocol::{Field, Telegram, TraceOrder};

/// The field that numbers results: of those of variable fields the index of the controller's memory.
pub(super) const fn id_field(results: ResultSource) -> &'static str {
    match results {
        ResultSource::Last | ResultSource::Multi => "tightening_id",
        ResultSource::Variable => "result_id",
    }
}

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
    /// When it was made, as the controller's clock said; milliseconds, in whatever zone.
    pub(super) made: Option<i64>,
    /// Of results of variable fields: what is stored of its place.
    pub(super) mark: Option<Mark>,
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

/// What puts telegrams of this link together.
pub(super) fn hearer(link: &OpenProtocolLink) -> Hearer {
    Hearer::new(if link.big_endian_traces {
        TraceOrder::Big
    } else {
        TraceOrder::Little
    })
}

/// Reads a data telegram. `None`: it tells nothing, or not yet.
pub(super) fn read(hearer: &mut Hearer, telegram: Telegram, results: ResultSource, seen: Moment) -> Option<Incoming> {
    let key = format!("{:04} {}", telegram.mid(), telegram.data_text());
    let word = hearer.take(telegram)?;
    let mut incoming = Incoming {
        said: Some(word.said),
        readings: word.readings,
        faults: word.faults,
        raw: word.raw,
        seen: Some(seen),
        live: true,
        key,
        ..Incoming::default()
    };
    if let (Said::Result, Some(fields)) = (word.said, incoming.readings.first()) {
        incoming.id = get(fields, id_field(results)).and_then(number);
        incoming.made = get(fields, "time_stamp").and_then(made);
        if let (Some(id), [fields]) = (incoming.id, incoming.readings.as_slice())
            && word.mid != 101
        {
            incoming.key = result_key(id, fields);
        }
    }
    incoming.lasting =
        matches!(word.said, Said::Alarm | Said::Trace) || incoming.id.is_some() || incoming.readings.len() > 1;
    incoming.lasting |= word.mid == 101 && incoming.faults.is_empty();
    Some(incoming)
}

/// A time of the specification, whole seconds, without its zone.
fn made(raw: &Raw) -> Option<i64> {
    let text = raw.text();
    let time = jiff::civil::DateTime::strptime("%Y-%m-%d:%H:%M:%S", text.trim()).ok()?;
    let zoned = jiff::tz::TimeZone::UTC.to_timestamp(time).ok()?;
    Some(zoned.as_millisecond())
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
