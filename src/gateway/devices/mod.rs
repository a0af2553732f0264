//! Devices while the gateway runs: their files are read again when they change, checked, and the link of a slot is switched.
//!
//! Owns which device fills which slot now, the links ([`links`]) and the last accepted texts ([`accepted`]). What is read of a
//! file is [`crate::profile`]'s; what becomes of events and trigger states is the committer's. A switch is this: the new
//! text is kept, the old link ends in good order, everything it reported is durable, the committer takes the new profile
//! with the change that tells of it, and the new link begins with the stored states. Nothing is said under two profiles.

pub mod accepted;
pub mod folder;
pub(super) mod judge;
mod links;

use super::changes::{self, What};
use super::overlay::Overlay;
use super::setup::SlotSetup;
use super::store::{Install, Request, Store, Told};
use super::triggers::States;
use crate::clock::Clock;
use crate::config::Config;
use crate::diagnostic::{Diagnostics, Source};
use crate::model::sample::TriggerState;
use crate::model::{DeviceIdentity, Report, SlotName};
use accepted::Accepted;
use folder::{Settling, Signature, Texts, signature};
use judge::{Acceptance, Approval, Held, Refusal, Verdict, judge};
pub(super) use links::Links;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long drivers have to end after a stop.
const DRIVERS_END: Duration = Duration::from_millis(700);
/// Under this name the status tells of a file that is not taken.
const ABOUT: &str = "device file";
/// Code of the alarm.
const REFUSED: &str = "device_file_refused";

/// What the gateway knows of its files.
#[derive(Debug, Clone)]
pub(super) struct Files {
    /// `[gateway] profiles`.
    pub(super) profiles: PathBuf,
    /// `[gateway] state_dir`.
    pub(super) state_dir: PathBuf,
    /// gateway.toml, and its text at the start.
    pub(super) config: PathBuf,
    pub(super) source: Arc<Source>,
    /// `[gateway] require_lock`.
    pub(super) require_lock: bool,
}

impl Files {
    pub(super) fn new(config: &Config, file: &Path, source: Arc<Source>) -> Self {
        Self {
            profiles: config.gateway.profiles.clone(),
            state_dir: config.gateway.state_dir.clone(),
            config: file.to_owned(),
            source,
            require_lock: config.gateway.require_lock,
        }
    }

    fn lock(&self) -> PathBuf {
        super::lock::file(&self.config)
    }

    /// What is approved now. Blocking.
    pub(super) fn approval(&self) -> Approval {
        Approval::read(self.require_lock, &self.lock())
    }

    fn signature(&self) -> Signature {
        signature(&self.profiles, &[self.lock()])
    }
}

/// All devices.
pub(super) struct Devices {
    files: Files,
    held: Vec<Held>,
    links: Links,
    store: Store,
    clock: Clock,
}

/// What was read, and what is to be done about it.
struct Judged {
    signature: Signature,
    verdicts: Vec<Verdict>,
}

impl Devices {
    pub(super) fn new(files: Files, held: Vec<Held>, links: Links, store: Store, clock: Clock) -> Self {
        Self {
            files,
            held,
            links,
            store,
            clock,
        }
    }

    /// Starts the links and looks after them until `stop`. An error is a driver that failed: the process ends by it.
    pub(super) async fn run(
        mut self,
        states: States,
        hangup: Arc<Notify>,
        stop: CancellationToken,
    ) -> Result<(), String> {
        let ended = tokio::select! {
            () = stop.cancelled() => Ok(()),
            ended = self.look_after(states, hangup) => ended,
        };
        stop.cancel();
        self.links.all_end(DRIVERS_END).await;
        ended
    }

    async fn look_after(&mut self, states: States, hangup: Arc<Notify>) -> Result<(), String> {
        self.links.start_wanted(&self.setups(), states);
        for slot in 0..self.held.len() {
            let refused = self.held.get(slot).and_then(|held| held.refused.clone());
            if let Some(refusal) = refused {
                self.tell_refused(slot, &refusal).await;
            }
        }
        // What was written while the gateway started is found by a first look at everything.
        let mut settling = Settling::new(self.clock.now());
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                fault = self.links.ended() => match fault {
                    Some(fault) => return Err(fault.to_string()),
                    None => continue,
                },
                _ = look.tick() => false,
                () = hangup.notified() => true,
            };
            if asked {
                self.look_at_config().await?;
            }
            let files = self.files.clone();
            let seen = blocking(move || files.signature()).await?;
            if !settling.see(seen, self.clock.now()) && !asked {
                continue;
            }
            if let Some(judged) = self.judge().await? {
                settling.judged(judged.signature);
                let changed = self.apply(judged.verdicts).await?;
                if asked && !changed {
                    tracing::info!("SIGHUP: every device file is as it was");
                }
            }
        }
    }

    fn setups(&self) -> Vec<SlotSetup> {
        self.held.iter().map(|held| held.setup.clone()).collect()
    }

    /// Says whether gateway.toml is otherwise than at the start: that needs a restart.
    async fn look_at_config(&self) -> Result<(), String> {
        let (path, was) = (self.files.config.clone(), self.files.source.clone());
        let told = blocking(move || {
            let text = std::fs::read_to_string(&path).map_err(|fault| fault.to_string());
            match text {
                Ok(text) if text == was.text => None,
                Ok(_) => {
                    let mut out = Diagnostics::new();
                    super::setup::configuration(&path, &mut out);
                    let faults = if out.has_errors() {
                        format!(", which would fail:\n{}", out.render(false))
                    } else {
                        String::new()
                    };
                    Some(format!("{} has changed: it takes a restart{faults}", path.display()))
                }
                Err(fault) => Some(format!(
                    "cannot read {}: {fault}; the gateway goes on with what it read at its start",
                    path.display()
                )),
            }
        });
        if let Some(told) = told.await? {
            tracing::warn!("SIGHUP: {told}");
        }
        Ok(())
    }

    /// Reads everything again. `None` where it changed meanwhile: it is read again once it has settled.
    async fn judge(&self) -> Result<Option<Judged>, String> {
        let (files, held, now) = (self.files.clone(), self.held.clone(), self.clock.now().rfc3339());
        blocking(move || {
            let signature = files.signature();
            let texts = Texts::new(Overlay::new(), &files.profiles);
            let verdicts = judge(&files.profiles, &held, &texts, &files.approval(), &now);
            (files.signature() == signature).then_some(Judged { signature, verdicts })
        })
        .await
    }

    /// Does what was decided. Whether anything is otherwise than before.
    async fn apply(&mut self, verdicts: Vec<Verdict>) -> Result<bool, String> {
        let mut accepted: Vec<(usize, Acceptance)> = Vec::new();
        let mut gone = Vec::new();
        let mut changed = false;
        for (index, verdict) in verdicts.into_iter().enumerate() {
            match verdict {
                Verdict::Refuse(refusal) => changed |= self.tell_refused(index, &refusal).await,
                Verdict::Same => changed |= self.tell_good(index).await,
                Verdict::Text(text) => {
                    changed |= self.tell_good(index).await;
                    self.keep(index, text).await?;
                }
                Verdict::Accept(acceptance) => {
                    self.tell_good(index).await;
                    accepted.push((index, *acceptance));
                }
                Verdict::Gone => {
                    self.tell_good(index).await;
                    gone.push(index);
                }
            }
        }
        if accepted.is_empty() && gone.is_empty() {
            return Ok(changed);
        }
        self.switch(accepted, gone).await?;
        Ok(true)
    }

    fn slot(&self, index: usize) -> Option<SlotName> {
        Some(self.held.get(index)?.setup.contract.slot.clone())
    }

    async fn keep(&mut self, index: usize, text: Accepted) -> Result<(), String> {
        let Some(slot) = self.slot(index) else { return Ok(()) };
        let (home, kept) = (self.files.state_dir.clone(), text.clone());
        let name = slot.clone();
        if let Err(fault) = blocking(move || kept.write(&home, &name)).await? {
            tracing::error!("{slot}: its accepted text cannot be kept: {fault}");
        }
        if let Some(held) = self.held.get_mut(index) {
            held.accepted = Some(text);
        }
        Ok(())
    }

    /// The file of a slot is not taken: the log, the status and an alarm say why, once.
    async fn tell_refused(&mut self, index: usize, refusal: &Refusal) -> bool {
        let Some(held) = self.held.get_mut(index) else {
            return false;
        };
        let slot = held.setup.contract.slot.clone();
        // How it is shown may differ: at the start all that is wrong was shown before.
        let told = held.told
            && held
                .refused
                .as_ref()
                .is_some_and(|before| before.sentence == refusal.sentence);
        held.refused = Some(refusal.clone());
        held.told = true;
        if told {
            return false;
        }
        let goes_on = if held.setup.profile.is_some() {
            "the device goes on as before"
        } else {
            "the slot stays offline"
        };
        let sentence = format!("its device file is not taken, {goes_on}: {}", refusal.sentence);
        // The sentence stands in the log with the alarm.
        if refusal.shown != refusal.sentence {
            tracing::warn!("{slot}: all that is wrong with its device file:\n{}", refusal.shown);
        }
        self.trouble(slot.clone(), Some(sentence.clone())).await;
        self.alarm(slot, true, sentence).await;
        true
    }

    /// The file of a slot can be used (again).
    async fn tell_good(&mut self, index: usize) -> bool {
        let Some(held) = self.held.get_mut(index) else {
            return false;
        };
        held.told = false;
        if held.refused.take().is_none() {
            return false;
        }
        let slot = held.setup.contract.slot.clone();
        tracing::info!("{slot}: its device file is good again");
        self.trouble(slot.clone(), None).await;
        self.alarm(slot, false, "its device file is good again".to_owned())
            .await;
        true
    }

    async fn trouble(&self, slot: SlotName, sentence: Option<String>) {
        let request = Request::SlotTrouble {
            slot,
            about: ABOUT,
            sentence,
        };
        if self.store.requests.send(request).await.is_err() {
            tracing::debug!("the store has ended");
        }
    }

    async fn alarm(&self, slot: SlotName, active: bool, text: String) {
        let at = self.clock.now();
        let report = Report::Alarm {
            slot,
            code: REFUSED,
            active,
            text,
            at,
        };
        if !self.links.report(report).await {
            tracing::debug!("the store has ended");
        }
    }

    /// Switches slots to other devices, or to none.
    async fn switch(&mut self, accepted: Vec<(usize, Acceptance)>, gone: Vec<usize>) -> Result<(), String> {
        let now = self.clock.now().rfc3339();
        let installs = self.installs(accepted, gone);
        let (files, log) = (self.files.clone(), installs.clone());
        let told = blocking(move || write_down(&files, &log, &now)).await?;
        let setups = self.setups();
        let ended = self.links.end_unwanted(&setups).await;
        if !self.links.all_durable().await {
            return Ok(());
        }
        let mut states = States::new();
        for (installing, who) in installs.into_iter().zip(told) {
            let slot = installing.slot.clone();
            self.links.keep(&slot).await;
            let install = installing.install(who);
            let Some(found) = self.install(install).await else {
                return Ok(());
            };
            states.insert(slot, found);
        }
        for slot in ended {
            if let Entry::Vacant(place) = states.entry(slot) {
                let Some(found) = self.store.states(place.key()).await else {
                    return Ok(());
                };
                place.insert(found);
            }
        }
        self.links.start_wanted(&setups, states);
        Ok(())
    }

    /// The states of the slot's triggers; `None`: the store's thread has ended.
    async fn install(&self, install: Install) -> Option<HashMap<String, TriggerState>> {
        let slot = install.slot.clone();
        let (answer, answered) = oneshot::channel();
        let request = Request::Install {
            install: Box::new(install),
            answer,
        };
        self.store.requests.send(request).await.ok()?;
        match answered.await.ok()? {
            Some(states) => Some(states),
            None => self.store.states(&slot).await,
        }
    }

    /// Takes what was decided as what is held, and says what is to be installed.
    fn installs(&mut self, accepted: Vec<(usize, Acceptance)>, gone: Vec<usize>) -> Vec<Installing> {
        let mut installs = Vec::new();
        for (index, acceptance) in accepted {
            let Some(held) = self.held.get_mut(index) else { continue };
            let slot = held.setup.contract.slot.clone();
            held.setup = acceptance.setup.clone();
            held.accepted = Some(acceptance.accepted.clone());
            installs.push(Installing {
                slot,
                acceptance: Some(acceptance),
                from: None,
            });
        }
        for index in gone {
            let Some(held) = self.held.get_mut(index) else { continue };
            let slot = held.setup.contract.slot.clone();
            let running = held.setup.profile.take().map(|profile| (**profile.identity()).clone());
            let from = running.or_else(|| held.accepted.as_ref().map(Accepted::identity));
            held.setup.plan = None;
            held.setup.fault = Some(format!("there is no {slot}.toml"));
            held.accepted = None;
            installs.push(Installing {
                slot,
                acceptance: None,
                from,
            });
        }
        installs
    }
}

/// A slot that is being switched.
#[derive(Debug, Clone)]
struct Installing {
    slot: SlotName,
    /// `None`: to nothing.
    acceptance: Option<Acceptance>,
    /// What filled it, where nothing does any more.
    from: Option<DeviceIdentity>,
}

impl Installing {
    fn install(self, who: Option<String>) -> Install {
        let file = format!("{}.toml", self.slot);
        match self.acceptance {
            Some(acceptance) => Install {
                slot: self.slot,
                profile: acceptance.setup.profile.clone(),
                reason: "the device has not answered yet".to_owned(),
                told: Told {
                    plan: acceptance.plan,
                    who,
                },
            },
            None => Install {
                slot: self.slot,
                profile: None,
                reason: format!("there is no {file}"),
                told: Told {
                    plan: vec![format!("{file} was removed")],
                    who,
                },
            },
        }
    }
}

/// Keeps the accepted texts and writes the log. Returns who did it, for each. Blocking.
fn write_down(files: &Files, installs: &[Installing], now: &str) -> Vec<Option<String>> {
    let mut told = Vec::new();
    let mut entries = Vec::new();
    for installing in installs {
        let slot = &installing.slot;
        let kept = match &installing.acceptance {
            Some(acceptance) => acceptance.accepted.write(&files.state_dir, slot),
            None => Accepted::forget(&files.state_dir, slot),
        };
        if let Err(fault) = kept {
            tracing::error!("{slot}: the state directory does not take its accepted text: {fault}");
        }
        let entry = entry(files, installing, now);
        if entry.from.is_some() && entry.from == entry.to {
            // Its file was away for a moment, or only its text changed.
            told.push(None);
            continue;
        }
        let what = if entry.what == What::Removed {
            "its device file was removed, the slot goes offline".to_owned()
        } else {
            let name = |device: &Option<changes::Device>| {
                device.as_ref().map_or_else(
                    || "nothing".to_owned(),
                    |device| format!("{} {}", device.vendor, device.model),
                )
            };
            let means = entry
                .plan
                .first()
                .map_or_else(String::new, |sentence| format!(": {sentence}"));
            format!("{} → {}{means}", name(&entry.from), name(&entry.to))
        };
        tracing::info!("{slot}: {what}");
        told.push(entry.who.clone());
        entries.push(entry);
    }
    if let Err(fault) = changes::add(&files.state_dir, &entries) {
        tracing::error!("the log of changes cannot be written: {fault}");
    }
    told
}

/// The line of the log for a switch.
fn entry(files: &Files, installing: &Installing, now: &str) -> changes::Entry {
    let acceptance = installing.acceptance.as_ref();
    let from = acceptance.map_or(installing.from.as_ref(), |acceptance| acceptance.from.as_ref());
    let written = acceptance
        .map(|acceptance| acceptance.files.clone())
        .unwrap_or_default();
    changes::Entry {
        at: now.to_owned(),
        slot: installing.slot.to_string(),
        what: match (acceptance, from) {
            (None, _) => What::Removed,
            (Some(_), None) => What::Installed,
            (Some(_), Some(_)) => What::Changed,
        },
        from: from.map(changes::Device::from),
        to: acceptance.map(|acceptance| changes::Device::from(&acceptance.accepted.identity())),
        plan: acceptance.map(|acceptance| acceptance.plan.clone()).unwrap_or_default(),
        who: written
            .first()
            .and_then(|name| changes::owner(&files.profiles.join(name))),
        files: written,
    }
}

/// Writes down what was accepted while the gateway was down. Returns what the MES is told of each slot. Blocking.
pub(super) fn catch_up(files: &Files, acceptances: Vec<(SlotName, Acceptance)>, now: &str) -> HashMap<SlotName, Told> {
    let installs: Vec<Installing> = acceptances
        .into_iter()
        .map(|(slot, acceptance)| Installing {
            slot,
            acceptance: Some(acceptance),
            from: None,
        })
        .collect();
    let who = write_down(files, &installs, now);
    let told = installs.into_iter().zip(who);
    told.map(|(installing, who)| (installing.slot.clone(), installing.install(who).told))
        .collect()
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|fault| fault.to_string())
}
