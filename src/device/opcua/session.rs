//! One session with a server (OPC 10000-4, 5.7): made, taken up again on another channel, closed; and the services in it,
//! cut to what the server takes in one call.
//!
//! Owns what outlives a connection ([`Kept`]). Does not own certificates, trust and identities (beside), nor subscriptions.

use super::choose::{self, Chosen};
use super::dial::{self, Channel};
use super::fault::Fault;
use super::identity::{self, Material, Weight};
use super::own::Own;
use super::trust;
use crate::clock::Clock;
use crate::model::plan::OpcuaLink;
use opcua::core::{RequestMessage, ResponseMessage};
use opcua::crypto::SecurityPolicy;
use opcua::types::{
    ActivateSessionRequest, ApplicationDescription, ApplicationType, BrowseDescription, BrowseNextRequest,
    BrowseRequest, ByteString, CallMethodRequest, CallMethodResult, CallRequest, CloseSessionRequest,
    CreateMonitoredItemsRequest, CreateSessionRequest, DataValue, DateTime, EndpointDescription, GetEndpointsRequest,
    LocalizedText, MonitoredItemCreateRequest, MonitoredItemCreateResult, NodeId, ReadRequest, ReadValueId,
    ReferenceDescription, StatusCode, TimestampsToReturn, UAString, ViewDescription, WriteRequest, WriteValue,
};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long a server keeps a session that says nothing, in milliseconds.
const LIFETIME: f64 = 120_000.0;
/// What one call carries at most, where the server does not say.
const AT_ONCE: usize = 1_000;
/// References that one browse gives at most before it is continued.
const REFERENCES: u32 = 1_000;

/// What is known of a session when its connection is gone.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    token: NodeId,
    nonce: ByteString,
    certificate: ByteString,
    /// When the server was started: another one may give the same numbers to others.
    started: Option<DateTime>,
}

/// How much a server takes in one call; learned where it refuses more.
#[derive(Debug)]
pub(super) struct Limits {
    read: AtomicUsize,
    write: AtomicUsize,
    browse: AtomicUsize,
    items: AtomicUsize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            read: AtomicUsize::new(AT_ONCE),
            write: AtomicUsize::new(AT_ONCE),
            browse: AtomicUsize::new(100),
            items: AtomicUsize::new(AT_ONCE),
        }
    }
}

/// Takes what the server says of itself, where it says more than nothing.
fn learn(limit: &AtomicUsize, said: Option<u32>) {
    if let Some(said) = said.filter(|said| *said > 0) {
        let said = usize::try_from(said).unwrap_or(usize::MAX);
        limit.fetch_min(said, Ordering::Relaxed);
    }
}

/// The next of `items` that go into one call, `done` of them being done; `None`: all are.
fn part<'a, T>(items: &'a [T], done: usize, limit: &AtomicUsize) -> Option<&'a [T]> {
    let rest = items.get(done..).filter(|rest| !rest.is_empty())?;
    rest.get(..limit.load(Ordering::Relaxed).max(1).min(rest.len()))
}

/// A call of so many was too much: whether fewer may do.
fn too_many(limit: &AtomicUsize, tried: usize, fault: &Fault) -> bool {
    let much = matches!(
        fault.status(),
        Some(
            StatusCode::BadTooManyOperations
                | StatusCode::BadTooManyMonitoredItems
                | StatusCode::BadEncodingLimitsExceeded
                | StatusCode::BadRequestTooLarge
                | StatusCode::BadResponseTooLarge
                | StatusCode::BadTcpMessageTooLarge
        )
    );
    if !much || tried <= 1 {
        return false;
    }
    let less = (tried / 2).max(1);
    tracing::info!("the server does not take {tried} operations in one call; from now on it is asked for {less}");
    limit.store(less, Ordering::Relaxed);
    true
}

/// A session, as long as its connection holds.
pub(super) struct Session {
    channel: Channel,
    kept: Kept,
    timeout: Duration,
    limits: Limits,
    /// URIs by index.
    pub(super) namespaces: Vec<String>,
}

/// All that a session is made of.
pub(super) struct Maker<'a> {
    pub(super) link: &'a OpcuaLink,
    pub(super) own: &'a Own,
    pub(super) clock: &'a Clock,
    /// Names the session for who looks at the server.
    pub(super) name: String,
}

/// Moves the bytes of a channel until it ends, and says why it did.
pub(super) type Running = Pin<Box<dyn Future<Output = Fault> + Send>>;

/// A made session, and what moves its bytes.
pub(super) struct Made {
    pub(super) session: Session,
    pub(super) running: Running,
    /// It is the one from before: its subscriptions live.
    pub(super) resumed: bool,
}

impl Maker<'_> {
    /// Which endpoints the server offers.
    async fn endpoints(&self) -> Result<Vec<EndpointDescription>, Fault> {
        let link = self.link;
        let (channel, pump) = Channel::open(&link.address, &dial::plain(&link.address), self.own, link.timeout).await?;
        let request = GetEndpointsRequest {
            request_header: channel.header(&NodeId::null(), link.timeout),
            endpoint_url: UAString::from(link.address.as_str()),
            locale_ids: None,
            profile_uris: None,
        };
        let ask = async {
            let answer = channel.call("asking for its endpoints", request, link.timeout).await;
            channel.close().await;
            answer
        };
        let answer = tokio::select! {
            fault = pump.run() => Err(fault),
            answer = ask => answer,
        };
        match answer? {
            ResponseMessage::GetEndpoints(answer) => Ok(answer.endpoints.unwrap_or_default()),
            _ => Err(foreign("asking for its endpoints")),
        }
    }

    /// Makes a session: the one of `kept` again where the server still has it, else a new one.
    ///
    /// # Errors
    /// The server is not reached, not trusted, offers not what is wanted, or refuses the gateway.
    pub(super) async fn make(&self, material: &Material, kept: Option<&Kept>) -> Result<Made, Fault> {
        let link = self.link;
        let endpoints = self.endpoints().await?;
        let chosen = choose::choose(&endpoints, link).map_err(|refusal| Fault::Final(refusal.to_string()))?;
        if chosen.needs_trust() {
            let uri = chosen.endpoint.server.application_uri.as_ref();
            let now = self.clock.now().wall / 1000;
            trust::judge(&link.trust, &chosen.chain, uri, &dial::host(&link.address), now)
                .map_err(|refusal| Fault::Final(refusal.to_string()))?;
        }
        let (channel, pump) = Channel::open(&link.address, &chosen.endpoint, self.own, link.timeout)
            .await
            .map_err(|fault| self.advised(fault))?;
        let mut running: Running = Box::pin(pump.run());
        let entered = tokio::select! {
            fault = &mut running => Err(fault),
            entered = self.enter(&channel, &chosen, material, kept) => entered,
        };
        let (kept, resumed) = entered.map_err(|fault| self.advised(fault))?;
        Ok(Made {
            session: Session {
                channel,
                kept,
                timeout: link.timeout,
                limits: Limits::default(),
                namespaces: Vec::new(),
            },
            running,
            resumed,
        })
    }

    /// What to do about a status that will not pass by itself.
    fn advised(&self, fault: Fault) -> Fault {
        let Some(status) = fault.status() else { return fault };
        let text = match identity::advice(status, self.own) {
            Some(advice) => format!("{fault}: {advice}"),
            None => fault.to_string(),
        };
        match identity::weigh(status) {
            Weight::Passing => fault,
            Weight::Slowly => Fault::Final(text),
            Weight::Never => Fault::Credentials(text),
        }
    }

    async fn enter(
        &self,
        channel: &Channel,
        chosen: &Chosen,
        material: &Material,
        kept: Option<&Kept>,
    ) -> Result<(Kept, bool), Fault> {
        if let Some(kept) = kept.filter(|kept| kept.certificate == chosen.endpoint.server_certificate) {
            match self.activate(channel, chosen, material, kept.clone()).await {
                Ok(kept) => return Ok((kept, true)),
                Err(fault) if matches!(fault, Fault::Link(_)) => return Err(fault),
                // It has ended meanwhile.
                Err(fault) => tracing::debug!("{fault}"),
            }
        }
        let kept = self.create(channel, chosen).await?;
        let token = kept.token.clone();
        match self.activate(channel, chosen, material, kept).await {
            Ok(kept) => Ok((kept, false)),
            Err(fault) => {
                // It would stand there until its time is over, and count among the sessions that a server allows.
                let request = CloseSessionRequest {
                    request_header: channel.header(&token, self.link.timeout),
                    delete_subscriptions: true,
                };
                drop(channel.call("closing the session", request, self.link.timeout).await);
                Err(fault)
            }
        }
    }

    async fn create(&self, channel: &Channel, chosen: &Chosen) -> Result<Kept, Fault> {
        let doing = "making a session";
        let nonce = opcua::crypto::random::byte_string(32);
        let request = CreateSessionRequest {
            request_header: channel.header(&NodeId::null(), self.link.timeout),
            client_description: ApplicationDescription {
                application_uri: UAString::from(self.own.application_uri.as_str()),
                product_uri: UAString::from("urn:lineside"),
                application_name: LocalizedText::new("", "lineside"),
                application_type: ApplicationType::Client,
                ..ApplicationDescription::default()
            },
            server_uri: UAString::null(),
            endpoint_url: chosen.endpoint.endpoint_url.clone(),
            session_name: UAString::from(self.name.as_str()),
            client_nonce: nonce.clone(),
            client_certificate: match chosen.policy {
                SecurityPolicy::None => ByteString::null(),
                _ => self.own.certificate.as_byte_string(),
            },
            requested_session_timeout: LIFETIME,
            max_response_message_size: 0,
        };
        let ResponseMessage::CreateSession(answer) = channel.call(doing, request, self.link.timeout).await? else {
            return Err(foreign(doing));
        };
        let proven = identity::check_server(
            self.own,
            chosen,
            &nonce,
            &answer.server_certificate,
            &answer.server_signature,
        );
        proven.map_err(|fault| Fault::Final(fault.to_string()))?;
        let repeated = answer.server_endpoints.as_deref().unwrap_or_default();
        choose::confirm(chosen, repeated, self.link).map_err(|refusal| Fault::Final(refusal.to_string()))?;
        Ok(Kept {
            token: answer.authentication_token.clone(),
            nonce: answer.server_nonce.clone(),
            certificate: chosen.endpoint.server_certificate.clone(),
            started: None,
        })
    }

    async fn activate(
        &self,
        channel: &Channel,
        chosen: &Chosen,
        material: &Material,
        kept: Kept,
    ) -> Result<Kept, Fault> {
        let doing = "logging in";
        let cannot = |fault: identity::Fault| Fault::Final(fault.to_string());
        let (user_identity_token, user_token_signature) =
            identity::user_token(material, chosen, &kept.nonce).map_err(cannot)?;
        let request = ActivateSessionRequest {
            request_header: channel.header(&kept.token, self.link.timeout),
            client_signature: identity::client_signature(self.own, chosen, &kept.nonce).map_err(cannot)?,
            client_software_certificates: None,
            locale_ids: Some(vec![UAString::from("en")]),
            user_identity_token,
            user_token_signature,
        };
        match channel.call(doing, request, self.link.timeout).await? {
            ResponseMessage::ActivateSession(answer) => Ok(Kept {
                nonce: answer.server_nonce.clone(),
                ..kept
            }),
            _ => Err(foreign(doing)),
        }
    }
}

/// An answer of another kind than asked for.
pub(super) fn foreign(doing: &str) -> Fault {
    Fault::Link(format!("{doing}: another answer than asked for"))
}

impl Session {
    /// What is needed to take it up again.
    pub(super) fn keep(&self) -> Kept {
        self.kept.clone()
    }

    /// The server's own certificate, in DER; empty where it showed none.
    pub(super) fn certificate(&self) -> &[u8] {
        self.kept.certificate.as_ref()
    }

    /// A request in this session.
    pub(super) async fn call(
        &self,
        doing: &str,
        request: impl Into<RequestMessage>,
        timeout: Duration,
    ) -> Result<ResponseMessage, Fault> {
        self.channel.call(doing, request, timeout).await
    }

    /// The header of a request in this session.
    pub(super) fn header(&self, timeout: Duration) -> opcua::types::RequestHeader {
        self.channel.header(&self.kept.token, timeout)
    }

    /// How long an answer may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Reads, in as few calls as the server allows; an answer for each, in order.
    pub(super) async fn read(&self, nodes: &[ReadValueId]) -> Result<Vec<DataValue>, Fault> {
        let (doing, limit) = ("reading", &self.limits.read);
        let mut values = Vec::with_capacity(nodes.len());
        while let Some(part) = part(nodes, values.len(), limit) {
            let request = ReadRequest {
                request_header: self.header(self.timeout),
                max_age: 0.0,
                timestamps_to_return: TimestampsToReturn::Both,
                nodes_to_read: Some(part.to_vec()),
            };
            match self.call(doing, request, self.timeout).await {
                Ok(ResponseMessage::Read(answer)) => {
                    let mut results = answer.results.unwrap_or_default();
                    results.resize_with(part.len(), missing);
                    values.append(&mut results);
                }
                Ok(_) => return Err(foreign(doing)),
                Err(fault) if too_many(limit, part.len(), &fault) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(values)
    }

    /// Writes; a status for each, in order.
    pub(super) async fn write(&self, nodes: &[WriteValue]) -> Result<Vec<StatusCode>, Fault> {
        let (doing, limit) = ("writing", &self.limits.write);
        let mut results = Vec::with_capacity(nodes.len());
        while let Some(part) = part(nodes, results.len(), limit) {
            let request = WriteRequest {
                request_header: self.header(self.timeout),
                nodes_to_write: Some(part.to_vec()),
            };
            match self.call(doing, request, self.timeout).await {
                Ok(ResponseMessage::Write(answer)) => {
                    let mut said = answer.results.unwrap_or_default();
                    said.resize(part.len(), StatusCode::BadUnexpectedError);
                    results.append(&mut said);
                }
                Ok(_) => return Err(foreign(doing)),
                Err(fault) if too_many(limit, part.len(), &fault) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(results)
    }

    /// Adds items to a subscription; a result for each, in order.
    pub(super) async fn monitor(
        &self,
        subscription: u32,
        items: &[MonitoredItemCreateRequest],
    ) -> Result<Vec<MonitoredItemCreateResult>, Fault> {
        let (doing, limit) = ("subscribing", &self.limits.items);
        let mut results = Vec::with_capacity(items.len());
        while let Some(part) = part(items, results.len(), limit) {
            let request = CreateMonitoredItemsRequest {
                request_header: self.header(self.timeout),
                subscription_id: subscription,
                timestamps_to_return: TimestampsToReturn::Both,
                items_to_create: Some(part.to_vec()),
            };
            match self.call(doing, request, self.timeout).await {
                Ok(ResponseMessage::CreateMonitoredItems(answer)) => {
                    let mut said = answer.results.unwrap_or_default();
                    said.resize_with(part.len(), || MonitoredItemCreateResult {
                        status_code: StatusCode::BadUnexpectedError,
                        ..MonitoredItemCreateResult::default()
                    });
                    results.append(&mut said);
                }
                Ok(_) => return Err(foreign(doing)),
                Err(fault) if too_many(limit, part.len(), &fault) => {}
                Err(fault) => return Err(fault),
            }
        }
        Ok(results)
    }

    /// What these nodes refer to; continued until there is no more. One list for each, empty where the server refuses it.
    pub(super) async fn browse(&self, nodes: &[BrowseDescription]) -> Result<Vec<Vec<ReferenceDescription>>, Fault> {
        let (doing, limit) = ("browsing", &self.limits.browse);
        let mut found: Vec<Vec<ReferenceDescription>> = Vec::with_capacity(nodes.len());
        while let Some(part) = part(nodes, found.len(), limit) {
            let request = BrowseRequest {
                request_header: self.header(self.timeout),
                view: ViewDescription::default(),
                requested_max_references_per_node: REFERENCES,
                nodes_to_browse: Some(part.to_vec()),
            };
            let answer = match self.call(doing, request, self.timeout).await {
                Ok(ResponseMessage::Browse(answer)) => answer,
                Ok(_) => return Err(foreign(doing)),
                Err(fault) if too_many(limit, part.len(), &fault) => continue,
                Err(fault) => return Err(fault),
            };
            let mut results = answer.results.unwrap_or_default();
            results.resize_with(part.len(), Default::default);
            for result in results {
                let mut references = result.references.unwrap_or_default();
                let mut more = result.continuation_point;
                while !more.is_null_or_empty() {
                    let request = BrowseNextRequest {
                        request_header: self.header(self.timeout),
                        release_continuation_points: false,
                        continuation_points: Some(vec![more]),
                    };
                    let ResponseMessage::BrowseNext(next) = self.call(doing, request, self.timeout).await? else {
                        return Err(foreign(doing));
                    };
                    let next = next.results.unwrap_or_default().into_iter().next().unwrap_or_default();
                    references.extend(next.references.unwrap_or_default());
                    more = next.continuation_point;
                }
                found.push(references);
            }
        }
        Ok(found)
    }

    /// Calls a method.
    pub(super) async fn method(&self, call: CallMethodRequest) -> Result<CallMethodResult, Fault> {
        let doing = "calling a method";
        let request = CallRequest {
            request_header: self.header(self.timeout),
            methods_to_call: Some(vec![call]),
        };
        match self.call(doing, request, self.timeout).await? {
            ResponseMessage::Call(answer) => Ok(answer
                .results
                .unwrap_or_default()
                .into_iter()
                .next()
                .unwrap_or_default()),
            _ => Err(foreign(doing)),
        }
    }

    /// Learns the server's namespaces and limits, and whether it was started anew since the session was made.
    pub(super) async fn learn(&mut self) -> Result<bool, Fault> {
        // NamespaceArray; StartTime; MaxNodesPerRead, -Write, -Browse, MaxMonitoredItemsPerCall (OPC 10000-5, 12).
        let nodes = [2255_u32, 2257, 11705, 11707, 11710, 11714].map(|id| ReadValueId::from(NodeId::new(0, id)));
        let mut values = self.read(&nodes).await?.into_iter().map(|value| value.value);
        let namespaces = values
            .next()
            .flatten()
            .and_then(|value| value.try_cast_to::<Vec<UAString>>().ok());
        self.namespaces = namespaces.unwrap_or_default().iter().map(ToString::to_string).collect();
        let started = values
            .next()
            .flatten()
            .and_then(|value| value.try_cast_to::<DateTime>().ok());
        let another = self.kept.started.is_some() && self.kept.started != started;
        self.kept.started = started;
        let mut limit = || {
            values
                .next()
                .flatten()
                .and_then(|value| value.try_cast_to::<u32>().ok())
        };
        learn(&self.limits.read, limit());
        learn(&self.limits.write, limit());
        learn(&self.limits.browse, limit());
        learn(&self.limits.items, limit());
        Ok(another)
    }

    /// Ends it; its subscriptions end with it.
    pub(super) async fn close(&self) {
        let request = CloseSessionRequest {
            request_header: self.header(Duration::from_secs(1)),
            delete_subscriptions: true,
        };
        // It ends by its own time-out otherwise.
        drop(self.call("closing the session", request, Duration::from_secs(1)).await);
        self.channel.close().await;
    }
}

/// What a server did not answer.
fn missing() -> DataValue {
    DataValue {
        status: Some(StatusCode::BadUnexpectedError),
        ..DataValue::default()
    }
}
