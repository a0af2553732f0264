//! What a layout is made of: parameters one after the other, each with its width.
//!
//! Positions follow from the widths; nothing copies a column of byte numbers. Does not own the tables
//! ([`super::tables`]) nor what a value becomes ([`super::decode`]).

/// Codes and their words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// Each code with its word.
    pub codes: &'static [(i64, &'static str)],
    /// The words alone.
    pub words: &'static [&'static str],
    /// Codes that say "does not apply": the field is absent.
    pub silent: &'static [i64],
}

impl Words {
    /// The word of a code.
    #[must_use]
    pub fn word(&self, code: i64) -> Option<&'static str> {
        self.codes
            .iter()
            .find(|(known, _)| *known == code)
            .map(|(_, word)| *word)
    }

    /// The code of a word.
    #[must_use]
    pub fn code(&self, word: &str) -> Option<i64> {
        self.codes
            .iter()
            .find(|(_, known)| *known == word)
            .map(|(code, _)| *code)
    }
}

/// What stands in a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number; a sign is tolerated.
    Whole,
    /// A whole number in this uom.
    In(&'static str),
    /// A hundredth of this uom, or of a bare number.
    Hundredth(Option<&'static str>),
    /// A hundredth of the telegram's torque uom.
    Torque,
    /// The same; 999900 says "no limit".
    TorqueLimit,
    /// Degrees.
    Angle,
    /// The same; 9999 says "no limit".
    AngleLimit,
    /// Text, trimmed on both sides.
    Text,
    /// Text up to the end of the data; the width is what is built.
    Rest,
    /// `YYYY-MM-DD:HH:MM:SS`.
    Time,
    /// 0 and 1.
    Bool,
    /// A code with words.
    Coded(&'static Words),
    /// The uom of the torques of this telegram, a code.
    TorqueUom,
    /// 0091: five characters a spindle.
    SpindleStates,
    /// 0101: eighteen characters a spindle.
    SpindleResults,
    /// 0061 revision 998: eleven characters a stage.
    Stages,
    /// 1201: a count of three digits, then so many objects of this many characters.
    Objects(usize),
    /// A block of PIDs: count, then each with its own length.
    Pids,
}

impl Kind {
    /// Whether the width is that of the data, not of the table.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(
            self,
            Self::Rest | Self::SpindleStates | Self::SpindleResults | Self::Stages | Self::Objects(_) | Self::Pids
        )
    }
}

/// One parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Param {
    /// Its two digits; empty where the value follows without.
    pub id: &'static str,
    /// Name of the field.
    pub name: &'static str,
    /// Bytes of the value. Of an open kind: what an empty one has.
    pub width: usize,
    /// What it is.
    pub kind: Kind,
    /// First revision that has it.
    pub since: u16,
}

/// A parameter.
#[must_use]
pub const fn param(id: &'static str, name: &'static str, width: usize, kind: Kind, since: u16) -> Param {
    Param {
        id,
        name,
        width,
        kind,
        since,
    }
}

/// The layout of a MID in a range of revisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// The MID.
    pub mid: u16,
    /// First revision it holds for.
    pub from: u16,
    /// Last revision that is known; a later one may append what is kept as unknown.
    pub to: u16,
    /// Its parameters, of all these revisions.
    pub params: &'static [Param],
}

impl Layout {
    /// The parameters that a revision has, in order.
    pub fn of(&self, revision: u16) -> impl Iterator<Item = &'static Param> + Clone + use<> {
        self.params.iter().filter(move |p| p.since <= revision)
    }

    /// Each parameter of a revision with the first and last byte of its value, counted from 1, the header included:
    /// the numbers that the specification prints. An open one has its smallest width.
    pub fn places(&self, revision: u16) -> impl Iterator<Item = (&'static Param, usize, usize)> + use<> {
        let mut end = super::header::HEADER;
        self.of(revision).map(move |p| {
            let from = end + p.id.len() + 1;
            end = from + p.width - 1;
            (p, from, end)
        })
    }

    /// Length field of a telegram of this revision with nothing in its open parameters.
    #[must_use]
    pub fn length(&self, revision: u16) -> usize {
        let data: usize = self.of(revision).map(|p| p.id.len() + p.width).sum();
        super::header::HEADER + data
    }
}
