//! Fields that follow from other fields: kind of a tightening, errors in words, an alarm that is one, a press.
//!
//! Owns what is derived, never what stands in a telegram ([`super::decode`]).

use super::decode::{Decoded, Field};
use super::tables::codes;
use crate::model::{Decimal, Raw};
use std::borrow::Cow;

/// 0101 system subtype of a press: torque is force, angle is stroke.
const PRESS: i64 = 2;

/// What follows from other fields.
pub(super) fn derive(out: &mut Decoded) {
    match out.mid {
        4 => {
            if let Some(code) = out.whole("refusal_code") {
                let code = u16::try_from(code).unwrap_or(u16::MAX);
                out.add("refusal_text", Raw::Text(super::session::error_text(code).to_owned()));
            }
        }
        71 => out.add("alarm_active", Raw::Bool(true)),
        74 => {
            // Nothing else tells the end of an alarm.
            out.add("alarm_active", Raw::Bool(false));
            out.add("alarm_acknowledged", Raw::Bool(true));
        }
        152 => {
            for (from, to) in [
                ("identifier_1", "vin_number"),
                ("identifier_2", "identifier_part_2"),
                ("identifier_3", "identifier_part_3"),
                ("identifier_4", "identifier_part_4"),
            ] {
                if let Some(value) = out.get(from).cloned() {
                    out.add(to, value);
                }
            }
        }
        2 => {
            if let Some(name) = out.whole("system_type").and_then(|code| codes::SYSTEM.word(code)) {
                out.add("system_type_name", Raw::Text(name.to_owned()));
            }
        }
        101 if out.whole("system_subtype") == Some(PRESS) => press(out),
        1201 | 1202 => {
            if let Some(id) = out.get("result_id").cloned() {
                out.add("tightening_id", id);
            }
        }
        _ => {}
    }
    if matches!(out.mid, 61 | 65 | 101 | 1201 | 1202) {
        result(out);
    }
}

/// Derived fields of a result.
pub(super) fn result(out: &mut Decoded) {
    let kind = match out.word("result_type") {
        Some("tightening") | None => Some("tighten"),
        Some("loosening") => Some("loosen"),
        Some(_) => None,
    };
    // An object of a 1201 inherits what the 1201 says; it alone says nothing.
    if let (Some(kind), false) = (kind, out.mid == 1202) {
        out.add("kind", Raw::Text(kind.to_owned()));
    }
    if let Some(name) = out.whole("strategy").and_then(|code| codes::STRATEGY.word(code)) {
        out.add("strategy_name", Raw::Text(name.to_owned()));
    }
    if let Some(bits) = out.whole("strategy_options") {
        let names: Vec<Raw> = set_bits(bits)
            .filter_map(|bit| codes::OPTIONS.get(bit - 1))
            .map(|name| Raw::Text((*name).to_owned()))
            .collect();
        if !names.is_empty() {
            out.add("strategy_option_names", Raw::List(names));
        }
    }
    let first = out.whole("tightening_error_status").unwrap_or(0);
    let second = out.whole("tightening_error_status_2").unwrap_or(0);
    let bits: Vec<usize> = set_bits(first).chain(set_bits(second).map(|bit| bit + 32)).collect();
    if bits.is_empty() {
        return;
    }
    let texts = bits.iter().map(|bit| {
        let known = codes::ERRORS.get(bit - 1).map(|text| (*text).to_owned());
        Raw::Text(known.unwrap_or_else(|| format!("error bit {bit}")))
    });
    out.add("error_texts", Raw::List(texts.collect()));
    let numbers = bits.iter().map(|bit| Raw::Int(i64::try_from(*bit).unwrap_or(0)));
    out.add("errors", Raw::List(numbers.collect()));
}

/// Numbers of the bits that are set in the low 32, from 1.
fn set_bits(number: i64) -> impl Iterator<Item = usize> {
    (0..32_usize)
        .filter(move |bit| number >= 0 && number >> bit & 1 == 1)
        .map(|bit| bit + 1)
}

/// 0101 of a press: force in hundredths of kN, stroke in hundredths of mm.
fn press(out: &mut Decoded) {
    fn rename(field: &mut Field) {
        let (name, uom) = match &*field.name {
            "torque" => ("force", "kN"),
            "torque_status" => ("force_status", ""),
            "torque_min_limit" => ("force_min_limit", "kN"),
            "torque_max_limit" => ("force_max_limit", "kN"),
            "torque_final_target" => ("force_final_target", "kN"),
            "angle" => ("stroke", "mm"),
            "angle_status" => ("stroke_status", ""),
            "angle_min" => ("stroke_min", "mm"),
            "angle_max" => ("stroke_max", "mm"),
            "final_angle_target" => ("final_stroke_target", "mm"),
            _ => return,
        };
        if let Raw::Int(hundredths) = field.value {
            field.value = Raw::Dec(Decimal::new(i128::from(hundredths), 2));
        }
        field.name = Cow::Borrowed(name);
        field.uom = (!uom.is_empty()).then_some(uom);
    }
    out.fields.iter_mut().for_each(rename);
    out.spindles.iter_mut().flatten().for_each(rename);
}
