//! Stays of units as one source told them, and when that source was there to tell.
//!
//! Owns the order of stays and the two scales of time they are kept on. Does not own which source
//! is believed ([`super`]).

use crate::model::{Fields, Moment};
use serde::{Deserialize, Serialize};

/// Stays kept of one source.
const KEPT: usize = 64;

/// An instant: of this run by its tick, of an earlier run by its wall time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Point {
    /// Wall milliseconds.
    pub(super) wall: i64,
    /// Milliseconds since boot, may lie before it.
    #[serde(skip)]
    pub(super) tick: Option<i64>,
    /// The wall time is the MES's own word and does not step with our clock.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) said: bool,
}

impl Point {
    pub(super) fn of(at: Moment) -> Self {
        Self {
            wall: at.wall,
            tick: Some(tick(at)),
            said: false,
        }
    }

    /// A wall time that the MES named at `at`.
    pub(super) fn said(wall: i64, at: Moment) -> Self {
        Self {
            wall,
            tick: Some(position(wall, at)),
            said: true,
        }
    }
}

pub(super) fn tick(at: Moment) -> i64 {
    i64::try_from(at.tick).unwrap_or(i64::MAX)
}

/// Where a wall time lies on the scale of ticks, as the clock stands at `now`.
pub(super) fn position(wall: i64, now: Moment) -> i64 {
    tick(now).saturating_sub(now.wall.saturating_sub(wall))
}

/// How points are laid on the scale of ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// Now, or when something was seen.
    pub(super) now: Moment,
    /// First tick of this run: all that is stored was before it, whatever the wall clock did meanwhile.
    pub(super) first: i64,
}

impl Scale {
    pub(super) fn at(self, point: Point) -> i64 {
        point
            .tick
            .unwrap_or_else(|| position(point.wall, self.now).min(self.first.saturating_sub(1)))
    }
}

/// One unit at the station, from when to when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Stay {
    pub(super) id: String,
    /// From this instant on.
    pub(super) from: Point,
    /// Up to before this instant; `None`: still there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Point>,
    /// `entered` as it was said, believed or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) entered: Option<i64>,
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub(super) context: Fields,
}

/// How sure a source's word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certainty {
    Bound,
    Assumed,
    Late,
}

/// What one source says of a window of time.
#[derive(Debug)]
pub(super) struct Word<'a> {
    pub(super) stay: &'a Stay,
    pub(super) certainty: Certainty,
    /// All stays that the window touches, where the time is not sure enough to tell them apart.
    pub(super) neighbours: Vec<&'a Stay>,
}

/// What one source said, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Timeline {
    pub(super) stays: Vec<Stay>,
    /// From when on the source was there (true) or out of reach (false).
    #[serde(default)]
    alive: Vec<(Point, bool)>,
}

impl Timeline {
    /// The stay that has not ended.
    pub(super) fn current(&self) -> Option<&Stay> {
        self.stays.last().filter(|stay| stay.until.is_none())
    }

    pub(super) fn current_mut(&mut self) -> Option<&mut Stay> {
        self.stays.last_mut().filter(|stay| stay.until.is_none())
    }

    /// A unit came; whoever was there left at that instant at the latest.
    pub(super) fn enter(&mut self, stay: Stay, scale: Scale) {
        let from = stay.from;
        if let Some(last) = self.stays.last_mut()
            && last.until.is_none_or(|until| scale.at(until) > scale.at(from))
        {
            last.until = Some(from);
        }
        if self.stays.len() >= KEPT {
            self.stays.remove(0);
        }
        self.stays.push(stay);
    }

    /// The unit left. Whether one was there.
    pub(super) fn leave(&mut self, at: Point) -> bool {
        match self.current_mut() {
            Some(stay) => {
                stay.until = Some(at);
                true
            }
            None => false,
        }
    }

    /// A more trusted source says that from `at` on this unit is here, or none: another one that this source had
    /// named before is so no more.
    pub(super) fn overruled(&mut self, id: Option<&str>, at: Point, scale: Scale) {
        let moment = scale.at(at);
        let outdated = self
            .stays
            .iter_mut()
            .rfind(|stay| scale.at(stay.from) <= moment && stay.until.is_none_or(|until| scale.at(until) > moment));
        if let Some(stay) = outdated.filter(|stay| Some(stay.id.as_str()) != id) {
            stay.until = Some(at);
        }
    }

    /// The source came within reach, or went.
    pub(super) fn reach(&mut self, alive: bool, at: Point) {
        if self.alive.last().map(|(_, alive)| *alive) == Some(alive) {
            return;
        }
        if self.alive.len() >= KEPT {
            self.alive.remove(0);
        }
        self.alive.push((at, alive));
    }

    pub(super) fn is_alive(&self) -> bool {
        self.alive.last().is_some_and(|(_, alive)| *alive)
    }

    /// As it is after a restart: nothing is known of the source since `saved`.
    pub(super) fn restored(mut self, saved: i64) -> Self {
        let point = Point {
            wall: saved,
            tick: None,
            said: false,
        };
        self.reach(false, point);
        self
    }

    /// The wall clock stepped: what it had stamped in this run moves with it.
    pub(super) fn stepped(&mut self, by: i64) {
        let points = self
            .stays
            .iter_mut()
            .flat_map(|stay| std::iter::once(&mut stay.from).chain(stay.until.as_mut()))
            .chain(self.alive.iter_mut().map(|(point, _)| point));
        for point in points.filter(|point| point.tick.is_some() && !point.said) {
            point.wall = point.wall.saturating_add(by);
        }
    }

    /// Drops what can be spared most: the oldest ended stay, then the history of reach. Whether there was any.
    pub(super) fn shrink(&mut self) -> bool {
        if self.stays.len() > 1 {
            self.stays.remove(0);
            true
        } else if self.alive.len() > 1 {
            self.alive.remove(0);
            true
        } else if let Some(stay) = self.stays.first_mut().filter(|stay| !stay.context.is_empty()) {
            stay.context = Fields::new();
            true
        } else {
            false
        }
    }

    fn at(&self, position: i64, scale: Scale) -> Option<&Stay> {
        self.stays
            .iter()
            .rev()
            .find(|stay| scale.at(stay.from) <= position && stay.until.is_none_or(|until| scale.at(until) > position))
    }

    /// Whether the source was there all of the time from `low` to `high`.
    fn was_alive(&self, low: i64, high: i64, scale: Scale) -> bool {
        let mut alive = false;
        for (point, state) in &self.alive {
            let position = scale.at(*point);
            if position > high {
                break;
            }
            if position > low && !(alive && *state) {
                return false;
            }
            alive = *state;
        }
        alive
    }

    /// What the source says of the window after `low` (unknown: `None`) up to `high`.
    pub(super) fn word(&self, low: Option<i64>, high: i64, late: i64, scale: Scale) -> Option<Word<'_>> {
        let end = |stay: &Stay| stay.until.map(|until| scale.at(until));
        let now = self.at(high, scale);
        let inside = |position: i64| position <= high && low.is_none_or(|low| position > low);
        let last_change = self
            .stays
            .iter()
            .flat_map(|stay| [Some(scale.at(stay.from)), end(stay)])
            .flatten()
            .filter(|position| inside(*position))
            .max();
        // One that was overruled at the moment it came was never here. Of an earlier run, moments may lie together.
        let was_here = |stay: &Stay| stay.from.tick.is_none() || end(stay).is_none_or(|end| end > scale.at(stay.from));
        let overlaps = |stay: &&Stay| {
            let reaches = end(stay).is_none_or(|end| low.is_none_or(|low| end > low));
            scale.at(stay.from) <= high && reaches && was_here(stay)
        };
        match (low, last_change) {
            (Some(_), Some(change)) => {
                let before = self.at(change.saturating_sub(1), scale);
                // Nobody before and nobody behind: who came and left in between is the only one that it can be.
                let stay = before.or(now).or_else(|| self.stays.iter().rfind(overlaps))?;
                Some(Word {
                    stay,
                    certainty: Certainty::Assumed,
                    neighbours: self.stays.iter().filter(overlaps).collect(),
                })
            }
            (None, Some(_)) if now.is_some() => Some(Word {
                stay: now?,
                certainty: Certainty::Assumed,
                neighbours: self.stays.iter().filter(overlaps).collect(),
            }),
            _ => {
                if let Some(stay) = now {
                    let sure = self.was_alive(low.unwrap_or(high), high, scale);
                    return Some(Word {
                        stay,
                        certainty: if sure { Certainty::Bound } else { Certainty::Assumed },
                        neighbours: Vec::new(),
                    });
                }
                let left = self
                    .stays
                    .iter()
                    .rev()
                    .find(|stay| end(stay).is_some_and(|end| end <= high))?;
                let ago = high.saturating_sub(end(left)?);
                (ago <= late).then_some(Word {
                    stay: left,
                    certainty: Certainty::Late,
                    neighbours: Vec::new(),
                })
            }
        }
    }
}
