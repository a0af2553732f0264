//! `lineside profile show`: one profile as it counts, and which file says what.

use super::Where;
use super::list::{catalog, delivers, word};
use crate::cli::{INVALID, coloured, complain, print};
use crate::diagnostic::{Diagnostics, meant};
use crate::gateway::setup::Disk;
use crate::profile::{Profile, Setting};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// As in `extends` (`vendor/model`), a slot's device file (`st10.spindle-1`), or the path of a file
    name: String,
    #[command(flatten)]
    from: Where,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

pub(super) fn run(show: &Show) -> ExitCode {
    let (root, file) = match place(show) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let mut out = Diagnostics::new();
    let profile = Profile::load(&file, &root, &Disk, &mut out);
    if !out.is_empty() {
        complain(&out.render(coloured()));
    }
    let Some(profile) = profile else {
        return ExitCode::from(INVALID);
    };
    if show.json {
        print(&format!("{:#}", as_json(&profile, &root)));
    } else {
        print(as_text(&profile, &root).trim_end());
    }
    ExitCode::SUCCESS
}

/// The profiles folder, and the file relative to it or absolute.
fn place(show: &Show) -> Result<(PathBuf, PathBuf), ExitCode> {
    let given = Path::new(&show.name);
    let said = show.from.profiles.is_some() || show.from.config.is_some();
    if given.extension().is_some_and(|ending| ending == "toml") && given.is_file() {
        let absolute = std::path::absolute(given).unwrap_or_else(|_| given.to_owned());
        let above = absolute.ancestors().find(|folder| folder.ends_with("device-profiles"));
        let root = match above {
            _ if said => show.from.folder()?,
            Some(above) => above.to_owned(),
            None => absolute.parent().unwrap_or(Path::new("")).to_owned(),
        };
        let file = absolute.strip_prefix(&root).map(Path::to_owned).unwrap_or(absolute);
        return Ok((root, file));
    }
    let root = show.from.folder()?;
    let name = show.name.strip_suffix(".toml").unwrap_or(&show.name);
    let file = PathBuf::from(format!("{name}.toml"));
    if root.join(&file).is_file() {
        return Ok((root, file));
    }
    let mut known: Vec<String> = catalog(&root)
        .iter()
        .map(|file| file.with_extension("").to_string_lossy().into_owned())
        .collect();
    let installed = std::fs::read_dir(&root).into_iter().flatten().flatten();
    known.extend(installed.filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".toml")?.to_owned())));
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let help = meant(name, &known).unwrap_or_else(|| "`lineside profile list` tells which there are".to_owned());
    complain(&format!(
        "error: there is no profile `{name}` in {}\n  = help: {help}",
        root.display()
    ));
    Err(ExitCode::from(INVALID))
}

/// A file as `extends` would name it.
fn short(file: &str, root: &Path) -> String {
    let path = Path::new(file);
    path.strip_prefix(root).unwrap_or(path).display().to_string()
}

fn as_json(profile: &Profile, root: &Path) -> Value {
    let device = profile.identity();
    let [captured, document, computed] = profile.evidence();
    let settings: Vec<Value> = profile
        .settings()
        .iter()
        .map(
            |Setting {
                 section,
                 key,
                 value,
                 file,
                 line,
             }| {
                json!({ "section": section, "key": key, "value": value, "file": short(file, root), "line": line })
            },
        )
        .collect();
    let files: Vec<String> = profile
        .files()
        .iter()
        .map(|file| short(&file.display().to_string(), root))
        .collect();
    json!({
        "vendor": device.vendor,
        "model": device.model,
        "serial": device.serial,
        "digest": device.digest,
        "protocol": profile.protocol(),
        "maturity": word(profile.maturity()),
        "delivers": delivers(profile),
        "about": profile.about(),
        "sources": profile.sources(),
        "caveats": profile.caveats(),
        "examples": { "captured": captured, "document": document, "computed": computed },
        "files": files,
        "settings": settings,
    })
}

fn as_text(profile: &Profile, root: &Path) -> String {
    let device = profile.identity();
    let [captured, document, computed] = profile.evidence();
    let mut lines = vec![
        format!("{} {}", device.vendor, device.model),
        profile.about().to_owned(),
        String::new(),
    ];
    let mut says = |what: &str, text: String| lines.push(format!("{what:<9} {text}"));
    says("protocol", profile.protocol().to_owned());
    says("maturity", word(profile.maturity()).to_owned());
    says("delivers", delivers(profile).join(", "));
    says(
        "examples",
        format!("{captured} captured, {document} from a document, {computed} computed by hand"),
    );
    says("digest", device.digest.clone());
    for (at, file) in profile.files().iter().enumerate() {
        says(
            if at == 0 { "file" } else { "extends" },
            short(&file.display().to_string(), root),
        );
    }
    for source in profile.sources() {
        says("source", source.clone());
    }
    for caveat in profile.caveats() {
        says("caveat", caveat.clone());
    }
    let mut text = lines.join("\n");
    let described = ["vendor", "model", "about", "maturity", "sources", "caveats"];
    let settings = profile.settings();
    let shown = |setting: &&Setting| !(setting.section.is_empty() && described.contains(&setting.key.as_str()));
    let width = settings
        .iter()
        .filter(shown)
        .map(|setting| setting.key.chars().count() + setting.value.chars().count() + 3)
        .filter(|width| *width <= 80)
        .max()
        .unwrap_or(0);
    let mut section: Option<&str> = None;
    for setting in settings.iter().filter(shown) {
        if section != Some(&setting.section) {
            section = Some(&setting.section);
            text.push('\n');
            if !setting.section.is_empty() {
                let wrote = write!(text, "\n[{}]", setting.section);
                debug_assert!(wrote.is_ok());
            }
        }
        let said = format!("{} = {}", setting.key, setting.value);
        let wrote = write!(
            text,
            "\n{said:<width$}  # {}:{}",
            short(&setting.file, root),
            setting.line
        );
        debug_assert!(wrote.is_ok());
    }
    text
}
