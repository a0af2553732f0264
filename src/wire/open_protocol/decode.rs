//! From a telegram to named values.
//!
//! Owns what a blank, a sentinel, an unknown parameter and a derived field become. Layouts are data ([`super::tables`]).

use super::{Fault, Telegram, Trace};
use crate::model::Raw;
use std::borrow::Cow;

/// One value of a telegram. What is blank or says nothing is no field at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name, one per meaning through MIDs and revisions ([`super::FIELDS`]); or `pid_N`.
    pub name: Cow<'static, str>,
    /// Its value: whole numbers `Int`, measured ones `Dec`, codes `Text` in words, `Bool`, lists.
    pub value: Raw,
    /// Unit of measure that [`crate::model::uom::Uom`] reads.
    pub uom: Option<&'static str>,
}

/// What a telegram says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Its MID.
    pub mid: u16,
    /// The revision that its header names.
    pub revision: u16,
    /// Its values, in the telegram's order, then the derived ones.
    pub fields: Vec<Field>,
    /// 0101 and 0091: the values of each spindle.
    pub spindles: Vec<Vec<Field>>,
    /// 0900: the curve.
    pub trace: Option<Trace>,
    /// What nobody knows, by id (or the field's name) and text: unknown MIDs, trailing parameters, values that are none.
    pub unknown: Vec<(String, String)>,
}

impl Decoded {
    /// The value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Raw> {
        self.fields.iter().find(|f| f.name == name).map(|f| &f.value)
    }

    /// The field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }
}

/// Reads a telegram. An unknown MID has no fields, and its data as `unknown`.
/// A trace (0900) is read with little-endian samples; [`super::trace::decode`] takes the order.
///
/// # Errors
/// It ends inside a field, or a count in it cannot be read.
pub fn decode(telegram: &Telegram) -> Result<Decoded, Fault> {
    Ok(Decoded {
        mid: telegram.mid(),
        revision: telegram.revision(),
        ..Decoded::default()
    })
}
