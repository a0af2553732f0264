//! Variable data fields (PIDs), and MID 1201 with its 1202s (specification 6.3 to 6.5).
//!
//! Owns their types and how results are joined. Names and units are data ([`super::tables::pids`]).

use super::decode::{is_blank, is_time, lossy, whole};
use super::tables::{codes, pids};
use super::{Decoded, Fault, Field, Telegram};
use crate::model::{Decimal, Raw};
use std::borrow::Cow;

/// Characters of one element of an array.
const ELEMENT: usize = 8;

/// One variable data field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PidValue {
    /// Its number.
    pub number: u32,
    /// Its data type, 01 to 90.
    pub kind: u16,
    /// Its unit code; 0 is none.
    pub unit: u16,
    /// The step of the tightening it belongs to; 0 is the whole.
    pub step: u16,
    /// What stood there.
    pub text: String,
    /// What that is; `None` where blank or not of its type.
    pub value: Option<Raw>,
}

/// Reads digits as a count and goes on behind them; blanks are 0.
pub(super) fn count(mid: u16, data: &[u8], at: &mut usize, width: usize, what: &'static str) -> Result<usize, Fault> {
    let bytes = take(mid, data, at, width, what)?;
    if is_blank(bytes) {
        return Ok(0);
    }
    let number = whole(bytes).and_then(|n| usize::try_from(n).ok());
    number.ok_or_else(|| Fault::Unreadable {
        mid,
        what,
        text: crate::wire::escaped(bytes),
    })
}

/// The next bytes.
pub(super) fn take<'a>(
    mid: u16,
    data: &'a [u8],
    at: &mut usize,
    width: usize,
    name: &'static str,
) -> Result<&'a [u8], Fault> {
    let need = at.saturating_add(width);
    let bytes = data.get(*at..need).ok_or(Fault::Truncated {
        mid,
        revision: 1,
        name,
        need,
        have: data.len(),
    })?;
    *at = need;
    Ok(bytes)
}

/// Reads a block: how many, then each with its own length.
///
/// # Errors
/// It ends inside a field, or a number, length, type, unit or step is none.
pub(super) fn read(mid: u16, data: &[u8], at: &mut usize) -> Result<Vec<PidValue>, Fault> {
    let many = count(mid, data, at, 3, "count of variable data fields")?;
    let mut out = Vec::with_capacity(many.min(999));
    for _ in 0..many {
        let number = count(mid, data, at, 5, "PID")?;
        let length = count(mid, data, at, 3, "length of a variable data field")?;
        let kind = count(mid, data, at, 2, "data type of a variable data field")?;
        let unit = count(mid, data, at, 3, "unit of a variable data field")?;
        let step = count(mid, data, at, 4, "step of a variable data field")?;
        let bytes = take(mid, data, at, length, "value of a variable data field")?;
        let kind = u16::try_from(kind).unwrap_or(0);
        out.push(PidValue {
            number: u32::try_from(number).unwrap_or(0),
            kind,
            unit: u16::try_from(unit).unwrap_or(0),
            step: u16::try_from(step).unwrap_or(0),
            text: lossy(bytes),
            value: value(kind, bytes),
        });
    }
    Ok(out)
}

/// A value of a data type; `None` where it is none of it.
pub(super) fn value(kind: u16, bytes: &[u8]) -> Option<Raw> {
    let text = lossy(bytes);
    let text = text.trim_matches([' ', '\0']);
    if text.is_empty() {
        return None;
    }
    match kind {
        1 | 2 => integer(text),
        3 | 90 => text.parse().ok().map(Raw::Dec),
        5 => is_time(text).then(|| Raw::Text(text.to_owned())),
        6 => match text {
            "1" => Some(Raw::Bool(true)),
            "0" => Some(Raw::Bool(false)),
            _ => None,
        },
        50..=52 => bytes
            .chunks(ELEMENT)
            .map(|chunk| {
                let text = lossy(chunk);
                let text = text.trim();
                if kind == 50 {
                    text.parse::<Decimal>().ok().map(Raw::Dec)
                } else {
                    integer(text)
                }
            })
            .collect::<Option<Vec<Raw>>>()
            .map(Raw::List),
        // Text, hexadecimal, plot points, and types that nobody knows.
        _ => Some(Raw::Text(text.to_owned())),
    }
}

fn integer(text: &str) -> Option<Raw> {
    let small = text.parse::<i64>().ok().map(Raw::Int);
    small.or_else(|| text.parse::<u64>().ok().map(Raw::Big))
}

/// Puts PIDs into fields: each as `pid_N` (of the whole, else of the last step), those of single steps also as
/// `pid_N_step_S`, and where `named` those with a meaning by its name too, unless the telegram has it already.
pub(super) fn fields(values: &[PidValue], named: bool, out: &mut Vec<Field>, unknown: &mut Vec<(String, String)>) {
    for (index, pid) in values.iter().enumerate() {
        let Some(value) = &pid.value else {
            let text = pid.text.trim_matches([' ', '\0', '-']);
            if !text.is_empty() {
                unknown.push((format!("pid_{}", pid.number), pid.text.trim().to_owned()));
            }
            continue;
        };
        let uom = pids::unit(pid.unit);
        let field = |name: Cow<'static, str>, value: Raw| Field { name, value, uom };
        if pid.step > 0 {
            let name = format!("pid_{}_step_{}", pid.number, pid.step);
            out.push(field(name.into(), value.clone()));
        }
        let others = || {
            values
                .iter()
                .enumerate()
                .filter(|(_, o)| o.number == pid.number && o.value.is_some())
        };
        let whole = others().find(|(_, o)| o.step == 0);
        let chosen = whole.or_else(|| others().next_back()).map(|(index, _)| index);
        if chosen != Some(index) {
            continue;
        }
        out.push(field(format!("pid_{}", pid.number).into(), value.clone()));
        let Some(known) = pids::named(pid.number).filter(|_| named) else {
            continue;
        };
        if out.iter().any(|f| f.name == known.name) {
            continue;
        }
        match meaning(known, pid, value) {
            Some(value) => out.push(field(Cow::Borrowed(known.name), value)),
            None => unknown.push((known.name.to_owned(), pid.text.trim().to_owned())),
        }
    }
    // A code that says "does not apply" is nothing unknown.
    unknown
        .retain(|(name, text)| !(name == "batch_status" && codes::BATCH.silent.contains(&text.parse().unwrap_or(-1))));
}

/// The value by its meaning: a code in words, an error word as a number.
fn meaning(known: &pids::Pid, pid: &PidValue, value: &Raw) -> Option<Raw> {
    let code = || match value {
        Raw::Int(code) => Some(*code),
        Raw::Bool(bit) => Some(i64::from(*bit)),
        Raw::Text(text) => text.parse().ok(),
        _ => None,
    };
    if let Some(words) = known.words {
        return words.word(code()?).map(|word| Raw::Text(word.to_owned()));
    }
    if known.name.starts_with("tightening_error_status") && pid.kind == 7 {
        let digits = pid.text.trim();
        let digits = digits.strip_prefix("0x").unwrap_or(digits);
        return i64::from_str_radix(digits, 16).ok().map(Raw::Int);
    }
    Some(value.clone())
}

/// One result out of a decoded 1201 and the decoded 1202s of its objects.
///
/// With one object its fields stand beside those of the 1201, which has the last word only where the object says
/// nothing. With several each object is one list of `spindles`, and the common part is that of the 1201.
#[must_use]
pub fn join(overall: &Decoded, objects: &[Decoded]) -> Decoded {
    let mut out = overall.clone();
    if overall.get("result_type").is_none() && overall.get("pid_30201").is_none() {
        // That it was a tightening is only assumed so far: the object may know better.
        out.fields.retain(|f| f.name != "kind");
    }
    for object in objects {
        out.unknown.extend(object.unknown.iter().cloned());
    }
    if let [object] = objects {
        for field in &object.fields {
            if matches!(&*field.name, "message_count" | "message_number") {
                continue;
            }
            // The id of the whole gives way to the one that the object names.
            let weak = |f: &Field| f.name == field.name && is_weak(overall, f);
            match out.fields.iter_mut().find(|f| f.name == field.name) {
                Some(before) if weak(before) => *before = field.clone(),
                Some(_) => {}
                None => out.fields.push(field.clone()),
            }
        }
    } else {
        out.spindles = objects.iter().map(|object| object.fields.clone()).collect();
    }
    super::derive::result(&mut out);
    out
}

/// A tightening id that only repeats the result id.
fn is_weak(overall: &Decoded, field: &Field) -> bool {
    field.name == "tightening_id" && overall.get("result_id") == Some(&field.value)
}

/// Of a 1201 or 1202: how many telegrams the result has, the number of this one, and its result id.
///
/// # Errors
/// It is neither, or too short, or the numbers are none.
pub fn place(telegram: &Telegram) -> Result<(u16, u16, String), Fault> {
    let mid = telegram.mid();
    if !matches!(mid, 1201 | 1202) {
        return Err(Fault::NoLayout {
            mid,
            revision: telegram.revision(),
        });
    }
    let mut at = 0;
    let total = count(mid, &telegram.data, &mut at, 3, "total of messages")?;
    let number = count(mid, &telegram.data, &mut at, 3, "number of a message")?;
    let id = lossy(take(mid, &telegram.data, &mut at, 10, "result_id")?);
    let small = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    Ok((small(total), small(number), id.trim().to_owned()))
}
