//! Modbus registers and raw values: tables of registers, addresses as people write them, decoding
//! and encoding of points.
//!
//! Owns the meaning of bits in registers (types, word orders, bit fields, BCD, strings, arrays).
//! Owns no connection and no request; which registers are asked for together is the driver's.
//! All functions are total: any registers give a value or `None`.

pub mod frame;
pub mod pdu;

use crate::model::plan::{ModbusPoint, ModbusType, Table, WordOrder};
use crate::model::{Decimal, Raw};
use std::collections::BTreeMap;

/// Registers a page of an [`Image`]; one bit of `u64` each says whether it is known.
const PAGE: usize = 64;

/// What is known of a server's tables: registers and bits by address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    pages: BTreeMap<(Table, u16), Page>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Page {
    known: u64,
    words: [u16; PAGE],
}

/// Which page and where in it.
fn place(address: u16) -> (u16, usize) {
    (address / 64, usize::from(address % 64))
}

impl Image {
    /// Puts consecutive registers (or bits, 0 and 1, of a bit table) at `address`.
    /// What would lie beyond address 65535 is left out.
    pub fn put(&mut self, table: Table, address: u16, words: &[u16]) {
        for (at, word) in (address..=u16::MAX).zip(words) {
            let (page, offset) = place(at);
            let page = self.pages.entry((table, page)).or_insert(Page {
                known: 0,
                words: [0; PAGE],
            });
            page.known |= 1 << offset;
            if let Some(slot) = page.words.get_mut(offset) {
                *slot = if table.is_bits() { u16::from(*word != 0) } else { *word };
            }
        }
    }

    /// The register (or bit) at `address`, if it is known.
    #[must_use]
    pub fn get(&self, table: Table, address: u16) -> Option<u16> {
        let (page, offset) = place(address);
        let page = self.pages.get(&(table, page))?;
        (page.known >> offset & 1 == 1)
            .then(|| page.words.get(offset).copied())
            .flatten()
    }

    /// `count` registers from `address` on; `None` where one is not known or lies beyond 65535.
    #[must_use]
    pub fn words(&self, table: Table, address: u16, count: u16) -> Option<Vec<u16>> {
        (0..count)
            .map(|offset| self.get(table, address.checked_add(offset)?))
            .collect()
    }
}

/// Why `at = "…"` is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AtFault {
    /// Neither `table:number` nor a reference of five or six digits.
    #[error(
        "`{0}` is no Modbus address: write a table and a zero-based address (`holding:0`) or a one-based reference of five or six digits (`40001`)"
    )]
    Syntax(String),
    /// A word before the colon that is no table.
    #[error("`{0}` is no Modbus table: it is one of coil, discrete, input, holding")]
    Table(String),
    /// A number that is none, or above 65535.
    #[error("`{0}` is no address in a Modbus table: it is a number from 0 to 65535")]
    Address(String),
    /// A reference that begins with another digit than 0, 1, 3, 4.
    #[error("`{0}` is no Modbus reference: its first digit is 0 (coil), 1 (discrete), 3 (input) or 4 (holding)")]
    Reference(String),
    /// A reference that counts from zero or beyond 65536.
    #[error("`{0}` is no Modbus reference: they count from 1 to 9999, with six digits to 65536")]
    ReferenceNumber(String),
}

/// Reads `holding:10`, `input:5`, `coil:0`, `discrete:3` (zero-based) or a one-based reference `40001`.
///
/// # Errors
/// Says which part is wrong and what would be right.
pub fn parse_at(text: &str) -> Result<(Table, u16), AtFault> {
    if let Some((word, number)) = text.split_once(':') {
        let table = [Table::Coil, Table::Discrete, Table::Holding, Table::Input]
            .into_iter()
            .find(|table| table.word() == word)
            .ok_or_else(|| AtFault::Table(word.to_owned()))?;
        let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let address = digits.then(|| number.parse::<u16>().ok()).flatten();
        return Ok((table, address.ok_or_else(|| AtFault::Address(number.to_owned()))?));
    }
    if !matches!(text.len(), 5 | 6) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AtFault::Syntax(text.to_owned()));
    }
    let (first, rest) = text.split_at(1);
    let table = match first {
        "0" => Table::Coil,
        "1" => Table::Discrete,
        "3" => Table::Input,
        "4" => Table::Holding,
        _ => return Err(AtFault::Reference(text.to_owned())),
    };
    rest.parse::<u32>()
        .ok()
        .and_then(|number| number.checked_sub(1))
        .and_then(|address| u16::try_from(address).ok())
        .map(|address| (table, address))
        .ok_or_else(|| AtFault::ReferenceNumber(text.to_owned()))
}

/// Registers (or bits) that a point takes, all its elements.
#[must_use]
pub fn span(point: &ModbusPoint) -> u16 {
    point.kind.width().saturating_mul(point.count.unwrap_or(1))
}

/// The raw value of `point`. `None` where a register of it is not known or the registers hold none (BCD with a digit above 9).
#[must_use]
pub fn decode(point: &ModbusPoint, image: &Image) -> Option<Raw> {
    decode_words(point, &image.words(point.table, point.address, span(point))?)
}

/// The raw value of `point` in exactly its registers (or bits), in address order.
///
/// NaN and infinity stay what they are: [`Raw::number`] has none for them. Text ends at the first NUL;
/// bytes that are not UTF-8 are read as Latin-1, so that every byte stays visible. `bits` apply to
/// integer types and bools, always unsigned.
#[must_use]
pub fn decode_words(point: &ModbusPoint, words: &[u16]) -> Option<Raw> {
    if words.len() != usize::from(span(point)) {
        return None;
    }
    if point.count.is_none() {
        return element(point, words);
    }
    let width = usize::from(point.kind.width()).max(1);
    words
        .chunks(width)
        .map(|words| element(point, words))
        .collect::<Option<_>>()
        .map(Raw::List)
}

fn element(point: &ModbusPoint, words: &[u16]) -> Option<Raw> {
    let value = match point.kind {
        ModbusType::Text(bytes) => return Some(text(words, bytes, point.order)),
        _ => number(words, point.order),
    };
    let raw = match point.kind {
        ModbusType::Bool => {
            let bit = point.bits.map_or(0, |(lowest, _)| lowest);
            Raw::Bool(value.checked_shr(u32::from(bit)).unwrap_or(0) & 1 == 1)
        }
        ModbusType::F32 => Raw::F32(u32::try_from(value).ok()?),
        ModbusType::F64 => Raw::F64(value),
        ModbusType::Bcd16 | ModbusType::Bcd32 => Raw::Int(from_bcd(value)?),
        _ if point.bits.is_some() => unsigned((value & field_mask(point)) >> field_shift(point)),
        ModbusType::I16 => Raw::Int(i64::from(u16::try_from(value).ok()?.cast_signed())),
        ModbusType::I32 => Raw::Int(i64::from(u32::try_from(value).ok()?.cast_signed())),
        ModbusType::I64 => Raw::Int(value.cast_signed()),
        ModbusType::U16 | ModbusType::U32 | ModbusType::U64 | ModbusType::Text(_) => unsigned(value),
    };
    Some(raw)
}

fn unsigned(value: u64) -> Raw {
    i64::try_from(value).map_or(Raw::Big(value), Raw::Int)
}

fn swaps_bytes(order: WordOrder) -> bool {
    matches!(order, WordOrder::Badc | WordOrder::Dcba)
}

fn swaps_words(order: WordOrder) -> bool {
    matches!(order, WordOrder::Cdab | WordOrder::Dcba)
}

/// Up to four registers as one number, most significant first.
fn number(words: &[u16], order: WordOrder) -> u64 {
    let add = |value: u64, word: &u16| {
        let word = if swaps_bytes(order) { word.swap_bytes() } else { *word };
        value << 16 | u64::from(word)
    };
    if swaps_words(order) {
        words.iter().rev().fold(0, add)
    } else {
        words.iter().fold(0, add)
    }
}

/// A number as `width` registers.
fn to_words(value: u64, width: u16, order: WordOrder) -> Vec<u16> {
    let mut words: Vec<u16> = (0..width.min(4))
        .rev()
        .map(|place| low_word(value >> (16 * u32::from(place))))
        .map(|word| if swaps_bytes(order) { word.swap_bytes() } else { word })
        .collect();
    if swaps_words(order) {
        words.reverse();
    }
    words
}

fn low_word(value: u64) -> u16 {
    u16::try_from(value & 0xFFFF).unwrap_or(u16::MAX)
}

fn text(words: &[u16], bytes: u16, order: WordOrder) -> Raw {
    let bytes: Vec<u8> = words
        .iter()
        .flat_map(|word| {
            if swaps_bytes(order) {
                word.to_le_bytes()
            } else {
                word.to_be_bytes()
            }
        })
        .take(usize::from(bytes))
        .take_while(|byte| *byte != 0)
        .collect();
    Raw::Text(
        String::from_utf8(bytes).unwrap_or_else(|fault| fault.as_bytes().iter().copied().map(char::from).collect()),
    )
}

fn from_bcd(value: u64) -> Option<i64> {
    (0..8).rev().try_fold(0_i64, |number, place| {
        let digit = i64::try_from(value >> (4 * place) & 0xF).ok()?;
        (digit <= 9).then_some(number * 10 + digit)
    })
}

fn to_bcd(number: i128, digits: u32) -> Option<u64> {
    let mut rest = u64::try_from(number % 10_i128.pow(digits)).ok()?;
    let mut value = 0;
    for place in 0..digits {
        value |= (rest % 10) << (4 * place);
        rest /= 10;
    }
    Some(value)
}

/// Lowest bit of a field, 63 at most.
fn field_shift(point: &ModbusPoint) -> u32 {
    point.bits.map_or(0, |(lowest, _)| u32::from(lowest.min(63)))
}

/// The bits that belong to the point, in place.
fn field_mask(point: &ModbusPoint) -> u64 {
    let number = match (point.kind, point.bits) {
        (_, None) => return u64::MAX,
        (ModbusType::Bool, Some(_)) => 1,
        (_, Some((_, number))) => u32::from(number.min(64)),
    };
    let mask = if number == 0 { 0 } else { u64::MAX >> (64 - number) };
    mask << field_shift(point)
}

/// Why a value cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeFault {
    /// A text for a number, a fraction for an integer, a negative number for BCD, a scalar for an array.
    #[error("`{0}` cannot be written as this type")]
    Type(String),
    /// A text longer than the point.
    #[error("`{text}` has more than the {bytes} bytes of this string")]
    TooLong {
        /// What was to be written.
        text: String,
        /// How many bytes the point has.
        bytes: u16,
    },
    /// A list of another length than the point's `count`.
    #[error("{given} values do not fit the {count} elements of this array")]
    Count {
        /// How many were given.
        given: usize,
        /// How many the point has.
        count: u16,
    },
}

/// The registers (or bits) that hold `raw`. An integer too wide for the point gives its low bits (BCD: its low digits).
///
/// Of a point inside a word ([`ModbusPoint::bits`]) the other bits are 0: [`merge`] keeps what they were.
///
/// # Errors
/// Where the type cannot hold such a value.
pub fn encode(point: &ModbusPoint, raw: &Raw) -> Result<Vec<u16>, EncodeFault> {
    let Some(count) = point.count else {
        return encode_element(point, raw);
    };
    let Raw::List(items) = raw else {
        return Err(EncodeFault::Type(raw.text()));
    };
    if items.len() != usize::from(count) {
        return Err(EncodeFault::Count {
            given: items.len(),
            count,
        });
    }
    let mut words = Vec::with_capacity(usize::from(span(point)));
    for item in items {
        words.extend(encode_element(point, item)?);
    }
    Ok(words)
}

/// `new`, as [`encode`] made it, in the place of the point's bits in `old`; of points that are whole registers, and of text, just `new`.
#[must_use]
pub fn merge(point: &ModbusPoint, old: &[u16], new: &[u16]) -> Vec<u16> {
    if point.bits.is_none() || matches!(point.kind, ModbusType::Text(_)) || old.len() != new.len() {
        return new.to_vec();
    }
    let width = usize::from(point.kind.width()).clamp(1, 4);
    let mask = field_mask(point);
    old.chunks(width)
        .zip(new.chunks(width))
        .flat_map(|(old, new)| {
            let value = number(old, point.order) & !mask | number(new, point.order) & mask;
            to_words(value, point.kind.width(), point.order)
        })
        .collect()
}

fn encode_element(point: &ModbusPoint, raw: &Raw) -> Result<Vec<u16>, EncodeFault> {
    let fault = || EncodeFault::Type(raw.text());
    let width = point.kind.width();
    let value = match point.kind {
        ModbusType::Text(bytes) => return encode_text(raw, bytes, point.order),
        ModbusType::Bool => {
            raw.number().ok_or_else(fault)?;
            let bit = point.bits.map_or(0, |(lowest, _)| lowest);
            u64::from(raw.truth()).checked_shl(u32::from(bit)).unwrap_or(0)
        }
        ModbusType::F32 => u64::from(single(raw).ok_or_else(fault)?),
        ModbusType::F64 => double(raw).ok_or_else(fault)?,
        ModbusType::Bcd16 => whole(raw).and_then(|n| to_bcd(n, 4)).ok_or_else(fault)?,
        ModbusType::Bcd32 => whole(raw).and_then(|n| to_bcd(n, 8)).ok_or_else(fault)?,
        _ => {
            let low = whole(raw).ok_or_else(fault)? & i128::from(u64::MAX);
            let low = u64::try_from(low).map_err(|_| fault())?;
            if point.bits.is_some() {
                low << field_shift(point) & field_mask(point)
            } else {
                low
            }
        }
    };
    Ok(to_words(value, width, point.order))
}

fn whole(raw: &Raw) -> Option<i128> {
    raw.number().and_then(Decimal::to_i128)
}

fn single(raw: &Raw) -> Option<u32> {
    match raw {
        Raw::F32(bits) => Some(*bits),
        other => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "the register holds a single: rounding to it is the point"
            )]
            let value = other.number()?.to_f64() as f32;
            Some(value.to_bits())
        }
    }
}

fn double(raw: &Raw) -> Option<u64> {
    match raw {
        Raw::F64(bits) => Some(*bits),
        Raw::F32(bits) => Some(f64::from(f32::from_bits(*bits)).to_bits()),
        other => Some(other.number()?.to_f64().to_bits()),
    }
}

/// NUL behind what the text leaves free; a text with a NUL in it could not be read back.
fn encode_text(raw: &Raw, bytes: u16, order: WordOrder) -> Result<Vec<u16>, EncodeFault> {
    let text = raw.text();
    if matches!(raw, Raw::List(_)) || text.contains('\0') {
        return Err(EncodeFault::Type(text));
    }
    if text.len() > usize::from(bytes) {
        return Err(EncodeFault::TooLong { text, bytes });
    }
    let mut padded = text.into_bytes();
    padded.resize(usize::from(bytes.div_ceil(2)) * 2, 0);
    Ok(padded
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] if swaps_bytes(order) => u16::from_be_bytes([*low, *high]),
            [high, low] => u16::from_be_bytes([*high, *low]),
            _ => 0,
        })
        .collect())
}

#[cfg(test)]
mod tests;
