//! The Kolver K-DUCER behind its catalog profile, asked by the gateway's own poller: reboots, misses, restarts of the
//! gateway. The controller's tightening ID starts at 1 after every reboot; nothing may be lost, swallowed or doubled.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what a test's helper cannot do fails the test"
)]

use lineside::diagnostic::Diagnostics;
use lineside::gateway::setup::Disk;
use lineside::model::plan::{SlotPlan, Table};
use lineside::model::sample::TriggerState;
use lineside::model::{Moment, SlotName};
use lineside::profile::Profile;
use lineside::watch::{Out, Poller, Step};
use lineside::wire::modbus::{self, Image};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// What its registers show.
struct Controller {
    image: Image,
}

impl Controller {
    /// Just switched on: no tightening yet.
    fn new() -> Self {
        let mut image = Image::default();
        image.put(Table::Input, 0, &[0; 500]);
        image.put(Table::Coil, 0, &[0; 40]);
        image.put(Table::Holding, 0, &[0; 8]);
        Self { image }
    }

    /// Shows a tightening: its ID, when, and the torque in cNm.
    fn tighten(&mut self, id: u16, (hour, minute, second): (u16, u16, u16), torque: u16) {
        self.image.put(Table::Input, 303, &[1, 51, 9]);
        self.image.put(Table::Input, 318, &[torque]);
        self.image.put(Table::Input, 330, &[13]);
        self.image
            .put(Table::Input, 346, &[26, 11, 22, hour, minute, second, 0, 0, 0, id]);
    }
}

/// The gateway's side: asks, stores, remembers.
struct Gateway {
    plan: Arc<SlotPlan>,
    poller: Poller,
    stored: HashMap<String, TriggerState>,
    tick: u64,
}

impl Gateway {
    fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("device-profiles");
        let mut out = Diagnostics::new();
        let file = Path::new("kolver/k-ducer-modbus.toml");
        let profile = Profile::load(file, &root, &Disk, &mut out).unwrap();
        let plan = Arc::new(profile.plan(&SlotName::new("st10", "spindle-1")));
        Self {
            poller: Self::poller(&plan, &HashMap::new()),
            plan,
            stored: HashMap::new(),
            tick: 1,
        }
    }

    /// The result block comes in one request, the curves do not.
    fn poller(plan: &Arc<SlotPlan>, stored: &HashMap<String, TriggerState>) -> Poller {
        let of = plan.clone();
        Poller::new(plan.clone(), stored, &move |points| {
            points.iter().all(|point| {
                let at = of.points[*point].at.registers();
                at.table == Table::Input && (295..=359).contains(&at.address)
            })
        })
    }

    /// Killed and started again with what was stored.
    fn restart(&mut self) {
        self.poller = Self::poller(&self.plan, &self.stored);
    }

    /// Asks for a while; ID and raw torque of each tightening that it took.
    fn asks(&mut self, controller: &Controller) -> Vec<(String, String)> {
        let mut taken = Vec::new();
        let until = self.tick + 1_000;
        while self.tick < until {
            let now = Moment::new(1_795_342_503_171, self.tick);
            match self.poller.next(now) {
                Step::Read { points, .. } => {
                    let mut values = vec![None; self.plan.points.len()];
                    for point in points.iter() {
                        let at = self.plan.points[*point].at.registers();
                        values[*point] = modbus::decode(at, &controller.image);
                    }
                    self.poller.read_done(now, now, &values, &[]);
                }
                Step::Write { .. } => panic!("this profile writes nothing"),
                Step::Wait(_) => self.tick += 10,
            }
            let now = Moment::new(1_795_342_503_171, self.tick);
            for out in self.poller.take() {
                match out {
                    Out::Happened(happened) => {
                        let event = &self.plan.events[happened.happening.event];
                        let at = |name: &str| self.plan.points.iter().position(|point| &*point.name == name).unwrap();
                        let text = |name: &str| {
                            happened.happening.values[at(name)]
                                .as_ref()
                                .map_or(String::new(), lineside::model::Raw::text)
                        };
                        if &*event.name == "tightening" {
                            taken.push((text("tightening_id"), text("torque")));
                        }
                        if let Some(state) = &happened.happening.state {
                            self.stored.insert(event.name.to_string(), state.clone());
                        }
                        if let Some(ticket) = happened.ticket {
                            self.poller.answered(now, ticket, true);
                        }
                    }
                    Out::State { event, state, ticket } => {
                        self.stored.insert(self.plan.events[event].name.to_string(), state);
                        if let Some(ticket) = ticket {
                            self.poller.answered(now, ticket, true);
                        }
                    }
                    Out::Alarm { text, .. } => panic!("{text}"),
                }
            }
        }
        taken
    }
}

fn one(id: &str, torque: &str) -> Vec<(String, String)> {
    vec![(id.to_owned(), torque.to_owned())]
}

const NONE: &[(String, String)] = &[];

#[test]
fn from_the_first_start_on_each_tightening_is_taken_once() {
    let (mut controller, mut gateway) = (Controller::new(), Gateway::new());
    assert_eq!(gateway.asks(&controller), NONE);
    for id in 1..=5 {
        controller.tighten(id, (8, 0, id), 100 + id);
        assert_eq!(gateway.asks(&controller), one(&id.to_string(), &(100 + id).to_string()));
        assert_eq!(gateway.asks(&controller), NONE, "{id} stands");
    }
}

#[test]
fn what_stands_when_the_gateway_is_installed_is_no_result() {
    let (mut controller, mut gateway) = (Controller::new(), Gateway::new());
    controller.tighten(37, (8, 0, 1), 120);
    assert_eq!(gateway.asks(&controller), NONE);
    controller.tighten(38, (8, 0, 9), 121);
    assert_eq!(gateway.asks(&controller), one("38", "121"));
}

#[test]
fn a_reboot_is_neither_a_loss_nor_a_doubling() {
    let (mut controller, mut gateway) = (Controller::new(), Gateway::new());
    assert_eq!(gateway.asks(&controller), NONE);
    controller.tighten(1, (8, 0, 1), 120);
    assert_eq!(gateway.asks(&controller), one("1", "120"));

    // Seen while it has nothing to show: then the same ID again.
    gateway.poller.link_lost();
    controller = Controller::new();
    assert_eq!(gateway.asks(&controller), NONE);
    controller.tighten(1, (8, 5, 0), 120);
    assert_eq!(
        gateway.asks(&controller),
        one("1", "120"),
        "the same ID and torque, another tightening"
    );

    // Not seen at all: when it answers again, it already shows the next ID 1.
    gateway.poller.link_lost();
    controller.tighten(1, (8, 9, 30), 122);
    assert_eq!(gateway.asks(&controller), one("1", "122"));

    // The link was lost, but nothing happened.
    gateway.poller.link_lost();
    assert_eq!(gateway.asks(&controller), NONE);
}

#[test]
fn a_reboot_while_the_gateway_is_away_is_noticed_too() {
    let (mut controller, mut gateway) = (Controller::new(), Gateway::new());
    assert_eq!(gateway.asks(&controller), NONE);
    controller.tighten(1, (8, 0, 1), 120);
    assert_eq!(gateway.asks(&controller), one("1", "120"));
    gateway.restart();
    assert_eq!(gateway.asks(&controller), NONE, "taken before the restart");
    controller.tighten(1, (9, 0, 1), 125);
    gateway.restart();
    assert_eq!(gateway.asks(&controller), one("1", "125"));
    // Killed before anything of it was asked: the result is still there.
    controller.tighten(2, (9, 1, 0), 126);
    gateway.restart();
    assert_eq!(gateway.asks(&controller), one("2", "126"));
}

#[test]
fn a_block_that_is_still_being_written_is_not_taken() {
    let (mut controller, mut gateway) = (Controller::new(), Gateway::new());
    assert_eq!(gateway.asks(&controller), NONE);
    // The ID is there before the rest.
    controller.image.put(Table::Input, 355, &[1]);
    let now = Moment::new(1_795_342_503_171, gateway.tick + 200);
    gateway.tick += 200;
    let Step::Read { points, .. } = gateway.poller.next(now) else {
        panic!("it polls");
    };
    let mut values = vec![None; gateway.plan.points.len()];
    for point in points.iter() {
        let at = gateway.plan.points[*point].at.registers();
        values[*point] = modbus::decode(at, &controller.image);
    }
    gateway.poller.read_done(now, now, &values, &[]);
    assert!(gateway.poller.take().is_empty(), "read again before it counts");
    controller.tighten(1, (8, 0, 1), 120);
    assert_eq!(gateway.asks(&controller), one("1", "120"));
}
