//! `[connection]`: how a device is reached. Owns what all protocols have, and defaults and ranges of Modbus; connects to nothing.

use super::endpoint;
use super::format::{FRAMINGS, ORDERS, PROTOCOLS};
use super::frame::{self, Frames};
use super::points::{self, Point};
use super::protocol::{Family, Protocol};
use super::session;
use crate::diagnostic::tree::{Node, Table, Value, parse_duration};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, meant};
use crate::model::plan::{
    Alive, ByteTransport, FramedLink, Link, ModbusLink, ModbusTransport, Parity, SerialSettings, WordOrder,
};
use std::sync::Arc;
use std::time::Duration;

/// Port of Modbus TCP.
const MODBUS_PORT: u16 = 502;
const POLL: Duration = Duration::from_millis(100);
const TIMEOUT: Duration = Duration::from_secs(1);

/// The settings of a link. A catalog profile has no address.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) link: Link,
    pub(super) protocol: Protocol,
    pub(super) order: WordOrder,
    pub(super) has_address: bool,
    pub(super) place: Place,
    /// Where `recover` stands.
    pub(super) recover: Option<Place>,
    /// Named groups of the pattern of frames.
    pub(super) groups: Vec<Arc<str>>,
    /// Where the pattern stands, else [connection].
    pub(super) pattern_place: Place,
    /// Bytes of the longest frame, and where that is said.
    pub(super) longest: Option<(usize, Place)>,
    /// Frames have a separator.
    pub(super) separated: bool,
}

/// Compiles it. `None` where the protocol is not known or not built: then points mean nothing either.
pub(super) fn compile(top: &Table, start: &Place, out: &mut Diagnostics) -> Option<Connection> {
    let table = top.get("connection");
    let Some((node, keys)) = table.and_then(|node| Some((node, node.as_table()?))) else {
        if table.is_none() {
            out.push(
                Diagnostic::error(start, "a profile needs a [connection]")
                    .help("say at least `protocol = \"modbus-tcp\"`, or what the profile `extends`"),
            );
        }
        return None;
    };
    let Some(word) = keys.get("protocol") else {
        out.push(Diagnostic::error(&node.place, "[connection] needs `protocol`").maybe_help(meant("", PROTOCOLS)));
        return None;
    };
    let place = &word.place;
    let word = word.as_text()?;
    if !PROTOCOLS.contains(&word) {
        return None;
    }
    let protocol = Protocol::of(word, place);
    protocol.check(top, out);
    for key in ["poll", "timeout", "keep_alive", "publishing"] {
        if let Some(node) = keys.get(key)
            && node.as_text().and_then(parse_duration) == Some(Duration::ZERO)
        {
            out.push(
                Diagnostic::error(&node.place, format!("`{key}` must be more than nothing")).help("write \"50ms\""),
            );
        }
    }
    let mut frames = Frames::default();
    let link = match protocol.family {
        Family::Modbus => Link::Modbus(modbus(word, keys, out)),
        Family::Telegrams => Link::OpenProtocol(session::compile(keys, out)),
        Family::Opcua => Link::Opcua(endpoint::compile(keys, out)),
        Family::Frames => {
            frames = frame::compile(top.get("frame"), &node.place, out);
            Link::Framed(framed(word, keys, &frames, out))
        }
    };
    let order = keys
        .get("word_order")
        .and_then(Node::as_text)
        .and_then(|word| ORDERS.iter().find(|(known, _)| *known == word))
        .map_or(WordOrder::Abcd, |(_, order)| *order);
    Some(Connection {
        has_address: !link.address().is_empty(),
        link,
        protocol,
        order,
        place: node.place.clone(),
        recover: keys.get("recover").map(|node| node.place.clone()),
        groups: frames.groups,
        pattern_place: frames.pattern_place.unwrap_or_else(|| node.place.clone()),
        longest: frames.longest,
        separated: frames.parse.separator.is_some(),
    })
}

/// A time in a table, else the default.
pub(super) fn duration(keys: &Table, key: &str, default: Duration) -> Duration {
    keys.get(key)
        .and_then(Node::as_text)
        .and_then(parse_duration)
        .unwrap_or(default)
}

/// Whether a key says true.
pub(super) fn is_true(keys: &Table, key: &str) -> bool {
    matches!(keys.get(key).map(|node| &node.value), Some(Value::Bool(true)))
}

fn modbus(word: &str, keys: &Table, out: &mut Diagnostics) -> ModbusLink {
    let whole = |key: &str| keys.get(key).and_then(Node::as_integer);
    let small = |key: &str, default: u16| {
        whole(key)
            .and_then(|value| u16::try_from(value).ok())
            .unwrap_or(default)
    };
    let transport = match word {
        // What Modbus over Serial Line V1.02, section 2.5.1, wants where nothing is said.
        "modbus-rtu" => ModbusTransport::Rtu(serial(keys, 19_200, "8E1")),
        "modbus-rtu-over-tcp" => ModbusTransport::RtuOverTcp,
        _ => ModbusTransport::Tcp,
    };
    let on_a_line = transport != ModbusTransport::Tcp;
    let address = keys.get("address").and_then(|node| match transport {
        ModbusTransport::Rtu(_) => port(node.as_text()?, &node.place, out),
        _ => host_port(node.as_text()?, "a Modbus server", Some(MODBUS_PORT), &node.place, out),
    });
    if let Some(node) = keys.get("server_id")
        && on_a_line
        && !node.as_integer().is_some_and(|id| (1..=247).contains(&id))
    {
        out.push(
            Diagnostic::error(&node.place, "a server on a serial line has an identifier from 1 to 247")
                .help("write the number that is set at the device; 0 is a broadcast, which nobody answers"),
        );
    }
    ModbusLink {
        address: address.unwrap_or_default(),
        transport,
        server_id: whole("server_id").and_then(|id| u8::try_from(id).ok()).unwrap_or(1),
        poll: duration(keys, "poll", POLL),
        timeout: duration(keys, "timeout", TIMEOUT),
        max_registers: small("max_registers", 125),
        max_bits: small("max_bits", 2000),
        max_gap: small("max_gap", 16),
    }
}

fn framed(word: &str, keys: &Table, frames: &Frames, out: &mut Diagnostics) -> FramedLink {
    let transport = match word {
        "serial" => ByteTransport::Serial(serial(keys, 9600, "8N1")),
        _ if is_true(keys, "listen") => ByteTransport::TcpServer,
        _ => ByteTransport::TcpClient,
    };
    let address = keys.get("address").and_then(|node| match transport {
        ByteTransport::Serial(_) => port(node.as_text()?, &node.place, out),
        _ => host_port(node.as_text()?, "a device that speaks TCP", None, &node.place, out),
    });
    FramedLink {
        address: address.unwrap_or_default(),
        transport,
        timeout: duration(keys, "timeout", TIMEOUT),
        frame: frames.frame.clone(),
        parse: frames.parse.clone(),
        poll: frames.poll.clone(),
        reply: frames.reply.clone(),
    }
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
    if points.get(point).is_some_and(Point::clears) {
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

/// Settings of a serial port; what is not said is as it is usual for the protocol.
pub(super) fn serial(keys: &Table, baud: u32, framing: &'static str) -> SerialSettings {
    let usual = framing;
    let framing = keys
        .get("framing")
        .and_then(Node::as_text)
        .filter(|word| FRAMINGS.contains(word))
        .unwrap_or(usual);
    let at = |index: usize| framing.as_bytes().get(index).copied().unwrap_or(b'1');
    SerialSettings {
        baud: keys
            .get("baud")
            .and_then(Node::as_integer)
            .and_then(|baud| u32::try_from(baud).ok())
            .unwrap_or(baud),
        data_bits: at(0) - b'0',
        parity: match at(1) {
            b'N' => Parity::None,
            b'O' => Parity::Odd,
            _ => Parity::Even,
        },
        stop_bits: at(2) - b'0',
        rs485: is_true(keys, "rs485"),
    }
}

/// The path of a serial port.
pub(super) fn port(text: &str, place: &Place, out: &mut Diagnostics) -> Option<String> {
    if text.starts_with('/') && !text.ends_with('/') {
        return Some(text.to_owned());
    }
    out.push(
        Diagnostic::error(place, format!("`{text}` is no path of a serial port"))
            .help("write the port's stable name: \"/dev/serial/by-id/usb-…\"; `ls /dev/serial/by-id` shows them"),
    );
    None
}

/// `host`, `host:port`, `[::1]:port`; with the port filled in, where there is a usual one.
pub(super) fn host_port(
    text: &str,
    what: &str,
    usual: Option<u16>,
    place: &Place,
    out: &mut Diagnostics,
) -> Option<String> {
    let mut refuse = |help: &str| {
        out.push(Diagnostic::error(place, format!("`{text}` is no address of {what}")).help(help));
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
        None => match usual {
            Some(port) => Some(format!("{host}:{port}")),
            None => refuse("there is no usual port: write host:port, \"192.0.2.17:4001\""),
        },
        Some(Ok(port)) if port > 0 => Some(format!("{host}:{port}")),
        Some(_) => refuse("a port is a number from 1 to 65535"),
    }
}
