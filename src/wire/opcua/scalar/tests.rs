use super::*;
use crate::model::Uom;
use serde_json::{Value, json};

fn said(json: &Value) -> Option<Raw> {
    Tree::from_json(json).raw()
}

fn text(text: &str) -> Raw {
    Raw::Text(text.to_owned())
}

#[test]
fn scalars_and_lists_say_themselves() {
    assert_eq!(said(&json!(7)), Some(Raw::Int(7)));
    assert_eq!(said(&json!("")), Some(text("")));
    assert_eq!(said(&json!(null)), None);
    assert_eq!(
        said(&json!([1, true])),
        Some(Raw::List(vec![Raw::Int(1), Raw::Bool(true)]))
    );
    assert_eq!(said(&json!([])), Some(Raw::List(vec![])));
    assert_eq!(
        said(&json!(["a", null])),
        Some(Raw::List(vec![Raw::Text("a".to_owned()), Raw::Text(String::new())]))
    );
    assert_eq!(said(&json!({"A": 1})), None);
    assert_eq!(said(&json!([{"A": 1}])), None);
    assert_eq!(said(&json!({})), None);
}

#[test]
fn texts_and_names_say_what_is_in_them() {
    assert_eq!(
        said(&json!({"$type": "LocalizedText", "Locale": "de", "Text": "gut"})),
        Some(text("gut"))
    );
    assert_eq!(said(&json!({"Text": "gut"})), Some(text("gut")));
    assert_eq!(said(&json!({"Text": "gut", "Size": 2})), None);
    assert_eq!(said(&json!({"$type": "LocalizedText", "Locale": "de"})), None);
    assert_eq!(said(&json!({"$type": "Other", "Text": "gut"})), None);
    assert_eq!(said(&json!({"NamespaceIndex": 2, "Name": "VIN"})), Some(text("VIN")));
    assert_eq!(
        said(&json!({"$type": "QualifiedName", "Name": "VIN"})),
        Some(text("VIN"))
    );
    assert_eq!(said(&json!({"Name": "VIN"})), None);
}

#[test]
fn a_unit_of_measure_is_its_common_code_else_its_name() {
    let of = |uri: Value, id: i64, name: &str| {
        said(&json!({"NamespaceUri": uri, "UnitId": id, "DisplayName": {"Text": name}}))
    };
    let unece = json!("http://www.opcfoundation.org/UA/units/un/cefact");
    assert_eq!(of(unece.clone(), 20053, "Nm"), Some(text("N.m")));
    assert_eq!(of(unece.clone(), 17476, "°"), Some(text("deg")));
    assert_eq!(of(unece.clone(), 4_405_297, "rad"), Some(text("rad")));
    assert_eq!(of(unece.clone(), 4_600_369, "lbf·in"), Some(text("[lbf_av].[in_i]")));
    assert_eq!(of(json!(null), 20053, "?"), Some(text("N.m")));
    assert_eq!(of(json!("urn:vendor"), 20053, "kPa"), Some(text("kPa")));
    assert_eq!(of(unece.clone(), 5_130_000, "widgets"), Some(text("widgets")));
    assert_eq!(of(unece.clone(), -1, "Nm"), Some(text("Nm")));
    assert_eq!(of(unece.clone(), 0, ""), None);
    assert_eq!(
        said(&json!({"$type": "EUInformation", "UnitId": 20053})),
        Some(text("N.m"))
    );
    assert_eq!(
        said(&json!({"$type": "EUInformation", "DisplayName": "mm"})),
        Some(text("mm"))
    );
}

#[test]
fn every_code_is_a_unit_of_measure_that_is_known() {
    for (at, (code, ucum_text)) in CODES.iter().enumerate() {
        assert!(Uom::parse(ucum_text).is_ok(), "{code}: {ucum_text}");
        assert!(!CODES[..at].iter().any(|(other, _)| other == code), "{code} twice");
        let id = code.bytes().fold(0, |id, byte| id << 8 | i64::from(byte));
        assert_eq!(ucum(id), Some(*ucum_text));
    }
    // The numbers that UNECE_to_OPCUA.csv has for a few.
    for (id, code) in [
        (4_732_720, None),
        (4_601_912, Some("N.cm")),
        (5_066_068, Some("mm")),
        (20529, Some("%")),
    ] {
        assert_eq!(ucum(id), code);
    }
}
