//! Session: one connection after the other, for as long as the gateway runs.

use super::connection::{Connection, Ended, Lasting, Told};
use super::feeder::Feeder;
use super::link::{self, secrets::Secrets};
use super::outbound::{Outbound, Shared};
use super::refusal::Lost;
use super::window::{Waits, Window};
use super::{Drain, Heard, Settings, SettingsFault};
use crate::backoff::Backoff;
use crate::clock::Clock;
use std::future::Future;
use std::sync::Arc;
use tokio::sync::mpsc;
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
        let mut lasting = Lasting {
            settings: &self.settings,
            shared: self.shared,
            clock: self.clock,
            heard: self.heard,
            window: Window::new(self.settings.require_subscriber, waits),
            feeder: Feeder::new(&self.drain),
            epoch: Instant::now(),
            told: Told::default(),
            stop: stop.clone(),
        };
        let mut backoff = Backoff::new(timing.reconnect.0, timing.reconnect.1);
        loop {
            match connect(&mut lasting).await {
                Ended::Stopped => break,
                Ended::Lost { lost, useful } => {
                    if useful {
                        backoff.reset();
                    }
                    if !pause(&mut lasting, lost, &mut backoff).await {
                        break;
                    }
                }
            }
        }
        if timeout(timing.farewell, lasting.feeder.finish()).await.is_err() {
            tracing::warn!("the store has not taken note in time of what was delivered; it will be sent again");
        }
    }
}

async fn connect<D: Drain>(lasting: &mut Lasting<'_, D>) -> Ended {
    let lost = |lost| Ended::Lost { lost, useful: false };
    let stop = lasting.stop.clone();
    if stop.is_cancelled() || !tell(&lasting.stop, &lasting.heard, Heard::Connecting).await {
        return Ended::Stopped;
    }
    let settings = lasting.settings.clone();
    let reading = tokio::task::spawn_blocking(move || Secrets::read(&settings));
    let read = tokio::select! {
        () = stop.cancelled() => return Ended::Stopped,
        read = reading => read,
    };
    let secrets = match read {
        Ok(Ok(secrets)) => secrets,
        Ok(Err(fault)) => return lost(fault),
        Err(error) => return lost(Lost::broken(format!("reading the files of [mqtt] failed: {error}"))),
    };
    let (speaker, listener) = link::open(lasting.settings, secrets);
    // On the heap: rumqttc's futures are large.
    Box::pin(Connection::new(lasting, speaker).run(listener)).await
}

/// After a connection was lost: says so, and waits. `false`: stop.
async fn pause<D: Drain>(lasting: &mut Lasting<'_, D>, lost: Lost, backoff: &mut Backoff) -> bool {
    let ruling = lasting.window.disconnected(lasting.epoch.elapsed());
    lasting.feeder.disconnected();
    let retry_in = backoff.wait();
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
    tokio::select! {
        biased;
        () = lasting.stop.cancelled() => false,
        () = lasting.heard.closed() => false,
        () = sleep(retry_in) => true,
        () = lasting.feeder.only_settle() => true,
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
