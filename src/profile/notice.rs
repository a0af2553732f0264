//! Events of an OPC UA server: `when = { event = … }`, and what their points may be.
//!
//! Owns which points can be of which trigger, and that all `[each]` of an event go over one array.

use super::events::Event;
use super::nodes::{node_id, position_of_each};
use super::points::Point;
use super::protocol::{Family, Protocol};
use crate::diagnostic::tree::{Node, Table};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::model::plan::{FieldPath, NodeRef, Notice, Said, Trigger};

/// `{ event = …, notifier = … }`; equal ones are one notice.
pub(super) fn trigger(
    keys: &Table,
    value: &Node,
    protocol: &Protocol,
    notices: &mut Vec<Notice>,
    out: &mut Diagnostics,
) -> Option<Trigger> {
    if protocol.family != Family::Opcua {
        out.push(
            Diagnostic::error(
                &value.place,
                format!("`event` is of OPC UA; `{}` has none", protocol.word),
            )
            .related(&protocol.place, "the protocol")
            .help(super::triggers::usual(protocol)),
        );
        return None;
    }
    let event_type = node_id(value.as_text()?, &value.place, out);
    let notifier = match keys.get("notifier") {
        Some(node) => node_id(node.as_text()?, &node.place, out),
        None => Some(NodeRef::SERVER),
    };
    let notice = Notice {
        event_type: event_type?,
        notifier: notifier?,
    };
    let at = notices.iter().position(|known| *known == notice).unwrap_or_else(|| {
        notices.push(notice);
        notices.len() - 1
    });
    u16::try_from(at).ok().map(|at| Trigger::Said(Said::Event(at)))
}

/// Whether an event is triggered by events of a server.
pub(super) fn is_noticed(event: &Event) -> bool {
    event
        .triggers
        .iter()
        .any(|trigger| matches!(trigger, Trigger::Said(Said::Event(_))))
}

/// What cannot work, of one event.
pub(super) fn check(event: &Event, points: &[Point], out: &mut Diagnostics) {
    let noticed = is_noticed(event);
    let all = event
        .triggers
        .iter()
        .all(|trigger| matches!(trigger, Trigger::Said(Said::Event(_))));
    if noticed && !all {
        out.push(
            Diagnostic::error(
                &event.place,
                format!("[events.{}] is triggered by events and by values", event.name),
            )
            .help("an event comes with its own fields, a value without them: make it two events, each with its own `when`"),
        );
        return;
    }
    let reads = event.reads(points);
    let of_event = |point: &Point| point.at.opcua().is_some_and(|at| at.node.is_none());
    let fields = || {
        reads
            .iter()
            .filter_map(|at| points.get(*at))
            .filter(|point| of_event(point))
    };
    if !noticed {
        if let Some(point) = fields().next() {
            out.push(
                Diagnostic::error(
                    &event.place,
                    format!("`{}` is a field of an event, but nothing here is one", point.name),
                )
                .label("triggered by values")
                .related(&point.place, "has no `node`")
                .help("give the point its node, or trigger by the event: when = { event = \"nsu=…;i=1007\" }"),
            );
        }
        return;
    }
    if let Some(ack) = &event.ack
        && points.get(ack.write).is_some_and(of_event)
    {
        out.push(
            Diagnostic::error(&event.place, "a field of an event cannot be written")
                .help("an acknowledgement goes to a variable: name its node"),
        );
    }
    let mut first: Option<(&Point, &FieldPath)> = None;
    for point in fields() {
        let paths = point.at.opcua().map(|at| at.paths.as_slice()).unwrap_or_default();
        for path in paths.iter().filter(|path| position_of_each(path).is_some()) {
            match first {
                None => first = Some((point, path)),
                Some((one, other)) if array(other) != array(path) => {
                    out.push(
                        Diagnostic::error(
                            &point.place,
                            format!("[events.{}] goes through each element of two arrays", event.name),
                        )
                        .label(shown(path))
                        .related(&one.place, shown(other))
                        .help("all [each] of one event stand behind the same array, with the same conditions: make it two events, or choose one element of the other array: [0], [last]"),
                    );
                    return;
                }
                Some(_) => {}
            }
        }
    }
    if first.is_some()
        && event
            .id
            .iter()
            .filter_map(|at| points.get(*at))
            .all(|point| !is_of_each(point))
    {
        let Some(place) = &event.id_place else { return };
        out.push(
            Diagnostic::warning(place, "this `id` is the same for each element")
                .label("what comes second is taken for the first, said anew")
                .help("add a point that differs from element to element: field = \"…[each]/ResultMetaData/ResultId\""),
        );
    }
}

fn is_of_each(point: &Point) -> bool {
    point.at.opcua().is_some_and(crate::model::plan::OpcuaPoint::is_of_each)
}

/// The way to the array, its `[each]` included.
fn array(path: &FieldPath) -> Vec<String> {
    let Some((step, selector)) = position_of_each(path) else {
        return Vec::new();
    };
    let steps = path.steps.iter().take(step + 1).enumerate();
    steps
        .map(|(at, found)| {
            let most = if at == step { selector + 1 } else { usize::MAX };
            let selectors: Vec<_> = found.selectors.iter().take(most).collect();
            format!("{:?} {selectors:?}", found.names)
        })
        .collect()
}

/// The way to the array, as it is written.
fn shown(path: &FieldPath) -> String {
    let end = path.text.find("[each").map(|at| {
        let rest = path.text.get(at..).unwrap_or_default();
        at + rest.find(']').map_or(rest.len(), |end| end + 1)
    });
    path.text
        .get(..end.unwrap_or(path.text.len()))
        .unwrap_or(&path.text)
        .to_owned()
}
