//! Bad profiles and what is said of them: each file of tests/fixtures/bad-profiles has its rendered diagnostics
//! beside it, compared exactly. `LINESIDE_BLESS=1 cargo test --test profile_faults` writes them anew; read the diff.
//!
//! And good ones under any registers: never a panic, always a whole event or a reason.

#![expect(clippy::unwrap_used, reason = "what a test's helper cannot do fails the test")]

use lineside::diagnostic::Diagnostics;
use lineside::model::plan::Table;
use lineside::model::{Moment, Sample, SlotName};
use lineside::profile::{FileFault, Files, Meaning, Profile, SlotContract};
use lineside::wire::modbus::{self, Image};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// Files as if their folder were the profiles folder, so that no path of this machine is shown.
struct Folder(PathBuf);

impl Files for Folder {
    fn read(&self, path: &Path) -> Result<String, FileFault> {
        std::fs::read_to_string(self.0.join(path)).map_err(|fault| match fault.kind() {
            std::io::ErrorKind::NotFound => FileFault::Missing,
            _ => FileFault::Unreadable(fault.to_string()),
        })
    }
}

fn folder(name: &str) -> Folder {
    Folder(Path::new(env!("CARGO_MANIFEST_DIR")).join(name))
}

/// `base.toml` is good by itself: others extend it.
const BASE: &str = "base.toml";

fn said(files: &Folder, file: &str) -> (Diagnostics, bool) {
    let mut out = Diagnostics::new();
    let profile = Profile::load(Path::new(file), Path::new(""), files, &mut out);
    if let Some(profile) = &profile {
        profile.run_examples(None, &mut out);
    }
    (out, profile.is_some())
}

#[test]
fn every_bad_profile_says_what_is_wrong() {
    let files = folder("tests/fixtures/bad-profiles");
    let mut names: Vec<String> = std::fs::read_dir(&files.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "toml") && name != BASE)
        .collect();
    names.sort();
    assert!(names.len() >= 20, "{} faults", names.len());
    let mut wrong = Vec::new();
    for name in &names {
        let (out, _) = said(&files, name);
        assert!(!out.is_empty(), "{name} is not bad");
        let text = out.render(false);
        let beside = files.0.join(name).with_extension("stderr");
        if std::env::var_os("LINESIDE_BLESS").is_some() {
            std::fs::write(&beside, &text).unwrap();
        }
        let wanted = std::fs::read_to_string(&beside).unwrap_or_default();
        if wanted != text {
            wrong.push(format!("{name}\n--- is said\n{text}--- was to be said\n{wanted}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_only_doubtful_is_not_refused() {
    let files = folder("tests/fixtures/bad-profiles");
    for name in ["id-only-of-a-counter.toml", "result-torn-in-two.toml"] {
        let (out, loaded) = said(&files, name);
        assert!(loaded && !out.has_errors(), "{}", out.render(false));
    }
    for name in ["id-that-cannot-tell-results-apart.toml", "typo-in-a-key.toml"] {
        let (out, loaded) = said(&files, name);
        assert!(!loaded && out.has_errors(), "{name}");
    }
}

#[test]
fn every_fault_has_a_place_in_its_file() {
    let files = folder("tests/fixtures/bad-profiles");
    let (out, _) = said(&files, "several-faults-at-once.toml");
    assert!(out.iter().count() >= 3, "{}", out.render(false));
    for fault in out.iter() {
        let place = fault.place.as_ref().unwrap();
        assert_eq!(place.source.path, "several-faults-at-once.toml");
    }
}

fn good(file: &str) -> Profile {
    let mut out = Diagnostics::new();
    let profile = Profile::load(Path::new(file), Path::new(""), &folder("device-profiles"), &mut out);
    assert!(!out.has_errors(), "{}", out.render(false));
    profile.unwrap()
}

static PROFILES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    let files = [
        "example/manual.toml",
        "example/torque-tool.toml",
        "example/plc-cell.toml",
        "kolver/k-ducer-modbus.toml",
        "aimco/acradyne-gen-iv.toml",
        "handshake/latched.toml",
    ];
    files.map(good).into()
});

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn any_registers_give_a_whole_event_or_a_reason(
        words in proptest::collection::vec(prop_oneof![any::<u16>(), 0_u16..4, Just(0xFFFF), Just(0x7FC0)], 420),
        before in proptest::collection::vec(any::<u16>(), 420),
    ) {
        for profile in PROFILES.iter() {
            let slot = SlotName::new("st10", "tool");
            let plan = Arc::new(profile.plan(&slot));
            let mut out = Diagnostics::new();
            let place = lineside::diagnostic::Place::start_of(&Arc::new(lineside::diagnostic::Source {
                path: "gateway.toml".into(),
                text: String::new(),
            }));
            let contract = SlotContract::asking_nothing(slot, place);
            profile.check_slot(&contract, &mut out);
            let decode = |words: &[u16]| {
                let mut image = Image::default();
                for table in [Table::Coil, Table::Discrete, Table::Holding, Table::Input] {
                    image.put(table, 0, words);
                }
                plan.points
                    .iter()
                    .map(|point| {
                        let at = point.at.registers();
                        modbus::decode(at, &image)
                    })
                    .collect::<Vec<_>>()
            };
            for event in 0..plan.events.len() {
                let seen = Moment::new(1_795_342_503_171, 1);
                let sample = Sample::picture(&plan, event, decode(&words), decode(&before), seen);
                for meaning in profile.drafts(&contract, &sample) {
                    let Meaning::Draft(draft) = meaning else { continue };
                    let required = draft.kind.fields().iter().filter(|spec| spec.required);
                    let whole = required.clone().all(|spec| draft.data.contains_key(spec.name));
                    prop_assert!(whole == draft.quarantine.is_empty(), "{draft:?}");
                    prop_assert!(!serde_json::to_string(&draft.data).unwrap().contains("null"));
                }
            }
        }
    }
}
