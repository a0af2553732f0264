//! The manuals cannot fall behind the format: every key and every word of it stands in one of them, and what they show
//! loads.

use super::*;
use crate::profile::format::{EVENT, Key, Kind, TOP};
use toml::Value as Toml;

/// Files of `device-profiles/example` that are manuals.
const MANUALS: &[&str] = &["manual", "serial", "open-protocol", "opcua"];

fn text(manual: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles/example");
    std::fs::read_to_string(folder.join(format!("{manual}.toml"))).unwrap()
}

/// Installed files that stand in its comments, each a run of lines that begin with `#| `.
fn installed(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut within = false;
    for line in text.lines() {
        let Some(inner) = line.strip_prefix("#|") else {
            within = false;
            continue;
        };
        if !within {
            found.push(String::new());
        }
        within = true;
        let file = found.last_mut().unwrap();
        file.push_str(inner);
        file.push('\n');
    }
    found
}

/// Everything that stands under `key` in any of the tables.
fn below<'a>(tables: &[&'a Toml], key: &str) -> Vec<&'a Toml> {
    tables.iter().filter_map(|table| table.get(key)).collect()
}

/// Elements of lists, and what is none.
fn flat<'a>(values: &[&'a Toml]) -> Vec<&'a Toml> {
    values
        .iter()
        .flat_map(|value| match value {
            Toml::Array(items) => items.iter().collect(),
            other => vec![*other],
        })
        .collect()
}

struct Missing<'a> {
    text: &'a str,
    found: Vec<String>,
}

impl Missing<'_> {
    fn keys(&mut self, path: &str, keys: &[Key], tables: &[&Toml]) {
        for key in keys {
            let here = format!("{path}{}", key.name);
            let values = below(tables, key.name);
            if values.is_empty() {
                self.found.push(here);
            } else {
                self.kind(&here, &key.kind, &values);
            }
        }
    }

    fn kind(&mut self, path: &str, kind: &Kind, values: &[&Toml]) {
        let tables: Vec<&Toml> = flat(values).into_iter().filter(|value| value.is_table()).collect();
        let inside = format!("{path}.");
        match kind {
            Kind::Table(keys) => self.keys(&inside, keys, &tables),
            Kind::Map(inner) => {
                let members: Vec<&Toml> = tables
                    .iter()
                    .flat_map(|table| table.as_table().unwrap().values())
                    .collect();
                self.kind(&inside, inner, &members);
            }
            Kind::List(inner) | Kind::OneOrMore(inner) => self.kind(path, inner, &flat(values)),
            Kind::Either(kinds) => {
                for kind in *kinds {
                    self.kind(path, kind, values);
                }
            }
            Kind::Event => self.keys(&inside, EVENT, &tables),
            Kind::Words(words) => {
                for word in *words {
                    if !self.text.contains(word) {
                        self.found.push(format!("{path} = {word}"));
                    }
                }
            }
            _ => {}
        }
    }
}

#[test]
fn every_key_and_word_of_the_format_stands_in_a_manual() {
    let texts: Vec<String> = MANUALS.iter().map(|manual| text(manual)).collect();
    let mut files: Vec<Toml> = Vec::new();
    for text in &texts {
        files.push(Toml::Table(text.parse().unwrap()));
        files.extend(installed(text).iter().map(|file| Toml::Table(file.parse().unwrap())));
    }
    let whole = texts.concat();
    let mut missing = Missing {
        text: &whole,
        found: Vec::new(),
    };
    missing.keys("", TOP, &files.iter().collect::<Vec<_>>());
    assert_eq!(
        missing.found,
        Vec::<String>::new(),
        "show them in device-profiles/example/{{manual,serial,open-protocol,opcua}}.toml"
    );
}

#[test]
fn a_key_that_the_manual_lacks_is_noticed() {
    let text = text("manual").replace("deadband", "deadbond");
    let file = Toml::Table(text.parse().unwrap());
    let mut missing = Missing {
        text: &text,
        found: Vec::new(),
    };
    missing.keys("", TOP, &[&file]);
    assert!(
        missing.found.contains(&"points..deadband".to_owned()),
        "{:?}",
        missing.found
    );
    assert!(
        missing.found.contains(&"shift".to_owned()),
        "only an installed file has it"
    );
}

#[test]
fn the_installed_files_in_the_manuals_load() {
    for manual in MANUALS {
        let text = text(manual);
        let files = installed(&text);
        assert!(!files.is_empty());
        for file in &files {
            let catalog = format!("example/{manual}.toml");
            let event = std::fs::read_to_string(
                Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles/example/opcua-event.json"),
            );
            let (profile, out) = read(&[
                ("st10.spindle-1.toml", file),
                (&catalog, &text),
                ("example/opcua-event.json", &event.unwrap()),
                ("plant-ca.pem", ""),
                ("st10.password", ""),
                ("gateway.pem", ""),
                ("gateway.key", ""),
            ]);
            assert!(out.is_empty(), "{}", out.render(false));
            let profile = profile.unwrap();
            let slot = SlotName::new("st10", "spindle-1");
            assert_ne!(profile.plan(&slot).link.address(), "");
            let mut out = Diagnostics::new();
            let report = profile.run_examples(None, &mut out);
            assert!(report.failed == 0 && report.passed > 3, "{}", out.render(false));
        }
    }
}
