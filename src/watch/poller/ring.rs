//! A ring buffer, read record by record: what is new, what was overwritten, and what a device shows that began again.
//!
//! Owns the steps; the arithmetic is [`crate::watch::ring`]'s. Each record is read between two looks at the index, and
//! counts only if the device had not come round to it by then.

use super::mode::Pending;
use super::{Phase, Poller, TRIES};
use crate::model::plan::OnStart;
use crate::model::{Moment, Raw};
use crate::watch::ring::{self, Turns};
use crate::watch::track::{ids, valid};

/// The record of a ring that is being read.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// The index before it.
    from: u64,
    /// The device's index when it was last looked at.
    now: u64,
    /// By how many registers it lies behind the first.
    pub(super) shift: u16,
    /// It is read to find out whether the device still has it: the one taken last.
    proves: bool,
    /// Records that were never written may be among those to come.
    blanks: bool,
    /// How often in a row the device was ahead of the reading.
    overruns: u8,
}

impl Record {
    /// The one that follows index `from`; the device's is `now`.
    fn new(turns: Turns, from: u64, now: u64, blanks: bool) -> Self {
        Self {
            from,
            now,
            shift: turns.shift(from),
            proves: false,
            blanks,
            overruns: 0,
        }
    }
}

impl Poller {
    /// A look at the index of a ring. Whether there is something to read; else it is an ordinary look.
    pub(super) fn look_ring(&mut self, event: usize, now: Moment, values: &[Option<Raw>]) -> bool {
        let plan = self.plan.clone();
        let (Some(of), Some(track)) = (plan.events.get(event), self.tracks.get_mut(event)) else {
            return false;
        };
        let Some(ring) = &of.ring else { return false };
        if !track.primed {
            return self.first_ring(event, now, values);
        }
        let last = ring::number(track.last.first().and_then(Option::as_ref));
        let (Some(last), Some(index)) = (last, ring::number(valid(&plan, ring.index, values))) else {
            return false;
        };
        let turns = Turns::new(&plan, ring, last, index);
        // A device that waits for its acknowledgements overwrites nothing that was not taken.
        let proves = track.recheck && track.taken.is_some() && of.ack.is_none();
        if !proves && turns.between(last, index) == 0 {
            return false;
        }
        let from = if proves {
            turns.back(last)
        } else {
            turns.reachable(last, index).0
        };
        let record = Record {
            proves,
            ..Record::new(turns, from, index, false)
        };
        let since = self.looked.get(event).copied().flatten();
        self.read_record(event, now, since, record);
        true
    }

    /// The first look ever: a baseline, unless what is there is wanted or stands unacknowledged.
    fn first_ring(&mut self, event: usize, now: Moment, values: &[Option<Raw>]) -> bool {
        let plan = self.plan.clone();
        let (Some(of), Some(track)) = (plan.events.get(event), self.tracks.get_mut(event)) else {
            return false;
        };
        let Some((ring, index)) = of.ring.as_ref().and_then(|ring| {
            let index = ring::number(valid(&plan, ring.index, values))?;
            Some((ring, index))
        }) else {
            return false;
        };
        if !track.look(&plan, of, now.tick, values).fires {
            return false;
        }
        let taken = of
            .ack
            .as_ref()
            .and_then(|ack| ring::number(values.get(ack.write)?.as_ref()));
        let turns = Turns::new(&plan, ring, taken.unwrap_or(index), index);
        let from = match (of.on_start, taken) {
            (OnStart::Baseline, Some(taken)) => turns.reachable(taken, index).0,
            _ => turns.oldest(index),
        };
        track.primed = true;
        track.last = vec![Some(ring::raw(from))];
        self.read_record(event, now, None, Record::new(turns, from, index, true));
        true
    }

    fn read_record(&mut self, event: usize, now: Moment, since: Option<Moment>, record: Record) {
        let pending = Pending {
            seen: Some(now),
            since,
            before: Some(Vec::new()),
            not_before: now.tick,
            record: Some(record),
            ..Pending::default()
        };
        self.set(event, Phase::Reading(Box::new(pending)));
    }

    /// The index behind a record was read, and the record with it.
    pub(super) fn behind_record(&mut self, event: usize, now: Moment, values: &[Option<Raw>]) {
        let plan = self.plan.clone();
        let (Some(of), Some(Phase::Reading(pending)), Some(track)) = (
            plan.events.get(event),
            self.phases.get_mut(event),
            self.tracks.get_mut(event),
        ) else {
            return;
        };
        let (Some(ring), Some(record), Some(mut reading)) = (&of.ring, pending.record.clone(), pending.fresh.take())
        else {
            return;
        };
        let since = pending.since;
        let first = pending.seen.unwrap_or(now);
        let last = ring::number(track.last.first().and_then(Option::as_ref)).unwrap_or(0);
        let Some(index) = ring::number(valid(&plan, ring.index, values)) else {
            pending.not_before = now.tick.saturating_add(self.poll);
            return;
        };
        let turns = Turns::new(&plan, ring, last, index);
        if record.proves {
            // The record taken last is where it was: the index tells the rest. Else the device went round, or began again.
            let there = track.taken.as_ref() == Some(&ids(of, &reading));
            track.recheck = false;
            if there && turns.between(last, index) == 0 {
                self.set(event, Phase::Idle);
                return;
            }
            let from = if there || turns.counts() && index < last {
                turns.reachable(last, index).0
            } else {
                turns.oldest(index)
            };
            self.read_record(event, now, since, Record::new(turns, from, index, !there));
            return;
        }
        // While it was read the device may have come round to it, and began to write it when it was one short of that.
        let moved = turns.between(record.now, index) > 0;
        let reached = moved && (record.blanks && !turns.counts() || turns.between(record.from, index) == turns.slots());
        let (oldest, overrun) = turns.reachable(record.from, index);
        if reached || overrun {
            let from = if reached { turns.next(record.from) } else { oldest };
            let overruns = record.overruns.saturating_add(1);
            if let Some(restless) = self.restless.get_mut(event) {
                *restless |= overruns >= TRIES;
            }
            let record = Record {
                overruns,
                ..Record::new(turns, from, index, record.blanks)
            };
            self.read_record(event, now, since, record);
            return;
        }
        if let Some(restless) = self.restless.get_mut(event) {
            *restless = false;
        }
        let next = turns.next(record.from);
        if record.blanks && ring::is_blank(&reading) {
            if let Some(last) = track.last.first_mut() {
                *last = Some(ring::raw(next));
            }
        } else {
            let prior = Some(track.state(of));
            let before = track.before(plan.points.len());
            track.took_record(of, next, &mut reading);
            self.happened(event, since, first, reading, before, prior);
        }
        if matches!(self.phases.get(event), Some(Phase::Committing(_))) {
            // The acknowledgement first; then on at once.
            self.next_poll = self.next_poll.min(now.tick);
        } else if turns.between(next, index) > 0 {
            self.read_record(event, now, since, Record::new(turns, next, index, record.blanks));
        } else {
            self.set(event, Phase::Idle);
        }
    }
}
