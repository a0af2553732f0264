//! What real devices made the format grow: curves by a step, unused elements, a map once more further on, rows of
//! coils as alarm words. Each through examples, as an author would prove it. Expected values are computed by hand.

use super::*;

/// Loads without a word, and its examples come out.
fn proves(files: &[(&str, &str)]) -> Profile {
    let (profile, out) = read(files);
    assert!(out.is_empty(), "{}", out.render(false));
    let profile = profile.unwrap();
    let mut out = Diagnostics::new();
    let report = profile.run_examples(None, &mut out);
    assert!(out.is_empty(), "{}", out.render(false));
    assert!(report.passed > 0);
    profile
}

fn alone(body: &str) -> Profile {
    proves(&[("a.toml", &format!("{HEAD}{body}"))])
}

const CURVE: &str = r#"
[points]
count  = { at = "input:0", type = "u16" }
step   = { at = "input:1", type = "u16", uom = "ms" }
torque = { at = "input:2", type = "u16", count = 5, trim = 0, uom_from = "counts_in" }
angle  = { at = "input:7", type = "i16", count = 5, trim = 0, uom = "deg" }
counts_in = { at = "input:12", type = "u16", map = { 1 = "mN.m", else = "cN.m" } }
stamp  = { at = "input:13", type = "u16" }
vin    = { at = "input:14", type = "string", length = 4 }

[events.torque_curve]
type = "curve"
when = { changes = "count" }
id   = ["stamp", "count"]
unit = "vin"
x    = { name = "time", step = "step", uom = "s" }
y    = { name = "torque", values = "torque", uom = "N.m" }

[events.angle_curve]
type = "curve"
when = { changes = "count" }
id   = ["stamp", "count"]
x    = { name = "time", step = "step" }
y    = { name = "angle", values = "angle" }
"#;

#[test]
fn a_curve_goes_by_a_step_is_as_long_as_what_is_used_and_belongs_to_its_result() {
    alone(&format!(
        r#"{CURVE}
[[example]]
name   = "three points of five; angle 0 in the middle is a value"
given  = {{ "input:0" = [7, 20, 100, 250, 1500, 0, 0, 0, 3, 0, 9, 0, 1, 5, "ab12"] }}
expect = [
    {{ type = "curve", result_id = "7", "unit.id" = "ab12", "x.name" = "time", "x.uom" = "s", "x.values" = [0, 0.02, 0.04], "y.name" = "torque", "y.uom" = "N.m", "y.values" = [0.1, 0.25, 1.5] }},
    {{ type = "curve", result_id = "7", "x.uom" = "ms", "x.values" = [0, 20, 40, 60], "y.uom" = "deg", "y.values" = [0, 3, 0, 9] }},
]
[[example]]
name   = "another model counts in cN.m; no angle curve at all is no event"
given  = {{ "input:0" = [8, 10, 0, 0, 0, 0, 50, 0, 0, 0, 0, 0, 4, 5] }}
expect = [{{ type = "curve", "x.values" = [0, 0.01, 0.02, 0.03, 0.04], "y.values" = [0, 0, 0, 0, 0.5] }}]
"#
    ));
}

#[test]
fn two_curves_of_one_result_have_ids_of_their_own() {
    let profile = good(CURVE);
    let contract = contract(&[EventType::Curve], &[], &[]);
    let list = |values: &[i64]| Raw::List(values.iter().map(|value| Raw::Int(*value)).collect());
    let values = [
        ("count", Raw::Int(7)),
        ("stamp", Raw::Int(5)),
        ("step", Raw::Int(1)),
        ("torque", list(&[1, 2, 0])),
        ("angle", list(&[1, 2, 0])),
        ("counts_in", Raw::Int(1)),
    ];
    let made: Vec<_> = (0..2)
        .flat_map(|event| make_of(&profile, &contract, event, &values, &[]))
        .map(|meaning| match meaning {
            Meaning::Draft(draft) => (draft.id.unwrap(), draft.data["result_id"].clone()),
            Meaning::Ignored | Meaning::Passed(_) => panic!("a curve was ignored"),
        })
        .collect();
    let ids = |name: &str| vec!["5".to_owned(), "7".into(), name.into()];
    assert_eq!(made[0], (ids("torque"), "7".into()));
    assert_eq!(made[1], (ids("angle"), "7".into()));
}

#[test]
fn the_parts_of_a_curve_have_ids_of_their_own() {
    let profile = good(
        r#"
[points]
count = { at = "input:0", type = "u16" }
stamp = { at = "input:1", type = "u16" }
part  = { at = "input:2", type = "u16" }
parts = { at = "input:3", type = "u16" }
force = { at = "input:4", type = "u16", count = 3, uom = "N" }
[events.curve]
when  = { changes = ["count", "part"] }
id    = ["stamp", "count"]
x     = { name = "way", step = { const = 0.25, uom = "mm" } }
y     = "force"
part  = "part"
parts = "parts"
"#,
    );
    let contract = contract(&[EventType::Curve], &[], &[]);
    let list = Raw::List(vec![Raw::Int(5), Raw::Int(0), Raw::Int(0)]);
    let part = |part: i64| {
        let values = [
            ("count", Raw::Int(7)),
            ("stamp", Raw::Int(1)),
            ("part", Raw::Int(part)),
            ("parts", Raw::Int(2)),
            ("force", list.clone()),
        ];
        match make(&profile, &contract, &values).remove(0) {
            Meaning::Draft(draft) => *draft,
            Meaning::Ignored | Meaning::Passed(_) => panic!("a part was ignored"),
        }
    };
    let (first, second) = (part(1), part(2));
    assert_eq!(first.id.unwrap(), ["1", "7", "1"]);
    assert_eq!(second.id.unwrap(), ["1", "7", "2"]);
    let wanted = serde_json::json!({
        "x": { "name": "way", "uom": "mm", "values": [0, 0.25, 0.5] },
        "y": { "name": "force", "uom": "N", "values": [5, 0, 0] },
        "part": 2,
        "parts": 2,
        "result_id": "7",
    });
    assert_eq!(serde_json::Value::Object(second.data), wanted);
}

const STATION: &str = r#"profile = 1
vendor = "V"
model = "M"
[connection]
protocol = "modbus-tcp"
[points]
count  = { at = "30001", type = "u16" }
torque = { at = "input:1", type = "u16", scale = 0.01, uom = "N.m" }
life   = { at = "input:90", type = "u16" }
ack    = { at = "holding:5", type = "u16" }
[events.tightening]
when   = { changes = "count" }
ack    = { write = "ack", copy = "count" }
result = { const = "not_judged" }
torque = "torque"
[[example]]
name   = "where the manual says"
given  = { "input:0" = [1, 250] }
expect = [{ type = "tightening", "torque.value" = 2.5 }]
"#;

#[test]
fn the_same_map_once_more_further_on() {
    let second = r#"profile = 1
extends = "v/m"
shift = { input = 100, holding = -3 }
[points]
life = { at = "input:90", type = "u16" }
[[example]]
name   = "the second station"
given  = { "input:0" = [1, 999], "input:100" = [1, 300] }
expect = [{ type = "tightening", "torque.value" = 3 }]
"#;
    let profile = proves(&[("st10.s2.toml", second), ("v/m.toml", STATION)]);
    let plan = profile.plan(&SlotName::new("st10", "s2"));
    let at: Vec<_> = plan
        .points
        .iter()
        .map(|point| {
            let at = point.at.registers();
            (&*point.name, at.table.word(), at.address)
        })
        .collect();
    // What stands in the file itself stays where it is written: one life sign for all stations.
    let expected = [
        ("count", "input", 100),
        ("torque", "input", 101),
        ("life", "input", 90),
        ("ack", "holding", 2),
    ];
    assert_eq!(at, expected);
    let first = proves(&[("v/m.toml", STATION)]);
    assert_ne!(profile.identity().digest, first.identity().digest);
    let prints = |profile: &Profile| profile.plan(&SlotName::new("st10", "s2")).events[0].fingerprint.clone();
    assert_ne!(prints(&profile), prints(&first), "another station is another trigger");
}

#[test]
fn a_row_of_coils_is_an_alarm_word() {
    alone(
        r#"
[points]
faults = { at = "discrete:8", count = 20 }
[events.alarm]
alarms = { point = "faults", bits = { 0 = "e_stop", 17 = { code = "door", text = "Door open", category = "safety" } } }
[[example]]
name   = "one comes, the other comes, the first goes"
given  = [
    { "discrete:8" = [false] },
    { "discrete:8" = [true, true] },
    { "discrete:8" = [true], "discrete:25" = [true] },
    { "discrete:25" = [true] },
]
expect = [
    { type = "alarm", code = "e_stop", active = true },
    { type = "alarm", code = "door", active = true, text = "Door open", category = "safety" },
    { type = "alarm", code = "e_stop", active = false },
]
"#,
    );
}
