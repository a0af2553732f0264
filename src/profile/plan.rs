//! The read plan of a profile: what a driver is given. Owns fingerprints and what fits one request; reads nothing.

use super::Profile;
use super::events::Event;
use super::points::Point;
use crate::model::SlotName;
use crate::model::event::EventType;
use crate::model::plan::{Address, EventPlan, Link, ModbusLink, PointIx, Said, SlotPlan, Trigger};
use crate::model::value::hex;
use crate::wire::modbus;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// The plan for one slot.
pub(super) fn of(profile: &Profile, slot: &SlotName) -> SlotPlan {
    let points = &profile.points;
    let link = &profile.connection.link;
    let serial = super::telegrams::SERIAL;
    let events = profile.events.iter().map(|event| {
        let mut reads = event.reads(points);
        if matches!(link, Link::OpenProtocol(_)) {
            // Which controller it is belongs to every event.
            reads.extend(points.iter().position(|point| *point.name == *serial));
            reads.sort_unstable();
            reads.dedup();
        }
        let whole = link.modbus().is_none_or(|link| one_request(points, &reads, link));
        // A verdict and its value from two requests are read until they agree (interface 3).
        let unsure = event.kind == EventType::Measurement && !whole;
        // Each reading stands for itself: a live table over several requests need never agree.
        let single = event.kind == EventType::Readings;
        EventPlan {
            name: event.name.clone(),
            triggers: event.triggers.clone(),
            points: reads,
            id: event.id.clone(),
            ack: event.ack.clone(),
            stable: event.stable.unwrap_or(match (single, unsure) {
                (true, _) => 0,
                (false, true) => 2,
                (false, false) => 1,
            }),
            on_start: event.on_start,
            keep: event.keep,
            ring: event.ring.clone(),
            repeat: event.repeat,
            counted: event.counter.is_some(),
            fingerprint: fingerprint(profile, event),
        }
    });
    SlotPlan {
        slot: slot.clone(),
        link: link.clone(),
        points: points.iter().map(Point::plan).collect(),
        events: events.collect(),
        notices: profile.notices.clone(),
        alive: profile.alive.clone(),
    }
}

/// Whether all these points can come in one request.
pub(super) fn one_request(points: &[Point], reads: &[PointIx], link: &ModbusLink) -> bool {
    let mut found = reads
        .iter()
        .filter_map(|index| points.get(*index))
        .filter_map(|point| point.at.modbus());
    let Some(first) = found.next() else { return true };
    if first.clears && reads.len() > 1 {
        return false;
    }
    let end = |point: &crate::model::plan::ModbusPoint| u32::from(point.address) + u32::from(modbus::span(point));
    let mut spans = vec![(u32::from(first.address), end(first))];
    for point in found {
        if point.table != first.table || point.clears {
            return false;
        }
        spans.push((u32::from(point.address), end(point)));
    }
    spans.sort_unstable();
    let low = spans.first().map_or(0, |span| span.0);
    let mut high = low;
    for (start, stop) in spans {
        if start > high + u32::from(link.max_gap) {
            return false;
        }
        high = high.max(stop);
    }
    let most = if first.table.is_bits() {
        link.max_bits
    } else {
        link.max_registers
    };
    high - low <= u32::from(most)
}

/// Of device, triggers and id: a trigger state stored under another is not carried over.
/// Addresses of the trigger's and the id's points belong to it, and what a frame is taken apart by; connection, poll and
/// mapping do not.
fn fingerprint(profile: &Profile, event: &Event) -> String {
    let (device, points, link) = (&profile.identity, &profile.points, &profile.connection.link);
    let mut text = format!("{:?}\n{:?}\n{:?}\n", device.vendor, device.model, device.serial);
    if let Link::Framed(link) = link {
        let wrote = writeln!(text, "{:?} {:?}", link.parse.pattern, link.parse.separator);
        debug_assert!(wrote.is_ok());
    }
    let mut name = |label: &str, found: &[PointIx], more: &str| {
        text.push_str(label);
        for point in found.iter().filter_map(|index| points.get(*index)) {
            let wrote = match &point.at {
                Address::Modbus(at) => write!(
                    text,
                    " {}:{}:{}:{:?}:{:?}:{:?}",
                    at.table.word(),
                    at.address,
                    at.kind.width(),
                    at.kind,
                    at.order,
                    at.bits
                ),
                Address::Field(field) => write!(text, " {field}"),
                Address::Frame(at) => write!(text, " {:?}:{:?}", at.place, at.kind),
                Address::Opcua(at) => write!(text, " {at}"),
            };
            debug_assert!(wrote.is_ok());
        }
        text.push_str(more);
        text.push('\n');
    };
    for trigger in &event.triggers {
        match trigger {
            Trigger::Changes(found) | Trigger::ChangesAny { points: found, .. } => name("changes", found, ""),
            Trigger::Rises(point) => name("rises", &[*point], ""),
            Trigger::Falls(point) => name("falls", &[*point], ""),
            Trigger::Equals(point, raw) => name("equals", &[*point], &raw.text()),
            Trigger::Reads(point, raw) => name("reads", &[*point], &raw.text()),
            Trigger::Every(_) => name("every", &[], ""),
            Trigger::Said(Said::Event(number)) => {
                let notice = profile.notices.get(usize::from(*number));
                let more = notice.map(|notice| format!(" {} {}", notice.event_type, notice.notifier));
                name("event", &[], &more.unwrap_or_default());
            }
            Trigger::Said(said) => name(said.word(), &[], ""),
        }
    }
    if let Some(ring) = &event.ring {
        let more = format!(" {} {} {:?} {}", ring.slots, ring.stride, ring.wraps, ring.newest);
        name("ring", &[ring.index], &more);
    }
    name("id", &event.id, "");
    hex(Sha256::digest(text.as_bytes()).get(..16).unwrap_or_default())
}
