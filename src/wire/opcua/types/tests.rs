use super::*;

fn key(id: u32) -> NodeKey {
    NodeKey::number(2, id)
}

fn structure(id: u32, name: &str, fields: &[(&str, NodeKey)]) -> StructureType {
    StructureType {
        data_type: key(id),
        encoding: Some(key(id + 5000)),
        name: Arc::from(name),
        kind: StructureKind::Plain,
        fields: fields
            .iter()
            .map(|(name, data_type)| Field {
                name: Arc::from(*name),
                data_type: data_type.clone(),
                value_rank: -1,
                flag: false,
            })
            .collect(),
    }
}

#[test]
fn namespace_0_refers_to_nothing_unknown() {
    let types = Types::core();
    assert!(types.structures.len() > 25);
    for key in types.structures.keys() {
        assert_eq!(types.missing(key), [], "{key}");
    }
    assert_eq!(types.builtin(&NodeKey::core(31918)), Some(Builtin::String));
    assert_eq!(types.builtin(&NodeKey::core(22)), Some(Builtin::ExtensionObject));
    assert_eq!(types.builtin(&NodeKey::core(24)), Some(Builtin::Variant));
    assert_eq!(
        types.encoded(&NodeKey::core(889)).unwrap().name.as_ref(),
        "EUInformation"
    );
    assert!(types.structures.values().all(|one| {
        let encoding = one.encoding.clone().unwrap();
        types.encoded(&encoding) == Some(one) && types.named(&one.name) == Some(one)
    }));
}

#[test]
fn what_is_missing_is_found_through_structures() {
    let mut types = Types::core();
    types.insert(structure(
        1,
        "Outer",
        &[("A", key(2)), ("B", key(3)), ("C", NodeKey::core(11))],
    ));
    assert_eq!(types.missing(&key(1)), [key(2), key(3)]);
    assert_eq!(types.missing(&key(9)), [key(9)]);
    types.insert(structure(2, "Inner", &[("Back", key(1)), ("D", key(4)), ("E", key(3))]));
    assert_eq!(types.missing(&key(1)), [key(4), key(3)]);
    types.declare(key(3), Builtin::Byte);
    types.declare(key(4), Builtin::Int32);
    assert_eq!(types.missing(&key(1)), []);
    assert!(types.knows(&key(4)) && !types.knows(&key(5)));
}

#[test]
fn a_newer_description_takes_the_place_of_an_older() {
    let mut types = Types::core();
    types.give_up(key(5001));
    types.insert(structure(1, "One", &[]));
    assert!(!types.is_opaque(&key(5001)));
    let mut newer = structure(1, "Two", &[]);
    newer.encoding = Some(key(6001));
    types.insert(newer);
    assert_eq!(types.encoded(&key(5001)), None);
    assert_eq!(types.encoded(&key(6001)).unwrap().name.as_ref(), "Two");
    assert_eq!(types.encoded(&key(1)).unwrap().name.as_ref(), "Two");
}

#[test]
fn numbers_are_those_of_the_specification() {
    for number in 0..=255 {
        assert_eq!(
            Builtin::of(number).map(Builtin::number),
            (1..=25).contains(&number).then_some(number)
        );
    }
    assert_eq!(Builtin::of(22), Some(Builtin::ExtensionObject));
    assert_eq!(StructureKind::of(3), Some(StructureKind::Subtyped));
    assert_eq!(StructureKind::of(5), None);
}
