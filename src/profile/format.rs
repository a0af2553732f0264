//! The keys of a profile, declared once. The reader ([`super::read`]) holds files against this table and the
//! editors' schema ([`super::schema`]) is written from it, so the two cannot drift.
//!
//! Owns names, kinds and words of keys, and which protocols have them. Does not own what they mean together
//! ([`super::points`], [`super::events`]); the fields of events are the contract's ([`crate::model::event`]).

mod event;
mod reach;

use crate::model::plan::{OnStart, OpcuaPart, WordOrder};
pub(super) use event::EVENT;
pub(super) use reach::{CONNECTION, FRAME, FRAMINGS, REVISION};

/// What may stand under a key.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// Text.
    Text,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A whole number in this range.
    Integer(i64, i64),
    /// A number, whole or not.
    Number,
    /// true or false.
    Bool,
    /// Text like `50ms`.
    Duration,
    /// A number, text, true or false.
    Scalar,
    /// A list of these.
    List(&'static Kind),
    /// One of these or a list of them.
    OneOrMore(&'static Kind),
    /// A table of these keys and no others.
    Table(&'static [Key]),
    /// A table whose keys are the author's.
    Map(&'static Kind),
    /// The first of these whose TOML kind it is.
    Either(&'static [Kind]),
    /// An event: control keys ([`EVENT`]) and the fields of its type.
    Event,
    /// A table that is looked at where it is used.
    Any,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// How it is written.
    pub(super) name: &'static str,
    /// What may stand there.
    pub(super) kind: Kind,
    /// For editors.
    pub(super) doc: &'static str,
    /// Which protocols have it; `None`: all.
    pub(super) of: Option<&'static Owner>,
}

/// What a key belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    /// In words, for messages.
    pub(super) what: &'static str,
    /// Protocols that have it.
    pub(super) protocols: &'static [&'static str],
}

/// Registers and coils.
const MODBUS: Owner = Owner {
    what: "Modbus",
    protocols: &["modbus-tcp", "modbus-rtu", "modbus-rtu-over-tcp"],
};
/// A serial port.
const PORT: Owner = Owner {
    what: "a serial port",
    protocols: &["modbus-rtu", "serial", "open-protocol"],
};
/// Lines and frames.
const FRAMES: Owner = Owner {
    what: "frames (protocol serial or tcp)",
    protocols: &["serial", "tcp"],
};
/// Nodes and events of a server.
const OPCUA: Owner = Owner {
    what: "OPC UA",
    protocols: &["opcua"],
};
/// What is looked at and written by the gateway.
const ASKED: Owner = Owner {
    what: "devices that are asked (Modbus, OPC UA)",
    protocols: &["modbus-tcp", "modbus-rtu", "modbus-rtu-over-tcp", "opcua"],
};
/// Open Protocol.
const TELEGRAMS: Owner = Owner {
    what: "Open Protocol",
    protocols: &["open-protocol"],
};
/// Frames by TCP.
const TCP: Owner = Owner {
    what: "frames by TCP",
    protocols: &["tcp"],
};
/// What is read of a device, or sent by it without being told whose code it is.
const FRAMES_AND_TELEGRAMS: Owner = Owner {
    what: "what devices say by themselves",
    protocols: &["serial", "tcp", "open-protocol"],
};

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key {
        name,
        kind,
        doc,
        of: None,
    }
}

/// A key that only some protocols have.
const fn of(owner: &'static Owner, key: Key) -> Key {
    Key { of: Some(owner), ..key }
}

/// Protocols of the format; there is a driver for each.
pub(super) const PROTOCOLS: &[&str] = &[
    "modbus-tcp",
    "modbus-rtu",
    "modbus-rtu-over-tcp",
    "opcua",
    "serial",
    "tcp",
    "open-protocol",
];
/// Byte orders.
pub(super) const ORDERS: &[(&str, WordOrder)] = &[
    ("abcd", WordOrder::Abcd),
    ("cdab", WordOrder::Cdab),
    ("badc", WordOrder::Badc),
    ("dcba", WordOrder::Dcba),
];
const ORDER_WORDS: &[&str] = &["abcd", "cdab", "badc", "dcba"];

/// What the first value is.
pub(super) const ON_START: &[(&str, OnStart)] = &[("baseline", OnStart::Baseline), ("take", OnStart::Take)];

/// Types of points.
pub(super) const TYPES: &[&str] = &[
    "bool", "u8", "i8", "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "bcd16", "bcd32", "string", "text",
    "decimal",
];

/// What of a variable of an OPC UA server is meant.
pub(super) const PARTS: &[(&str, OpcuaPart)] = &[
    ("value", OpcuaPart::Value),
    ("source_timestamp", OpcuaPart::SourceTimestamp),
    ("server_timestamp", OpcuaPart::ServerTimestamp),
    ("status", OpcuaPart::Status),
];
const PART_WORDS: &[&str] = &["value", "source_timestamp", "server_timestamp", "status"];

/// The file.
pub(super) const TOP: &[Key] = &[
    key("profile", Kind::Integer(1, 1), "format of this file: 1"),
    key("vendor", Kind::Text, "who makes the device, as they spell it"),
    key("model", Kind::Text, "model, as the vendor spells it"),
    key("about", Kind::Text, "what it is, in a sentence"),
    key(
        "maturity",
        Kind::Words(&["document", "bench", "line"]),
        "document: read from a manual; bench: has a capture of a real device; line: ran in a plant",
    ),
    key(
        "sources",
        Kind::OneOrMore(&Kind::Text),
        "documents that it was made from, with revision and page",
    ),
    key(
        "caveats",
        Kind::OneOrMore(&Kind::Text),
        "known faults of the device, one entry each",
    ),
    key(
        "extends",
        Kind::Text,
        "path of a profile under the profiles folder, without .toml",
    ),
    key("serial", Kind::Text, "which individual: two of a model are two devices"),
    key(
        "remove",
        Kind::OneOrMore(&Kind::Text),
        "dotted paths of what is inherited and not wanted: events.tightening.counter",
    ),
    key(
        "shift",
        Kind::Table(SHIFT),
        "added to the addresses of all inherited points: the same map once more, further on. Points of this file stand as they are written",
    ),
    key("connection", Kind::Table(CONNECTION), "how the device is reached"),
    of(
        &FRAMES,
        key("frame", Kind::Table(FRAME), "what a frame is, and what it is made of"),
    ),
    key("points", Kind::Map(&Kind::Table(POINT)), "what the device says"),
    key("events", Kind::Map(&Kind::Event), "what it means"),
    key("example", Kind::List(&Kind::Table(EXAMPLE)), "how we know"),
];

/// `shift`, by table.
const SHIFT: &[Key] = &[
    key("coil", OFFSET, "of coils"),
    key("discrete", OFFSET, "of discrete inputs"),
    key("holding", OFFSET, "of holding registers"),
    key("input", OFFSET, "of input registers"),
];
const OFFSET: Kind = Kind::Integer(-65_535, 65_535);

/// A point.
pub(super) const POINT: &[Key] = &[
    of(
        &MODBUS,
        key(
            "at",
            Kind::Text,
            "holding:N, input:N, coil:N, discrete:N, zero-based; or a one-based reference, 40001",
        ),
    ),
    key(
        "type",
        Kind::Words(TYPES),
        "how it is read; in a frame: text, decimal, bool, u16 to i64; of OPC UA only needed for what is written, or compared with text",
    ),
    of(
        &MODBUS,
        key(
            "word_order",
            Kind::Words(ORDER_WORDS),
            "as in [connection], for this point",
        ),
    ),
    of(
        &ASKED,
        key(
            "bit",
            Kind::Integer(0, 63),
            "one bit of a word, 0 the least significant",
        ),
    ),
    of(
        &ASKED,
        key(
            "bits",
            Kind::List(&Kind::Integer(0, 63)),
            "[lowest, highest] bit of a small number inside a word",
        ),
    ),
    of(&MODBUS, key("count", Kind::Integer(1, 2000), "elements of an array")),
    of(&MODBUS, key("length", Kind::Integer(1, 250), "bytes of a string")),
    of(&MODBUS, key("clears", Kind::Bool, "reading it clears it")),
    key("uom", Kind::Text, "unit of measure: N.m, deg, Cel, lbf.in"),
    key("uom_from", Kind::Text, "point that names the unit of measure"),
    key("scale", Kind::Number, "the raw number is multiplied by it"),
    key("scale_from", Kind::Text, "point that holds the number of decimals"),
    key("offset", Kind::Number, "added after scaling"),
    key(
        "map",
        Kind::Map(&Kind::Scalar),
        "raw value to meaning: { 1 = \"ok\", 2 = \"nok\" }; `else` for all others",
    ),
    key(
        "trim",
        Kind::Either(&[Kind::Bool, Kind::Text, Kind::Number]),
        "of a text: false keeps its blanks, or the characters to cut at both ends; of an array: the raw value of unused elements at its end",
    ),
    key(
        "invalid",
        Kind::OneOrMore(&Kind::Scalar),
        "raw values that mean: no value",
    ),
    key(
        "plausible",
        Kind::List(&Kind::Number),
        "[low, high] in the point's uom; what is beyond goes to quarantine",
    ),
    key(
        "deadband",
        Kind::Number,
        "a smaller change, in the point's uom, is none",
    ),
    key("about", Kind::Text, "what it is, in the document's words"),
    of(
        &FRAMES,
        key(
            "columns",
            Kind::List(&Kind::Integer(1, 65_536)),
            "first and last byte of the whole frame, from 1, start included: [18, 24]",
        ),
    ),
    of(
        &FRAMES,
        key(
            "column",
            Kind::Integer(1, 10_000),
            "which part of a line that `separator` cuts, from 1",
        ),
    ),
    of(
        &FRAMES,
        key(
            "group",
            Kind::Text,
            "named group of `pattern`, where the point is called otherwise",
        ),
    ),
    of(
        &FRAMES,
        key("gs1", Kind::Text, "application identifier of a scanned GS1 code: 21"),
    ),
    of(
        &FRAMES,
        key(
            "di",
            Kind::Text,
            "data identifier of a scanned code after ISO 15434, format 06: S",
        ),
    ),
    of(
        &FRAMES,
        key(
            "vin",
            Kind::Words(&["shape", "check_digit"]),
            "the VIN that a scanned code is: 17 characters without I, O, Q, a leading I taken off; check_digit: the ninth must be right, too",
        ),
    ),
    of(
        &TELEGRAMS,
        key("pid", Kind::Integer(1, 99_999), "parameter of variable results: 2001"),
    ),
    of(
        &OPCUA,
        key(
            "node",
            Kind::Text,
            "a variable: nsu=http://…;s=Tool.Torque, or ns=2;i=1007; without it the point is a field of an event",
        ),
    ),
    of(
        &OPCUA,
        key(
            "field",
            Kind::OneOrMore(&Kind::Text),
            "the way through structures: Result/ResultMetaData/ResultId, Values[PhysicalQuantity=2]/MeasuredValue; of a list the first that exists",
        ),
    ),
    of(
        &OPCUA,
        key(
            "part",
            Kind::Words(PART_WORDS),
            "what of a variable is meant, where it is not its value",
        ),
    ),
    of(
        &OPCUA,
        key(
            "sampling",
            Kind::Duration,
            "how often the server looks at it, where it is not as [connection] says",
        ),
    ),
];

/// `[[example]]`.
pub(super) const EXAMPLE: &[Key] = &[
    key("name", Kind::Text, "what it shows"),
    key(
        "origin",
        Kind::Words(&["captured", "document", "computed"]),
        "captured from a real device, from a document, or computed by hand",
    ),
    key(
        "given",
        Kind::OneOrMore(&Kind::Map(&Kind::Any)),
        "what stands in the registers: { \"input:100\" = [7] }, or frame = \"…\", telegram = \"…\", event = { Result = { … } } (or a JSON file), values = { point = 7 }; a list is a sequence in time",
    ),
    key(
        "expect",
        Kind::List(&Kind::Map(&Kind::Any)),
        "the events, complete, with dotted fields",
    ),
];

/// Members of a field's table that are no contract members.
pub(super) const FIELD_EXTRA: &[&str] = &["point", "const", "uom", "bits", "except"];
