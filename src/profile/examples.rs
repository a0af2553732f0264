//! `[[example]]`: how a profile proves itself. Owns how registers are given and events are compared.
//!
//! The triggers are run by the same watcher as in the gateway, the fields by the same mapping.

use super::events::Event;
use super::{ExampleReport, Meaning, Profile, SlotContract};
use crate::diagnostic::tree::{Node, Table, Value as Toml};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, meant};
use crate::model::plan::SlotPlan;
use crate::model::{Draft, Moment, Raw, Sample, SlotName};
use crate::watch::{Happening, Watcher};
use crate::wire::modbus::{self, Image};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::Arc;

/// Between two steps of a sequence: longer than any `at_most`.
const STEP: u64 = 3_600_000;

/// Runs the examples of `profile`, and those of what it extends against that.
pub(super) fn run(profile: &Profile, contract: Option<&SlotContract>, out: &mut Diagnostics) -> ExampleReport {
    let mut report = ExampleReport::default();
    for (inherited, examples) in &profile.inherited {
        let subject = inherited.as_deref().unwrap_or(profile);
        for example in examples {
            tell(one(subject, None, example), &mut report, out);
        }
    }
    for example in &profile.examples {
        let mut faults = one(profile, contract, example);
        // An example may also say what the profile makes by itself, before the slot's uoms.
        if faults.has_errors() && contract.is_some() && !one(profile, None, example).has_errors() {
            faults = Diagnostics::new();
        }
        tell(faults, &mut report, out);
    }
    report
}

fn tell(faults: Diagnostics, report: &mut ExampleReport, out: &mut Diagnostics) {
    if faults.has_errors() {
        report.failed += 1;
    } else {
        report.passed += 1;
    }
    out.extend(faults);
}

fn one(profile: &Profile, contract: Option<&SlotContract>, example: &Node) -> Diagnostics {
    let mut out = Diagnostics::new();
    let Some(keys) = example.as_table() else { return out };
    let nobody = SlotContract::asking_nothing(SlotName::new("example", "example"), profile.place.clone());
    let contract = contract.unwrap_or(&nobody);
    let (Some(given), Some(expect)) = (keys.get("given"), keys.get("expect")) else {
        out.push(
            Diagnostic::error(&example.place, "an example needs `given` and `expect`")
                .help("given = { \"input:100\" = [7] }, expect = [{ type = \"tightening\", result = \"ok\" }]; no event is expect = []"),
        );
        return out;
    };
    let plan = Arc::new(profile.plan(&contract.slot));
    let steps: Vec<Option<Image>> = given
        .one_or_more()
        .iter()
        .map(|step| image(&plan, step.as_table()?, &mut out))
        .collect();
    let Some(mut steps) = steps.into_iter().collect::<Option<Vec<_>>>() else {
        return out;
    };
    if out.has_errors() {
        return out;
    }
    if given.as_list().is_none() {
        steps.insert(0, zeros(&plan));
    }
    let drafts = play(profile, contract, &plan, &steps, given.as_list().is_some());
    let name = keys.get("name").and_then(Node::as_text).unwrap_or("without a name");
    compare(profile, name, expect, &drafts, &mut out);
    out
}

/// All registers of all points, 0.
pub(super) fn zeros(plan: &SlotPlan) -> Image {
    let mut image = Image::default();
    for point in &plan.points {
        let at = point.at.registers();
        image.put(at.table, at.address, &vec![0; usize::from(modbus::span(at))]);
    }
    for event in &plan.events {
        let Some(ring) = &event.ring else { continue };
        for at in event.points.iter().filter(|point| **point != ring.index) {
            let Some(at) = plan.points.get(*at).and_then(|point| point.at.modbus()) else {
                continue;
            };
            let span = vec![0; usize::from(modbus::span(at))];
            for slot in 1..ring.slots {
                if let Some(address) = at.address.checked_add(slot.saturating_mul(ring.stride)) {
                    image.put(at.table, address, &span);
                }
            }
        }
    }
    image
}

/// What all points say, `shift` registers further on.
fn decode(plan: &SlotPlan, image: &Image, shift: u16) -> Vec<Option<Raw>> {
    let decode = |point: &crate::model::plan::PointPlan| {
        let at = point.at.registers();
        let mut at = at.clone();
        at.address = at.address.checked_add(shift)?;
        modbus::decode(&at, image)
    };
    plan.points.iter().map(decode).collect()
}

/// What one table of `given` says; what it does not give reads 0.
pub(super) fn image(plan: &SlotPlan, given: &Table, out: &mut Diagnostics) -> Option<Image> {
    let mut image = zeros(plan);
    for (key, node) in &given.entries {
        match key.name.as_str() {
            "values" => values(plan, node, &mut image, out),
            "frame" | "telegram" => super::read::not_yet(&key.place, &key.name, out),
            at => match modbus::parse_at(at) {
                Ok((table, address)) => image.put(table, address, &words(node, out)?),
                Err(fault) => {
                    out.push(
                        Diagnostic::error(&key.place, fault.to_string())
                            .help("give registers, \"input:100\" = [7], or values = { point = 7 }"),
                    );
                    return None;
                }
            },
        }
    }
    Some(image)
}

/// Registers as numbers, true and false, or text of two characters a register.
fn words(node: &Node, out: &mut Diagnostics) -> Option<Vec<u16>> {
    let mut found = Vec::new();
    for item in node.one_or_more() {
        match &item.value {
            Toml::Bool(value) => found.push(u16::from(*value)),
            Toml::Text(text) => found.extend(text.as_bytes().chunks(2).map(|pair| match pair {
                [high, low] => u16::from_be_bytes([*high, *low]),
                [high] => u16::from_be_bytes([*high, 0]),
                _ => 0,
            })),
            Toml::Integer(value) => match (u16::try_from(*value), i16::try_from(*value)) {
                (Ok(word), _) => found.push(word),
                (_, Ok(word)) => found.push(word.cast_unsigned()),
                _ => {
                    out.push(
                        Diagnostic::error(&item.place, format!("{value} does not fit a register"))
                            .help("a register holds 0 to 65535"),
                    );
                    return None;
                }
            },
            _ => {
                out.push(Diagnostic::error(
                    &item.place,
                    format!("a register is a whole number, not {}", item.kind()),
                ));
                return None;
            }
        }
    }
    Some(found)
}

fn values(plan: &SlotPlan, node: &Node, image: &mut Image, out: &mut Diagnostics) {
    let Some(table) = node.as_table() else {
        crate::diagnostic::tree::wrong(node, "values", "a table of points", out);
        return;
    };
    for (key, node) in &table.entries {
        let Some(point) = plan.points.iter().find(|point| *point.name == *key.name) else {
            let known: Vec<&str> = plan.points.iter().map(|point| &*point.name).collect();
            out.push(
                Diagnostic::error(&key.place, format!("there is no point `{}`", key.name))
                    .maybe_help(meant(&key.name, &known)),
            );
            continue;
        };
        let raw = match &node.value {
            Toml::Bool(value) => Some(Raw::Bool(*value)),
            Toml::Text(text) => Some(Raw::Text(text.clone())),
            _ => node.as_number().map(Raw::Dec),
        };
        let at = point.at.registers();
        match raw.map(|raw| modbus::encode(at, &raw)) {
            Some(Ok(words)) if at.bits.is_none() => image.put(at.table, at.address, &words),
            Some(Ok(_)) => out.push(
                Diagnostic::error(&key.place, format!("`{}` is a part of a word", key.name))
                    .help("give the word by its address"),
            ),
            Some(Err(fault)) => out.push(Diagnostic::error(&node.place, fault.to_string())),
            None => out.push(Diagnostic::error(
                &node.place,
                format!("`{}` cannot be {}", key.name, node.kind()),
            )),
        }
    }
}

/// Runs the steps in time. Of a sequence the first is the baseline, and what it shows counts.
fn play(
    profile: &Profile,
    contract: &SlotContract,
    plan: &Arc<SlotPlan>,
    steps: &[Image],
    sequence: bool,
) -> Vec<Draft> {
    let mut watcher = Watcher::new(plan.clone(), &HashMap::new());
    let mut drafts = Vec::new();
    let mut tick = STEP;
    for (number, image) in steps.iter().enumerate() {
        let values = &decode(plan, image, 0);
        let now = Moment::new(1_795_342_503_171_i64.saturating_add_unsigned(tick), tick);
        tick += STEP;
        let mut happened = watcher.observe_rings(now, values, &|shift| decode(plan, image, shift));
        if number == 0 && !sequence {
            continue;
        }
        // What happens by time happens once a step.
        happened.retain(|happening| !profile.events.get(happening.event).is_some_and(Event::is_periodic));
        if number > 0 {
            for (event, _) in profile
                .events
                .iter()
                .enumerate()
                .filter(|(_, event)| event.is_periodic())
            {
                happened.push(Happening {
                    event,
                    values: values.clone(),
                    before: vec![None; values.len()],
                    state: None,
                });
            }
        }
        for happening in happened {
            let sample = Sample::picture(plan, happening.event, happening.values, happening.before, now);
            for meaning in profile.drafts(contract, &sample) {
                if let Meaning::Draft(draft) = meaning {
                    drafts.push(*draft);
                }
            }
        }
    }
    drafts
}

/// Holds what was made against what was expected, in order.
fn compare(profile: &Profile, name: &str, expect: &Node, drafts: &[Draft], out: &mut Diagnostics) {
    let periodic = |draft: &Draft| {
        profile
            .events
            .iter()
            .any(|event| event.name == draft.event && event.is_periodic())
    };
    let shown: Vec<(&Draft, Json)> = drafts.iter().map(|draft| (draft, show(draft))).collect();
    let (timed, mut made): (Vec<_>, Vec<_>) = shown.into_iter().partition(|(draft, _)| periodic(draft));
    made.reverse();
    for wanted in expect.one_or_more() {
        let Some(fields) = wanted.as_table() else { continue };
        if timed
            .iter()
            .any(|(draft, json)| named(fields, draft) && differences(fields, json).is_empty())
        {
            continue;
        }
        // Named, and only made by time: the nearest of those is shown.
        let by_time = timed.iter().find(|(draft, _)| named(fields, draft));
        let next = match (made.last(), by_time) {
            (Some((draft, _)), _) if named(fields, draft) => made.pop(),
            (_, Some(found)) => Some(found.clone()),
            _ => made.pop(),
        };
        let Some((_, json)) = next else {
            out.push(
                Diagnostic::error(&wanted.place, format!("example `{name}`: this event did not happen"))
                    .help("nothing (more) was made of what is given"),
            );
            continue;
        };
        let differ = differences(fields, &json);
        let mut differ = differ.into_iter();
        let Some((place, what)) = differ.next() else { continue };
        let mut fault = Diagnostic::error(&place, format!("example `{name}` does not come out as expected"))
            .label(what)
            .help(format!("the event is {json}"));
        for (place, what) in differ {
            fault = fault.related(&place, what);
        }
        out.push(fault);
    }
    for (draft, json) in made.into_iter().rev() {
        out.push(
            Diagnostic::error(
                &expect.place,
                format!("example `{name}`: [events.{}] happened too", draft.event),
            )
            .label("`expect` is complete, but does not name it")
            .help(format!("the event is {json}")),
        );
    }
}

/// Whether the expectation speaks of this kind of event.
fn named(fields: &Table, draft: &Draft) -> bool {
    let word = if draft.quarantine.is_empty() {
        draft.kind.word()
    } else {
        "quarantine"
    };
    let is = |key: &str, have: &str| {
        fields
            .get(key)
            .and_then(Node::as_text)
            .is_none_or(|wanted| wanted == have)
    };
    is("type", word) && is("event", &draft.event)
}

/// An event as `expect` sees it.
pub(super) fn show(draft: &Draft) -> Json {
    let mut json = serde_json::Map::new();
    if draft.quarantine.is_empty() {
        json.insert("type".into(), draft.kind.word().into());
        json.extend(draft.data.clone());
    } else {
        json.insert("type".into(), "quarantine".into());
        json.insert("of".into(), draft.kind.word().into());
        json.insert("reasons".into(), draft.quarantine.clone().into());
        if let Some(id) = draft.id.as_ref().and_then(|id| id.last()) {
            json.insert("result_id".into(), id.clone().into());
        }
    }
    json.insert("event".into(), (*draft.event).into());
    if let Some(echo) = &draft.echo {
        json.insert("unit".into(), serde_json::json!({ "id": echo.value }));
    }
    if let Some(time) = &draft.device_time {
        json.insert("times".into(), serde_json::json!({ "device": time.said }));
    }
    if !draft.extra.is_empty() {
        json.insert("extra".into(), Json::Object(draft.extra.clone()));
    }
    Json::Object(json)
}

/// Each expected field that is otherwise, with its place.
fn differences(fields: &Table, json: &Json) -> Vec<(Place, String)> {
    let mut found = Vec::new();
    for (key, node) in &fields.entries {
        let at = member(json, &key.name);
        match (&node.value, at) {
            (Toml::Table(inner), Some(at)) => found.extend(differences(inner, at)),
            (_, at) if at.is_some_and(|at| same(node, at)) => {}
            (_, Some(at)) => found.push((node.place.clone(), format!("`{}` is {at}", key.name))),
            (_, None) => found.push((node.place.clone(), format!("`{}` is absent", key.name))),
        }
    }
    found
}

/// One member: by name, of a list by number.
fn step<'a>(json: &'a Json, name: &str) -> Option<&'a Json> {
    match json {
        Json::Array(items) => items.get(name.parse::<usize>().ok()?),
        _ => json.get(name),
    }
}

/// A dotted member; names with dots in them first.
fn member<'a>(json: &'a Json, path: &str) -> Option<&'a Json> {
    if let Some(found) = step(json, path) {
        return Some(found);
    }
    path.match_indices('.').find_map(|(at, _)| {
        let (first, rest) = path.split_at(at);
        member(step(json, first)?, rest.strip_prefix('.')?)
    })
}

fn same(node: &Node, json: &Json) -> bool {
    match (&node.value, json) {
        (Toml::Text(wanted), Json::String(have)) => wanted == have,
        (Toml::Bool(wanted), Json::Bool(have)) => wanted == have,
        (Toml::List(wanted), Json::Array(have)) => {
            wanted.len() == have.len()
                && wanted
                    .iter()
                    .zip(have)
                    .all(|(wanted, have)| match (wanted.as_table(), have) {
                        (Some(fields), have) => differences(fields, have).is_empty(),
                        (None, have) => same(wanted, have),
                    })
        }
        // Reasons are sentences: a part of one is enough.
        (Toml::Text(wanted), Json::Array(have)) => have
            .iter()
            .filter_map(Json::as_str)
            .any(|have| have.contains(wanted.as_str())),
        (_, Json::Number(have)) => {
            let have = have.to_string().parse::<crate::model::Decimal>().ok();
            have.is_some() && have == node.as_number()
        }
        _ => false,
    }
}
