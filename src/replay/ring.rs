//! Ring buffers in a record: the machine of the driver ([`Poller`]) follows them, and each of its reads is answered by what the
//! record read next.
//!
//! Owns how a read is put together from exchanges, and when it is given up: a record whose reader never came to a place.

use super::picture::points;
use crate::model::plan::{Address, Link, ModbusPoint, PointIx, SlotPlan, Table};
use crate::model::{Moment, Raw, Sample};
use crate::watch::{Out, Poller, Step};
use crate::wire::modbus::pdu::{Answer, Ask};
use crate::wire::modbus::{decode_words, span};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// Looks at the index before a place that is not read is given up.
const PATIENCE: u32 = 20;
/// Steps that one exchange may answer.
const STEPS: usize = 10_000;

/// What the machine asks for.
struct Wanted {
    points: Arc<[PointIx]>,
    shift: u16,
    asked: Moment,
    /// Registers and bits that were read since.
    words: HashMap<(Table, u16), u16>,
    /// How often the index was read since.
    looks: u32,
}

/// One event that a ring tells.
pub(super) struct Following {
    plan: Arc<SlotPlan>,
    index: usize,
    /// A plan with this event alone, whose machine is never early.
    alone: Arc<SlotPlan>,
    poller: Poller,
    wanted: Option<Wanted>,
    /// Points that the record holds nowhere in the ring.
    absent: BTreeSet<PointIx>,
    happened: Vec<Sample>,
    torn: Vec<(u64, String)>,
}

impl Following {
    /// `None`: no ring. `reads`: every table, first register and number of registers that the record reads.
    pub(super) fn new(plan: &Arc<SlotPlan>, index: usize, reads: &[(Table, u16, u16)]) -> Option<Self> {
        let event = plan.events.get(index)?;
        let ring = event.ring.as_ref()?;
        let mut alone = (**plan).clone();
        let mut only = event.clone();
        // Whoever recorded has acknowledged, or not.
        only.ack = None;
        alone.events = vec![only];
        alone.alive = None;
        if let Link::Modbus(link) = &mut alone.link {
            link.poll = Duration::ZERO;
        }
        let alone = Arc::new(alone);
        let mut absent = BTreeSet::new();
        for point in points(event) {
            let Some(at) = registers(plan, point) else { continue };
            let begins = |slot: u16| at.address.checked_add(slot.saturating_mul(ring.stride));
            let slots = if point == ring.index { 1 } else { ring.slots };
            let is_read = (0..slots).filter_map(begins).any(|address| covers(reads, at, address));
            if !is_read {
                absent.insert(point);
            }
        }
        Some(Self {
            plan: plan.clone(),
            index,
            poller: machine(&alone),
            alone,
            wanted: None,
            absent,
            happened: Vec::new(),
            torn: Vec::new(),
        })
    }

    /// Its name in the profile.
    pub(super) fn name(&self) -> &str {
        self.plan.events.get(self.index).map_or("", |event| &event.name)
    }

    /// Points of the event that the record does not hold.
    pub(super) fn absent(&self) -> &BTreeSet<PointIx> {
        &self.absent
    }

    /// Whether the record holds its index.
    pub(super) fn is_blind(&self) -> bool {
        let ring = self.plan.events.get(self.index).and_then(|event| event.ring.as_ref());
        ring.is_none_or(|ring| self.absent.contains(&ring.index))
    }

    pub(super) fn drain(&mut self) -> Vec<Sample> {
        std::mem::take(&mut self.happened)
    }

    pub(super) fn end(&mut self) -> Vec<(u64, String)> {
        std::mem::take(&mut self.torn)
    }

    /// The connection was lost, or lines are missing.
    pub(super) fn broken(&mut self) {
        self.wanted = None;
        self.poller.link_lost();
    }

    /// The next exchange.
    pub(super) fn take(&mut self, now: Moment, sent: &[u8], got: &[u8]) {
        let Some(ask) = Ask::parse_read(sent) else { return };
        let (Ask::Read { table, address, .. }, Ok(Answer::Words(words))) = (&ask, ask.decode(got)) else {
            return;
        };
        let mut last = None;
        for _ in 0..STEPS {
            if self.wanted.is_none() && !self.ask(now) {
                return;
            }
            let Some(wanted) = &mut self.wanted else { return };
            let step = (wanted.points.clone(), wanted.shift);
            if last.as_ref() == Some(&step) {
                // The same again is a later look.
                return;
            }
            for (offset, word) in (0_u16..).zip(&words) {
                if let Some(address) = address.checked_add(offset) {
                    wanted.words.insert((*table, address), *word);
                }
            }
            let Some(values) = read(&self.plan, wanted, &self.absent) else {
                self.give_up(*table, *address, words.len());
                return;
            };
            let asked = wanted.asked;
            self.wanted = None;
            self.poller.read_done(asked, now, &values, &[]);
            self.report(now);
            last = Some(step);
        }
    }

    /// Lets the machine say what it reads next. `false`: nothing now.
    fn ask(&mut self, now: Moment) -> bool {
        for _ in 0..STEPS {
            match self.poller.next(now) {
                Step::Read { points, .. } if points.is_empty() => {
                    let none = vec![None; self.plan.points.len()];
                    self.poller.read_done(now, now, &none, &[]);
                    self.report(now);
                }
                Step::Read { points, shift, .. } => {
                    self.wanted = Some(Wanted {
                        points,
                        shift,
                        asked: now,
                        words: HashMap::new(),
                        looks: 0,
                    });
                    return true;
                }
                Step::Write { .. } => self.poller.write_done(now, Ok(())),
                Step::Wait(_) => return false,
            }
        }
        false
    }

    fn report(&mut self, now: Moment) {
        for out in self.poller.take() {
            let ticket = match out {
                Out::Happened(happened) => {
                    self.happened.push(Sample {
                        since: happened.since,
                        ..Sample::picture(
                            &self.plan,
                            self.index,
                            happened.happening.values,
                            happened.happening.before,
                            happened.seen,
                        )
                    });
                    happened.ticket
                }
                Out::State { ticket, .. } => ticket,
                Out::Alarm { .. } => None,
            };
            if let Some(ticket) = ticket {
                self.poller.answered(now, ticket, true);
            }
        }
    }

    /// Whoever recorded does not come to what is wanted: it begins again from where the index is then.
    fn give_up(&mut self, table: Table, address: u16, count: usize) {
        let ring = self.plan.events.get(self.index).and_then(|event| event.ring.as_ref());
        let index = ring.and_then(|ring| registers(&self.plan, ring.index));
        let count = u16::try_from(count).unwrap_or(u16::MAX);
        let looked = index.is_some_and(|at| covers(&[(table, address, count)], at, at.address));
        let Some(wanted) = self.wanted.as_mut().filter(|_| looked) else {
            return;
        };
        wanted.looks += 1;
        if wanted.looks < PATIENCE {
            return;
        }
        let slot = ring.map_or(0, |ring| wanted.shift / ring.stride.max(1));
        let name = self.alone.events.first().map_or("", |event| &event.name);
        self.torn.push((
            wanted.asked.tick.saturating_sub(1),
            format!(
                "[events.{name}] made no event: record {slot} of its ring was not read behind the change of its index"
            ),
        ));
        self.poller = machine(&self.alone);
        self.wanted = None;
    }
}

fn machine(alone: &Arc<SlotPlan>) -> Poller {
    // What stands in one answer is found together all the same.
    Poller::new(alone.clone(), &HashMap::new(), &|_| false)
}

fn registers(plan: &SlotPlan, point: PointIx) -> Option<&ModbusPoint> {
    match &plan.points.get(point)?.at {
        Address::Modbus(at) => Some(at),
        _ => None,
    }
}

/// Whether one of these reads holds all of a point that begins at this address; of a point of several reads its begin counts.
fn covers(reads: &[(Table, u16, u16)], at: &ModbusPoint, address: u16) -> bool {
    reads.iter().any(|(table, first, count)| {
        *table == at.table && *first <= address && u32::from(address) < u32::from(*first) + u32::from(*count)
    })
}

/// What is wanted, once all of it was read.
fn read(plan: &SlotPlan, wanted: &Wanted, absent: &BTreeSet<PointIx>) -> Option<Vec<Option<Raw>>> {
    let mut values = vec![None; plan.points.len()];
    for point in wanted.points.iter().filter(|point| !absent.contains(point)) {
        let Some(at) = registers(plan, *point) else { continue };
        let first = at.address.checked_add(wanted.shift)?;
        let words: Option<Vec<u16>> = (0..span(at))
            .map(|offset| wanted.words.get(&(at.table, first.checked_add(offset)?)).copied())
            .collect();
        if let Some(slot) = values.get_mut(*point) {
            *slot = decode_words(at, &words?);
        }
    }
    Some(values)
}
