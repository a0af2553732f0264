//! Which registers are asked for together: points in, the fewest requests out. Pure.
//!
//! Owns the limits of a request and what must stand alone. Does not own connections or values.

use crate::model::plan::{Address, ModbusPoint, ModbusTcp, PointIx, SlotPlan, Table};
use crate::wire::modbus;
use std::collections::BTreeSet;

/// One read: consecutive registers (or bits) of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which table.
    pub table: Table,
    /// First address.
    pub address: u16,
    /// How many registers or bits.
    pub count: u16,
    /// What it is asked for.
    pub pieces: Vec<Piece>,
}

/// A part of a request that belongs to a point; an array longer than a request has several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Whose.
    pub point: PointIx,
    /// Where it begins in the request.
    pub offset: u16,
    /// Where it begins in the point.
    pub into: u16,
    /// How many.
    pub count: u16,
}

/// How requests are cut: the limits of the link, less what this device refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    registers: u16,
    bits: u16,
    gap: u16,
    single: bool,
    alone: BTreeSet<PointIx>,
}

impl Cut {
    /// The limits of `link`, held to those of the protocol.
    #[must_use]
    pub fn new(link: &ModbusTcp) -> Self {
        Self {
            registers: link.max_registers.clamp(1, 125),
            bits: link.max_bits.clamp(1, 2000),
            gap: link.max_gap,
            single: false,
            alone: BTreeSet::new(),
        }
    }

    /// The device refused a request as a whole. `bad` are its points that it also refuses one by one:
    /// they stand alone from now on. Where there are none it was the gap, or else the block.
    pub fn refused(&mut self, bad: &[PointIx]) {
        if !bad.is_empty() {
            self.alone.extend(bad);
        } else if self.gap > 0 {
            self.gap = 0;
        } else {
            self.single = true;
        }
    }

    fn limit(&self, table: Table) -> u16 {
        if table.is_bits() { self.bits } else { self.registers }
    }
}

/// A piece with its place.
struct Part {
    table: Table,
    address: u16,
    alone: bool,
    piece: Piece,
}

impl Part {
    fn end(&self) -> u32 {
        u32::from(self.address) + u32::from(self.piece.count)
    }
}

/// The fewest requests that read `wanted`.
///
/// A number or string is never split, an array only between its elements where it is longer than a request.
/// What reading clears stands alone, and no gap spans it. A point beyond address 65535 is left out.
#[must_use]
pub fn coalesce(plan: &SlotPlan, wanted: &[PointIx], cut: &Cut) -> Vec<Request> {
    let cleared: Vec<(Table, u32, u32)> = plan
        .points
        .iter()
        .map(|point| place(&point.at))
        .filter(|at| at.clears)
        .map(|at| {
            (
                at.table,
                u32::from(at.address),
                u32::from(at.address) + u32::from(modbus::span(at)),
            )
        })
        .collect();
    let mut parts = Vec::with_capacity(wanted.len());
    for point in wanted {
        if let Some(at) = plan.points.get(*point).map(|point| place(&point.at)) {
            split(*point, at, cut, &mut parts);
        }
    }
    parts.sort_by_key(|part| (part.table, part.address, part.piece.count));
    let mut requests: Vec<(bool, Request)> = Vec::new();
    for part in parts {
        let joins = requests
            .iter_mut()
            .rev()
            .find(|(alone, _)| !alone)
            .map(|(_, request)| request)
            .filter(|request| {
                let end = u32::from(request.address) + u32::from(request.count);
                let both = part.end().max(end);
                !part.alone
                    && request.table == part.table
                    && u32::from(part.address) <= end + u32::from(cut.gap)
                    && both - u32::from(request.address) <= u32::from(cut.limit(part.table))
                    && !cleared.iter().any(|(table, from, to)| {
                        *table == part.table && *from < both && *to > u32::from(request.address)
                    })
            });
        match joins {
            Some(request) => {
                let end = (u32::from(request.address) + u32::from(request.count)).max(part.end());
                request.count = u16::try_from(end - u32::from(request.address)).unwrap_or(request.count);
                request.pieces.push(Piece {
                    offset: part.address - request.address,
                    ..part.piece
                });
            }
            None => requests.push((
                part.alone,
                Request {
                    table: part.table,
                    address: part.address,
                    count: part.piece.count,
                    pieces: vec![part.piece],
                },
            )),
        }
    }
    requests.into_iter().map(|(_, request)| request).collect()
}

/// Where a point is.
pub(super) fn place(at: &Address) -> &ModbusPoint {
    let Address::Modbus(at) = at;
    at
}

/// Cuts one point into pieces that fit a request; nearly always one.
fn split(point: PointIx, at: &ModbusPoint, cut: &Cut, parts: &mut Vec<Part>) {
    let span = modbus::span(at);
    if u32::from(at.address) + u32::from(span) > 65_536 || span == 0 {
        return;
    }
    let alone = at.clears || cut.single || cut.alone.contains(&point);
    let width = at.kind.width().max(1);
    // At least one element, be the limit what it may.
    let step = (cut.limit(at.table) / width).max(1).saturating_mul(width);
    let mut into = 0;
    while into < span {
        let count = step.min(span - into);
        parts.push(Part {
            table: at.table,
            address: at.address + into,
            alone,
            piece: Piece {
                point,
                offset: 0,
                into,
                count,
            },
        });
        into += count;
    }
}

#[cfg(test)]
mod tests;
