//! Which registers are asked for together: points in, the fewest requests out. Pure.
//!
//! Owns the limits of a request and what must stand alone. Does not own connections or values.

use crate::model::plan::{Address, ModbusLink, ModbusPoint, PointIx, SlotPlan, Table};
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
    limits: Limits,
    alone: BTreeSet<PointIx>,
}

/// What a server takes in one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    registers: u16,
    bits: u16,
    gap: u16,
}

impl Limits {
    /// What both can do.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            registers: self.registers.min(other.registers),
            bits: self.bits.min(other.bits),
            gap: self.gap.min(other.gap),
        }
    }
}

impl Cut {
    /// The limits of `link`, held to those of the protocol.
    #[must_use]
    pub fn new(link: &ModbusLink) -> Self {
        Self {
            limits: Limits {
                registers: link.max_registers.clamp(1, 125),
                bits: link.max_bits.clamp(1, 2000),
                gap: link.max_gap,
            },
            alone: BTreeSet::new(),
        }
    }

    /// What has been found out of the server.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Takes over what another slot found out of the same server. Whether that changes anything.
    pub fn learn(&mut self, limits: Limits) -> bool {
        let both = self.limits.with(limits);
        std::mem::replace(&mut self.limits, both) != both
    }

    /// The device refused `request` as a whole. `bad` are its points that it also refuses one by one: they stand alone
    /// from now on. Where there are none it was a gap, or else the length: then what is written in the profile, to spare
    /// finding it out again.
    pub fn refused(&mut self, request: &Request, bad: &[PointIx]) -> Option<String> {
        if !bad.is_empty() {
            self.alone.extend(bad);
            return None;
        }
        if self.limits.gap > 0 && request.has_gap() {
            self.limits.gap = 0;
            return Some("max_gap = 0".to_owned());
        }
        let most = (request.count / 2).max(1);
        Some(if request.table.is_bits() {
            self.limits.bits = self.limits.bits.min(most);
            format!("max_bits = {}", self.limits.bits)
        } else {
            self.limits.registers = self.limits.registers.min(most);
            format!("max_registers = {}", self.limits.registers)
        })
    }

    fn limit(&self, table: Table) -> u16 {
        if table.is_bits() {
            self.limits.bits
        } else {
            self.limits.registers
        }
    }
}

impl Request {
    /// Whether it spans registers that no point wants.
    fn has_gap(&self) -> bool {
        let mut end = 0;
        let mut pieces: Vec<(u16, u16)> = self.pieces.iter().map(|piece| (piece.offset, piece.count)).collect();
        pieces.sort_unstable();
        pieces.iter().any(|(offset, count)| {
            let gap = *offset > end;
            end = end.max(offset.saturating_add(*count));
            gap
        })
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
                    && u32::from(part.address) <= end + u32::from(cut.limits.gap)
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
    at.registers()
}

/// Cuts one point into pieces that fit a request; nearly always one.
fn split(point: PointIx, at: &ModbusPoint, cut: &Cut, parts: &mut Vec<Part>) {
    let span = modbus::span(at);
    if u32::from(at.address) + u32::from(span) > 65_536 || span == 0 {
        return;
    }
    let alone = at.clears || cut.alone.contains(&point);
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
