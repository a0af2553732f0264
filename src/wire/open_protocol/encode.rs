//! From named values to a telegram, out of the same layouts that decode it: what simulators send.
//!
//! Owns padding and codes. Does not own which values a simulated device has.

use super::decode::{SPINDLE_RESULT, SPINDLE_STATE};
use super::layout::{Kind, Layout, Param, Words};
use super::tables::{self, codes, pids};
use super::{Fault, Telegram, Trace, TraceOrder, trace};
use crate::model::{Decimal, Raw};

/// Where the values come from.
type Get<'a> = &'a dyn Fn(&str) -> Option<Raw>;

/// Builds a telegram of this MID and revision; `get` gives the value of a field by its name, in the words that
/// [`super::decode()`] gives. Absent numbers are zeros, absent texts, times and limits blanks.
///
/// Open parts: spindles of 0091 and 0101 are asked for as `spindle_1_torque`, `spindle_2_angle` (as many as
/// `spindle_count`); stages as the lists `stage_torques` and `stage_angles`; objects of a 1201 as the lists
/// `object_ids` and `object_statuses`. A PID is sent where `pid_N` has a value (its uom `pid_N_uom`, a UCUM text,
/// else that of its name), or where `get` knows its name. The curve of a 0900 is `samples`, a list of numbers, with
/// `trace_type`, `trace_uom`, `step` and `step_uom`.
///
/// # Errors
/// No layout is known for the MID and revision, or the data does not fit.
pub fn encode_fields(mid: u16, revision: u16, get: Get<'_>) -> Result<Telegram, Fault> {
    if mid == super::header::TRACE {
        return curve(get);
    }
    let revision = revision.max(1);
    let layout = tables::layout(mid, revision)
        .filter(|layout| revision <= layout.to)
        .ok_or(Fault::NoLayout { mid, revision })?;
    let mut data = Vec::with_capacity(layout.length(revision));
    for param in layout.of(revision) {
        data.extend_from_slice(param.id.as_bytes());
        match param.kind {
            Kind::SpindleStates => spindles(&mut data, SPINDLE_STATE, get),
            Kind::SpindleResults => spindles(&mut data, SPINDLE_RESULT, get),
            Kind::Stages => stages(&mut data, get),
            Kind::Objects(width) => objects(&mut data, width, get),
            Kind::Pids => variable(&mut data, layout, get),
            _ => put(&mut data, param, get(param.name).as_ref()),
        }
    }
    if data.len() > super::header::LONGEST - super::header::HEADER {
        return Err(Fault::TooLong(data.len()));
    }
    Ok(Telegram::new(mid, revision).with_data(data))
}

/// Text to its width, cut at a character, blanks behind.
fn text(data: &mut Vec<u8>, text: &str, width: usize) {
    let mut end = text.len().min(width);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    data.extend_from_slice(text.get(..end).unwrap_or_default().as_bytes());
    data.resize(data.len() + width - end, b' ');
}

/// A whole number to its width, zeros before it; a sign takes one place. What does not fit is the largest that does.
fn digits(data: &mut Vec<u8>, number: i64, width: usize) {
    let written = format!("{number:0width$}");
    if written.len() > width {
        data.resize(data.len() + width, b'9');
    } else {
        data.extend_from_slice(written.as_bytes());
    }
}

/// The number of a value, `scale` decimals moved before the point, cut as the specification says.
fn scaled(value: &Raw, scale: i32) -> Option<i64> {
    let number = match value {
        Raw::Text(text) => text.trim().parse().ok()?,
        other => other.number()?,
    };
    let moved = number.times(Decimal::new(1, -scale)).to_string();
    let whole = moved.split_once('.').map_or(moved.as_str(), |(whole, _)| whole);
    whole.parse().ok()
}

fn code(words: &Words, value: &Raw) -> Option<i64> {
    match value {
        Raw::Text(word) => words.code(word),
        other => scaled(other, 0),
    }
}

fn put(data: &mut Vec<u8>, param: &Param, value: Option<&Raw>) {
    let width = param.width;
    let number = match param.kind {
        Kind::Text | Kind::Time => {
            return text(data, &value.map(Raw::text).unwrap_or_default(), width);
        }
        Kind::Rest => {
            let value = value.map(Raw::text).unwrap_or_default();
            return text(data, &value, width.max(value.len()));
        }
        // A limit of 0 would be one.
        Kind::TorqueLimit | Kind::AngleLimit if value.is_none() => return text(data, "", width),
        Kind::Coded(words) if value.is_none() => words.silent.first().copied(),
        Kind::Hundredth(_) | Kind::Torque | Kind::TorqueLimit => value.and_then(|v| scaled(v, 2)),
        Kind::Coded(words) => value.and_then(|v| code(words, v)),
        Kind::TorqueUom => Some(value.and_then(|v| code(&codes::TORQUE_UOM, v)).unwrap_or(1)),
        _ => value.and_then(|v| scaled(v, 0)),
    };
    digits(data, number.unwrap_or(0), width);
}

fn spindles(data: &mut Vec<u8>, entry: &[Param], get: Get<'_>) {
    let count = get("spindle_count").and_then(|v| scaled(&v, 0)).unwrap_or(0);
    for spindle in 1..=count.clamp(0, 99) {
        for param in entry {
            let value = get(&format!("spindle_{spindle}_{}", param.name));
            let own = (param.name == "spindle_number").then_some(Raw::Int(spindle));
            put(data, param, value.or(own).as_ref());
        }
    }
}

fn list(value: Option<Raw>) -> Vec<Raw> {
    match value {
        Some(Raw::List(items)) => items,
        Some(one) => vec![one],
        None => Vec::new(),
    }
}

fn stages(data: &mut Vec<u8>, get: Get<'_>) {
    let (torques, angles) = (list(get("stage_torques")), list(get("stage_angles")));
    let count = get("number_of_stage_results").and_then(|v| scaled(&v, 0)).unwrap_or(0);
    for stage in 0..usize::try_from(count.clamp(0, 99)).unwrap_or(0) {
        digits(data, torques.get(stage).and_then(|v| scaled(v, 2)).unwrap_or(0), 6);
        digits(data, angles.get(stage).and_then(|v| scaled(v, 0)).unwrap_or(0), 5);
    }
}

fn objects(data: &mut Vec<u8>, width: usize, get: Get<'_>) {
    let (ids, statuses) = (list(get("object_ids")), list(get("object_statuses")));
    let ids = ids.get(..999).unwrap_or(&ids);
    digits(data, i64::try_from(ids.len()).unwrap_or(0), 3);
    for (index, id) in ids.iter().enumerate() {
        digits(data, scaled(id, 0).unwrap_or(0), 4);
        let status = statuses.get(index).and_then(|v| code(&codes::VERDICT, v));
        digits(data, status.unwrap_or(0), 1);
        data.resize(data.len() + width - 5, b'0');
    }
}

/// One PID as it is sent.
fn variable(data: &mut Vec<u8>, layout: &Layout, get: Get<'_>) {
    let mut count: i64 = 0;
    let mut block = Vec::new();
    for pid in pids::PIDS {
        // A 1202 carries what was measured, a 1201 what belongs to the whole.
        let measured = matches!(pid.number, 1302 | 1400..=1404 | 2000..);
        let belongs = match layout.mid {
            1201 => !measured,
            1202 => measured,
            _ => false,
        };
        if !belongs {
            continue;
        }
        let name = format!("pid_{}", pid.number);
        let fixed = layout.params.iter().any(|p| p.name == pid.name);
        let by_name = (pid.number < 30_000 && !fixed).then(|| get(pid.name)).flatten();
        let coded = by_name.and_then(|value| match pid.words {
            Some(words) => code(words, &value).map(Raw::Int),
            None => Some(value),
        });
        let Some(value) = get(&name).or(coded) else {
            continue;
        };
        let (kind, written) = match &value {
            Raw::Bool(bit) => (6, u8::from(*bit).to_string()),
            Raw::Int(number) if *number < 0 => (2, number.to_string()),
            Raw::Int(_) | Raw::Big(_) => (1, value.text()),
            Raw::F32(_) | Raw::F64(_) | Raw::Dec(_) => (3, value.text()),
            Raw::Text(text) if super::decode::is_time(text) => (5, text.clone()),
            Raw::Text(text) => (4, text.clone()),
            Raw::List(_) => continue,
        };
        if written.len() > 999 || written.is_empty() {
            continue;
        }
        let uom = get(&format!("{name}_uom")).map(|uom| uom.text());
        let default = match super::fields::info(pid.name).and_then(|info| info.uom) {
            Some(uom) if matches!(value, Raw::Text(_)) || pid.words.is_some() => uom.get(..0),
            uom => uom,
        };
        let uom = uom.as_deref().or(default);
        let unit = pids::UNITS.iter().find(|(_, known)| Some(*known) == uom);
        let unit = unit.map_or(0, |(code, _)| *code);
        block.extend_from_slice(
            format!("{:05}{:03}{kind:02}{unit:03}0000{written}", pid.number, written.len()).as_bytes(),
        );
        count += 1;
    }
    digits(data, count, 3);
    data.extend_from_slice(&block);
}

fn curve(get: Get<'_>) -> Result<Telegram, Fault> {
    let word = |name: &str| get(name).map(|value| value.text()).unwrap_or_default();
    let known = |name: &str| {
        let uom = word(name);
        pids::UNITS
            .iter()
            .find(|(_, known)| *known == uom)
            .map(|(_, known)| *known)
    };
    let step = get("step").and_then(|value| value.number());
    let samples = list(get("samples"));
    let curve = Trace {
        result_id: word("result_id"),
        time: get("time_stamp").map(|value| value.text()),
        kind: word("trace_type"),
        uom: known("trace_uom"),
        samples: samples.iter().filter_map(Raw::number).collect(),
        step: step.map(|step| ("step", known("step_uom"), step)),
        fields: Vec::new(),
    };
    trace::encode(&curve, TraceOrder::Little)
}
