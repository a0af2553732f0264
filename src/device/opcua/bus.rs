//! The slots of one server, and the session and subscription that they share.
//!
//! Owns when a connection is made again, what is subscribed to, and to whom what the server says belongs.

mod deliver;
mod wanted;

use super::describe::{Describer, attribute};
use super::fault::Fault;
use super::fields::Asked;
use super::identity::Material;
use super::joining;
use super::own::Own;
use super::session::{Kept, Made, Maker, Session};
use super::slot::{Broken, Item, Read, Slot};
use super::subscribe::{Published, Subscription};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::device::SlotStart;
use crate::device::tap::{Look, Service};
use crate::model::Moment;
use crate::model::plan::OpcuaLink;
use crate::model::sample::Report;
use crate::record::What;
use opcua::types::{AttributeId, NodeId};
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The longest wait between two tries to connect: data are there again within 5 s of a server's return.
const LONGEST: Duration = Duration::from_secs(2);
/// How often it is tried where a person has to do something first.
const SLOWLY: Duration = Duration::from_secs(15);
/// How often it is looked whether other credentials are there.
const OTHERS: Duration = Duration::from_secs(2);
/// Milliseconds for which what was told is still looked at when the link is to end.
const LAST: u64 = 1_000;
/// How often the life sign of a slot is looked at, in milliseconds.
const LIFE: u64 = 500;

/// `Server_ServerStatus_State` (OPC 10000-5, 12.11).
const STATE: u32 = 2259;

/// To whom something that the server says belongs.
#[derive(Debug, Clone)]
enum Target {
    /// The table of namespaces.
    Namespaces,
    /// A variable of a slot.
    Value(usize, Item),
    /// Events of a slot.
    Notice(usize, u16),
}

/// The slots of one server.
pub(super) struct Bus<'a> {
    link: &'a OpcuaLink,
    slots: Vec<Slot>,
    reports: &'a mpsc::Sender<Report>,
    clock: &'a Clock,
    service: Service,
    stop: &'a CancellationToken,
    own: Option<Arc<Own>>,
    /// Credentials that were refused, and how: they are not sent again.
    refused: Option<(Material, String)>,
    kept: Option<Kept>,
    namespaces: Vec<String>,
    describer: Describer,
    subscription: Option<Subscription>,
    targets: HashMap<u32, Target>,
    asked: HashMap<(usize, u16), Asked>,
    /// What could not be subscribed to, and when that is tried again.
    failed: Vec<Target>,
    again: u64,
    /// When the server last said something.
    heard: Option<Moment>,
    /// It was asked whether it is there, because it said nothing.
    doubted: bool,
    /// Times in a row that it took a subscription and said nothing.
    mute: u32,
    /// It cannot be subscribed to: its values are asked for.
    polled: bool,
    joining: joining::Recovery,
}

impl<'a> Bus<'a> {
    pub(super) fn new(
        link: &'a OpcuaLink,
        slots: Vec<SlotStart>,
        reports: &'a mpsc::Sender<Report>,
        clock: &'a Clock,
        service: Service,
        stop: &'a CancellationToken,
    ) -> Self {
        Self {
            joining: joining::Recovery::new(&slots),
            slots: slots.into_iter().map(Slot::new).collect(),
            link,
            reports,
            clock,
            describer: Describer::new(service.tap.clone()),
            service,
            stop,
            own: None,
            refused: None,
            kept: None,
            namespaces: Vec::new(),
            subscription: None,
            targets: HashMap::new(),
            asked: HashMap::new(),
            failed: Vec::new(),
            again: 0,
            heard: None,
            doubted: false,
            mute: 0,
            polled: link.polled,
        }
    }

    /// Runs until it is stopped or is to end, or nobody receives the reports any more.
    pub(super) async fn run(&mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(200), LONGEST);
        loop {
            let fault = match self.connection(&mut backoff).await {
                Broken::Closed => return,
                Broken::Session(fault) => fault,
            };
            if let Some(subscription) = &mut self.subscription {
                subscription.lost_connection();
            }
            let now = self.clock.now();
            let reason = fault.to_string();
            self.service.tap.send(What::Link(reason.clone()));
            for slot in &mut self.slots {
                if slot.offline(now, &reason, self.reports).await.is_err() {
                    return;
                }
            }
            let wait = match fault {
                Fault::Link(_) | Fault::Refused(_) | Fault::Ended(_) | Fault::Service { .. } => backoff.wait(),
                Fault::Final(_) => SLOWLY,
                Fault::Credentials(_) => OTHERS,
            };
            tracing::debug!(address = %self.link.address, ?wait, "{reason}");
            let (stopped, ending) = (self.stop.clone(), self.service.ending.clone());
            if ending.is_cancelled() {
                return;
            }
            if stopped.run_until_cancelled(self.pause(wait, &reason)).await.is_none() {
                return;
            }
        }
    }

    /// What the gateway says it is: read each time, so that a mended file is taken up.
    async fn entry(&mut self) -> Result<(Arc<Own>, Material), Fault> {
        let now = self.clock.now().wall / 1000;
        let (own, home, identity) = (self.own.clone(), self.service.home.clone(), self.link.identity.clone());
        let read = tokio::task::spawn_blocking(move || {
            let own = match own {
                Some(own) => own,
                None => {
                    Arc::new(Own::load_or_make(home.as_deref(), now).map_err(|fault| Fault::Final(fault.to_string()))?)
                }
            };
            let material = Material::read(&identity, now).map_err(|fault| Fault::Final(fault.to_string()))?;
            Ok((own, material))
        });
        let (own, material) = read.await.map_err(|fault| Fault::Final(fault.to_string()))??;
        self.own = Some(own.clone());
        match &self.refused {
            Some((refused, told)) if *refused == material => Err(Fault::Credentials(told.clone())),
            _ => Ok((own, material)),
        }
    }

    /// One connection, from its beginning to why it ended.
    async fn connection(&mut self, backoff: &mut Backoff) -> Broken {
        let stop = self.stop;
        let ending = self.service.ending.clone();
        let made = tokio::select! {
            () = stop.cancelled() => return Broken::Closed,
            () = ending.cancelled() => return Broken::Closed,
            made = self.make() => made,
        };
        let Made {
            session,
            mut running,
            resumed,
        } = match made {
            Ok(made) => made,
            Err(fault) => return Broken::Session(fault),
        };
        let mut session = session;
        let learned = tokio::select! {
            fault = &mut running => Err(fault),
            learned = session.learn() => learned,
        };
        match learned {
            Ok(false) => {}
            // Its number is another's now: that one is left alone.
            Ok(true) => {
                (self.kept, self.subscription) = (None, None);
                return Broken::Session(Fault::Link("the server was started anew".to_owned()));
            }
            Err(fault) => return Broken::Session(fault),
        }
        let session = Arc::new(session);
        let mut ended = false;
        let outcome = tokio::select! {
            () = stop.cancelled() => Broken::Closed,
            fault = &mut running => {
                ended = true;
                Broken::Session(fault)
            }
            broken = self.serve(&session, resumed, backoff) => broken,
        };
        let gone = matches!(&outcome, Broken::Session(Fault::Link(_)));
        self.kept = (gone && self.subscription.is_some()).then(|| session.keep());
        if self.kept.is_none() {
            self.subscription = None;
            if ended {
                // Nothing can be said on it any more.
                return outcome;
            }
            // A session that is left behind counts among those that the server allows.
            let limit = Duration::from_millis(500);
            let close = async {
                tokio::select! {
                    _ = &mut running => {}
                    () = session.close() => {}
                }
            };
            drop(tokio::time::timeout(limit, close).await);
        }
        outcome
    }

    async fn make(&mut self) -> Result<Made, Fault> {
        let (own, material) = self.entry().await?;
        let slot = self
            .slots
            .first()
            .map_or_else(String::new, |slot| slot.name().to_string());
        let maker = Maker {
            link: self.link,
            own: &own,
            clock: self.clock,
            name: format!("lineside {slot}"),
        };
        let made = maker.make(&material, self.kept.as_ref()).await;
        if matches!(&made, Err(Fault::Refused(_))) {
            // Nobody listens: what comes up there is a server that was started anew.
            (self.kept, self.subscription) = (None, None);
        }
        match &made {
            Err(Fault::Credentials(told)) => self.refused = Some((material, told.clone())),
            Ok(_) => self.refused = None,
            Err(_) => {}
        }
        made
    }

    /// Everything in one session; ends with why it cannot go on.
    async fn serve(&mut self, session: &Arc<Session>, resumed: bool, backoff: &mut Backoff) -> Broken {
        match self.enter(session, resumed).await {
            Ok(()) => {}
            Err(broken) => return broken,
        }
        while !self.service.ending.is_cancelled() {
            match self.round(session, backoff).await {
                Ok(()) => {}
                Err(broken) => return broken,
            }
        }
        match self.finish(session).await {
            Ok(()) => Broken::Closed,
            Err(broken) => broken,
        }
    }

    /// The link is to end: what the server told is looked at and waited for, and acknowledged once it is durable. Nothing
    /// more is asked for.
    async fn finish(&mut self, session: &Arc<Session>) -> Result<(), Broken> {
        let last = self.clock.now().tick.saturating_add(LAST);
        loop {
            let reads = self.clock.now().tick < last;
            let (mut left, mut wake) = (false, reads.then_some(last));
            for slot in &mut self.slots {
                let mut reader = Read {
                    session,
                    describer: &mut self.describer,
                    clock: self.clock,
                };
                if let Some(until) = slot.last_turn(&mut reader, self.reports, reads).await? {
                    left = true;
                    wake = wake.into_iter().chain(until).min();
                }
            }
            // What was published already is known here only.
            let wake = if left { wake } else { Some(0) };
            let wait = wake.map(|tick| Duration::from_millis(tick.saturating_sub(self.clock.now().tick)));
            match (self.come(wait).await, &mut self.subscription) {
                (First::Published(answer), Some(subscription)) if reads => {
                    let published = subscription.take(session, *answer).await?;
                    self.take(session, published).await?;
                }
                // Who looks is told that the link has ended.
                _ if left => {}
                _ => break,
            }
        }
        if let Some(subscription) = &mut self.subscription {
            subscription.acknowledge_last(session).await;
        }
        Ok(())
    }

    /// Goes on with the subscription, or makes a new one.
    async fn enter(&mut self, session: &Arc<Session>, resumed: bool) -> Result<(), Broken> {
        let same = self.namespaces == session.namespaces;
        self.namespaces.clone_from(&session.namespaces);
        self.heard = Some(self.clock.now());
        self.doubted = false;
        self.service.tap.send(What::Link("connected".to_owned()));
        let goes_on = match &self.subscription {
            Some(_) if !same => false,
            Some(_) if resumed => true,
            Some(subscription) => subscription.transfer(session).await?,
            None => false,
        };
        if goes_on {
            let caught = match &mut self.subscription {
                Some(subscription) => subscription.catch_up(session).await?,
                None => Published::default(),
            };
            tracing::info!(address = %self.link.address, "the subscription goes on; {} missed messages were asked for again", caught.messages.len());
            return self.take(session, caught).await;
        }
        self.subscription = None;
        self.service.tap.send_context(What::Namespaces(self.namespaces.clone()));
        self.describer = Describer::new(self.service.tap.clone());
        self.subscribe(session).await
    }

    /// One round: every slot has its turn; then what comes first is waited for.
    async fn round(&mut self, session: &Arc<Session>, backoff: &mut Backoff) -> Result<(), Broken> {
        let mut wake: Option<u64> = None;
        for slot in &mut self.slots {
            let mut reader = Read {
                session,
                describer: &mut self.describer,
                clock: self.clock,
            };
            let until = slot.turn(&mut reader, self.reports).await?;
            let life = slot
                .plan
                .alive
                .as_ref()
                .map(|_| self.clock.now().tick.saturating_add(LIFE));
            wake = wake.into_iter().chain(until).chain(life).min();
        }
        let now = self.clock.now();
        if !self.failed.is_empty() {
            if now.tick >= self.again {
                let failed = std::mem::take(&mut self.failed);
                self.monitor(session, failed).await?;
            }
            wake = Some(wake.map_or(self.again, |wake| wake.min(self.again)));
        }
        if let Some(due) = self.joining.due() {
            if now.tick >= due {
                for index in 0..self.slots.len() {
                    self.release(session, index, now).await?;
                }
            }
            wake = wake.into_iter().chain(self.joining.due()).min();
        }
        if let Some(subscription) = &mut self.subscription
            && let Some(again) = subscription.again()
        {
            let rest = again.saturating_duration_since(tokio::time::Instant::now());
            if rest.is_zero() {
                let published = subscription.once_more(session).await?;
                return self.take(session, published).await;
            }
            let due = now.tick.saturating_add(millis(rest).max(1));
            wake = Some(wake.map_or(due, |wake| wake.min(due)));
        }
        let full = self.slots.iter().any(Slot::is_full);
        let mut patience = None;
        if let Some(subscription) = &mut self.subscription {
            if !subscription.is_asking() {
                self.heard = Some(now);
            }
            subscription.ask(session, !full);
            let heard = self.heard.map_or(now.tick, |heard| heard.tick);
            let silent = if self.doubted {
                subscription.patience()
            } else {
                subscription.patience() / 2
            };
            let limit = heard.saturating_add(millis(silent));
            patience = Some(limit);
            wake = Some(wake.map_or(limit, |wake| wake.min(limit)));
        }
        let wait = wake.map(|tick| Duration::from_millis(tick.saturating_sub(now.tick)));
        match self.first(wait).await {
            First::Published(answer) => {
                let at = self.clock.now();
                let Some(subscription) = &mut self.subscription else {
                    return Ok(());
                };
                let said = answer.is_ok();
                let published = subscription.take(session, *answer).await?;
                if said {
                    backoff.reset();
                    self.mute = 0;
                    for slot in &mut self.slots {
                        slot.flows();
                    }
                }
                self.take(session, published).await?;
                self.heard = Some(at);
                self.doubted = false;
            }
            First::Look(look) => self.look(look, session).await?,
            First::Nothing => {
                if patience.is_some_and(|limit| self.clock.now().tick >= limit) {
                    if self.doubted {
                        return Err(self.is_mute().into());
                    }
                    // Is it the server that says nothing, or is nobody there? The line may be dead, and its session go on.
                    self.doubted = true;
                    session
                        .read(&[attribute(&NodeId::new(0, STATE), AttributeId::Value)])
                        .await?;
                }
                if self.subscription.is_none() {
                    backoff.reset();
                }
            }
        }
        Ok(())
    }

    /// The server took a subscription and says nothing.
    fn is_mute(&mut self) -> Fault {
        self.mute += 1;
        let for_long = self.subscription.take().map_or(Duration::ZERO, |of| of.patience());
        self.polled |= self.mute >= 2;
        let then = if self.polled {
            "from now on its values are asked for"
        } else {
            "if it stays so, write polled = true"
        };
        Fault::Ended(format!(
            "the server took the subscription and published nothing for {for_long:?}: {then}"
        ))
    }

    /// [`Self::come`], or nothing where the link is to end.
    async fn first(&mut self, wait: Option<Duration>) -> First {
        let ending = self.service.ending.clone();
        ending
            .run_until_cancelled(self.come(wait))
            .await
            .unwrap_or(First::Nothing)
    }

    /// What comes first: something that the server published, a durable answer, somebody who looks, or the end of `wait`.
    async fn come(&mut self, wait: Option<Duration>) -> First {
        let (slots, asks, clock) = (&mut self.slots, &mut self.service.asks, self.clock);
        let something = poll_fn(|context| {
            let mut came = false;
            for slot in slots.iter_mut() {
                came |= slot.poll_answers(clock.now(), context);
            }
            match asks.poll_recv(context) {
                Poll::Ready(Some(look)) => Poll::Ready(First::Look(look)),
                _ if came => Poll::Ready(First::Nothing),
                _ => Poll::Pending,
            }
        });
        let subscription = &mut self.subscription;
        let published = async {
            match subscription {
                Some(subscription) => First::Published(Box::new(subscription.answer().await)),
                None => std::future::pending().await,
            }
        };
        let timer = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            first = published => first,
            first = something => first,
            () = timer => First::Nothing,
        }
    }

    /// Waits without a connection, taking up durable answers meanwhile. Who looks is told why there is nothing to see.
    async fn pause(&mut self, wait: Duration, reason: &str) {
        let end = tokio::time::Instant::now() + wait;
        loop {
            let rest = end.saturating_duration_since(tokio::time::Instant::now());
            if rest.is_zero() || self.service.ending.is_cancelled() {
                return;
            }
            if let First::Look(look) = self.first(Some(rest)).await {
                // Who asked may have gone.
                drop(look.reply.send(Err(format!("{}: {reason}", self.link.address))));
            }
        }
    }

    async fn look(&mut self, look: Look, session: &Session) -> Result<(), Broken> {
        let mut reader = Read {
            session,
            describer: &mut self.describer,
            clock: self.clock,
        };
        let answer = match self.slots.iter_mut().find(|slot| *slot.name() == look.slot) {
            Some(slot) => Ok(slot.show(&mut reader).await?),
            None => Err(format!("`{}` is not on this link", look.slot)),
        };
        // Who asked may have gone.
        drop(look.reply.send(answer));
        Ok(())
    }
}

/// What came first.
enum First {
    Published(Box<Result<opcua::types::PublishResponse, Fault>>),
    Look(Look),
    Nothing,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
