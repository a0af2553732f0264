//! Why something could not be done with a server, in a sentence that says what to do.

use opcua::types::{Error, StatusCode};
use std::time::Duration;

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// The connection is lost, or cannot be made.
    #[error("{0}")]
    Link(String),
    /// Nobody listens at the address.
    #[error("{0}")]
    Refused(String),
    /// The session or its subscription is of no use any more: a new one is made.
    #[error("{0}")]
    Ended(String),
    /// The server refuses a service, or says that something is wrong.
    #[error("{doing}: the server says {status}{hint}")]
    Service {
        /// What was asked.
        doing: String,
        /// What it says.
        status: StatusCode,
        /// What to do about it; empty, or begins with ": ".
        hint: &'static str,
    },
    /// It will not pass by itself: a person must change something first.
    #[error("{0}")]
    Final(String),
    /// Credentials were refused: trying again could lock the account.
    #[error("{0}")]
    Credentials(String),
}

/// What to do about a status.
fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BadTooManySessions => ": end other clients of the server, or raise its limit of sessions",
        StatusCode::BadTooManySubscriptions => ": raise the server's limit of subscriptions, or write polled = true",
        StatusCode::BadTcpEndpointUrlInvalid => {
            ": the address has a path that this server does not know; use the one that its configuration shows"
        }
        StatusCode::BadServiceUnsupported => ": this server cannot do that",
        StatusCode::BadShutdown | StatusCode::BadServerHalted => ": it is being switched off",
        _ => "",
    }
}

impl Fault {
    /// The service refused.
    pub(super) fn service(doing: &str, status: StatusCode) -> Self {
        Self::Service {
            doing: doing.to_owned(),
            status,
            hint: hint(status),
        }
    }

    /// The library could not get an answer.
    pub(super) fn of(doing: &str, error: &Error) -> Self {
        match error.status() {
            StatusCode::BadTimeout => Self::Link(format!("{doing}: no answer")),
            StatusCode::BadConnectionClosed | StatusCode::BadCommunicationError | StatusCode::BadNotConnected => {
                Self::Link(format!("{doing}: the server closed the connection"))
            }
            status => Self::service(doing, status),
        }
    }

    /// No answer within the time.
    pub(super) fn silent(doing: &str, timeout: Duration) -> Self {
        Self::Link(format!("{doing}: no answer within {timeout:?}"))
    }

    /// The connection ended.
    pub(super) fn closed(status: StatusCode) -> Self {
        match status {
            StatusCode::Good | StatusCode::BadCommunicationError | StatusCode::BadConnectionClosed => {
                Self::Link("the server closed the connection".to_owned())
            }
            status => Self::service("the connection ended", status),
        }
    }

    /// What the server said.
    pub(super) fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Service { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Whether the session cannot be used any more.
    pub(super) fn ends_session(&self) -> bool {
        match self {
            Self::Link(_) | Self::Refused(_) | Self::Ended(_) | Self::Final(_) | Self::Credentials(_) => true,
            Self::Service { status, .. } => matches!(
                *status,
                StatusCode::BadSessionIdInvalid
                    | StatusCode::BadSessionClosed
                    | StatusCode::BadSessionNotActivated
                    | StatusCode::BadSecureChannelClosed
                    | StatusCode::BadSecureChannelIdInvalid
                    | StatusCode::BadShutdown
                    | StatusCode::BadServerHalted
            ),
        }
    }
}
