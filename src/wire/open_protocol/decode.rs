//! From a telegram to named values.
//!
//! Owns what a blank, a sentinel and an unknown parameter become. Layouts are data ([`super::tables`]); what follows from
//! other fields is [`super::derive`]'s.

use super::layout::{Kind, Layout, Param, Words};
use super::tables::{self, codes};
use super::{Fault, Telegram, Trace, TraceOrder, derive, trace, variable};
use crate::model::{Decimal, Raw};
use std::borrow::Cow;

/// "No limit" of a torque, in hundredths.
const NO_TORQUE_LIMIT: i64 = 999_900;
/// "No limit" of an angle.
const NO_ANGLE_LIMIT: i64 = 9_999;
/// Torque without a unit field.
const NEWTON_METRE: &str = "N.m";

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

impl Field {
    /// A field without a unit of measure.
    pub(super) fn plain(name: impl Into<Cow<'static, str>>, value: Raw) -> Self {
        Self {
            name: name.into(),
            value,
            uom: None,
        }
    }
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
    /// 0101 and 0091: the values of each spindle. Joined 1201 and 1202: those of each object.
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
        self.field(name).map(|f| &f.value)
    }

    /// The field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    /// The whole number of this name.
    pub(super) fn whole(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Raw::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The word of this name.
    pub(super) fn word(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Raw::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Adds a field that follows from others, where the telegram has none of this name itself.
    pub(super) fn add(&mut self, name: &'static str, value: Raw) {
        if self.get(name).is_none() {
            self.fields.push(Field::plain(name, value));
        }
    }
}

/// Reads a telegram. An unknown MID has no fields, and its data as `unknown`.
/// A trace (0900) is read with little-endian samples; [`super::trace::decode`] takes the order.
///
/// # Errors
/// It ends inside a field, or a count in it cannot be read.
pub fn decode(telegram: &Telegram) -> Result<Decoded, Fault> {
    let mut out = Decoded {
        mid: telegram.mid(),
        revision: telegram.revision().max(1),
        ..Decoded::default()
    };
    if out.mid == super::header::TRACE {
        let curve = trace::decode(telegram, TraceOrder::Little)?;
        out.fields.clone_from(&curve.fields);
        out.trace = Some(curve);
        return Ok(out);
    }
    let Some(layout) = tables::layout(out.mid, out.revision) else {
        if !telegram.data.is_empty() {
            out.unknown.push((format!("{:04}", out.mid), lossy(&telegram.data)));
        }
        return Ok(out);
    };
    Reader {
        layout,
        data: &telegram.data,
        at: 0,
        torques: Vec::new(),
        out: &mut out,
    }
    .read()?;
    derive::derive(&mut out);
    Ok(out)
}

/// Walks along a layout.
struct Reader<'a> {
    layout: &'static Layout,
    data: &'a [u8],
    at: usize,
    /// Which fields are in the telegram's torque uom.
    torques: Vec<usize>,
    out: &'a mut Decoded,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        self.data.get(self.at..).unwrap_or_default()
    }

    fn read(mut self) -> Result<(), Fault> {
        let params: Vec<&Param> = self.layout.of(self.out.revision).collect();
        let mut skipping = false;
        for (index, param) in params.iter().enumerate() {
            if skipping && param.id.is_empty() {
                continue;
            }
            skipping = false;
            let rest = self.rest();
            if index == 0 && rest.is_empty() {
                return Err(self.truncated(param.name, param.id.len() + param.width));
            }
            // Behind the last parameter that the controller knows there is nothing, or blanks.
            if index > 0 && rest.iter().all(|b| *b == b' ') {
                self.at = self.data.len();
                break;
            }
            if !param.id.is_empty() {
                let later = params.get(index + 1..).unwrap_or_default();
                let id = rest.get(..2).unwrap_or_default();
                if id == b"  " && rest.get(..2 + param.width).is_some_and(is_blank) {
                    self.at += 2 + param.width;
                    continue;
                }
                if id != param.id.as_bytes() {
                    if !later.iter().any(|p| !p.id.is_empty() && p.id.as_bytes() == id) {
                        break;
                    }
                    skipping = true;
                    continue;
                }
                self.at += 2;
            }
            self.one(param, index + 1 == params.len())?;
        }
        let rest = lossy(self.rest());
        if !rest.trim().is_empty() {
            let with_ids = self.layout.params.iter().any(|p| !p.id.is_empty());
            let (id, text) = match rest.get(..2) {
                Some(id) if with_ids => (id.to_owned(), rest.get(2..).unwrap_or_default().to_owned()),
                _ => (String::new(), rest),
            };
            self.out.unknown.push((id, text));
        }
        if let Some(Raw::Text(word)) = self.out.get("torque_values_unit") {
            let uom = codes::TORQUE_UOM.words.iter().find(|known| *known == word).copied();
            for index in &self.torques {
                if let Some(field) = self.out.fields.get_mut(*index) {
                    field.uom = uom;
                }
            }
        }
        Ok(())
    }

    fn truncated(&self, name: &'static str, width: usize) -> Fault {
        Fault::Truncated {
            mid: self.out.mid,
            revision: self.out.revision,
            name,
            need: self.at.saturating_add(width),
            have: self.data.len(),
        }
    }

    /// Bytes of a value; of the last text of a telegram what there is.
    fn bytes(&mut self, param: &Param, last: bool) -> Result<&'a [u8], Fault> {
        let rest = self.rest();
        let width = match param.kind {
            Kind::Rest => rest.len(),
            Kind::Text if last => param.width.min(rest.len()),
            _ => param.width,
        };
        let value = rest.get(..width).filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| self.truncated(param.name, param.width))?;
        self.at += width;
        Ok(value)
    }

    fn one(&mut self, param: &'static Param, last: bool) -> Result<(), Fault> {
        match param.kind {
            Kind::SpindleStates => self.spindles(param.name, SPINDLE_STATE),
            Kind::SpindleResults => self.spindles(param.name, SPINDLE_RESULT),
            Kind::Stages => self.stages(),
            Kind::Objects(width) => self.objects(width),
            Kind::Pids => self.pids(),
            _ => {
                let value = self.bytes(param, last)?;
                let torque = matches!(param.kind, Kind::Torque | Kind::TorqueLimit);
                match value_of(param.kind, param.name, value) {
                    Got::Absent => {}
                    Got::Field(field) => {
                        if torque {
                            self.torques.push(self.out.fields.len());
                        }
                        self.out.fields.push(field);
                    }
                    Got::Strange(text) => self.out.unknown.push((param.name.to_owned(), text)),
                }
                Ok(())
            }
        }
    }

    /// As many entries as were counted before, each of these parameters.
    fn spindles(&mut self, name: &'static str, entry: &'static [Param]) -> Result<(), Fault> {
        let width: usize = entry.iter().map(|p| p.width).sum();
        let fits = self.rest().len() / width;
        let count = match self.out.whole("spindle_count") {
            Some(count) => usize::try_from(count).unwrap_or(0),
            None => fits,
        };
        if count > fits {
            return Err(self.truncated(name, count.saturating_mul(width)));
        }
        for _ in 0..count {
            let mut fields = Vec::with_capacity(entry.len());
            for param in entry {
                let value = self.bytes(param, false)?;
                match value_of(param.kind, param.name, value) {
                    Got::Absent => {}
                    Got::Field(field) => fields.push(field),
                    Got::Strange(text) => self.out.unknown.push((param.name.to_owned(), text)),
                }
            }
            self.out.spindles.push(fields);
        }
        Ok(())
    }

    /// Torque and angle of each stage, as two lists.
    fn stages(&mut self) -> Result<(), Fault> {
        let fits = self.rest().len() / STAGE;
        let count = match self.out.whole("number_of_stage_results") {
            Some(count) => usize::try_from(count).unwrap_or(0),
            None => fits,
        };
        if count > fits {
            return Err(self.truncated("stages", count.saturating_mul(STAGE)));
        }
        let (mut torques, mut angles) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let entry = self.rest().get(..STAGE).unwrap_or_default();
            self.at += STAGE;
            let (torque, angle) = entry.split_at(6.min(entry.len()));
            // A list has no holes: what is none is 0.
            torques.push(Raw::Dec(Decimal::new(i128::from(whole(torque).unwrap_or(0)), 2)));
            angles.push(Raw::Int(whole(angle).unwrap_or(0)));
        }
        if count > 0 {
            self.torques.push(self.out.fields.len());
            self.out.fields.push(Field {
                uom: Some(NEWTON_METRE),
                ..Field::plain("stage_torques", Raw::List(torques))
            });
            self.out.fields.push(Field {
                uom: Some("deg"),
                ..Field::plain("stage_angles", Raw::List(angles))
            });
        }
        Ok(())
    }

    /// 1201: ids and statuses of the objects, as lists.
    fn objects(&mut self, width: usize) -> Result<(), Fault> {
        let count = variable::count(self.out.mid, self.data, &mut self.at, 3, "objects")?;
        let (mut ids, mut statuses) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let Some(entry) = self.rest().get(..width) else {
                return Err(self.truncated("objects", width));
            };
            self.at += width;
            ids.push(Raw::Int(entry.get(..4).and_then(whole).unwrap_or(0)));
            let status = entry.get(4..5).and_then(whole);
            let word = status.and_then(|code| codes::VERDICT.word(code)).unwrap_or("undecided");
            statuses.push(Raw::Text(word.to_owned()));
        }
        if count > 0 {
            self.out.fields.push(Field::plain("object_ids", Raw::List(ids)));
            self.out
                .fields
                .push(Field::plain("object_statuses", Raw::List(statuses)));
        }
        Ok(())
    }

    fn pids(&mut self) -> Result<(), Fault> {
        let mid = self.out.mid;
        let values = variable::read(mid, self.data, &mut self.at)?;
        let named = matches!(mid, 1201 | 1202);
        variable::fields(&values, named, &mut self.out.fields, &mut self.out.unknown);
        Ok(())
    }
}

const STAGE: usize = 11;

/// 0091, one spindle.
pub(super) static SPINDLE_STATE: &[Param] = &[
    super::layout::param("", "spindle_number", 2, Kind::Whole, 1),
    super::layout::param("", "channel_id", 2, Kind::Whole, 1),
    super::layout::param("", "tightening_status", 1, Kind::Coded(&codes::VERDICT), 1),
];

/// 0101, one spindle.
pub(super) static SPINDLE_RESULT: &[Param] = &[
    super::layout::param("", "spindle_number", 2, Kind::Whole, 1),
    super::layout::param("", "channel_id", 2, Kind::Whole, 1),
    super::layout::param("", "tightening_status", 1, Kind::Coded(&codes::VERDICT), 1),
    super::layout::param("", "torque_status", 1, Kind::Coded(&codes::LIMIT), 1),
    super::layout::param("", "torque", 6, Kind::Torque, 1),
    super::layout::param("", "angle_status", 1, Kind::Coded(&codes::LIMIT), 1),
    super::layout::param("", "angle", 5, Kind::Angle, 1),
];

/// What bytes became.
enum Got {
    /// Blank, "no limit" or "does not apply".
    Absent,
    /// A value.
    Field(Field),
    /// Not what belongs there.
    Strange(String),
}

fn value_of(kind: Kind, name: &'static str, bytes: &[u8]) -> Got {
    if is_blank(bytes) {
        return Got::Absent;
    }
    let text = lossy(bytes);
    let text = text.trim_matches([' ', '\0', '\t', '\r', '\n']);
    if matches!(kind, Kind::Text | Kind::Rest) {
        return match text {
            "" => Got::Absent,
            text => Got::Field(Field::plain(name, Raw::Text(text.to_owned()))),
        };
    }
    if kind == Kind::Time {
        return Got::Field(if is_time(text) {
            Field::plain(name, Raw::Text(text.to_owned()))
        } else {
            Field::plain(format!("{name}_raw"), Raw::Text(text.to_owned()))
        });
    }
    if text.bytes().all(|b| b == b'-') {
        return Got::Absent;
    }
    let Some(number) = whole(bytes) else {
        return Got::Strange(text.to_owned());
    };
    let with = |value, uom| {
        Got::Field(Field {
            name: Cow::Borrowed(name),
            value,
            uom,
        })
    };
    let hundredths = |uom| with(Raw::Dec(Decimal::new(i128::from(number), 2)), uom);
    match kind {
        Kind::TorqueLimit if number == NO_TORQUE_LIMIT => Got::Absent,
        Kind::AngleLimit if number == NO_ANGLE_LIMIT => Got::Absent,
        Kind::Torque | Kind::TorqueLimit => hundredths(Some(NEWTON_METRE)),
        Kind::Hundredth(uom) => hundredths(uom),
        Kind::Angle | Kind::AngleLimit => with(Raw::Int(number), Some("deg")),
        Kind::In(uom) => with(Raw::Int(number), Some(uom)),
        Kind::Bool if number > 1 => Got::Strange(text.to_owned()),
        Kind::Bool => with(Raw::Bool(number == 1), None),
        Kind::Coded(words) => coded(words, name, number, text),
        Kind::TorqueUom => coded(&codes::TORQUE_UOM, name, number, text),
        _ => with(Raw::Int(number), None),
    }
}

fn coded(words: &Words, name: &'static str, number: i64, text: &str) -> Got {
    match words.word(number) {
        Some(word) => Got::Field(Field::plain(name, Raw::Text(word.to_owned()))),
        None if words.silent.contains(&number) => Got::Absent,
        None => Got::Strange(text.to_owned()),
    }
}

/// Blanks, or NULs that a controller wrote for blanks.
pub(super) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| matches!(b, b' ' | 0))
}

/// Text of bytes; what is no UTF-8 becomes the replacement character.
pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Digits, a sign before them tolerated, blanks around them too.
pub(super) fn whole(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.trim_matches([' ', '\0']).parse().ok()
}

/// `YYYY-MM-DD:HH:MM:SS` of a day and a time that can be.
#[must_use]
pub fn is_time(text: &str) -> bool {
    const PATTERN: &[u8; 19] = b"dddd-dd-dd:dd:dd:dd";
    let bytes = text.as_bytes();
    let shaped = bytes.len() == PATTERN.len()
        && bytes.iter().zip(PATTERN).all(|(b, p)| match p {
            b'd' => b.is_ascii_digit(),
            sign => b == sign,
        });
    let part = |from: usize, to: usize| text.get(from..to).and_then(|t| t.parse::<u8>().ok()).unwrap_or(99);
    shaped
        && (1..=12).contains(&part(5, 7))
        && (1..=31).contains(&part(8, 10))
        && part(11, 13) < 24
        && part(14, 16) < 60
        && part(17, 19) <= 60
}
