//! Diagnostics: a fault in a user's file, with its place, the text underlined, and help.
//!
//! Owns how faults are collected, rendered for people and written as JSON. Does not own what is
//! a fault: [`crate::config`] and [`crate::profile`] say that. [`tree`] reads TOML so that every
//! value knows its place.

pub mod tree;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A file of the user's, as it was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// As it is shown: relative to where the user stands, where that is shorter.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Where in a file: a range of bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// Which file.
    pub source: Arc<Source>,
    /// Which bytes of it.
    pub span: Range<usize>,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.line_column();
        write!(f, "{}:{line}:{column}", self.source.path)
    }
}

impl Place {
    /// One-based line and column (in characters).
    #[must_use]
    pub fn line_column(&self) -> (usize, usize) {
        let before = self.source.text.get(..self.span.start).unwrap_or(&self.source.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }

    /// The start of a file, for what is missing from it altogether.
    #[must_use]
    pub fn start_of(source: &Arc<Source>) -> Self {
        Self {
            source: source.clone(),
            span: 0..0,
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// It works, but probably not as meant.
    Warning,
}

/// One fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// What is wrong, in a sentence without a full stop.
    pub message: String,
    /// Where; `None` where there is no file (it is missing).
    pub place: Option<Place>,
    /// Said under the underlined text.
    pub label: String,
    /// Other places that belong to it, each with what it has to do with it.
    pub related: Vec<(Place, String)>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at `place`.
    #[must_use]
    pub fn error(place: &Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            place: Some(place.clone()),
            label: String::new(),
            related: Vec::new(),
            help: None,
        }
    }

    /// An error without a place.
    #[must_use]
    pub fn nowhere(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            place: None,
            label: String::new(),
            related: Vec::new(),
            help: None,
        }
    }

    /// A warning at `place`.
    #[must_use]
    pub fn warning(place: &Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(place, message)
        }
    }

    /// With these words under the underlined text.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With what to do, where that is known.
    #[must_use]
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// With another place that belongs to it.
    #[must_use]
    pub fn related(mut self, place: &Place, what: impl Into<String>) -> Self {
        self.related.push((place.clone(), what.into()));
        self
    }
}

/// All faults of one run, in the order in which they were found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, unless the very same is there.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if !self.list.contains(&diagnostic) {
            self.list.push(diagnostic);
        }
    }

    /// Adds all of another run.
    pub fn extend(&mut self, other: Self) {
        for diagnostic in other.list {
            self.push(diagnostic);
        }
    }

    /// Shows files under other names: what is read in the place of another file is told as itself.
    pub fn rename(&mut self, shown: &dyn Fn(&str) -> Option<String>) {
        // One file stays one: places in it are shown together.
        let mut renamed: Vec<(Arc<Source>, Arc<Source>)> = Vec::new();
        let mut one = |place: &mut Place| {
            if let Some((_, new)) = renamed.iter().find(|(old, _)| Arc::ptr_eq(old, &place.source)) {
                place.source = new.clone();
            } else if let Some(path) = shown(&place.source.path) {
                let text = place.source.text.clone();
                let new = Arc::new(Source { path, text });
                renamed.push((std::mem::replace(&mut place.source, new.clone()), new));
            }
        };
        for diagnostic in &mut self.list {
            diagnostic.place.iter_mut().for_each(&mut one);
            diagnostic.related.iter_mut().for_each(|(place, _)| one(place));
        }
    }

    /// Whether one of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.list
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Whether there are none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.list.iter()
    }

    /// For people: each with its place as `path:line:column`, the text underlined, and help.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for diagnostic in &self.list {
            out.push_str(&renderer.render(&groups(diagnostic)));
            out.push_str("\n\n");
        }
        out
    }

    /// For machines: `[{severity, message, file, line, column, end_line, end_column, text, label, help, related}]`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        self.list.iter().map(json).collect()
    }
}

fn groups(diagnostic: &Diagnostic) -> Vec<Group<'_>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str());
    let mut group = match &diagnostic.place {
        None => Group::with_title(title),
        Some(place) => {
            let mut annotation = AnnotationKind::Primary.span(shown(place));
            if !diagnostic.label.is_empty() {
                annotation = annotation.label(diagnostic.label.as_str());
            }
            let mut snippet = snippet(place).annotation(annotation);
            let mut elsewhere = Vec::new();
            for (other, what) in &diagnostic.related {
                let annotation = AnnotationKind::Context.span(shown(other)).label(what.as_str());
                if Arc::ptr_eq(&other.source, &place.source) {
                    snippet = snippet.annotation(annotation);
                } else {
                    elsewhere.push(self::snippet(other).annotation(annotation));
                }
            }
            title.element(snippet).elements(elsewhere)
        }
    };
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    vec![group]
}

fn snippet<T: Clone>(place: &Place) -> Snippet<'_, T> {
    Snippet::source(place.source.text.as_str())
        .path(place.source.path.as_str())
        .fold(true)
}

/// A span that a renderer can show: inside the text, on character boundaries.
fn shown(place: &Place) -> Range<usize> {
    let text = &place.source.text;
    let boundary = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(place.span.start);
    start..boundary(place.span.end).max(start)
}

fn json(diagnostic: &Diagnostic) -> serde_json::Value {
    let mut out = serde_json::Map::new();
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    out.insert("severity".into(), severity.into());
    out.insert("message".into(), diagnostic.message.clone().into());
    if let Some(place) = &diagnostic.place {
        place_json(place, &mut out);
    }
    if !diagnostic.label.is_empty() {
        out.insert("label".into(), diagnostic.label.clone().into());
    }
    if let Some(help) = &diagnostic.help {
        out.insert("help".into(), help.clone().into());
    }
    if !diagnostic.related.is_empty() {
        let related = diagnostic.related.iter().map(|(place, what)| {
            let mut out = serde_json::Map::new();
            place_json(place, &mut out);
            out.insert("label".into(), what.clone().into());
            serde_json::Value::Object(out)
        });
        out.insert("related".into(), related.collect());
    }
    serde_json::Value::Object(out)
}

fn place_json(place: &Place, out: &mut serde_json::Map<String, serde_json::Value>) {
    let (line, column) = place.line_column();
    let span = shown(place);
    let end = Place {
        source: place.source.clone(),
        span: span.end..span.end,
    };
    let (end_line, end_column) = end.line_column();
    out.insert("file".into(), place.source.path.clone().into());
    out.insert("line".into(), line.into());
    out.insert("column".into(), column.into());
    out.insert("end_line".into(), end_line.into());
    out.insert("end_column".into(), end_column.into());
    out.insert("text".into(), place.source.text.get(span).unwrap_or("").into());
}

/// The one of `known` that was probably meant by `word`, where one is near.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count().max(word.chars().count()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Help for a word that is not known: the nearest, or all of them.
#[must_use]
pub fn meant(word: &str, known: &[&str]) -> Option<String> {
    match nearest(word, known.iter().copied()) {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if known.is_empty() => None,
        None => Some(format!("known here: {}", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_shows_its_place_and_its_help() {
        let source = Arc::new(Source {
            path: "etc/gateway.toml".into(),
            text: "[mqtt]\nbrokr = \"x\"\n".into(),
        });
        let place = Place { source, span: 7..12 };
        let mut all = Diagnostics::new();
        all.push(
            Diagnostic::error(&place, "unknown key `brokr`")
                .label("not a key of [mqtt]")
                .help("did you mean `broker`?"),
        );
        let text = all.render(false);
        for part in [
            "etc/gateway.toml:2:1",
            "brokr = \"x\"",
            "^^^^^ not a key of [mqtt]",
            "help: did you mean `broker`?",
        ] {
            assert!(text.contains(part), "{part} in:\n{text}");
        }
        let json = all.to_json();
        assert_eq!(json[0]["line"], 2);
        assert_eq!(json[0]["text"], "brokr");
    }

    #[test]
    fn the_nearest_word_is_near() {
        assert_eq!(nearest("tourque", ["torque", "angle"]), Some("torque"));
        assert_eq!(nearest("xyz", ["torque", "angle"]), None);
    }
}
