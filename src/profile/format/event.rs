//! `[events.<name>]`: the control keys; fields are the contract's.

use super::{ASKED, FRAMES_AND_TELEGRAMS, Key, Kind, MODBUS, key, of};

/// Keys of an event that are no fields.
pub(in crate::profile) const EVENT: &[Key] = &[
    key(
        "type",
        Kind::Text,
        "type of event, where the name of the section is not it",
    ),
    key("when", Kind::OneOrMore(&WHEN), "what makes it happen"),
    key(
        "id",
        Kind::OneOrMore(&Kind::Text),
        "points that make this result this result, for the device",
    ),
    key(
        "counter",
        Kind::Either(&[Kind::Text, Kind::Table(COUNTER)]),
        "a device's counter: a jump is a gap, lower is a restart",
    ),
    key(
        "time",
        Kind::Either(&[Kind::Text, Kind::Table(TIME)]),
        "the device's own time; of OPC UA a point is enough",
    ),
    of(
        &ASKED,
        key(
            "ack",
            Kind::Table(ACK),
            "what the device is told once the event is durable",
        ),
    ),
    key(
        "unit",
        Kind::Either(&[Kind::Text, Kind::Table(ECHO)]),
        "the production unit as the device echoes it",
    ),
    key(
        "only",
        Kind::Map(&FILTER),
        "fields or points that must have one of these values; others are ignored",
    ),
    key(
        "except",
        Kind::Map(&FILTER),
        "fields or points that must not have one of these values",
    ),
    key(
        "extra",
        Kind::Either(&[Kind::OneOrMore(&Kind::Text), Kind::Map(&Kind::Text)]),
        "points carried beside the contract",
    ),
    of(
        &MODBUS,
        key(
            "ring",
            Kind::Table(RING),
            "the points are the first record of a ring buffer: { index = \"write_index\", slots = 16, stride = 20 }",
        ),
    ),
    of(
        &ASKED,
        key(
            "stable",
            Kind::Integer(1, 10),
            "readings that must agree before it counts",
        ),
    ),
    key(
        "on_start",
        Kind::Words(&["baseline", "take"]),
        "what the first value ever seen is",
    ),
    key(
        "keep",
        Kind::Words(&["stored", "latest"]),
        "latest: not stored, only the newest is sent",
    ),
    key(
        "alarms",
        Kind::OneOrMore(&Kind::Table(ALARMS)),
        "an alarm word: one event a changed bit",
    ),
    key("about", Kind::Text, "for whoever reads the file"),
    of(
        &FRAMES_AND_TELEGRAMS,
        key(
            "repeat",
            Kind::Duration,
            "the same values again within this time are one event: double reads of a scanner",
        ),
    ),
];

/// `when`.
const WHEN: Kind = Kind::Either(&[Kind::Text, Kind::Table(TRIGGER)]);

/// Values of a field or point; of a member by a dotted name, quoted or not: batch.size = 5.
const FILTER: Kind = Kind::Either(&[
    Kind::OneOrMore(&Kind::Scalar),
    Kind::Map(&Kind::OneOrMore(&Kind::Scalar)),
]);

const TRIGGER: &[Key] = &[
    key(
        "changes",
        Kind::OneOrMore(&Kind::Text),
        "a point, or several of them; \"*\" for all of the event",
    ),
    key(
        "at_most",
        Kind::Duration,
        "with changes: shortest time between two events",
    ),
    key("rises", Kind::Text, "a point that becomes true"),
    key("falls", Kind::Text, "a point that becomes false"),
    key(
        "equals",
        Kind::List(&Kind::Scalar),
        "[point, raw value] that it becomes",
    ),
    key(
        "reads",
        Kind::List(&Kind::Scalar),
        "[point, raw value]: every read of this value, for flags that reading clears",
    ),
    key("every", Kind::Duration, "time passed"),
    key(
        "event",
        Kind::Text,
        "a type of event of an OPC UA server, its subtypes with it: nsu=…;i=1007",
    ),
    key(
        "notifier",
        Kind::Text,
        "with event: the object that tells it; the Server object unless said",
    ),
];

const COUNTER: &[Key] = &[
    key("point", Kind::Text, "where it is"),
    key(
        "first",
        Kind::Integer(i64::MIN, i64::MAX),
        "what it starts from, and what follows `last`; below it there is no result. Unless said 0, and 1 is a beginning, too",
    ),
    key(
        "last",
        Kind::Integer(i64::MIN, i64::MAX),
        "after which it wraps; without it, it does not",
    ),
];

const TIME: &[Key] = &[
    key("point", Kind::Text, "where it is"),
    key("points", Kind::List(&Kind::Text), "its parts, joined by blanks"),
    key(
        "format",
        Kind::Text,
        "unix, unix_ms, rfc3339, or strftime: %Y-%m-%d %H:%M:%S",
    ),
    key("zone", Kind::Text, "Europe/Berlin, local or utc; of strftime"),
];

const ACK: &[Key] = &[
    key("write", Kind::Text, "point that is written"),
    key("copy", Kind::Text, "point whose value is written"),
    key(
        "value",
        Kind::Either(&[Kind::Bool, Kind::Number]),
        "value that is written",
    ),
    key(
        "then",
        Kind::Either(&[Kind::Bool, Kind::Number]),
        "written when the trigger has fallen",
    ),
    key(
        "timeout",
        Kind::Duration,
        "how long the device may take to take the trigger back",
    ),
];

const RING: &[Key] = &[
    key(
        "index",
        Kind::Text,
        "point that says where the device writes next: 0 to slots - 1, or a count that goes on",
    ),
    key("slots", Kind::Integer(2, 10_000), "records in the ring"),
    key(
        "stride",
        Kind::Integer(1, 10_000),
        "registers from one record to the next",
    ),
    key(
        "wraps",
        Kind::Integer(2, i64::MAX),
        "the index runs from 0 to this less 1; unless said, that is seen from its values",
    ),
    key(
        "newest",
        Kind::Bool,
        "true: the index names the record written last, not the next",
    ),
];

const ECHO: &[Key] = &[
    key("point", Kind::Text, "where it is"),
    key(
        "match",
        Kind::Words(&["exact", "prefix", "suffix", "contains"]),
        "how it is compared; a part confirms, never supplies",
    ),
];

const ALARMS: &[Key] = &[
    key("point", Kind::Text, "the alarm word"),
    key(
        "bits",
        Kind::Map(&Kind::Either(&[Kind::Text, Kind::Table(ALARM_BIT)])),
        "bit to alarm code: { 0 = \"guard_open\" }",
    ),
];

const ALARM_BIT: &[Key] = &[
    key("code", Kind::Text, "the device's code"),
    key("text", Kind::Text, "what it means"),
    key(
        "category",
        Kind::Words(&["device", "process", "safety"]),
        "whose concern",
    ),
    key("severity", Kind::Scalar, "as the device grades it"),
];
