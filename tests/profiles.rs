//! The catalog: every file in device-profiles/ is a named test, and rules hold over the whole library.

#![expect(clippy::unwrap_used, reason = "what a test's helper cannot do fails the test")]

use lineside::diagnostic::Diagnostics;
use lineside::model::draft::EchoMatch;
use lineside::model::plan::{PointPlan, Table};
use lineside::model::{Moment, Sample, SlotName};
use lineside::profile::{self, FileFault, Files, Maturity, Meaning, Profile, SlotContract};
use lineside::wire::modbus::{self, Image};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> Result<String, FileFault> {
        std::fs::read_to_string(path).map_err(|fault| match fault.kind() {
            std::io::ErrorKind::NotFound => FileFault::Missing,
            _ => FileFault::Unreadable(fault.to_string()),
        })
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles")
}

/// Every catalog file, relative to the profiles folder, sorted.
fn catalog() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "toml") {
                found.push(path.strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

fn load(file: &Path) -> Profile {
    let mut out = Diagnostics::new();
    let profile = Profile::load(file, &root(), &Disk, &mut out);
    assert!(out.is_empty(), "{}", out.render(false));
    profile.unwrap()
}

/// Loads without a word, proves itself, and yields a plan.
fn proves_itself(file: &str) {
    let profile = load(Path::new(file));
    let mut out = Diagnostics::new();
    let report = profile.run_examples(None, &mut out);
    assert!(out.is_empty(), "{}", out.render(false));
    assert!(report.passed >= 2, "a good and a bad result at least");
    assert_eq!(report.failed, 0);
    let plan = profile.plan(&SlotName::new("st10", "tool"));
    assert_eq!(plan.events.len(), profile.events().count());
    assert!(!profile.about().is_empty());
    assert!(!profile.sources().is_empty());
}

/// One named test a file; and a test that none was forgotten.
macro_rules! files {
    ($($name:ident: $path:literal),+ $(,)?) => {
        $(#[test] fn $name() { proves_itself($path); })+

        #[test]
        fn every_file_of_the_catalog_has_its_test() {
            let named = vec![$($path),+];
            let found = catalog();
            let found: Vec<_> = found.iter().map(|path| path.to_str().unwrap()).collect();
            assert_eq!(found, named, "add the file to `files!` in tests/profiles.rs");
        }
    };
}

files! {
    aimco_acradyne_gen_iv_csv: "aimco/acradyne-gen-iv-csv.toml",
    aimco_acradyne_gen_iv_open_protocol: "aimco/acradyne-gen-iv-open-protocol.toml",
    aimco_acradyne_gen_iv_uec: "aimco/acradyne-gen-iv-uec.toml",
    aimco_acradyne_gen_iv: "aimco/acradyne-gen-iv.toml",
    atlas_copco_mt_focus_6000: "atlas-copco/mt-focus-6000.toml",
    atlas_copco_power_focus_4000: "atlas-copco/power-focus-4000.toml",
    atlas_copco_power_focus_6000: "atlas-copco/power-focus-6000.toml",
    bosch_rexroth_nexo: "bosch-rexroth/nexo.toml",
    cleco_tme_100_standard_2: "cleco/tme-100-standard-2.toml",
    cleco_tme_100: "cleco/tme-100.toml",
    desoutter_cvi3: "desoutter/cvi3.toml",
    example_manual: "example/manual.toml",
    example_opcua: "example/opcua.toml",
    example_open_protocol: "example/open-protocol.toml",
    example_plc_cell: "example/plc-cell.toml",
    example_serial: "example/serial.toml",
    example_t_100: "example/t-100.toml",
    example_torque_tool: "example/torque-tool.toml",
    fec_micro_nutrunner: "fec/micro-nutrunner.toml",
    generic_plc_opcua: "generic/plc-opcua.toml",
    handshake_clear_by_writing: "handshake/clear-by-writing.toml",
    handshake_clear_on_read: "handshake/clear-on-read.toml",
    handshake_counter_echo: "handshake/counter-echo.toml",
    handshake_counter: "handshake/counter.toml",
    handshake_heartbeat: "handshake/heartbeat.toml",
    handshake_latched: "handshake/latched.toml",
    handshake_level: "handshake/level.toml",
    handshake_ring: "handshake/ring.toml",
    handshake_toggle: "handshake/toggle.toml",
    joining_opc_40450: "joining/opc-40450.toml",
    kolver_k_ducer_modbus: "kolver/k-ducer-modbus.toml",
    kolver_k_ducer_open_protocol: "kolver/k-ducer-open-protocol.toml",
    mark_10_tt: "mark-10/tt.toml",
    open_protocol_controller: "open-protocol/controller.toml",
    scanner_gs1: "scanner/gs1.toml",
    scanner_iso_15434: "scanner/iso-15434.toml",
    scanner_text: "scanner/text.toml",
    scanner_vin: "scanner/vin.toml",
    siemens_s7_1500_handshake: "siemens/s7-1500-handshake.toml",
    sturtevant_richmont_torq_tronics_2: "sturtevant-richmont/torq-tronics-2.toml",
    tohnichi_cem3_bta_m3: "tohnichi/cem3-bta-m3.toml",
    tohnichi_cem3_bta: "tohnichi/cem3-bta.toml",
    unipulse_f320: "unipulse/f320.toml",
    unipulse_tm400: "unipulse/tm400.toml",
}

#[test]
fn the_path_of_a_file_is_lower_case_digits_and_dashes() {
    for file in catalog() {
        let text = file.to_str().unwrap().strip_suffix(".toml").unwrap().to_owned();
        assert_eq!(text.split('/').count(), 2, "{text}: <vendor>/<model>.toml");
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-/".contains(c);
        assert!(text.chars().all(allowed), "{text}");
    }
}

#[test]
fn no_two_files_are_the_same_device() {
    let mut seen = BTreeMap::new();
    for file in catalog() {
        let profile = load(&file);
        let device = profile.identity();
        let before = seen.insert((device.vendor.clone(), device.model.clone()), file.clone());
        assert_eq!(before, None, "{}", file.display());
        assert!(!device.vendor.is_empty() && !device.model.is_empty());
        assert!(device.digest.starts_with("sha256:"));
        assert_eq!(device.serial, None, "a model has no serial number");
    }
}

#[test]
fn a_claimed_maturity_has_its_evidence() {
    for file in catalog() {
        let text = Disk.read(&root().join(&file)).unwrap();
        let captured = text.contains("origin = \"captured\"");
        let profile = load(&file);
        assert!(
            profile.maturity() == Maturity::Document || captured,
            "{} claims more than a document, but has no captured example",
            file.display()
        );
    }
}

#[test]
fn no_file_has_an_address_of_somebody_s_plant() {
    for file in catalog() {
        let plan = load(&file).plan(&SlotName::new("st10", "tool"));
        assert_eq!(plan.link.address(), "", "{}", file.display());
    }
}

#[test]
fn the_schema_for_editors_is_the_present_one() {
    let path = root().join("schema.json");
    let wanted = serde_json::to_string_pretty(&profile::schema()).unwrap() + "\n";
    if std::env::var_os("LINESIDE_BLESS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let have = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        have == wanted,
        "device-profiles/schema.json is stale: LINESIDE_BLESS=1 cargo test --test profiles"
    );
}

#[test]
fn the_schema_accepts_the_catalog_and_refuses_a_typo() {
    let schema = jsonschema::validator_for(&profile::schema()).unwrap();
    for file in catalog() {
        let text = Disk.read(&root().join(&file)).unwrap();
        let mut tree: serde_json::Value = serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap();
        let faults: Vec<String> = schema
            .iter_errors(&tree)
            .map(|fault| format!("{fault} at {}", fault.instance_path))
            .collect();
        assert_eq!(faults, Vec::<String>::new(), "{}", file.display());
        tree["points"]["torque"]["scael"] = 1.into();
        assert!(!schema.is_valid(&tree));
    }
}

/// The result block of the manufacturer's own test, byte by byte (reference, vector K1).
const K1: [u8; 134] = [
    65, 66, 67, 45, 97, 98, 99, 45, 49, 50, 51, 52, 0, 0, 0, 0, 0, 1, 0, 51, 0, 4, 0, 30, 162, 221, 1, 115, 3, 232, 0,
    50, 1, 44, 2, 56, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 50, 0, 50, 0, 8, 0, 3, 0, 50, 3, 231, 0, 0, 0, 0, 0, 0, 0, 0, 2,
    88, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 24,
    0, 3, 0, 15, 0, 15, 0, 15, 0, 38, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 48, 52,
];

#[test]
fn the_kolver_vector_is_exactly_what_is_stated() {
    let profile = load(Path::new("kolver/k-ducer-modbus.toml"));
    let plan = Arc::new(profile.plan(&SlotName::new("st10", "spindle-1")));
    let words: Vec<u16> = K1
        .chunks(2)
        .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
        .collect();
    let mut image = Image::default();
    for table in [Table::Input, Table::Coil, Table::Holding] {
        image.put(table, 0, &[0; 500]);
    }
    image.put(Table::Input, 295, &words);
    let decode = |point: &PointPlan| {
        let at = point.at.registers();
        modbus::decode(at, &image)
    };
    let values: Vec<_> = plan.points.iter().map(decode).collect();
    let event = profile.events().position(|(name, _)| name == "tightening").unwrap();
    let asked = &plan.events[event].points;
    let flag = plan.points.iter().position(|point| {
        let at = point.at.registers();
        at.table == Table::Input && at.address == 294
    });
    assert_eq!(flag, None, "nobody is robbed of the flag that reading clears");
    assert!(asked.iter().all(|point| values[*point].is_some()));
    let before = vec![None; values.len()];
    let sample = Sample::picture(&plan, event, values, before, Moment::new(1_795_342_503_171, 1));
    let slot = SlotName::new("st10", "spindle-1");
    let contract = SlotContract::asking_nothing(slot, profile.connection_place().clone());
    let meanings = profile.drafts(&contract, &sample);
    let [Meaning::Draft(draft)] = &meanings[..] else {
        panic!("{meanings:?}");
    };
    assert_eq!(draft.quarantine, Vec::<String>::new());
    // Limits, angle target, job and errors are absent: 0 means none, and code 13 is OK.
    let wanted = serde_json::json!({
        "result": "ok",
        "torque": { "value": 0.5, "uom": "N.m", "target": 0.5 },
        "angle": { "value": 999, "uom": "deg" },
        "program": { "id": "51" },
        "batch": { "count": 1, "size": 1 },
        "tool": { "serial": "2007773" },
        "result_id": "5",
    });
    assert_eq!(serde_json::Value::Object(draft.data.clone()), wanted);
    let echo = draft.echo.as_ref().unwrap();
    assert_eq!((echo.value.as_str(), echo.how), ("ABC-abc-1234", EchoMatch::Prefix));
    let time = draft.device_time.as_ref().unwrap();
    assert!(time.said.starts_with("2024-03-15T15:15:38"), "{}", time.said);
    let id = ["24", "3", "15", "15", "15", "38", "5"].map(str::to_owned).to_vec();
    assert_eq!(draft.id.as_ref(), Some(&id));
    let counter = draft.counter.unwrap();
    assert_eq!((counter.value, counter.first, counter.last), (5, 1, None));
    let extra = |name: &str| draft.extra[name]["value"].clone();
    assert_eq!(extra("tool_model"), "KDS-MT1.5");
    assert_eq!(extra("speed_target"), 300);
    assert_eq!(extra("tightening_time"), 568);
    assert_eq!(extra("peak_torque"), serde_json::json!(0.5));
    assert_eq!(extra("running_torque"), serde_json::json!(0.03));
}
