//! Event types: what the MES may rely on. Owns the closed enumerations and the table of each type's
//! fields (interface 5), from which profiles are checked, drafts are built and JSON Schemas are written.
//!
//! Does not own envelopes, ids or sequence ([`crate::contract`]). The table is the contract: a version
//! only gains optional fields, and `tests/contract.rs` holds it against what was published.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Declares an enumeration whose words stand in the contract, all of them listed.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
            /// Their words, in the same order.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word in an event.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The one with this word.
            #[must_use]
            pub fn of(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// The types of events.
    EventType {
        /// One tightening of one joint.
        Tightening = "tightening",
        /// One measured value with a verdict.
        Measurement = "measurement",
        /// A code that was read.
        Identification = "identification",
        /// What a machine is doing.
        State = "state",
        /// Something came or went that a person should know.
        Alarm = "alarm",
        /// A machine cycle.
        Cycle = "cycle",
        /// A curve that belongs to a tightening.
        Curve = "curve",
        /// Many values of one device at one time.
        Readings = "readings",
        /// What could not be made into a contract event.
        Quarantine = "quarantine",
        /// What is known to be missing.
        Gap = "gap",
        /// A device file was replaced.
        Change = "change",
    }
}

words! {
    /// The device's own verdict on a result.
    Verdict {
        /// Within all limits.
        Ok = "ok",
        /// Not.
        Nok = "nok",
        /// The device could not decide.
        Undecided = "undecided",
        /// The device was not asked to judge.
        NotJudged = "not_judged",
    }
}

words! {
    /// The verdict on one value against its limits.
    Limit {
        /// Within.
        Ok = "ok",
        /// Below the lower limit.
        Low = "low",
        /// Above the upper limit.
        High = "high",
    }
}

words! {
    /// What a tightening tool did.
    TighteningKind {
        /// Tightened.
        Tighten = "tighten",
        /// Loosened.
        Loosen = "loosen",
    }
}

words! {
    /// What a machine is doing.
    MachineState {
        /// Producing.
        Running = "running",
        /// Ready, nothing to do.
        Idle = "idle",
        /// Stopped by a person or a command.
        Stopped = "stopped",
        /// Waiting for parts.
        Starved = "starved",
        /// Cannot pass parts on.
        Blocked = "blocked",
        /// Stopped by a fault.
        Fault = "fault",
        /// Being set up.
        Setup = "setup",
        /// Off.
        Off = "off",
    }
}

words! {
    /// Whose concern an alarm is.
    AlarmCategory {
        /// The device itself.
        Device = "device",
        /// The process.
        Process = "process",
        /// Safety of people.
        Safety = "safety",
        /// This gateway.
        Gateway = "gateway",
    }
}

words! {
    /// Part of a machine cycle.
    CyclePhase {
        /// Began.
        Start = "start",
        /// Ended.
        End = "end",
        /// Only counted.
        Count = "count",
    }
}

words! {
    /// How sure the unit of an event is.
    UnitState {
        /// A source that was alive at that time named it.
        Bound = "bound",
        /// The last known unit, but its source was out of reach or the time is not sure enough.
        Assumed = "assumed",
        /// The unit had left, not long ago.
        Late = "late",
        /// Sources disagree.
        Conflict = "conflict",
        /// None known.
        Unbound = "unbound",
    }
}

words! {
    /// Why something is missing.
    GapCause {
        /// The device overwrote results before they were read.
        Missed = "missed",
        /// The outbox was full and `when_full = "drop_oldest"`, or older than `max_age`.
        Dropped = "dropped",
        /// The broker refused it for good.
        Rejected = "rejected",
        /// A record in the store was damaged.
        Damaged = "damaged",
        /// The store was lost.
        StoreLost = "store_lost",
    }
}

words! {
    /// What the time of an event rests on.
    TimeBasis {
        /// When the gateway saw it.
        Observed = "observed",
        /// The device's clock, less its offset.
        Device = "device",
        /// The gateway's clock was never set.
        Unsynchronized = "unsynchronized",
    }
}

/// One field of a type's `data`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FieldSpec {
    /// Its name.
    pub name: &'static str,
    /// What stands in it.
    pub shape: Shape,
    /// The MES may rely on it in every event of the type.
    pub required: bool,
    /// For the schema and `profile fields`.
    pub doc: &'static str,
}

/// What stands in a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// `{value, uom, target, min, max, result}` in this contract uom; a bare point fills `value`.
    Measure(&'static str),
    /// An object of these members; a bare point fills `id` where there is one.
    Object(&'static [FieldSpec]),
    /// One of these words.
    Words(&'static [&'static str]),
    /// Text; digits stay text.
    Text,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// true or false.
    Bool,
    /// An array of objects of these members.
    List(&'static [FieldSpec]),
    /// An object with names of the device's or the slot's: `gs1`, `values`, `uoms`, `quality`.
    Map(&'static Shape),
    /// A number, text or bool.
    Scalar,
    /// `{name, uom, values: [number]}`, of a curve.
    Axis,
    /// An array of text.
    Texts,
}

const fn must(name: &'static str, shape: Shape, doc: &'static str) -> FieldSpec {
    FieldSpec {
        name,
        shape,
        required: true,
        doc,
    }
}

const fn may(name: &'static str, shape: Shape, doc: &'static str) -> FieldSpec {
    FieldSpec {
        name,
        shape,
        required: false,
        doc,
    }
}

/// Members of a [`Shape::Measure`].
pub const MEASURE: &[FieldSpec] = &[
    may("value", Shape::Number, "what was measured"),
    must("uom", Shape::Text, "unit of measure, UCUM"),
    may("target", Shape::Number, "what was aimed at"),
    may("min", Shape::Number, "lower limit"),
    may("max", Shape::Number, "upper limit"),
    may("result", Shape::Words(Limit::WORDS), "verdict on this value"),
];

/// Members of a [`Shape::Axis`].
pub const AXIS: &[FieldSpec] = &[
    must("name", Shape::Text, "what is plotted"),
    may("uom", Shape::Text, "unit of measure, UCUM"),
    must("values", Shape::List(&[]), "numbers, in order"),
];

const ID_NAME: &[FieldSpec] = &[
    must("id", Shape::Text, "as the device numbers it"),
    may("name", Shape::Text, "as the device calls it"),
];
const BATCH: &[FieldSpec] = &[
    may("count", Shape::Integer, "done so far"),
    may("size", Shape::Integer, "to be done"),
    may("result", Shape::Words(Verdict::WORDS), "verdict on the batch"),
];
const JOB: &[FieldSpec] = &[
    must("id", Shape::Text, "as the device numbers it"),
    may("result", Shape::Words(Verdict::WORDS), "verdict on the job"),
];
const ID_SERIAL: &[FieldSpec] = &[
    may("id", Shape::Text, "as the device numbers it"),
    may("serial", Shape::Text, "serial number"),
];
const ERROR: &[FieldSpec] = &[
    must("code", Shape::Text, "the device's code"),
    may("text", Shape::Text, "what it means"),
];

const RESULT_ID: FieldSpec = may("result_id", Shape::Text, "the device's id of this result");

const TIGHTENING: &[FieldSpec] = &[
    must("result", Shape::Words(Verdict::WORDS), "the device's verdict"),
    may("kind", Shape::Words(TighteningKind::WORDS), "what the tool did"),
    may("torque", Shape::Measure("N.m"), "final torque"),
    may("final_angle", Shape::Measure("deg"), "angle of the final step"),
    may("angle", Shape::Measure("deg"), "angle"),
    may("rundown_angle", Shape::Measure("deg"), "angle of the rundown"),
    may("program", Shape::Object(ID_NAME), "parameter set that ran"),
    may("batch", Shape::Object(BATCH), "batch that it counts in"),
    may("job", Shape::Object(JOB), "job that it belongs to"),
    may("tool", Shape::Object(ID_SERIAL), "tool that did it"),
    may("controller", Shape::Object(ID_SERIAL), "controller of the tool"),
    may("errors", Shape::List(ERROR), "the device's reasons"),
    may("joint", Shape::Text, "joint or bolt"),
    RESULT_ID,
];

const MEASUREMENT: &[FieldSpec] = &[
    must("name", Shape::Text, "what was measured, as the slot's `values` say"),
    must("value", Shape::Number, "the value"),
    must("uom", Shape::Text, "unit of measure, UCUM, as the slot's `values` say"),
    may("result", Shape::Words(Verdict::WORDS), "the device's verdict"),
    may("target", Shape::Number, "what was aimed at"),
    may("min", Shape::Number, "lower limit"),
    may("max", Shape::Number, "upper limit"),
    RESULT_ID,
];

const IDENTIFICATION: &[FieldSpec] = &[
    must("code", Shape::Text, "what was read"),
    may("symbology", Shape::Text, "of the code"),
    may(
        "gs1",
        Shape::Map(&Shape::Text),
        "element strings by application identifier",
    ),
    RESULT_ID,
];

const STATE: &[FieldSpec] = &[
    must("state", Shape::Words(MachineState::WORDS), "what the machine is doing"),
    may("detail", Shape::Text, "in the device's words"),
    RESULT_ID,
];

const ALARM: &[FieldSpec] = &[
    must("code", Shape::Text, "the device's code"),
    must("active", Shape::Bool, "came or went"),
    may("category", Shape::Words(AlarmCategory::WORDS), "whose concern"),
    may("text", Shape::Text, "what it means"),
    may("severity", Shape::Scalar, "as the device grades it"),
    RESULT_ID,
];

const CYCLE: &[FieldSpec] = &[
    must("phase", Shape::Words(CyclePhase::WORDS), "part of the cycle"),
    may("count", Shape::Integer, "the machine's count of cycles"),
    may("duration_s", Shape::Number, "seconds that it took"),
    RESULT_ID,
];

const CURVE: &[FieldSpec] = &[
    must("x", Shape::Axis, "what it is plotted over"),
    must("y", Shape::Axis, "what is plotted"),
    may("part", Shape::Integer, "which part, from 1"),
    may("parts", Shape::Integer, "how many parts"),
    RESULT_ID,
];

const READINGS: &[FieldSpec] = &[
    must("values", Shape::Map(&Shape::Scalar), "by name"),
    may("uoms", Shape::Map(&Shape::Text), "units of measure by name, UCUM"),
    may("quality", Shape::Map(&Shape::Text), "of what is not good, by name"),
];

const QUARANTINE: &[FieldSpec] = &[
    must("reasons", Shape::Texts, "why it is no contract event"),
    must("raw", Shape::Text, "what stood on the wire"),
    may("type", Shape::Text, "the type that it would have been"),
    RESULT_ID,
];

const GAP: &[FieldSpec] = &[
    must("cause", Shape::Words(GapCause::WORDS), "why it is missing"),
    must("of", Shape::Text, "type of what is missing"),
    may(
        "after",
        Shape::Text,
        "the last one before the gap: a device's counter or a sequence, as `cause` tells",
    ),
    may("before", Shape::Text, "the first one after the gap"),
    may("count", Shape::Integer, "how many are missing"),
];

const DEVICE: &[FieldSpec] = &[
    may("vendor", Shape::Text, "of the profile"),
    may("model", Shape::Text, "of the profile"),
    may("digest", Shape::Text, "of the profile as it was resolved"),
];

const CHANGE: &[FieldSpec] = &[
    may("from", Shape::Object(DEVICE), "before"),
    may("to", Shape::Object(DEVICE), "after"),
    may("plan", Shape::Texts, "what the plan said"),
    may("who", Shape::Text, "who did it, where known"),
];

impl EventType {
    /// The fields of its `data`, without `unit`, `times`, `backfill`, `extra` and `origin`, which all have.
    #[must_use]
    pub const fn fields(self) -> &'static [FieldSpec] {
        match self {
            Self::Tightening => TIGHTENING,
            Self::Measurement => MEASUREMENT,
            Self::Identification => IDENTIFICATION,
            Self::State => STATE,
            Self::Alarm => ALARM,
            Self::Cycle => CYCLE,
            Self::Curve => CURVE,
            Self::Readings => READINGS,
            Self::Quarantine => QUARANTINE,
            Self::Gap => GAP,
            Self::Change => CHANGE,
        }
    }

    /// The field of this name.
    #[must_use]
    pub fn field(self, name: &str) -> Option<&'static FieldSpec> {
        self.fields().iter().find(|field| field.name == name)
    }

    /// Whether a profile may map to it; the others are the gateway's own.
    #[must_use]
    pub const fn is_mapped(self) -> bool {
        !matches!(self, Self::Quarantine | Self::Gap | Self::Change)
    }

    /// `lineside.tightening.v1`.
    #[must_use]
    pub fn cloud_event_type(self) -> String {
        format!("lineside.{}.v1", self.word())
    }
}

/// Members of `data` that every event may have beside its type's fields, and that are no process fields.
pub const COMMON: [&str; 5] = ["unit", "times", "backfill", "extra", "origin"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for kind in EventType::ALL {
            assert_eq!(EventType::of(kind.word()), Some(*kind));
            let mut names: Vec<_> = kind.fields().iter().map(|field| field.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), kind.fields().len(), "{kind}");
            assert!(!names.iter().any(|name| COMMON.contains(name)), "{kind}");
        }
        assert_eq!(EventType::Tightening.cloud_event_type(), "lineside.tightening.v1");
    }
}
