//! The simulated OPC UA server against the crate's own client: values, writes, subscriptions, events with structures, every
//! security policy, and what is made to go wrong.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

use lineside::device::opcua::simulator::{Kind, Login, Own, Setup, Simulator};
use lineside::model::Raw;
use lineside::model::plan::{Identifier, Namespace, NodeRef, OpcuaType};
use lineside::wire::opcua::node::parse_node;
use lineside::wire::opcua::{Builtin, Field, NodeKey, StructureKind, StructureType, Tree, Types, decode_variant};
use opcua::client::{ClientBuilder, DataChangeCallback, EventCallback, IdentityToken, Session};
use opcua::types::{
    AttributeId, BinaryEncodable, BrowseDescription, BrowseDirection, CallMethodRequest, ContentFilter,
    ContentFilterElement, ContextOwned, DataValue, DateTime, DecodingOptions, EndpointDescription, EventFilter,
    ExtensionObject, FilterOperator, MessageSecurityMode, MonitoredItemCreateRequest, MonitoringMode,
    MonitoringParameters, NamespaceMap, NodeId, Operand, QualifiedName, ReadValueId, ReferenceTypeId,
    SimpleAttributeOperand, StatusCode, StructureDefinition, TimestampsToReturn, UserTokenPolicy, Variant, WriteValue,
};
use serde_json::json;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const PLANT: &str = "urn:example:plc";
const PATIENCE: Duration = Duration::from_secs(20);

fn node(text: &str) -> NodeRef {
    NodeRef {
        namespace: Namespace::Uri(PLANT.into()),
        id: Identifier::Text(text.into()),
    }
}

fn setup() -> Setup {
    Setup::default()
        .with(node("Count"), Kind::Scalar(OpcuaType::U16), &Raw::Int(7))
        .with(
            node("Torque"),
            Kind::Scalar(OpcuaType::F32),
            &Raw::F32(12.5_f32.to_bits()),
        )
        .with(node("Vin"), Kind::Scalar(OpcuaType::Text), &Raw::Text("WVW1".into()))
        .with(node("Ack"), Kind::Scalar(OpcuaType::Bool), &Raw::Bool(false))
        .with(
            NodeRef {
                namespace: Namespace::Uri(PLANT.into()),
                id: Identifier::Number(4711),
            },
            Kind::Scalar(OpcuaType::F64),
            &Raw::List(vec![Raw::F64(1.0_f64.to_bits()), Raw::F64(2.5_f64.to_bits())]),
        )
}

/// A server that runs, and what runs beside.
struct Stand {
    simulator: Simulator,
    address: SocketAddr,
    tasks: JoinSet<()>,
}

impl Stand {
    async fn new(setup: Setup) -> Self {
        let (simulator, address, serve) = Simulator::bind("127.0.0.1:0", setup).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve);
        tokio::time::timeout(PATIENCE, simulator.ready()).await.unwrap();
        Self {
            simulator,
            address,
            tasks,
        }
    }

    /// A session; `Err`: it was not let in.
    async fn connect(&mut self, policy: &str, mode: MessageSecurityMode, who: IdentityToken) -> Result<Client, String> {
        let url = format!("opc.tcp://{}", self.address);
        let mut client = ClientBuilder::new()
            .application_name("test")
            .application_uri("urn:lineside:test")
            .create_sample_keypair(false)
            .trust_server_certs(true)
            .pki_dir(pki())
            .session_retry_limit(0)
            .client()
            .unwrap();
        let endpoint: EndpointDescription = (url.as_str(), policy, mode, UserTokenPolicy::anonymous()).into();
        let (session, events) = client
            .connect_to_matching_endpoint(endpoint, who)
            .await
            .map_err(|fault| fault.to_string())?;
        let (over, mut is_over) = mpsc::channel(1);
        self.tasks.spawn(async move {
            let ended = events.run().await;
            over.send(ended).await.ok();
        });
        tokio::select! {
            connected = session.wait_for_connection() => assert!(connected),
            ended = is_over.recv() => return Err(format!("{ended:?}")),
        }
        Ok(Client { session })
    }

    async fn plain(&mut self) -> Client {
        let none = MessageSecurityMode::None;
        self.connect("None", none, IdentityToken::Anonymous).await.unwrap()
    }
}

/// The test client's certificate, made once.
fn pki() -> PathBuf {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        Own::within(folder.path()).unwrap();
        folder
    });
    folder.path().to_owned()
}

struct Client {
    session: Arc<Session>,
}

impl Client {
    async fn index(&self, uri: &str) -> u16 {
        self.session.get_namespace_index(uri).await.unwrap()
    }

    async fn id(&self, name: &str) -> NodeId {
        NodeId::new(self.index(PLANT).await, name)
    }

    async fn read(&self, id: &NodeId, attribute: AttributeId) -> DataValue {
        let what = ReadValueId {
            node_id: id.clone(),
            attribute_id: attribute as u32,
            ..ReadValueId::default()
        };
        let read = self.session.read(&[what], TimestampsToReturn::Both, 0.0).await.unwrap();
        read.into_iter().next().unwrap()
    }

    async fn write(&self, id: &NodeId, value: impl Into<Variant>) -> StatusCode {
        let what = WriteValue {
            node_id: id.clone(),
            attribute_id: AttributeId::Value as u32,
            value: DataValue::value_only(value),
            ..WriteValue::default()
        };
        self.session.write(&[what]).await.unwrap().into_iter().next().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_are_read_written_and_told() {
    let mut stand = Stand::new(setup()).await;
    let client = stand.plain().await;
    let count = client.id("Count").await;
    let read = client.read(&count, AttributeId::Value).await;
    assert_eq!(read.value, Some(Variant::UInt16(7)));
    assert!(read.source_timestamp.is_some() && read.server_timestamp.is_some());
    let data_type = client.read(&count, AttributeId::DataType).await.value;
    assert_eq!(data_type, Some(NodeId::new(0, 5_u32).into()));
    let vin = client.read(&client.id("Vin").await, AttributeId::Value).await;
    assert_eq!(vin.value, Some(Variant::String("WVW1".into())));
    let many = client
        .read(&NodeId::new(client.index(PLANT).await, 4711_u32), AttributeId::Value)
        .await;
    assert_eq!(many.value, Some(vec![1.0_f64, 2.5].into()));

    let (told, mut tells) = mpsc::channel(1_000);
    let subscription = client
        .session
        .create_subscription(
            Duration::from_millis(20),
            100,
            10,
            0,
            0,
            true,
            DataChangeCallback::new(move |value, _| drop(told.try_send(value))),
        )
        .await
        .unwrap();
    let mut item: opcua::types::MonitoredItemCreateRequest = count.clone().into();
    item.requested_parameters.queue_size = 100;
    item.requested_parameters.sampling_interval = 0.0;
    let created = client
        .session
        .create_monitored_items(subscription, TimestampsToReturn::Both, vec![item])
        .await
        .unwrap();
    assert!(created.iter().all(|item| item.result.status_code.is_good()));
    for number in 8..58 {
        stand.simulator.set(&node("Count"), &Raw::Int(number)).unwrap();
    }
    for number in 7..58_u16 {
        let value = tokio::time::timeout(PATIENCE, tells.recv()).await.unwrap().unwrap();
        assert_eq!(value.value, Some(Variant::UInt16(number)));
    }

    let ack = client.id("Ack").await;
    assert_eq!(client.write(&ack, true).await, StatusCode::Good);
    assert_eq!(stand.simulator.get_raw(&node("Ack")), Some(Raw::Bool(true)));
    assert_eq!(client.write(&ack, 3_i32).await, StatusCode::BadTypeMismatch);
    let writes = stand.simulator.writes();
    assert_eq!(writes.len(), 1);
    assert_eq!(writes[0].value, Tree::Value(Raw::Bool(true)));
    let unknown = client.read(&client.id("Nothing").await, AttributeId::Value).await;
    assert_eq!(unknown.status, Some(StatusCode::BadNodeIdUnknown));

    stand.simulator.set_status(&node("Torque"), 0x808C_0000).unwrap();
    let bad = client.read(&client.id("Torque").await, AttributeId::Value).await;
    assert_eq!(bad.status, Some(StatusCode::BadSensorFailure));
    let fault = stand.simulator.set(&node("Count"), &Raw::Int(70_000)).unwrap_err();
    assert!(fault.contains("70000"), "{fault}");
    let counts = stand.simulator.counts();
    assert_eq!((counts.sessions, counts.subscriptions, counts.logins), (1, 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_policy_and_identity_is_let_in_and_others_are_not() {
    let mut setup = setup();
    setup.login = Login {
        anonymous: true,
        users: [("gateway".to_owned(), Some("secret".to_owned()))].into(),
        certificates: true,
    };
    let mut stand = Stand::new(setup).await;
    for policy in ["Basic256Sha256", "Aes128-Sha256-RsaOaep", "Aes256-Sha256-RsaPss"] {
        for mode in [MessageSecurityMode::Sign, MessageSecurityMode::SignAndEncrypt] {
            let user = IdentityToken::UserName("gateway".into(), "secret".to_owned().into());
            let x509 = IdentityToken::new_x509_path(pki().join("own/cert.der"), pki().join("private/private.pem"));
            for who in [IdentityToken::Anonymous, user, x509.unwrap()] {
                let client = stand.connect(policy, mode, who).await.unwrap();
                let read = client.read(&client.id("Count").await, AttributeId::Value).await;
                assert_eq!(read.value, Some(Variant::UInt16(7)), "{policy} {mode}");
                client.session.disconnect().await.unwrap();
            }
        }
    }
    let before = stand.simulator.counts();
    assert_eq!((before.logins, before.refused), (18, 0));
    let wrong = IdentityToken::UserName("gateway".into(), "guess".to_owned().into());
    let none = MessageSecurityMode::None;
    assert!(stand.connect("None", none, wrong).await.is_err());
    assert_eq!(stand.simulator.counts().refused, 1);
}

const JOINING: &str = "http://opcfoundation.org/UA/IJT/Base/";
const RESULT: &str = "http://opcfoundation.org/UA/Machinery/Result/";

fn key(id: &NodeId) -> NodeKey {
    let identifier = match &id.identifier {
        opcua::types::Identifier::Numeric(number) => Identifier::Number(*number),
        opcua::types::Identifier::String(text) => Identifier::Text(text.as_ref().into()),
        other => panic!("{other}"),
    };
    NodeKey {
        namespace: id.namespace,
        id: identifier,
    }
}

impl Client {
    async fn browse(&self, id: &NodeId, reference: ReferenceTypeId) -> Vec<opcua::types::ReferenceDescription> {
        let what = BrowseDescription {
            node_id: id.clone(),
            browse_direction: BrowseDirection::Forward,
            reference_type_id: reference.into(),
            include_subtypes: true,
            result_mask: 63,
            ..BrowseDescription::default()
        };
        let found = self.session.browse(&[what], 0, None).await.unwrap();
        found.into_iter().next().unwrap().references.unwrap_or_default()
    }

    /// All types that the server describes, as a client learns them: subtypes of Structure and of Enumeration.
    async fn types(&self) -> Types {
        let mut types = Types::core();
        let mut open = vec![NodeId::new(0, 22_u32)];
        while let Some(id) = open.pop() {
            for subtype in self.browse(&id, ReferenceTypeId::HasSubtype).await {
                let id = subtype.node_id.node_id.clone();
                open.push(id.clone());
                if id.namespace == 0 {
                    continue;
                }
                let definition = self.read(&id, AttributeId::DataTypeDefinition).await.value;
                let Some(Variant::ExtensionObject(object)) = definition else {
                    panic!("{id} is not described")
                };
                let definition = object.inner_as::<StructureDefinition>().unwrap().clone();
                let encodings = self.browse(&id, ReferenceTypeId::HasEncoding).await;
                let binary = encodings
                    .iter()
                    .find(|one| one.browse_name.name.as_ref() == "Default Binary");
                assert_eq!(binary.unwrap().node_id.node_id, definition.default_encoding_id);
                let field = |field: &opcua::types::StructureField| Field {
                    name: field.name.as_ref().into(),
                    data_type: key(&field.data_type),
                    value_rank: field.value_rank,
                    flag: field.is_optional,
                };
                types.insert(StructureType {
                    data_type: key(&id),
                    encoding: Some(key(&definition.default_encoding_id)),
                    name: subtype.browse_name.name.as_ref().into(),
                    kind: StructureKind::of(definition.structure_type as i32).unwrap(),
                    fields: definition.fields.unwrap_or_default().iter().map(field).collect(),
                });
            }
        }
        for subtype in self.browse(&NodeId::new(0, 29_u32), ReferenceTypeId::HasSubtype).await {
            types.declare(key(&subtype.node_id.node_id), Builtin::Int32);
        }
        types
    }

    /// Hears events of a type and of its subtypes.
    async fn hear(
        &self,
        notifier: NodeId,
        of: NodeId,
        select: Vec<(NodeId, Vec<QualifiedName>)>,
    ) -> mpsc::Receiver<Vec<Variant>> {
        let (told, tells) = mpsc::channel(1_000);
        let heard = EventCallback::new(move |fields, _| drop(told.try_send(fields.unwrap_or_default())));
        let subscription = self
            .session
            .create_subscription(Duration::from_millis(20), 100, 10, 0, 0, true, heard)
            .await
            .unwrap();
        let clause = |(of, path): &(NodeId, Vec<QualifiedName>)| SimpleAttributeOperand {
            type_definition_id: of.clone(),
            browse_path: Some(path.clone()),
            attribute_id: AttributeId::Value as u32,
            ..SimpleAttributeOperand::default()
        };
        let filter = EventFilter {
            select_clauses: Some(select.iter().map(clause).collect()),
            where_clause: ContentFilter {
                elements: Some(vec![ContentFilterElement::from((
                    FilterOperator::OfType,
                    vec![Operand::literal(of)],
                ))]),
            },
        };
        let item = MonitoredItemCreateRequest {
            item_to_monitor: ReadValueId {
                node_id: notifier,
                attribute_id: AttributeId::EventNotifier as u32,
                ..ReadValueId::default()
            },
            monitoring_mode: MonitoringMode::Reporting,
            requested_parameters: MonitoringParameters {
                client_handle: 0,
                sampling_interval: 0.0,
                filter: ExtensionObject::from_message(filter),
                queue_size: 1_000,
                discard_oldest: true,
            },
        };
        let created = self
            .session
            .create_monitored_items(subscription, TimestampsToReturn::Neither, vec![item])
            .await
            .unwrap();
        assert_eq!(created[0].result.status_code, StatusCode::Good);
        tells
    }
}

/// What our own decoder makes of a variant of the crate.
fn decoded(types: &Types, variant: &Variant) -> Tree {
    let context = ContextOwned::new_default(NamespaceMap::new(), DecodingOptions::default());
    decode_variant(types, &variant.encode_to_vec(&context.context())).unwrap()
}

async fn next(tells: &mut mpsc::Receiver<Vec<Variant>>) -> Vec<Variant> {
    tokio::time::timeout(PATIENCE, tells.recv()).await.unwrap().unwrap()
}

fn joining() -> Setup {
    let notice = lineside::model::plan::Notice {
        event_type: parse_node(&format!("nsu={JOINING};i=1007")).unwrap(),
        notifier: NodeRef::SERVER,
    };
    let mut setup = Setup::default();
    setup.add_notice(&notice);
    setup.stores = true;
    setup
}

fn result(number: u64) -> serde_json::Value {
    json!({"Result": {
        "ResultMetaData": {
            "ResultId": format!("R-{number}"), "IsPartial": false, "CreationTime": "2026-11-22T10:15:02Z",
            "ResultEvaluation": 1, "SequenceNumber": number, "Classification": 1,
            "AssociatedEntities": [{"Name": "VIN", "EntityId": "WVWZZZ1JZXW000001", "IsExternal": true, "EntityType": 20}]
        },
        "ResultContent": [{
            "OverallResultValues": [
                {"MeasuredValue": 12.5, "ValueTag": 1, "PhysicalQuantity": 2, "LowLimit": 10.8, "HighLimit": 13.2},
                {"MeasuredValue": 47, "ValueTag": 1, "PhysicalQuantity": 3}
            ],
            "Trace": {"TraceId": "T", "ResultId": "R", "StepTraces": [{
                "StepTraceId": "S", "StepResultId": "S", "NumberOfTracePoints": 2000,
                "StepTraceContent": [{"Values": vec![1.5; 2000], "PhysicalQuantity": 2}]
            }]}
        }]
    }})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_the_joining_model_are_read_by_the_descriptions_that_the_server_serves() {
    let mut stand = Stand::new(joining()).await;
    let client = stand.plain().await;
    let (joining, results) = (client.index(JOINING).await, client.index(RESULT).await);
    let types = client.types().await;
    let base = NodeId::new(0, 2041_u32);
    let mut tells = client
        .hear(
            NodeId::new(0, 2253_u32),
            NodeId::new(results, 1002_u32),
            vec![
                (base.clone(), vec!["EventType".into()]),
                // Of a subtype, whose base type has the field; and one that nobody has.
                (
                    NodeId::new(joining, 1007_u32),
                    vec![QualifiedName::new(joining, "Nothing")],
                ),
                (
                    NodeId::new(joining, 1007_u32),
                    vec![QualifiedName::new(results, "Result")],
                ),
                (base, vec!["Message".into()]),
            ],
        )
        .await;
    let ready = parse_node(&format!("nsu={JOINING};i=1007")).unwrap();
    let tree = Tree::from_json(&result(41));
    stand.simulator.raise(&ready, &tree).unwrap();
    let fields = next(&mut tells).await;
    assert_eq!(fields[0], NodeId::new(joining, 1007_u32).into());
    assert_eq!(fields[1], Variant::Empty);
    assert!(matches!(&fields[3], Variant::LocalizedText(text) if !text.text.as_ref().is_empty()));
    let Variant::ExtensionObject(object) = &fields[2] else {
        panic!("{:?}", fields[2])
    };
    assert_eq!(object.binary_type_id().node_id, NodeId::new(results, 5008_u32));
    let read = decoded(&types, &fields[2]);
    let mut shown = read.to_json();
    let named = |json: &serde_json::Value, at: &str| json.pointer(at).and_then(|name| name.as_str()).map(str::to_owned);
    assert_eq!(
        named(&shown, "/ResultMetaData/$type").as_deref(),
        Some("JoiningResultMetaDataType")
    );
    assert_eq!(
        named(&shown, "/ResultContent/0/$type").as_deref(),
        Some("JoiningResultDataType")
    );
    strip(&mut shown);
    assert!(shown == result(41)["Result"], "another result than was told");

    // Results made while nobody hears are asked for.
    for number in 42..45 {
        stand.simulator.make(&ready, &Tree::from_json(&result(number)));
    }
    let asked = CallMethodRequest {
        object_id: NodeId::new(1, "TighteningSystem.ResultManagement"),
        method_id: NodeId::new(joining, 7074_u32),
        input_arguments: Some(vec![
            42_u64.into(),
            43_u64.into(),
            DateTime::null().into(),
            DateTime::null().into(),
            0.0_f64.into(),
        ]),
    };
    let answer = client.session.call(vec![asked]).await.unwrap();
    assert_eq!(answer[0].status_code, StatusCode::Good);
    for number in 42..44 {
        let fields = next(&mut tells).await;
        assert_eq!(fields[0], NodeId::new(joining, 1035_u32).into());
        let shown = decoded(&types, &fields[2]).to_json();
        assert_eq!(shown["ResultMetaData"]["SequenceNumber"], json!(number));
    }
    assert_eq!(stand.simulator.counts().requests, 1);
}

/// Takes the names of types away.
fn strip(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(object) => {
            object.shift_remove("$type");
            object.values_mut().for_each(strip);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn structures_that_examples_show_are_described_and_told() {
    let press = parse_node("nsu=urn:example:press;i=500").unwrap();
    let machine = parse_node("nsu=urn:example:press;s=Machine").unwrap();
    let block = parse_node("nsu=urn:example:plc;s=Block").unwrap();
    let mut setup = setup().with(block.clone(), Kind::Any, &Raw::Int(0));
    setup.show(
        &block,
        &Tree::from_json(&json!({"Count": 3, "Last": {"Torque": 1.5, "Vin": "A"}, "List": [1, 2]})),
    );
    setup.add_notice(&lineside::model::plan::Notice {
        event_type: press.clone(),
        notifier: machine.clone(),
    });
    let said = json!({"Cycle": {"Number": 7, "Forces": [{"Name": "F", "Value": 2.25}, {"Name": "G"}]}, "Ok": true});
    setup.show_events(&press, &[Tree::from_json(&said)]);
    let mut stand = Stand::new(setup).await;
    let client = stand.plain().await;
    let types = client.types().await;
    let id = client.id("Block").await;
    let value = client.read(&id, AttributeId::Value).await.value.unwrap();
    let mut shown = decoded(&types, &value).to_json();
    strip(&mut shown);
    assert_eq!(
        shown,
        json!({"Count": 3, "Last": {"Torque": 1.5, "Vin": "A"}, "List": [1, 2]})
    );
    // What a client writes is understood, too.
    assert_eq!(client.write(&id, value).await, StatusCode::Good);
    let written = stand.simulator.get(&block).unwrap();
    assert_eq!(written.field("Count"), Some(&Tree::Value(Raw::Int(3))));

    let namespace = client.index("urn:example:press").await;
    let of = NodeId::new(namespace, 500_u32);
    let name = |name: &str| QualifiedName::new(namespace, name);
    let mut tells = client
        .hear(
            NodeId::new(namespace, "Machine"),
            of.clone(),
            vec![
                (of.clone(), vec![name("Cycle")]),
                (of.clone(), vec![name("Ok")]),
                (of.clone(), vec![name("Cycle"), name("Number")]),
            ],
        )
        .await;
    stand.simulator.raise(&press, &Tree::from_json(&said)).unwrap();
    let fields = next(&mut tells).await;
    let mut shown = decoded(&types, &fields[0]).to_json();
    strip(&mut shown);
    assert_eq!(shown, said["Cycle"]);
    assert_eq!((&fields[1], &fields[2]), (&true.into(), &7_i32.into()));
    let fault = stand.simulator.raise(&machine, &Tree::Null).unwrap_err();
    assert!(fault.contains("Machine"), "{fault}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_comes_back_with_its_values_and_without_its_sessions() {
    let mut stand = Stand::new(setup()).await;
    let client = stand.plain().await;
    assert_eq!(client.write(&client.id("Ack").await, true).await, StatusCode::Good);
    let plc = client.index(PLANT).await;
    assert_eq!(stand.simulator.counts().sessions, 1);
    stand.simulator.stop().await;
    let refused = tokio::net::TcpStream::connect(stand.address).await;
    assert!(refused.is_err(), "somebody listens");
    // Set while it is away, and seen when it is back, under another index.
    stand.simulator.set(&node("Count"), &Raw::Int(99)).unwrap();
    stand
        .simulator
        .change(|setup| setup.namespaces.insert(0, "urn:example:other".into()))
        .await;
    assert_eq!(stand.simulator.counts().sessions, 0);
    let client = stand.plain().await;
    assert_eq!(client.index(PLANT).await, plc + 1);
    let count = client.read(&client.id("Count").await, AttributeId::Value).await;
    assert_eq!(count.value, Some(Variant::UInt16(99)));
    let ack = client.read(&client.id("Ack").await, AttributeId::Value).await;
    assert_eq!(ack.value, Some(true.into()));

    // A black hole: connections are taken, nothing comes.
    stand.simulator.hold(true);
    let what = ReadValueId {
        node_id: NodeId::new(0, 2258_u32),
        attribute_id: AttributeId::Value as u32,
        ..ReadValueId::default()
    };
    let silent = tokio::time::timeout(
        Duration::from_millis(500),
        client
            .session
            .read(std::slice::from_ref(&what), TimestampsToReturn::Neither, 0.0),
    );
    assert!(silent.await.is_err(), "something came through");
    stand.simulator.hold(false);
    assert!(
        client
            .session
            .read(&[what], TimestampsToReturn::Neither, 0.0)
            .await
            .is_ok()
    );
    stand.tasks.shutdown().await;
}

/// What a virtual device of a catalog profile prints while these lines are typed.
fn simulate(profile: &str, arguments: &[&str], typed: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles");
    let mut child = Command::new(env!("CARGO_BIN_EXE_lineside"))
        .args(["simulate", "--listen", "127.0.0.1:0", "--every", "off", "--no-wait"])
        .args(arguments)
        .arg(root.join(profile))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{profile}: {:?}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_opcua_profile_of_the_catalog_is_simulated() {
    let pki = TempDir::new().unwrap();
    let pki = ["--pki", pki.path().to_str().unwrap()];
    let mut trusts = std::collections::BTreeSet::new();
    for (profile, says) in [
        ("generic/plc-opcua.toml", "cycle, phase"),
        ("siemens/s7-1500-handshake.toml", "tightening ok"),
        ("joining/opc-40450.toml", "result_id SIM-"),
        ("example/opcua.toml", "tightening"),
    ] {
        let typed = format!("{}show\nreboot\nnext ok\nquit\n", "next ok\nnext nok\n".repeat(6));
        let said = simulate(profile, &pki, &typed);
        assert!(said.contains(says) && !said.contains("error:"), "{profile}: {said}");
        let trust = said.lines().find(|line| line.starts_with("trust = \"sha256:")).unwrap();
        trusts.insert(trust.to_owned());
    }
    assert_eq!(trusts.len(), 1, "the folder keeps the certificate");
    let typed = "next\nbad torque\nset torque 12.5\nshow\nquit\n";
    let said = simulate("siemens/s7-1500-handshake.toml", &pki, typed);
    assert!(said.contains("BadSensorFailure") && said.contains("12.5"), "{said}");
}
