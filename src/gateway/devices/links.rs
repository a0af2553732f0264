//! The links that run: which slots share one, and how one is started and ended while the others go on.
//!
//! Owns the drivers' tasks. Does not own what they are to read ([`super::judge`]) nor what they report.

use crate::clock::Clock;
use crate::device::{self, SlotStart};
use crate::gateway::control::Ends;
use crate::gateway::setup::SlotSetup;
use crate::gateway::triggers::States;
use crate::model::plan::SlotPlan;
use crate::model::{Report, SlotName};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

/// A driver has this long to give the acknowledgements that it owes, before its link is cut.
const GOOD_ORDER: Duration = Duration::from_secs(3);

/// One link.
#[derive(Debug)]
struct Running {
    plans: Vec<Arc<SlotPlan>>,
    /// `None`: it ended by itself.
    task: Option<Id>,
    ending: CancellationToken,
    stop: CancellationToken,
}

/// Every link.
pub(in crate::gateway) struct Links {
    tasks: JoinSet<()>,
    running: Vec<Running>,
    reports: mpsc::Sender<Report>,
    clock: Clock,
    stop: CancellationToken,
    home: PathBuf,
    ends: Ends,
}

/// Slots with a device, by the link that they share.
fn groups(slots: &[SlotSetup]) -> Vec<Vec<Arc<SlotPlan>>> {
    let starts = slots.iter().filter_map(|slot| slot.plan.clone()).map(|plan| SlotStart {
        plan,
        states: std::collections::HashMap::new(),
    });
    let groups = device::group(starts.collect());
    groups
        .into_iter()
        .map(|group| group.into_iter().map(|start| start.plan).collect())
        .collect()
}

fn same(a: &[Arc<SlotPlan>], b: &[Arc<SlotPlan>]) -> bool {
    a.len() == b.len() && a.iter().all(|plan| b.iter().any(|other| Arc::ptr_eq(plan, other)))
}

impl Links {
    /// None yet. `stop` ends all of them; `home`: a folder of the gateway's own, for what drivers keep.
    pub(in crate::gateway) fn new(
        reports: mpsc::Sender<Report>,
        clock: Clock,
        stop: CancellationToken,
        home: PathBuf,
        ends: Ends,
    ) -> Self {
        Self {
            tasks: JoinSet::new(),
            running: Vec::new(),
            reports,
            clock,
            stop,
            home,
            ends,
        }
    }

    /// Ends every link that `slots` do not want as it is, in good order: what is read is committed and acknowledged. Returns
    /// the slots that were on them.
    pub(in crate::gateway) async fn end_unwanted(&mut self, slots: &[SlotSetup]) -> Vec<SlotName> {
        let wanted = groups(slots);
        let (keep, mut ended): (Vec<_>, Vec<_>) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|running| wanted.iter().any(|group| same(group, &running.plans)));
        self.running = keep;
        for running in &ended {
            running.ending.cancel();
        }
        let mut names = Vec::new();
        let mut left: Vec<Id> = ended.iter().filter_map(|running| running.task).collect();
        let deadline = tokio::time::sleep(GOOD_ORDER);
        tokio::pin!(deadline);
        let mut cut = false;
        while !left.is_empty() {
            tokio::select! {
                () = &mut deadline, if !cut => {
                    cut = true;
                    for running in &ended {
                        running.stop.cancel();
                    }
                }
                joined = self.tasks.join_next_with_id() => match joined {
                    Some(Ok((id, ()))) => {
                        left.retain(|task| *task != id);
                        self.forget(id);
                    }
                    Some(Err(fault)) => {
                        tracing::error!("a driver: {fault}");
                        left.retain(|task| *task != fault.id());
                        self.forget(fault.id());
                    }
                    None => break,
                },
            }
        }
        for running in ended.drain(..) {
            for plan in &running.plans {
                self.ends.remove(&plan.slot);
                names.push(plan.slot.clone());
            }
        }
        names
    }

    /// What was exchanged last with the device of a slot that is replaced is kept.
    pub(in crate::gateway) async fn keep(&self, slot: &SlotName) {
        self.ends.keep(slot).await;
    }

    /// Starts every link that `slots` want and that does not run.
    pub(in crate::gateway) fn start_wanted(&mut self, slots: &[SlotSetup], mut states: States) {
        for plans in groups(slots) {
            if self.running.iter().any(|running| same(&plans, &running.plans)) {
                continue;
            }
            let starts: Vec<SlotStart> = plans
                .iter()
                .map(|plan| SlotStart {
                    plan: plan.clone(),
                    states: states.remove(&plan.slot).unwrap_or_default(),
                })
                .collect();
            let mut service = self.ends.add(&starts, slots);
            service.home = Some(self.home.clone());
            let (ending, stop) = (service.ending.clone(), self.stop.child_token());
            let run = device::run_link(starts, self.reports.clone(), self.clock.clone(), stop.clone(), service);
            let task = self.tasks.spawn(run).id();
            self.running.push(Running {
                plans,
                task: Some(task),
                ending,
                stop,
            });
        }
    }

    /// Answered once everything that was reported up to now is durable; `false`: the gateway ends.
    pub(in crate::gateway) async fn all_durable(&self) -> bool {
        let (durable, answered) = tokio::sync::oneshot::channel();
        self.reports.send(Report::Barrier(durable)).await.is_ok() && answered.await.is_ok()
    }

    /// Passes on what is reported of a slot by the gateway itself.
    pub(in crate::gateway) async fn report(&self, report: Report) -> bool {
        self.reports.send(report).await.is_ok()
    }

    /// Waits until a driver ended by itself: it should not. Never returns where there is none.
    pub(in crate::gateway) async fn ended(&mut self) -> Option<tokio::task::JoinError> {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => {
                self.forget(id);
                None
            }
            Some(Err(fault)) => Some(fault),
            None => std::future::pending().await,
        }
    }

    fn forget(&mut self, id: Id) {
        for running in self.running.iter_mut().filter(|running| running.task == Some(id)) {
            running.task = None;
        }
    }

    /// After `stop`: waits for all drivers; those that do not let go in time are cut.
    pub(in crate::gateway) async fn all_end(&mut self, within: Duration) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(within, all).await.is_err() {
            tracing::warn!("a device did not let go of its link in time");
            self.tasks.abort_all();
            while self.tasks.join_next().await.is_some() {}
        }
    }
}
