//! Bad swaps: what a controls engineer is told before a device file that is wrong fills a slot.
//!
//! Each folder of tests/fixtures/bad-swaps holds `new.toml`, which is to fill `st10.spindle-1` in the place of
//! `good/st10.spindle-1.toml` (or of a file of its own), and what `lineside plan` and then `lineside check` say of it,
//! whole, in `expect.txt`. `LINESIDE_BLESS=1 cargo test --test bad_swaps` writes those anew; read the diff as she would.
//!
//! Where it shows:
//!
//! | bad swap | told by |
//! |---|---|
//! | a file that cannot be right (missing field, wrong uom, typo, …) | `check`, `plan` and the gateway: refused, exit 2 |
//! | a file that is probably wrong (id of seconds, several triggers, …) | `check` and `plan`: a warning |
//! | a file that can be right, and gives other values (word order, sign, zone, scale) | `plan` with a record: exit 3 |
//! | the device is set to another uom than its file says, without a record | running: drift, values suddenly × 8.85 |
//! | the device's clock is set wrong, or jumps | running: `times.offset_ms`, drift |
//! | ids that restart with the device's next firmware | running: a new incarnation and an alarm (contract) |
//! | another firmware, another individual under the same file | running: drift |
//! | a value that stands still, a cadence that changes | running: drift |
//! | an OPC UA server that only offers no security, while the file does not say "None" | running: the status says so |
//! | the server id of a device that is no slot of this gateway | running: the status, or drift |

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "support/binary.rs"]
mod binary;

use binary::{command, said};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What is said of one swap.
struct Bad {
    /// Its folder.
    name: &'static str,
    /// Exit code of `plan`.
    plan: i32,
    /// Exit code of `check`, once it is installed.
    check: i32,
    /// The record of the slot is run through both.
    record: bool,
    /// What must be said.
    says: &'static [&'static str],
    /// Places that must be shown.
    places: &'static [&'static str],
}

const fn refused(name: &'static str, says: &'static [&'static str], places: &'static [&'static str]) -> Bad {
    Bad {
        name,
        plan: 2,
        check: 2,
        record: false,
        says,
        places,
    }
}

/// Doubtful, though nothing is promised otherwise.
const fn doubtful(name: &'static str, says: &'static [&'static str], places: &'static [&'static str]) -> Bad {
    Bad {
        plan: 0,
        check: 0,
        ..refused(name, says, places)
    }
}

/// Doubtful, and the MES is promised less.
const fn less(name: &'static str, says: &'static [&'static str], places: &'static [&'static str]) -> Bad {
    Bad {
        plan: 3,
        check: 0,
        ..refused(name, says, places)
    }
}

/// Shown by recorded data.
const fn revealed(name: &'static str, says: &'static [&'static str]) -> Bad {
    Bad {
        plan: 3,
        check: 0,
        record: true,
        ..refused(name, says, &[])
    }
}

const BAD: &[Bad] = &[
    refused(
        "01-missing-field",
        &["st10.spindle-1 requires `torque.min`, but [events.tightening] does not give it"],
        &["gateway.toml:21:", "new.toml:21:"],
    ),
    refused(
        "02-wrong-uom",
        &["`N` cannot be converted to `N.m`, the contract's uom of `torque`"],
        &["new.toml:12:"],
    ),
    revealed(
        "03-uom-that-converts",
        &[
            "torque.value: otherwise in 4 events",
            "always ×0.113 (",
            "point torque: ",
        ],
    ),
    refused(
        "04-status-without-map",
        &["`result` is a word, but point `judgement` says numbers"],
        &["new.toml:27:"],
    ),
    less(
        "05-map-without-nok",
        &[
            "[events.tightening] can never say `nok`",
            "tightening.result: nok, ok → always ok",
        ],
        &["new.toml:27:"],
    ),
    revealed(
        "06-swapped-words",
        &["torque.value: otherwise in 4 events", "word_order"],
    ),
    less(
        "07-doubled-trigger",
        &[
            "[events.tightening] has several triggers and no `id`",
            "tightening.result_id: no longer",
        ],
        &["new.toml:"],
    ),
    refused(
        "08-id-of-the-program",
        &["this `id` cannot tell one tightening from the next"],
        &["new.toml:"],
    ),
    doubtful(
        "09-id-of-whole-seconds",
        &["this `id` is only a clock of whole seconds: two tightening results in one second are one"],
        &["new.toml:"],
    ),
    doubtful(
        "10-id-that-restarts",
        &["this `id` consists only of a counter that restarts"],
        &["new.toml:"],
    ),
    refused(
        "11-typo-in-a-field",
        &["unknown field `tourque`", "did you mean `torque`?"],
        &["new.toml:"],
    ),
    refused(
        "12-typo-in-a-point",
        &["there is no point `angel`", "did you mean `angle`?"],
        &["new.toml:"],
    ),
    Bad {
        record: true,
        ..less(
            "13-register-off-by-one",
            &[
                "`torque` and `torque_min` share a register",
                "torque.value: otherwise in 4 events",
            ],
            &["new.toml:13:"],
        )
    },
    revealed(
        "14-wrong-sign",
        &["angle.value: otherwise in 1 event, -12 → 4294967284"],
    ),
    revealed("15-wrong-time-zone", &["times.device: otherwise in 4 events"]),
    refused(
        "16-ack-into-the-trigger",
        &["[events.tightening] is acknowledged into `result_count`, which triggers it"],
        &["new.toml:"],
    ),
    doubtful(
        "17-server-of-the-neighbour",
        &["`st10.spindle-1` and `st10.spindle-2` read the same registers of the same server"],
        &["new.toml:", "st10.spindle-2.toml:"],
    ),
    refused(
        "18-another-time-out-at-one-address",
        &["`st10.spindle-1` and `st10.spindle-2` reach 192.0.2.17:502 by different settings"],
        &["new.toml:", "st10.spindle-2.toml:"],
    ),
    refused(
        "19-model-that-is-not-there",
        &["there is no such file"],
        &["new.toml:2:"],
    ),
    refused(
        "20-uom-that-the-slot-does-not-know",
        &["`press_force` is in `mm`, which cannot be converted to `N`"],
        &["new.toml:", "gateway.toml:"],
    ),
    less(
        "21-level-that-nobody-takes-back",
        &[
            "nothing tells one tightening from the next while `ready` stands",
            "tightening.gap: no longer",
        ],
        &["new.toml:"],
    ),
    refused(
        "22-group-that-the-pattern-has-not",
        &["there is no point `torque`"],
        &["new.toml:"],
    ),
    doubtful(
        "23-server-that-nobody-trusts",
        &["st10.spindle-1 trusts no server yet: every certificate is refused"],
        &["new.toml:"],
    ),
    refused("24-password-file-that-is-not-there", &["st10.password"], &["new.toml:"]),
    refused(
        "25-status-of-an-order",
        &["`order_status` would state an order status"],
        &["new.toml:"],
    ),
    refused(
        "26-no-such-event",
        &["st10.spindle-1 delivers tightening, but its device file maps no tightening event"],
        &["gateway.toml:20:", "new.toml:"],
    ),
    refused(
        "27-looked-at-too-rarely",
        &["`life` is looked at every 10s, but must change within 5s"],
        &["new.toml:"],
    ),
    less(
        "28-the-same-torque-again",
        &["two tightening results with the same `torque` would be one"],
        &["new.toml:"],
    ),
    doubtful(
        "29-uom-of-no-torque",
        &["`newton` cannot be converted to `N.m`, the contract's uom of `torque`"],
        &["new.toml:"],
    ),
    doubtful(
        "30-unknown-codes-are-ok",
        &["every code of `judgement` that nobody knows counts as ok"],
        &["new.toml:"],
    ),
    revealed(
        "31-decimal-point-one-digit-further",
        &["torque.min: otherwise in 4 events, 11 → 110, always ×10 (a decimal point one digit further)"],
    ),
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/bad-swaps")
}

/// A plant before the swap, with the new file beside it. What a case has of its own stands in the place of what is good.
fn plant(case: &str) -> TempDir {
    let plant = tempfile::tempdir().unwrap();
    let profiles = plant.path().join("device-profiles");
    std::fs::create_dir(&profiles).unwrap();
    for folder in [fixtures().join("good"), fixtures().join(case)] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let device = name.starts_with("st10.");
            let into = if device {
                profiles.join(name)
            } else {
                plant.path().join(name)
            };
            std::fs::copy(&path, into).unwrap();
        }
    }
    plant
}

/// The plan of the new file.
const PLAN: [&str; 5] = [
    "plan",
    "--config",
    "gateway.toml",
    "--replace",
    "st10.spindle-1=new.toml",
];

/// The same, with the record beside it.
const RECORDED: [&str; 7] = [PLAN[0], PLAN[1], PLAN[2], PLAN[3], PLAN[4], "--record", "record.jsonl"];

/// Standard output and error of a command, and its exit code.
fn run(plant: &Path, arguments: &[&str]) -> (i32, String) {
    let output = command(plant, arguments).output().unwrap();
    let (out, err) = said(&output);
    (output.status.code().unwrap(), format!("{err}{out}"))
}

/// Holds what is said against `expect.txt`; `None` where it is the same.
fn expected(case: &str, text: &str) -> Option<String> {
    let path = fixtures().join(case).join("expect.txt");
    if std::env::var_os("LINESIDE_BLESS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    (wanted != text).then(|| format!("{case}\n--- is said\n{text}--- was to be said\n{wanted}"))
}

#[test]
fn every_bad_swap_is_told_before_it_happens() {
    let mut wrong = Vec::new();
    for bad in BAD {
        let plant = plant(bad.name);
        let mut arguments = PLAN.to_vec();
        if bad.record {
            arguments.extend(["--record", "record.jsonl"]);
        }
        let before = std::fs::read(plant.path().join("device-profiles/st10.spindle-1.toml")).unwrap();
        let (code, planned) = run(plant.path(), &arguments);
        assert_eq!(code, bad.plan, "plan of {}:\n{planned}", bad.name);
        for text in bad.says.iter().chain(bad.places) {
            assert!(planned.contains(text), "{}: `{text}` in\n{planned}", bad.name);
        }
        let installed = plant.path().join("device-profiles/st10.spindle-1.toml");
        assert_eq!(std::fs::read(&installed).unwrap(), before, "plan writes nothing");
        assert!(!plant.path().join("state").exists(), "plan writes nothing");
        std::fs::copy(plant.path().join("new.toml"), installed).unwrap();
        let (code, checked) = run(plant.path(), &["check", "--config", "gateway.toml"]);
        assert_eq!(code, bad.check, "check of {}:\n{checked}", bad.name);
        let text = format!(
            "$ lineside {}\n{planned}\n$ lineside check\n{checked}",
            arguments.join(" ")
        );
        wrong.extend(expected(bad.name, &text));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_folder_is_a_case() {
    let mut folders: Vec<String> = std::fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "good")
        .collect();
    folders.sort();
    let named: Vec<&str> = BAD.iter().map(|bad| bad.name).collect();
    assert_eq!(folders, named);
    assert!(BAD.len() >= 20);
}

/// What is told by running both over a record is told because of the record: without one the promises are the same.
#[test]
fn without_a_record_other_values_are_not_seen() {
    for bad in BAD.iter().filter(|bad| bad.record) {
        let plant = plant(bad.name);
        let (code, text) = run(plant.path(), &PLAN);
        assert_eq!(code, 0, "{}:\n{text}", bad.name);
        assert!(text.contains("nothing is recorded of st10.spindle-1"), "{text}");
    }
}

/// The ring that the gateway keeps is looked at unasked.
#[test]
fn what_the_gateway_keeps_of_a_slot_is_run_through_both() {
    let plant = plant("06-swapped-words");
    let recent = plant.path().join("state/recent");
    std::fs::create_dir_all(&recent).unwrap();
    std::fs::copy(
        fixtures().join("good/record.jsonl"),
        recent.join("st10.spindle-1.jsonl"),
    )
    .unwrap();
    let (code, text) = run(plant.path(), &PLAN);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("the last exchanges that the gateway keeps"), "{text}");
    // Of another device its addresses say nothing.
    let new = plant.path().join("new.toml");
    let other = std::fs::read_to_string(&new).unwrap().replace("\"T-200\"", "\"T-300\"");
    std::fs::write(&new, other).unwrap();
    let (code, text) = run(plant.path(), &PLAN);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("says nothing of Example T-300"), "{text}");
    assert!(
        text.contains("the present device file makes of it: 4 tightening"),
        "{text}"
    );
}

#[test]
fn the_same_device_file_changes_nothing() {
    let plant = plant("06-swapped-words");
    std::fs::copy(
        plant.path().join("device-profiles/st10.spindle-1.toml"),
        plant.path().join("new.toml"),
    )
    .unwrap();
    let (code, text) = run(plant.path(), &RECORDED);
    assert_eq!(code, 0, "{text}");
    for section in [
        "For the MES\n  nothing\n",
        "For the device link\n  nothing\n",
        "In extra and identity\n  nothing\n",
        "the MES would see the same: 4 events",
        "the contract is kept",
    ] {
        assert!(text.contains(section), "{section} in\n{text}");
    }
}

#[test]
fn a_plan_is_machine_readable() {
    let plant = plant("03-uom-that-converts");
    let mut arguments = PLAN.to_vec();
    arguments.push("--json");
    let json = |arguments: &[&str]| -> (i32, serde_json::Value) {
        let output = command(plant.path(), arguments).output().unwrap();
        let (out, _) = said(&output);
        (output.status.code().unwrap(), serde_json::from_str(&out).unwrap())
    };
    let (code, plan) = json(&arguments);
    assert_eq!((code, &plan["contract_kept"]), (0, &true.into()));
    arguments.extend(["--record", "record.jsonl"]);
    let (code, plan) = json(&arguments);
    assert_eq!((code, &plan["contract_kept"]), (3, &false.into()));
    let slot = &plan["slots"][0];
    assert_eq!(slot["slot"], "st10.spindle-1");
    assert_eq!(slot["sentence"], "nothing changes for the MES");
    let summary = &slot["recorded"][0]["summary"];
    assert_eq!(summary["otherwise"], 4);
    assert_eq!(summary["fields"][0]["field"], "torque.value");
    assert_eq!(summary["fields"][0]["factor"], "0.113");
    std::fs::write(plant.path().join("new.toml"), "profile = 1\nextends = \"nowhere\"\n").unwrap();
    let (code, plan) = json(&arguments);
    assert_eq!((code, &plan["ok"]), (2, &false.into()));
    assert_eq!(plan["diagnostics"][0]["file"], "new.toml");
}

/// A record of a device that speaks otherwise says nothing of the new one: promises are compared, and the old file shows.
#[test]
fn a_record_of_another_protocol_says_so() {
    let plant = plant("23-server-that-nobody-trusts");
    let (code, text) = run(plant.path(), &RECORDED);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("the record is of modbus-tcp, the profile of opcua"),
        "{text}"
    );
    assert!(
        text.contains("the present device file makes of it: 4 tightening"),
        "{text}"
    );
}

#[test]
fn a_swap_that_nobody_meant_is_told() {
    let plant = plant("06-swapped-words");
    for (replace, says) in [
        ("st10.spindel-1=new.toml", "did you mean `st10.spindle-1`?"),
        ("st10.spindle-1", "--replace st10.spindle-1=NEW.toml"),
        ("st10.spindle-1=nowhere.toml", "cannot read nowhere.toml"),
    ] {
        let (code, text) = run(
            plant.path(),
            &["plan", "--config", "gateway.toml", "--replace", replace],
        );
        assert_eq!(code, 2, "{text}");
        assert!(text.contains(says), "{says} in\n{text}");
    }
}

/// A checkout of all device files against what is installed; and what is on disk against what was accepted.
#[test]
fn a_folder_is_held_against_what_is_installed() {
    let plant = plant("05-map-without-nok");
    let checkout = plant.path().join("checkout");
    std::fs::create_dir(&checkout).unwrap();
    std::fs::copy(plant.path().join("new.toml"), checkout.join("st10.spindle-1.toml")).unwrap();
    let arguments = ["plan", "--config", "gateway.toml", "--profiles", "checkout"];
    let (code, text) = run(plant.path(), &arguments);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("tightening.result: nok, ok → always ok"), "{text}");
    assert!(text.contains("checkout/st10.spindle-1.toml"), "{text}");
    std::fs::remove_file(checkout.join("st10.spindle-1.toml")).unwrap();
    let (code, text) = run(plant.path(), &arguments);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("slot `st10.spindle-1` has no device file"), "{text}");

    let installed = plant.path().join("device-profiles/st10.spindle-1.toml");
    let accepted = plant.path().join("state/accepted");
    std::fs::create_dir_all(&accepted).unwrap();
    let kept = serde_json::json!({
        "vendor": "Example", "model": "T-200", "digest": "sha256:00", "at": "2026-11-22T09:15:00.000Z",
        "files": { "st10.spindle-1.toml": std::fs::read_to_string(&installed).unwrap() },
    });
    std::fs::write(accepted.join("st10.spindle-1.json"), kept.to_string()).unwrap();
    let (code, text) = run(plant.path(), &["plan", "--config", "gateway.toml"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("For the MES\n  nothing\n"), "{text}");
    std::fs::copy(plant.path().join("new.toml"), &installed).unwrap();
    let (code, text) = run(plant.path(), &["plan", "--config", "gateway.toml"]);
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("as last accepted"), "{text}");
}
