use super::*;
use crate::model::draft::{DeviceTime, Echo, EchoMatch};
use crate::model::event::UnitState;
use crate::model::plan::Keep;
use crate::model::{EventType, SlotName};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOON: i64 = 1_795_342_503_000;
const BOOT: u64 = 5_000_000;

fn at(millis: i64) -> Moment {
    Moment::new(NOON + millis, BOOT.saturating_add_signed(millis))
}

fn rule(sources: &[UnitSource]) -> StationRule {
    StationRule {
        station: "st10".into(),
        sources: sources.to_vec(),
        pattern: Some(regex::Regex::new("^[A-Z][0-9]*$").unwrap()),
        late: Duration::from_secs(10),
    }
}

fn mes_only() -> Units {
    let mut units = Units::new(vec![rule(&[UnitSource::Mes])]);
    units.alive(&UnitSource::Mes, true, at(0));
    units
}

fn draft(since: impl Into<Option<i64>>, seen: i64) -> Draft {
    Draft {
        slot: SlotName::new("st10", "spindle-1"),
        event: "tightening".into(),
        kind: EventType::Tightening,
        data: Fields::new(),
        quarantine: Vec::new(),
        id: None,
        counter: None,
        seen: at(seen),
        since: since.into().map(at),
        device_time: None,
        backfill: false,
        echo: None,
        extra: Fields::new(),
        raw: None,
        device: std::sync::Arc::default(),
        keep: Keep::Stored,
    }
}

type Prepare<'a> = &'a dyn Fn(&mut Units);

fn echoed(since: i64, seen: i64, value: &str, how: EchoMatch) -> Draft {
    Draft {
        echo: Some(Echo {
            value: value.into(),
            how,
        }),
        ..draft(since, seen)
    }
}

fn says(units: &mut Units, id: &str, millis: i64) -> Heard {
    let payload = if id.is_empty() {
        String::new()
    } else {
        json!({ "id": id }).to_string()
    };
    units.mes_said("st10", payload.as_bytes(), at(millis))
}

/// State, id and from of a binding, as words.
fn told(binding: &Binding) -> String {
    let mut out = binding.state.word().to_owned();
    for part in [&binding.id, &binding.from].into_iter().flatten() {
        out = format!("{out} {part}");
    }
    for other in &binding.others {
        out = format!("{out} | {} {}", other.from, other.id);
    }
    out
}

fn restarted(units: &mut Units, sources: &[UnitSource]) -> Units {
    let mut out = Units::new(vec![rule(sources)]);
    for change in units.take_changes() {
        let value = change.value.unwrap();
        assert!(value.len() <= 3_500);
        out.restore(Units::station_of(&change.key).unwrap(), &value);
    }
    out
}

#[test]
fn a_unit_comes_stays_and_leaves() {
    let mut units = mes_only();
    assert_eq!(told(&units.bind(&draft(10, 20))), "unbound");
    let message =
        br#"{"id": "W1", "entered": "2026-11-22T10:15:00Z", "order": "WO-88", "deep": {"no": 1}, "none": null}"#;
    assert_eq!(units.mes_said("st10", message, at(100)), Heard::Entered);
    assert_eq!(units.mes_said("st10", message, at(200)), Heard::Same);
    assert_eq!(says(&mut units, "W1", 300), Heard::Same);
    assert_eq!(units.mes_said("st10", message, at(400)), Heard::Same);
    let binding = units.bind(&draft(450, 500));
    assert_eq!(
        Value::Object(binding.to_json()).to_string(),
        r#"{"id":"W1","state":"bound","from":"mes","since":"2026-11-22T10:15:00.000Z","context":{"order":"WO-88"}}"#
    );
    assert_eq!(says(&mut units, "", 600), Heard::Left);
    assert_eq!(says(&mut units, "", 601), Heard::Same);
    assert_eq!(told(&units.bind(&draft(650, 700))), "late W1 mes");
    assert_eq!(told(&units.bind(&draft(10_550, 10_600))), "late W1 mes");
    assert_eq!(told(&units.bind(&draft(10_551, 10_601))), "unbound");
}

#[test]
fn in_the_interval_of_a_change_the_older_unit_is_assumed() {
    let mut units = mes_only();
    says(&mut units, "A", 100);
    says(&mut units, "B", 1_000);
    for (since, seen, expected) in [
        (950, 999, "bound A mes"),
        (950, 1_000, "assumed A mes"),
        (990, 1_040, "assumed A mes"),
        (1_000, 1_050, "bound B mes"),
        // Nobody was there before.
        (50, 150, "assumed A mes"),
    ] {
        assert_eq!(told(&units.bind(&draft(since, seen))), expected, "{since} {seen}");
    }
    says(&mut units, "", 2_000);
    assert_eq!(told(&units.bind(&draft(1_990, 2_010))), "assumed B mes");
}

#[test]
fn a_result_found_after_a_time_away_is_assumed_unless_its_unit_was_there_before() {
    let mut units = mes_only();
    says(&mut units, "A", 100);
    assert_eq!(told(&units.bind(&draft(None, 500))), "assumed A mes");
    // The last result of this event was seen at 500, and A was there.
    assert_eq!(told(&units.bind(&draft(None, 900))), "bound A mes");
    says(&mut units, "B", 1_000);
    assert_eq!(told(&units.bind(&draft(None, 1_500))), "assumed A mes");
}

#[test]
fn while_the_mes_is_out_of_reach_its_word_is_assumed() {
    let mut units = mes_only();
    says(&mut units, "A", 100);
    units.alive(&UnitSource::Mes, false, at(1_000));
    assert!(!units.is_alive(&UnitSource::Mes));
    assert_eq!(told(&units.bind(&draft(900, 990))), "bound A mes");
    assert_eq!(told(&units.bind(&draft(990, 1_010))), "assumed A mes");
    units.alive(&UnitSource::Mes, true, at(2_000));
    assert_eq!(told(&units.bind(&draft(1_990, 2_010))), "assumed A mes");
    assert_eq!(told(&units.bind(&draft(2_000, 2_050))), "bound A mes");
}

#[test]
fn entered_counts_where_it_is_credible() {
    let enter = |units: &mut Units, id: &str, entered: Value, millis: i64| {
        let message = json!({"id": id, "entered": entered}).to_string();
        units.mes_said("st10", message.as_bytes(), at(millis));
        units.at_station("st10").map(|(_, since)| since - NOON)
    };
    let mut units = mes_only();
    let text = |millis: i64| Value::from(at(millis).rfc3339());
    assert_eq!(enter(&mut units, "A", text(500), 1_000), Some(500));
    assert_eq!(enter(&mut units, "B", text(9_000), 2_000), Some(2_000), "in the future");
    assert_eq!(
        enter(&mut units, "C", text(1_500), 3_000),
        Some(3_000),
        "before the stay that is known"
    );
    assert_eq!(enter(&mut units, "D", "yesterday".into(), 4_000), Some(4_000));
    assert_eq!(enter(&mut units, "E", 7.into(), 5_000), Some(5_000));
    assert_eq!(enter(&mut units, "F", text(5_500), 6_000), Some(5_500));
    assert_eq!(enter(&mut units, "F", text(6_500), 7_000), Some(6_500), "came again");
    assert_eq!(told(&units.bind(&draft(5_100, 5_200))), "bound E mes");
}

#[test]
fn what_is_no_unit_message_changes_nothing() {
    let mut units = mes_only();
    says(&mut units, "A", 100);
    units.take_changes();
    for odd in [
        "nonsense",
        "[1]",
        "\"A\"",
        "{}",
        r#"{"id": ""}"#,
        r#"{"id": null}"#,
        r#"{"id": {"x": 1}}"#,
        "{\"id\": \"B\"",
    ] {
        let heard = units.mes_said("st10", odd.as_bytes(), at(200));
        assert!(matches!(heard, Heard::Refused(_)), "{odd}: {heard:?}");
    }
    assert!(matches!(
        units.mes_said("st10", &[0xff, 0xfe], at(200)),
        Heard::Refused(_)
    ));
    assert!(matches!(units.mes_said("st99", b"", at(200)), Heard::Refused(_)));
    assert!(units.take_changes().is_empty());
    assert_eq!(told(&units.bind(&draft(300, 400))), "bound A mes");
    // A badge is a word, but no unit: none is known from then on.
    assert!(matches!(says(&mut units, "badge-7", 500), Heard::NotAUnit(_)));
    assert_eq!(told(&units.bind(&draft(550, 600))), "late A mes");
    assert_eq!(units.at_station("st10"), None);
}

#[test]
fn context_is_bounded() {
    let mut units = mes_only();
    let mut message = serde_json::Map::new();
    message.insert("id".into(), "A".into());
    for index in 0..30 {
        message.insert(format!("k{index}"), index.into());
    }
    units.mes_said("st10", Value::Object(message).to_string().as_bytes(), at(0));
    assert_eq!(units.bind(&draft(10, 20)).context.len(), 16);
    let message = json!({"id": "B", "a": 1, "big": "x".repeat(2_000)}).to_string();
    units.mes_said("st10", message.as_bytes(), at(30));
    assert_eq!(
        Value::Object(units.bind(&draft(40, 50)).context).to_string(),
        r#"{"a":1}"#
    );
}

#[test]
fn after_a_restart_the_unit_is_known_and_assumed() {
    let mut before = mes_only();
    says(&mut before, "A", 100);
    let mut units = restarted(&mut before, &[UnitSource::Mes]);
    // Another boot: ticks begin anew.
    let later = |tick: u64| Moment::new(NOON + 60_000 + tick.cast_signed(), tick);
    let look = |since: u64, seen: u64| Draft {
        since: Some(later(since)),
        seen: later(seen),
        ..draft(None, 0)
    };
    assert_eq!(told(&units.bind(&look(10, 60))), "assumed A mes");
    units.alive(&UnitSource::Mes, true, later(100));
    assert_eq!(units.mes_said("st10", br#"{"id": "A"}"#, later(100)), Heard::Same);
    assert_eq!(told(&units.bind(&look(100, 150))), "bound A mes");
    // What cannot be read is as if nothing was stored.
    let mut units = mes_only();
    for bytes in [&b""[..], b"{", &[0xff; 40]] {
        units.restore("st10", bytes);
        units.restore("st99", bytes);
    }
    assert_eq!(told(&units.bind(&draft(10, 20))), "unbound");
}

#[test]
fn a_step_of_the_wall_clock_reorders_nothing() {
    let mut units = mes_only();
    says(&mut units, "A", 100);
    says(&mut units, "B", 1_000);
    units.clock_stepped(-3_600_000);
    let stepped = |since: i64, seen: i64| {
        let step = |moment: Moment| Moment::new(moment.wall - 3_600_000, moment.tick);
        Draft {
            since: Some(step(at(since))),
            seen: step(at(seen)),
            ..draft(None, 0)
        }
    };
    assert_eq!(told(&units.bind(&stepped(500, 600))), "bound A mes");
    assert_eq!(told(&units.bind(&stepped(1_100, 1_200))), "bound B mes");
    assert_eq!(units.at_station("st10").unwrap().1, NOON + 1_000 - 3_600_000);
}

#[test]
fn a_backfilled_result_binds_to_the_unit_of_its_own_time() {
    let mut units = mes_only();
    says(&mut units, "A", 10_000);
    says(&mut units, "B", 20_000);
    says(&mut units, "C", 30_000);
    let fetched = |device: i64| Draft {
        backfill: true,
        device_time: Some(DeviceTime {
            said: String::new(),
            wall: NOON + device,
        }),
        ..draft(None, 100_000)
    };
    assert_eq!(told(&units.bind(&fetched(15_000))), "bound A mes");
    assert_eq!(told(&units.bind(&fetched(20_500))), "assumed A mes");
    // The clock of the device is known to be 10 s behind.
    assert_eq!(
        told(&units.bind_at(&fetched(15_000), Some(NOON + 25_000))),
        "bound B mes"
    );
}

#[test]
fn echoes_confirm_pick_and_disagree() {
    use EchoMatch::{Contains, Exact, Prefix, Suffix};
    use UnitSource::{Device, Mes};
    let run = |sources: &[UnitSource], prepare: &dyn Fn(&mut Units), draft: &Draft| {
        let mut units = Units::new(vec![rule(sources)]);
        units.alive(&Mes, true, at(0));
        prepare(&mut units);
        told(&units.bind(draft))
    };
    let known = |units: &mut Units| {
        says(units, "W123", 100);
    };
    let dead = |units: &mut Units| {
        says(units, "W123", 100);
        units.alive(&Mes, false, at(200));
    };
    let change = |units: &mut Units| {
        says(units, "W123", 100);
        says(units, "W456", 1_000);
    };
    let gone = |units: &mut Units| {
        says(units, "W123", 100);
        says(units, "", 800);
    };
    let nothing = |_: &mut Units| {};
    let both = &[Mes, Device][..];
    let first = &[Device, Mes][..];
    let cases: &[(&[UnitSource], Prepare<'_>, &str, EchoMatch, &str)] = &[
        (&[Mes], &known, "W123", Exact, "bound W123 mes"),
        (&[Mes], &known, "123", Suffix, "bound W123 mes"),
        (&[Mes], &known, "W1", Prefix, "bound W123 mes"),
        (&[Mes], &known, "12", Contains, "bound W123 mes"),
        (&[Mes], &known, "W12", Exact, "conflict W123 mes | device W12"),
        (&[Mes], &known, "99", Suffix, "conflict W123 mes | device 99"),
        (both, &known, "W9", Exact, "conflict W123 mes | device W9"),
        (first, &known, "W9", Exact, "conflict W9 device | mes W123"),
        (first, &known, "W123", Exact, "bound W123 device"),
        (first, &known, "99", Suffix, "conflict W123 mes | device 99"),
        // What does not look like a unit is none.
        (both, &known, "badge", Exact, "bound W123 mes"),
        (&[Mes], &nothing, "W1", Exact, "unbound"),
        (both, &nothing, "W1", Exact, "bound W1 device"),
        (both, &nothing, "W1", Prefix, "unbound"),
        (both, &nothing, "badge", Exact, "unbound"),
        (&[Mes], &dead, "W123", Exact, "bound W123 mes"),
        (both, &dead, "W123", Exact, "bound W123 device"),
        (&[Mes], &dead, "123", Suffix, "assumed W123 mes"),
        (&[Mes], &dead, "W9", Exact, "conflict W123 mes | device W9"),
        (&[Mes], &change, "W456", Exact, "bound W456 mes"),
        (&[Mes], &change, "456", Suffix, "assumed W456 mes"),
        (&[Mes], &change, "W123", Exact, "bound W123 mes"),
        (&[Mes], &change, "W7", Exact, "conflict W123 mes | device W7"),
        (&[Mes], &gone, "W123", Exact, "late W123 mes"),
        (both, &gone, "W123", Exact, "bound W123 device"),
        (both, &gone, "W9", Exact, "bound W9 device"),
        (&[Mes], &gone, "W9", Exact, "conflict W123 mes | device W9"),
    ];
    for (sources, prepare, value, how, expected) in cases {
        let draft = echoed(980, 1_020, value, *how);
        assert_eq!(run(sources, prepare, &draft), *expected, "{sources:?} {value} {how:?}");
    }
}

#[test]
fn a_scanner_names_units() {
    let scanner = UnitSource::Slot("scanner".into());
    let mut units = Units::new(vec![rule(&[UnitSource::Mes, scanner.clone()])]);
    units.alive(&UnitSource::Mes, true, at(0));
    assert_eq!(units.identified("st10", "scanner", "A\r", at(100)), Heard::Entered);
    assert_eq!(units.identified("st10", "scanner", "A", at(150)), Heard::Same);
    assert!(matches!(
        units.identified("st10", "scanner", "badge", at(160)),
        Heard::NotAUnit(_)
    ));
    assert_eq!(units.identified("st10", "other", "Z", at(170)), Heard::Same);
    let mut scan = draft(50, 100);
    scan.kind = EventType::Identification;
    scan.slot = SlotName::new("st10", "scanner");
    assert_eq!(told(&units.bind(&scan)), "bound A slot:scanner");
    assert_eq!(told(&units.bind(&draft(200, 250))), "bound A slot:scanner");
    says(&mut units, "A", 300);
    assert_eq!(told(&units.bind(&draft(300, 350))), "bound A mes");
    units.identified("st10", "scanner", "B", at(400));
    assert_eq!(told(&units.bind(&draft(400, 450))), "conflict A mes | slot:scanner B");
    // A dead MES is confirmed by a living scanner.
    units.identified("st10", "scanner", "A", at(500));
    units.alive(&UnitSource::Mes, false, at(500));
    assert_eq!(told(&units.bind(&draft(510, 550))), "bound A slot:scanner");
    // The more trusted moved on: what the scanner said is out of date.
    units.alive(&UnitSource::Mes, true, at(600));
    says(&mut units, "C", 700);
    assert_eq!(told(&units.bind(&draft(700, 750))), "bound C mes");
    says(&mut units, "", 800);
    assert_eq!(told(&units.bind(&draft(800, 850))), "late C mes");
}

#[test]
fn a_station_is_stored_within_bounds() {
    let sources = [UnitSource::Mes, UnitSource::Slot("scanner".into())];
    let mut units = Units::new(vec![StationRule {
        pattern: None,
        ..rule(&sources)
    }]);
    for index in 0..200 {
        let id = format!("{index:0>250}");
        let message = json!({"id": id, "note": "n".repeat(900)}).to_string();
        units.mes_said("st10", message.as_bytes(), at(index * 10));
        units.identified("st10", "scanner", &id, at(index * 10 + 1));
        let mut again = restarted(&mut units, &sources);
        again.alive(&UnitSource::Mes, true, at(1_000_000));
        let now = again.bind(&draft(1_000_001, 1_000_002));
        assert_eq!(now.id, Some(id));
        assert!(!now.context.is_empty());
    }
}

// ---- against a naive model ----

/// One thing that happens, after some milliseconds.
#[derive(Debug, Clone)]
enum Step {
    Says(u8),
    Alive(bool),
    Clock(i64),
    Restart,
    Look(u16),
}

fn any_step() -> impl Strategy<Value = (u16, Step)> {
    let step = prop_oneof![
        3 => (0_u8..4).prop_map(Step::Says),
        1 => any::<bool>().prop_map(Step::Alive),
        1 => (-7_200_000_i64..7_200_000).prop_map(Step::Clock),
        1 => Just(Step::Restart),
        6 => (0_u16..400).prop_map(Step::Look),
    ];
    (1_u16..3_000, step)
}

/// Everything that ever was, on one true scale of milliseconds.
#[derive(Default)]
struct Naive {
    /// Who is there from when on.
    here: Vec<(i64, Option<u8>)>,
    /// Whether the MES is within reach from when on.
    reach: Vec<(i64, bool)>,
}

impl Naive {
    fn last<T: Copy>(list: &[(i64, T)], when: i64) -> Option<(i64, T)> {
        list.iter().rev().find(|(from, _)| *from <= when).copied()
    }

    fn expected(&self, low: i64, high: i64) -> (UnitState, Option<u8>) {
        let here = |when: i64| Self::last(&self.here, when).and_then(|(_, unit)| unit);
        let changes = || self.here.iter().filter(|(from, _)| low < *from && *from <= high);
        if let Some((change, _)) = changes().next_back() {
            return match here(change - 1).or(here(high)) {
                Some(unit) => (UnitState::Assumed, Some(unit)),
                None => (UnitState::Unbound, None),
            };
        }
        if let Some(unit) = here(high) {
            let alive = Self::last(&self.reach, low).is_some_and(|(_, alive)| alive)
                && !self
                    .reach
                    .iter()
                    .any(|(from, alive)| low < *from && *from <= high && !alive);
            let state = if alive { UnitState::Bound } else { UnitState::Assumed };
            return (state, Some(unit));
        }
        let Some((left, _)) = Self::last(&self.here, high) else {
            return (UnitState::Unbound, None);
        };
        match here(left - 1) {
            Some(unit) if high - left <= 10_000 => (UnitState::Late, Some(unit)),
            _ => (UnitState::Unbound, None),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Live results, whatever the MES, the link, the clock and the process do meanwhile. Time that a step of the
    /// clock moved while the process was down is not looked at: nobody could know.
    #[test]
    fn a_live_result_is_bound_as_a_naive_model_says(steps in prop::collection::vec(any_step(), 1..80)) {
        let mut units = Units::new(vec![rule(&[UnitSource::Mes])]);
        let mut naive = Naive::default();
        let (mut now, mut wall, mut started) = (0_i64, 0_i64, 0_i64);
        for (after, step) in steps {
            now += i64::from(after);
            let moment = |when: i64| Moment::new(NOON + when + wall, BOOT + when.unsigned_abs());
            match step {
                Step::Says(unit) => {
                    let unit = (unit > 0).then_some(unit);
                    let payload = unit.map(|unit| json!({"id": format!("U{unit}")}).to_string()).unwrap_or_default();
                    let before = naive.here.last().and_then(|(_, unit)| *unit);
                    let heard = units.mes_said("st10", payload.as_bytes(), moment(now));
                    let expected = match (before, unit) {
                        (before, unit) if before == unit => Heard::Same,
                        (_, None) => Heard::Left,
                        _ => Heard::Entered,
                    };
                    prop_assert_eq!(&heard, &expected);
                    if heard != Heard::Same {
                        naive.here.push((now, unit));
                    }
                }
                Step::Alive(alive) => {
                    units.alive(&UnitSource::Mes, alive, moment(now));
                    naive.reach.push((now, alive));
                }
                Step::Clock(by) => {
                    wall += by;
                    units.clock_stepped(by);
                }
                Step::Restart => {
                    // Every station is written again at the first step, so that nothing stands under an old clock.
                    units.clock_stepped(0);
                    units = restarted(&mut units, &[UnitSource::Mes]);
                    naive.reach.push((now, false));
                    started = now;
                }
                Step::Look(poll) => {
                    let low = (now - i64::from(poll)).max(started + 1);
                    let (low, high) = (low.min(now), now);
                    let look = Draft { since: Some(moment(low)), seen: moment(high), ..draft(None, 0) };
                    let binding = units.bind(&look);
                    let (state, unit) = naive.expected(low, high);
                    let left_before = naive.here.last().is_some_and(|(from, unit)| unit.is_none() && *from < started);
                    if left_before && matches!(binding.state, UnitState::Late | UnitState::Unbound) {
                        // How long ago it left is told by the wall clock, which may have stepped since.
                        continue;
                    }
                    prop_assert_eq!(binding.state, state, "{} {}", low, high);
                    prop_assert_eq!(binding.id, unit.map(|unit| format!("U{unit}")));
                }
            }
        }
    }

    #[test]
    fn any_payload_is_heard_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), text in r#"\{"id": ?"?[A-Z0-9]{0,4}"?(, ?"entered": ?"[0-9TZ:-]{0,24}")?\}"#, wall in any::<i64>(), tick in any::<u64>()) {
        let mut units = mes_only();
        let moment = Moment::new(wall, tick);
        units.restore("st10", &bytes);
        units.mes_said("st10", &bytes, moment);
        units.mes_said("st10", text.as_bytes(), moment);
        let look = Draft { seen: moment, since: Some(at(0)), ..draft(None, 0) };
        let binding = units.bind(&look);
        prop_assert_eq!(binding.id.is_none(), binding.state == UnitState::Unbound);
    }
}
