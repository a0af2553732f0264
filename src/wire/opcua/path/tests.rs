//! What is a way, and where a text stops being one.

use super::*;

fn names(step: &FieldStep) -> Vec<&str> {
    step.names.iter().map(|name| &**name).collect()
}

fn condition(field: &str, is: &[&str]) -> Condition {
    Condition {
        field: parse_path(field).unwrap(),
        is: is.iter().map(|text| Arc::from(*text)).collect(),
    }
}

#[test]
fn the_way_of_the_interface_is_read() {
    let text = "Result/ResultContent[0]/OverallResultValues[PhysicalQuantity=2,ValueTag=1]/High|HighLimit";
    let path = parse_path(text).unwrap();
    assert_eq!(&*path.text, text);
    let steps = path.steps.iter().map(names).collect::<Vec<_>>();
    assert_eq!(
        steps,
        [
            vec!["Result"],
            vec!["ResultContent"],
            vec!["OverallResultValues"],
            vec!["High", "HighLimit"]
        ]
    );
    assert_eq!(path.steps[1].selectors, [Selector::Index(0)]);
    assert_eq!(
        path.steps[2].selectors,
        [Selector::First(vec![
            condition("PhysicalQuantity", &["2"]),
            condition("ValueTag", &["1"])
        ])]
    );
}

#[test]
fn every_selector_is_read() {
    let of = |text: &str| parse_path(text).unwrap().steps.remove(0).selectors;
    let tag = || vec![condition("Tag", &["1"])];
    assert_eq!(of("a[-1]"), [Selector::Index(-1)]);
    assert_eq!(of("a[ 7 ]"), [Selector::Index(7)]);
    assert_eq!(of("a[first]"), [Selector::Index(0)]);
    assert_eq!(of("a[last]"), [Selector::Index(-1)]);
    assert_eq!(of("a[*]"), [Selector::All]);
    assert_eq!(of("a[*, Tag=1]"), [Selector::Where(tag())]);
    assert_eq!(of("a[each]"), [Selector::Each(vec![])]);
    assert_eq!(of("a[each,Tag=1]"), [Selector::Each(tag())]);
    assert_eq!(of("a[last,Tag=1]"), [Selector::Last(tag())]);
    assert_eq!(of("a[first,Tag=1]"), [Selector::First(tag())]);
    assert_eq!(of("a[Tag = 1 ]"), [Selector::First(tag())]);
    assert_eq!(
        of("a[Tag=21|22]"),
        [Selector::First(vec![condition("Tag", &["21", "22"])])]
    );
    assert_eq!(
        of("a[Name=\"VIN\"]"),
        [Selector::First(vec![condition("Name", &["VIN"])])]
    );
    assert_eq!(
        of("a[Name='a]b,c|d']"),
        [Selector::First(vec![condition("Name", &["a]b,c|d"])])]
    );
    assert_eq!(
        of(r#"a[Name="a\"b"]"#),
        [Selector::First(vec![condition("Name", &["a\"b"])])]
    );
    assert_eq!(of("a[Name]"), [Selector::First(vec![condition("Name", &[])])]);
    assert_eq!(
        of("a[Lasting=1]"),
        [Selector::First(vec![condition("Lasting", &["1"])])]
    );
    assert_eq!(of("a[\"last\"]"), [Selector::First(vec![condition("\"last\"", &[])])]);
    assert_eq!(of("a[0][-1]"), [Selector::Index(0), Selector::Index(-1)]);
}

#[test]
fn a_condition_may_go_into_structures_and_have_conditions_itself() {
    let path = parse_path("Steps[last,Values[Tag=1,Of/Kind=2]/Value]/Values[Tag=1]").unwrap();
    let [Selector::Last(conditions)] = path.steps[0].selectors.as_slice() else {
        panic!("{path:?}");
    };
    assert_eq!(&*conditions[0].field.text, "Values[Tag=1,Of/Kind=2]/Value");
    assert_eq!(conditions[0].field.steps.len(), 2);
    assert_eq!(conditions[0].is, Vec::<Arc<str>>::new());
}

#[test]
fn numbers_are_shortened_texts_are_not() {
    assert_eq!(
        parse_path("a[b=2.50|\"2.50\"|007|-1.0]").unwrap().steps[0].selectors,
        [Selector::First(vec![Condition {
            field: parse_path("b").unwrap(),
            is: vec!["2.5".into(), "2.50".into(), "007".into(), "-1".into()],
        }])]
    );
}

#[test]
fn names_may_be_quoted_numbered_and_missing_before_the_first_selector() {
    let path = parse_path("'a/b[c]' / 3:Result/x y").unwrap();
    let steps = path.steps.iter().map(names).collect::<Vec<_>>();
    assert_eq!(steps, [["a/b[c]"], ["Result"], ["x y"]]);
    let path = parse_path("[Name=\"VIN\"]/EntityId").unwrap();
    assert!(path.steps[0].names.is_empty());
    assert_eq!(names(&path.steps[1]), ["EntityId"]);
}

#[test]
fn a_way_may_begin_in_an_array_itself() {
    let list = crate::wire::opcua::Tree::from_json(&serde_json::json!([
        { "Name": "SN", "EntityId": "1" },
        { "Name": "VIN", "EntityId": "2" },
    ]));
    let said = |text: &str| {
        let found = crate::wire::opcua::select(&list, &parse_path(text).unwrap(), None);
        found.and_then(|tree| tree.raw()).map(|raw| raw.text())
    };
    assert_eq!(said("[Name=\"VIN\"]/EntityId").as_deref(), Some("2"));
    assert_eq!(said("[0]/EntityId").as_deref(), Some("1"));
    assert_eq!(said("[*]/EntityId").as_deref(), Some("1,2"));
    assert_eq!(said("[7]/EntityId"), None);
}

#[test]
fn a_fault_says_where() {
    for (text, at) in [
        ("", 0),
        ("/a", 0),
        ("a/", 2),
        ("a//b", 2),
        ("a|", 2),
        ("a/[0]", 2),
        ("ä[0", 1),
        ("a]", 1),
        ("a[]", 2),
        ("a[0]b", 4),
        ("a[0,b=1]", 1),
        ("a[b=]", 4),
        ("a[b=1", 1),
        ("a[b=1,]", 6),
        ("a[b=\"x]", 4),
    ] {
        assert_eq!(parse_path(text).unwrap_err().at, at, "{text}");
    }
    let deep = "a[".repeat(20);
    assert!(parse_path(&deep).unwrap_err().text.contains("deep"));
}

proptest::proptest! {
    #[test]
    fn any_text_gives_a_way_or_a_fault_inside_it(text in "(a|é|/|\\[|\\]|=|,|\\||\"|'|\\\\|\\*|each|last|[0-9]|-| )*") {
        match parse_path(&text) {
            Ok(path) => proptest::prop_assert_eq!(parse_path(&path.text).map(|path| path.steps), Ok(path.steps)),
            Err(fault) => proptest::prop_assert!(fault.at <= text.chars().count()),
        }
    }
}
