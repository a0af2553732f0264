//! Connection: the life of one connection, from the first packet to the last.
//!
//! Owns which of our publishes rumqttc wrote under which packet identifier, and what its answer
//! belongs to. Dies with the connection; what outlives it (window, board, feeder) is borrowed.

use super::board::{Kind, Post};
use super::credentials::{Credentials, Reading};
use super::feeder::Feeder;
use super::link::{CHANNEL, Granted, Letter, Listener, Said, Speaker};
use super::outbound::Shared;
use super::refusal::{self, Lost};
use super::renewal::News;
use super::session;
use super::window::{Flight, Ruling, TopicId, Verdict, Window};
use super::{Drain, Heard, Outcome, Settings};
use crate::clock::Clock;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// What outlives a connection.
pub(super) struct Lasting<'d, D: Drain> {
    pub(super) settings: &'d Settings,
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Clock,
    pub(super) heard: mpsc::Sender<Heard>,
    pub(super) window: Window,
    pub(super) feeder: Feeder<'d, D>,
    /// Zero of all durations here.
    pub(super) epoch: Instant,
    pub(super) told: Told,
    pub(super) stop: CancellationToken,
    /// What the files of the session held after a change.
    pub(super) renewals: News,
    /// What they held when they last were of use.
    pub(super) credentials: Option<Arc<Credentials>>,
}

/// What was told, so that it is not told again.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The connection's trouble.
    pub(super) trouble: Option<String>,
    /// What was said of the files of the session.
    pub(super) files: Vec<String>,
    barrier: bool,
    denied: Option<String>,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// We were asked to stop, or nobody listens to us any more.
    Stopped,
    /// It was parted with, to be made anew with changed files.
    Renewed,
    /// It was lost, or never made.
    Lost {
        lost: Lost,
        /// It was worth something: the next try may come soon.
        useful: bool,
    },
}

/// Why the work on a connection stops.
enum Stop {
    Asked,
    Renew,
    Lost(Lost),
}

impl From<Lost> for Stop {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

/// A publish that is handed to rumqttc and not yet answered.
#[derive(Debug)]
enum Sending {
    Hello,
    Farewell,
    Post(Post),
    Event(TopicId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Until the CONNACK.
    Dialing,
    /// Until the SUBACK.
    Subscribing,
    /// Until the echo of our hello.
    Greeting,
    /// Events are drained.
    Open,
    /// We have to stop: nothing but statuses.
    Closing,
}

/// One connection.
pub(super) struct Connection<'l, 'd, D: Drain> {
    lasting: &'l mut Lasting<'d, D>,
    speaker: Speaker,
    granted: Option<Granted>,
    phase: Phase,
    /// When the phase began.
    since: Duration,
    hello_due: bool,
    farewell: Farewell,
    /// Handed over, not yet written.
    queued: VecDeque<Sending>,
    /// Written, not yet answered, by packet identifier.
    sent: HashMap<u16, (Sending, u64)>,
    /// Identifiers in the order in which they were written, each with its running number and when.
    order: VecDeque<(u16, u64, Duration)>,
    written: u64,
    last_id: u16,
    last_heard: Duration,
    latest_next: bool,
    useful: bool,
    /// For saying goodbye.
    patience: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Farewell {
    Unsaid,
    Sent,
    Answered,
}

impl<'l, 'd, D: Drain> Connection<'l, 'd, D> {
    pub(super) fn new(lasting: &'l mut Lasting<'d, D>, speaker: Speaker) -> Self {
        let now = lasting.epoch.elapsed();
        Self {
            lasting,
            speaker,
            granted: None,
            phase: Phase::Dialing,
            since: now,
            hello_due: false,
            farewell: Farewell::Unsaid,
            queued: VecDeque::new(),
            sent: HashMap::new(),
            order: VecDeque::new(),
            written: 0,
            last_id: 0,
            last_heard: now,
            latest_next: false,
            useful: false,
            patience: Duration::ZERO,
        }
    }

    /// Works until the connection is lost or we are asked to stop, and says goodbye then.
    pub(super) async fn run(mut self, mut listener: Listener) -> Ended {
        let stop = self.lasting.stop.clone();
        let asked = stop.cancelled();
        tokio::pin!(asked);
        loop {
            let done = tokio::select! {
                biased;
                () = &mut asked => Err(Stop::Asked),
                done = self.step(&mut listener) => done,
            };
            match done {
                Ok(()) => {}
                Err(Stop::Asked) => {
                    let patience = self.lasting.settings.timing.farewell;
                    self.part(&mut listener, patience).await;
                    return Ended::Stopped;
                }
                Err(Stop::Renew) => {
                    let patience = self.lasting.settings.timing.renewal;
                    return tokio::select! {
                        biased;
                        () = &mut asked => Ended::Stopped,
                        () = self.part(&mut listener, patience) => Ended::Renewed,
                    };
                }
                Err(Stop::Lost(lost)) => return self.lost(lost, &mut listener).await,
            }
        }
    }

    async fn lost(mut self, lost: Lost, listener: &mut Listener) -> Ended {
        for said in listener.last_words() {
            if self.take(said).await.is_err() {
                break;
            }
        }
        let stood = self.phase == Phase::Open && self.now() >= self.since + self.lasting.settings.timing.useful;
        Ended::Lost {
            lost,
            useful: self.useful || stood,
        }
    }

    fn now(&self) -> Duration {
        self.lasting.epoch.elapsed()
    }

    /// Hears one thing, and meanwhile sends what there is.
    async fn step(&mut self, listener: &mut Listener) -> Result<(), Stop> {
        let hear = listener.hear();
        tokio::pin!(hear);
        let said = loop {
            self.fill()?;
            let due = self.lasting.epoch + self.due();
            let open = self.phase == Phase::Open;
            let shared = self.lasting.shared.clone();
            let Lasting {
                feeder,
                window,
                renewals,
                ..
            } = &mut *self.lasting;
            tokio::select! {
                biased;
                () = feeder.feed(window), if open => {}
                Ok(()) = renewals.changed(), if open => self.renewed().await?,
                said = &mut hear => break said?,
                () = shared.posted.notified() => {}
                () = sleep_until(due) => self.overdue().await?,
            }
        };
        self.take(said).await
    }

    /// The files of the session were changed.
    async fn renewed(&mut self) -> Result<(), Stop> {
        let Some(reading) = self.lasting.renewals.borrow_and_update().clone() else {
            return Ok(());
        };
        let (mut sentences, renew) = self.judge(&reading);
        sentences.extend(self.their_date());
        if !self.lasting.tell_files(sentences).await {
            return Err(Stop::Asked);
        }
        if renew { Err(Stop::Renew) } else { Ok(()) }
    }

    /// What is to be said of changed files, and whether the connection is to be made anew with them.
    fn judge(&self, reading: &Reading) -> (Vec<String>, bool) {
        let mut sentences = session::told(reading, true);
        let (Some(running), Some(renewed)) = (&self.lasting.credentials, &reading.credentials) else {
            return (sentences, false);
        };
        if running.same(renewed) {
            return (sentences, false);
        }
        let why_not = running.better_than(renewed, &self.lasting.clock);
        let renew = why_not.is_none();
        sentences.extend(why_not);
        (sentences, renew)
    }

    /// What is to be said of the broker's certificate.
    fn their_date(&self) -> Option<String> {
        let credentials = self.lasting.credentials.as_ref()?;
        credentials
            .encryption
            .as_ref()?
            .their_date(self.lasting.clock.now().wall)
    }

    /// The earliest moment at which something is to be done without anything being said.
    fn due(&self) -> Duration {
        let timing = &self.lasting.settings.timing;
        let mut due = self.last_heard + self.silence();
        match self.phase {
            Phase::Dialing => due = due.min(self.since + timing.connect),
            Phase::Subscribing | Phase::Greeting => due = due.min(self.since + timing.barrier),
            Phase::Closing => due = due.min(self.since + self.patience),
            Phase::Open => {
                if let Some(at) = self.lasting.window.due() {
                    due = due.min(at);
                }
            }
        }
        if let Some(at) = self.lasting.shared.board().due() {
            due = due.min(at.max(self.since));
        }
        if let Some((_, _, at)) = self.order.front() {
            due = due.min(*at + timing.ack);
        }
        due
    }

    /// How long the broker may be silent altogether.
    fn silence(&self) -> Duration {
        let keep_alive = self
            .granted
            .map_or(Duration::from_mins(1), |granted| granted.keep_alive);
        keep_alive * 2 + Duration::from_secs(2)
    }

    async fn overdue(&mut self) -> Result<(), Stop> {
        let now = self.now();
        let timing = self.lasting.settings.timing;
        match self.phase {
            Phase::Dialing if now >= self.since + timing.connect => return Err(refusal::slow().into()),
            Phase::Subscribing if now >= self.since + timing.barrier => {
                self.doubt("the broker has not answered the subscription").await?;
                self.greet(now);
            }
            Phase::Greeting if now >= self.since + timing.barrier => {
                self.doubt("the broker does not give us back what we say on the gateway's status topic; allow this client to read and write it")
                    .await?;
                self.open(false).await?;
            }
            _ => {}
        }
        if let Some((_, _, at)) = self.order.front()
            && now >= *at + timing.ack
        {
            return Err(Lost::broken(
                "the broker takes messages and does not acknowledge them; the connection is made anew",
            )
            .into());
        }
        if now >= self.last_heard + self.silence() {
            return Err(refusal::silent().into());
        }
        Ok(())
    }

    async fn doubt(&mut self, why: &str) -> Result<(), Stop> {
        if self.lasting.told.barrier {
            return Ok(());
        }
        self.lasting.told.barrier = true;
        let sentence = format!("{why}; so it is not certain that each unit was read before events are sent");
        self.tell(Heard::Trouble { topic: None, sentence }).await
    }

    fn greet(&mut self, now: Duration) {
        self.phase = Phase::Greeting;
        self.since = now;
        self.hello_due = true;
    }

    async fn open(&mut self, proven: bool) -> Result<(), Stop> {
        self.phase = Phase::Open;
        self.since = self.now();
        let told = &mut self.lasting.told;
        let had_trouble = told.trouble.take().is_some() || (proven && std::mem::take(&mut told.barrier));
        self.tell(Heard::Ready { proven }).await?;
        if had_trouble {
            self.tell(Heard::Recovered { topic: None }).await?;
        }
        Ok(())
    }

    /// Tells the gateway; waits for room, but not for ever.
    async fn tell(&mut self, what: Heard) -> Result<(), Stop> {
        let what = match self.lasting.heard.try_send(what) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Stop::Asked),
            Err(mpsc::error::TrySendError::Full(what)) => what,
        };
        let wait = self.lasting.settings.timing.heard;
        let told = tokio::select! {
            biased;
            () = self.lasting.stop.cancelled(), if self.phase != Phase::Closing => return Err(Stop::Asked),
            told = timeout(wait, self.lasting.heard.send(what)) => told,
        };
        match told {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Stop::Asked),
            Err(_) => Err(Lost::broken(
                "the gateway is too busy to take what the MES says; the connection is made anew",
            )
            .into()),
        }
    }

    async fn take(&mut self, said: Said) -> Result<(), Stop> {
        if !matches!(
            said,
            Said::Sent(_) | Said::Held | Said::Asked(_) | Said::Parted | Said::Own
        ) {
            self.lasting.shared.note_heard(self.lasting.clock.now());
            self.last_heard = self.now();
        }
        match said {
            Said::Connected(granted) => self.connected(granted).await,
            Said::Sent(id) => self.wrote(id),
            Said::Held => {
                Err(Lost::broken("packet identifiers ran into one another; the connection is made anew").into())
            }
            Said::Asked(id) => {
                self.last_id = id;
                Ok(())
            }
            Said::Answered(id, verdict) => self.answered(id, verdict).await,
            Said::Subscribed(answers) => self.subscribed(&answers).await,
            Said::Message {
                topic,
                payload,
                retained,
            } => self.message(&topic, payload, retained).await,
            Said::Parted | Said::Other | Said::Own => Ok(()),
        }
    }

    async fn connected(&mut self, granted: Granted) -> Result<(), Stop> {
        if granted.receive_maximum == 0 {
            return Err(
                Lost::broken("the broker grants a receive maximum of 0, which MQTT 5 forbids (3.2.2.3.3)").into(),
            );
        }
        self.granted = Some(granted);
        self.lasting.shared.tally.connections.fetch_add(1, Relaxed);
        let limit = self.limit();
        self.lasting.window.connected(limit);
        self.lasting.shared.board().connected();
        let session_present = granted.session_present;
        if let Some(sentence) = self.their_date() {
            let mut sentences = self.lasting.told.files.clone();
            sentences.push(sentence);
            if !self.lasting.tell_files(sentences).await {
                return Err(Stop::Asked);
            }
        }
        self.tell(Heard::Connected { session_present }).await?;
        if !self.speaker.subscribe(&self.filters()) {
            return Err(Lost::broken("a subscription cannot be used; look at topic_prefix").into());
        }
        self.phase = Phase::Subscribing;
        self.since = self.now();
        Ok(())
    }

    fn filters(&self) -> Vec<String> {
        let settings = self.lasting.settings;
        let mut filters = settings.subscriptions.clone();
        filters.push(settings.barrier_topic.clone());
        filters
    }

    /// Publishes of ours, whatever they carry, that may be unacknowledged.
    fn limit(&self) -> usize {
        let broker = self.granted.map_or(0, |granted| granted.receive_maximum);
        usize::from(self.lasting.settings.inflight.min(broker))
    }

    fn wrote(&mut self, id: u16) -> Result<(), Stop> {
        let Some(sending) = self.queued.pop_front() else {
            return Err(Lost::broken("a publish was written that is not ours; the connection is made anew").into());
        };
        if matches!(sending, Sending::Event(_)) {
            self.lasting.shared.tally.published.fetch_add(1, Relaxed);
        }
        self.last_id = id;
        self.written += 1;
        self.order.push_back((id, self.written, self.now()));
        self.sent.insert(id, (sending, self.written));
        Ok(())
    }

    async fn subscribed(&mut self, answers: &[Option<String>]) -> Result<(), Stop> {
        if self.phase != Phase::Subscribing {
            return Ok(());
        }
        let denied: Vec<String> = self
            .filters()
            .into_iter()
            .zip(answers)
            .filter_map(|(filter, answer)| answer.as_ref().map(|why| format!("`{filter}` ({why})")))
            .collect();
        let sentence = (!denied.is_empty()).then(|| {
            let denied = denied.join(", ");
            format!("the broker does not let us listen to {denied}: allow this client to read there")
        });
        if sentence != self.lasting.told.denied {
            self.lasting.told.denied.clone_from(&sentence);
            match sentence {
                Some(sentence) => self.tell(Heard::Trouble { topic: None, sentence }).await?,
                None => self.tell(Heard::Recovered { topic: None }).await?,
            }
        }
        self.greet(self.now());
        Ok(())
    }

    async fn message(&mut self, topic: &[u8], payload: Bytes, retained: bool) -> Result<(), Stop> {
        let settings = self.lasting.settings;
        let Ok(topic) = std::str::from_utf8(topic) else {
            tracing::warn!("a message on a topic that is no UTF-8 is left out");
            return Ok(());
        };
        if topic == settings.barrier_topic {
            // What the broker had kept is the hello of an earlier connection; the echo comes as a live message.
            if self.phase == Phase::Greeting && !self.hello_due && !retained && payload == settings.hello {
                self.open(true).await?;
            }
            if !settings
                .subscriptions
                .iter()
                .any(|filter| rumqttc::matches(topic, filter))
            {
                return Ok(());
            }
        }
        let topic = topic.to_owned();
        let at = self.lasting.clock.now();
        self.tell(Heard::Message {
            topic,
            payload,
            retained,
            at,
        })
        .await
    }

    async fn answered(&mut self, id: u16, verdict: Verdict) -> Result<(), Stop> {
        let Some((sending, _)) = self.sent.remove(&id) else {
            return Ok(());
        };
        while let Some((id, number, _)) = self.order.front()
            && self.sent.get(id).is_none_or(|(_, sent)| sent != number)
        {
            self.order.pop_front();
        }
        match sending {
            Sending::Hello => {
                if let Verdict::Refused(why) | Verdict::NotNow(why) = verdict
                    && self.phase == Phase::Greeting
                {
                    self.doubt(&format!("the gateway's status is refused: {why}")).await?;
                    self.open(false).await?;
                }
                Ok(())
            }
            Sending::Farewell => {
                self.farewell = Farewell::Answered;
                Ok(())
            }
            Sending::Post(post) => self.answered_post(&post, verdict).await,
            Sending::Event(id) => {
                let tally = &self.lasting.shared.tally;
                if matches!(verdict, Verdict::NotNow(_)) {
                    tally.refused.fetch_add(1, Relaxed);
                }
                let now = self.now();
                let ruling = self.lasting.window.answered(id, verdict, now);
                self.rule(ruling).await
            }
        }
    }

    async fn answered_post(&mut self, post: &Post, verdict: Verdict) -> Result<(), Stop> {
        let now = self.now();
        let wait = self.lasting.settings.timing.refused;
        let done = self.lasting.shared.board().answered(post, &verdict, now, wait);
        let tally = &self.lasting.shared.tally;
        match verdict {
            Verdict::Refused(why) if done => {
                let topic = Some(post.topic.clone());
                return self.tell(Heard::Trouble { topic, sentence: why }).await;
            }
            Verdict::Taken | Verdict::NobodyListens if done && post.kind == Kind::Latest => {
                tally.latest.fetch_add(1, Relaxed);
            }
            _ => {}
        }
        Ok(())
    }

    async fn rule(&mut self, ruling: Ruling) -> Result<(), Stop> {
        if let Some(settlement) = ruling.settlement {
            let tally = &self.lasting.shared.tally;
            match settlement.outcome {
                Outcome::Delivered => {
                    self.useful = true;
                    tally.delivered.fetch_add(1, Relaxed)
                }
                Outcome::Resent => {
                    self.useful = true;
                    tally.resent.fetch_add(1, Relaxed)
                }
                Outcome::Rejected { .. } | Outcome::NotResent { .. } => tally.rejected.fetch_add(1, Relaxed),
            };
            self.lasting.feeder.settle(settlement);
        }
        if let Some((topic, sentence)) = ruling.trouble {
            let topic = Some(topic);
            self.tell(Heard::Trouble { topic, sentence }).await?;
        }
        if let Some(topic) = ruling.recovered {
            self.tell(Heard::Recovered { topic: Some(topic) }).await?;
        }
        Ok(())
    }

    /// Whether one more publish may be handed over. rumqttc gives identifiers in turn; one that is still in use
    /// would make it collide with itself, so that one is waited for.
    fn has_room(&self, granted: &Granted) -> bool {
        let flying = self.queued.len() + self.sent.len();
        if flying >= self.limit() || self.queued.len() + 2 > CHANNEL {
            return false;
        }
        let ahead = u32::try_from(self.queued.len()).unwrap_or(u32::MAX);
        let next = (u32::from(self.last_id) + ahead) % u32::from(granted.receive_maximum) + 1;
        u16::try_from(next).is_ok_and(|next| !self.sent.contains_key(&next))
    }

    /// Hands over what there is room for.
    fn fill(&mut self) -> Result<(), Stop> {
        let Some(granted) = self.granted else {
            return Ok(());
        };
        if matches!(self.phase, Phase::Dialing | Phase::Subscribing) {
            return Ok(());
        }
        let now = self.now();
        while self.has_room(&granted) {
            if std::mem::take(&mut self.hello_due) {
                let settings = self.lasting.settings;
                let hello = Bytes::copy_from_slice(&settings.hello);
                self.publish(&settings.barrier_topic, hello, true, false, Sending::Hello)?;
                continue;
            }
            let status = self.lasting.shared.board().next_status(now);
            if let Some(post) = status {
                self.post(post, &granted, now)?;
                continue;
            }
            if self.phase == Phase::Closing {
                if self.farewell == Farewell::Unsaid {
                    self.farewell = Farewell::Sent;
                    let settings = self.lasting.settings;
                    let said = self.lasting.shared.farewell();
                    let payload = said.unwrap_or_else(|| Bytes::copy_from_slice(&settings.will_payload));
                    self.publish(&settings.will_topic, payload, true, false, Sending::Farewell)?;
                }
                return Ok(());
            }
            if self.phase != Phase::Open || !(self.fill_one(&granted, now)? || self.fill_one(&granted, now)?) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Hands over one latest value or one event, in turns. `false`: there is none of that kind.
    fn fill_one(&mut self, granted: &Granted, now: Duration) -> Result<bool, Stop> {
        self.latest_next = !self.latest_next;
        if self.latest_next {
            let latest = self.lasting.shared.board().next_latest(now);
            return match latest {
                Some(post) => self.post(post, granted, now).map(|()| true),
                None => Ok(false),
            };
        }
        if self.lasting.feeder.is_behind() {
            return Ok(false);
        }
        match self.lasting.window.next(now) {
            Some(flight) => self.fly(flight, granted, now).map(|()| true),
            None => Ok(false),
        }
    }

    fn fly(&mut self, flight: Flight, granted: &Granted, now: Duration) -> Result<(), Stop> {
        let letter = Letter {
            topic: &flight.topic,
            payload: flight.body.clone(),
            retained: false,
            event: true,
        };
        if let Some(refused) = self.unsendable(&letter, granted) {
            let ruling = self.lasting.window.answered(flight.id, refused, now);
            if let Some(settlement) = ruling.settlement {
                self.lasting.shared.tally.rejected.fetch_add(1, Relaxed);
                self.lasting.feeder.settle(settlement);
            }
            return Ok(());
        }
        self.publish(&flight.topic, flight.body, false, true, Sending::Event(flight.id))
    }

    fn post(&mut self, post: Post, granted: &Granted, now: Duration) -> Result<(), Stop> {
        let letter = Letter {
            topic: &post.topic,
            payload: post.payload.clone(),
            retained: post.kind == Kind::Status,
            event: post.kind == Kind::Latest,
        };
        if let Some(refused) = self.unsendable(&letter, granted) {
            tracing::warn!(topic = %post.topic, "left out: {refused:?}");
            let wait = self.lasting.settings.timing.refused;
            self.lasting.shared.board().answered(&post, &refused, now, wait);
            return Ok(());
        }
        let Letter {
            payload,
            retained,
            event,
            ..
        } = letter;
        let topic = post.topic.clone();
        self.publish(&topic, payload, retained, event, Sending::Post(post))
    }

    /// Why it cannot be sent on this connection, whatever the broker would say.
    fn unsendable(&self, letter: &Letter<'_>, granted: &Granted) -> Option<Verdict> {
        if !super::settings::is_topic(letter.topic) {
            let topic = letter.topic;
            return Some(Verdict::Refused(format!(
                "`{topic}` is no topic that can be published to"
            )));
        }
        let size = self.speaker.size(letter);
        let most = granted.maximum_packet;
        (size > most).then(|| {
            Verdict::Refused(format!(
                "it takes {size} bytes and the broker accepts {most} at most; raise its maximum packet size"
            ))
        })
    }

    fn publish(
        &mut self,
        topic: &str,
        payload: Bytes,
        retained: bool,
        event: bool,
        sending: Sending,
    ) -> Result<(), Stop> {
        let letter = Letter {
            topic,
            payload,
            retained,
            event,
        };
        if !self.speaker.publish(letter) {
            return Err(Lost::broken("the client does not take publishes; the connection is made anew").into());
        }
        self.queued.push_back(sending);
        Ok(())
    }

    /// Says what statuses there are, the farewell and goodbye. Where that is not possible in time the connection is
    /// just dropped: then the broker publishes the last will.
    async fn part(&mut self, listener: &mut Listener, patience: Duration) {
        if self.granted.is_none() {
            return;
        }
        self.phase = Phase::Closing;
        self.since = self.now();
        self.patience = patience;
        let deadline = self.lasting.epoch + self.since + patience;
        // A connection that is made anew at once waits for what is under way, so that nothing is sent twice.
        let renewing = !self.lasting.stop.is_cancelled();
        let parting = async {
            while self.farewell != Farewell::Answered
                || self.lasting.shared.board().unsaid_statuses() > 0
                || (renewing && !self.sent.is_empty())
            {
                if self.step(listener).await.is_err() {
                    return;
                }
            }
            if self.speaker.part() {
                while let Ok(said) = listener.hear().await {
                    if said == Said::Parted {
                        return;
                    }
                    if self.take(said).await.is_err() {
                        return;
                    }
                }
            }
        };
        if tokio::time::timeout_at(deadline, parting).await.is_err() {
            tracing::debug!("no time to say goodbye to the broker");
        }
    }
}
