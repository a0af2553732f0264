//! What commands see of a link while it runs: every exchange as it stood on the wire, and points read unasked.
//!
//! Owns the two ends. A tap never slows the link down: who reads too slowly is told how much was missed.

use crate::model::{Moment, Raw, SlotName};
use crate::record::What;
use crate::record::opcua::NodeSaid;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

/// Exchanges that a tap may be behind.
const BEHIND: usize = 1024;
/// Questions that may wait.
const WAITING: usize = 4;

/// What is needed to read later words at most: the descriptions of a server's data types.
const CONTEXT: usize = 4096;

/// The driver's end of a tap.
#[derive(Debug, Clone)]
pub struct Tap {
    sender: broadcast::Sender<What>,
    context: Arc<Mutex<Context>>,
}

/// What whoever looks later needs, too.
#[derive(Debug, Default)]
struct Context {
    session: Vec<What>,
    /// By node: what was told of variables last, which is told again only where it changes.
    stands: BTreeMap<String, NodeSaid>,
}

impl Default for Tap {
    fn default() -> Self {
        Self {
            sender: broadcast::Sender::new(BEHIND),
            context: Arc::default(),
        }
    }
}

/// Everything that is exchanged, from when this was asked for; before it what is needed to read that.
#[derive(Debug)]
pub struct Exchanges {
    before: VecDeque<What>,
    rest: broadcast::Receiver<What>,
}

impl Exchanges {
    /// The next word.
    ///
    /// # Errors
    /// The link has ended, or this was read too slowly: so many are missing.
    pub async fn recv(&mut self) -> Result<What, broadcast::error::RecvError> {
        match self.before.pop_front() {
            Some(what) => Ok(what),
            None => self.rest.recv().await,
        }
    }

    /// The next word, where there is one.
    ///
    /// # Errors
    /// There is none now, the link has ended, or this was read too slowly.
    pub fn try_recv(&mut self) -> Result<What, broadcast::error::TryRecvError> {
        match self.before.pop_front() {
            Some(what) => Ok(what),
            None => self.rest.try_recv(),
        }
    }
}

impl Tap {
    /// Whether anybody looks.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.sender.receiver_count() > 0
    }

    /// Tells an exchange to whoever looks.
    pub fn send(&self, what: What) {
        if let What::Told(values) = &what {
            // Nothing is told in between, so that nobody misses it or hears it twice.
            let mut context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
            for said in values {
                context.stands.insert(said.node.clone(), said.clone());
            }
            drop(self.sender.send(what));
            return;
        }
        // Nobody looks any more: nothing is lost by that.
        drop(self.sender.send(what));
    }

    /// Tells what whoever looks later needs, too. With the table of namespaces a session begins, and what was told before is
    /// forgotten.
    pub fn send_context(&self, what: What) {
        let mut context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(what, What::Namespaces(_)) {
            *context = Context::default();
        }
        if context.session.len() < CONTEXT {
            context.session.push(what.clone());
        }
        drop(self.sender.send(what));
    }

    /// Looks at what is exchanged from now on.
    #[must_use]
    pub fn subscribe(&self) -> Exchanges {
        // Nothing is told meanwhile, so that nothing is missed and nothing comes twice.
        let context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        let values: Vec<NodeSaid> = context.stands.values().cloned().collect();
        let stands = (!values.is_empty()).then_some(What::Told(values));
        Exchanges {
            rest: self.sender.subscribe(),
            before: context.session.iter().cloned().chain(stands).collect(),
        }
    }
}

/// A question of a command: what do the points of a slot say now.
#[derive(Debug)]
pub struct Look {
    /// Whose.
    pub slot: SlotName,
    /// Also what reading clears.
    pub clears: bool,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Reading, String>>,
}

/// What the points of a slot said.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// When the last answer came.
    pub at: Moment,
    /// By point of the plan: its raw value; `None` where it was not asked for, refused or not decodable.
    pub values: Vec<Option<Raw>>,
    /// By point of the plan: its registers or bits as they stood on the wire, in hex; empty where it was not read.
    pub words: Vec<String>,
    /// What the device refused, each in a sentence.
    pub faults: Vec<String>,
}

/// The commands' end of a running link.
#[derive(Debug, Clone)]
pub struct Probe {
    asks: mpsc::Sender<Look>,
    tap: Tap,
}

/// The link's end.
#[derive(Debug)]
pub struct Service {
    /// Questions.
    pub asks: mpsc::Receiver<Look>,
    /// Exchanges.
    pub tap: Tap,
    /// The link is to end in good order: the driver begins nothing new, gives the acknowledgements that it owes for what is
    /// durable, and returns. Who cancels it waits a bounded time, then stops the link.
    pub ending: CancellationToken,
    /// A folder of the gateway's own, where a driver keeps what it made once (its certificate); `None`: nothing is kept.
    pub home: Option<PathBuf>,
}

/// Both ends.
#[must_use]
pub fn service() -> (Probe, Service) {
    let (asks, receiver) = mpsc::channel(WAITING);
    let tap = Tap::default();
    (
        Probe { asks, tap: tap.clone() },
        Service {
            asks: receiver,
            tap,
            ending: CancellationToken::new(),
            home: None,
        },
    )
}

impl Probe {
    /// What the points of `slot` say now; `clears`: also those that reading clears.
    ///
    /// # Errors
    /// A sentence: the device is not reached, or the link has ended.
    pub async fn look(&self, slot: &SlotName, clears: bool) -> Result<Reading, String> {
        let (reply, answer) = oneshot::channel();
        let ended = || "the link of this slot has ended".to_owned();
        let look = Look {
            slot: slot.clone(),
            clears,
            reply,
        };
        self.asks.send(look).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Everything that is exchanged on the link from now on.
    #[must_use]
    pub fn exchanges(&self) -> Exchanges {
        self.tap.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(value: u8) -> What {
        What::Told(vec![NodeSaid {
            node: "ns=2;s=Count".to_owned(),
            got: vec![1, 3, value],
            status: None,
        }])
    }

    #[tokio::test]
    async fn whoever_looks_later_hears_what_the_session_is_and_how_values_stand() {
        let (probe, service) = service();
        let begun = What::Namespaces(vec!["urn:a".to_owned()]);
        service
            .tap
            .send_context(What::Namespaces(vec!["urn:before".to_owned()]));
        service.tap.send_context(begun.clone());
        service.tap.send(told(1));
        service.tap.send(told(2));
        let mut late = probe.exchanges();
        service.tap.send(told(3));
        for wanted in [begun, told(2), told(3)] {
            assert_eq!(late.recv().await, Ok(wanted));
        }
    }
}
