//! A subscription (OPC 10000-4, 5.14): publish requests kept with the server, messages in order, those that were missed asked
//! for again, and each acknowledged once all that it led to is durable.
//!
//! Owns sequence numbers and acknowledgements. Does not own what the messages say.

use super::fault::Fault;
use super::session::{Session, foreign};
use opcua::core::ResponseMessage;
use opcua::types::{
    CreateSubscriptionRequest, ExtensionObject, NotificationMessage, PublishRequest, PublishResponse, RepublishRequest,
    StatusCode, SubscriptionAcknowledgement, TransferSubscriptionsRequest,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// Publish requests that lie with the server.
const REQUESTS: usize = 3;
/// The server says that it lives this often, where nothing changes.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// How long the server keeps a subscription that nobody asks for.
const LIFETIME: Duration = Duration::from_mins(2);
/// What could not be made durable is asked for again after this time.
const PAUSE: Duration = Duration::from_secs(1);
/// Until a request is on its way.
const SENT: Duration = Duration::from_millis(100);
/// Messages that may be asked for again in a row.
const AGAIN: u32 = 1_000;

/// What a message said, to be acknowledged when the guard is the last one that holds it.
pub(super) struct Message {
    /// What changed and happened.
    pub(super) said: Vec<ExtensionObject>,
    /// Held by all that is not durable yet.
    pub(super) guard: Arc<Guard>,
    /// It was said before, and some event in it could not be made durable.
    pub(super) again: bool,
}

/// Something that is not durable yet holds it.
#[derive(Debug, Default)]
pub(super) struct Guard {
    failed: AtomicBool,
}

impl Guard {
    /// Something of it could not be made durable: the message is wanted once more.
    pub(super) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }
}

/// A message whose outcome is open.
struct Open {
    number: u32,
    guard: Arc<Guard>,
    /// When it is asked for once more, because something of it could not be made durable.
    again: Option<Instant>,
}

impl Open {
    /// All that it led to has its answer.
    fn is_over(&self) -> bool {
        Arc::strong_count(&self.guard) == 1
    }

    fn has_failed(&self) -> bool {
        self.guard.failed.load(Ordering::Relaxed)
    }
}

/// What publishing led to.
#[derive(Default)]
pub(super) struct Published {
    /// Messages in order.
    pub(super) messages: Vec<Message>,
    /// So many are lost: the server does not have them any more.
    pub(super) lost: u32,
}

/// A subscription of one server, through connections and as long as its session lives.
pub(super) struct Subscription {
    pub(super) id: u32,
    /// Without a word for this long, it is dead.
    patience: Duration,
    /// The number of the next message.
    expected: u32,
    /// Messages whose outcome is open, oldest first.
    open: VecDeque<Open>,
    /// Requests that may lie with the server.
    window: usize,
    requests: JoinSet<Result<PublishResponse, Fault>>,
}

/// The number behind this one (OPC 10000-4, 7.26: 0 is none).
fn behind(number: u32) -> u32 {
    number.checked_add(1).unwrap_or(1)
}

/// A publish request, and its answer.
async fn publish(
    session: &Session,
    acknowledgements: Option<Vec<SubscriptionAcknowledgement>>,
    patience: Duration,
) -> Result<PublishResponse, Fault> {
    let request = PublishRequest {
        request_header: session.header(patience),
        subscription_acknowledgements: acknowledgements,
    };
    match session.call("publishing", request, patience).await? {
        ResponseMessage::Publish(answer) => Ok(*answer),
        _ => Err(foreign("publishing")),
    }
}

/// How many messages are missing from `expected` to before `next`; 0: none, or `next` was said already.
fn between(expected: u32, next: u32) -> u32 {
    // As places in the circle of 1 to the largest number.
    let circle = u64::from(u32::MAX);
    let place = |number: u32| u64::from(number.max(1)) - 1;
    let missing = (place(next) + circle - place(expected)) % circle;
    u32::try_from(missing)
        .ok()
        .filter(|missing| *missing <= u32::MAX / 2)
        .unwrap_or(0)
}

/// What follows where the server does not have the subscription any more.
fn lost() -> Fault {
    Fault::Ended("the server has lost the subscription; a new one is made".to_owned())
}

impl Subscription {
    /// Makes a subscription.
    pub(super) async fn make(session: &Session, interval: Duration) -> Result<Self, Fault> {
        let doing = "making a subscription";
        let times = |span: Duration| {
            let interval = interval.as_secs_f64().max(0.001);
            let count = (span.as_secs_f64() / interval).ceil().clamp(1.0, 100_000.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and 100,000"
            )]
            let count = count as u32;
            count
        };
        let keep_alive = times(KEEP_ALIVE);
        let request = CreateSubscriptionRequest {
            request_header: session.header(session.timeout()),
            requested_publishing_interval: interval.as_secs_f64() * 1000.0,
            requested_lifetime_count: times(LIFETIME).max(keep_alive * 3),
            requested_max_keep_alive_count: keep_alive,
            max_notifications_per_publish: 0,
            publishing_enabled: true,
            priority: 0,
        };
        let ResponseMessage::CreateSubscription(answer) = session.call(doing, request, session.timeout()).await? else {
            return Err(foreign(doing));
        };
        let revised = answer.revised_publishing_interval.clamp(1.0, 3_600_000.0) / 1000.0;
        let alive = Duration::from_secs_f64(revised * f64::from(answer.revised_max_keep_alive_count.clamp(1, 100_000)));
        Ok(Self {
            id: answer.subscription_id,
            patience: alive * 3 + Duration::from_secs(1),
            expected: 1,
            open: VecDeque::new(),
            window: REQUESTS,
            requests: JoinSet::new(),
        })
    }

    /// How long it may say nothing at all.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// The connection is gone: so are the requests that lay with the server.
    pub(super) fn lost_connection(&mut self) {
        self.requests = JoinSet::new();
    }

    /// Moves it to this session, which is another than it was made in. `false`: the server does not do that.
    pub(super) async fn transfer(&self, session: &Session) -> Result<bool, Fault> {
        let request = TransferSubscriptionsRequest {
            request_header: session.header(session.timeout()),
            subscription_ids: Some(vec![self.id]),
            send_initial_values: false,
        };
        let answer = session
            .call("transferring the subscription", request, session.timeout())
            .await;
        match answer {
            Ok(ResponseMessage::TransferSubscriptions(answer)) => Ok(answer
                .results
                .unwrap_or_default()
                .first()
                .is_some_and(|result| result.status_code.is_good())),
            Err(fault) if fault.ends_session() => Err(fault),
            Ok(_) | Err(_) => Ok(false),
        }
    }

    /// Whether a request lies with the server.
    pub(super) fn is_asking(&self) -> bool {
        !self.requests.is_empty()
    }

    /// Keeps requests with the server, and acknowledges what is durable. `more`: new ones may be sent.
    pub(super) fn ask(&mut self, session: &Arc<Session>, more: bool) {
        if !more || self.requests.len() >= self.window {
            return;
        }
        let mut acknowledged = self.acknowledgements();
        while self.requests.len() < self.window {
            let session = session.clone();
            let acknowledgements = acknowledged.take();
            let patience = self.patience * u32::try_from(self.window + 1).unwrap_or(4);
            self.requests
                .spawn(async move { publish(&session, acknowledgements, patience).await });
        }
    }

    /// What is durable and not acknowledged yet. In order: what stands before something open is not acknowledged early, so
    /// that a loss is a loss of the end.
    fn acknowledgements(&mut self) -> Option<Vec<SubscriptionAcknowledgement>> {
        let mut done = Vec::new();
        while let Some(open) = self.open.front().filter(|open| open.is_over() && !open.has_failed()) {
            done.push(SubscriptionAcknowledgement {
                subscription_id: self.id,
                sequence_number: open.number,
            });
            self.open.pop_front();
        }
        (!done.is_empty()).then_some(done)
    }

    /// The subscription is to end: acknowledges what is durable. The server takes that up before it answers, which it may do
    /// only when it has something to say: that is not waited for.
    pub(super) async fn acknowledge_last(&mut self, session: &Session) {
        let Some(done) = self.acknowledgements() else { return };
        drop(timeout(SENT, publish(session, Some(done), self.patience)).await);
    }

    /// The next answer of the server; for ever, where nothing was asked.
    pub(super) async fn answer(&mut self) -> Result<PublishResponse, Fault> {
        match self.requests.join_next().await {
            Some(Ok(answer)) => answer,
            Some(Err(fault)) => Err(Fault::Link(format!("publishing: {fault}"))),
            None => std::future::pending().await,
        }
    }

    /// Takes up an answer, or why there is none. Messages that are missing before it are asked for again first.
    pub(super) async fn take(
        &mut self,
        session: &Session,
        answer: Result<PublishResponse, Fault>,
    ) -> Result<Published, Fault> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(fault) => match fault.status() {
                Some(StatusCode::BadTooManyPublishRequests) => {
                    self.window = (self.window - 1).max(1);
                    return Ok(Published::default());
                }
                Some(StatusCode::BadTimeout | StatusCode::BadRequestTimeout) => return Ok(Published::default()),
                Some(StatusCode::BadNoSubscription | StatusCode::BadSubscriptionIdInvalid) => {
                    return Err(lost());
                }
                _ => return Err(fault),
            },
        };
        if answer.subscription_id != self.id {
            return Ok(Published::default());
        }
        let NotificationMessage {
            sequence_number,
            notification_data,
            ..
        } = answer.notification_message;
        let mut published = Published::default();
        self.fill(session, sequence_number, &mut published).await?;
        let said = notification_data.unwrap_or_default();
        if said.is_empty() {
            // It only says that it lives, and which number comes next.
            return Ok(published);
        }
        if sequence_number != self.expected {
            // Said already, when it was asked for again.
            return Ok(published);
        }
        self.deliver(sequence_number, said, &mut published);
        Ok(published)
    }

    fn deliver(&mut self, number: u32, said: Vec<ExtensionObject>, published: &mut Published) {
        let guard = Arc::<Guard>::default();
        self.open.push_back(Open {
            number,
            guard: guard.clone(),
            again: None,
        });
        self.expected = behind(number);
        published.messages.push(Message {
            said,
            guard,
            again: false,
        });
    }

    /// Asks again for what is missing before `next`.
    async fn fill(&mut self, session: &Session, next: u32, published: &mut Published) -> Result<(), Fault> {
        let missing = between(self.expected, next);
        if missing > AGAIN {
            published.lost = missing;
            self.expected = next;
            return Ok(());
        }
        for _ in 0..missing {
            let number = self.expected;
            if let Some(said) = self.republish(session, number).await? {
                self.deliver(number, said, published);
            } else {
                published.lost = published.lost.saturating_add(1);
                self.expected = behind(number);
            }
        }
        Ok(())
    }

    /// What the server still has that was never heard: after the connection was made again.
    pub(super) async fn catch_up(&mut self, session: &Session) -> Result<Published, Fault> {
        let mut published = Published::default();
        for _ in 0..AGAIN {
            let number = self.expected;
            match self.republish(session, number).await? {
                Some(said) => self.deliver(number, said, &mut published),
                None => break,
            }
        }
        Ok(published)
    }

    /// When a message is to be asked for once more; `None`: none is.
    pub(super) fn again(&mut self) -> Option<Instant> {
        let failed = self.open.iter_mut().filter(|open| open.is_over() && open.has_failed());
        failed
            .map(|open| *open.again.get_or_insert_with(|| Instant::now() + PAUSE))
            .min()
    }

    /// Asks once more for what could not be made durable; it is told again as if it came now.
    pub(super) async fn once_more(&mut self, session: &Session) -> Result<Published, Fault> {
        let mut published = Published::default();
        let now = Instant::now();
        let mut at = 0;
        while let Some(open) = self.open.get(at) {
            at += 1;
            if open.again.is_none_or(|again| now < again) {
                continue;
            }
            let said = self.republish(session, open.number).await?;
            let Some(open) = self.open.get_mut(at - 1) else { break };
            open.guard = Arc::default();
            open.again = None;
            match said {
                Some(said) => published.messages.push(Message {
                    said,
                    guard: open.guard.clone(),
                    again: true,
                }),
                // Nothing is left to be held for it.
                None => published.lost = published.lost.saturating_add(1),
            }
        }
        Ok(published)
    }

    async fn republish(&self, session: &Session, number: u32) -> Result<Option<Vec<ExtensionObject>>, Fault> {
        let request = RepublishRequest {
            request_header: session.header(session.timeout()),
            subscription_id: self.id,
            retransmit_sequence_number: number,
        };
        match session
            .call("asking for a missed message", request, session.timeout())
            .await
        {
            // Some servers answer with whatever they have.
            Ok(ResponseMessage::Republish(answer)) if answer.notification_message.sequence_number != number => Ok(None),
            Ok(ResponseMessage::Republish(answer)) => {
                Ok(Some(answer.notification_message.notification_data.unwrap_or_default()))
            }
            Err(fault) if fault.ends_session() => Err(fault),
            Err(fault) if fault.status() == Some(StatusCode::BadSubscriptionIdInvalid) => Err(lost()),
            Ok(_) | Err(_) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_go_round_without_naught() {
        assert_eq!((behind(1), behind(u32::MAX - 1), behind(u32::MAX)), (2, u32::MAX, 1));
        assert_eq!((between(5, 5), between(5, 6), between(5, 9)), (0, 1, 4));
        // The last two before the numbers begin anew, and the first.
        assert_eq!(between(u32::MAX - 1, 1), 2);
        assert_eq!((between(u32::MAX, 2), between(u32::MAX, 1)), (2, 1));
        // Said already; or of a server that counts from naught.
        assert_eq!((between(9, 5), between(1, u32::MAX), between(1, 0)), (0, 0, 0));
    }

    proptest! {
        #[test]
        fn as_many_are_missing_as_are_asked_for(expected in 1..=u32::MAX, missing in 0..AGAIN, near in any::<bool>()) {
            let expected = if near { u32::MAX - missing / 2 } else { expected };
            let mut next = expected;
            for _ in 0..missing {
                next = behind(next);
            }
            prop_assert_eq!(between(expected, next), missing);
            prop_assert!(missing == 0 || between(next, expected) == 0);
        }
    }

    #[test]
    fn a_message_is_over_once_nobody_holds_it() {
        let open = Open {
            number: 7,
            guard: Arc::default(),
            again: None,
        };
        let held = open.guard.clone();
        assert!(!open.is_over());
        held.fail();
        drop(held);
        assert!(open.is_over() && open.has_failed());
    }
}
