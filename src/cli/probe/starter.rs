//! The text of a profile begun from nodes of a server: it loads as it stands, and asks what only an engineer can answer.
//!
//! Owns the text. What the nodes are was looked up by [`crate::device::opcua::browse`].

use super::names::unique;
use crate::device::opcua::browse::{EventType, Leaf, Picked, Seen, Server, Variable};
use crate::model::plan::{Identity, OpcuaLink, OpcuaType, Security};
use crate::model::{Raw, Uom};
use crate::wire::opcua::Tree;
use std::fmt::Write as _;
use std::path::Path;

/// What a profile is begun from.
pub(super) struct Begun<'a> {
    pub(super) link: &'a OpcuaLink,
    pub(super) server: &'a Server,
    pub(super) picked: &'a [Picked],
    /// Today, `2026-11-23`.
    pub(super) date: &'a str,
}

/// A point that is written.
struct Point {
    name: String,
    /// `node = "…"` and what follows.
    keys: Vec<String>,
    comment: String,
    /// Only as a comment: it cannot be read as it stands.
    off: bool,
    /// What it said, as TOML.
    sample: Option<String>,
    kind: Option<OpcuaType>,
    writable: bool,
    /// Of which type of events it is a field.
    event: Option<String>,
}

/// A text in TOML: in single quotes where there are double ones in it.
pub(super) fn quoted(text: &str) -> String {
    let plain = !text.chars().any(char::is_control);
    if plain && !text.contains('\'') && text.contains(['"', '\\']) {
        return format!("'{text}'");
    }
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                out.push('\\');
                out.push(letter);
            }
            letter if letter.is_control() => {
                // Writing to a text does not fail.
                drop(write!(out, "\\u{:04X}", u32::from(letter)));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// A comment stays on its line, whatever the server says.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

const fn kind_word(kind: OpcuaType) -> &'static str {
    match kind {
        OpcuaType::Bool => "bool",
        OpcuaType::I8 => "i8",
        OpcuaType::U8 => "u8",
        OpcuaType::I16 => "i16",
        OpcuaType::U16 => "u16",
        OpcuaType::I32 => "i32",
        OpcuaType::U32 => "u32",
        OpcuaType::I64 => "i64",
        OpcuaType::U64 => "u64",
        OpcuaType::F32 => "f32",
        OpcuaType::F64 => "f64",
        OpcuaType::Text => "string",
    }
}

/// What a value is in TOML; `None`: it is a list, or no number that an example can hold.
fn sample(tree: &Tree) -> Option<String> {
    match tree.raw()? {
        Raw::List(_) => None,
        Raw::Bool(value) => Some(value.to_string()),
        Raw::Text(text) => Some(quoted(&text)),
        number => {
            number.number()?;
            Some(number.text())
        }
    }
}

/// `map = { 0 = "Undefined", 1 = "OK" }`, as a hint.
fn map(words: &[(i64, String)]) -> Option<String> {
    let said = words
        .iter()
        .map(|(number, word)| format!("{number} = {}", quoted(&line(word))));
    (!words.is_empty()).then(|| format!("map = {{ {} }}", said.collect::<Vec<_>>().join(", ")))
}

fn of_variable(seen: &Seen, variable: &Variable) -> Point {
    let mut keys = vec![format!("node = {}", quoted(&seen.node.to_string()))];
    let array = "[]".repeat(variable.dimensions);
    let mut comments = vec![format!("{}{array}", variable.data_type)];
    let scalar = variable.dimensions == 0;
    if let Some(kind) = variable.kind.filter(|_| variable.writable && scalar) {
        keys.push(format!("type = \"{}\"", kind_word(kind)));
    }
    if variable.writable {
        comments.push("may be written".to_owned());
    }
    if let Some(said) = &variable.uom {
        match Uom::parse(said) {
            Ok(uom) => keys.push(format!("uom = {}", quoted(uom.code()))),
            Err(_) => comments.push(format!("FILL IN: uom, the server says {said}")),
        }
    }
    comments.extend(map(&variable.words).map(|map| format!("FILL IN: {map}")));
    if !variable.readable {
        comments.push("this user may not read it".to_owned());
    }
    if let Some(quality) = &variable.quality {
        comments.push(format!("it was {quality}"));
    }
    // A list of structures says nothing as it stands.
    let off = matches!(&variable.value, Some(tree) if tree.raw().is_none());
    if off {
        comments.push("structures: say which field is meant, field = \"…\"".to_owned());
    }
    Point {
        name: String::new(),
        keys,
        comment: comments.join("; "),
        off,
        sample: variable.value.as_ref().filter(|_| scalar).and_then(sample),
        kind: variable.kind.filter(|_| scalar),
        writable: variable.writable,
        event: None,
    }
}

/// A value inside a structure: of a variable, or of an event.
fn of_leaf(leaf: &Leaf, node: Option<&str>, event: Option<&str>) -> Point {
    let mut keys: Vec<String> = node
        .map(|node| format!("node = {}", quoted(node)))
        .into_iter()
        .collect();
    keys.push(format!("field = {}", quoted(&leaf.path)));
    let mut comments = vec![format!("{}{}", leaf.data_type, if leaf.array { "[]" } else { "" })];
    comments.extend(map(&leaf.words).map(|map| format!("FILL IN: {map}")));
    if leaf.open {
        comments.push("what is in it only a value shows: record one, and say the way to it".to_owned());
    }
    Point {
        name: String::new(),
        keys,
        comment: comments.join("; "),
        off: leaf.open,
        sample: None,
        kind: None,
        writable: false,
        event: event.map(str::to_owned),
    }
}

/// The names on a way, from the outside in: `Values[0]/Value` are Values and Value.
fn steps(path: &str) -> impl Iterator<Item = String> {
    path.split('/')
        .map(|step| step.split('[').next().unwrap_or(step).to_owned())
        .collect::<Vec<_>>()
        .into_iter()
}

/// All points, each with a name of its own.
fn points(picked: &[Picked]) -> Vec<Point> {
    let mut points = Vec::new();
    let mut places: Vec<Vec<String>> = Vec::new();
    for one in picked {
        match one {
            Picked::Variable { seen, of, fields } => {
                let place = vec![of.clone(), seen.name.clone()];
                let Some(variable) = &seen.variable else { continue };
                if fields.is_empty() {
                    places.push(place.clone());
                    points.push(of_variable(seen, variable));
                }
                for field in fields {
                    places.push(place.iter().cloned().chain(steps(&field.path)).collect());
                    let mut point = of_leaf(field, Some(&seen.node.to_string()), None);
                    point.sample = variable.value.as_ref().and_then(|tree| inside(tree, &field.path));
                    points.push(point);
                }
            }
            Picked::Event(event) => {
                let node = event.node.to_string();
                let name = event.name.strip_suffix("EventType").unwrap_or(&event.name);
                for field in &event.fields {
                    places.push(std::iter::once(name.to_owned()).chain(steps(&field.path)).collect());
                    points.push(of_leaf(field, None, Some(&node)));
                }
            }
        }
    }
    for (point, name) in points.iter_mut().zip(unique(&places)) {
        point.name = name;
    }
    points
}

/// What a value says at a way, as TOML.
fn inside(tree: &Tree, path: &str) -> Option<String> {
    let path = crate::wire::opcua::path::parse_path(path).ok()?;
    sample(&crate::wire::opcua::select(tree, &path, None)?)
}

fn connection(link: &OpcuaLink, server: &Server) -> String {
    let mut lines = vec![
        "[connection]".to_owned(),
        "protocol = \"opcua\"".to_owned(),
        format!("address  = {}", quoted(&link.address)),
    ];
    match link.security {
        Security::Strongest => {}
        Security::None => lines.push(
            "security = \"None\"            # neither signed nor encrypted: anybody on the network reads along and can answer in its place"
                .to_owned(),
        ),
        Security::Exactly(policy, mode) => {
            lines.push(format!("security = \"{}/{}\"", policy.word(), mode.word()));
        }
    }
    let path = |path: &Path| quoted(&path.to_string_lossy());
    if let Some(file) = &link.trust.file {
        lines.push(format!("trust_file = {}", path(file)));
    }
    match &server.certificate {
        Some(seen) if !link.trust.pins.is_empty() => lines.push(format!("trust    = \"{seen}\"")),
        Some(seen) => lines.push(format!(
            "# trust  = \"{seen}\"   # the certificate that it showed: compare it with what the device itself shows"
        )),
        None => {}
    }
    match &link.identity {
        Identity::Anonymous => {}
        Identity::User { name, password_file } => {
            lines.push(format!("username = {}", quoted(name)));
            lines.push(format!("password_file = {}", path(password_file)));
        }
        Identity::Certificate { cert_file, key_file } => {
            lines.push(format!("cert_file = {}", path(cert_file)));
            lines.push(format!("key_file = {}", path(key_file)));
        }
    }
    lines.join("\n")
}

/// Points in columns.
fn table(points: &[&Point]) -> Vec<String> {
    let width = points.iter().map(|point| point.name.len()).max().unwrap_or(0);
    let line = |point: &&Point| {
        let off = if point.off { "# " } else { "" };
        let keys = point.keys.join(", ");
        format!(
            "{off}{:<width$} = {{ {keys} }}   # {}",
            point.name,
            line(&point.comment)
        )
    };
    points.iter().map(line).collect()
}

/// The whole profile.
pub(super) fn text(begun: &Begun<'_>) -> String {
    let (link, server) = (begun.link, begun.server);
    let points = points(begun.picked);
    let (vendor, model) = (quoted(&line(&server.vendor)), quoted(&line(&server.product)));
    let described = server.described();
    let described = if described.is_empty() {
        described
    } else {
        format!(" ({described})")
    };
    let source = format!("address space of {}{described}, {}", link.address, begun.date);
    let mut parts = vec![format!(
        r#"# Begun by `lineside probe --browse` on {date}. It loads as it stands, and makes no event before what says FILL IN is answered. Then:
#     lineside check FILE       and       lineside probe FILE
# Every key of OPC UA, commented: device-profiles/example/opcua.toml. Of an array in a structure [0] is the first element,
# [-1] the last, [Name="torque"] the one that says so, [each] an event for each of them.

profile  = 1
vendor   = {vendor}   # FILL IN: the machine's, where the server says its own; it stands in every event
model    = {model}   # FILL IN
about    = "FILL IN: what it is, in a sentence"
maturity = "document"          # document: nobody tried it; bench: has a capture of a real device; line: ran in a plant
sources  = [{source}]
caveats  = []

# What is it, and how is it reached.
{connection}

# What does it say. Names are yours: rename what is not clear.
[points]"#,
        date = begun.date,
        source = quoted(&line(&source)),
        connection = connection(link, server),
    )];
    let variables: Vec<&Point> = points.iter().filter(|point| point.event.is_none()).collect();
    parts.extend(table(&variables));
    for one in begun.picked {
        if let Picked::Event(event) = one {
            let node = event.node.to_string();
            let fields: Vec<&Point> = points
                .iter()
                .filter(|point| point.event.as_deref() == Some(&node))
                .collect();
            parts.push(format!(
                "# Fields of events of type {} ({})",
                line(&event.name),
                line(&node)
            ));
            parts.extend(table(&fields));
        }
    }
    parts.push(String::new());
    parts.push(meaning(&points, begun.picked));
    parts.push(String::new());
    parts.push(example(&points, begun.picked));
    let mut text = parts.join("\n");
    text.push('\n');
    text
}

/// The first point that is called by one of these words: by it alone, else with it at the end, else with it inside.
fn called<'a>(points: &[&'a Point], words: &[&str]) -> Option<&'a Point> {
    let inside = |name: &str, word: &str| format!("_{name}_").contains(&format!("_{word}_"));
    let at_end = |name: &str, word: &str| format!("_{name}").ends_with(&format!("_{word}"));
    let find = |fits: &dyn Fn(&str) -> bool| points.iter().find(|point| fits(&point.name)).copied();
    words.iter().find_map(|word| {
        find(&|name| name == *word)
            .or_else(|| find(&|name| at_end(name, word)))
            .or_else(|| find(&|name| inside(name, word)))
    })
}

/// `[events.…]`, as a comment.
fn meaning(points: &[Point], picked: &[Picked]) -> String {
    let event = picked.iter().find_map(|one| match one {
        Picked::Event(event) => Some(event),
        Picked::Variable { .. } => None,
    });
    let node = event.map(|event: &EventType| event.node.to_string());
    let mut there: Vec<&Point> = points
        .iter()
        .filter(|point| !point.off && (point.event.is_none() || point.event == node))
        .collect();
    // What an event says itself comes first.
    there.sort_by_key(|point| point.event.is_none());
    let read: Vec<&Point> = there.iter().filter(|point| !point.writable).copied().collect();
    let count = match node {
        Some(_) => called(
            &read,
            &["result_id", "id", "number", "sequence_number", "count", "counter"],
        ),
        None => called(
            &read,
            &[
                "result_count",
                "count",
                "counter",
                "number",
                "sequence",
                "result_id",
                "id",
            ],
        ),
    };
    let ready = called(&read, &["ready", "done", "valid", "available", "trigger"])
        .filter(|point| point.kind == Some(OpcuaType::Bool));
    let first = there.first().map_or("", |point| &point.name);
    let when = match (&node, ready, count) {
        (Some(node), ..) => format!("{{ event = {} }}", quoted(node)),
        (None, Some(ready), _) => format!("{{ rises = \"{}\" }}", ready.name),
        (None, None, Some(count)) => format!("{{ changes = \"{}\" }}", count.name),
        (None, None, None) => format!("{{ changes = \"{first}\" }}"),
    };
    let tightening = called(&there, &["torque", "judgement", "verdict", "evaluation"]).is_some();
    let mut rows: Vec<(&str, String, &str)> = vec![(
        "when",
        when,
        "what says that there is something new: rises, changes, equals, a type of events; `notifier` where the Server object does not tell it",
    )];
    if let Some(count) = count {
        let id = format!("[\"{}\"]", count.name);
        rows.push((
            "id",
            id,
            "what makes this result this result, also after the count restarts: a time or a number of starts before it",
        ));
    }
    let acks: Vec<&Point> = there.iter().filter(|point| point.writable).copied().collect();
    if let Some(ack) = called(&acks, &["ack", "quit", "confirm", "taken"]).filter(|_| node.is_none()) {
        let value = match (ack.kind, ready, count) {
            (Some(OpcuaType::Bool), Some(_), _) => "value = true, then = false".to_owned(),
            (Some(OpcuaType::Bool), None, _) => "value = true".to_owned(),
            (_, _, Some(count)) => format!("copy = \"{}\"", count.name),
            _ => "value = 1".to_owned(),
        };
        let said = format!("{{ write = \"{}\", {value} }}", ack.name);
        rows.push((
            "ack",
            said,
            "does the device wait to be told that its result was taken, and how",
        ));
    }
    let title = if tightening {
        for (field, words, question) in [
            (
                "result",
                &["judgement", "verdict", "evaluation", "result_ok", "ok", "status"][..],
                "the device's own verdict; which numbers are ok and nok: map = { 1 = \"ok\", 2 = \"nok\" } at its point",
            ),
            (
                "torque",
                &["torque", "final_torque", "moment"],
                "the final value; its uom; min, max, target: { point = \"…\", min = \"…\" }",
            ),
            ("angle", &["angle", "final_angle"], "the final value, its uom"),
            ("program", &["program", "pset", "parameter_set"], "which program it ran"),
            (
                "unit",
                &["vin", "serial", "unit"],
                "what the device says of the unit, where it was told",
            ),
        ] {
            match called(&there, words) {
                Some(point) => rows.push((field, format!("\"{}\"", point.name), question)),
                None if field == "result" => rows.push((field, format!("\"{first}\""), question)),
                None => {}
            }
        }
        "tightening"
    } else {
        let alone = |point: &&&Point| point.event.is_some() || point.sample.is_some();
        let values = there.iter().filter(alone);
        let values = values.filter(|point| !point.writable);
        let values: Vec<String> = values.map(|point| format!("\"{}\"", point.name)).collect();
        if node.is_none() {
            rows = vec![(
                "when",
                "{ changes = \"*\", at_most = \"1s\" }".to_owned(),
                "each change, at most so often; or { every = \"1s\" }; of results what says that there is a new one: rises, changes, equals",
            )];
        }
        rows.retain(|(field, ..)| *field == "when");
        rows.push((
            "values",
            format!("[{}]", values.join(", ")),
            "which of them the MES wants",
        ));
        "readings"
    };
    let mut lines = vec![
        "# What does it mean. FILL IN, and take the # away; fields of a type: lineside profile fields TYPE".to_owned(),
        format!(
            "# [events.{title}]   # FILL IN: tightening, measurement, identification, state, alarm, cycle, curve or readings"
        ),
    ];
    let width = rows.iter().map(|(field, ..)| field.len()).max().unwrap_or(0);
    lines.extend(
        rows.iter()
            .map(|(field, value, question)| format!("# {field:<width$} = {value}   # FILL IN: {question}")),
    );
    lines.join("\n")
}

/// A field of an event with what is below it, for an example.
#[derive(Default)]
struct Branch {
    /// In the order of the fields.
    below: Vec<(String, Branch)>,
    /// Below is an array's element.
    array: bool,
    value: String,
}

impl Branch {
    fn put(&mut self, path: &str, value: String) {
        let mut at = self;
        for step in path.split('/') {
            let (name, array) = step.split_once('[').map_or((step, false), |(name, _)| (name, true));
            let index = at.below.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                at.below.push((name.to_owned(), Self::default()));
                at.below.len() - 1
            });
            let Some((_, next)) = at.below.get_mut(index) else {
                return;
            };
            next.array |= array;
            at = next;
        }
        at.value = value;
    }

    fn text(&self) -> String {
        if self.below.is_empty() {
            return self.value.clone();
        }
        let fields = self
            .below
            .iter()
            .map(|(name, branch)| format!("{name} = {}", branch.text()));
        let fields = format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "));
        if self.array { format!("[{fields}]") } else { fields }
    }
}

/// Something of this type, to be replaced.
fn anything(leaf: &Leaf) -> String {
    let one = match (leaf.data_type.as_str(), leaf.words.first()) {
        (_, Some((number, _))) => number.to_string(),
        ("Boolean", _) => "false".to_owned(),
        ("DateTime" | "UtcTime", _) => "\"2026-01-01T00:00:00Z\"".to_owned(),
        ("SByte" | "Byte" | "Int16" | "UInt16" | "Int32" | "UInt32" | "Int64" | "UInt64" | "Float" | "Double", _) => {
            "0".to_owned()
        }
        _ => "\"\"".to_owned(),
    };
    if leaf.array { format!("[{one}]") } else { one }
}

/// `[[example]]`, as a comment, with what the points said.
fn example(points: &[Point], picked: &[Picked]) -> String {
    let said: Vec<String> = points
        .iter()
        .filter(|point| !point.off)
        .filter_map(|point| Some(format!("{} = {}", point.name, point.sample.as_ref()?)))
        .collect();
    let mut events = picked.iter().filter_map(|one| match one {
        Picked::Event(event) => Some(event),
        Picked::Variable { .. } => None,
    });
    let mut given = Vec::new();
    let mut question = "what they said just now; FILL IN: what they say with a result";
    if let Some(event) = events.next() {
        if events.next().is_some() {
            given.push(format!("type = {}", quoted(&event.node.to_string())));
        }
        let mut tree = Branch::default();
        tree.put("Time", "\"2026-01-01T00:00:00Z\"".to_owned());
        for field in event.fields.iter().filter(|field| !field.open) {
            tree.put(&field.path, anything(field));
        }
        given.push(format!("event = {}", tree.text()));
        question = "FILL IN: what an event says; `lineside probe` shows the last one, `lineside record` keeps them";
    }
    if !said.is_empty() {
        given.insert(0, format!("values = {{ {} }}", said.join(", ")));
    }
    [
        "# How do we know. FILL IN what must come out, and take the # away.".to_owned(),
        "# [[example]]".to_owned(),
        "# name   = \"FILL IN: what happened\"".to_owned(),
        "# origin = \"computed\"   # captured, where a real device said it".to_owned(),
        format!("# given  = [{{ {} }}]   # {question}", given.join(", ")),
        "# expect = []   # FILL IN: [{ type = \"…\", result = \"ok\" }]".to_owned(),
    ]
    .join("\n")
}

/// What is in the profile, in a sentence.
pub(super) fn told(picked: &[Picked]) -> String {
    let points = points(picked);
    let off = points.iter().filter(|point| point.off).count();
    let events = picked.iter().filter(|one| matches!(one, Picked::Event(_))).count();
    let on = points.len() - off;
    let mut said = format!("{on} point{}", if on == 1 { "" } else { "s" });
    if off > 0 {
        said = format!("{said}, {off} more as comments");
    }
    if events > 0 {
        let types = if events == 1 { "one type" } else { "types" };
        said = format!("{said}, fields of {types} of events among them");
    }
    said
}

#[cfg(test)]
mod tests;
