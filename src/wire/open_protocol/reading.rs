//! What telegrams say, point by point: for drivers, examples and replay alike.
//!
//! Owns which kind of news a MID is, the fields of a trace, and how points find their values. Owns no session.

use super::{Decoded, Fault, Field, Telegram, Trace, TraceOrder, decode, trace, variable};
use crate::model::Raw;
use crate::model::plan::{Address, PointPlan, Said};

/// Behind the name of a field: the unit of measure in which the telegram gives it, `torque_uom`.
pub const UOM: &str = "_uom";

/// What a data telegram of this MID is; `None`: no news that an event can wait for by a word.
#[must_use]
pub const fn said(mid: u16) -> Option<Said> {
    Some(match mid {
        61 | 65 | 101 | 1201 | 1202 => Said::Result,
        71 | 74 | 76 => Said::Alarm,
        52 | 152 => Said::Identifier,
        900 => Said::Trace,
        35 => Said::Job,
        15 => Said::Program,
        211 => Said::Inputs,
        _ => return None,
    })
}

/// Reads a telegram; the samples of a trace in this order.
///
/// # Errors
/// As [`decode`].
pub fn read(telegram: &Telegram, order: TraceOrder) -> Result<Decoded, Fault> {
    let mut decoded = decode(telegram)?;
    if decoded.trace.is_some() {
        let found = trace::decode(telegram, order)?;
        decoded.fields = trace_fields(&found);
        decoded.trace = Some(found);
    }
    Ok(decoded)
}

/// Reads the telegrams of one result: a 1201 with its 1202s; or any single one.
///
/// # Errors
/// One of them cannot be read.
pub fn join(telegrams: &[Telegram], order: TraceOrder) -> Result<Decoded, Fault> {
    let mut decoded = telegrams.iter().map(|telegram| read(telegram, order));
    let first = decoded.next().unwrap_or_else(|| Ok(Decoded::default()))?;
    let objects: Vec<Decoded> = decoded.collect::<Result<_, _>>()?;
    Ok(if first.mid == 1201 {
        variable::join(&first, &objects)
    } else {
        first
    })
}

/// The values that a trace says by name: its samples, what one is further than the one before, and its own fields.
#[must_use]
pub fn trace_fields(found: &Trace) -> Vec<Field> {
    let field = |name: &'static str, value: Raw, uom: Option<&'static str>| Field {
        name: name.into(),
        value,
        uom,
    };
    let samples = found.samples.iter().map(|sample| Raw::Dec(*sample)).collect();
    let mut fields = vec![field("trace_samples", Raw::List(samples), found.uom)];
    if let Some((what, uom, step)) = found.step {
        fields.push(field("trace_step", Raw::Dec(step), uom));
        fields.push(field("trace_step_name", Raw::Text(what.to_owned()), None));
    }
    let has_id = found.fields.iter().any(|field| field.name == "tightening_id");
    for known in &found.fields {
        // A curve is that of the tightening with the same number.
        if known.name == "result_id" && !has_id {
            fields.push(field("tightening_id", known.value.clone(), None));
        }
        fields.push(known.clone());
    }
    fields
}

/// Whether it tells anything: an alarm status (0076) without an active alarm, which every controller sends behind the
/// subscription, tells nothing.
#[must_use]
pub fn is_news(decoded: &Decoded) -> bool {
    let none = |code: &Raw| code.text().trim_matches(['0', ' ']).is_empty();
    let inactive = decoded.get("alarm_active").is_some_and(|active| !active.truth());
    decoded.mid != 76 || !inactive || !decoded.get("error_code").is_none_or(none)
}

/// What becomes a sample each: the fields of every spindle, with those that all have in common.
#[must_use]
pub fn readings(decoded: Decoded) -> Vec<Vec<Field>> {
    if decoded.spindles.is_empty() {
        return vec![decoded.fields];
    }
    let common = decoded.fields;
    let with = |mut own: Vec<Field>| {
        // What a spindle says of itself counts.
        let more = common
            .iter()
            .filter(|field| !own.iter().any(|mine| mine.name == field.name));
        let more: Vec<Field> = more.cloned().collect();
        own.extend(more);
        own
    };
    decoded.spindles.into_iter().map(with).collect()
}

/// What every point says: a field of the telegram, else one that the controller said when the session began (0002); and
/// for a point `x_uom` the unit of measure of the field `x`.
#[must_use]
pub fn values(points: &[PointPlan], fields: &[Field], controller: &[Field]) -> Vec<Option<Raw>> {
    let find = |name: &str| fields.iter().chain(controller).find(|field| field.name == name);
    let value = |point: &PointPlan| {
        let Address::Field(name) = &point.at else { return None };
        if let Some(field) = find(name) {
            return Some(field.value.clone());
        }
        let uom = find(name.strip_suffix(UOM)?)?.uom?;
        Some(Raw::Text(uom.to_owned()))
    };
    points.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(name: &str) -> PointPlan {
        PointPlan {
            name: name.into(),
            at: Address::Field(name.into()),
            invalid: Vec::new(),
            deadband: None,
        }
    }

    #[test]
    fn a_point_finds_its_field_its_uom_and_what_the_controller_said() {
        let field = |name: &'static str, value: Raw, uom| Field {
            name: name.into(),
            value,
            uom,
        };
        let fields = [
            field("torque", Raw::Int(7), Some("N.cm")),
            field("angle", Raw::Int(9), None),
        ];
        let controller = [
            field("controller_name", Raw::Text("C".into()), None),
            field("angle", Raw::Int(1), None),
        ];
        let points = [
            "torque",
            "torque_uom",
            "angle",
            "angle_uom",
            "controller_name",
            "job_id",
        ]
        .map(point);
        assert_eq!(
            values(&points, &fields, &controller),
            [
                Some(Raw::Int(7)),
                Some(Raw::Text("N.cm".into())),
                Some(Raw::Int(9)),
                None,
                Some(Raw::Text("C".into())),
                None
            ]
        );
    }

    #[test]
    fn an_alarm_status_without_an_alarm_is_no_news() {
        let status = |active: bool, code: &str| Decoded {
            mid: 76,
            fields: vec![
                Field {
                    name: "alarm_active".into(),
                    value: Raw::Bool(active),
                    uom: None,
                },
                Field {
                    name: "error_code".into(),
                    value: Raw::Text(code.to_owned()),
                    uom: None,
                },
            ],
            ..Decoded::default()
        };
        assert!(!is_news(&status(false, "0000")));
        assert!(!is_news(&status(false, "")));
        assert!(is_news(&status(false, "E851")));
        assert!(is_news(&status(true, "0000")));
    }

    #[test]
    fn each_spindle_is_a_reading_with_what_all_have_in_common() {
        let field = |name: &'static str, value: i64| Field {
            name: name.into(),
            value: Raw::Int(value),
            uom: None,
        };
        let decoded = Decoded {
            fields: vec![field("batch_size", 4), field("torque", 1)],
            spindles: vec![vec![field("torque", 2)], vec![field("spindle_number", 2)]],
            ..Decoded::default()
        };
        let found = readings(decoded);
        assert_eq!(found[0], [field("torque", 2), field("batch_size", 4)]);
        assert_eq!(
            found[1],
            [field("spindle_number", 2), field("batch_size", 4), field("torque", 1)]
        );
    }
}
