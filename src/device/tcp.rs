//! Connections by TCP: made within a time, and why not in a sentence. Owns nothing of what is said on them.

use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How the sentence begins where nobody listens at the address.
pub(super) const REFUSED: &str = "it refuses the connection";

/// Connects to `device` ("the device", "the controller"); small writes go out at once.
///
/// # Errors
/// A sentence: nobody answers, it refuses (`refused` says what to look at then), or the system does not let it.
pub(super) async fn connect(address: &str, limit: Duration, device: &str, refused: &str) -> Result<TcpStream, String> {
    let told = |fault: std::io::Error| match fault.kind() {
        std::io::ErrorKind::ConnectionRefused => format!("{REFUSED}: {refused}"),
        _ => format!("no connection: {fault}"),
    };
    match timeout(limit, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => {
            stream.set_nodelay(true).map_err(told)?;
            Ok(stream)
        }
        Ok(Err(fault)) => Err(told(fault)),
        Err(_) => Err(format!(
            "no connection within {limit:?}: is {device} switched on, and the address right?"
        )),
    }
}
