//! Runs of a simulated server, one after the other: each is a server of the crate behind a relay.
//!
//! Owns when a run begins and ends. A run that ends loses its sessions and subscriptions, as a killed process does.

use super::nodes::{Door, Nodes, Types};
use super::relay::relay;
use super::setup::Setup;
use super::table::Table;
use super::{Live, Shared, lock, space};
use crate::model::plan::{SecurityMode, SecurityPolicy};
use opcua::server::address_space::AddressSpace;
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::ServerContext;
use opcua::server::node_manager::memory::{CoreNodeManagerBuilder, InMemoryNodeManagerBuilder};
use opcua::server::{Server, ServerBuilder, ServerEndpoint, ServerHandle};
use opcua::types::MessageSecurityMode;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// How often the server looks whether something is to be published, in milliseconds.
const TICK: u64 = 10;
/// How long a run may take to end.
const END: Duration = Duration::from_secs(2);
/// How long to wait before an address is tried again that was taken meanwhile.
const AGAIN: Duration = Duration::from_millis(50);
/// Bytes of a message at most: traces are long.
const MESSAGE: usize = 64 << 20;
/// Longest life of a session without a request, in milliseconds.
const SESSION: u64 = 600_000;

/// Serves at `listener` for ever; a run after the other, as it is asked for.
pub(super) async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    let Ok(address) = listener.local_addr() else { return };
    let mut listener = Some(listener);
    let mut wanted = shared.wanted.subscribe();
    loop {
        let run = match wanted.wait_for(|wanted| wanted.on).await {
            Ok(wanted) => wanted.run,
            Err(_) => return,
        };
        let bound = match listener.take() {
            Some(public) => Ok(public),
            None => TcpListener::bind(address).await,
        };
        let Ok(public) = bound else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let Ok(hidden) = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await else {
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        let Ok(behind) = hidden.local_addr() else { return };
        let (building, at) = (shared.clone(), address);
        let built = tokio::task::spawn_blocking(move || build(&building, at)).await;
        let (server, handle) = match built {
            Ok(Ok(built)) => built,
            Ok(Err(fault)) => {
                tracing::error!(fault, "the simulated OPC UA server cannot start");
                return;
            }
            Err(_) => return,
        };
        let mut server_task = JoinSet::new();
        server_task.spawn(server.run_with(hidden));
        // It says the port that it listens at, which is not the one that clients see.
        while handle.info().port.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        handle.info().port.store(address.port(), Ordering::Relaxed);
        *lock(&shared.live) = Some(Live { handle: handle.clone() });
        shared.up.send_replace(Some(run));
        tokio::select! {
            () = relay(&public, behind, shared.line.subscribe(), || shared.connected()) => {}
            _ = wanted.wait_for(|now| !now.on || now.run != run) => {}
            _ = server_task.join_next() => {}
        }
        drop(public);
        *lock(&shared.live) = None;
        handle.cancel();
        // What does not end by itself is ended with its task.
        drop(tokio::time::timeout(END, server_task.join_next()).await);
        drop(server_task);
        shared.up.send_replace(None);
    }
}

/// The host that endpoints name.
fn host(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip.is_unspecified() => super::own::host().unwrap_or_else(|| "localhost".to_owned()),
        IpAddr::V6(ip) => format!("[{ip}]"),
        IpAddr::V4(ip) => ip.to_string(),
    }
}

/// The address of its endpoint.
pub(super) fn endpoint(setup: &Setup, address: SocketAddr) -> String {
    format!("opc.tcp://{}:{}{}", host(address), address.port(), setup.path)
}

fn build(shared: &Arc<Shared>, address: SocketAddr) -> Result<(Server, ServerHandle), String> {
    let setup = lock(&shared.setup).clone();
    let own = lock(&shared.own).clone();
    let table = shared.table();
    let mut builder = ServerBuilder::new()
        .without_node_managers()
        .application_name("lineside simulate")
        .application_uri(super::own::APPLICATION)
        .product_uri("urn:lineside")
        .create_sample_keypair(false)
        .pki_dir(own.folder())
        .trust_client_certs(true)
        .host(host(address))
        .port(address.port())
        .max_session_timeout_ms(SESSION)
        .subscription_poll_interval_ms(TICK)
        .diagnostics_enabled(true)
        .with_authenticator(Arc::new(Door(shared.clone())))
        .with_type_tree_getter(Arc::new(Types))
        .with_node_manager(InMemoryNodeManagerBuilder::new(CoreNodeManagerBuilder))
        .discovery_urls(vec![endpoint(&setup, address)]);
    set_limits(&mut builder, &setup);
    let mut paths = vec![String::new()];
    if !setup.path.is_empty() {
        paths.push(setup.path.clone());
    }
    for path in &paths {
        for (id, endpoint) in endpoints(&setup, path) {
            builder = builder.add_endpoint(id, endpoint);
        }
    }
    let (sharing, numbers) = (shared.clone(), table.clone());
    let nodes =
        move |context: ServerContext, space: &mut AddressSpace| nodes(sharing, numbers, &setup, &context, space);
    let (server, handle) = builder
        .with_node_manager(InMemoryNodeManagerBuilder::new(nodes))
        .build()?;
    for (index, uri) in table.namespaces().iter().enumerate() {
        let given = handle.get_namespace_index(uri).map(usize::from);
        if given != Some(index) {
            return Err(format!("namespace {uri} has index {given:?} instead of {index}"));
        }
    }
    Ok((server, handle))
}

fn nodes(
    shared: Arc<Shared>,
    table: Arc<Table>,
    setup: &Setup,
    context: &ServerContext,
    space: &mut AddressSpace,
) -> Nodes {
    let mut namespaces = Vec::new();
    {
        let mut types = context.type_tree.write();
        for uri in table.namespaces().iter().skip(1) {
            let index = types.namespaces_mut().add_namespace(uri);
            space.add_namespace(uri, index);
            namespaces.push(NamespaceMetadata {
                namespace_index: index,
                namespace_uri: uri.to_string(),
                ..NamespaceMetadata::default()
            });
        }
    }
    space::fill(space, setup, &table);
    Nodes {
        shared,
        table,
        namespaces,
    }
}

fn endpoints(setup: &Setup, path: &str) -> Vec<(String, ServerEndpoint)> {
    let named = |word: &str, policy, mode| {
        let path = if path.is_empty() { "/" } else { path };
        (format!("{word}{path}"), ServerEndpoint::new(path, policy, mode, &[]))
    };
    let mut all = Vec::new();
    if setup.plain {
        all.push(named(
            "none",
            opcua::crypto::SecurityPolicy::None,
            MessageSecurityMode::None,
        ));
    }
    for policy in SecurityPolicy::ALL {
        let theirs = match policy {
            SecurityPolicy::Basic256Sha256 => opcua::crypto::SecurityPolicy::Basic256Sha256,
            SecurityPolicy::Aes128Sha256RsaOaep => opcua::crypto::SecurityPolicy::Aes128Sha256RsaOaep,
            SecurityPolicy::Aes256Sha256RsaPss => opcua::crypto::SecurityPolicy::Aes256Sha256RsaPss,
        };
        for mode in [SecurityMode::Sign, SecurityMode::SignAndEncrypt] {
            let how = match mode {
                SecurityMode::Sign => MessageSecurityMode::Sign,
                SecurityMode::SignAndEncrypt => MessageSecurityMode::SignAndEncrypt,
            };
            all.push(named(&format!("{}-{}", policy.word(), mode.word()), theirs, how));
        }
    }
    all
}

fn set_limits(builder: &mut ServerBuilder, setup: &Setup) {
    let limits = builder.limits_mut();
    limits.max_message_size = MESSAGE;
    limits.max_chunk_count = MESSAGE / limits.send_buffer_size.max(1) + 1;
    limits.max_sessions = setup.limits.sessions;
    let operational = &mut limits.operational;
    operational.max_nodes_per_read = setup.limits.read;
    operational.max_nodes_per_write = setup.limits.write;
    operational.max_nodes_per_browse = setup.limits.browse;
    operational.max_monitored_items_per_call = setup.limits.monitored;
    operational.max_references_per_browse_node = setup.limits.references;
    let subscriptions = &mut limits.subscriptions;
    // 0: every change goes to whom asks for each.
    subscriptions.min_sampling_interval_ms = 0.0;
    subscriptions.min_publishing_interval_ms = 10.0;
    subscriptions.max_monitored_items_per_sub = 0;
    subscriptions.max_monitored_item_queue_size = setup.limits.queue;
    subscriptions.max_queued_notifications = 1_000;
}
