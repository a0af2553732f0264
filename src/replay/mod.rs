//! Replay: which events a profile makes of a record, and how those of two profiles differ. Pure.
//!
//! Owns how exchanges become pictures ([`picture`]) and how two lists of events are held against each other ([`differ`]).
//! The triggers are run by the same watcher as in the gateway, the fields by the same mapping.
//!
//! **No event of two moments.** A gateway reads what it wants when it wants; a record only has what was read then, maybe
//! by another profile. So each event of a profile has a *run*: reads one after another in which no guard point (trigger
//! or id; where there is neither, any point) shows two values. A value counts only when every guard point was read before
//! it (or with it) and again behind it (or with it) in the same run, or when one answer holds all points of the event.
//! Guards themselves count when there was a time in the run at which all of them stood.
//! What a trigger shows without that is waited for while it stands; when it goes, or goes on, it is told as torn.

pub mod differ;
mod opcua;
mod picture;
mod reads;
mod ring;
mod said;
#[cfg(test)]
mod tests;

use crate::model::plan::{EventPlan, Link, ModbusLink, SlotPlan, Trigger};
use crate::model::{Moment, Sample, SlotName};
use crate::profile::{Meaning, Profile, SlotContract, show};
use crate::record::{Record, What};
use picture::Picture;
use reads::Reader;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One event of a replay.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// When it was seen first, milliseconds since the record began.
    pub ms: u64,
    /// The same as wall time.
    pub wall: i64,
    /// What it says ([`show`]).
    pub json: serde_json::Value,
}

/// What a profile makes of a record.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Replayed {
    /// Events and quarantines, in order.
    pub events: Vec<Made>,
    /// What was turned away by `only` or `except`.
    pub ignored: u64,
    /// Changes that the record shows without a picture of one moment: when, and a sentence.
    pub torn: Vec<(u64, String)>,
    /// What a reader should know: points that the record does not hold, and the like.
    pub notes: Vec<String>,
}

/// Why a record cannot be replayed with a profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayFault {
    /// Of another family of protocols.
    #[error("the record is of {0}, the profile of {1}: what one says the other does not read")]
    Protocol(String, String),
    /// The profile cannot be used.
    #[error("{0}")]
    Profile(String),
    /// The record holds several servers, and not the profile's.
    #[error(
        "the record holds the servers {held}, but the profile asks server {asked}: set `server_id` in its [connection]"
    )]
    Server {
        /// Which the record holds.
        held: String,
        /// Which the profile asks.
        asked: u8,
    },
}

/// A contract for a profile that fills no slot: it asks nothing.
#[must_use]
pub fn nobody(profile: &Profile) -> SlotContract {
    SlotContract::asking_nothing(
        SlotName::new("no-station", "no-slot"),
        profile.connection_place().clone(),
    )
}

/// Runs `record` through `profile`, which fills the slot of `contract`.
///
/// # Errors
/// The record is of another protocol, or holds only other servers.
pub fn replay(record: &Record, profile: &Profile, contract: &SlotContract) -> Result<Replayed, ReplayFault> {
    if family(&record.header.protocol) != family(profile.protocol()) {
        return Err(ReplayFault::Protocol(
            record.header.protocol.clone(),
            profile.protocol().to_owned(),
        ));
    }
    let plan = Arc::new(profile.plan(&contract.slot));
    let mut made = Replayed {
        notes: record.notes.clone(),
        ..Replayed::default()
    };
    let link = match &plan.link {
        Link::Modbus(link) => link,
        Link::Opcua(_) => {
            let followed = self::opcua::follow(record, &plan);
            made.notes.extend(followed.notes);
            made.torn = followed.torn;
            for sample in &followed.samples {
                take(&mut made, profile, contract, sample);
            }
            return Ok(ended(made, record, &plan));
        }
        Link::Framed(_) | Link::OpenProtocol(_) => {
            let listened = said::listen(record, &plan)?;
            made.notes.extend(listened.notes());
            made.ignored = listened.ignored;
            for sample in &listened.samples {
                take(&mut made, profile, contract, sample);
            }
            return Ok(ended(made, record, &plan));
        }
    };
    let server = server(record, link, &mut made)?;
    let mut reader = Reader::new(&plan);
    let scanned = reader.scan(record, server);
    let reads = reads::reads(record, server);
    let mut rings: Vec<ring::Following> = (0..plan.events.len())
        .filter_map(|event| ring::Following::new(&plan, event, &reads))
        .collect();
    let used: BTreeSet<usize> = plan.events.iter().flat_map(picture::points).collect();
    let name = |point: &usize| plan.points.get(*point).map_or("", |point| &*point.name);
    let of_rings: BTreeSet<usize> = rings.iter().flat_map(|ring| ring.absent().iter().copied()).collect();
    let in_rings: BTreeSet<usize> = plan
        .events
        .iter()
        .filter(|event| event.ring.is_some())
        .flat_map(picture::points)
        .collect();
    let absent: Vec<String> = used
        .iter()
        .filter(|point| of_rings.contains(*point) || !in_rings.contains(*point) && !scanned.holds(**point))
        .map(|point| format!("`{}`", name(point)))
        .collect();
    if !absent.is_empty() {
        made.notes.push(format!(
            "the record does not hold {}: absent in every event",
            absent.join(", ")
        ));
    }
    made.notes.extend(scanned.refused.iter().cloned());
    let mut pictures: Vec<Picture> = (0..plan.events.len())
        .filter_map(|event| Picture::new(&plan, event, &scanned))
        .collect();
    for (picture, point) in pictures
        .iter()
        .filter_map(|picture| Some((picture, picture.blind(&scanned)?)))
    {
        made.notes.push(format!(
            "[events.{}] cannot happen: the record does not hold its trigger `{}`",
            picture.name(),
            name(&point)
        ));
    }
    for ring in rings.iter().filter(|ring| ring.is_blind()) {
        made.notes.push(format!(
            "[events.{}] cannot happen: the record does not hold the index of its ring",
            ring.name()
        ));
    }
    for line in &record.lines {
        let now = Moment::new(line.wall, line.ms.saturating_add(1));
        let seen = match &line.what {
            What::Exchange { server: of, sent, got } if *of == server => reader.read(sent, got.as_deref().ok()),
            What::Missed(_) | What::Link(_) => reads::Seen::Broken,
            _ => reads::Seen::Nothing,
        };
        for ring in &mut rings {
            match (&line.what, &seen) {
                (
                    What::Exchange {
                        sent,
                        got: Ok(got),
                        server: of,
                    },
                    reads::Seen::Read(_),
                ) if *of == server => {
                    ring.take(now, sent, got);
                }
                (_, reads::Seen::Broken) => ring.broken(),
                _ => {}
            }
            for sample in ring.drain() {
                take(&mut made, profile, contract, &sample);
            }
        }
        for picture in &mut pictures {
            picture.take(now, &seen);
            for sample in picture.drain() {
                take(&mut made, profile, contract, &sample);
            }
        }
    }
    for ring in &mut rings {
        made.torn.extend(ring.end());
    }
    for picture in &mut pictures {
        made.torn.extend(picture.end());
    }
    Ok(ended(made, record, &plan))
}

/// What is to be said at the end, and everything in its order.
fn ended(mut made: Replayed, record: &Record, plan: &SlotPlan) -> Replayed {
    let missed: u64 = record
        .lines
        .iter()
        .map(|line| match line.what {
            What::Missed(number) => number,
            _ => 0,
        })
        .fold(0, u64::saturating_add);
    if missed > 0 {
        made.notes.push(format!(
            "the record misses {missed} lines: what happened there is not in it"
        ));
    }
    let same = record.lines.iter().map(|line| line.same).fold(0, u64::saturating_add);
    let by_time = |event: &EventPlan| {
        event
            .triggers
            .iter()
            .any(|trigger| matches!(trigger, Trigger::Every(_)))
    };
    if let Some(event) = plan.events.iter().find(|event| by_time(event)).filter(|_| same > 0) {
        made.notes.push(format!(
            "{same} exchanges that said the same as others are only counted in the record: [events.{}] and what else time \
             triggers makes fewer events here",
            event.name
        ));
    }
    made.events.sort_by_key(|event| event.ms);
    made.torn.sort();
    made
}

/// What `profile` makes of one sample.
fn take(made: &mut Replayed, profile: &Profile, contract: &SlotContract, sample: &Sample) {
    let (ms, wall) = (sample.seen.tick.saturating_sub(1), sample.seen.wall);
    for meaning in profile.drafts(contract, sample) {
        match meaning {
            Meaning::Draft(draft) => made.events.push(Made {
                ms,
                wall,
                json: show(&draft),
            }),
            Meaning::Ignored | Meaning::Passed(_) => made.ignored += 1,
        }
    }
}

/// Protocols whose records are read alike.
fn family(protocol: &str) -> &str {
    match protocol {
        "serial" | "tcp" => "frames",
        other if other.starts_with("modbus-") => "modbus",
        other => other,
    }
}

/// Whose exchanges are looked at: the profile's server, or the only one that the record holds.
fn server(record: &Record, link: &ModbusLink, made: &mut Replayed) -> Result<u8, ReplayFault> {
    let held: BTreeSet<u8> = record
        .lines
        .iter()
        .filter_map(|line| match &line.what {
            What::Exchange { server, .. } => Some(*server),
            _ => None,
        })
        .collect();
    match held.first() {
        None => {
            made.notes.push("the record holds no exchange".to_owned());
            Ok(link.server_id)
        }
        Some(_) if held.contains(&link.server_id) => Ok(link.server_id),
        Some(only) if held.len() == 1 => {
            made.notes.push(format!(
                "the record is of server {only}, the profile asks server {}: replayed all the same",
                link.server_id
            ));
            Ok(*only)
        }
        Some(_) => Err(ReplayFault::Server {
            held: held.iter().map(u8::to_string).collect::<Vec<_>>().join(", "),
            asked: link.server_id,
        }),
    }
}
