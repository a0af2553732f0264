//! Unit tests of the room: merging, mapping, slots, plans. Values are computed by hand.

use super::*;
use crate::diagnostic::Source;
use crate::model::draft::EchoMatch;
use crate::model::plan::{Trigger, WordOrder};
use crate::model::{Moment, Raw};
use std::collections::HashMap;

mod chaos;
mod frames;
mod growth;
mod manual;
mod servers;
mod telegrams;

struct Memory(HashMap<PathBuf, String>);

impl Files for Memory {
    fn read(&self, path: &Path) -> Result<String, FileFault> {
        self.0.get(path).cloned().ok_or(FileFault::Missing)
    }
}

const HEAD: &str =
    "profile = 1\nvendor = \"V\"\nmodel = \"M\"\n[connection]\nprotocol = \"modbus-tcp\"\naddress = \"192.0.2.17\"\n";

pub(super) fn read(files: &[(&str, &str)]) -> (Option<Profile>, Diagnostics) {
    let memory = Memory(
        files
            .iter()
            .map(|(name, text)| (Path::new("/p").join(name), (*text).to_owned()))
            .collect(),
    );
    let mut out = Diagnostics::new();
    let profile = Profile::load(Path::new(files[0].0), Path::new("/p"), &memory, &mut out);
    (profile, out)
}

fn good(body: &str) -> Profile {
    let (profile, out) = read(&[("a.toml", &format!("{HEAD}{body}"))]);
    assert!(!out.has_errors(), "{}", out.render(false));
    profile.unwrap()
}

fn place() -> Place {
    Place::start_of(&Arc::new(Source {
        path: "gateway.toml".into(),
        text: String::new(),
    }))
}

pub(super) fn contract(delivers: &[EventType], requires: &[&str], values: &[(&str, &str)]) -> SlotContract {
    SlotContract {
        slot: SlotName::new("st10", "spindle-1"),
        delivers: delivers.iter().map(|kind| (*kind, place())).collect(),
        requires: requires.iter().map(|path| ((*path).to_owned(), place())).collect(),
        values: values
            .iter()
            .map(|(name, uom)| ((*name).to_owned(), Uom::parse(uom).unwrap(), place()))
            .collect(),
        place: place(),
    }
}

/// What the first event makes of raw values by point name.
fn make(profile: &Profile, contract: &SlotContract, values: &[(&str, Raw)]) -> Vec<Meaning> {
    make_of(profile, contract, 0, values, &[])
}

fn make_of(
    profile: &Profile,
    contract: &SlotContract,
    event: usize,
    values: &[(&str, Raw)],
    before: &[(&str, Raw)],
) -> Vec<Meaning> {
    let plan = Arc::new(profile.plan(&contract.slot));
    let row = |values: &[(&str, Raw)]| {
        let said = |name: &str| {
            values
                .iter()
                .find(|(have, _)| *have == name)
                .map(|(_, raw)| raw.clone())
        };
        plan.points.iter().map(|point| said(&point.name)).collect()
    };
    let sample = Sample {
        plan: plan.clone(),
        event,
        values: row(values),
        before: row(before),
        seen: Moment::new(1_795_342_503_171, 5),
        since: None,
        raw: "0007".into(),
        backfill: false,
        faults: Vec::new(),
        quality: Vec::new(),
        state: None,
        durable: None,
    };
    profile.drafts(contract, &sample)
}

fn draft(meanings: Vec<Meaning>) -> Draft {
    match meanings.into_iter().next() {
        Some(Meaning::Draft(draft)) => *draft,
        other => panic!("{other:?}"),
    }
}

fn one(profile: &Profile, values: &[(&str, Raw)]) -> Draft {
    draft(make(profile, &contract(&[], &[], &[]), values))
}

fn json(draft: &Draft) -> String {
    assert_eq!(draft.quarantine, Vec::<String>::new());
    serde_json::to_string(&draft.data).unwrap()
}

const POINTS: &str = r#"
[points]
n = { at = "input:0", type = "u16" }
j = { at = "input:1", type = "u16", map = { 1 = "ok", 2 = "nok" } }
t = { at = "input:2", type = "f32", uom = "lbf.in", plausible = [0, 100], invalid = [9999.0] }
lo = { at = "input:4", type = "u16", scale = 0.01, uom = "N.m" }
p = { at = "input:5", type = "u16", invalid = [65535] }
vin = { at = "input:6", type = "string", length = 8 }
good = { at = "input:10", bit = 0 }
high = { at = "input:10", bit = 1 }
low = { at = "input:10", bit = 2 }
"#;

const TIGHTENING: &str = r#"
[events.tightening]
when = { changes = "n" }
id = ["vin", "n"]
counter = { point = "n", last = 65535 }
result = "j"
torque = { point = "t", min = "lo" }
program = "p"
unit = { point = "vin", match = "suffix" }
errors = { code = "p", text = { 34 = "over max angle" }, except = [13] }
extra = ["lo"]
"#;

fn values(code: i64, torque: f32, program: i64) -> Vec<(&'static str, Raw)> {
    vec![
        ("n", Raw::Int(7)),
        ("j", Raw::Int(code)),
        ("t", Raw::F32(torque.to_bits())),
        ("lo", Raw::Int(110)),
        ("p", Raw::Int(program)),
        ("vin", Raw::Text("  AB1\0x".into())),
    ]
}

#[test]
fn fields_are_in_contract_uoms_and_order() {
    let profile = good(&format!("{POINTS}{TIGHTENING}"));
    let draft = one(&profile, &values(1, 12.34, 34));
    assert_eq!(
        json(&draft),
        r#"{"result":"ok","torque":{"value":1.394233,"uom":"N.m","min":1.1},"program":{"id":"34"},"errors":[{"code":"34","text":"over max angle"}],"result_id":"7"}"#
    );
    assert_eq!(draft.id, Some(vec!["AB1".to_owned(), "7".to_owned()]));
    let echo = draft.echo.unwrap();
    assert_eq!((echo.value.as_str(), echo.how), ("AB1", EchoMatch::Suffix));
    assert_eq!(
        serde_json::to_string(&draft.extra).unwrap(),
        r#"{"lo":{"value":1.1,"uom":"N.m"}}"#
    );
    let counter = draft.counter.unwrap();
    assert_eq!((counter.value, counter.first, counter.last), (7, 0, Some(65_535)));
}

#[test]
fn what_is_absent_is_absent_and_never_null() {
    let profile = good(&format!("{POINTS}{TIGHTENING}"));
    let draft = one(&profile, &values(2, f32::NAN, 65_535));
    assert_eq!(
        json(&draft),
        r#"{"result":"nok","torque":{"uom":"N.m","min":1.1},"result_id":"7"}"#
    );
    let draft = one(&profile, &values(2, 9999.0, 13));
    assert_eq!(
        json(&draft),
        r#"{"result":"nok","torque":{"uom":"N.m","min":1.1},"program":{"id":"13"},"result_id":"7"}"#
    );
}

#[test]
fn what_cannot_be_an_event_says_why() {
    let profile = good(&format!("{POINTS}{TIGHTENING}"));
    let unknown = one(&profile, &values(7, 1.0, 1));
    assert_eq!(unknown.quarantine, ["unknown code 7 of `j`"]);
    assert!(unknown.data.is_empty());
    assert_eq!(unknown.id, Some(vec!["AB1".to_owned(), "7".to_owned()]));
    let implausible = one(&profile, &values(1, 100.5, 1));
    assert_eq!(implausible.quarantine, ["`t` is 100.5, plausible is 0 to 100"]);
    let missing = one(&profile, &[("n", Raw::Int(1))]);
    assert_eq!(missing.quarantine, ["`result` is missing"]);
}

#[test]
fn a_verdict_of_flags_is_exactly_one() {
    let profile = good(&format!(
        "{POINTS}[events.tightening]\nwhen = {{ rises = \"good\" }}\nresult = {{ ok = [\"good\"], nok = [\"high\", \"low\"] }}\n"
    ));
    let flags = |good, high, low| {
        one(
            &profile,
            &[
                ("good", Raw::Bool(good)),
                ("high", Raw::Bool(high)),
                ("low", Raw::Bool(low)),
            ],
        )
    };
    assert_eq!(json(&flags(true, false, false)), r#"{"result":"ok"}"#);
    assert_eq!(json(&flags(false, true, true)), r#"{"result":"nok"}"#);
    assert_eq!(flags(true, true, false).quarantine, ["`result` is ok and nok at once"]);
    assert_eq!(flags(false, false, false).quarantine, ["no flag of `result` is true"]);
}

#[test]
fn only_and_except_look_at_what_the_event_shows() {
    let filtered = |filter: &str, program: i64| {
        let profile = good(&format!("{POINTS}{TIGHTENING}{filter}\n"));
        let mut meanings = make(&profile, &contract(&[], &[], &[]), &values(1, 1.0, program));
        // The profile counts: what is turned away was there, and nothing else is left of it.
        for meaning in &mut meanings {
            if let Meaning::Passed(draft) = meaning {
                assert!(draft.data.is_empty() && draft.counter.is_some());
                *meaning = Meaning::Ignored;
            }
        }
        meanings
    };
    assert_eq!(filtered("only = { program = [1, 2] }", 3), [Meaning::Ignored]);
    assert!(matches!(
        filtered("only = { program = [1, 2] }", 2)[..],
        [Meaning::Draft(_)]
    ));
    assert_eq!(
        filtered("only = { program = [1, 2] }", 65_535),
        [Meaning::Ignored],
        "absent does not match"
    );
    assert!(matches!(
        filtered("except = { program = 3 }", 65_535)[..],
        [Meaning::Draft(_)]
    ));
    assert_eq!(filtered("except = { result = \"ok\" }", 3), [Meaning::Ignored]);
    assert_eq!(filtered("except = { \"torque.min\" = 1.1 }", 3), [Meaning::Ignored]);
    assert_eq!(filtered("except = { lo = 1.10 }", 3), [Meaning::Ignored]);
}

#[test]
fn an_unknown_code_is_not_turned_away_silently() {
    let profile = good(&format!("{POINTS}{TIGHTENING}only = {{ result = \"ok\" }}\n"));
    assert_eq!(one(&profile, &values(7, 1.0, 1)).quarantine, ["unknown code 7 of `j`"]);
}

#[test]
fn decimals_and_uom_may_come_from_points() {
    let profile = good(
        r#"
[points]
f = { at = "input:0", type = "i16", scale_from = "d", uom_from = "u", uom = "N" }
d = { at = "input:1", type = "u16" }
u = { at = "input:2", type = "u16", map = { 0 = "N", 1 = "kN", 2 = "what" } }
[events.measurement]
when = { changes = "f" }
name = { const = "press_force" }
value = "f"
"#,
    );
    let slot = contract(&[], &[], &[("press_force", "N")]);
    let say = |f, d, u| {
        draft(make(
            &profile,
            &slot,
            &[("f", Raw::Int(f)), ("d", Raw::Int(d)), ("u", Raw::Int(u))],
        ))
    };
    assert_eq!(
        json(&say(1234, 2, 0)),
        r#"{"name":"press_force","value":12.34,"uom":"N"}"#
    );
    assert_eq!(
        json(&say(1234, 2, 1)),
        r#"{"name":"press_force","value":12340,"uom":"N"}"#
    );
    assert_eq!(say(1, 0, 2).quarantine, ["unknown uom what of `f`"]);
    assert_eq!(
        say(1, 99, 0).quarantine,
        ["`d` is 99, which is no number of decimals of `f`"]
    );
    assert_eq!(say(1, 0, 9).quarantine, ["unknown code 9 of `u`"]);
}

#[test]
fn readings_say_what_is_not_good() {
    let profile = good(
        r#"
[points]
a = { at = "input:0", type = "i16", scale = 0.1, uom = "Cel", invalid = [32767] }
b = { at = "input:1", type = "u16", uom = "bar", plausible = [0, 10] }
c = { at = "input:2", type = "u16", map = { 1 = "auto" } }
d = { at = "input:3", type = "u16" }
[events.readings]
when = { every = "1s" }
values = { temp = "a", pressure = "b", mode = "c", count = "d" }
keep = "latest"
"#,
    );
    let draft = one(
        &profile,
        &[
            ("a", Raw::Int(32_767)),
            ("b", Raw::Int(11)),
            ("c", Raw::Int(1)),
            ("d", Raw::Int(3)),
        ],
    );
    assert_eq!(
        json(&draft),
        r#"{"values":{"mode":"auto","count":3},"quality":{"temp":"invalid","pressure":"implausible"}}"#
    );
    assert_eq!(draft.raw, None);
    let slot = contract(&[], &[], &[("temp", "K"), ("pressure", "kPa")]);
    let good = super::tests::draft(make(&profile, &slot, &[("a", Raw::Int(415)), ("b", Raw::Int(2))]));
    assert_eq!(
        json(&good),
        r#"{"values":{"temp":314.65,"pressure":200},"uoms":{"temp":"K","pressure":"kPa"},"quality":{"mode":"invalid","count":"invalid"}}"#
    );
}

#[test]
fn an_alarm_word_is_one_event_a_changed_bit() {
    let profile = good(
        r#"
[points]
w = { at = "input:0", type = "u16" }
[events.guard]
type = "alarm"
alarms = { point = "w", bits = { 0 = "guard_open", 3 = { code = "air_low", category = "process" } } }
"#,
    );
    let slot = contract(&[], &[], &[]);
    let at = |now: i64, before: &[(&str, Raw)]| make_of(&profile, &slot, 0, &[("w", Raw::Int(now))], before);
    let told = |meanings: Vec<Meaning>| -> Vec<String> {
        meanings
            .into_iter()
            .map(|meaning| match meaning {
                Meaning::Draft(draft) => json(&draft),
                Meaning::Ignored | Meaning::Passed(_) => "ignored".to_owned(),
            })
            .collect()
    };
    assert_eq!(
        told(at(9, &[("w", Raw::Int(1))])),
        [r#"{"code":"air_low","active":true,"category":"process"}"#]
    );
    assert_eq!(
        told(at(8, &[("w", Raw::Int(1))])),
        [
            r#"{"code":"guard_open","active":false}"#,
            r#"{"code":"air_low","active":true,"category":"process"}"#
        ]
    );
    assert_eq!(told(at(3, &[("w", Raw::Int(1))])), ["ignored"], "a bit without a name");
    assert_eq!(told(at(1, &[])), [r#"{"code":"guard_open","active":true}"#]);
}

#[test]
fn an_identification_says_the_unit() {
    let profile = good(
        "[points]\nc = { at = \"input:0\", type = \"string\", length = 10, trim = \"*\" }\n[events.identification]\nwhen = { changes = \"c\" }\ncode = \"c\"\n",
    );
    let draft = one(&profile, &[("c", Raw::Text("*007*  ".into()))]);
    assert_eq!(json(&draft), r#"{"code":"007"}"#);
    assert_eq!(draft.echo.unwrap().value, "007");
    assert_eq!(draft.id, None);
    let blank = one(&profile, &[("c", Raw::Text("   ".into()))]);
    assert_eq!(blank.quarantine, ["`code` is missing"]);
}

#[test]
fn a_device_s_time_is_read_in_its_zone() {
    let timed = |time: &str, values: &[(&str, Raw)]| {
        let profile = good(&format!("{POINTS}{TIGHTENING}time = {time}\n"));
        let mut all = vec![("j", Raw::Int(1))];
        all.extend(values.iter().cloned());
        one(&profile, &all).device_time
    };
    let time = timed(
        "{ point = \"n\", format = \"unix\" }",
        &[("n", Raw::Int(1_795_342_502))],
    )
    .unwrap();
    assert_eq!(
        (time.said.as_str(), time.wall),
        ("2026-11-22T10:15:02Z", 1_795_342_502_000)
    );
    let parts = "{ points = [\"n\", \"p\", \"lo\"], format = \"%y %m %d\", zone = \"utc\" }";
    // One digit is enough where the device sends numbers; 22 comes of 2200 × 0.01.
    let date = [("n", Raw::Int(26)), ("p", Raw::Int(1)), ("lo", Raw::Int(2200))];
    assert_eq!(timed(parts, &date).unwrap().said, "2026-01-22T00:00:00Z");
    let berlin = "{ point = \"vin\", format = \"%Y-%m-%d %H:%M:%S\", zone = \"Europe/Berlin\" }";
    let time = timed(berlin, &[("vin", Raw::Text("2026-11-22 11:15:02".into()))]).unwrap();
    assert_eq!(
        (time.said.as_str(), time.wall),
        ("2026-11-22T11:15:02+01:00", 1_795_342_502_000)
    );
    assert_eq!(timed(berlin, &[("vin", Raw::Text("no clock".into()))]), None);
    assert_eq!(
        timed("{ point = \"n\", format = \"unix\" }", &[("n", Raw::Int(0))]),
        None
    );
}

#[test]
fn an_installed_file_lays_its_keys_over_the_catalog() {
    let catalog = format!(
        "{HEAD}poll = \"20ms\"\n{POINTS}{TIGHTENING}[[example]]\nname = \"one\"\ngiven = {{ \"input:0\" = [7, 1] }}\nexpect = [{{ type = \"tightening\", result = \"ok\" }}]\n"
    );
    let installed = "profile = 1\nextends = \"v/m\"\nserial = \"S-1\"\nremove = [\"events.tightening.counter\", \"points.good\"]\n[connection]\naddress = \"[2001:db8::1]:1502\"\n[points]\nj = { at = \"input:9\", type = \"u16\", map = { 5 = \"ok\" } }\n";
    let (profile, out) = read(&[("st10.spindle-1.toml", installed), ("v/m.toml", &catalog)]);
    assert!(!out.has_errors(), "{}", out.render(false));
    let profile = profile.unwrap();
    assert_eq!(
        profile.files(),
        [Path::new("/p/st10.spindle-1.toml"), Path::new("/p/v/m.toml")]
    );
    assert_eq!(profile.identity().serial.as_deref(), Some("S-1"));
    let plan = profile.plan(&SlotName::new("a", "b"));
    let link = plan.link.modbus().unwrap();
    assert_eq!(link.address, "[2001:db8::1]:1502");
    assert_eq!(link.poll.as_millis(), 20);
    let draft = one(&profile, &values(5, 1.0, 1));
    assert_eq!(draft.counter, None);
    assert!(draft.quarantine.is_empty());
    assert!(!profile.points().any(|(name, _)| name == "good"));
    // The catalog's example proves the catalog, whatever is laid over it.
    let mut out = Diagnostics::new();
    assert_eq!(
        profile.run_examples(None, &mut out),
        ExampleReport { passed: 1, failed: 0 }
    );
}

#[test]
fn a_fault_in_the_catalog_is_shown_there() {
    let catalog = format!("{HEAD}{POINTS}{TIGHTENING}tourque = \"t\"\n");
    let (profile, out) = read(&[("a.toml", "profile = 1\nextends = \"v/m\"\n"), ("v/m.toml", &catalog)]);
    assert!(profile.is_none());
    let text = out.render(false);
    assert!(text.contains("/p/v/m.toml:"), "{text}");
    assert!(text.contains("did you mean `torque`?"), "{text}");
}

#[test]
fn a_fingerprint_is_of_device_trigger_and_id() {
    let print = |text: &str| {
        let (profile, out) = read(&[("a.toml", text)]);
        assert!(!out.has_errors(), "{}", out.render(false));
        profile.unwrap().plan(&SlotName::new("a", "b")).events[0]
            .fingerprint
            .clone()
    };
    let base = format!("{HEAD}{POINTS}{TIGHTENING}");
    let same = [
        base.replace("192.0.2.17", "192.0.2.99"),
        base.replace("[points]", "[points]\nmore = { at = \"input:40\", type = \"u16\" }"),
        base.replace("2 = \"nok\"", "2 = \"nok\", 3 = \"nok\""),
        base.replace("lbf.in", "N.m"),
    ];
    for text in same {
        assert_eq!(print(&text), print(&base));
    }
    let other = [
        base.replace("model = \"M\"", "model = \"M\"\nserial = \"2\""),
        base.replace("{ changes = \"n\" }", "{ rises = \"n\" }"),
        base.replace("id = [\"vin\", \"n\"]", "id = \"vin\""),
        base.replace("at = \"input:0\"", "at = \"input:20\""),
    ];
    for text in other {
        assert_ne!(print(&text), print(&base));
    }
}

#[test]
fn the_digest_is_of_content_not_of_layout() {
    let base = good(&format!("{POINTS}{TIGHTENING}"));
    let moved = good(&format!("# a comment\n{TIGHTENING}{POINTS}"));
    let changed = good(&format!("{POINTS}{TIGHTENING}stable = 2\n"));
    assert_eq!(base.identity().digest, moved.identity().digest);
    assert_ne!(base.identity().digest, changed.identity().digest);
    assert_eq!(base.identity().digest.len(), "sha256:".len() + 64);
}

#[test]
fn the_plan_has_all_that_an_event_reads() {
    let profile = good(&format!("{POINTS}{TIGHTENING}"));
    let plan = profile.plan(&SlotName::new("a", "b"));
    let event = &plan.events[0];
    let names: Vec<_> = event.points.iter().map(|index| &*plan.points[*index].name).collect();
    assert_eq!(names, ["n", "j", "t", "lo", "p", "vin"]);
    assert_eq!(event.triggers, [Trigger::Changes(vec![0])]);
    assert_eq!(event.stable, 1);
    let far = POINTS.replace("input:1\"", "holding:1\"");
    let measured =
        "[events.measurement]\nwhen = { changes = \"n\" }\nname = { const = \"x\" }\nvalue = \"t\"\nresult = \"j\"\n";
    let stable = |points: &str| {
        good(&format!("{points}{measured}"))
            .plan(&SlotName::new("a", "b"))
            .events[0]
            .stable
    };
    assert_eq!((stable(POINTS), stable(&far)), (1, 2));
}

#[test]
fn a_slot_gets_what_it_relies_on() {
    let profile = good(&format!("{POINTS}{TIGHTENING}"));
    let said = |contract: &SlotContract| -> Vec<String> {
        let mut out = Diagnostics::new();
        profile.check_slot(contract, &mut out);
        out.iter()
            .map(|fault| format!("{:?}: {}", fault.severity, fault.message))
            .collect()
    };
    let fine = contract(
        &[EventType::Tightening],
        &["torque", "torque.min", "program", "result_id"],
        &[],
    );
    assert_eq!(said(&fine), Vec::<String>::new());
    let more = contract(
        &[EventType::Tightening],
        &["angle", "torque.max", "torqe", "torque.mid"],
        &[],
    );
    assert_eq!(
        said(&more),
        [
            "Error: st10.spindle-1 requires `angle`, but [events.tightening] does not give it",
            "Error: st10.spindle-1 requires `torque.max`, but [events.tightening] does not give it",
            "Error: nothing that st10.spindle-1 delivers has a field `torqe`",
            "Error: `torque` has no `mid`",
        ]
    );
    let other = contract(&[EventType::Cycle], &[], &[("press_force", "N")]);
    assert_eq!(
        said(&other),
        [
            "Error: st10.spindle-1 delivers cycle, but its device file maps no cycle event",
            "Warning: st10.spindle-1 does not list tightening in `delivers`",
            "Error: st10.spindle-1 promises `press_force`, but its device file does not give it",
        ]
    );
}

#[test]
fn a_slot_s_values_convert() {
    let body = "[points]\nf = { at = \"input:0\", type = \"u16\", uom = \"kN\" }\n[events.measurement]\nwhen = { changes = \"f\" }\nname = { const = \"press_force\" }\nvalue = \"f\"\n";
    let profile = good(body);
    let said = |values: &[(&str, &str)]| {
        let mut out = Diagnostics::new();
        profile.check_slot(&contract(&[EventType::Measurement], &[], values), &mut out);
        out.iter().map(|fault| fault.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(said(&[("press_force", "N")]), Vec::<String>::new());
    assert_eq!(
        said(&[("press_force", "bar")]),
        ["`press_force` is in `kN`, which cannot be converted to `bar`"]
    );
    assert_eq!(said(&[("force", "N")]).len(), 2);
}

#[test]
fn an_installed_file_without_an_address_is_refused_at_its_slot() {
    let text = format!("{HEAD}{POINTS}{TIGHTENING}").replace("address = \"192.0.2.17\"\n", "");
    let (profile, out) = read(&[("a.toml", &text)]);
    assert!(!out.has_errors());
    let mut out = Diagnostics::new();
    profile
        .unwrap()
        .check_slot(&contract(&[EventType::Tightening], &[], &[]), &mut out);
    assert!(out.render(false).contains("has no address"));
}

#[test]
fn the_order_of_the_connection_is_for_values_of_several_registers() {
    let body = "word_order = \"dcba\"\n[points]\nn = { at = \"input:0\", type = \"u16\" }\nw = { at = \"input:1\", type = \"u32\" }\n\
        a = { at = \"input:3\", type = \"u16\", count = 2 }\no = { at = \"input:5\", type = \"u16\", word_order = \"badc\" }\n\
        [events.readings]\nwhen = { every = \"1s\" }\nvalues = [\"n\", \"w\", \"o\"]\n";
    let profile = good(body);
    let orders: Vec<WordOrder> = profile.points.iter().map(|point| point.at.registers().order).collect();
    assert_eq!(
        orders,
        [WordOrder::Abcd, WordOrder::Dcba, WordOrder::Abcd, WordOrder::Badc]
    );
}

#[test]
fn the_verdict_of_a_measure_needs_no_uom() {
    let body = "[points]\nn = { at = \"input:0\", type = \"u16\" }\nj = { at = \"input:1\", type = \"u16\", map = { 1 = \"ok\", 2 = \"low\" } }\n\
        v = { at = \"input:2\", type = \"u16\", map = { 1 = \"ok\", 2 = \"nok\" } }\nt = { at = \"input:3\", type = \"u16\", uom = \"Nm\" }\n\
        [events.tightening]\nwhen = { changes = \"n\" }\nresult = \"v\"\ntorque = { point = \"t\", result = \"j\" }\n";
    let (profile, out) = read(&[("p.toml", &format!("{HEAD}{body}"))]);
    assert!(profile.is_some() && out.is_empty(), "{}", out.render(false));
}

#[test]
fn a_filter_of_a_member_is_written_with_or_without_quotes() {
    for only in ["\"batch.size\" = 5", "batch.size = 5", "batch = { size = [5, 6] }"] {
        let profile = good(&format!(
            "[points]\nn = {{ at = \"input:0\", type = \"u16\" }}\nj = {{ at = \"input:1\", type = \"u16\", map = {{ 1 = \"ok\" }} }}\n\
             [events.tightening]\nwhen = {{ changes = \"n\" }}\nresult = \"j\"\nbatch = {{ size = \"n\" }}\nonly = {{ {only} }}\n"
        ));
        let nobody = contract(&[], &[], &[]);
        let five = make(&profile, &nobody, &[("n", Raw::Int(5)), ("j", Raw::Int(1))]);
        assert!(matches!(five[..], [Meaning::Draft(_)]), "{only}");
        let four = make(&profile, &nobody, &[("n", Raw::Int(4)), ("j", Raw::Int(1))]);
        assert!(matches!(four[..], [Meaning::Ignored]), "{only}");
    }
}

#[test]
fn an_expectation_may_name_an_element_of_a_list() {
    let profile = good(
        "[points]\nn = { at = \"input:0\", type = \"u16\" }\nj = { at = \"input:1\", type = \"u16\", map = { 1 = \"ok\", 2 = \"nok\" } }\n\
         [events.tightening]\nwhen = { changes = \"n\" }\nresult = \"j\"\nerrors = { code = \"n\", text = { 34 = \"over max angle\" } }\n\
         [[example]]\nname = \"x\"\ngiven = { \"input:0\" = [34, 2] }\n\
         expect = [{ type = \"tightening\", \"errors.0.code\" = \"34\", \"errors.0.text\" = \"over max angle\" }]\n",
    );
    let mut out = Diagnostics::new();
    let report = profile.run_examples(None, &mut out);
    assert_eq!((report.passed, report.failed), (1, 0), "{}", out.render(false));
}
