//! From exchanges of a record to values of points. Owns nothing of events.

use crate::model::Raw;
use crate::model::plan::{ModbusPoint, PointIx, SlotPlan, Table};
use crate::record::{Record, What};
use crate::wire::modbus::pdu::{Answer, Ask};
use crate::wire::modbus::{decode_words, span};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What one line of a record means to the points.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Seen {
    /// Nothing.
    Nothing,
    /// Something went wrong: what is read before and behind need not belong together.
    Broken,
    /// These points were read.
    Read(Vec<Value>),
}

/// A point that was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Value {
    pub(super) point: PointIx,
    /// `None`: its registers hold no value.
    pub(super) raw: Option<Raw>,
    /// The number of the exchange that read its first register.
    pub(super) from: u64,
    /// The number of the exchange that read its last register.
    pub(super) to: u64,
}

/// What a record holds as a whole.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    /// When each point was read first.
    pub(super) first: BTreeMap<PointIx, u64>,
    /// Points that were refused and never read, each in a sentence.
    pub(super) refused: Vec<String>,
}

impl Scanned {
    /// Whether the record holds this point.
    pub(super) fn holds(&self, point: PointIx) -> bool {
        self.first.contains_key(&point)
    }
}

/// Every table, first register and number of registers that a record reads of a server, each once.
pub(super) fn reads(record: &Record, server: u8) -> Vec<(Table, u16, u16)> {
    let mut found = BTreeSet::new();
    for line in &record.lines {
        if let What::Exchange { server: of, sent, got } = &line.what
            && *of == server
            && let (Some(ask), Ok(got)) = (Ask::parse_read(sent), got)
            && let (Ask::Read { table, address, count }, Ok(Answer::Words(_))) = (&ask, ask.decode(got))
        {
            found.insert((*table, *address, *count));
        }
    }
    found.into_iter().collect()
}

/// A point of several requests, as far as it was read.
#[derive(Debug, Clone)]
struct Partly {
    words: Vec<Option<u16>>,
    from: u64,
}

/// Reads exchanges one after another.
#[derive(Debug)]
pub(super) struct Reader {
    plan: Arc<SlotPlan>,
    partly: BTreeMap<PointIx, Partly>,
    number: u64,
}

fn place(plan: &SlotPlan, point: PointIx) -> Option<&ModbusPoint> {
    plan.points.get(point).map(|point| point.at.registers())
}

impl Reader {
    pub(super) fn new(plan: &Arc<SlotPlan>) -> Self {
        Self {
            plan: plan.clone(),
            partly: BTreeMap::new(),
            number: 0,
        }
    }

    /// Looks through the whole record once. Starts and ends at its begin.
    pub(super) fn scan(&mut self, record: &Record, server: u8) -> Scanned {
        let mut scanned = Scanned::default();
        let mut refused: BTreeMap<PointIx, u8> = BTreeMap::new();
        for line in &record.lines {
            let What::Exchange { server: of, sent, got } = &line.what else {
                continue;
            };
            if *of != server {
                continue;
            }
            if let (Some(ask), Ok(got)) = (Ask::parse_read(sent), got)
                && let (Ok(Answer::Exception(code)), Ask::Read { table, address, count }) = (ask.decode(got), &ask)
            {
                for point in self.within(*table, *address, *count) {
                    refused.insert(point, code);
                }
            }
            if let Seen::Read(values) = self.read(sent, got.as_deref().ok()) {
                for value in values {
                    scanned.first.entry(value.point).or_insert(line.ms);
                }
            }
        }
        let never: BTreeSet<PointIx> = refused.keys().copied().filter(|point| !scanned.holds(*point)).collect();
        scanned.refused = never
            .iter()
            .filter_map(|point| {
                let name = &self.plan.points.get(*point)?.name;
                let code = refused.get(point)?;
                Some(format!("the device refused `{name}` with exception {code:02x}"))
            })
            .collect();
        self.partly.clear();
        self.number = 0;
        scanned
    }

    /// Points that lie wholly in these registers.
    fn within(&self, table: Table, address: u16, count: u16) -> Vec<PointIx> {
        let (from, to) = (u32::from(address), u32::from(address) + u32::from(count));
        let lies = |at: &ModbusPoint| {
            let start = u32::from(at.address);
            at.table == table && start >= from && start + u32::from(span(at)) <= to
        };
        (0..self.plan.points.len())
            .filter(|point| place(&self.plan, *point).is_some_and(lies))
            .collect()
    }

    /// What one exchange says.
    pub(super) fn read(&mut self, sent: &[u8], got: Option<&[u8]>) -> Seen {
        let Some(ask) = Ask::parse_read(sent) else {
            return Seen::Nothing;
        };
        let Ask::Read { table, address, .. } = ask else {
            return Seen::Nothing;
        };
        let words = match got.map(|got| ask.decode(got)) {
            Some(Ok(Answer::Words(words))) => words,
            // The device says no: nothing else is in doubt by that.
            Some(Ok(_)) => return Seen::Nothing,
            Some(Err(_)) | None => {
                self.partly.clear();
                return Seen::Broken;
            }
        };
        self.number += 1;
        let mut values = Vec::new();
        for point in 0..self.plan.points.len() {
            let plan = self.plan.clone();
            let Some(at) = place(&plan, point).filter(|at| at.table == table) else {
                continue;
            };
            let length = usize::from(span(at));
            let (start, first) = (usize::from(at.address), usize::from(address));
            let overlaps = start < first + words.len() && first < start + length;
            if !overlaps || length == 0 {
                continue;
            }
            if let Some(all) = start.checked_sub(first).and_then(|from| words.get(from..from + length)) {
                self.partly.remove(&point);
                values.push(Value {
                    point,
                    raw: decode_words(at, all),
                    from: self.number,
                    to: self.number,
                });
                continue;
            }
            let partly = self.partly.entry(point).or_insert_with(|| Partly {
                words: vec![None; length],
                from: self.number,
            });
            for (offset, word) in words.iter().enumerate() {
                let into = (first + offset).checked_sub(start);
                if let Some(slot) = into.and_then(|into| partly.words.get_mut(into)) {
                    *slot = Some(*word);
                }
            }
            if let Some(all) = partly.words.iter().copied().collect::<Option<Vec<u16>>>() {
                values.push(Value {
                    point,
                    raw: decode_words(at, &all),
                    from: partly.from,
                    to: self.number,
                });
                self.partly.remove(&point);
            }
        }
        Seen::Read(values)
    }
}
