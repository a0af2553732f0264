//! A new profile to fill in: `lineside profile new`. Commented, in the order of the four questions, and good as it
//! stands: what is still to be said are vendor and model.
//!
//! Owns the texts. What may be said at all is in [`super::format`]; the manuals are in `device-profiles/example`.

mod frames;
mod servers;
mod telegrams;

use super::format::PROTOCOLS;
use crate::model::EventType;

/// What cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SkeletonFault {
    /// The protocol is unknown, or not in this build.
    #[error("`{0}` is no protocol of this build; it has {built}", built = PROTOCOLS.join(", "))]
    Protocol(String),
    /// The gateway makes such events itself.
    #[error("{0} events are the gateway's own: no profile maps them")]
    Type(EventType),
    /// A frame says single values.
    #[error("a frame has no arrays: there is no {0} by `{1}`")]
    Array(EventType, String),
}

/// What differs from one protocol to the next.
struct Texts {
    /// The manual that has every key.
    manual: &'static str,
    /// `[connection]`, and `[frame]` where there is one.
    reached: String,
    /// What a point is, in comments.
    about: &'static str,
    /// What an example needs.
    proof: &'static str,
    /// `[points]`, the event and an example.
    body: Body,
}

/// `[points]`, the event and an example.
type Body = (&'static str, &'static str, &'static str);

/// Protocols that a profile can be written for.
#[must_use]
pub const fn protocols() -> &'static [&'static str] {
    PROTOCOLS
}

/// The text of a new profile.
///
/// # Errors
/// No profile can have this protocol or type.
pub fn skeleton(protocol: &str, kind: EventType) -> Result<String, SkeletonFault> {
    if !PROTOCOLS.contains(&protocol) {
        return Err(SkeletonFault::Protocol(protocol.to_owned()));
    }
    let Texts {
        manual,
        reached,
        about,
        proof,
        body: (points, event, example),
    } = match protocol {
        "serial" | "tcp" => frames::texts(protocol, kind)?,
        "opcua" => servers::texts(kind).ok_or(SkeletonFault::Type(kind))?,
        "open-protocol" => telegrams::texts(kind).ok_or(SkeletonFault::Type(kind))?,
        _ => Texts {
            manual: "manual",
            reached: connection(protocol),
            about: "N in input:N, holding:N, coil:N, discrete:N is the zero-based protocol address;\n# what a manual prints as 30101 or 40101 may be written so, too. FILL IN: addresses, types, uoms and codes of your device.",
            proof: "registers that you worked out by hand, and one more example for a bad result.",
            body: body(kind).ok_or(SkeletonFault::Type(kind))?,
        },
    };
    Ok(format!(
        r#"# {kind} events by {protocol}. Fill in what says FILL IN, then: lineside check FILE
# Every key, commented: device-profiles/example/{manual}.toml. Fields of the event: lineside profile fields {kind}

profile  = 1
vendor   = ""                  # FILL IN: as they spell it; it stands in every event
model    = ""                  # FILL IN: as the vendor spells it
about    = "FILL IN: what it is, in a sentence"
maturity = "document"          # document: read from a manual; bench: has a capture of a real device; line: ran in a plant
sources  = ["FILL IN: the document, its revision, the page"]
caveats  = []                  # known faults of the device, one entry each

# What is it, and how is it reached. The address belongs to the installed file: [connection] address = "…"
{reached}
# What does the device say. {about}
[points]
{points}
# What does it mean. FILL IN: when it happens, and which point gives which field.
[events.{kind}]
{event}
# How do we know. FILL IN: {proof}
# origin: captured (from a real device), document (printed in the manual), computed (by hand)
[[example]]
{example}"#
    ))
}

fn connection(protocol: &str) -> String {
    let serial = match protocol {
        "modbus-rtu" => "baud       = 19200\nframing    = \"8E1\"             # data bits, parity N E O, stop bits\n",
        _ => "",
    };
    format!(
        r#"[connection]
protocol   = "{protocol}"
server_id  = 1                 # Modbus server (unit identifier)
{serial}poll       = "100ms"           # how often triggers are looked at
timeout    = "1s"
word_order = "abcd"            # abcd | cdab | badc | dcba, for values of several registers
"#
    )
}

/// `[points]`, the event and an example, by type. `None`: no profile maps it.
fn body(kind: EventType) -> Option<Body> {
    Some(match kind {
        EventType::Tightening => (
            r#"count     = { at = "holding:0", type = "u16" }                                    # counts results
stamp     = { at = "holding:1", type = "u32" }                                    # when it was; or how often the device was started
judgement = { at = "holding:3", type = "u16", map = { 1 = "ok", 2 = "nok" } }     # a code that is not in the map goes to quarantine
torque    = { at = "holding:4", type = "f32", uom = "N.m" }
angle     = { at = "holding:6", type = "i16", scale = 0.1, uom = "deg" }
program   = { at = "holding:7", type = "u16" }
"#,
            r#"when    = { changes = "count" }       # or { rises = "ready" }: device-profiles/handshake/ has one profile for each pattern
id      = ["stamp", "count"]          # what makes this result this result, also after the count restarts
counter = { point = "count", first = 1, last = 65535 }   # a jump is a gap
result  = "judgement"
torque  = "torque"                    # or { point = "torque", target = "…", min = "…", max = "…" }
angle   = "angle"
program = "program"
"#,
            r#"name   = "12.5 N.m, OK"
origin = "computed"
given  = { "holding:0" = [7, 0, 1000, 1, 0x4148, 0x0000, 473, 3] }
expect = [{ type = "tightening", result = "ok", result_id = "7", "torque.value" = 12.5, "angle.value" = 47.3, "program.id" = "3" }]
"#,
        ),
        EventType::Measurement => (
            r#"count     = { at = "holding:0", type = "u16" }                                    # counts measurements
stamp     = { at = "holding:1", type = "u32" }                                    # when it was; or how often the device was started
judgement = { at = "holding:3", type = "u16", map = { 1 = "ok", 2 = "nok" } }
force     = { at = "holding:4", type = "i16", scale = 0.1, uom = "N" }
"#,
            r#"when   = { changes = "count" }
id     = ["stamp", "count"]           # what makes this result this result, also after the count restarts
name   = { const = "press_force" }    # as the slot's `values` in gateway.toml say
value  = "force"
result = "judgement"
"#,
            r#"name   = "250.5 N, OK"
origin = "computed"
given  = { "holding:0" = [7, 0, 1000, 1, 2505] }
expect = [{ type = "measurement", name = "press_force", value = 250.5, uom = "N", result = "ok", result_id = "7" }]
"#,
        ),
        EventType::Identification => (
            r#"count = { at = "holding:0", type = "u16" }                 # counts reads
code  = { at = "holding:1", type = "string", length = 20 } # bytes, two a register
"#,
            r#"when = { changes = "count" }
code = "code"                         # with unit_from = ["slot:…"] in gateway.toml it says which unit is here
"#,
            r#"name   = "a carrier"
origin = "computed"
given  = { "holding:0" = [7, "WVWZZZ1JZXW000001"] }
expect = [{ type = "identification", code = "WVWZZZ1JZXW000001", "unit.id" = "WVWZZZ1JZXW000001" }]
"#,
        ),
        EventType::State => (
            r#"mode = { at = "holding:0", type = "u16", map = { 0 = "off", 1 = "idle", 2 = "running", 3 = "stopped", 4 = "fault", 5 = "setup", 6 = "starved", 7 = "blocked" } }
"#,
            r#"when  = { changes = "mode" }
state = "mode"
"#,
            r#"name   = "running, then a fault"
origin = "computed"
given  = [{ "holding:0" = [1] }, { "holding:0" = [2] }, { "holding:0" = [4] }]
expect = [{ type = "state", state = "running" }, { type = "state", state = "fault" }]
"#,
        ),
        EventType::Alarm => (
            r#"word = { at = "holding:0", type = "u16" }                  # one bit an alarm, 0 the least significant
"#,
            r#"alarms = { point = "word", bits = { 0 = { code = "guard_open", text = "Guard open", category = "safety" }, 1 = "air_low" } }
"#,
            r#"name   = "one comes and goes"
origin = "computed"
given  = [{ "holding:0" = [0] }, { "holding:0" = [1] }, { "holding:0" = [0] }]
expect = [{ type = "alarm", code = "guard_open", active = true }, { type = "alarm", code = "guard_open", active = false }]
"#,
        ),
        EventType::Cycle => (
            r#"count = { at = "holding:0", type = "u16" }                 # counts cycles
took  = { at = "holding:1", type = "u16", scale = 0.01, uom = "s" }
"#,
            r#"when       = { changes = "count" }
phase      = { const = "end" }        # start, end, or count
count      = "count"
duration_s = "took"
"#,
            r#"name   = "a cycle of 12.34 s"
origin = "computed"
given  = { "holding:0" = [7, 1234] }
expect = [{ type = "cycle", phase = "end", count = 7, duration_s = 12.34 }]
"#,
        ),
        EventType::Curve => (
            r#"count  = { at = "holding:0", type = "u16" }                # counts curves
stamp  = { at = "holding:1", type = "u32" }                # when it was; or how often the device was started
step   = { at = "holding:3", type = "u16", uom = "ms" }    # from one point to the next
torque = { at = "holding:4", type = "u16", count = 50, scale = 0.01, uom = "N.m", trim = 0 }   # unused points at the end are 0
"#,
            r#"when = { changes = "count" }
id   = ["stamp", "count"]             # the same as of the tightening that it belongs to
x    = { name = "time", step = "step" }   # or values = "…": another array
y    = { name = "torque", values = "torque" }
"#,
            r#"name   = "three points"
origin = "computed"
given  = { "holding:0" = [7, 0, 1000, 10, 100, 550, 1250] }
expect = [{ type = "curve", result_id = "7", "x.values" = [0, 10, 20], "x.uom" = "ms", "y.values" = [1, 5.5, 12.5], "y.uom" = "N.m" }]
"#,
        ),
        EventType::Readings => (
            r#"motor_temp = { at = "holding:0", type = "i16", scale = 0.1, uom = "Cel", invalid = [32767], deadband = 0.5 }
pressure   = { at = "holding:1", type = "u16", scale = 0.001, uom = "bar", deadband = 0.05 }
"#,
            r#"when   = { changes = "*", at_most = "1s" }   # or { every = "1s" }
values = ["motor_temp", "pressure"]          # or { the_mes_s_name = "motor_temp" }
keep   = "stored"                            # or "latest": after an outage only the newest is sent
"#,
            r#"name   = "it gets warmer"
origin = "computed"
given  = [{ "holding:0" = [400, 6000] }, { "holding:0" = [415, 6000] }]
expect = [{ type = "readings", "values.motor_temp" = 41.5, "uoms.motor_temp" = "Cel", "values.pressure" = 6 }]
"#,
        ),
        EventType::Quarantine | EventType::Gap | EventType::Change => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{FileFault, Files, Maturity, Profile};
    use super::*;
    use crate::diagnostic::Diagnostics;
    use std::path::Path;

    struct One(String);

    impl Files for One {
        fn read(&self, _: &Path) -> Result<String, FileFault> {
            Ok(self.0.clone())
        }
    }

    #[test]
    fn every_skeleton_is_good_but_for_vendor_and_model() {
        for protocol in protocols() {
            for kind in EventType::ALL.iter().copied() {
                let text = match skeleton(protocol, kind) {
                    Ok(text) => text,
                    Err(SkeletonFault::Array(..)) => {
                        assert!(kind == EventType::Curve && ["serial", "tcp"].contains(protocol));
                        continue;
                    }
                    Err(_) => {
                        assert!(!kind.is_mapped(), "{kind}");
                        continue;
                    }
                };
                let mut out = Diagnostics::new();
                let profile = Profile::load(Path::new("new.toml"), Path::new(""), &One(text.clone()), &mut out);
                let said: Vec<&str> = out.iter().map(|fault| fault.message.as_str()).collect();
                assert_eq!(
                    said,
                    ["this profile has no `vendor`", "this profile has no `model`"],
                    "{protocol} {kind}"
                );
                let profile = profile.unwrap();
                let mut out = Diagnostics::new();
                assert_eq!(profile.run_examples(None, &mut out).passed, 1, "{}", out.render(false));
                assert_eq!(profile.maturity(), Maturity::Document);
                assert_eq!(profile.protocol(), *protocol);
                assert!(text.lines().all(|line| line == line.trim_end()));
            }
        }
        assert_eq!(
            skeleton("profibus", EventType::State),
            Err(SkeletonFault::Protocol("profibus".into()))
        );
    }
}
