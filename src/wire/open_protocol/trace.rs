//! MID 0900: one curve of a tightening, with its samples (specification 6.6).
//!
//! Owns samples and their scale. Does not own putting the curves of one result together.

use super::decode::{is_blank, is_time, lossy, whole};
use super::tables::{codes, pids};
use super::{Fault, Field, Telegram, variable};
use crate::model::{Decimal, Raw};

/// Byte order of the samples; the specification does not say. MTF6000 is little-endian.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TraceOrder {
    /// Low byte first.
    #[default]
    Little,
    /// High byte first.
    Big,
}

impl TraceOrder {
    fn read(self, pair: [u8; 2]) -> i16 {
        match self {
            Self::Little => i16::from_le_bytes(pair),
            Self::Big => i16::from_be_bytes(pair),
        }
    }

    fn write(self, sample: i16) -> [u8; 2] {
        match self {
            Self::Little => sample.to_le_bytes(),
            Self::Big => sample.to_be_bytes(),
        }
    }
}

/// How far one sample is from the one before.
pub type Step = (&'static str, Option<&'static str>, Decimal);

/// One curve.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// The result it belongs to, without leading zeros.
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
    /// `None` where the telegram does not say, or says it differently for parts of the curve.
    pub step: Option<Step>,
    /// `result_id`, `time_stamp`, `trace_type`, `transducer_type`, and its PIDs.
    pub fields: Vec<Field>,
}

/// Reads a 0900 with samples in this order.
///
/// # Errors
/// It is no 0900, ends inside a field, has fewer samples than it says, or a count in it cannot be read.
pub fn decode(telegram: &Telegram, order: TraceOrder) -> Result<Trace, Fault> {
    let mid = telegram.mid();
    let data = &telegram.data;
    if mid != super::header::TRACE {
        return Err(Fault::NoLayout {
            mid,
            revision: telegram.revision(),
        });
    }
    let mut at = 0;
    let mut out = Trace::default();
    let id = variable::take(mid, data, &mut at, 10, "result_id")?;
    let text = lossy(id);
    let trimmed = text.trim();
    out.result_id = whole(id).map_or_else(|| trimmed.to_owned(), |id| id.to_string());
    if !out.result_id.is_empty() {
        let value = whole(id).map_or_else(|| Raw::Text(trimmed.to_owned()), Raw::Int);
        out.fields.push(Field::plain("result_id", value));
    }
    let time = lossy(variable::take(mid, data, &mut at, 19, "time_stamp")?);
    let time = time.trim();
    if is_time(time) {
        out.time = Some(time.to_owned());
        out.fields.push(Field::plain("time_stamp", Raw::Text(time.to_owned())));
    } else if !time.is_empty() {
        out.fields
            .push(Field::plain("time_stamp_raw", Raw::Text(time.to_owned())));
    }
    let mut values = variable::read(mid, data, &mut at)?;
    let kind = variable::count(mid, data, &mut at, 2, "trace_type")?;
    out.kind = codes::TRACE
        .word(i64::try_from(kind).unwrap_or(0))
        .map_or_else(|| format!("trace_{kind}"), ToOwned::to_owned);
    out.fields.push(Field::plain("trace_type", Raw::Text(out.kind.clone())));
    let transducer = variable::take(mid, data, &mut at, 2, "transducer_type")?;
    if let Some(number) = whole(transducer) {
        out.fields.push(Field::plain("transducer_type", Raw::Int(number)));
    }
    out.uom = unit(mid, data, &mut at)?;
    values.extend(variable::read(mid, data, &mut at)?);
    out.step = resolution(mid, data, &mut at)?;
    let many = variable::count(mid, data, &mut at, 5, "count of samples")?;
    let mut unknown = Vec::new();
    variable::fields(&values, false, &mut out.fields, &mut unknown);
    let Some(bytes) = telegram.binary.get(..many.saturating_mul(2)) else {
        return Err(Fault::Truncated {
            mid,
            revision: telegram.revision(),
            name: "samples",
            need: data.len().saturating_add(1 + many.saturating_mul(2)),
            have: data.len() + 1 + telegram.binary.len(),
        });
    };
    let coefficient = |number: u32| {
        let value = values.iter().find(|pid| pid.number == number)?.value.as_ref()?;
        value.number().filter(|c| *c != Decimal::ZERO)
    };
    let (divide, multiply) = (coefficient(pids::DIVIDE), coefficient(pids::MULTIPLY));
    let (pairs, _) = bytes.as_chunks::<2>();
    out.samples = pairs
        .iter()
        .map(|pair| {
            let raw = Decimal::from(i64::from(order.read(*pair)));
            match (divide, multiply) {
                (Some(divide), _) => raw.over(divide).unwrap_or(raw),
                (None, Some(multiply)) => raw.times(multiply),
                (None, None) => raw,
            }
        })
        .collect();
    Ok(out)
}

fn unit(mid: u16, data: &[u8], at: &mut usize) -> Result<Option<&'static str>, Fault> {
    let code = variable::count(mid, data, at, 3, "unit of a trace")?;
    Ok(u16::try_from(code).ok().and_then(pids::unit))
}

/// The resolution fields: each holds for a range of samples.
fn resolution(mid: u16, data: &[u8], at: &mut usize) -> Result<Option<Step>, Fault> {
    let many = variable::count(mid, data, at, 3, "count of resolution fields")?;
    let mut steps = Vec::with_capacity(many.min(999));
    for _ in 0..many {
        variable::take(mid, data, at, 10, "range of a resolution field")?;
        let length = variable::count(mid, data, at, 3, "length of a resolution field")?;
        let kind = variable::count(mid, data, at, 2, "data type of a resolution field")?;
        let uom = unit(mid, data, at)?;
        let bytes = variable::take(mid, data, at, length, "value of a resolution field")?;
        let kind = u16::try_from(kind).unwrap_or(0);
        let value = variable::value(kind, bytes).as_ref().and_then(Raw::number);
        let value = value.or_else(|| lossy(bytes).trim().parse().ok());
        let name = match uom {
            Some("s" | "min" | "ms" | "h") => "time",
            Some("deg" | "rad") => "angle",
            _ => "step",
        };
        if let (Some(value), false) = (value, is_blank(bytes)) {
            steps.push((name, uom, value));
        }
    }
    Ok(match steps.as_slice() {
        [only] if many == 1 => Some(*only),
        _ => None,
    })
}

/// Builds a 0900. The samples are sent as whole numbers with PID 02213 so fine as 16 bits hold them.
///
/// # Errors
/// More samples than a telegram holds.
pub fn encode(trace: &Trace, order: TraceOrder) -> Result<Telegram, Fault> {
    let digits = (0_i32..=4).rev().find(|digits| {
        let scale = Decimal::new(1, -digits);
        trace.samples.iter().all(|sample| raw(*sample, scale).is_some())
    });
    let scale = Decimal::new(1, -digits.unwrap_or(0));
    let binary: Vec<u8> = trace
        .samples
        .iter()
        .flat_map(|sample| {
            let end = if *sample < Decimal::ZERO { i16::MIN } else { i16::MAX };
            order.write(raw(*sample, scale).unwrap_or(end))
        })
        .collect();
    let code = |uom: Option<&str>| {
        let known = pids::UNITS.iter().find(|(_, known)| Some(*known) == uom);
        known.map_or(0, |(code, _)| *code)
    };
    let kind = codes::TRACE.code(&trace.kind).unwrap_or(0);
    let id = trace.result_id.get(..10).unwrap_or(&trace.result_id);
    let time = trace.time.as_deref().unwrap_or_default();
    let divide = scale.to_string();
    let count = format!("{:05}", trace.samples.len().min(99_999));
    let mut data = format!(
        "{id:0>10}{time:<19.19}000{kind:02}00{:03}001{:05}{:03}030000000{divide}",
        code(trace.uom),
        pids::DIVIDE,
        divide.len(),
    );
    let step = trace.step.map_or_else(
        || "000".to_owned(),
        |(_, uom, value)| {
            let value = value.to_string();
            format!("00100001{count}{:03}03{:03}{value}", value.len(), code(uom))
        },
    );
    data.push_str(&step);
    data.push_str(&count);
    let size = data.len() + 1 + binary.len();
    if size > super::header::LONGEST - super::header::HEADER {
        return Err(Fault::TooLong(size));
    }
    Ok(Telegram::new(super::header::TRACE, 1)
        .with_data(data)
        .with_binary(binary))
}

/// A sample as it is sent, where 16 bits hold it.
fn raw(sample: Decimal, scale: Decimal) -> Option<i16> {
    let scaled = sample.times(scale);
    let half = Decimal::new(if scaled < Decimal::ZERO { -5 } else { 5 }, 1);
    let rounded = scaled.plus(half);
    // Cut towards zero what stands behind the point.
    let text = rounded.to_string();
    let whole = text.split_once('.').map_or(text.as_str(), |(whole, _)| whole);
    whole.parse().ok()
}
