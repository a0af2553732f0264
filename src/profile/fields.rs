//! The fields of an event: from keys to where each member comes from.
//!
//! Owns which keys a field may have, by its shape in the contract ([`crate::model::event`]). Does not own
//! triggers and control keys ([`super::events`]).

use super::curve::{self, Axis};
use super::decode::Value;
use super::kind::Kind;
use super::ownership;
use super::points::{self, Point, number};
use crate::diagnostic::tree::{Node, Table, Value as Toml, wrong};
use crate::diagnostic::{Diagnostic, Diagnostics, Place, meant};
use crate::model::Uom;
use crate::model::event::{EventType, FieldSpec, MEASURE, Shape};
use crate::model::plan::{Address, FramePlace, PointIx};

/// Where one value comes from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Point(PointIx),
    /// A constant; in this uom, else the contract's.
    Const(Value, Option<Uom>),
}

/// Where a field comes from.
#[derive(Debug)]
pub(super) enum Field {
    /// One value.
    One(Source),
    /// A word by the one flag that is true.
    Flags(Vec<(&'static str, Vec<PointIx>)>),
    /// A measure in the contract's uom (none: that of the slot's `values`).
    Measure(Uom, Vec<Member>),
    /// An object.
    Object(Vec<Member>),
    /// The device's reasons.
    Errors(Vec<Reason>),
    /// An object with the author's names.
    Named(Vec<(String, Source)>),
    /// An axis of a curve.
    Axis(Axis),
}

/// A field or member, where it stands and where it comes from.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) spec: &'static FieldSpec,
    pub(super) place: Place,
    pub(super) field: Field,
}

/// One reason of `errors`.
#[derive(Debug)]
pub(super) struct Reason {
    pub(super) code: Source,
    /// A text by code, or where the text is.
    pub(super) texts: Vec<(Value, String)>,
    pub(super) text: Option<Source>,
    /// Codes that are no reason.
    pub(super) except: Vec<Value>,
}

impl Field {
    /// Every point that it looks at.
    pub(super) fn points(&self, found: &mut Vec<PointIx>) {
        let mut source = |source: &Source| {
            if let Source::Point(point) = source {
                found.push(*point);
            }
        };
        match self {
            Self::One(one) => source(one),
            Self::Axis(axis) => axis.points(found),
            Self::Named(named) => named.iter().for_each(|(_, one)| source(one)),
            Self::Errors(reasons) => {
                for reason in reasons {
                    source(&reason.code);
                    reason.text.iter().for_each(&mut source);
                }
            }
            Self::Flags(words) => found.extend(words.iter().flat_map(|(_, points)| points)),
            Self::Measure(_, members) | Self::Object(members) => {
                for member in members {
                    member.field.points(found);
                }
            }
        }
    }

    /// The member of this name.
    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        match self {
            Self::Measure(_, members) | Self::Object(members) => members.iter().find(|member| member.spec.name == name),
            _ => None,
        }
    }
}

/// What fields are compiled against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) points: &'a [Point],
    pub(super) kind: EventType,
}

impl Scope<'_> {
    /// A field of the event.
    pub(super) fn field(
        self,
        spec: &'static FieldSpec,
        key: &str,
        place: &Place,
        node: &Node,
        out: &mut Diagnostics,
    ) -> Option<Member> {
        let field = self.shape(spec, key, node, out)?;
        Some(Member {
            spec,
            place: place.clone(),
            field,
        })
    }

    fn shape(self, spec: &'static FieldSpec, key: &str, node: &Node, out: &mut Diagnostics) -> Option<Field> {
        match spec.shape {
            Shape::Measure(contract) => self.measure(contract, key, node, out),
            Shape::Object(members) => self.object(members, key, node, out),
            Shape::Words(words) => self.words(words, key, node, out),
            Shape::List(_) => self.errors(key, node, out),
            Shape::Map(_) => self.named(key, node, out),
            Shape::Axis => curve::compile(self, key, node, out).map(Field::Axis),
            Shape::Text | Shape::Number | Shape::Integer | Shape::Bool | Shape::Scalar | Shape::Texts => {
                let source = self.source(key, node, out)?;
                self.suits(&source, spec.shape, key, node, out)
                    .then_some(Field::One(source))
            }
        }
    }

    /// A point or `{ const = … }`.
    pub(super) fn source(self, key: &str, node: &Node, out: &mut Diagnostics) -> Option<Source> {
        match &node.value {
            Toml::Text(name) => {
                let index = points::find(self.points, name, &node.place, out)?;
                Some(Source::Point(index))
            }
            Toml::Table(keys) => {
                only(keys, &["const", "uom"], key, out);
                let Some(value) = keys.get("const") else {
                    wrong(node, key, "a point, or { const = … }", out);
                    return None;
                };
                let uom = keys.get("uom").and_then(|node| uom(node, out));
                let constant = Value::of(value);
                if constant.is_none() {
                    wrong(value, "const", "text, a number, true or false", out);
                }
                constant.map(|value| Source::Const(value, uom))
            }
            _ => {
                out.push(
                    Diagnostic::error(
                        &node.place,
                        format!("`{key}` is {}, but must name a point", node.kind()),
                    )
                    .help("name a point, or write { const = … }"),
                );
                None
            }
        }
    }

    /// Whether a source can give this shape.
    fn suits(self, source: &Source, shape: Shape, key: &str, node: &Node, out: &mut Diagnostics) -> bool {
        match source {
            Source::Const(value, _) => {
                let good = match shape {
                    Shape::Number => value.number().is_some(),
                    Shape::Integer => value.number().is_some_and(crate::model::Decimal::is_integer),
                    Shape::Bool => {
                        matches!(value, Value::Bool(_)) || value.is(&Value::Bool(true)) || value.is(&Value::Bool(false))
                    }
                    _ => true,
                };
                if !good {
                    out.push(Diagnostic::error(
                        &node.place,
                        format!("`{key}` cannot be {}", value.text()),
                    ));
                }
                good
            }
            Source::Point(index) => {
                let Some(point) = self.points.get(*index) else {
                    return false;
                };
                let number = matches!(shape, Shape::Number | Shape::Integer);
                let fault = if point.is_list() {
                    Some("an array")
                } else if number && point.is_bool() && point.map.is_none() {
                    Some("one bit")
                } else {
                    None
                };
                if let Some(what) = fault {
                    out.push(
                        Diagnostic::error(&node.place, format!("`{key}` cannot come from {what}"))
                            .related(&point.place, "the point"),
                    );
                }
                fault.is_none()
            }
        }
    }

    fn measure(self, contract: &'static str, key: &str, node: &Node, out: &mut Diagnostics) -> Option<Field> {
        let contract = Uom::parse(contract).ok()?;
        let members = match node.as_table() {
            Some(keys) if keys.get("const").is_none() => {
                let known = ["point", "value", "target", "min", "max", "result"];
                only(keys, &known, key, out);
                if let (Some((point, _)), Some((value, _))) = (keys.entry("point"), keys.entry("value")) {
                    out.push(
                        Diagnostic::error(&value.place, "`point` and `value` are the same")
                            .related(&point.place, "here"),
                    );
                }
                keys.entries
                    .iter()
                    .filter_map(|(at, node)| {
                        let name = if at.name == "point" { "value" } else { &at.name };
                        let spec = MEASURE.iter().find(|spec| spec.name == name && name != "uom")?;
                        self.field(spec, &format!("{key}.{name}"), &at.place, node, out)
                    })
                    .collect()
            }
            _ => {
                let spec = MEASURE.iter().find(|spec| spec.name == "value")?;
                vec![self.field(spec, key, &node.place, node, out)?]
            }
        };
        for member in &members {
            if let Field::One(source) = &member.field
                && !matches!(member.spec.shape, Shape::Words(_))
            {
                self.converts(source, &contract, key, &member.place, out);
            }
        }
        Some(Field::Measure(contract, members))
    }

    /// Whether what a point or constant says can be said in `contract`.
    fn converts(self, source: &Source, contract: &Uom, key: &str, place: &Place, out: &mut Diagnostics) {
        let point = match source {
            Source::Point(index) => self.points.get(*index),
            Source::Const(..) => None,
        };
        let (own, at) = match (source, point) {
            (Source::Const(_, uom), _) => (uom.as_ref(), None),
            (_, Some(point)) => (point.uom.as_ref(), point.uom_place.as_ref()),
            _ => return,
        };
        match (own, point) {
            (Some(own), _) if !own.converts_to(contract) => {
                let fault = Diagnostic::error(
                    at.unwrap_or(place),
                    format!(
                        "`{}` cannot be converted to `{}`, the contract's uom of `{key}`",
                        own.code(),
                        contract.code()
                    ),
                );
                out.push(fault.related(place, "used here"));
            }
            (None, Some(point)) if point.uom_from.is_none() && !point.is_text() && !point.faulty => {
                out.push(
                    Diagnostic::warning(&point.place, format!("point `{}` has no uom", point.name))
                        .related(place, format!("taken as `{}` here", contract.code()))
                        .help(format!("say what it counts in: uom = \"{}\"", contract.code())),
                );
            }
            _ => {}
        }
    }

    fn object(self, specs: &'static [FieldSpec], key: &str, node: &Node, out: &mut Diagnostics) -> Option<Field> {
        let bare = || specs.iter().find(|spec| spec.name == "id");
        let members: Vec<Member> = match node.as_table() {
            Some(keys) if keys.get("const").is_none() => {
                let names: Vec<&str> = specs.iter().map(|spec| spec.name).collect();
                only(keys, &names, key, out);
                keys.entries
                    .iter()
                    .filter_map(|(at, node)| {
                        let spec = specs.iter().find(|spec| spec.name == at.name)?;
                        self.field(spec, &format!("{key}.{}", at.name), &at.place, node, out)
                    })
                    .collect()
            }
            _ => {
                let Some(spec) = bare() else {
                    let names: Vec<&str> = specs.iter().map(|spec| spec.name).collect();
                    out.push(
                        Diagnostic::error(&node.place, format!("`{key}` needs a table of its members")).help(format!(
                            "write {{ {} = \"point\" }}; it has {}",
                            names.first().unwrap_or(&""),
                            names.join(", ")
                        )),
                    );
                    return None;
                };
                vec![self.field(spec, key, &node.place, node, out)?]
            }
        };
        for spec in specs.iter().filter(|spec| spec.required) {
            let named = node.as_table().is_some_and(|keys| keys.get(spec.name).is_some());
            if !named && !members.iter().any(|member| member.spec.name == spec.name) {
                out.push(Diagnostic::error(&node.place, format!("`{key}` needs `{}`", spec.name)).help(spec.doc));
            }
        }
        Some(Field::Object(members))
    }

    fn words(self, words: &'static [&'static str], key: &str, node: &Node, out: &mut Diagnostics) -> Option<Field> {
        if let Some(keys) = node.as_table()
            && keys.get("const").is_none()
        {
            only(keys, words, key, out);
            let mut flags = Vec::new();
            for (at, node) in &keys.entries {
                let Some(word) = words.iter().find(|word| **word == at.name) else {
                    continue;
                };
                let mut found = Vec::new();
                for item in node.one_or_more() {
                    let Some(name) = item.as_text() else {
                        wrong(item, &at.name, "a point, or a list of points", out);
                        continue;
                    };
                    let Some(index) = points::find(self.points, name, &item.place, out) else {
                        continue;
                    };
                    if self
                        .points
                        .get(index)
                        .is_some_and(|point| point.is_text() || point.is_list())
                    {
                        out.push(Diagnostic::error(
                            &item.place,
                            format!("`{name}` is neither true nor false"),
                        ));
                    }
                    found.push(index);
                }
                flags.push((*word, found));
            }
            return Some(Field::Flags(flags));
        }
        let source = self.source(key, node, out)?;
        let check = |value: &Value, place: &Place, out: &mut Diagnostics| {
            if !matches!(value, Value::Text(text) if words.contains(&text.as_str())) {
                let text = value.text();
                out.push(
                    Diagnostic::error(place, format!("`{text}` is no `{key}`"))
                        .maybe_help(meant(&text, words))
                        .related(&node.place, "used here"),
                );
            }
        };
        match &source {
            Source::Const(value, _) => {
                if !matches!(value, Value::Text(text) if words.contains(&text.as_str())) {
                    let text = value.text();
                    out.push(
                        Diagnostic::error(&node.place, format!("`{text}` is no `{key}`"))
                            .maybe_help(meant(&text, words)),
                    );
                }
            }
            Source::Point(index) => {
                let point = self.points.get(*index)?;
                match &point.map {
                    Some(map) => map.meanings().for_each(|(value, place)| check(value, place, out)),
                    None if point.faulty => {}
                    None if point.is_text() => said(point, words, key, node, out),
                    None => out.push(
                        Diagnostic::error(
                            &node.place,
                            format!("`{key}` is a word, but point `{}` says numbers", point.name),
                        )
                        .related(&point.place, "needs a `map`")
                        .help(format!(
                            "give the point a map to {}: map = {{ 1 = \"{}\" }}",
                            words.join(", "),
                            words.first().unwrap_or(&"")
                        )),
                    ),
                }
            }
        }
        Some(Field::One(source))
    }

    fn errors(self, key: &str, node: &Node, out: &mut Diagnostics) -> Option<Field> {
        let mut reasons = Vec::new();
        for item in node.one_or_more() {
            let Some(keys) = item.as_table().filter(|keys| keys.get("const").is_none()) else {
                let code = self.source(key, item, out)?;
                reasons.push(Reason {
                    code,
                    texts: Vec::new(),
                    text: None,
                    except: Vec::new(),
                });
                continue;
            };
            only(keys, &["code", "text", "except"], key, out);
            let Some(code) = keys.get("code") else {
                out.push(
                    Diagnostic::error(&item.place, format!("`{key}` needs `code`"))
                        .help("the point that holds the device's reason"),
                );
                continue;
            };
            let code = self.source("errors.code", code, out)?;
            let mut texts = Vec::new();
            let mut text = None;
            match keys.get("text").map(|node| (node, &node.value)) {
                Some((_, Toml::Table(table))) if table.get("const").is_none() => {
                    for (at, node) in &table.entries {
                        match node.as_text() {
                            Some(meaning) => {
                                let code = number(&at.name).map_or_else(|| Value::Text(at.name.clone()), Value::Number);
                                texts.push((code, meaning.to_owned()));
                            }
                            None => wrong(node, &at.name, "text", out),
                        }
                    }
                }
                Some((node, _)) => text = self.source("errors.text", node, out),
                None => {}
            }
            let except = keys.get("except").map(Node::one_or_more).unwrap_or_default();
            reasons.push(Reason {
                code,
                texts,
                text,
                except: except.iter().filter_map(Value::of).collect(),
            });
        }
        Some(Field::Errors(reasons))
    }

    fn named(self, key: &str, node: &Node, out: &mut Diagnostics) -> Option<Field> {
        if node.as_text().is_some() {
            let source = self.source(key, node, out)?;
            let Source::Point(index) = source else { return None };
            let point = self.points.get(index)?;
            let whole = matches!(&point.at, Address::Frame(at) if at.place == FramePlace::Gs1All);
            if !whole && !point.faulty {
                out.push(
                    Diagnostic::error(&node.place, format!("`{key}` is many values, but `{}` says one", point.name))
                        .help(format!("write a table of names and points: {key} = {{ 21 = \"serial\" }}; of a scanner the point `gs1` is all of them")),
                );
                return None;
            }
            return Some(Field::One(source));
        }
        let Some(keys) = node.as_table() else {
            wrong(node, key, "a table of names and points", out);
            return None;
        };
        let named = keys
            .entries
            .iter()
            .filter_map(|(at, node)| Some((at.name.clone(), self.source(&at.name, node, out)?)));
        Some(Field::Named(named.collect()))
    }
}

/// Whether the words that a telegram's field says are those of the contract.
fn said(point: &Point, words: &[&str], key: &str, node: &Node, out: &mut Diagnostics) {
    let Kind::Word(says) = point.kind else { return };
    let odd: Vec<&str> = says.iter().copied().filter(|word| !words.contains(word)).collect();
    if odd.len() == says.len() {
        out.push(
            Diagnostic::error(&node.place, format!("`{}` says {}", point.name, says.join(", ")))
                .label(format!("none of them is a `{key}`: {}", words.join(", ")))
                .help(format!(
                    "name another point, or give it a map in [points]: {} = {{ map = {{ … }} }}",
                    point.name
                )),
        );
    }
}

pub(super) fn uom(node: &Node, out: &mut Diagnostics) -> Option<Uom> {
    match Uom::parse(node.as_text().unwrap_or_default()) {
        Ok(uom) => Some(uom),
        Err(fault) => {
            out.push(
                Diagnostic::error(&node.place, fault.to_string()).help("write UCUM or what is usual: N.m, deg, N"),
            );
            None
        }
    }
}

/// Every other key of a field's table is a fault.
pub(super) fn only(keys: &Table, known: &[&str], name: &str, out: &mut Diagnostics) {
    for (key, _) in &keys.entries {
        if known.contains(&key.name.as_str()) {
            continue;
        }
        let fault = match ownership::owned(&key.name) {
            Some(what) => {
                Diagnostic::error(&key.place, format!("`{}` would state {what}", key.name)).help(ownership::WHY)
            }
            None => Diagnostic::error(&key.place, format!("unknown key `{}`", key.name))
                .label(format!("not a member of `{name}`"))
                .maybe_help(meant(&key.name, known)),
        };
        out.push(fault);
    }
}
