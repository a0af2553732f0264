//! How a device speaks, and which keys that rules out.
//!
//! Owns what is said of a key of another protocol. Which key belongs to which protocol is in [`super::format`].

use super::format::{CONNECTION, EVENT, Key, POINT};
use crate::diagnostic::tree::{Node, Table};
use crate::diagnostic::{Diagnostic, Diagnostics, Place};

/// Protocols that have points of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// Registers and coils.
    Modbus,
    /// Lines and frames.
    Frames,
    /// Open Protocol.
    Telegrams,
    /// Nodes and events of an OPC UA server.
    Opcua,
}

/// The protocol of a profile, and where it says so.
#[derive(Debug, Clone)]
pub(super) struct Protocol {
    pub(super) word: String,
    pub(super) family: Family,
    pub(super) place: Place,
}

impl Protocol {
    /// Of a word that this build has.
    pub(super) fn of(word: &str, place: &Place) -> Self {
        Self {
            word: word.to_owned(),
            family: match word {
                "serial" | "tcp" => Family::Frames,
                "open-protocol" => Family::Telegrams,
                "opcua" => Family::Opcua,
                _ => Family::Modbus,
            },
            place: place.clone(),
        }
    }

    /// Tells every key that belongs to another protocol.
    pub(super) fn foreign(&self, table: &Table, keys: &[Key], out: &mut Diagnostics) {
        for (key, _) in &table.entries {
            let owner = keys
                .iter()
                .find(|known| known.name == key.name)
                .and_then(|known| known.of);
            let Some(owner) = owner.filter(|owner| !owner.protocols.contains(&self.word.as_str())) else {
                continue;
            };
            out.push(
                Diagnostic::error(
                    &key.place,
                    format!("`{}` is of {}; `{}` has none", key.name, owner.what, self.word),
                )
                .related(&self.place, "the protocol")
                .help(self.instead(&key.name, owner.protocols)),
            );
        }
    }

    /// The same of every table below: points, events.
    pub(super) fn foreign_below(&self, table: &Table, keys: &[Key], out: &mut Diagnostics) {
        for (_, node) in &table.entries {
            if let Some(inner) = node.as_table() {
                self.foreign(inner, keys, out);
            }
        }
    }

    /// Tells every key of the whole profile that belongs to another protocol.
    pub(super) fn check(&self, top: &Table, out: &mut Diagnostics) {
        let table = |key: &str| top.get(key).and_then(Node::as_table);
        if let Some(connection) = table("connection") {
            self.foreign(connection, CONNECTION, out);
        }
        self.foreign(top, super::format::TOP, out);
        for (section, keys) in [("points", POINT), ("events", EVENT)] {
            if let Some(table) = table(section) {
                self.foreign_below(table, keys, out);
            }
        }
    }

    /// What to do about a key that this protocol does not have.
    fn instead(&self, key: &str, protocols: &[&str]) -> String {
        let text = match (key, self.family) {
            ("baud" | "framing" | "rs485", _) => {
                return format!(
                    "take it out, or write protocol = \"{}\" with the path of the port as address",
                    if self.family == Family::Modbus {
                        "modbus-rtu"
                    } else {
                        "serial"
                    }
                );
            }
            ("at" | "node" | "field" | "part", Family::Frames) => {
                "say where it is in a frame: columns = [18, 24], column = 3, or a named group of `pattern`"
            }
            ("at", Family::Telegrams) => {
                "call the point as the field of the telegram (`lineside profile fields open-protocol`), or write pid = 2001"
            }
            ("at", Family::Opcua) => {
                "name the node, node = \"nsu=http://…;s=Tool.Torque\"; or the field of an event, field = \"Result/…\""
            }
            (
                "columns" | "column" | "group" | "pid" | "gs1" | "di" | "vin" | "node" | "field" | "part",
                Family::Modbus,
            ) => "registers have addresses: at = \"holding:100\"",
            ("columns" | "column" | "group" | "pid", Family::Opcua) => {
                "a variable has a node: node = \"nsu=http://…;s=Tool.Torque\"; a field of an event a way, field = \"Result/…\""
            }
            ("count", Family::Opcua) => "take it out: a variable says itself how many elements it has",
            ("length", Family::Opcua) => "take it out: a text of a server is as long as it is",
            ("clears", Family::Opcua) => "take it out: reading a variable does not clear it",
            ("word_order", Family::Opcua) => "take it out: a server says numbers, not registers",
            ("poll", Family::Opcua) => {
                "values are subscribed to: publishing = \"100ms\"; of a server without subscriptions write polled = true as well"
            }
            ("security" | "trust" | "trust_file" | "username" | "password_file" | "cert_file" | "key_file", _) => {
                "take it out: only OPC UA secures its connection and knows users"
            }
            ("columns" | "column" | "group" | "node" | "field" | "part", Family::Telegrams) => {
                "fields of telegrams have names: `lineside profile fields open-protocol` lists them"
            }
            ("count" | "bit" | "bits" | "length" | "clears", _) => "take it out: that is how registers are read",
            ("poll", Family::Frames) => "to ask a device, write [frame] poll = { send = \"?\\r\", every = \"500ms\" }",
            ("poll", Family::Telegrams) => "take it out: the controller says by itself what happens",
            ("ack", Family::Frames) => {
                "to answer a device, write [frame] reply = \"\\u0006\": it is sent once the event is durable"
            }
            ("ack", Family::Telegrams) => {
                "take it out: telegrams are acknowledged by themselves, once the event is durable; [connection] acknowledge says how"
            }
            ("ring", Family::Opcua) => {
                "take it out: make each record an event of its own, by a count that `changes`, or by `[each]` of an array in an event"
            }
            ("ring", _) => "take it out: rings are of registers",
            ("stable", _) => "take it out: one frame or telegram is of one moment",
            ("frame", Family::Telegrams) => {
                "take it out: telegrams have their own framing; of a serial line say procedure = \"ascii\" or \"3964r\""
            }
            ("frame", Family::Modbus | Family::Opcua) => "take it out, or write protocol = \"serial\" or \"tcp\"",
            ("repeat", Family::Opcua) => {
                "take it out: a value that stays the same is no new event; results are told apart by their `id`"
            }
            ("repeat", _) => "take it out: a register that stays the same is no new event",
            ("listen", _) => "take it out, or write protocol = \"tcp\"",
            _ => return format!("take it out; it belongs to {}", protocols.join(", ")),
        };
        text.to_owned()
    }
}
