//! Devices that tell by themselves what changes: what is asked all the same, and that nothing is passed over.

use super::*;
use std::collections::VecDeque;

/// A driver of such a device: what it was told and did not look at yet, and its picture of the device.
struct Driver {
    gateway: Gateway,
    /// Changes in order, each with the number of the change.
    told: VecDeque<(u64, [i64; 5])>,
    changes: u64,
    last: [i64; 5],
    /// By point: its value, and the number of the change that it is of.
    image: [Option<(u64, i64)>; 5],
    /// Times that the device was asked.
    asked: usize,
}

impl Driver {
    fn new(event: EventPlan, together: bool) -> Self {
        let mut gateway = Gateway::new(event, together);
        gateway.poller.is_told(true);
        Self {
            gateway,
            told: VecDeque::new(),
            changes: 0,
            last: [i64::MIN; 5],
            image: [None; 5],
            asked: 0,
        }
    }

    /// The device tells what it shows, if that is something else.
    fn tells(&mut self, device: &Device) {
        let watched = self.gateway.poller.watched();
        if watched.iter().any(|point| self.last[*point] != device.shows[*point]) {
            self.changes += 1;
            self.last = device.shows;
            self.told.push_back((self.changes, device.shows));
        }
    }

    /// One step; `between` may change the device between its requests.
    fn step(&mut self, device: &mut Device, between: &mut dyn FnMut(&mut Device)) {
        self.tells(device);
        self.gateway.tick += 1;
        if !self.told.is_empty() {
            self.gateway.poller.offer();
        }
        match self.gateway.poller.next(at(self.gateway.tick)) {
            Step::Wait(Some(until)) => self.gateway.tick = self.gateway.tick.max(until),
            Step::Wait(None) => {}
            Step::Write { point, value } => {
                assert_eq!(point, 3);
                device.write(&value);
                self.tells(device);
                self.gateway.poller.write_done(at(self.gateway.tick), Ok(()));
            }
            Step::Read { points, told, .. } => self.read(device, &points, told, between),
        }
        self.gateway.outs();
    }

    fn read(&mut self, device: &mut Device, points: &[PointIx], told: bool, between: &mut dyn FnMut(&mut Device)) {
        if let Some((change, shows)) = self.told.pop_front().filter(|_| told) {
            let watched = self.gateway.poller.watched().to_vec();
            for point in watched {
                if self.image[point].is_none_or(|(known, _)| known <= change) {
                    self.image[point] = Some((change, shows[point]));
                }
            }
        }
        if !(told && points.iter().all(|point| self.image[*point].is_some())) {
            self.asked += 1;
            for point in points {
                self.tells(device);
                self.image[*point] = Some((self.changes, device.shows[*point]));
                if !self.gateway.together {
                    between(device);
                }
            }
            between(device);
        }
        let mut values = vec![None; 5];
        for point in points {
            values[*point] = self.image[*point].map(|(_, value)| Raw::Int(value));
        }
        let asked = at(self.gateway.tick);
        self.gateway.tick += 1;
        let now = at(self.gateway.tick);
        self.gateway.poller.read_done(asked, now, &values, &[]);
    }

    /// Steps until nothing is left to do, everything being stored.
    fn settle(&mut self, device: &mut Device) {
        for _ in 0..60 {
            self.step(device, &mut quiet);
            self.gateway.commit(9);
        }
    }

    fn lost(&mut self) {
        self.told.clear();
        self.image = [None; 5];
        self.last = [i64::MIN; 5];
        self.gateway.poller.link_lost();
        self.gateway.poller.is_told(true);
    }

    fn crash(&mut self) {
        self.gateway.crash();
        self.lost();
    }
}

#[test]
fn a_device_that_tells_nothing_is_not_asked() {
    let (mut device, mut driver) = (
        Device::new(false),
        Driver::new(event(vec![Trigger::Changes(vec![0])]), true),
    );
    driver.settle(&mut device);
    let asked = driver.asked;
    let tick = driver.gateway.tick;
    assert!(asked <= 2, "{asked} times for a baseline");
    assert_eq!(driver.gateway.poller.next(at(tick + 100_000)), Step::Wait(None));
    driver.gateway.poller.offer();
    let step = driver.gateway.poller.next(at(tick + 100_001));
    assert!(matches!(step, Step::Read { told: true, .. }), "{step:?}");
    let now = at(tick + 100_001);
    driver.gateway.poller.read_done(now, now, &values([0; 5]), &[]);
    assert_eq!(driver.gateway.poller.next(at(tick + 100_002)), Step::Wait(None));
    // Until it must be polled again.
    driver.gateway.poller.is_told(false);
    let step = driver.gateway.poller.next(at(tick + 200_000));
    assert!(matches!(step, Step::Read { told: false, .. }), "{step:?}");
}

#[test]
fn what_is_told_had_not_happened_when_it_was_last_heard_of() {
    let (mut device, mut driver) = (
        Device::new(false),
        Driver::new(event(vec![Trigger::Changes(vec![0])]), true),
    );
    driver.settle(&mut device);
    let tick = driver.gateway.tick;
    let mut since = |heard: u64, told: u64, count: i64| {
        let poller = &mut driver.gateway.poller;
        poller.offer();
        assert!(matches!(poller.next(at(told)), Step::Read { told: true, .. }));
        poller.looked_until(at(heard));
        poller.read_done(at(told), at(told), &values([count, 0, count * 10, 0, count]), &[]);
        let outs = poller.take();
        let [Out::Happened(of)] = &outs[..] else {
            panic!("{outs:?}")
        };
        assert_eq!(of.seen, at(told));
        of.since
    };
    assert_eq!(since(tick + 500, tick + 510, 1), Some(at(tick + 500)));
    // What was heard before the last look says nothing new.
    assert_eq!(since(tick + 400, tick + 520, 2), Some(at(tick + 510)));
}

#[test]
fn what_is_told_while_a_result_is_stored_is_looked_at_afterwards() {
    let mut of = handshake(false);
    of.id = vec![4];
    let (mut device, mut driver) = (Device::new(false), Driver::new(of, true));
    driver.settle(&mut device);
    device.make();
    for _ in 0..10 {
        driver.step(&mut device, &mut quiet);
    }
    assert_eq!(driver.gateway.waiting.len(), 1);
    // A device that does not wait for the acknowledgement.
    device.shows[3] = device.shows[0];
    device.make();
    for _ in 0..10 {
        driver.step(&mut device, &mut quiet);
    }
    assert_eq!(driver.gateway.waiting.len(), 1, "the first is not stored yet");
    driver.settle(&mut device);
    assert_eq!(driver.gateway.results, [1, 2]);
}

#[test]
fn what_is_told_while_a_result_is_stored_is_looked_at_even_if_another_event_is_asked_for_meanwhile() {
    let mut of = handshake(false);
    of.id = vec![4];
    let mut both = (*plan(of)).clone();
    let any = Trigger::ChangesAny {
        points: vec![2],
        at_most: Duration::from_millis(100),
    };
    both.events.push(EventPlan {
        name: "readings".into(),
        points: vec![2],
        stable: 0,
        ..event(vec![any])
    });
    let mut poller = Poller::new(Arc::new(both), &HashMap::new(), &|_| true);
    poller.is_told(true);
    // What the device shows, whether it tells that, and which ticket is answered then.
    let mut results = Vec::new();
    let mut open = None;
    let mut shows = [0; 5];
    for tick in 1..400 {
        match tick {
            10 => shows = [1, 0, 5, 0, 1],
            // It does not wait for the acknowledgement.
            20 => shows = [2, 0, 6, 0, 2],
            // The window of the readings ended before.
            200 => poller.answered(at(tick), open.take().unwrap(), true),
            _ => {}
        }
        if matches!(tick, 10 | 20) {
            poller.offer();
        }
        match poller.next(at(tick)) {
            Step::Read { .. } => poller.read_done(at(tick), at(tick), &values(shows), &[]),
            Step::Write { value, .. } => {
                let Raw::Int(value) = value else { panic!() };
                shows[3] = value;
                poller.write_done(at(tick), Ok(()));
            }
            Step::Wait(_) => {}
        }
        for out in poller.take() {
            match out {
                Out::Happened(of) if of.happening.event == 0 => {
                    results.push(of.happening.values[0].clone());
                    open = of.ticket;
                }
                Out::Happened(of) => poller.answered(at(tick), of.ticket.unwrap(), true),
                Out::State { ticket, .. } => {
                    if let Some(ticket) = ticket {
                        poller.answered(at(tick), ticket, true);
                    }
                }
                Out::Alarm { .. } => {}
            }
        }
    }
    assert_eq!(results, [Some(Raw::Int(1)), Some(Raw::Int(2))]);
}

#[test]
fn what_could_not_be_stored_is_asked_for_again() {
    for level in [true, false] {
        let (mut device, mut driver) = (Device::new(level), Driver::new(handshake(level), true));
        driver.settle(&mut device);
        device.make();
        for _ in 0..3 {
            for _ in 0..10 {
                driver.step(&mut device, &mut quiet);
            }
            let (ticket, ..) = driver.gateway.waiting.pop().expect("it is taken again");
            assert!(driver.gateway.waiting.is_empty());
            let now = at(driver.gateway.tick);
            driver.gateway.poller.answered(now, ticket.unwrap(), false);
        }
        assert!(device.acked.is_empty());
        driver.settle(&mut device);
        assert_eq!((&driver.gateway.results[..], &device.acked[..]), (&[1][..], &[1][..]));
    }
}

#[test]
fn a_trigger_that_is_not_told_to_fall_is_asked_for_and_acknowledged_again() {
    let (mut device, mut driver) = (Device::new(true), Driver::new(handshake(true), true));
    driver.settle(&mut device);
    device.make();
    // It takes no acknowledgement for its flag.
    device.level = false;
    let began = driver.gateway.tick;
    while driver.gateway.alarms.is_empty() {
        driver.step(&mut device, &mut quiet);
        driver.gateway.commit(9);
        assert!(driver.gateway.tick < began + 10_000);
    }
    assert!(driver.gateway.tick >= began + 500, "the time-out");
    assert_eq!((device.shows[1], device.shows[3]), (1, 1), "written, and still shown");
    device.level = true;
    device.acked.clear();
    driver.settle(&mut device);
    assert_eq!((&device.acked[..], &driver.gateway.results[..]), (&[1][..], &[1][..]));
    assert_eq!(driver.gateway.alarms, [true, false]);
}

#[test]
fn values_at_one_moment_are_events_each_and_within_a_window_one_at_its_end() {
    let any = |at_most| {
        event(vec![Trigger::ChangesAny {
            points: vec![2],
            at_most,
        }])
    };
    let told = |at_most: Duration| {
        let plan = plan(any(at_most));
        let mut poller = Poller::new(plan, &HashMap::new(), &|_| true);
        poller.is_told(true);
        let mut happened = Vec::new();
        let mut take = |poller: &mut Poller, tick: u64| {
            for out in poller.take() {
                match out {
                    Out::Happened(of) => {
                        happened.push((tick, of.happening.values[2].clone()));
                        poller.answered(at(tick), of.ticket.unwrap(), true);
                    }
                    Out::State {
                        ticket: Some(ticket), ..
                    } => poller.answered(at(tick), ticket, true),
                    _ => {}
                }
            }
        };
        for value in [0, 1, 2, 3, 4] {
            poller.offer();
            assert!(matches!(poller.next(at(1_000)), Step::Read { told: true, .. }));
            poller.read_done(at(1_000), at(1_000), &values([0, 0, value, 0, 0]), &[]);
            take(&mut poller, 1_000);
        }
        let step = poller.next(at(1_001));
        if let Step::Wait(Some(until)) = step {
            let step = poller.next(at(until));
            assert!(matches!(step, Step::Read { told: false, .. }), "{step:?}");
            poller.read_done(at(until), at(until), &values([0, 0, 4, 0, 0]), &[]);
            take(&mut poller, until);
            assert_eq!(poller.next(at(until + 1)), Step::Wait(None));
        }
        happened
    };
    let value = |value| Some(Raw::Int(value));
    let all = [
        (1_000, value(1)),
        (1_000, value(2)),
        (1_000, value(3)),
        (1_000, value(4)),
    ];
    assert_eq!(told(Duration::ZERO), all);
    assert_eq!(told(Duration::from_millis(300)), [(1_000, value(1)), (1_300, value(4))]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// As of a device that is polled: every result is stored, in order, and none acknowledged that is not.
    #[test]
    fn a_handshake_that_is_told_loses_and_repeats_nothing(
        level in any::<bool>(),
        together in any::<bool>(),
        with_id in any::<bool>(),
        script in proptest::collection::vec(0..10_u8, 1..250),
    ) {
        let mut of = handshake(level);
        if with_id {
            of.id = vec![4];
        }
        let (mut device, mut driver) = (Device::new(level), Driver::new(of, together));
        driver.settle(&mut device);
        for act in script {
            match act {
                0 => device.make(),
                1 => driver.crash(),
                2 => driver.lost(),
                3 => driver.gateway.commit(1),
                4 | 5 => driver.gateway.commit(9),
                6 => driver.step(&mut device, &mut Device::make),
                _ => driver.step(&mut device, &mut quiet),
            }
            for acked in &device.acked {
                prop_assert!(driver.gateway.results.contains(acked), "{} acknowledged, not stored", acked);
            }
        }
        driver.settle(&mut device);
        let all: Vec<i64> = (1..=device.made).collect();
        prop_assert_eq!(&driver.gateway.results, &all);
        prop_assert_eq!(&device.acked, &all);
    }
}
