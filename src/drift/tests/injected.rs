//! Each kind of drift, put into normal weeks at a place by chance: how often it is told, how soon, and in which words.

use super::week::{DAY, HOUR, Line, MINUTE, MONDAY, SECOND};
use crate::drift::{Drift, Finding};
use crate::model::Draft;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use std::collections::HashMap;

/// What became of a fault.
struct Outcome {
    /// Results since the fault, of the program in which it was told.
    results: u32,
    /// Results since the fault, in all.
    all: u32,
    text: String,
}

fn program(draft: &Draft) -> String {
    draft.data.get("program").map_or_else(String::new, Value::to_string)
}

/// Runs a line from `seed`, with `fault` on every result from a place by chance on. `None`: it was not told in `patience`
/// results. What is told before the fault, or with another code, fails.
fn inject(seed: u64, code: &str, patience: u32, fault: &mut dyn FnMut(&mut Draft, u32)) -> Option<Outcome> {
    let mut drift = Drift::default();
    let mut place = StdRng::seed_from_u64(seed ^ 0x5eed).random_range(500..1_200_u32);
    let mut programs: HashMap<String, (u32, u32)> = HashMap::new();
    // The tools of all shifts are known after a day.
    let later = MONDAY + 31 * HOUR;
    let (mut all, mut since) = (0, 0);
    let mut told: Option<Outcome> = None;
    Line::new(seed).weeks(2, &mut |mut draft| {
        all += 1;
        let known = programs.entry(program(&draft)).or_default();
        if all < place {
            known.0 += 1;
        } else {
            if since == 0 && (known.0 < 60 || draft.backfill || draft.seen.wall < later) {
                // Where nothing is known nothing can be told.
                place += 1;
                known.0 += 1;
            } else {
                since += 1;
                known.1 += 1;
                fault(&mut draft, since);
            }
        }
        for Finding {
            code: found,
            active,
            text,
            ..
        } in drift.said(&draft)
        {
            assert!(since > 0, "seed {seed}: before the fault: {found}: {text}");
            if found == code && active {
                told = Some(Outcome {
                    results: programs.get(&program(&draft)).map_or(0, |known| known.1),
                    all: since,
                    text,
                });
                return false;
            }
        }
        since < patience
    });
    told
}

/// How many of `seeds` are told within `soon` results, and all the outcomes.
fn rate(seeds: std::ops::Range<u64>, soon: u32, mut run: impl FnMut(u64) -> Option<Outcome>) -> (f64, Vec<Outcome>) {
    let total = seeds.end - seeds.start;
    let outcomes: Vec<Outcome> = seeds.filter_map(&mut run).collect();
    let fast = outcomes.iter().filter(|outcome| outcome.results <= soon).count();
    (fast as f64 / total as f64, outcomes)
}

fn scale(draft: &mut Draft, factor: f64, limits: bool) {
    let Some(torque) = draft.data.get_mut("torque").and_then(Value::as_object_mut) else {
        return;
    };
    for (name, value) in torque {
        if let Some(number) = value.as_f64()
            && (limits || name == "value")
        {
            *value = json!((number * factor * 1e7).round() / 1e7);
        }
    }
}

#[test]
fn a_scale_that_changes_is_told_within_ten_results() {
    let factors: [(f64, &str); 8] = [
        (10.0, "decimal point"),
        (0.1, "decimal point"),
        (100.0, "decimal point"),
        (0.001, "decimal point"),
        (8.850_746, "N.m and in.lbf"),
        (1.0 / 8.850_746, "N.m and in.lbf"),
        (1.0 / 141.611_9, "N.m and ozf.in"),
        (65_536.0, "words of a 32-bit value"),
    ];
    let (mut all, mut soon, mut later) = (0.0, 0.0, 0);
    for (at, (factor, meaning)) in factors.into_iter().enumerate() {
        for limits in [false, true] {
            let from = 100 + 10 * at as u64;
            let (rate, outcomes) = rate(from..from + 5, 10, |seed| {
                inject(seed, "drift_scale", 400, &mut |draft, _| scale(draft, factor, limits))
            });
            all += 1.0;
            soon += rate;
            later += 5 - outcomes.len();
            for outcome in &outcomes {
                assert!(outcome.text.contains(meaning), "{factor}: {}", outcome.text);
                assert!(outcome.text.starts_with("torque of program "), "{}", outcome.text);
                assert!(outcome.text.contains(" times, "), "{}", outcome.text);
            }
        }
    }
    assert_eq!(later, 0, "never told");
    assert!(soon / all >= 0.9, "within ten results: {}", soon / all);
}

#[test]
fn nearly_ten_is_told_as_one_of_those_near_ten() {
    for (seed, factor) in [
        (200, 9.806_65),
        (201, 10.197_16),
        (202, 1.0 / 9.806_65),
        (203, 1.0 / 10.197_16),
    ] {
        let outcome = inject(seed, "drift_scale", 400, &mut |draft, _| scale(draft, factor, true)).unwrap();
        assert!(outcome.results <= 16, "{}: {}", outcome.results, outcome.text);
        assert!(
            ["kgf.m", "kgf.cm", "decimal"]
                .iter()
                .any(|word| outcome.text.contains(word)),
            "{}",
            outcome.text
        );
    }
}

#[test]
fn foot_pounds_are_told_where_a_target_shows_them() {
    let mut found = 0;
    for seed in 220..250 {
        let limits = {
            let mut limits = false;
            Line::new(seed).weeks(1, &mut |draft| {
                limits = draft.data["torque"].get("target").is_some();
                false
            });
            limits
        };
        if !limits {
            continue;
        }
        found += 1;
        // The values only, while the targets stay.
        let outcome = inject(seed, "drift_scale", 400, &mut |draft, _| {
            scale(draft, 0.737_562_1, false)
        });
        let outcome = outcome.unwrap_or_else(|| panic!("seed {seed}"));
        assert!(
            outcome.text.contains("N.m and ft.lbf") && outcome.text.contains("still is"),
            "{}",
            outcome.text
        );
        assert!(outcome.results <= 16, "{}: {}", outcome.results, outcome.text);
        if found == 6 {
            break;
        }
    }
    assert_eq!(found, 6);
}

#[test]
fn a_field_that_stays_away_and_one_that_comes_are_told() {
    let mut missing = 0;
    for seed in 300..310 {
        let mut has_angle = false;
        let outcome = inject(seed, "drift_field_missing", 300, &mut |draft, _| {
            has_angle |= draft.data.shift_remove("angle").is_some();
        });
        let Some(outcome) = outcome else {
            assert!(!has_angle, "seed {seed}: never told");
            continue;
        };
        missing += 1;
        assert!(outcome.results <= 14, "{}", outcome.results);
        assert!(
            outcome.text.starts_with("`angle.") && outcome.text.contains("was always there"),
            "{}",
            outcome.text
        );
    }
    assert!(missing >= 5, "{missing}");
    let mut new = 0;
    for seed in 310..316 {
        let outcome = inject(seed, "drift_field_new", 3_000, &mut |draft, _| {
            if !draft.backfill {
                draft.extra.insert("calibration_due".into(), json!({"value": true}));
            }
        });
        // Where programs are many, none may be known well enough before the weeks end.
        let Some(outcome) = outcome else { continue };
        new += 1;
        assert!(
            outcome.text.starts_with("`extra.calibration_due` of program "),
            "{}",
            outcome.text
        );
        assert!(outcome.text.contains("in each of the last 20"), "{}", outcome.text);
    }
    assert!(new >= 5, "{new}");
    // What names the program is missed for all of them.
    let outcome = inject(320, "drift_field_missing", 100, &mut |draft, _| {
        draft.data.shift_remove("program");
    });
    let outcome = outcome.unwrap();
    assert!(
        outcome.text.starts_with("`program` was always there"),
        "{}",
        outcome.text
    );
    assert!(outcome.all <= 30, "{}", outcome.all);
}

#[test]
fn an_unknown_code_is_told_at_once_and_a_flood_of_what_cannot_be_read() {
    let quarantine = |draft: &mut Draft, reason: &str| {
        draft.data.clear();
        draft.quarantine = vec![reason.to_owned()];
    };
    for seed in 330..334 {
        let outcome = inject(seed, "drift_code", 100, &mut |draft, since| {
            if since == 7 {
                quarantine(draft, "unknown code 7 of `verdict`");
            }
        });
        let outcome = outcome.unwrap();
        assert_eq!(outcome.all, 7);
        assert!(outcome.text.contains("unknown code 7 of `verdict`"), "{}", outcome.text);
        let outcome = inject(seed, "drift_code", 100, &mut |draft, _| {
            quarantine(draft, "`result` is missing")
        });
        let outcome = outcome.unwrap();
        assert_eq!(outcome.all, 5);
        assert!(
            outcome
                .text
                .contains("the last 5 of tightening could not be understood"),
            "{}",
            outcome.text
        );
    }
}

#[test]
fn a_value_that_is_stuck_is_told() {
    // What has a coarse last digit cannot be judged; of two values one is enough.
    let (soon, outcomes) = rate(340..350, 60, |seed| {
        let mut last: HashMap<(String, &str), Value> = HashMap::new();
        inject(seed, "drift_stuck", 1_500, &mut |draft, _| {
            let program = program(draft);
            for name in ["torque", "angle"] {
                if let Some(value) = draft.data.get_mut(name).and_then(|measure| measure.get_mut("value")) {
                    *value = last
                        .entry((program.clone(), name))
                        .or_insert_with(|| value.clone())
                        .clone();
                }
            }
        })
    });
    assert!(soon >= 0.8, "{soon}");
    for outcome in outcomes {
        assert!(outcome.results >= 12, "{}", outcome.text);
        assert!(
            outcome.text.contains(" of program ") && outcome.text.contains("to the last digit"),
            "{}",
            outcome.text
        );
    }
}

#[test]
fn another_firmware_and_another_serial_are_told() {
    for seed in 360..364 {
        let outcome = inject(seed, "drift_device", 100, &mut |draft, _| {
            if !draft.backfill {
                draft.extra.insert("firmware".into(), json!({"value": "vM.00.40"}));
            }
        });
        let outcome = outcome.unwrap();
        assert!(outcome.all <= 3, "{}", outcome.all);
        assert!(
            outcome.text.contains("`extra.firmware` was vM.00.38") && outcome.text.contains("is vM.00.40 now"),
            "{}",
            outcome.text
        );
        let outcome = inject(seed, "drift_device", 900, &mut |draft, _| {
            draft.data["tool"]["serial"] = json!("T-99")
        });
        let outcome = outcome.unwrap();
        assert!(
            outcome.text.contains("`tool.serial` was T-") && outcome.text.contains("is T-99 now"),
            "{}",
            outcome.text
        );
    }
}

#[test]
fn a_clock_that_steps_or_goes_away_is_told() {
    let (mut steps, mut lines) = (0, 0);
    for seed in 380..392 {
        let mut told = |by: &dyn Fn(i64) -> i64, words: [&str; 2]| {
            let (mut begun, mut said) = (0, false);
            let outcome = inject(seed, "drift_clock", 9_000, &mut |draft, since| {
                if since == 1 {
                    begun = draft.seen.wall;
                }
                if let Some(time) = &mut draft.device_time {
                    said = true;
                    time.wall += by(draft.seen.wall - begun);
                }
            });
            if !said {
                return;
            }
            lines += 1;
            if let Some(outcome) = outcome {
                steps += 1;
                assert!(words.iter().all(|word| outcome.text.contains(word)), "{}", outcome.text);
            }
        };
        told(&|_| -37 * SECOND, ["stepped back by ", " s, "]);
        told(&|_| HOUR, ["stepped forward by 60 min", "summer time"]);
        told(&|_| -2 * DAY, ["stepped back by ", "set by hand"]);
        told(&|since| since / (144 * MINUTE) * SECOND, ["has gone ", " fast in "]);
    }
    assert!(lines >= 24, "{lines}");
    assert_eq!(steps, lines);
}

#[test]
fn ids_that_begin_anew_collide_or_are_doubled_are_told() {
    for seed in 400..405 {
        let mut counted = 0;
        let outcome = inject(seed, "drift_id", 100, &mut |draft, _| {
            counted += 1;
            draft.counter.as_mut().unwrap().value = counted;
        });
        let outcome = outcome.unwrap();
        assert!(outcome.all <= 2, "{}", outcome.all);
        assert!(
            outcome.text.starts_with("`tightening`: the counter was ") && outcome.text.contains(" and is "),
            "{}",
            outcome.text
        );

        let outcome = inject(seed, "drift_id", 100, &mut |draft, _| {
            draft.counter = None;
            draft.id = Some(vec!["3".to_owned()]);
        });
        let outcome = outcome.unwrap();
        assert!(outcome.all <= 4, "{}", outcome.all);
        assert!(
            outcome.text.contains("the id 3 came with 3 different results"),
            "{}",
            outcome.text
        );

        let mut last: Option<Draft> = None;
        let outcome = inject(seed, "drift_id", 100, &mut |draft, since| {
            if since % 2 == 0
                && let Some(last) = last.take()
            {
                let (id, counter) = (draft.id.clone(), draft.counter);
                *draft = last;
                (draft.id, draft.counter) = (id, counter);
                draft.seen.tick += 120;
                draft.seen.wall += 120;
            } else {
                last = Some(draft.clone());
            }
        });
        let outcome = outcome.unwrap();
        assert!(outcome.all <= 14, "{}", outcome.all);
        assert!(outcome.text.contains("does its trigger fire twice"), "{}", outcome.text);
    }
    // An id alone, without a counter.
    let mut counted = 0;
    let outcome = inject(410, "drift_id", 100, &mut |draft, _| {
        counted += 1;
        draft.counter = None;
        draft.id = Some(vec![counted.to_string()]);
    });
    assert!(outcome.is_none(), "the number before was one of the counter");
}

/// Runs the machine of `seed`, with `fault` from the day `from` on.
fn machine(seed: u64, from: i64, weeks: i64, fault: &mut dyn FnMut(&mut Draft, u32)) -> Vec<(u32, Finding)> {
    let (mut drift, mut since, mut found) = (Drift::default(), 0, Vec::new());
    let begins = MONDAY + from * DAY + 10 * HOUR;
    Line::new(seed).machine(weeks, &mut |mut draft| {
        if draft.seen.wall > begins && draft.kind == crate::model::EventType::Readings {
            since += 1;
            fault(&mut draft, since);
        }
        found.extend(drift.said(&draft).into_iter().map(|finding| (since, finding)));
        found.is_empty() && since < 2_000
    });
    found
}

#[test]
fn readings_that_change_their_scale_stop_or_come_at_another_beat_are_told() {
    let times = |name: &'static str, factor: f64| {
        move |draft: &mut Draft, _: u32| {
            let value = draft.data["values"][name].as_f64().unwrap();
            draft.data["values"][name] = json!((value * factor * 1e4).round() / 1e4);
        }
    };
    for seed in 420..424 {
        let found = machine(seed, 8, 2, &mut times("voltage", 10.0));
        let (since, finding) = &found[0];
        assert_eq!((*since, finding.code), (30, "drift_scale"), "{}", finding.text);
        assert!(
            finding.text.starts_with("voltage was ") && finding.text.contains("10 times"),
            "{}",
            finding.text
        );
        let found = machine(seed, 9, 2, &mut times("voltage", 0.001));
        assert_eq!(found[0].1.code, "drift_scale", "{}", found[0].1.text);

        let found = machine(seed, 8, 2, &mut |draft, _| {
            let value = draft.data["values"]["motor_temp"].as_f64().unwrap();
            draft.data["values"]["motor_temp"] = json!(((value * 1.8 + 32.0) * 10.0).round() / 10.0);
        });
        let (_, finding) = &found[0];
        assert_eq!(finding.code, "drift_scale", "{}", finding.text);
        assert!(
            finding.text.contains("degrees Fahrenheit are to degrees Celsius"),
            "{}",
            finding.text
        );

        let found = machine(seed, 8, 2, &mut |draft, _| {
            draft.data["values"]["voltage"] = json!(398.7)
        });
        let (since, finding) = &found[0];
        assert_eq!(finding.code, "drift_stuck", "{}", finding.text);
        assert!((20..60).contains(since), "{since}");
        assert!(
            finding.text.starts_with("voltage was 398.7 V in the last "),
            "{}",
            finding.text
        );

        // Every reading is heard twice as often.
        let mut tick = 0;
        let found = machine(seed, 3, 1, &mut |draft, since| {
            if since == 1 {
                tick = draft.seen.tick;
            }
            tick += 60_000;
            draft.seen.tick = tick;
        });
        let (since, finding) = &found[0];
        assert_eq!(finding.code, "drift_cadence", "{}", finding.text);
        assert!(*since <= 200, "{since}");
        assert!(
            finding.text.contains("`readings` came every 2 min") && finding.text.contains("every 60.0 s"),
            "{}",
            finding.text
        );
    }
}

#[test]
fn what_came_goes_when_it_is_as_before_or_when_it_stays() {
    for (back, most) in [(60_u32, 1_200), (u32::MAX, 6_000)] {
        let mut drift = Drift::default();
        let (mut all, mut told) = (0, Vec::new());
        Line::new(7).weeks(2, &mut |mut draft| {
            all += 1;
            if all > 800 && all - 800 < back {
                scale(&mut draft, 10.0, false);
            }
            told.extend(drift.said(&draft).into_iter().map(|finding| (all, finding)));
            all < most
        });
        let words: Vec<_> = told.iter().map(|(_, finding)| (finding.code, finding.active)).collect();
        let came = words.iter().filter(|word| **word == ("drift_scale", true)).count();
        let went = words.iter().filter(|word| **word == ("drift_scale", false)).count();
        assert!(words.iter().all(|(code, _)| *code == "drift_scale"), "{told:#?}");
        assert!((1..=12).contains(&came) && went >= 1, "{told:#?}");
        assert_eq!(words.last(), Some(&("drift_scale", false)), "{told:#?}");
        let counted: Vec<_> = drift.counts().map(|(_, tally)| tally.alarms["drift_scale"]).collect();
        assert_eq!(counted, [came as u64]);
    }
}
