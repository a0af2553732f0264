//! A ring against a device that writes whenever it likes: between any two requests, and while the gateway is away.

use super::super::tests::{event, point, slot};
use super::*;
use crate::model::plan::*;
use proptest::prelude::*;
use std::time::Duration;

const SLOTS: usize = 4;
const STRIDE: u16 = 10;

/// index 0, number and value of the record, the acknowledged index.
fn plan(wraps: Option<u64>, newest: bool, ack: bool, id: bool) -> Arc<SlotPlan> {
    let points = [0, 100, 101, 5].map(|address| point(&format!("p{address}"), address));
    let of = EventPlan {
        points: vec![0, 1, 2],
        id: if id { vec![1] } else { vec![] },
        ack: ack.then(|| Ack {
            write: 3,
            value: AckValue::Copy(0),
            then: None,
            timeout: Duration::from_secs(1),
        }),
        ring: Some(Ring {
            index: 0,
            slots: 4,
            stride: STRIDE,
            wraps,
            newest,
        }),
        ..event(vec![Trigger::Changes(vec![0])])
    };
    slot(points.into(), of)
}

/// A PLC with a ring.
struct Device {
    written: u64,
    records: [u64; SLOTS],
    modulus: u64,
    newest: bool,
    acked: i64,
}

impl Device {
    fn write(&mut self) {
        let slot = usize::try_from(self.written).unwrap() % SLOTS;
        self.written += 1;
        self.records[slot] = self.written;
    }

    fn index(&self) -> i64 {
        let next = self.written + self.modulus - u64::from(self.newest);
        i64::try_from(next % self.modulus).unwrap()
    }

    fn read(&self, points: &[PointIx], shift: u16) -> Vec<Option<Raw>> {
        let mut values = vec![None; 4];
        for point in points {
            let record = i64::try_from(self.records[usize::from(shift / STRIDE)]).unwrap();
            values[*point] = Some(Raw::Int(match point {
                0 => self.index(),
                1 => record,
                2 => record * 7,
                _ => self.acked,
            }));
        }
        values
    }
}

struct Gateway {
    plan: Arc<SlotPlan>,
    poller: Poller,
    stored: HashMap<String, TriggerState>,
    results: Vec<i64>,
    waiting: Vec<(Option<Ticket>, Option<TriggerState>, Option<i64>)>,
    tick: u64,
}

impl Gateway {
    fn new(plan: Arc<SlotPlan>) -> Self {
        Self {
            poller: Poller::new(plan.clone(), &HashMap::new(), &|_| true),
            plan,
            stored: HashMap::new(),
            results: Vec::new(),
            waiting: Vec::new(),
            tick: 0,
        }
    }

    fn step(&mut self, device: &mut Device) {
        let at = |tick: u64| Moment::new(i64::try_from(tick).unwrap() + 1_800_000_000_000, tick);
        self.tick += 1;
        match self.poller.next(at(self.tick)) {
            Step::Wait(until) => self.tick = self.tick.max(until.unwrap_or(0)),
            Step::Read { points, shift, .. } => {
                assert!(
                    !points.contains(&0) || !points.contains(&1) && shift == 0,
                    "the index does not lie in a record"
                );
                self.poller
                    .read_done(at(self.tick), at(self.tick), &device.read(&points, shift), &[]);
            }
            Step::Write { value, .. } => {
                let Raw::Int(value) = value else { panic!("{value:?}") };
                device.acked = value;
                self.poller.write_done(at(self.tick), Ok(()));
            }
        }
        for out in self.poller.take() {
            match out {
                Out::Happened(happened) => {
                    let (Some(Raw::Int(number)), Some(Raw::Int(value))) =
                        (&happened.happening.values[1], &happened.happening.values[2])
                    else {
                        panic!("a point is missing");
                    };
                    assert_eq!(*value, number * 7, "torn");
                    self.waiting
                        .push((happened.ticket, happened.happening.state, Some(*number)));
                }
                Out::State { state, ticket, .. } => self.waiting.push((ticket, Some(state), None)),
                Out::Alarm { .. } => {}
            }
        }
    }

    fn commit(&mut self) {
        for (ticket, state, number) in std::mem::take(&mut self.waiting) {
            self.stored.extend(state.map(|state| ("tightening".to_owned(), state)));
            self.results.extend(number);
            if let Some(ticket) = ticket {
                self.poller.answered(Moment::new(0, self.tick), ticket, true);
            }
        }
    }

    fn crash(&mut self) {
        self.waiting.clear();
        self.poller = Poller::new(self.plan.clone(), &self.stored, &|_| true);
    }
}

fn device(modulus: u64, newest: bool) -> Device {
    let mut device = Device {
        written: 0,
        records: [0; SLOTS],
        modulus,
        newest,
        acked: 0,
    };
    device.acked = device.index();
    device
}

proptest! {
    /// Never more than the ring holds: every record once, in order, through kills and cuts.
    #[test]
    fn what_the_ring_still_holds_is_taken_once_and_in_order(
        acts in proptest::collection::vec(0u8..12, 50..300),
        round in any::<bool>(), newest in any::<bool>(), ack in any::<bool>(),
    ) {
        let (modulus, wraps) = if round { (4, None) } else { (65_536, Some(65_536)) };
        let mut device = device(modulus, newest);
        let mut gateway = Gateway::new(plan(wraps, newest, ack, true));
        for _ in 0..20 { gateway.step(&mut device); gateway.commit(); }
        for act in acts {
            let lag = device.written - u64::try_from(gateway.results.last().copied().unwrap_or(0)).unwrap();
            match act {
                0 => gateway.crash(),
                1 => gateway.poller.link_lost(),
                2..=4 if lag < 3 => device.write(),
                5..=7 => gateway.commit(),
                _ => gateway.step(&mut device),
            }
        }
        for _ in 0..500 { gateway.step(&mut device); gateway.commit(); }
        let all: Vec<i64> = (1..=i64::try_from(device.written).unwrap()).collect();
        prop_assert_eq!(gateway.results, all);
    }

    /// Overrun at any time: what is taken is whole, once, in order, and the newest is always reached.
    #[test]
    fn an_overrun_tears_and_doubles_nothing(
        acts in proptest::collection::vec(0u8..10, 50..300), round in any::<bool>(), newest in any::<bool>(),
    ) {
        let (modulus, wraps) = if round { (4, None) } else { (65_536, Some(65_536)) };
        let mut device = device(modulus, newest);
        let mut gateway = Gateway::new(plan(wraps, newest, false, true));
        for _ in 0..20 { gateway.step(&mut device); gateway.commit(); }
        for act in acts {
            match act {
                0 => gateway.crash(),
                1 => gateway.poller.link_lost(),
                2..=5 => device.write(),
                _ => { gateway.step(&mut device); gateway.commit(); }
            }
        }
        device.write();
        for _ in 0..500 { gateway.step(&mut device); gateway.commit(); }
        // An index of slots alone does not show that it went round as a whole.
        if !round {
            prop_assert!(gateway.results.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", gateway.results);
            prop_assert_eq!(gateway.results.last().copied(), i64::try_from(device.written).ok());
        }
    }
}

#[test]
fn a_count_that_begins_again_is_read_from_its_beginning() {
    let mut device = device(65_536, false);
    let mut gateway = Gateway::new(plan(Some(65_536), false, false, true));
    for _ in 0..20 {
        gateway.step(&mut device);
        gateway.commit();
    }
    for _ in 0..30 {
        device.write();
        for _ in 0..10 {
            gateway.step(&mut device);
            gateway.commit();
        }
    }
    let before = gateway.results.len();
    device.written = 0;
    device.records = [0; SLOTS];
    device.write();
    device.write();
    for _ in 0..50 {
        gateway.step(&mut device);
        gateway.commit();
    }
    assert_eq!(gateway.results[before..], [1, 2]);
}

#[test]
fn a_whole_ring_is_taken_after_a_long_time_away() {
    let mut device = device(4, false);
    let mut gateway = Gateway::new(plan(None, false, false, true));
    for _ in 0..20 {
        gateway.step(&mut device);
        gateway.commit();
    }
    for _ in 0..3 {
        device.write();
    }
    for _ in 0..50 {
        gateway.step(&mut device);
        gateway.commit();
    }
    gateway.crash();
    for _ in 0..9 {
        device.write();
    }
    for _ in 0..50 {
        gateway.step(&mut device);
        gateway.commit();
    }
    assert_eq!(gateway.results, [1, 2, 3, 9, 10, 11, 12]);
}

#[test]
fn a_device_that_is_always_ahead_is_told_until_it_can_be_followed() {
    let mut device = device(65_536, false);
    let mut gateway = Gateway::new(plan(Some(65_536), false, false, true));
    let state = |gateway: &Gateway| {
        gateway
            .poller
            .condition(Moment::new(0, gateway.tick))
            .map(|(state, _)| state)
    };
    for _ in 0..20 {
        gateway.step(&mut device);
        gateway.commit();
    }
    assert_eq!(state(&gateway), Some(LinkState::Online));
    for _ in 0..50 {
        for _ in 0..=SLOTS {
            device.write();
        }
        gateway.step(&mut device);
        gateway.commit();
    }
    assert_eq!((gateway.results.len(), state(&gateway)), (0, Some(LinkState::Degraded)));
    for _ in 0..50 {
        gateway.step(&mut device);
        gateway.commit();
    }
    assert_eq!(
        (gateway.results.len(), state(&gateway)),
        (SLOTS, Some(LinkState::Online))
    );
}
