//! What a consumer that was built against one schema would notice of another: a sentence for each.
//!
//! A version only gains optional members and words about them. Everything else breaks somebody: a parser, a column, a
//! branch on a word.

use serde_json::{Map, Value};

/// Words for people, and where they are used; they may be improved.
const WORDS: [&str; 3] = ["description", "title", "examples"];

/// What a consumer of `old` notices of `new`. Empty: nothing.
pub(crate) fn breaks(old: &Value, new: &Value) -> Vec<String> {
    let mut out = Vec::new();
    schema("", old, new, &mut out);
    out
}

fn named(path: &str) -> String {
    if path.is_empty() {
        "the event".to_owned()
    } else {
        format!("`{path}`")
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn schema(path: &str, old: &Value, new: &Value, out: &mut Vec<String>) {
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        if old != new {
            out.push(format!("{}: what it may be was {old} and is {new}", named(path)));
        }
        return;
    };
    let none = Value::Null;
    let mut keys: Vec<&String> = old.keys().collect();
    keys.extend(new.keys().filter(|key| !old.contains_key(*key)));
    for key in keys {
        let (before, after) = (old.get(key).unwrap_or(&none), new.get(key).unwrap_or(&none));
        match key.as_str() {
            // `title` of the whole is the type.
            word if WORDS.contains(&word) && !(word == "title" && path.is_empty()) => {}
            "properties" => properties(path, before, after, new, out),
            "required" => required(path, before, after, out),
            "enum" => words(path, before, after, out),
            "items" => schema(&format!("{path}[]"), before, after, out),
            "additionalProperties" if before.is_object() && after.is_object() => {
                schema(&format!("{path}.*"), before, after, out);
            }
            "anyOf" if before.as_array().map(Vec::len) == after.as_array().map(Vec::len) => {
                let pairs = before.as_array().into_iter().flatten().zip(after.as_array().into_iter().flatten());
                for (before, after) in pairs {
                    schema(path, before, after, out);
                }
            }
            _ if before == after => {}
            "const" if path.ends_with("uom") => out.push(format!(
                "{} was {before} and is {after}: a consumer reads every value in the wrong unit of measure",
                named(path)
            )),
            "const" => out.push(format!(
                "{} was always {before} and is {after}: a consumer that sorts by it does not know it",
                named(path)
            )),
            "type" => out.push(format!(
                "{} was {before} and is {after}: a consumer's parser or column does not take it",
                named(path)
            )),
            "pattern" | "format" | "minLength" | "maxLength" | "minimum" | "maximum" => out.push(format!(
                "{}: its {key} was {before} and is {after}: what a consumer takes apart or stores looks otherwise",
                named(path)
            )),
            "$id" | "$schema" | "title" => out.push(format!(
                "the schema's {key} was {before} and is {after}: a consumer that finds its schema by it finds none; make it v2"
            )),
            "additionalProperties" => out.push(format!(
                "{}: other members were {} and are {}: a consumer's validation fails where it did not",
                named(path),
                allowed(before),
                allowed(after)
            )),
            other => out.push(format!(
                "{}: its rule `{other}` was {before} and is {after}: a consumer's validation fails where it did not, or no longer does",
                named(path)
            )),
        }
    }
}

fn allowed(rule: &Value) -> &'static str {
    if rule == false { "forbidden" } else { "allowed" }
}

fn properties(path: &str, old: &Value, new: &Value, around: &Map<String, Value>, out: &mut Vec<String>) {
    let empty = Map::new();
    let (old, new) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
    for (name, before) in old {
        let path = below(path, name);
        if let Some(after) = new.get(name) {
            schema(&path, before, after, out);
        } else {
            let mut same = new
                .iter()
                .filter(|(other, after)| !old.contains_key(*other) && *after == before);
            let renamed = same
                .next()
                .map(|(other, _)| format!(" (it seems to be called `{other}` now)"));
            out.push(format!(
                "`{path}` is gone{}: a consumer that reads it finds nothing",
                renamed.unwrap_or_default()
            ));
        }
    }
    let required = around.get("required").and_then(Value::as_array);
    for name in new.keys().filter(|name| !old.contains_key(*name)) {
        if required.is_some_and(|required| required.iter().any(|one| one == name.as_str())) {
            out.push(format!(
                "`{}` is new and required: events that were sent before are none any more, a resend fails at the consumer",
                below(path, name)
            ));
        }
    }
}

fn required(path: &str, old: &Value, new: &Value, out: &mut Vec<String>) {
    let list = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
    };
    let (old, new) = (list(old), list(new));
    for name in old.iter().filter(|name| !new.contains(name)) {
        out.push(format!(
            "`{}` need not be there any more: a consumer that relies on it fails on the first event without",
            below(path, name)
        ));
    }
    for name in new.iter().filter(|name| !old.contains(name)) {
        out.push(format!(
            "`{}` has become required: events that were sent before are none any more, a resend fails at the consumer",
            below(path, name)
        ));
    }
}

fn words(path: &str, old: &Value, new: &Value, out: &mut Vec<String>) {
    let (Value::Array(old), Value::Array(new)) = (old, new) else {
        out.push(format!("{}: its words were {old} and are {new}", named(path)));
        return;
    };
    for word in new.iter().filter(|word| !old.contains(word)) {
        out.push(format!(
            "{} may say {word}: a consumer's branches do not know it; enumerations never grow within a version",
            named(path)
        ));
    }
    for word in old.iter().filter(|word| !new.contains(word)) {
        out.push(format!(
            "{} never says {word} any more: a consumer waits for it in vain",
            named(path)
        ));
    }
}
