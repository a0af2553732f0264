//! The queues: reading on, what the broker acknowledged, what it refused, what goes to make room.
//! Owns the delivered pointer of each topic. Nothing here syncs: a pointer that is lost means a redelivery.

use super::append::record_tally;
use super::frame::{Head, Reader, decode_head, event_key, parse_event_key, rejected_key, seal, unseal};
use super::index::{Topic, record_bytes};
use super::store::Change;
use super::types::{Dropped, Entry, OutboxError, Stored, Tally, WhenFull};
use super::{Outbox, disk};
use std::ops::{Bound, ControlFlow};

/// Bytes of rejected events that are kept; the oldest go first.
const KEEP_REJECTED: u64 = 8 << 20;
/// Events that one call of [`Outbox::make_room`] drops at most.
const DROP_AT_ONCE: u64 = 4_096;
const LONGEST_REASON: usize = 512;

impl Outbox {
    /// What waits on a topic behind `after` and behind what is delivered, in order, without a hole: events, and the
    /// numbers of those that are damaged. At most `max_events` entries; about `max_bytes` of bodies, but one at least.
    ///
    /// Only what is known to be durable is seen.
    pub fn read(
        &self,
        topic: &str,
        after: u64,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, OutboxError> {
        self.ready()?;
        let Some(topic) = self.index.find(topic) else {
            return Ok(Vec::new());
        };
        let after = after.max(topic.delivered);
        self.entries(topic, after, topic.sealed - 1, max_events, max_bytes)
    }

    /// Delivered events that are still kept, from `from` to `to`, both included, for who asks again. Numbers that are
    /// no longer kept come as [`Entry::Damaged`] only where they lie between others.
    pub fn sent(
        &self,
        topic: &str,
        from: u64,
        to: u64,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, OutboxError> {
        self.ready()?;
        let Some(topic) = self.index.find(topic) else {
            return Ok(Vec::new());
        };
        let last = to.min(topic.delivered);
        let Some(first) = self.first_event(topic.id, from.saturating_sub(1), last)? else {
            return Ok(Vec::new());
        };
        self.entries(topic, first.sequence - 1, last, max_events, max_bytes)
    }

    /// The entries with sequences above `after`, up to `last`.
    pub(super) fn entries(
        &self,
        topic: &Topic,
        after: u64,
        last: u64,
        max_events: usize,
        max_bytes: usize,
    ) -> Result<Vec<Entry>, OutboxError> {
        let mut gather = Gather {
            entries: Vec::new(),
            expected: after.saturating_add(1),
            open: None,
            bytes: 0,
            max_events,
            max_bytes,
        };
        if gather.expected > last || max_events == 0 {
            return Ok(Vec::new());
        }
        let from = event_key(topic.id, after, u16::MAX);
        let to = event_key(topic.id, last, u16::MAX);
        let mut ended = true;
        let scanned = self
            .store
            .range(Bound::Excluded(&from), Bound::Included(&to), &mut |key, value| {
                let Some((_, sequence, part)) = parse_event_key(key) else {
                    return ControlFlow::Continue(());
                };
                if gather.open.as_ref().is_some_and(|open| open.sequence != sequence) {
                    self.finish(&mut gather);
                }
                if gather.full() {
                    ended = false;
                    return ControlFlow::Break(());
                }
                gather.record(sequence, part, unseal(key, value));
                ControlFlow::Continue(())
            });
        self.watch(scanned)?;
        if ended {
            self.finish(&mut gather);
            if !gather.full() {
                gather.damaged_up_to(last);
            }
        }
        Ok(gather.entries)
    }

    /// Ends the event that is being put together.
    fn finish(&self, gather: &mut Gather) {
        let Some(open) = gather.open.take() else { return };
        gather.damaged_up_to(open.sequence - 1);
        if gather.full() {
            return;
        }
        match open.head {
            Some(head) if open.whole && open.parts == head.parts && open.body.len() == head.length as usize => {
                gather.bytes += open.body.len();
                gather.expected = open.sequence + 1;
                gather.entries.push(Entry::Event(Stored {
                    sequence: open.sequence,
                    id: head.id,
                    kind: head.kind,
                    slot: head.slot,
                    body: open.body,
                    stored_at: self.moment(head.wall, head.powered),
                }));
            }
            _ => gather.damaged_up_to(open.sequence),
        }
    }

    /// The broker has everything on `topic` up to and including `through`. Events become sent, and are kept as long
    /// as `keep_sent` allows.
    pub fn delivered(&mut self, topic: &str, through: u64) -> Result<(), OutboxError> {
        self.ready()?;
        let Some(found) = self.index.find(topic) else {
            return Ok(());
        };
        let through = through.min(found.sealed - 1);
        if through <= found.delivered {
            return Ok(());
        }
        let tally = self.tally(found.id, found.delivered, through)?;
        if let Some(topic) = self.index.find_mut(topic) {
            topic.waiting.take(tally);
            topic.sent.add(tally);
            topic.delivered = through;
            topic.dirty = true;
            topic.head.set(None);
        }
        Ok(())
    }

    /// The last sequence of `topic` that is delivered, refused or dropped; `None` where it never had an event.
    #[must_use]
    pub fn delivered_on(&self, topic: &str) -> Option<u64> {
        self.index.find(topic).map(|topic| topic.delivered)
    }

    /// Counts the events above `after` up to `last`.
    fn tally(&self, id: u32, after: u64, last: u64) -> Result<Tally, OutboxError> {
        let mut tally = Tally::default();
        let from = event_key(id, after, u16::MAX);
        let to = event_key(id, last, u16::MAX);
        let scanned = self
            .store
            .range(Bound::Excluded(&from), Bound::Included(&to), &mut |key, value| {
                tally.add(record_tally(key, value));
                ControlFlow::Continue(())
            });
        self.watch(scanned)?;
        Ok(tally)
    }

    /// The broker refused this event for good, and everything before it on its topic is settled. It leaves the queue
    /// and is kept as rejected, within bounds.
    ///
    /// # Errors
    /// [`OutboxError::NotFirst`] where events before it wait: they would count as delivered.
    pub fn reject(&mut self, topic: &str, sequence: u64, reason: &str) -> Result<(), OutboxError> {
        self.ready()?;
        let Some(found) = self.index.find(topic) else {
            return Ok(());
        };
        if sequence <= found.delivered || sequence >= found.sealed {
            return Ok(());
        }
        let (id, name) = (found.id, found.name.clone());
        if let Some(first) = self.head(found)?.filter(|first| first.sequence < sequence) {
            return Err(OutboxError::NotFirst {
                topic: name,
                sequence,
                first: first.sequence,
            });
        }
        let mut changes = Vec::new();
        let mut taken = Tally::default();
        let mut parts = Vec::new();
        let from = event_key(id, sequence, 0);
        let to = event_key(id, sequence, u16::MAX);
        let scanned = self
            .store
            .range(Bound::Included(&from), Bound::Included(&to), &mut |key, value| {
                taken.add(record_tally(key, value));
                changes.push((key.to_vec(), None));
                parts.extend(unseal(key, value).map(<[u8]>::to_vec));
                ControlFlow::Continue(())
            });
        self.watch(scanned)?;
        self.keep_rejected(id, sequence, reason, &parts, &mut changes)?;
        if let Some(topic) = self.index.find_mut(topic) {
            topic.waiting.take(taken);
            topic.delivered = sequence;
            topic.rejected += 1;
            topic.dirty = true;
            topic.head.set(None);
        }
        changes.extend(self.lazy_changes(false));
        let written = self.store.write(changes);
        self.watch(written)
    }

    fn keep_rejected(
        &mut self,
        id: u32,
        sequence: u64,
        reason: &str,
        parts: &[Vec<u8>],
        changes: &mut Vec<Change>,
    ) -> Result<(), OutboxError> {
        let mut end = reason.len().min(LONGEST_REASON);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let reason = reason.get(..end).unwrap_or_default();
        let mut title = id.to_be_bytes().to_vec();
        title.extend_from_slice(&sequence.to_be_bytes());
        title.extend_from_slice(&u16::try_from(reason.len()).unwrap_or(u16::MAX).to_be_bytes());
        title.extend_from_slice(reason.as_bytes());
        let order = self.index.next_rejected;
        let mut added = Tally { events: 1, bytes: 0 };
        for (part, payload) in (0u16..).zip(std::iter::once(&title).chain(parts)) {
            let key = rejected_key(order, part);
            let value = seal(&key, payload);
            added.bytes += record_bytes(&key, &value);
            changes.push((key.to_vec(), Some(value)));
        }
        self.index.next_rejected += 1;
        self.index.rejected.add(added);
        let mut over = self.index.rejected.bytes.saturating_sub(KEEP_REJECTED);
        if over == 0 {
            return Ok(());
        }
        let mut gone = Tally::default();
        let from = rejected_key(0, 0);
        let to = rejected_key(order, 0);
        let scanned = self
            .store
            .range(Bound::Included(&from), Bound::Excluded(&to), &mut |key, value| {
                let head = key.ends_with(&[0, 0]);
                // Whole events only.
                if over == 0 && head {
                    return ControlFlow::Break(());
                }
                let bytes = record_bytes(key, value);
                over = over.saturating_sub(bytes);
                gone.add(Tally {
                    events: u64::from(head),
                    bytes,
                });
                changes.push((key.to_vec(), None));
                ControlFlow::Continue(())
            });
        self.watch(scanned)?;
        self.index.rejected.take(gone);
        Ok(())
    }

    /// With [`WhenFull::DropOldest`], drops events that are too old, and the oldest of all topics until there is room
    /// again: a sixty-fourth of `max_bytes`. Bounded: asked again, it goes on. The caller commits a gap event for each
    /// answer, for which room is kept.
    pub fn make_room(&mut self) -> Result<Vec<Dropped>, OutboxError> {
        self.make_room_for(0)
    }

    /// As [`Self::make_room`], until events of so many bytes find room.
    pub fn make_room_for(&mut self, bytes: u64) -> Result<Vec<Dropped>, OutboxError> {
        self.ready()?;
        let need = disk(bytes.saturating_add(super::append::OVERHEAD));
        let mut dropped = Vec::new();
        if self.limits.when_full != WhenFull::DropOldest {
            return Ok(dropped);
        }
        let now = self.powered(self.clock.now());
        let oldest_kept = self.limits.max_age.map_or(0, |age| {
            now.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
        });
        let mut changes = Vec::new();
        let mut budget = DROP_AT_ONCE;
        while budget > 0 {
            let Some((place, first, until)) = self.oldest_head()? else {
                break;
            };
            let excess = self.excess(need);
            let aged = first.powered < oldest_kept;
            if excess == 0 && !aged {
                break;
            }
            let bound = if excess == 0 { until.min(oldest_kept - 1) } else { until };
            let cut = Cut {
                powered: bound,
                bytes: if excess == 0 { u64::MAX } else { excess },
                events: budget,
            };
            let Some(gone) = self.drop_from(place, &cut, &mut changes)? else {
                break;
            };
            budget = budget.saturating_sub(gone.count);
            dropped.push(gone);
        }
        if dropped.is_empty() {
            return Ok(dropped);
        }
        changes.extend(self.lazy_changes(false));
        let written = self.store.write(changes);
        self.watch(written)?;
        Ok(merge(dropped))
    }

    /// Bytes of waiting records that are too many for `need` bytes of disk to find room.
    fn excess(&self, need: u64) -> u64 {
        let room = need.max(self.limits.max_bytes / 64);
        let waiting = self.index.waiting().bytes;
        let over = disk(waiting).saturating_sub(self.limit().saturating_sub(room));
        let free = self.store.free().unwrap_or(0);
        let inside = self.store.file_bytes();
        // Where the disk is full, what is dropped makes room inside sled's file; below half the reserve nothing helps.
        let slack = inside.saturating_sub(disk(self.index.live_bytes()));
        let wanted = (8 << 20) + inside / 4 + room;
        let reserve = self.limits.reserve;
        let short = if free < reserve.saturating_add(room) && free >= reserve / 2 {
            wanted.saturating_sub(slack)
        } else {
            0
        };
        over.max(short).min(disk(waiting)) * 10 / super::DISK_TENTHS
    }

    /// The topic whose first waiting event is the oldest, and the age at which another topic's is.
    fn oldest_head(&self) -> Result<Option<(usize, super::First, u64)>, OutboxError> {
        let mut best: Option<(usize, super::First)> = None;
        let mut second = u64::MAX;
        for (place, topic) in self.index.topics.iter().enumerate() {
            let Some(first) = self.head(topic)? else { continue };
            match best {
                Some((_, known)) if known.powered <= first.powered => second = second.min(first.powered),
                _ => {
                    if let Some((_, known)) = best {
                        second = second.min(known.powered);
                    }
                    best = Some((place, first));
                }
            }
        }
        Ok(best.map(|(place, first)| (place, first, second)))
    }

    /// Removes waiting events of one topic from its front.
    fn drop_from(
        &mut self,
        place: usize,
        cut: &Cut,
        changes: &mut Vec<Change>,
    ) -> Result<Option<Dropped>, OutboxError> {
        let Some(topic) = self.index.topics.get(place) else {
            return Ok(None);
        };
        let from = event_key(topic.id, topic.delivered, u16::MAX);
        let to = event_key(topic.id, topic.sealed - 1, u16::MAX);
        let mut gone = Tally::default();
        let mut span: Option<(u64, u64)> = None;
        let scanned = self
            .store
            .range(Bound::Excluded(&from), Bound::Included(&to), &mut |key, value| {
                let Some((_, sequence, _)) = parse_event_key(key) else {
                    return ControlFlow::Continue(());
                };
                if span.is_none_or(|(_, last)| last != sequence) {
                    let powered = unseal(key, value)
                        .and_then(super::peek_times)
                        .map_or(0, |times| times.1);
                    let enough = gone.bytes >= cut.bytes || gone.events >= cut.events || powered > cut.powered;
                    if span.is_some() && enough {
                        return ControlFlow::Break(());
                    }
                }
                span = Some((span.map_or(sequence, |(first, _)| first), sequence));
                gone.add(record_tally(key, value));
                changes.push((key.to_vec(), None));
                ControlFlow::Continue(())
            });
        self.watch(scanned)?;
        let (Some((_, last)), Some(topic)) = (span, self.index.topics.get_mut(place)) else {
            return Ok(None);
        };
        let dropped = Dropped {
            topic: topic.name.clone(),
            // Damaged ones before it go with them: one gap tells of all.
            from: topic.delivered + 1,
            to: last,
            count: last - topic.delivered,
        };
        topic.waiting.take(gone);
        topic.dropped += dropped.count;
        topic.delivered = last;
        topic.dirty = true;
        topic.head.set(None);
        Ok(Some(dropped))
    }
}

/// Where dropping stops.
struct Cut {
    powered: u64,
    bytes: u64,
    events: u64,
}

/// One answer a topic: what was dropped of it in turns lies together.
fn merge(dropped: Vec<Dropped>) -> Vec<Dropped> {
    let mut merged: Vec<Dropped> = Vec::new();
    for one in dropped {
        match merged.iter_mut().find(|known| known.topic == one.topic) {
            Some(known) => {
                known.to = one.to;
                known.count += one.count;
            }
            None => merged.push(one),
        }
    }
    merged
}

/// Topic number, sequence and reason of a rejected event's first record.
pub(super) fn parse_rejected(payload: &[u8]) -> Option<(u32, u64, &str)> {
    let mut rest = Reader(payload);
    Some((rest.u32()?, rest.u64()?, rest.text()?))
}

/// An event being put together of its parts.
struct Open {
    sequence: u64,
    head: Option<Head>,
    body: Vec<u8>,
    parts: u16,
    whole: bool,
}

struct Gather {
    entries: Vec<Entry>,
    expected: u64,
    open: Option<Open>,
    bytes: usize,
    max_events: usize,
    max_bytes: usize,
}

impl Gather {
    fn full(&self) -> bool {
        self.entries.len() >= self.max_events || (!self.entries.is_empty() && self.bytes >= self.max_bytes)
    }

    fn record(&mut self, sequence: u64, part: u16, payload: Option<&[u8]>) {
        let open = self.open.get_or_insert(Open {
            sequence,
            head: None,
            body: Vec::new(),
            parts: 0,
            whole: true,
        });
        open.whole &= part == open.parts;
        open.parts = open.parts.saturating_add(1);
        match payload {
            None => open.whole = false,
            Some(payload) if part == 0 => match decode_head(payload) {
                Some((head, inline)) => {
                    open.head = Some(head);
                    open.body.extend_from_slice(inline);
                }
                None => open.whole = false,
            },
            Some(payload) => open.body.extend_from_slice(payload),
        }
    }

    /// Everything not yet told up to `last` is damaged.
    fn damaged_up_to(&mut self, last: u64) {
        if last < self.expected {
            return;
        }
        match self.entries.last_mut() {
            Some(Entry::Damaged { to, .. }) if *to + 1 == self.expected => *to = last,
            _ => self.entries.push(Entry::Damaged {
                from: self.expected,
                to: last,
            }),
        }
        self.expected = last + 1;
    }
}
