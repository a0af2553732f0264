//! The command line as a user meets it: the binary, its exit codes, and what it says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "support/binary.rs"]
mod binary;

use binary::{command, said};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;

fn lineside(arguments: &[&str]) -> Output {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    command(repository, arguments).output().unwrap()
}

/// A plant with one slot, filled by the catalog's T-100.
fn plant(folder: &Path) -> PathBuf {
    let profiles = folder.join("device-profiles/example");
    std::fs::create_dir_all(&profiles).unwrap();
    let catalog = Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles/example/t-100.toml");
    std::fs::copy(catalog, profiles.join("t-100.toml")).unwrap();
    std::fs::write(
        folder.join("device-profiles/st10.spindle-1.toml"),
        "profile = 1\nextends = \"example/t-100\"\nserial = \"SN-1\"\n[connection]\naddress = \"127.0.0.1:1502\"\n",
    )
    .unwrap();
    let config = folder.join("gateway.toml");
    std::fs::write(
        &config,
        r#"[gateway]
id = "gw-1"
state_dir = "state"
web = "off"
[plant]
enterprise = "acme"
site = "leipzig"
area = "body"
line = "line-3"
[mqtt]
broker = "mqtt://127.0.0.1:1883"
[[station]]
id = "st10"
[[station.slot]]
id = "spindle-1"
delivers = "tightening"
requires = ["torque", "angle"]
"#,
    )
    .unwrap();
    config
}

#[test]
fn a_good_configuration_passes_with_its_examples() {
    let folder = tempfile::tempdir().unwrap();
    let config = plant(folder.path());
    let output = lineside(&["check", "--config", config.to_str().unwrap()]);
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(out.contains("examples passed") && !out.contains(" 0 examples"), "{out}");
}

#[test]
fn faults_of_both_files_are_told_at_once_with_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let config = plant(folder.path());
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"angle\"]", "\"angel\", \"torque.target\"]")).unwrap();
    let device = folder.path().join("device-profiles/st10.spindle-1.toml");
    let text = std::fs::read_to_string(&device).unwrap();
    std::fs::write(&device, text.replace("[connection]", "[conection]")).unwrap();
    std::fs::write(
        folder.path().join("device-profiles/st10.spindle-2.toml"),
        "profile = 1\n",
    )
    .unwrap();
    let output = lineside(&["check", "--config", config.to_str().unwrap()]);
    let (_, err) = said(&output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    for part in [
        "st10.spindle-1.toml:4:",
        "conection",
        "did you mean `connection`?",
        "no slot `st10.spindle-2`",
    ] {
        assert!(err.contains(part), "{part} in:\n{err}");
    }
    let output = lineside(&["check", "--config", config.to_str().unwrap(), "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["ok"], false);
    let diagnostics = answer["diagnostics"].as_array().unwrap();
    assert!(
        diagnostics
            .iter()
            .all(|d| d["file"].is_string() && d["line"].is_number()),
        "{answer:#}"
    );
}

#[test]
fn a_slot_that_asks_for_what_its_device_cannot_give_is_refused_with_both_places() {
    let folder = tempfile::tempdir().unwrap();
    let config = plant(folder.path());
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"angle\"]", "\"angle\", \"torque.target\"]")).unwrap();
    let output = lineside(&["check", "--config", config.to_str().unwrap()]);
    let (_, err) = said(&output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(
        err.contains("torque.target") && err.contains("gateway.toml:") && err.contains("t-100.toml:"),
        "{err}"
    );
}

#[test]
fn a_missing_device_file_says_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    let config = plant(folder.path());
    std::fs::remove_file(folder.path().join("device-profiles/st10.spindle-1.toml")).unwrap();
    let output = lineside(&["check", "--config", config.to_str().unwrap()]);
    let (_, err) = said(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err.contains("slot `st10.spindle-1` has no device file") && err.contains("disabled = true"),
        "{err}"
    );
}

#[test]
fn a_faulty_gateway_toml_ends_run_with_2_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let config = plant(folder.path());
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("broker =", "brocker =")).unwrap();
    let output = lineside(&["run", "--config", config.to_str().unwrap()]);
    let (_, err) = said(&output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("did you mean `broker`?"), "{err}");
    assert!(!folder.path().join("state").exists());
}

/// Writes the contract of a plant: what was said, and where it is.
fn contract(folder: &Path, more: &[&str]) -> (Output, PathBuf) {
    let (config, out) = (plant(folder), folder.join("contract"));
    let arguments = [
        "contract",
        "--config",
        config.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
    ];
    (lineside(&[&arguments, more].concat()), out)
}

#[test]
fn schemas_of_every_type_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let (output, out) = contract(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(0), "{:?}", said(&output));
    for kind in lineside::model::EventType::ALL {
        let text = std::fs::read_to_string(out.join(format!("{kind}.schema.json"))).unwrap();
        let schema: Value = serde_json::from_str(&text).unwrap();
        assert!(jsonschema::meta::is_valid(&schema), "{kind}");
    }
    let text = std::fs::read_to_string(out.join("asyncapi.json")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["asyncapi"], "3.0.0");
}

#[test]
fn a_quarantine_is_tried_again_where_somebody_says_which() {
    let folder = tempfile::tempdir().unwrap();
    let config = plant(folder.path());
    let config = config.to_str().unwrap();
    for (more, says) in [
        (["retry", "--config", config].as_slice(), "say which"),
        (&["list", "--config", config], "no gateway has run"),
        (
            &["list", "--config", config, "--slot", "st10.nobody"],
            "there is no slot `st10.nobody`",
        ),
    ] {
        let output = lineside(&[&["quarantine"], more].concat());
        let (_, err) = said(&output);
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.contains(says), "{err}");
    }
}

#[test]
fn the_outbox_of_a_plant_that_never_ran_is_told_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let config = plant(folder.path());
    let output = lineside(&["outbox", "stats", "--config", config.to_str().unwrap()]);
    let (_, err) = said(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("no gateway has run"), "{err}");
}

#[test]
fn help_has_examples() {
    for command in ["run", "demo", "check", "contract", "outbox", "profile"] {
        let output = lineside(&[command, "--help"]);
        let (out, _) = said(&output);
        assert!(
            output.status.success() && out.contains("Examples:"),
            "{command}:\n{out}"
        );
    }
}

#[test]
fn the_demo_loses_nothing() {
    let output = lineside(&["demo", "--for", "6s"]);
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(0), "{out}\n{err}");
    assert!(out.contains("missing 0, duplicated 0"), "{out}");
    assert!(
        out.contains("spindle-1/tightening") && out.contains("cell/cycle"),
        "{out}"
    );
}

#[test]
fn paths_are_taken_from_where_the_user_stands() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path());
    let nested = folder.path().join("device-profiles");
    for (stand, arguments) in [
        (folder.path(), vec!["check", "--config", "gateway.toml"]),
        (folder.path(), vec!["check", "device-profiles/st10.spindle-1.toml"]),
        (&nested, vec!["check", "--config", "../gateway.toml"]),
        (&nested, vec!["check", "st10.spindle-1.toml", "example/t-100.toml"]),
        (&nested, vec!["check", "--root", ".", "./st10.spindle-1.toml"]),
        (
            &nested.join("example"),
            vec!["check", "t-100.toml", "../st10.spindle-1.toml"],
        ),
    ] {
        let output = command(stand, &arguments).output().unwrap();
        let (out, err) = said(&output);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {out}{err}");
    }
}

#[test]
fn faults_of_gateway_toml_do_not_hide_those_of_device_files() {
    let folder = tempfile::tempdir().unwrap();
    let config = plant(folder.path());
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[mqtt]", "[mqtt]\nbrokr = 1")).unwrap();
    let device = folder.path().join("device-profiles/st10.spindle-1.toml");
    let text = std::fs::read_to_string(&device).unwrap();
    std::fs::write(&device, format!("{text}adress = \"x\"\n")).unwrap();
    let output = lineside(&["check", "--config", config.to_str().unwrap()]);
    let (_, err) = said(&output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(
        err.contains("unknown key `brokr`") && err.contains("unknown key `adress`"),
        "{err}"
    );
}

#[test]
fn contract_names_the_files_that_it_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let (output, _) = contract(folder.path(), &["--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let files = answer["files"].as_array().unwrap();
    assert!(answer["ok"] == true && files.len() >= 11, "{answer:#}");
    assert!(files.iter().all(|file| Path::new(file.as_str().unwrap()).is_file()));
}
