//! `extends` and `remove`: one tree of several files, in which every key keeps its place.
//!
//! Owns the rules of merging: sections merge, the value of a key in them is replaced whole, what `remove` names is
//! taken away, and what `shift` says is added, before the file's own keys are laid over. Examples are not inherited: they prove the file that
//! they stand in. Owns no meaning of keys.

use super::{FileFault, Files, shift};
use crate::diagnostic::tree::{Key, Node, Table, Value, parse};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Source, meant};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// More files than this in one chain are a mistake.
const DEEPEST: usize = 16;

/// One file of a chain, with all that it extends laid under it.
#[derive(Debug)]
pub(super) struct Layer {
    /// Which file.
    pub(super) path: PathBuf,
    /// Its text.
    pub(super) source: Arc<Source>,
    /// Its keys over those of what it extends; without `extends`, `remove` and examples.
    pub(super) resolved: Table,
    /// Its own examples.
    pub(super) examples: Vec<Node>,
}

/// Reads `file` and all that it extends, the file itself first. `None` where one of them cannot be read.
pub(super) fn load(file: &Path, root: &Path, files: &dyn Files, out: &mut Diagnostics) -> Option<Vec<Layer>> {
    let mut chain = Vec::new();
    climb(&root.join(file), None, root, files, &mut chain, out)?;
    Some(chain)
}

/// Reads one file and goes on to what it extends; each becomes a layer.
fn climb(
    path: &Path,
    from: Option<&Place>,
    root: &Path,
    files: &dyn Files,
    chain: &mut Vec<Layer>,
    out: &mut Diagnostics,
) -> Option<()> {
    let text = match files.read(path) {
        Ok(text) => text,
        Err(fault) => {
            out.push(unread(&files.shown(path), &fault, from, root));
            return None;
        }
    };
    let source = Arc::new(Source {
        path: path.display().to_string(),
        text,
    });
    let mut syntax = Diagnostics::new();
    let mut own = parse(&source, &mut syntax);
    if syntax.has_errors() {
        // What follows a fault of syntax is not what the author wrote.
        out.extend(syntax);
        return None;
    }
    super::read::table(&own, super::format::TOP, "a profile", out);
    if own.get("profile").is_none() {
        out.push(
            Diagnostic::error(&Place::start_of(&source), "a profile needs `profile = 1`")
                .help("write `profile = 1` at the top: it says which format the file has"),
        );
    }
    let examples = match own.remove("example").map(|node| node.value) {
        Some(Value::List(examples)) => examples,
        _ => Vec::new(),
    };
    let extends = own.remove("extends");
    let remove = own.remove("remove");
    let moved = own.remove("shift");
    own.remove("profile");
    chain.push(Layer {
        path: path.to_owned(),
        source,
        resolved: Table::default(),
        examples,
    });
    let mut base = Table::default();
    if let Some((text, place)) = extends.as_ref().and_then(|node| Some((node.as_text()?, &node.place))) {
        let next = root.join(inside(text, place, out)?);
        if let Some(turn) = chain.iter().position(|layer| layer.path == next) {
            let round: Vec<_> = chain
                .iter()
                .skip(turn)
                .map(|layer| layer.path.display().to_string())
                .collect();
            out.push(
                Diagnostic::error(place, format!("`{text}` extends itself"))
                    .label(format!("the round is {}", round.join(" → ")))
                    .help("a profile extends one that does not come back to it"),
            );
            return None;
        }
        if chain.len() >= DEEPEST {
            out.push(Diagnostic::error(
                place,
                format!("more than {DEEPEST} profiles extend one another"),
            ));
            return None;
        }
        let mine = chain.len() - 1;
        climb(&next, Some(place), root, files, chain, out)?;
        base = chain
            .get(mine + 1)
            .map(|layer| layer.resolved.clone())
            .unwrap_or_default();
        if let Some(remove) = &remove {
            take_away(&mut base, remove, out);
        }
        if let Some(moved) = &moved {
            shift::points(&mut base, moved, out);
        }
        lay(&mut base, own);
        if let Some(layer) = chain.get_mut(mine) {
            layer.resolved = base;
        }
        return Some(());
    }
    if let Some(remove) = &remove {
        out.push(
            Diagnostic::error(
                &remove.place,
                "there is nothing to remove: this profile extends no other",
            )
            .help("delete the keys themselves, or say what it `extends`"),
        );
    }
    if let Some(moved) = &moved {
        out.push(
            Diagnostic::error(&moved.place, "there is nothing to shift: this profile extends no other")
                .help("`shift` moves inherited points; write the addresses of this file's own points as they are"),
        );
    }
    base.entries.extend(own.entries);
    if let Some(layer) = chain.last_mut() {
        layer.resolved = base;
    }
    Some(())
}

fn unread(path: &Path, fault: &FileFault, from: Option<&Place>, root: &Path) -> Diagnostic {
    let message = format!("{}: {fault}", path.display());
    let Some(place) = from else {
        return Diagnostic::nowhere(message).help(match fault {
            FileFault::Missing => "give the path of a device profile",
            FileFault::Unreadable(_) => "a profile is a text file in UTF-8 that lineside may read",
        });
    };
    let help = match fault {
        FileFault::Missing => {
            let folder = if root.as_os_str().is_empty() {
                "the profiles folder".to_owned()
            } else {
                root.display().to_string()
            };
            format!("`extends` is the path of a profile under {folder}, without .toml: \"vendor/model\"")
        }
        FileFault::Unreadable(_) => "the gateway must be allowed to read it".to_owned(),
    };
    Diagnostic::error(place, message).help(help)
}

/// The path of a catalog profile, relative to the profiles folder.
fn inside(text: &str, place: &Place, out: &mut Diagnostics) -> Option<PathBuf> {
    if let Some(short) = text.strip_suffix(".toml") {
        out.push(Diagnostic::error(place, "`extends` goes without .toml").help(format!("write \"{short}\"")));
        return None;
    }
    let path = Path::new(text);
    let stays =
        !text.is_empty() && !text.contains('\\') && path.components().all(|part| matches!(part, Component::Normal(_)));
    if !stays {
        out.push(
            Diagnostic::error(place, format!("`{text}` leaves the profiles folder"))
                .help("`extends` is a path under the profiles folder, without `..` and without a leading slash: \"vendor/model\""),
        );
        return None;
    }
    Some(PathBuf::from(format!("{text}.toml")))
}

/// Takes away what `remove` names.
fn take_away(base: &mut Table, remove: &Node, out: &mut Diagnostics) {
    for item in remove.one_or_more() {
        let Some(path) = item.as_text() else { continue };
        let parts: Vec<&str> = path.split('.').collect();
        if let Err(known) = take(base, &parts) {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            out.push(
                Diagnostic::error(
                    &item.place,
                    format!("`{path}` is not inherited, so it cannot be removed"),
                )
                .maybe_help(meant(path, &known)),
            );
        }
    }
}

/// Takes one path away; where it is not there, what could have been meant.
fn take(table: &mut Table, parts: &[&str]) -> Result<(), Vec<String>> {
    let names = |table: &Table| {
        table
            .entries
            .iter()
            .map(|(key, _)| key.name.clone())
            .collect::<Vec<_>>()
    };
    match parts {
        [] => Err(names(table)),
        [last] => match table.remove(last) {
            Some(_) => Ok(()),
            None => Err(names(table)),
        },
        [first, rest @ ..] => {
            let known = names(table);
            let inner = table
                .entries
                .iter_mut()
                .find(|(key, _)| key.name == *first)
                .map(|(_, node)| &mut node.value);
            match inner {
                Some(Value::Table(inner)) => {
                    take(inner, rest).map_err(|known| known.iter().map(|name| format!("{first}.{name}")).collect())
                }
                _ => Err(known),
            }
        }
    }
}

/// Lays `own` over `base`.
fn lay(base: &mut Table, own: Table) {
    for (key, node) in own.entries {
        match key.name.as_str() {
            "connection" | "frame" | "points" => section(base, key, node),
            "events" => events(base, key, node),
            _ => base.set(key, node),
        }
    }
}

/// Sections merge key by key.
fn section(base: &mut Table, key: Key, node: Node) {
    let under = base.entries.iter_mut().find(|(have, _)| have.name == key.name);
    match (under, node.value) {
        (Some((_, have)), Value::Table(own)) if matches!(have.value, Value::Table(_)) => {
            have.place = node.place;
            if let Value::Table(have) = &mut have.value {
                for (key, node) in own.entries {
                    have.set(key, node);
                }
            }
        }
        (_, value) => base.set(
            key,
            Node {
                place: node.place,
                value,
            },
        ),
    }
}

/// `[events]` merges event by event, and each of them key by key.
fn events(base: &mut Table, key: Key, node: Node) {
    let under = base.entries.iter_mut().find(|(have, _)| have.name == key.name);
    match (under, node.value) {
        (Some((_, have)), Value::Table(own)) if matches!(have.value, Value::Table(_)) => {
            if let Value::Table(have) = &mut have.value {
                for (key, node) in own.entries {
                    section(have, key, node);
                }
            }
        }
        (_, value) => base.set(
            key,
            Node {
                place: node.place,
                value,
            },
        ),
    }
}
