//! New profiles of controllers that speak Open Protocol.

use super::{Body, Texts};
use crate::model::EventType;

/// The texts of one type; `None`: no profile maps it.
pub(super) fn texts(kind: EventType) -> Option<Texts> {
    Some(Texts {
        manual: "open-protocol",
        reached: REACHED.to_owned(),
        about: "Every field of every telegram is a point by itself: lineside profile fields open-protocol.\n# Here stands only what this controller does otherwise, and parameters of variable results: mine = { pid = 30230 }.",
        proof: "a telegram from the controller or its manual, and one more example for a bad result.",
        body: body(kind)?,
    })
}

const REACHED: &str = r#"[connection]
protocol = "open-protocol"     # port 4545; a /dev/ path as address is the serial transport
results  = "0061"              # or "1201": results of variable fields; "0101": several spindles
revision = { start = 6, results = 7, recovery = 7 }   # the highest to ask for; the driver steps down as far as the controller wants
recover  = "none"              # FILL IN: by-id | walk-back (PF6000) | from-index (1201): fetch what was missed while away
"#;

fn body(kind: EventType) -> Option<Body> {
    Some(match kind {
        EventType::Tightening => (
            "",
            r#"when   = "result"
id     = ["tightening_id"]            # also by it what was missed is fetched
time   = { point = "time_stamp", format = "%Y-%m-%d:%H:%M:%S", zone = "local" }   # of the controller's clock
unit   = "vin_number"                 # the device's echo of the unit
result = "tightening_status"
kind   = "kind"
except = { result_type = ["batch_increment", "batch_decrement", "bypass", "abort_job"] }   # no tightenings
torque = { point = "torque", target = "torque_final_target", min = "torque_min_limit", max = "torque_max_limit", result = "torque_status" }
angle  = { point = "angle", target = "final_angle_target", min = "angle_min", max = "angle_max", result = "angle_status" }
rundown_angle = { point = "rundown_angle", min = "rundown_angle_min", max = "rundown_angle_max", result = "rundown_angle_status" }
program = { id = "parameter_set_number", name = "parameter_set_name" }
batch  = { count = "batch_counter", size = "batch_size", result = "batch_status" }
job    = "job_id"
tool   = { serial = "tool_serial_number" }
controller = { id = "controller_name", serial = "controller_serial_number" }
errors = { code = "errors", text = "error_texts" }
"#,
            r#"name   = "the specification's own, revision 1"
origin = "document"
given  = { telegram = "02310061001         010001020103airbag7                  04KPOL3456JKLO897          050006003070000080000090100111120008401300140014001200150007391600000170999918000001900000202001-06-02:09:54:09212001-05-29:12:34:33221230000345675" }
expect = [{ type = "tightening", result = "nok", result_id = "345675", "torque.value" = 7.39, "torque.min" = 8.4, "torque.result" = "low", "program.id" = "3" }]
"#,
        ),
        EventType::Measurement => (
            "",
            r#"when   = "result"
id     = ["tightening_id"]
name   = { const = "press_force" }    # as the slot's `values` in gateway.toml say
value  = "force"
result = "tightening_status"
"#,
            r#"name   = "2.5 kN, OK"
origin = "computed"
given  = { values = { force = 2.5, tightening_status = "ok", tightening_id = 7 } }
expect = [{ type = "measurement", name = "press_force", value = 2.5, uom = "kN", result = "ok", result_id = "7" }]
"#,
        ),
        EventType::Identification => (
            "",
            r#"when = "identifier"
code = "vin_number"                   # with unit_from = ["slot:…"] in gateway.toml it says which unit is here
"#,
            r#"name   = "a unit"
origin = "document"
given  = { telegram = "00450052001         VehicleIdNumber          " }
expect = [{ type = "identification", code = "VehicleIdNumber", "unit.id" = "VehicleIdNumber" }]
"#,
        ),
        EventType::State => (
            "",
            r#"when  = "inputs"
state = { running = "monitored_input_1", fault = "monitored_input_2" }   # exactly one of them is true
"#,
            r#"name   = "running"
origin = "document"
given  = { telegram = "00280211   1        10101011" }
expect = [{ type = "state", state = "running" }]
"#,
        ),
        EventType::Alarm => (
            "",
            r#"when   = "alarm"
code   = "error_code"
active = "alarm_active"
text   = "alarm_text"
"#,
            r#"name   = "one comes"
origin = "document"
given  = { telegram = "00530071001         01E851021031042017-12-01:20:12:45" }
expect = [{ type = "alarm", code = "E851", active = true }]
"#,
        ),
        EventType::Cycle => (
            "",
            r#"when  = "job"
phase = { const = "count" }           # start, end, or count
count = "job_batch_counter"
"#,
            r#"name   = "3 of 8"
origin = "document"
given  = { telegram = "00630035001         0101020030040008050003062001-12-01:20:12:45" }
expect = [{ type = "cycle", phase = "count", count = 3 }]
"#,
        ),
        EventType::Curve => (
            "",
            r#"when = "trace"                        # of controllers that send MID 0900
id   = ["tightening_id"]              # the same as of the tightening that it belongs to
x    = { name_from = "trace_step_name", step = "trace_step" }
y    = { name_from = "trace_type", values = "trace_samples" }   # torque, angle: each is a curve of its own
"#,
            r#"name   = "three points"
origin = "computed"
given  = { telegram = "01160900001         00000000072026-11-22:10:15:02000020000100102213003010000000100001000000000200101202500003\u0000\u0001\u0000&\u0002\u00e2\u0004" }
expect = [{ type = "curve", result_id = "7", "x.name" = "time", "x.uom" = "ms", "x.values" = [0, 5, 10], "y.name" = "torque", "y.uom" = "N.m", "y.values" = [0.01, 5.5, 12.5] }]
"#,
        ),
        EventType::Readings => (
            "",
            r#"when   = ["job", "program"]                         # when one of them says something new
values = ["job_batch_counter", "job_batch_size"]    # or { the_mes_s_name = "job_batch_counter" }
keep   = "stored"                                   # or "latest": after an outage only the newest is sent
"#,
            r#"name   = "3 of 8"
origin = "document"
given  = { telegram = "00630035001         0101020030040008050003062001-12-01:20:12:45" }
expect = [{ type = "readings", "values.job_batch_counter" = 3, "values.job_batch_size" = 8 }]
"#,
        ),
        EventType::Quarantine | EventType::Gap | EventType::Change => return None,
    })
}
