//! Results of joining systems that were missed: found by their sequence numbers, and asked for again where the server offers
//! that (OPC 40450-1, `RequestResults`; OPC 40001-101, `GetLatestResult`).
//!
//! Owns which number came last, and what waits for those before it. Where a server offers nothing, the profile's counter
//! tells the gap.

use super::convert::node_id;
use super::describe::{Describer, attribute, follow};
use super::fault::Fault;
use super::session::Session;
use super::subscribe::Guard;
use crate::clock::Clock;
use crate::device::SlotStart;
use crate::model::plan::{Identifier, Namespace, NodeRef, Said, Trigger};
use crate::wire::opcua::Tree;
use opcua::types::{
    Argument, AttributeId, BrowseDirection, CallMethodRequest, DateTime, NodeClass, NodeId, Variant,
    VariantScalarTypeId,
};
use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

/// The model of results (OPC 40001-101).
const RESULT: &str = "http://opcfoundation.org/UA/Machinery/Result/";
/// The model of joining systems (OPC 40450-1).
const BASE: &str = "http://opcfoundation.org/UA/IJT/Base/";
/// Nodes that are looked through for the methods.
const NODES: usize = 2_000;
/// How long results that were asked for may take, in milliseconds, counted from the last one that came.
const PATIENCE: u64 = 10_000;
/// Results that are asked for at once.
const MOST: u64 = 10_000;
/// Results that wait for others at most.
const HELD: usize = 1_000;

/// A result that waits for those before it.
pub(super) struct Held {
    pub(super) notice: u16,
    pub(super) said: Tree,
    pub(super) guard: Arc<Guard>,
}

/// What became of what was asked for.
#[derive(Default)]
pub(super) struct Released {
    /// Those that need not wait any more.
    pub(super) held: Vec<Held>,
    /// So many never came.
    pub(super) missing: u64,
}

/// What becomes of a result.
pub(super) enum Next {
    /// It is as the device makes it.
    Live(Held),
    /// It was asked for.
    Fetched(Held),
    /// It waits for those before it.
    Waits,
}

/// The methods of a server.
#[derive(Debug, Clone)]
struct Offer {
    object: NodeId,
    request: NodeId,
    arguments: Vec<Argument>,
    latest: Option<NodeId>,
}

/// The numbers of one slot.
#[derive(Default)]
struct Numbers {
    /// Which notices tell results, and by whom.
    notices: Vec<u16>,
    notifier: Option<NodeRef>,
    last: Option<u64>,
    offer: Option<Offer>,
    /// Asked for, and not there yet.
    missing: BTreeSet<u64>,
    until: u64,
    held: VecDeque<Held>,
}

/// The numbers of all slots of one server.
pub(super) struct Recovery {
    slots: Vec<Numbers>,
}

fn is(node: &NodeRef, uri: &str, id: u32) -> bool {
    node.id == Identifier::Number(id) && matches!(&node.namespace, Namespace::Uri(of) if &**of == uri)
}

/// Whether events of this type are results with a sequence number.
fn tells_results(node: &NodeRef) -> bool {
    is(node, BASE, 1007) || is(node, RESULT, 1002)
}

/// The sequence number of a result.
pub(super) fn number(event: &Tree) -> Option<u64> {
    of_result(event.field("Result")?)
}

fn of_result(result: &Tree) -> Option<u64> {
    let number = result
        .field("ResultMetaData")?
        .field("SequenceNumber")?
        .raw()?
        .number()?;
    u64::try_from(number.to_i128()?).ok()
}

/// The type of events that results told again come as, where the server has it (`RequestedResultEventType`, 1.01).
pub(super) async fn requested(session: &Session, wanted: &NodeRef) -> Result<Option<NodeId>, Fault> {
    if !tells_results(wanted) {
        return Ok(None);
    }
    let again = NodeRef {
        namespace: Namespace::Uri(BASE.into()),
        id: Identifier::Number(1035),
    };
    let Ok(node) = node_id(&again, &session.namespaces) else {
        return Ok(None);
    };
    let class = session.read(&[attribute(&node, AttributeId::NodeClass)]).await?;
    let class = class.into_iter().next().and_then(|value| value.value);
    let class = class.and_then(|value| value.try_cast_to::<i32>().ok());
    Ok((class == Some(NodeClass::ObjectType as i32)).then_some(node))
}

impl Recovery {
    pub(super) fn new(slots: &[SlotStart]) -> Self {
        let numbers = |start: &SlotStart| {
            let plan = &start.plan;
            let notices: Vec<u16> = (0_u16..)
                .zip(&plan.notices)
                .filter(|(_, notice)| tells_results(&notice.event_type))
                .map(|(index, _)| index)
                .collect();
            let of =
                |trigger: &Trigger| matches!(trigger, Trigger::Said(Said::Event(notice)) if notices.contains(notice));
            let last = plan
                .events
                .iter()
                .filter(|event| event.triggers.iter().any(of))
                .filter_map(|event| start.states.get(&*event.name)?.mark)
                .filter_map(|mark| u64::try_from(mark.index).ok())
                .max();
            Numbers {
                notifier: notices
                    .first()
                    .and_then(|notice| plan.notices.get(usize::from(*notice)))
                    .map(|notice| notice.notifier.clone()),
                notices,
                last,
                ..Numbers::default()
            }
        };
        Self {
            slots: slots.iter().map(numbers).collect(),
        }
    }

    /// A new session: finds out what the server offers, and asks for what it made since the last result.
    pub(super) async fn begin(
        &mut self,
        session: &Session,
        describer: &mut Describer,
        clock: &Clock,
    ) -> Result<(), Fault> {
        for numbers in &mut self.slots {
            numbers.held.clear();
            numbers.missing.clear();
            let Some(notifier) = numbers.notifier.as_ref().filter(|_| !numbers.notices.is_empty()) else {
                continue;
            };
            let Ok(notifier) = node_id(notifier, &session.namespaces) else {
                continue;
            };
            numbers.offer = offer(session, &notifier).await?;
            let (Some(offer), Some(last)) = (&numbers.offer, numbers.last) else {
                continue;
            };
            let Some(method) = offer.latest.clone() else { continue };
            let call = CallMethodRequest {
                object_id: offer.object.clone(),
                method_id: method,
                input_arguments: Some(vec![Variant::Int32(1_000)]),
            };
            let answer = match session.method(call).await {
                Ok(answer) => answer,
                Err(fault) if fault.ends_session() => return Err(fault),
                Err(_) => continue,
            };
            for value in answer.output_arguments.unwrap_or_default() {
                let Ok(tree) = describer.tree(session, &value).await? else {
                    continue;
                };
                if let Some(newest) = of_result(&tree).filter(|newest| *newest > last) {
                    numbers.ask(session, last + 1, newest, clock).await?;
                }
            }
        }
        Ok(())
    }

    /// A result as the server tells it; `again` where it says itself that it was asked for. What is missing before a live
    /// one is asked for first.
    pub(super) async fn heard(
        &mut self,
        session: &Session,
        slot: usize,
        result: Held,
        again: bool,
        clock: &Clock,
    ) -> Result<Next, Fault> {
        let numbers = self.slots.get_mut(slot);
        let numbers = numbers.filter(|of| of.notices.contains(&result.notice));
        let (Some(numbers), Some(number)) = (numbers, number(&result.said)) else {
            return Ok(if again {
                Next::Fetched(result)
            } else {
                Next::Live(result)
            });
        };
        // Not every server says which were asked for: the number does.
        if numbers.missing.remove(&number) || again {
            numbers.until = clock.now().tick.saturating_add(PATIENCE);
            numbers.last = numbers.last.max(Some(number));
            return Ok(Next::Fetched(result));
        }
        if !numbers.missing.is_empty() && numbers.held.len() < HELD {
            numbers.held.push_back(result);
            return Ok(Next::Waits);
        }
        let last = numbers.last.replace(number);
        if let Some(last) = last.filter(|last| number > *last + 1)
            && numbers.ask(session, last + 1, number - 1, clock).await?
        {
            numbers.last = Some(last);
            numbers.held.push_back(result);
            return Ok(Next::Waits);
        }
        Ok(Next::Live(result))
    }

    /// What need not wait any more, because all came, or because the time is over.
    pub(super) fn release(&mut self, slot: usize, clock: &Clock) -> Released {
        let Some(numbers) = self.slots.get_mut(slot) else {
            return Released::default();
        };
        let over = clock.now().tick >= numbers.until;
        if !numbers.missing.is_empty() && !over {
            return Released::default();
        }
        let missing = u64::try_from(std::mem::take(&mut numbers.missing).len()).unwrap_or(u64::MAX);
        let held: Vec<Held> = numbers.held.drain(..).collect();
        if let Some(newest) = held.iter().filter_map(|held| number(&held.said)).max() {
            numbers.last = Some(newest);
        }
        Released { held, missing }
    }

    /// At which tick waiting ends.
    pub(super) fn due(&self) -> Option<u64> {
        let waits = self.slots.iter().filter(|numbers| !numbers.missing.is_empty());
        waits.map(|numbers| numbers.until).min()
    }
}

impl Numbers {
    /// Asks for these results. `false`: the server does not do that.
    async fn ask(&mut self, session: &Session, from: u64, to: u64, clock: &Clock) -> Result<bool, Fault> {
        let Some(offer) = &self.offer else { return Ok(false) };
        let from = from.max(to.saturating_sub(MOST));
        let call = CallMethodRequest {
            object_id: offer.object.clone(),
            method_id: offer.request.clone(),
            input_arguments: Some(
                offer
                    .arguments
                    .iter()
                    .map(|argument| given(argument, from, to))
                    .collect(),
            ),
        };
        match session.method(call).await {
            Ok(answer) if answer.status_code.is_good() => {
                tracing::info!("results {from} to {to} were missed, and are asked for again");
                self.missing = (from..=to).collect();
                self.until = clock.now().tick.saturating_add(PATIENCE);
                Ok(true)
            }
            Ok(answer) => {
                tracing::warn!("missed results cannot be asked for again: {}", answer.status_code);
                Ok(false)
            }
            Err(fault) if fault.ends_session() => Err(fault),
            Err(fault) => {
                tracing::warn!("missed results cannot be asked for again: {fault}");
                Ok(false)
            }
        }
    }
}

/// What is given for an argument: the numbers, else nothing.
fn given(argument: &Argument, from: u64, to: u64) -> Variant {
    let name = argument.name.as_ref();
    let kind = VariantScalarTypeId::try_from(&argument.data_type).unwrap_or(VariantScalarTypeId::UInt64);
    let number = match name {
        _ if name.contains("Sequence") && name.starts_with("From") => Some(from),
        _ if name.contains("Sequence") && name.starts_with("To") => Some(to),
        _ => None,
    };
    match (kind, number) {
        (VariantScalarTypeId::DateTime, _) => Variant::from(DateTime::null()),
        (VariantScalarTypeId::String, _) => Variant::from(opcua::types::UAString::null()),
        (VariantScalarTypeId::Double, _) => Variant::Double(0.0),
        (VariantScalarTypeId::UInt32, number) => {
            Variant::UInt32(u32::try_from(number.unwrap_or(0)).unwrap_or(u32::MAX))
        }
        (VariantScalarTypeId::Int64, number) => Variant::Int64(i64::try_from(number.unwrap_or(0)).unwrap_or(i64::MAX)),
        // Also of the type Duration, which is a double by another name.
        (_, None) if name.contains("Duration") => Variant::Double(0.0),
        (_, None) if name.contains("Time") => Variant::from(DateTime::null()),
        (_, number) => Variant::UInt64(number.unwrap_or(0)),
    }
}

/// The methods of the result management below `notifier`; of the server, below its objects.
async fn offer(session: &Session, notifier: &NodeId) -> Result<Option<Offer>, Fault> {
    let start = if *notifier == NodeId::new(0, 2253_u32) {
        NodeId::new(0, 85_u32)
    } else {
        notifier.clone()
    };
    let mut open = VecDeque::from([start]);
    let mut met: HashSet<NodeId> = open.iter().cloned().collect();
    while let Some(node) = open.pop_front() {
        let below = session.browse(&[follow(&node, 33, BrowseDirection::Forward)]).await?;
        let below: Vec<_> = below.into_iter().flatten().collect();
        let method = |name: &str| {
            below
                .iter()
                .find(|one| one.node_class == NodeClass::Method && one.browse_name.name.as_ref() == name)
                .map(|one| one.node_id.node_id.clone())
        };
        if let Some(request) = method("RequestResults") {
            return Ok(Some(Offer {
                arguments: arguments(session, &request).await?,
                latest: method("GetLatestResult"),
                object: node,
                request,
            }));
        }
        for one in below {
            let core = one.node_id.node_id.namespace == 0;
            if one.node_class == NodeClass::Object
                && !core
                && met.len() < NODES
                && met.insert(one.node_id.node_id.clone())
            {
                open.push_back(one.node_id.node_id);
            }
        }
    }
    Ok(None)
}

/// What a method takes, as the server says; else as the specification does.
async fn arguments(session: &Session, method: &NodeId) -> Result<Vec<Argument>, Fault> {
    let below = session.browse(&[follow(method, 46, BrowseDirection::Forward)]).await?;
    let inputs = below
        .into_iter()
        .flatten()
        .find(|one| one.browse_name.name.as_ref() == "InputArguments");
    if let Some(inputs) = inputs {
        let values = session
            .read(&[attribute(&inputs.node_id.node_id, AttributeId::Value)])
            .await?;
        if let Some(Variant::Array(array)) = values.into_iter().next().and_then(|value| value.value) {
            let arguments = array.values.iter().filter_map(|value| match value {
                Variant::ExtensionObject(object) => object.inner_as::<Argument>().cloned(),
                _ => None,
            });
            let arguments: Vec<Argument> = arguments.collect();
            if !arguments.is_empty() {
                return Ok(arguments);
            }
        }
    }
    let argument = |name: &str, data_type: u32| Argument {
        name: name.into(),
        data_type: NodeId::new(0, data_type),
        ..Argument::default()
    };
    Ok(vec![
        argument("FromSequenceNumber", 9),
        argument("ToSequenceNumber", 9),
        argument("FromTime", 13),
        argument("ToTime", 13),
        argument("RequestedMinimumDurationBetweenResults", 11),
    ])
}
