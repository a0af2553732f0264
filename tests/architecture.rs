//! Holds the floors of docs/ARCHITECTURE.md: which room may know which. Reads every path that begins with
//! `crate::` in `src/` and fails where the table is broken.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Each room and the rooms that it may use. `model` and `diagnostic` are floor 0; see docs/ARCHITECTURE.md.
const MAY_USE: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("diagnostic", &["model"]),
    ("clock", &["model"]),
    ("backoff", &[]),
    ("record", &["model"]),
    ("config", &["model", "diagnostic"]),
    ("wire", &["model"]),
    ("watch", &["model", "wire"]),
    ("device", &["model", "clock", "backoff", "record", "wire", "watch"]),
    ("profile", &["model", "diagnostic", "wire", "watch"]),
    ("unit", &["model"]),
    ("drift", &["model"]),
    ("contract", &["model"]),
    ("outbox", &["model", "clock"]),
    ("mqtt", &["model", "clock", "backoff"]),
    ("replay", &["model", "diagnostic", "record", "wire", "watch", "profile"]),
    (
        "gateway",
        &[
            "model",
            "diagnostic",
            "clock",
            "backoff",
            "record",
            "config",
            "wire",
            "watch",
            "device",
            "profile",
            "unit",
            "contract",
            "drift",
            "outbox",
            "mqtt",
        ],
    ),
    (
        "cli",
        &[
            "model",
            "diagnostic",
            "clock",
            "backoff",
            "config",
            "wire",
            "watch",
            "device",
            "profile",
            "unit",
            "contract",
            "outbox",
            "mqtt",
            "record",
            "replay",
            "gateway",
        ],
    ),
    ("main", &["cli"]),
];

/// Crates that only one room may name: whoever else needs them goes through that room.
const OWNED: &[(&str, &[&str])] = &[
    ("sled", &["outbox"]),
    ("rumqttc", &["mqtt"]),
    ("tokio_serial", &["device"]),
    ("serial2", &["device"]),
    ("opcua", &["device"]),
    ("x509_cert", &["device"]),
    ("rumqttd", &["cli"]),
    ("clap", &["cli"]),
];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Every source file with the room that it belongs to.
fn rooms() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&src, &mut found);
    found
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&src).unwrap();
            let first = inside.components().next().unwrap().as_os_str().to_string_lossy();
            let room = first.trim_end_matches(".rs").to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            (room, inside.to_owned(), text)
        })
        .collect()
}

/// Code without comments; a `//` in a string is cut too, which loses no path.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(|line| line.split("//").next().unwrap_or(""))
}

/// Words that follow `marker` in `line`, `{a, b}` groups included.
fn named<'a>(line: &'a str, marker: &str) -> Vec<&'a str> {
    let word = |rest: &'a str| {
        let end = rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        &rest[..end]
    };
    line.match_indices(marker)
        .filter(|(at, _)| !line[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .flat_map(|(at, _)| {
            let rest = &line[at + marker.len()..];
            match rest.strip_prefix('{') {
                Some(group) => group.split(',').map(|part| word(part.trim_start())).collect(),
                None => vec![word(rest)],
            }
        })
        .filter(|word| !word.is_empty())
        .collect()
}

#[test]
fn no_room_uses_another_that_it_may_not_know() {
    let may_use: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut broken = Vec::new();
    for (room, path, text) in rooms() {
        if room == "lib" {
            continue;
        }
        let Some(allowed) = may_use.get(room.as_str()) else {
            broken.push(format!("{}: room `{room}` is not in the table", path.display()));
            continue;
        };
        for (number, line) in code(&text).enumerate() {
            for other in named(line, "crate::").into_iter().chain(named(line, "lineside::")) {
                let is_room = may_use.contains_key(other);
                if is_room && other != room && !allowed.contains(&other) {
                    broken.push(format!("{}:{}: `{room}` uses `{other}`", path.display(), number + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "floors broken:\n{}", broken.join("\n"));
}

#[test]
fn each_owned_crate_is_named_in_its_room_only() {
    let mut broken = Vec::new();
    for (room, path, text) in rooms() {
        for (number, line) in code(&text).enumerate() {
            for (owned, by) in OWNED {
                let names = format!("{owned}::");
                let begins = line
                    .find(&names)
                    .is_some_and(|at| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'));
                if begins && !by.contains(&room.as_str()) {
                    broken.push(format!(
                        "{}:{}: only {by:?} may name `{owned}`",
                        path.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_room_is_in_the_architecture_document() {
    let document = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ARCHITECTURE.md")).unwrap();
    let missing: Vec<_> = rooms()
        .into_iter()
        .map(|(room, ..)| room)
        .filter(|room| room != "lib")
        .filter(|room| !document.contains(&format!("`{room}`")) && !document.contains(&format!("src/{room}")))
        .collect();
    assert!(missing.is_empty(), "docs/ARCHITECTURE.md does not tell of {missing:?}");
}

#[test]
fn the_check_itself_sees_a_breach() {
    assert_eq!(named("use crate::outbox::Outbox;", "crate::"), ["outbox"]);
    assert_eq!(named("use crate::{model, mqtt::Drain};", "crate::"), ["model", "mqtt"]);
    assert_eq!(named("let x = crate::unit::Units::new();", "crate::"), ["unit"]);
    assert!(named("use mycrate::outbox;", "crate::").is_empty());
    assert_eq!(
        code("// use crate::mqtt;\nuse crate::model;")
            .collect::<String>()
            .trim(),
        "use crate::model;"
    );
}
