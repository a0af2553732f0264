//! From what the sources say, and what the device echoed, to the unit of one event.
//!
//! Decisions where interface 5 is silent: an exact echo that equals an assumed unit makes it bound, and
//! picks among neighbours in time; a part only picks, and leaves the state as it is. An echo by a device
//! that is no source of its station never supplies a unit.

use super::timeline::{Certainty, Scale, Stay, Word};
use super::{Station, UnitSource};
use crate::model::draft::{Echo, EchoMatch};
use crate::model::event::{EventType, UnitState};
use crate::model::{Draft, Fields, time};

/// Another source's word where sources disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// Which source.
    pub from: String,
    /// Which unit, or the part of its id that the device said.
    pub id: String,
}

/// The unit of one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Binding {
    /// How sure.
    pub state: UnitState,
    /// Which; `None` only where unbound.
    pub id: Option<String>,
    /// Who named it: `mes`, `device`, `slot:scanner`.
    pub from: Option<String>,
    /// Since when it is at the station, wall milliseconds.
    pub since: Option<i64>,
    /// What the MES said beside the id.
    pub context: Fields,
    /// What others said, in a conflict.
    pub others: Vec<Other>,
}

impl Binding {
    /// No unit known.
    #[must_use]
    pub fn unbound() -> Self {
        Self {
            state: UnitState::Unbound,
            id: None,
            from: None,
            since: None,
            context: Fields::new(),
            others: Vec::new(),
        }
    }

    /// `data.unit` of interface 5.
    #[must_use]
    pub fn to_json(&self) -> Fields {
        let mut out = Fields::new();
        if let Some(id) = &self.id {
            out.insert("id".into(), id.clone().into());
        }
        out.insert("state".into(), self.state.word().into());
        if let Some(from) = &self.from {
            out.insert("from".into(), from.clone().into());
        }
        if let Some(since) = self.since {
            out.insert("since".into(), time::rfc3339(since).into());
        }
        if !self.context.is_empty() {
            out.insert("context".into(), self.context.clone().into());
        }
        if !self.others.is_empty() {
            let others = self
                .others
                .iter()
                .map(|other| serde_json::json!({"from": other.from, "id": other.id}));
            out.insert("others".into(), others.collect());
        }
        out
    }

    fn of(stay: &Stay, state: UnitState, from: String) -> Self {
        Self {
            state,
            id: Some(stay.id.clone()),
            from: Some(from),
            since: Some(stay.from.wall),
            context: stay.context.clone(),
            others: Vec::new(),
        }
    }

    fn named_by_device(id: &str) -> Self {
        Self {
            state: UnitState::Bound,
            id: Some(id.to_owned()),
            from: Some(UnitSource::Device.word()),
            ..Self::unbound()
        }
    }
}

impl Station {
    /// Binds what happened after `low` (`None`: not known) and up to `high`.
    pub(super) fn bind(&self, draft: &Draft, low: Option<i64>, high: i64, scale: Scale) -> Binding {
        let late = i64::try_from(self.rule.late.as_millis()).unwrap_or(i64::MAX);
        let own = self.own_identification(draft);
        let words: Vec<(usize, Word<'_>)> = self
            .said
            .iter()
            .enumerate()
            .filter_map(|(rank, said)| {
                // What a slot identifies is its own word, not something that happened before it came.
                let low = if own == Some(rank) { Some(high) } else { low };
                Some((rank, said.word(low, high, late, scale)?))
            })
            .collect();
        let echo = draft.echo.as_ref().filter(|echo| own.is_none() && self.counts(echo));
        let mut binding = self.agree(&words);
        if let Some(echo) = echo {
            binding = self.compare(binding, echo, &words);
        }
        binding
    }

    /// The rank of the slot itself, where the draft is an identification by a source.
    fn own_identification(&self, draft: &Draft) -> Option<usize> {
        (draft.kind == EventType::Identification)
            .then(|| self.rank(&UnitSource::Slot(draft.slot.slot.clone())))
            .flatten()
    }

    /// Whether an echo may be a unit; a part of an id cannot be held against the pattern.
    fn counts(&self, echo: &Echo) -> bool {
        !echo.value.is_empty() && (echo.how != EchoMatch::Exact || self.is_unit(&echo.value))
    }

    fn source_word(&self, rank: usize) -> String {
        self.rule.sources.get(rank).map(UnitSource::word).unwrap_or_default()
    }

    /// What the sources say together, without the device's echo.
    fn agree(&self, words: &[(usize, Word<'_>)]) -> Binding {
        let here = || words.iter().filter(|(_, word)| word.certainty != Certainty::Late);
        let Some((rank, first)) = here().next().or(words.first()) else {
            return Binding::unbound();
        };
        let state = match first.certainty {
            Certainty::Bound => UnitState::Bound,
            Certainty::Assumed => UnitState::Assumed,
            Certainty::Late => UnitState::Late,
        };
        let mut binding = Binding::of(first.stay, state, self.source_word(*rank));
        if state == UnitState::Late {
            return binding;
        }
        let others = here().filter(|(_, word)| word.stay.id != first.stay.id);
        binding.others = others
            .map(|(rank, word)| Other {
                from: self.source_word(*rank),
                id: word.stay.id.clone(),
            })
            .collect();
        if !binding.others.is_empty() {
            binding.state = UnitState::Conflict;
        } else if let Some((rank, _)) = here().find(|(_, word)| word.certainty == Certainty::Bound) {
            binding.state = UnitState::Bound;
            binding.from = Some(self.source_word(*rank));
        }
        binding
    }

    fn compare(&self, binding: Binding, echo: &Echo, words: &[(usize, Word<'_>)]) -> Binding {
        let exact = echo.how == EchoMatch::Exact;
        let device = self.rank(&UnitSource::Device).filter(|_| exact);
        let Some(id) = binding.id.clone() else {
            return match device {
                Some(_) => Binding::named_by_device(&echo.value),
                None => binding,
            };
        };
        if matches(echo, &id) {
            return self.confirmed(binding, device, exact);
        }
        // A neighbour in time that the device names, or a part of it; of several the last one.
        let neighbour = (binding.state == UnitState::Assumed)
            .then(|| {
                words.iter().find_map(|(rank, word)| {
                    let stay = word.neighbours.iter().rfind(|stay| matches(echo, &stay.id))?;
                    Some((*rank, *stay))
                })
            })
            .flatten();
        if let Some((rank, stay)) = neighbour {
            let picked = Binding::of(stay, UnitState::Assumed, self.source_word(rank));
            return self.confirmed(picked, device, exact);
        }
        if device.is_some() && binding.state == UnitState::Late {
            return Binding::named_by_device(&echo.value);
        }
        self.disagree(binding, echo, device)
    }

    /// The device named the unit that was known.
    fn confirmed(&self, mut binding: Binding, device: Option<usize>, exact: bool) -> Binding {
        let by_device = match binding.state {
            UnitState::Assumed if exact => {
                binding.state = UnitState::Bound;
                device.is_some()
            }
            UnitState::Late if device.is_some() => {
                binding.state = UnitState::Bound;
                true
            }
            UnitState::Bound | UnitState::Conflict => {
                let named_by = self
                    .rule
                    .sources
                    .iter()
                    .position(|source| Some(source.word()) == binding.from);
                device.is_some_and(|device| named_by.is_none_or(|rank| device < rank))
            }
            _ => false,
        };
        if by_device {
            binding.from = Some(UnitSource::Device.word());
        }
        binding
    }

    /// The device named another unit than the one known: the most trusted one's counts.
    fn disagree(&self, mut binding: Binding, echo: &Echo, device: Option<usize>) -> Binding {
        let named_by = self
            .rule
            .sources
            .iter()
            .position(|source| Some(source.word()) == binding.from);
        let first = device.is_some_and(|device| named_by.is_none_or(|rank| device < rank));
        if first {
            let mut others = vec![Other {
                from: binding.from.take().unwrap_or_default(),
                id: binding.id.take().unwrap_or_default(),
            }];
            others.extend(binding.others.into_iter().filter(|other| other.id != echo.value));
            return Binding {
                state: UnitState::Conflict,
                others,
                ..Binding::named_by_device(&echo.value)
            };
        }
        binding.state = UnitState::Conflict;
        binding.others.push(Other {
            from: UnitSource::Device.word(),
            id: echo.value.clone(),
        });
        binding
    }
}

fn matches(echo: &Echo, id: &str) -> bool {
    let part = echo.value.as_str();
    match echo.how {
        EchoMatch::Exact => id == part,
        EchoMatch::Prefix => id.starts_with(part),
        EchoMatch::Suffix => id.ends_with(part),
        EchoMatch::Contains => id.contains(part),
    }
}
