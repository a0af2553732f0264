//! Linked messages: parts 1 to 9 of one message put together (specification 2.2.6).
//!
//! Owns their order. Does not own the refusal on the wire ([`super::link::nack`]).

use super::{Fault, Telegram};

/// Puts the parts of linked messages together. At most 9 parts of 9979 bytes wait.
#[derive(Debug, Default)]
pub struct Joiner {
    waiting: Option<Telegram>,
}

impl Joiner {
    /// Nothing waits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a telegram: gives it back whole when it is not linked or the last part; `None` where parts are still to come.
    ///
    /// The joined one has the header of part 1, with `parts` and `part` 0. A telegram that is not linked may come between parts.
    ///
    /// # Errors
    /// A part out of order or of another message ([`Fault::Parts`], error code 0004): what waited is forgotten.
    pub fn take(&mut self, telegram: Telegram) -> Result<Option<Telegram>, Fault> {
        let head = telegram.header;
        if !head.is_linked() {
            return Ok(Some(telegram));
        }
        let fault = Fault::Parts {
            mid: head.mid,
            part: head.part,
            parts: head.parts,
        };
        if head.part == 0 || head.part > head.parts {
            self.waiting = None;
            return Err(fault);
        }
        let whole = match self.waiting.take() {
            // Part 1 again is a new beginning: the peer has reconnected or gave the message up.
            _ if head.part == 1 => telegram,
            Some(mut before)
                if before.header.mid == head.mid
                    && before.header.revision == head.revision
                    && before.header.parts == head.parts
                    && before.header.part.checked_add(1) == Some(head.part) =>
            {
                before.data.extend_from_slice(&telegram.data);
                before.binary.extend_from_slice(&telegram.binary);
                before.header.part = head.part;
                before
            }
            _ => return Err(fault),
        };
        if head.part == head.parts {
            let mut whole = whole;
            whole.header.parts = 0;
            whole.header.part = 0;
            return Ok(Some(whole));
        }
        self.waiting = Some(whole);
        Ok(None)
    }

    /// Whether parts are still to come.
    #[must_use]
    pub const fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Forgets what waits, after a reconnect.
    pub fn clear(&mut self) {
        self.waiting = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(mid: u16, part: u8, parts: u8, data: &str) -> Telegram {
        let mut telegram = Telegram::new(mid, 2).with_data(data);
        telegram.header.parts = parts;
        telegram.header.part = part;
        telegram
    }

    #[test]
    fn parts_are_joined_in_order() {
        let mut joiner = Joiner::new();
        assert_eq!(joiner.take(part(61, 1, 3, "ab")), Ok(None));
        let between = Telegram::new(9999, 1);
        assert_eq!(joiner.take(between.clone()), Ok(Some(between)));
        assert_eq!(joiner.take(part(61, 2, 3, "cd")), Ok(None));
        assert!(joiner.is_waiting());
        let whole = joiner.take(part(61, 3, 3, "ef")).unwrap().unwrap();
        assert_eq!(whole, Telegram::new(61, 2).with_data("abcdef"));
        assert!(!joiner.is_waiting());
    }

    #[test]
    fn inconsistent_parts_are_a_fault() {
        let mut joiner = Joiner::new();
        for wrong in [part(61, 2, 3, "x"), part(65, 2, 2, "x"), part(61, 2, 2, "x")] {
            joiner.clear();
            if wrong.header.parts == 2 {
                assert_eq!(joiner.take(part(61, 1, 3, "ab")), Ok(None));
            }
            assert!(matches!(joiner.take(wrong), Err(Fault::Parts { .. })));
            assert!(!joiner.is_waiting());
        }
        assert!(joiner.take(part(61, 0, 3, "x")).is_err());
        assert!(joiner.take(part(61, 4, 3, "x")).is_err());
    }

    #[test]
    fn a_first_part_again_begins_anew() {
        let mut joiner = Joiner::new();
        assert_eq!(joiner.take(part(61, 1, 2, "old")), Ok(None));
        assert_eq!(joiner.take(part(61, 1, 2, "new")), Ok(None));
        let whole = joiner.take(part(61, 2, 2, "er")).unwrap().unwrap();
        assert_eq!(whole.data, b"newer");
    }
}
