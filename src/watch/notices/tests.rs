use super::*;
use crate::model::SlotName;
use crate::model::plan::{
    Address, Identity, Keep, Link, NodeRef, Notice, OnStart, OpcuaLink, OpcuaPart, PointPlan, Security, Trust,
};
use crate::watch::Happening;
use crate::wire::opcua::path::parse_path;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

fn point(name: &str, node: Option<u32>, paths: &[&str]) -> PointPlan {
    PointPlan {
        name: name.into(),
        at: Address::Opcua(OpcuaPoint {
            node: node.map(NodeRef::core),
            paths: paths.iter().map(|path| parse_path(path).unwrap()).collect(),
            part: OpcuaPart::Value,
            bits: None,
            kind: None,
            sampling: None,
        }),
        invalid: Vec::new(),
        deadband: None,
    }
}

fn event(name: &str, triggers: Vec<Trigger>, points: Vec<PointIx>) -> EventPlan {
    EventPlan {
        name: name.into(),
        triggers,
        points,
        id: Vec::new(),
        ack: None,
        stable: 1,
        on_start: OnStart::Baseline,
        keep: Keep::Stored,
        ring: None,
        repeat: None,
        counted: false,
        fingerprint: "f".into(),
    }
}

fn watcher() -> Watcher {
    let notice = |id| Notice {
        event_type: NodeRef::core(id),
        notifier: NodeRef::SERVER,
    };
    let said = |number| vec![Trigger::Said(Said::Event(number))];
    let plan = SlotPlan {
        slot: SlotName::new("st10", "spindle"),
        link: Link::Opcua(OpcuaLink {
            address: String::new(),
            security: Security::Strongest,
            trust: Trust::default(),
            identity: Identity::Anonymous,
            timeout: Duration::from_secs(5),
            publishing: Duration::from_millis(100),
            sampling: None,
            queue: 100,
            polled: false,
        }),
        points: vec![
            point("id", None, &["Result/Id"]),
            point("part", None, &["Result/Parts[each,Value]/Value"]),
            point("tag", None, &["Result/Parts[each,Value]/Other", "Result/Tag"]),
            point("life", Some(7), &[]),
        ],
        events: vec![
            event("whole", said(0), vec![0, 3]),
            event("parts", said(0), vec![0, 1, 2]),
            event("other", said(1), vec![0]),
            event("life", vec![Trigger::Changes(vec![3])], vec![3]),
        ],
        notices: vec![notice(1), notice(2)],
        alive: None,
    };
    Watcher::new(Arc::new(plan), &HashMap::new())
}

fn tree(text: &str) -> Tree {
    Tree::from_json(&serde_json::from_str(text).unwrap())
}

fn said(happening: &Happening) -> Vec<String> {
    let text = |raw: &Option<Raw>| raw.as_ref().map_or_else(|| "-".to_owned(), Raw::text);
    happening.values.iter().map(text).collect()
}

#[test]
fn an_event_happens_once_and_once_for_each_element() {
    let mut watcher = watcher();
    let fields = tree(
        r#"{ "Result": { "Id": "r1", "Tag": "t", "Parts": [{ "Value": 1 }, { "Other": "x" }, { "Value": 3, "Other": "y" }] } }"#,
    );
    let nodes = vec![None, None, None, Some(Raw::Int(5))];
    let heard = hear(&mut watcher, Moment::new(0, 1), 0, &fields, &nodes);
    let found: Vec<_> = heard.happened.iter().map(|one| (one.event, said(one))).collect();
    let want = |event, values: [&str; 4]| (event, values.map(str::to_owned).to_vec());
    assert_eq!(
        found,
        [
            want(0, ["r1", "-", "-", "5"]),
            want(1, ["r1", "1", "t", "-"]),
            want(1, ["r1", "3", "y", "-"]),
        ]
    );
    assert!(heard.happened.iter().all(|one| one.state.is_some()));
}

#[test]
fn without_an_element_there_is_no_event_of_it() {
    for text in [
        r#"{ "Result": { "Id": "r1", "Parts": [] } }"#,
        r#"{ "Result": { "Id": "r1" } }"#,
        r#"{ "Result": { "Id": "r1", "Parts": [{ "Other": 1 }] } }"#,
        "{}",
        "null",
    ] {
        let heard = hear(&mut watcher(), Moment::new(0, 1), 0, &tree(text), &[]);
        let found: Vec<usize> = heard.happened.iter().map(|one| one.event).collect();
        assert_eq!(found, [0], "{text}");
    }
}

#[test]
fn each_notice_is_for_its_own_events() {
    let heard = hear(
        &mut watcher(),
        Moment::new(0, 1),
        1,
        &tree(r#"{ "Result": { "Id": 9 } }"#),
        &[],
    );
    let found: Vec<_> = heard.happened.iter().map(|one| (one.event, said(one))).collect();
    assert_eq!(found, [(2, ["9", "-", "-", "-"].map(str::to_owned).to_vec())]);
    let plan = watcher().plan;
    assert_eq!(reads(&plan, 0), [3]);
    assert!(reads(&plan, 1).is_empty());
}

#[test]
fn a_picture_shows_the_first_element() {
    let fields = tree(r#"{ "Result": { "Id": "r1", "Parts": [{ "Other": 1 }, { "Value": 3 }] } }"#);
    let found = picture(&watcher().plan, 0, &fields);
    assert_eq!(found, [Some(Raw::Text("r1".into())), Some(Raw::Int(3)), None, None]);
}
