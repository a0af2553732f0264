//! Serial ports: opened with their settings, off the async workers.
//!
//! Owns what a port that cannot be opened is called in a sentence. Owns no frames.

use crate::model::plan::{Parity, SerialSettings};
use std::os::unix::fs::FileTypeExt;
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
        Err(fault) => Err(format!("the port could not be opened: {fault}")),
    }
}

/// Has the port's driver switch the transceiver (Linux, `TIOCSRS485`); that stays with the port when it is closed again.
fn rs485(path: &str) -> std::io::Result<()> {
    let port = serial2::SerialPort::open(path, serial2::KeepSettings)?;
    port.set_rs4xx_mode(serial2::rs4xx::Rs485Config::new())
}

/// Why it is not open; whoever tells it names the port.
fn sentence(path: &str, fault: &tokio_serial::Error) -> String {
    use tokio_serial::ErrorKind;
    const SHOWS: &str = "`ls /dev/serial/by-id` shows the ports";
    let text = fault.to_string();
    let file = std::fs::metadata(path).map(|file| file.file_type());
    match (file, fault.kind()) {
        (Err(none), _) if none.kind() == std::io::ErrorKind::NotFound => {
            format!("there is no such port: is the adapter plugged in? {SHOWS}")
        }
        (_, ErrorKind::Io(std::io::ErrorKind::PermissionDenied)) => {
            "the port may not be used: add the gateway's user to the group `dialout`".to_owned()
        }
        _ if text.contains("lock") || text.contains("busy") => {
            format!("the port is used by another program: stop that ({text})")
        }
        // ENOTTY: a device, but none with a line.
        (Ok(kind), _) if !kind.is_char_device() || text.contains("typewriter") => {
            format!("this is no serial port: check `address`; {SHOWS}")
        }
        _ => format!("the port could not be opened: {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_port_is_told_in_a_sentence() {
        let settings = SerialSettings {
            baud: 19_200,
            data_bits: 8,
            parity: Parity::Even,
            stop_bits: 1,
            rs485: false,
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        for (path, sentence) in [
            (
                folder.path().join("none"),
                "there is no such port: is the adapter plugged in?",
            ),
            (file, "this is no serial port: check `address`"),
            (folder.path().to_owned(), "this is no serial port: check `address`"),
            ("/dev/null".into(), "this is no serial port: check `address`"),
        ] {
            let reason = open(path.to_str().unwrap(), &settings).await.unwrap_err();
            assert!(reason.starts_with(sentence), "{}: {reason}", path.display());
        }
    }
}
