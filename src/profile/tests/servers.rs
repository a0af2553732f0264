//! OPC UA: how a server is reached, what its points are, when its events happen, and what it does not call good.

use super::*;
use crate::model::plan::{
    Address, Identity, Link, NodeRef, OpcuaLink, OpcuaPart, OpcuaType, Said, Security, SecurityMode, SecurityPolicy,
};
use std::time::Duration;

const HEAD: &str =
    "profile = 1\nvendor = \"V\"\nmodel = \"M\"\n[connection]\nprotocol = \"opcua\"\naddress = \"plc-7.local\"\n";

const BODY: &str = r#"
[points]
count  = { node = "nsu=urn:cell;s=Count" }
stamp  = { node = "nsu=urn:cell;s=Count", part = "source_timestamp" }
torque = { node = "nsu=urn:cell;s=Torque", uom = "lbf.in" }
verdict = { node = "nsu=urn:cell;s=Verdict", map = { true = "ok", false = "nok" } }
temp   = { node = "nsu=urn:cell;s=Temp", uom = "Cel" }
rid    = { field = "Result/Id" }
rok    = { field = "Result/Ok", map = { 1 = "ok", 2 = "nok" } }
[events.tightening]
when = { changes = "count" }
id = ["stamp", "count"]
time = "stamp"
result = "verdict"
torque = "torque"
[events.joined]
type = "tightening"
when = { event = "nsu=urn:types;i=1007" }
id = "rid"
result = "rok"
[events.again]
type = "alarm"
when = [{ event = "nsu=urn:types;i=1007" }, { event = "i=2041", notifier = "ns=1;s=Cell" }]
code = { const = "again" }
active = { const = true }
[events.readings]
when = { changes = "*" }
values = ["temp", "torque"]
"#;

fn load(more: &str) -> (Option<Profile>, Diagnostics) {
    read(&[
        ("a.toml", &format!("{HEAD}{more}{BODY}")),
        ("st10.password", ""),
        ("gw.pem", ""),
        ("gw.key", ""),
    ])
}

fn fine(more: &str) -> Profile {
    let (profile, out) = load(more);
    assert!(out.is_empty(), "{}", out.render(false));
    profile.unwrap()
}

fn link(more: &str) -> OpcuaLink {
    match fine(more).plan(&SlotName::new("st10", "spindle-1")).link {
        Link::Opcua(link) => link,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_link_has_what_is_usual_unless_said() {
    let usual = link("");
    assert_eq!(usual.address, "opc.tcp://plc-7.local:4840");
    assert_eq!(usual.security, Security::Strongest);
    assert_eq!(usual.identity, Identity::Anonymous);
    assert_eq!(
        (usual.timeout, usual.publishing),
        (Duration::from_secs(5), Duration::from_millis(100))
    );
    assert_eq!((usual.sampling, usual.queue, usual.polled), (None, 100, false));
    assert!(usual.trust.pins.is_empty() && usual.trust.file.is_none());
    let digits = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
    let colons: Vec<&str> = (0..32).map(|at| &digits[2 * at..2 * at + 2]).collect();
    let said = link(&format!(
        "security = \"aes256_sha256_rsapss/sign\"\ntrust = [\"sha256:{digits}\", \"{}\"]\ntrust_file = \"gw.pem\"\nusername = \"gw\"\n\
         password_file = \"st10.password\"\npublishing = \"200ms\"\nsampling = \"20ms\"\nqueue = 7\ntimeout = \"2s\"\n",
        colons.join(":")
    ));
    assert_eq!(
        said.security,
        Security::Exactly(SecurityPolicy::Aes256Sha256RsaPss, SecurityMode::Sign)
    );
    assert_eq!(said.trust.pins.len(), 2);
    assert_eq!(said.trust.pins[0], said.trust.pins[1]);
    assert_eq!(said.trust.pins[0][..3], [0x00, 0x11, 0x22]);
    assert_eq!(said.trust.file.as_deref(), Some(Path::new("/p/gw.pem")));
    assert_eq!(
        said.identity,
        Identity::User {
            name: "gw".into(),
            password_file: "/p/st10.password".into()
        }
    );
    assert_eq!((said.sampling, said.queue), (Some(Duration::from_millis(20)), 7));
    assert_eq!(link("security = \"none\"\n").security, Security::None);
    let uri = "security = \"http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256/SignAndEncrypt\"\n";
    assert_eq!(
        link(uri).security,
        Security::Exactly(SecurityPolicy::Basic256Sha256, SecurityMode::SignAndEncrypt)
    );
    assert_eq!(
        link("cert_file = \"gw.pem\"\nkey_file = \"gw.key\"\npolled = true\n").identity,
        Identity::Certificate {
            cert_file: "/p/gw.pem".into(),
            key_file: "/p/gw.key".into()
        }
    );
}

#[test]
fn addresses_have_their_port_filled_in() {
    let of = |text: &str| {
        let head = HEAD.replace("plc-7.local", text);
        let (profile, out) = read(&[("a.toml", &format!("{head}{BODY}"))]);
        assert!(out.is_empty(), "{}", out.render(false));
        profile
            .unwrap()
            .plan(&SlotName::new("a", "b"))
            .link
            .address()
            .to_owned()
    };
    assert_eq!(of("opc.tcp://192.0.2.30"), "opc.tcp://192.0.2.30:4840");
    assert_eq!(of("opc.tcp://192.0.2.30:48010/a/b"), "opc.tcp://192.0.2.30:48010/a/b");
    assert_eq!(of("opc.tcp://[::1]/x"), "opc.tcp://[::1]:4840/x");
}

#[test]
fn a_plan_has_nodes_ways_and_each_notice_once() {
    let profile = fine("");
    let plan = profile.plan(&SlotName::new("st10", "spindle-1"));
    let point = |name: &str| {
        let point = plan.points.iter().find(|point| &*point.name == name).unwrap();
        point.at.opcua().unwrap().clone()
    };
    assert_eq!(point("count").node.unwrap().to_string(), "nsu=urn:cell;s=Count");
    assert_eq!(point("stamp").part, OpcuaPart::SourceTimestamp);
    assert_eq!(point("rid").node, None);
    assert_eq!(&*point("rid").paths[0].text, "Result/Id");
    let notices: Vec<String> = plan
        .notices
        .iter()
        .map(|notice| notice.event_type.to_string())
        .collect();
    assert_eq!(notices, ["nsu=urn:types;i=1007", "i=2041"]);
    assert_eq!(plan.notices[0].notifier, NodeRef::SERVER);
    assert_eq!(plan.notices[1].notifier.to_string(), "ns=1;s=Cell");
    assert_eq!(plan.events[1].triggers, [Trigger::Said(Said::Event(0))]);
    assert_eq!(
        plan.events[2].triggers,
        [Trigger::Said(Said::Event(0)), Trigger::Said(Said::Event(1))]
    );
    let prints: std::collections::BTreeSet<&str> = plan.events.iter().map(|event| &*event.fingerprint).collect();
    assert_eq!(prints.len(), 4);
    // Another type of event is another trigger.
    let (other, _) = read(&[("a.toml", &format!("{HEAD}{}", BODY.replace("1007", "1035")))]);
    let other = other.unwrap().plan(&SlotName::new("st10", "spindle-1"));
    assert_ne!(plan.events[1].fingerprint, other.events[1].fingerprint);
    assert_eq!(plan.events[0].fingerprint, other.events[0].fingerprint);
}

/// A sample of one event, with what the server says of its points.
fn sample(profile: &Profile, event: usize, values: &[(&str, Raw)], quality: &[(&str, &str)]) -> Vec<Meaning> {
    let contract = contract(&[], &[], &[]);
    let plan = Arc::new(profile.plan(&contract.slot));
    let index = |name: &str| plan.points.iter().position(|point| &*point.name == name).unwrap();
    let mut row = vec![None; plan.points.len()];
    for (name, raw) in values {
        row[index(name)] = Some(raw.clone());
    }
    let mut sample = Sample::picture(
        &plan,
        event,
        row,
        vec![None; plan.points.len()],
        Moment::new(1_795_342_503_171, 5),
    );
    sample.quality = quality
        .iter()
        .map(|(name, word)| (index(name), Arc::from(*word)))
        .collect();
    profile.drafts(&contract, &sample)
}

#[test]
fn what_is_not_good_is_told_and_what_is_bad_is_absent() {
    let profile = fine("");
    let double = |value: f64| Raw::F64(value.to_bits());
    let readings = |quality: &[(&str, &str)]| {
        json(&draft(sample(
            &profile,
            3,
            &[("temp", double(41.5)), ("torque", double(1.0))],
            quality,
        )))
    };
    assert_eq!(
        readings(&[("temp", "UncertainLastUsableValue")]),
        r#"{"values":{"temp":41.5,"torque":1},"uoms":{"temp":"Cel","torque":"[lbf_av].[in_i]"},"quality":{"temp":"UncertainLastUsableValue"}}"#
    );
    assert_eq!(
        readings(&[("temp", "BadSensorFailure")]),
        r#"{"values":{"torque":1},"uoms":{"torque":"[lbf_av].[in_i]"},"quality":{"temp":"BadSensorFailure"}}"#
    );
    let tightening = |quality: &[(&str, &str)]| {
        let values = [
            ("count", Raw::Int(7)),
            ("stamp", Raw::Text("2026-11-22T10:15:02.5Z".into())),
            ("torque", double(120.0)),
            ("verdict", Raw::Bool(true)),
        ];
        draft(sample(&profile, 0, &values, quality))
    };
    let good = tightening(&[("torque", "UncertainInitialValue")]);
    // 120 lbf·in of a double: 15 digits.
    assert_eq!(
        json(&good),
        r#"{"result":"ok","torque":{"value":13.558179483314,"uom":"N.m"},"result_id":"7"}"#
    );
    let time = good.device_time.unwrap();
    assert_eq!(
        (time.said.as_str(), time.wall),
        ("2026-11-22T10:15:02.5Z", 1_795_342_502_500)
    );
    let bad = tightening(&[("torque", "BadSensorFailure"), ("stamp", "Bad")]);
    assert_eq!(json(&bad), r#"{"result":"ok","result_id":"7"}"#);
    assert_eq!(bad.device_time, None);
    let none = tightening(&[("verdict", "BadNoCommunication")]);
    assert_eq!(
        none.quarantine,
        ["`result` is missing", "`verdict` is BadNoCommunication"]
    );
}

#[test]
fn a_single_converts_to_seven_digits_a_time_that_is_none_is_absent() {
    let profile = fine("");
    let values = [
        ("count", Raw::Int(7)),
        ("stamp", Raw::Text("1601-01-01T00:00:00Z".into())),
        ("torque", Raw::F32(120.0_f32.to_bits())),
        ("verdict", Raw::Bool(false)),
    ];
    let draft = draft(sample(&profile, 0, &values, &[]));
    assert_eq!(
        json(&draft),
        r#"{"result":"nok","torque":{"value":13.55818,"uom":"N.m"},"result_id":"7"}"#
    );
    assert_eq!(draft.device_time, None);
}

#[test]
fn types_and_bits_are_kept() {
    let (profile, out) = read(&[(
        "a.toml",
        &format!(
            "{HEAD}[points]\nw = {{ node = \"i=1\", type = \"u16\" }}\nb = {{ node = \"i=1\", bit = 3 }}\nn = {{ node = \"i=1\", bits = [4, 7], map = {{ 15 = \"running\" }} }}\n\
             [events.state]\nwhen = {{ rises = \"b\" }}\nstate = \"n\"\nextra = [\"w\"]\n"
        ),
    )]);
    assert!(out.is_empty(), "{}", out.render(false));
    let plan = profile.unwrap().plan(&SlotName::new("a", "b"));
    let at = |index: usize| match &plan.points[index].at {
        Address::Opcua(at) => (at.kind, at.bits),
        other => panic!("{other:?}"),
    };
    assert_eq!(at(0), (Some(OpcuaType::U16), None));
    assert_eq!(at(1), (None, Some((3, 1))));
    assert_eq!(at(2), (None, Some((4, 4))));
}

fn faults(body: &str) -> Vec<String> {
    let (_, out) = read(&[("a.toml", &format!("{HEAD}{body}"))]);
    out.iter().map(|fault| fault.message.clone()).collect()
}

#[test]
fn what_a_point_cannot_be_is_told() {
    let of = |keys: &str| {
        let body = format!(
            "[points]\nx = {{ {keys} }}\n[events.state]\nwhen = {{ changes = \"x\" }}\nstate = {{ const = \"idle\" }}\n"
        );
        faults(&body)
    };
    assert_eq!(of("uom = \"N\""), ["nothing says where `x` is"]);
    assert_eq!(
        of("field = \"A\", sampling = \"1s\""),
        ["a field of an event is not sampled"]
    );
    assert_eq!(
        of("field = \"A\", part = \"status\""),
        ["a field of an event has no status"]
    );
    assert_eq!(
        of("node = \"i=1\", field = \"A\", part = \"source_timestamp\""),
        ["a source_timestamp is of the whole variable"]
    );
    assert_eq!(
        of("node = \"i=1\", bit = 1, bits = [1, 2]"),
        ["`bit` and `bits` cannot go together"]
    );
    assert_eq!(
        of("node = \"i=1\", bits = [7, 4]"),
        ["the highest bit comes before the lowest"]
    );
    assert_eq!(
        of("node = \"i=1\", bit = 1, type = \"f32\""),
        ["bits are of a whole number, not of `f32`"]
    );
    assert_eq!(of("node = \"i=1\", type = \"bcd16\""), ["`bcd16` is no type of OPC UA"]);
    assert_eq!(
        of("node = \"i=1\", count = 3"),
        ["`count` is of Modbus; `opcua` has none"]
    );
    assert_eq!(
        of("node = \"i=1\", type = \"u8\", invalid = [256]"),
        ["`x` can never be this"]
    );
}

#[test]
fn an_example_may_not_give_what_no_server_says() {
    let of = |given: &str| {
        let body = format!("{BODY}[[example]]\nname = \"x\"\norigin = \"computed\"\ngiven = {given}\nexpect = []\n");
        let (profile, _) = read(&[
            ("a.toml", &format!("{HEAD}{body}")),
            ("bad.json", "{"),
            ("e.json", "{}"),
        ]);
        let mut out = Diagnostics::new();
        profile.unwrap().run_examples(None, &mut out);
        out.iter().map(|fault| fault.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(of("{}"), ["this gives nothing"]);
    assert_eq!(
        of("{ \"input:100\" = [7] }"),
        ["`input:100` is nothing that a server says"]
    );
    assert_eq!(of("{ event = {} }"), ["this profile knows several types of events"]);
    assert_eq!(
        of("{ event = {}, type = \"i=1\" }"),
        ["nothing here is triggered by `i=1`"]
    );
    assert_eq!(
        of("{ event = \"none.json\", type = \"i=2041\" }"),
        ["/p/none.json: there is no such file"]
    );
    assert!(of("{ event = \"bad.json\", type = \"i=2041\" }")[0].starts_with("`bad.json` is not JSON"));
    assert!(of("{ event = \"e.json\", type = \"i=2041\" }")[0].contains("[events.again] happened too"));
}

#[test]
fn a_slot_that_trusts_nobody_is_told() {
    let said = |more: &str| {
        let mut out = Diagnostics::new();
        let mut contract = contract(
            &[EventType::Tightening, EventType::Alarm, EventType::Readings],
            &[],
            &[],
        );
        contract.values = Vec::new();
        fine(more).check_slot(&contract, &mut out);
        out.iter().map(|fault| fault.message.clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        said(""),
        ["st10.spindle-1 trusts no server yet: every certificate is refused"]
    );
    assert_eq!(said("security = \"None\"\n"), Vec::<String>::new());
    assert_eq!(said("trust_file = \"gw.pem\"\n"), Vec::<String>::new());
}

#[test]
fn a_virtual_server_begins_with_what_examples_say() {
    let body = format!(
        "{BODY}[[example]]\nname = \"x\"\norigin = \"computed\"\ngiven = [{{ values = {{ temp = 20 }} }}, {{ values = {{ count = 7, torque = 1.5 }} }}, {{ event = {{ Result = {{ Id = \"r\" }} }}, type = \"nsu=urn:types;i=1007\" }}]\nexpect = []\n"
    );
    let (profile, _) = read(&[("a.toml", &format!("{HEAD}{body}"))]);
    let profile = profile.unwrap();
    let values = profile.start_values();
    assert_eq!(values.iter().flatten().count(), 3);
    let events = profile.start_events();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].0, 0);
    assert!(events[0].1.field("Result").is_some());
}
