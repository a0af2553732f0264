//! Frames: wrenches, gauges and scanners from bytes to events, and what is refused. Values by hand.

use super::*;
use crate::model::plan::{ByteTransport, Checksum, ChecksumAt, FramedLink, Link, Parity, Said};
use std::time::Duration;

const HEAD: &str =
    "profile = 1\nvendor = \"V\"\nmodel = \"M\"\n[connection]\nprotocol = \"serial\"\naddress = \"/dev/ttyUSB0\"\n";

/// A wrench: `42,+12.50,lbf.in,OK`.
const WRENCH: &str = r#"
[frame]
end = "\r\n"
pattern = '^(?<seq>\d+),(?<torque>[-+0-9. ]+),(?<uom>[A-Za-z.]+),(?<judge>\w+)$'
ignore = '^READY'
[points]
seq = { type = "u32" }
torque = { uom_from = "uom" }
judge = { map = { OK = "ok", NG = "nok" } }
[events.tightening]
when = "frame"
id = ["seq"]
counter = { point = "seq", first = 1 }
result = "judge"
torque = "torque"
"#;

/// A scanner that says the AIM identifier.
const SCANNER: &str = r#"
[frame]
end = "\r"
ignore = '^NOREAD$'
[points]
serial = { gs1 = "21" }
part = { di = "P" }
[events.identification]
when = "frame"
repeat = "1s"
symbology = "symbology"
gs1 = "gs1"
"#;

fn load(body: &str) -> (Option<Profile>, Diagnostics) {
    read(&[("a.toml", &format!("{HEAD}{body}"))])
}

fn faults(body: &str) -> Vec<String> {
    let (_, out) = load(body);
    let errors = out.iter().filter(|fault| fault.severity == Severity::Error);
    errors.map(|fault| fault.message.clone()).collect()
}

fn link(body: &str) -> FramedLink {
    let (profile, out) = load(body);
    assert!(!out.has_errors(), "{}", out.render(false));
    match profile.unwrap().plan(&SlotName::new("a", "b")).link {
        Link::Framed(link) => link,
        other => panic!("{other:?}"),
    }
}

/// Every event of an example: what is `given`, as TOML.
fn made(body: &str, given: &str) -> Vec<serde_json::Value> {
    let text = format!("{body}\n[[example]]\nname = \"x\"\ngiven = {given}\nexpect = []\n");
    let (profile, out) = load(&text);
    let profile = profile.unwrap_or_else(|| panic!("{}", out.render(false)));
    let mut out = Diagnostics::new();
    profile.run_examples(None, &mut out);
    let events = out.iter().map(|fault| {
        let help = fault.help.as_deref().unwrap_or_default();
        let json = help
            .strip_prefix("the event is ")
            .unwrap_or_else(|| panic!("{}", out.render(false)));
        serde_json::from_str(json).unwrap()
    });
    events.collect()
}

#[test]
fn a_line_of_a_wrench_is_a_tightening() {
    let events = made(WRENCH, r#"{ frame = "42,+ 12.50,lbf.in,OK\r\n" }"#);
    // 12.5 lbf.in × 0.1129848290276167 N.m
    assert_eq!(
        events,
        [serde_json::json!({
            "type": "tightening", "event": "tightening", "result": "ok",
            "torque": { "value": 1.41231, "uom": "N.m" }, "result_id": "42",
        })]
    );
    let dashes = made(WRENCH, r#"{ frame = "43,----,Nm,NG\r\n" }"#);
    assert_eq!(dashes[0]["torque"], serde_json::Value::Null);
    assert_eq!(dashes[0]["result"], "nok");
}

#[test]
fn what_is_no_news_or_no_frame_of_the_device_is_told_so() {
    assert!(made(WRENCH, r#"{ frame = "READY 1\r\n" }"#).is_empty());
    let odd = made(WRENCH, r#"[{ frame = "hello\r\n" }, { frame = "44,1.5,Nm,XX\r\n" }]"#);
    assert_eq!(
        (&odd[0]["type"], &odd[1]["type"]),
        (&"quarantine".into(), &"quarantine".into())
    );
    assert!(
        odd[0]["reasons"][0]
            .as_str()
            .unwrap()
            .contains("does not match `pattern`")
    );
    assert_eq!(odd[1]["reasons"], serde_json::json!(["unknown code XX of `judge`"]));
}

#[test]
fn a_frame_of_columns_has_a_check_sum() {
    let body = r#"
[frame]
start = "\u0002"
end = "\u0003"
length = 18
checksum = "xor"
checksum_at = "before_end"
[points]
count = { columns = [2, 5], type = "u16" }
torque = { columns = [6, 11], scale = 0.1, uom = "N.m", invalid = ["OFF"] }
judge = { columns = [12, 12], map = { O = "ok", X = "nok" } }
note = { columns = [13, 15] }
[events.tightening]
when = "frame"
id = ["count", "note"]
result = "judge"
torque = "torque"
"#;
    // The exclusive or of `0007 123.4Oabc`, worked out by hand below.
    let sum = |content: &str| format!("{:02X}", content.bytes().fold(0, |sum, byte| sum ^ byte));
    let frame = |content: &str| format!("{{ frame = \"\\u0002{content}{}\\u0003\" }}", sum(content));
    let events = made(body, &frame("0007 123.4Oabc"));
    assert_eq!(events[0]["torque"]["value"], serde_json::json!(12.34));
    assert_eq!(
        (&events[0]["result"], &events[0]["result_id"]),
        (&"ok".into(), &"abc".into())
    );
    let off = made(body, &frame("0008   OFFXabc"));
    assert_eq!(
        (&off[0]["result"], &off[0]["torque"]),
        (&"nok".into(), &serde_json::Value::Null)
    );
    let broken = made(body, "{ frame = \"\\u00020007 123.4Oabc00\\u0003\" }");
    assert_eq!(broken[0]["type"], "quarantine");
    assert!(
        broken[0]["reasons"][0].as_str().unwrap().contains("check sum"),
        "{broken:?}"
    );
}

#[test]
fn a_line_with_a_separator_has_columns() {
    let body = r#"
[frame]
end = "\r\n"
separator = ","
[points]
torque = { column = 3, type = "decimal", uom = "N.m" }
count = { column = 2, type = "u16" }
judge = { column = 7, map = { OO = "ok", else = "nok" } }
day = { column = 9 }
clock = { column = 10 }
[events.tightening]
when = "frame"
id = ["day", "clock", "count"]
time = { points = ["day", "clock"], format = "%y/%m/%d %H:%M:%S", zone = "utc" }
result = "judge"
torque = "torque"
"#;
    let events = made(
        body,
        r#"{ frame = "RE,001,+100.0,nm,+090,deg,OO,123456A,16/12/31,12:59:59\r\n" }"#,
    );
    assert_eq!(
        events,
        [serde_json::json!({
            "type": "tightening", "event": "tightening", "result": "ok", "torque": { "value": 100, "uom": "N.m" },
            "result_id": "1", "times": { "device": "2016-12-31T12:59:59Z" },
        })]
    );
}

#[test]
fn a_scanner_says_the_unit_once() {
    let twice = made(
        SCANNER,
        r#"{ frame = ["]C0WVWZZZ1JZXW000001\r", "]C0WVWZZZ1JZXW000001\r", "NOREAD\r"] }"#,
    );
    assert_eq!(
        twice,
        [serde_json::json!({
            "type": "identification", "event": "identification", "code": "WVWZZZ1JZXW000001", "symbology": "code128",
            "unit": { "id": "WVWZZZ1JZXW000001" },
        })]
    );
    let both = "expect = [{ type = \"identification\", code = \"A1\" }, { type = \"identification\", code = \"A1\" }]";
    let later = format!(
        "{SCANNER}[[example]]\nname = \"x\"\ngiven = [{{ frame = \"A1\\r\" }}, {{ frame = \"A1\\r\" }}]\n{both}\n"
    );
    let mut out = Diagnostics::new();
    let report = load(&later).0.unwrap().run_examples(None, &mut out);
    assert_eq!(
        report.passed,
        1,
        "an hour later it is another scan: {}",
        out.render(false)
    );
}

#[test]
fn a_gs1_code_names_the_unit_by_its_serial_number() {
    let body = format!("{SCANNER}unit = \"serial\"\n");
    let events = made(&body, "{ frame = \"]d2010401234567890121ABC123\\u001d10LOT7\\r\" }");
    assert_eq!(events[0]["unit"], serde_json::json!({ "id": "ABC123" }));
    assert_eq!(events[0]["symbology"], "gs1_datamatrix");
    assert_eq!(
        events[0]["gs1"],
        serde_json::json!({ "01": "04012345678901", "21": "ABC123", "10": "LOT7" })
    );
    assert_eq!(events[0]["code"], "010401234567890121ABC123\u{1d}10LOT7");
    // A plain code has no elements, and names no unit by one.
    let plain = made(&body, "{ frame = \"BADGE7\\r\" }");
    assert_eq!(
        plain[0],
        serde_json::json!({ "type": "identification", "event": "identification", "code": "BADGE7" })
    );
}

#[test]
fn a_vin_is_found_in_a_code_and_a_badge_is_none() {
    let of = |vin: &str| {
        format!(
            "[frame]\nend = \"\\r\"\n[points]\nvin = {{ vin = \"{vin}\" }}\n[events.identification]\nwhen = \"frame\"\ncode = \"vin\"\n"
        )
    };
    let code = |body: &str, text: &str| made(body, &format!("{{ frame = \"{text}\\r\" }}"))[0]["code"].clone();
    // ISO 3779 with the I of a label; of a label after ISO 15434 the data identifier I.
    assert_eq!(code(&of("shape"), "]A0IWVWZZZ1JZXW000001"), "WVWZZZ1JZXW000001");
    assert_eq!(
        code(
            &of("shape"),
            "[)>\\u001E06\\u001DIWVWZZZ1JZXW000001\\u001DP12\\u001E\\u0004"
        ),
        "WVWZZZ1JZXW000001"
    );
    assert_eq!(code(&of("check_digit"), "1M8GDM9AXKP042788"), "1M8GDM9AXKP042788");
    for (vin, text) in [
        ("check_digit", "1M8GDM9A1KP042788"),
        ("shape", "BADGE 0815"),
        ("shape", "WVWZZZ1JZXWO00001"),
    ] {
        let events = made(&of(vin), &format!("{{ frame = \"{text}\\r\" }}"));
        assert_eq!(events[0]["type"], "quarantine", "{text}");
    }
}

#[test]
fn a_group_called_code_is_the_scanned_code() {
    let body = "[frame]\nend = \"\\r\"\npattern = '^(?<label>\\w)(?<code>.+)$'\n[events.identification]\nwhen = \"frame\"\nextra = [\"label\", \"frame\"]\n";
    let events = made(body, "{ frame = \"X]A0I123\\r\" }");
    assert_eq!(events[0]["code"], "I123");
    assert_eq!(
        events[0]["extra"],
        serde_json::json!({ "label": { "value": "X" }, "frame": { "value": "X]A0I123" } })
    );
}

#[test]
fn settings_have_the_defaults_of_a_serial_line() {
    let usual = link(WRENCH);
    let ByteTransport::Serial(port) = &usual.transport else {
        panic!("{usual:?}")
    };
    assert_eq!(
        (port.baud, port.data_bits, port.parity, port.stop_bits),
        (9600, 8, Parity::None, 1)
    );
    assert_eq!(
        (usual.timeout, usual.frame.max, usual.frame.idle),
        (Duration::from_secs(1), 4096, None)
    );
    let said = link(&WRENCH.replace(
        "[frame]\n",
        "baud = 38400\nframing = \"8N2\"\n[frame]\nstart = \"\\u0002\\u00ff\"\nchecksum = \"crc16\"\nchecksum_at = \"after_end\"\nidle = \"50ms\"\nmax = 300\npoll = { send = \"?\\r\", every = \"500ms\" }\nreply = \"\\u0006\"\n",
    ));
    assert_eq!(
        (said.frame.start.as_slice(), said.frame.end.as_slice()),
        (&[2, 0xff][..], &b"\r\n"[..])
    );
    assert_eq!(
        (said.frame.checksum, said.frame.checksum_at),
        (Checksum::Crc16, ChecksumAt::AfterEnd)
    );
    assert_eq!(
        (said.frame.idle, said.frame.max),
        (Some(Duration::from_millis(50)), 300)
    );
    let poll = said.poll.unwrap();
    assert_eq!(
        (poll.send.as_slice(), poll.every, said.reply),
        (&b"?\r"[..], Duration::from_millis(500), Some(vec![6]))
    );
    let tcp = |more: &str| {
        let text = format!("{HEAD}{more}{WRENCH}")
            .replace("\"serial\"", "\"tcp\"")
            .replace("/dev/ttyUSB0", "192.0.2.21:4001");
        let (profile, out) = read(&[("a.toml", &text)]);
        assert!(!out.has_errors(), "{}", out.render(false));
        profile.unwrap().plan(&SlotName::new("a", "b")).link
    };
    assert!(
        matches!(tcp(""), Link::Framed(link) if link.transport == ByteTransport::TcpClient && link.address == "192.0.2.21:4001")
    );
    assert!(matches!(tcp("listen = true\n"), Link::Framed(link) if link.transport == ByteTransport::TcpServer));
}

#[test]
fn every_group_is_a_point_and_the_rest_only_where_it_is_named() {
    let (profile, _) = load(WRENCH);
    let profile = profile.unwrap();
    let names: Vec<&str> = profile.points().map(|(name, _)| name).collect();
    assert_eq!(names, ["seq", "torque", "judge", "uom", "code"]);
    assert!(profile.points[4].hidden);
    let plan = profile.plan(&SlotName::new("a", "b"));
    assert_eq!(plan.events[0].triggers, [Trigger::Said(Said::Frame)]);
    assert!(plan.events[0].counted);
    let (profile, out) = load(SCANNER);
    assert!(out.is_empty(), "{}", out.render(false));
    let plan = profile.unwrap().plan(&SlotName::new("a", "b"));
    assert_eq!(plan.events[0].repeat, Some(Duration::from_secs(1)));
}

#[test]
fn what_no_frame_can_be_is_told_with_its_place() {
    let frame = |keys: &str| faults(&format!("[frame]\n{keys}\n[events.identification]\nwhen = \"frame\"\n"));
    assert_eq!(frame("separator = \",\""), ["nothing says where a frame ends"]);
    assert_eq!(frame("idle = \"1s\""), Vec::<String>::new());
    assert_eq!(
        frame("start = \"\\u0002\"\nchecksum = \"xor\""),
        ["a `checksum` needs `end` or `length`"]
    );
    assert_eq!(
        frame("end = \"\\r\"\nchecksum_at = \"after_end\""),
        ["`checksum_at` goes with `checksum`"]
    );
    assert_eq!(
        frame("length = 3\nlengths = [3]"),
        ["`length` and `lengths` cannot go together"]
    );
    assert_eq!(frame("lengths = [3, 4]"), ["several `lengths` need an `end`"]);
    assert_eq!(
        frame("end = \"\\r\"\nlength = 5000"),
        ["5000 bytes are beyond `max`, which is 4096"]
    );
    assert_eq!(
        frame("end = \"\\r\\n\"\nlength = 1"),
        ["1 bytes have no room for start, check sum and end"]
    );
    assert_eq!(
        frame("start = \"*\"\nend = \"*\""),
        ["`start` and `end` are the same bytes"]
    );
    assert_eq!(frame("end = \"\""), ["`end` is empty"]);
    assert_eq!(frame("end = \"\\r\"\nseparator = \"\""), ["`separator` is empty"]);
    assert_eq!(
        frame("end = \"\\r\"\npoll = { send = \"?\" }"),
        ["`poll` needs `send` and `every`"]
    );
    assert_eq!(frame("end = \"\\r\"\nreply = \"\""), ["`reply` is empty"]);
    let (_, out) = load("[frame]\nend = \"\\r\"\npattern = '^(?<a>\\d+'\n[events.identification]\nwhen = \"frame\"\n");
    let text = out.render(false);
    assert!(
        text.contains("`pattern` is no regular expression") && text.contains("unclosed group"),
        "{text}"
    );
    assert!(text.contains("/p/a.toml:9:11"), "{text}");
    assert_eq!(
        faults("[events.identification]\nwhen = \"frame\"\n"),
        ["a device that says frames needs a [frame]"]
    );
    assert_eq!(
        faults(&format!(
            "server_id = 1\npoll = \"1s\"\nresults = \"0061\"\nlisten = true\n{SCANNER}"
        )),
        [
            "`server_id` is of Modbus; `serial` has none",
            "`poll` is of Modbus; `serial` has none",
            "`results` is of Open Protocol; `serial` has none",
            "`listen` is of frames by TCP; `serial` has none",
        ]
    );
}

#[test]
fn a_point_that_is_nowhere_is_told_with_what_was_meant() {
    let point = |keys: &str| faults(&WRENCH.replace("[events", &format!("x = {keys}\n[events")));
    assert_eq!(point("{ type = \"u16\" }"), ["nothing says where in a frame `x` is"]);
    assert_eq!(point("{ group = \"judge\" }"), Vec::<String>::new());
    assert_eq!(point("{ group = \"juge\" }"), ["`pattern` has no group `juge`"]);
    assert_eq!(point("{ column = 2 }"), ["a `column` needs `separator`"]);
    assert_eq!(
        point("{ columns = [4, 2] }"),
        ["the last column comes before the first"]
    );
    assert_eq!(point("{ columns = [4] }"), ["`columns` are two numbers"]);
    assert_eq!(
        point("{ columns = [1, 2], group = \"judge\" }"),
        ["`columns` and `group` cannot go together"]
    );
    assert_eq!(point("{ gs1 = \"2x\" }"), ["`2x` is no application identifier"]);
    assert_eq!(point("{ di = \"25\" }"), ["`25` is no data identifier"]);
    assert_eq!(
        point("{ group = \"judge\", type = \"f32\" }"),
        ["`f32` is of registers, not of the text of a frame"]
    );
    assert_eq!(
        point("{ at = \"input:1\" }").first().map(String::as_str),
        Some("`at` is of Modbus; `serial` has none")
    );
    let long = WRENCH
        .replace("end =", "length = 20\nend =")
        .replace("[events", "x = { columns = [18, 24] }\n[events");
    assert_eq!(faults(&long), ["column 24 is beyond the frame"]);
    let (_, out) = load(&WRENCH.replace("judge = {", "jugde = {"));
    assert!(
        out.render(false).contains("did you mean `judge`?"),
        "{}",
        out.render(false)
    );
    let (_, out) = load(&WRENCH.replace("torque = \"torque\"", "torque = \"tourqe\""));
    assert!(
        out.render(false).contains("did you mean `torque`?"),
        "{}",
        out.render(false)
    );
}

#[test]
fn what_belongs_to_other_protocols_is_told_with_what_to_write_instead() {
    let (_, out) = load(&WRENCH.replace("\"frame\"", "\"result\""));
    assert!(
        out.render(false).contains("when = \"frame\": each frame is one"),
        "{}",
        out.render(false)
    );
    let (_, out) = load(&format!("{WRENCH}ack = {{ write = \"seq\", copy = \"seq\" }}\n"));
    assert!(out.render(false).contains("[frame] reply = "), "{}", out.render(false));
    let (_, out) = load(&WRENCH.replace("when = \"frame\"\n", ""));
    assert!(out.render(false).contains("when = \"frame\""), "{}", out.render(false));
    let modbus = "[points]\nn = { at = \"input:0\", type = \"u16\" }\n[events.state]\nwhen = \"frame\"\nrepeat = \"1s\"\nstate = { const = \"running\" }\n";
    let (_, out) = read(&[("a.toml", &format!("{}{modbus}", super::HEAD))]);
    let said: Vec<&str> = out.iter().map(|fault| fault.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "`repeat` is of what devices say by themselves; `modbus-tcp` has none",
            "`frame` is said by devices of frames (protocol serial or tcp); `modbus-tcp` has no such trigger",
        ]
    );
}

#[test]
fn an_example_is_what_stands_on_the_wire() {
    let run = |given: &str| {
        let body = format!("{WRENCH}[[example]]\nname = \"x\"\ngiven = {given}\nexpect = []\n");
        let profile = load(&body).0.unwrap();
        let mut out = Diagnostics::new();
        assert_eq!(profile.run_examples(None, &mut out).failed, 1);
        out.render(false)
    };
    let text = run("{ frame = \"42,1,Nm,OK\" }");
    assert!(
        text.contains("no frame comes out of this") && text.contains("end (`\\x0d\\x0a`)"),
        "{text}"
    );
    assert!(run("{ telegram = \"x\" }").contains("`telegram` is nothing that `serial` says"));
    assert!(run("{ \"input:1\" = [7] }").contains("is nothing that `serial` says"));
    let events = made(
        WRENCH,
        "{ values = { seq = 7, judge = \"NG\", torque = 1.5, uom = \"Nm\" } }",
    );
    assert_eq!(events[0]["torque"], serde_json::json!({ "value": 1.5, "uom": "N.m" }));
    assert_eq!(events[0]["result_id"], "7");
}

#[test]
fn the_frames_of_its_examples_are_what_a_virtual_device_begins_with() {
    let body = format!(
        "{WRENCH}[[example]]\nname = \"x\"\ngiven = [{{ frame = \"42,1,Nm,OK\\r\\n\" }}, {{ frame = [\"1,2,Nm,NG\\r\\n\"] }}]\nexpect = []\n"
    );
    let frames = load(&body).0.unwrap().start_frames();
    assert_eq!(frames, [b"42,1,Nm,OK\r\n".to_vec(), b"1,2,Nm,NG\r\n".to_vec()]);
}

#[test]
fn a_fingerprint_is_of_what_a_frame_is_taken_apart_by() {
    let print = |body: &str| {
        load(body).0.unwrap().plan(&SlotName::new("a", "b")).events[0]
            .fingerprint
            .clone()
    };
    assert_eq!(print(WRENCH), print(&WRENCH.replace("NG = ", "NOK = ")));
    assert_eq!(print(WRENCH), print(&WRENCH.replace("^READY", "^BUSY")));
    assert_ne!(print(WRENCH), print(&WRENCH.replace("(?<seq>\\d+)", "(?<seq>\\w+)")));
    assert_ne!(
        print(WRENCH),
        print(&WRENCH.replace("seq = { type = \"u32\" }", "seq = { type = \"u64\" }"))
    );
}

#[test]
fn what_cannot_be_read_of_another_kind_of_frame_is_none_of_the_events() {
    let body = r#"
[frame]
end = "\r\n"
separator = ","
[points]
kind = { column = 1 }
torque = { column = 2, uom = "N.m" }
judge = { column = 3, map = { OK = "ok", NG = "nok" } }
[events.tightening]
when = "frame"
only = { kind = ["DATA"] }
result = "judge"
torque = "torque"
"#;
    assert!(made(body, r#"[{ frame = "REQ,abc,OK\r\n" }]"#).is_empty());
    let put_aside = made(body, r#"[{ frame = "DATA,abc,OK\r\n" }]"#);
    assert_eq!(put_aside.len(), 1);
    assert_eq!(put_aside[0]["type"], "quarantine");
    assert_eq!(
        put_aside[0]["reasons"],
        serde_json::json!(["`torque`: `abc` is no decimal"])
    );
}
