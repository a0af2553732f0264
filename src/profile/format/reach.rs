//! `[connection]` and `[frame]`: the keys by which a device is reached.

use super::{Key, Kind, MODBUS, OPCUA, ORDER_WORDS, PORT, PROTOCOLS, TCP, TELEGRAMS, key, of};

/// What a character looks like on a serial line.
pub(in crate::profile) const FRAMINGS: &[&str] = &[
    "8N1", "8N2", "8E1", "8O1", "7E1", "7O1", "7N2", "8E2", "8O2", "7E2", "7O2",
];

/// `[connection]`.
pub(in crate::profile) const CONNECTION: &[Key] = &[
    key("protocol", Kind::Words(PROTOCOLS), "how the device speaks"),
    key(
        "address",
        Kind::Text,
        "host[:port], the port of Modbus is 502, of Open Protocol 4545; opc.tcp://host[:port][/path], the port is 4840; of a serial line its port: /dev/serial/by-id/…",
    ),
    of(
        &MODBUS,
        key("server_id", Kind::Integer(0, 255), "Modbus server (unit identifier)"),
    ),
    of(&MODBUS, key("poll", Kind::Duration, "how often triggers are looked at")),
    key("timeout", Kind::Duration, "how long an answer may take"),
    of(
        &MODBUS,
        key(
            "word_order",
            Kind::Words(ORDER_WORDS),
            "byte order of values of more than one register; A is the most significant byte",
        ),
    ),
    key(
        "alive",
        Kind::Table(ALIVE),
        "a life sign: answering is not enough to be online",
    ),
    of(
        &MODBUS,
        key(
            "max_registers",
            Kind::Integer(1, 125),
            "largest read of registers in one request",
        ),
    ),
    of(
        &MODBUS,
        key(
            "max_bits",
            Kind::Integer(1, 2000),
            "largest read of coils or discrete inputs in one request",
        ),
    ),
    of(
        &MODBUS,
        key(
            "max_gap",
            Kind::Integer(0, 124),
            "unwanted registers that a read may span to save a request",
        ),
    ),
    of(
        &PORT,
        key("baud", Kind::Integer(50, 4_000_000), "bits a second on the serial line"),
    ),
    of(
        &PORT,
        key(
            "framing",
            Kind::Words(FRAMINGS),
            "data bits, parity and stop bits of the serial line: 8N1 unless said, of Modbus 8E1",
        ),
    ),
    of(
        &PORT,
        key(
            "rs485",
            Kind::Bool,
            "the port's driver switches the RS-485 transceiver; most adapters do it by themselves",
        ),
    ),
    of(
        &TCP,
        key(
            "listen",
            Kind::Bool,
            "true: the device connects to the gateway, which listens at `address`",
        ),
    ),
    of(
        &TELEGRAMS,
        key(
            "results",
            Kind::Words(&["0061", "0101", "1201"]),
            "where results come from: 0061 one a tightening, 0101 the spindles of one together, 1201 variable fields",
        ),
    ),
    of(
        &TELEGRAMS,
        key(
            "revision",
            Kind::Table(REVISION),
            "the highest to ask for; the driver steps down as far as the controller wants",
        ),
    ),
    of(
        &TELEGRAMS,
        key(
            "recover",
            Kind::Words(&["none", "by-id", "walk-back", "from-index"]),
            "how what was missed while away is fetched; nothing from before the first start",
        ),
    ),
    of(
        &TELEGRAMS,
        key(
            "keep_alive",
            Kind::Duration,
            "how long the link may be silent before MID 9999 is sent",
        ),
    ),
    of(
        &TELEGRAMS,
        key(
            "acknowledge",
            Kind::Words(&["own", "accepted", "link"]),
            "own: 0062 for 0061; accepted: 0005; link: 9997, where the controller supports it",
        ),
    ),
    of(
        &TELEGRAMS,
        key("generic", Kind::Bool, "true: subscribes with MID 0008 instead of 0060"),
    ),
    of(
        &TELEGRAMS,
        key("station", Kind::Integer(1, 99), "station in the header of telegrams"),
    ),
    of(
        &TELEGRAMS,
        key("spindle", Kind::Integer(1, 99), "spindle in the header of telegrams"),
    ),
    of(
        &TELEGRAMS,
        key(
            "trace_order",
            Kind::Words(&["little", "big"]),
            "byte order of the samples of traces",
        ),
    ),
    of(
        &TELEGRAMS,
        key(
            "procedure",
            Kind::Words(&["ascii", "3964r"]),
            "how telegrams travel on a serial line",
        ),
    ),
    of(
        &OPCUA,
        key(
            "security",
            Kind::Text,
            "\"<policy>/<mode>\": Basic256Sha256, Aes128Sha256RsaOaep, Aes256Sha256RsaPss; Sign, SignAndEncrypt. \"None\" must be written; unless said the strongest that the server offers",
        ),
    ),
    of(
        &OPCUA,
        key(
            "trust",
            Kind::OneOrMore(&Kind::Text),
            "SHA-256 thumbprints of server certificates: \"sha256:…\"",
        ),
    ),
    of(
        &OPCUA,
        key(
            "trust_file",
            Kind::Text,
            "a file of certificates: the server's own, or those of authorities that sign it",
        ),
    ),
    of(&OPCUA, key("username", Kind::Text, "who the gateway says it is")),
    of(
        &OPCUA,
        key("password_file", Kind::Text, "the file that the password is in"),
    ),
    of(
        &OPCUA,
        key(
            "cert_file",
            Kind::Text,
            "the user's certificate, instead of name and password",
        ),
    ),
    of(&OPCUA, key("key_file", Kind::Text, "its private key")),
    of(
        &OPCUA,
        key(
            "publishing",
            Kind::Duration,
            "how often the server publishes what changed",
        ),
    ),
    of(
        &OPCUA,
        key(
            "sampling",
            Kind::Duration,
            "how often the server looks at values; unless said as often as it publishes",
        ),
    ),
    of(
        &OPCUA,
        key(
            "queue",
            Kind::Integer(1, 100_000),
            "changes of one value that the server keeps between two publishings",
        ),
    ),
    of(
        &OPCUA,
        key(
            "polled",
            Kind::Bool,
            "true: values are asked for every `publishing`, of a server without subscriptions",
        ),
    ),
];

const ALIVE: &[Key] = &[
    key("changes", Kind::Text, "the point that must change"),
    key("within", Kind::Duration, "in which time"),
];

const NUMBER: Kind = Kind::Integer(1, 999);

/// `revision`, by what is asked for.
pub(in crate::profile) const REVISION: &[Key] = &[
    key("start", NUMBER, "of MID 0001, and so of 0002"),
    key("results", NUMBER, "of results: 0061, 0101 or 1201"),
    key("recovery", NUMBER, "of MID 0064, and so of 0065"),
    key("alarms", NUMBER, "of MID 0071, 0076"),
    key("identifiers", NUMBER, "of MID 0052, 0152"),
    key("jobs", NUMBER, "of MID 0035"),
    key("programs", NUMBER, "of MID 0015"),
];

/// `[frame]`.
pub(in crate::profile) const FRAME: &[Key] = &[
    key("start", Kind::Text, "first bytes of each frame: \"\\u0002\""),
    key("end", Kind::Text, "last bytes of each frame: \"\\r\\n\""),
    key(
        "length",
        Kind::Integer(1, 65_536),
        "bytes of a whole frame, start and end included",
    ),
    key(
        "lengths",
        Kind::List(&Kind::Integer(1, 65_536)),
        "where a frame has one of several lengths",
    ),
    key(
        "checksum",
        Kind::Words(&["none", "xor", "sum8", "lrc", "crc16"]),
        "hex digits, of what stands between start and end",
    ),
    key(
        "checksum_at",
        Kind::Words(&["before_end", "after_end"]),
        "where its digits stand",
    ),
    key("idle", Kind::Duration, "a silence this long ends a frame"),
    key(
        "max",
        Kind::Integer(1, 65_536),
        "longest frame in bytes: 4096 unless said",
    ),
    key(
        "pattern",
        Kind::Text,
        "regular expression of what stands between start and end; its named groups are points",
    ),
    key(
        "ignore",
        Kind::Text,
        "regular expression: frames that match are no news, NOREAD; they are counted",
    ),
    key("separator", Kind::Text, "what stands between columns"),
    key("poll", Kind::Table(POLL), "asks instead of listening"),
    key("reply", Kind::Text, "sent once what a frame led to is durable"),
];

const POLL: &[Key] = &[
    key("send", Kind::Text, "what is sent"),
    key("every", Kind::Duration, "how often"),
];
