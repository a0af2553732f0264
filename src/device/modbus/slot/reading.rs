//! How a slot's points are read and written: requests out, registers in, and what a refused request teaches.
//!
//! Owns the registers as they stood on the wire. When something is read is the poller's, in [`super`].

use super::{Broken, READY, Slot};
use crate::clock::Clock;
use crate::device::modbus::client::{Connection, Exception, Fault as Refusal};
use crate::device::modbus::requests::{Piece, Request, coalesce, place};
use crate::device::tap::Reading;
use crate::model::Raw;
use crate::model::plan::{PointIx, Table};
use crate::watch::Fault;
use crate::wire::modbus;
use std::sync::Arc;

impl Slot {
    /// Reads all points for a command; what reading clears only with `clears`. Changes nothing in what is under way.
    pub(in crate::device::modbus) async fn look(
        &mut self,
        connection: &mut Connection,
        clears: bool,
        clock: &Clock,
    ) -> Result<Reading, Broken> {
        let wanted = |point: &PointIx| {
            let of = self.plan.points.get(*point);
            of.is_some_and(|of| clears || !place(&of.at).clears)
        };
        let points: Arc<[PointIx]> = (0..self.plan.points.len()).filter(wanted).collect();
        let kept = (self.values.clone(), self.words.clone());
        self.exchange_cuts();
        let outcome = self.read(connection, &points).await;
        self.exchange_cuts();
        (self.refused, self.learned) = (false, None);
        let values = std::mem::replace(&mut self.values, kept.0);
        let words = std::mem::replace(&mut self.words, kept.1);
        let faults = outcome?.into_iter().map(|fault| fault.text).collect();
        let hex = |(point, (start, span)): (PointIx, &(usize, usize))| {
            let bits = self
                .plan
                .points
                .get(point)
                .is_some_and(|of| place(&of.at).table.is_bits());
            let read = values.get(point).is_some_and(Option::is_some);
            let words = words.get(*start..start + span).filter(|_| read).unwrap_or_default();
            words
                .iter()
                .map(|word| shown(bits, *word))
                .collect::<Vec<_>>()
                .join(" ")
        };
        Ok(Reading {
            at: clock.now(),
            words: self.places.iter().enumerate().map(hex).collect(),
            values,
            faults,
        })
    }

    /// Looks of commands are cut apart from what is under way.
    fn exchange_cuts(&mut self) {
        std::mem::swap(&mut self.cut, &mut self.looks.0);
        std::mem::swap(&mut self.ready, &mut self.looks.1);
    }

    fn requests(&mut self, points: &Arc<[PointIx]>) -> Arc<[Request]> {
        if let Some(ready) = self.ready.get(points) {
            return ready.clone();
        }
        if self.ready.len() >= READY {
            self.ready.clear();
        }
        let requests: Arc<[Request]> = coalesce(&self.plan, points, &self.cut).into();
        self.ready.insert(points.clone(), requests.clone());
        requests
    }

    /// Reads `points` into `values`. Points that the device refuses are faults; the error is a server or link that failed.
    pub(super) async fn read(
        &mut self,
        connection: &mut Connection,
        points: &Arc<[PointIx]>,
    ) -> Result<Vec<Fault>, Broken> {
        self.values.fill(None);
        let mut faults = Vec::new();
        for request in self.requests(points).iter() {
            match self.ask(connection, request).await {
                Ok(words) => self.keep(request, &words),
                Err(Refusal::Exception(code)) if !code.is_transient() && self.is_divisible(request) => {
                    self.one_by_one(connection, request, &mut faults).await?;
                }
                Err(Refusal::Exception(code)) => {
                    for piece in &request.pieces {
                        faults.push(self.fault(piece.point, code));
                    }
                }
                Err(broken) => return Err(broken.into()),
            }
        }
        for fault in &faults {
            if let Some(value) = self.values.get_mut(fault.point) {
                *value = None;
            }
        }
        Ok(faults)
    }

    async fn ask(&self, connection: &mut Connection, request: &Request) -> Result<Vec<u16>, Refusal> {
        let server = self.link.server_id;
        let Some(address) = request.address.checked_add(self.shift) else {
            return Err(Refusal::Exception(Exception::ADDRESS));
        };
        connection.read(server, request.table, address, request.count).await
    }

    /// Whether it can be asked for in parts: several points, or an array. What reading clears is asked for once.
    fn is_divisible(&self, request: &Request) -> bool {
        request.pieces.len() > 1 || request.pieces.iter().any(|piece| piece.count > self.element(piece))
    }

    /// Registers of one element of a piece; of what reading clears, all.
    fn element(&self, piece: &Piece) -> u16 {
        let at = self.plan.points.get(piece.point).map(|point| place(&point.at));
        at.filter(|at| !at.clears)
            .map_or(piece.count, |at| at.kind.width().max(1))
    }

    /// A request that the device refuses as a whole: finds out which point it is, and cuts otherwise from now on.
    async fn one_by_one(
        &mut self,
        connection: &mut Connection,
        request: &Request,
        faults: &mut Vec<Fault>,
    ) -> Result<(), Broken> {
        let mut bad = Vec::new();
        for piece in &request.pieces {
            let alone = Request {
                table: request.table,
                address: request.address.saturating_add(piece.offset),
                count: piece.count,
                pieces: vec![Piece { offset: 0, ..*piece }],
            };
            match self.ask(connection, &alone).await {
                Ok(words) => self.keep(&alone, &words),
                Err(Refusal::Exception(code)) => {
                    let element = self.element(piece);
                    let first = Request {
                        count: element,
                        ..alone.clone()
                    };
                    let too_long = !code.is_transient()
                        && piece.count > element
                        && match self.ask(connection, &first).await {
                            Ok(_) => true,
                            Err(Refusal::Exception(_)) => false,
                            Err(broken) => return Err(broken.into()),
                        };
                    if !code.is_transient() && !too_long {
                        bad.push(piece.point);
                    }
                    faults.push(Fault {
                        transient: code.is_transient() || too_long,
                        ..self.fault(piece.point, code)
                    });
                }
                Err(broken) => return Err(broken.into()),
            }
        }
        if let Some(written) = self.cut.refused(request, &bad) {
            tracing::info!(
                slot = %self.plan.slot, address = %self.link.address, server = self.link.server_id,
                "server {} refuses {} of {}:{} in one request, though not one by one; it is asked for less from now on. \
                 `{written}` in [connection] spares finding that out at each start",
                self.link.server_id, request.count, request.table.word(), request.address
            );
            self.learned = Some(self.cut.limits());
        }
        self.ready.clear();
        self.refused = true;
        Ok(())
    }

    /// Takes up the registers of an answer, and decodes the points that end in it.
    fn keep(&mut self, request: &Request, words: &[u16]) {
        for piece in &request.pieces {
            let (Some((start, span)), Some(point)) = (self.places.get(piece.point), self.plan.points.get(piece.point))
            else {
                continue;
            };
            let from = usize::from(piece.offset);
            let to = start + usize::from(piece.into);
            let count = usize::from(piece.count);
            if let (Some(source), Some(target)) = (words.get(from..from + count), self.words.get_mut(to..to + count)) {
                target.copy_from_slice(source);
            }
            let ends = usize::from(piece.into) + count == *span;
            if let (true, Some(value)) = (ends, self.values.get_mut(piece.point)) {
                *value = self
                    .words
                    .get(*start..start + span)
                    .and_then(|words| modbus::decode_words(place(&point.at), words));
            }
        }
    }

    fn fault(&self, point: PointIx, code: Exception) -> Fault {
        let (name, at) = self.plan.points.get(point).map_or(("", String::new()), |point| {
            let at = place(&point.at);
            (&*point.name, format!("{}:{}", at.table.word(), at.address))
        });
        Fault {
            point,
            text: format!(
                "`{name}` ({at}) of server {} at {}: {}",
                self.link.server_id, self.link.address, code
            ),
            transient: code.is_transient(),
        }
    }

    /// Writes a value. `Ok(Err)`: the device refused it; the error is a server or link that failed.
    pub(super) async fn write(
        &mut self,
        connection: &mut Connection,
        point: PointIx,
        value: &Raw,
    ) -> Result<Result<(), Fault>, Broken> {
        let plan = self.plan.clone();
        let Some(of) = plan.points.get(point) else {
            return Ok(Ok(()));
        };
        let at = place(&of.at);
        let mut words = match modbus::encode(at, value) {
            Ok(words) => words,
            Err(fault) => {
                return Ok(Err(Fault {
                    point,
                    text: format!("`{}` cannot be written: {fault}", of.name),
                    transient: false,
                }));
            }
        };
        if at.bits.is_some() && !at.table.is_bits() {
            // The other bits of the word stay what they are.
            let request = Request {
                table: at.table,
                address: at.address,
                count: modbus::span(at),
                pieces: Vec::new(),
            };
            match self.ask(connection, &request).await {
                Ok(old) => words = modbus::merge(at, &old, &words),
                Err(Refusal::Exception(code)) => return Ok(Err(self.fault(point, code))),
                Err(broken) => return Err(broken.into()),
            }
        }
        match connection
            .write(self.link.server_id, at.table, at.address, &words)
            .await
        {
            Ok(()) => Ok(Ok(())),
            Err(Refusal::Exception(code)) => Ok(Err(self.fault(point, code))),
            Err(broken) => Err(broken.into()),
        }
    }

    /// The registers that an event was made of, in address order, overlaps once.
    pub(super) fn raw(&self, event: usize) -> String {
        let Some(event) = self.plan.events.get(event) else {
            return String::new();
        };
        let mut parts: Vec<(Table, u16, &[u16])> = event
            .points
            .iter()
            .filter_map(|point| {
                let at = place(&self.plan.points.get(*point)?.at);
                let (start, span) = self.places.get(*point)?;
                Some((at.table, at.address, self.words.get(*start..start + span)?))
            })
            .collect();
        parts.sort_by_key(|(table, address, words)| (*table, *address, words.len()));
        let mut shows = Vec::new();
        let mut next: Option<(Table, u32)> = None;
        for (table, address, words) in parts {
            for (at, word) in (u32::from(address)..).zip(words) {
                if next.is_some_and(|(of, next)| of == table && at < next) {
                    continue;
                }
                next = Some((table, at + 1));
                shows.push(shown(table.is_bits(), *word));
            }
        }
        shows.join(" ")
    }
}

/// A register in hex; a bit as 0 or 1.
fn shown(bits: bool, word: u16) -> String {
    if bits { word.to_string() } else { format!("{word:04x}") }
}
