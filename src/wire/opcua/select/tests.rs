use super::super::path::parse_path;
use super::*;
use crate::model::Raw;
use serde_json::{Value, json};

fn way(text: &str) -> FieldPath {
    parse_path(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

fn ways(texts: &[&str]) -> Vec<FieldPath> {
    texts.iter().map(|text| way(text)).collect()
}

/// An event of OPC 40450-1 with a batch of two results.
fn event() -> Tree {
    let value = |quantity: i32, tag: i32, value: f64| json!({"MeasuredValue": value, "PhysicalQuantity": quantity, "ValueTag": tag});
    let part = |id: &str, torque: f64, kind: i32| {
        json!({"$type": "ResultDataType",
            "ResultMetaData": {"$type": "JoiningResultMetaDataType", "ResultId": id, "Classification": kind},
            "ResultContent": [{"$type": "JoiningResultDataType", "OverallResultValues": [value(3, 1, 90.5), value(2, 1, torque)]}]})
    };
    Tree::from_json(&json!({"Result": {
        "ResultMetaData": {
            "ResultId": "B1", "Classification": 3, "Name": "", "JoiningTechnology": {"Locale": "en", "Text": "Tightening"},
            "AssociatedEntities": [
                {"Name": "Tool", "EntityId": "T-7", "EntityType": 4},
                {"Name": "VIN", "EntityId": "WVW1", "EntityType": 20},
                {"Name": "PSN", "EntityId": "P-9", "EntityType": 22}],
            "ResultCounters": []},
        "ResultContent": [part("R1", 12.25, 1), null, part("R2", 11.5, 1), part("X", 0.0, 2)],
        "StepResults": [
            {"StepResultId": "s1", "StepResultValues": [value(2, 5, 4.0), value(2, 1, 9.0), value(2, 1, 10.0)]},
            {"StepResultId": "s2"},
            {"StepResultId": "s3", "StepResultValues": [value(2, 1, 12.5)]}],
        "Trace": {"StepTraces": [
            {"StepTraceContent": [{"PhysicalQuantity": 2, "Values": [0.5, 1.5]}, {"PhysicalQuantity": 3, "Values": [10, 20]}]},
            {"StepTraceContent": [{"PhysicalQuantity": 2, "Values": [2.5]}]}]},
        "High": 15, "Limits": {"HighLimit": 14}, "Lists": [[1, 2], [3]]}}))
}

/// As short JSON; a way that leads nowhere is the text `nowhere`.
fn at(path: &str, each: Option<usize>) -> Value {
    select(&event(), &way(&format!("Result/{path}")), each).map_or_else(|| json!("nowhere"), |tree| tree.to_json())
}

#[test]
fn fields_and_indices_are_followed() {
    assert_eq!(at("ResultMetaData/ResultId", None), json!("B1"));
    assert_eq!(at("ResultContent[0]/ResultMetaData/ResultId", None), json!("R1"));
    assert_eq!(at("ResultContent[-1]/ResultMetaData/ResultId", None), json!("X"));
    assert_eq!(at("ResultContent[-4]/ResultMetaData/ResultId", None), json!("R1"));
    assert_eq!(at("ResultContent[-5]", None), json!("nowhere"));
    assert_eq!(at("ResultContent[4]", None), json!("nowhere"));
    assert_eq!(at("ResultContent[1]", None), json!(null));
    assert_eq!(at("ResultContent[1]/ResultMetaData", None), json!("nowhere"));
    assert_eq!(at("Lists[0][1]", None), json!(2));
    assert_eq!(at("Lists[0][1][0]", None), json!("nowhere"));
    assert_eq!(at("High[0]", None), json!("nowhere"));
    assert_eq!(at("High/Low", None), json!("nowhere"));
    assert_eq!(at("Lists", None), json!([[1, 2], [3]]));
}

#[test]
fn an_array_of_structures_needs_a_selector() {
    assert_eq!(at("StepResults/StepResultId", None), json!("nowhere"));
    assert_eq!(at("StepResults[*]/StepResultId", None), json!(["s1", "s2", "s3"]));
}

#[test]
fn any_of_the_names_is_the_field() {
    assert_eq!(at("HighLimit|High", None), json!(15));
    assert_eq!(at("Limits/High|HighLimit", None), json!(14));
    assert_eq!(at("Limits/Low|LowLimit", None), json!("nowhere"));
}

#[test]
fn conditions_choose() {
    let torque = "OverallResultValues[PhysicalQuantity=2,ValueTag=1]/MeasuredValue";
    assert_eq!(
        at(&format!("ResultContent[0]/ResultContent[0]/{torque}"), None),
        json!(12.25)
    );
    assert_eq!(
        at("ResultMetaData/AssociatedEntities[EntityType=20]/EntityId", None),
        json!("WVW1")
    );
    assert_eq!(
        at("ResultMetaData/AssociatedEntities[Name=\"VIN\"]/EntityId", None),
        json!("WVW1")
    );
    assert_eq!(
        at("ResultMetaData/AssociatedEntities[EntityType=22|20]/EntityId", None),
        json!("WVW1")
    );
    assert_eq!(
        at(
            "ResultMetaData/AssociatedEntities[last,EntityType=22|20]/EntityId",
            None
        ),
        json!("P-9")
    );
    assert_eq!(
        at("ResultMetaData/AssociatedEntities[EntityType=2]/EntityId", None),
        json!("nowhere")
    );
    // Of the last step that has a final torque, the last of these.
    let last = "StepResults[last,StepResultValues[ValueTag=1]]/StepResultValues[last,PhysicalQuantity=2,ValueTag=1]/MeasuredValue";
    assert_eq!(at(last, None), json!(12.5));
    assert_eq!(
        at("StepResults[0]/StepResultValues[last,ValueTag=1]/MeasuredValue", None),
        json!(10)
    );
    assert_eq!(at("StepResults[StepResultValues]/StepResultId", None), json!("s1"));
    // Any of a list of scalars.
    assert_eq!(
        at("StepResults[StepResultValues[*]/MeasuredValue=12.5]/StepResultId", None),
        json!("s3")
    );
}

#[test]
fn a_bare_condition_wants_something() {
    let of = |name: &str| {
        let tree = Tree::from_json(&json!({"All": [event().to_json()["Result"]["ResultMetaData"]]}));
        select(&tree, &way(&format!("All[{name}]")), None).is_some()
    };
    assert!(of("ResultId") && of("Classification") && of("AssociatedEntities"));
    assert!(!of("Name") && !of("ResultCounters") && !of("PartId"));
    assert!(of("JoiningTechnology=Tightening") && !of("JoiningTechnology=tightening"));
    assert!(!of("AssociatedEntities[0]=T-7"));
}

#[test]
fn what_is_behind_a_star_becomes_one_list() {
    let torque = "Trace/StepTraces[*]/StepTraceContent[PhysicalQuantity=2]/Values";
    assert_eq!(at(torque, None), json!([0.5, 1.5, 2.5]));
    assert_eq!(
        at("Trace/StepTraces[*]/StepTraceContent[PhysicalQuantity=3]/Values", None),
        json!([10, 20])
    );
    assert_eq!(
        at("Trace/StepTraces[*]/StepTraceContent[*]/Values[-1]", None),
        json!([1.5, 20, 2.5])
    );
    assert_eq!(
        at("StepResults[*]/StepResultValues[*,ValueTag=1]/MeasuredValue", None),
        json!([9, 10, 12.5])
    );
    assert_eq!(at("Lists[*][0]", None), json!([1, 3]));
    assert_eq!(at("StepResults[*]/Nothing", None), json!("nowhere"));
    assert_eq!(
        at("StepResults[*,StepResultId=s9]/StepResultId", None),
        json!("nowhere")
    );
    assert_eq!(at("High[*]", None), json!("nowhere"));
}

#[test]
fn each_is_the_element_that_is_asked_for() {
    let id = "ResultContent[each]/ResultMetaData/ResultId";
    assert_eq!(at(id, Some(0)), json!("R1"));
    assert_eq!(at(id, Some(2)), json!("R2"));
    assert_eq!(at(id, Some(9)), json!("nowhere"));
    assert_eq!(at(id, None), json!("nowhere"));
    let single = "ResultContent[each,ResultMetaData/Classification=1]/ResultMetaData/ResultId";
    assert_eq!(at(single, Some(2)), json!("R2"));
    assert_eq!(at(single, Some(3)), json!("nowhere"));
}

#[test]
fn elements_are_those_that_qualify() {
    let of = |texts: &[&str]| elements(&event(), &ways(texts));
    assert_eq!(
        of(&["Result/ResultContent[each]/ResultMetaData/ResultId"]),
        Some(vec![0, 2, 3])
    );
    assert_eq!(
        of(&["Result/ResultContent[each,ResultMetaData/Classification=1]"]),
        Some(vec![0, 2])
    );
    assert_eq!(
        of(&["Result/ResultContent[each,ResultMetaData/Classification=9]"]),
        Some(vec![])
    );
    assert_eq!(of(&["Result/ResultContent[0]"]), None);
    assert_eq!(of(&["Result/Nothing[each]"]), None);
    assert_eq!(of(&["Result/High[each]"]), None);
    assert_eq!(
        of(&[
            "Result/ResultId",
            "Result/Nothing[each]",
            "Result/StepResults[0]/StepResultValues[each,ValueTag=1]"
        ]),
        Some(vec![1, 2])
    );
}

#[test]
fn the_first_way_to_something_counts() {
    let of = |texts: &[&str], each| first(&event(), &ways(texts), each).map(|tree| tree.to_json());
    assert_eq!(
        of(&["Result/Nothing", "Result/ResultContent[1]", "Result/High"], None),
        Some(json!(15))
    );
    assert_eq!(
        of(&["Result/ResultMetaData/Name", "Result/High"], None),
        Some(json!(""))
    );
    assert_eq!(
        of(
            &[
                "Result/ResultContent[each]/ResultMetaData/ResultId",
                "Result/ResultMetaData/ResultId"
            ],
            None
        ),
        Some(json!("B1"))
    );
    assert_eq!(of(&["Result/Nothing"], None), None);
    assert_eq!(of(&[], None), None);
}

#[test]
fn conditions_in_conditions_end_somewhere() {
    let of = |depth: u8| {
        let mut tree = json!({"v": 1});
        for _ in 0..depth {
            tree = json!({"a": [tree]});
        }
        let path = FieldPath {
            text: "deep".into(),
            steps: nested(depth),
        };
        select(&Tree::from_json(&tree), &path, None)
    };
    assert!(of(DEEPEST).is_some());
    assert_eq!(of(DEEPEST + 1), None);
}

/// `a[a[…[v]]]`, without the text reader's own limit.
fn nested(depth: u8) -> Vec<FieldStep> {
    let mut steps = vec![FieldStep {
        names: vec!["v".into()],
        selectors: vec![],
    }];
    for _ in 0..depth {
        let field = FieldPath { text: "".into(), steps };
        steps = vec![FieldStep {
            names: vec!["a".into()],
            selectors: vec![Selector::First(vec![Condition { field, is: vec![] }])],
        }];
    }
    steps
}

#[test]
fn a_chosen_structure_is_shared_not_copied() {
    let tree = event();
    let part = select(&tree, &way("Result/ResultContent[0]"), None);
    let (Some(Tree::Struct(part)), Some(Tree::List(all))) =
        (part, tree.field("Result").and_then(|it| it.field("ResultContent")))
    else {
        panic!("a structure in a list")
    };
    let Tree::Struct(same) = &all[0] else {
        panic!("a structure")
    };
    assert!(std::sync::Arc::ptr_eq(&part, same));
    assert_eq!(Tree::Value(Raw::Int(7)).raw(), Some(Raw::Int(7)));
}
