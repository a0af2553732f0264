//! Which device a command means, and by which way it is reached: the running gateway's link, or one of its own.
//!
//! Owns how a profile is named on the command line. Does not own what is done with the device.

use crate::cli::{INVALID, coloured, complain};
use crate::clock::Clock;
use crate::device::tap::{Probe, service};
use crate::device::{self, SlotStart};
use crate::diagnostic::Diagnostics;
use crate::gateway::control::{self, LinkQuestion, Linked, LookedPoint};
use crate::gateway::setup;
use crate::model::plan::{EventPlan, Link, OpcuaPoint, PointIx, Said, SlotPlan, Trigger};
use crate::model::sample::Report;
use crate::model::{Moment, Raw, SlotName};
use crate::profile::{Profile, SlotContract};
use crate::replay::nobody;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Where a system keeps its configuration.
const INSTALLED: &str = "/etc/lineside";

/// Which device.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Where {
    /// The file of a slot, a catalog profile (`kolver/k-ducer-modbus`, with --address), or the name of a slot (`st10.spindle-1`)
    #[arg(value_name = "PROFILE")]
    pub(in crate::cli) profile: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) reach: Reach,
}

/// How its profile is found, and how the device is reached.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct Reach {
    /// The folder that `extends` starts from; default: the nearest `device-profiles` above the profile
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// gateway.toml; default: that above the profile, or /etc/lineside/gateway.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the device is, whatever the profile says: host[:port], or a serial port
    #[arg(long, value_name = "ADDR")]
    pub(in crate::cli) address: Option<String>,
    /// Modbus server (unit identifier), whatever the profile says
    #[arg(long, value_name = "N")]
    server_id: Option<u8>,
    /// Connect to the device even if a running gateway has a link to it
    #[arg(long)]
    pub(in crate::cli) direct: bool,
}

/// A device, its profile, and the way to it.
pub(in crate::cli) struct Target {
    pub(in crate::cli) profile: Profile,
    pub(in crate::cli) contract: SlotContract,
    pub(in crate::cli) plan: Arc<SlotPlan>,
    /// The slot that it fills, where it fills one.
    pub(in crate::cli) slot: Option<SlotName>,
    /// State directory of the running gateway that has the link, and what that says of it.
    pub(in crate::cli) gateway: Option<(PathBuf, Linked)>,
    /// What a reader should know.
    notes: Vec<String>,
}

/// Why there is no target.
enum NoTarget {
    /// A file is faulty; all is said.
    Faulty,
    /// A sentence.
    Because(String),
}

impl NoTarget {
    /// Says it.
    fn complain(self) -> ExitCode {
        if let Self::Because(sentence) = self {
            complain(&format!("error: {sentence}"));
        }
        ExitCode::from(INVALID)
    }
}

/// The file that `name` means: itself, or a profile of the catalog.
pub(in crate::cli) fn profile_file(name: &Path, folder: Option<&Path>) -> PathBuf {
    if name.is_file() {
        return name.to_owned();
    }
    let catalogs = [
        folder.map(Path::to_owned),
        Some(PathBuf::from("device-profiles")),
        Some(Path::new(INSTALLED).join("device-profiles")),
    ];
    let with_end = PathBuf::from(format!("{}.toml", name.display()));
    let mut candidates = catalogs
        .into_iter()
        .flatten()
        .flat_map(|catalog| [catalog.join(name), catalog.join(&with_end)]);
    candidates
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| name.to_owned())
}

/// Reads a profile by its name on the command line; what is wrong with it is said.
pub(in crate::cli) fn read_profile(name: &Path, root: Option<&Path>) -> Option<Profile> {
    let mut out = Diagnostics::new();
    let file = profile_file(name, root);
    if !file.is_file() {
        complain(&format!(
            "error: there is no profile {}: name a file, or one of the catalog as in `extends`",
            name.display()
        ));
        return None;
    }
    let profile = setup::profile(&file, root, &mut out);
    if profile.is_none() || out.has_errors() {
        complain(&out.render(coloured()));
        return None;
    }
    profile
}

impl Where {
    /// Finds the device, and says what is to be noted of it; where there is none, why, and the exit code.
    pub(in crate::cli) fn find_and_note(&self) -> Result<Target, ExitCode> {
        let target = self.find().map_err(NoTarget::complain)?;
        for note in &target.notes {
            complain(&format!("note: {note}"));
        }
        Ok(target)
    }

    /// The slot that is meant, and the state directory of its gateway, whatever its device file is like; else the exit code.
    pub(in crate::cli) fn slot(&self) -> Result<(SlotName, PathBuf), ExitCode> {
        match self.slot_of_a_gateway() {
            Ok(Some((_, contract, state_dir))) => Ok((contract.slot, state_dir)),
            Ok(None) => {
                let sentence = "only a gateway keeps what was exchanged last: name a slot (st10.spindle-1), and its gateway \
                                with --config gateway.toml";
                Err(NoTarget::Because(sentence.to_owned()).complain())
            }
            Err(fault) => Err(fault.complain()),
        }
    }

    fn find(&self) -> Result<Target, NoTarget> {
        let found = self.slot_of_a_gateway()?;
        let (name, slot, state_dir) = match found {
            Some((file, slot, state_dir)) => (file, Some(slot), Some(state_dir)),
            None => (self.profile.clone(), None, None),
        };
        let profile = read_profile(&name, self.reach.root.as_deref()).ok_or(NoTarget::Faulty)?;
        let mut contract = nobody(&profile);
        if let Some(slot) = &slot {
            contract = slot.clone();
        }
        let mut plan = profile.plan(&contract.slot);
        if let Some(address) = &self.reach.address {
            plan.link.set_address(address);
        }
        if let (Some(id), Link::Modbus(link)) = (self.reach.server_id, &mut plan.link) {
            link.server_id = id;
        }
        let mut notes = Vec::new();
        let asks_another = self.reach.address.is_some() || self.reach.server_id.is_some();
        let gateway = match (&state_dir, &slot) {
            (Some(state_dir), Some(slot)) if !self.reach.direct && !asks_another => {
                owner(state_dir, &slot.slot, &profile, &mut notes)?
            }
            _ => None,
        };
        if gateway.is_none() && self.reach.config.is_some() && !self.reach.direct && !asks_another {
            notes.push("no gateway runs there: connecting to the device".to_owned());
        }
        if gateway.is_none() && plan.link.address().is_empty() {
            return Err(NoTarget::Because(format!(
                "{} does not say where the device is: add --address {}",
                name.display(),
                plan.link.example_address()
            )));
        }
        Ok(Target {
            slot: slot.map(|contract| contract.slot),
            plan: Arc::new(plan),
            profile,
            contract,
            gateway,
            notes,
        })
    }

    /// The file, slot and state directory of the gateway's slot that is meant; `None`: no slot of a gateway.
    fn slot_of_a_gateway(&self) -> Result<Option<(PathBuf, SlotContract, PathBuf)>, NoTarget> {
        let config = self.reach.config.clone().or_else(|| {
            let above = std::path::absolute(&self.profile).ok();
            let above = above.as_deref().and_then(Path::parent).and_then(Path::parent);
            [above, Some(Path::new(INSTALLED))]
                .into_iter()
                .flatten()
                .map(|folder| folder.join("gateway.toml"))
                .find(|file| file.is_file())
        });
        let Some(path) = config else { return Ok(None) };
        let mut out = Diagnostics::new();
        let Some(config) = setup::configuration(&path, &mut out) else {
            if self.reach.config.is_none() {
                return Ok(None);
            }
            complain(&out.render(coloured()));
            return Err(NoTarget::Faulty);
        };
        let wanted = std::fs::canonicalize(&self.profile).ok();
        let word = self.profile.to_string_lossy();
        let mut known = Vec::new();
        for (_, slot) in config.slots() {
            let file = setup::device_file(&config, &slot.name);
            let same = wanted.is_some() && std::fs::canonicalize(&file).ok() == wanted;
            if same || wanted.is_none() && slot.name.to_string() == word {
                let contract = SlotContract {
                    slot: slot.name.clone(),
                    delivers: slot.delivers.clone(),
                    requires: slot.requires.clone(),
                    values: slot.values.clone(),
                    place: slot.place.clone(),
                };
                return Ok(Some((file, contract, config.gateway.state_dir.clone())));
            }
            known.push(slot.name.to_string());
        }
        if self.reach.config.is_some() && self.reach.address.is_none() && !self.reach.direct {
            return Err(NoTarget::Because(format!(
                "{word} is no slot of {} and not the file of one; it has {}. \
                 For another device leave --config away and say --address",
                path.display(),
                if known.is_empty() {
                    "none".to_owned()
                } else {
                    known.join(", ")
                }
            )));
        }
        Ok(None)
    }
}

/// The gateway that runs on `state_dir`, if it has a link for the slot.
fn owner(
    state_dir: &Path,
    slot: &SlotName,
    profile: &Profile,
    notes: &mut Vec<String>,
) -> Result<Option<(PathBuf, Linked)>, NoTarget> {
    let answer = control::ask_link(state_dir, &LinkQuestion::Links);
    let answer =
        answer.map_err(|fault| NoTarget::Because(format!("{fault}; --direct connects to the device itself")))?;
    let Some(answer) = answer else { return Ok(None) };
    let linked: Vec<Linked> = serde_json::from_value(answer).map_err(|fault| NoTarget::Because(fault.to_string()))?;
    let Some(linked) = linked.into_iter().find(|linked| linked.slot == slot.to_string()) else {
        notes.push(format!(
            "the running gateway has no link for {slot} (disabled, or its file was faulty): connecting to the device"
        ));
        return Ok(None);
    };
    if linked.digest != profile.identity().digest {
        notes.push(format!(
            "the gateway runs an older text of this profile: what that does not read is absent here, until the gateway is \
             started again; at {}",
            linked.address
        ));
    }
    Ok(Some((state_dir.to_owned(), linked)))
}

/// What the points say at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Look {
    pub(in crate::cli) at: Moment,
    pub(in crate::cli) values: Vec<Option<Raw>>,
    pub(in crate::cli) words: Vec<String>,
    pub(in crate::cli) faults: Vec<String>,
}

/// A way to the device.
pub(in crate::cli) enum Way {
    /// The gateway's.
    Gateway { state_dir: PathBuf, slot: String },
    /// Its own; the tasks end with it.
    Own { probe: Probe, _tasks: JoinSet<()> },
}

/// Where commands keep what is their own, a certificate by which servers know them again: the user's folder for states.
pub(super) fn own_folder() -> Option<PathBuf> {
    let given = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let states = given("XDG_STATE_HOME").or_else(|| given("HOME").map(|home| home.join(".local/state")))?;
    Some(states.join("lineside"))
}

/// Fields that no event of the profile uses are looked at, too, where it is clear whose they are.
fn whole_events(plan: &mut SlotPlan) {
    if plan.notices.len() != 1 {
        return;
    }
    let field = |at: &OpcuaPoint| at.node.is_none() && !at.is_of_each();
    let unused: Vec<PointIx> = (0..plan.points.len())
        .filter(|point| {
            plan.points
                .get(*point)
                .and_then(|point| point.at.opcua())
                .is_some_and(field)
        })
        .filter(|point| !plan.events.iter().any(|event| event.points.contains(point)))
        .collect();
    for event in &mut plan.events {
        if event.triggers.contains(&Trigger::Said(Said::Event(0))) {
            event.points.extend(&unused);
        }
    }
}

impl Target {
    /// Takes up the way: of a link of its own, starts that. Nothing is read before [`Way::look`].
    pub(in crate::cli) fn way(&self) -> Way {
        self.way_of((*self.plan).clone())
    }

    /// The same for a record: of an OPC UA server all is read that its events look at, and whatever triggers one reads it whole.
    pub(in crate::cli) fn way_to_record(&self) -> Way {
        let mut plan = (*self.plan).clone();
        if let Link::Opcua(_) = plan.link {
            let used: BTreeSet<PointIx> = plan.events.iter().flat_map(|event| &event.points).copied().collect();
            let read = |point: &PointIx| {
                let at = plan.points.get(*point).and_then(|point| point.at.opcua());
                at.is_some_and(|at| at.node.is_some())
            };
            let nodes: Vec<PointIx> = used.into_iter().filter(read).collect();
            for event in &mut plan.events {
                event.ack = None;
                let more: Vec<PointIx> = nodes
                    .iter()
                    .copied()
                    .filter(|node| !event.points.contains(node))
                    .collect();
                event.points.extend(more);
            }
            whole_events(&mut plan);
            return self.start(plan);
        }
        self.way_of(plan)
    }

    fn way_of(&self, mut plan: SlotPlan) -> Way {
        if plan.link.modbus().is_some() {
            // Without events nothing is read by itself, and nothing acknowledged.
            plan.events.clear();
        }
        // What a server tells by itself can be looked at without acknowledging anything.
        let told = |event: &EventPlan| event.triggers.iter().any(|trigger| matches!(trigger, Trigger::Said(_)));
        if matches!(plan.link, Link::Opcua(_)) {
            plan.events.retain(told);
            whole_events(&mut plan);
        }
        self.start(plan)
    }

    fn start(&self, mut plan: SlotPlan) -> Way {
        if let Some((state_dir, linked)) = &self.gateway {
            return Way::Gateway {
                state_dir: state_dir.clone(),
                slot: linked.slot.clone(),
            };
        }
        plan.link.only_look();
        plan.alive = None;
        let (probe, mut service) = service();
        service.home = own_folder();
        let (reports, mut said) = mpsc::channel(16);
        let mut tasks = JoinSet::new();
        let start = SlotStart {
            plan: Arc::new(plan),
            states: HashMap::new(),
        };
        let run = device::run_link(
            vec![start],
            reports,
            Clock::machine(),
            CancellationToken::new(),
            service,
        );
        tasks.spawn(run);
        tasks.spawn(async move {
            // What a device says by itself is looked at, and is nobody's: it is as good as kept.
            while let Some(report) = said.recv().await {
                if let Report::Sample(mut sample) = report
                    && let Some(durable) = sample.durable.take()
                {
                    let _gone = durable.send(());
                }
            }
        });
        Way::Own { probe, _tasks: tasks }
    }

    /// How the device is reached, for people.
    pub(in crate::cli) fn described(&self) -> String {
        let identity = self.profile.identity();
        let server = self
            .plan
            .link
            .modbus()
            .map(|link| format!(", server {}", link.server_id));
        let name = self.slot.as_ref().map(|slot| format!("{slot}  ")).unwrap_or_default();
        let through = match &self.gateway {
            Some((_, linked)) => format!("{} through the running gateway", linked.address),
            None => crate::record::without_secrets(self.plan.link.address()),
        };
        format!(
            "{name}{} {}  {through}{}",
            identity.vendor,
            identity.model,
            server.unwrap_or_default()
        )
    }
}

impl Way {
    /// What the points say now.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub(in crate::cli) async fn look(&self, target: &Target, clears: bool) -> Result<Look, String> {
        match self {
            Self::Own { probe, .. } => {
                let reading = probe.look(&target.plan.slot, clears).await.map_err(|reason| {
                    if reason.contains("is used by another program") {
                        format!("{reason}; if that is a gateway, name its configuration: --config gateway.toml")
                    } else {
                        reason
                    }
                })?;
                Ok(Look {
                    at: reading.at,
                    values: reading.values,
                    words: reading.words,
                    faults: reading.faults,
                })
            }
            Self::Gateway { state_dir, slot } => {
                let question = LinkQuestion::Probe {
                    slot: slot.clone(),
                    clears,
                };
                let dir = state_dir.clone();
                let asked = tokio::task::spawn_blocking(move || control::ask_link(&dir, &question)).await;
                let answer = asked
                    .map_err(|fault| fault.to_string())?
                    .map_err(|fault| fault.to_string())?
                    .ok_or("the gateway has ended: run this again")?;
                let looked: control::Looked = serde_json::from_value(answer).map_err(|fault| fault.to_string())?;
                let mut by_name: HashMap<String, LookedPoint> = looked
                    .points
                    .into_iter()
                    .map(|point| (point.name.clone(), point))
                    .collect();
                let mut look = Look {
                    at: Moment::new(looked.wall, 0),
                    values: Vec::new(),
                    words: Vec::new(),
                    faults: looked.faults,
                };
                for point in &target.plan.points {
                    let said = by_name.remove(&*point.name);
                    look.words
                        .push(said.as_ref().map(|point| point.words.clone()).unwrap_or_default());
                    look.values.push(said.and_then(|point| point.raw));
                }
                Ok(look)
            }
        }
    }
}
