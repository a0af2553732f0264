//! Reading gateway.toml: every key, its default and its faults.

use super::{Config, Gateway, Mqtt, MqttVersion, Outbox, Slot, Station, UnitFrom, Web, WhenFull};
use crate::diagnostic::tree::{self, Node, Section, wrong};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Source, meant};
use crate::model::name::check_id;
use crate::model::{EventType, Plant, SlotName, Uom};
use regex::Regex;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Reads gateway.toml. `base` is the folder that relative paths start from; `is_file` tells whether a file is there.
/// All faults go to `out`; `None` where one of them is an error.
pub fn read(
    source: &Arc<Source>,
    base: &Path,
    is_file: &dyn Fn(&Path) -> bool,
    out: &mut Diagnostics,
) -> Option<Config> {
    let mut faults = Diagnostics::new();
    let root = tree::parse(source, &mut faults);
    let mut top = Section::new(&root, "gateway.toml", &Place::start_of(source));
    let paths = Paths { base, is_file };

    let gateway = section(
        &mut top,
        "gateway",
        "a [gateway] with an id: id = \"gw-body-07\"",
        &mut faults,
    )
    .and_then(|section| gateway(section, &paths, &mut faults));
    let plant = section(
        &mut top,
        "plant",
        "a [plant] with enterprise, site, area and line",
        &mut faults,
    )
    .and_then(|section| plant(section, &mut faults));
    let id = gateway.as_ref().map_or("", |gateway| gateway.id.as_str());
    let mqtt = section(
        &mut top,
        "mqtt",
        "an [mqtt] with a broker: broker = \"mqtt://127.0.0.1:1883\"",
        &mut faults,
    )
    .and_then(|section| mqtt(section, id, &paths, &mut faults));
    let outbox = match top.section("outbox", &mut faults) {
        Some(section) => outbox(section, &mut faults),
        None => Outbox {
            max_bytes: 2 << 30,
            when_full: WhenFull::Hold,
            max_age: None,
            keep_sent: 256 << 20,
        },
    };
    let stations = stations(&mut top, &mut faults);
    top.finish(&mut faults);

    let failed = faults.has_errors();
    out.extend(faults);
    if failed {
        return None;
    }
    let (mut plant, (mqtt, topic_prefix)) = (plant?, mqtt?);
    plant.topic_prefix = topic_prefix;
    Some(Config {
        gateway: gateway?,
        plant,
        mqtt,
        outbox,
        stations,
    })
}

/// The profiles folder and the slots of a gateway.toml that has faults, so that the faults of its device files are
/// told with them. Slots without a usable id are left out. The last is whether stations and slots themselves are
/// without a fault: only then does what they ask of their devices mean anything.
#[must_use]
pub fn slots_anyway(source: &Arc<Source>, base: &Path) -> (PathBuf, Vec<Slot>, bool) {
    let mut told = Diagnostics::new();
    let root = tree::parse(source, &mut told);
    let readable = !told.has_errors();
    let mut top = Section::new(&root, "gateway.toml", &Place::start_of(source));
    let profiles = top
        .section("gateway", &mut told)
        .and_then(|mut section| section.text("profiles", &mut told).map(|(text, _)| base.join(text)))
        .unwrap_or_else(|| base.join("device-profiles"));
    let mut faults = Diagnostics::new();
    let stations = stations(&mut top, &mut faults);
    let named = |slot: &Slot| check_id(&slot.name.station).is_ok() && check_id(&slot.name.slot).is_ok();
    let slots = stations.into_iter().flat_map(|station| station.slots).filter(named);
    (profiles, slots.collect(), readable && !faults.has_errors())
}

/// Where paths start, and what is there.
struct Paths<'a> {
    base: &'a Path,
    is_file: &'a dyn Fn(&Path) -> bool,
}

impl Paths<'_> {
    fn path(&self, section: &mut Section<'_>, key: &'static str, out: &mut Diagnostics) -> Option<PathBuf> {
        section.text(key, out).map(|(text, _)| self.base.join(text))
    }

    /// A path to a file that must be there.
    fn file(&self, section: &mut Section<'_>, key: &'static str, out: &mut Diagnostics) -> Option<PathBuf> {
        let (text, place) = section.text(key, out)?;
        let path = self.base.join(text);
        if !(self.is_file)(&path) {
            out.push(
                Diagnostic::error(place, format!("there is no file `{text}`")).help(format!(
                    "it is looked for at {}; paths are relative to gateway.toml",
                    path.display()
                )),
            );
        }
        Some(path)
    }

    /// A certificate and its key: both or none.
    fn pair(
        &self,
        section: &mut Section<'_>,
        keys: (&'static str, &'static str),
        out: &mut Diagnostics,
    ) -> Option<(PathBuf, PathBuf)> {
        let both = (self.file(section, keys.0, out), self.file(section, keys.1, out));
        match both {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                section.missing(keys.1, &format!("`{}` goes with `{}`", keys.0, keys.1), out);
                None
            }
            (None, Some(_)) => {
                section.missing(keys.0, &format!("`{}` goes with `{}`", keys.1, keys.0), out);
                None
            }
        }
    }
}

fn section<'a>(top: &mut Section<'a>, key: &'static str, help: &str, out: &mut Diagnostics) -> Option<Section<'a>> {
    if top.node(key).is_none() {
        top.missing(key, &format!("write {help}"), out);
    }
    top.section(key, out)
}

fn id(text: &str, place: &Place, out: &mut Diagnostics) -> bool {
    match check_id(text) {
        Ok(()) => true,
        Err(fault) => {
            out.push(Diagnostic::error(place, format!("`{text}` cannot be an id")).help(fault.to_string()));
            false
        }
    }
}

fn gateway(mut section: Section<'_>, paths: &Paths<'_>, out: &mut Diagnostics) -> Option<Gateway> {
    let id = section
        .required_text("id", "it names this gateway in topics: id = \"gw-body-07\"", out)
        .filter(|(text, place)| id(text, place, out))
        .map(|(text, _)| text.to_owned());
    let state_dir = paths
        .path(&mut section, "state_dir", out)
        .unwrap_or_else(|| PathBuf::from("/var/lib/lineside"));
    let profiles = paths
        .path(&mut section, "profiles", out)
        .unwrap_or_else(|| paths.base.join("device-profiles"));
    let web = web(&mut section, paths, out);
    let require_lock = section.boolean("require_lock", out).unwrap_or(false);
    section.finish(out);
    Some(Gateway {
        id: id?,
        state_dir,
        profiles,
        web,
        require_lock,
    })
}

fn web(section: &mut Section<'_>, paths: &Paths<'_>, out: &mut Diagnostics) -> Option<Web> {
    let token_file = paths.file(section, "web_token_file", out);
    let tls = paths.pair(section, ("web_cert_file", "web_key_file"), out);
    let plain = section.boolean("web_plain", out).unwrap_or(false);
    let listen = match section.text("web", out) {
        None => "127.0.0.1:8087".parse().ok()?,
        Some(("off", _)) => return None,
        Some((text, place)) => {
            let Ok(listen) = text.parse::<std::net::SocketAddr>() else {
                let fault = Diagnostic::error(place, format!("`{text}` is no address to listen on"));
                out.push(fault.help("write \"127.0.0.1:8087\", or \"off\""));
                return None;
            };
            if !listen.ip().is_loopback() && tls.is_none() && !plain {
                out.push(
                    Diagnostic::error(place, "the status page would be readable by everybody on this network").help(
                        "give web_cert_file and web_key_file, or write web_plain = true to say that this is meant",
                    ),
                );
            }
            listen
        }
    };
    Some(Web {
        listen,
        token_file,
        tls,
    })
}

fn plant(mut section: Section<'_>, out: &mut Diagnostics) -> Option<Plant> {
    let mut level = |key: &'static str| {
        section
            .required_text(
                key,
                "the ISA-95 path above a station is enterprise, site, area and line",
                out,
            )
            .filter(|(text, place)| id(text, place, out))
            .map(|(text, _)| text.to_owned())
    };
    let (enterprise, site, area, line) = (level("enterprise"), level("site"), level("area"), level("line"));
    section.finish(out);
    Some(Plant {
        topic_prefix: String::new(),
        enterprise: enterprise?,
        site: site?,
        area: area?,
        line: line?,
    })
}

fn mqtt(mut section: Section<'_>, gateway: &str, paths: &Paths<'_>, out: &mut Diagnostics) -> Option<(Mqtt, String)> {
    let broker = section
        .required_text(
            "broker",
            "broker = \"mqtt://127.0.0.1:1883\", or mqtts://host:8883",
            out,
        )
        .and_then(|(text, place)| {
            let found = broker(text);
            if found.is_none() {
                let fault = Diagnostic::error(place, format!("`{text}` is no broker"));
                out.push(fault.help("write mqtt://host:1883, or mqtts://host:8883 for TLS"));
            }
            found
        });
    let versions = [("5", MqttVersion::V5), ("3.1.1", MqttVersion::V311)];
    let version = section.choice("version", &versions, out).unwrap_or(MqttVersion::V5);
    let client_id = section
        .text("client_id", out)
        .map_or(gateway, |(text, _)| text)
        .to_owned();
    let username = section.text("username", out).map(|(text, _)| text.to_owned());
    if let Some(node) = section.node("password") {
        out.push(
            Diagnostic::error(&node.place, "a password does not belong into gateway.toml")
                .help("write it into a file of its own and name that: password_file = \"mqtt.password\""),
        );
    }
    let files = ["password_file", "ca_file", "cert_file", "key_file"];
    let mut places: Vec<_> = files
        .into_iter()
        .filter_map(|key| Some((key, section.node(key)?.place.clone())))
        .collect();
    places.push(("mqtt", section.place().clone()));
    let password_file = paths.file(&mut section, "password_file", out);
    if let Some(node) = section.node("password_file")
        && username.is_none()
    {
        out.push(
            Diagnostic::error(&node.place, "a password without a user name is not sent")
                .help("write username = \"…\" too, or take password_file away"),
        );
    }
    let ca_file = paths.file(&mut section, "ca_file", out);
    let identity = paths.pair(&mut section, ("cert_file", "key_file"), out);
    let inflight = section
        .integer("inflight", 1..=65_535, out)
        .and_then(|n| u16::try_from(n).ok())
        .unwrap_or(100);
    let topic_prefix = section.text("topic_prefix", out).map_or("", |(text, place)| {
        if text.contains(['+', '#', '\0']) || text.starts_with('$') {
            let fault = Diagnostic::error(place, format!("`{text}` cannot begin a topic"));
            out.push(fault.help("it must be without + and #, and not begin with $"));
        }
        text.trim_matches('/')
    });
    let require_subscriber = section.boolean("require_subscriber", out).unwrap_or(true);
    if let Some((_, _, false)) = broker
        && (ca_file.is_some() || identity.is_some())
    {
        out.push(
            Diagnostic::warning(
                section.place(),
                "certificates are given, but the broker is reached without TLS",
            )
            .help("write mqtts:// in `broker`, or take ca_file, cert_file and key_file away"),
        );
    }
    section.finish(out);
    let (host, port, tls) = broker?;
    let mqtt = Mqtt {
        host,
        port,
        tls,
        version,
        client_id,
        username,
        password_file,
        ca_file,
        identity,
        inflight,
        require_subscriber,
        places,
    };
    Some((mqtt, topic_prefix.to_owned()))
}

/// Host, port and whether by TLS.
fn broker(text: &str) -> Option<(String, u16, bool)> {
    let (tls, rest) = match text.split_once("://") {
        Some(("mqtt" | "tcp", rest)) => (false, rest),
        Some(("mqtts" | "ssl", rest)) => (true, rest),
        _ => return None,
    };
    let rest = rest.trim_end_matches('/');
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !port.contains(']') => (host, port.parse().ok()?),
        _ => (rest, if tls { 8883 } else { 1883 }),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty() && !host.contains(['/', '@', ' '])).then(|| (host.to_owned(), port, tls))
}

fn outbox(mut section: Section<'_>, out: &mut Diagnostics) -> Outbox {
    let max_bytes = section.size("max_bytes", out).unwrap_or(2 << 30);
    if let Some(node) = section.node("max_bytes")
        && max_bytes < 1 << 20
    {
        out.push(Diagnostic::error(&node.place, "an outbox needs 1MiB at least"));
    }
    let ways = [("hold", WhenFull::Hold), ("drop_oldest", WhenFull::DropOldest)];
    let when_full = section.choice("when_full", &ways, out).unwrap_or(WhenFull::Hold);
    let max_age = section.duration("max_age", out);
    if let Some(node) = section.node("max_age")
        && when_full == WhenFull::Hold
    {
        out.push(
            Diagnostic::warning(&node.place, "`max_age` means nothing while `when_full` is \"hold\"")
                .label("nothing is dropped")
                .help("write when_full = \"drop_oldest\", or take max_age away"),
        );
    }
    let keep_sent = section.size("keep_sent", out).unwrap_or(256 << 20);
    section.finish(out);
    Outbox {
        max_bytes,
        when_full,
        max_age: max_age.filter(|_| when_full == WhenFull::DropOldest),
        keep_sent,
    }
}

fn stations(top: &mut Section<'_>, out: &mut Diagnostics) -> Vec<Station> {
    let Some(node) = top.node("station") else {
        top.missing(
            "station",
            "write a [[station]] with an id and its [[station.slot]]s",
            out,
        );
        return Vec::new();
    };
    let mut seen: HashMap<&str, &Place> = HashMap::new();
    let mut stations = Vec::new();
    for (table, place) in tables(node, "station", out) {
        let mut section = Section::new(table, "[[station]]", place);
        let named = section.required_text("id", "it names the station in topics: id = \"st10\"", out);
        if let Some((text, place)) = named
            && id(text, place, out)
        {
            twice("station", text, place, &mut seen, out);
        }
        let station = named.map_or("", |(text, _)| text);
        let slots = slots(&mut section, station, out);
        let unit_from = unit_from(&mut section, &slots, out);
        let unit_pattern = section
            .text("unit_pattern", out)
            .and_then(|(text, place)| match Regex::new(text) {
                Ok(pattern) => Some(pattern),
                Err(fault) => {
                    out.push(Diagnostic::error(place, "this is no regular expression").help(fault.to_string()));
                    None
                }
            });
        let late = section.duration("late", out).unwrap_or(Duration::from_secs(10));
        section.finish(out);
        stations.push(Station {
            id: station.into(),
            unit_from,
            unit_pattern,
            late,
            slots,
        });
    }
    stations
}

/// The tables of `[[…]]`.
fn tables<'a>(node: &'a Node, key: &str, out: &mut Diagnostics) -> Vec<(&'a tree::Table, &'a Place)> {
    let mut found = Vec::new();
    for item in node.one_or_more() {
        match item.as_table() {
            Some(table) => found.push((table, &item.place)),
            None => wrong(item, key, &format!("a table: [[{key}]]"), out),
        }
    }
    found
}

/// Tells that an id stands twice.
fn twice<'a>(what: &str, id: &'a str, place: &'a Place, seen: &mut HashMap<&'a str, &'a Place>, out: &mut Diagnostics) {
    if let Some(first) = seen.insert(id, place) {
        let fault = Diagnostic::error(place, format!("{what} `{id}` stands twice")).related(first, "first here");
        out.push(fault.help("every one needs an id of its own"));
    }
}

fn unit_from(section: &mut Section<'_>, slots: &[Slot], out: &mut Diagnostics) -> Vec<UnitFrom> {
    let Some(texts) = section.texts("unit_from", out) else {
        return vec![UnitFrom::Mes];
    };
    let mut sources = Vec::new();
    for (text, place) in texts {
        let source = match text {
            "mes" => UnitFrom::Mes,
            "device" => UnitFrom::Device,
            _ => {
                let Some(slot) = text.strip_prefix("slot:") else {
                    let fault = Diagnostic::error(place, format!("`{text}` cannot say which unit is here"));
                    out.push(fault.help("write \"mes\", \"device\" or \"slot:<a slot of this station>\""));
                    continue;
                };
                let known: Vec<&str> = slots.iter().map(|slot| &*slot.name.slot).collect();
                if !known.contains(&slot) {
                    let fault = Diagnostic::error(place, format!("there is no slot `{slot}` at this station"));
                    out.push(fault.maybe_help(meant(slot, &known)));
                }
                UnitFrom::Slot(slot.into())
            }
        };
        if sources.contains(&source) {
            out.push(Diagnostic::error(place, format!("`{text}` stands twice")));
        } else {
            sources.push(source);
        }
    }
    sources
}

fn slots(section: &mut Section<'_>, station: &str, out: &mut Diagnostics) -> Vec<Slot> {
    let Some(node) = section.node("slot") else {
        section.missing("slot", "write a [[station.slot]] with id and delivers", out);
        return Vec::new();
    };
    let mut seen: HashMap<&str, &Place> = HashMap::new();
    let mut slots = Vec::new();
    for (table, place) in tables(node, "station.slot", out) {
        let mut section = Section::new(table, "[[station.slot]]", place);
        let named = section.required_text("id", "it names the slot in topics: id = \"spindle-1\"", out);
        if let Some((text, place)) = named
            && id(text, place, out)
        {
            twice("slot", text, place, &mut seen, out);
        }
        let delivers = delivers(&mut section, out);
        let requires = section.texts("requires", out).unwrap_or_default();
        let requires = requires
            .into_iter()
            .map(|(text, place)| (text.to_owned(), place.clone()))
            .collect();
        let values = values(&mut section, out);
        let disabled = section.boolean("disabled", out).unwrap_or(false);
        section.finish(out);
        let name = SlotName::new(station, named.map_or("", |(text, _)| text));
        slots.push(Slot {
            name,
            delivers,
            requires,
            values,
            disabled,
            place: place.clone(),
        });
    }
    slots
}

fn delivers(section: &mut Section<'_>, out: &mut Diagnostics) -> Vec<(EventType, Place)> {
    if section.node("delivers").is_none() {
        section.missing(
            "delivers",
            "say which events the MES gets from it: delivers = \"tightening\"",
            out,
        );
    }
    let known: Vec<&str> = EventType::ALL
        .iter()
        .filter(|kind| kind.is_mapped())
        .map(|kind| kind.word())
        .collect();
    let mut found = Vec::new();
    for (text, place) in section.texts("delivers", out).unwrap_or_default() {
        if let Some(kind) = EventType::of(text).filter(|kind| kind.is_mapped()) {
            found.push((kind, place.clone()));
        } else {
            let fault = Diagnostic::error(place, format!("`{text}` is no event type that a slot delivers"));
            out.push(fault.maybe_help(meant(text, &known)));
        }
    }
    found
}

fn values(section: &mut Section<'_>, out: &mut Diagnostics) -> Vec<(String, Uom, Place)> {
    let Some(node) = section.node("values") else {
        return Vec::new();
    };
    let Some(table) = node.as_table() else {
        wrong(
            node,
            "values",
            "a table of names and uoms: values = { press_force = \"N\" }",
            out,
        );
        return Vec::new();
    };
    let mut found = Vec::new();
    for (key, node) in &table.entries {
        let Some(text) = node.as_text() else {
            wrong(node, &key.name, "a unit of measure: \"N\"", out);
            continue;
        };
        match Uom::parse(text) {
            Ok(uom) => found.push((key.name.clone(), uom, node.place.clone())),
            Err(fault) => {
                let fault = Diagnostic::error(&node.place, fault.to_string());
                out.push(fault.help("write UCUM (\"N.m\", \"Cel\", \"bar\"), or \"1\" for a bare number"));
            }
        }
    }
    found
}
