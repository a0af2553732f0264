//! `lineside profile list`: the catalog.

use super::{Where, aligned};
use crate::cli::{INVALID, coloured, complain, print};
use crate::diagnostic::Diagnostics;
use crate::gateway::setup::Disk;
use crate::profile::{Maturity, Profile};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    from: Where,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

/// The word of a maturity.
pub(super) const fn word(maturity: Maturity) -> &'static str {
    match maturity {
        Maturity::Document => "document",
        Maturity::Bench => "bench",
        Maturity::Line => "line",
    }
}

/// Types of events, each once, in the order of the profile.
pub(super) fn delivers(profile: &Profile) -> Vec<&'static str> {
    let mut found = Vec::new();
    for (_, kind) in profile.events() {
        if !found.contains(&kind.word()) {
            found.push(kind.word());
        }
    }
    found
}

/// Files of the catalog, relative to the folder, sorted. Those directly in it are installed devices.
pub(super) fn catalog(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let hidden = path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with('.'));
            // A link to a folder may lead round.
            if path.is_dir() && !path.is_symlink() && !hidden {
                folders.push(path);
            } else if folder != root
                && path.extension().is_some_and(|ending| ending == "toml")
                && let Ok(inside) = path.strip_prefix(root)
            {
                found.push(inside.to_owned());
            }
        }
    }
    found.sort();
    found
}

/// What `extends` says for a file of the catalog.
fn name(file: &Path) -> String {
    file.with_extension("").to_string_lossy().into_owned()
}

pub(super) fn run(list: &List) -> ExitCode {
    let root = match list.from.folder() {
        Ok(root) => root,
        Err(code) => return code,
    };
    let mut out = Diagnostics::new();
    let mut faulty = Vec::new();
    let mut rows = Vec::new();
    for file in catalog(&root) {
        let mut found = Diagnostics::new();
        match Profile::load(&file, &root, &Disk, &mut found) {
            Some(profile) => rows.push((name(&file), profile)),
            None => faulty.push(name(&file)),
        }
        if found.has_errors() {
            out.extend(found);
        }
    }
    if list.json {
        let profiles: Vec<Value> = rows
            .iter()
            .map(|(name, profile)| {
                let device = profile.identity();
                json!({
                    "name": name,
                    "vendor": device.vendor,
                    "model": device.model,
                    "protocol": profile.protocol(),
                    "maturity": word(profile.maturity()),
                    "delivers": delivers(profile),
                    "about": profile.about(),
                })
            })
            .collect();
        let all = json!({ "folder": root, "profiles": profiles, "faulty": faulty, "diagnostics": out.to_json() });
        print(&format!("{all:#}"));
    } else {
        let mut table = vec![
            ["name", "vendor", "model", "protocol", "maturity", "delivers", "about"]
                .map(str::to_owned)
                .to_vec(),
        ];
        table.extend(rows.iter().map(|(name, profile)| {
            let device = profile.identity();
            vec![
                name.clone(),
                device.vendor.clone(),
                device.model.clone(),
                profile.protocol().to_owned(),
                word(profile.maturity()).to_owned(),
                delivers(profile).join(", "),
                profile.about().to_owned(),
            ]
        }));
        if rows.is_empty() && faulty.is_empty() {
            complain(&format!(
                "there is no catalog in {}: it has no <vendor>/<model>.toml",
                root.display()
            ));
        } else {
            print(&aligned(&table));
        }
        if !out.is_empty() {
            complain(&out.render(coloured()));
        }
    }
    if faulty.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(INVALID)
    }
}
