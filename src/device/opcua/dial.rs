//! The secure channel to a server: the TCP connection, Hello and OpenSecureChannel (OPC 10000-6, 6.7 and 7).
//!
//! Owns where is dialled: always the profile's address, whatever host the server says of itself. Owns no session.

use super::fault::Fault;
use super::own::Own;
use crate::device::tcp;
use opcua::client::AsyncSecureChannel;
use opcua::client::transport::{
    Connector, SecureChannelEventLoop, SecureChannelState, StreamConnection, StreamConnector, TcpTransport,
    TransportConfiguration, TransportPollResult,
};
use opcua::client::{IdentityToken, SessionRetryPolicy};
use opcua::core::comms::tcp_codec::TcpCodec;
use opcua::core::{RequestMessage, ResponseMessage};
use opcua::crypto::CertificateStore;
use opcua::sync::RwLock;
use opcua::types::{
    ChannelSecurityToken, ContextOwned, DateTime, DecodingOptions, EndpointDescription, Error, MessageSecurityMode,
    NamespaceMap, NodeId, RequestHeader, StatusCode, UAString,
};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::codec::FramedRead;

/// How long a token of the channel lives, in milliseconds, unless the server wants less; renewed at three quarters.
const TOKEN: u32 = 3_600_000;
/// The largest message that is taken, in bytes.
const MESSAGE: usize = 64 << 20;

/// An open channel. Requests are answered only while its [`Pump`] runs.
pub(super) struct Channel {
    secure: AsyncSecureChannel,
    state: Arc<SecureChannelState>,
    handle: AtomicU32,
    token: AtomicU32,
}

/// Moves the bytes of a channel.
pub(super) struct Pump(SecureChannelEventLoop<TcpTransport>);

impl Pump {
    /// Moves bytes until the connection ends, and says why it did.
    pub(super) async fn run(mut self) -> Fault {
        loop {
            let mut step = pin!(self.0.poll());
            // What a server sends must not end the process, even where the library trips over it.
            let outcome = poll_fn(
                |context| match catch_unwind(AssertUnwindSafe(|| step.as_mut().poll(context))) {
                    Ok(poll) => poll.map(Ok),
                    Err(_) => std::task::Poll::Ready(Err(())),
                },
            )
            .await;
            match outcome {
                Ok(TransportPollResult::Closed(status)) => return Fault::closed(status),
                Ok(_) => {}
                Err(()) => return Fault::Link("the server sent a message that cannot be read".to_owned()),
            }
        }
    }
}

/// Dials `address`, with the key of this certificate.
struct Dial<'a> {
    address: &'a str,
    own: &'a Own,
    secured: bool,
    timeout: Duration,
    seen: OnceLock<Arc<SecureChannelState>>,
    reason: OnceLock<String>,
}

impl Connector for Dial<'_> {
    type Transport = TcpTransport;

    async fn connect(
        &self,
        channel: Arc<SecureChannelState>,
        outgoing: tokio::sync::mpsc::Receiver<opcua::client::transport::OutgoingMessage>,
        config: TransportConfiguration,
    ) -> Result<TcpTransport, Error> {
        if self.secured {
            let mut secure = channel.secure_channel().write();
            secure.set_cert(Some(self.own.certificate.clone()));
            secure.set_private_key(Some(self.own.key.clone()));
        }
        // Where it was set before, it is the same.
        drop(self.seen.set(channel.clone()));
        let dial = |url: String, options: DecodingOptions| {
            let (host, limit, reason) = (host_port(&url), self.timeout, &self.reason);
            async move {
                let refused = "is the OPC UA server running, and the port right?";
                match tcp::connect(&host, limit, "the server", refused).await {
                    Ok(stream) => {
                        let (read, write) = tokio::io::split(stream);
                        Ok(StreamConnection::new(
                            FramedRead::new(read, TcpCodec::new(options)),
                            write,
                            url,
                        ))
                    }
                    Err(told) => {
                        drop(reason.set(told));
                        Err(Error::new(StatusCode::BadCommunicationError, "no connection"))
                    }
                }
            }
        };
        StreamConnector::new(dial, self.address.to_owned())
            .connect(channel, outgoing, config)
            .await
    }

    fn default_endpoint(&self) -> EndpointDescription {
        EndpointDescription::from(self.address)
    }
}

/// `host:port` of an address with `opc.tcp://`.
fn host_port(url: &str) -> String {
    let rest = url.strip_prefix("opc.tcp://").unwrap_or(url);
    rest.split('/').next().unwrap_or(rest).to_owned()
}

/// The host of an address, without brackets.
pub(super) fn host(url: &str) -> String {
    let whole = host_port(url);
    let host = whole.rsplit_once(':').map_or(whole.as_str(), |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// What is decoded at most.
fn limits() -> DecodingOptions {
    DecodingOptions {
        max_array_length: 1_000_000,
        max_string_length: 16 << 20,
        max_byte_string_length: 16 << 20,
        max_message_size: MESSAGE,
        max_chunk_count: 0,
        ..DecodingOptions::default()
    }
}

/// An endpoint without security, for asking which others there are.
pub(super) fn plain(address: &str) -> EndpointDescription {
    EndpointDescription {
        security_mode: MessageSecurityMode::None,
        security_policy_uri: UAString::from("http://opcfoundation.org/UA/SecurityPolicy#None"),
        ..EndpointDescription::from(address)
    }
}

impl Channel {
    /// Opens a channel to `endpoint` at `address`, within `timeout` a step.
    ///
    /// # Errors
    /// Nobody answers, or the server refuses the channel.
    pub(super) async fn open(
        address: &str,
        endpoint: &EndpointDescription,
        own: &Own,
        timeout: Duration,
    ) -> Result<(Self, Pump), Fault> {
        let store = Arc::new(RwLock::new(CertificateStore::new(Path::new(""))));
        let context = Arc::new(RwLock::new(ContextOwned::new_default(NamespaceMap::new(), limits())));
        let channel = AsyncSecureChannel::new(
            store,
            (endpoint.clone(), IdentityToken::Anonymous).into(),
            SessionRetryPolicy::never(),
            false,
            Arc::default(),
            TransportConfiguration {
                send_buffer_size: 65_535,
                recv_buffer_size: 65_535,
                max_message_size: MESSAGE,
                max_chunk_count: 0,
            },
            TOKEN,
            context,
        );
        let dial = Dial {
            address,
            own,
            secured: endpoint.security_mode != MessageSecurityMode::None,
            timeout,
            seen: OnceLock::new(),
            reason: OnceLock::new(),
        };
        let opened = tokio::time::timeout(timeout * 2, channel.connect_no_retry(&dial)).await;
        let pump = match opened {
            Ok(Ok(pump)) => pump,
            Ok(Err(error)) => {
                let told = dial.reason.get().cloned().map(|reason| {
                    if reason.starts_with(tcp::REFUSED) {
                        Fault::Refused(reason)
                    } else {
                        Fault::Link(reason)
                    }
                });
                return Err(told.unwrap_or_else(|| Fault::of("opening the secure channel", &error)));
            }
            Err(_) => {
                return Err(Fault::Link(format!(
                    "it takes the connection, but does not open an OPC UA channel within {:?}: is this an OPC UA server?",
                    timeout * 2
                )));
            }
        };
        let Some(state) = dial.seen.get().cloned() else {
            return Err(Fault::Link("no connection was made".to_owned()));
        };
        let this = Self {
            secure: channel,
            state,
            handle: AtomicU32::new(1),
            token: AtomicU32::new(0),
        };
        this.date_token();
        Ok((this, Pump(pump)))
    }

    /// A token counts from when it came, by our clock: the library goes by the server's, which may be hours off, and would
    /// renew at each request, or never.
    fn date_token(&self) {
        let mut secure = self.state.secure_channel().write();
        let token = secure.token_id();
        if self.token.swap(token, Ordering::Relaxed) != token {
            let dated = ChannelSecurityToken {
                channel_id: secure.secure_channel_id(),
                token_id: token,
                created_at: DateTime::now(),
                revised_lifetime: secure.token_lifetime(),
            };
            secure.set_security_token(dated);
        }
    }

    /// The header of the next request, in the session of `token`.
    pub(super) fn header(&self, token: &NodeId, timeout: Duration) -> RequestHeader {
        RequestHeader {
            authentication_token: token.clone(),
            timestamp: DateTime::now(),
            request_handle: self.handle.fetch_add(1, Ordering::Relaxed),
            timeout_hint: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
            ..RequestHeader::default()
        }
    }

    /// Sends a request and waits for its answer, `timeout` at most.
    ///
    /// # Errors
    /// The service refuses as a whole, no answer comes, or the link is lost.
    pub(super) async fn call(
        &self,
        doing: &str,
        request: impl Into<RequestMessage>,
        timeout: Duration,
    ) -> Result<ResponseMessage, Fault> {
        let sent = self.secure.send(request, timeout);
        let answer = tokio::time::timeout(timeout + Duration::from_secs(1), sent).await;
        self.date_token();
        match answer {
            Ok(Ok(ResponseMessage::ServiceFault(fault))) => {
                Err(Fault::service(doing, fault.response_header.service_result))
            }
            Ok(Ok(response)) => match response.response_header().service_result {
                bad if bad.is_bad() => Err(Fault::service(doing, bad)),
                _ => Ok(response),
            },
            Ok(Err(error)) => Err(Fault::of(doing, &error)),
            Err(_) => Err(Fault::silent(doing, timeout)),
        }
    }

    /// Asks the server to close the channel; nothing is waited for.
    pub(super) async fn close(&self) {
        self.secure.close_channel().await;
    }
}
