//! Which production unit is at which station, when; and binding events to it (interface 4 and 5).
//!
//! Owns what each source said, as a timeline that a late event can still be bound by, and how sure a
//! binding is. Pure: moments come in, state goes out as [`StateChange`] and travels in commits. Does not
//! own topics, alarms, or what an identification event looks like.
//!
//! A source is believed while it is within reach ([`Units::alive`]). What lies in the same interval as a
//! change of unit is `assumed`, with the unit that was there before: no result is made in the poll interval
//! in which its unit arrives.

mod binding;
mod timeline;

pub use binding::{Binding, Other};

use crate::model::commit::space;
use crate::model::{Draft, Fields, Moment, StateChange, time};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use timeline::{Point, Scale, Stay, Timeline, position, tick};

/// Longest unit id, in bytes.
const LONGEST_ID: usize = 256;
/// Most members of `unit.context` (interface 4).
const MAX_CONTEXT: usize = 16;
/// Most bytes of `unit.context` as JSON (interface 4).
const MAX_CONTEXT_BYTES: usize = 1_024;
/// Most bytes of a stored station (model::commit allows 3,500).
const MAX_STORED: usize = 3_400;
/// How far a device's time may be off where its clock's offset is known, in milliseconds: most devices say whole seconds.
const CORRECTED: i64 = 1_000;
/// How far a device's time may be off where nobody corrected it, in milliseconds.
const UNCORRECTED: i64 = 2_000;

/// Who may say which unit is at a station.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnitSource {
    /// The MES, by its retained topic.
    Mes,
    /// The device of the event itself, by an exact echo.
    Device,
    /// The slot of this id at the same station, by its identifications.
    Slot(Arc<str>),
}

impl UnitSource {
    /// As it stands in `unit_from` and in `unit.from`: `mes`, `device`, `slot:scanner`.
    #[must_use]
    pub fn word(&self) -> String {
        match self {
            Self::Mes => "mes".to_owned(),
            Self::Device => "device".to_owned(),
            Self::Slot(slot) => format!("slot:{slot}"),
        }
    }
}

/// How a station knows its unit, from `gateway.toml`.
#[derive(Debug, Clone)]
pub struct StationRule {
    /// Which.
    pub station: Arc<str>,
    /// Who may say, the most trusted first.
    pub sources: Vec<UnitSource>,
    /// What does not look like this is no unit.
    pub pattern: Option<regex::Regex>,
    /// While the station is empty, an event this long after a unit left binds to it.
    pub late: Duration,
}

/// What became of a word about a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A unit came, or came again.
    Entered,
    /// Nothing new; context may have changed.
    Same,
    /// The unit left.
    Left,
    /// Not understood, nothing changed: an alarm, in a sentence.
    Refused(String),
    /// What was named is no unit. Of the MES: from then on none is known, an alarm. Of a slot: nothing
    /// changed, a badge or a label was read.
    NotAUnit(String),
}

/// All stations.
#[derive(Debug, Default)]
pub struct Units {
    stations: BTreeMap<Arc<str>, Station>,
    changed: BTreeSet<Arc<str>>,
    /// First tick of this run, as far as something told it.
    first: Option<i64>,
    /// When each event was last seen: one that is found without a `since` came after that.
    sights: HashMap<(crate::model::SlotName, Arc<str>), i64>,
    /// Wall time of the last word, for the store.
    last: i64,
}

#[derive(Debug)]
struct Station {
    rule: StationRule,
    /// By source, in the order of `rule.sources`; none for the device.
    said: Vec<Timeline>,
}

/// As a station is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    saved: i64,
    said: BTreeMap<String, Timeline>,
}

impl Units {
    /// Stations of which nothing is known yet.
    #[must_use]
    pub fn new(rules: Vec<StationRule>) -> Self {
        let stations = rules.into_iter().map(|rule| {
            let said = vec![Timeline::default(); rule.sources.len()];
            (rule.station.clone(), Station { rule, said })
        });
        Self {
            stations: stations.collect(),
            ..Self::default()
        }
    }

    /// Takes up what was stored of a station under [`space::UNIT`]. Its unit is known, its sources are out of
    /// reach until told otherwise. What cannot be read, or is of a source no longer listed, is as if it was never said.
    pub fn restore(&mut self, station: &str, bytes: &[u8]) {
        let (Some(station), Ok(stored)) = (self.stations.get_mut(station), serde_json::from_slice::<Stored>(bytes))
        else {
            return;
        };
        for (source, said) in station.rule.sources.iter().zip(&mut station.said) {
            if let Some(known) = stored.said.get(&source.word()) {
                *said = known.clone().restored(stored.saved);
            }
        }
        self.last = self.last.max(stored.saved);
    }

    /// The station whose state has this key, where it is one of this room's.
    #[must_use]
    pub fn station_of(key: &[u8]) -> Option<&str> {
        let (first, rest) = key.split_first()?;
        (*first == space::UNIT)
            .then(|| std::str::from_utf8(rest).ok())
            .flatten()
    }

    fn scale(&mut self, now: Moment) -> Scale {
        let first = self.first.map_or(tick(now), |first| first.min(tick(now)));
        self.first = Some(first);
        Scale { now, first }
    }

    /// The MES said this on a station's topic `unit`, heard at `at`.
    pub fn mes_said(&mut self, station: &str, payload: &[u8], at: Moment) -> Heard {
        let scale = self.scale(at);
        let Some((key, place)) = self
            .stations
            .get_key_value(station)
            .map(|(key, _)| key.clone())
            .and_then(|key| {
                let place = self.stations.get_mut(station)?;
                Some((key, place))
            })
        else {
            return Heard::Refused(format!("station `{station}` is not one of this gateway's"));
        };
        let Some(rank) = place.rank(&UnitSource::Mes) else {
            return Heard::Refused(format!(
                "station `{station}` does not take its unit from the MES: add \"mes\" to its unit_from"
            ));
        };
        let heard = place.mes(rank, payload, scale);
        if !matches!(heard, Heard::Refused(_)) {
            self.changed.insert(key);
            self.last = at.wall;
        }
        heard
    }

    /// A slot identified `code` at `at`. Counts where the slot is a source of its station.
    pub fn identified(&mut self, station: &str, slot: &str, code: &str, at: Moment) -> Heard {
        let scale = self.scale(at);
        let source = UnitSource::Slot(slot.into());
        let Some(place) = self.stations.get_mut(station) else {
            return Heard::Refused(format!("station `{station}` is not one of this gateway's"));
        };
        let Some(rank) = place.rank(&source) else {
            return Heard::Same;
        };
        let id = code.trim();
        if !place.is_unit(id) {
            return Heard::NotAUnit(format!("`{}` at station `{station}` is no unit", short(id)));
        }
        let heard = place.named(rank, id, None, Fields::new(), scale);
        if let Some(said) = place.said.get_mut(rank) {
            said.reach(true, Point::of(at));
        }
        self.changed.insert(place.rule.station.clone());
        self.last = at.wall;
        heard
    }

    /// A source came within reach (`alive`) or went, at every station that listens to it. The MES comes
    /// within reach when what it retained has been read, not before.
    pub fn alive(&mut self, source: &UnitSource, alive: bool, at: Moment) {
        self.scale(at);
        for place in self.stations.values_mut() {
            place.reach(source, alive, at);
        }
    }

    /// The device of a slot that is a source came within reach, or went.
    pub fn slot_alive(&mut self, station: &str, slot: &str, alive: bool, at: Moment) {
        self.scale(at);
        if let Some(place) = self.stations.get_mut(station) {
            place.reach(&UnitSource::Slot(slot.into()), alive, at);
        }
    }

    /// Whether a source is within reach at any station.
    #[must_use]
    pub fn is_alive(&self, source: &UnitSource) -> bool {
        self.stations.values().any(|place| {
            place
                .rank(source)
                .and_then(|rank| place.said.get(rank))
                .is_some_and(Timeline::is_alive)
        })
    }

    /// Binds a draft to the unit of its own time. A backfilled one is placed by its device's time as it was
    /// said; see [`Self::bind_at`].
    pub fn bind(&mut self, draft: &Draft) -> Binding {
        self.bind_at(draft, None)
    }

    /// As [`Self::bind`], with the wall time at which it happened where the caller knows the offset of the
    /// device's clock. Only of a backfilled draft; the moment a live one was seen is better.
    pub fn bind_at(&mut self, draft: &Draft, happened: Option<i64>) -> Binding {
        // The reading before is of this run too.
        self.scale(draft.since.filter(|_| !draft.backfill).unwrap_or(draft.seen));
        let scale = self.scale(draft.seen);
        let seen = tick(draft.seen);
        let (low, high) = if draft.backfill {
            let place = |wall: i64| position(wall, draft.seen);
            match (happened, &draft.device_time) {
                (Some(wall), _) => (
                    Some(place(wall).saturating_sub(CORRECTED)),
                    place(wall).saturating_add(CORRECTED).min(seen),
                ),
                (None, Some(time)) => (
                    Some(place(time.wall).saturating_sub(UNCORRECTED)),
                    place(time.wall).saturating_add(UNCORRECTED).min(seen),
                ),
                (None, None) => (draft.since.map(tick), seen),
            }
        } else {
            let event = (draft.slot.clone(), draft.event.clone());
            let before = self.sights.insert(event, seen);
            (draft.since.map(tick).or(before), seen)
        };
        let low = low.map(|low| low.min(high));
        match self.stations.get(&draft.slot.station) {
            Some(place) => place.bind(draft, low, high, scale),
            None => Binding::unbound(),
        }
    }

    /// The wall clock stepped. Nothing moves in time; what is told of this run's moments follows.
    pub fn clock_stepped(&mut self, by_millis: i64) {
        for (key, place) in &mut self.stations {
            for said in &mut place.said {
                said.stepped(by_millis);
            }
            self.changed.insert(key.clone());
        }
        self.last = self.last.saturating_add(by_millis);
    }

    /// Stations that changed since this was last asked, to be committed before or with the next events.
    pub fn take_changes(&mut self) -> Vec<StateChange> {
        let changed = std::mem::take(&mut self.changed);
        let places = changed.iter().filter_map(|key| self.stations.get(key));
        places.map(|place| place.stored(self.last)).collect()
    }

    /// Which unit the most trusted source says is at a station now, and since when (wall milliseconds).
    #[must_use]
    pub fn at_station(&self, station: &str) -> Option<(&str, i64)> {
        let place = self.stations.get(station)?;
        let stay = place.said.iter().find_map(Timeline::current)?;
        Some((&stay.id, stay.from.wall))
    }
}

impl Station {
    fn rank(&self, source: &UnitSource) -> Option<usize> {
        self.rule.sources.iter().position(|known| known == source)
    }

    fn is_unit(&self, id: &str) -> bool {
        !id.is_empty()
            && id.len() <= LONGEST_ID
            && self.rule.pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
    }

    fn reach(&mut self, source: &UnitSource, alive: bool, at: Moment) {
        if let Some(said) = self.rank(source).and_then(|rank| self.said.get_mut(rank)) {
            said.reach(alive, Point::of(at));
        }
    }

    fn mes(&mut self, rank: usize, payload: &[u8], scale: Scale) -> Heard {
        if payload.iter().all(u8::is_ascii_whitespace) {
            return self.left(rank, scale);
        }
        let station = &self.rule.station;
        let refused = |why: &str| {
            Heard::Refused(format!(
                "the unit message of station `{station}` {why}; it is {{\"id\": \"…\"}} or empty, and was ignored"
            ))
        };
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(payload) else {
            return refused("is not JSON");
        };
        let serde_json::Value::Object(mut members) = value else {
            return refused("is not a JSON object");
        };
        let id = match members.shift_remove("id") {
            Some(serde_json::Value::String(id)) => id,
            Some(serde_json::Value::Number(id)) => id.to_string(),
            _ => return refused("has no `id`"),
        };
        let id = id.trim();
        if id.is_empty() {
            return refused("has an empty `id`");
        }
        if !self.is_unit(id) {
            let sentence = format!(
                "`{}`, named by the MES at station `{station}`, does not look like a unit (unit_pattern); none is known there now",
                short(id)
            );
            self.left(rank, scale);
            return Heard::NotAUnit(sentence);
        }
        let entered = members.shift_remove("entered");
        let entered = entered
            .as_ref()
            .and_then(serde_json::Value::as_str)
            .and_then(time::parse_rfc3339);
        self.named(rank, id, entered, context(members), scale)
    }

    /// The source of this rank says that no unit is here.
    fn left(&mut self, rank: usize, scale: Scale) -> Heard {
        let point = Point::of(scale.now);
        let Some(said) = self.said.get_mut(rank) else {
            return Heard::Same;
        };
        let left = said.leave(point);
        if left {
            self.overrule(rank, None, point, scale);
            Heard::Left
        } else {
            Heard::Same
        }
    }

    /// The source of this rank names a unit.
    fn named(&mut self, rank: usize, id: &str, entered: Option<i64>, context: Fields, scale: Scale) -> Heard {
        let Some(said) = self.said.get_mut(rank) else {
            return Heard::Same;
        };
        let believed = entered.filter(|entered| {
            *entered <= scale.now.wall
                && said
                    .stays
                    .last()
                    .is_none_or(|last| position(*entered, scale.now) > scale.at(last.from))
        });
        // Said again, it is the same stay, though it may have become credible meanwhile.
        if let Some(stay) = said.current_mut().filter(|stay| stay.id == id)
            && (believed.is_none() || entered == stay.entered)
        {
            stay.context = context;
            return Heard::Same;
        }
        let from = match believed {
            Some(entered) => Point::said(entered, scale.now),
            None => Point::of(scale.now),
        };
        let stay = Stay {
            id: id.to_owned(),
            from,
            until: None,
            entered,
            context,
        };
        said.enter(stay, scale);
        self.overrule(rank, Some(id), from, scale);
        Heard::Entered
    }

    /// What less trusted sources said of another unit before is out of date. What they said since is not: a word
    /// may be of a moment that has passed.
    fn overrule(&mut self, rank: usize, id: Option<&str>, at: Point, scale: Scale) {
        for said in self.said.iter_mut().skip(rank.saturating_add(1)) {
            said.overruled(id, at, scale);
        }
    }

    fn stored(&self, saved: i64) -> StateChange {
        let said = self
            .rule
            .sources
            .iter()
            .zip(&self.said)
            .filter(|(source, _)| **source != UnitSource::Device);
        let mut stored = Stored {
            saved,
            said: said.map(|(source, said)| (source.word(), said.clone())).collect(),
        };
        let mut key = vec![space::UNIT];
        key.extend_from_slice(self.rule.station.as_bytes());
        loop {
            let value = serde_json::to_vec(&stored).unwrap_or_default();
            if value.len() <= MAX_STORED {
                return StateChange {
                    key,
                    value: Some(value),
                };
            }
            let longest = stored.said.values_mut().max_by_key(|said| said.stays.len());
            if !longest.is_some_and(Timeline::shrink) && !stored.said.values_mut().any(Timeline::shrink) {
                // Only current ids are left, and more sources than a record holds: the least can be spared.
                stored.said.pop_last();
            }
        }
    }
}

/// Members of the MES's message that go into `unit.context`: scalars, 16 at most, 1 KiB at most.
fn context(members: Fields) -> Fields {
    let mut out = Fields::new();
    let mut bytes = 2;
    for (name, value) in members {
        if value.is_object() || value.is_array() || value.is_null() {
            continue;
        }
        bytes += name.len() + value.to_string().len() + 4;
        if out.len() == MAX_CONTEXT || bytes > MAX_CONTEXT_BYTES {
            break;
        }
        out.insert(name, value);
    }
    out
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
