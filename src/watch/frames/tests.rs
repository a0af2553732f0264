use super::*;
use crate::model::SlotName;
use crate::model::plan::{
    Address, ByteTransport, Checksum, ChecksumAt, EventPlan, FramePlace, FramePlan, FramePoint, FramedLink, Keep, Link,
    OnStart, PointPlan, TextKind,
};
use std::time::Duration;

fn point(name: &str, kind: TextKind) -> PointPlan {
    PointPlan {
        name: name.into(),
        at: Address::Frame(FramePoint {
            place: FramePlace::Group(name.into()),
            kind,
        }),
        invalid: Vec::new(),
        deadband: None,
    }
}

fn event(name: &str, trigger: Trigger, points: Vec<PointIx>, repeat: Option<Duration>) -> EventPlan {
    EventPlan {
        name: name.into(),
        triggers: vec![trigger],
        points,
        id: Vec::new(),
        ack: None,
        stable: 1,
        on_start: OnStart::Baseline,
        keep: Keep::Stored,
        ring: None,
        repeat,
        counted: false,
        fingerprint: "f".into(),
    }
}

fn watch(events: Vec<EventPlan>) -> FrameWatch {
    let parse = ParsePlan {
        pattern: Some("^(?<code>[^,]+)(,(?<torque>.+))?$".into()),
        ignore: Some("^NOREAD$".into()),
        separator: None,
    };
    let plan = SlotPlan {
        slot: SlotName::new("st10", "scanner"),
        link: Link::Framed(FramedLink {
            address: String::new(),
            transport: ByteTransport::TcpClient,
            timeout: Duration::from_secs(1),
            frame: FramePlan {
                start: Vec::new(),
                end: b"\r".to_vec(),
                lengths: Vec::new(),
                checksum: Checksum::None,
                checksum_at: ChecksumAt::BeforeEnd,
                idle: None,
                max: 100,
            },
            parse: parse.clone(),
            poll: None,
            reply: None,
        }),
        points: vec![point("code", TextKind::Text), point("torque", TextKind::Decimal)],
        events,
        notices: Vec::new(),
        alive: None,
    };
    FrameWatch::new(Arc::new(plan), &parse, &HashMap::new()).unwrap()
}

fn said(watch: &mut FrameWatch, tick: u64, text: &str) -> FrameHeard {
    let bytes = text.as_bytes();
    watch.hear(Moment::new(0, tick), bytes, bytes, None)
}

/// Events by number, those for quarantine as `!`.
fn short(heard: &FrameHeard) -> Vec<String> {
    let sign = |event: &FrameEvent| if event.faults.is_empty() { "" } else { "!" };
    let show = |event: &FrameEvent| format!("{}{}", sign(event), event.event);
    heard.events.iter().map(show).collect()
}

const FRAME: Trigger = Trigger::Said(Said::Frame);

#[test]
fn the_same_again_within_repeat_is_one_and_something_else_ends_that() {
    let mut watch = watch(vec![event("id", FRAME, vec![0], Some(Duration::from_secs(1)))]);
    assert_eq!(short(&said(&mut watch, 0, "A")), ["0"]);
    for tick in [900, 1800] {
        let heard = said(&mut watch, tick, "A");
        assert_eq!((short(&heard), heard.repeated), (vec![], 1));
    }
    assert_eq!(short(&said(&mut watch, 2800, "A")), ["0"]);
    assert_eq!(short(&said(&mut watch, 2900, "B")), ["0"]);
    assert_eq!(short(&said(&mut watch, 3000, "A")), ["0"]);
    watch.forget();
    assert_eq!(short(&said(&mut watch, 3100, "A")), ["0"]);
    assert!(said(&mut watch, 3200, "NOREAD").ignored);
}

#[test]
fn a_number_that_is_none_harms_only_the_events_that_it_concerns() {
    let mut watch = watch(vec![
        event("id", FRAME, vec![0], None),
        event("tightening", FRAME, vec![0, 1], None),
        event("changed", Trigger::Changes(vec![1]), vec![1], None),
    ]);
    assert_eq!(short(&said(&mut watch, 0, "A,1.5")), ["0", "1"]);
    let heard = said(&mut watch, 1, "A,x");
    assert_eq!(short(&heard), ["0", "!1", "!2"]);
    assert_eq!(heard.texts, ["A", "x"]);
    assert_eq!(heard.events[1].faults, ["`torque`: `x` is no decimal"]);
    // What could not be read is no change.
    assert_eq!(short(&said(&mut watch, 2, "A,1.5")), ["0", "1"]);
    assert_eq!(short(&said(&mut watch, 3, "A,2")), ["0", "1", "2"]);
    assert_eq!(short(&said(&mut watch, 4, ",")), ["!0"]);
    let broken = watch.hear(Moment::new(0, 5), b"A", b"A", Some("broken".into()));
    assert_eq!(
        (short(&broken), broken.values),
        (vec!["!0".to_owned()], vec![None, None])
    );
}
