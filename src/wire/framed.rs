//! Framed devices: wrenches, gauges and scanners on a serial line or by TCP, that say lines or frames.
//!
//! Owns how frames are cut out of bytes ([`Framer`]), how the text of one is taken apart ([`Parser`]), and what a
//! scanned code says of itself ([`scan`]). Owns no connection and no time: who feeds a framer says when bytes came.
//! All functions are total: any bytes give a value, an error or noise.

mod framer;
mod parser;
pub mod scan;
pub mod shape;

pub use framer::{Framed, Framer, encode, sum};
pub use parser::{FrameText, Parser};

#[cfg(test)]
mod tests;
