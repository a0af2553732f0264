//! What telegrams say as a whole, where one thing comes in several of them: parts, 1201 with its 1202s.
//!
//! Owns what waits for its end. Does not own what a telegram says ([`super::reading`]). Shared by driver and replay.

use super::reading::{is_news, join, readings, said};
use super::{Decoded, Fault, Field, Joiner, Telegram, TraceOrder, variable};
use crate::model::plan::Said;

/// Telegrams of one result of variable fields at most.
const PARTS: usize = 64;
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
        self.whole(&[telegram], said)
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
        self.whole(&parts, said)
    }

    /// `None`: it tells nothing.
    fn whole(&self, telegrams: &[Telegram], said: Said) -> Option<Word> {
        match join(telegrams, self.order) {
            Ok(decoded) => is_news(&decoded).then(|| word(telegrams, decoded, said)),
            Err(fault) => Some(unreadable(telegrams, said, &fault)),
        }
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

fn word(telegrams: &[Telegram], decoded: Decoded, said: Said) -> Word {
    Word {
        said,
        mid: telegrams.first().map_or(0, Telegram::mid),
        readings: readings(decoded),
        faults: Vec::new(),
        raw: raw(telegrams),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Raw;
    use crate::model::plan::{Address, PointPlan};
    use crate::wire::open_protocol::reading::values;
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
