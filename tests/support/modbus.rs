//! A plain point of a Modbus server, as a plan has it.

use lineside::model::plan::{Address, ModbusPoint, ModbusType, PointPlan, Table, WordOrder};

pub(crate) fn point(name: &str, table: Table, address: u16, kind: ModbusType) -> PointPlan {
    PointPlan {
        name: name.into(),
        at: Address::Modbus(ModbusPoint {
            table,
            address,
            kind,
            order: WordOrder::Abcd,
            bits: None,
            count: None,
            clears: false,
        }),
        invalid: vec![],
        deadband: None,
    }
}
