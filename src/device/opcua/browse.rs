//! What a server has: its address space as a list, and the nodes that a profile is begun with.
//!
//! Owns a session of its own for as long as it looks, and what is told of a node. Writes nothing, calls nothing, subscribes
//! to nothing. How it is shown, and the profile's text, are the command's.

mod desk;
mod events;
mod pick;
mod walk;

use super::fault::Fault;
use super::identity::Material;
use super::own::Own;
use super::session::{Maker, Session};
use super::{certificate, convert};
use crate::clock::Clock;
use crate::model::plan::{Namespace, NodeRef, OpcuaLink, OpcuaType};
use crate::wire::opcua::Tree;
use desk::Desk;
use opcua::types::{NodeId, ReadValueId, Variant};
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Nodes that one look finds at most, unless it asks for fewer.
pub const MOST: usize = 5_000;

/// How the server is reached.
#[derive(Debug)]
pub struct Way<'a> {
    /// The link: address, security, trust, identity.
    pub link: &'a OpcuaLink,
    /// What time it is.
    pub clock: &'a Clock,
    /// The folder of the own certificate; `None`: one for this time.
    pub home: Option<PathBuf>,
    /// Ends it before its time.
    pub stop: &'a CancellationToken,
    /// Counts nodes as they are found.
    pub found: &'a AtomicUsize,
}

/// What is looked at.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where it begins; `None`: the `Objects` folder.
    pub under: Option<NodeRef>,
    /// Levels below that.
    pub depth: usize,
    /// Nodes at most.
    pub most: usize,
    /// Only nodes whose name or node id contains this text, small and capital letters alike, and those above them.
    pub filter: Option<String>,
}

/// What the server says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Server {
    /// SHA-256 of its certificate as a profile writes it, `sha256:…`; `None`: it showed none.
    pub certificate: Option<String>,
    /// `ManufacturerName`; empty where it does not say.
    pub vendor: String,
    /// `ProductName`.
    pub product: String,
    /// `SoftwareVersion`.
    pub version: String,
    /// URIs by index.
    pub namespaces: Vec<String>,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A thing or a folder.
    Object,
    /// Something with a value.
    Variable,
    /// Something that can be called.
    Method,
    /// A type of objects or of events.
    ObjectType,
    /// A type of something else, or a view.
    Other,
}

impl Class {
    /// In a word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Variable => "variable",
            Self::Method => "method",
            Self::ObjectType => "type",
            Self::Other => "other",
        }
    }
}

/// A node of the address space.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Levels below where it began.
    pub depth: usize,
    /// Its browse name, without the namespace.
    pub name: String,
    /// Its node id.
    pub node: NodeRef,
    /// What it is.
    pub class: Class,
    /// Of a variable.
    pub variable: Option<Variable>,
    /// Events can be subscribed to here.
    pub notifies: bool,
    /// What stands below was not looked at.
    pub unopened: bool,
}

/// What a variable says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Variable {
    /// Name of its data type.
    pub data_type: String,
    /// Dimensions of its array; 0: a scalar.
    pub dimensions: usize,
    /// This user may read it.
    pub readable: bool,
    /// This user may write it.
    pub writable: bool,
    /// Its value; `None`: none, or not readable.
    pub value: Option<Tree>,
    /// What the server says of a value that is not good; or why it cannot be shown.
    pub quality: Option<String>,
    /// Its unit of measure as the server says it (`EngineeringUnits`): UCUM where that is known.
    pub uom: Option<String>,
    /// What its numbers mean (`EnumStrings`, `EnumValues`, an enumeration).
    pub words: Vec<(i64, String)>,
    /// As what it is written.
    pub kind: Option<OpcuaType>,
}

/// A value inside a structure or an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The way to it; of an array of structures the first of them: `Values[0]/Value`.
    pub path: String,
    /// Name of its data type.
    pub data_type: String,
    /// It is an array.
    pub array: bool,
    /// What its numbers mean.
    pub words: Vec<(i64, String)>,
    /// It holds what only a value shows: a structure that is not described, or anything.
    pub open: bool,
}

/// A type of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventType {
    /// Its browse name.
    pub name: String,
    /// Its node id.
    pub node: NodeRef,
    /// Name of the type above it.
    pub above: String,
    /// Its own fields, and those of the types above it.
    pub fields: Vec<Leaf>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Who told it.
    pub server: Server,
    /// Nodes, each below the one that it belongs to.
    pub nodes: Vec<Seen>,
    /// Types of events that are not of namespace 0.
    pub events: Vec<EventType>,
    /// So many nodes were looked at, and there are more; `None`: those were all, down to the depth.
    pub cut: Option<usize>,
}

/// A node that was chosen for a profile.
#[derive(Debug, Clone, PartialEq)]
pub enum Picked {
    /// A variable.
    Variable {
        /// What it says.
        seen: Seen,
        /// Name of what it belongs to; empty: of nothing.
        of: String,
        /// Values inside, where it is a structure.
        fields: Vec<Leaf>,
    },
    /// A type of events.
    Event(EventType),
}

/// The address space, or what of it was asked for.
///
/// # Errors
/// A sentence: the server is not reached, not trusted, refuses the user, or has no such node.
pub async fn browse(way: &Way<'_>, request: &Request) -> Result<Found, String> {
    let work = async |desk: &mut Desk<'_>| {
        let (nodes, cut) = walk::walk(desk, request).await?;
        let events = match request.under {
            Some(_) => Vec::new(),
            None => events::types(desk, request.filter.as_deref()).await?,
        };
        Ok((nodes, events, cut))
    };
    let (server, (nodes, events, cut)) = within(way, work).await?;
    Ok(Found {
        server,
        nodes,
        events,
        cut,
    })
}

/// What these nodes are: variables, those of objects, fields of types of events.
///
/// # Errors
/// As [`browse`]; all nodes that cannot be points are told at once.
pub async fn pick(way: &Way<'_>, nodes: &[NodeRef]) -> Result<(Server, Vec<Picked>), String> {
    within(way, async |desk: &mut Desk<'_>| pick::pick(desk, nodes).await).await
}

/// Makes a session, does the work in it, and ends it.
async fn within<T>(
    way: &Way<'_>,
    work: impl AsyncFnOnce(&mut Desk<'_>) -> Result<T, Fault>,
) -> Result<(Server, T), String> {
    let told = |fault: Fault| format!("{}: {fault}", way.link.address);
    let (home, identity, now) = (way.home.clone(), way.link.identity.clone(), way.clock.now().wall / 1000);
    let read = tokio::task::spawn_blocking(move || {
        let own = Own::load_or_make(home.as_deref(), now).map_err(|fault| fault.to_string())?;
        let material = Material::read(&identity, now).map_err(|fault| fault.to_string())?;
        Ok::<_, String>((own, material))
    });
    let (own, material) = read.await.map_err(|fault| fault.to_string())??;
    let maker = Maker {
        link: way.link,
        own: &own,
        clock: way.clock,
        name: "lineside probe --browse".to_owned(),
    };
    let stopped = || "stopped".to_owned();
    let made = tokio::select! {
        () = way.stop.cancelled() => return Err(stopped()),
        made = maker.make(&material, None) => made.map_err(told)?,
    };
    let (mut session, mut running) = (made.session, made.running);
    let outcome = {
        let looking = async {
            session.learn().await?;
            let server = server(&session).await?;
            let mut desk = Desk::new(&session, way.found);
            Ok((server, work(&mut desk).await?))
        };
        tokio::select! {
            () = way.stop.cancelled() => Err(stopped()),
            fault = &mut running => Err(told(fault)),
            outcome = looking => outcome.map_err(told),
        }
    };
    // A session that is left behind counts among those that the server allows.
    let close = async {
        tokio::select! {
            _ = &mut running => {}
            () = session.close() => {}
        }
    };
    drop(tokio::time::timeout(Duration::from_millis(500), close).await);
    outcome
}

/// What the server says of itself.
async fn server(session: &Session) -> Result<Server, Fault> {
    // ManufacturerName, ProductName, SoftwareVersion (OPC 10000-5, 12.9).
    let nodes = [2263_u32, 2261, 2264].map(|id| ReadValueId::from(NodeId::new(0, id)));
    let mut texts = session.read(&nodes).await?.into_iter().map(|value| match value.value {
        Some(Variant::String(text)) => text.as_ref().trim().to_owned(),
        _ => String::new(),
    });
    let mut text = || texts.next().unwrap_or_default();
    let seen = certificate::Certificate::parse(session.certificate()).ok();
    Ok(Server {
        vendor: text(),
        product: text(),
        version: text(),
        certificate: seen.map(|seen| certificate::pin(&seen.sha256())),
        namespaces: session.namespaces.clone(),
    })
}

/// A node id as a profile writes it, its namespace by URI.
fn named(node: &NodeId, namespaces: &[String]) -> NodeRef {
    let key = convert::key(node);
    let uri = namespaces.get(usize::from(key.namespace)).filter(|uri| !uri.is_empty());
    NodeRef {
        namespace: match uri {
            Some(uri) if key.namespace > 0 => Namespace::Uri(uri.as_str().into()),
            _ => Namespace::Index(key.namespace),
        },
        id: key.id,
    }
}
