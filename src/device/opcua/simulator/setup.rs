//! What a simulated server consists of: namespaces, variables, types of events, who may log in, limits.
//!
//! Owns the description, and how it is made of a read plan. Nothing here is a node yet.

use super::types::{ANY, DataTypes};
use super::value::{self, Kind};
use super::{Login, Own, joining, shape};
use crate::model::Raw;
use crate::model::plan::{
    AckValue, Identifier, Identity, Link, Namespace, NodeRef, Notice, OpcuaPart, OpcuaPoint, PointIx, SlotPlan, Trigger,
};
use crate::wire::opcua::Tree;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Fields that every event has (OPC 10000-5, 6.4.2).
pub(super) const BASE_FIELDS: [&str; 8] = [
    "EventId",
    "EventType",
    "SourceNode",
    "SourceName",
    "Time",
    "ReceiveTime",
    "Message",
    "Severity",
];

/// One variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Its browse name.
    pub name: Arc<str>,
    /// Its type.
    pub kind: Kind,
    /// Clients may write it.
    pub writable: bool,
    /// What it says at the start.
    pub value: Tree,
}

/// A field of a type of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventField {
    /// In which namespace its browse name stands; `None`: that of the type.
    pub namespace: Option<Namespace>,
    /// Its name.
    pub name: Arc<str>,
    /// Its data type.
    pub data_type: NodeRef,
    /// An array of it.
    pub list: bool,
}

impl EventField {
    fn any(name: &Arc<str>) -> Self {
        Self {
            namespace: None,
            name: name.clone(),
            data_type: ANY,
            list: false,
        }
    }
}

/// A type of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventType {
    /// Its browse name.
    pub name: Arc<str>,
    /// The type above it; `BaseEventType` where `None`.
    pub base: Option<NodeRef>,
    /// Its own fields.
    pub fields: Vec<EventField>,
    /// The object that tells it.
    pub notifier: NodeRef,
}

/// How much a server takes at once; 0: no limit of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Nodes in a Read.
    pub read: usize,
    /// Nodes in a Write.
    pub write: usize,
    /// Nodes in a Browse.
    pub browse: usize,
    /// Monitored items in one call.
    pub monitored: usize,
    /// References of one node that a Browse gives at once.
    pub references: usize,
    /// Sessions.
    pub sessions: usize,
    /// Values of one monitored item that wait at most.
    pub queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            read: 1_000,
            write: 1_000,
            browse: 1_000,
            monitored: 1_000,
            references: 1_000,
            sessions: 20,
            queue: 1_000,
        }
    }
}

/// What a simulated server consists of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Namespaces from index 2 on, in order; index 1 is the server's own. What nodes name beyond these gets an index
    /// behind them.
    pub namespaces: Vec<Arc<str>>,
    /// Variables.
    pub variables: BTreeMap<NodeRef, Variable>,
    /// Data types beside those of namespace 0.
    pub types: DataTypes,
    /// Types of events.
    pub events: BTreeMap<NodeRef, EventType>,
    /// Who may log in.
    pub login: Login,
    /// The path of its endpoint, beside none: `/UA`.
    pub path: String,
    /// Endpoints without security are offered, too.
    pub plain: bool,
    /// How much it takes at once.
    pub limits: Limits,
    /// The certificate that it shows; `None`: [`Own::shared`].
    pub own: Option<Own>,
    /// Stored results can be asked for (`RequestResults` of OPC 40450-1).
    pub stores: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            namespaces: Vec::new(),
            variables: BTreeMap::new(),
            types: DataTypes::default(),
            events: BTreeMap::new(),
            login: Login::default(),
            path: String::new(),
            plain: true,
            limits: Limits::default(),
            own: None,
            stores: false,
        }
    }
}

impl Setup {
    /// The server that a plan speaks of: its variables with types as far as the plan tells them, all reading 0, and the
    /// types of its events.
    #[must_use]
    pub fn of(plan: &SlotPlan) -> Self {
        let mut setup = Self::default();
        if let Link::Opcua(link) = &plan.link {
            setup.login = Login::of(&link.identity);
            let rest = link.address.strip_prefix("opc.tcp://").unwrap_or(&link.address);
            setup.path = rest.find('/').map_or(String::new(), |at| {
                rest.get(at..).unwrap_or_default().trim_end_matches('/').to_owned()
            });
        }
        for point in 0..plan.points.len() {
            setup.add_point(plan, point);
        }
        for (node, variable) in &mut setup.variables {
            if let (Kind::Any, Tree::Struct(_)) = (&variable.kind, &variable.value) {
                let (data_type, _) = shape::guess(&mut setup.types, node, &variable.name, &[&variable.value]);
                variable.kind = Kind::Structure(data_type);
            }
        }
        for event in &plan.events {
            let Some(ack) = &event.ack else { continue };
            if let Some(variable) = node_of(plan, ack.write).and_then(|node| setup.variables.get_mut(node)) {
                variable.writable = true;
            }
        }
        for notice in &plan.notices {
            setup.add_notice(notice);
        }
        let names = event_fields(plan);
        for notice in &plan.notices {
            let known = setup.fields(&notice.event_type).len();
            // Which of them are fields of which type is not said; those of a type that is known are known.
            if let (0, Some(event)) = (known, setup.events.get_mut(&notice.event_type)) {
                event.fields = names.iter().map(EventField::any).collect();
            }
        }
        setup
    }

    /// Namespaces that its nodes name.
    pub(super) fn named(&self) -> impl Iterator<Item = &Namespace> {
        let events = self.events.iter().flat_map(|(node, event)| {
            let fields = event.fields.iter().filter_map(|field| field.namespace.as_ref());
            [&node.namespace, &event.notifier.namespace]
                .into_iter()
                .chain(event.base.as_ref().map(|base| &base.namespace))
                .chain(fields)
        });
        let types = self.types.0.iter().map(|data_type| &data_type.node.namespace);
        self.variables
            .keys()
            .map(|node| &node.namespace)
            .chain(events)
            .chain(types)
    }

    /// All fields of a type of events, those of its base types first.
    pub(super) fn fields(&self, event: &NodeRef) -> Vec<&EventField> {
        let mut all = Vec::new();
        let mut of = self.events.get(event);
        for _ in 0..=self.events.len() {
            let Some(event) = of else { break };
            all.splice(0..0, &event.fields);
            of = event.base.as_ref().and_then(|base| self.events.get(base));
        }
        all
    }

    /// A type of events; the joining model with it where it is of that.
    pub fn add_notice(&mut self, notice: &Notice) {
        let node = &notice.event_type;
        if joining::is_of(node) {
            joining::add_to(self, &notice.notifier);
        }
        if self.events.contains_key(node) || node.namespace == Namespace::Index(0) {
            return;
        }
        let event = EventType {
            name: short_name(node).into(),
            base: None,
            fields: Vec::new(),
            notifier: notice.notifier.clone(),
        };
        self.events.insert(node.clone(), event);
    }

    /// What a variable says at the start; its type is made of that, where it is not known.
    pub fn show(&mut self, node: &NodeRef, tree: &Tree) {
        let Some(variable) = self.variables.get_mut(node) else {
            return;
        };
        let guessed = match &variable.kind {
            Kind::Any => true,
            Kind::Structure(of) => shape::is_guess(of),
            Kind::Scalar(_) | Kind::Time => false,
        };
        if guessed {
            let name = variable.name.to_string();
            let (data_type, _) = shape::guess(&mut self.types, node, &name, &[tree]);
            variable.kind = Kind::of_type(&data_type);
        }
        variable.value = tree.clone();
    }

    /// What events of a type say; types are made of that for the fields whose are not known.
    pub fn show_events(&mut self, event_type: &NodeRef, events: &[Tree]) {
        let known: Vec<Arc<str>> = self.fields(event_type).iter().map(|field| field.name.clone()).collect();
        let Some(event) = self.events.get_mut(event_type) else {
            return;
        };
        let mut names: Vec<Arc<str>> = Vec::new();
        for tree in events {
            let Tree::Struct(structure) = tree else { continue };
            for (name, _) in &structure.fields {
                if !names.contains(name) && !BASE_FIELDS.contains(&&**name) {
                    names.push(name.clone());
                }
            }
        }
        for name in names {
            let own = event.fields.iter().position(|field| field.name == name);
            if own.is_none() && known.contains(&name) {
                continue;
            }
            let trees: Vec<&Tree> = events.iter().filter_map(|tree| tree.field(&name)).collect();
            let index = own.unwrap_or_else(|| {
                event.fields.push(EventField::any(&name));
                event.fields.len() - 1
            });
            if let Some(field) = event.fields.get_mut(index).filter(|field| field.data_type == ANY) {
                (field.data_type, field.list) = shape::guess(&mut self.types, event_type, &name, &trees);
            }
        }
    }

    /// A variable of its own.
    #[must_use]
    pub fn with(mut self, node: NodeRef, kind: Kind, raw: &Raw) -> Self {
        let variable = Variable {
            name: short_name(&node).into(),
            kind,
            writable: true,
            value: value::tree(raw),
        };
        self.variables.insert(node, variable);
        self
    }

    fn add_point(&mut self, plan: &SlotPlan, index: PointIx) {
        let Some((point, at)) = plan
            .points
            .get(index)
            .and_then(|point| Some((point, point.at.opcua()?)))
        else {
            return;
        };
        let Some(node) = at.node.as_ref().filter(|node| node.namespace != Namespace::Index(0)) else {
            return;
        };
        let kind = kind_of(plan, index);
        let name = match &node.id {
            Identifier::Text(_) => short_name(node),
            _ => point.name.to_string(),
        };
        let variable = self.variables.entry(node.clone()).or_insert_with(|| Variable {
            name: name.into(),
            kind: Kind::Any,
            writable: false,
            value: Tree::Null,
        });
        if at.paths.is_empty() && at.part == OpcuaPart::Value {
            if variable.kind == Kind::Any {
                variable.kind = kind.clone();
            }
            if variable.value == Tree::Null {
                variable.value = Tree::Value(value::zero(&variable.kind));
            }
        }
        if let (Some(path), OpcuaPart::Value) = (at.paths.first(), at.part) {
            let zero = Tree::Value(value::zero(&kind));
            shape::put(&mut variable.value, path, &zero);
        }
    }
}

/// The node of a point.
pub(super) fn node_of(plan: &SlotPlan, point: PointIx) -> Option<&NodeRef> {
    address(plan, point)?.node.as_ref()
}

/// Where a point is.
pub(super) fn address(plan: &SlotPlan, point: PointIx) -> Option<&OpcuaPoint> {
    plan.points.get(point)?.at.opcua()
}

/// The type of a point, as far as the plan tells it: by its own word, or by what it is compared with or written.
fn kind_of(plan: &SlotPlan, point: PointIx) -> Kind {
    if let Some(kind) = address(plan, point).and_then(|at| at.kind) {
        return Kind::Scalar(kind);
    }
    for event in &plan.events {
        for trigger in &event.triggers {
            match trigger {
                Trigger::Rises(of) | Trigger::Falls(of) if *of == point => {
                    return Kind::Scalar(crate::model::plan::OpcuaType::Bool);
                }
                Trigger::Equals(of, raw) | Trigger::Reads(of, raw) if *of == point => return Kind::of(raw),
                _ => {}
            }
        }
        match &event.ack {
            Some(ack) if ack.write == point => match &ack.value {
                AckValue::Value(raw) => return Kind::of(raw),
                AckValue::Copy(of) if *of != point => return kind_of(plan, *of),
                AckValue::Copy(_) => {}
            },
            _ => {}
        }
    }
    Kind::Any
}

/// Names of the fields of events that the plan reads.
fn event_fields(plan: &SlotPlan) -> Vec<Arc<str>> {
    let mut names = Vec::new();
    for at in plan.points.iter().filter_map(|point| point.at.opcua()) {
        if at.node.is_some() {
            continue;
        }
        for step in at.paths.iter().filter_map(|path| path.steps.first()) {
            if let Some(name) = step.names.first().filter(|name| !names.contains(*name)) {
                names.push(name.clone());
            }
        }
    }
    names
}

/// The last part of an identifier: `Torque` of `"DB_Results"."Torque"` and of `Tool/Torque`.
pub(super) fn short_name(node: &NodeRef) -> String {
    match &node.id {
        Identifier::Text(text) => {
            let name = text.rsplit(['.', '/', '|']).next().unwrap_or(text).trim_matches('"');
            if name.is_empty() {
                text.to_string()
            } else {
                name.to_owned()
            }
        }
        other => other.to_string(),
    }
}

impl Login {
    /// Anybody, and who the profile says the gateway is.
    fn of(identity: &Identity) -> Self {
        let mut login = Self::default();
        match identity {
            Identity::Anonymous => {}
            Identity::User { name, password_file } => {
                // Where the password cannot be read here, any is taken.
                let password = std::fs::read_to_string(password_file).ok();
                let password = password.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
                login.users.insert(name.clone(), password);
            }
            Identity::Certificate { .. } => login.certificates = true,
        }
        login
    }
}
