//! The simulated OPC UA server against the crate's own client: values, writes, subscriptions, events with structures, every
//! security policy, and what is made to go wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use lineside::device::opcua::simulator::{Kind, Login, Own, Setup, Simulator};
use lineside::model::Raw;
use lineside::model::plan::{Identifier, Namespace, NodeRef, OpcuaType};
use lineside::wire::opcua::Tree;
use opcua::client::{ClientBuilder, DataChangeCallback, IdentityToken, Session};
use opcua::types::{
    AttributeId, DataValue, EndpointDescription, MessageSecurityMode, NodeId, ReadValueId, StatusCode,
    TimestampsToReturn, UserTokenPolicy, Variant, WriteValue,
};
use std::net::SocketAddr;
use std::path::PathBuf;
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
