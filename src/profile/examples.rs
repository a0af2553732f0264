//! `[[example]]`: how a profile proves itself. Owns how events are compared with what is expected.
//!
//! What is given is [`given`]'s, what it leads to [`play`]'s: the triggers are run by the same watcher as in the gateway,
//! the fields by the same mapping.

mod given;
mod play;
mod server;

use super::merge::Layer;
use super::{ExampleReport, FileFault, Files, Profile, SlotContract, endpoint};
use crate::diagnostic::tree::{Node, Table, Value as Toml};
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::model::{Draft, SlotName};
pub(super) use given::{Given, image, step as given, zeros};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Every file that examples of these layers name: the fields of an event, captured.
pub(super) fn beside(layers: &[Layer], files: &dyn Files) -> HashMap<PathBuf, Result<String, FileFault>> {
    let examples = layers.iter().flat_map(|layer| &layer.examples);
    let given = examples.filter_map(|example| example.as_table()?.get("given"));
    let steps = given.flat_map(Node::one_or_more).filter_map(Node::as_table);
    let named = steps.filter_map(|step| step.get("event").and_then(|node| Some((node.as_text()?, &node.place))));
    let paths = named.map(|(text, place)| endpoint::beside(place, text));
    paths.map(|path| (path.clone(), files.read(&path))).collect()
}

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
    let sequence = given.as_list().is_some();
    let steps: Vec<Option<Given>> = given
        .one_or_more()
        .iter()
        .map(|step| self::given::step(profile, &plan, step, &mut out))
        .collect();
    let Some(steps) = steps.into_iter().collect::<Option<Vec<_>>>() else {
        return out;
    };
    if out.has_errors() {
        return out;
    }
    let drafts = match play::drafts(profile, contract, &plan, steps, sequence) {
        Ok(drafts) => drafts,
        Err(fault) => {
            out.push(Diagnostic::error(&given.place, fault));
            return out;
        }
    };
    let name = keys.get("name").and_then(Node::as_text).unwrap_or("without a name");
    compare(profile, name, expect, &drafts, &mut out);
    out
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
