//! The text of a frame: patterns, columns, numbers.
//!
//! Owns how a point is read out of a frame. Does not own which frames are whole ([`super::framer`]).

use super::scan;
use crate::model::plan::{Address, FramePlace, FramePoint, ParsePlan, PointIx, PointPlan, TextKind};
use crate::model::{Decimal, Raw};
use crate::wire::escaped;
use regex::Regex;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

/// Takes frames apart as a profile says.
#[derive(Debug, Clone)]
pub struct Parser {
    pattern: Option<Regex>,
    ignore: Option<Regex>,
    separator: Option<Arc<str>>,
}

/// A frame as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameText {
    /// What stands between start and end.
    pub content: String,
    /// The content is no UTF-8; each byte was taken for a character of ISO 8859-1.
    pub not_text: bool,
    /// Whether it fits the pattern, where there is one.
    pub fits: bool,
    whole: Vec<u8>,
    groups: Vec<(String, String)>,
}

impl FrameText {
    fn group(&self, name: &str) -> Option<&str> {
        let found = self.groups.iter().find(|(of, _)| of == name);
        found.map(|(_, text)| text.as_str())
    }
}

impl Parser {
    /// # Errors
    /// A sentence: which pattern cannot be understood, and why.
    pub fn new(parse: &ParsePlan) -> Result<Self, String> {
        let regex = |key: &str, text: &Option<Arc<str>>| {
            text.as_ref()
                .map(|text| Regex::new(text).map_err(|fault| format!("`{key}`: {fault}")))
                .transpose()
        };
        if parse.separator.as_ref().is_some_and(|text| text.is_empty()) {
            return Err("`separator` is empty: write what stands between two columns, \",\"".to_owned());
        }
        Ok(Self {
            pattern: regex("pattern", &parse.pattern)?,
            ignore: regex("ignore", &parse.ignore)?,
            separator: parse.separator.clone(),
        })
    }

    /// The named groups of the pattern, in its order: each is a point.
    #[must_use]
    pub fn groups(&self) -> Vec<String> {
        let names = self.pattern.iter().flat_map(Regex::capture_names);
        names.flatten().map(str::to_owned).collect()
    }

    /// Whether frames like this are turned away.
    #[must_use]
    pub fn ignores(&self, frame: &FrameText) -> bool {
        self.ignore
            .as_ref()
            .is_some_and(|ignore| ignore.is_match(&frame.content))
    }

    /// Takes a frame apart: `content` between start and end, and the `whole` as on the wire.
    #[must_use]
    pub fn parse(&self, content: &[u8], whole: &[u8]) -> FrameText {
        let (content, not_text) = text(content);
        let captures = self
            .pattern
            .as_ref()
            .map(|pattern| (pattern, pattern.captures(&content)));
        let mut groups = Vec::new();
        if let Some((pattern, Some(captures))) = &captures {
            for name in pattern.capture_names().flatten() {
                if let Some(group) = captures.name(name) {
                    groups.push((name.to_owned(), group.as_str().to_owned()));
                }
            }
        }
        let fits = captures.is_none_or(|(_, captures)| captures.is_some());
        FrameText {
            content,
            not_text,
            fits,
            whole: whole.to_vec(),
            groups,
        }
    }

    /// Why a frame is none of this device's, where it does not fit the pattern: a sentence.
    #[must_use]
    pub fn misfit(&self, frame: &FrameText) -> Option<String> {
        let pattern = self.pattern.as_ref().filter(|_| !frame.fits)?;
        let shown = escaped(frame.content.as_bytes());
        Some(format!("`{shown}` does not match `pattern` ({pattern})"))
    }

    /// What all points of a frame say, by point, and which of them cannot be read: a number that is none, a code that
    /// contradicts itself. Each fault is a sentence.
    #[must_use]
    pub fn values(&self, points: &[PointPlan], frame: &FrameText) -> (Vec<Option<Raw>>, Vec<(PointIx, String)>) {
        let mut faults = Vec::new();
        let read = |(index, point): (PointIx, &PointPlan)| {
            let Address::Frame(at) = &point.at else { return None };
            match self.read(at, frame) {
                Ok(value) => value,
                // A word that means "no value" need not be a number.
                Err(fault) => match self.text(&at.place, frame) {
                    Ok(Some(text)) if no_value(point, text.trim()) => Some(Raw::Text(text.trim().to_owned())),
                    _ => {
                        faults.push((index, format!("`{}`: {fault}", point.name)));
                        None
                    }
                },
            }
        };
        let values = points.iter().enumerate().map(read).collect();
        (values, faults)
    }

    /// The text of a point as it stands in the frame, whatever it is.
    #[must_use]
    pub fn shown(&self, point: &PointPlan, frame: &FrameText) -> Option<String> {
        let Address::Frame(at) = &point.at else { return None };
        self.text(&at.place, frame).ok().flatten()
    }

    /// What a point says; `None`: it is not there.
    ///
    /// # Errors
    /// A sentence: it is there, and cannot be read.
    pub fn read(&self, point: &FramePoint, frame: &FrameText) -> Result<Option<Raw>, String> {
        match self.text(&point.place, frame)? {
            Some(text) => number(point.kind, &text),
            None => Ok(None),
        }
    }

    /// The text of a point, as it stands there.
    ///
    /// # Errors
    /// A sentence: the code that it is in contradicts itself.
    pub fn text(&self, place: &FramePlace, frame: &FrameText) -> Result<Option<String>, String> {
        let (aim, code) = Self::scanned(frame);
        Ok(match place {
            FramePlace::Whole => Some(frame.content.clone()),
            FramePlace::Aim => aim.map(str::to_owned),
            FramePlace::Symbology => aim.map(|aim| scan::symbology(aim).to_owned()),
            FramePlace::Code => Some(code.to_owned()),
            FramePlace::Gs1All => scan::gs1(code, aim)?.map(|elements| {
                let members = elements.into_iter().map(|(ai, value)| (ai, value.into()));
                serde_json::Value::Object(members.collect()).to_string()
            }),
            FramePlace::Gs1(ai) => scan::gs1(code, aim)?
                .and_then(|elements| elements.into_iter().find(|(of, _)| **of == **ai))
                .map(|(_, value)| value),
            FramePlace::Vin { check_digit } => {
                let fields = scan::iso15434(code)?;
                let within = fields.and_then(|fields| fields.into_iter().find(|(of, _)| of == "I"));
                let text = within.map_or_else(|| code.to_owned(), |(_, value)| value);
                let vin = scan::vin(&text).filter(|vin| scan::vin_is_valid(vin, *check_digit));
                vin.map(str::to_owned)
            }
            FramePlace::DataIdentifier(di) => scan::iso15434(code)?
                .and_then(|fields| fields.into_iter().find(|(of, _)| **of == **di))
                .map(|(_, value)| value),
            FramePlace::Columns(from, to) => from
                .checked_sub(1)
                .filter(|from| from < to)
                .and_then(|from| frame.whole.get(from..*to))
                .map(|bytes| text(bytes).0),
            FramePlace::Column(number) => match (&self.separator, number.checked_sub(1)) {
                (Some(separator), Some(at)) => frame.content.split(&**separator).nth(at).map(str::to_owned),
                (None, Some(0)) => Some(frame.content.clone()),
                _ => None,
            },
            FramePlace::Group(name) => frame.group(name).map(str::to_owned),
        })
    }

    /// Where in `content` a part stands, in bytes, behind a start of so many; `None`: it is not there, or is not one place (an
    /// element of a scanned code).
    #[must_use]
    pub fn span(&self, place: &FramePlace, start: usize, content: &str) -> Option<Range<usize>> {
        let found = match place {
            FramePlace::Whole => 0..content.len(),
            FramePlace::Columns(from, to) => from.checked_sub(1 + start)?..to.checked_sub(start)?,
            FramePlace::Column(number) => {
                let separator = self.separator.as_deref()?;
                let before: usize = content
                    .split(separator)
                    .take(number.checked_sub(1)?)
                    .map(|part| part.len() + separator.len())
                    .sum();
                let part = content.split(separator).nth(number.checked_sub(1)?)?;
                before..before + part.len()
            }
            FramePlace::Group(name) => self.group_span(name, content)?,
            FramePlace::Code => {
                let group = self.group_span("code", content).unwrap_or(0..content.len());
                let (aim, _) = scan::aim(content.get(group.clone())?);
                group.start + aim.map_or(0, str::len)..group.end
            }
            FramePlace::Aim
            | FramePlace::Symbology
            | FramePlace::Gs1(_)
            | FramePlace::Gs1All
            | FramePlace::Vin { .. }
            | FramePlace::DataIdentifier(_) => return None,
        };
        content.get(found.clone()).map(|_| found)
    }

    fn group_span(&self, name: &str, content: &str) -> Option<Range<usize>> {
        let captures = self.pattern.as_ref()?.captures(content)?;
        captures.name(name).map(|group| group.range())
    }

    /// AIM identifier and code: groups `aim` and `code` of the pattern where it has them.
    fn scanned(frame: &FrameText) -> (Option<&str>, &str) {
        let of = frame.group("code").unwrap_or(&frame.content);
        let (aim, code) = scan::aim(of);
        let named = frame.group("aim").filter(|aim| scan::aim(aim).0.is_some());
        (named.or(aim), code)
    }
}

/// Bytes as UTF-8, or else each as a character of ISO 8859-1, so that nothing is lost; and whether it is the latter.
fn text(bytes: &[u8]) -> (String, bool) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), false),
        Err(_) => (bytes.iter().copied().map(char::from).collect(), true),
    }
}

fn no_value(point: &PointPlan, text: &str) -> bool {
    point
        .invalid
        .iter()
        .any(|no| matches!(no, Raw::Text(no) if no.trim() == text))
}

fn number(kind: TextKind, text: &str) -> Result<Option<Raw>, String> {
    if kind == TextKind::Text {
        return Ok(Some(Raw::Text(text.to_owned())));
    }
    let trimmed = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    // `---.--`: fields that are not in use.
    if trimmed.chars().all(|c| matches!(c, '-' | '.' | '_' | ' ')) {
        return Ok(None);
    }
    let fault = || format!("`{}` is no {}", escaped(trimmed.as_bytes()), word(kind));
    // Gauges put blanks between sign and digits.
    let (negative, digits) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed).trim_start()),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(fault());
    }
    let signed = if negative {
        format!("-{digits}")
    } else {
        digits.to_owned()
    };
    let raw = match kind {
        TextKind::Text => None,
        TextKind::Decimal => Decimal::from_str(&signed).ok().map(Raw::Dec),
        TextKind::Bool => match signed.as_str() {
            "0" => Some(Raw::Bool(false)),
            "1" => Some(Raw::Bool(true)),
            _ => None,
        },
        TextKind::U16 => signed.parse::<u16>().ok().map(|value| Raw::Int(value.into())),
        TextKind::I16 => signed.parse::<i16>().ok().map(|value| Raw::Int(value.into())),
        TextKind::U32 => signed.parse::<u32>().ok().map(|value| Raw::Int(value.into())),
        TextKind::I32 => signed.parse::<i32>().ok().map(|value| Raw::Int(value.into())),
        TextKind::U64 => signed
            .parse::<u64>()
            .ok()
            .map(|value| i64::try_from(value).map_or(Raw::Big(value), Raw::Int)),
        TextKind::I64 => signed.parse().ok().map(Raw::Int),
    };
    raw.map(Some).ok_or_else(fault)
}

/// The word of `type = …`.
const fn word(kind: TextKind) -> &'static str {
    match kind {
        TextKind::Text => "text",
        TextKind::Decimal => "decimal",
        TextKind::Bool => "bool",
        TextKind::U16 => "u16",
        TextKind::I16 => "i16",
        TextKind::U32 => "u32",
        TextKind::I32 => "i32",
        TextKind::U64 => "u64",
        TextKind::I64 => "i64",
    }
}
