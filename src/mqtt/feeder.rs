//! Feeder: between the window and the drain. Owns the one fetch and the one settling under way.

use super::window::Window;
use super::{Drain, Fetch, Ready, Settlement};
use std::future::{Future, pending};
use std::pin::Pin;
use tokio::sync::watch;

/// Settlements not yet begun, above which nothing more is published.
const BEHIND: usize = 8_192;

type Doing<'d, T> = Pin<Box<dyn Future<Output = T> + Send + 'd>>;

/// Fetches and settles, one of each at a time.
pub(super) struct Feeder<'d, D: Drain> {
    drain: &'d D,
    changed: watch::Receiver<u64>,
    /// The sender of `changed` is gone.
    closed: bool,
    fetching: Option<(Doing<'d, Vec<Ready>>, bool)>,
    settling: Option<Doing<'d, ()>>,
    settled: Vec<Settlement>,
    hunger: Hunger,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Hunger {
    /// There may be something that was not fetched.
    Any,
    /// Only topics that were skipped have more: ask again when this little is held.
    Below(usize),
    /// All was fetched.
    None,
}

impl<'d, D: Drain> Feeder<'d, D> {
    pub(super) fn new(drain: &'d D) -> Self {
        Self {
            drain,
            changed: drain.changed(),
            closed: false,
            fetching: None,
            settling: None,
            settled: Vec::new(),
            hunger: Hunger::Any,
        }
    }

    /// Takes a settlement to be told to the drain.
    pub(super) fn settle(&mut self, settlement: Settlement) {
        self.settled.push(settlement);
    }

    /// Whether the drain is so far behind with settling that publishing has to wait.
    pub(super) fn is_behind(&self) -> bool {
        self.settled.len() >= BEHIND
    }

    /// Forgets the fetch under way: what it brings was asked for before the connection broke.
    pub(super) fn disconnected(&mut self) {
        self.fetching = None;
        self.hunger = Hunger::Any;
    }

    /// Starts what can be started.
    fn start(&mut self, window: &Window) {
        if self.settling.is_none() && !self.settled.is_empty() {
            let batch = std::mem::take(&mut self.settled);
            let drain = self.drain;
            self.settling = Some(Box::pin(async move { drain.settle(batch).await }));
        }
        let hungry = match self.hunger {
            Hunger::Any => true,
            Hunger::Below(held) => window.held() <= held,
            Hunger::None => false,
        };
        if hungry
            && self.fetching.is_none()
            && let Some(request) = window.wanted()
        {
            // An append from here on is seen as a change, whether this fetch brings it or not.
            self.changed.mark_unchanged();
            self.hunger = Hunger::Any;
            self.fetching = Some(self.fetch(request));
        }
    }

    fn fetch(&self, request: Fetch) -> (Doing<'d, Vec<Ready>>, bool) {
        let skipped = !request.skip.is_empty() || !request.again.1.is_empty();
        let drain = self.drain;
        (Box::pin(async move { drain.fetch(request).await }), skipped)
    }

    /// Fetches and settles until the window holds something new. May be dropped at any time.
    pub(super) async fn feed(&mut self, window: &mut Window) {
        loop {
            self.start(window);
            tokio::select! {
                biased;
                () = working(self.settling.as_mut()) => self.settling = None,
                (events, skipped) = fetched(self.fetching.as_mut()) => {
                    self.fetching = None;
                    if events.is_empty() {
                        self.starve(skipped, window.held());
                        continue;
                    }
                    window.offer(events);
                    return;
                }
                // What changes while a fetch is under way is seen when it is over.
                open = changed(&mut self.changed, self.closed), if self.fetching.is_none() => {
                    self.closed = !open;
                    self.hunger = Hunger::Any;
                }
            }
        }
    }

    /// The drain had nothing more.
    fn starve(&mut self, skipped: bool, held: usize) {
        self.hunger = if skipped { Hunger::Below(held / 2) } else { Hunger::None };
    }

    /// Settles what is left, and never returns.
    pub(super) async fn only_settle(&mut self) {
        self.finish().await;
        pending::<()>().await;
    }

    /// Settles what is left.
    pub(super) async fn finish(&mut self) {
        loop {
            if let Some(doing) = self.settling.as_mut() {
                doing.await;
                self.settling = None;
            }
            if self.settled.is_empty() {
                return;
            }
            let batch = std::mem::take(&mut self.settled);
            let drain = self.drain;
            self.settling = Some(Box::pin(async move { drain.settle(batch).await }));
        }
    }
}

async fn working(doing: Option<&mut Doing<'_, ()>>) {
    match doing {
        Some(doing) => doing.await,
        None => pending().await,
    }
}

async fn fetched(doing: Option<&mut (Doing<'_, Vec<Ready>>, bool)>) -> (Vec<Ready>, bool) {
    match doing {
        Some((doing, skipped)) => (doing.await, *skipped),
        None => pending().await,
    }
}

/// Whether there was a change; `false`: nobody is left to make one.
async fn changed(receiver: &mut watch::Receiver<u64>, closed: bool) -> bool {
    if closed {
        pending().await
    } else {
        receiver.changed().await.is_ok()
    }
}
