//! What a scalar of a tree is as a number or a text of the wire. Owns that nothing is rounded: what does not fit exactly is a fault.

use super::super::Tree;
use super::Fault;
use crate::model::{Decimal, Raw};

/// True or false, nothing else.
pub(super) fn truth(tree: &Tree) -> Result<bool, Fault> {
    match tree {
        Tree::Null => Ok(false),
        Tree::Value(Raw::Bool(value)) => Ok(*value),
        _ => Err(Fault::invalid("true or false is wanted")),
    }
}

/// The number in a scalar, also in its text.
fn number(tree: &Tree) -> Result<Decimal, Fault> {
    let number = match tree {
        Tree::Null => Some(Decimal::ZERO),
        Tree::Value(Raw::Text(text)) => text.parse().ok(),
        Tree::Value(Raw::Bool(_)) | Tree::List(_) | Tree::Struct(_) => None,
        Tree::Value(raw) => raw.number(),
    };
    number.ok_or_else(|| Fault::invalid("a number is wanted"))
}

/// A whole number, exactly.
pub(super) fn whole<T: TryFrom<i128>>(tree: &Tree) -> Result<T, Fault> {
    let number = number(tree)?;
    let fits = number.to_i128().and_then(|whole| T::try_from(whole).ok());
    fits.ok_or_else(|| not_in(number, std::any::type_name::<T>()))
}

fn not_in(number: Decimal, kind: &str) -> Fault {
    Fault::invalid(format!("{number} is not exactly an {kind}"))
}

/// NaN and the infinities, as JSON writes them (OPC 10000-6, 5.4.2.4).
fn special(tree: &Tree) -> Option<f64> {
    match tree {
        Tree::Value(Raw::F32(bits)) => Some(f64::from(f32::from_bits(*bits))).filter(|value| !value.is_finite()),
        Tree::Value(Raw::F64(bits)) => Some(f64::from_bits(*bits)).filter(|value| !value.is_finite()),
        Tree::Value(Raw::Text(text)) => match &**text {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            _ => None,
        },
        _ => None,
    }
}

/// A double: itself, a single, or the number of the same shortest digits.
pub(super) fn double(tree: &Tree) -> Result<f64, Fault> {
    match (tree, special(tree)) {
        (Tree::Value(Raw::F64(bits)), _) => return Ok(f64::from_bits(*bits)),
        (Tree::Value(Raw::F32(bits)), None) => return Ok(f64::from(f32::from_bits(*bits))),
        (_, Some(special)) => return Ok(special),
        _ => {}
    }
    let number = number(tree)?;
    let value = number.to_f64();
    if Decimal::from_f64(value) != Some(number) {
        return Err(not_in(number, "f64"));
    }
    Ok(value)
}

/// A single: itself, a double that is one, or the number of the same shortest digits.
pub(super) fn single(tree: &Tree) -> Result<f32, Fault> {
    if let Tree::Value(Raw::F32(bits)) = tree {
        return Ok(f32::from_bits(*bits));
    }
    if let Some(special) = special(tree) {
        return Ok(match special {
            value if value.is_nan() => f32::NAN,
            value if value < 0.0 => f32::NEG_INFINITY,
            _ => f32::INFINITY,
        });
    }
    let number = number(tree)?;
    let value: f32 = number.to_string().parse().unwrap_or(f32::NAN);
    // Either the digits are those of the single, or the double is one.
    let widened = matches!(tree, Tree::Value(Raw::F64(bits)) if f64::from(value).to_bits() == *bits);
    if !widened && Decimal::from_f32(value) != Some(number) {
        return Err(not_in(number, "f32"));
    }
    Ok(value)
}

/// A text, or null.
pub(super) fn string(tree: &Tree) -> Result<Option<String>, Fault> {
    match tree {
        Tree::Null => Ok(None),
        Tree::Value(Raw::Text(text)) => Ok(Some(text.clone())),
        _ => Err(Fault::invalid("text is wanted")),
    }
}

/// What a text says; `None` of null.
pub(super) fn parsed<T>(tree: &Tree, what: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Fault> {
    match tree {
        Tree::Null => Ok(None),
        Tree::Value(Raw::Text(text)) => parse(text)
            .map(Some)
            .ok_or_else(|| Fault::invalid(format!("`{text}` is not {what}"))),
        _ => Err(Fault::invalid(format!("{what} is wanted"))),
    }
}
