//! Normal weeks of a line, made by chance from a seed: shifts, breaks, changeovers, new and changed programs, wear, rework,
//! cold starts, fields that come and go, network losses, clocks that drift and are corrected.

use crate::model::draft::{CounterReading, DeviceTime};
use crate::model::plan::Keep;
use crate::model::{DeviceIdentity, Draft, EventType, Fields, Moment, SlotName};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::sync::Arc;

/// 2026-11-23, a Monday, 00:00 UTC.
pub(super) const MONDAY: i64 = 1_795_392_000_000;
pub(super) const SECOND: i64 = 1_000;
pub(super) const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

pub(super) fn slot() -> SlotName {
    SlotName::new("st10", "spindle-1")
}

pub(super) fn device(model: &str, serial: Option<&str>, digest: &str) -> Arc<DeviceIdentity> {
    Arc::new(DeviceIdentity {
        vendor: "Example".into(),
        model: model.into(),
        serial: serial.map(str::to_owned),
        digest: digest.into(),
    })
}

/// A draft with nothing but its fields.
pub(super) fn draft(kind: EventType, data: Value, wall: i64, device: &Arc<DeviceIdentity>) -> Draft {
    let Value::Object(data) = data else { panic!("an object") };
    let seen = Moment::new(wall, u64::try_from(wall - MONDAY + 10 * DAY).unwrap());
    Draft {
        slot: slot(),
        event: kind.word().into(),
        kind,
        data,
        quarantine: Vec::new(),
        id: None,
        counter: None,
        seen,
        since: Some(seen),
        device_time: None,
        backfill: false,
        echo: None,
        extra: Fields::new(),
        raw: None,
        device: device.clone(),
        keep: Keep::Stored,
    }
}

#[derive(Debug, Clone)]
struct Program {
    id: u32,
    target: f64,
    /// Of the torque, and of the angle, relative.
    spread: f64,
    angle: f64,
    angle_spread: f64,
    nok: f64,
    batch: bool,
    angle_limits: bool,
}

/// A line with one tightening tool, as it is set up.
#[derive(Debug)]
pub(super) struct Line {
    rng: StdRng,
    programs: Vec<Program>,
    next_program: u32,
    limits: bool,
    digits: i32,
    has_angle: bool,
    night: bool,
    takt: i64,
    joints: usize,
    tools: usize,
    counted: i64,
    clock: f64,
    clock_drift: f64,
    zone: i64,
    corrected: bool,
    wear: f64,
    time_said: bool,
    temp_said: f64,
    pub(super) device: Arc<DeviceIdentity>,
}

fn round(value: f64, digits: i32) -> f64 {
    let power = 10_f64.powi(digits);
    (value * power).round() / power
}

impl Line {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut line = Self {
            programs: Vec::new(),
            next_program: 1,
            limits: rng.random_bool(0.6),
            digits: if rng.random_bool(0.7) { 2 } else { 1 },
            has_angle: rng.random_bool(0.8),
            night: rng.random_bool(0.3),
            takt: rng.random_range(150..400) * SECOND,
            joints: rng.random_range(1..4),
            tools: rng.random_range(1..3),
            counted: rng.random_range(1..70_000),
            clock: rng.random_range(-2_000.0..2_000.0),
            clock_drift: rng.random_range(-2_500.0..2_500.0),
            zone: if rng.random_bool(0.3) { HOUR } else { 0 },
            corrected: rng.random_bool(0.6),
            wear: 0.0,
            time_said: rng.random_bool(0.8),
            temp_said: if rng.random_bool(0.5) { 1.0 } else { 0.85 },
            device: device("T-100", Some("SN-1"), "sha256:1"),
            rng,
        };
        for _ in 0..line.rng.random_range(1..=12) {
            line.add_program();
        }
        line
    }

    fn gauss(&mut self) -> f64 {
        2.0 * ((0..3).map(|_| self.rng.random::<f64>()).sum::<f64>() - 1.5)
    }

    fn add_program(&mut self) {
        let target = if self.rng.random_bool(0.7) {
            f64::from(self.rng.random_range(4..120)) / 2.0
        } else {
            round(self.rng.random_range(2.0..60.0), 2)
        };
        let program = Program {
            id: self.next_program,
            target,
            spread: self.rng.random_range(0.004..0.03),
            angle: self.rng.random_range(20.0..500.0),
            angle_spread: self.rng.random_range(0.03..0.18),
            nok: self.rng.random_range(0.002..0.05),
            batch: self.rng.random_bool(0.5),
            angle_limits: self.rng.random_bool(0.5),
        };
        self.next_program += 1;
        self.programs.push(program);
    }

    /// A process engineer was there.
    fn reparameterize(&mut self) {
        let at = self.rng.random_range(0..self.programs.len());
        let ratio = if self.rng.random_bool(0.15) {
            if self.rng.random_bool(0.5) { 2.0 } else { 0.5 }
        } else {
            let by: f64 = self.rng.random_range(0.05..0.4);
            if self.rng.random_bool(0.5) { 1.0 + by } else { 1.0 - by }
        };
        let coarse = self.rng.random_bool(0.7);
        let angle = self.rng.random_range(0.8..1.25);
        let program = &mut self.programs[at];
        let target = program.target * ratio;
        program.target = if coarse {
            (target * 2.0).round().max(1.0) / 2.0
        } else {
            round(target, 2)
        };
        program.angle *= angle;
    }

    fn works(&self, wall: i64) -> bool {
        let day = (wall - MONDAY).div_euclid(DAY) % 7;
        let hour = (wall - MONDAY).rem_euclid(DAY) as f64 / HOUR as f64;
        let shift = (6.0..22.0).contains(&hour) || self.night;
        let breaks = [(9.0, 9.25), (12.0, 12.5), (17.0, 17.25), (19.5, 20.0), (2.0, 2.5)];
        day < 5 && shift && !breaks.iter().any(|(from, to)| (*from..*to).contains(&hour))
    }

    fn tightening(&mut self, program: usize, wall: i64, cold: f64, unit: usize) -> Draft {
        let program = self.programs[program].clone();
        let nok = self.rng.random_bool(program.nok);
        let mut torque = program.target * (1.0 + self.wear + cold + program.spread * self.gauss());
        let mut angle = program.angle * (1.0 + program.angle_spread * self.gauss()).max(0.2);
        if nok {
            match self.rng.random_range(0..4) {
                0 => torque *= self.rng.random_range(0.02..0.9),
                1 => torque *= self.rng.random_range(1.1..1.4),
                2 => angle *= self.rng.random_range(0.02..0.5),
                _ => angle *= self.rng.random_range(1.5..4.0),
            }
        }
        let target = program.target;
        let mut measure = json!({"value": round(torque, self.digits), "uom": "N.m"});
        if self.limits {
            measure["target"] = json!(target);
            measure["min"] = json!(round(target * 0.9, 2));
            measure["max"] = json!(round(target * 1.1, 2));
        }
        let mut data = json!({
            "result": if nok { "nok" } else { "ok" },
            "torque": measure,
            "program": {"id": program.id.to_string()},
        });
        if self.has_angle {
            data["angle"] = json!({"value": angle.round(), "uom": "deg"});
            if program.angle_limits {
                data["angle"]["max"] = json!((program.angle * 1.8).round());
            }
        }
        if program.batch {
            data["batch"] = json!({"count": unit % 4 + 1, "size": 4});
        }
        if nok {
            data["errors"] = json!([{"code": "7"}]);
        }
        data["tool"] = json!({"serial": format!("T-{}", wall / (8 * HOUR) % self.tools as i64)});
        self.counted = if self.counted >= 65_535 { 1 } else { self.counted + 1 };
        data["result_id"] = json!(self.counted.to_string());
        let mut made = draft(EventType::Tightening, data, wall, &self.device);
        made.id = Some(vec![wall.to_string(), self.counted.to_string()]);
        made.counter = Some(CounterReading {
            value: self.counted,
            first: 1,
            from: 1,
            last: Some(65_535),
            before: None,
            waits: false,
        });
        if self.time_said {
            let late = self.rng.random_range(20..300);
            let said = wall - late + self.zone + self.clock as i64;
            made.device_time = Some(DeviceTime {
                said: String::new(),
                wall: said - said.rem_euclid(SECOND),
            });
        }
        if self.rng.random_bool(self.temp_said) {
            let hours = (wall - MONDAY).rem_euclid(DAY) as f64 / HOUR as f64;
            let temp = 24.0 + 14.0 * (1.0 - (-(hours - 6.0).max(0.0) / 3.0).exp()) + self.gauss();
            made.extra
                .insert("motor_temp".into(), json!({"value": round(temp, 1), "uom": "Cel"}));
        }
        made.extra.insert("firmware".into(), json!({"value": "vM.00.38"}));
        made.extra
            .insert("speed".into(), json!({"value": 300 + (self.gauss() * 5.0) as i64}));
        made
    }

    /// What the tool says in `weeks`, in the order in which the gateway stores it. Until `each` says no.
    pub(super) fn weeks(&mut self, weeks: i64, each: &mut dyn FnMut(Draft) -> bool) {
        let mut wall = MONDAY + 5 * HOUR + 50 * MINUTE;
        let end = MONDAY + weeks * 7 * DAY;
        let mut active = vec![0];
        let (mut changeover, mut lost, mut resumes) = (0, 0, 0);
        let mut held: Vec<Draft> = Vec::new();
        let (mut since_start, mut last) = (0, wall);
        let mut unit = 0;
        while wall < end {
            let step = self.takt + self.rng.random_range(-self.takt / 8..self.takt / 3);
            wall += step;
            if self.rng.random_bool(0.01) {
                wall += self.rng.random_range(2..25) * MINUTE;
            }
            if !self.works(wall) {
                continue;
            }
            let away = wall - last;
            let days = away as f64 / DAY as f64;
            self.clock += self.clock_drift * days;
            if self.corrected && self.clock.abs() > 2_000.0 && self.rng.random_bool(0.01) {
                // Its time server sets it right, often long after.
                self.clock = self.rng.random_range(-300.0..300.0);
            }
            self.wear += 0.05 / 7.0 * days;
            last = wall;
            since_start = if away > 4 * HOUR { 0 } else { since_start + 1 };
            let cold = 0.06 * (-f64::from(since_start) / 15.0).exp();
            if wall > changeover {
                changeover = wall + self.rng.random_range(HOUR..9 * HOUR);
                active = (0..self.joints)
                    .map(|_| self.rng.random_range(0..self.programs.len()))
                    .collect();
                if self.rng.random_bool(0.08) {
                    self.reparameterize();
                }
                if self.rng.random_bool(0.06) && self.next_program < 40 {
                    self.add_program();
                    active[0] = self.programs.len() - 1;
                }
            }
            if lost == 0 && self.rng.random_bool(0.000_5) {
                lost = wall;
                resumes = wall + self.rng.random_range(3..70) * MINUTE;
            }
            unit += 1;
            for (joint, program) in active.clone().into_iter().enumerate() {
                let at = wall + joint as i64 * 4 * SECOND;
                let mut result = self.tightening(program, at, cold, unit);
                if result.data["result"] == "nok" && self.rng.random_bool(0.5) {
                    // Loosened and done again.
                    if !each(result) {
                        return;
                    }
                    result = self.tightening(program, at + 2 * SECOND, cold, unit);
                }
                if lost > 0 {
                    // A controller keeps less than it sends.
                    result.backfill = true;
                    if let Some(torque) = result.data["torque"].as_object_mut() {
                        torque.retain(|name, _| name == "value" || name == "uom");
                    }
                    result.data.shift_remove("batch");
                    result.extra.clear();
                    held.push(result);
                } else if !each(result) {
                    return;
                }
            }
            if lost > 0 && wall > resumes {
                for (at, mut result) in held.drain(..).enumerate() {
                    result.seen = Moment::new(
                        wall + at as i64,
                        u64::try_from(wall + at as i64 - MONDAY + 10 * DAY).unwrap(),
                    );
                    if !each(result) {
                        return;
                    }
                }
                lost = 0;
            }
        }
    }

    /// What the machine beside it says in `weeks`: readings every two minutes, and its cycles. Until `each` says no.
    pub(super) fn machine(&mut self, weeks: i64, each: &mut dyn FnMut(Draft) -> bool) {
        let end = MONDAY + weeks * 7 * DAY;
        let mut wall = MONDAY;
        let (mut temp, mut parts, mut air) = (20.0, 0, 6.1);
        let cycle = self.rng.random_range(60..140) * SECOND;
        let mut next_cycle = wall;
        let mut state = 0.0;
        while wall < end {
            wall += 120 * SECOND + self.rng.random_range(-40..40);
            let works = self.works(wall);
            let weekend = (wall - MONDAY) / DAY % 7 >= 5;
            temp += if works {
                (46.0 - temp) / 45.0
            } else {
                (19.0 - temp) / 45.0
            };
            air = if weekend {
                air * 0.2 + 0.012
            } else {
                6.1 + 0.02 * self.gauss()
            };
            state = if works && self.rng.random_bool(0.8) {
                1.0
            } else {
                state * 0.5
            };
            parts = if (wall - MONDAY) % (8 * HOUR) < 121 * SECOND {
                0
            } else {
                parts + i64::from(works)
            };
            let noise = self.gauss();
            if self.rng.random_bool(0.000_2) {
                // The link was away.
                wall += self.rng.random_range(2..60) * MINUTE;
            }
            let data = json!({
                "values": {
                    "motor_temp": round(temp + 0.2 * noise, 1),
                    "air": round(air, 2),
                    "current": round(if works { 0.4 + 5.5 * state + 0.1 * noise } else { 0.4 }, 2),
                    "voltage": round(399.0 + noise + 2.0 * self.gauss(), 1),
                    "parts": parts,
                },
                "uoms": {"motor_temp": "Cel", "air": "bar", "current": "A", "voltage": "V"},
            });
            if !each(draft(EventType::Readings, data, wall, &self.device)) {
                return;
            }
            while next_cycle < wall {
                next_cycle += cycle + self.rng.random_range(-SECOND..3 * SECOND);
                if works && self.rng.random_bool(0.97) {
                    let data = json!({"phase": "end", "count": next_cycle / 1_000});
                    if !each(draft(EventType::Cycle, data, next_cycle, &self.device)) {
                        return;
                    }
                }
            }
        }
    }
}
