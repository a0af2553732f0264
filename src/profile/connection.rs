//! `[connection]`: how a device is reached. Owns defaults and ranges of settings; connects to nothing.

use super::format::{FRAMINGS, ORDERS, PROTOCOLS, PROTOCOLS_BUILT};
use super::points::{self, Point};
use crate::diagnostic::tree::{Node, Table, Value, parse_duration};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, meant};
use crate::model::plan::{Alive, ModbusLink, ModbusTransport, Parity, SerialSettings, WordOrder};
use std::time::Duration;

/// Port of Modbus TCP.
const MODBUS_PORT: u16 = 502;
const POLL: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(1);

/// The settings of a link. A catalog profile has no address.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) link: ModbusLink,
    pub(super) order: WordOrder,
    pub(super) has_address: bool,
    pub(super) place: Place,
}

/// Compiles it. `None` where the protocol is not known or not built: then points mean nothing either.
pub(super) fn compile(table: Option<&Node>, start: &Place, out: &mut Diagnostics) -> Option<Connection> {
    let Some((node, keys)) = table.and_then(|node| Some((node, node.as_table()?))) else {
        if table.is_none() {
            out.push(
                Diagnostic::error(start, "a profile needs a [connection]")
                    .help("say at least `protocol = \"modbus-tcp\"`, or what the profile `extends`"),
            );
        }
        return None;
    };
    let Some(protocol) = keys.get("protocol") else {
        out.push(Diagnostic::error(&node.place, "[connection] needs `protocol`").maybe_help(meant("", PROTOCOLS)));
        return None;
    };
    let word = protocol.as_text()?;
    if !PROTOCOLS_BUILT.contains(&word) {
        if PROTOCOLS.contains(&word) {
            out.push(
                Diagnostic::error(&protocol.place, format!("`{word}` is not in this build yet"))
                    .help(format!("this build reads {}", PROTOCOLS_BUILT.join(", "))),
            );
        }
        return None;
    }
    let duration = |key: &str, default| {
        keys.get(key)
            .and_then(Node::as_text)
            .and_then(parse_duration)
            .unwrap_or(default)
    };
    let whole = |key: &str| keys.get(key).and_then(Node::as_integer);
    let small = |key: &str, default: u16| {
        whole(key)
            .and_then(|value| u16::try_from(value).ok())
            .unwrap_or(default)
    };
    for key in ["poll", "timeout"] {
        if let Some(node) = keys.get(key)
            && node.as_text().and_then(parse_duration) == Some(Duration::ZERO)
        {
            out.push(
                Diagnostic::error(&node.place, format!("`{key}` must be more than nothing")).help("write \"50ms\""),
            );
        }
    }
    let transport = match word {
        "modbus-rtu" => ModbusTransport::Rtu(serial(keys)),
        "modbus-rtu-over-tcp" => ModbusTransport::RtuOverTcp,
        _ => ModbusTransport::Tcp,
    };
    let on_a_line = transport != ModbusTransport::Tcp;
    let address = keys.get("address").and_then(|node| match transport {
        ModbusTransport::Rtu(_) => port(node.as_text()?, &node.place, out),
        _ => host_port(node.as_text()?, &node.place, out),
    });
    if !matches!(transport, ModbusTransport::Rtu(_)) {
        for (key, _) in ["baud", "framing", "rs485"].iter().filter_map(|key| keys.entry(key)) {
            out.push(
                Diagnostic::error(
                    &key.place,
                    format!("`{}` is of a serial port; `{word}` has none", key.name),
                )
                .related(&protocol.place, "the protocol")
                .help("take it out, or write protocol = \"modbus-rtu\" with the path of the port as address"),
            );
        }
    }
    if let Some(node) = keys.get("server_id")
        && on_a_line
        && !node.as_integer().is_some_and(|id| (1..=247).contains(&id))
    {
        out.push(
            Diagnostic::error(&node.place, "a server on a serial line has an identifier from 1 to 247")
                .help("write the number that is set at the device; 0 is a broadcast, which nobody answers"),
        );
    }
    let order = keys
        .get("word_order")
        .and_then(Node::as_text)
        .and_then(|word| ORDERS.iter().find(|(known, _)| *known == word))
        .map_or(WordOrder::Abcd, |(_, order)| *order);
    Some(Connection {
        has_address: address.is_some(),
        link: ModbusLink {
            address: address.unwrap_or_default(),
            transport,
            server_id: whole("server_id").and_then(|id| u8::try_from(id).ok()).unwrap_or(1),
            poll: duration("poll", POLL),
            timeout: duration("timeout", TIMEOUT),
            max_registers: small("max_registers", 125),
            max_bits: small("max_bits", 2000),
            max_gap: small("max_gap", 16),
        },
        order,
        place: node.place.clone(),
    })
}

/// `alive`, once the points are known.
pub(super) fn alive(table: Option<&Node>, points: &[Point], out: &mut Diagnostics) -> Option<Alive> {
    let node = table?.as_table()?.get("alive")?;
    let keys = node.as_table()?;
    let (Some(changes), Some(within)) = (keys.get("changes"), keys.get("within")) else {
        out.push(
            Diagnostic::error(&node.place, "a life sign needs `changes` and `within`")
                .help("alive = { changes = \"life\", within = \"5s\" }"),
        );
        return None;
    };
    let point = points::find(points, changes.as_text()?, &changes.place, out)?;
    if points.get(point).is_some_and(|point| point.modbus.clears) {
        out.push(Diagnostic::error(
            &changes.place,
            "a life sign cannot be a point that reading clears",
        ));
    }
    Some(Alive {
        point,
        within: parse_duration(within.as_text()?)?,
    })
}

/// Settings of a serial port; 8E1 is what Modbus over Serial Line V1.02, section 2.5.1, wants where nothing is said.
fn serial(keys: &Table) -> SerialSettings {
    let framing = keys
        .get("framing")
        .and_then(Node::as_text)
        .filter(|word| FRAMINGS.contains(word))
        .unwrap_or("8E1");
    let at = |index: usize| framing.as_bytes().get(index).copied().unwrap_or(b'1');
    SerialSettings {
        baud: keys
            .get("baud")
            .and_then(Node::as_integer)
            .and_then(|baud| u32::try_from(baud).ok())
            .unwrap_or(19_200),
        data_bits: at(0) - b'0',
        parity: match at(1) {
            b'N' => Parity::None,
            b'O' => Parity::Odd,
            _ => Parity::Even,
        },
        stop_bits: at(2) - b'0',
        rs485: matches!(keys.get("rs485").map(|node| &node.value), Some(Value::Bool(true))),
    }
}

/// The path of a serial port.
fn port(text: &str, place: &Place, out: &mut Diagnostics) -> Option<String> {
    if text.starts_with('/') && !text.ends_with('/') {
        return Some(text.to_owned());
    }
    out.push(
        Diagnostic::error(place, format!("`{text}` is no path of a serial port"))
            .help("write the port's stable name: \"/dev/serial/by-id/usb-…\"; `ls /dev/serial/by-id` shows them"),
    );
    None
}

/// `host`, `host:port`, `[::1]:port`; with the port filled in.
fn host_port(text: &str, place: &Place, out: &mut Diagnostics) -> Option<String> {
    let mut refuse = |help: &str| {
        out.push(Diagnostic::error(place, format!("`{text}` is no address of a Modbus server")).help(help));
        None
    };
    if text.contains("://") || text.contains('/') {
        return refuse("write host or host:port: \"192.0.2.17\", \"plc-7.local:1502\"");
    }
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (format!("[{host}]"), rest.strip_prefix(':')),
        None if text.matches(':').count() > 1 => (format!("[{text}]"), None),
        None => match text.split_once(':') {
            Some((host, port)) => (host.to_owned(), Some(port)),
            None => (text.to_owned(), None),
        },
    };
    if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return refuse("write host or host:port: \"192.0.2.17\"");
    }
    match port.map(str::parse::<u16>) {
        None => Some(format!("{host}:{MODBUS_PORT}")),
        Some(Ok(port)) if port > 0 => Some(format!("{host}:{port}")),
        Some(_) => refuse("a port is a number from 1 to 65535"),
    }
}
