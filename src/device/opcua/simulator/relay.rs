//! What stands before a simulated server: takes connections at its public address and passes bytes on to it, so that
//! connections can be cut, held and delayed without the server knowing.
//!
//! Owns no byte's meaning.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Bytes that are passed on at once.
const CHUNK: usize = 16 * 1024;

/// What is done to connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Connections made before this number last changed are closed.
    pub(super) cut: u64,
    /// Nothing passes: a black hole.
    pub(super) held: bool,
    /// Each chunk from the server comes this much later.
    pub(super) late: Duration,
}

/// Takes connections until it is dropped, which closes them.
pub(super) async fn relay(
    listener: &TcpListener,
    server: SocketAddr,
    line: watch::Receiver<Line>,
    mut taken: impl FnMut(),
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    taken();
                    connections.spawn(pass(client, server, line.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn pass(client: TcpStream, server: SocketAddr, mut line: watch::Receiver<Line>) {
    let cut = line.borrow_and_update().cut;
    let through = async {
        let Ok(server) = TcpStream::connect(server).await else {
            return;
        };
        for stream in [&client, &server] {
            // Without that it is slower, no more.
            drop(stream.set_nodelay(true));
        }
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = copy(from_client, to_server, line.clone(), false) => {}
            () = copy(from_server, to_client, line.clone(), true) => {}
        }
    };
    let mut watched = line.clone();
    tokio::select! {
        () = through => {}
        // The simulator is gone, or it cuts.
        _ = watched.wait_for(|line| line.cut != cut) => {}
    }
}

/// Passes bytes on until one side closes.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut line: watch::Receiver<Line>, late: bool) {
    let mut bytes = vec![0; CHUNK];
    loop {
        let Ok(read @ 1..) = from.read(&mut bytes).await else {
            return;
        };
        let by = line.borrow_and_update().late;
        if late && !by.is_zero() {
            tokio::time::sleep(by).await;
        }
        if line.wait_for(|line| !line.held).await.is_err() {
            return;
        }
        if to.write_all(bytes.get(..read).unwrap_or_default()).await.is_err() {
            return;
        }
    }
}
