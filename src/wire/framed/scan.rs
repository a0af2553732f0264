//! What a scanned code says of itself: AIM identifiers, GS1 element strings, ISO 15434 envelopes, VINs.
//!
//! Owns the tables of these standards as far as units are named by them. A code that contradicts itself is an error, never
//! a guess; a code that does not say that it is GS1 is none.

mod table;

use table::{Length, format};

/// Between elements of variable length (FNC1 arrives as this).
const GS: char = '\u{1d}';
/// Between envelopes of ISO 15434.
const RS: char = '\u{1e}';
/// Behind a message of ISO 15434.
const EOT: char = '\u{4}';

/// The AIM identifier that a code begins with (ISO/IEC 15424: `]`, a letter, a modifier), and the code behind it.
#[must_use]
pub fn aim(text: &str) -> (Option<&str>, &str) {
    match text.as_bytes() {
        [b']', letter, modifier, ..] if letter.is_ascii_alphabetic() && modifier.is_ascii_alphanumeric() => {
            let (aim, code) = text.split_at_checked(3).unwrap_or(("", text));
            (Some(aim), code)
        }
        _ => (None, text),
    }
}

/// The kind of code in a word of the contract (`identification`.`symbology`), by its AIM identifier.
#[must_use]
pub fn symbology(aim: &str) -> &'static str {
    match aim.as_bytes() {
        [_, b'A', _] => "code39",
        [_, b'C', b'1'] => "gs1_128",
        [_, b'C', _] => "code128",
        [_, b'E', _] => "upc_ean",
        [_, b'e', _] => "gs1_databar",
        [_, b'F', _] => "codabar",
        [_, b'G', _] => "code93",
        [_, b'I', _] => "itf",
        [_, b'L', _] => "pdf417",
        [_, b'Q', b'3'] => "gs1_qr",
        [_, b'Q', _] => "qr",
        [_, b'U', _] => "maxicode",
        [_, b'd', b'2'] => "gs1_datamatrix",
        [_, b'd', _] => "datamatrix",
        _ => "other",
    }
}

/// The element strings of a GS1 code, in their order, by application identifier. `None`: it is no GS1 code, which it is
/// where `aim` says so, where it begins with FNC1 (as GS), or where it is written with brackets, `(01)…(21)…`.
///
/// # Errors
/// A sentence: it is a GS1 code, and contradicts itself.
pub fn gs1(code: &str, aim: Option<&str>) -> Result<Option<Vec<(String, String)>>, String> {
    let says = matches!(aim, Some("]C1" | "]d2" | "]Q3" | "]e0" | "]J1"));
    if bracketed(code).is_some() {
        return elements_in_brackets(code).map(Some);
    }
    if !says && !code.starts_with(GS) {
        return Ok(None);
    }
    elements(code).map(Some)
}

/// Elements one behind the other.
fn elements(code: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut rest = code.trim_matches(GS);
    while !rest.is_empty() {
        let (ai, format) = format(rest).ok_or_else(|| {
            let shown: String = rest.chars().take(4).collect();
            format!(
                "the GS1 code has `{}` where an application identifier should be",
                shown.escape_default()
            )
        })?;
        let body = rest.get(ai.len()..).unwrap_or_default();
        let until = body.find(GS).unwrap_or(body.len());
        let length = match format.length {
            Length::Fixed(length) => length,
            Length::Upto(_) => until,
        };
        let value = body
            .get(..length)
            .filter(|_| length <= until)
            .ok_or_else(|| format!("({ai}) of the GS1 code is too short: it has {length} characters"))?;
        // A separator behind an element of fixed length is not needed, and does no harm.
        rest = body.get(length..).unwrap_or_default();
        rest = rest.strip_prefix(GS).unwrap_or(rest);
        take(&mut found, ai, &format, value)?;
    }
    if found.is_empty() {
        return Err("the GS1 code is empty".to_owned());
    }
    Ok(found)
}

/// `(ai)`, and what is behind it.
fn bracketed(text: &str) -> Option<(&str, &str)> {
    let (ai, rest) = text.strip_prefix('(')?.split_once(')')?;
    let digits = ai.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (2..=4).contains(&ai.len())).then_some((ai, rest))
}

/// Elements as they are printed.
fn elements_in_brackets(code: &str) -> Result<Vec<(String, String)>, String> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some((ai, body)) = bracketed(rest) {
        let known = format(ai).filter(|(of, _)| of.len() == ai.len());
        let (ai, format) = known.ok_or_else(|| format!("({ai}) of the GS1 code is no application identifier"))?;
        let next = body
            .match_indices('(')
            .map(|(at, _)| at)
            .find(|at| body.get(*at..).is_some_and(|text| bracketed(text).is_some()))
            .unwrap_or(body.len());
        let (value, behind) = body.split_at_checked(next).unwrap_or((body, ""));
        take(&mut found, ai, &format, value)?;
        rest = behind;
    }
    Ok(found)
}

/// Takes an element up, once it is what its identifier says.
fn take(found: &mut Vec<(String, String)>, ai: &str, format: &table::Format, value: &str) -> Result<(), String> {
    let length = value.chars().count();
    let shown = value.escape_default();
    match format.length {
        Length::Fixed(wanted) if length != wanted => {
            return Err(format!(
                "({ai}) of the GS1 code is `{shown}`, and not {wanted} characters long"
            ));
        }
        Length::Upto(most) if length < format.least || length > most => {
            let least = format.least;
            return Err(format!(
                "({ai}) of the GS1 code is `{shown}`: it has {least} to {most} characters"
            ));
        }
        _ => {}
    }
    if value.chars().take(format.digits).any(|c| !c.is_ascii_digit()) {
        return Err(format!("({ai}) of the GS1 code is `{shown}`, and not a number"));
    }
    if value.chars().any(char::is_control) {
        return Err(format!(
            "({ai}) of the GS1 code is `{shown}`: control characters cannot be in it"
        ));
    }
    match found.iter().find(|(of, _)| of == ai) {
        Some((_, before)) if before != value => Err(format!(
            "the GS1 code has ({ai}) twice: `{}` and `{shown}`",
            before.escape_default()
        )),
        Some(_) => Ok(()),
        None => {
            found.push((ai.to_owned(), value.to_owned()));
            Ok(())
        }
    }
}

/// The fields of a code with an ISO 15434 envelope of format 06 (data identifiers, ANSI MH10.8.2), in their order.
/// `None`: it has no such envelope. The message trailer may be missing, scanners take it off.
///
/// # Errors
/// A sentence: it has an envelope, and contradicts itself.
pub fn iso15434(code: &str) -> Result<Option<Vec<(String, String)>>, String> {
    let Some(message) = code.strip_prefix("[)>") else {
        return Ok(None);
    };
    let message = message
        .strip_prefix(RS)
        .ok_or("the code begins like ISO 15434, without the separator (RS) behind `[)>`")?;
    let message = message.strip_suffix(EOT).unwrap_or(message);
    let mut found: Option<Vec<(String, String)>> = None;
    for envelope in message.split(RS).filter(|envelope| !envelope.is_empty()) {
        let Some(fields) = envelope.strip_prefix("06").and_then(|rest| rest.strip_prefix(GS)) else {
            continue;
        };
        let found = found.get_or_insert_default();
        for field in fields.split(GS).filter(|field| !field.is_empty()) {
            let at = field.find(|c: char| !c.is_ascii_digit()).filter(|at| *at <= 3);
            let letter = at.filter(|at| field.as_bytes().get(*at).is_some_and(u8::is_ascii_uppercase));
            let (di, value) = letter
                .and_then(|at| field.split_at_checked(at + 1))
                .ok_or_else(|| format!("`{}` of the code has no data identifier", field.escape_default()))?;
            if value.is_empty() || value.chars().any(char::is_control) {
                return Err(format!(
                    "{di} of the code is `{}`, which is no value",
                    value.escape_default()
                ));
            }
            match found.iter().find(|(of, _)| of == di) {
                Some((_, before)) if before != value => {
                    return Err(format!(
                        "the code has {di} twice: `{}` and `{}`",
                        before.escape_default(),
                        value.escape_default()
                    ));
                }
                Some(_) => {}
                None => found.push((di.to_owned(), value.to_owned())),
            }
        }
    }
    Ok(found)
}

/// The VIN in a code: 17 characters; labels put an `I` before it (MH10.8.2), which is taken off. `None`: it is none.
#[must_use]
pub fn vin(code: &str) -> Option<&str> {
    let code = code.trim();
    let plain = code.strip_prefix('I').filter(|rest| rest.len() == 17).unwrap_or(code);
    vin_is_valid(plain, false).then_some(plain)
}

/// Whether it is a VIN: 17 capitals and digits without I, O and Q (ISO 3779). `check_digit`: also position 9 must be right,
/// which only North America demands (49 CFR 565).
#[must_use]
pub fn vin_is_valid(text: &str, check_digit: bool) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let values: Option<Vec<u32>> = text.bytes().map(vin_value).collect();
    let Some(values) = values.filter(|values| values.len() == 17) else {
        return false;
    };
    if !check_digit {
        return true;
    }
    let sum: u32 = values.iter().zip(WEIGHTS).map(|(value, weight)| value * weight).sum();
    let wanted = match sum % 11 {
        10 => Some('X'),
        digit => char::from_digit(digit, 10),
    };
    text.chars().nth(8) == wanted
}

/// What a character of a VIN counts (49 CFR 565.15, table IV); `None`: it cannot be in one.
fn vin_value(byte: u8) -> Option<u32> {
    Some(match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        b'A' | b'J' => 1,
        b'B' | b'K' | b'S' => 2,
        b'C' | b'L' | b'T' => 3,
        b'D' | b'M' | b'U' => 4,
        b'E' | b'N' | b'V' => 5,
        b'F' | b'W' => 6,
        b'G' | b'P' | b'X' => 7,
        b'H' | b'Y' => 8,
        b'R' | b'Z' => 9,
        _ => return None,
    })
}
