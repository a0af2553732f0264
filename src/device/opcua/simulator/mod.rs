//! A simulated OPC UA server: for `lineside simulate`, for tests, and to rehearse a swap without hardware.
//!
//! Owns what its variables say, what clients wrote, and what is made to go wrong. The protocol is the crate's server, which
//! knows nothing of the driver; structures are encoded by [`crate::wire::opcua`], and what that is worth is proven by
//! servers that are not ours (tests/peers).

mod event;
mod joining;
mod nodes;
mod own;
pub mod points;
mod relay;
mod requests;
mod serve;
mod setup;
mod shape;
mod space;
mod table;
mod types;
mod value;

pub use own::Own;
pub use setup::{EventField, EventType, Limits, Setup, Variable};
pub use types::{DataType, DataTypes, Member, Shape};
pub use value::Kind;

use crate::model::Raw;
use crate::model::plan::NodeRef;
use crate::wire::opcua::Tree;
use event::Told;
use opcua::nodes::{BaseEventType, Event};
use opcua::server::ServerHandle;
use opcua::types::{
    AttributeId, ByteString, DataValue, DateTime, NodeId, ObjectId, QualifiedName, StatusCode, VariableId, Variant,
};
use relay::Line;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use table::Table;
use tokio::net::TcpListener;
use tokio::sync::watch;
use types::ANY;

/// Writes of clients that are remembered.
const WRITES: usize = 20_000;

/// Who may log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Nobody.
    pub anonymous: bool,
    /// Users with their passwords; `None`: any password.
    pub users: BTreeMap<String, Option<String>>,
    /// Any user with a certificate.
    pub certificates: bool,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            anonymous: true,
            users: BTreeMap::new(),
            certificates: true,
        }
    }
}

/// A write of a client that was carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// To which variable.
    pub node: NodeRef,
    /// What.
    pub value: Tree,
}

/// What has happened to a server since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections taken.
    pub connections: u64,
    /// Logins that were let in; each activation of a session is one.
    pub logins: u64,
    /// Logins that were refused.
    pub refused: u64,
    /// Sessions that are there now.
    pub sessions: u64,
    /// Subscriptions that are there now.
    pub subscriptions: u64,
    /// Events told.
    pub events: u64,
    /// Times that stored results were asked for.
    pub requests: u64,
}

/// One variable's value.
#[derive(Debug, Clone)]
struct Held {
    kind: Kind,
    tree: Tree,
    status: StatusCode,
    at: DateTime,
}

#[derive(Debug, Default)]
struct Store {
    held: HashMap<NodeRef, Held>,
    writes: Vec<Write>,
    counts: Counts,
    /// Results by their sequence number, where the server stores them.
    results: BTreeMap<u64, Tree>,
}

/// A run that is on.
#[derive(Clone)]
struct Live {
    handle: ServerHandle,
}

/// Whether it is to run, and the how manieth run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    on: bool,
    run: u64,
}

/// What a handle, the serving future and the crate's hooks share.
struct Shared {
    setup: Mutex<Setup>,
    own: Mutex<Own>,
    store: Mutex<Store>,
    /// Held while something is set and told, so that all hear it in one order.
    order: Mutex<()>,
    live: Mutex<Option<Live>>,
    table: Mutex<Arc<Table>>,
    line: watch::Sender<Line>,
    wanted: watch::Sender<Wanted>,
    up: watch::Sender<Option<u64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A handle to a simulated server; clones share it.
#[derive(Clone)]
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl std::fmt::Debug for Simulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulator")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Simulator {
    /// Listens at `address` (port 0: any free one). The future serves until it is dropped, which closes all connections; it
    /// must run for anything here to have an effect on clients.
    ///
    /// # Errors
    /// A sentence: the address cannot be listened at, or no certificate can be made.
    pub async fn bind(
        address: &str,
        setup: Setup,
    ) -> Result<(Self, SocketAddr, impl Future<Output = ()> + Send + use<>), String> {
        let listener = TcpListener::bind(address).await.map_err(|fault| fault.to_string())?;
        let local = listener.local_addr().map_err(|fault| fault.to_string())?;
        let own = match setup.own.clone() {
            Some(own) => own,
            None => tokio::task::spawn_blocking(Own::shared)
                .await
                .map_err(|fault| fault.to_string())??,
        };
        let shared = Arc::new(Shared {
            own: Mutex::new(own),
            store: Mutex::new(Store::default()),
            order: Mutex::new(()),
            live: Mutex::new(None),
            table: Mutex::new(Arc::new(Table::new(&setup))),
            line: watch::Sender::new(Line::default()),
            wanted: watch::Sender::new(Wanted { on: true, run: 1 }),
            up: watch::Sender::new(None),
            setup: Mutex::new(setup),
        });
        shared.take_up();
        shared.check()?;
        let simulator = Self {
            shared: shared.clone(),
            address: local,
        };
        Ok((simulator, local, serve::serve(shared, listener)))
    }

    /// Where clients connect: `opc.tcp://127.0.0.1:4840/UA`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        serve::endpoint(&lock(&self.shared.setup), self.address)
    }

    /// The certificate that it shows.
    #[must_use]
    pub fn own(&self) -> Own {
        lock(&self.shared.own).clone()
    }

    /// Waits until clients are served.
    pub async fn ready(&self) {
        let run = self.shared.wanted.borrow().run;
        // The sender is in `self`.
        drop(self.shared.up.subscribe().wait_for(|up| *up == Some(run)).await);
    }

    /// Sets a variable and tells who is subscribed to it.
    ///
    /// # Errors
    /// A sentence: there is no such variable, or its type cannot hold the value.
    pub fn set(&self, node: &NodeRef, raw: &Raw) -> Result<(), String> {
        self.set_all([(node.clone(), value::tree(raw))])
    }

    /// Sets variables at once: no client reads some old and some new.
    ///
    /// # Errors
    /// As [`Simulator::set`]; nothing is set then.
    pub fn set_all(&self, values: impl IntoIterator<Item = (NodeRef, Tree)>) -> Result<(), String> {
        let values: Vec<(NodeRef, Tree)> = values.into_iter().collect();
        let table = self.shared.table();
        let _order = lock(&self.shared.order);
        {
            let mut store = lock(&self.shared.store);
            for (node, tree) in &values {
                let held = store
                    .held
                    .get(node)
                    .ok_or_else(|| format!("there is no variable {node}"))?;
                table.encode(&held.kind.data_type(), false, tree)?;
            }
            let now = DateTime::now();
            for (node, tree) in &values {
                if let Some(held) = store.held.get_mut(node) {
                    held.tree = tree.clone();
                    held.status = StatusCode::Good;
                    held.at = now;
                }
            }
        }
        self.shared.tell(values.iter().map(|(node, _)| node));
        Ok(())
    }

    /// A variable has this status from now on, until it is set again: 0x808C0000 is `BadSensorFailure`.
    ///
    /// # Errors
    /// A sentence: there is no such variable.
    pub fn set_status(&self, node: &NodeRef, status: u32) -> Result<(), String> {
        let _order = lock(&self.shared.order);
        match lock(&self.shared.store).held.get_mut(node) {
            Some(held) => {
                held.status = StatusCode::from(status);
                held.at = DateTime::now();
            }
            None => return Err(format!("there is no variable {node}")),
        }
        self.shared.tell([node].into_iter());
        Ok(())
    }

    /// What a variable says.
    #[must_use]
    pub fn get(&self, node: &NodeRef) -> Option<Tree> {
        lock(&self.shared.store).held.get(node).map(|held| held.tree.clone())
    }

    /// The raw value that a variable says; `None`: null, a structure, or no variable.
    #[must_use]
    pub fn get_raw(&self, node: &NodeRef) -> Option<Raw> {
        value::plain(&self.get(node)?)
    }

    /// What clients wrote, in order, the last twenty thousand.
    #[must_use]
    pub fn writes(&self) -> Vec<Write> {
        lock(&self.shared.store).writes.clone()
    }

    /// What has happened.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = lock(&self.shared.store).counts;
        if let Some(live) = &*lock(&self.shared.live) {
            let number = |id| match live.handle.info().summary().get(id)?.value? {
                Variant::UInt32(count) => Some(u64::from(count)),
                _ => None,
            };
            let sessions = VariableId::Server_ServerDiagnostics_ServerDiagnosticsSummary_CurrentSessionCount;
            counts.sessions = number(sessions).unwrap_or(0);
            let subscriptions = VariableId::Server_ServerDiagnostics_ServerDiagnosticsSummary_CurrentSubscriptionCount;
            counts.subscriptions = number(subscriptions).unwrap_or(0);
        }
        counts
    }

    /// Closes all connections; sessions and subscriptions stay, for a while.
    pub fn cut(&self) {
        self.shared.line.send_modify(|line| line.cut += 1);
    }

    /// A black hole: connections stay and new ones are taken, but nothing passes any more. `false`: it passes again.
    pub fn hold(&self, held: bool) {
        self.shared.line.send_modify(|line| line.held = held);
    }

    /// What the server says comes this much later.
    pub fn delay(&self, by: Duration) {
        self.shared.line.send_modify(|line| line.late = by);
    }

    /// Ends it as a killed process ends: connections are closed, nobody listens, sessions and subscriptions are lost.
    /// What its variables say stays.
    pub async fn stop(&self) {
        self.shared.wanted.send_modify(|wanted| wanted.on = false);
        drop(self.shared.up.subscribe().wait_for(Option::is_none).await);
    }

    /// Starts it again.
    pub async fn start(&self) {
        self.shared.wanted.send_if_modified(|wanted| {
            let starts = !wanted.on;
            if starts {
                *wanted = Wanted {
                    on: true,
                    run: wanted.run + 1,
                };
            }
            starts
        });
        self.ready().await;
    }

    /// It is another server from now on: stopped, changed, started. New variables say what the setup says, others what they
    /// said.
    pub async fn change(&self, change: impl FnOnce(&mut Setup)) {
        self.stop().await;
        {
            let mut setup = lock(&self.shared.setup);
            change(&mut setup);
            if let Some(own) = setup.own.clone() {
                *lock(&self.shared.own) = own;
            }
        }
        self.shared.take_up();
        self.start().await;
    }

    /// Tells an event of this type, to whom is subscribed to its notifier or to the server. `fields` is a structure; members
    /// that are fields of every event (`Message`, `Severity`, `SourceName`) stand there, too.
    ///
    /// # Errors
    /// A sentence: there is no such type, or its fields cannot be encoded.
    pub fn raise(&self, event_type: &NodeRef, fields: &Tree) -> Result<(), String> {
        self.shared.raise(event_type, fields)?;
        self.shared.store(event_type, fields);
        Ok(())
    }

    /// Makes a result that nobody is told of: it is stored, to be asked for (`RequestResults`).
    pub fn make(&self, event_type: &NodeRef, fields: &Tree) {
        self.shared.store(event_type, fields);
    }

    /// All variables, their types and what they say, of one moment.
    #[must_use]
    pub fn variables(&self) -> Vec<(NodeRef, Kind, Tree)> {
        let store = lock(&self.shared.store);
        let one = |(node, held): (&NodeRef, &Held)| (node.clone(), held.kind.clone(), held.tree.clone());
        store.held.iter().map(one).collect()
    }

    /// The kind of a variable.
    #[must_use]
    pub fn kind(&self, node: &NodeRef) -> Option<Kind> {
        lock(&self.shared.store).held.get(node).map(|held| held.kind.clone())
    }
}

impl Shared {
    /// Variables of the setup that are new.
    fn take_up(&self) {
        let setup = lock(&self.setup);
        *lock(&self.table) = Arc::new(Table::new(&setup));
        let mut store = lock(&self.store);
        store.held.retain(|node, _| setup.variables.contains_key(node));
        for (node, variable) in &setup.variables {
            let held = store.held.entry(node.clone()).or_insert_with(|| Held {
                kind: variable.kind.clone(),
                tree: variable.value.clone(),
                status: StatusCode::Good,
                at: DateTime::now(),
            });
            held.kind = variable.kind.clone();
        }
    }

    fn raise(&self, event_type: &NodeRef, fields: &Tree) -> Result<(), String> {
        let Some(live) = lock(&self.live).clone() else {
            return Err("the server does not run".to_owned());
        };
        let event = lock(&self.setup)
            .events
            .get(event_type)
            .cloned()
            .ok_or_else(|| format!("there is no type of events {event_type}"))?;
        let _order = lock(&self.order);
        let table = self.table();
        let told = self.told(&table, event_type, &event, fields)?;
        let notifier = table.node(&event.notifier).unwrap_or_else(|| ObjectId::Server.into());
        let one: &dyn Event = &told;
        live.handle
            .subscriptions()
            .notify_events(std::iter::once((one, &notifier)));
        lock(&self.store).counts.events += 1;
        Ok(())
    }

    fn table(&self) -> Arc<Table> {
        lock(&self.table).clone()
    }

    /// Whether all variables can be encoded as they are.
    fn check(&self) -> Result<(), String> {
        let (table, store) = (self.table(), lock(&self.store));
        for (node, held) in &store.held {
            let encoded = table.encode(&held.kind.data_type(), false, &held.tree);
            encoded.map_err(|fault| format!("{node}: {fault}"))?;
        }
        Ok(())
    }

    fn login(&self) -> Login {
        lock(&self.setup).login.clone()
    }

    fn let_in(&self, who: &str) {
        tracing::debug!(who, "let in");
        lock(&self.store).counts.logins += 1;
    }

    fn refused(&self) {
        lock(&self.store).counts.refused += 1;
    }

    fn connected(&self) {
        lock(&self.store).counts.connections += 1;
    }

    /// What these variables say, of one moment; `None`: no variable of the setup.
    fn values<'a>(&self, table: &Table, ids: impl Iterator<Item = &'a NodeId>) -> Vec<Option<DataValue>> {
        let store = lock(&self.store);
        ids.map(|id| {
            let held = store.held.get(table.variable(id)?)?;
            Some(held.value(table))
        })
        .collect()
    }

    /// Tells who is subscribed to these variables what they say.
    fn tell<'a>(&self, nodes: impl Iterator<Item = &'a NodeRef>) {
        let Some(live) = lock(&self.live).clone() else { return };
        let table = self.table();
        let ids: Vec<NodeId> = nodes.filter_map(|node| table.node(node)).collect();
        let values = self.values(&table, ids.iter());
        let changes = ids
            .iter()
            .zip(values)
            .filter_map(|(id, value)| Some((value?, id, AttributeId::Value)));
        live.handle.subscriptions().notify_data_change(changes);
    }

    /// A client writes.
    fn written(&self, table: &Table, id: &NodeId, new: &DataValue) -> Result<(), StatusCode> {
        let node = table.variable(id).ok_or(StatusCode::BadNodeIdUnknown)?;
        let variant = new.value.as_ref().ok_or(StatusCode::BadTypeMismatch)?;
        let _order = lock(&self.order);
        {
            let mut store = lock(&self.store);
            let held = store.held.get_mut(node).ok_or(StatusCode::BadNodeIdUnknown)?;
            if !held.kind.takes(variant) {
                return Err(StatusCode::BadTypeMismatch);
            }
            let tree = table.decode(variant).ok_or(StatusCode::BadTypeMismatch)?;
            held.tree = tree.clone();
            held.status = new.status.unwrap_or(StatusCode::Good);
            held.at = new.source_timestamp.unwrap_or_else(DateTime::now);
            if store.writes.len() >= WRITES {
                store.writes.remove(0);
            }
            store.writes.push(Write {
                node: node.clone(),
                value: tree,
            });
        }
        self.tell([node].into_iter());
        Ok(())
    }

    /// An event with its fields as clients read them.
    fn told(&self, table: &Arc<Table>, node: &NodeRef, of: &EventType, fields: &Tree) -> Result<Told, String> {
        let number = lock(&self.store).counts.events + 1;
        let id = table
            .node(node)
            .ok_or_else(|| format!("there is no type of events {node}"))?;
        let mut base = BaseEventType::new_now(
            id.clone(),
            ByteString::from(format!("{}-{number}", of.name).into_bytes()),
            format!("{} {number}", of.name),
        )
        .set_severity(100)
        .set_source_node(ObjectId::Server.into())
        .set_source_name("lineside simulate".into());
        let mut own = HashMap::new();
        let setup = lock(&self.setup);
        let all = setup.fields(node);
        let Tree::Struct(structure) = fields else {
            return Err("the fields of an event are a structure".to_owned());
        };
        for (name, tree) in &structure.fields {
            let text = || value::plain(tree).map(|raw| raw.text()).unwrap_or_default();
            match &**name {
                "Message" => base.message = text().into(),
                "SourceName" => base.source_name = text().into(),
                "Severity" => base.severity = text().parse().unwrap_or(100),
                _ => {
                    let known = all.iter().find(|field| field.name == *name);
                    let index = known.and_then(|field| field.namespace.as_ref());
                    let index = index
                        .and_then(|namespace| table.index(namespace))
                        .unwrap_or(id.namespace);
                    let (data_type, list) = known.map_or((ANY, false), |field| (field.data_type.clone(), field.list));
                    let variant = table
                        .encode(&data_type, list, tree)
                        .map_err(|fault| format!("{name}: {fault}"))?;
                    own.insert(QualifiedName::new(index, &**name), (variant, tree.clone()));
                }
            }
        }
        Ok(Told {
            base,
            fields: own,
            table: table.clone(),
        })
    }
}

impl Held {
    fn value(&self, table: &Table) -> DataValue {
        let value = table.encode(&self.kind.data_type(), false, &self.tree);
        DataValue {
            value: value.ok(),
            status: Some(self.status),
            source_timestamp: Some(self.at),
            server_timestamp: Some(DateTime::now()),
            ..DataValue::null()
        }
    }
}
