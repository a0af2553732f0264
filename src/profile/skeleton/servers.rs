//! New profiles of OPC UA servers.

use super::{Body, Texts};
use crate::model::EventType;

/// The texts of one type; `None`: no profile maps it.
pub(super) fn texts(kind: EventType) -> Option<Texts> {
    Some(Texts {
        manual: "opcua",
        reached: REACHED.to_owned(),
        about: "A variable is its node: the namespace by its URI, and in it s= a text or i= a number;\n# `lineside probe FILE` browses the server and shows them. field = \"…\" is a way into a structure; without a node, into an event.\n# FILL IN: nodes, uoms and codes of your server.",
        proof: "what the variables say, and one more example for a bad result.",
        body: body(kind)?,
    })
}

const REACHED: &str = r#"[connection]
protocol   = "opcua"           # port 4840. In the device file stand address, trust = "sha256:…" and who the gateway is
publishing = "100ms"           # how often the server publishes what changed
timeout    = "5s"
"#;

fn body(kind: EventType) -> Option<Body> {
    Some(match kind {
        EventType::Tightening => (
            r#"ready     = { node = "nsu=urn:your:plc;s=Tool.Ready" }
ack       = { node = "nsu=urn:your:plc;s=Tool.Ack", type = "bool" }              # written, so its type is said
number    = { node = "nsu=urn:your:plc;s=Tool.Number" }                          # counts results
stamp     = { node = "nsu=urn:your:plc;s=Tool.Number", part = "source_timestamp" }
judgement = { node = "nsu=urn:your:plc;s=Tool.Judgement", map = { 1 = "ok", 2 = "nok" } }   # a code that is not in the map goes to quarantine
torque    = { node = "nsu=urn:your:plc;s=Tool.Torque", uom = "N.m" }
angle     = { node = "nsu=urn:your:plc;s=Tool.Angle", uom = "deg" }
program   = { node = "nsu=urn:your:plc;s=Tool.Program" }
"#,
            r#"when    = { rises = "ready" }         # or { changes = "number" }; by an event of the server: { event = "nsu=…;i=1007" }
id      = ["stamp", "number"]         # what makes this result this result, also after the number restarts
counter = { point = "number", first = 1 }   # a jump is a gap
ack     = { write = "ack", value = true, then = false }   # only after the event is durable
time    = "stamp"
result  = "judgement"
torque  = "torque"                    # or { value = "torque", target = "…", min = "…", max = "…" }
angle   = "angle"
program = "program"
"#,
            r#"name   = "12.5 N.m, OK"
origin = "computed"
given  = { values = { ready = true, number = 7, stamp = "2026-11-22T10:15:02Z", judgement = 1, torque = 12.5, angle = 47.3, program = 3 } }
expect = [{ type = "tightening", result = "ok", result_id = "7", "torque.value" = 12.5, "angle.value" = 47.3, "program.id" = "3" }]
"#,
        ),
        EventType::Measurement => (
            r#"number    = { node = "nsu=urn:your:plc;s=Press.Number" }                         # counts measurements
stamp     = { node = "nsu=urn:your:plc;s=Press.Number", part = "source_timestamp" }
judgement = { node = "nsu=urn:your:plc;s=Press.Judgement", map = { 1 = "ok", 2 = "nok" } }
force     = { node = "nsu=urn:your:plc;s=Press.Force", uom = "kN" }
"#,
            r#"when   = { changes = "number" }
id     = ["stamp", "number"]          # what makes this result this result, also after the number restarts
time   = "stamp"
name   = { const = "press_force" }    # as the slot's `values` in gateway.toml say
value  = "force"
result = "judgement"
"#,
            r#"name   = "2.5 kN, OK"
origin = "computed"
given  = { values = { number = 7, stamp = "2026-11-22T10:15:02Z", judgement = 1, force = 2.5 } }
expect = [{ type = "measurement", name = "press_force", value = 2.5, uom = "kN", result = "ok", result_id = "7" }]
"#,
        ),
        EventType::Identification => (
            r#"code = { node = "nsu=urn:your:plc;s=Reader.Code" }
"#,
            r#"when = { changes = "code" }
code = "code"                         # with unit_from = ["slot:…"] in gateway.toml it says which unit is here
"#,
            r#"name   = "a carrier"
origin = "computed"
given  = { values = { code = "WVWZZZ1JZXW000001" } }
expect = [{ type = "identification", code = "WVWZZZ1JZXW000001", "unit.id" = "WVWZZZ1JZXW000001" }]
"#,
        ),
        EventType::State => (
            r#"mode = { node = "nsu=urn:your:plc;s=Cell.Mode", map = { 0 = "off", 1 = "idle", 2 = "running", 3 = "stopped", 4 = "fault", 5 = "setup", 6 = "starved", 7 = "blocked" } }
"#,
            r#"when  = { changes = "mode" }
state = "mode"
"#,
            r#"name   = "running, then a fault"
origin = "computed"
given  = [{ values = { mode = 1 } }, { values = { mode = 2 } }, { values = { mode = 4 } }]
expect = [{ type = "state", state = "running" }, { type = "state", state = "fault" }]
"#,
        ),
        EventType::Alarm => (
            r#"word = { node = "nsu=urn:your:plc;s=Cell.Alarms" }         # one bit an alarm, 0 the least significant; or a node for each
"#,
            r#"alarms = { point = "word", bits = { 0 = { code = "guard_open", text = "Guard open", category = "safety" }, 1 = "air_low" } }
"#,
            r#"name   = "one comes and goes"
origin = "computed"
given  = [{ values = { word = 0 } }, { values = { word = 1 } }, { values = { word = 0 } }]
expect = [{ type = "alarm", code = "guard_open", active = true }, { type = "alarm", code = "guard_open", active = false }]
"#,
        ),
        EventType::Cycle => (
            r#"count = { node = "nsu=urn:your:plc;s=Cell.Cycles" }        # counts cycles
took  = { node = "nsu=urn:your:plc;s=Cell.CycleTime", uom = "s" }
"#,
            r#"when       = { changes = "count" }
phase      = { const = "end" }        # start, end, or count
count      = "count"
duration_s = "took"
"#,
            r#"name   = "a cycle of 12.34 s"
origin = "computed"
given  = { values = { count = 7, took = 12.34 } }
expect = [{ type = "cycle", phase = "end", count = 7, duration_s = 12.34 }]
"#,
        ),
        EventType::Curve => (
            r#"number = { node = "nsu=urn:your:plc;s=Press.Number" }      # counts curves
stamp  = { node = "nsu=urn:your:plc;s=Press.Number", part = "source_timestamp" }
way    = { node = "nsu=urn:your:plc;s=Press.Curve", field = "Way", uom = "mm" }       # arrays in a structure; or a node for each
force  = { node = "nsu=urn:your:plc;s=Press.Curve", field = "Force", uom = "kN" }
"#,
            r#"when = { changes = "number" }
id   = ["stamp", "number"]            # the same as of the result that it belongs to
x    = { name = "way", values = "way" }
y    = { name = "force", values = "force" }
"#,
            r#"name   = "three points"
origin = "computed"
given  = { values = { number = 7, stamp = "2026-11-22T10:15:02Z", way = [0, 10, 20], force = [0.1, 1.5, 2.5] } }
expect = [{ type = "curve", result_id = "7", "x.values" = [0, 10, 20], "x.uom" = "mm", "y.values" = [0.1, 1.5, 2.5], "y.uom" = "kN" }]
"#,
        ),
        EventType::Readings => (
            r#"motor_temp = { node = "nsu=urn:your:plc;s=Motor.Temp", uom = "Cel", deadband = 0.5 }
pressure   = { node = "nsu=urn:your:plc;s=Air.Pressure", uom = "bar", deadband = 0.05 }
"#,
            r#"when   = { changes = "*", at_most = "1s" }   # or { every = "1s" }
values = ["motor_temp", "pressure"]          # or { the_mes_s_name = "motor_temp" }
keep   = "stored"                            # or "latest": after an outage only the newest is sent
"#,
            r#"name   = "it gets warmer"
origin = "computed"
given  = [{ values = { motor_temp = 40.0, pressure = 6.0 } }, { values = { motor_temp = 41.5, pressure = 6.0 } }]
expect = [{ type = "readings", "values.motor_temp" = 41.5, "uoms.motor_temp" = "Cel", "values.pressure" = 6 }]
"#,
        ),
        EventType::Quarantine | EventType::Gap | EventType::Change => return None,
    })
}
