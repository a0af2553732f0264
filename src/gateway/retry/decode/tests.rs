use super::*;
use crate::diagnostic::Diagnostics;
use crate::gateway::setup;
use crate::model::SlotName;
use crate::wire::escaped;

fn profile(text: &str) -> Profile {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("device.toml");
    let top = "profile = 1\nvendor = \"V\"\nmodel = \"M\"\nmaturity = \"bench\"\n";
    std::fs::write(&file, format!("{top}{text}")).unwrap();
    let mut out = Diagnostics::new();
    let profile = setup::profile(&file, Some(dir.path()), &mut out);
    profile.unwrap_or_else(|| panic!("{}", out.render(false)))
}

fn tried(
    profile: &Profile,
    kind: EventType,
    raw: &str,
    material: Option<&Material>,
) -> Result<Vec<Draft>, Vec<String>> {
    let contract = SlotContract::asking_nothing(SlotName::new("st10", "tool"), profile.connection_place().clone());
    let told = Told {
        kind: Some(kind),
        raw,
        seen: Moment::new(1_795_342_503_000, 0),
        material,
    };
    again(profile, &contract, &told)
}

const WRENCH: &str = r#"
[connection]
protocol = "tcp"
address = "127.0.0.1:1"
[frame]
end = "\r\n"
pattern = '^(?<seq>\d+),(?<torque>[\d.]+),(?<judge>OK|NG)$'
[points]
seq = { type = "u32" }
torque = { type = "decimal", uom = "N.m" }
judge = { map = { OK = "ok", NG = "nok" } }
[events.tightening]
when = "frame"
id = ["seq"]
result = "judge"
torque = "torque"
"#;

#[test]
fn a_frame_is_taken_apart_by_the_pattern_of_today() {
    let raw = escaped(b"7,12.34,OK,B\r\n");
    let kept = Material {
        event: "tightening".into(),
        whole: true,
        ..Material::default()
    };
    let still = tried(&profile(WRENCH), EventType::Tightening, &raw, Some(&kept)).unwrap_err();
    assert!(still[0].contains("does not match `pattern`"), "{still:?}");
    let mended = profile(&WRENCH.replace("OK|NG)$", "OK|NG)(,[A-Z])?$"));
    let drafts = tried(&mended, EventType::Tightening, &raw, Some(&kept)).unwrap();
    let [draft] = drafts.as_slice() else {
        panic!("{drafts:?}")
    };
    assert_eq!(draft.data["torque"]["value"].to_string(), "12.34");
    assert_eq!(
        (draft.id.as_deref(), draft.backfill),
        (Some(["7".to_owned()].as_slice()), true)
    );
    // The bytes suffice: of a quarantine from before this was kept, too.
    assert_eq!(tried(&mended, EventType::Tightening, &raw, None).unwrap(), drafts);
    assert!(tried(&mended, EventType::Tightening, "\\q", None).is_err());
    let broken = tried(&mended, EventType::Tightening, "no end", None).unwrap_err();
    assert!(!broken.is_empty());
}

#[test]
fn a_frame_whose_trigger_waits_for_a_change_is_one_then() {
    let text = WRENCH
        .replace("when = \"frame\"", "when = { changes = \"seq\" }")
        .replace("NG = \"nok\" }", "NG = \"nok\", XX = \"nok\" }");
    let profile = profile(&text.replace("OK|NG)", "OK|NG|XX)"));
    let kept = Material {
        event: "tightening".into(),
        ..Material::default()
    };
    let drafts = tried(&profile, EventType::Tightening, &escaped(b"7,1.5,XX\r\n"), Some(&kept)).unwrap();
    assert_eq!(drafts[0].data["result"], "nok");
}

const REGISTERS: &str = r#"
[connection]
protocol = "modbus-tcp"
address = "127.0.0.1:1"
[points]
n = { at = "holding:0", type = "u16" }
verdict = { at = "holding:1", type = "u16", map = { 1 = "ok", 2 = "nok" } }
torque = { at = "holding:2", type = "f32", uom = "N.m", plausible = [0, 100] }
ready = { at = "coil:5", type = "bool" }
[events.tightening]
when = { changes = "n" }
id = ["n"]
result = "verdict"
torque = "torque"
extra = ["ready"]
"#;

/// A sample of `profile` as a Modbus driver reports it.
fn sample(profile: &Profile, words: &[u16]) -> (Sample, String) {
    let plan = Arc::new(profile.plan(&SlotName::new("st10", "tool")));
    let mut image = Image::default();
    image.put(Table::Holding, 0, words);
    image.put(Table::Coil, 5, &[1]);
    let values = plan
        .points
        .iter()
        .map(|point| modbus::decode(point.at.registers(), &image))
        .collect();
    let shown: Vec<String> = words.iter().map(|word| format!("{word:04x}")).collect();
    let before = vec![None; plan.points.len()];
    let sample = Sample::picture(&plan, 0, values, before, Moment::new(1, 1));
    (sample, format!("1 {}", shown.join(" ")))
}

#[test]
fn registers_are_decoded_by_the_types_of_today() {
    // 12.5 as a float whose words are the other way round.
    let (sample, raw) = sample(&profile(REGISTERS), &[7, 1, 0x0000, 0x4148]);
    let kept = Material::of(&sample, "1");
    assert_eq!(
        kept.registers,
        [("coil".to_owned(), 5, 1), ("holding".to_owned(), 0, 4)]
    );
    let mended = profile(&REGISTERS.replace("type = \"f32\"", "type = \"f32\", word_order = \"cdab\""));
    let drafts = tried(&mended, EventType::Tightening, &raw, Some(&kept)).unwrap();
    assert_eq!(drafts[0].data["torque"]["value"].to_string(), "12.5");
    assert_eq!(drafts[0].extra["ready"]["value"], true, "{:?}", drafts[0].extra);
    // What was not read then is said, not guessed.
    let moved = profile(&REGISTERS.replace("holding:2", "holding:40"));
    let mut other = kept.clone();
    other.values.retain(|value| value.point != "torque");
    let missing = tried(&moved, EventType::Tightening, &raw, Some(&other)).unwrap_err();
    assert!(missing[0].contains("`torque` (holding 40)"), "{missing:?}");
    // Where the registers are not known, only what is read as it was then is believed.
    let unknown = Material {
        registers: Vec::new(),
        ..kept.clone()
    };
    let guessed = tried(&mended, EventType::Tightening, &raw, Some(&unknown)).unwrap_err();
    assert!(guessed[0].contains("`torque` (holding 2)"), "{guessed:?}");
    let scaled = profile(
        &REGISTERS
            .replace("1 = \"ok\"", "1 = \"nok\"")
            .replace(", plausible = [0, 100]", ""),
    );
    let drafts = tried(&scaled, EventType::Tightening, &raw, Some(&unknown)).unwrap();
    assert_eq!(drafts[0].data["result"], "nok");
    let nothing = tried(&mended, EventType::Tightening, &raw, None).unwrap_err();
    assert!(nothing[0].contains("not kept"), "{nothing:?}");
    let gone = profile(&REGISTERS.replace("[events.tightening]", "[events.screwing]\ntype = \"tightening\""));
    let gone = tried(&gone, EventType::Tightening, &raw, Some(&kept)).unwrap_err();
    assert!(gone[0].contains("[events.tightening]"), "{gone:?}");
}

#[test]
fn registers_that_are_not_those_that_are_shown_are_not_decoded() {
    let runs = [("holding".to_owned(), 0, 2)];
    assert!(image(&runs, "0001 0002").is_some());
    for raw in ["0001", "0001 0002 0003", "0001 xyz", ""] {
        assert!(image(&runs, raw).is_none(), "{raw}");
    }
    assert!(image(&[], "").is_none());
}

const CONTROLLER: &str = r#"
[connection]
protocol = "open-protocol"
address = "127.0.0.1:1"
[points]
tightening_status = { map = { ok = "ok" } }
[events.tightening]
when = "result"
id = ["tightening_id"]
result = "tightening_status"
torque = "torque"
"#;

/// A stored result (0065), not OK.
const STORED: &str = "01180065001         01012345678902AIRBAG                   03001040002050060070080014670900046102001-04-22:14:54:34112";

#[test]
fn a_telegram_is_read_again() {
    let kept = Material {
        event: "tightening".into(),
        ..Material::default()
    };
    let mended = CONTROLLER.replace("{ ok = \"ok\" }", "{ ok = \"ok\", nok = \"nok\" }");
    let drafts = tried(&profile(&mended), EventType::Tightening, STORED, Some(&kept));
    let drafts = drafts.unwrap_or_else(|reasons| panic!("{reasons:?}"));
    assert_eq!(drafts[0].data["torque"]["value"].to_string(), "14.67");
    assert_eq!(drafts[0].id.as_deref(), Some(["123456789".to_owned()].as_slice()));
    assert!(tried(&profile(&mended), EventType::Tightening, "nonsense", Some(&kept)).is_err());
    assert!(tried(&profile(&mended), EventType::Tightening, "", None).is_err());
}

#[test]
fn what_nodes_said_is_found_by_its_place() {
    let text = r#"
[connection]
protocol = "opcua"
address = "opc.tcp://127.0.0.1:4840"
security = "None"
[points]
n = { node = "nsu=urn:x;s=N" }
torque = { node = "nsu=urn:x;s=T", uom = "N.m" }
verdict = { node = "nsu=urn:x;s=V", map = { 1 = "ok" } }
[events.tightening]
when = { changes = "n" }
id = ["n"]
result = "verdict"
torque = "torque"
"#;
    let first = profile(text);
    let plan = Arc::new(first.plan(&SlotName::new("st10", "tool")));
    let values = [("n", Raw::Int(7)), ("torque", Raw::Int(5)), ("verdict", Raw::Int(2))];
    let said = |name: &str| {
        values
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, raw)| raw.clone())
    };
    let values = plan.points.iter().map(|point| said(&point.name)).collect();
    let sample = Sample::picture(&plan, 0, values, vec![None; plan.points.len()], Moment::new(1, 1));
    let kept = Material::of(&sample, "1");
    let raw = "n=7 torque=5 verdict=2";
    assert!(tried(&first, EventType::Tightening, raw, Some(&kept)).unwrap_err()[0].contains("unknown code 2"));
    // The point was renamed, too.
    let mended = text
        .replace("verdict", "judgement")
        .replace("{ 1 = \"ok\" }", "{ 1 = \"ok\", 2 = \"nok\" }");
    let drafts = tried(&profile(&mended), EventType::Tightening, raw, Some(&kept)).unwrap();
    assert_eq!(
        (&drafts[0].data["result"], drafts[0].data["torque"]["value"].to_string()),
        (&"nok".into(), "5".to_owned())
    );
    let unread = Material { whole: true, ..kept };
    assert!(tried(&first, EventType::Tightening, raw, Some(&unread)).unwrap_err()[0].contains("could not be read"));
}
