//! Points that are there by themselves, by protocol: what `lineside profile fields` lists. Owns no point of a profile.

use super::places;
use crate::wire::open_protocol::fields::{FIELDS, FieldKind};

/// A point that a device has without being told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownPoint {
    /// How it is called.
    pub name: &'static str,
    /// What kind of value it has, in words.
    pub kind: &'static str,
    /// Its words, where it has only these.
    pub words: &'static [&'static str],
    /// Unit of measure; what a telegram says itself counts.
    pub uom: Option<&'static str>,
    /// Which telegrams carry it; empty: every frame.
    pub from: &'static str,
    /// What it is.
    pub about: &'static str,
}

/// Points that devices of `protocol` have by themselves.
#[must_use]
pub fn known_points(protocol: &str) -> Vec<KnownPoint> {
    match protocol {
        "open-protocol" => FIELDS
            .iter()
            .map(|field| {
                let (kind, words): (_, &[&str]) = match field.kind {
                    FieldKind::Integer => ("whole number", &[]),
                    FieldKind::Number => ("number", &[]),
                    FieldKind::Word(words) => ("word", words),
                    FieldKind::Text => ("text", &[]),
                    FieldKind::Time => ("time", &[]),
                    FieldKind::Bool => ("true or false", &[]),
                    FieldKind::List => ("list", &[]),
                };
                KnownPoint {
                    name: field.name,
                    kind,
                    words,
                    uom: field.uom,
                    from: field.from,
                    about: field.about,
                }
            })
            .collect(),
        "opcua" => JOINING
            .iter()
            .map(|(name, kind, about)| KnownPoint {
                name,
                kind,
                words: &[],
                uom: None,
                from: "",
                about,
            })
            .collect(),
        "serial" | "tcp" => places::ALWAYS
            .iter()
            .map(|(name, _, about)| KnownPoint {
                name,
                kind: "text",
                words: &[],
                uom: None,
                from: "",
                about,
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Fields of the events of joining systems (OPC 40450-1, OPC 40001-101): ways from the event on, for `field`.
const JOINING: &[(&str, &str, &str)] = &[
    (
        "Time",
        "time",
        "of the event, as every event has it; also Message, SourceName, Severity",
    ),
    ("Result/ResultMetaData/ResultId", "text", "which result"),
    ("Result/ResultMetaData/CreationTime", "time", "when it was made"),
    (
        "Result/ResultMetaData/ProcessingTimes/EndTime",
        "time",
        "when the joining ended; also StartTime",
    ),
    (
        "Result/ResultMetaData/ResultEvaluation",
        "whole number",
        "0 undefined, 1 ok, 2 not ok, 3 not decidable",
    ),
    (
        "Result/ResultMetaData/SequenceNumber",
        "whole number",
        "counts joining operations",
    ),
    (
        "Result/ResultMetaData/Classification",
        "whole number",
        "1 single, 2 sync, 3 batch, 4 job, 5 stitching, 6 intervention, 7 text",
    ),
    (
        "Result/ResultMetaData/AssociatedEntities[EntityType=20]/EntityId",
        "text",
        "3 controller, 4 tool, 20 vehicle, 21 product, 22 part, 23 joint, 25 order, 26 joining process, 27 program, 28 job, 39 user",
    ),
    (
        "Result/ResultMetaData/AssociatedEntities[Name=\"VIN\"]/EntityId",
        "text",
        "an entity by its name",
    ),
    (
        "Result/ResultMetaData/ResultCounters[CounterType=3]/CounterValue",
        "whole number",
        "2 batch size, 3 batch count, 11 job size, 12 job count",
    ),
    (
        "Result/ResultContent[0]/FailureReason",
        "whole number",
        "1 program limits, 2 step limits, 3 external error",
    ),
    (
        "Result/ResultContent[0]/OverallResultValues[PhysicalQuantity=2,ValueTag=1]/MeasuredValue",
        "number",
        "quantity 1 time, 2 torque, 3 angle, 5 distance, 8 force, 11 current; tag 1 is the final value",
    ),
    (
        "Result/ResultContent[0]/OverallResultValues[…]/LowLimit",
        "number",
        "also HighLimit|High, TargetValue, ResultEvaluation, ViolationType",
    ),
    (
        "Result/ResultContent[0]/OverallResultValues[…]/EngineeringUnits",
        "text",
        "its uom, for uom_from",
    ),
    (
        "Result/ResultContent[0]/StepResults[last,StepResultValues[…]]/StepResultValues[…]/MeasuredValue",
        "number",
        "of the last step that has such a value",
    ),
    (
        "Result/ResultContent[0]/Errors[0]/ErrorId",
        "text",
        "also ErrorMessage, ErrorType, LegacyError",
    ),
    (
        "Result/ResultContent[0]/Trace/StepTraces[*]/StepTraceContent[PhysicalQuantity=2]/Values",
        "list",
        "a trace, its steps one behind the other",
    ),
    (
        "Result/ResultContent[each,ResultContent]/ResultMetaData/ResultId",
        "text",
        "of each result inside a batch, sync or job result that carries its content",
    ),
];
