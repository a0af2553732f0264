//! Values of a slot's variables: read, told, written; what the server says of their quality.

use super::{Broken, Shown, Slot};
use crate::clock::Clock;
use crate::device::opcua::convert::{moment, scalar, status, variant};
use crate::device::opcua::describe::{Describer, attribute};
use crate::device::opcua::fault::Fault;
use crate::device::opcua::session::Session;
use crate::model::plan::{OpcuaPart, PointIx, Trigger};
use crate::model::{Decimal, Raw};
use crate::record::What;
use crate::record::opcua::Wrote;
use crate::watch::Fault as PointFault;
use crate::wire::opcua::{Tree, first};
use opcua::types::{
    AttributeId, DataValue, DateTime, NodeId, ReadValueId, StatusCode, Variant, VariantScalarTypeId, WriteValue,
};
use std::fmt::Write as _;
use std::sync::Arc;

/// What reading needs.
pub(in crate::device::opcua) struct Read<'a> {
    pub(in crate::device::opcua) session: &'a Session,
    pub(in crate::device::opcua) describer: &'a mut Describer,
    pub(in crate::device::opcua) clock: &'a Clock,
}

/// What the server says of one point.
#[derive(Debug, Clone)]
pub(in crate::device::opcua) struct Said {
    point: PointIx,
    value: Option<Raw>,
    /// What it says of a value that is not good.
    quality: Option<Arc<str>>,
    /// Why there is no value, in a sentence, and whether that may pass by itself.
    fault: Option<(String, bool)>,
    stamp: Stamp,
    kind: Option<VariantScalarTypeId>,
}

/// When a value became so, in 100 ns ticks of its source and of the server, as far as they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stamp {
    source: Option<i64>,
    server: Option<i64>,
}

impl Stamp {
    fn of(value: &DataValue) -> Self {
        let ticks = |stamp: Option<DateTime>| stamp.filter(|stamp| !stamp.is_null()).map(|stamp| stamp.ticks());
        Self {
            source: ticks(value.source_timestamp),
            server: ticks(value.server_timestamp),
        }
    }

    /// Whether it is older by all that both say. Some servers give a value that waited the time of the one before it.
    fn is_before(self, other: Self) -> bool {
        let before = |a: Option<i64>, b: Option<i64>| Some(a? < b?);
        match (before(self.source, other.source), before(self.server, other.server)) {
            (None, None) => false,
            (source, server) => source.unwrap_or(true) && server.unwrap_or(true),
        }
    }
}

/// A value that was read: what the server tells of an earlier time is not taken any more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    stamp: Stamp,
    /// Until this tick. What was sampled before has come by then; a clock that was set back must not silence a device.
    until: u64,
}

/// How long something that was sampled before a read may be on its way beside the publishing interval, in milliseconds.
const ON_ITS_WAY: u64 = 2_000;

/// Statuses that pass by themselves.
fn passes(status: StatusCode) -> bool {
    matches!(
        status.sub_code(),
        opcua::types::SubStatusCode::BadWaitingForInitialData
            | opcua::types::SubStatusCode::BadResourceUnavailable
            | opcua::types::SubStatusCode::BadTimeout
            | opcua::types::SubStatusCode::BadTooManyOperations
    )
}

/// What to do about the status of a node.
fn hint(status: StatusCode) -> &'static str {
    use opcua::types::SubStatusCode as Sub;
    match status.sub_code() {
        Sub::BadNodeIdUnknown => ": the server has no such node; `lineside probe --browse` shows which it has",
        Sub::BadNodeIdInvalid => ": the server does not understand this node id",
        Sub::BadUserAccessDenied => ": this user may not do that; give it the right in the server, or take another one",
        Sub::BadNotReadable => ": the server does not let it be read",
        Sub::BadNotWritable => ": the server does not let it be written; is it enabled for clients?",
        Sub::BadTypeMismatch => ": it is of another type there; `type` of the point says which is written",
        Sub::BadAttributeIdInvalid => ": this node is no variable",
        Sub::BadSensorFailure | Sub::BadDeviceFailure | Sub::BadNoCommunication | Sub::BadNotConnected => {
            ": the server does not reach what is behind it"
        }
        _ => "",
    }
}

impl Slot {
    /// What a value says of all `points` that are made of it.
    ///
    /// # Errors
    /// The session failed while a structure's description was asked for.
    pub(in crate::device::opcua) async fn decode(
        &self,
        session: &Session,
        describer: &mut Describer,
        points: &[PointIx],
        value: &DataValue,
    ) -> Result<Vec<Said>, Fault> {
        let code = value.status.unwrap_or(StatusCode::Good);
        let quality = (!code.is_good()).then(|| Arc::from(status(code)));
        let kind = value.value.as_ref().and_then(Variant::scalar_type_id);
        let tree = match &value.value {
            Some(value) if !code.is_bad() => Some(describer.tree(session, value).await?),
            _ => None,
        };
        let said = points.iter().map(|point| {
            let mut said = Said {
                point: *point,
                value: None,
                quality: quality.clone(),
                fault: None,
                stamp: Stamp::of(value),
                kind,
            };
            let Some(at) = self.at(*point) else { return said };
            let name = || self.shown(*point);
            match at.part {
                OpcuaPart::Status => said.value = Some(Raw::Text(status(code))),
                OpcuaPart::SourceTimestamp => said.value = moment(value.source_timestamp),
                OpcuaPart::ServerTimestamp => said.value = moment(value.server_timestamp),
                OpcuaPart::Value => match &tree {
                    Some(Ok(tree)) => {
                        let found = if at.paths.is_empty() {
                            Some(tree.clone())
                        } else {
                            first(tree, &at.paths, None)
                        };
                        let raw = found.as_ref().and_then(Tree::raw);
                        if let (None, Some(Tree::Struct(structure))) = (&raw, &found) {
                            said.fault = Some((
                                format!(
                                    "{} is a structure `{}`: say which field is meant, field = \"{}\"",
                                    name(),
                                    structure.name,
                                    names(tree)
                                ),
                                false,
                            ));
                        }
                        said.value = raw.and_then(|raw| at.cut(raw));
                    }
                    Some(Err(reason)) => said.fault = Some((format!("{} cannot be read: {reason}", name()), false)),
                    None if code.is_bad() => {
                        said.fault = Some((format!("{}: {}{}", name(), status(code), hint(code)), passes(code)));
                    }
                    None => {}
                },
            }
            said
        });
        Ok(said.collect())
    }

    /// How a point is called in sentences.
    fn shown(&self, point: PointIx) -> String {
        let name = self.plan.points.get(point).map_or("", |point| &*point.name);
        match self.at(point).and_then(|at| at.node.as_ref()) {
            Some(node) => format!("`{name}` ({node})"),
            None => format!("`{name}`"),
        }
    }

    /// Takes up what the server told at this tick, unless something later was read.
    pub(super) fn apply_told(&mut self, said: &Said, tick: u64) {
        let read = self.stamps.get(said.point).copied().flatten();
        if !read.is_some_and(|read| tick < read.until && said.stamp.is_before(read.stamp)) {
            self.apply(said);
        }
    }

    /// Takes up what the server said.
    fn apply(&mut self, said: &Said) {
        if let Some(slot) = self.image.get_mut(said.point) {
            *slot = said.value.clone().map_or(Shown::Nothing, Shown::Value);
        }
        if let Some(slot) = self.quality.get_mut(said.point) {
            slot.clone_from(&said.quality);
        }
        if let (Some(slot), Some(kind)) = (self.kinds.get_mut(said.point), said.kind) {
            *slot = Some(kind);
        }
        if said.fault.is_none() && self.standing.is_empty() {
            return;
        }
        let what = format!("value {}", said.point);
        match &said.fault {
            // What is read again and again tells its fault each time; what is told only, once.
            Some((text, _)) if self.is_told_only(said.point) => self.stands(what, Some(text.clone())),
            _ => self.stands(what, None),
        }
    }

    /// Whether a point is looked at only for its own changes.
    fn is_told_only(&self, point: PointIx) -> bool {
        let any = |trigger: &Trigger| matches!(trigger, Trigger::ChangesAny { points, .. } if points.contains(&point));
        let other =
            |trigger: &Trigger| !matches!(trigger, Trigger::ChangesAny { .. }) && trigger.points().contains(&point);
        let mut triggers = self.plan.events.iter().flat_map(|event| &event.triggers);
        let told = triggers.clone().any(any);
        told && !triggers.any(other)
    }

    /// Faults of what was told, for triggers that must not be looked at then.
    pub(super) fn told_faults(&self, points: &[PointIx]) -> Vec<PointFault> {
        let bad = |point: &PointIx| {
            let absent = matches!(self.image.get(*point), Some(Shown::Nothing));
            let quality = self.quality.get(*point).and_then(Option::as_ref)?;
            (absent && !self.is_told_only(*point)).then(|| PointFault {
                point: *point,
                text: format!("{}: {quality}", self.shown(*point)),
                transient: false,
            })
        };
        points.iter().filter_map(bad).collect()
    }

    /// What an event's points were worth, where that was not good.
    pub(super) fn qualities(&self, event: usize) -> Vec<(PointIx, Arc<str>)> {
        let Some(event) = self.plan.events.get(event) else {
            return Vec::new();
        };
        let quality = |point: &PointIx| Some((*point, self.quality.get(*point)?.clone()?));
        event.points.iter().filter_map(quality).collect()
    }

    /// Reads these points into the image, each variable once.
    pub(super) async fn read(&mut self, reader: &mut Read<'_>, points: &[PointIx]) -> Result<Vec<PointFault>, Fault> {
        let mut faults = Vec::new();
        let mut nodes: Vec<(NodeId, Vec<PointIx>)> = Vec::new();
        let mut places = std::collections::HashMap::new();
        for point in points {
            match self.nodes.get(*point) {
                Some(Ok(node)) => {
                    let place = *places.entry(node.clone()).or_insert_with(|| {
                        nodes.push((node.clone(), Vec::new()));
                        nodes.len() - 1
                    });
                    if let Some((_, points)) = nodes.get_mut(place) {
                        points.push(*point);
                    }
                }
                Some(Err(reason)) if !reason.is_empty() => {
                    faults.push(PointFault {
                        point: *point,
                        text: format!("{}: {reason}", self.shown(*point)),
                        transient: false,
                    });
                    if let Some(slot) = self.image.get_mut(*point) {
                        *slot = Shown::Nothing;
                    }
                }
                _ => {}
            }
        }
        let asked: Vec<ReadValueId> = nodes
            .iter()
            .map(|(node, _)| attribute(node, AttributeId::Value))
            .collect();
        let values = reader.session.read(&asked).await?;
        let mut decoded = Vec::with_capacity(values.len());
        for ((_, points), value) in nodes.iter().zip(&values) {
            decoded.push(self.decode(reader.session, reader.describer, points, value).await?);
        }
        // Behind the descriptions of the types in it.
        if reader.describer.tap().is_used() && !values.is_empty() {
            let said = nodes.iter().zip(&values);
            let said = said
                .map(|((node, _), value)| reader.describer.said(node, value))
                .collect();
            reader.describer.tap().send(What::Read(said));
        }
        let publishing = self.plan.link.opcua().map_or(0, |link| link.publishing.as_millis());
        let until = u64::try_from(publishing).unwrap_or(u64::MAX).saturating_add(ON_ITS_WAY);
        let until = reader.clock.now().tick.saturating_add(until);
        for said in decoded {
            for said in said {
                if let Some((text, transient)) = &said.fault {
                    faults.push(PointFault {
                        point: said.point,
                        text: text.clone(),
                        transient: *transient,
                    });
                }
                // What is read is what counts now, whatever was told before.
                if let Some(slot) = self.stamps.get_mut(said.point) {
                    *slot = Some(Known {
                        stamp: said.stamp,
                        until,
                    });
                }
                self.apply(&said);
            }
        }
        Ok(faults)
    }

    /// Writes a value, as the server's type. `Ok(Err)`: it refuses.
    pub(super) async fn write(
        &mut self,
        reader: &mut Read<'_>,
        point: PointIx,
        value: &Raw,
    ) -> Result<Result<(), PointFault>, Broken> {
        let fault = |text: String, transient: bool| PointFault { point, text, transient };
        let name = self.shown(point);
        let node = match self.nodes.get(point) {
            Some(Ok(node)) => node.clone(),
            Some(Err(reason)) => return Ok(Err(fault(format!("{name}: {reason}"), false))),
            None => return Ok(Ok(())),
        };
        let whole = self
            .at(point)
            .is_some_and(|at| at.paths.is_empty() && at.part == OpcuaPart::Value);
        if !whole {
            let text = format!("{name} is a part of a variable: only whole variables are written");
            return Ok(Err(fault(text, false)));
        }
        let kind = match self.at(point).and_then(|at| at.kind) {
            Some(kind) => scalar(kind),
            None => self.kind_of(reader, point, &node, value).await?,
        };
        let bits = self.at(point).and_then(|at| at.bits);
        let value = match bits {
            None => value.clone(),
            Some((low, width)) => match self.merged(reader, &node, low, width, value).await? {
                Ok(value) => value,
                Err(text) => return Ok(Err(fault(format!("{name}: {text}"), false))),
            },
        };
        let value = match variant(&value, kind) {
            Ok(value) => value,
            Err(reason) => return Ok(Err(fault(format!("{name} cannot be written: {reason}"), false))),
        };
        // Many servers take no status and no time from clients.
        let value = DataValue {
            value: Some(value),
            ..DataValue::default()
        };
        let said = reader.describer.said(&node, &value);
        let written = reader
            .session
            .write(&[WriteValue {
                node_id: node,
                attribute_id: AttributeId::Value as u32,
                value,
                ..WriteValue::default()
            }])
            .await?;
        let code = written.first().copied().unwrap_or(StatusCode::Good);
        reader.describer.tap().send(What::Wrote(Box::new(Wrote {
            node: said.node,
            put: said.got,
            status: status(code),
        })));
        match written.first() {
            Some(code) if code.is_bad() => Ok(Err(fault(
                format!("{name} is not written: {}{}", status(*code), hint(*code)),
                passes(*code),
            ))),
            _ => Ok(Ok(())),
        }
    }

    /// The built-in type of a variable.
    async fn kind_of(
        &mut self,
        reader: &mut Read<'_>,
        point: PointIx,
        node: &NodeId,
        value: &Raw,
    ) -> Result<VariantScalarTypeId, Fault> {
        if let Some(kind) = self.kinds.get(point).copied().flatten() {
            return Ok(kind);
        }
        let asked = [
            attribute(node, AttributeId::Value),
            attribute(node, AttributeId::DataType),
        ];
        let mut values = reader.session.read(&asked).await?.into_iter().map(|value| value.value);
        let current = values.next().flatten().and_then(|value| value.scalar_type_id());
        let data_type = match values.next().flatten() {
            Some(Variant::NodeId(node)) => VariantScalarTypeId::try_from(&*node).ok(),
            _ => None,
        };
        let kind = current.or(data_type).unwrap_or(match value {
            Raw::Bool(_) => VariantScalarTypeId::Boolean,
            Raw::Text(_) => VariantScalarTypeId::String,
            Raw::F32(_) => VariantScalarTypeId::Float,
            Raw::F64(_) | Raw::Dec(_) => VariantScalarTypeId::Double,
            _ => VariantScalarTypeId::Int32,
        });
        if let Some(slot) = self.kinds.get_mut(point) {
            *slot = Some(kind);
        }
        Ok(kind)
    }

    /// The word with these bits set to `value`, the others as they are now.
    async fn merged(
        &mut self,
        reader: &mut Read<'_>,
        node: &NodeId,
        low: u8,
        width: u8,
        value: &Raw,
    ) -> Result<Result<Raw, String>, Fault> {
        let now = reader.session.read(&[attribute(node, AttributeId::Value)]).await?;
        let word = match now.first().and_then(|value| value.value.as_ref()) {
            Some(value) => reader.describer.tree(reader.session, value).await?,
            None => return Ok(Err("it has no value to set bits of".to_owned())),
        };
        let word = word
            .ok()
            .and_then(|tree| tree.raw())
            .and_then(|raw| raw.number()?.to_i128());
        let bits = value.number().and_then(Decimal::to_i128);
        Ok(match (word, bits) {
            (Some(word), Some(bits)) => {
                let mask = ((1_i128 << width.min(64)) - 1) << low;
                let merged = (word & !mask) | ((bits << low) & mask);
                Ok(i64::try_from(merged).map_or_else(|_| Raw::Big(u64::try_from(merged).unwrap_or(0)), Raw::Int))
            }
            _ => Err("bits are set in whole numbers only".to_owned()),
        })
    }

    /// What an event was made of: point names and values.
    pub(super) fn raw(&self, event: usize, values: &[Option<Raw>]) -> String {
        let Some(event) = self.plan.events.get(event) else {
            return String::new();
        };
        let mut raw = String::new();
        for point in &event.points {
            let (Some(of), Some(Some(value))) = (self.plan.points.get(*point), values.get(*point)) else {
                continue;
            };
            let gap = if raw.is_empty() { "" } else { " " };
            let text = crate::wire::escaped(value.text().as_bytes());
            let wrote = write!(raw, "{gap}{}={text}", of.name);
            debug_assert!(wrote.is_ok());
        }
        raw
    }
}

/// The fields of a structure, for help.
fn names(tree: &Tree) -> String {
    match tree {
        Tree::Struct(structure) => structure
            .fields
            .iter()
            .map(|(name, _)| &**name)
            .collect::<Vec<_>>()
            .join("\", \""),
        _ => String::new(),
    }
}
