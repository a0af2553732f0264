//! Any bytes are an OPC UA value or a fault, never a panic, of any description of a structure; what is read can be walked,
//! told as JSON, and written, and is then read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lineside::wire::opcua::path::parse_path;
use lineside::wire::opcua::{
    Field, NodeKey, StructureKind, StructureType, Tree, Types, decode_structure, decode_variant, elements, encode_structure, select,
};
use std::sync::Arc;

fuzz_target!(|input: (&[u8], Vec<(u8, Vec<(u8, u8, i8)>)>, &str)| {
    let (bytes, structures, text) = input;
    let mut types = Types::core();
    // Structures 1 … of namespace 2, which may hold each other; fields beyond these are of namespace 0.
    let ids = 1..=u32::try_from(structures.len().min(8)).unwrap_or(0);
    for (id, (kind, fields)) in ids.clone().zip(&structures) {
        let fields = fields.iter().take(40).zip(0..).map(|((data_type, flag, rank), at)| Field {
            name: Arc::from(format!("F{at}")),
            data_type: match u32::from(*data_type) {
                other if ids.contains(&other) => NodeKey::number(2, other),
                other => NodeKey::core(other % 30),
            },
            value_rank: i32::from(*rank % 4),
            flag: flag & 1 != 0,
        });
        types.insert(StructureType {
            data_type: NodeKey::number(2, id),
            encoding: Some(NodeKey::number(2, id + 100)),
            name: Arc::from(format!("S{id}")),
            kind: StructureKind::of(i32::from(kind % 5)).unwrap_or(StructureKind::Plain),
            fields: fields.collect(),
        });
    }
    let path = parse_path(text).ok();
    let look = |tree: &Tree| {
        let json = tree.to_json();
        assert_eq!(Tree::from_json(&json).to_json(), json);
        let _ = tree.raw();
        if let Some(path) = &path {
            let _ = select(tree, path, Some(0));
            let _ = elements(tree, std::slice::from_ref(path));
        }
    };
    if let Ok(tree) = decode_variant(&types, bytes) {
        look(&tree);
    }
    for id in ids {
        let (data_type, encoding) = (NodeKey::number(2, id), NodeKey::number(2, id + 100));
        if let Ok(tree) = decode_structure(&types, &encoding, bytes) {
            look(&tree);
            if let Ok(written) = encode_structure(&types, &data_type, &tree) {
                // A decimal in a variant is written as a double: the same digits.
                let again = decode_structure(&types, &encoding, &written).expect("what is written is read");
                assert_eq!(again.to_json(), tree.to_json());
            }
        }
    }
});
