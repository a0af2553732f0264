//! How a device is reached, asked and acknowledged, as lists of things and what they are, in the words of who sets it up.
//!
//! Owns those words. Does not own defaults ([`super::super::connection`]): what is compared is what a driver is given.

use super::Difference;
use crate::model::plan::{
    Ack, AckValue, Acknowledge, Address, ByteTransport, Checksum, ChecksumAt, EventPlan, FramedLink, Identity, Link,
    ModbusLink, ModbusTransport, OnStart, OpcuaLink, OpenProtocolLink, Parity, PointIx, Recover, ResultSource, Said,
    Security, SerialSettings, TelegramTransport, Trigger,
};
use crate::model::value::hex;
use crate::profile::decode::Value;
use crate::profile::events::{Event, Filtered};
use crate::profile::format::ORDERS;
use crate::profile::points::Point;
use crate::profile::{Profile, SlotContract};
use crate::wire::escaped;
use std::time::Duration;

/// Things and what they are, in the order in which they are told.
type List = Vec<(String, String)>;

/// All of `profile`'s. Where `other` is of the same vendor and model, also how each point is read: of another device that
/// is no change, but another device.
pub(super) fn of(profile: &Profile, other: &Profile) -> List {
    let mut found = vec![("protocol".to_owned(), profile.protocol().to_owned())];
    let mut put = |what: &str, value: String| found.push((what.to_owned(), value));
    put("address", none_is(profile.connection.link.address()));
    match &profile.connection.link {
        Link::Modbus(link) => modbus(link, &mut put),
        Link::OpenProtocol(link) => open_protocol(link, &mut put),
        Link::Framed(link) => framed(link, &mut put),
        Link::Opcua(link) => opcua(link, &mut put),
    }
    if let Some(alive) = &profile.alive {
        let text = format!("{} changes within {}", point(profile, alive.point), time(alive.within));
        put("alive while", text);
    }
    for (at, one) in profile.events.iter().enumerate() {
        let name = label(profile, at);
        event(profile, one, &mut |what, value| put(&format!("{name}: {what}"), value));
    }
    if same_model(profile, other) {
        points(profile, other, &mut put);
    }
    found
}

/// Where the trigger's state is not carried over: what the device shows at first is where counting begins.
pub(super) fn begins_anew(before: &Profile, after: &Profile, contract: &SlotContract) -> Option<Difference> {
    let known = before.plan(&contract.slot).events;
    let plan = after.plan(&contract.slot);
    let anew = |event: &&EventPlan| {
        let looks = |trigger: &Trigger| !matches!(trigger, Trigger::Every(_) | Trigger::Said(_));
        event.triggers.iter().any(looks) && !known.iter().any(|had| had.fingerprint == event.fingerprint)
    };
    let events: Vec<&EventPlan> = plan.events.iter().filter(anew).collect();
    let first = events.first()?;
    let waits = events.iter().any(|event| event.ack.is_some());
    let to = match (first.on_start, waits) {
        (OnStart::Take, _) => "the first value seen is taken as a result",
        (OnStart::Baseline, true) => {
            "what the device shows unacknowledged is taken as a result, anything else is where it begins"
        }
        (OnStart::Baseline, false) => "what the device shows at first is where it begins, and no result",
    };
    Some(Difference {
        what: "at the swap".to_owned(),
        from: Some("goes on where it stood".to_owned()),
        to: Some(to.to_owned()),
    })
}

fn same_model(one: &Profile, other: &Profile) -> bool {
    let (a, b) = (&one.identity, &other.identity);
    a.vendor == b.vendor && a.model == b.model && one.protocol() == other.protocol()
}

/// An event is called by its type where it is the only one of it: profiles name their events as they like.
fn label(profile: &Profile, at: usize) -> String {
    let Some(event) = profile.events.get(at) else {
        return String::new();
    };
    let alike = profile.events.iter().filter(|other| other.kind == event.kind).count();
    if alike == 1 {
        event.kind.word().to_owned()
    } else {
        event.name.to_string()
    }
}

fn none_is(text: &str) -> String {
    if text.is_empty() {
        "none yet".to_owned()
    } else {
        text.to_owned()
    }
}

/// `50ms`, `5s`, as a profile writes it.
pub(super) fn time(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis > 0 && millis.is_multiple_of(60_000) {
        format!("{}m", millis / 60_000)
    } else if millis > 0 && millis.is_multiple_of(1_000) {
        format!("{}s", millis / 1_000)
    } else {
        format!("{millis}ms")
    }
}

fn serial(serial: &SerialSettings) -> String {
    let parity = match serial.parity {
        Parity::None => 'N',
        Parity::Even => 'E',
        Parity::Odd => 'O',
    };
    let rs485 = if serial.rs485 { ", RS-485" } else { "" };
    format!(
        "{} baud, {}{parity}{}{rs485}",
        serial.baud, serial.data_bits, serial.stop_bits
    )
}

fn modbus(link: &ModbusLink, put: &mut dyn FnMut(&str, String)) {
    if let ModbusTransport::Rtu(settings) = &link.transport {
        put("line", serial(settings));
    }
    put("server (unit identifier)", link.server_id.to_string());
    put("polled every", time(link.poll));
    put("time-out", time(link.timeout));
    put(
        "largest read",
        format!(
            "{} registers or {} bits, over at most {} unwanted",
            link.max_registers, link.max_bits, link.max_gap
        ),
    );
}

fn open_protocol(link: &OpenProtocolLink, put: &mut dyn FnMut(&str, String)) {
    match &link.transport {
        TelegramTransport::Tcp => {}
        TelegramTransport::Ascii(settings) => put("line", serial(settings)),
        TelegramTransport::Block3964R(settings) => put("line", format!("{}, 3964R", serial(settings))),
    }
    put("time-out", time(link.timeout));
    put("keep-alive", time(link.keep_alive));
    let results = match link.results {
        ResultSource::Last => "MID 0061",
        ResultSource::Multi => "MID 0101, all spindles together",
        ResultSource::Variable => "MID 1201, variable fields",
    };
    let generic = if link.generic { ", subscribed with MID 0008" } else { "" };
    put("results from", format!("{results}{generic}"));
    let acknowledged = match link.acknowledge {
        Acknowledge::Own => "by the message's own acknowledgement (0062)",
        Acknowledge::Accepted => "by MID 0005",
        Acknowledge::Link => "by the link layer (9997)",
        Acknowledge::Nothing => "not at all",
    };
    put("acknowledged", acknowledged.to_owned());
    let revision = &link.revision;
    put(
        "highest revisions",
        format!(
            "start {}, results {}, recovery {}, alarms {}, identifiers {}, jobs {}, programs {}",
            revision.start,
            revision.results,
            revision.recovery,
            revision.alarms,
            revision.identifiers,
            revision.jobs,
            revision.programs
        ),
    );
    let recover = match link.recover {
        Recover::None => "nothing: what happens while away is not fetched",
        Recover::ById => "fetched by id (MID 0064)",
        Recover::WalkBack => "fetched from the newest back",
        Recover::FromIndex => "fetched from an index on",
    };
    put("what was missed", recover.to_owned());
    for (what, number) in [("station", link.station), ("spindle", link.spindle)] {
        if let Some(number) = number {
            put(what, number.to_string());
        }
    }
    if link.big_endian_traces {
        put("samples of traces", "big endian".to_owned());
    }
}

fn framed(link: &FramedLink, put: &mut dyn FnMut(&str, String)) {
    match &link.transport {
        ByteTransport::Serial(settings) => put("line", serial(settings)),
        ByteTransport::TcpClient => {}
        ByteTransport::TcpServer => put("connection", "the device connects to the gateway".to_owned()),
    }
    put("time-out", time(link.timeout));
    let frame = &link.frame;
    let mut parts = Vec::new();
    if !frame.start.is_empty() {
        parts.push(format!("starts with {}", escaped(&frame.start)));
    }
    if !frame.end.is_empty() {
        parts.push(format!("ends with {}", escaped(&frame.end)));
    }
    if !frame.lengths.is_empty() {
        let lengths: Vec<String> = frame.lengths.iter().map(usize::to_string).collect();
        parts.push(format!("{} bytes long", lengths.join(" or ")));
    }
    if let Some(idle) = frame.idle {
        parts.push(format!("ends by a silence of {}", time(idle)));
    }
    put("frame", parts.join(", "));
    let sum = match frame.checksum {
        Checksum::None => None,
        Checksum::Xor => Some("exclusive or"),
        Checksum::Sum8 => Some("sum of all bytes"),
        Checksum::Lrc => Some("LRC"),
        Checksum::Crc16 => Some("CRC-16"),
    };
    if let Some(sum) = sum {
        let at = match frame.checksum_at {
            ChecksumAt::BeforeEnd => "before the end",
            ChecksumAt::AfterEnd => "behind the end",
        };
        put("check sum", format!("{sum}, {at}"));
    }
    for (what, text) in [
        ("taken apart by", &link.parse.pattern),
        ("passed over", &link.parse.ignore),
        ("columns cut by", &link.parse.separator),
    ] {
        if let Some(text) = text {
            put(what, text.to_string());
        }
    }
    match &link.poll {
        Some(poll) => put("asked", format!("{} every {}", escaped(&poll.send), time(poll.every))),
        None => put("asked", "not: it says by itself".to_owned()),
    }
    if let Some(reply) = &link.reply {
        put("acknowledged", format!("with {}", escaped(reply)));
    }
}

fn opcua(link: &OpcuaLink, put: &mut dyn FnMut(&str, String)) {
    let security = match link.security {
        Security::Strongest => "the strongest that the server offers, never None".to_owned(),
        Security::Exactly(policy, mode) => format!("{}/{}", policy.word(), mode.word()),
        Security::None => "None: neither signed nor encrypted".to_owned(),
    };
    put("security", security);
    let mut trust: Vec<String> = link
        .trust
        .pins
        .iter()
        .map(|pin| format!("sha256:{}", hex(pin)))
        .collect();
    trust.extend(link.trust.file.as_ref().map(|file| file.display().to_string()));
    if !matches!(link.security, Security::None) || !trust.is_empty() {
        let trust = if trust.is_empty() {
            "no server yet".to_owned()
        } else {
            trust.join(", ")
        };
        put("trusts", trust);
    }
    let identity = match &link.identity {
        Identity::Anonymous => "nobody (anonymous)".to_owned(),
        Identity::User { name, password_file } => format!("user {name}, password in {}", password_file.display()),
        Identity::Certificate { cert_file, .. } => format!("certificate {}", cert_file.display()),
    };
    put("logs in as", identity);
    put("time-out", time(link.timeout));
    put("published every", time(link.publishing));
    if let Some(sampling) = link.sampling {
        put("sampled every", time(sampling));
    }
    put("changes kept between", link.queue.to_string());
    if link.polled {
        put("values are", "asked for, not subscribed to".to_owned());
    }
}

/// A point by its name and where it is: names are the profile's own.
fn point(profile: &Profile, index: PointIx) -> String {
    let Some(point) = profile.points.get(index) else {
        return "?".to_owned();
    };
    let place = place(point);
    if place == *point.name {
        format!("`{}`", point.name)
    } else {
        format!("`{}` ({place})", point.name)
    }
}

/// Where a point is.
fn place(point: &Point) -> String {
    use crate::model::plan::FramePlace;
    match &point.at {
        Address::Modbus(at) => match at.bits {
            Some((low, 1)) => format!("{}:{} bit {low}", at.table.word(), at.address),
            _ => format!("{}:{}", at.table.word(), at.address),
        },
        Address::Field(field) => field.to_string(),
        Address::Opcua(at) => at.to_string(),
        Address::Frame(at) => match &at.place {
            FramePlace::Columns(first, last) => format!("columns {first} to {last}"),
            FramePlace::Column(number) => format!("column {number}"),
            _ => point.name.to_string(),
        },
    }
}

fn names(profile: &Profile, points: &[PointIx]) -> String {
    let all: Vec<String> = points.iter().map(|index| point(profile, *index)).collect();
    all.join(" or ")
}

fn trigger(profile: &Profile, trigger: &Trigger) -> String {
    match trigger {
        Trigger::Changes(points) => format!("{} changes", names(profile, points)),
        Trigger::ChangesAny { points, at_most } if points.len() > 3 => {
            format!(
                "one of {} points changes, at most every {}",
                points.len(),
                time(*at_most)
            )
        }
        Trigger::ChangesAny { points, at_most } => {
            format!("{} changes, at most every {}", names(profile, points), time(*at_most))
        }
        Trigger::Rises(index) => format!("{} becomes true", point(profile, *index)),
        Trigger::Falls(index) => format!("{} becomes false", point(profile, *index)),
        Trigger::Equals(index, raw) => format!("{} becomes {}", point(profile, *index), raw.text()),
        Trigger::Reads(index, raw) => format!("{} is read as {}", point(profile, *index), raw.text()),
        Trigger::Every(every) => format!("every {}", time(*every)),
        Trigger::Said(Said::Event(number)) => {
            let notice = profile.notices.get(usize::from(*number));
            let kind = notice.map(|notice| notice.event_type.to_string());
            format!("the server tells an event {}", kind.unwrap_or_default())
        }
        Trigger::Said(said) => format!("the device says: {}", said.word()),
    }
}

fn ack(profile: &Profile, ack: &Ack) -> String {
    let value = match &ack.value {
        AckValue::Copy(index) => format!("what {} showed", point(profile, *index)),
        AckValue::Value(raw) => raw.text(),
    };
    let then = ack
        .then
        .as_ref()
        .map(|raw| format!(", then {}", raw.text()))
        .unwrap_or_default();
    format!(
        "{value} is written into {}{then}, within {}",
        point(profile, ack.write),
        time(ack.timeout)
    )
}

fn event(profile: &Profile, event: &Event, put: &mut dyn FnMut(&str, String)) {
    let when: Vec<String> = event.triggers.iter().map(|one| trigger(profile, one)).collect();
    put("when", when.join("; or "));
    if !event.id.is_empty() {
        let names: Vec<String> = event.id.iter().map(|index| point(profile, *index)).collect();
        put("told apart by", names.join(", "));
    }
    if let Some(counter) = event.counter {
        let wraps = counter.last.map_or_else(String::new, |last| format!(" to {last}"));
        put(
            "counted by",
            format!("{} from {}{wraps}", point(profile, counter.point), counter.from),
        );
    }
    if let Some(stamp) = &event.time {
        let names: Vec<String> = stamp.points.iter().map(|index| point(profile, *index)).collect();
        put("device's time", format!("{} as {}", names.join(" "), stamp.text()));
    }
    if let Some(one) = &event.ack {
        put("acknowledged", ack(profile, one));
    }
    if let Some(ring) = &event.ring {
        let text = format!(
            "{} records of {} registers, index {}",
            ring.slots,
            ring.stride,
            point(profile, ring.index)
        );
        put("ring of records", text);
    }
    if let Some(stable) = event.stable.filter(|stable| *stable > 1) {
        put("read until", format!("{stable} readings agree"));
    }
    if event.on_start == OnStart::Take {
        put("first value seen", "taken as a result".to_owned());
    }
    if let Some(repeat) = event.repeat {
        put("the same again", format!("within {} is one", time(repeat)));
    }
    for (word, filters) in [("only where", &event.only), ("except where", &event.except)] {
        for filter in filters {
            if let Filtered::Point(index) = filter.what {
                let values: Vec<String> = filter.values.iter().map(Value::text).collect();
                put(word, format!("{} is {}", point(profile, index), values.join(" or ")));
            }
        }
    }
}

/// Points that both have and read otherwise, and those that only one has: what values mean, of the same device.
fn points(profile: &Profile, other: &Profile, put: &mut dyn FnMut(&str, String)) {
    let written = |profile: &Profile| -> List {
        let settings = profile.settings();
        let of_points = settings.into_iter().filter(|setting| setting.section == "points");
        of_points.map(|setting| (setting.key, setting.value)).collect()
    };
    let theirs = written(other);
    let order = |profile: &Profile| {
        let order = ORDERS.iter().find(|(_, order)| *order == profile.connection.order);
        order.map(|(word, _)| (*word).to_owned())
    };
    if profile.connection.link.modbus().is_some()
        && let Some(order) = order(profile)
    {
        put("word order", order);
    }
    for (name, value) in written(profile) {
        if !theirs.contains(&(name.clone(), value.clone())) {
            put(&format!("point {name}"), value);
        }
    }
}
