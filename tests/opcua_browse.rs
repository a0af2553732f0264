//! `lineside probe --browse` as a user meets it: the binary against a simulated OPC UA server that takes little at once.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

#[path = "support/binary.rs"]
mod binary;

use binary::{command, said};
use lineside::device::opcua::simulator::{
    DataType, EventField, EventType, Kind, Limits, Member, Setup, Shape, Simulator, Variable,
};
use lineside::model::Raw;
use lineside::model::plan::{Identifier, Namespace, NodeRef, OpcuaType};
use lineside::wire::opcua::Tree;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinSet;

const PLANT: &str = "urn:example:plc";
const PATIENCE: Duration = Duration::from_secs(20);

fn node(id: impl Into<Arc<str>>) -> NodeRef {
    NodeRef {
        namespace: Namespace::Uri(PLANT.into()),
        id: Identifier::Text(id.into()),
    }
}

fn number(id: u32) -> NodeRef {
    NodeRef {
        namespace: Namespace::Uri(PLANT.into()),
        id: Identifier::Number(id),
    }
}

fn member(name: &str, data_type: NodeRef, list: bool) -> Member {
    Member {
        name: name.into(),
        data_type,
        list,
        optional: false,
        subtypes: false,
    }
}

/// A verdict, a value, and a result that has one and many.
fn types(setup: &mut Setup) {
    let (string, double) = (NodeRef::core(12), NodeRef::core(11));
    let words = vec![(0, "Undefined".into()), (1, "OK".into()), (2, "NotOK".into())];
    setup.types.insert(DataType {
        node: number(3001),
        name: "Verdict".into(),
        base: NodeRef::core(29),
        shape: Shape::Enumeration(words),
    });
    let structure = |id, name: &str, members| DataType {
        node: number(id),
        name: name.into(),
        base: NodeRef::core(22),
        shape: Shape::Structure {
            encoding: number(id + 1),
            members,
        },
    };
    let value = vec![member("Name", string.clone(), false), member("Value", double, false)];
    setup.types.insert(structure(3010, "ValueType", value));
    let result = vec![
        member("Id", string, false),
        member("Verdict", number(3001), false),
        member("Values", number(3010), true),
    ];
    setup.types.insert(structure(3020, "ResultType", result));
}

fn setup() -> Setup {
    let mut setup = Setup {
        limits: Limits {
            read: 7,
            browse: 3,
            references: 2,
            ..Limits::default()
        },
        ..Setup::default()
    }
    .with(node("Count"), Kind::Scalar(OpcuaType::U16), &Raw::Int(7))
    .with(
        node("Torque"),
        Kind::Scalar(OpcuaType::F32),
        &Raw::F32(12.5_f32.to_bits()),
    )
    .with(
        node("\"Lineside\".\"Ready\""),
        Kind::Scalar(OpcuaType::Bool),
        &Raw::Bool(true),
    )
    .with(node("Vin"), Kind::Scalar(OpcuaType::Text), &Raw::Text("WVW1".into()))
    .with(
        node("Trace"),
        Kind::Scalar(OpcuaType::F64),
        &Raw::List(vec![Raw::F64(1.0_f64.to_bits()), Raw::F64(2.5_f64.to_bits())]),
    );
    types(&mut setup);
    let value = json!({
        "$type": "ResultType", "Id": "41", "Verdict": 1, "Values": [{"$type": "ValueType", "Name": "torque", "Value": 12.5}],
    });
    setup.variables.insert(
        node("Result"),
        Variable {
            name: "Result".into(),
            kind: Kind::Structure(number(3020)),
            writable: false,
            value: Tree::from_json(&value),
        },
    );
    let field = |name: &str, data_type| EventField {
        namespace: None,
        name: name.into(),
        data_type,
        list: false,
    };
    setup.events.insert(
        number(1007),
        EventType {
            name: "ResultReadyEventType".into(),
            base: None,
            fields: vec![field("Number", NodeRef::core(7)), field("Result", number(3020))],
            notifier: NodeRef::SERVER,
        },
    );
    setup
}

/// A server that runs, a folder to work in, and the pin of the server's certificate.
struct Stand {
    simulator: Simulator,
    address: String,
    folder: TempDir,
    trust: String,
    _tasks: JoinSet<()>,
}

impl Stand {
    async fn new() -> Self {
        let (simulator, address, serve) = Simulator::bind("127.0.0.1:0", setup()).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve);
        tokio::time::timeout(PATIENCE, simulator.ready()).await.unwrap();
        let own = simulator.own().trust();
        let pin = own.split('"').nth(1).unwrap_or(&own).to_owned();
        Self {
            simulator,
            address: format!("opc.tcp://{address}"),
            folder: TempDir::new().unwrap(),
            trust: pin,
            _tasks: tasks,
        }
    }

    /// `lineside` with these arguments: exit code, stdout, stderr.
    async fn lineside(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = command(self.folder.path(), arguments);
        command.env("XDG_STATE_HOME", self.folder.path());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let (out, err) = said(&output);
        (output.status.code().unwrap(), out, err)
    }

    async fn browse(&self, more: &[&str]) -> (i32, String, String) {
        let mut arguments = vec!["probe", "--browse", &self.address, "--trust", &self.trust];
        arguments.extend(more);
        self.lineside(&arguments).await
    }

    async fn json(&self, more: &[&str]) -> Value {
        let (code, out, err) = self.browse(&[more, &["--json"]].concat()).await;
        assert_eq!(code, 0, "{err}");
        serde_json::from_str(&out).unwrap()
    }
}

fn named<'a>(found: &'a Value, name: &str) -> &'a Value {
    let nodes = found["nodes"].as_array().unwrap();
    let found = nodes.iter().find(|node| node["name"] == name);
    found.unwrap_or_else(|| panic!("there is no {name} in {nodes:#?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_certificate_is_refused_with_what_to_say() {
    let stand = Stand::new().await;
    let (code, out, err) = stand.lineside(&["probe", "--browse", &stand.address]).await;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("is not trusted"), "{err}");
    assert!(err.contains(&format!("say --trust {}", stand.trust)), "{err}");
    assert_eq!(stand.simulator.counts().logins, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_space_is_shown_with_what_the_nodes_say() {
    let stand = Stand::new().await;
    let found = stand.json(&[]).await;
    assert_eq!(found["cut"], Value::Null);
    assert_eq!(found["server"]["certificate"], stand.trust);
    let torque = named(&found, "Torque");
    assert_eq!(torque["node"], "nsu=urn:example:plc;s=Torque");
    assert_eq!(torque["data_type"], "Float");
    assert_eq!(torque["dimensions"], 0);
    assert_eq!((&torque["readable"], &torque["writable"]), (&json!(true), &json!(true)));
    assert_eq!((&torque["value"], &torque["quality"]), (&json!(12.5), &json!("Good")));
    assert_eq!(named(&found, "Trace")["dimensions"], 1);
    assert_eq!(named(&found, "Trace")["value"], json!([1, 2.5]));
    let result = named(&found, "Result");
    assert_eq!(result["data_type"], "ResultType");
    assert_eq!(result["value"]["Id"], "41");
    let event = found["event_types"].as_array().unwrap();
    let event = event
        .iter()
        .find(|event| event["name"] == "ResultReadyEventType")
        .unwrap();
    assert_eq!(event["node"], "nsu=urn:example:plc;i=1007");
    let mut fields: Vec<&str> = event["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| of["field"].as_str().unwrap())
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [
            "Number",
            "Result/Id",
            "Result/Values[0]/Name",
            "Result/Values[0]/Value",
            "Result/Verdict"
        ]
    );
    let verdict = event["fields"].as_array().unwrap().iter();
    let verdict = verdict.clone().find(|of| of["field"] == "Result/Verdict").unwrap();
    assert_eq!(verdict["words"], json!({"0": "Undefined", "1": "OK", "2": "NotOK"}));

    // A filter leaves what it means, and what is above that.
    let (_, out, _) = stand.browse(&["--filter", "torq"]).await;
    assert!(out.contains("Torque") && out.contains("Objects"), "{out}");
    assert!(!out.contains("Vin"), "{out}");
    // A bad value says so.
    stand.simulator.set_status(&node("Torque"), 0x808C_0000).unwrap();
    let (_, out, _) = stand.browse(&["--under", "nsu=urn:example:plc;s=Torque"]).await;
    assert!(out.contains("! BadSensorFailure"), "{out}");
    assert!(!out.contains("Vin") && !out.contains("12.5"), "{out}");
    let (code, _, err) = stand.browse(&["--under", "nsu=urn:example:plc;s=Nothing"]).await;
    assert_eq!(code, 1);
    assert!(
        err.contains("the server has no node nsu=urn:example:plc;s=Nothing"),
        "{err}"
    );
    // Each ended its session.
    assert_eq!(stand.simulator.counts().sessions, 0);
    assert!(stand.simulator.writes().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_is_begun_from_chosen_nodes() {
    let stand = Stand::new().await;
    let nodes = [
        "nsu=urn:example:plc;s=Torque",
        "nsu=urn:example:plc;s=Count",
        "nsu=urn:example:plc;s=\"Lineside\".\"Ready\"",
        "nsu=urn:example:plc;s=Result",
        "nsu=urn:example:plc;i=1007",
    ];
    let out = [&["--out", "st10.spindle-1.toml"], &nodes[..]].concat();
    let (code, told, err) = stand.browse(&out).await;
    assert_eq!(code, 0, "{err}");
    assert!(told.contains("12 points"), "{told}");
    let file = stand.folder.path().join("st10.spindle-1.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    for line in [
        &format!("trust    = \"{}\"", stand.trust),
        "ready                         = { node = 'nsu=urn:example:plc;s=\"Lineside\".\"Ready\"', type = \"bool\" }",
        "count                         = { node = \"nsu=urn:example:plc;s=Count\", type = \"u16\" }",
        "field = \"Result/Verdict\" }   # Verdict; FILL IN: map = { 0 = \"Undefined\", 1 = \"OK\", 2 = \"NotOK\" }",
        "# when   = { event = \"nsu=urn:example:plc;i=1007\" }",
        "# id     = [\"result_ready_result_id\"]",
        "# result = \"result_ready_result_verdict\"",
        "# torque = \"torque\"",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    let (code, _, err) = stand.lineside(&["check", "st10.spindle-1.toml"]).await;
    assert_eq!(code, 0, "{err}");
    let (code, seen, err) = stand
        .lineside(&["probe", "st10.spindle-1.toml", "--once", "--json"])
        .await;
    assert_eq!(code, 0, "{err}");
    let seen: Value = serde_json::from_str(&seen).unwrap();
    let point = |name: &str| {
        let points = seen["points"].as_array().unwrap();
        points.iter().find(|point| point["point"] == name).unwrap().clone()
    };
    assert_eq!(point("torque")["raw"], json!(12.5));
    assert_eq!(point("ready")["means"], "true");
    // Of a structure, and of an event that nobody told.
    assert!(
        seen["points"]
            .as_array()
            .unwrap()
            .iter()
            .any(|point| point["raw"] == "41"),
        "{seen:#}"
    );
    assert!(seen["points"].as_array().unwrap().iter().any(|point| {
        point["means"]
            .as_str()
            .unwrap()
            .contains("no event of the profile says it")
    }));

    // It is not overwritten, unless that is said.
    let (code, _, err) = stand.browse(&out).await;
    assert_eq!(code, 2);
    assert!(err.contains("--force overwrites it"), "{err}");
    let forced = ["--out", "st10.spindle-1.toml", "--force", nodes[0]];
    let (code, told, err) = stand.browse(&forced).await;
    assert_eq!(code, 0, "{err}");
    assert!(told.contains("1 point"), "{told}");

    // The profile's own connection is as good as the address.
    let of_profile = ["probe", "--browse", "st10.spindle-1.toml", "--filter", "count"];
    let (code, told, err) = stand.lineside(&of_profile).await;
    assert_eq!(code, 0, "{err}");
    assert!(told.contains("nsu=urn:example:plc;s=Count"), "{told}");

    // What cannot be a point is told, all at once, and nothing is written.
    let wrong = [
        "--out",
        "wrong.toml",
        "nsu=urn:example:plc;s=No",
        "nsu=urn:other;i=1",
        "i=58",
    ];
    let (code, _, err) = stand.browse(&wrong).await;
    assert_eq!(code, 1);
    for fault in [
        "no node nsu=urn:example:plc;s=No",
        "no namespace urn:other",
        "is a type of objects",
    ] {
        assert!(err.contains(fault), "no {fault} in {err}");
    }
    assert!(!stand.folder.path().join("wrong.toml").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faulty_arguments_are_told_before_anything_is_asked() {
    let stand = Stand::new().await;
    for (arguments, fault) in [
        (&["nsu=urn:example:plc;s=Torque"][..], "what is done with these nodes?"),
        (&["--out", "x.toml"], "choose what the profile begins with"),
        (&["--out", "x.toml", "Torque"], "`Torque` is no node"),
        (&["--under", "ns=x;i=1"], "`ns=x;i=1` is no node"),
        (&["--trust", "sha256:12"], "is no thumbprint of a certificate"),
        (&["--security", "Basic256"], "is no security policy"),
        (&["--trust-file", "none.pem"], "there is no file `none.pem`"),
    ] {
        let (code, out, err) = stand.browse(arguments).await;
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains(fault), "{arguments:?}: {err}");
    }
    let (code, _, err) = stand.lineside(&["probe", "--browse", "127.0.0.1:4840"]).await;
    assert_eq!(code, 2);
    assert!(err.contains("opc.tcp://host:4840"), "{err}");
    assert_eq!(stand.simulator.counts().connections, 0);
}
