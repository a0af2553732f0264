//! What is subscribed to: the variables that triggers look at, events with their fields; and what becomes of it where the
//! server refuses.

use super::{Bus, Target};
use crate::device::opcua::fault::Fault;
use crate::device::opcua::fields::Asked;
use crate::device::opcua::session::Session;
use crate::device::opcua::slot::Broken;
use crate::device::opcua::subscribe::Subscription;
use crate::device::opcua::{convert, joining};
use crate::model::plan::{FieldPath, Said, Trigger};
use opcua::types::{
    AttributeId, DataChangeFilter, DataChangeTrigger, DeadbandType, ExtensionObject, MonitoredItemCreateRequest,
    MonitoringMode, MonitoringParameters, NodeId, ReadValueId, StatusCode,
};
use std::sync::Arc;
use std::time::Duration;

/// How often what cannot be subscribed to is tried again, in milliseconds.
const AGAIN: u64 = 10_000;
/// Events that the server keeps between two publishings.
const EVENTS: u32 = 10_000;

impl Bus<'_> {
    /// Subscribes to all that the slots look at.
    pub(super) async fn subscribe(&mut self, session: &Arc<Session>) -> Result<(), Broken> {
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
    pub(super) async fn monitor(&mut self, session: &Session, wanted: Vec<Target>) -> Result<(), Broken> {
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
                Err(why) => self.cannot(target, Some(&why)),
            }
        }
        let mut results = session.monitor(id, &requests).await?;
        // Once more without what many servers do not take: a deadband, a where clause.
        let (mut places, mut plainer) = (Vec::new(), Vec::new());
        for (place, ((request, result), (_, target))) in requests.iter().zip(&results).zip(&targets).enumerate() {
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
            places.push(place);
            plainer.push(request);
        }
        let again = session.monitor(id, &plainer).await?;
        for (place, result) in places.into_iter().zip(again) {
            if let Some(slot) = results.get_mut(place) {
                *slot = result;
            }
        }
        for ((handle, target), result) in targets.into_iter().zip(results) {
            let why = result.status_code.is_bad().then(|| convert::status(result.status_code));
            if why.is_none() {
                self.targets.insert(handle, target.clone());
            }
            self.cannot(target, why.as_deref());
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
    fn cannot(&mut self, target: Target, why: Option<&str>) {
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
        let shown = why.filter(|_| matches!(target, Target::Notice(..)));
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
                        // The server tells what is more than this; a change by the band itself is one, too.
                        deadband_value: band * (1.0 - 1e-9),
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
