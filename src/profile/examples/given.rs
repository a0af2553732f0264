//! `given` of an example: registers, frames, telegrams or values of points; of OPC UA see [`super::server`].
//!
//! Owns how each is written. Owns nothing of what it leads to.

use crate::diagnostic::tree::{Key, Node, Table, Value as Toml, wrong};
use crate::diagnostic::{Diagnostic, Diagnostics, meant};
use crate::model::Raw;
use crate::model::plan::{Link, Said, SlotPlan};
use crate::profile::Profile;
use crate::profile::frame::bytes;
use crate::profile::protocol::Family;
use crate::wire::framed::{Framed, Framer};
use crate::wire::modbus::{self, Image};
use crate::wire::opcua::Tree;
use crate::wire::open_protocol::Telegram;

/// What one step of an example gives.
#[derive(Debug)]
pub(in crate::profile) enum Given {
    /// What stands in all registers.
    Registers(Image),
    /// Frames that come at one moment.
    Frames(Vec<Framed>),
    /// Telegrams that come at one moment.
    Telegrams(Vec<Telegram>),
    /// What points say, as something of this kind.
    Values(Vec<Option<Raw>>, Said),
    /// What variables say, by point.
    Nodes(Vec<Option<Raw>>),
    /// An event of a server (index into the plan's notices), its fields, and what variables say then, by point.
    Event(u16, Tree, Vec<Option<Raw>>),
    /// The same where the points of its fields are given themselves.
    Noticed(u16, Vec<Option<Raw>>),
}

/// One step; `None` where it cannot be read, which was told.
pub(in crate::profile) fn step(
    profile: &Profile,
    plan: &SlotPlan,
    node: &Node,
    out: &mut Diagnostics,
) -> Option<Given> {
    let table = node.as_table()?;
    let family = profile.connection.protocol.family;
    let own = match family {
        Family::Modbus => {
            if let Some((key, _)) = table.entry("frame").or_else(|| table.entry("telegram")) {
                out.push(foreign(key, profile, "registers, \"input:100\" = [7]"));
                return None;
            }
            return image(plan, table, out).map(Given::Registers);
        }
        Family::Frames => "frame",
        Family::Telegrams => "telegram",
        Family::Opcua => return super::server::step(profile, plan, table, node, out),
    };
    let how = match family {
        Family::Frames => "frame = \"…\" as it stands on the wire, or values = { point = 7 }",
        _ => "telegram = \"…\" as it stands on the wire, or values = { point = 7 }",
    };
    let mut keys = table.entries.iter().filter(|(key, _)| key.name != "when");
    let (Some((key, node)), other) = (keys.next(), keys.next()) else {
        out.push(Diagnostic::error(&node.place, "this gives nothing").help(format!("give {how}")));
        return None;
    };
    if let Some((other, _)) = other {
        out.push(
            Diagnostic::error(
                &other.place,
                format!("`{}` and `{}` are two steps", key.name, other.name),
            )
            .related(&key.place, "the other")
            .help("write a list: given = [{ … }, { … }]"),
        );
        return None;
    }
    match key.name.as_str() {
        "values" => {
            let said = when(table, family, out)?;
            values(profile, plan, node, out).map(|values| Given::Values(values, said))
        }
        name if name == own && family == Family::Frames => frames(plan, node, out).map(Given::Frames),
        name if name == own => telegrams(node, out).map(Given::Telegrams),
        _ => {
            out.push(foreign(key, profile, how));
            None
        }
    }
}

fn foreign(key: &Key, profile: &Profile, how: &str) -> Diagnostic {
    let protocol = &profile.connection.protocol;
    Diagnostic::error(
        &key.place,
        format!("`{}` is nothing that `{}` says", key.name, protocol.word),
    )
    .related(&protocol.place, "the protocol")
    .help(format!("give {how}"))
}

/// As what values are said.
fn when(table: &Table, family: Family, out: &mut Diagnostics) -> Option<Said> {
    let Some(node) = table.get("when") else {
        return Some(if family == Family::Frames {
            Said::Frame
        } else {
            Said::Result
        });
    };
    let word = node.as_text().unwrap_or_default();
    let found = Said::ALL.into_iter().find(|said| said.word() == word);
    if found.is_none() {
        let known: Vec<&str> = Said::ALL.into_iter().map(Said::word).collect();
        out.push(Diagnostic::error(&node.place, format!("`{word}` is no trigger")).maybe_help(meant(word, &known)));
    }
    found
}

/// Every text of a text or a list of them.
fn texts<'a>(key: &str, node: &'a Node, out: &mut Diagnostics) -> Option<Vec<(&'a str, &'a Node)>> {
    let mut found = Vec::new();
    for item in node.one_or_more() {
        let Some(text) = item.as_text() else {
            wrong(item, key, "text, or a list of texts", out);
            return None;
        };
        found.push((text, item));
    }
    Some(found)
}

/// What is cut out of the text of frames; a silence follows each.
fn frames(plan: &SlotPlan, node: &Node, out: &mut Diagnostics) -> Option<Vec<Framed>> {
    let Link::Framed(link) = &plan.link else { return None };
    let mut found = Vec::new();
    for (text, node) in texts("frame", node, out)? {
        let mut framer = Framer::new(link.frame.clone());
        let mut cut = framer.push(0, &bytes(text));
        cut.extend(framer.close());
        if !cut.iter().any(|framed| matches!(framed, Framed::Frame { .. })) {
            let edge = |bytes: &[u8]| crate::wire::escaped(bytes);
            out.push(
                Diagnostic::error(&node.place, "no frame comes out of this")
                    .label(format!("{} bytes", bytes(text).len()))
                    .help(format!(
                        "write it as it stands on the wire, start (`{}`), end (`{}`) and check sum included",
                        edge(&link.frame.start),
                        edge(&link.frame.end)
                    )),
            );
            return None;
        }
        found.append(&mut cut);
    }
    Some(found)
}

fn telegrams(node: &Node, out: &mut Diagnostics) -> Option<Vec<Telegram>> {
    let mut found = Vec::new();
    for (text, node) in texts("telegram", node, out)? {
        match telegram(text) {
            Ok(telegram) => found.push(telegram),
            Err(fault) => {
                out.push(
                    Diagnostic::error(&node.place, fault.to_string())
                        .label("this is no telegram")
                        .help("write it as it stands on the wire, all 20 characters of the header and all blanks; the NUL at its end may be left out"),
                );
                return None;
            }
        }
    }
    Some(found)
}

/// The text of a telegram: UTF-8 up to a NUL, behind that one byte a character.
fn telegram(text: &str) -> Result<Telegram, crate::wire::open_protocol::Fault> {
    let mut raw = Vec::with_capacity(text.len());
    match text.split_once('\0') {
        Some((head, binary)) => {
            raw.extend_from_slice(head.as_bytes());
            raw.push(0);
            raw.extend(bytes(binary));
        }
        None => raw.extend_from_slice(text.as_bytes()),
    }
    Telegram::parse(&raw)
}

/// What points say, by name.
pub(super) fn values(
    profile: &Profile,
    plan: &SlotPlan,
    node: &Node,
    out: &mut Diagnostics,
) -> Option<Vec<Option<Raw>>> {
    let Some(table) = node.as_table() else {
        wrong(node, "values", "a table of points", out);
        return None;
    };
    let mut found = vec![None; plan.points.len()];
    for (key, node) in &table.entries {
        let index = crate::profile::points::find(&profile.points, &key.name, &key.place, out)?;
        let point = profile.points.get(index)?;
        let raw = match &node.value {
            Toml::List(items) => Some(Raw::List(items.iter().filter_map(|item| point.raw(item)).collect())),
            _ => point.raw(node).or_else(|| {
                // A number where the device says text is that text.
                let number = node.as_number().filter(|_| point.is_text())?;
                Some(Raw::Text(number.to_string()))
            }),
        };
        let Some(raw) = raw else {
            out.push(point.never(node));
            return None;
        };
        if let Some(slot) = found.get_mut(index) {
            *slot = Some(raw);
        }
    }
    Some(found)
}

/// All registers of all points, 0.
pub(in crate::profile) fn zeros(plan: &SlotPlan) -> Image {
    let mut image = Image::default();
    for point in &plan.points {
        let at = point.at.registers();
        image.put(at.table, at.address, &vec![0; usize::from(modbus::span(at))]);
    }
    for event in &plan.events {
        let Some(ring) = &event.ring else { continue };
        for at in event.points.iter().filter(|point| **point != ring.index) {
            let Some(at) = plan.points.get(*at).and_then(|point| point.at.modbus()) else {
                continue;
            };
            let span = vec![0; usize::from(modbus::span(at))];
            for slot in 1..ring.slots {
                if let Some(address) = at.address.checked_add(slot.saturating_mul(ring.stride)) {
                    image.put(at.table, address, &span);
                }
            }
        }
    }
    image
}

/// What all points say, `shift` registers further on.
pub(super) fn decode(plan: &SlotPlan, image: &Image, shift: u16) -> Vec<Option<Raw>> {
    let decode = |point: &crate::model::plan::PointPlan| {
        let at = point.at.registers();
        let mut at = at.clone();
        at.address = at.address.checked_add(shift)?;
        modbus::decode(&at, image)
    };
    plan.points.iter().map(decode).collect()
}

/// What one table of `given` says; what it does not give reads 0.
pub(in crate::profile) fn image(plan: &SlotPlan, given: &Table, out: &mut Diagnostics) -> Option<Image> {
    let mut image = zeros(plan);
    for (key, node) in &given.entries {
        match key.name.as_str() {
            "values" => registers_of(plan, node, &mut image, out),
            at => match modbus::parse_at(at) {
                Ok((table, address)) => image.put(table, address, &words(node, out)?),
                Err(fault) => {
                    out.push(
                        Diagnostic::error(&key.place, fault.to_string())
                            .help("give registers, \"input:100\" = [7], or values = { point = 7 }"),
                    );
                    return None;
                }
            },
        }
    }
    Some(image)
}

/// Registers as numbers, true and false, or text of two characters a register.
fn words(node: &Node, out: &mut Diagnostics) -> Option<Vec<u16>> {
    let mut found = Vec::new();
    for item in node.one_or_more() {
        match &item.value {
            Toml::Bool(value) => found.push(u16::from(*value)),
            Toml::Text(text) => found.extend(text.as_bytes().chunks(2).map(|pair| match pair {
                [high, low] => u16::from_be_bytes([*high, *low]),
                [high] => u16::from_be_bytes([*high, 0]),
                _ => 0,
            })),
            Toml::Integer(value) => match (u16::try_from(*value), i16::try_from(*value)) {
                (Ok(word), _) => found.push(word),
                (_, Ok(word)) => found.push(word.cast_unsigned()),
                _ => {
                    out.push(
                        Diagnostic::error(&item.place, format!("{value} does not fit a register"))
                            .help("a register holds 0 to 65535"),
                    );
                    return None;
                }
            },
            _ => {
                out.push(Diagnostic::error(
                    &item.place,
                    format!("a register is a whole number, not {}", item.kind()),
                ));
                return None;
            }
        }
    }
    Some(found)
}

fn registers_of(plan: &SlotPlan, node: &Node, image: &mut Image, out: &mut Diagnostics) {
    let Some(table) = node.as_table() else {
        crate::diagnostic::tree::wrong(node, "values", "a table of points", out);
        return;
    };
    for (key, node) in &table.entries {
        let Some(point) = plan.points.iter().find(|point| *point.name == *key.name) else {
            let known: Vec<&str> = plan.points.iter().map(|point| &*point.name).collect();
            out.push(
                Diagnostic::error(&key.place, format!("there is no point `{}`", key.name))
                    .maybe_help(meant(&key.name, &known)),
            );
            continue;
        };
        let raw = match &node.value {
            Toml::Bool(value) => Some(Raw::Bool(*value)),
            Toml::Text(text) => Some(Raw::Text(text.clone())),
            _ => node.as_number().map(Raw::Dec),
        };
        let at = point.at.registers();
        match raw.map(|raw| modbus::encode(at, &raw)) {
            Some(Ok(words)) if at.bits.is_none() => image.put(at.table, at.address, &words),
            Some(Ok(_)) => out.push(
                Diagnostic::error(&key.place, format!("`{}` is a part of a word", key.name))
                    .help("give the word by its address"),
            ),
            Some(Err(fault)) => out.push(Diagnostic::error(&node.place, fault.to_string())),
            None => out.push(Diagnostic::error(
                &node.place,
                format!("`{}` cannot be {}", key.name, node.kind()),
            )),
        }
    }
}
