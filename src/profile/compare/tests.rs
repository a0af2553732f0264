//! Unit tests of the comparison: what goes, what comes, what is otherwise, each by hand.

use super::*;
use crate::model::event::EventType;
use crate::profile::tests::{contract, read};

const POINTS: &str = r#"
[points]
n = { at = "input:100", type = "u16" }
stamp = { at = "input:130", type = "u32" }
torque = { at = "input:101", type = "f32", uom = "N.m" }
low = { at = "input:103", type = "u16", scale = 0.01, uom = "N.m" }
judge = { at = "input:106", type = "u16", map = { 1 = "ok", 2 = "nok" } }
temp = { at = "input:120", type = "i16", uom = "Cel" }
force = { at = "input:121", type = "u16", uom = "N" }
word = { at = "input:122", type = "u16" }
ack = { at = "holding:10", type = "u16" }
"#;
const TIGHTENING: &str = "[events.tightening]\nwhen = { changes = \"n\" }\nid = [\"stamp\", \"n\"]\ncounter = \"n\"\nresult = \"judge\"\ntorque = { point = \"torque\", min = \"low\" }\n";

fn profile(head: &str, points: &str, events: &str) -> Profile {
    model("M", head, points, events)
}

fn model(name: &str, head: &str, points: &str, events: &str) -> Profile {
    let text = format!(
        "profile = 1\nvendor = \"V\"\nmodel = \"{name}\"\n{head}[connection]\nprotocol = \"modbus-tcp\"\naddress = \"192.0.2.17\"\n{points}{events}"
    );
    let (profile, out) = read(&[("a.toml", &text)]);
    assert!(!out.has_errors(), "{}", out.render(false));
    profile.unwrap()
}

fn compared(before: &str, after: &str) -> Comparison {
    let slot = contract(&[EventType::Tightening], &[], &[("press_force", "N")]);
    compare(&profile("", POINTS, before), &profile("", POINTS, after), &slot)
}

/// `what: from → to`, one a line.
fn lines(list: &[Difference]) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let lines: Vec<String> = list
        .iter()
        .map(|one| format!("{}: {} → {}", one.what, text(&one.from), text(&one.to)))
        .collect();
    lines.join("\n")
}

#[test]
fn the_same_is_the_same() {
    let found = compared(TIGHTENING, TIGHTENING);
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(found.sentence(), "nothing changes for the MES");
}

#[test]
fn what_goes_is_a_change_and_what_comes_is_none() {
    let without = TIGHTENING.replace(", min = \"low\"", "");
    let found = compared(TIGHTENING, &without);
    assert_eq!(lines(&found.contract), "tightening.torque.min: given → -");
    assert!(!found.keeps_contract());
    assert_eq!(found.sentence(), "changes for the MES: tightening.torque.min");
    let found = compared(&without, TIGHTENING);
    assert_eq!(lines(&found.gained), "tightening.torque.min: - → given");
    assert!(found.keeps_contract());
    assert_eq!(
        found.sentence(),
        "nothing changes for the MES but what is new: tightening.torque.min"
    );
}

#[test]
fn a_type_that_goes_is_told_once() {
    let alarm =
        "[events.alarm]\nalarms = { point = \"word\", bits = { 0 = \"guard_open\", 3 = \"air_low\" } }\n".to_owned();
    let both = format!("{TIGHTENING}{alarm}");
    // Not promised: nobody relies on it.
    assert!(compared(&both, TIGHTENING).keeps_contract());
    let slot = contract(&[EventType::Tightening, EventType::Alarm], &[], &[]);
    let (before, after) = (profile("", POINTS, &both), profile("", POINTS, TIGHTENING));
    assert_eq!(lines(&compare(&before, &after, &slot).contract), "alarm: sent → -");
    let fewer = profile("", POINTS, &both.replace(", 3 = \"air_low\"", ", 4 = \"oil_low\""));
    assert_eq!(
        lines(&compare(&before, &fewer, &slot).contract),
        "alarm.code: air_low, guard_open → guard_open, oil_low"
    );
}

#[test]
fn words_that_come_no_longer_are_a_change() {
    let judge = |map: &str| POINTS.replace("{ 1 = \"ok\", 2 = \"nok\" }", map);
    let slot = contract(&[EventType::Tightening], &[], &[]);
    let found = |before: &str, after: &str| {
        compare(
            &profile("", &judge(before), TIGHTENING),
            &profile("", &judge(after), TIGHTENING),
            &slot,
        )
    };
    let two = "{ 1 = \"ok\", 2 = \"nok\" }";
    let open = "{ 1 = \"ok\", 2 = \"nok\", 3 = \"undecided\" }";
    assert_eq!(
        lines(&found(two, "{ 1 = \"ok\" }").contract),
        "tightening.result: nok, ok → always ok"
    );
    // Who never leaves it open takes nothing away that somebody waits for.
    assert_eq!(
        lines(&found(open, two).gained),
        "tightening.result: nok, ok, undecided → nok, ok"
    );
    assert!(found(two, open).keeps_contract());
}

#[test]
fn ids_and_gaps_and_constants() {
    let bare = TIGHTENING
        .replace("id = [\"stamp\", \"n\"]\n", "")
        .replace("counter = \"n\"\n", "");
    let found = compared(TIGHTENING, &bare);
    assert_eq!(
        lines(&found.contract),
        "tightening.gap: told where results are missing → -\ntightening.result_id: given → -"
    );
    let joint = |name: &str| format!("{TIGHTENING}joint = {{ const = \"{name}\" }}\n");
    assert_eq!(
        lines(&compared(&joint("A"), &joint("B")).contract),
        "tightening.joint: always A → always B"
    );
    let only = format!("{TIGHTENING}program = \"word\"\nonly = {{ program = [1, 2] }}\n");
    let all = format!("{TIGHTENING}program = \"word\"\n");
    assert_eq!(
        lines(&compared(&only, &all).contract),
        "tightening.only.program: 1, 2 → -"
    );
    // A filter that is new turns away what came.
    assert_eq!(
        lines(&compared(&all, &only).contract),
        "tightening.only.program: - → 1, 2"
    );
    // Another device has other results to choose from, and counts or not.
    let slot = contract(&[EventType::Tightening], &[], &[]);
    let other = model("N", "", POINTS, &only.replace("counter = \"n\"\n", ""));
    let found = compare(&profile("", POINTS, &all), &other, &slot);
    assert!(found.keeps_contract(), "{:?}", found.contract);
    assert_eq!(
        lines(&found.gained),
        "tightening.gap: told where results are missing → -\ntightening.only.program: - → 1, 2"
    );
}

#[test]
fn the_uom_of_what_the_plant_names_is_the_plants() {
    let press = "[events.measurement]\nwhen = { changes = \"n\" }\nname = { const = \"press_force\" }\nvalue = \"force\"\nresult = \"judge\"\n";
    let kilo = POINTS.replace("uom = \"N\" }\nword", "uom = \"kN\" }\nword");
    let promised = contract(&[EventType::Measurement], &[], &[("press_force", "N")]);
    let open = contract(&[EventType::Measurement], &[], &[]);
    let (before, after) = (profile("", POINTS, press), profile("", &kilo, press));
    assert!(compare(&before, &after, &promised).contract.is_empty());
    assert_eq!(
        lines(&compare(&before, &after, &open).contract),
        "measurement.press_force: given in N → given in kN"
    );
    let table = |keep: &str| {
        format!("[events.readings]\nwhen = {{ every = \"1s\" }}\nvalues = {{ motor_temp = \"temp\" }}\n{keep}")
    };
    let slot = contract(&[EventType::Readings], &[], &[]);
    let found = compare(
        &profile("", POINTS, &table("")),
        &profile(
            "",
            POINTS,
            &table("keep = \"latest\"\n").replace("\"temp\"", "\"force\""),
        ),
        &slot,
    );
    assert_eq!(
        lines(&found.contract),
        "readings.kept: always stored, each with its sequence → always only the newest, without sequence\n\
         readings.motor_temp: a number in Cel → a number in N"
    );
}

#[test]
fn the_link_is_told_in_words() {
    let before = profile("serial = \"1\"\n", POINTS, TIGHTENING);
    let after = profile(
        "serial = \"2\"\n",
        &POINTS.replace(
            "input:101\", type = \"f32\"",
            "input:101\", type = \"f32\", word_order = \"cdab\"",
        ),
        &TIGHTENING.replace(
            "id = [",
            "ack = { write = \"ack\", copy = \"n\" }\nextra = [\"temp\"]\nid = [",
        ),
    );
    let slot = contract(&[EventType::Tightening], &[], &[]);
    let found = compare(&before, &after, &slot);
    assert!(found.keeps_contract());
    assert_eq!(
        lines(&found.link),
        "point torque: { at = \"input:101\", type = \"f32\", uom = \"N.m\" } → \
         { at = \"input:101\", type = \"f32\", word_order = \"cdab\", uom = \"N.m\" }\n\
         tightening: acknowledged: - → what `n` (input:100) showed is written into `ack` (holding:10), within 5s\n\
         at the swap: goes on where it stood → what the device shows unacknowledged is taken as a result, anything else is where it begins"
    );
    let beside = lines(&found.beside);
    assert!(beside.contains("serial: 1 → 2"), "{beside}");
    assert!(beside.contains("extra.temp: - → Cel"), "{beside}");
    assert!(beside.contains("digest: sha256:"), "{beside}");
}
