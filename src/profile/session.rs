//! `[connection]` of Open Protocol: transport, results, revisions, recovery. Owns defaults and what cannot go together.

use super::connection::{duration, host_port, is_true, port, serial};
use super::format::REVISION;
use crate::diagnostic::tree::{Node, Table};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::model::plan::{Acknowledge, OpenProtocolLink, Recover, ResultSource, Revisions, TelegramTransport};
use std::time::Duration;

/// Port of Open Protocol (specification 2.1).
const PORT: u16 = 4545;
const TIMEOUT: Duration = Duration::from_secs(3);
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Controllers drop a link that is silent for so long (specification 3.2).
const DROPPED: Duration = Duration::from_secs(15);

/// Keys of a serial port.
const SERIAL: &[&str] = &["baud", "framing", "rs485", "procedure"];

/// Compiles the settings of a session.
pub(super) fn compile(keys: &Table, out: &mut Diagnostics) -> OpenProtocolLink {
    let word = |key: &str| keys.get(key).and_then(Node::as_text);
    let small = |key: &str| {
        keys.get(key)
            .and_then(Node::as_integer)
            .and_then(|value| u8::try_from(value).ok())
    };
    let (transport, address) = reached(keys, out);
    let results = match word("results") {
        Some("0101") => ResultSource::Multi,
        Some("1201") => ResultSource::Variable,
        _ => ResultSource::Last,
    };
    let recover = match word("recover") {
        Some("by-id") => Recover::ById,
        Some("walk-back") => Recover::WalkBack,
        Some("from-index") => Recover::FromIndex,
        _ => Recover::None,
    };
    let link = OpenProtocolLink {
        address,
        transport,
        timeout: duration(keys, "timeout", TIMEOUT),
        keep_alive: duration(keys, "keep_alive", KEEP_ALIVE),
        results,
        generic: is_true(keys, "generic"),
        acknowledge: match word("acknowledge") {
            Some("accepted") => Acknowledge::Accepted,
            Some("link") => Acknowledge::Link,
            _ => Acknowledge::Own,
        },
        revision: revisions(keys),
        recover,
        station: small("station"),
        spindle: small("spindle"),
        big_endian_traces: word("trace_order") == Some("big"),
    };
    check(&link, keys, out);
    link
}

/// How telegrams travel, and where to; empty where no address is said.
fn reached(keys: &Table, out: &mut Diagnostics) -> (TelegramTransport, String) {
    let address = keys
        .get("address")
        .and_then(|node| Some((node.as_text()?, &node.place)));
    let line = SERIAL.iter().find_map(|key| keys.entry(key));
    let settings = || serial(keys, 9600, "8N1");
    let on_a_line = || match keys.get("procedure").and_then(Node::as_text) {
        Some("3964r") => TelegramTransport::Block3964R(settings()),
        _ => TelegramTransport::Ascii(settings()),
    };
    match (address, line) {
        (Some((text, place)), _) if text.starts_with('/') => (on_a_line(), port(text, place, out).unwrap_or_default()),
        (Some((text, place)), line) => {
            if let Some((key, _)) = line {
                out.push(
                    Diagnostic::error(
                        &key.place,
                        format!("`{}` is of a serial port; this address is none", key.name),
                    )
                    .related(place, "the address")
                    .help("take it out, or write the path of the port as address: \"/dev/serial/by-id/…\""),
                );
            }
            let address = host_port(text, "a controller", Some(PORT), place, out);
            (TelegramTransport::Tcp, address.unwrap_or_default())
        }
        (None, Some(_)) => (on_a_line(), String::new()),
        (None, None) => (TelegramTransport::Tcp, String::new()),
    }
}

fn revisions(keys: &Table) -> Revisions {
    let mut found = Revisions::default();
    let Some(table) = keys.get("revision").and_then(Node::as_table) else {
        return found;
    };
    for key in REVISION {
        let number = table.get(key.name).and_then(Node::as_integer);
        let Some(number) = number.and_then(|number| u16::try_from(number).ok()) else {
            continue;
        };
        let place = match key.name {
            "start" => &mut found.start,
            "results" => &mut found.results,
            "recovery" => &mut found.recovery,
            "alarms" => &mut found.alarms,
            "identifiers" => &mut found.identifiers,
            "jobs" => &mut found.jobs,
            _ => &mut found.programs,
        };
        *place = number;
    }
    found
}

/// What cannot go together.
fn check(link: &OpenProtocolLink, keys: &Table, out: &mut Diagnostics) {
    if let Some(node) = keys.get("recover") {
        let wants = match (link.recover, link.results) {
            (Recover::FromIndex, ResultSource::Last | ResultSource::Multi) => Some("1201"),
            (Recover::ById | Recover::WalkBack, ResultSource::Multi | ResultSource::Variable) => Some("0061"),
            _ => None,
        };
        if let Some(wants) = wants {
            let mut fault = Diagnostic::error(
                &node.place,
                format!(
                    "`{}` goes with results = \"{wants}\"",
                    node.as_text().unwrap_or_default()
                ),
            )
            .help(match link.results {
                ResultSource::Last => "of 0061 write \"by-id\", or \"walk-back\" (PF6000)",
                ResultSource::Multi => "results of 0101 cannot be fetched later: take `recover` out",
                ResultSource::Variable => "results of 1201 are fetched from an index on: \"from-index\"",
            });
            if let Some(results) = keys.get("results") {
                fault = fault.related(&results.place, "where results come from");
            }
            out.push(fault);
        }
    }
    if let Some(node) = keys.get("acknowledge")
        && link.acknowledge == Acknowledge::Link
        && link.revision.start < 6
    {
        out.push(
            Diagnostic::error(&node.place, "the link layer needs revision 6 of the start")
                .help("only 0002 of revision 6 says whether the controller has it: revision = { start = 6 }"),
        );
    }
    if let Some(node) = keys.get("keep_alive")
        && link.keep_alive >= DROPPED
    {
        out.push(
            Diagnostic::warning(&node.place, "controllers drop a link that is silent for 15 s")
                .help("keep_alive = \"10s\" is usual; \"7s\" where a lost one must not matter"),
        );
    }
}
