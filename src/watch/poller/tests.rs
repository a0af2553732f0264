use super::super::tests::{ack, event, plan, values};
use super::*;
use crate::model::plan::{AckValue, EventPlan, Trigger};
use proptest::prelude::*;

mod told;

/// What a device shows, by point: 0 counter, 1 ready, 2 value, 3 ack, 4 id.
#[derive(Debug, Clone)]
struct Device {
    shows: [i64; 5],
    /// Results made, by counter.
    made: i64,
    acked: Vec<i64>,
    level: bool,
}

impl Device {
    fn new(level: bool) -> Self {
        Self {
            shows: [0; 5],
            made: 0,
            acked: Vec::new(),
            level,
        }
    }

    /// Whether the last result still waits to be acknowledged.
    fn waits(&self) -> bool {
        if self.level {
            self.shows[1] == 1
        } else {
            self.shows[0] != self.shows[3]
        }
    }

    /// Makes the next result if the handshake lets it.
    fn make(&mut self) {
        if self.waits() || self.level && self.shows[3] == 1 {
            return;
        }
        self.made += 1;
        self.shows = [
            self.made,
            i64::from(self.level),
            self.made * 10,
            self.shows[3],
            self.made,
        ];
    }

    fn write(&mut self, value: &Raw) {
        let Raw::Int(value) = value else { panic!("an integer") };
        let waited = self.waits();
        self.shows[3] = *value;
        if self.level && *value == 1 && waited {
            self.acked.push(self.shows[0]);
            self.shows[1] = 0;
        } else if !self.level && waited && !self.waits() {
            self.acked.push(self.shows[0]);
        }
    }
}

fn at(tick: u64) -> Moment {
    Moment::new(i64::try_from(tick).unwrap() + 1_800_000_000_000, tick)
}

/// A gateway: a poller, what is stored, and reports that are not durable yet.
struct Gateway {
    plan: Arc<SlotPlan>,
    poller: Poller,
    together: bool,
    stored: HashMap<String, TriggerState>,
    results: Vec<i64>,
    waiting: Vec<(Option<Ticket>, Option<TriggerState>, Option<i64>)>,
    tick: u64,
    alarms: Vec<bool>,
}

impl Gateway {
    fn new(event: EventPlan, together: bool) -> Self {
        let plan = plan(event);
        Self {
            poller: Poller::new(plan.clone(), &HashMap::new(), &|_| together),
            plan,
            together,
            stored: HashMap::new(),
            results: Vec::new(),
            waiting: Vec::new(),
            tick: 0,
            alarms: Vec::new(),
        }
    }

    /// One step; between its requests `between` may change the device.
    fn step(&mut self, device: &mut Device, between: &mut dyn FnMut(&mut Device)) {
        self.tick += 1;
        match self.poller.next(at(self.tick)) {
            Step::Wait(Some(until)) => self.tick = self.tick.max(until),
            Step::Wait(None) => {}
            Step::Read { points, .. } => {
                let mut read = vec![None; 5];
                for point in points.iter() {
                    read[*point] = values(device.shows)[*point].clone();
                    if !self.together {
                        between(device);
                    }
                }
                between(device);
                let asked = at(self.tick);
                self.tick += 1;
                self.poller.read_done(asked, at(self.tick), &read, &[]);
            }
            Step::Write { point, value } => {
                assert_eq!(point, 3);
                device.write(&value);
                self.poller.write_done(at(self.tick), Ok(()));
            }
        }
        self.outs();
    }

    /// Takes what came of a step.
    fn outs(&mut self) {
        for out in self.poller.take() {
            match out {
                Out::Happened(happened) => {
                    let whole = &happened.happening.values;
                    let (Some(Raw::Int(counter)), Some(Raw::Int(value)), Some(Raw::Int(id))) =
                        (&whole[0], &whole[2], &whole[4])
                    else {
                        panic!("a point is missing: {whole:?}");
                    };
                    assert_eq!((*value, *id), (counter * 10, *counter), "torn");
                    self.waiting
                        .push((happened.ticket, happened.happening.state, Some(*counter)));
                }
                Out::State { state, ticket, .. } => self.waiting.push((ticket, Some(state), None)),
                Out::Alarm { active, .. } => self.alarms.push(active),
            }
        }
    }

    /// The store commits the first `count` of what waits, and answers.
    fn commit(&mut self, count: usize) {
        for (ticket, state, result) in self.waiting.drain(..count.min(self.waiting.len())) {
            self.stored.extend(state.map(|state| ("tightening".to_owned(), state)));
            self.results.extend(result);
            if let Some(ticket) = ticket {
                self.poller.answered(at(self.tick), ticket, true);
            }
        }
    }

    fn crash(&mut self) {
        self.waiting.clear();
        let together = self.together;
        self.poller = Poller::new(self.plan.clone(), &self.stored, &|_| together);
    }
}

fn handshake(level: bool) -> EventPlan {
    let mut of = event(vec![if level {
        Trigger::Rises(1)
    } else {
        Trigger::Changes(vec![0])
    }]);
    of.ack = Some(if level {
        ack(AckValue::Value(Raw::Int(1)), Some(Raw::Int(0)))
    } else {
        ack(AckValue::Copy(0), None)
    });
    of
}

fn quiet(_: &mut Device) {}

#[test]
fn nothing_is_acknowledged_before_it_is_durable() {
    for level in [true, false] {
        let (mut device, mut gateway) = (Device::new(level), Gateway::new(handshake(level), true));
        device.make();
        for _ in 0..20 {
            gateway.step(&mut device, &mut quiet);
        }
        assert!(device.acked.is_empty());
        assert_eq!(gateway.waiting.len(), 1, "taken at first sight, once");
        gateway.commit(9);
        for _ in 0..20 {
            gateway.step(&mut device, &mut quiet);
            gateway.commit(9);
        }
        assert_eq!(device.acked, [1]);
        assert_eq!(gateway.results, [1]);
        assert_eq!(device.shows[3], i64::from(!level), "`then` was written");
    }
}

#[test]
fn a_crash_between_commit_and_acknowledgement_is_made_good() {
    for level in [true, false] {
        let (mut device, mut gateway) = (Device::new(level), Gateway::new(handshake(level), true));
        gateway.step(&mut device, &mut quiet);
        gateway.commit(9);
        device.make();
        for _ in 0..5 {
            gateway.step(&mut device, &mut quiet);
        }
        gateway.commit(1);
        assert!(gateway.stored["tightening"].owed.is_some());
        gateway.crash();
        for _ in 0..20 {
            gateway.step(&mut device, &mut quiet);
            gateway.commit(9);
        }
        assert_eq!((&*device.acked, &*gateway.results), (&[1][..], &[1][..]));
    }
}

#[test]
fn a_result_that_took_the_place_of_another_while_away_is_not_acknowledged_unread() {
    for level in [true, false] {
        let mut of = handshake(level);
        of.id = vec![4];
        let (mut device, mut gateway) = (Device::new(level), Gateway::new(of, true));
        gateway.step(&mut device, &mut quiet);
        gateway.commit(9);
        device.make();
        for _ in 0..5 {
            gateway.step(&mut device, &mut quiet);
        }
        // The device is switched off and on, and makes another result without waiting.
        gateway.poller.link_lost();
        gateway.commit(1);
        device.made = 2;
        device.shows = [2, i64::from(level), 20, 0, 2];
        for _ in 0..20 {
            gateway.step(&mut device, &mut quiet);
            if !gateway.results.contains(&2) {
                assert!(device.acked.is_empty());
            }
            gateway.commit(1);
        }
        assert_eq!((&*device.acked, &*gateway.results), (&[2][..], &[1, 2][..]));
    }
}

#[test]
fn what_could_not_be_stored_is_taken_again() {
    let (mut device, mut gateway) = (Device::new(true), Gateway::new(handshake(true), true));
    gateway.step(&mut device, &mut quiet);
    gateway.commit(9);
    device.make();
    for _ in 0..5 {
        gateway.step(&mut device, &mut quiet);
    }
    let (ticket, ..) = gateway.waiting.remove(0);
    gateway.poller.answered(at(gateway.tick), ticket.unwrap(), false);
    for _ in 0..20 {
        gateway.step(&mut device, &mut quiet);
        gateway.commit(9);
    }
    assert_eq!((&*device.acked, &*gateway.results), (&[1][..], &[1][..]));
}

#[test]
fn a_device_that_does_not_take_its_trigger_back_alarms_and_is_acknowledged_again() {
    let (mut device, mut gateway) = (Device::new(true), Gateway::new(handshake(true), true));
    gateway.step(&mut device, &mut quiet);
    gateway.commit(9);
    device.make();
    let mut writes = 0;
    let mut stuck = device.clone();
    while gateway.tick < 2_000 {
        gateway.step(&mut stuck, &mut quiet);
        gateway.commit(9);
        if stuck.shows[1] == 0 && stuck.made == 1 {
            // It was acknowledged, and does not care.
            writes += 1;
            stuck.shows[1] = 1;
        }
    }
    assert!(writes >= 3, "{writes}");
    assert_eq!(gateway.alarms, [true]);
    assert_eq!(gateway.results, [1], "it is still the same result");
    stuck.shows[1] = 0;
    for _ in 0..10 {
        gateway.step(&mut stuck, &mut quiet);
        gateway.commit(9);
    }
    assert_eq!(gateway.alarms, [true, false]);
}

#[test]
fn an_echo_that_the_device_lost_is_written_again() {
    let (mut device, mut gateway) = (Device::new(false), Gateway::new(handshake(false), true));
    for act in 0..12 {
        if act == 3 {
            device.make();
        }
        gateway.step(&mut device, &mut quiet);
        gateway.commit(9);
    }
    assert_eq!((device.shows[3], device.acked.as_slice()), (1, [1].as_slice()));
    // Its program writes over it, and no link is lost.
    device.shows[3] = 0;
    let lost = gateway.tick;
    while device.shows[3] == 0 {
        assert!(gateway.tick < lost + 2_000, "never written again");
        gateway.step(&mut device, &mut quiet);
        gateway.commit(9);
    }
    assert_eq!(gateway.results, [1], "and no second result");
}

#[test]
fn a_trigger_that_the_acknowledgement_clears_may_rise_again_at_once() {
    let mut of = event(vec![Trigger::Rises(3)]);
    of.ack = Some(ack(AckValue::Value(Raw::Int(0)), None));
    let mut poller = Poller::new(plan(of), &HashMap::new(), &|_| true);
    let (mut ready, mut shown, mut taken, mut tick) = (0, 0, Vec::new(), 0);
    while taken.len() < 5 {
        tick += 1;
        assert!(tick < 5_000, "{taken:?}");
        match poller.next(at(tick)) {
            Step::Wait(until) => tick = until.unwrap_or(tick).max(tick),
            Step::Read { .. } => poller.read_done(at(tick), at(tick), &values([0, 0, shown, ready, 0]), &[]),
            Step::Write { value, .. } => {
                assert_eq!(value, Raw::Int(0));
                assert_eq!(taken.last(), Some(&Some(Raw::Int(shown))), "acknowledged unread");
                // The next result stands before the gateway looks again.
                shown += 1;
                poller.write_done(at(tick), Ok(()));
            }
        }
        for out in poller.take() {
            let ticket = match out {
                Out::Happened(of) => {
                    taken.push(of.happening.values[2].clone());
                    of.ticket
                }
                Out::State { ticket, .. } => ticket,
                Out::Alarm { .. } => None,
            };
            if let Some(ticket) = ticket {
                poller.answered(at(tick), ticket, true);
            }
        }
        if shown == 0 {
            (shown, ready) = (1, 1);
        }
    }
    let all: Vec<_> = (1..=5).map(|n| Some(Raw::Int(n))).collect();
    assert_eq!(taken, all);
}

#[test]
fn a_slot_whose_samples_are_not_answered_is_asked_no_more() {
    let of = event(vec![Trigger::Changes(vec![0])]);
    let (mut device, mut gateway) = (Device::new(false), Gateway::new(of, true));
    gateway.step(&mut device, &mut quiet);
    gateway.commit(9);
    for _ in 0..200 {
        device.shows[3] = device.shows[0];
        device.make();
        gateway.step(&mut device, &mut quiet);
    }
    assert_eq!(gateway.waiting.len(), UNANSWERED);
    assert_eq!(gateway.poller.next(at(gateway.tick + 1_000)), Step::Wait(None));
    gateway.commit(1);
    assert!(matches!(
        gateway.poller.next(at(gateway.tick + 1_000)),
        Step::Read { .. }
    ));
}

#[test]
fn the_slot_is_online_once_its_baseline_is_durable() {
    let (mut device, mut gateway) = (
        Device::new(false),
        Gateway::new(event(vec![Trigger::Changes(vec![0])]), true),
    );
    assert_eq!(gateway.poller.condition(at(0)), None);
    gateway.step(&mut device, &mut quiet);
    assert_eq!(gateway.poller.condition(at(1)), None);
    gateway.commit(1);
    assert_eq!(
        gateway.poller.condition(at(1)),
        Some((LinkState::Online, String::new()))
    );
    let fault = Fault {
        point: 2,
        text: "no".to_owned(),
        transient: false,
    };
    gateway.poller.next(at(100));
    gateway
        .poller
        .read_done(at(100), at(100), &values([0; 5])[..2], &[fault]);
    assert_eq!(
        gateway.poller.condition(at(100)),
        Some((LinkState::Degraded, "no".to_owned()))
    );
}

#[test]
fn a_life_sign_that_stands_still_degrades() {
    let mut of = plan(event(vec![Trigger::Changes(vec![0])]));
    Arc::make_mut(&mut of).alive = Some(crate::model::plan::Alive {
        point: 4,
        within: Duration::from_millis(200),
    });
    let mut poller = Poller::new(of, &HashMap::new(), &|_| true);
    let mut texts = BTreeSet::new();
    let mut look = |tick: u64, life: i64| {
        assert!(matches!(poller.next(at(tick)), Step::Read { .. }));
        poller.read_done(at(tick), at(tick), &values([0, 0, 0, 0, life]), &[]);
        for out in poller.take() {
            if let Out::State {
                ticket: Some(ticket), ..
            } = out
            {
                poller.answered(at(tick), ticket, true);
            }
        }
        poller.condition(at(tick)).map(|(state, text)| {
            texts.insert(text);
            state
        })
    };
    assert_eq!(look(100, 1), None, "answering is not enough");
    assert_eq!(look(200, 2), Some(LinkState::Online));
    assert_eq!(look(350, 2), Some(LinkState::Online));
    assert_eq!(look(450, 2), Some(LinkState::Degraded));
    assert_eq!(look(500, 2), Some(LinkState::Degraded));
    assert_eq!(look(550, 3), Some(LinkState::Online));
    assert_eq!(texts.len(), 2, "one text for as long as it stands: {texts:?}");
}

#[test]
fn busy_points_are_asked_again_before_anything_is_made_without_them() {
    let (mut device, mut gateway) = (
        Device::new(false),
        Gateway::new(event(vec![Trigger::Changes(vec![0])]), true),
    );
    gateway.step(&mut device, &mut quiet);
    gateway.commit(9);
    let busy = |transient| Fault {
        point: 2,
        text: "busy".to_owned(),
        transient,
    };
    let image = |counter| {
        let mut image = values([counter, 0, 0, 0, 0]);
        image[2] = None;
        image
    };
    for tick in [100, 200] {
        assert!(matches!(gateway.poller.next(at(tick)), Step::Read { .. }));
        gateway.poller.read_done(at(tick), at(tick), &image(1), &[busy(true)]);
        assert_eq!(gateway.poller.take(), []);
    }
    assert!(matches!(gateway.poller.next(at(300)), Step::Read { .. }));
    gateway.poller.read_done(at(300), at(300), &image(1), &[busy(false)]);
    let out = gateway.poller.take();
    let [Out::Happened(happened)] = out.as_slice() else {
        panic!("{out:?}")
    };
    assert_eq!(happened.happening.values[2], None);
    assert_eq!(happened.seen, at(100));
}

#[test]
fn since_is_the_reading_that_did_not_show_it_yet() {
    let (mut device, mut gateway) = (
        Device::new(false),
        Gateway::new(event(vec![Trigger::Changes(vec![0])]), true),
    );
    gateway.step(&mut device, &mut quiet);
    gateway.commit(9);
    for (tick, counter) in [(100, 0), (200, 0), (300, 1)] {
        assert!(matches!(gateway.poller.next(at(tick)), Step::Read { .. }));
        gateway
            .poller
            .read_done(at(tick), at(tick + 3), &values([counter, 0, 0, 0, 0]), &[]);
    }
    let out = gateway.poller.take();
    let [Out::Happened(happened)] = out.as_slice() else {
        panic!("{out:?}")
    };
    assert_eq!((happened.since, happened.seen), (Some(at(200)), at(303)));
    assert_eq!(happened.happening.before[0], Some(Raw::Int(0)));
}

#[test]
fn a_guard_that_is_itself_of_two_moments_vouches_for_nothing() {
    let mut of = event(vec![Trigger::Rises(1)]);
    of.id = vec![4];
    let mut poller = Poller::new(plan(of), &HashMap::new(), &|_| false);
    // A latched device: the trigger falls, the next record is written, then its id and the trigger follow.
    let shown = [
        [0, 0, 0, 0, 0],  // baseline
        [0, 1, 10, 0, 1], // look: rises
        [0, 1, 10, 0, 1], // whole
        [0, 0, 20, 0, 1], // behind: fell, and half of the next record stands
        [0, 1, 20, 0, 1], // whole, of two moments: trigger of the first, record of the second
        [0, 0, 20, 0, 1], // behind: as before
        [0, 1, 20, 0, 2], // whole
        [0, 1, 20, 0, 2], // behind: another id
        [0, 1, 20, 0, 2],
        [0, 1, 20, 0, 2],
    ];
    let mut happened = Vec::new();
    for (image, tick) in shown.into_iter().zip((0..).step_by(100)) {
        let Step::Read { points, .. } = poller.next(at(tick)) else {
            panic!("nothing is read at {tick}")
        };
        let mut read = vec![None; 5];
        for point in points.iter() {
            read[*point] = values(image)[*point].clone();
        }
        poller.read_done(at(tick), at(tick), &read, &[]);
        for out in poller.take() {
            match out {
                Out::Happened(of) => {
                    happened.push((of.happening.values[2].clone(), of.happening.values[4].clone()));
                }
                Out::State {
                    ticket: Some(ticket), ..
                } => poller.answered(at(tick), ticket, true),
                _ => {}
            }
        }
    }
    assert_eq!(happened, [(Some(Raw::Int(20)), Some(Raw::Int(2)))]);
}

#[test]
fn stable_waits_until_readings_agree() {
    let mut of = event(vec![Trigger::Changes(vec![0])]);
    of.stable = 3;
    let mut poller = Poller::new(plan(of), &HashMap::new(), &|_| true);
    let mut happened = Vec::new();
    let shown = [0, 0, 1, 5, 5, 5, 5];
    for (value, tick) in shown.into_iter().zip((0..).step_by(100)) {
        assert!(matches!(poller.next(at(tick)), Step::Read { .. }), "at {tick}");
        let counter = i64::from(value > 0);
        poller.read_done(at(tick), at(tick), &values([counter, 0, value, 0, 0]), &[]);
        for out in poller.take() {
            match out {
                Out::Happened(of) => happened.push((tick, of.happening.values[2].clone())),
                Out::State {
                    ticket: Some(ticket), ..
                } => poller.answered(at(tick), ticket, true),
                _ => {}
            }
        }
    }
    assert_eq!(happened, [(500, Some(Raw::Int(5)))]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Every result of a device with a handshake is stored, in order, and none acknowledged that is not.
    /// Without an id a repetition would be a new result: the handshake alone keeps it from that.
    #[test]
    fn a_handshake_loses_and_repeats_nothing(
        level in any::<bool>(),
        together in any::<bool>(),
        with_id in any::<bool>(),
        script in proptest::collection::vec(0..10_u8, 1..250),
    ) {
        let mut of = handshake(level);
        if with_id {
            of.id = vec![4];
        }
        let (mut device, mut gateway) = (Device::new(level), Gateway::new(of, together));
        gateway.step(&mut device, &mut quiet);
        gateway.commit(9);
        for act in script {
            match act {
                0 => device.make(),
                1 => gateway.crash(),
                2 => gateway.poller.link_lost(),
                3 => gateway.commit(1),
                4 | 5 => gateway.commit(9),
                6 => gateway.step(&mut device, &mut Device::make),
                _ => gateway.step(&mut device, &mut quiet),
            }
            for acked in &device.acked {
                prop_assert!(gateway.results.contains(acked), "{} acknowledged, not stored", acked);
            }
        }
        for _ in 0..60 {
            gateway.step(&mut device, &mut quiet);
            gateway.commit(9);
        }
        let all: Vec<i64> = (1..=device.made).collect();
        prop_assert_eq!(&gateway.results, &all);
        prop_assert_eq!(&device.acked, &all);
    }

    /// A counter without a handshake: results may be overwritten, but none is torn, repeated or out of order.
    #[test]
    fn a_counter_is_never_torn(
        together in any::<bool>(),
        script in proptest::collection::vec(0..9_u8, 1..250),
    ) {
        let (mut device, mut gateway) = (Device::new(false), Gateway::new(event(vec![Trigger::Changes(vec![0])]), together));
        gateway.step(&mut device, &mut quiet);
        gateway.commit(9);
        let free = |device: &mut Device| {
            device.shows[3] = device.shows[0];
            device.make();
        };
        for act in script {
            match act {
                0 => free(&mut device),
                1 => gateway.crash(),
                2 => gateway.poller.link_lost(),
                3 => gateway.commit(1),
                4 => gateway.commit(9),
                5 => {
                    let mut once = true;
                    gateway.step(&mut device, &mut |device| if std::mem::take(&mut once) { free(device) });
                }
                _ => gateway.step(&mut device, &mut quiet),
            }
        }
        for _ in 0..60 {
            gateway.step(&mut device, &mut quiet);
            gateway.commit(9);
        }
        prop_assert!(gateway.results.is_sorted_by(|a, b| a < b), "{:?}", gateway.results);
        prop_assert_eq!(gateway.results.last().copied().unwrap_or(0), device.made);
    }
}
