//! The slots of one server, and the session and subscription that they share.
//!
//! Owns when a connection is made again, what is subscribed to, and to whom what the server says belongs.

use super::describe::{Describer, attribute};
use super::fault::Fault;
use super::fields::{Asked, Kind};
use super::identity::Material;
use super::own::Own;
use super::session::{Kept, Made, Maker, Session};
use super::slot::{Broken, EventTold, Item, NodeSaid, Read, Slot};
use super::subscribe::{Guard, Message, Published, Subscription};
use super::{convert, joining};
use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::device::SlotStart;
use crate::device::tap::{Look, Service};
use crate::model::Moment;
use crate::model::plan::{FieldPath, OpcuaLink, Said, Trigger};
use crate::model::sample::Report;
use crate::wire::opcua::Tree;
use opcua::types::{
    AttributeId, DataChangeFilter, DataChangeNotification, DataChangeTrigger, DataValue, DeadbandType, EventFieldList,
    EventNotificationList, ExtensionObject, MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, NodeId,
    ReadValueId, StatusChangeNotification, StatusCode, Variant,
};
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
/// How often what cannot be subscribed to is tried again, in milliseconds.
const AGAIN: u64 = 10_000;
/// Events that the server keeps between two publishings.
const EVENTS: u32 = 10_000;
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

/// How something that the server said came.
#[derive(Clone, Copy)]
struct Came<'a> {
    guard: &'a Arc<Guard>,
    at: Moment,
    /// It was said before.
    again: bool,
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
            service,
            stop,
            own: None,
            refused: None,
            kept: None,
            namespaces: Vec::new(),
            describer: Describer::new(),
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

    /// Runs until it is stopped, or nobody receives the reports any more.
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
            for slot in &mut self.slots {
                if slot.offline(now, &reason, self.reports).await.is_err() {
                    return;
                }
            }
            let wait = match fault {
                Fault::Link(_) | Fault::Refused(_) | Fault::Service { .. } => backoff.wait(),
                Fault::Final(_) => SLOWLY,
                Fault::Credentials(_) => OTHERS,
            };
            tracing::debug!(address = %self.link.address, ?wait, "{reason}");
            let stopped = self.stop.clone();
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
        let made = tokio::select! {
            () = stop.cancelled() => return Broken::Closed,
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
        loop {
            match self.round(session, backoff).await {
                Ok(()) => {}
                Err(broken) => return broken,
            }
        }
    }

    /// Goes on with the subscription, or makes a new one.
    async fn enter(&mut self, session: &Arc<Session>, resumed: bool) -> Result<(), Broken> {
        let same = self.namespaces == session.namespaces;
        self.namespaces.clone_from(&session.namespaces);
        self.heard = Some(self.clock.now());
        self.doubted = false;
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
        self.describer = Describer::new();
        self.subscribe(session).await
    }

    /// Subscribes to all that the slots look at.
    async fn subscribe(&mut self, session: &Arc<Session>) -> Result<(), Broken> {
        self.targets.clear();
        self.asked.clear();
        self.failed.clear();
        if !self.polled {
            match Subscription::make(session, self.link.publishing).await {
                Ok(subscription) => self.subscription = Some(subscription),
                Err(fault) if fault.ends_session() => return Err(fault.into()),
                Err(fault) => {
                    tracing::warn!(address = %self.link.address, "{fault}; its values are asked for instead");
                    self.polled = true;
                }
            }
        }
        let told = self.subscription.is_some();
        let mut wanted = vec![Target::Namespaces];
        for (index, slot) in self.slots.iter_mut().enumerate() {
            slot.begin(&session.namespaces, told);
            wanted.extend(slot.items().into_iter().map(|item| Target::Value(index, item)));
            let notices = u16::try_from(slot.plan.notices.len()).unwrap_or(u16::MAX);
            if told {
                wanted.extend((0..notices).map(|notice| Target::Notice(index, notice)));
            } else {
                slot.flows();
                if notices > 0 {
                    let why = "this server has no subscriptions, and so tells no events".to_owned();
                    slot.stands("events".to_owned(), Some(why));
                }
            }
        }
        if told {
            self.monitor(session, wanted).await?;
            self.joining.begin(session, &mut self.describer, self.clock).await?;
        }
        Ok(())
    }

    /// Adds items for these; what is refused is tried again later.
    async fn monitor(&mut self, session: &Session, wanted: Vec<Target>) -> Result<(), Broken> {
        let Some(id) = self.subscription.as_ref().map(|subscription| subscription.id) else {
            return Ok(());
        };
        let mut handle = self.targets.keys().copied().max().unwrap_or(0);
        let mut requests = Vec::new();
        let mut targets = Vec::new();
        for target in wanted {
            handle += 1;
            match self.request(session, &target, handle).await? {
                Ok(request) => {
                    requests.push(request);
                    targets.push((handle, target));
                }
                Err(why) => self.cannot(target, Some(why)),
            }
        }
        let mut results = session.monitor(id, &requests).await?;
        // Once more without what many servers do not take: a deadband, a where clause.
        let mut plainer = Vec::new();
        for ((request, result), (_, target)) in requests.iter().zip(&results).zip(&targets) {
            if !filter_refused(result.status_code) || request.requested_parameters.filter.is_null() {
                continue;
            }
            let mut request = request.clone();
            request.requested_parameters.filter = match target {
                Target::Notice(slot, notice) => match self.asked.get_mut(&(*slot, *notice)) {
                    Some(asked) => {
                        asked.tell_apart(session).await?;
                        asked.filter()
                    }
                    None => continue,
                },
                _ => ExtensionObject::null(),
            };
            plainer.push(request);
        }
        let again = session.monitor(id, &plainer).await?;
        for (request, result) in plainer.iter().zip(again) {
            let same = requests.iter().position(|other| {
                other.requested_parameters.client_handle == request.requested_parameters.client_handle
            });
            if let Some(slot) = same.and_then(|index| results.get_mut(index)) {
                *slot = result;
            }
        }
        for ((handle, target), result) in targets.into_iter().zip(results) {
            let why = result.status_code.is_bad().then(|| convert::status(result.status_code));
            if why.is_none() {
                self.targets.insert(handle, target.clone());
            }
            self.cannot(target, why);
        }
        // A slot of which not all can be subscribed to is asked for its values.
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let missing = self
                .failed
                .iter()
                .any(|target| matches!(target, Target::Value(of, _) if *of == index));
            slot.is_told(!missing);
        }
        self.again = self.clock.now().tick.saturating_add(AGAIN);
        Ok(())
    }

    /// What is subscribed to cannot be, for this reason; or can.
    fn cannot(&mut self, target: Target, why: Option<String>) {
        let (slot, what, text) = match &target {
            Target::Namespaces => return,
            Target::Value(slot, item) => {
                let what = format!("item {}", item.node);
                (*slot, what, format!("{} cannot be subscribed to", item.node))
            }
            Target::Notice(slot, notice) => {
                let what = format!("events {notice}");
                (*slot, what, "events cannot be subscribed to".to_owned())
            }
        };
        // A value that cannot be subscribed to is asked for, which tells what is wrong with it.
        let shown = why.as_ref().filter(|_| matches!(target, Target::Notice(..)));
        let told = shown.map(|why| format!("{text}: {why}"));
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.stands(what, told);
        }
        if why.is_some() {
            self.failed.push(target);
        }
    }

    /// The request for one item. `Ok(Err)`: what stands in its way.
    async fn request(
        &mut self,
        session: &Session,
        target: &Target,
        handle: u32,
    ) -> Result<Result<MonitoredItemCreateRequest, String>, Fault> {
        let sampling = |wanted: Option<Duration>| wanted.map_or(-1.0, |every| every.as_secs_f64() * 1000.0);
        let (node, attribute, sampling, filter, queue) = match target {
            Target::Namespaces => (
                NodeId::new(0, 2255_u32),
                AttributeId::Value,
                5_000.0,
                ExtensionObject::null(),
                1,
            ),
            Target::Value(_, item) => {
                let filter = item.deadband.map_or_else(ExtensionObject::null, |band| {
                    ExtensionObject::from_message(DataChangeFilter {
                        trigger: DataChangeTrigger::StatusValue,
                        deadband_type: DeadbandType::Absolute as u32,
                        deadband_value: band,
                    })
                });
                let every = sampling(item.sampling.or(self.link.sampling));
                (item.node.clone(), AttributeId::Value, every, filter, self.link.queue)
            }
            Target::Notice(slot, notice) => {
                let (asked, notifier) = match self.ask(session, *slot, *notice).await? {
                    Ok(asked) => asked,
                    Err(why) => return Ok(Err(why)),
                };
                let filter = asked.filter();
                self.asked.insert((*slot, *notice), asked);
                (notifier, AttributeId::EventNotifier, 0.0, filter, EVENTS)
            }
        };
        Ok(Ok(MonitoredItemCreateRequest {
            item_to_monitor: ReadValueId {
                node_id: node,
                attribute_id: attribute as u32,
                ..ReadValueId::default()
            },
            monitoring_mode: MonitoringMode::Reporting,
            requested_parameters: MonitoringParameters {
                client_handle: handle,
                sampling_interval: sampling,
                filter,
                queue_size: queue,
                discard_oldest: true,
            },
        }))
    }

    /// What is asked of a notice of a slot, and whom.
    async fn ask(
        &mut self,
        session: &Session,
        slot: usize,
        notice: u16,
    ) -> Result<Result<(Asked, NodeId), String>, Fault> {
        let Some(slot) = self.slots.get_mut(slot) else {
            return Ok(Err("no such slot".to_owned()));
        };
        let plan = slot.plan.clone();
        let Some(of) = plan.notices.get(usize::from(notice)) else {
            return Ok(Err("no such event".to_owned()));
        };
        let nodes = convert::node_id(&of.event_type, &session.namespaces)
            .and_then(|event| Ok((event, convert::node_id(&of.notifier, &session.namespaces)?)));
        let (event, notifier) = match nodes {
            Ok(nodes) => nodes,
            Err(why) => return Ok(Err(why)),
        };
        let triggers = |trigger: &Trigger| *trigger == Trigger::Said(Said::Event(notice));
        let points = plan
            .events
            .iter()
            .filter(|event| event.triggers.iter().any(triggers))
            .flat_map(|event| &event.points);
        let paths: Vec<&FieldPath> = points
            .filter_map(|point| plan.points.get(*point)?.at.opcua())
            .filter(|at| at.node.is_none())
            .flat_map(|at| &at.paths)
            .collect();
        let requested = joining::requested(session, &of.event_type).await?;
        let (asked, faults) = Asked::of(session, &event, requested, &paths).await?;
        let what = format!("fields {notice}");
        slot.stands(what, faults.into_iter().next());
        Ok(Ok((asked, notifier)))
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
            let mut limit = heard.saturating_add(millis(subscription.patience()));
            if !self.doubted {
                limit = limit.saturating_sub(millis(session.timeout()));
            }
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
        if self.mute >= 2 {
            self.polled = true;
            return Fault::Service {
                doing: format!(
                    "the server took the subscription and published nothing for {for_long:?}; from now on its values are asked for"
                ),
                status: StatusCode::BadNoCommunication,
                hint: "",
            };
        }
        Fault::Service {
            doing: format!("the server took the subscription and published nothing for {for_long:?}"),
            status: StatusCode::BadNoCommunication,
            hint: ": if it stays so, write polled = true",
        }
    }

    /// What comes first: something that the server published, a durable answer, somebody who looks, or the end of `wait`.
    async fn first(&mut self, wait: Option<Duration>) -> First {
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

    /// Gives what was published to whom it belongs.
    async fn take(&mut self, session: &Session, published: Published) -> Result<(), Broken> {
        let now = self.clock.now();
        if published.lost > 0 {
            tracing::warn!(address = %self.link.address, "{} messages of the server are lost", published.lost);
            for slot in &mut self.slots {
                slot.gap(None, None, now, self.reports).await?;
            }
        }
        for message in published.messages {
            self.deliver(session, message, now).await?;
        }
        Ok(())
    }

    async fn deliver(&mut self, session: &Session, message: Message, now: Moment) -> Result<(), Broken> {
        let came = Came {
            guard: &message.guard,
            at: now,
            again: message.again,
        };
        for said in message.said {
            if message.again && !said.inner_is::<EventNotificationList>() {
                // What is known of values is later; who looks at them takes again what could not be stored.
                continue;
            }
            if let Some(changes) = said.inner_as::<DataChangeNotification>() {
                let items = changes.monitored_items.as_deref().unwrap_or_default();
                let items: Vec<_> = items.iter().map(|item| (item.client_handle, &item.value)).collect();
                self.changed(session, &items, &message.guard, now).await?;
            } else if let Some(change) = said.inner_as::<StatusChangeNotification>() {
                return Err(Fault::service("the server ended the subscription", change.status).into());
            } else if let Some(events) = said.into_inner_as::<EventNotificationList>() {
                for event in events.events.unwrap_or_default() {
                    self.event(session, event, came).await?;
                }
            }
        }
        Ok(())
    }

    /// Values changed: one round for each further value of the same variable, so that none is passed over.
    async fn changed(
        &mut self,
        session: &Session,
        items: &[(u32, &DataValue)],
        guard: &Arc<Guard>,
        now: Moment,
    ) -> Result<(), Broken> {
        let mut rounds: Vec<Vec<Vec<NodeSaid>>> = self.slots.iter().map(|_| Vec::new()).collect();
        let mut turns: HashMap<u32, usize> = HashMap::new();
        let mut overflown: Vec<bool> = vec![false; self.slots.len()];
        for (handle, value) in items.iter().copied() {
            let (index, item) = match self.targets.get(&handle) {
                Some(Target::Value(index, item)) => (*index, item),
                Some(Target::Namespaces) => {
                    self.check_namespaces(value)?;
                    continue;
                }
                _ => continue,
            };
            let Some(slot) = self.slots.get(index) else { continue };
            if value.status.is_some_and(|status| status.overflow()) {
                if let Some(flag) = overflown.get_mut(index) {
                    *flag = true;
                }
            }
            let said = slot.decode(session, &mut self.describer, &item.points, value).await?;
            let turn = turns.entry(handle).or_insert(0);
            if let Some(rounds) = rounds.get_mut(index) {
                while rounds.len() <= *turn {
                    rounds.push(Vec::new());
                }
                if let Some(round) = rounds.get_mut(*turn) {
                    round.extend(said);
                }
            }
            *turn += 1;
        }
        let since = self.heard;
        for ((slot, rounds), overflown) in self.slots.iter_mut().zip(rounds).zip(overflown) {
            if !rounds.is_empty() {
                slot.tell(rounds, now, since, guard);
            }
            slot.overflown(overflown, now, self.reports).await?;
        }
        Ok(())
    }

    fn check_namespaces(&self, value: &DataValue) -> Result<(), Broken> {
        let Some(Variant::Array(array)) = &value.value else {
            return Ok(());
        };
        let now = array.values.iter().map(|uri| match uri {
            Variant::String(uri) => uri.to_string(),
            _ => String::new(),
        });
        if now.eq(self.namespaces.iter().cloned()) {
            return Ok(());
        }
        Err(Fault::Service {
            doing: "the server has other namespaces now; everything is looked up again".to_owned(),
            status: StatusCode::Good,
            hint: "",
        }
        .into())
    }

    async fn event(&mut self, session: &Session, event: EventFieldList, came: Came<'_>) -> Result<(), Broken> {
        let Came { guard, at: now, again } = came;
        let Some(Target::Notice(index, notice)) = self.targets.get(&event.client_handle).cloned() else {
            return Ok(());
        };
        let values = event.event_fields.unwrap_or_default();
        let Some(asked) = self.asked.get(&(index, notice)) else {
            return Ok(());
        };
        let kind = asked.kind(&values);
        match kind {
            Kind::Other => return Ok(()),
            Kind::Overflow => {
                if let Some(slot) = self.slots.get_mut(index) {
                    slot.gap(Some(notice), None, now, self.reports).await?;
                }
                return Ok(());
            }
            Kind::Wanted | Kind::Requested => {}
        }
        let mut trees = Vec::with_capacity(values.len());
        let mut fault = None;
        for value in &values {
            match self.describer.tree(session, value).await? {
                Ok(tree) => trees.push(tree),
                Err(reason) => {
                    fault.get_or_insert(reason);
                    trees.push(Tree::Null);
                }
            }
        }
        let fields = match fault {
            None => Ok(asked.tree(trees)),
            Some(reason) => Err(reason),
        };
        let raw = match &fields {
            Ok(_) => String::new(),
            Err(_) => self.describer.hex(&values),
        };
        let backfill = kind == Kind::Requested;
        let tree = match fields {
            Ok(tree) if again => Some(tree),
            Ok(tree) if backfill => {
                self.joining.came(index, &tree, self.clock);
                Some(tree)
            }
            Ok(tree) => {
                let held = joining::Held {
                    notice,
                    said: tree,
                    guard: guard.clone(),
                };
                // What is missing before it is asked for first, where the server can tell it.
                let live = self.joining.live(session, index, held, self.clock).await?;
                live.map(|held| held.said)
            }
            Err(reason) => {
                self.hear(session, index, notice, Err(reason), backfill, &raw, came)
                    .await?;
                None
            }
        };
        if let Some(tree) = tree {
            self.hear(session, index, notice, Ok(tree), backfill, "", came).await?;
        }
        self.release(session, index, now).await
    }

    /// Results that waited for others, and need not any more.
    async fn release(&mut self, session: &Session, index: usize, now: Moment) -> Result<(), Broken> {
        let released = self.joining.release(index, self.clock);
        if released.missing > 0
            && let Some(slot) = self.slots.get_mut(index)
        {
            slot.gap(None, Some(released.missing), now, self.reports).await?;
        }
        for held in released.held {
            let came = Came {
                guard: &held.guard,
                at: now,
                again: false,
            };
            self.hear(session, index, held.notice, Ok(held.said), false, "", came)
                .await?;
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "all of one event, passed on once")]
    async fn hear(
        &mut self,
        session: &Session,
        index: usize,
        notice: u16,
        fields: Result<Tree, String>,
        backfill: bool,
        raw: &str,
        came: Came<'_>,
    ) -> Result<(), Broken> {
        let Some(slot) = self.slots.get_mut(index) else {
            return Ok(());
        };
        let mut reader = Read {
            session,
            describer: &mut self.describer,
            clock: self.clock,
        };
        let told = EventTold {
            seen: came.at,
            since: self.heard.filter(|_| !backfill && !came.again),
            backfill,
            raw,
            guard: came.guard,
        };
        slot.hear(&mut reader, notice, fields, told, self.reports).await
    }

    /// Waits without a connection, taking up durable answers meanwhile. Who looks is told why there is nothing to see.
    async fn pause(&mut self, wait: Duration, reason: &str) {
        let end = tokio::time::Instant::now() + wait;
        loop {
            let rest = end.saturating_duration_since(tokio::time::Instant::now());
            if rest.is_zero() {
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

/// Whether a plainer filter may do.
fn filter_refused(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BadMonitoredItemFilterInvalid
            | StatusCode::BadMonitoredItemFilterUnsupported
            | StatusCode::BadFilterNotAllowed
            | StatusCode::BadDeadbandFilterInvalid
            | StatusCode::BadEventFilterInvalid
            | StatusCode::BadFilterOperatorInvalid
            | StatusCode::BadFilterOperatorUnsupported
            | StatusCode::BadFilterOperandInvalid
            | StatusCode::BadNotSupported
    )
}
