//! What telegrams say as a whole: of which kind it is, its readings, and the values of a plan's points in them.
//!
//! Owns putting together what comes in several telegrams (parts, 1201 with its 1202s) and what a trace is to a profile. Shared by
//! the driver, examples and replay, so that what `check` proves is what runs.

use super::{Decoded, Fault, Field, Joiner, Telegram, Trace, TraceOrder, decode, trace, variable};
use crate::model::Raw;
use crate::model::plan::{Address, PointPlan, Said};

/// Telegrams of one result of variable fields at most.
const PARTS: usize = 64;
/// Behind the name of a field: the unit of measure in which a telegram gives it.
pub const UOM: &str = "_uom";

/// What kind of news a data telegram is; `None`: it is no data, or none that anybody listens to.
#[must_use]
pub const fn said(mid: u16) -> Option<Said> {
    Some(match mid {
        61 | 65 | 101 | 106 | 107 | 1201 | 1202 => Said::Result,
        71 | 74 | 76 => Said::Alarm,
        52 | 152 => Said::Identifier,
        900 => Said::Trace,
        35 => Said::Job,
        15 => Said::Program,
        211 => Said::Inputs,
        _ => return None,
    })
}

/// One thing said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Of which kind.
    pub said: Said,
    /// Its MID; of several telegrams that of the first.
    pub mid: u16,
    /// Each is an event of its own: one, or one for each spindle.
    pub readings: Vec<Vec<Field>>,
    /// Why it cannot be read, each in a sentence.
    pub faults: Vec<String>,
    /// As it stood on the wire, its telegrams one a line.
    pub raw: String,
}

/// Puts telegrams together to what they say. Bounded: at most one message in parts and one result of 64 telegrams wait.
#[derive(Debug, Default)]
pub struct Hearer {
    order: TraceOrder,
    joiner: Joiner,
    id: String,
    total: u16,
    parts: Vec<Telegram>,
}

impl Hearer {
    /// Nothing heard yet; samples of traces are in this order.
    #[must_use]
    pub fn new(order: TraceOrder) -> Self {
        Self {
            order,
            ..Self::default()
        }
    }

    /// Forgets what is not whole, after a reconnect.
    pub fn clear(&mut self) {
        self.joiner.clear();
        self.parts.clear();
    }

    /// Takes one telegram. `None`: it is no news, or more of it is to come.
    pub fn take(&mut self, telegram: Telegram) -> Option<Word> {
        let said = said(telegram.mid())?;
        let first = telegram.clone();
        let telegram = match self.joiner.take(telegram) {
            Ok(telegram) => telegram?,
            Err(fault) => return Some(unreadable(&[first], said, &fault)),
        };
        if matches!(telegram.mid(), 1201 | 1202) {
            return self.collect(telegram, said);
        }
        Some(match decode(&telegram) {
            Ok(decoded) => word(&[telegram], decoded, said, self.order),
            Err(fault) => unreadable(&[telegram], said, &fault),
        })
    }

    /// A 1201 or 1202 of a result.
    fn collect(&mut self, telegram: Telegram, said: Said) -> Option<Word> {
        let (total, _, id) = match variable::place(&telegram) {
            Ok(place) => place,
            Err(fault) => return Some(unreadable(&[telegram], said, &fault)),
        };
        if telegram.mid() == 1201 {
            self.parts.clear();
            (self.id, self.total) = (id, total);
        } else if self.parts.is_empty() || id != self.id {
            // Its beginning was not heard: nothing can be made of it.
            return None;
        }
        if self.parts.len() < PARTS && !self.parts.contains(&telegram) {
            self.parts.push(telegram);
        }
        if self.parts.len() < usize::from(self.total.max(1)).min(PARTS) {
            return None;
        }
        let parts = std::mem::take(&mut self.parts);
        let mut faults = Vec::new();
        let mut decoded = parts.iter().filter_map(|part| match decode(part) {
            Ok(decoded) => Some(decoded),
            Err(fault) => {
                faults.push(fault.to_string());
                None
            }
        });
        let overall = decoded.next().unwrap_or_default();
        let objects: Vec<Decoded> = decoded.collect();
        let mut word = word(&parts, variable::join(&overall, &objects), said, self.order);
        word.faults.extend(faults);
        Some(word)
    }
}

fn raw(telegrams: &[Telegram]) -> String {
    telegrams.iter().map(Telegram::text).collect::<Vec<_>>().join("\n")
}

fn unreadable(telegrams: &[Telegram], said: Said, fault: &Fault) -> Word {
    Word {
        said,
        mid: telegrams.first().map_or(0, Telegram::mid),
        readings: vec![Vec::new()],
        faults: vec![fault.to_string()],
        raw: raw(telegrams),
    }
}

fn word(telegrams: &[Telegram], decoded: Decoded, said: Said, order: TraceOrder) -> Word {
    let mut faults = Vec::new();
    let mut fields = decoded.fields;
    let curve = match (decoded.trace, order, telegrams) {
        // Read again in the other order: its samples take the place of those in the usual one.
        (Some(_), TraceOrder::Big, [telegram]) => match trace::decode(telegram, order) {
            Ok(curve) => Some(curve),
            Err(fault) => {
                faults.push(fault.to_string());
                None
            }
        },
        (curve, ..) => curve,
    };
    if let Some(curve) = curve {
        let said = trace_fields(&curve);
        fields.retain(|field| !said.iter().any(|other| other.name == field.name));
        fields.extend(said);
    }
    let readings = if decoded.spindles.is_empty() {
        vec![fields]
    } else {
        let with_common = |mut spindle: Vec<Field>| {
            spindle.extend(fields.iter().cloned());
            spindle
        };
        decoded.spindles.into_iter().map(with_common).collect()
    };
    Word {
        said,
        mid: telegrams.first().map_or(0, Telegram::mid),
        readings,
        faults,
        raw: raw(telegrams),
    }
}

/// What a trace says, by names.
#[must_use]
pub fn trace_fields(curve: &Trace) -> Vec<Field> {
    let field = |name: &'static str, value: Raw, uom: Option<&'static str>| Field {
        name: name.into(),
        value,
        uom,
    };
    let samples = curve.samples.iter().map(|sample| Raw::Dec(*sample)).collect();
    let mut fields = vec![
        field("trace_type", Raw::Text(curve.kind.clone()), None),
        field("trace_samples", Raw::List(samples), curve.uom),
    ];
    if let Some((name, uom, step)) = curve.step {
        fields.push(field("trace_step", Raw::Dec(step), uom));
        fields.push(field("trace_step_of", Raw::Text(name.to_owned()), None));
    }
    fields.extend(curve.fields.iter().filter(|field| field.name != "trace_type").cloned());
    fields
}

/// What the points of a plan say: in the reading first, else in what the session knows of the controller. A point named like a field
/// with [`UOM`] behind it says in which unit of measure that field is.
#[must_use]
pub fn values(points: &[PointPlan], reading: &[Field], session: &[Field]) -> Vec<Option<Raw>> {
    let find = |name: &str| {
        let among = |fields: &'_ [Field]| fields.iter().position(|field| field.name == name);
        among(reading)
            .and_then(|at| reading.get(at))
            .or_else(|| among(session).and_then(|at| session.get(at)))
    };
    let value = |point: &PointPlan| {
        let Address::Field(name) = &point.at else { return None };
        if let Some(field) = find(name) {
            return Some(field.value.clone());
        }
        let of = name.strip_suffix(UOM)?;
        find(of)?.uom.map(|uom| Raw::Text(uom.to_owned()))
    };
    points.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::open_protocol::{Split, Splitter};
    use std::sync::Arc;

    fn telegram(text: &str) -> Telegram {
        let mut splitter = Splitter::new();
        splitter.push(text.as_bytes());
        splitter.push(b"\0");
        match splitter.next() {
            Some(Split::Telegram(telegram, _)) => telegram,
            other => panic!("{other:?}"),
        }
    }

    fn point(name: &str) -> PointPlan {
        PointPlan {
            name: name.into(),
            at: Address::Field(Arc::from(name)),
            invalid: Vec::new(),
            deadband: None,
        }
    }

    const STORED: &str = "01180065001         01012345678902AIRBAG                   03001040002050060070080014670900046102001-04-22:14:54:34112";
    const ALARM: &str = "00530071001         01E851021031042017-12-01:20:12:45";

    #[test]
    fn a_stored_result_is_a_result_and_names_its_uom() {
        let word = Hearer::default().take(telegram(STORED)).unwrap();
        assert_eq!((word.said, word.mid, word.faults.len()), (Said::Result, 65, 0));
        let points = [
            point("tightening_id"),
            point("torque"),
            point("torque_uom"),
            point("angle_min"),
        ];
        let values = values(&points, word.readings.first().unwrap(), &[]);
        let text: Vec<Option<String>> = values.iter().map(|raw| raw.as_ref().map(Raw::text)).collect();
        let expected = [Some("123456789"), Some("14.67"), Some("N.m"), None];
        assert_eq!(text, expected.map(|text| text.map(str::to_owned)));
    }

    #[test]
    fn what_the_session_knows_stands_behind_the_reading() {
        let word = Hearer::default().take(telegram(ALARM)).unwrap();
        assert_eq!(word.said, Said::Alarm);
        let serial = Field {
            name: "controller_serial_number".into(),
            value: Raw::Text("4711".to_owned()),
            uom: None,
        };
        let points = [point("error_code"), point("controller_serial_number")];
        let values = values(&points, word.readings.first().unwrap(), &[serial]);
        assert_eq!(
            values,
            [Some(Raw::Text("E851".to_owned())), Some(Raw::Text("4711".to_owned()))]
        );
    }

    #[test]
    fn a_result_of_variable_fields_is_whole_with_its_last_telegram() {
        let built = |mid: u16, data: &str| telegram(&format!("{:04}{mid}001         {data}", 20 + data.len()));
        let head = built(1201, "00200100000001532022-11-14:09:35:1010000100010000");
        let part = |id: &str| built(1202, &format!("002002{id}0001001020010070300100000012.34"));
        let mut hearer = Hearer::default();
        assert_eq!(hearer.take(part("0000000153")), None, "its beginning was not heard");
        assert_eq!(hearer.take(head), None);
        assert_eq!(hearer.take(part("0000000999")), None, "of another result");
        let word = hearer.take(part("0000000153")).unwrap();
        assert_eq!(word.faults, Vec::<String>::new());
        let values = values(
            &[point("result_id"), point("torque")],
            word.readings.first().unwrap(),
            &[],
        );
        assert_eq!(values.last().unwrap().as_ref().map(Raw::text).as_deref(), Some("12.34"));
        assert_eq!(word.raw.lines().count(), 2);
    }

    #[test]
    fn a_telegram_that_ends_inside_a_field_says_so() {
        let word = Hearer::default().take(telegram("00240071001         01E8")).unwrap();
        assert_eq!(word.faults.len(), 1, "{:?}", word.faults);
        assert!(word.raw.contains("0071"));
    }
}
