//! The text of a way through structures: `Result/ResultContent[0]/OverallResultValues[PhysicalQuantity=2,ValueTag=1]/MeasuredValue`.
//! Owns the grammar; what a way finds is in `select`.
//!
//! ```text
//! path      = step *("/" step)
//! step      = name *("|" name) *selector  /  1*selector      ; the latter only as the first: of a value that is an array itself
//! selector  = "[" ( index / ("*" / "each" / "last" / "first") ["," conditions] / conditions ) "]"
//! condition = path ["=" value *("|" value)]
//! ```
//! Names and values may stand in quotes, `"` or `'`; behind `\` any character is itself there. The number of a namespace before a
//! name (`3:Result`) is read over: names suffice.

use crate::model::Decimal;
use crate::model::plan::{Condition, FieldPath, FieldStep, Selector};
use std::iter::Peekable;
use std::str::CharIndices;
use std::sync::Arc;

/// Conditions within conditions, at most.
const DEEPEST: usize = 4;
/// Steps of a way, at most.
const STEPS: usize = 64;

/// Why a text is no way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct PathFault {
    /// Where in the text, in characters from 0.
    pub at: usize,
    /// What is wrong there, and what would be right.
    pub text: String,
}

/// Reads a way.
///
/// # Errors
/// Says where it stops being one.
pub fn parse_path(text: &str) -> Result<FieldPath, PathFault> {
    let mut reader = Reader {
        text,
        rest: text.char_indices().peekable(),
        at: 0,
        depth: 0,
    };
    let path = reader.path(&[])?;
    match reader.peek() {
        None => Ok(path),
        Some(']') => Err(reader.fault("this `]` has no `[` before it")),
        Some(other) => Err(reader.fault(format!(
            "`{other}` cannot stand here: behind a name come `/`, `|` or `[`"
        ))),
    }
}

/// Walks over the text.
struct Reader<'a> {
    text: &'a str,
    rest: Peekable<CharIndices<'a>>,
    /// Characters read.
    at: usize,
    depth: usize,
}

/// A word, and whether it stood in quotes.
struct Word {
    text: String,
    quoted: bool,
}

impl Reader<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest.peek().map(|(_, character)| *character)
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.next().map(|(_, character)| character);
        self.at += usize::from(next.is_some());
        next
    }

    /// Bytes read.
    fn bytes(&mut self) -> usize {
        self.rest.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.next();
        }
    }

    /// Takes this character, if it is the next.
    fn takes(&mut self, wanted: char) -> bool {
        let is = self.peek() == Some(wanted);
        if is {
            self.next();
        }
        is
    }

    fn fault(&self, text: impl Into<String>) -> PathFault {
        PathFault {
            at: self.at,
            text: text.into(),
        }
    }

    /// A way that ends before one of these, or with the text.
    fn path(&mut self, ends: &[char]) -> Result<FieldPath, PathFault> {
        self.blanks();
        let from = self.bytes();
        let mut steps = Vec::new();
        loop {
            let at = self.at;
            steps.push(self.step(ends, steps.is_empty())?);
            if steps.len() > STEPS {
                return Err(PathFault {
                    at,
                    text: format!("a way has at most {STEPS} steps"),
                });
            }
            if !self.takes('/') {
                break;
            }
        }
        let to = self.bytes();
        let text = self.text.get(from..to).unwrap_or_default().trim();
        Ok(FieldPath {
            text: text.into(),
            steps,
        })
    }

    fn step(&mut self, ends: &[char], first: bool) -> Result<FieldStep, PathFault> {
        let mut names = Vec::new();
        self.blanks();
        if !(first && self.peek() == Some('[')) {
            loop {
                names.push(self.name(ends)?);
                if !self.takes('|') {
                    break;
                }
            }
        }
        let mut selectors = Vec::new();
        while self.peek() == Some('[') {
            selectors.push(self.selector()?);
            self.blanks();
        }
        Ok(FieldStep { names, selectors })
    }

    fn name(&mut self, ends: &[char]) -> Result<Arc<str>, PathFault> {
        self.blanks();
        let at = self.at;
        let word = self.word(&[&['/', '|', '[', ']'], ends].concat())?;
        let name = match word.text.split_once(':') {
            Some((namespace, name)) if !word.quoted && namespace.parse::<u16>().is_ok() => name,
            _ => &word.text,
        };
        if name.is_empty() {
            return Err(PathFault {
                at,
                text: "the name of a field is missing here".to_owned(),
            });
        }
        Ok(name.into())
    }

    /// What stands until one of these, blanks around it left out; or what stands in quotes.
    fn word(&mut self, ends: &[char]) -> Result<Word, PathFault> {
        self.blanks();
        let mut text = String::new();
        if let Some(quote @ ('"' | '\'')) = self.peek() {
            let open = self.fault(format!("this {quote} is not closed"));
            self.next();
            loop {
                match self.next() {
                    None => return Err(open),
                    Some('\\') => text.extend(self.next()),
                    Some(character) if character == quote => break,
                    Some(character) => text.push(character),
                }
            }
            self.blanks();
            return Ok(Word { text, quoted: true });
        }
        while let Some(character) = self.peek().filter(|character| !ends.contains(character)) {
            text.push(character);
            self.next();
        }
        text.truncate(text.trim_end().len());
        Ok(Word { text, quoted: false })
    }

    fn selector(&mut self) -> Result<Selector, PathFault> {
        let open = self.fault("this `[` is not closed");
        self.next();
        self.blanks();
        let kind = self.kind();
        let selector = match kind {
            Some(kind) => {
                let conditions = if self.takes(',') {
                    self.conditions(&open)?
                } else {
                    Vec::new()
                };
                match kind {
                    Kind::Index(index) if conditions.is_empty() => Selector::Index(index),
                    Kind::Index(_) => {
                        return Err(open_at(
                            &open,
                            "a number chooses one element, and takes no conditions: `[0]`, or `[PhysicalQuantity=2]`",
                        ));
                    }
                    Kind::All if conditions.is_empty() => Selector::All,
                    Kind::All => Selector::Where(conditions),
                    Kind::Each => Selector::Each(conditions),
                    Kind::First if conditions.is_empty() => Selector::Index(0),
                    Kind::First => Selector::First(conditions),
                    Kind::Last if conditions.is_empty() => Selector::Index(-1),
                    Kind::Last => Selector::Last(conditions),
                }
            }
            None => Selector::First(self.conditions(&open)?),
        };
        self.blanks();
        if self.takes(']') {
            return Ok(selector);
        }
        match self.peek() {
            None => Err(open),
            Some(other) => Err(self.fault(format!(
                "`{other}` cannot stand here: a selector is `[0]`, `[-1]`, `[*]`, `[each]`, `[last,ValueTag=1]` or \
                 `[PhysicalQuantity=2,ValueTag=1]`"
            ))),
        }
    }

    /// The number or word that a selector begins with; nothing is read where it begins with a condition.
    fn kind(&mut self) -> Option<Kind> {
        let rest = self.text.get(self.bytes()..).unwrap_or_default();
        let word = rest.split([',', ']']).next().unwrap_or_default();
        let kind = match word.trim_end() {
            "*" => Kind::All,
            "each" => Kind::Each,
            "first" => Kind::First,
            "last" => Kind::Last,
            number => Kind::Index(number.parse().ok()?),
        };
        for _ in word.chars() {
            self.next();
        }
        Some(kind)
    }

    /// At least one condition.
    fn conditions(&mut self, open: &PathFault) -> Result<Vec<Condition>, PathFault> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(open_at(
                open,
                format!("conditions stand in one another at most {DEEPEST} deep"),
            ));
        }
        let mut out = Vec::new();
        loop {
            self.blanks();
            match self.peek() {
                None => return Err(open.clone()),
                Some(']' | ',') => {
                    return Err(self.fault(
                        "a condition is missing here: `PhysicalQuantity=2`, or `Name` where it only has to be there",
                    ));
                }
                Some(_) => {}
            }
            let field = self.path(&['=', ','])?;
            let mut is = Vec::new();
            if self.takes('=') {
                loop {
                    is.push(self.value(open)?);
                    if !self.takes('|') {
                        break;
                    }
                }
            }
            out.push(Condition { field, is });
            self.blanks();
            if !self.takes(',') {
                break;
            }
        }
        self.depth -= 1;
        Ok(out)
    }

    /// A value: a number in its shortest form, or a text.
    fn value(&mut self, open: &PathFault) -> Result<Arc<str>, PathFault> {
        self.blanks();
        let at = self.at;
        let word = self.word(&['|', ',', ']'])?;
        if self.peek().is_none() {
            return Err(open.clone());
        }
        if word.text.is_empty() && !word.quoted {
            return Err(PathFault {
                at,
                text: "the value behind `=` is missing; an empty text is `\"\"`".to_owned(),
            });
        }
        let fraction = !word.quoted && word.text.contains('.');
        match word.text.parse::<Decimal>() {
            Ok(number) if fraction => Ok(number.to_string().into()),
            _ => Ok(word.text.into()),
        }
    }
}

/// The same place, and other words.
fn open_at(open: &PathFault, text: impl Into<String>) -> PathFault {
    PathFault {
        at: open.at,
        text: text.into(),
    }
}

/// What a selector begins with.
enum Kind {
    Index(i32),
    All,
    Each,
    First,
    Last,
}

#[cfg(test)]
mod tests;
