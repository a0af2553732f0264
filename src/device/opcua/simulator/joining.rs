//! The joining model: data types and event types of OPC 40450-1 (Joining Systems Base 1.01) and OPC 40001-101 (Machinery
//! Result Transfer 1.01), as far as results need them, with the numbers of their node sets.
//!
//! Owns these facts. Nothing here is made up: a client that knows the model finds what it knows.

use super::setup::{EventField, EventType, Setup};
use super::types::{DataType, DataTypes, ENUMERATION, Member, Shape};
use crate::model::plan::{Identifier, Namespace, NodeRef};
use std::sync::Arc;

/// Joining Systems Base.
pub(super) const JOINING: &str = "http://opcfoundation.org/UA/IJT/Base/";
/// Machinery Result Transfer.
pub(super) const RESULT: &str = "http://opcfoundation.org/UA/Machinery/Result/";
/// Namespaces that the model requires, too.
const REQUIRED: [&str; 3] = [
    "http://opcfoundation.org/UA/DI/",
    "http://opcfoundation.org/UA/AMB/",
    "http://opcfoundation.org/UA/Machinery/",
];

/// One type a paragraph: node, encoding, name, base, then its members. `J` is Joining Systems Base, `R` Machinery Result
/// Transfer, a bare number namespace 0; `[]` an array, `?` optional, `~` of any subtype, `=` a value of an enumeration.
const TYPES: &str = "
R3002 - ResultEvaluationEnum < 29:
    Undefined=0, OK=1, NotOK=2, NotDecidable=3
R3006 5003 ProcessingTimesDataType < 22:
    StartTime 294, EndTime 294, AcquisitionDuration? 290, ProcessingDuration? 290
R3007 5005 ResultMetaDataType < 22:
    ResultId 31918, HasTransferableDataOnFile? 1, IsPartial? 1, IsSimulated? 1, ResultState? 6, StepId? 31918,
    PartId? 31918, ExternalRecipeId? 31918, InternalRecipeId? 31918, ProductId? 31918,
    ExternalConfigurationId? 31918, InternalConfigurationId? 31918, JobId? 31918, CreationTime? 294,
    ProcessingTimes? R3006, ResultUri[]? 23751, ResultEvaluation? R3002, ResultEvaluationCode? 8,
    ResultEvaluationDetails? 21, FileFormat[]? 12
R3008 5008 ResultDataType < 22:
    ResultMetaData~ R3007, ResultContent[] 24
J3010 5079 EntityDataType < 22:
    Name? 12, Description? 12, EntityId 31918, EntityOriginId? 31918, IsExternal? 1, EntityType 4
J3006 5053 ErrorInformationDataType < 22:
    ErrorType 3, ErrorId? 31918, LegacyError? 12, ErrorMessage? 21
J3004 5089 ResultCounterDataType < 22:
    Name? 12, CounterValue 7, CounterType 4
J3008 5148 KeyValueDataType < 22:
    Key 31918, Value 24
J3020 5046 JoiningResultMetaDataType < R3007:
    JoiningTechnology? 21, SequenceNumber? 9, Name? 12, Description? 21, Classification? 3, OperationMode? 3,
    AssemblyType? 3, AssociatedEntities[]? J3010, ResultCounters[]? J3004, InterventionType? 3,
    IsGeneratedOffline? 1, ExtendedMetaData[]? J3008
J3007 5056 ResultValueDataType < 22:
    MeasuredValue 11, Name? 12, ResultEvaluation? R3002, ValueId? 31918, ValueTag? 4, TracePointIndex? 6,
    TracePointTimeOffset? 290, ParameterIdList[]? 31918, ViolationType? 3, ViolationConsequence? 3,
    SensorId? 31918, LowLimit? 11, HighLimit? 11, TargetValue? 11, ResultStep? 12, PhysicalQuantity? 3,
    EngineeringUnits? 887
J3009 5059 StepResultDataType < 22:
    StepResultId 31918, ProgramStepId? 31918, ProgramStep? 12, Name? 12, ResultEvaluation? R3002,
    StartTimeOffset? 290, StepTraceId? 31918, StepResultValues[]? J3007
J3014 5071 TraceContentDataType < 22:
    Values[] 11, SensorId? 31918, Name? 12, Description? 12, PhysicalQuantity? 3, EngineeringUnits? 887
J3013 5068 StepTraceDataType < 22:
    StepTraceId 31918, StepResultId 31918, NumberOfTracePoints 7, SamplingInterval? 290, StartTimeOffset? 290,
    StepTraceContent[] J3014
J3011 5062 TraceDataType < 22:
    TraceId 31918, ResultId 31918
J3012 5065 JoiningTraceDataType < J3011:
    StepTraces[] J3013
J3005 5049 JoiningResultDataType < 22:
    FailureReason? 3, OverallResultValues[] J3007, StepResults[]? J3009, Errors[]? J3006,
    FailingStepResultId? 31918, Trace? J3012
J3022 5095 ReportedValueDataType < 22:
    PhysicalQuantity? 3, Name? 12, CurrentValue 24, PreviousValue? 24, LowLimit? 11, HighLimit? 11,
    EngineeringUnits? 887
J3024 5118 JoiningProcessMetaDataType < 22:
    JoiningProcessId 31918, JoiningProcessOriginId? 31918, CreationTime? 294, LastUpdatedTime? 294, Name? 12,
    Description? 21, JoiningTechnology? 21, Classification? 4, AssociatedEntities[]? J3010
J3016 5115 JoiningProcessDataType < 22:
    JoiningProcessMetaData~ J3024, JoiningProcessContent[] 24
J3029 5121 JoiningProcessIdentificationDataType < 22:
    JoiningProcessId? 31918, JoiningProcessOriginId? 31918, SelectionName? 31918
J3019 5081 SignalDataType < 22:
    SignalId 31918, SignalValue~ 26, SignalDescription 12, SignalType 4
";

/// Fields of an event type, each with its type.
type Fields = &'static [(&'static str, &'static str)];

/// Event types: node, name, base, fields.
const EVENTS: &[(&str, &str, &str, Fields)] = &[
    ("R1002", "ResultReadyEventType", "2041", &[("R Result", "R3008")]),
    ("J1007", "JoiningSystemResultReadyEventType", "R1002", &[]),
    ("J1035", "RequestedResultEventType", "J1007", &[]),
    (
        "J1006",
        "JoiningSystemEventType",
        "2041",
        &[("J JoiningSystemEventContent", "24")],
    ),
];

/// `RequestedResultEventType`: a stored result, told again.
pub(super) fn requested() -> NodeRef {
    number("J1035")
}

/// `RequestResults`: asks for stored results.
pub(super) fn request() -> NodeRef {
    number("J7074")
}

/// `JoiningSystemResultManagementType`
pub(super) fn management() -> NodeRef {
    number("J1022")
}

/// Inputs and outputs of `RequestResults`, with the data types of namespace 0.
pub(super) const REQUEST_INPUTS: [(&str, u32); 5] = [
    ("FromSequenceNumber", 9),
    ("ToSequenceNumber", 9),
    ("FromTime", 294),
    ("ToTime", 294),
    ("RequestedMinimumDurationBetweenResults", 290),
];
/// See [`REQUEST_INPUTS`].
pub(super) const REQUEST_OUTPUTS: [(&str, u32); 3] = [
    ("RevisedMinimumDurationBetweenResults", 290),
    ("Status", 8),
    ("StatusMessage", 21),
];

fn number(text: &str) -> NodeRef {
    let (namespace, digits) = match (text.strip_prefix('J'), text.strip_prefix('R')) {
        (Some(digits), _) => (Namespace::Uri(JOINING.into()), digits),
        (_, Some(digits)) => (Namespace::Uri(RESULT.into()), digits),
        _ => (Namespace::Index(0), text),
    };
    NodeRef {
        namespace,
        id: Identifier::Number(digits.parse().unwrap_or(0)),
    }
}

/// The data types of the model.
pub(super) fn types() -> DataTypes {
    let mut types = DataTypes::default();
    let mut head: Option<DataType> = None;
    for line in TYPES.lines().filter(|line| !line.is_empty()) {
        if line.starts_with(' ') {
            if let Some(data_type) = &mut head {
                line.split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .for_each(|part| add(data_type, part));
            }
            continue;
        }
        types.0.extend(head.take());
        head = head_of(line);
    }
    types.0.extend(head);
    types
}

fn head_of(line: &str) -> Option<DataType> {
    let mut words = line.trim_end_matches(':').split_whitespace();
    let (node, encoding, name) = (words.next()?, words.next()?, words.next()?);
    let base = number(words.nth(1)?);
    let node = number(node);
    let shape = if base == ENUMERATION {
        Shape::Enumeration(Vec::new())
    } else {
        Shape::Structure {
            encoding: NodeRef {
                namespace: node.namespace.clone(),
                id: Identifier::Number(encoding.parse().ok()?),
            },
            members: Vec::new(),
        }
    };
    Some(DataType {
        node,
        name: name.into(),
        base,
        shape,
    })
}

fn add(data_type: &mut DataType, part: &str) {
    match &mut data_type.shape {
        Shape::Enumeration(values) => {
            if let Some((name, value)) = part.split_once('=') {
                values.push((value.parse().unwrap_or(0), name.into()));
            }
        }
        Shape::Structure { members, .. } => {
            if let Some((name, of)) = part.split_once(' ') {
                members.push(Member {
                    name: name.trim_end_matches(['[', ']', '?', '~']).into(),
                    data_type: number(of),
                    list: name.contains("[]"),
                    optional: name.contains('?'),
                    subtypes: name.contains('~'),
                });
            }
        }
    }
}

/// Whether a node is of the model.
pub(super) fn is_of(node: &NodeRef) -> bool {
    matches!(&node.namespace, Namespace::Uri(uri) if matches!(&**uri, JOINING | RESULT))
}

/// Puts the model into a setup: namespaces, types, events told by `notifier`.
pub(super) fn add_to(setup: &mut Setup, notifier: &NodeRef) {
    for uri in REQUIRED.iter().chain(&[RESULT, JOINING]) {
        if !setup.namespaces.iter().any(|known| **known == **uri) {
            setup.namespaces.push(Arc::from(*uri));
        }
    }
    for data_type in types().0 {
        setup.types.insert(data_type);
    }
    for (node, name, base, fields) in EVENTS {
        let field = |(name, of): &(&str, &str)| {
            let (space, name) = name.split_once(' ').unwrap_or(("J", name));
            EventField {
                namespace: Some(number(&format!("{space}0")).namespace),
                name: name.into(),
                data_type: number(of),
                list: false,
            }
        };
        let event = EventType {
            name: Arc::from(*name),
            base: Some(number(base)),
            fields: fields.iter().map(field).collect(),
            notifier: notifier.clone(),
        };
        setup.events.insert(number(node), event);
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::ANY;
    use super::*;
    use crate::wire::opcua::types::StructureKind;

    #[test]
    fn the_model_has_its_types_with_their_numbers() {
        let types = types();
        assert_eq!(types.0.len(), 21);
        let meta = types.members(&number("J3020"));
        assert_eq!(meta.len(), 32);
        assert_eq!((&*meta[0].name, &*meta[21].name), ("ResultId", "SequenceNumber"));
        assert_eq!(meta.iter().filter(|member| member.optional).count(), 31);
        let value = types.members(&number("J3007"));
        assert_eq!((value.len(), &*value[12].name), (17, "HighLimit"));
        assert_eq!(types.kind(&number("R3008")), StructureKind::Subtyped);
        assert_eq!(types.kind(&number("J3005")), StructureKind::Optional);
        assert_eq!(types.kind(&number("J3011")), StructureKind::Plain);
        for data_type in &types.0 {
            for member in types.members(&data_type.node) {
                let core = member.data_type.namespace == Namespace::Index(0);
                assert!(core || types.get(&member.data_type).is_some(), "{}", member.name);
            }
            assert_ne!(data_type.base, ANY);
        }
        let Some(Shape::Enumeration(values)) = types.get(&number("R3002")).map(|one| one.shape.clone()) else {
            panic!("no enumeration")
        };
        assert_eq!(values.len(), 4);
    }
}
