//! Siemens 3964R: one block at a time over a serial line, with acknowledgement and block check.
//!
//! Owns the procedure of both sides as a machine without a line and without a clock: bytes and milliseconds in,
//! bytes and outcomes out. Specification 2.1 gives the times and 6 attempts; DLE doubling and the priority of a
//! conflict are standard 3964R.

/// Which side gives way when both begin at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Keeps sending; the other gives way.
    High,
    /// Receives first, then sends its own.
    Low,
}

/// What the machine wants done or has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Put these bytes on the line.
    Write(Vec<u8>),
    /// A block was received (doubled DLE undone) and acknowledged.
    Received(Vec<u8>),
    /// The block that was given to send is acknowledged.
    Sent,
    /// The block could not be sent in 6 attempts.
    Failed,
    /// So many bytes that belong to no block, or a block with a wrong check.
    Noise(usize),
}

/// One end of a line.
#[derive(Debug)]
pub struct Link {
    priority: Priority,
}

impl Link {
    /// An idle line.
    #[must_use]
    pub const fn new(priority: Priority) -> Self {
        Self { priority }
    }

    /// Whether a block can be given to send.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        matches!(self.priority, Priority::High | Priority::Low)
    }

    /// Begins to send a block. `false` where one is still being sent: wait for `Sent` or `Failed`.
    pub fn send(&mut self, _block: &[u8], _now_ms: u64, _out: &mut Vec<Outcome>) -> bool {
        false
    }

    /// Takes received bytes.
    pub fn receive(&mut self, _bytes: &[u8], _now_ms: u64, _out: &mut Vec<Outcome>) {}

    /// Lets time pass: acts on time-outs. Call it at [`deadline`](Self::deadline).
    pub fn tick(&mut self, _now_ms: u64, _out: &mut Vec<Outcome>) {}

    /// When `tick` is needed next, in the same milliseconds; `None` where nothing is awaited.
    #[must_use]
    pub const fn deadline(&self) -> Option<u64> {
        None
    }
}
