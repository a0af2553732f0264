//! The last exchanges with one device, in bounded memory: what support asks for after the fact.
//!
//! Owns what is left out: repeats that say nothing new, so that a device that is asked twenty times a second and says the same
//! does not push its last results out. What is left out is counted in the line that stands for it ([`Line::same`]). Pure.

use super::{Header, Line, What};
use std::collections::{BTreeMap, HashMap};

/// Repeats of a turn or of a word about the link of which each is kept; the last one then goes for the next.
const KEPT: u64 = 2;
/// Different requests of one device that are told apart.
const REQUESTS: usize = 1024;
/// Lines that others need, beyond the limit: descriptions of data types, of which a server has some hundreds.
const CONTEXT: usize = 4096;
/// Lines of one turn (what goes out, and all that comes until something goes out again) that are compared.
const TURN: usize = 64;

/// Which repeats say nothing new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// An answer that is the same as the one before to the same request, while no other answer changes.
    Answers,
    /// Of devices that speak by themselves, too: what goes out, with all that comes before something goes out again.
    Turns,
    /// Of such turns only signs of life: every other word of the device may be a result of its own.
    SignsOfLife,
}

#[derive(Debug)]
struct Kept {
    line: Line,
    weight: usize,
}

/// A request.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// The line with its last answer.
    last: u64,
    /// The last of its lines that stays.
    stays: u64,
    /// It was repeated since something was new.
    repeated: bool,
}

/// The last lines of one record.
#[derive(Debug)]
pub struct Ring {
    header: Header,
    limit: usize,
    repeats: Repeats,
    lines: BTreeMap<u64, Kept>,
    /// Older than all of them, and needed to read them.
    context: Vec<Line>,
    weight: usize,
    next: u64,
    asked: HashMap<Vec<u8>, Asked>,
    /// The last line that said something new, or repeated something for the first time since.
    fresh: u64,
    /// The same by sentence, of links that come and go while nothing is said on them.
    links: HashMap<String, (u64, u64)>,
    turn: Vec<u64>,
    before: Vec<u64>,
    turns: u64,
}

impl Ring {
    /// Of at most `limit` bytes of record text, beside what every later line needs to be understood.
    #[must_use]
    pub fn new(header: Header, limit: usize, repeats: Repeats) -> Self {
        Self {
            header,
            limit,
            repeats,
            lines: BTreeMap::new(),
            context: Vec::new(),
            weight: 0,
            next: 0,
            asked: HashMap::new(),
            fresh: 0,
            links: HashMap::new(),
            turn: Vec::new(),
            before: Vec::new(),
            turns: 0,
        }
    }

    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The first line.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The whole record as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.header.encode();
        text.push('\n');
        for line in self.context.iter().chain(self.lines.values().map(|kept| &kept.line)) {
            text.push_str(&line.encode());
            text.push('\n');
        }
        text
    }

    /// Keeps a line; the oldest go where there is no room.
    pub fn push(&mut self, line: Line) {
        match &line.what {
            What::Exchange { .. } | What::Read(_) => {
                self.turn_ends();
                self.links.clear();
                self.answered(line);
            }
            What::Link(sentence) => {
                self.turn_ends();
                let known = self.links.get(sentence).copied();
                let sentence = sentence.clone();
                if self.links.len() >= REQUESTS {
                    self.links.clear();
                }
                let placed = self.repeated(line, known);
                self.links.insert(sentence, placed);
            }
            What::Out(_) => {
                self.news();
                self.turn_goes_on();
                let id = self.put(line);
                self.turn = vec![id];
            }
            What::In(_) => {
                self.news();
                let id = self.put(line);
                if self.turn.len() < TURN && !self.turn.is_empty() {
                    self.turn.push(id);
                } else {
                    self.turn_ends();
                }
            }
            What::Namespaces(_) | What::Type(_) | What::Told(_) | What::Wrote(_) | What::Event(_) | What::Missed(_) => {
                self.news();
                self.turn_ends();
                self.fresh = self.put(line);
            }
        }
        while self.weight > self.limit {
            let Some((_, oldest)) = self.lines.pop_first() else {
                break;
            };
            self.weight = self.weight.saturating_sub(oldest.weight);
            if oldest.line.what.is_context() {
                if matches!(oldest.line.what, What::Namespaces(_)) {
                    // Of the session before nothing is left.
                    self.context.clear();
                }
                if self.context.len() < CONTEXT {
                    self.context.push(oldest.line);
                }
            }
        }
    }

    fn put(&mut self, line: Line) -> u64 {
        let weight = line.weight();
        self.weight += weight;
        self.next += 1;
        self.lines.insert(self.next, Kept { line, weight });
        self.next
    }

    /// How many lines a line that goes stood for.
    fn take(&mut self, id: u64) -> u64 {
        let Some(gone) = self.lines.remove(&id) else { return 0 };
        self.weight = self.weight.saturating_sub(gone.weight);
        gone.line.same.saturating_add(1)
    }

    /// Something that was not so before: what is repeated from here on stands behind it.
    fn news(&mut self) {
        for asked in self.asked.values_mut() {
            asked.repeated = false;
            asked.stays = asked.last;
        }
        self.links.clear();
    }

    /// Puts a line that may say the same as the `known` one. Where it is now, and how often it was repeated.
    fn repeated(&mut self, mut line: Line, known: Option<(u64, u64)>) -> (u64, u64) {
        let Some((last, repeats)) = known else {
            return (self.put(line), 0);
        };
        let repeats = repeats.saturating_add(1);
        if repeats > KEPT {
            line.same = line.same.saturating_add(self.take(last));
        }
        (self.put(line), repeats)
    }

    /// Puts an answer. Of repeats there stay the first of each request, one behind the first of every other request, and the
    /// last: so whatever was proven to be of one moment by all of them is proven by those that stay.
    fn answered(&mut self, mut line: Line) {
        let (key, reads): (Vec<u8>, bool) = match &line.what {
            What::Exchange { server, sent, .. } => (
                std::iter::once(*server).chain(sent.iter().copied()).collect(),
                sent.first().is_some_and(|function| (1..=4).contains(function)),
            ),
            What::Read(values) => {
                let nodes: Vec<&str> = values.iter().map(|said| &*said.node).collect();
                (nodes.join("\n").into_bytes(), true)
            }
            _ => return,
        };
        let known = self.asked.get(&key).copied().filter(|_| reads);
        let said = |asked: &Asked| self.lines.get(&asked.last).map(|kept| &kept.line.what);
        let same = |then: &What| match (then, &line.what) {
            (What::Read(then), What::Read(now)) => super::opcua::same(now, then),
            (then, now) => then == now,
        };
        let Some(known) = known.filter(|asked| said(asked).is_some_and(same)) else {
            self.news();
            let id = self.put(line);
            self.fresh = id;
            if self.asked.len() >= REQUESTS {
                self.asked.clear();
            }
            if reads {
                self.asked.insert(
                    key,
                    Asked {
                        last: id,
                        stays: id,
                        repeated: false,
                    },
                );
            }
            return;
        };
        if known.last != known.stays {
            line.same = line.same.saturating_add(self.take(known.last));
        }
        let id = self.put(line);
        let stays = !known.repeated || known.stays < self.fresh;
        if !known.repeated {
            self.fresh = id;
        }
        self.asked.insert(
            key,
            Asked {
                last: id,
                stays: if stays { id } else { known.stays },
                repeated: true,
            },
        );
    }

    fn turn_ends(&mut self) {
        self.turn.clear();
        self.before.clear();
        self.turns = 0;
    }

    /// Something goes out again: what was said since the last time it did is held against the time before.
    fn turn_goes_on(&mut self) {
        let turn = std::mem::take(&mut self.turn);
        if self.is_repeat(&turn) {
            self.turns = self.turns.saturating_add(1);
            if self.turns > KEPT {
                let before = std::mem::take(&mut self.before);
                for (gone, stays) in before.into_iter().zip(&turn) {
                    let stood_for = self.take(gone);
                    if let Some(kept) = self.lines.get_mut(stays) {
                        kept.line.same = kept.line.same.saturating_add(stood_for);
                    }
                }
            }
        } else {
            self.turns = 0;
        }
        self.before = turn;
    }

    fn is_repeat(&self, turn: &[u64]) -> bool {
        let what = |id: &u64| self.lines.get(id).map(|kept| &kept.line.what);
        let allowed = match self.repeats {
            Repeats::Answers => false,
            Repeats::Turns => true,
            Repeats::SignsOfLife => turn.iter().all(|id| what(id).is_some_and(is_sign_of_life)),
        };
        allowed
            && !turn.is_empty()
            && turn.len() == self.before.len()
            && turn
                .iter()
                .zip(&self.before)
                .all(|(now, then)| what(now).is_some() && what(now) == what(then))
    }
}

/// MID 9999 of Open Protocol (keep alive), either way.
fn is_sign_of_life(what: &What) -> bool {
    match what {
        What::In(bytes) | What::Out(bytes) => bytes.get(4..8) == Some(b"9999"),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
