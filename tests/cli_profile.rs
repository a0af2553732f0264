//! `lineside profile` as a user meets it: a new one, the catalog, one as it counts, names of fields.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "support/binary.rs"]
mod binary;

use binary::{command, said};
use serde_json::Value;
use std::path::Path;
use std::process::Output;

fn lineside(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a command prints, where it goes well and has nothing to complain about.
fn prints(folder: &Path, arguments: &[&str]) -> String {
    let output = lineside(folder, arguments);
    let (out, err) = said(&output);
    assert_eq!(
        (output.status.code(), err.as_str()),
        (Some(0), ""),
        "{arguments:?}: {out}"
    );
    out
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&prints(folder, arguments)).unwrap()
}

#[test]
fn a_new_profile_passes_check_but_for_what_it_says_to_fill_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = "device-profiles/acme/press-7.toml";
    let out = prints(
        folder.path(),
        &["profile", "new", "--type", "measurement", "--out", file],
    );
    assert!(
        out.contains("lineside check device-profiles/acme/press-7.toml"),
        "{out}"
    );
    let output = lineside(folder.path(), &["check", file]);
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(out.contains("1 example passed"), "{out}");
    let warnings: Vec<&str> = err.lines().filter(|line| line.starts_with("warning")).collect();
    assert_eq!(
        warnings,
        [
            "warning: this profile has no `vendor`",
            "warning: this profile has no `model`"
        ]
    );
    let text = std::fs::read_to_string(folder.path().join(file)).unwrap();
    let filled = text
        .replace("vendor   = \"\"", "vendor   = \"Acme\"")
        .replace("model    = \"\"", "model    = \"Press 7\"");
    std::fs::write(folder.path().join(file), filled).unwrap();
    let output = lineside(folder.path(), &["check", file]);
    assert_eq!(said(&output).1, "");

    let again = lineside(folder.path(), &["profile", "new", "--out", file]);
    let (_, err) = said(&again);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        err.contains("is there already") && err.contains("nothing is overwritten"),
        "{err}"
    );
    assert!(
        std::fs::read_to_string(folder.path().join(file))
            .unwrap()
            .contains("Press 7")
    );
}

#[test]
fn a_new_profile_is_refused_with_what_there_is() {
    for (arguments, wanted) in [
        (["--protocol", "profibus"], "modbus-tcp"),
        (["--type", "tightning"], "tightening"),
        (["--type", "gap"], "the gateway's own"),
    ] {
        let output = lineside(repository(), &[&["profile", "new"], &arguments[..]].concat());
        let (out, err) = said(&output);
        assert_eq!((output.status.code(), out.as_str()), (Some(2), ""));
        assert!(err.contains(wanted), "{err}");
    }
    let out = prints(repository(), &["profile", "new"]);
    assert!(out.contains("[events.tightening]") && out.contains("protocol   = \"modbus-tcp\""));
}

#[test]
fn the_catalog_is_listed_for_people_and_machines() {
    let out = prints(repository(), &["profile", "list"]);
    let kolver = out
        .lines()
        .find(|line| line.starts_with("kolver/k-ducer-modbus "))
        .unwrap();
    for word in [
        "Kolver",
        "K-DUCER",
        "modbus-tcp",
        "document",
        "tightening, curve, readings",
    ] {
        assert!(kolver.contains(word), "{kolver}");
    }
    let all = json(
        repository(),
        &["profile", "list", "--profiles", "device-profiles", "--json"],
    );
    let profiles = all["profiles"].as_array().unwrap();
    assert_eq!(profiles.len() + 1, out.lines().count(), "a line each, and a head");
    let level = profiles
        .iter()
        .find(|profile| profile["name"] == "handshake/level")
        .unwrap();
    assert_eq!(level["delivers"], serde_json::json!(["tightening"]));
    assert_eq!(level["maturity"], "document");
    assert_eq!(all["faulty"], serde_json::json!([]));
}

#[test]
fn a_faulty_profile_hides_no_other_and_an_empty_folder_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("device-profiles");
    std::fs::create_dir_all(root.join("acme")).unwrap();
    let output = lineside(folder.path(), &["profile", "list"]);
    assert!(
        said(&output).1.contains("there is no catalog in device-profiles"),
        "{}",
        said(&output).1
    );
    std::fs::copy(
        repository().join("device-profiles/example/t-100.toml"),
        root.join("acme/good.toml"),
    )
    .unwrap();
    std::fs::write(root.join("acme/bad.toml"), "profile = 1\nvendr = \"x\"\n").unwrap();
    // A device file is no model.
    std::fs::write(
        root.join("st10.spindle-1.toml"),
        "profile = 1\nextends = \"acme/good\"\n",
    )
    .unwrap();
    let output = lineside(folder.path(), &["profile", "list"]);
    let (out, err) = said(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        out.contains("acme/good") && !out.contains("acme/bad") && !out.contains("spindle"),
        "{out}"
    );
    assert!(
        err.contains("unknown key `vendr`") && err.contains("bad.toml:2:1"),
        "{err}"
    );
    let output = lineside(folder.path(), &["profile", "list", "--json"]);
    let all: Value = serde_json::from_str(&said(&output).0).unwrap();
    assert_eq!(all["faulty"], serde_json::json!(["acme/bad"]));

    let output = lineside(folder.path(), &["profile", "list", "--profiles", "nowhere"]);
    let (_, err) = said(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err.contains("there is no folder nowhere") && err.contains("--profiles DIR"),
        "{err}"
    );
}

/// A plant whose slot is filled by a short file over the catalog.
fn plant(folder: &Path) {
    let root = folder.join("device-profiles");
    std::fs::create_dir_all(root.join("example")).unwrap();
    std::fs::copy(
        repository().join("device-profiles/example/t-100.toml"),
        root.join("example/t-100.toml"),
    )
    .unwrap();
    std::fs::write(
        root.join("st10.spindle-1.toml"),
        "profile = 1\nextends = \"example/t-100\"\nserial = \"SN-1\"\nremove = [\"events.readings\"]\n\
         shift = { input = 100 }\n[connection]\naddress = \"192.0.2.17\"\n[events.tightening]\nprogram = { const = \"7\" }\n",
    )
    .unwrap();
    std::fs::write(
        folder.join("gateway.toml"),
        "[gateway]\nid = \"gw-1\"\nstate_dir = \"state\"\n[plant]\nenterprise = \"acme\"\nsite = \"leipzig\"\narea = \"body\"\n\
         line = \"line-3\"\n[mqtt]\nbroker = \"mqtt://127.0.0.1:1883\"\n[[station]]\nid = \"st10\"\n[[station.slot]]\n\
         id = \"spindle-1\"\ndelivers = \"tightening\"\n",
    )
    .unwrap();
}

#[test]
fn one_profile_is_shown_as_it_counts_with_the_file_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    plant(folder.path());
    let out = prints(
        folder.path(),
        &["profile", "show", "st10.spindle-1", "--config", "gateway.toml"],
    );
    let line = |start: &str| {
        out.lines()
            .find(|line| line.starts_with(start))
            .unwrap_or_else(|| panic!("{start}: {out}"))
    };
    assert!(line("address = ").ends_with("# st10.spindle-1.toml:7"), "{out}");
    assert!(line("poll = \"50ms\"").contains("# example/t-100.toml:"), "{out}");
    assert!(
        line("program = { const = \"7\" }").ends_with("# st10.spindle-1.toml:9"),
        "{out}"
    );
    assert!(
        line("angle = { at = \"input:204\"").contains("# example/t-100.toml:"),
        "shifted"
    );
    assert!(line("source ").contains("T-100 Fieldbus Manual") && line("caveat ").contains("parametrized"));
    assert!(line("extends ").ends_with("example/t-100.toml"));
    assert!(!out.contains("[events.readings]"));

    let shown = json(
        folder.path(),
        &["profile", "show", "device-profiles/st10.spindle-1.toml", "--json"],
    );
    assert_eq!(shown["serial"], "SN-1");
    assert_eq!(
        shown["files"],
        serde_json::json!(["st10.spindle-1.toml", "example/t-100.toml"])
    );
    let settings = shown["settings"].as_array().unwrap();
    let program = settings
        .iter()
        .find(|setting| setting["section"] == "events.tightening" && setting["key"] == "program")
        .unwrap();
    assert_eq!(program["file"], "st10.spindle-1.toml");
    assert_eq!(program["line"], 9);
    // What is shown is TOML: sections and keys read back.
    let body: String = out
        .lines()
        .skip_while(|line| !line.starts_with('['))
        .fold(String::new(), |all, line| all + line + "\n");
    let tree: toml::Table = body.parse().unwrap();
    assert_eq!(tree["points"]["torque"]["uom"].as_str(), Some("lbf.in"));
}

#[test]
fn a_profile_that_is_not_there_is_said_with_what_was_meant() {
    let output = lineside(repository(), &["profile", "show", "kolver/k-ducer-modbuss"]);
    let (_, err) = said(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err.contains("there is no profile") && err.contains("kolver/k-ducer-modbus`"),
        "{err}"
    );
    let out = prints(repository(), &["profile", "show", "kolver/k-ducer-modbus"]);
    assert!(out.starts_with("Kolver K-DUCER\n"), "{out}");
}

#[test]
fn the_fields_of_the_contract_are_told() {
    let out = prints(repository(), &["profile", "fields", "tightening"]);
    let line = |start: &str| out.lines().find(|line| line.trim_start().starts_with(start)).unwrap();
    assert!(line("result ").contains("ok | nok | undecided | not_judged") && line("result ").contains("required"));
    assert!(line("torque.value ").contains("number, N.m") && !line("torque.value ").contains("required"));
    assert!(line("batch.size ").contains("whole number"));
    assert!(out.starts_with("tightening  (lineside.tightening.v1)"));

    let all = json(repository(), &["profile", "fields", "--json"]);
    assert_eq!(all["types"].as_array().unwrap().len(), 11);
    let one = json(repository(), &["profile", "fields", "measurement", "--json"]);
    let required: Vec<&str> = one["types"][0]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|field| field["required"] == true)
        .map(|field| field["path"].as_str().unwrap())
        .collect();
    assert_eq!(required, ["name", "value", "uom"]);
    let cycle = json(repository(), &["profile", "fields", "cycle", "--json"]);
    let phase = &cycle["types"][0]["fields"][0];
    assert_eq!(phase["words"], serde_json::json!(["start", "end", "count"]));
}

#[test]
fn a_protocol_without_names_says_so_and_a_typo_is_helped() {
    assert!(prints(repository(), &["profile", "fields", "modbus-tcp"]).contains("names no points"));
    let points = json(repository(), &["profile", "fields", "modbus-tcp", "--json"]);
    assert_eq!(points["points"], serde_json::json!([]));
    let output = lineside(repository(), &["profile", "fields", "tightning"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).1.contains("`tightening`"), "{}", said(&output).1);
}

#[test]
fn help_has_examples() {
    for what in ["new", "list", "show", "fields", "schema"] {
        let out = prints(repository(), &["profile", what, "--help"]);
        assert!(out.contains("Examples:\n  lineside profile"), "{out}");
    }
}
