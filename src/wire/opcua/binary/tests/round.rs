//! What is written is read, and any bytes are read or refused.

use super::*;
use crate::model::plan::Identifier;
use proptest::prelude::*;

/// A structure of everything (ns=2;i=100), and what it needs.
fn types() -> Types {
    let mut types = joining::types();
    let scalars: Vec<_> = Builtin::ALL
        .iter()
        .map(|builtin| (format!("{builtin:?}"), core(*builtin), -1))
        .collect();
    let arrays: Vec<_> = Builtin::ALL
        .iter()
        .map(|builtin| (format!("{builtin:?}s"), core(*builtin), 1))
        .collect();
    let more = [
        ("Matrix".to_owned(), core(Builtin::Int16), 3),
        ("Union".to_owned(), NodeKey::number(2, 101), -1),
        ("Unions".to_owned(), NodeKey::number(2, 101), 1),
        ("Subtyped".to_owned(), NodeKey::number(2, 102), -1),
        ("Result".to_owned(), NodeKey::number(3, 3008), 1),
    ];
    let fields: Vec<_> = scalars.into_iter().chain(arrays).chain(more).collect();
    let fields: Vec<_> = fields
        .iter()
        .enumerate()
        .map(|(at, (name, data_type, rank))| (&**name, data_type.clone(), *rank, at % 3 == 0))
        .collect();
    types.insert(structure("Everything", 100, StructureKind::Optional, &fields));
    types.insert(structure(
        "AUnion",
        101,
        StructureKind::Union,
        &[
            ("A", core(Builtin::Byte), -1, false),
            ("B", core(Builtin::String), 1, false),
        ],
    ));
    types.insert(structure(
        "ASubtyped",
        102,
        StructureKind::Subtyped,
        &[
            ("Any", core(Builtin::Variant), -1, true),
            ("Number", NodeKey::core(26), 1, true),
            ("Text", core(Builtin::String), -1, true),
            ("Meta", NodeKey::number(3, 3007), 1, true),
            ("Plain", NodeKey::core(884), -1, false),
        ],
    ));
    types
}

fn text() -> impl Strategy<Value = Tree> {
    ".{0,8}".prop_map(|text| Tree::Value(Raw::Text(text)))
}

fn nullable(of: impl Strategy<Value = Tree> + 'static) -> BoxedStrategy<Tree> {
    prop_oneof![1 => Just(Tree::Null), 4 => of].boxed()
}

fn two(
    name: &'static str,
    names: [&'static str; 2],
    of: impl Strategy<Value = (Tree, Tree)> + 'static,
) -> BoxedStrategy<Tree> {
    of.prop_map(move |(one, other)| {
        Tree::Struct(Arc::new(crate::wire::opcua::Structure {
            name: Arc::from(name),
            fields: vec![(Arc::from(names[0]), one), (Arc::from(names[1]), other)],
        }))
    })
    .boxed()
}

fn int(of: impl Strategy<Value = i64> + 'static) -> BoxedStrategy<Tree> {
    of.prop_map(|value| Tree::Value(Raw::Int(value))).boxed()
}

fn node() -> impl Strategy<Value = String> {
    let id = prop_oneof![
        any::<u32>().prop_map(Identifier::Number),
        (0..300_u32).prop_map(Identifier::Number),
        ".{1,6}".prop_map(|text| Identifier::Text(text.into())),
        any::<[u8; 16]>().prop_map(Identifier::Guid),
        proptest::collection::vec(any::<u8>(), 1..6).prop_map(|bytes| Identifier::Bytes(bytes.into())),
    ];
    (1..300_u16, id).prop_map(|(namespace, id)| NodeKey { namespace, id }.to_string())
}

/// Trees of a built-in type, as the decoder writes them.
fn builtin(types: &Types, builtin: Builtin, depth: u8) -> BoxedStrategy<Tree> {
    match builtin {
        Builtin::Boolean => any::<bool>().prop_map(|value| Tree::Value(Raw::Bool(value))).boxed(),
        Builtin::SByte => int(any::<i8>().prop_map_into()),
        Builtin::Byte => int(any::<u8>().prop_map_into()),
        Builtin::Int16 => int(any::<i16>().prop_map_into()),
        Builtin::UInt16 => int(any::<u16>().prop_map_into()),
        Builtin::Int32 => int(any::<i32>().prop_map_into()),
        Builtin::UInt32 | Builtin::StatusCode => int(any::<u32>().prop_map_into()),
        Builtin::Int64 => int(any::<i64>()),
        Builtin::UInt64 => any::<u64>()
            .prop_map(|value| Tree::Value(i64::try_from(value).map_or(Raw::Big(value), Raw::Int)))
            .boxed(),
        Builtin::Float => any::<u32>().prop_map(|bits| Tree::Value(Raw::F32(bits))).boxed(),
        Builtin::Double => any::<u64>().prop_map(|bits| Tree::Value(Raw::F64(bits))).boxed(),
        Builtin::String | Builtin::XmlElement => nullable(text()),
        Builtin::DateTime => (i64::MIN..2_650_000_000_000_000_000)
            .prop_map(|steps| text::time(steps).map_or(Tree::Null, |text| Tree::Value(Raw::Text(text))))
            .boxed(),
        Builtin::Guid => any::<[u8; 16]>()
            .prop_map(|bytes| Tree::Value(Raw::Text(text::guid(bytes))))
            .boxed(),
        Builtin::ByteString => {
            nullable(proptest::collection::vec(any::<u8>(), 0..9).prop_map(|bytes| Tree::Value(Raw::Text(hex(&bytes)))))
        }
        Builtin::NodeId => nullable(node().prop_map(|text| Tree::Value(Raw::Text(text)))),
        Builtin::ExpandedNodeId => nullable((0..2, node()).prop_map(|(server, node)| {
            let text = if server == 0 {
                node
            } else {
                format!("svr={server};nsu=urn:a%3B%25b;{}", node.split_once(';').unwrap().1)
            };
            Tree::Value(Raw::Text(text))
        })),
        Builtin::QualifiedName => two(
            "QualifiedName",
            ["NamespaceIndex", "Name"],
            (int(any::<u16>().prop_map_into()), text()),
        ),
        Builtin::LocalizedText => nullable(two("LocalizedText", ["Locale", "Text"], (nullable(text()), text()))),
        Builtin::ExtensionObject => nullable(prop_oneof![
            tree(types, &NodeKey::core(884), depth),
            tree(types, &NodeKey::number(2, 101), depth),
            tree(types, &NodeKey::number(2, 3010), depth),
        ]),
        Builtin::DataValue | Builtin::Variant if depth == 0 => Just(Tree::Null).boxed(),
        Builtin::DataValue | Builtin::Variant => {
            let of = |one| self::builtin(types, one, depth - 1);
            let scalars = prop_oneof![
                of(Builtin::Boolean),
                of(Builtin::Int64),
                of(Builtin::UInt64),
                of(Builtin::Float),
                of(Builtin::Double),
                of(Builtin::String),
                of(Builtin::LocalizedText),
                of(Builtin::ExtensionObject),
            ];
            let lists = proptest::collection::vec(scalars.clone(), 0..4).prop_map(Tree::List);
            prop_oneof![2 => scalars, 1 => lists].boxed()
        }
        Builtin::DiagnosticInfo => Just(Tree::Null).boxed(),
    }
}

/// Trees of a data type.
fn tree(types: &Types, data_type: &NodeKey, depth: u8) -> BoxedStrategy<Tree> {
    if let Some(one) = types.builtin(data_type) {
        return builtin(types, one, depth);
    }
    let structure = Arc::clone(types.structure(data_type).expect("a structure"));
    let fields: Vec<_> = structure
        .fields
        .iter()
        .map(|field| {
            let one = tree(types, &field.data_type, depth.saturating_sub(1));
            let values = match field.value_rank {
                -1 => one,
                _ => nullable(proptest::collection::vec(one, 0..3).prop_map(Tree::List)),
            };
            (
                structure.kind != StructureKind::Optional || !field.flag,
                any::<bool>(),
                values,
            )
        })
        .map(|(needed, there, values)| {
            (there, values)
                .prop_map(move |(there, tree)| (needed || there).then_some(tree))
                .boxed()
        })
        .collect();
    (fields, any::<proptest::sample::Index>())
        .prop_map(move |(fields, chosen)| {
            let union = matches!(structure.kind, StructureKind::Union | StructureKind::UnionSubtyped);
            let chosen = chosen.index(fields.len() + 1);
            let fields = structure.fields.iter().zip(fields).enumerate();
            Tree::Struct(Arc::new(crate::wire::opcua::Structure {
                name: Arc::clone(&structure.name),
                fields: fields
                    .filter(|(at, _)| !union || *at == chosen)
                    .filter_map(|(_, (field, tree))| Some((Arc::clone(&field.name), tree?)))
                    .collect(),
            }))
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_is_read(value in tree(&types(), &NodeKey::number(2, 100), 3)) {
        let types = types();
        let body = encode_structure(&types, &NodeKey::number(2, 100), &value).map_err(|fault| TestCaseError::fail(fault.to_string()))?;
        let read = decode_structure(&types, &NodeKey::number(2, 5100), &body).map_err(|fault| TestCaseError::fail(fault.to_string()))?;
        prop_assert_eq!(&read, &value);
        let variant = encode_variant(&types, &NodeKey::number(2, 100), -1, &value).map_err(|fault| TestCaseError::fail(fault.to_string()))?;
        prop_assert_eq!(decode_variant(&types, &variant), Ok(value));
    }

    #[test]
    fn json_says_all_that_bytes_say(value in tree(&types(), &NodeKey::number(3, 3008), 3)) {
        // Once through JSON, numbers have the form of JSON; from then on nothing changes.
        let types = types();
        let data_type = NodeKey::number(3, 3008);
        let written = |tree: &Tree| encode_structure(&types, &data_type, tree).map_err(|fault| TestCaseError::fail(fault.to_string()));
        let json = value.to_json();
        let through = Tree::from_json(&json);
        prop_assert_eq!(through.to_json(), json);
        if !value.to_json().to_string().contains("NaN") {
            let read = decode_structure(&types, &NodeKey::number(3, 5008), &written(&through)?).map_err(|fault| TestCaseError::fail(fault.to_string()))?;
            prop_assert_eq!(read.to_json(), through.to_json());
        }
    }

    #[test]
    fn any_bytes_are_a_value_or_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..200), encoding in 0..3_usize) {
        let types = types();
        if let Ok(tree) = decode_variant(&types, &bytes) {
            let json = tree.to_json();
            prop_assert_eq!(Tree::from_json(&json).to_json(), json);
        }
        let encodings = [NodeKey::number(2, 5100), NodeKey::number(3, 5008), NodeKey::number(2, 5102)];
        if let Ok(tree) = decode_structure(&types, &encodings[encoding], &bytes) {
            prop_assert!(matches!(tree, Tree::Struct(_)));
        }
    }

    #[test]
    fn any_description_of_any_bytes_is_a_value_or_a_fault(
        bytes in proptest::collection::vec(prop_oneof![2 => 0..4_u8, 1 => any::<u8>()], 0..120),
        described in proptest::collection::vec((0..5, proptest::collection::vec((0..30_u32, any::<bool>(), -1..3), 0..8)), 1..5),
    ) {
        let mut types = Types::core();
        let ids: Vec<_> = (1_u32..).take(described.len()).collect();
        for (id, (kind, fields)) in ids.iter().zip(&described) {
            // Low numbers are each other, the others of namespace 0.
            let of = |number: u32| if ids.contains(&number) { NodeKey::number(2, number) } else { NodeKey::core(number) };
            let fields: Vec<_> = fields.iter().map(|(number, flag, rank)| ("F", of(*number), *rank, *flag)).collect();
            let mut one = structure(&format!("S{id}"), *id, StructureKind::of(*kind).unwrap(), &fields);
            for (field, at) in one.fields.iter_mut().zip(0..) {
                field.name = format!("F{at}").into();
            }
            types.insert(one);
        }
        for id in ids {
            let (data_type, encoding) = (NodeKey::number(2, id), NodeKey::number(2, id + 5000));
            let Ok(tree) = decode_structure(&types, &encoding, &bytes) else { continue };
            // A decimal in a variant is written as a double, whose digits are the same.
            if let Ok(again) = encode_structure(&types, &data_type, &tree) {
                let again = decode_structure(&types, &encoding, &again).map_err(|fault| TestCaseError::fail(fault.to_string()))?;
                prop_assert_eq!(again.to_json(), tree.to_json());
            }
        }
    }

    #[test]
    fn changed_bytes_are_a_value_or_a_fault(at in any::<proptest::sample::Index>(), with in any::<[u8; 2]>()) {
        let mut body = bytes(joining::BODY);
        let at = at.index(body.len() - 1);
        body[at..at + 2].copy_from_slice(&with);
        let types = types();
        if let Ok(tree) = decode_structure(&types, &NodeKey::number(3, 5008), &body) {
            // What is read can be written, and is the same then.
            if let Ok(again) = encode_structure(&types, &NodeKey::number(3, 3008), &tree) {
                prop_assert_eq!(decode_structure(&types, &NodeKey::number(3, 5008), &again), Ok(tree));
            }
        }
    }
}

#[test]
fn every_prefix_of_a_value_is_a_fault() {
    let body = bytes(joining::BODY);
    let types = types();
    for end in 0..body.len() {
        let fault = decode_structure(&types, &NodeKey::number(3, 5008), &body[..end]).unwrap_err();
        assert!(matches!(fault, Fault::Short(_)), "{end}: {fault}");
    }
}
