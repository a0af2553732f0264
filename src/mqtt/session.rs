//! Session: one connection after the other, for as long as the gateway runs.

use super::connection::{Connection, Ended, Lasting, Told};
use super::credentials::{self, Reading, Weight};
use super::feeder::Feeder;
use super::link;
use super::outbound::{Outbound, Shared};
use super::refusal::Lost;
use super::renewal;
use super::window::{Waits, Window};
use super::{Drain, Heard, Settings, SettingsFault};
use crate::backoff::Backoff;
use crate::clock::Clock;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// What was heard and not yet taken, at most.
const HEARD: usize = 1_024;

/// A session that does not yet run.
#[derive(Debug)]
pub struct Session<D: Drain> {
    settings: Settings,
    drain: D,
    clock: Clock,
    shared: Arc<Shared>,
    heard: mpsc::Sender<Heard>,
}

/// Makes a session. Connects to nothing before [`Session::run`].
///
/// # Errors
/// Settings that cannot be used.
pub fn session<D: Drain>(
    settings: Settings,
    drain: D,
    clock: Clock,
) -> Result<(Outbound, mpsc::Receiver<Heard>, Session<D>), SettingsFault> {
    settings.check()?;
    let shared = Arc::new(Shared::default());
    let (heard, receiver) = mpsc::channel(HEARD);
    let session = Session {
        settings,
        drain,
        clock,
        shared: shared.clone(),
        heard,
    };
    Ok((Outbound::new(shared), receiver, session))
}

impl<D: Drain> Session<D> {
    /// What is said, retained, on the gateway's status topic at each connect, and what the broker says there, when
    /// the connection is lost. Both are often not known when the session is made.
    pub fn introduce(&mut self, hello: impl Into<Vec<u8>>, will: impl Into<Vec<u8>>) {
        self.settings.hello = hello.into();
        self.settings.will_payload = will.into();
    }

    /// Connects, drains, and connects again, until `stop` is cancelled or nobody takes what is heard.
    /// After `stop` it says goodbye, settles what was acknowledged, and returns within about half a second.
    pub fn run(self, stop: CancellationToken) -> impl Future<Output = ()> + Send {
        self.run_until(stop)
    }

    async fn run_until(self, stop: CancellationToken) {
        let timing = self.settings.timing;
        let waits = Waits {
            refused: timing.refused,
            poison: timing.poison,
        };
        let (news, renewals) = watch::channel(None);
        let files = tokio::select! {
            () = stop.cancelled() => return,
            files = renewal::first(&self.settings) => files,
        };
        let mut lasting = Lasting {
            settings: &self.settings,
            shared: self.shared,
            clock: self.clock.clone(),
            heard: self.heard,
            window: Window::new(self.settings.require_subscriber, waits),
            feeder: Feeder::new(&self.drain),
            epoch: Instant::now(),
            told: Told::default(),
            stop,
            renewals,
            credentials: None,
        };
        tokio::select! {
            () = connections(&mut lasting) => {}
            () = renewal::watch(&self.settings, &self.clock, files, news) => {}
        }
        if timeout(timing.farewell, lasting.feeder.finish()).await.is_err() {
            tracing::warn!("the store has not taken note in time of what was delivered; it will be sent again");
        }
    }
}

/// One connection after the other, until asked to stop.
async fn connections<D: Drain>(lasting: &mut Lasting<'_, D>) {
    let timing = lasting.settings.timing;
    let mut backoff = Backoff::new(timing.reconnect.0, timing.reconnect.1);
    let mut helpless = Backoff::new(timing.helpless.0, timing.helpless.1);
    loop {
        match connect(lasting).await {
            Ended::Stopped => return,
            Ended::Renewed => {
                let reason = "the files of [mqtt] were changed: the connection is made anew with them";
                if !part(lasting, Lost::broken(reason), Duration::ZERO).await {
                    return;
                }
            }
            Ended::Lost { lost, useful } => {
                if useful {
                    backoff.reset();
                }
                if useful || !lost.needs_help {
                    helpless.reset();
                }
                let retry_in = if lost.needs_help {
                    helpless.wait()
                } else {
                    backoff.wait()
                };
                if !(part(lasting, lost, retry_in).await && pause(lasting, retry_in).await) {
                    return;
                }
            }
        }
    }
}

async fn connect<D: Drain>(lasting: &mut Lasting<'_, D>) -> Ended {
    let lost = |lost| Ended::Lost { lost, useful: false };
    let stop = lasting.stop.clone();
    if stop.is_cancelled() || !tell(&lasting.stop, &lasting.heard, Heard::Connecting).await {
        return Ended::Stopped;
    }
    // What changes from here on is news again.
    lasting.renewals.mark_unchanged();
    let (settings, clock) = (lasting.settings.clone(), lasting.clock.clone());
    let reading = tokio::task::spawn_blocking(move || credentials::read(&settings, &clock));
    let read = tokio::select! {
        () = stop.cancelled() => return Ended::Stopped,
        read = reading => read,
    };
    let reading = match read {
        Ok(reading) => reading,
        Err(error) => return lost(Lost::broken(format!("reading the files of [mqtt] failed: {error}"))),
    };
    let sentences = told(&reading, lasting.credentials.is_some());
    if !lasting.tell_files(sentences).await {
        return Ended::Stopped;
    }
    match (
        reading.worst(Weight::Unusable).map(ToString::to_string),
        reading.credentials,
    ) {
        (_, Some(credentials)) => lasting.credentials = Some(Arc::new(credentials)),
        (fault, None) if lasting.credentials.is_none() => {
            return lost(Lost::refused(
                fault.unwrap_or_else(|| "the files of [mqtt] cannot be used".to_owned()),
            ));
        }
        _ => {}
    }
    let Some(credentials) = lasting.credentials.clone() else {
        return Ended::Stopped;
    };
    let now = lasting.clock.now().wall;
    let (speaker, listener) = link::open(lasting.settings, &credentials, now);
    // On the heap: rumqttc's futures are large.
    Box::pin(Connection::new(lasting, speaker).run(listener)).await
}

/// What is to be said of the files. `going_on`: a former reading is still of use.
pub(super) fn told(reading: &Reading, going_on: bool) -> Vec<String> {
    let sentence = |finding: &credentials::Finding| match finding.weight {
        Weight::Unusable if going_on => format!("{finding}; until then the former files stay in use"),
        _ => finding.to_string(),
    };
    reading.findings.iter().map(sentence).collect()
}

/// After a connection has ended: says so. `false`: stop.
async fn part<D: Drain>(lasting: &mut Lasting<'_, D>, lost: Lost, retry_in: Duration) -> bool {
    let ruling = lasting.window.disconnected(lasting.epoch.elapsed());
    lasting.feeder.disconnected();
    let Lost { reason, needs_help } = lost;
    let sentence = reason.clone();
    if !tell(&lasting.stop, &lasting.heard, Heard::Disconnected { reason, retry_in }).await {
        return false;
    }
    if needs_help && lasting.told.trouble.as_ref() != Some(&sentence) {
        lasting.told.trouble = Some(sentence.clone());
        if !tell(&lasting.stop, &lasting.heard, Heard::Trouble { topic: None, sentence }).await {
            return false;
        }
    }
    if let Some((topic, sentence)) = ruling.trouble {
        let topic = Some(topic);
        if !tell(&lasting.stop, &lasting.heard, Heard::Trouble { topic, sentence }).await {
            return false;
        }
    }
    true
}

/// Waits, but not for files that were mended meanwhile. `false`: stop.
async fn pause<D: Drain>(lasting: &mut Lasting<'_, D>, retry_in: Duration) -> bool {
    tokio::select! {
        biased;
        () = lasting.stop.cancelled() => false,
        () = lasting.heard.closed() => false,
        () = sleep(retry_in) => true,
        Ok(()) = lasting.renewals.changed() => true,
        () = lasting.feeder.only_settle() => true,
    }
}

impl<D: Drain> Lasting<'_, D> {
    /// Says what is to be said of the files, where that is something else than before. `false`: stop.
    pub(super) async fn tell_files(&mut self, sentences: Vec<String>) -> bool {
        if sentences == self.told.files {
            return true;
        }
        self.told.files.clone_from(&sentences);
        tell(&self.stop, &self.heard, Heard::Files { sentences }).await
    }
}

/// Tells the gateway, waiting for room. `false`: stop.
async fn tell(stop: &CancellationToken, to: &mpsc::Sender<Heard>, what: Heard) -> bool {
    tokio::select! {
        biased;
        () = stop.cancelled() => false,
        sent = to.send(what) => sent.is_ok(),
    }
}
