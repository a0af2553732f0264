//! Across a swap: the next device is held against the one before, what goes with a device begins anew, and what was
//! learned lies in the store.

use super::week::{DAY, Line, MONDAY, device, draft};
use crate::drift::{Drift, Finding};
use crate::model::{Draft, EventType, StateChange};
use serde_json::json;
use std::collections::BTreeMap;

/// 400 results of a tool of two programs, then `after` of another device, changed by `fault`.
fn swap(programs: u32, fault: &mut dyn FnMut(&mut Draft, u32)) -> (Vec<Finding>, Vec<(u32, Finding)>) {
    let (first, next) = (
        device("T-100", Some("SN-1"), "sha256:1"),
        device("U-200", Some("9"), "sha256:2"),
    );
    let mut drift = Drift::default();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for n in 0..800_u32 {
        let spread = 1.0 + 0.02 * f64::from(n * 7 % 11 - n * 7 % 11 / 2).sin();
        let program = n / 5 % programs + 1;
        let torque = f64::from(program) * 12.0 * spread;
        let who = if n < 400 { &first } else { &next };
        let data = json!({
            "result": "ok",
            "torque": {"value": (torque * 100.0).round() / 100.0, "uom": "N.m"},
            "angle": {"value": 90 + n * 13 % 17, "uom": "deg"},
            "program": {"id": program.to_string()},
        });
        let mut made = draft(EventType::Tightening, data, MONDAY + i64::from(n) * 45_000, who);
        made.id = Some(vec![n.to_string()]);
        if n < 400 {
            before.extend(drift.said(&made));
        } else {
            fault(&mut made, n - 399);
            after.extend(drift.said(&made).into_iter().map(|finding| (n - 399, finding)));
        }
    }
    (before, after)
}

fn torque(draft: &mut Draft, change: impl Fn(f64) -> f64) {
    let value = draft.data["torque"]["value"].as_f64().unwrap();
    draft.data["torque"]["value"] = json!(change(value));
}

/// The first that is told after the swap, as the alarm that it must be.
fn first(after: &[(u32, Finding)], code: &str, within: u32) -> String {
    let Some((results, finding)) = after.first() else {
        panic!("nothing was told")
    };
    assert!(finding.active && finding.code == code, "{finding:?}");
    assert!(*results <= within, "after {results}: {finding:?}");
    finding.text.clone()
}

#[test]
fn a_swap_that_is_well_done_says_nothing() {
    for programs in 1..4 {
        let (before, after) = swap(programs, &mut |_, _| {});
        assert_eq!((before, after), (Vec::new(), Vec::new()));
        // It gives fewer fields, and others, counts angles elsewhere, and has a clock of its own.
        let (_, after) = swap(programs, &mut |draft, _| {
            draft.data.shift_remove("angle");
            draft.extra.insert("peak".into(), json!({"value": 3}));
            draft.extra.insert("firmware".into(), json!({"value": "9.1"}));
            draft.data["program"] = json!({"id": format!("P{}", draft.data["program"]["id"])});
        });
        assert_eq!(after, Vec::new());
    }
}

#[test]
fn a_unit_that_was_not_converted_is_told_after_a_swap() {
    for (factor, meaning) in [
        (8.850_746, "8.85 times, the factor between N.m and in.lbf"),
        (0.737_562, "0.738 times, the factor between N.m and ft.lbf"),
        (0.01, "0.01 times, a decimal point that moved"),
    ] {
        for programs in [1, 2] {
            let (_, after) = swap(programs, &mut |draft, _| torque(draft, |value| value * factor));
            let text = first(&after, "drift_scale", 16);
            assert!(text.contains(meaning), "{text}");
            assert!(text.contains("before the swap (Example T-100, SN-1)"), "{text}");
        }
    }
    // Where the only program has another name, it is held against the only one before.
    let (_, after) = swap(1, &mut |draft, _| {
        torque(draft, |value| value * 8.850_746);
        draft.data["program"]["id"] = json!("7");
    });
    let text = first(&after, "drift_scale", 10);
    assert!(
        text.starts_with("torque of program 7 was ") && text.contains(" of program 1 before the swap"),
        "{text}"
    );
}

#[test]
fn exchanged_words_and_bytes_are_told_after_a_swap_though_they_are_plausible() {
    // A 32-bit integer in hundredths, its words exchanged.
    let words = |value: f64| f64::from(((value * 100.0) as u32).rotate_left(16)) / 100.0;
    let (_, after) = swap(2, &mut |draft, _| torque(draft, words));
    let text = first(&after, "drift_scale", 10);
    assert!(
        text.contains("the two words of a 32-bit value were exchanged; is `word_order` of the profile right?"),
        "{text}"
    );
    // A 16-bit one in hundredths, its bytes exchanged: some are near, others far.
    let bytes = |value: f64| f64::from(((value * 100.0) as u16).swap_bytes()) / 100.0;
    let (_, after) = swap(1, &mut |draft, _| torque(draft, bytes));
    let text = first(&after, "drift_scale", 12);
    assert!(
        text.contains("which no unit explains: are words or bytes exchanged (`word_order`, `type`)"),
        "{text}"
    );
    // A single, its words exchanged: wild.
    let single = |value: f64| f64::from(f32::from_bits((value as f32).to_bits().rotate_left(16)));
    let (_, after) = swap(1, &mut |draft, _| torque(draft, single));
    let text = first(&after, "drift_scale", 16);
    assert!(text.contains("which no unit explains"), "{text}");
    // Another point altogether: three times as much.
    let (_, after) = swap(2, &mut |draft, _| torque(draft, |value| value * 3.3));
    let text = first(&after, "drift_scale", 10);
    assert!(
        text.contains("3.3 times, which no unit explains") && text.contains("is another point read?"),
        "{text}"
    );
}

#[test]
fn ids_that_are_none_and_a_trigger_that_fires_twice_are_told_after_a_swap() {
    let (_, after) = swap(2, &mut |draft, _| {
        let program = draft.data["program"]["id"].as_str().unwrap().to_owned();
        draft.id = Some(vec![program]);
    });
    let text = first(&after, "drift_id", 6);
    assert!(
        text.contains("came with 3 different results") && text.contains("is no id of a result"),
        "{text}"
    );
    let mut last: Option<Draft> = None;
    let (_, after) = swap(2, &mut |draft, n| {
        if n % 2 == 0
            && let Some(last) = last.take()
        {
            let id = draft.id.take();
            *draft = last;
            draft.id = id;
            draft.seen.tick += 50;
        } else {
            last = Some(draft.clone());
        }
    });
    let text = first(&after, "drift_id", 12);
    assert!(
        text.contains("with the same values within 1.5 s, under another id: does its trigger fire twice"),
        "{text}"
    );
}

#[test]
fn a_changed_file_ends_what_was_told_and_it_is_told_again_if_it_stays() {
    let edited = device("U-200", Some("9"), "sha256:3");
    for repaired in [true, false] {
        let (_, after) = swap(1, &mut |draft, n| {
            let wrong = n < 100 || !repaired;
            torque(draft, |value| if wrong { value * 10.0 } else { value });
            if n >= 100 {
                draft.device = edited.clone();
            }
        });
        let told: Vec<_> = after.iter().map(|(at, finding)| (*at, finding.active)).collect();
        assert_eq!(told.get(1), Some(&(100, false)), "{after:#?}");
        let again = told.get(2).filter(|(at, active)| *active && *at <= 110);
        assert_eq!(again.is_some(), !repaired, "{after:#?}");
    }
}

/// What the store holds after these changes.
fn store(held: &mut BTreeMap<Vec<u8>, Vec<u8>>, changes: Vec<StateChange>) {
    for change in changes {
        assert!(change.key.len() <= 512);
        match change.value {
            Some(value) => {
                assert!(
                    value.len() <= 3_500,
                    "{}: {}",
                    String::from_utf8_lossy(&change.key),
                    value.len()
                );
                held.insert(change.key, value);
            }
            None => {
                held.remove(&change.key);
            }
        }
    }
}

#[test]
fn a_restart_forgets_nothing() {
    let mut held = BTreeMap::new();
    let mut drift = Drift::default();
    let (mut all, mut begun, mut told) = (0, 0, Vec::new());
    Line::new(11).weeks(1, &mut |mut draft| {
        all += 1;
        store(&mut held, drift.take_changes());
        if all % 200 == 0 {
            // An orderly end, and the next start.
            drift.keep_all();
            store(&mut held, drift.take_changes());
            drift = Drift::default();
            for (key, value) in &held {
                drift.restore(key, value);
            }
        }
        if all > 1_205 {
            begun += 1;
            let torque = draft.data["torque"]["value"].as_f64().unwrap();
            draft.data["torque"]["value"] = json!(torque * 10.0);
        }
        told.extend(drift.said(&draft));
        all < 1_300
    });
    let [finding, ..] = told.as_slice() else {
        panic!("nothing was told")
    };
    assert_eq!(finding.code, "drift_scale");
    // Another life sees that it is over.
    drift.keep_all();
    store(&mut held, drift.take_changes());
    let mut drift = Drift::default();
    for (key, value) in &held {
        drift.restore(key, value);
    }
    let mut told = Vec::new();
    Line::new(11).weeks(1, &mut |draft| {
        told.extend(drift.said(&draft));
        !told
            .iter()
            .any(|finding: &Finding| finding.code == "drift_scale" && !finding.active)
    });
    assert!(
        told.iter()
            .any(|finding| finding.code == "drift_scale" && !finding.active)
    );
}

#[test]
fn what_is_kept_of_a_slot_is_bounded() {
    let mut held = BTreeMap::new();
    let mut drift = Drift::default();
    let who = device("T-100", None, "sha256:1");
    for n in 0..6_000_u32 {
        let extra = format!("a_field_with_a_long_name_that_comes_once_{n}");
        let mut made = draft(
            EventType::Tightening,
            json!({
                "result": "ok",
                "torque": {"value": f64::from(n % 90) + 1.25, "uom": "N.m", "target": 12},
                "program": {"id": format!("{}{}", "x".repeat(80), n / 3)},
                "joint": "j".repeat(300),
            }),
            MONDAY + i64::from(n) * 1_000,
            &who,
        );
        made.event = format!("event_{}", n % 40).as_str().into();
        made.extra.insert(extra, json!({"value": n, "firmware": 1}));
        made.extra
            .insert(format!("serial_{n}"), json!({"value": format!("{n}")}));
        if n % 5 == 0 {
            made.quarantine = vec![format!("unknown code {n} of `verdict`")];
        }
        let readings = json!({"values": {format!("value_{n}"): n}});
        drift.said(&made);
        drift.said(&draft(
            EventType::Readings,
            readings,
            MONDAY + i64::from(n) * 1_000,
            &who,
        ));
        if n % 500 == 0 {
            drift.keep_all();
        }
        store(&mut held, drift.take_changes());
    }
    assert!(held.len() <= 2 + 16 + 64 + 64 + 64 * 4, "{}", held.len());
    let codes: Vec<_> = drift.counts().map(|(_, tally)| tally.codes.len()).collect();
    assert_eq!(codes, [32]);
    drift.look(crate::model::Moment::new(MONDAY, (2 * DAY).cast_unsigned()));
}
