//! Any address text and any registers give a value or none, never a panic; what can be written reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lineside::model::plan::{ModbusPoint, ModbusType, Table, WordOrder};
use lineside::wire::modbus;

fuzz_target!(|input: (&str, u8, u8, Option<u16>, Vec<u16>)| {
    let (at, kind, order, count, words) = input;
    let (table, address) = modbus::parse_at(at).unwrap_or((Table::Holding, 0));
    let kinds = [
        ModbusType::Bool,
        ModbusType::U16,
        ModbusType::I16,
        ModbusType::U32,
        ModbusType::I32,
        ModbusType::U64,
        ModbusType::I64,
        ModbusType::F32,
        ModbusType::F64,
        ModbusType::Bcd16,
        ModbusType::Bcd32,
        ModbusType::Text(u16::from(kind)),
    ];
    let orders = [WordOrder::Abcd, WordOrder::Cdab, WordOrder::Badc, WordOrder::Dcba];
    let point = ModbusPoint {
        table,
        address,
        kind: kinds[usize::from(kind) % kinds.len()],
        order: orders[usize::from(order) % orders.len()],
        bits: None,
        count,
        clears: false,
    };
    if let Some(raw) = modbus::decode_words(&point, &words)
        && let Ok(written) = modbus::encode(&point, &raw)
    {
        let again = modbus::decode_words(&point, &written);
        assert_eq!(again, Some(raw));
    }
});
