//! MID 0900: one curve of a tightening, with its samples (specification 6.6).
//!
//! Owns samples and their scale. Does not own putting the curves of one result together.

use super::{Fault, Field, Telegram};
use crate::model::Decimal;

/// Byte order of the samples; the specification does not say. MTF6000 is little-endian.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TraceOrder {
    /// Low byte first.
    #[default]
    Little,
    /// High byte first.
    Big,
}

/// One curve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The result it belongs to.
    pub result_id: String,
    /// When, as the controller says it (`YYYY-MM-DD:HH:MM:SS`); `None` where blank.
    pub time: Option<String>,
    /// What is plotted: angle, torque, current, gradient, stroke, force, or `trace_N`.
    pub kind: String,
    /// Unit of measure of the samples.
    pub uom: Option<&'static str>,
    /// The samples, scaled by PID 02213 or 02214, exact.
    pub samples: Vec<Decimal>,
    /// What one sample is further than the one before: `time`, `angle` or `step`, its uom, and how much.
    pub step: Option<(&'static str, Option<&'static str>, Decimal)>,
    /// Its PIDs.
    pub fields: Vec<Field>,
}

/// Reads a 0900 with samples in this order.
///
/// # Errors
/// It is no 0900, ends inside a field, or a count in it cannot be read.
pub fn decode(telegram: &Telegram, _order: TraceOrder) -> Result<Trace, Fault> {
    Err(Fault::NoLayout {
        mid: telegram.mid(),
        revision: telegram.revision(),
    })
}
