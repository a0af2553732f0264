//! Siemens 3964R: one block at a time over a serial line, with acknowledgement and block check.
//!
//! Owns the procedure of both sides as a machine without a line and without a clock: bytes and milliseconds in,
//! bytes and outcomes out. Specification 2.1 gives the times and 6 attempts; DLE doubling and the priority of a
//! conflict are standard 3964R.

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
const DLE: u8 = 0x10;
const NAK: u8 = 0x15;

/// How long the other side may take to answer, milliseconds.
pub const ACK_MS: u64 = 2_000;
/// Longest pause between two characters of a block, milliseconds.
pub const CHARACTER_MS: u64 = 100;
/// How often a block is tried.
pub const ATTEMPTS: u8 = 6;
/// Longest block: the longest telegram with its NUL.
const MOST: usize = 10_000;

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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// STX is sent, its DLE awaited.
    Opening {
        until: u64,
    },
    /// The block is sent, its DLE awaited.
    Closing {
        until: u64,
    },
    /// A block comes in.
    Receiving {
        until: u64,
        phase: Phase,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Text,
    /// A DLE came: its twin or ETX follows.
    Escape,
    /// ETX came: the check follows.
    Check,
}

/// One end of a line.
#[derive(Debug)]
pub struct Link {
    priority: Priority,
    state: State,
    /// What is to be sent, and how often that was tried.
    pending: Option<(Vec<u8>, u8)>,
    block: Vec<u8>,
    check: u8,
}

impl Link {
    /// An idle line.
    #[must_use]
    pub const fn new(priority: Priority) -> Self {
        Self {
            priority,
            state: State::Idle,
            pending: None,
            block: Vec::new(),
            check: 0,
        }
    }

    /// Whether a block can be given to send.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.pending.is_none()
    }

    /// Begins to send a block; while one comes in, after it. `false` where one is still being sent: wait for `Sent`
    /// or `Failed`.
    pub fn send(&mut self, block: &[u8], now_ms: u64, out: &mut Vec<Outcome>) -> bool {
        if self.pending.is_some() {
            return false;
        }
        self.pending = Some((block.to_vec(), 0));
        if self.state == State::Idle {
            self.open(now_ms, out);
        }
        true
    }

    /// Takes received bytes.
    pub fn receive(&mut self, bytes: &[u8], now_ms: u64, out: &mut Vec<Outcome>) {
        let mut noise = 0;
        for byte in bytes {
            if !self.byte(*byte, now_ms, out) {
                noise += 1;
            }
        }
        if noise > 0 {
            out.push(Outcome::Noise(noise));
        }
    }

    /// Lets time pass: acts on time-outs. Call it at [`deadline`](Self::deadline).
    pub fn tick(&mut self, now_ms: u64, out: &mut Vec<Outcome>) {
        if self.deadline().is_none_or(|until| now_ms < until) {
            return;
        }
        match self.state {
            State::Receiving { .. } => self.refuse(now_ms, out),
            State::Opening { .. } | State::Closing { .. } => self.again(now_ms, out),
            State::Idle => {}
        }
    }

    /// When `tick` is needed next, in the same milliseconds; `None` where nothing is awaited.
    #[must_use]
    pub const fn deadline(&self) -> Option<u64> {
        match self.state {
            State::Idle => None,
            State::Opening { until } | State::Closing { until } | State::Receiving { until, .. } => Some(until),
        }
    }

    /// Takes one byte; whether it belonged to something.
    fn byte(&mut self, byte: u8, now: u64, out: &mut Vec<Outcome>) -> bool {
        match self.state {
            State::Idle if byte == STX => self.accept(now, out),
            State::Idle => return false,
            State::Opening { .. } => match byte {
                DLE => {
                    let block = self
                        .pending
                        .as_ref()
                        .map(|(block, _)| framed(block))
                        .unwrap_or_default();
                    out.push(Outcome::Write(block));
                    self.state = State::Closing { until: now + ACK_MS };
                }
                // Both began: the low one receives and tries its own afterwards, the high one goes on waiting.
                STX if self.priority == Priority::Low => {
                    if let Some((_, tried)) = &mut self.pending {
                        *tried = tried.saturating_sub(1);
                    }
                    self.accept(now, out);
                }
                STX => {}
                _ => {
                    self.again(now, out);
                    return byte == NAK;
                }
            },
            State::Closing { .. } => {
                if byte == DLE {
                    self.pending = None;
                    self.state = State::Idle;
                    out.push(Outcome::Sent);
                } else {
                    self.again(now, out);
                    return byte == NAK;
                }
            }
            State::Receiving { phase, .. } => self.incoming(byte, phase, now, out),
        }
        true
    }

    fn incoming(&mut self, byte: u8, phase: Phase, now: u64, out: &mut Vec<Outcome>) {
        let next = match phase {
            Phase::Check if byte == self.check => {
                out.push(Outcome::Write(vec![DLE]));
                out.push(Outcome::Received(std::mem::take(&mut self.block)));
                return self.resume(now, out);
            }
            Phase::Check => return self.refuse(now, out),
            Phase::Text if byte == DLE => Phase::Escape,
            Phase::Escape if byte == ETX => Phase::Check,
            Phase::Escape if byte != DLE => return self.refuse(now, out),
            Phase::Text | Phase::Escape => {
                if self.block.len() >= MOST {
                    return self.refuse(now, out);
                }
                self.block.push(byte);
                Phase::Text
            }
        };
        self.check ^= byte;
        self.state = State::Receiving {
            until: now + CHARACTER_MS,
            phase: next,
        };
    }

    /// The other side's STX: answers it.
    fn accept(&mut self, now: u64, out: &mut Vec<Outcome>) {
        self.block.clear();
        self.check = 0;
        out.push(Outcome::Write(vec![DLE]));
        // The first character may take as long as an answer.
        self.state = State::Receiving {
            until: now + ACK_MS,
            phase: Phase::Text,
        };
    }

    /// What came in is none: says so, and what it was.
    fn refuse(&mut self, now: u64, out: &mut Vec<Outcome>) {
        let lost = std::mem::take(&mut self.block).len();
        out.push(Outcome::Write(vec![NAK]));
        out.push(Outcome::Noise(lost + 1));
        self.resume(now, out);
    }

    /// Nothing comes in any more: sends what waits.
    fn resume(&mut self, now: u64, out: &mut Vec<Outcome>) {
        self.state = State::Idle;
        if self.pending.is_some() {
            self.open(now, out);
        }
    }

    fn open(&mut self, now: u64, out: &mut Vec<Outcome>) {
        if let Some((_, tried)) = &mut self.pending {
            *tried = tried.saturating_add(1);
        }
        out.push(Outcome::Write(vec![STX]));
        self.state = State::Opening { until: now + ACK_MS };
    }

    /// One attempt failed.
    fn again(&mut self, now: u64, out: &mut Vec<Outcome>) {
        self.state = State::Idle;
        if self.pending.as_ref().is_some_and(|(_, tried)| *tried < ATTEMPTS) {
            self.open(now, out);
        } else {
            self.pending = None;
            out.push(Outcome::Failed);
        }
    }
}

/// The bytes after STX and its DLE: DLE doubled, DLE ETX, and the XOR of all of them.
fn framed(block: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(block.len() + 3);
    for byte in block {
        out.push(*byte);
        if *byte == DLE {
            out.push(DLE);
        }
    }
    out.extend_from_slice(&[DLE, ETX]);
    let check = out.iter().fold(0, |check, byte| check ^ byte);
    out.push(check);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(out: &[Outcome]) -> Vec<u8> {
        out.iter()
            .filter_map(|o| match o {
                Outcome::Write(bytes) => Some(bytes.clone()),
                _ => None,
            })
            .flatten()
            .collect()
    }

    /// Carries bytes between two ends until both are silent.
    fn converse(a: &mut Link, b: &mut Link, first: Vec<Outcome>) -> (Vec<Outcome>, Vec<Outcome>) {
        let mut to_b = writes(&first);
        let (mut of_a, mut of_b) = (first, Vec::new());
        for _ in 0..50 {
            let mut out = Vec::new();
            b.receive(&to_b, 0, &mut out);
            let to_a = writes(&out);
            of_b.extend(out);
            let mut out = Vec::new();
            a.receive(&to_a, 0, &mut out);
            to_b = writes(&out);
            of_a.extend(out);
            if to_b.is_empty() {
                break;
            }
        }
        (of_a, of_b)
    }

    #[test]
    fn the_bytes_of_a_block_are_those_of_the_procedure() {
        assert_eq!(
            framed(b"A\x10B"),
            [b'A', 0x10, 0x10, b'B', 0x10, 0x03, b'A' ^ b'B' ^ 0x10 ^ 0x03]
        );
        let mut link = Link::new(Priority::High);
        let mut out = Vec::new();
        assert!(link.send(b"A", 0, &mut out) && !link.send(b"B", 0, &mut out));
        assert_eq!(out, [Outcome::Write(vec![STX])]);
        assert_eq!(link.deadline(), Some(ACK_MS));
        out.clear();
        link.receive(&[DLE], 10, &mut out);
        assert_eq!(out, [Outcome::Write(vec![b'A', DLE, ETX, b'A' ^ DLE ^ ETX])]);
        out.clear();
        link.receive(&[DLE], 20, &mut out);
        assert_eq!(out, [Outcome::Sent]);
        assert!(link.is_idle() && link.deadline().is_none());
    }

    #[test]
    fn six_attempts_then_it_has_failed() {
        let mut link = Link::new(Priority::High);
        let mut out = Vec::new();
        link.send(b"A", 0, &mut out);
        let mut now = 0;
        while let Some(until) = link.deadline() {
            link.tick(until - 1, &mut out);
            now = until;
            link.tick(now, &mut out);
        }
        assert_eq!(writes(&out), vec![STX; 6]);
        assert_eq!(out.last(), Some(&Outcome::Failed));
        assert_eq!(now, 6 * ACK_MS);
    }

    #[test]
    fn a_refused_block_is_sent_again() {
        let mut link = Link::new(Priority::High);
        let mut out = Vec::new();
        link.send(b"A", 0, &mut out);
        link.receive(&[DLE], 1, &mut out);
        link.receive(&[NAK], 2, &mut out);
        assert_eq!(writes(&out), [STX, b'A', DLE, ETX, b'A' ^ DLE ^ ETX, STX]);
        assert!(!out.iter().any(|o| matches!(o, Outcome::Noise(_))));
    }

    #[test]
    fn a_wrong_check_and_a_pause_are_refused() {
        let mut link = Link::new(Priority::Low);
        let mut out = Vec::new();
        link.receive(&[STX, b'A', DLE, ETX, 0], 0, &mut out);
        assert_eq!(writes(&out), [DLE, NAK]);
        assert!(out.contains(&Outcome::Noise(2)));
        out.clear();
        link.receive(&[STX, b'A'], 0, &mut out);
        link.tick(CHARACTER_MS - 1, &mut out);
        assert_eq!(writes(&out), [DLE]);
        link.tick(CHARACTER_MS, &mut out);
        assert_eq!(writes(&out), [DLE, NAK]);
    }

    #[test]
    fn when_both_begin_the_low_one_receives_first_and_then_sends() {
        let (mut high, mut low) = (Link::new(Priority::High), Link::new(Priority::Low));
        let (mut of_high, mut of_low) = (Vec::new(), Vec::new());
        high.send(b"from high", 0, &mut of_high);
        low.send(b"from low", 0, &mut of_low);
        // Both STX cross.
        let mut out = Vec::new();
        high.receive(&writes(&of_low), 1, &mut out);
        assert_eq!(out, []);
        let (of_high, of_low) = converse(&mut high, &mut low, of_high);
        assert!(of_low.contains(&Outcome::Received(b"from high".to_vec())));
        assert!(of_high.contains(&Outcome::Sent));
        assert!(of_high.contains(&Outcome::Received(b"from low".to_vec())));
        assert!(of_low.contains(&Outcome::Sent));
    }

    proptest::proptest! {
        #[test]
        fn any_block_arrives_as_it_was(block in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let (mut a, mut b) = (Link::new(Priority::High), Link::new(Priority::Low));
            let mut out = Vec::new();
            a.send(&block, 0, &mut out);
            let (of_a, of_b) = converse(&mut a, &mut b, out);
            proptest::prop_assert!(of_a.contains(&Outcome::Sent));
            proptest::prop_assert!(of_b.contains(&Outcome::Received(block)));
        }

        #[test]
        fn any_bytes_and_times_leave_it_usable(steps in proptest::collection::vec((proptest::num::u8::ANY, 0_u64..3_000), 0..200)) {
            let mut link = Link::new(Priority::Low);
            let mut out = Vec::new();
            let mut now = 0;
            for (byte, pause) in steps {
                now += pause;
                link.tick(now, &mut out);
                link.send(b"x", now, &mut out);
                link.receive(&[byte], now, &mut out);
            }
            for _ in 0..20 {
                now += ACK_MS;
                link.tick(now, &mut out);
            }
            proptest::prop_assert!(link.deadline().is_none());
            proptest::prop_assert!(link.is_idle());
        }
    }
}
