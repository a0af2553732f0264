//! New profiles of devices that say lines and frames.

use super::{Body, SkeletonFault, Texts};
use crate::model::EventType;

/// The texts of one type by `serial` or `tcp`.
pub(super) fn texts(protocol: &str, kind: EventType) -> Result<Texts, SkeletonFault> {
    let (frame, body) = match body(kind) {
        Some(found) => found,
        None if kind == EventType::Curve => return Err(SkeletonFault::Array(kind, protocol.to_owned())),
        None => return Err(SkeletonFault::Type(kind)),
    };
    let connection = match protocol {
        "serial" => "baud     = 9600\nframing  = \"8N1\"               # data bits, parity N E O, stop bits\n",
        _ => "# listen = true              # the device connects to the gateway, which listens at `address`\n",
    };
    Ok(Texts {
        manual: "serial",
        reached: format!("[connection]\nprotocol = \"{protocol}\"\n{connection}\n{frame}"),
        about: "Every named group of `pattern` is a point; here stands what else is to be known of it:\n# type, map, uom. Without a pattern: columns = [18, 24], or column = 3 of a line that `separator` cuts.",
        proof: "a line from the device or its manual, and one more example for a bad result.",
        body,
    })
}

/// `[frame]`, and the rest.
fn body(kind: EventType) -> Option<(&'static str, Body)> {
    Some(match kind {
        EventType::Tightening => TIGHTENING,
        EventType::Measurement => (
            r#"[frame]
end     = "\r\n"               # what ends a frame; also start = "\u0002", length = 68, idle = "50ms"
pattern = '^(?<force>[-+\d. ]+) (?<uom>\S+)$'
# poll  = { send = "?\r", every = "500ms" }      # for a gauge that must be asked
"#,
            (
                r#"force = { uom_from = "uom", uom = "N" }
"#,
                r#"when  = "frame"
name  = { const = "press_force" }    # as the slot's `values` in gateway.toml say
value = "force"
"#,
                r#"name   = "250.5 N"
origin = "computed"
given  = { frame = "250.5 N\r\n" }
expect = [{ type = "measurement", name = "press_force", value = 250.5, uom = "N" }]
"#,
            ),
        ),
        EventType::Identification => (
            r#"[frame]
end    = "\r"                  # the suffix that the scanner is set to
ignore = '^NOREAD$'            # no news: only counted
"#,
            (
                r#"serial = { gs1 = "21" }                   # of a GS1 code: the serial number
"#,
                r#"when      = "frame"
repeat    = "1s"                      # the same code again within it is one
symbology = "symbology"               # where the scanner sends the AIM identifier
gs1       = "gs1"
# unit    = "serial"                  # which part names the unit; unless said the whole code, with unit_from = ["slot:…"] in gateway.toml
"#,
                r#"name   = "a carrier"
origin = "computed"
given  = { frame = "]C0WVWZZZ1JZXW000001\r" }
expect = [{ type = "identification", code = "WVWZZZ1JZXW000001", symbology = "code128", "unit.id" = "WVWZZZ1JZXW000001" }]
"#,
            ),
        ),
        EventType::State => (
            r#"[frame]
end     = "\r\n"
pattern = '^MODE (?<mode>\w+)$'
"#,
            (
                r#"mode = { map = { AUTO = "running", HOLD = "stopped", ERROR = "fault", SETUP = "setup" } }
"#,
                r#"when  = "frame"
state = "mode"
"#,
                r#"name   = "running"
origin = "computed"
given  = { frame = "MODE AUTO\r\n" }
expect = [{ type = "state", state = "running" }]
"#,
            ),
        ),
        EventType::Alarm => (
            r#"[frame]
end     = "\r\n"
pattern = '^ALARM (?<alarm>\w+) (?<on>[01])$'
"#,
            (
                r#"on = { type = "bool" }
"#,
                r#"when   = "frame"
code   = "alarm"
active = "on"
"#,
                r#"name   = "one comes and goes"
origin = "computed"
given  = [{ frame = "ALARM E12 1\r\n" }, { frame = "ALARM E12 0\r\n" }]
expect = [{ type = "alarm", code = "E12", active = true }, { type = "alarm", code = "E12", active = false }]
"#,
            ),
        ),
        EventType::Cycle => (
            r#"[frame]
end     = "\r\n"
pattern = '^CYCLE (?<count>\d+) (?<took>[\d.]+)$'
"#,
            (
                r#"count = { type = "u32" }
took  = { uom = "s" }
"#,
                r#"when       = "frame"
phase      = { const = "end" }        # start, end, or count
count      = "count"
duration_s = "took"
"#,
                r#"name   = "a cycle of 12.34 s"
origin = "computed"
given  = { frame = "CYCLE 7 12.34\r\n" }
expect = [{ type = "cycle", phase = "end", count = 7, duration_s = 12.34 }]
"#,
            ),
        ),
        EventType::Readings => (
            r#"[frame]
end       = "\r\n"
separator = ";"
"#,
            (
                r#"motor_temp = { column = 1, uom = "Cel" }
pressure   = { column = 2, uom = "bar" }
"#,
                r#"when   = "frame"                             # or { every = "1s" }: not more often than this
values = ["motor_temp", "pressure"]          # or { the_mes_s_name = "motor_temp" }
keep   = "stored"                            # or "latest": after an outage only the newest is sent
"#,
                r#"name   = "41.5 degrees"
origin = "computed"
given  = { frame = "41.5;6.01\r\n" }
expect = [{ type = "readings", "values.motor_temp" = 41.5, "uoms.motor_temp" = "Cel", "values.pressure" = 6.01 }]
"#,
            ),
        ),
        EventType::Curve | EventType::Quarantine | EventType::Gap | EventType::Change => return None,
    })
}

const TIGHTENING: (&str, Body) = (
    r#"[frame]
end     = "\r\n"               # what ends a frame; also start = "\u0002", length = 68, idle = "50ms"
pattern = '^(?<seq>\d+),(?<torque>[-+\d. ]+),(?<uom>\S+),(?<judge>\w+),(?<stamp>[-:\d ]+)$'
"#,
    (
        r#"torque = { uom_from = "uom" }             # or uom = "N.m", where the line does not say it
judge  = { map = { OK = "ok", NG = "nok" } }     # a word that is not in the map goes to quarantine
"#,
        r#"when   = "frame"
id     = ["stamp", "seq"]             # what makes this result this result, also after the number restarts
time   = { point = "stamp", format = "%Y-%m-%d %H:%M:%S" }
result = "judge"
torque = "torque"                     # or { point = "torque", target = "…", min = "…", max = "…" }
"#,
        r#"name   = "12.5 N.m, OK"
origin = "computed"
given  = { frame = "7,12.5,N.m,OK,2026-11-22 10:15:02\r\n" }
expect = [{ type = "tightening", result = "ok", result_id = "7", "torque.value" = 12.5 }]
"#,
    ),
);
