//! One slot on a link of frames: what its frames lead to, and how it is told.
//!
//! Owns the reports of a slot. Owns no bytes on the wire.

use crate::device::SlotStart;
use crate::device::tap::Reading;
use crate::device::told::{Told, pass_on};
use crate::model::plan::{FramedLink, SlotPlan};
use crate::model::sample::{Counted, LinkState, Report};
use crate::model::{Moment, Raw, Sample, SlotName};
use crate::watch::frames::{FrameHeard, FrameWatch};
use crate::wire::escaped;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Nobody receives the reports any more, or the link is to end.
#[derive(Debug)]
pub(super) struct Closed;

/// A frame as it came.
#[derive(Debug)]
pub(super) struct Arrived<'a> {
    /// What stands between start and end.
    pub(super) content: &'a [u8],
    /// As on the wire.
    pub(super) whole: &'a [u8],
    /// What was wrong with it there.
    pub(super) fault: Option<&'a str>,
    /// When its last byte came.
    pub(super) seen: Moment,
    /// Since when it may have been there: nobody listened before that.
    pub(super) since: Moment,
    /// This slot speaks for the link: what is no slot's is counted here.
    pub(super) speaks: bool,
}

/// One slot.
#[derive(Debug)]
pub(super) struct Slot {
    plan: Arc<SlotPlan>,
    watch: FrameWatch,
    told: Told,
    connected: bool,
    last: Option<Reading>,
    /// What could not be read last, as it came.
    unread: Option<Vec<u8>>,
    /// What the life sign last said, and at which tick it changed.
    life: (Option<Raw>, u64),
    /// See [`insists`].
    insists: bool,
    /// The device is answered once it is durable.
    answers: bool,
}

/// What a frame came to.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// What must be durable before the device is answered.
    pub(super) durable: Vec<oneshot::Receiver<()>>,
    /// It said the same before: it is answered only where that could be stored.
    pub(super) again: bool,
}

/// A device that asks for an answer, or is asked, says the same fault for ever: told once, counted then.
fn insists(link: &FramedLink) -> bool {
    link.reply.is_some() || link.poll.is_some()
}

impl Slot {
    /// # Errors
    /// A sentence: the plan cannot be carried out.
    pub(super) fn new(start: SlotStart, link: &FramedLink) -> Result<Self, (Arc<SlotPlan>, String)> {
        let plan = start.plan;
        match FrameWatch::new(plan.clone(), &link.parse, &start.states) {
            Ok(watch) => Ok(Self {
                plan,
                watch,
                told: Told::default(),
                connected: false,
                last: None,
                unread: None,
                life: (None, 0),
                insists: insists(link),
                answers: link.reply.is_some(),
            }),
            Err(reason) => Err((plan, reason)),
        }
    }

    /// Whose it is.
    pub(super) fn name(&self) -> &SlotName {
        &self.plan.slot
    }

    /// A frame came. Adds to `owed` what must be durable before the device is answered.
    pub(super) async fn hear(
        &mut self,
        frame: &Arrived<'_>,
        owed: &mut Owed,
        reports: &mpsc::Sender<Report>,
    ) -> Result<(), Closed> {
        let told = frame.fault.map(str::to_owned);
        if told.is_some() && !frame.speaks {
            return Ok(());
        }
        let heard = self.watch.hear(frame.seen, frame.content, frame.whole, told);
        if heard.ignored {
            return self.count(Counted::Ignored, u64::from(frame.speaks), reports).await;
        }
        self.remember(frame, &heard);
        let lives = self.lives(frame.seen, &heard);
        if lives {
            self.tell(LinkState::Online, String::new(), frame.seen, reports).await?;
        }
        if heard.events.iter().any(|event| !event.faults.is_empty()) {
            let again = self.unread.as_deref() == Some(frame.whole);
            if again && self.insists {
                owed.again = true;
                return self.count(Counted::Duplicate, 1, reports).await;
            }
            self.unread = Some(frame.whole.to_vec());
        } else {
            self.unread = None;
        }
        owed.again |= heard.repeated > 0;
        self.count(Counted::Duplicate, heard.repeated, reports).await?;
        for (event, state) in heard.moved {
            let Some(event) = self.plan.events.get(event) else {
                continue;
            };
            let report = Report::State {
                slot: self.plan.slot.clone(),
                event: event.name.clone(),
                state,
                durable: self.owes(owed),
            };
            reports.send(report).await.map_err(|_| Closed)?;
        }
        for event in heard.events {
            let sample = Sample {
                plan: self.plan.clone(),
                event: event.event,
                values: event.values,
                before: event.before,
                seen: frame.seen,
                since: Some(frame.since),
                raw: escaped(frame.whole),
                backfill: false,
                faults: event.faults,
                quality: Vec::new(),
                state: event.state,
                durable: self.owes(owed),
            };
            reports
                .send(Report::Sample(Box::new(sample)))
                .await
                .map_err(|_| Closed)?;
        }
        Ok(())
    }

    fn owes(&self, owed: &mut Owed) -> Option<oneshot::Sender<()>> {
        self.answers.then(|| {
            let (sender, receiver) = oneshot::channel();
            owed.durable.push(receiver);
            sender
        })
    }

    /// Whether the life sign changed.
    fn lives(&mut self, now: Moment, heard: &FrameHeard) -> bool {
        let Some(alive) = &self.plan.alive else { return false };
        let value = heard.values.get(alive.point).cloned().flatten();
        let changed = value.is_some() && value != self.life.0;
        if changed {
            self.life = (value, now.tick);
        }
        changed
    }

    /// At which tick the life sign is missed, where there is one.
    pub(super) fn due(&self) -> Option<u64> {
        let alive = self.plan.alive.as_ref()?;
        let told = self.told.is(LinkState::Degraded);
        let within = u64::try_from(alive.within.as_millis()).unwrap_or(u64::MAX);
        (self.connected && !told).then(|| self.life.1.saturating_add(within))
    }

    /// It is `now`: is the life sign missed?
    pub(super) async fn check(&mut self, now: Moment, reports: &mpsc::Sender<Report>) -> Result<(), Closed> {
        let (Some(alive), true) = (&self.plan.alive, self.due().is_some_and(|due| now.tick >= due)) else {
            return Ok(());
        };
        let name = self.plan.points.get(alive.point).map_or("", |point| &*point.name);
        let text = format!(
            "connected, but its life sign `{name}` has not changed for more than {} ms",
            alive.within.as_millis()
        );
        self.tell(LinkState::Degraded, text, now, reports).await
    }

    fn remember(&mut self, frame: &Arrived<'_>, heard: &FrameHeard) {
        self.last = Some(Reading {
            at: frame.seen,
            values: heard.values.clone(),
            words: heard.texts.clone(),
            faults: heard.faults.clone(),
        });
    }

    /// What the last frame said; before there was one, that.
    pub(super) fn look(&self, now: Moment) -> Reading {
        let none = || Reading {
            at: now,
            values: vec![None; self.plan.points.len()],
            words: vec![String::new(); self.plan.points.len()],
            faults: vec!["the device has said nothing yet: have it send a frame".to_owned()],
        };
        self.last.clone().unwrap_or_else(none)
    }

    /// What was said last could not be stored: the same again is no repeat.
    pub(super) fn forget(&mut self) {
        self.watch.forget();
    }

    /// So many of what were turned away.
    pub(super) async fn count(&self, what: Counted, number: u64, reports: &mpsc::Sender<Report>) -> Result<(), Closed> {
        if number == 0 {
            return Ok(());
        }
        let slot = self.plan.slot.clone();
        let report = Report::Counted { slot, what, number };
        reports.send(report).await.map_err(|_| Closed)
    }

    /// Bytes may come.
    pub(super) async fn online(&mut self, now: Moment, reports: &mpsc::Sender<Report>) -> Result<(), Closed> {
        let before = std::mem::replace(&mut self.connected, true);
        if before {
            return Ok(());
        }
        self.told.reached();
        self.life.1 = now.tick;
        if self.plan.alive.is_some() {
            // Connected is not enough: its life sign must move.
            return Ok(());
        }
        self.tell(LinkState::Online, String::new(), now, reports).await
    }

    /// None come, for this reason.
    pub(super) async fn offline(
        &mut self,
        now: Moment,
        reason: &str,
        reports: &mpsc::Sender<Report>,
    ) -> Result<(), Closed> {
        self.connected = false;
        let told = self.told.offline(&self.plan, now, reason);
        pass_on(told, reports, Closed).await
    }

    async fn tell(
        &mut self,
        state: LinkState,
        reason: String,
        at: Moment,
        reports: &mpsc::Sender<Report>,
    ) -> Result<(), Closed> {
        let told = self.told.say(&self.plan, state, reason, at);
        pass_on(told, reports, Closed).await
    }
}
