//! Open Protocol telegrams: header, framing, linking, layouts, values, traces, and the words of a session.
//!
//! Owns bytes and what each field of a telegram means (Open Protocol Specification R2.8, and where marked `[OPI]` what
//! the open-source interpreter knows of later revisions). Owns no connection, no timer and no decision about a session;
//! those are the driver's and the simulator's. All functions are total: any bytes give a value or a [`Fault`].

pub mod block3964r;
pub mod decode;
mod derive;
pub mod encode;
pub mod fields;
pub mod header;
pub mod joiner;
pub mod layout;
pub mod link;
pub mod reading;
pub mod said;
pub mod serial;
pub mod session;
pub mod splitter;
pub mod tables;
pub mod trace;
pub mod variable;

pub use decode::{Decoded, Field, decode};
pub use encode::encode_fields;
pub use fields::{FIELDS, FieldInfo, FieldKind};
pub use header::{Header, Telegram};
pub use joiner::Joiner;
pub use splitter::{Split, Splitter};
pub use trace::{Trace, TraceOrder};

/// Why bytes are no telegram, or a telegram does not hold what its MID promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Fewer bytes than a header.
    #[error("{0} bytes are no telegram: a header has 20")]
    Short(usize),
    /// Not digits (or blanks) where the header has digits.
    #[error("bytes {from} to {to} of the header are `{text}`, not digits")]
    Header {
        /// First byte, counted from 1 as the specification does.
        from: usize,
        /// Last byte.
        to: usize,
        /// What stands there, controls escaped.
        text: String,
    },
    /// The length field disagrees with the bytes.
    #[error("the length field says {said} bytes but there are {have}")]
    Length {
        /// What the header says.
        said: usize,
        /// Bytes there are, without the closing NUL.
        have: usize,
    },
    /// The telegram ends inside a field.
    #[error("MID {mid:04} revision {revision} ends inside `{name}`: {need} bytes of data are needed, there are {have}")]
    Truncated {
        /// Its MID.
        mid: u16,
        /// Its revision.
        revision: u16,
        /// The field that is cut.
        name: &'static str,
        /// Bytes of data up to the end of the field.
        need: usize,
        /// Bytes of data there are.
        have: usize,
    },
    /// A count, a length or a type code that nothing can be read by.
    #[error("MID {mid:04}: `{text}` is no {what}")]
    Unreadable {
        /// Its MID.
        mid: u16,
        /// What should stand there.
        what: &'static str,
        /// What stands there.
        text: String,
    },
    /// Parts of a linked message that do not belong together (error code 0004 of MID 9998).
    #[error("part {part} of {parts} of MID {mid:04} does not continue what came before; begin again with part 1")]
    Parts {
        /// Its MID.
        mid: u16,
        /// The part that came.
        part: u8,
        /// Of how many.
        parts: u8,
    },
    /// Nothing is known of how this MID is built.
    #[error("MID {mid:04} revision {revision} cannot be built: its layout is not known")]
    NoLayout {
        /// The MID.
        mid: u16,
        /// The revision.
        revision: u16,
    },
    /// More data than a telegram holds.
    #[error("{0} bytes of data do not fit into a telegram: it holds 9979")]
    TooLong(usize),
}

#[cfg(test)]
mod tests;
