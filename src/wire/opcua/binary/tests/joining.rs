//! A result of OPC 40450-1, byte by byte.

use super::super::super::path::parse_path;
use super::super::super::{first, select};
use super::*;

fn ijt(id: u32) -> NodeKey {
    NodeKey::number(2, id)
}

fn result(id: u32) -> NodeKey {
    NodeKey::number(3, id)
}

fn described(
    data_type: NodeKey,
    encoding: u32,
    name: &str,
    kind: StructureKind,
    fields: &[(&str, NodeKey, i32, bool)],
) -> StructureType {
    let mut described = structure(name, 0, kind, fields);
    described.encoding = Some(NodeKey::number(data_type.namespace, encoding));
    described.data_type = data_type;
    described
}

/// Some of the structures of Machinery/Result (namespace 3) and IJT Base (namespace 2), a few optional fields left out.
pub(super) fn types() -> Types {
    let text = || NodeKey::core(31918);
    let byte = || core(Builtin::Byte);
    let double = || core(Builtin::Double);
    let meta: Vec<(&str, NodeKey, i32, bool)> = vec![
        ("ResultId", text(), -1, false),
        ("IsSimulated", core(Builtin::Boolean), -1, true),
        ("CreationTime", NodeKey::core(294), -1, true),
        ("ResultEvaluation", result(3002), -1, true),
    ];
    let mut joining = meta.clone();
    joining.extend([
        ("SequenceNumber", core(Builtin::UInt64), -1, true),
        ("Classification", byte(), -1, true),
        ("AssociatedEntities", ijt(3010), 1, true),
    ]);
    let mut types = Types::core();
    types.declare(result(3002), Builtin::Int32);
    for one in [
        described(result(3007), 5005, "ResultMetaDataType", StructureKind::Optional, &meta),
        described(
            ijt(3020),
            5046,
            "JoiningResultMetaDataType",
            StructureKind::Optional,
            &joining,
        ),
        described(
            result(3008),
            5008,
            "ResultDataType",
            StructureKind::Subtyped,
            &[
                ("ResultMetaData", result(3007), -1, true),
                ("ResultContent", core(Builtin::Variant), 1, false),
            ],
        ),
        described(
            ijt(3005),
            5049,
            "JoiningResultDataType",
            StructureKind::Optional,
            &[
                ("FailureReason", byte(), -1, true),
                ("OverallResultValues", ijt(3007), 1, false),
                ("Trace", ijt(3012), -1, true),
            ],
        ),
        described(
            ijt(3007),
            5056,
            "ResultValueDataType",
            StructureKind::Optional,
            &[
                ("MeasuredValue", double(), -1, false),
                ("ValueTag", core(Builtin::Int16), -1, true),
                ("LowLimit", double(), -1, true),
                ("HighLimit", double(), -1, true),
                ("PhysicalQuantity", byte(), -1, true),
                ("EngineeringUnits", NodeKey::core(887), -1, true),
            ],
        ),
        described(
            ijt(3010),
            5079,
            "EntityDataType",
            StructureKind::Optional,
            &[
                ("Name", core(Builtin::String), -1, true),
                ("EntityId", text(), -1, false),
                ("EntityType", core(Builtin::Int16), -1, false),
            ],
        ),
        described(
            ijt(3012),
            5065,
            "JoiningTraceDataType",
            StructureKind::Plain,
            &[("TraceId", text(), -1, false), ("Values", double(), 1, false)],
        ),
    ] {
        types.insert(one);
    }
    types
}

/// The body of a ResultDataType.
pub(super) const BODY: &str = "
    # ResultMetaData: an extension object, since subtypes are allowed: encoding ns=2;i=5046, 70 bytes
    01 02 b6 13 01  46 00 00 00
      # mask: CreationTime (bit 1), ResultEvaluation (2), SequenceNumber (3), Classification (4), AssociatedEntities (5)
      3e 00 00 00
      # ResultId R-1, CreationTime, ResultEvaluation 1, SequenceNumber 18446744073709551615, Classification 1
      03 00 00 00 52 2d 31
      30 c5 c2 56 6a 7a dd 01
      01 00 00 00
      ff ff ff ff ff ff ff ff
      01
      # AssociatedEntities: two; the first without a Name
      02 00 00 00
        00 00 00 00  03 00 00 00 54 2d 37  04 00
        01 00 00 00  03 00 00 00 56 49 4e  04 00 00 00 57 56 57 31  14 00
    # ResultContent: one variant, an extension object: encoding ns=2;i=5049, 121 bytes
    01 00 00 00
    16 01 02 b9 13 01  79 00 00 00
      # mask: Trace (bit 1)
      02 00 00 00
      # OverallResultValues: two
      02 00 00 00
        # mask: all five
        1f 00 00 00
        # MeasuredValue 12.25, ValueTag 1, LowLimit 11, HighLimit 15, PhysicalQuantity 2
        00 00 00 00 00 80 28 40  01 00  00 00 00 00 00 00 26 40  00 00 00 00 00 00 2e 40  02
        # EngineeringUnits: no namespace, 20053, Nm, no description
        ff ff ff ff  55 4e 00 00  02 02 00 00 00 4e 6d  00
        # mask: ValueTag (bit 0), PhysicalQuantity (3), EngineeringUnits (4)
        19 00 00 00
        # MeasuredValue 90.5, ValueTag 1, PhysicalQuantity 3
        00 00 00 00 00 a0 56 40  01 00  03
        # EngineeringUnits: no namespace, -1, °, no description
        ff ff ff ff  ff ff ff ff  02 02 00 00 00 c2 b0  00
      # Trace: TraceId T-1, Values 0.5, 1.5, 2.5
      03 00 00 00 54 2d 31
      03 00 00 00  00 00 00 00 00 00 e0 3f  00 00 00 00 00 00 f8 3f  00 00 00 00 00 00 04 40
";

#[test]
fn a_result_is_read_and_written() {
    let types = types();
    let body = bytes(BODY);
    let tree = decode_structure(&types, &result(5008), &body).unwrap_or_else(|fault| panic!("{fault}"));
    assert_eq!(
        tree.to_json(),
        json!({"$type": "ResultDataType",
            "ResultMetaData": {"$type": "JoiningResultMetaDataType",
                "ResultId": "R-1", "CreationTime": "2026-11-22T10:15:03.171Z", "ResultEvaluation": 1,
                "SequenceNumber": "18446744073709551615", "Classification": 1,
                "AssociatedEntities": [
                    {"$type": "EntityDataType", "EntityId": "T-7", "EntityType": 4},
                    {"$type": "EntityDataType", "Name": "VIN", "EntityId": "WVW1", "EntityType": 20}]},
            "ResultContent": [{"$type": "JoiningResultDataType",
                "OverallResultValues": [
                    {"$type": "ResultValueDataType", "MeasuredValue": 12.25, "ValueTag": 1, "LowLimit": 11, "HighLimit": 15,
                        "PhysicalQuantity": 2, "EngineeringUnits": {"$type": "EUInformation", "UnitId": 20053, "DisplayName": {"Text": "Nm"}}},
                    {"$type": "ResultValueDataType", "MeasuredValue": 90.5, "ValueTag": 1, "PhysicalQuantity": 3,
                        "EngineeringUnits": {"$type": "EUInformation", "UnitId": -1, "DisplayName": {"Text": "°"}}}],
                "Trace": {"$type": "JoiningTraceDataType", "TraceId": "T-1", "Values": [0.5, 1.5, 2.5]}}]})
    );
    assert_eq!(
        hex(&encode_structure(&types, &result(3008), &tree).unwrap()),
        hex(&body)
    );
    // Also of what a person writes of it.
    let written = Tree::from_json(&tree.to_json());
    assert_eq!(
        hex(&encode_structure(&types, &result(3008), &written).unwrap()),
        hex(&body)
    );
}

#[test]
fn ways_lead_through_a_result() {
    let tree = decode_structure(&types(), &result(5008), &bytes(BODY)).unwrap();
    let of = |text: &str| select(&tree, &parse_path(text).unwrap(), None).and_then(|tree| tree.raw());
    let torque = "ResultContent[0]/OverallResultValues[PhysicalQuantity=2,ValueTag=1]";
    assert_eq!(
        of(&format!("{torque}/MeasuredValue")),
        Some(Raw::F64(12.25_f64.to_bits()))
    );
    assert_eq!(
        of(&format!("{torque}/High|HighLimit")),
        Some(Raw::F64(15_f64.to_bits()))
    );
    assert_eq!(
        of(&format!("{torque}/EngineeringUnits")),
        Some(Raw::Text("N.m".to_owned()))
    );
    assert_eq!(of("ResultMetaData/SequenceNumber"), Some(Raw::Big(u64::MAX)));
    assert_eq!(
        of("ResultMetaData/AssociatedEntities[EntityType=20]/EntityId"),
        Some(Raw::Text("WVW1".to_owned()))
    );
    assert_eq!(
        of("ResultContent[0]/OverallResultValues[1]/EngineeringUnits"),
        Some(Raw::Text("°".to_owned()))
    );
    assert_eq!(
        of("ResultContent[0]/Trace/Values").map(|values| values.text()),
        Some("0.5,1.5,2.5".to_owned())
    );
    let missing = parse_path("ResultMetaData/JobId").unwrap();
    assert_eq!(first(&tree, &[missing], None), None);
}

#[test]
fn a_fault_says_where() {
    let types = types();
    let mut body = bytes(BODY);
    let of = |types: &Types, body: &[u8]| decode_structure(types, &result(5008), body).unwrap_err().to_string();
    // One element of the trace too many for the bytes of the extension object.
    let at = body.len() - 28;
    assert_eq!(body[at], 3);
    body[at] = 4;
    assert_eq!(
        of(&types, &body),
        "ResultContent[0]/Trace/Values[3]: the value ends too early"
    );
    body[at] = 2;
    assert!(of(&types, &body).starts_with("ResultContent[0]: 8 bytes more than its type has"));
    let body = bytes(BODY);
    assert_eq!(
        of(&types, &body[..body.len() - 1]),
        "ResultContent[0]: the value ends too early"
    );
    assert_eq!(of(&types, &body[..40]), "ResultMetaData: the value ends too early");
}

#[test]
fn a_structure_of_its_base_type_needs_no_name() {
    let types = types();
    let tree = Tree::from_json(&json!({"ResultMetaData": {"ResultId": "R"}}));
    let body = encode_structure(&types, &result(3008), &tree).unwrap();
    // Encoding ns=3;i=5005; no content.
    let wanted = "01 03 8d 13 01 09 00 00 00 00 00 00 00 01 00 00 00 52 ff ff ff ff";
    assert_eq!(hex(&body), hex(&bytes(wanted)));
}
