//! Serial ports: opened with their settings, off the async workers.
//!
//! Owns what a port that cannot be opened is called in a sentence. Owns no frames.

use crate::model::plan::{Parity, SerialSettings};
use tokio_serial::{SerialPortBuilderExt, SerialStream};

/// Opens `path` for this process alone.
///
/// # Errors
/// A sentence: the port is not there, is another program's, or may not be used.
pub(super) async fn open(path: &str, settings: &SerialSettings) -> Result<SerialStream, String> {
    let builder = tokio_serial::new(path, settings.baud)
        .data_bits(match settings.data_bits {
            7 => tokio_serial::DataBits::Seven,
            _ => tokio_serial::DataBits::Eight,
        })
        .parity(match settings.parity {
            Parity::None => tokio_serial::Parity::None,
            Parity::Even => tokio_serial::Parity::Even,
            Parity::Odd => tokio_serial::Parity::Odd,
        })
        .stop_bits(match settings.stop_bits {
            2 => tokio_serial::StopBits::Two,
            _ => tokio_serial::StopBits::One,
        })
        .flow_control(tokio_serial::FlowControl::None);
    let handle = tokio::runtime::Handle::current();
    let transceiver = settings.rs485.then(|| path.to_owned());
    let opened = tokio::task::spawn_blocking(move || {
        if let Some(path) = transceiver {
            rs485(&path).map_err(|fault| {
                let text = format!("cannot switch to RS-485 by itself ({fault}): take `rs485` out of [connection]");
                tokio_serial::Error::new(tokio_serial::ErrorKind::Unknown, text)
            })?;
        }
        // The port is entered into the runtime that will read it.
        let _runtime = handle.enter();
        builder.open_native_async()
    });
    match opened.await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(fault)) => Err(sentence(path, &fault)),
        Err(fault) => Err(format!("{path} could not be opened: {fault}")),
    }
}

/// Has the port's driver switch the transceiver (Linux, `TIOCSRS485`); that stays with the port when it is closed again.
fn rs485(path: &str) -> std::io::Result<()> {
    let port = serial2::SerialPort::open(path, serial2::KeepSettings)?;
    port.set_rs4xx_mode(serial2::rs4xx::Rs485Config::new())
}

fn sentence(path: &str, fault: &tokio_serial::Error) -> String {
    use tokio_serial::ErrorKind;
    let text = fault.to_string();
    match fault.kind() {
        ErrorKind::Io(std::io::ErrorKind::NotFound) | ErrorKind::NoDevice if !std::path::Path::new(path).exists() => {
            format!("there is no port {path}: is the adapter plugged in? `ls /dev/serial/by-id` shows the ports")
        }
        ErrorKind::Io(std::io::ErrorKind::PermissionDenied) => {
            format!("{path} may not be used: add the gateway's user to the group `dialout`")
        }
        _ if text.contains("lock") || text.contains("busy") => {
            format!("{path} is used by another program: stop that ({text})")
        }
        _ => format!("{path} could not be opened: {text}"),
    }
}
