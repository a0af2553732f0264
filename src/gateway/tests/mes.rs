//! What the MES says of events, and what is tried again: through the committer's two channels, as the gateway does it.

use super::super::mes::Word;
use super::store::{Place, Question};
use super::*;
use crate::mqtt::{Fetch, Outcome, Ready, Settlement};
use std::collections::{HashMap as Map, HashSet as Set};

/// The ends of a committer that runs.
struct Hands<'a> {
    bench: &'a Bench,
    request: mpsc::Sender<Request>,
    report: mpsc::Sender<Report>,
    tick: std::cell::Cell<u64>,
}

impl Hands<'_> {
    async fn tool(&self, number: i64, verdict: i64, torque: i64) {
        let (durable, acknowledged) = oneshot::channel();
        let values = [Raw::Int(number), Raw::Int(verdict), Raw::Int(torque)];
        self.report
            .send(self.bench.sample(0, &values, 20, Some(durable)))
            .await
            .unwrap();
        acknowledged.await.unwrap();
    }

    async fn ask(&self, question: Question) -> Value {
        let (answer, answered) = oneshot::channel();
        self.request.send(Request::Ask { question, answer }).await.unwrap();
        answered.await.unwrap()
    }

    async fn list(&self) -> Vec<Value> {
        let question = Question::OutboxList {
            topic: None,
            limit: 100,
        };
        self.ask(question).await.as_array().unwrap().clone()
    }

    /// Waits until the store shows it.
    async fn until(&self, what: &str, mut shown: impl FnMut(&[Value]) -> bool) -> Vec<Value> {
        let looking = async {
            loop {
                let list = self.list().await;
                if shown(&list) {
                    return list;
                }
                tokio::task::yield_now().await;
            }
        };
        let looked = tokio::time::timeout(Duration::from_secs(20), looking).await;
        looked.unwrap_or_else(|_| panic!("not in time: {what}"))
    }

    async fn fetch(&self, again_after: &[(&str, u64)]) -> Vec<Ready> {
        let (answer, answered) = oneshot::channel();
        let again: Map<Arc<str>, u64> = again_after
            .iter()
            .map(|(topic, place)| ((*topic).into(), *place))
            .collect();
        let request = Fetch {
            after: Map::new(),
            skip: Set::new(),
            again: (again, Set::new()),
            max_events: 100,
            max_bytes: 1 << 20,
            per_topic: 100,
        };
        self.request.send(Request::Fetch { request, answer }).await.unwrap();
        answered.await.unwrap()
    }

    async fn settle(&self, ready: &[Ready]) {
        let settled = ready.iter().map(|event| Settlement {
            topic: event.topic.clone(),
            sequence: event.sequence,
            outcome: if event.again {
                Outcome::Resent
            } else {
                Outcome::Delivered
            },
        });
        let (answer, answered) = oneshot::channel();
        let settled = settled.collect();
        self.request.send(Request::Settle { settled, answer }).await.unwrap();
        answered.await.unwrap();
    }

    /// Everything that waits is delivered.
    async fn deliver(&self) -> Vec<Ready> {
        let ready: Vec<Ready> = self.fetch(&[]).await.into_iter().filter(|ready| !ready.again).collect();
        self.settle(&ready).await;
        ready
    }

    async fn say(&self, word: Word, payload: Value, retained: bool) {
        let slot = SlotName::new("st10", "tool");
        let payload = payload.to_string().into_bytes();
        self.tick.set(self.tick.get() + 1);
        let now = self.bench.clock.now();
        let at = Moment::new(now.wall, now.tick + self.tick.get());
        let said = Request::Said {
            slot,
            word,
            payload,
            retained,
            at,
        };
        self.request.send(said).await.unwrap();
    }

    async fn respond(&self, payload: Value) {
        self.say(Word::Response, payload, false).await;
    }

    async fn resend(&self, payload: Value) {
        self.say(Word::Resend, payload, false).await;
    }
}

/// Runs a committer on the bench's store while `script` has its ends.
fn run(bench: &Bench, script: impl AsyncFnOnce(&Hands<'_>)) {
    let (request, requests) = mpsc::channel(8);
    let (report, reports) = mpsc::channel(8);
    let committer = bench.committer();
    let hands = Hands {
        bench,
        request,
        report,
        tick: std::cell::Cell::new(0),
    };
    on_one_thread(async {
        let scripted = async {
            script(&hands).await;
            drop(hands);
        };
        let (ended, ()) = tokio::join!(committer.run(reports, requests), scripted);
        ended.unwrap();
    });
}

/// Alarms of the gateway with a code, in order.
fn alarms<'a>(list: &'a [Value], code: &str) -> Vec<&'a Value> {
    let alarms = list.iter().map(|entry| &entry["event"]["data"]);
    alarms.filter(|data| data["code"] == code).collect()
}

fn reason_of(bench: &Bench) -> (String, String) {
    let mut committer = bench.committer();
    let statuses = committer.slots.changed_statuses();
    let (_, status) = statuses.iter().find(|(slot, _)| &*slot.slot == "tool").unwrap();
    let status: Value = serde_json::from_slice(status).unwrap();
    let text = |name: &str| status[name].as_str().unwrap().to_owned();
    (text("state"), text("reason"))
}

#[test]
fn a_rejection_stands_beside_its_event_until_it_is_taken_back() {
    let bench = Bench::new();
    let mut id = String::new();
    run(&bench, async |hands| {
        for number in 1..=3 {
            hands.tool(number, 1, 7).await;
        }
        let ready = hands.deliver().await;
        id = ready[1].id.clone();
        let reject = json!({"id": id, "accepted": false, "reason": "no operation is open"});
        hands.respond(reject.clone()).await;
        let rejected = |list: &[Value]| list.iter().any(|entry| entry["standing"] == "rejected");
        let list = hands.until("the rejection", rejected).await;
        let entry = list.iter().find(|entry| entry["standing"] == "rejected").unwrap();
        assert_eq!(
            (&entry["id"], &entry["sequence"], &entry["by"]),
            (&json!(id), &json!(2), &json!("mes"))
        );
        assert_eq!(entry["reason"], "no operation is open");
        assert_eq!(
            entry["event"],
            serde_json::from_slice::<Value>(&ready[1].body).unwrap(),
            "it stays what it is"
        );
        // The same again is no news.
        hands.respond(reject).await;
        hands.respond(json!({"id": "nobody's", "accepted": false})).await;
        let refused = |list: &[Value]| !alarms(list, "response_refused").is_empty();
        let list = hands.until("the refusal", refused).await;
        let told = alarms(&list, "rejected_by_mes");
        assert_eq!(told.len(), 1);
        let text = told[0]["text"].as_str().unwrap();
        assert!(
            text.contains(&id) && text.contains("no operation is open") && told[0]["active"] == true,
            "{text}"
        );
        // Told once; the next one is counted.
        hands.say(Word::Response, json!([]), false).await;
        let stats = hands.ask(Question::OutboxStats).await;
        assert_eq!(stats["rejected_by_mes"], json!({"events": 1, "unseen": 1}));
        assert_eq!(alarms(&hands.list().await, "response_refused").len(), 1);
    });
    let (_, reason) = reason_of(&bench);
    assert!(
        reason.contains("the MES rejected 1 event, the last tightening 2") && reason.contains(&id),
        "{reason}"
    );
    run(&bench, async |hands| {
        let seen = hands.ask(Question::Seen { slot: None, id: None }).await;
        assert_eq!(seen["seen"], json!([id]));
        let list = hands.list().await;
        assert_eq!(alarms(&list, "rejected_by_mes").last().unwrap()["active"], false);
        assert!(
            list.iter().any(|entry| entry["standing"] == "rejected"),
            "it is still listed"
        );
        hands.respond(json!({"id": id, "accepted": true})).await;
        let none = |list: &[Value]| list.iter().all(|entry| entry["standing"] != "rejected");
        hands.until("it is accepted after all", none).await;
    });
    assert!(!reason_of(&bench).1.contains("rejected"));
}

#[test]
fn an_alarm_that_is_rejected_begets_none() {
    let bench = Bench::new();
    run(&bench, async |hands| {
        hands.respond(json!([])).await;
        let refused = |list: &[Value]| !alarms(list, "response_refused").is_empty();
        let list = hands.until("an alarm", refused).await;
        hands.deliver().await;
        hands
            .respond(json!({"id": list[0]["id"], "accepted": false, "reason": "none of ours"}))
            .await;
        let rejected = |list: &[Value]| list.iter().any(|entry| entry["standing"] == "rejected");
        let list = hands.until("the rejection", rejected).await;
        assert_eq!(list.len(), 1, "{list:#?}");
    });
}

#[test]
fn what_is_asked_again_comes_as_it_was_and_goes_on_where_it_was_interrupted() {
    let bench = Bench::new();
    run(&bench, async |hands| {
        for number in 1..=5 {
            hands.tool(number, 1, 7).await;
        }
        let first = hands.deliver().await;
        let topic = first[0].topic.to_string();
        hands.tool(6, 1, 7).await;
        // 6 still waits: it comes by itself, once.
        hands.resend(json!({"type": "tightening", "from": 2, "to": 6})).await;
        let ready = hands.fetch(&[]).await;
        let (again, live): (Vec<Ready>, Vec<Ready>) = ready.into_iter().partition(|ready| ready.again);
        assert_eq!(live.iter().map(|ready| ready.sequence).collect::<Vec<_>>(), [6]);
        let same = |ready: &Ready| (ready.id.clone(), ready.body.clone());
        assert_eq!(
            again.iter().map(same).collect::<Vec<_>>(),
            first[1..].iter().map(same).collect::<Vec<_>>()
        );
        hands.settle(&again[..2]).await;
        // The connection breaks: behind what was settled it goes on.
        let settled = again[1].sequence;
        let rest = hands.fetch(&[(&topic, settled)]).await;
        let rest: Vec<Ready> = rest.into_iter().filter(|ready| ready.again).collect();
        assert_eq!(rest, again[2..]);
        hands.settle(&rest).await;
        assert!(hands.fetch(&[]).await.iter().all(|ready| !ready.again), "done");
        // The next request goes on in places, so that no lane mistakes it for the one before.
        hands.resend(json!({"type": "tightening", "from": 1, "to": 1})).await;
        let next = hands.fetch(&[(&topic, rest[1].sequence)]).await;
        let next: Vec<&Ready> = next.iter().filter(|ready| ready.again).collect();
        assert_eq!(next.iter().map(|ready| &ready.id).collect::<Vec<_>>(), [&first[0].id]);
        assert_eq!(hands.ask(Question::OutboxStats).await["resends"], 1);
        assert!(alarms(&hands.list().await, "resend_incomplete").is_empty());
    });
}

#[test]
fn what_is_no_longer_held_is_named() {
    let mut bench = Bench::new();
    bench.setup.config.outbox.keep_sent = 0;
    run(&bench, async |hands| {
        for number in 1..=3 {
            hands.tool(number, 1, 7).await;
        }
        hands.deliver().await;
        hands.until("nothing is kept", <[Value]>::is_empty).await;
        hands.resend(json!({"type": "tightening", "from": 2, "to": 3})).await;
        let list = hands
            .until("an answer", |list| !alarms(list, "resend_incomplete").is_empty())
            .await;
        let text = alarms(&list, "resend_incomplete")[0]["text"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(
            text.contains("2 to 3 are no longer held") && text.contains("keep_sent"),
            "{text}"
        );
        let wrong = [
            (json!({"type": "tightening", "from": 9}), false, "3 is the last"),
            (json!({"type": "curve"}), false, "there never was"),
            (json!({"type": "tightening"}), true, "retained"),
        ];
        for (payload, retained, _) in &wrong {
            hands.say(Word::Resend, payload.clone(), *retained).await;
        }
        let list = hands
            .until("a refusal", |list| !alarms(list, "resend_refused").is_empty())
            .await;
        let told = alarms(&list, "resend_refused");
        assert_eq!(told.len(), 1, "the others are counted");
        assert!(told[0]["text"].as_str().unwrap().contains(wrong[0].2), "{told:?}");
        assert!(hands.fetch(&[]).await.iter().all(|ready| !ready.again));
    });
}

/// The quarantines that are held, and where they are.
async fn quarantines(hands: &Hands<'_>) -> (Vec<Value>, Vec<Place>) {
    let list = hands.ask(Question::QuarantineList { slot: None }).await;
    let list = list.as_array().unwrap().clone();
    let places = list.iter().map(|one| serde_json::from_value(one.clone()).unwrap());
    (list.clone(), places.collect())
}

#[test]
fn a_quarantine_is_an_event_once_its_profile_is_mended_and_only_once() {
    let mut bench = Bench::new();
    run(&bench, async |hands| {
        let at = bench_now(hands);
        let payload = json!({ "id": UNIT }).to_string().into_bytes();
        let station = "st10".into();
        hands.request.send(Request::Mes { alive: true, at }).await.unwrap();
        hands
            .request
            .send(Request::Unit { station, payload, at })
            .await
            .unwrap();
        hands.tool(1, 1, 7).await;
        hands.tool(2, 3, 8).await;
        hands.tool(3, 1, 9).await;
        // The unit went on since.
        let (station, payload) = ("st10".into(), Vec::new());
        let at = Moment::new(at.wall + 60_000, at.tick + 60_000);
        hands
            .request
            .send(Request::Unit { station, payload, at })
            .await
            .unwrap();
        hands.deliver().await;
        let (list, places) = quarantines(hands).await;
        let [one] = list.as_slice() else { panic!("{list:#?}") };
        assert_eq!(
            (&one["of"], &one["state"], &one["standing"]),
            (&json!("tightening"), &json!("open"), &json!("sent"))
        );
        assert!(one["reasons"][0].as_str().unwrap().contains("unknown code 3"));
        let tried = hands.ask(Question::QuarantineRetry { places }).await;
        assert_eq!(tried[0]["outcome"], "still");
        assert!(
            tried[0]["reasons"][0].as_str().unwrap().contains("unknown code 3"),
            "{tried}"
        );
    });
    bench.install(&TOOL.replace("2 = \"nok\"", "2 = \"nok\", 3 = \"nok\""));
    let mut made = Value::Null;
    run(&bench, async |hands| {
        let (_, places) = quarantines(hands).await;
        let tried = hands.ask(Question::QuarantineRetry { places: places.clone() }).await;
        assert_eq!(tried[0]["outcome"], "made", "{tried}");
        made = tried[0]["events"][0].clone();
        let list = hands.list().await;
        let event = &list.iter().find(|entry| entry["id"] == made["id"]).unwrap()["event"];
        let data = &event["data"];
        assert_eq!(event["sequence"], "00000000000000000003", "the next of its topic");
        assert_eq!(
            (&data["result"], &data["torque"]["value"], &data["backfill"]),
            (&json!("nok"), &json!(8), &json!(true))
        );
        assert_eq!(
            (&data["unit"]["id"], &data["unit"]["state"]),
            (&json!(UNIT), &json!("bound"))
        );
        assert_eq!(event["subject"], UNIT);
        let quarantined = list
            .iter()
            .find(|entry| entry["event"]["type"] == "lineside.quarantine.v1")
            .unwrap();
        assert_eq!(event["time"], quarantined["event"]["time"], "that of the process");
        let again = hands.ask(Question::QuarantineRetry { places }).await;
        assert_eq!(again[0]["outcome"], "solved_before");
        assert_eq!(again[0]["by"][0]["by"], made["id"]);
        // The device shows it again: the same result.
        let before = hands.list().await.len();
        hands.tool(2, 3, 8).await;
        assert_eq!(hands.list().await.len(), before);
    });
    // It is known after a restart, too.
    run(&bench, async |hands| {
        let (list, places) = quarantines(hands).await;
        assert_eq!(
            (&list[0]["state"], &list[0]["by"][0]["by"]),
            (&json!("solved"), &made["id"])
        );
        let again = hands.ask(Question::QuarantineRetry { places }).await;
        assert_eq!(again[0]["outcome"], "solved_before");
    });
}

fn bench_now(hands: &Hands<'_>) -> Moment {
    hands.bench.clock.now()
}

#[test]
fn what_the_device_said_again_and_was_sent_meanwhile_is_a_duplicate() {
    let mut bench = Bench::new();
    let mended = TOOL.replace("2 = \"nok\"", "2 = \"nok\", 3 = \"nok\"");
    run(&bench, async |hands| hands.tool(2, 3, 8).await);
    bench.install(&mended);
    run(&bench, async |hands| {
        hands.tool(2, 3, 8).await;
        let (_, places) = quarantines(hands).await;
        let before = hands.list().await.len();
        let tried = hands.ask(Question::QuarantineRetry { places }).await;
        assert_eq!(tried[0]["outcome"], "duplicate", "{tried}");
        assert_eq!(hands.list().await.len(), before);
    });
}

#[test]
fn what_another_device_said_is_not_tried_with_this_ones_profile() {
    let mut bench = Bench::new();
    run(&bench, async |hands| hands.tool(2, 3, 8).await);
    bench.install(&TOOL.replace("2 = \"nok\"", "2 = \"nok\", 3 = \"nok\""));
    let profiles = bench.dir.path().join("device-profiles/st10.tool.toml");
    let text = std::fs::read_to_string(&profiles)
        .unwrap()
        .replace("model = \"M\"", "model = \"N\"");
    std::fs::write(&profiles, text).unwrap();
    let mut out = Diagnostics::new();
    bench.setup = setup::load(&bench.dir.path().join("gateway.toml"), &mut out).unwrap();
    run(&bench, async |hands| {
        let (_, places) = quarantines(hands).await;
        let tried = hands.ask(Question::QuarantineRetry { places }).await;
        assert_eq!(
            tried[0]["reasons"][0],
            "it was said by V M, and today's profile is of V N: try again while the profile of that device is in place"
        );
    });
}

#[test]
fn what_was_kept_for_a_retry_goes_with_its_event() {
    let mut bench = Bench::new();
    bench.setup.config.outbox.keep_sent = 0;
    run(&bench, async |hands| {
        hands.tool(2, 3, 8).await;
        hands.deliver().await;
        hands.until("nothing is kept", <[Value]>::is_empty).await;
    });
    let mut committer = bench.committer();
    committer.prune_mes();
    committer.close().unwrap();
    let (outbox, _) = Outbox::open(
        &bench.setup.config.gateway.state_dir,
        limits(&bench.setup.config),
        bench.clock.clone(),
    )
    .unwrap();
    let mut left = 0;
    outbox.scan_state(&[space::QUARANTINE], &mut |_, _| left += 1).unwrap();
    assert_eq!(left, 0);
}
