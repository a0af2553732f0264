//! Modbus registers and raw values: tables of registers, decoding and encoding of points.

use crate::model::Raw;
use crate::model::plan::{ModbusPoint, Table};

/// What is known of a server's tables: registers and bits by address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {}

impl Image {
    /// Puts consecutive registers (or bits, 0 and 1, of a bit table) at `address`.
    pub fn put(&mut self, table: Table, address: u16, words: &[u16]) {
        let _ = (table, address, words);
        todo!()
    }

    /// The register (or bit) at `address`, if it is known.
    #[must_use]
    pub fn get(&self, table: Table, address: u16) -> Option<u16> {
        let _ = (table, address);
        todo!()
    }
}

/// Why `at = "…"` is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AtFault {
    /// Placeholder.
    #[error("`{0}` is no Modbus address")]
    Syntax(String),
}

/// Reads `holding:10`, `input:5`, `coil:0`, `discrete:3` (zero-based) or a one-based reference `40001`.
pub fn parse_at(text: &str) -> Result<(Table, u16), AtFault> {
    let _ = text;
    todo!()
}

/// The raw value of `point`. `None` where a register of it is not known or the registers hold none (BCD with a digit above 9).
#[must_use]
pub fn decode(point: &ModbusPoint, image: &Image) -> Option<Raw> {
    let _ = (point, image);
    todo!()
}

/// Why a value cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeFault {
    /// Placeholder.
    #[error("`{0}` cannot be written as this type")]
    Type(String),
}

/// The registers (or bits) that hold `raw`. An integer too wide for the point gives its low bits.
pub fn encode(point: &ModbusPoint, raw: &Raw) -> Result<Vec<u16>, EncodeFault> {
    let _ = (point, raw);
    todo!()
}
