//! Stands between a link and a server, without security, and understands what is said: messages can be lost and altered one
//! by one, and what was acknowledged and asked for again is known.

use opcua::types::{
    BinaryDecodable, Context, ContextOwned, EventNotificationList, PublishRequest, PublishResponse, RepublishRequest,
};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// One message, as far as tests ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    /// A publish request, with the numbers that it acknowledges.
    Publish(Vec<u32>),
    /// What the server published: its number, events and other notifications in it; none of both only says that it lives.
    Told(u32, usize, usize),
    /// Asked for again.
    Republish(u32),
    /// Any other, by the number of its encoding.
    Other(u32),
}

pub(crate) const CREATE_SESSION: Said = Said::Other(461);
pub(crate) const REPUBLISHED: Said = Said::Other(835);

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    Lost,
    /// The connection is cut instead.
    Cut,
}

type Judge = Box<dyn FnMut(&Said, &mut [u8]) -> Fate + Send>;

struct Shared {
    said: Vec<Said>,
    judge: Judge,
}

#[derive(Clone)]
pub(crate) struct Relay {
    shared: Arc<Mutex<Shared>>,
    address: SocketAddr,
}

impl Relay {
    /// Before the server at this endpoint.
    pub(crate) async fn before(endpoint: &str, tasks: &mut JoinSet<()>) -> Self {
        let server = endpoint.trim_start_matches("opc.tcp://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = Self {
            shared: Arc::new(Mutex::new(Shared {
                said: Vec::new(),
                judge: Box::new(|_, _| Fate::Pass),
            })),
            address: listener.local_addr().unwrap(),
        };
        let this = relay.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (client, _) = accepted.unwrap();
                        let server = TcpStream::connect(&server).await.unwrap();
                        connections.spawn(this.clone().pass(client, server));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        relay
    }

    pub(crate) fn url(&self) -> String {
        format!("opc.tcp://{}", self.address)
    }

    /// Each message from now on: its bytes as a chunk, which may be altered, and what becomes of it.
    pub(crate) fn judge(&self, judge: impl FnMut(&Said, &mut [u8]) -> Fate + Send + 'static) {
        self.shared.lock().unwrap().judge = Box::new(judge);
    }

    /// What was said so far.
    pub(crate) fn said(&self) -> Vec<Said> {
        self.shared.lock().unwrap().said.clone()
    }

    /// Numbers that were acknowledged.
    pub(crate) fn acknowledged(&self) -> Vec<u32> {
        let numbers = |said: Said| match said {
            Said::Publish(numbers) => numbers,
            _ => Vec::new(),
        };
        self.said().into_iter().flat_map(numbers).collect()
    }

    /// Numbers of the messages that told events.
    pub(crate) fn events(&self) -> Vec<u32> {
        let number = |said: Said| match said {
            Said::Told(number, 1.., _) => Some(number),
            _ => None,
        };
        self.said().into_iter().filter_map(number).collect()
    }

    pub(crate) fn count(&self, wanted: &Said) -> usize {
        self.said().iter().filter(|said| *said == wanted).count()
    }

    async fn pass(self, mut client: TcpStream, mut server: TcpStream) {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            _ = self.copy(from_client, to_server) => {}
            _ = self.copy(from_server, to_client) => {}
        }
    }

    /// Passes chunks on; those behind a lost one are numbered anew, as if it had never been sent.
    async fn copy(
        &self,
        mut from: impl AsyncReadExt + Unpin,
        mut to: impl AsyncWriteExt + Unpin,
    ) -> std::io::Result<()> {
        let mut lost = 0_u32;
        let mut whole = true;
        loop {
            let mut chunk = vec![0; 8];
            from.read_exact(&mut chunk).await?;
            let length = u32::from_le_bytes(chunk[4..8].try_into().unwrap());
            chunk.resize(usize::try_from(length).unwrap(), 0);
            from.read_exact(&mut chunk[8..]).await?;
            if &chunk[..3] == b"MSG" {
                let number = u32::from_le_bytes(chunk[16..20].try_into().unwrap());
                let is_final = chunk[3] == b'F';
                if whole && is_final {
                    match self.heard(&mut chunk) {
                        Fate::Pass => {}
                        Fate::Cut => return Ok(()),
                        Fate::Lost => {
                            lost += 1;
                            continue;
                        }
                    }
                }
                whole = is_final;
                chunk[16..20].copy_from_slice(&(number - lost).to_le_bytes());
            }
            to.write_all(&chunk).await?;
        }
    }

    fn heard(&self, chunk: &mut [u8]) -> Fate {
        let owned = ContextOwned::default();
        let said = understand(&chunk[24..], &owned.context());
        let mut shared = self.shared.lock().unwrap();
        shared.said.push(said.clone());
        (shared.judge)(&said, chunk)
    }
}

fn understand(body: &[u8], context: &Context<'_>) -> Said {
    // Four bytes of a node id in namespace 0.
    let id = u32::from(u16::from_le_bytes([body[2], body[3]]));
    let mut rest = &body[4..];
    match id {
        826 => {
            let request = PublishRequest::decode(&mut rest, context).unwrap();
            let numbers = request.subscription_acknowledgements.unwrap_or_default();
            Said::Publish(numbers.iter().map(|one| one.sequence_number).collect())
        }
        829 => {
            let answer = PublishResponse::decode(&mut rest, context).unwrap();
            let message = answer.notification_message;
            let all = message.notification_data.unwrap_or_default();
            let events = all.iter().filter(|one| one.inner_is::<EventNotificationList>()).count();
            Said::Told(message.sequence_number, events, all.len() - events)
        }
        832 => Said::Republish(
            RepublishRequest::decode(&mut rest, context)
                .unwrap()
                .retransmit_sequence_number,
        ),
        other => Said::Other(other),
    }
}
