//! All five states of `unit.state` against a model that is written from the interface (sections 2 to 5), not from
//! the code: it keeps what was ever said in one list and asks that list again for each result.
//!
//! Decided where the interface is silent, and so part of the model: in the interval in which a unit changes, the
//! older one is meant; a new word of a more trusted source makes older words of less trusted ones, of another unit,
//! out of date; an `entered` that is not credible counts as none.

use super::*;
use crate::model::draft::{DeviceTime, Echo, EchoMatch};
use crate::model::event::UnitState;
use crate::model::plan::Keep;
use crate::model::{EventType, SlotName};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeSet;

const NOON: i64 = 1_795_342_503_000;
const BOOT: i64 = 50_000_000;
const LATE: i64 = 10_000;
const IDS: [&str; 4] = ["U1", "U12", "V2", "W"];
const BADGE: &str = "badge-7";

/// One thing that happens, after some milliseconds.
#[derive(Debug, Clone)]
enum Step {
    /// The MES names a unit (4: a badge, 5: none), perhaps with a time that lies so far back, or ahead.
    Mes(usize, Option<i64>),
    /// The MES says again what it said last, as a broker does that has retained it.
    Repeat,
    /// A scanner reads a code (4: a badge), and its identification is bound.
    Scan(usize, usize),
    /// A source comes within reach or goes.
    Reach(usize, bool),
    /// The wall clock steps.
    Clock(i64),
    /// The process ends and begins anew from what it stored.
    Restart,
    /// A live result with the interval in which it came, `None`: since the last one; and an echo.
    Live(Option<i64>, Option<(usize, EchoMatch)>),
    /// A result of so long ago, by its device's clock, known to be right (true) or not.
    Fetched(i64, bool),
    /// A result found after so long a time away, and no more is known.
    Found(i64),
}

const ECHOES: [&str; 9] = ["U1", "U12", "V2", "W", BADGE, "W9", "2", "U", ""];

/// `^[A-Z][0-9]*$`, of which a part may be anything.
fn looks_like_a_unit(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|first| first.is_ascii_uppercase()) && letters.all(|letter| letter.is_ascii_digit())
}

fn any_match() -> impl Strategy<Value = EchoMatch> {
    prop::sample::select(vec![
        EchoMatch::Exact,
        EchoMatch::Exact,
        EchoMatch::Prefix,
        EchoMatch::Suffix,
        EchoMatch::Contains,
    ])
}

fn any_step() -> impl Strategy<Value = (i64, Step)> {
    let entered = prop::option::of(prop_oneof![3 => 0_i64..2_000, 1 => -500_i64..20_000]);
    let echo = prop::option::of((0..ECHOES.len(), any_match()));
    let step = prop_oneof![
        4 => (0_usize..6, entered).prop_map(|(id, ago)| Step::Mes(id, ago)),
        1 => Just(Step::Repeat),
        4 => (0_usize..2, 0_usize..5).prop_map(|(scanner, id)| Step::Scan(scanner, id)),
        3 => (0_usize..3, any::<bool>()).prop_map(|(source, alive)| Step::Reach(source, alive)),
        1 => (-7_200_000_i64..7_200_000).prop_map(Step::Clock),
        1 => Just(Step::Restart),
        8 => (prop::option::weighted(0.8, 0_i64..2_500), echo).prop_map(|(poll, echo)| Step::Live(poll, echo)),
        3 => (0_i64..15_000, any::<bool>()).prop_map(|(ago, sure)| Step::Fetched(ago, sure)),
        1 => (0_i64..15_000).prop_map(Step::Found),
    ];
    (prop_oneof![3 => 1_i64..1_500, 1 => 1_i64..8_000], step)
}

/// A word that changed something.
#[derive(Debug, Clone)]
struct Word {
    rank: usize,
    from: i64,
    /// `None`: no unit is here.
    id: Option<&'static str>,
    /// `entered` as it was said.
    entered: Option<i64>,
}

/// A stay: which unit, and the word that began it.
type Stay = (&'static str, usize);

/// What one source says of a window of time.
#[derive(Debug, Clone, PartialEq)]
enum Voice {
    /// It names this one, and was there to know all the while.
    Sure(&'static str),
    /// It named this one last.
    Unsure(&'static str, Vec<&'static str>),
    /// This one had left.
    Left(&'static str),
}

/// Everything that was ever said, on one true scale of milliseconds.
#[derive(Debug, Default)]
struct Model {
    sources: Vec<UnitSource>,
    words: Vec<Word>,
    /// Source, when, whether within reach.
    reach: Vec<(usize, i64, bool)>,
    /// The last live result.
    sight: Option<i64>,
}

#[derive(Debug, PartialEq)]
struct Answer {
    state: UnitState,
    id: Option<String>,
    from: Option<String>,
    others: BTreeSet<(String, String)>,
}

impl Model {
    fn rank(&self, source: &UnitSource) -> Option<usize> {
        self.sources.iter().position(|known| known == source)
    }

    /// The stay that a source says is at the station at this moment.
    fn stay(&self, rank: usize, at: i64) -> Option<Stay> {
        let mut own = self.words.iter().enumerate();
        let (index, word) = own.rfind(|(_, word)| word.rank == rank && word.from <= at)?;
        let id = word.id?;
        let outdated = self.words.iter().enumerate().any(|(other, newer)| {
            newer.rank < rank && newer.from <= at && other > index && newer.from >= word.from && newer.id != Some(id)
        });
        (!outdated).then_some((id, index))
    }

    fn is_alive(&self, rank: usize, at: i64) -> bool {
        let mut known = self.reach.iter().filter(|(of, from, _)| *of == rank && *from <= at);
        known.next_back().is_some_and(|(_, _, alive)| *alive)
    }

    /// Moments in the window at which a source's unit is another than a millisecond before.
    fn changes(&self, rank: usize, low: i64, high: i64) -> Vec<i64> {
        let mut moments: Vec<i64> = self.words.iter().map(|word| word.from).collect();
        moments.sort_unstable();
        moments.retain(|at| low < *at && *at <= high && self.stay(rank, *at) != self.stay(rank, at - 1));
        moments
    }

    fn voice(&self, rank: usize, low: Option<i64>, high: i64) -> Option<Voice> {
        let start = low.unwrap_or(i64::MIN / 2);
        let now = self.stay(rank, high).map(|(id, _)| id);
        let changes = self.changes(rank, start, high);
        let in_window = || {
            let inside = std::iter::once(start).chain(changes.iter().copied());
            inside.filter_map(|at| self.stay(rank, at)).map(|(id, _)| id)
        };
        match (changes.last(), low) {
            (Some(change), Some(_)) => {
                let before = self.stay(rank, change - 1).map(|(id, _)| id);
                let meant = before.or(now).or_else(|| in_window().next_back())?;
                Some(Voice::Unsure(meant, in_window().rev().collect()))
            }
            (Some(_), None) if now.is_some() => Some(Voice::Unsure(now?, in_window().rev().collect())),
            _ => {
                if let Some(id) = now {
                    let from = low.unwrap_or(high);
                    let went =
                        |(of, at, alive): &(usize, i64, bool)| *of == rank && from < *at && *at <= high && !alive;
                    let sure = self.is_alive(rank, from) && !self.reach.iter().any(went);
                    return Some(if sure {
                        Voice::Sure(id)
                    } else {
                        Voice::Unsure(id, Vec::new())
                    });
                }
                let left = *self.changes(rank, i64::MIN / 2, high).last()?;
                let (id, _) = self.stay(rank, left - 1)?;
                (high - left <= LATE).then_some(Voice::Left(id))
            }
        }
    }

    /// What is to be said of a result in this window. `own`: the source whose identification it is.
    fn answer(&self, low: Option<i64>, high: i64, own: Option<usize>, echo: Option<(&str, EchoMatch)>) -> Answer {
        let mut here: Vec<(usize, &str, bool)> = Vec::new();
        let mut left: Option<(usize, &str)> = None;
        let mut near: Vec<(usize, &str)> = Vec::new();
        for rank in 0..self.sources.len() {
            let low = if own == Some(rank) { Some(high) } else { low };
            match self.voice(rank, low, high) {
                Some(Voice::Sure(id)) => here.push((rank, id, true)),
                Some(Voice::Unsure(id, neighbours)) => {
                    here.push((rank, id, false));
                    near.extend(neighbours.into_iter().map(|id| (rank, id)));
                }
                Some(Voice::Left(id)) => left = left.or(Some((rank, id))),
                None => {}
            }
        }
        let word = |rank: usize| self.sources[rank].word();
        let answer = |state, id: &str, from: String, others| Answer {
            state,
            id: Some(id.to_owned()),
            from: Some(from),
            others,
        };
        let heard = match (here.first(), left) {
            (None, None) => Answer {
                state: UnitState::Unbound,
                id: None,
                from: None,
                others: BTreeSet::new(),
            },
            (None, Some((rank, id))) => answer(UnitState::Late, id, word(rank), BTreeSet::new()),
            (Some((first, id, _)), _) => {
                let others = here.iter().filter(|(_, other, _)| other != id);
                let others: BTreeSet<_> = others.map(|(rank, id, _)| (word(*rank), (*id).to_owned())).collect();
                match here.iter().find(|(.., sure)| *sure) {
                    _ if !others.is_empty() => answer(UnitState::Conflict, id, word(*first), others),
                    Some((rank, ..)) => answer(UnitState::Bound, id, word(*rank), others),
                    None => answer(UnitState::Assumed, id, word(*first), others),
                }
            }
        };
        match echo {
            Some((text, how))
                if own.is_none() && !text.is_empty() && (how != EchoMatch::Exact || looks_like_a_unit(text)) =>
            {
                self.with_echo(heard, &near, text, how)
            }
            _ => heard,
        }
    }

    /// An exact echo is the word of a source that is there, where `unit_from` lists the device; otherwise, and where
    /// it is a part, it confirms or disagrees, and never supplies.
    fn with_echo(&self, heard: Answer, near: &[(usize, &str)], text: &str, how: EchoMatch) -> Answer {
        let fits = |id: &str| match how {
            EchoMatch::Exact => id == text,
            EchoMatch::Prefix => id.starts_with(text),
            EchoMatch::Suffix => id.ends_with(text),
            EchoMatch::Contains => id.contains(text),
        };
        let exact = how == EchoMatch::Exact;
        let device = self.rank(&UnitSource::Device).filter(|_| exact);
        let by_device = || Answer {
            state: UnitState::Bound,
            id: Some(text.to_owned()),
            from: Some("device".to_owned()),
            others: BTreeSet::new(),
        };
        let (Some(id), Some(from)) = (heard.id.clone(), heard.from.clone()) else {
            return if device.is_some() { by_device() } else { heard };
        };
        let named_by = self.sources.iter().position(|source| source.word() == from);
        let more_trusted = device.is_some_and(|rank| named_by.is_none_or(|by| rank < by));
        let first = |answer: Answer| Answer {
            from: if more_trusted {
                Some("device".to_owned())
            } else {
                answer.from.clone()
            },
            ..answer
        };
        match heard.state {
            // While the station is empty, the device is the only one that says who is there.
            UnitState::Late if device.is_some() => by_device(),
            UnitState::Late if fits(&id) => heard,
            UnitState::Assumed => {
                let near = near
                    .iter()
                    .find(|(_, id)| fits(id))
                    .map(|(rank, id)| ((*id).to_owned(), self.sources[*rank].word()));
                let meant = if fits(&id) {
                    Some((id.clone(), from.clone()))
                } else {
                    near
                };
                match meant {
                    Some((id, _)) if device.is_some() => Answer {
                        id: Some(id),
                        ..by_device()
                    },
                    Some((id, from)) => Answer {
                        state: if exact { UnitState::Bound } else { UnitState::Assumed },
                        id: Some(id),
                        from: Some(from),
                        others: BTreeSet::new(),
                    },
                    None => Self::disagree(heard, text, more_trusted),
                }
            }
            _ if fits(&id) => first(heard),
            _ => Self::disagree(heard, text, more_trusted),
        }
    }

    fn disagree(heard: Answer, text: &str, more_trusted: bool) -> Answer {
        let Answer {
            id, from, mut others, ..
        } = heard;
        let (id, from) = (id.unwrap_or_default(), from.unwrap_or_default());
        let device = ("device".to_owned(), text.to_owned());
        if more_trusted {
            others.insert((from, id));
            others.retain(|(_, id)| id != text);
            return Answer {
                state: UnitState::Conflict,
                id: Some(device.1),
                from: Some(device.0),
                others,
            };
        }
        others.insert(device);
        Answer {
            state: UnitState::Conflict,
            id: Some(id),
            from: Some(from),
            others,
        }
    }

    /// The MES names a unit now. Whether that is another stay.
    fn mes(&mut self, rank: usize, now: i64, id: Option<&'static str>, ago: Option<i64>, said: Option<i64>) {
        let mut last = self.words.iter().filter(|word| word.rank == rank);
        let last = last.next_back();
        let present = self.stay(rank, now).map(|(id, _)| id);
        let Some(id) = id else {
            if present.is_some() {
                self.words.push(Word {
                    rank,
                    from: now,
                    id: None,
                    entered: None,
                });
            }
            return;
        };
        let mut stays = self.words.iter().filter(|word| word.rank == rank && word.id.is_some());
        let began = stays.next_back().map(|word| word.from);
        // Not in the future, and not before the stay that is known began.
        let credible = ago.filter(|ago| *ago >= 0 && began.is_none_or(|began| now - ago > began));
        let same = present == Some(id) && (credible.is_none() || last.is_some_and(|last| last.entered == said));
        if !same {
            let from = now - credible.unwrap_or(0);
            self.words.push(Word {
                rank,
                from,
                id: Some(id),
                entered: said,
            });
        }
    }

    fn scan(&mut self, rank: usize, now: i64, id: &'static str) {
        if self.stay(rank, now).map(|(id, _)| id) != Some(id) {
            self.words.push(Word {
                rank,
                from: now,
                id: Some(id),
                entered: None,
            });
        }
        if !self.is_alive(rank, now) {
            self.reach.push((rank, now, true));
        }
    }
}

fn rules(sources: &[UnitSource]) -> Vec<StationRule> {
    vec![StationRule {
        station: "st10".into(),
        sources: sources.to_vec(),
        pattern: Some(regex::Regex::new("^[A-Z][0-9]*$").unwrap()),
        late: Duration::from_millis(LATE.unsigned_abs()),
    }]
}

fn draft(kind: EventType, slot: &str, seen: Moment) -> Draft {
    Draft {
        slot: SlotName::new("st10", slot),
        event: "event".into(),
        kind,
        data: Fields::new(),
        quarantine: Vec::new(),
        id: None,
        counter: None,
        seen,
        since: None,
        device_time: None,
        backfill: false,
        echo: None,
        extra: Fields::new(),
        raw: None,
        device: Arc::default(),
        keep: Keep::Stored,
    }
}

fn shown(binding: &Binding) -> Answer {
    Answer {
        state: binding.state,
        id: binding.id.clone(),
        from: binding.from.clone(),
        others: binding
            .others
            .iter()
            .map(|other| (other.from.clone(), other.id.clone()))
            .collect(),
    }
}

/// The sources of a station, in any order, each once or not at all.
fn any_sources() -> impl Strategy<Value = Vec<UnitSource>> {
    let all = vec![
        UnitSource::Mes,
        UnitSource::Slot("scanner-0".into()),
        UnitSource::Slot("scanner-1".into()),
        UnitSource::Device,
    ];
    prop::sample::subsequence(all, 1..=4).prop_shuffle()
}

/// What runs, and the model beside it.
struct Run {
    units: Units,
    model: Model,
    now: i64,
    wall: i64,
    /// When this process began; what was before it is told by the wall clock alone.
    started: i64,
    last_mes: Option<(Option<&'static str>, Option<i64>)>,
}

impl Run {
    fn moment(&self, at: i64) -> Moment {
        Moment::new(NOON + at + self.wall, (BOOT + at).unsigned_abs())
    }

    fn source(index: usize) -> UnitSource {
        match index {
            0 => UnitSource::Mes,
            index => UnitSource::Slot(format!("scanner-{}", index - 1).into()),
        }
    }

    fn reach(&mut self, source: &UnitSource, alive: bool) {
        let at = self.moment(self.now);
        match source {
            UnitSource::Slot(slot) => self.units.slot_alive("st10", slot, alive, at),
            source => self.units.alive(source, alive, at),
        }
        if let Some(rank) = self.model.rank(source)
            && self.model.is_alive(rank, self.now) != alive
        {
            self.model.reach.push((rank, self.now, alive));
        }
    }

    fn mes(&mut self, id: Option<&'static str>, entered: Option<i64>) -> Result<(), TestCaseError> {
        let now = self.moment(self.now);
        let payload = match (id, entered) {
            (None, _) => String::new(),
            (Some(id), None) => json!({ "id": id }).to_string(),
            (Some(id), Some(wall)) => json!({"id": id, "entered": time::rfc3339(wall)}).to_string(),
        };
        let heard = self.units.mes_said("st10", payload.as_bytes(), now);
        let Some(rank) = self.model.rank(&UnitSource::Mes) else {
            prop_assert!(matches!(heard, Heard::Refused(_)));
            return Ok(());
        };
        prop_assert_eq!(matches!(heard, Heard::NotAUnit(_)), id == Some(BADGE));
        let before = self.model.words.len();
        // A badge is none.
        let unit = id.filter(|id| *id != BADGE);
        self.model
            .mes(rank, self.now, unit, entered.map(|wall| now.wall - wall), entered);
        let changed = self.model.words.len() > before;
        prop_assert_eq!(
            matches!(heard, Heard::Entered | Heard::Left),
            changed && id != Some(BADGE),
            "{:?}",
            heard
        );
        self.last_mes = Some((id, entered));
        Ok(())
    }

    /// Whether what a unit that left before this process began is asked for: how long ago that was, nobody knows.
    fn asks_before_start(&self, answer: &Answer) -> bool {
        let vague = matches!(answer.state, UnitState::Late | UnitState::Unbound);
        vague && self.model.words.iter().any(|word| word.from <= self.started)
    }

    fn look(
        &mut self,
        draft: &Draft,
        happened: Option<i64>,
        window: (Option<i64>, i64),
        echo: Option<(&str, EchoMatch)>,
    ) -> Result<(), TestCaseError> {
        let own = UnitSource::Slot(draft.slot.slot.clone());
        let own = self
            .model
            .rank(&own)
            .filter(|_| draft.kind == EventType::Identification);
        let binding = self.units.bind_at(draft, happened);
        let (low, high) = window;
        let expected = self.model.answer(low, high, own, echo);
        if self.asks_before_start(&expected) || self.asks_before_start(&shown(&binding)) {
            return Ok(());
        }
        prop_assert_eq!(shown(&binding), expected, "{:?} {:?} {:?}", window, echo, self.model);
        prop_assert_eq!(binding.id.is_none(), binding.state == UnitState::Unbound);
        prop_assert_eq!(binding.others.is_empty(), binding.state != UnitState::Conflict);
        Ok(())
    }

    fn restart(&mut self, sources: &[UnitSource]) {
        // Every station is written again at the last step of the clock, so nothing stands under an older one.
        self.units.clock_stepped(0);
        let mut units = Units::new(rules(sources));
        for change in self.units.take_changes() {
            units.restore("st10", &change.value.unwrap_or_default());
        }
        self.units = units;
        self.model.sight = None;
        self.started = self.now;
        for index in 0..3 {
            self.reach(&Self::source(index), false);
        }
        // Nothing else happens in this millisecond.
        self.now += 1;
    }

    fn step(&mut self, step: &Step, sources: &[UnitSource]) -> Result<(), TestCaseError> {
        let now = self.now;
        match *step {
            Step::Mes(id, ago) => {
                let id = IDS.get(id).copied().or((id == 4).then_some(BADGE));
                let ago = ago.map(|ago| ago.min(now - self.started - 2).max(-500));
                let entered = ago.map(|ago| self.moment(now).wall - ago);
                self.mes(id, entered)?;
            }
            Step::Repeat => {
                if let Some((id, entered)) = self.last_mes {
                    // What was before this process lies there by the wall clock, which may have stepped.
                    let old = entered.is_some_and(|wall| now - (self.moment(now).wall - wall) <= self.started + 1);
                    let entered = entered.filter(|_| !old);
                    self.mes(id, entered)?;
                }
            }
            Step::Scan(scanner, id) => {
                let slot = format!("scanner-{scanner}");
                let id = IDS.get(id).copied().unwrap_or(BADGE);
                let at = self.moment(now);
                let heard = self.units.identified("st10", &slot, id, at);
                if let Some(rank) = self.model.rank(&UnitSource::Slot(slot.as_str().into())) {
                    prop_assert_eq!(matches!(heard, Heard::NotAUnit(_)), id == BADGE);
                    if id != BADGE {
                        self.model.scan(rank, now, id);
                    }
                } else {
                    prop_assert_eq!(heard, Heard::Same);
                }
                let mut identification = draft(EventType::Identification, &slot, at);
                identification.since = Some(self.moment(now.max(self.started + 1)));
                // Another event than the results, with an interval of its own.
                identification.event = "identification".into();
                self.look(&identification, None, (Some(now), now), None)?;
            }
            Step::Reach(index, alive) => self.reach(&Self::source(index), alive),
            Step::Clock(by) => {
                self.wall += by;
                self.units.clock_stepped(by);
            }
            Step::Restart => self.restart(sources),
            Step::Live(poll, echo) => {
                let low = poll.map(|poll| (now - poll).max(self.started + 1).min(now));
                let mut result = draft(EventType::Tightening, "spindle", self.moment(now));
                result.since = low.map(|low| self.moment(low));
                let echo = echo.map(|(text, how)| (ECHOES[text], how));
                result.echo = echo.map(|(value, how)| Echo {
                    value: value.to_owned(),
                    how,
                });
                let low = low.or(self.model.sight);
                self.model.sight = Some(now);
                self.look(&result, None, (low, now), echo)?;
            }
            Step::Fetched(ago, sure) => {
                let ago = ago.min(now - self.started - 2_002);
                if ago < 0 {
                    return Ok(());
                }
                let at = now - ago;
                let mut result = draft(EventType::Tightening, "spindle", self.moment(now));
                result.backfill = true;
                // As our clock has it now, right or an hour off.
                let wall = self.moment(at).wall;
                result.device_time = Some(DeviceTime {
                    said: String::new(),
                    wall: if sure { wall - 3_600_000 } else { wall },
                });
                let window = if sure {
                    (Some(at - 1_000), (at + 1_000).min(now))
                } else {
                    (Some(at - 2_000), (at + 2_000).min(now))
                };
                self.look(&result, sure.then_some(wall), window, None)?;
            }
            Step::Found(ago) => {
                let low = (now - ago).max(self.started + 1).min(now);
                let mut result = draft(EventType::Tightening, "spindle", self.moment(now));
                result.backfill = true;
                result.since = Some(self.moment(low));
                self.look(&result, None, (Some(low), now), None)?;
            }
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_time: 20_000, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn every_result_is_bound_as_the_interface_says(sources in any_sources(), steps in prop::collection::vec(any_step(), 1..60)) {
        let mut run = Run {
            units: Units::new(rules(&sources)),
            model: Model { sources: sources.clone(), ..Model::default() },
            now: 0,
            wall: 0,
            started: 0,
            last_mes: None,
        };
        run.restart(&sources);
        for (after, step) in steps {
            run.now += after;
            run.step(&step, &sources)?;
        }
    }
}
