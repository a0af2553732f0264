//! How points and events look on a terminal and as JSON; shared by probe, replay and simulate.

use super::target::{Look, Target};
use crate::model::plan::{
    Address, EventPlan, FramePlace, FramePoint, Link, ModbusType, PointIx, Said, SlotPlan, TextKind, Trigger,
};
use crate::model::value::json_number;
use crate::model::{Raw, Sample};
use crate::profile::{Meaning, Profile, SlotContract, show};
use serde_json::{Value, json};
use std::sync::Arc;

/// An event that would be made now.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Shown {
    /// Its name in the profile.
    pub(in crate::cli) event: String,
    /// When it happens, in words; empty: its trigger shows now.
    pub(in crate::cli) when: String,
    /// What it says; none: turned away by `only` or `except`, or no bit of an alarm word is set.
    pub(in crate::cli) says: Vec<Value>,
}

/// The events that these values would make.
pub(in crate::cli) fn events(
    profile: &Profile,
    contract: &SlotContract,
    plan: &Arc<SlotPlan>,
    look: &Look,
) -> Vec<Shown> {
    let one = |(index, event): (usize, &EventPlan)| {
        let before = vec![None; look.values.len()];
        let sample = Sample::picture(plan, index, look.values.clone(), before, look.at);
        let drafts = profile.drafts(contract, &sample);
        Shown {
            event: event.name.to_string(),
            when: event
                .triggers
                .iter()
                .map(|trigger| waits(trigger, plan, &look.values))
                .collect::<Option<Vec<_>>>()
                .map(|all| all.join(" or "))
                .unwrap_or_default(),
            says: drafts
                .iter()
                .filter(|_| !is_awaited(plan, event, look))
                .filter_map(|meaning| match meaning {
                    Meaning::Draft(draft) => Some(show(draft)),
                    Meaning::Ignored | Meaning::Passed(_) => None,
                })
                .collect(),
        }
    };
    plan.events.iter().enumerate().map(one).collect()
}

/// Whether an event of an OPC UA server makes this one, and none was told yet.
fn is_awaited(plan: &SlotPlan, event: &EventPlan, look: &Look) -> bool {
    let told = |trigger: &Trigger| matches!(trigger, Trigger::Said(Said::Event(_)));
    let says = |point: &PointIx| is_field(plan, *point) && look.values.get(*point).is_some_and(Option::is_some);
    event.triggers.iter().all(told) && !event.points.iter().any(says)
}

/// Whether a point is a field of an event of an OPC UA server.
fn is_field(plan: &SlotPlan, point: PointIx) -> bool {
    let at = plan.points.get(point).and_then(|point| point.at.opcua());
    at.is_some_and(|at| at.node.is_none())
}

/// What a trigger waits for; `None`: it shows.
fn waits(trigger: &Trigger, plan: &SlotPlan, values: &[Option<Raw>]) -> Option<String> {
    let name = |point: &PointIx| plan.points.get(*point).map_or("", |point| &*point.name);
    let value = |point: &PointIx| values.get(*point).and_then(Option::as_ref);
    match trigger {
        Trigger::Rises(point) if value(point).is_some_and(Raw::truth) => None,
        Trigger::Falls(point) if value(point).is_some_and(|raw| !raw.truth()) => None,
        Trigger::Equals(point, wanted) | Trigger::Reads(point, wanted)
            if value(point).is_some_and(|raw| raw.same_value(wanted)) =>
        {
            None
        }
        Trigger::Rises(point) => Some(format!("when `{}` rises", name(point))),
        Trigger::Falls(point) => Some(format!("when `{}` falls", name(point))),
        Trigger::Equals(point, wanted) => Some(format!("when `{}` becomes {}", name(point), wanted.text())),
        Trigger::Reads(point, wanted) => Some(format!("when `{}` is read as {}", name(point), wanted.text())),
        Trigger::Changes(points) => Some(format!(
            "when `{}` changes",
            points.iter().map(name).collect::<Vec<_>>().join("`, `")
        )),
        Trigger::ChangesAny { .. } => Some("when a value changes".to_owned()),
        Trigger::Every(period) => Some(format!("every {period:?}")),
        Trigger::Said(Said::Event(index)) => {
            let notice = plan.notices.get(usize::from(*index));
            let kind = notice.map(|notice| notice.event_type.to_string()).unwrap_or_default();
            Some(format!("with each event {kind}"))
        }
        Trigger::Said(said) => Some(format!("with each {}", said.word())),
    }
}

/// One event in a line: `tightening ok, torque 1.394233 N.m (min 1.1), angle 47 deg, result_id 7`.
pub(in crate::cli) fn event_line(json: &Value) -> String {
    let word = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut line = word("type").to_owned();
    if !word("event").is_empty() && word("event") != word("type") && word("event") != word("of") {
        line = format!("{line} [{}]", word("event"));
    }
    if word("type") == "quarantine" {
        let reasons: Vec<&str> = json
            .get("reasons")
            .and_then(Value::as_array)
            .map(|reasons| reasons.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        line = format!("{line} of {}: {}", word("of"), reasons.join("; "));
    }
    let mut parts = Vec::new();
    for (name, value) in json.as_object().into_iter().flatten() {
        match name.as_str() {
            "type" | "event" | "of" | "reasons" => {}
            "result" => line = format!("{line} {}", text(value)),
            _ => field(name, value, &mut parts),
        }
    }
    if parts.is_empty() {
        line
    } else {
        format!("{line}, {}", parts.join(", "))
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn field(path: &str, value: &Value, parts: &mut Vec<String>) {
    match value {
        Value::Object(members) if members.contains_key("value") => {
            let mut said = format!("{path} {}", members.get("value").map(text).unwrap_or_default());
            if let Some(uom) = members.get("uom") {
                said = format!("{said} {}", text(uom));
            }
            let more: Vec<String> = members
                .iter()
                .filter(|(name, _)| !matches!(name.as_str(), "value" | "uom"))
                .map(|(name, value)| format!("{name} {}", text(value)))
                .collect();
            if !more.is_empty() {
                said = format!("{said} ({})", more.join(", "));
            }
            parts.push(said);
        }
        Value::Object(members) => {
            for (name, value) in members {
                field(&format!("{path}.{name}"), value, parts);
            }
        }
        value => parts.push(format!("{path} {}", text(value))),
    }
}

/// Where a point is: `input:101 f32`.
fn at(plan: &SlotPlan, point: PointIx) -> (String, bool) {
    let Some(point) = plan.points.get(point) else {
        return (String::new(), false);
    };
    let at = match &point.at {
        Address::Modbus(at) => at,
        Address::Field(name) => return (name.to_string(), false),
        Address::Frame(at) => return (part(at), false),
        Address::Opcua(at) => return (at.to_string(), false),
    };
    let kind = match at.kind {
        ModbusType::Text(bytes) => format!("string {bytes}"),
        kind => format!("{kind:?}").to_lowercase(),
    };
    let count = at.count.map(|count| format!("[{count}]")).unwrap_or_default();
    (format!("{}:{} {kind}{count}", at.table.word(), at.address), at.clears)
}

/// Which part of a frame: `columns 18-24 decimal`.
fn part(at: &FramePoint) -> String {
    let place = match &at.place {
        FramePlace::Whole => "frame".to_owned(),
        FramePlace::Columns(from, to) => format!("columns {from}-{to}"),
        FramePlace::Column(number) => format!("column {number}"),
        FramePlace::Group(name) => format!("group {name}"),
        FramePlace::Code => "code".to_owned(),
        FramePlace::Aim => "aim".to_owned(),
        FramePlace::Symbology => "symbology".to_owned(),
        FramePlace::Gs1(ai) => format!("gs1 {ai}"),
        FramePlace::Gs1All => "gs1".to_owned(),
        FramePlace::DataIdentifier(di) => format!("di {di}"),
        FramePlace::Vin { check_digit: false } => "vin".to_owned(),
        FramePlace::Vin { check_digit: true } => "vin with check digit".to_owned(),
    };
    match at.kind {
        TextKind::Text => place,
        kind => format!("{place} {}", format!("{kind:?}").to_lowercase()),
    }
}

/// What a point means, or why it means nothing.
fn meaning(target: &Target, look: &Look, point: PointIx, clears: bool) -> (String, &'static str) {
    let name = target.plan.points.get(point).map_or("", |point| &*point.name);
    let refused = look.faults.iter().find(|fault| fault.contains(&format!("`{name}`")));
    let raw = look.values.get(point).and_then(Option::as_ref);
    match (raw, refused) {
        (None, Some(fault)) => {
            let why = fault.split(": ").nth(1).unwrap_or(fault);
            (format!("refused: {why}"), "refused")
        }
        (None, None) if at(&target.plan, point).1 && !clears => {
            ("not read: reading clears it (--clears reads it)".to_owned(), "not_read")
        }
        (None, None) if is_field(&target.plan, point) => (unsaid(&target.plan, look).to_owned(), "absent"),
        (None, None) => ("not read, or no value of its type".to_owned(), "absent"),
        (Some(_), _) => match target.profile.meaning_of(point, &look.values) {
            text if text == "invalid" => (text, "invalid"),
            text if text == "absent" => (text, "absent"),
            text => (text, "good"),
        },
    }
}

/// Why a field of an event says nothing.
fn unsaid(plan: &SlotPlan, look: &Look) -> &'static str {
    let says = |point: PointIx| is_field(plan, point) && look.values.get(point).is_some_and(Option::is_some);
    if plan.notices.is_empty() {
        "no event of the profile says it: when = { event = … }"
    } else if (0..plan.points.len()).any(says) {
        "absent in the last event"
    } else {
        "no event yet"
    }
}

/// What the link says beside a value: its registers, or its quality.
fn beside(target: &Target) -> &'static str {
    match target.plan.link {
        Link::Opcua(_) => "quality",
        _ => "registers",
    }
}

/// The whole look as a table.
pub(in crate::cli) fn table(target: &Target, look: &Look, clears: bool) -> String {
    let mut rows = vec![["point", "at", beside(target), "raw", "means"].map(str::to_owned)];
    for (index, point) in target.plan.points.iter().enumerate() {
        let raw = look.values.get(index).and_then(Option::as_ref).map(Raw::text);
        rows.push([
            point.name.to_string(),
            at(&target.plan, index).0,
            shortened(look.words.get(index).map_or("", String::as_str)),
            shortened(&raw.unwrap_or_default()),
            match meaning(target, look, index, clears) {
                (means, "good") => shortened(&means),
                (means, _) => means,
            },
        ]);
    }
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut lines = vec![format!("{}  {}", target.described(), look.at.rfc3339()), String::new()];
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        lines.push(cells.collect::<Vec<_>>().join("  ").trim_end().to_owned());
    }
    for fault in &look.faults {
        lines.push(format!("! {fault}"));
    }
    lines.push(String::new());
    lines.push("events that this would make:".to_owned());
    for shown in events(&target.profile, &target.contract, &target.plan, look) {
        let when = if shown.when.is_empty() {
            "now".to_owned()
        } else {
            shown.when
        };
        if shown.says.is_empty() {
            lines.push(format!("  [events.{}] {when}: none", shown.event));
        }
        for json in &shown.says {
            lines.push(format!("  [events.{}] {when}: {}", shown.event, event_line(json)));
        }
    }
    lines.join("\n")
}

/// Long arrays and texts are cut for people.
fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    let begin: String = text.chars().take(MOST).collect();
    format!("{begin}…")
}

/// The whole look in a line.
pub(in crate::cli) fn line(target: &Target, look: &Look, clears: bool) -> String {
    let points = target.plan.points.iter().enumerate().map(|(index, point)| {
        let means = meaning(target, look, index, clears).0;
        let quality = look.words.get(index).filter(|quality| !quality.is_empty());
        let quality = match (quality, look.values.get(index)) {
            (Some(quality), Some(Some(_))) if beside(target) == "quality" => format!(" ({quality})"),
            _ => String::new(),
        };
        format!("{}={}{quality}", point.name, shortened(&means))
    });
    let events = events(&target.profile, &target.contract, &target.plan, look);
    let shown = events
        .iter()
        .filter(|shown| shown.when.is_empty())
        .flat_map(|shown| &shown.says);
    let mut line = format!("{} {}", look.at.rfc3339(), points.collect::<Vec<_>>().join(" "));
    for json in shown {
        line = format!("{line} | {}", event_line(json));
    }
    line
}

/// The whole look as one JSON object.
pub(in crate::cli) fn json_line(target: &Target, look: &Look, clears: bool) -> Value {
    let points = target.plan.points.iter().enumerate().map(|(index, point)| {
        let raw = look.values.get(index).and_then(Option::as_ref);
        let (means, state) = meaning(target, look, index, clears);
        let uom = target.profile.points().nth(index).and_then(|(_, uom)| uom);
        json!({
            "point": *point.name, "at": at(&target.plan, index).0,
            (beside(target)): look.words.get(index).filter(|words| !words.is_empty()),
            "raw": raw.map(|raw| raw.number().map_or_else(|| raw.text().into(), json_number)),
            "means": means, "state": state, "uom": uom.map(crate::model::Uom::code),
        })
    });
    let points: Vec<Value> = points.collect();
    let events: Vec<Value> = events(&target.profile, &target.contract, &target.plan, look)
        .into_iter()
        .map(|shown| json!({ "event": shown.event, "now": shown.when.is_empty(), "when": shown.when, "says": shown.says }))
        .collect();
    json!({
        "at": look.at.rfc3339(), "slot": target.slot.as_ref().map(ToString::to_string),
        "through": if target.gateway.is_some() { "gateway" } else { "link" },
        "points": points, "faults": look.faults, "events": events,
    })
}
