//! What a simulated device does to its memory: values put as they are held, triggers raised and taken back.
//!
//! Owns no time and no results ([`super::device`]).

use super::memory::Memory;
use crate::model::plan::{
    Ack, AckValue, EventPlan, ModbusPoint, ModbusType, OpcuaPoint, PointIx, SlotPlan, Table, Trigger,
};
use crate::model::{Decimal, Moment, Raw};
use crate::wire::modbus::{self, Image};

pub(super) fn place(plan: &SlotPlan, point: PointIx) -> Option<&ModbusPoint> {
    plan.points.get(point).map(|point| point.at.registers())
}

fn node(plan: &SlotPlan, point: PointIx) -> Option<&OpcuaPoint> {
    plan.points.get(point)?.at.opcua()
}

/// Puts a raw value where it stands; the other bits of a word stay.
pub(super) fn put(plan: &SlotPlan, memory: &mut Memory, point: PointIx, raw: &Raw) -> Result<(), String> {
    let image = match memory {
        Memory::Registers(image) => image,
        Memory::Variables(variables) => {
            return node(plan, point).map_or(Ok(()), |at| variables.write(at, raw));
        }
    };
    let Some(at) = place(plan, point) else { return Ok(()) };
    let new = modbus::encode(at, raw).map_err(|fault| fault.to_string())?;
    let old = image
        .words(at.table, at.address, modbus::span(at))
        .unwrap_or_else(|| vec![0; new.len()]);
    let words = modbus::merge(at, &old, &new);
    image.put(at.table, at.address, &words);
    Ok(())
}

/// What a point says.
pub(super) fn value(plan: &SlotPlan, memory: &Memory, point: PointIx) -> Option<Raw> {
    match memory {
        Memory::Registers(image) => place(plan, point).and_then(|at| modbus::decode(at, image)),
        Memory::Variables(variables) => variables.read(node(plan, point)?),
    }
}

pub(super) fn values(plan: &SlotPlan, memory: &Memory) -> Vec<Option<Raw>> {
    (0..plan.points.len()).map(|point| value(plan, memory, point)).collect()
}

/// Moves the record that stands in the first place of a ring to where the device writes next, and the index on.
/// Returns the record.
pub(super) fn write_record(
    plan: &SlotPlan,
    memory: &mut Memory,
    event: &EventPlan,
    before: &Memory,
) -> Vec<(Table, u16, Vec<u16>)> {
    let (Some(ring), Memory::Registers(registers)) = (&event.ring, before) else {
        return Vec::new();
    };
    let Some(index) = place(plan, ring.index) else {
        return Vec::new();
    };
    let current = value(plan, memory, ring.index).and_then(|raw| raw.number()?.to_i128());
    let current = current.and_then(|index| u64::try_from(index).ok()).unwrap_or(0);
    let next = (current + 1) % ring.modulus(index, current, current);
    let slot = if ring.newest { next } else { current } % u64::from(ring.slots.max(1));
    let shift = u16::try_from(slot).unwrap_or(0).saturating_mul(ring.stride);
    let Some(image) = memory.registers() else {
        return Vec::new();
    };
    let record: Vec<(Table, u16, Vec<u16>)> = event
        .points
        .iter()
        .chain(&event.id)
        .filter(|point| **point != ring.index)
        .filter_map(|point| {
            let at = place(plan, *point)?;
            Some((
                at.table,
                at.address,
                image.words(at.table, at.address, modbus::span(at))?,
            ))
        })
        .collect();
    for (table, address, words) in &record {
        let count = u16::try_from(words.len()).unwrap_or(0);
        if let Some(old) = registers.words(*table, *address, count) {
            image.put(*table, *address, &old);
        }
    }
    for (table, address, words) in &record {
        image.put(*table, address.saturating_add(shift), words);
    }
    drop(put(plan, memory, ring.index, &Raw::Dec(next.into())));
    record
}

/// Between its points a device usually has registers too, that mean nothing here.
pub(super) fn fill_gaps(plan: &SlotPlan, image: &mut Image) {
    const WIDEST: u16 = 64;
    let mut spans: Vec<_> = (0..plan.points.len())
        .filter_map(|point| place(plan, point))
        .map(|at| (at.table, at.address, at.address.saturating_add(modbus::span(at))))
        .collect();
    spans.sort_unstable();
    for pair in spans.windows(2) {
        if let [(table, _, end), (next, begin, _)] = pair
            && table == next
            && *begin > *end
            && begin - end <= WIDEST
        {
            for address in *end..*begin {
                if image.get(*table, address).is_none() {
                    image.put(*table, address, &[0]);
                }
            }
        }
    }
}

pub(super) fn is_level(triggers: &[Trigger]) -> bool {
    triggers
        .iter()
        .any(|trigger| matches!(trigger, Trigger::Rises(_) | Trigger::Falls(_) | Trigger::Equals(..)))
}

/// Whether a level shows.
pub(super) fn shows(trigger: &Trigger, values: &[Option<Raw>]) -> bool {
    let value = |point: &PointIx| values.get(*point).and_then(Option::as_ref);
    match trigger {
        Trigger::Rises(point) => value(point).is_some_and(Raw::truth),
        Trigger::Falls(point) => value(point).is_some_and(|raw| !raw.truth()),
        Trigger::Equals(point, wanted) | Trigger::Reads(point, wanted) => {
            value(point).is_some_and(|raw| raw.same_value(wanted))
        }
        _ => false,
    }
}

/// Takes a level back.
pub(super) fn lower(plan: &SlotPlan, memory: &mut Memory, trigger: &Trigger) {
    let (point, raw) = match trigger {
        Trigger::Rises(point) => (point, Decimal::ZERO),
        Trigger::Falls(point) => (point, Decimal::ONE),
        Trigger::Equals(point, wanted) | Trigger::Reads(point, wanted) => {
            let zero = wanted.number() == Some(Decimal::ZERO);
            (point, if zero { Decimal::ONE } else { Decimal::ZERO })
        }
        _ => return,
    };
    drop(put(plan, memory, *point, &Raw::Dec(raw)));
}

/// Whether the register of the acknowledgement holds it.
pub(super) fn acknowledges(plan: &SlotPlan, ack: &Ack, values: &[Option<Raw>]) -> bool {
    let stands = values.get(ack.write).and_then(Option::as_ref);
    let wanted = match &ack.value {
        AckValue::Value(raw) => Some(raw.clone()),
        AckValue::Copy(point) => values.get(*point).cloned().flatten(),
    };
    let wanted = wanted.and_then(|raw| match node(plan, ack.write) {
        Some(at) => Some(at.narrowed(&raw)),
        None => as_held(place(plan, ack.write)?, &raw),
    });
    stands
        .zip(wanted)
        .is_some_and(|(stands, wanted)| stands.same_value(&wanted))
}

/// What a register holds once `raw` was written there: the low bits of a wider number.
fn as_held(at: &ModbusPoint, raw: &Raw) -> Option<Raw> {
    modbus::decode_words(at, &modbus::encode(at, raw).ok()?)
}

/// The register of an acknowledgement while nothing is owed.
pub(super) fn rest(plan: &SlotPlan, memory: &mut Memory, triggers: &[Trigger], ack: &Ack) {
    if triggers.iter().any(|trigger| trigger.points().contains(&ack.write)) {
        return;
    }
    let raw = match &ack.value {
        AckValue::Copy(point) => value(plan, memory, *point),
        AckValue::Value(_) if ack.then.is_some() => ack.then.clone(),
        AckValue::Value(raw) => {
            let zero = raw.number() == Some(Decimal::ZERO);
            Some(Raw::Dec(if zero { Decimal::ONE } else { Decimal::ZERO }))
        }
    };
    if let Some(raw) = raw {
        drop(put(plan, memory, ack.write, &raw));
    }
}

/// Something else than before: the other bit, the next number, another text.
pub(super) fn step(plan: &SlotPlan, memory: &mut Memory, point: PointIx) {
    let Some(at) = place(plan, point) else { return };
    let current = value(plan, memory, point);
    let text = match (memory.registers().is_some(), at.kind, &current) {
        (true, ModbusType::Text(bytes), _) => Some(usize::from(bytes)),
        (false, _, Some(Raw::Text(_))) => Some(9),
        _ => None,
    };
    let next = match (&current, text) {
        (Some(Raw::Bool(value)), _) => Raw::Bool(!value),
        (_, Some(bytes)) => {
            let digits: String = current
                .as_ref()
                .map(Raw::text)
                .unwrap_or_default()
                .chars()
                .rev()
                .take_while(char::is_ascii_digit)
                .collect();
            let digits: String = digits.chars().rev().collect();
            let number = digits.parse::<u64>().unwrap_or(0).saturating_add(1);
            let width = bytes.saturating_sub(3).clamp(1, 6);
            Raw::Text(format!("SIM{number:0width$}"))
        }
        _ => {
            let number = current.as_ref().and_then(Raw::number).unwrap_or(Decimal::ZERO);
            Raw::Dec(number.plus(Decimal::ONE))
        }
    };
    if put(plan, memory, point, &next).is_err() {
        drop(put(plan, memory, point, &Raw::Dec(Decimal::ONE)));
    }
}

/// What tells one start of the device from the next: the time, as far as the type holds it.
pub(super) fn fresh(plan: &SlotPlan, memory: &Memory, point: PointIx, now: Moment) -> Option<Raw> {
    let seconds = now.wall / 1_000;
    if let Memory::Variables(_) = memory {
        return match value(plan, memory, point)? {
            Raw::Text(_) => Some(Raw::Text(format!("SIM{}", seconds % 100_000))),
            Raw::Int(_) => Some(Raw::Int(seconds & 0x7FFF)),
            _ => None,
        };
    }
    let at = place(plan, point)?;
    Some(match at.kind {
        ModbusType::U32 | ModbusType::I32 | ModbusType::U64 | ModbusType::I64 => Raw::Int(seconds & 0x7FFF_FFFF),
        ModbusType::U16 | ModbusType::I16 if at.bits.is_none() => Raw::Int(seconds & 0x7FFF),
        ModbusType::Bcd16 => Raw::Int(seconds % 9_999),
        ModbusType::Text(_) => Raw::Text(format!("SIM{}", seconds % 100_000)),
        _ => return None,
    })
}
