//! Units of measure (uom): UCUM codes, what people write instead of them, and conversion.
//!
//! Owns dimensions and factors. Never called "unit": that is the production unit.

use super::Decimal;

/// A unit of measure, known by its UCUM code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uom {
    code: String,
}

/// Why a text is no unit of measure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UomFault {
    /// Not known.
    #[error("`{0}` is no unit of measure")]
    Unknown(String),
}

impl Uom {
    /// Reads UCUM (`N.m`, `[lbf_av].[in_i]`, `Cel`) or what people write (Nm, lbf.in, in-lb, kgf.cm, ft-lb).
    ///
    /// # Errors
    /// The text is neither.
    pub fn parse(text: &str) -> Result<Self, UomFault> {
        let _ = text;
        todo!()
    }

    /// The UCUM code, as it is published.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Whether values can be converted to `other`: same dimension.
    #[must_use]
    pub fn converts_to(&self, other: &Self) -> bool {
        let _ = other;
        todo!()
    }

    /// `value`, of this uom, in `other`, rounded to `digits` significant digits; unchanged and unrounded where
    /// both are the same measure. `None` where the dimensions differ.
    #[must_use]
    pub fn convert(&self, value: Decimal, other: &Self, digits: u32) -> Option<Decimal> {
        let _ = (value, other, digits);
        todo!()
    }
}
