use super::*;
use crate::device::opcua::browse::Class;
use crate::diagnostic::Diagnostics;
use crate::model::plan::{Link, SecurityMode, SecurityPolicy, Trust};
use crate::profile::{FileFault, Files, Profile};
use crate::replay::nobody;
use crate::wire::opcua::node::parse_node;
use std::path::PathBuf;

struct One(String);

impl Files for One {
    fn read(&self, path: &Path) -> Result<String, FileFault> {
        match path.ends_with("st10.toml") {
            true => Ok(self.0.clone()),
            // Files that [connection] names are there.
            false => Ok(String::new()),
        }
    }
}

/// The profile that this text is, and what was said of it.
fn load(text: &str) -> (Option<Profile>, Vec<String>) {
    let mut out = Diagnostics::new();
    let profile = Profile::load(Path::new("st10.toml"), Path::new(""), &One(text.to_owned()), &mut out);
    let told = out.iter().map(|told| told.message.clone()).collect();
    (profile, told)
}

/// The text with what stands in comments below `What does it mean` taken as said.
fn answered(text: &str) -> String {
    let (before, after) = text.split_once("# What does it mean").unwrap();
    let lines = after.lines().skip(1).map(|line| match line.strip_prefix("# ") {
        Some(line) if !line.starts_with("How do we") => line,
        _ => "",
    });
    let text = format!("{before}{}\n", lines.collect::<Vec<_>>().join("\n"));
    text.replace(
        " }   # Int32; FILL IN: map = { 0 = \"None\", 1 = \"ok\" }",
        ", map = { 1 = \"ok\" } }",
    )
}

fn link() -> OpcuaLink {
    let (profile, _) = load("profile = 1\n[connection]\nprotocol = \"opcua\"\naddress = \"opc.tcp://plc:4840\"\n");
    let profile = profile.unwrap();
    match profile.plan(&nobody(&profile).slot).link {
        Link::Opcua(link) => link,
        other => panic!("{other:?}"),
    }
}

fn server() -> Server {
    Server {
        certificate: Some(format!("sha256:{}", "ab".repeat(32))),
        vendor: "Plant \"A\"".to_owned(),
        product: "PLC\n[connection]".to_owned(),
        ..Server::default()
    }
}

fn variable(name: &str, variable: Variable) -> Picked {
    Picked::Variable {
        seen: Seen {
            depth: 0,
            name: name.to_owned(),
            node: parse_node(&format!("nsu=urn:plc;s=\"Tool\".\"{name}\"")).unwrap(),
            class: Class::Variable,
            variable: Some(variable),
            notifies: false,
            unopened: false,
        },
        of: "Tool".to_owned(),
        fields: Vec::new(),
    }
}

fn said(data_type: &str, value: Raw, kind: OpcuaType) -> Variable {
    Variable {
        data_type: data_type.to_owned(),
        readable: true,
        value: Some(Tree::Value(value)),
        kind: Some(kind),
        ..Variable::default()
    }
}

fn block() -> Vec<Picked> {
    let float = |value: f32, uom: &str| Variable {
        uom: Some(uom.to_owned()),
        ..said("Float", Raw::F32(value.to_bits()), OpcuaType::F32)
    };
    let verdict = Variable {
        words: vec![(0, "None".to_owned()), (1, "ok".to_owned())],
        ..said("Int32", Raw::Int(1), OpcuaType::I32)
    };
    let ack = Variable {
        writable: true,
        ..said("Boolean", Raw::Bool(false), OpcuaType::Bool)
    };
    vec![
        variable("ResultCount", said("UInt16", Raw::Int(7), OpcuaType::U16)),
        variable("Torque", float(12.5, "N.m")),
        variable("TorqueRate", float(f32::NAN, "Nm per fortnight")),
        variable("Verdict", verdict),
        variable("Ready", said("Boolean", Raw::Bool(true), OpcuaType::Bool)),
        variable("Ack", ack),
    ]
}

fn begun(link: &OpcuaLink, picked: &[Picked]) -> String {
    text(&Begun {
        link,
        server: &server(),
        picked,
        date: "2026-11-23",
    })
}

#[test]
fn it_loads_as_it_stands_and_with_its_questions_answered() {
    let text = begun(&link(), &block());
    let (profile, told) = load(&text);
    assert_eq!(told, ["this profile maps no events"]);
    let points: Vec<String> = profile.unwrap().points().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(
        points,
        ["result_count", "torque", "torque_rate", "verdict", "ready", "ack"]
    );
    for line in [
        "torque       = { node = 'nsu=urn:plc;s=\"Tool\".\"Torque\"', uom = \"N.m\" }   # Float",
        "torque_rate  = { node = 'nsu=urn:plc;s=\"Tool\".\"TorqueRate\"' }   # Float; FILL IN: uom, the server says Nm per fortnight",
        "ack          = { node = 'nsu=urn:plc;s=\"Tool\".\"Ack\"', type = \"bool\" }   # Boolean; may be written",
        "# when   = { rises = \"ready\" }",
        "# id     = [\"result_count\"]",
        "# ack    = { write = \"ack\", value = true, then = false }",
        "# result = \"verdict\"",
        "# torque = \"torque\"",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
    let answered = answered(&text);
    let (profile, told) = load(&answered);
    let profile = profile.unwrap_or_else(|| panic!("{told:?}\n{answered}"));
    assert_eq!(profile.events().count(), 1, "{answered}");
}

#[test]
fn the_trusted_certificate_is_written_and_another_is_proposed() {
    let mut of = link();
    let seen = server().certificate.unwrap();
    assert!(begun(&of, &block()).contains(&format!("\n# trust  = \"{seen}\"")));
    of.trust = Trust {
        pins: vec![[0xab; 32]],
        file: Some(PathBuf::from("plant-ca.pem")),
    };
    of.security = Security::Exactly(SecurityPolicy::Basic256Sha256, SecurityMode::Sign);
    of.identity = Identity::User {
        name: "gateway".to_owned(),
        password_file: PathBuf::from("st10.password"),
    };
    let text = begun(&of, &block());
    assert!(text.contains(&format!("\ntrust    = \"{seen}\"")), "{text}");
    let (profile, told) = load(&text);
    let profile = profile.unwrap_or_else(|| panic!("{told:?}"));
    match profile.plan(&nobody(&profile).slot).link {
        Link::Opcua(link) => assert_eq!(link, of),
        other => panic!("{other:?}"),
    }
}

#[test]
fn fields_of_an_event_are_points_and_what_is_open_a_comment() {
    let leaf = |path: &str, data_type: &str, open| Leaf {
        path: path.to_owned(),
        data_type: data_type.to_owned(),
        array: false,
        words: Vec::new(),
        open,
    };
    let event = EventType {
        name: "ResultReadyEventType".to_owned(),
        node: parse_node("nsu=urn:plc;i=1007").unwrap(),
        above: "BaseEventType".to_owned(),
        fields: vec![
            leaf("Result/Meta/Id", "String", false),
            leaf("Result/Values[0]/Value", "Double", false),
            leaf("Result/Content", "BaseDataType", true),
        ],
    };
    let picked = [Picked::Event(event)];
    let text = begun(&link(), &picked);
    let (profile, told) = load(&text);
    let points: Vec<String> = profile
        .unwrap_or_else(|| panic!("{told:?}"))
        .points()
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(points, ["id", "value"]);
    assert!(
        text.contains("\n# content = { field = \"Result/Content\" }   # BaseDataType;"),
        "{text}"
    );
    let (profile, told) = load(&answered(&text));
    let profile = profile.unwrap_or_else(|| panic!("{told:?}\n{text}"));
    assert_eq!(profile.events().count(), 1);
    assert_eq!(
        super::told(&picked),
        "2 points, 1 more as comments, fields of one type of events among them"
    );
}

#[test]
fn what_a_server_says_stays_a_text() {
    for text in [
        "plain",
        "\"quoted\"",
        "it's",
        "both ' and \"",
        "a\\b",
        "line\nbreak",
        "tab\t'",
        "\u{1f}",
    ] {
        let toml: toml::Table = format!("x = {}", quoted(text)).parse().unwrap();
        assert_eq!(toml["x"].as_str(), Some(text));
    }
}
