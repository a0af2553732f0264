//! `lineside profile fields`: the contract's fields by type, and the points that a protocol names by itself.

use super::aligned;
use crate::cli::{INVALID, complain, print};
use crate::model::EventType;
use crate::model::event::{AXIS, FieldSpec, MEASURE, Shape};
use crate::profile::{KnownPoint, known_points};
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct FieldsOf {
    /// A type of event, or a protocol; default: every type
    #[arg(value_name = "TYPE")]
    what: Option<String>,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

/// One field, or a member of one.
struct Line {
    /// Dotted.
    path: String,
    kind: &'static str,
    uom: Option<&'static str>,
    words: &'static [&'static str],
    required: bool,
    about: &'static str,
}

pub(super) fn run(fields: &FieldsOf) -> ExitCode {
    let Some(what) = &fields.what else {
        return tell(EventType::ALL, fields.json);
    };
    if let Some(kind) = EventType::of(what) {
        return tell(&[kind], fields.json);
    }
    if crate::profile::protocols().contains(&what.as_str()) {
        let known = known_points(what);
        if fields.json {
            let points: Vec<Value> = known.iter().map(point_json).collect();
            print(&format!("{:#}", json!({ "protocol": what, "points": points })));
        } else {
            print(&points_text(what, &known));
        }
        return ExitCode::SUCCESS;
    }
    let mut known: Vec<&str> = EventType::WORDS.to_vec();
    known.extend(crate::profile::protocols());
    let help = crate::diagnostic::meant(what, &known).unwrap_or_default();
    complain(&format!(
        "error: `{what}` is neither a type of event nor a protocol of this build\n  = help: {help}"
    ));
    ExitCode::from(INVALID)
}

fn tell(kinds: &[EventType], as_json: bool) -> ExitCode {
    if as_json {
        let types: Vec<Value> = kinds.iter().map(|kind| of_json(*kind)).collect();
        print(&format!("{:#}", json!({ "types": types })));
    } else {
        let texts: Vec<String> = kinds.iter().map(|kind| of_text(*kind)).collect();
        print(&texts.join("\n\n"));
    }
    ExitCode::SUCCESS
}

fn point_json(point: &KnownPoint) -> Value {
    let mut json = json!({ "name": point.name, "kind": point.kind, "about": point.about });
    if let Some(object) = json.as_object_mut() {
        if !point.from.is_empty() {
            object.insert("from".into(), point.from.into());
        }
        if let Some(uom) = point.uom {
            object.insert("uom".into(), uom.into());
        }
        if !point.words.is_empty() {
            object.insert("words".into(), point.words.into());
        }
    }
    json
}

/// What a protocol names by itself, and what else a point can be.
fn points_text(protocol: &str, known: &[KnownPoint]) -> String {
    let head = match protocol {
        "open-protocol" => {
            "open-protocol: every field of every telegram is a point by itself, one name per meaning through revisions and MIDs.\n\
             [points] says only what a controller does otherwise: torque = { uom = \"lbf.in\" }; a parameter of variable results\n\
             is mine = { pid = 2001 }, or pid_2001 by itself."
        }
        "opcua" => {
            "opcua names no points: a variable has a node, torque = { node = \"nsu=http://…;s=Tool.Torque\", uom = \"N.m\" }.\n\
             `lineside probe FILE` browses a server. A point without a node is a field of an event: field = \"…\". Those of joining\n\
             systems (OPC 40450-1), which `joining/opc-40450` has already:"
        }
        "serial" | "tcp" => {
            "Every named group of `pattern` is a point; [points] adds type, map, uom: torque = { uom = \"N.m\" }.\n\
             Others are columns = [18, 24], column = 3 of a line that `separator` cuts, gs1 = \"21\" and di = \"S\" of a scanned code.\n\
             There by themselves, unless something else is called so:"
        }
        _ => {
            return format!(
                "{protocol} names no points: a device has registers and coils by address.\n\
                 Name them in [points]: torque = {{ at = \"holding:100\", type = \"f32\", uom = \"N.m\" }}"
            );
        }
    };
    let rows: Vec<Vec<String>> = known
        .iter()
        .map(|point| {
            let words = point.words.join(" | ");
            // A long list would push everything else out of sight.
            let (what, more) = match point.uom {
                Some(uom) => (format!("{}, {uom}", point.kind), String::new()),
                None if words.is_empty() => (point.kind.to_owned(), String::new()),
                None if words.len() <= 20 => (words, String::new()),
                None => (point.kind.to_owned(), format!(": {words}")),
            };
            let mut row = vec![format!("  {}", point.name), what];
            if !point.from.is_empty() {
                row.push(point.from.to_owned());
            }
            row.push(format!("{}{more}", point.about));
            row
        })
        .collect();
    format!("{head}\n{}", aligned(&rows))
}

/// Every field of a type and every member, dotted.
fn lines(kind: EventType) -> Vec<Line> {
    let mut found = Vec::new();
    for spec in kind.fields() {
        line("", spec, None, &mut found);
    }
    found
}

fn line(above: &str, spec: &FieldSpec, uom: Option<&'static str>, found: &mut Vec<Line>) {
    let path = format!("{above}{}", spec.name);
    let inside = format!("{path}.");
    let number = matches!(spec.shape, Shape::Number);
    let (kind, words, members, measure): (_, &[&str], &[FieldSpec], _) = match spec.shape {
        Shape::Measure(uom) => ("object", &[], MEASURE, Some(uom)),
        Shape::Object(members) => ("object", &[], members, None),
        Shape::List(members) => ("list", &[], members, None),
        Shape::Axis => ("object", &[], AXIS, None),
        Shape::Words(words) => ("word", words, &[], None),
        Shape::Text => ("text", &[], &[], None),
        Shape::Number => ("number", &[], &[], None),
        Shape::Integer => ("whole number", &[], &[], None),
        Shape::Bool => ("true or false", &[], &[], None),
        Shape::Scalar => ("number, text or bool", &[], &[], None),
        Shape::Map(_) => ("object by name", &[], &[], None),
        Shape::Texts => ("list of text", &[], &[], None),
    };
    let seconds = (number && spec.name.ends_with("_s")).then_some("s");
    found.push(Line {
        kind,
        uom: measure.or(if number { uom } else { None }).or(seconds),
        words,
        required: spec.required,
        about: spec.doc,
        path,
    });
    for member in members {
        line(&inside, member, measure, found);
    }
}

fn of_json(kind: EventType) -> Value {
    let fields: Vec<Value> = lines(kind)
        .iter()
        .map(|line| {
            let mut json =
                json!({ "path": line.path, "kind": line.kind, "required": line.required, "about": line.about });
            if let Some(object) = json.as_object_mut() {
                if let Some(uom) = line.uom {
                    object.insert("uom".into(), uom.into());
                }
                if !line.words.is_empty() {
                    object.insert("words".into(), line.words.into());
                }
            }
            json
        })
        .collect();
    json!({ "type": kind.word(), "event": kind.cloud_event_type(), "mapped": kind.is_mapped(), "fields": fields })
}

fn of_text(kind: EventType) -> String {
    let own = if kind.is_mapped() {
        ""
    } else {
        ", made by the gateway: no profile maps it"
    };
    let head = format!("{}  ({}{own})", kind.word(), kind.cloud_event_type());
    let rows: Vec<Vec<String>> = lines(kind)
        .iter()
        .map(|line| {
            let what = match line.uom {
                Some(uom) => format!("{}, {uom}", line.kind),
                None if line.words.is_empty() => line.kind.to_owned(),
                None => line.words.join(" | "),
            };
            let needed = if line.required { "required" } else { "" };
            vec![
                format!("  {}", line.path),
                what,
                needed.to_owned(),
                line.about.to_owned(),
            ]
        })
        .collect();
    format!("{head}\n{}", aligned(&rows))
}
