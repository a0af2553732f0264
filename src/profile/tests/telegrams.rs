//! Open Protocol: the vectors of reference/devices.md 1.8 from telegram to event, and what is refused. Values by hand.

use super::*;
use crate::model::plan::{
    Acknowledge, Address, Link, OpenProtocolLink, Recover, ResultSource, Said, TelegramTransport,
};

const HEAD: &str = "profile = 1\nvendor = \"V\"\nmodel = \"M\"\n[connection]\nprotocol = \"open-protocol\"\naddress = \"192.0.2.20\"\n";

const EVENT: &str = r#"
[events.tightening]
when = "result"
id = ["tightening_id"]
time = { point = "time_stamp", format = "%Y-%m-%d:%H:%M:%S", zone = "utc" }
unit = "vin_number"
result = "tightening_status"
kind = "kind"
torque = { point = "torque", target = "torque_final_target", min = "torque_min_limit", max = "torque_max_limit", result = "torque_status" }
angle = { point = "angle", min = "angle_min", max = "angle_max", result = "angle_status" }
rundown_angle = { point = "rundown_angle", min = "rundown_angle_min", max = "rundown_angle_max", result = "rundown_angle_status" }
program = { id = "parameter_set_number", name = "parameter_set_name" }
batch = { count = "batch_counter", size = "batch_size", result = "batch_status" }
job = "job_id"
tool = { serial = "tool_serial_number" }
controller = { id = "controller_name", serial = "controller_serial_number" }
errors = { code = "errors", text = "error_texts" }
"#;

/// 0061 revision 1, 0061 revision 2 of a real controller, and 0065 revision 1.
const R1: &str = "02310061001         010001020103airbag7                  04KPOL3456JKLO897          050006003070000080000090100111120008401300140014001200150007391600000170999918000001900000202001-06-02:09:54:09212001-05-29:12:34:33221230000345675";
const R2: &str = "03850061002         010000020003RA ST6.2 ETV100          04                         05000006001070208000670900001000001101221301401501611711811912000000081942100340022004600230040002400050525000202600420270000028000002900100300085031000043200033150340003500000036999900370000003800000039000000400000004100001848874200000430000044      C0761275452020-06-25:01:04:39462020-06-24:10:48:53";
const OLD: &str = "01180065001         01012345678902AIRBAG                   03001040002050060070080014670900046102001-04-22:14:54:34112";

fn load(body: &str) -> (Option<Profile>, Diagnostics) {
    read(&[("a.toml", &format!("{HEAD}{body}"))])
}

fn fine(body: &str) -> Profile {
    let (profile, out) = load(body);
    assert!(out.is_empty(), "{}", out.render(false));
    profile.unwrap()
}

fn faults(body: &str) -> Vec<String> {
    let (_, out) = load(body);
    out.iter().map(|fault| fault.message.clone()).collect()
}

/// Every event of an example: what is `given`, as TOML.
fn made(body: &str, given: &str) -> Vec<serde_json::Value> {
    let text = format!("{body}\n[[example]]\nname = \"x\"\ngiven = {given}\nexpect = []\n");
    let (profile, out) = load(&text);
    let profile = profile.unwrap_or_else(|| panic!("{}", out.render(false)));
    let mut out = Diagnostics::new();
    profile.run_examples(None, &mut out);
    // Each is told as too many, in order.
    let events = out.iter().map(|fault| {
        let help = fault.help.as_deref().unwrap_or_default();
        let json = help
            .strip_prefix("the event is ")
            .unwrap_or_else(|| panic!("{}", fault.message));
        serde_json::from_str(json).unwrap()
    });
    events.collect()
}

fn telegram(text: &str) -> String {
    format!("{{ telegram = \"{text}\" }}")
}

fn data(json: &serde_json::Value) -> serde_json::Value {
    json.clone()
}

#[test]
fn revision_1_is_a_whole_tightening() {
    let events = made(EVENT, &telegram(R1));
    assert_eq!(
        events.iter().map(data).collect::<Vec<_>>(),
        [serde_json::json!({
            "type": "tightening", "event": "tightening",
            "result": "nok", "kind": "tighten",
            "torque": { "value": 7.39, "uom": "N.m", "target": 12, "min": 8.4, "max": 14, "result": "low" },
            "angle": { "value": 0, "uom": "deg", "min": 0, "result": "ok" },
            "program": { "id": "3" },
            "batch": { "count": 0, "size": 0, "result": "ok" },
            "job": { "id": "0" },
            "controller": { "id": "airbag7" },
            "result_id": "345675",
            "unit": { "id": "KPOL3456JKLO897" },
            "times": { "device": "2001-06-02T09:54:09Z" },
        })]
    );
}

#[test]
fn revision_2_of_a_real_controller_has_its_errors_in_words() {
    let events = made(EVENT, &telegram(R2));
    assert_eq!(
        events.iter().map(data).collect::<Vec<_>>(),
        [serde_json::json!({
            "type": "tightening", "event": "tightening",
            "result": "nok", "kind": "tighten",
            "torque": { "value": 5.05, "uom": "N.m", "target": 40, "min": 34, "max": 46, "result": "low" },
            "angle": { "value": 0, "uom": "deg", "min": 20, "max": 420, "result": "low" },
            "rundown_angle": { "value": 4, "uom": "deg", "min": 100, "max": 850, "result": "low" },
            "program": { "id": "1" },
            "batch": { "count": 0, "size": 0 },
            "job": { "id": "0" },
            "tool": { "serial": "C0761275" },
            "controller": { "id": "RA ST6.2 ETV100" },
            "errors": events[0]["errors"],
            "result_id": "184887",
            "times": { "device": "2020-06-25T01:04:39Z" },
        })]
    );
    let codes: Vec<&str> = events[0]["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["2", "14"]);
    assert!(events[0]["errors"][1]["text"].as_str().unwrap().contains("rigger"));
}

#[test]
fn the_telegram_s_own_unit_of_measure_counts_unless_the_profile_writes_one() {
    // Revision 3: the real one, "Test Parameter Set", unit 2 = lbf.ft, result type 05 = bypass.
    let r3 = format!(
        "04190061003         {}47Test Parameter Set       4824905",
        R2.get(20..).unwrap()
    );
    let events = made(EVENT, &telegram(&r3));
    // 5.05 lbf.ft × 1.3558179483314 N.m
    assert_eq!(events[0]["torque"]["value"], serde_json::json!(6.846_881));
    assert_eq!(events[0]["torque"]["min"], serde_json::json!(46.097_81));
    assert_eq!(events[0]["program"]["name"], "Test Parameter Set");
    assert_eq!(events[0].get("kind"), None, "a bypass is none");
    let written = format!("[points]\ntorque = {{ uom = \"lbf.in\" }}\n{EVENT}");
    let events = made(&written, &telegram(&r3));
    // 5.05 lbf.in × 0.1129848290276167 N.m
    assert_eq!(events[0]["torque"]["value"], serde_json::json!(0.570_573_4));
    assert_eq!(
        events[0]["torque"]["min"],
        serde_json::json!(46.097_81),
        "the others go on as they are"
    );
    let filtered = format!("{EVENT}except = {{ result_type = [\"bypass\", \"batch_increment\"] }}\n");
    assert_eq!(made(&filtered, &telegram(&r3)), Vec::<serde_json::Value>::new());
}

#[test]
fn the_light_revision_is_the_same_event() {
    let light = format!(
        "01210061999         {:<25}{:02}{:03}{:04}{:04}1111{:06}{:05}{}{}{:010}",
        "VIN1", 7, 12, 4, 3, 1234, 90, "2026-11-22:10:15:02", "2026-11-01:00:00:00", 4711
    );
    let events = made(EVENT, &telegram(&light));
    assert_eq!(
        events,
        [serde_json::json!({
            "type": "tightening", "event": "tightening", "result": "ok", "kind": "tighten",
            "torque": { "value": 12.34, "uom": "N.m", "result": "ok" },
            "angle": { "value": 90, "uom": "deg", "result": "ok" },
            "program": { "id": "12" },
            "batch": { "count": 3, "size": 4, "result": "ok" },
            "job": { "id": "7" },
            "result_id": "4711",
            "unit": { "id": "VIN1" },
            "times": { "device": "2026-11-22T10:15:02Z" },
        })]
    );
}

#[test]
fn what_was_fetched_later_has_the_same_id() {
    let live = R1.replace("0000345675", "0123456789");
    let both = made(EVENT, &format!("[{}, {}]", telegram(&live), telegram(OLD)));
    assert_eq!(both[0]["result_id"], both[1]["result_id"]);
    assert_eq!(
        both[1]["torque"],
        serde_json::json!({ "value": 14.67, "uom": "N.m", "result": "low" })
    );
}

#[test]
fn points_say_only_what_a_controller_does_otherwise() {
    let body = format!(
        "[points]\nvin_number = {{ trim = \"K\" }}\ntightening_status = {{ map = {{ nok = \"ok\" }} }}\nangle = {{ invalid = [0] }}\n{EVENT}"
    );
    let events = made(&body, &telegram(R1));
    assert_eq!(events[0]["result"], "ok");
    assert_eq!(events[0]["unit"]["id"], "POL3456JKLO897");
    assert_eq!(
        events[0]["angle"],
        serde_json::json!({ "uom": "deg", "min": 0, "result": "ok" })
    );
    let ok = R1.replace("090100111", "091100111");
    assert_eq!(
        made(&body, &telegram(&ok))[0]["result"],
        "ok",
        "a word that the map leaves out stays"
    );
}

#[test]
fn another_controller_is_another_device() {
    let profile = fine(EVENT);
    let plan = Arc::new(profile.plan(&SlotName::new("a", "b")));
    let serial = plan
        .points
        .iter()
        .position(|point| &*point.name == "controller_serial_number")
        .unwrap();
    assert!(plan.events[0].points.contains(&serial));
    let device = |profile: &Profile, number: &str| {
        let slot = contract(&[], &[], &[]);
        let said = [
            ("tightening_status", Raw::Text("ok".into())),
            ("controller_serial_number", Raw::Text(number.into())),
        ];
        draft(make(profile, &slot, &said)).device.serial.clone()
    };
    assert_eq!(device(&profile, "A-1").as_deref(), Some("A-1"));
    assert_eq!(device(&profile, "A-2").as_deref(), Some("A-2"));
    assert_eq!(device(&profile, " "), None);
    let (named, out) = read(&[("a.toml", &format!("serial = \"MINE\"\n{HEAD}{EVENT}"))]);
    assert!(out.is_empty(), "{}", out.render(false));
    assert_eq!(device(&named.unwrap(), "A-1").as_deref(), Some("MINE"));
}

#[test]
fn a_result_of_variable_fields_is_put_together() {
    // Result 153, one object (0010), three PIDs: 02001 torque 12.5 N.m, 02011 angle 90 deg, 12345 text.
    let first = "00691201            00200100000001532022-11-14:09:35:1010000100101000";
    let block = format!(
        "003{}{}{}",
        "020010070300100000012.50", "02011003010500000090", "12345003040000000abc"
    );
    let second = format!(
        "{:04}1202            0020020000000153{}{block}",
        20 + 20 + block.len(),
        "0010"
    );
    let body = format!(
        "[connection]\nresults = \"1201\"\nrecover = \"from-index\"\n{}extra = [\"mine\", \"pid_2011\"]\n",
        EVENT.replace("[events", "[points]\nmine = { pid = 12345 }\n[events")
    );
    let body = body.replacen("[connection]\n", "", 1);
    let events = made(&body, &format!("{{ telegram = [\"{first}\", \"{second}\"] }}"));
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["result"], "ok");
    assert_eq!(events[0]["torque"]["value"], serde_json::json!(12.5));
    assert_eq!(events[0]["angle"]["value"], serde_json::json!(90));
    assert_eq!(events[0]["result_id"], "153");
    assert_eq!(
        events[0]["extra"],
        serde_json::json!({ "mine": { "value": "abc" }, "pid_2011": { "value": 90, "uom": "deg" } })
    );
}

#[test]
fn alarms_identifiers_jobs_and_programs_are_events() {
    let body = r#"
[events.alarm]
when = "alarm"
code = "error_code"
active = "alarm_active"
text = "alarm_text"
[events.identification]
when = "identifier"
repeat = "1s"
code = "vin_number"
[events.readings]
when = ["job", "program"]
values = ["job_batch_counter", "parameter_set_number"]
[events.inputs]
type = "state"
when = "inputs"
state = { running = "monitored_input_1", stopped = "monitored_input_2" }
"#;
    let given = [
        "01060071002         01E1021021031042017-12-01:20:12:4505Alarm Text                                        ",
        "00240074001         E102",
        "00450052001         VehicleIdNumber          ",
        "00630035001         0101020030040008050003062001-12-01:20:12:45",
        "00420015001         0022017-06-02:09:54:09",
        "00280211   1        10101011",
    ];
    let given: Vec<String> = given.iter().map(|text| format!("\"{text}\"")).collect();
    let events = made(body, &format!("{{ telegram = [{}] }}", given.join(", ")));
    assert_eq!(
        events,
        [
            serde_json::json!({ "type": "alarm", "event": "alarm", "code": "E1021", "active": true, "text": "Alarm Text" }),
            serde_json::json!({ "type": "alarm", "event": "alarm", "code": "E102", "active": false }),
            serde_json::json!({ "type": "identification", "event": "identification", "code": "VehicleIdNumber", "unit": { "id": "VehicleIdNumber" } }),
            serde_json::json!({ "type": "readings", "event": "readings", "values": { "job_batch_counter": 3 }, "quality": { "parameter_set_number": "invalid" } }),
            serde_json::json!({ "type": "readings", "event": "readings", "values": { "parameter_set_number": 2 }, "quality": { "job_batch_counter": "invalid" } }),
            serde_json::json!({ "type": "state", "event": "inputs", "state": "running" }),
        ]
    );
}

#[test]
fn a_trace_is_the_curve_of_its_tightening() {
    let trace = crate::wire::open_protocol::Trace {
        result_id: "4711".into(),
        time: Some("2026-11-22:10:15:02".into()),
        kind: "torque".into(),
        uom: Some("cN.m"),
        samples: ["1", "250", "1250.5"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect(),
        step: Some(("time", Some("ms"), 5_i64.into())),
        fields: Vec::new(),
    };
    let order = crate::wire::open_protocol::TraceOrder::Big;
    let raw = crate::wire::open_protocol::trace::encode(&trace, order)
        .unwrap()
        .encode();
    let text: String = raw
        .iter()
        .map(|byte| char::from(*byte))
        .map(|c| {
            if c.is_ascii_graphic() || c == ' ' {
                c.to_string()
            } else {
                format!("\\u{:04x}", u32::from(c))
            }
        })
        .collect();
    let body = r#"
[events.curve]
when = "trace"
id = ["tightening_id"]
x = { name_from = "trace_step_name", step = "trace_step", uom = "s" }
y = { name_from = "trace_type", values = "trace_samples", uom = "N.m" }
"#;
    let body = format!("trace_order = \"big\"\n{body}");
    let events = made(&body, &telegram(&text));
    assert_eq!(
        events,
        [serde_json::json!({
            "type": "curve", "event": "curve",
            "x": { "name": "time", "uom": "s", "values": [0, 0.005, 0.01] },
            "y": { "name": "torque", "uom": "N.m", "values": [0.01, 2.5, 12.505] },
            "result_id": "4711",
        })]
    );
    // Torque and angle of one tightening are two curves.
    let id = |profile: &Profile, kind: &str| {
        let said = [
            ("tightening_id", Raw::Int(1)),
            ("trace_type", Raw::Text(kind.into())),
            ("trace_samples", Raw::List(vec![Raw::Int(1)])),
            ("trace_step", Raw::Int(1)),
        ];
        draft(make(profile, &contract(&[], &[], &[]), &said)).id
    };
    let profile = fine(&body);
    assert_ne!(id(&profile, "torque"), id(&profile, "angle"));
}

#[test]
fn what_cannot_be_read_is_quarantined() {
    let cut = format!("0080{}", R1.get(4..80).unwrap());
    let events = made(EVENT, &telegram(&cut));
    assert_eq!((&events[0]["type"], events.len()), (&"quarantine".into(), 1));
    assert!(
        events[0]["reasons"][0].as_str().unwrap().contains("ends inside"),
        "{events:?}"
    );
    // A torque of dashes is no torque; a verdict that nobody knows is no verdict.
    let dashes = R1.replace("15000739", "15------").replace("090100111", "097100111");
    let events = made(EVENT, &telegram(&dashes));
    assert_eq!(events[0]["reasons"], serde_json::json!(["`result` is missing"]));
}

#[test]
fn the_session_is_as_the_profile_says() {
    let link = |more: &str| -> OpenProtocolLink {
        match fine(&format!("{more}{EVENT}")).plan(&SlotName::new("a", "b")).link {
            Link::OpenProtocol(link) => link,
            other => panic!("{other:?}"),
        }
    };
    let usual = link("");
    assert_eq!(
        (
            usual.address.as_str(),
            usual.timeout.as_secs(),
            usual.keep_alive.as_secs()
        ),
        ("192.0.2.20:4545", 3, 10)
    );
    assert_eq!(
        (usual.results, usual.recover, usual.acknowledge),
        (ResultSource::Last, Recover::None, Acknowledge::Own)
    );
    assert_eq!(
        (usual.revision.start, usual.revision.results, usual.generic),
        (6, 7, false)
    );
    let said = link(
        "results = \"0061\"\nrecover = \"walk-back\"\nrevision = { start = 7, results = 998, jobs = 5 }\nkeep_alive = \"7s\"\nacknowledge = \"link\"\ngeneric = true\nstation = 2\nspindle = 3\ntrace_order = \"big\"\n",
    );
    assert_eq!(
        (said.recover, said.acknowledge, said.generic),
        (Recover::WalkBack, Acknowledge::Link, true)
    );
    assert_eq!(
        (
            said.revision.start,
            said.revision.results,
            said.revision.jobs,
            said.revision.alarms
        ),
        (7, 998, 5, 2)
    );
    assert_eq!(
        (said.station, said.spindle, said.big_endian_traces),
        (Some(2), Some(3), true)
    );
    let serial = |more: &str| {
        let text = format!("{HEAD}{more}{EVENT}").replace("\"192.0.2.20\"", "\"/dev/ttyS0\"");
        let (profile, out) = read(&[("a.toml", &text)]);
        assert!(out.is_empty(), "{}", out.render(false));
        match profile.unwrap().plan(&SlotName::new("a", "b")).link {
            Link::OpenProtocol(link) => link.transport,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(serial(""), TelegramTransport::Ascii(port) if port.baud == 9600 && port.data_bits == 8));
    assert!(
        matches!(serial("procedure = \"3964r\"\nbaud = 115200\n"), TelegramTransport::Block3964R(port) if port.baud == 115_200)
    );
}

#[test]
fn the_names_of_fields_are_listed_with_their_uoms_and_words() {
    let known = known_points("open-protocol");
    let of = |name: &str| *known.iter().find(|point| point.name == name).unwrap();
    assert_eq!((of("torque").kind, of("torque").uom), ("number", Some("N.m")));
    assert_eq!(of("torque_status").words, ["low", "ok", "high"]);
    assert!(of("tightening_id").from.contains("0061"));
    assert!(known_points("modbus-tcp").is_empty());
    assert_eq!(known_points("tcp"), known_points("serial"));
}

#[test]
fn only_what_is_used_becomes_a_point() {
    let profile = fine(
        "[events.readings]\nwhen = \"result\"\nid = [\"tightening_id\"]\nvalues = \"*\"\n[points]\ntorque = { plausible = [0, 99] }\n",
    );
    let names: Vec<&str> = profile.points().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["torque", "controller_serial_number", "tightening_id", "torque_uom"]
    );
    let plan = profile.plan(&SlotName::new("a", "b"));
    assert_eq!(plan.events[0].triggers, [Trigger::Said(Said::Result)]);
    assert_eq!(plan.points[0].at, Address::Field("torque".into()));
    let values: Vec<&str> = profile.events[0]
        .values
        .iter()
        .map(|(name, _, _)| name.as_str())
        .collect();
    assert_eq!(values, ["torque", "tightening_id"]);
}

#[test]
fn what_does_not_go_together_is_told() {
    assert_eq!(
        faults(&format!(
            "recover = \"by-id\"\n{}",
            EVENT.replace("id = [\"tightening_id\"]\n", "")
        )),
        ["[events.tightening] needs `id`"]
    );
    assert_eq!(
        faults(&EVENT.replace("id = [\"tightening_id\"]\n", "")),
        ["[events.tightening] has no `id`"]
    );
    assert_eq!(
        faults(&format!("recover = \"from-index\"\n{EVENT}")),
        ["`from-index` goes with results = \"1201\""]
    );
    assert_eq!(
        faults(&format!("results = \"0101\"\nrecover = \"by-id\"\n{EVENT}")),
        ["`by-id` goes with results = \"0061\""]
    );
    assert_eq!(
        faults(&format!("acknowledge = \"link\"\nrevision = {{ start = 5 }}\n{EVENT}")),
        ["the link layer needs revision 6 of the start"]
    );
    assert_eq!(
        faults(&format!("keep_alive = \"20s\"\n{EVENT}")),
        ["controllers drop a link that is silent for 15 s"]
    );
    assert_eq!(
        faults(&format!("baud = 9600\n{EVENT}")),
        ["`baud` is of a serial port; this address is none"]
    );
    assert_eq!(
        faults(&format!(
            "server_id = 1\npoll = \"1s\"\n[frame]\nend = \"\\r\"\n{EVENT}"
        )),
        [
            "`server_id` is of Modbus; `open-protocol` has none",
            "`poll` is of Modbus; `open-protocol` has none",
            "`frame` is of frames (protocol serial or tcp); `open-protocol` has none",
        ]
    );
    assert_eq!(
        faults(&format!(
            "[points]\ntorque = {{ at = \"input:1\" }}\nx = {{ columns = [1, 2] }}\n{EVENT}"
        )),
        [
            "`at` is of Modbus; `open-protocol` has none",
            "`columns` is of frames (protocol serial or tcp); `open-protocol` has none",
            "no telegram has a field `x`",
        ]
    );
    assert_eq!(
        faults(&EVENT.replace("\"result\"", "\"frame\"")),
        ["`frame` is said by devices of frames (protocol serial or tcp); `open-protocol` has no such trigger"]
    );
    assert_eq!(
        faults(&format!("{EVENT}repeat = \"1s\"\n")),
        ["`repeat` goes with when = \"frame\" or \"identifier\""]
    );
    assert_eq!(
        faults(&format!(
            "{EVENT}ack = {{ write = \"torque\", value = 1 }}\nstable = 2\n"
        )),
        [
            "`ack` is of devices that are asked (Modbus, OPC UA); `open-protocol` has none",
            "`stable` is of devices that are asked (Modbus, OPC UA); `open-protocol` has none"
        ]
    );
    assert_eq!(
        faults(&EVENT.replace("result = \"tightening_status\"", "result = \"rotation\"")).len(),
        1
    );
    let (_, out) = load(&EVENT.replace("angle_max", "angel_max"));
    assert!(
        out.render(false).contains("did you mean `angle_max`?"),
        "{}",
        out.render(false)
    );
    let (_, out) = load(&format!("[points]\ntorqe = {{ uom = \"N.m\" }}\n{EVENT}"));
    assert!(
        out.render(false).contains("did you mean `torque`?"),
        "{}",
        out.render(false)
    );
    let (_, out) = load(&format!(
        "[points]\ntightening_status = {{ map = {{ nk = \"ok\" }} }}\n{EVENT}"
    ));
    assert!(
        out.render(false).contains("did you mean `nok`?"),
        "{}",
        out.render(false)
    );
}

#[test]
fn a_telegram_that_is_none_is_told_where_it_stands() {
    let run = |given: &str| {
        let body = format!("{EVENT}[[example]]\nname = \"x\"\ngiven = {given}\nexpect = []\n");
        let profile = load(&body).0.unwrap();
        let mut out = Diagnostics::new();
        assert_eq!(profile.run_examples(None, &mut out).failed, 1);
        out.render(false)
    };
    assert!(run("{ telegram = \"02310061001 0100\" }").contains("this is no telegram"));
    assert!(run("{ telegram = \"00690061\" }").contains("a header has 20"));
    assert!(run("{ frame = \"x\" }").contains("`frame` is nothing that `open-protocol` says"));
    assert!(run("{ values = { torqe = 1 } }").contains("there is no point `torqe`"));
    assert!(run("{ values = { torque = 1 }, telegram = \"x\" }").contains("are two steps"));
    let part = "00691201            00200100000001532022-11-14:09:35:1010000100101000";
    let said = run(&telegram(part));
    assert!(said.contains("MID 1201 is a part of a whole"), "{said}");
}

#[test]
fn values_of_points_need_no_telegram() {
    let events = made(
        EVENT,
        "{ values = { tightening_status = \"ok\", torque = 12.5, errors = [3, 33], tightening_id = 9 } }",
    );
    assert_eq!(
        events,
        [serde_json::json!({
            "type": "tightening", "event": "tightening", "result": "ok",
            "torque": { "value": 12.5, "uom": "N.m" }, "errors": [{ "code": "3" }, { "code": "33" }], "result_id": "9",
        })]
    );
}

#[test]
fn the_telegrams_of_its_examples_are_what_a_virtual_controller_begins_with() {
    let body = format!(
        "{EVENT}[[example]]\nname = \"x\"\ngiven = [{}, {}]\nexpect = []\n",
        telegram(R1),
        telegram(OLD)
    );
    let profile = load(&body).0.unwrap();
    let mids: Vec<u16> = profile
        .start_telegrams()
        .iter()
        .map(crate::wire::open_protocol::Telegram::mid)
        .collect();
    assert_eq!(mids, [61, 65]);
}
