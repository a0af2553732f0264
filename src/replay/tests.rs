use super::differ::{Pair, differ};
use super::*;
use crate::diagnostic::Diagnostics;
use crate::model::plan::Table::{self, Holding, Input};
use crate::profile::{FileFault, Files};
use crate::record::{Header, Line, Through, VERSION};
use crate::wire::modbus::pdu::Ask;
use proptest::prelude::*;
use std::path::Path;

struct Text(String);

impl Files for Text {
    fn read(&self, _: &Path) -> Result<String, FileFault> {
        Ok(self.0.clone())
    }
}

fn profile(rest: &str) -> Profile {
    let text = format!(
        "profile = 1\nvendor = \"V\"\nmodel = \"M\"\nmaturity = \"bench\"\n[connection]\nprotocol = \"modbus-tcp\"\n{rest}"
    );
    let mut out = Diagnostics::new();
    let profile = Profile::load(Path::new("a.toml"), Path::new(""), &Text(text), &mut out);
    profile.unwrap_or_else(|| unreachable!("{}", out.render(false)))
}

/// A tool whose trigger, id and values come in three requests.
const TOOL: &str = r#"
max_gap = 0
[points]
ready  = { at = "input:0", type = "bool", bit = 0 }
number = { at = "input:100", type = "u16" }
torque = { at = "input:101", type = "u16", scale = 0.01, uom = "N.m" }
angle  = { at = "holding:200", type = "u16", uom = "deg" }
good   = { at = "holding:201", type = "u16", map = { 1 = "ok", 2 = "nok" } }
[events.tightening]
when   = { rises = "ready" }
id     = ["number"]
result = "good"
torque = "torque"
angle  = "angle"
"#;

/// A record that is written as reads, 10 ms apart.
struct Tape(Record);

impl Tape {
    fn new() -> Self {
        Self(Record {
            header: Header {
                lineside_record: VERSION,
                protocol: "modbus-tcp".to_owned(),
                profile: "a".to_owned(),
                digest: String::new(),
                vendor: String::new(),
                model: String::new(),
                slot: None,
                address: String::new(),
                through: Through::Link,
                started: "2026-11-22T10:15:03.171Z".to_owned(),
            },
            lines: Vec::new(),
            notes: Vec::new(),
        })
    }

    fn say(mut self, what: What) -> Self {
        let ms = 10 * (u64::try_from(self.0.lines.len()).unwrap() + 1);
        self.0.lines.push(Line {
            ms,
            wall: 1_795_342_503_171 + i64::try_from(ms).unwrap(),
            what,
            same: 0,
        });
        self
    }

    fn answer(self, table: Table, address: u16, count: u16, got: Result<Vec<u8>, String>) -> Self {
        let sent = Ask::Read { table, address, count }.encode();
        self.say(What::Exchange { server: 1, sent, got })
    }

    fn read(self, table: Table, address: u16, words: &[u16]) -> Self {
        let count = u16::try_from(words.len()).unwrap();
        let function = Ask::Read { table, address, count }.function();
        let mut got = vec![function, u8::try_from(2 * words.len()).unwrap()];
        got.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        self.answer(table, address, count, Ok(got))
    }

    fn ready(self, ready: u16) -> Self {
        self.read(Input, 0, &[ready])
    }

    /// Number and torque.
    fn block(self, number: u16) -> Self {
        self.read(Input, 100, &[number, 100 * number])
    }

    /// Angle and verdict.
    fn rest(self, number: u16) -> Self {
        self.read(Holding, 200, &[number, 1])
    }

    fn through(&self, profile: &Profile) -> Replayed {
        replay(&self.0, profile, &nobody(profile)).unwrap()
    }
}

/// Result id and angle of each event.
fn results(made: &Replayed) -> Vec<(u64, String)> {
    made.events
        .iter()
        .map(|made| {
            (
                made.ms,
                format!("{} {}", made.json["result_id"], made.json["angle"]["value"]),
            )
        })
        .collect()
}

#[test]
fn a_level_handshake_over_three_requests_is_one_event_of_one_moment() {
    let tape = Tape::new()
        .ready(0)
        .block(40)
        .rest(40)
        .ready(1)
        .block(41)
        .rest(41)
        // Behind it trigger and id are the same.
        .ready(1)
        .block(41)
        .ready(1)
        .ready(0);
    let made = tape.through(&profile(TOOL));
    assert_eq!(results(&made), [(40, "\"41\" 41".to_owned())]);
    let event = &made.events[0].json;
    assert_eq!(event["torque"]["value"].to_string(), "41");
    assert_eq!(
        (event["result"].as_str(), event["type"].as_str()),
        (Some("ok"), Some("tightening"))
    );
    assert!(made.torn.is_empty() && made.notes.is_empty(), "{made:?}");
}

#[test]
fn a_torn_block_makes_no_event_and_is_told() {
    // The device went on to 42 between the two blocks, and took `ready` back and up again meanwhile.
    let torn = Tape::new()
        .ready(0)
        .ready(1)
        .block(41)
        .rest(42)
        .ready(1)
        .block(42)
        .ready(0)
        .ready(1)
        .block(43)
        .rest(43)
        .ready(1)
        .block(43)
        .ready(0);
    let made = torn.through(&profile(TOOL));
    assert_eq!(
        results(&made),
        [(80, "\"43\" 43".to_owned())],
        "41 and 42 were never read as a whole"
    );
    assert_eq!(made.torn.len(), 1, "{made:?}");
    assert_eq!(made.torn[0].0, 20);
    assert!(
        made.torn[0]
            .1
            .contains("[events.tightening] (`ready` true) made no event"),
        "{made:?}"
    );
}

#[test]
fn one_answer_that_holds_all_needs_nothing_behind_it() {
    let whole = TOOL
        .replace("max_gap = 0", "")
        .replace("input:100", "input:3")
        .replace("input:101", "input:4")
        .replace("holding:200", "input:5")
        .replace("holding:201", "input:6");
    let whole = profile(&whole);
    let tape = Tape::new()
        .read(Input, 0, &[0, 0, 0, 40, 4_000, 40, 1])
        .read(Input, 0, &[1, 0, 0, 41, 4_100, 41, 1])
        .read(Input, 0, &[0, 0, 0, 41, 4_100, 41, 1]);
    assert_eq!(results(&tape.through(&whole)), [(20, "\"41\" 41".to_owned())]);
}

#[test]
fn a_picture_never_spans_a_lost_answer_or_lines_that_are_missing() {
    for gap in [What::Missed(7), What::Link("lost".to_owned())] {
        let tape = Tape::new()
            .ready(0)
            .ready(1)
            .block(41)
            .say(gap)
            .rest(41)
            .ready(1)
            .ready(0);
        let made = tape.through(&profile(TOOL));
        assert_eq!((made.events.len(), made.torn.len()), (0, 1), "{made:?}");
    }
    let tape = Tape::new().ready(0).ready(1).block(41);
    let tape = tape.answer(Holding, 200, 2, Err("no answer within 1s".to_owned()));
    let made = tape.rest(41).ready(1).ready(0).through(&profile(TOOL));
    assert_eq!((made.events.len(), made.torn.len()), (0, 1), "{made:?}");
}

#[test]
fn points_that_the_record_does_not_hold_are_said_once_and_absent() {
    let tape = Tape::new().ready(0).block(40).ready(1).block(41).ready(1).ready(0);
    let tape = tape.answer(Holding, 200, 2, Ok(vec![0x83, 2]));
    let made = tape.through(&profile(TOOL));
    assert_eq!(made.events.len(), 1, "{made:?}");
    // The verdict is required: without it the event is a quarantine, as it would be in the gateway.
    assert_eq!(made.events[0].json["type"], "quarantine");
    assert_eq!(
        made.notes[0],
        "the record does not hold `angle`, `good`: absent in every event"
    );
    assert_eq!(made.notes[1], "the device refused `angle` with exception 02");
    let blind = Tape::new().block(41).through(&profile(TOOL));
    assert!(
        blind
            .notes
            .iter()
            .any(|note| note.contains("[events.tightening] cannot happen")),
        "{blind:?}"
    );
}

#[test]
fn a_flag_that_reading_clears_takes_what_is_read_behind_it() {
    let text = TOOL
        .replace("type = \"bool\", bit = 0 }", "type = \"u16\", clears = true }")
        .replace("{ rises = \"ready\" }", "{ reads = [\"ready\", 1] }");
    let flag = profile(&text);
    let tape = Tape::new()
        .block(40)
        .ready(0)
        .ready(1)
        .block(41)
        .rest(41)
        .block(41)
        .ready(0)
        .ready(1)
        // Nothing was read before the next flag: this result is lost to the record.
        .ready(1)
        .block(43)
        .rest(43)
        .block(43)
        .ready(0);
    let made = tape.through(&flag);
    let ids: Vec<String> = results(&made).into_iter().map(|(_, result)| result).collect();
    assert_eq!(ids, ["\"41\" 41", "\"43\" 43"]);
    assert_eq!(made.torn.len(), 1, "{made:?}");
}

#[test]
fn readings_come_in_their_own_time() {
    let live = profile(
        "[points]\na = { at = \"input:0\", type = \"u16\" }\nb = { at = \"holding:0\", type = \"u16\" }\n\
         [events.readings]\nwhen = { every = \"100ms\" }\nvalues = \"*\"\n",
    );
    let mut tape = Tape::new();
    // A look each 20 ms, for 1 s.
    for number in 0..50 {
        tape = tape.read(Input, 0, &[number]).read(Holding, 0, &[number]);
    }
    let made = tape.through(&live);
    assert!(
        (8..=13).contains(&made.events.len()),
        "{} readings in a second",
        made.events.len()
    );
    for event in &made.events {
        assert_eq!(event.json["values"]["a"], event.json["values"]["b"]);
    }
}

#[test]
fn the_record_of_another_server_or_protocol_is_refused_or_noted() {
    let mut tape = Tape::new().ready(0).block(40);
    let tool = profile(TOOL);
    for line in &mut tape.0.lines {
        if let What::Exchange { server, .. } = &mut line.what {
            *server = 7;
        }
    }
    assert!(tape.through(&tool).notes[0].contains("of server 7"));
    if let What::Exchange { server, .. } = &mut tape.0.lines[0].what {
        *server = 8;
    }
    let fault = replay(&tape.0, &tool, &nobody(&tool)).unwrap_err();
    assert!(fault.to_string().contains("servers 7, 8"), "{fault}");
    tape.0.header.protocol = "open-protocol".to_owned();
    let fault = replay(&tape.0, &tool, &nobody(&tool)).unwrap_err();
    assert!(fault.to_string().contains("open-protocol"), "{fault}");
}

#[test]
fn two_profiles_differ_by_result() {
    let mut tape = Tape::new().ready(0);
    for number in 41..44 {
        tape = tape.ready(1).block(number).rest(number).ready(1).block(number).ready(0);
    }
    let first = tape.through(&profile(TOOL));
    let differs = |text: &str| {
        let second = tape.through(&profile(text));
        let pairs = differ(&first, &second);
        let shown: Vec<String> = pairs
            .iter()
            .map(|pair| match pair {
                Pair::First(made) => format!("-{}", made.json["result_id"]),
                Pair::Second(made) => format!("+{}", made.json["result_id"]),
                Pair::Both { contract, beside, .. } => {
                    let names = |list: &[differ::Difference]| {
                        list.iter().map(|one| one.field.clone()).collect::<Vec<_>>().join(",")
                    };
                    format!("{}|{}", names(contract), names(beside))
                }
            })
            .collect();
        (pairs.iter().all(Pair::is_same), shown)
    };
    assert_eq!(differs(TOOL), (true, vec!["|".to_owned(); 3]));
    let other = TOOL.replace("scale = 0.01", "scale = 0.1");
    assert_eq!(differs(&other), (false, vec!["torque.value|".to_owned(); 3]));
    let extra = format!("{TOOL}extra = [\"good\"]\n");
    assert_eq!(differs(&extra), (true, vec!["|extra.good.value".to_owned(); 3]));
    let fewer = format!("{TOOL}only = {{ number = [41, 43] }}\n");
    assert_eq!(differs(&fewer).1, ["|", "-\"42\"", "|"]);
}

/// Records of a number and its square, in a ring of four behind the index.
const RING: &str = r#"
max_gap = 0
[points]
count  = { at = "input:0", type = "u16" }
number = { at = "input:10", type = "u16" }
torque = { at = "input:11", type = "u16", uom = "N.m" }
good   = { at = "input:12", type = "u16", map = { 1 = "ok", 2 = "nok" } }
[events.tightening]
ring    = { index = "count", slots = 4, stride = 3, wraps = 65536 }
id      = ["number"]
result  = "good"
torque  = "torque"
"#;

#[test]
fn records_of_a_ring_are_followed_as_the_driver_reads_them() {
    let record = |tape: Tape, index: u16| tape.read(Input, 10 + 3 * (index % 4), &[index, index * index, 1]);
    let look = |tape: Tape, index: u16| tape.read(Input, 0, &[index]);
    let mut tape = look(look(Tape::new(), 2), 2);
    // Two records between two looks, round the end of the ring.
    tape = look(tape, 5);
    for index in 2..5 {
        tape = look(record(tape, index), 5);
    }
    tape = look(tape, 6);
    tape = look(record(tape, 5), 6);
    let made = tape.through(&profile(RING));
    let ids: Vec<String> = made
        .events
        .iter()
        .map(|made| format!("{} {}", made.json["result_id"], made.json["torque"]["value"]))
        .collect();
    assert_eq!(ids, ["\"2\" 4", "\"3\" 9", "\"4\" 16", "\"5\" 25"], "{made:?}");
    assert!(made.torn.is_empty() && made.notes.is_empty(), "{made:?}");
    // The whole ring in one answer.
    let whole = |tape: Tape, count: u16| {
        let slot = |slot: u16| {
            let number = (0..count).rev().find(|number| number % 4 == slot).unwrap_or(0);
            [number, number * number, 1]
        };
        let words: Vec<u16> = (0..10)
            .map(|at| if at == 0 { count } else { 0 })
            .chain((0..4).flat_map(slot))
            .collect();
        tape.read(Input, 0, &words)
    };
    let tape = whole(whole(whole(Tape::new(), 6), 8), 9);
    let made = tape.through(&profile(RING));
    let ids: Vec<&str> = made
        .events
        .iter()
        .filter_map(|made| made.json["result_id"].as_str())
        .collect();
    assert_eq!(ids, ["6", "7", "8"], "{made:?}");
}

#[test]
fn a_record_of_a_ring_that_nobody_read_is_torn_or_absent_and_never_made_up() {
    let mut tape = Tape::new().read(Input, 0, &[2]).read(Input, 10, &[0, 0, 1]);
    for _ in 0..40 {
        tape = tape.read(Input, 0, &[3]);
    }
    let made = tape.through(&profile(RING));
    assert!(made.events.is_empty(), "{made:?}");
    assert_eq!(made.torn.len(), 1, "{made:?}");
    assert!(made.torn[0].1.contains("record 2 of its ring was not read"), "{made:?}");
    let blind = Tape::new().read(Input, 10, &[0, 0, 1]).through(&profile(RING));
    assert!(
        blind.notes.iter().any(|note| note.contains("the index of its ring")),
        "{blind:?}"
    );
}

/// What a reader does next to a device that goes on at any time.
#[derive(Debug, Clone, Copy)]
enum Act {
    Result,
    Fall,
    Ready,
    Block,
    Rest,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// What the ring of the gateway leaves out of a record changes nothing of its events.
    #[test]
    fn the_last_exchanges_that_are_kept_make_the_events_that_all_would(acts in proptest::collection::vec(
        prop_oneof![
            1 => Just(Act::Result), 1 => Just(Act::Fall), 5 => Just(Act::Ready), 4 => Just(Act::Block), 4 => Just(Act::Rest)
        ], 1..200), stable in proptest::option::of(Just("stable = 2\n")), flag: bool) {
        let (mut ready, mut number) = (0, 1);
        let mut tape = Tape::new();
        for act in acts {
            match act {
                Act::Result => {
                    number += 1;
                    ready = 1;
                }
                Act::Fall => ready = 0,
                Act::Ready => tape = tape.ready(ready),
                Act::Block => tape = tape.block(number),
                Act::Rest => tape = tape.rest(number),
            }
        }
        let mut ring = crate::record::ring::Ring::new(tape.0.header.clone(), 1 << 20, crate::record::ring::Repeats::Answers);
        for line in &tape.0.lines {
            ring.push(line.clone());
        }
        let kept = Record::read(&ring.text()).unwrap();
        prop_assert!(kept.lines.len() <= tape.0.lines.len());
        let mut text = format!("{TOOL}{}", stable.unwrap_or_default());
        if flag {
            text = text.replace("{ rises = \"ready\" }", "{ changes = \"number\" }");
        }
        let profile = profile(&text);
        let (all, left) = (tape.through(&profile), replay(&kept, &profile, &nobody(&profile)).unwrap());
        prop_assert_eq!((all.events, all.torn), (left.events, left.torn));
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// However reads and results interleave, an event's values are of one result.
    #[test]
    fn no_event_is_of_two_moments(acts in proptest::collection::vec(
        prop_oneof![
            1 => Just(Act::Result), 1 => Just(Act::Fall), 3 => Just(Act::Ready), 3 => Just(Act::Block), 3 => Just(Act::Rest)
        ], 1..120)) {
        let (mut ready, mut number) = (0, 1);
        let mut tape = Tape::new();
        for act in acts {
            match act {
                Act::Result => {
                    number += 1;
                    ready = 1;
                }
                Act::Fall => ready = 0,
                Act::Ready => tape = tape.ready(ready),
                Act::Block => tape = tape.block(number),
                Act::Rest => tape = tape.rest(number),
            }
        }
        let made = tape.through(&profile(TOOL));
        for event in made.events.iter().filter(|event| event.json["type"] == "tightening") {
            let json = &event.json;
            // A record without the block names no result: there is nothing that could be mixed up.
            let Some(id) = json["result_id"].as_str() else {
                prop_assert!(json.get("torque").is_none());
                continue;
            };
            if let Some(angle) = json.get("angle") {
                prop_assert_eq!(angle["value"].to_string(), id);
            }
            prop_assert_eq!(json["torque"]["value"].to_string(), id);
        }
    }
}
