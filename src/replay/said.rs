//! What devices said by themselves, frame by frame or telegram by telegram, from the lines of a record to samples.
//!
//! Owns nothing of frames and telegrams ([`crate::wire`]), nor of triggers ([`crate::watch`]): the same as in the drivers.

use super::ReplayFault;
use crate::model::plan::{FramedLink, Link, OpenProtocolLink, Said, SlotPlan};
use crate::model::{Moment, Raw, Sample};
use crate::record::{Record, What};
use crate::watch::Watcher;
use crate::watch::frames::FrameWatch;
use crate::wire::escaped;
use crate::wire::framed::{Framed, Framer};
use crate::wire::open_protocol::reading::values;
use crate::wire::open_protocol::said::Hearer;
use crate::wire::open_protocol::{Field, Split, Splitter, TraceOrder, decode};
use std::collections::HashMap;
use std::sync::Arc;

/// What a record holds of a device that speaks by itself.
#[derive(Debug, Default)]
pub(super) struct Listened {
    /// What happened, in order.
    pub(super) samples: Vec<Sample>,
    /// Frames that were turned away.
    pub(super) ignored: u64,
    /// Bytes that are no frame.
    noise: usize,
}

impl Listened {
    /// What a reader should know.
    pub(super) fn notes(&self) -> Option<String> {
        (self.noise > 0).then(|| format!("{} bytes in the record are noise to this profile", self.noise))
    }
}

/// Hears what one line says.
struct Hearing {
    plan: Arc<SlotPlan>,
    watcher: Watcher,
    listened: Listened,
}

impl Hearing {
    /// One thing said, as it stood on the wire.
    fn hear(&mut self, now: Moment, said: Option<Said>, values: &[Option<Raw>], faults: Vec<String>, raw: String) {
        if !faults.is_empty() {
            let Some(event) = self.plan.takes(said) else { return };
            let before = vec![None; values.len()];
            self.listened.samples.push(Sample {
                raw,
                faults,
                ..Sample::picture(&self.plan, event, values.to_vec(), before, now)
            });
            return;
        }
        for happening in self.watcher.hear(now, values, said).happened {
            self.listened.samples.push(Sample {
                raw: raw.clone(),
                ..Sample::picture(&self.plan, happening.event, happening.values, happening.before, now)
            });
        }
    }

    /// One frame, or bytes that are none.
    fn frame(&mut self, watch: &mut FrameWatch, now: Moment, framed: Framed) {
        let (content, whole, fault) = match framed {
            Framed::Noise(bytes) => {
                self.listened.noise = self.listened.noise.saturating_add(bytes);
                return;
            }
            Framed::Frame { content, whole, fault } => (content, whole, fault),
        };
        let heard = watch.hear(now, &content, &whole, fault);
        self.listened.ignored += u64::from(heard.ignored) + heard.repeated;
        for event in heard.events {
            self.listened.samples.push(Sample {
                raw: escaped(&whole),
                faults: event.faults,
                ..Sample::picture(&self.plan, event.event, event.values, event.before, now)
            });
        }
    }
}

/// Everything in `record` that a device of `plan` said by itself.
///
/// # Errors
/// The profile's patterns cannot be understood.
pub(super) fn listen(record: &Record, plan: &Arc<SlotPlan>) -> Result<Listened, ReplayFault> {
    let mut hearing = Hearing {
        plan: plan.clone(),
        watcher: Watcher::new(plan.clone(), &HashMap::new()),
        listened: Listened::default(),
    };
    match &plan.link {
        Link::Framed(link) => frames(record, link, &mut hearing)?,
        Link::OpenProtocol(link) => telegrams(record, link, &mut hearing),
        // What is asked is read by its requests.
        Link::Modbus(_) | Link::Opcua(_) => {}
    }
    Ok(hearing.listened)
}

fn frames(record: &Record, link: &FramedLink, hearing: &mut Hearing) -> Result<(), ReplayFault> {
    let watch = FrameWatch::new(hearing.plan.clone(), &link.parse, &HashMap::new());
    let mut watch = watch.map_err(ReplayFault::Profile)?;
    let mut framer = Framer::new(link.frame.clone());
    let mut now = Moment::new(0, 0);
    for line in &record.lines {
        now = Moment::new(line.wall, line.ms.saturating_add(1));
        let said = match &line.what {
            What::In(bytes) => framer.push(line.ms, bytes),
            What::Link(_) | What::Missed(_) => framer.close(),
            _ => continue,
        };
        for framed in said {
            hearing.frame(&mut watch, now, framed);
        }
    }
    for framed in framer.close() {
        hearing.frame(&mut watch, now, framed);
    }
    Ok(())
}

fn telegrams(record: &Record, link: &OpenProtocolLink, hearing: &mut Hearing) {
    let order = if link.big_endian_traces {
        TraceOrder::Big
    } else {
        TraceOrder::Little
    };
    let mut hearer = Hearer::new(order);
    let mut splitter = Splitter::new();
    // What the controller said of itself when the session began.
    let mut session: Vec<Field> = Vec::new();
    for line in &record.lines {
        let now = Moment::new(line.wall, line.ms.saturating_add(1));
        match &line.what {
            What::In(bytes) => splitter.push(bytes),
            What::Link(_) | What::Missed(_) => {
                splitter.clear();
                hearer.clear();
            }
            _ => {}
        }
        for split in splitter.by_ref() {
            match split {
                Split::Noise(bytes) => hearing.listened.noise = hearing.listened.noise.saturating_add(bytes),
                Split::Telegram(telegram, _) if telegram.mid() == 2 => {
                    session = decode(&telegram).map(|decoded| decoded.fields).unwrap_or_default();
                }
                Split::Telegram(telegram, _) => {
                    let Some(word) = hearer.take(telegram) else { continue };
                    for reading in &word.readings {
                        let values = values(&hearing.plan.points, reading, &session);
                        hearing.hear(now, Some(word.said), &values, word.faults.clone(), word.raw.clone());
                    }
                }
            }
        }
    }
}
