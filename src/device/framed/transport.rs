//! How bytes come and go: a serial port, a connection that the gateway makes, or one that the device makes.
//!
//! Owns what a transport that fails is called in a sentence. Owns no frames.

use crate::device::tcp;
use crate::model::plan::{ByteTransport, FramedLink};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// Bytes that go both ways.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// A device that says nothing may be gone: after this long it is asked by TCP itself, this often, before the connection
/// counts as lost.
const SILENT: Duration = Duration::from_secs(10);
const ASK: Duration = Duration::from_secs(5);
const ASKS: u32 = 3;
/// Between two tries to take a connection.
const ANEW: Duration = Duration::from_millis(100);

/// Where connections come from.
pub(super) enum Source {
    /// The gateway opens them.
    Opens,
    /// The device does.
    Listens(TcpListener),
}

impl Source {
    /// Listens, where the link does.
    ///
    /// # Errors
    /// A sentence: the address cannot be listened at.
    pub(super) async fn new(link: &FramedLink) -> Result<Self, String> {
        if link.transport != ByteTransport::TcpServer {
            return Ok(Self::Opens);
        }
        let listener = TcpListener::bind(&link.address).await;
        listener.map(Self::Listens).map_err(|fault| match fault.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program listens there: stop that, or take another port in `address`".to_owned()
            }
            std::io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address: write one of its own, or 0.0.0.0, in `address`".to_owned()
            }
            _ => format!("the gateway cannot listen there: {fault}"),
        })
    }

    /// Why nothing comes yet, though nothing is wrong.
    pub(super) fn waits(&self) -> String {
        const YET: &str = "the device has not connected yet";
        match self {
            Self::Listens(listener) => match listener.local_addr() {
                Ok(local) => format!("{YET}; the gateway listens at {local}"),
                Err(_) => YET.to_owned(),
            },
            Self::Opens => "not connected yet".to_owned(),
        }
    }

    /// The next connection; where the device makes it, whenever that is.
    ///
    /// # Errors
    /// A sentence: it cannot be made.
    pub(super) async fn next(&self, link: &FramedLink) -> Result<Box<dyn Wire>, String> {
        match (self, &link.transport) {
            (Self::Listens(_), _) => Ok(self.accept().await),
            (Self::Opens, ByteTransport::Serial(settings)) => {
                let port = crate::device::port::open(&link.address, settings).await?;
                Ok(Box::new(port))
            }
            (Self::Opens, _) => connect(&link.address, link.timeout).await,
        }
    }

    /// A connection that the device makes, whenever that is; never where the gateway makes them.
    pub(super) async fn accept(&self) -> Box<dyn Wire> {
        let Self::Listens(listener) = self else {
            return std::future::pending().await;
        };
        loop {
            let told = match listener.accept().await {
                Ok((stream, peer)) => match watched(&stream) {
                    Ok(()) => {
                        tracing::info!(%peer, "a device connected");
                        return Box::new(stream);
                    }
                    Err(fault) => fault,
                },
                Err(fault) => fault,
            };
            tracing::debug!("a connection could not be taken: {told}");
            tokio::time::sleep(ANEW).await;
        }
    }
}

async fn connect(address: &str, limit: Duration) -> Result<Box<dyn Wire>, String> {
    let refused = "is the device set to listen, and the port right?";
    let stream = tcp::connect(address, limit, "the device", refused).await?;
    watched(&stream).map_err(|fault| format!("no connection: {fault}"))?;
    Ok(Box::new(stream))
}

/// A device that only speaks now and then may vanish unnoticed: TCP is to find that out.
fn watched(stream: &TcpStream) -> std::io::Result<()> {
    use rustix::net::sockopt;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, SILENT)?;
    sockopt::set_tcp_keepintvl(stream, ASK)?;
    sockopt::set_tcp_keepcnt(stream, ASKS)?;
    Ok(())
}

/// Why a stream or port is not read or written any more.
pub(super) fn broken(fault: &std::io::Error) -> String {
    match (fault.raw_os_error(), fault.kind()) {
        // EIO, ENXIO, ENODEV: how Linux tells that an adapter was pulled.
        (Some(5 | 6 | 19), _) => "the port is gone".to_owned(),
        (_, std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe) => {
            "the device broke the connection off".to_owned()
        }
        (_, std::io::ErrorKind::TimedOut) => "the device does not answer any more".to_owned(),
        _ => format!("the connection broke: {fault}"),
    }
}
