use super::super::types::{Builtin, Field, StructureKind, StructureType};
use super::*;
use crate::model::Raw;
use crate::model::value::hex;
use serde_json::{Value, json};
use std::sync::Arc;

mod joining;
mod round;

/// Bytes of pairs of digits; blanks and what stands behind a `#` are nothing.
fn bytes(text: &str) -> Vec<u8> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let digits: String = lines.flat_map(str::split_whitespace).collect();
    text::unhex(&digits).expect("hexadecimal digits")
}

/// A variant, as JSON.
fn said(hexadecimal: &str) -> Value {
    decode_variant(&Types::core(), &bytes(hexadecimal))
        .unwrap_or_else(|fault| panic!("{hexadecimal}: {fault}"))
        .to_json()
}

fn fault(hexadecimal: &str) -> String {
    decode_variant(&Types::core(), &bytes(hexadecimal))
        .unwrap_err()
        .to_string()
}

/// The same bytes of the same value, of this built-in type.
fn both_ways(number: u8, hexadecimal: &str, value: &Value) {
    assert_eq!(
        said(&format!("{number:02x} {hexadecimal}")),
        *value,
        "{number}: {hexadecimal}"
    );
    let written = encode_variant(
        &Types::core(),
        &NodeKey::core(number.into()),
        -1,
        &Tree::from_json(value),
    );
    let written = hex(&written.unwrap_or_else(|fault| panic!("{value}: {fault}")));
    assert_eq!(written, hex(&bytes(&format!("{number:02x} {hexadecimal}"))), "{value}");
}

#[test]
fn built_in_types_are_as_the_specification_writes_them() {
    both_ways(1, "01", &json!(true));
    both_ways(1, "00", &json!(false));
    both_ways(2, "80", &json!(-128));
    both_ways(3, "ff", &json!(255));
    both_ways(4, "00 80", &json!(-32768));
    both_ways(5, "ff ff", &json!(65535));
    // OPC 10000-6, 5.2.2.2.
    both_ways(6, "00 ca 9a 3b", &json!(1_000_000_000));
    both_ways(7, "ff ff ff ff", &json!(4_294_967_295_u32));
    both_ways(8, "ff ff ff ff ff ff ff ff", &json!(-1));
    both_ways(9, "08 00 00 00 00 00 00 00", &json!(8));
    // OPC 10000-6, 5.2.2.3.
    both_ways(10, "00 00 d0 c0", &json!(-6.5));
    both_ways(11, "00 00 00 00 00 80 28 40", &json!(12.25));
    // OPC 10000-6, 5.2.2.4.
    both_ways(12, "06 00 00 00 e6 b0 b4 42 6f 79", &json!("水Boy"));
    both_ways(12, "00 00 00 00", &json!(""));
    both_ways(13, "30 c5 c2 56 6a 7a dd 01", &json!("2026-11-22T10:15:03.171Z"));
    both_ways(13, "80 ad a8 56 6a 7a dd 01", &json!("2026-11-22T10:15:03Z"));
    both_ways(13, "02 ca c2 56 6a 7a dd 01", &json!("2026-11-22T10:15:03.1711234Z"));
    both_ways(13, "00 80 3e d5 de b1 9d 01", &json!("1970-01-01T00:00:00Z"));
    // OPC 10000-6, 5.2.2.6.
    both_ways(
        14,
        "91 2b 96 72 75 fa e6 4a 8d 28 b4 04 dc 7d af 63",
        &json!("72962b91-fa75-4ae6-8d28-b404dc7daf63"),
    );
    both_ways(15, "03 00 00 00 00 a5 ff", &json!("00a5ff"));
    both_ways(16, "04 00 00 00 3c 61 2f 3e", &json!("<a/>"));
    // OPC 10000-6, 5.2.2.9: a text, two bytes, four bytes, then all there are.
    both_ways(17, "03 01 00 06 00 00 00 48 6f 74 e6 b0 b4", &json!("ns=1;s=Hot水"));
    both_ways(17, "00 48", &json!("i=72"));
    both_ways(17, "01 05 01 04", &json!("ns=5;i=1025"));
    both_ways(17, "02 00 01 c0 0b 00 00", &json!("ns=256;i=3008"));
    both_ways(
        17,
        "04 02 00 91 2b 96 72 75 fa e6 4a 8d 28 b4 04 dc 7d af 63",
        &json!("ns=2;g=72962b91-fa75-4ae6-8d28-b404dc7daf63"),
    );
    both_ways(17, "05 02 00 02 00 00 00 4d 3c", &json!("ns=2;b=TTw="));
    both_ways(18, "80 48 05 00 00 00 75 72 6e 3a 78", &json!("nsu=urn:x;i=72"));
    both_ways(
        18,
        "c0 48 03 00 00 00 61 3b 25 02 00 00 00",
        &json!("svr=2;nsu=a%3B%25;i=72"),
    );
    both_ways(18, "40 48 02 00 00 00", &json!("svr=2;i=72"));
    both_ways(19, "00 00 8c 80", &json!(0x808C_0000_u32));
    both_ways(
        20,
        "02 00 03 00 00 00 56 49 4e",
        &json!({"$type": "QualifiedName", "NamespaceIndex": 2, "Name": "VIN"}),
    );
    both_ways(21, "02 02 00 00 00 4f 4b", &json!({"Text": "OK"}));
    both_ways(
        21,
        "03 02 00 00 00 65 6e 02 00 00 00 4f 4b",
        &json!({"Locale": "en", "Text": "OK"}),
    );
    both_ways(
        22,
        // Encoding 886 of Range, a body of 16 bytes.
        "01 00 76 03 01 10 00 00 00 00 00 00 00 00 00 26 40 00 00 00 00 00 00 2e 40",
        &json!({"$type": "Range", "Low": 11, "High": 15}),
    );
    // 12.25 as 1225 and 2 decimals; OPC 10000-6, 5.1.10.
    both_ways(
        22,
        "00 32 01 12 00 00 00 02 00 c9 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00",
        &json!(12.25),
    );
}

#[test]
fn what_says_nothing_is_null() {
    for text in [
        "00",
        "0c ff ff ff ff",
        "0f ff ff ff ff",
        "0d 00 00 00 00 00 00 00 00",
        "0d ff ff ff ff ff ff ff ff",
        "0d ff ff ff ff ff ff ff 7f",
        "11 00 00",
        "11 01 00 00 00",
        "11 03 00 00 ff ff ff ff",
        "14 00 00 ff ff ff ff",
        "15 00",
        "16 00 00 00",
        // An encoding, but no body.
        "16 01 02 c0 13 00",
        "16 01 02 c0 13 01 ff ff ff ff",
        "17 00",
        "18 00",
        "19 00",
        "86 ff ff ff ff",
    ] {
        assert_eq!(said(text), Value::Null, "{text}");
    }
    assert_eq!(said("86 00 00 00 00"), json!([]));
}

#[test]
fn numbers_keep_what_they_are() {
    let of = |text: &str| decode_variant(&Types::core(), &bytes(text)).unwrap();
    assert_eq!(of("09 ff ff ff ff ff ff ff ff"), Tree::Value(Raw::Big(u64::MAX)));
    assert_eq!(of("09 ff ff ff ff ff ff ff 7f"), Tree::Value(Raw::Int(i64::MAX)));
    assert_eq!(of("0a a4 70 45 41"), Tree::Value(Raw::F32(12.34_f32.to_bits())));
    assert_eq!(of("0a 00 00 c0 7f"), Tree::Value(Raw::F32(f32::NAN.to_bits())));
    assert_eq!(
        of("0b 00 00 00 00 00 a0 56 40"),
        Tree::Value(Raw::F64(90.5_f64.to_bits()))
    );
}

#[test]
fn arrays_lie_flat() {
    assert_eq!(said("84 02 00 00 00 01 00 fe ff"), json!([1, -2]));
    // 2 by 2, dimensions behind.
    assert_eq!(
        said("c3 04 00 00 00 01 02 03 04 02 00 00 00 02 00 00 00 02 00 00 00"),
        json!([1, 2, 3, 4])
    );
    // Variants in a variant: a number, a text, a list.
    assert_eq!(
        said("98 03 00 00 00 03 07 0c 01 00 00 00 61 83 01 00 00 00 09"),
        json!([7, "a", [9]])
    );
    // Bytes of a type that is not yet.
    assert_eq!(said("1a 01 00 00 00 a5"), json!("a5"));
}

#[test]
fn of_a_data_value_the_value_is_kept() {
    // Value, status, source time, source picoseconds, server time, server picoseconds.
    let all = "17 3f 03 07 00 00 8c 80 30 c5 c2 56 6a 7a dd 01 0a 00 30 c5 c2 56 6a 7a dd 01 0b 00";
    assert_eq!(said(all), json!(7));
    assert_eq!(said("17 02 00 00 8c 80"), Value::Null);
    // All that diagnostics may say, one inside the other.
    let inner = "59 01 00 00 00 02 00 00 00 03 00 00 00 61 62 63 00";
    let all = format!(
        "98 02 00 00 00 19 7f {} 02 00 00 00 61 62 00 00 8c 80 {inner} 03 07",
        "01 00 00 00 ".repeat(4)
    );
    assert_eq!(said(&all), json!([null, 7]));
}

#[test]
fn text_that_is_no_utf_8_keeps_what_is() {
    assert_eq!(said("0c 04 00 00 00 fc 41 ff 42"), json!("\u{fffd}A\u{fffd}B"));
}

#[test]
fn what_is_no_value_is_a_fault() {
    for (text, says) in [
        ("", "the value ends too early"),
        ("06 00 ca 9a", "the value ends too early"),
        ("0c 05 00 00 00 61", "the value ends too early"),
        ("86 02 00 00 00 01 00 00 00", "[1]: the value ends too early"),
        ("83 ff ff ff 7f 01", "the value ends too early"),
        ("c3 01 00 00 00 01 ff ff ff 7f", "the value ends too early"),
        ("20", "no variant"),
        ("80", "no variant"),
        ("43 01", "no variant: it has dimensions, but is no array"),
        ("11 06", "no node id"),
        ("15 04", "no localized text"),
        ("16 00 07 03", "no extension object"),
        ("16 00 07 02 00 00 00 00", "it is encoded as XML, which is not read"),
        (
            "16 80 07 01 00 00 00 78 01 00 00 00 00",
            "the encoding of an extension object is not of this server",
        ),
        (
            "16 01 02 c0 13 01 00 00 00 00",
            "the server's type ns=2;i=5056 is not known",
        ),
        (
            "16 00 32 01 13 00 00 00 00 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10 11",
            "a decimal of more than 16 bytes",
        ),
        ("16 00 32 01 03 00 00 00 91 01 07", "a decimal of scale 401"),
        (
            "03 07 08",
            "1 bytes more than its type has: the server's description of the type is not that of the value",
        ),
    ] {
        assert_eq!(fault(text), says, "{text}");
    }
    // A body that is longer than its type.
    let longer = "16 01 00 76 03 01 11 00 00 00 00 00 00 00 00 00 26 40 00 00 00 00 00 00 2e 40 00";
    assert!(fault(longer).starts_with("1 bytes more"));
}

#[test]
fn depth_and_count_have_limits() {
    let mut deep = "98 01 00 00 00 ".repeat(usize::from(DEEPEST) - 1);
    deep.push_str("03 07");
    assert_eq!(decode_variant(&Types::core(), &bytes(&deep)).map(|_| ()), Ok(()));
    let deeper = "98 01 00 00 00 ".repeat(50_000);
    let Err(Fault::Limit(way)) = decode_variant(&Types::core(), &bytes(&deeper)) else {
        panic!("a limit")
    };
    assert!(way.as_str().starts_with("[0][0]["), "{way}");
    let diagnostics = format!("19{}", "40".repeat(50_000));
    assert_eq!(
        decode_variant(&Types::core(), &bytes(&diagnostics)),
        Err(Fault::Limit(Way::default()))
    );
    let mut many = vec![0x81];
    many.extend_from_slice(&i32::try_from(MOST + 1).unwrap().to_le_bytes());
    many.resize(MOST + 6, 1);
    assert!(matches!(decode_variant(&Types::core(), &many), Err(Fault::Limit(_))));
    many[1..5].copy_from_slice(&i32::try_from(MOST - 1).unwrap().to_le_bytes());
    many.truncate(MOST + 4);
    assert!(decode_variant(&Types::core(), &many).is_ok());
}

/// `name`, number of the data type, kind, fields: name, data type, rank, flag.
fn structure(name: &str, id: u32, kind: StructureKind, fields: &[(&str, NodeKey, i32, bool)]) -> StructureType {
    StructureType {
        data_type: NodeKey::number(2, id),
        encoding: Some(NodeKey::number(2, id + 5000)),
        name: Arc::from(name),
        kind,
        fields: fields
            .iter()
            .map(|(name, data_type, value_rank, flag)| Field {
                name: Arc::from(*name),
                data_type: data_type.clone(),
                value_rank: *value_rank,
                flag: *flag,
            })
            .collect(),
    }
}

const fn core(builtin: Builtin) -> NodeKey {
    NodeKey::core(builtin.number() as u32)
}

/// Types with one structure `One` (1, encoding 5001).
fn with(kind: StructureKind, fields: &[(&str, NodeKey, i32, bool)]) -> Types {
    let mut types = Types::core();
    types.insert(structure("One", 1, kind, fields));
    types
}

/// Its value in these bytes, which are also what is written for it.
fn one(types: &Types, hexadecimal: &str) -> Result<Value, String> {
    let body = bytes(hexadecimal);
    let tree = decode_structure(types, &NodeKey::number(2, 5001), &body).map_err(|fault| fault.to_string())?;
    let written = encode_structure(types, &NodeKey::number(2, 1), &tree).map_err(|fault| fault.to_string())?;
    assert_eq!(hex(&written), hex(&body));
    let mut json = tree.to_json();
    assert_eq!(
        json.as_object_mut().and_then(|it| it.shift_remove("$type")),
        Some(json!("One"))
    );
    Ok(json)
}

#[test]
fn optional_fields_have_a_bit_each() {
    let types = with(
        StructureKind::Optional,
        &[
            ("A", core(Builtin::Byte), -1, true),
            ("B", core(Builtin::Byte), -1, false),
            ("C", core(Builtin::Int16), 1, true),
            ("D", core(Builtin::String), -1, true),
        ],
    );
    assert_eq!(one(&types, "00 00 00 00 07").unwrap(), json!({"B": 7}));
    assert_eq!(one(&types, "01 00 00 00 06 07").unwrap(), json!({"A": 6, "B": 7}));
    assert_eq!(
        one(&types, "06 00 00 00 07 01 00 00 00 ff ff 01 00 00 00 61").unwrap(),
        json!({"B": 7, "C": [-1], "D": "a"})
    );
    assert_eq!(
        one(&types, "08 00 00 00 07").unwrap_err(),
        "One has 3 optional fields, but the value says 0x8: the server's description of the type is not that of the value"
    );
    assert_eq!(
        one(&types, "04 00 00 00 07 05").unwrap_err(),
        "D: the value ends too early"
    );
}

#[test]
fn a_union_has_one_field_or_none() {
    let types = with(
        StructureKind::Union,
        &[
            ("A", core(Builtin::Byte), -1, false),
            ("B", core(Builtin::Byte), 1, false),
        ],
    );
    assert_eq!(one(&types, "00 00 00 00").unwrap(), json!({}));
    assert_eq!(one(&types, "01 00 00 00 07").unwrap(), json!({"A": 7}));
    assert_eq!(
        one(&types, "02 00 00 00 02 00 00 00 07 08").unwrap(),
        json!({"B": [7, 8]})
    );
    assert_eq!(
        one(&types, "03 00 00 00").unwrap_err(),
        "the union One has no field number 3"
    );
    let both = Tree::from_json(&json!({"A": 1, "B": [2]}));
    assert_eq!(
        encode_structure(&types, &NodeKey::number(2, 1), &both)
            .unwrap_err()
            .to_string(),
        "the union One has one field only"
    );
    // Of any subtype: a variant.
    let types = with(
        StructureKind::UnionSubtyped,
        &[
            ("A", core(Builtin::Byte), -1, false),
            ("B", NodeKey::core(26), -1, true),
        ],
    );
    assert_eq!(one(&types, "01 00 00 00 07").unwrap(), json!({"A": 7}));
    assert_eq!(
        one(&types, "02 00 00 00 0b 00 00 00 00 00 80 28 40").unwrap(),
        json!({"B": 12.25})
    );
}

#[test]
fn several_dimensions_stand_before_the_elements() {
    let types = with(StructureKind::Plain, &[("M", core(Builtin::Byte), 2, false)]);
    let decoded = decode_structure(
        &types,
        &NodeKey::number(2, 5001),
        &bytes("02 00 00 00 02 00 00 00 03 00 00 00 01 02 03 04 05 06"),
    );
    assert_eq!(
        decoded.unwrap().to_json(),
        json!({"$type": "One", "M": [1, 2, 3, 4, 5, 6]})
    );
    assert_eq!(
        one(&types, "02 00 00 00 03 00 00 00 01 00 00 00 01 02 03").unwrap(),
        json!({"M": [1, 2, 3]})
    );
    assert_eq!(one(&types, "ff ff ff ff").unwrap(), json!({}));
    assert_eq!(
        one(&types, "02 00 00 00 ff ff ff 7f ff ff ff 7f").unwrap_err(),
        "M: the value ends too early"
    );
    let types = with(StructureKind::Plain, &[("M", core(Builtin::Byte), 0, false)]);
    assert_eq!(
        one(&types, "01").unwrap_err(),
        "M: the server's description gives it the value rank 0, which no field may have"
    );
}

#[test]
fn what_is_not_described_is_named() {
    let mut types = with(StructureKind::Plain, &[("A", NodeKey::number(2, 9), -1, false)]);
    let of = |types: &Types| decode_structure(types, &NodeKey::number(2, 5001), &[7]);
    assert_eq!(of(&types), Err(Fault::Unknown(NodeKey::number(2, 9))));
    types.declare(NodeKey::number(2, 9), Builtin::Byte);
    assert_eq!(of(&types).unwrap().to_json(), json!({"$type": "One", "A": 7}));
    let other = NodeKey::number(2, 5009);
    assert_eq!(
        decode_structure(&types, &other, &[7]),
        Err(Fault::Unknown(other.clone()))
    );
    types.give_up(other.clone());
    assert_eq!(decode_structure(&types, &other, &[7]), Ok(Tree::Null));
    // The rest of what it stands in is read.
    let list = "98 02 00 00 00 16 01 02 91 13 01 02 00 00 00 07 08 03 09";
    assert_eq!(
        decode_variant(&types, &bytes(list)).unwrap().to_json(),
        json!([null, 9])
    );
}

#[test]
fn a_structure_without_an_end_ends() {
    let itself = NodeKey::number(2, 1);
    let types = with(StructureKind::Plain, &[("Me", itself.clone(), -1, false)]);
    assert!(matches!(decode_structure(&types, &itself, &[]), Err(Fault::Limit(_))));
    assert!(matches!(
        encode_structure(&types, &itself, &Tree::Null),
        Err(Fault::Limit(_))
    ));
    // Ten of ten of ten …, none of which has a byte.
    let mut types = Types::core();
    for id in 1..=60 {
        let next = NodeKey::number(2, id + 1);
        let fields: Vec<_> = (0..10).map(|_| ("X", next.clone(), -1, false)).collect();
        types.insert(structure("Many", id, StructureKind::Plain, &fields));
    }
    types.insert(structure("Last", 61, StructureKind::Plain, &[]));
    assert!(matches!(decode_structure(&types, &itself, &[]), Err(Fault::Limit(_))));
}

#[test]
fn trees_that_are_no_such_type_are_refused() {
    let types = with(
        StructureKind::Plain,
        &[
            ("I", core(Builtin::Int16), -1, false),
            ("F", core(Builtin::Float), -1, false),
            ("B", core(Builtin::Boolean), -1, false),
            ("T", core(Builtin::DateTime), -1, false),
            ("L", core(Builtin::Byte), 1, false),
            ("V", core(Builtin::Variant), -1, false),
            ("E", core(Builtin::ExtensionObject), -1, false),
            ("N", core(Builtin::LocalizedText), -1, false),
            ("S", core(Builtin::String), -1, false),
            ("D", core(Builtin::NodeId), -1, false),
        ],
    );
    let of = |json: &Value| match encode_structure(&types, &NodeKey::number(2, 1), &Tree::from_json(json)) {
        Ok(body) => format!("{} bytes", body.len()),
        Err(fault) => fault.to_string(),
    };
    for (json, says) in [
        (json!({}), "30 bytes"),
        (json!(null), "30 bytes"),
        (json!(7), "a structure One is wanted"),
        (json!({"X": 1}), "X: the structure One has no such field"),
        (json!({"I": 32768}), "I: 32768 is not exactly an i16"),
        (json!({"I": 1.5}), "I: 1.5 is not exactly an i16"),
        (json!({"I": true}), "I: a number is wanted"),
        (json!({"I": "7"}), "30 bytes"),
        (json!({"I": "seven"}), "I: a number is wanted"),
        (json!({"F": 12.34}), "30 bytes"),
        (json!({"F": "-Infinity"}), "30 bytes"),
        (json!({"F": 16_777_217}), "F: 16777217 is not exactly an f32"),
        (json!({"B": 1}), "B: true or false is wanted"),
        (
            json!({"T": "yesterday"}),
            "T: `yesterday` is not a time (RFC 3339, after 1601)",
        ),
        (
            json!({"T": "1600-01-01T00:00:00Z"}),
            "T: `1600-01-01T00:00:00Z` is not a time (RFC 3339, after 1601)",
        ),
        (json!({"L": 7}), "L: an array is wanted"),
        (json!({"L": [7, 256]}), "L[1]: 256 is not exactly an u8"),
        (json!({"V": {"A": 7}}), "V: which structure it is must be said: `$type`"),
        (json!({"V": {"$type": "Two", "A": 7}}), "V: there is no structure Two"),
        (
            json!({"V": [{"$type": "Range", "Lo": 7}]}),
            "V[0]/Lo: the structure Range has no such field",
        ),
        (json!({"E": 7}), "E: a structure is wanted"),
        (
            json!({"N": {"Text": "a", "Size": 7}}),
            "N/Size: it has Locale and Text only",
        ),
        (json!({"S": 7}), "S: text is wanted"),
        (
            json!({"D": "nsu=urn:x;i=7"}),
            "D: a node id with an index of its namespace is wanted",
        ),
        (json!({"D": "Tool"}), "D: `Tool` is not a node id"),
    ] {
        assert_eq!(of(&json), says, "{json}");
    }
}

#[test]
fn numbers_become_other_types_only_exactly() {
    let types = Types::core();
    let of = |builtin: Builtin, raw: Raw| {
        let bytes = encode_variant(&types, &core(builtin), -1, &Tree::Value(raw)).ok()?;
        decode_variant(&types, &bytes).ok()?.raw()
    };
    let f64 = |value: f64| Raw::F64(value.to_bits());
    let f32 = |value: f32| Raw::F32(value.to_bits());
    assert_eq!(of(Builtin::Double, f32(0.1)), Some(f64(f64::from(0.1_f32))));
    assert_eq!(of(Builtin::Double, Raw::Dec("0.1".parse().unwrap())), Some(f64(0.1)));
    assert_eq!(
        of(Builtin::Double, Raw::Int(1 << 53)),
        Some(f64(9_007_199_254_740_992.0))
    );
    assert_eq!(of(Builtin::Double, Raw::Int((1 << 53) + 1)), None);
    assert_eq!(
        of(Builtin::Double, Raw::Dec("0.10000000000000000001".parse().unwrap())),
        None
    );
    assert_eq!(of(Builtin::Float, f64(12.34)), Some(f32(12.34)));
    assert_eq!(of(Builtin::Float, f64(f64::from(12.34_f32))), Some(f32(12.34)));
    assert_eq!(of(Builtin::Float, f64(12.345_678_901)), None);
    assert_eq!(of(Builtin::Float, f64(1e300)), None);
    assert_eq!(of(Builtin::Float, f64(f64::NEG_INFINITY)), Some(f32(f32::NEG_INFINITY)));
    assert_eq!(of(Builtin::Int32, f64(3.0)), Some(Raw::Int(3)));
    assert_eq!(of(Builtin::UInt64, Raw::Big(u64::MAX)), Some(Raw::Big(u64::MAX)));
    assert_eq!(of(Builtin::Int64, Raw::Big(u64::MAX)), None);
    assert_eq!(of(Builtin::Byte, Raw::Int(-1)), None);
}

#[test]
fn a_variant_takes_the_type_that_is_asked_for() {
    let types = with(StructureKind::Plain, &[("A", core(Builtin::Byte), -1, false)]);
    let of = |as_type: NodeKey, rank: i32, json: Value| {
        encode_variant(&types, &as_type, rank, &Tree::from_json(&json)).map(|bytes| hex(&bytes))
    };
    assert_eq!(of(NodeKey::core(29), -1, json!(2)).unwrap(), "0602000000");
    assert_eq!(of(NodeKey::core(294), -1, json!(null)).unwrap(), "00");
    assert_eq!(of(core(Builtin::Byte), 1, json!([1, 2])).unwrap(), "83020000000102");
    assert_eq!(of(core(Builtin::Byte), -2, json!([1])).unwrap(), "830100000001");
    assert_eq!(of(core(Builtin::Byte), -2, json!(1)).unwrap(), "0301");
    assert!(of(core(Builtin::Byte), 1, json!(1)).is_err());
    assert!(of(core(Builtin::Byte), -1, json!([1])).is_err());
    assert_eq!(
        of(NodeKey::number(2, 1), -1, json!({"A": 7})).unwrap(),
        "16010289130101000000".to_owned() + "07"
    );
    assert_eq!(
        of(NodeKey::number(2, 1), 1, json!([{"A": 7}, null])).unwrap(),
        "9602000000010289130101000000".to_owned() + "07000000"
    );
    assert_eq!(of(core(Builtin::Variant), -1, json!(7)).unwrap(), "080700000000000000");
    assert_eq!(
        of(core(Builtin::Variant), 1, json!([true, "a"])).unwrap(),
        "980200000001010c0100000061"
    );
    assert_eq!(
        of(core(Builtin::Variant), -1, json!([true, false])).unwrap(),
        "81020000000100"
    );
    assert_eq!(
        of(NodeKey::number(2, 9), -1, json!(7)),
        Err(Fault::Unknown(NodeKey::number(2, 9)))
    );
}
