//! Wire formats: pure codecs that drivers, simulators and examples share. Owns no connection and no meaning.

pub mod framed;
pub mod modbus;
pub mod open_protocol;
