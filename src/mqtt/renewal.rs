//! Renewal: notices that certificates, keys or the password were changed, and that nobody writes them any more.
//!
//! Owns when files are read again while a connection stands, and what was told of them. Does not own what is done
//! then ([`super::session`], [`super::connection`]).

use super::Settings;
use super::credentials::{self, Reading, Stamp};
use crate::clock::Clock;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Unchanged files are read again this often, so that what expires is told in time.
const REREAD: Duration = Duration::from_hours(12);

/// The newest that the files held since the session began; `None`: they have not changed since.
pub(super) type News = watch::Receiver<Option<Arc<Reading>>>;

/// How the files stand before they are read for the first time.
pub(super) async fn first(settings: &Settings) -> Stamp {
    let files = Stamp::files(settings);
    let taken = tokio::task::spawn_blocking(move || Stamp::take(&files)).await;
    taken.unwrap_or_default()
}

/// Looks at the files for as long as it is polled, and sends what they hold once a change since `read` has settled.
pub(super) async fn watch(
    settings: &Settings,
    clock: &Clock,
    mut read: Stamp,
    news: watch::Sender<Option<Arc<Reading>>>,
) {
    let files = Stamp::files(settings);
    if files.is_empty() {
        return std::future::pending().await;
    }
    let mut look = interval(settings.timing.files);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before: Option<Stamp> = None;
    let mut due = Instant::now() + REREAD;
    loop {
        look.tick().await;
        let paths = files.clone();
        let Ok(stamp) = tokio::task::spawn_blocking(move || Stamp::take(&paths)).await else {
            continue;
        };
        let settled = before.replace(stamp.clone()).as_ref() == Some(&stamp);
        let changed = settled && read != stamp;
        if !changed && Instant::now() < due {
            continue;
        }
        due = Instant::now() + REREAD;
        read = stamp;
        let (settings, clock) = (settings.clone(), clock.clone());
        if let Ok(reading) = tokio::task::spawn_blocking(move || credentials::read(&settings, &clock)).await {
            news.send_replace(Some(Arc::new(reading)));
        }
    }
}
