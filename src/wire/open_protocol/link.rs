//! The link layer: sequence numbers, MID 9997 and MID 9998 (specification 2.2.5, 3.2.2).
//!
//! Owns their numbers and bytes. Does not own counters or repetition; those are the driver's.

use super::Telegram;

/// MID of a positive acknowledgement.
pub const ACK: u16 = 9997;
/// MID of a refusal.
pub const NACK: u16 = 9998;

/// What a refusal (9998) complains of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Complaint {
    /// 0001: the length does not fit.
    Length,
    /// 0002: the revision is not known.
    Revision,
    /// 0003: not the sequence number that was expected.
    Sequence,
    /// 0004: parts that do not belong together.
    Parts,
    /// Any other code.
    Other(u16),
}

impl Complaint {
    /// Its code, 4 digits on the wire.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Length => 1,
            Self::Revision => 2,
            Self::Sequence => 3,
            Self::Parts => 4,
            Self::Other(code) => code,
        }
    }

    /// The one with this code.
    #[must_use]
    pub const fn of(code: u16) -> Self {
        match code {
            1 => Self::Length,
            2 => Self::Revision,
            3 => Self::Sequence,
            4 => Self::Parts,
            other => Self::Other(other),
        }
    }

    /// What it means.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Length => "invalid length",
            Self::Revision => "invalid revision",
            Self::Sequence => "wrong sequence number",
            Self::Parts => "inconsistent parts of a linked message",
            Self::Other(_) => "a code that the specification does not list",
        }
    }
}

/// Sequence numbers.
pub mod sequence {
    /// The number after this one: 01 to 99, then 01 again.
    #[must_use]
    pub const fn next(sequence: u8) -> u8 {
        if sequence >= 99 { 1 } else { sequence + 1 }
    }

    /// What a 9997 for a telegram with this number carries: the next one.
    #[must_use]
    pub const fn ack_of(received: u8) -> u8 {
        next(received)
    }

    /// Whether an acknowledgement with `carried` is for `sent`. 100 cannot be sent, so 00 and 01 both acknowledge 99.
    #[must_use]
    pub const fn acknowledges(carried: Option<u8>, sent: u8) -> bool {
        match carried {
            Some(carried) => carried == ack_of(sent),
            None => sent >= 99,
        }
    }
}

/// The 9997 for a telegram of this MID that carried this sequence number.
#[must_use]
pub fn ack(mid: u16, received: u8) -> Telegram {
    Telegram::new(ACK, 1)
        .with_data(format!("{mid:04}"))
        .with_sequence(Some(sequence::ack_of(received)))
}

/// The 9998 about a telegram of this MID; `expected` is the sequence number that should have come.
#[must_use]
pub fn nack(mid: u16, complaint: Complaint, expected: u8) -> Telegram {
    Telegram::new(NACK, 1)
        .with_data(format!("{mid:04}{:04}", complaint.code()))
        .with_sequence(Some(expected))
}

/// What a 9997 or 9998 says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The MID it speaks of.
    pub mid: u16,
    /// The sequence number in its header.
    pub sequence: Option<u8>,
    /// The complaint of a 9998; `None` of a 9997.
    pub complaint: Option<Complaint>,
}

/// Reads a 9997 or 9998; `None` for anything else and where no MID stands in it.
#[must_use]
pub fn answer(telegram: &Telegram) -> Option<Answer> {
    let complaint = match telegram.mid() {
        ACK => None,
        NACK => {
            let code = telegram.data.get(4..8).and_then(|b| std::str::from_utf8(b).ok());
            Some(Complaint::of(code.and_then(|c| c.trim().parse().ok()).unwrap_or(0)))
        }
        _ => return None,
    };
    Some(Answer {
        mid: telegram.about()?,
        sequence: telegram.header.sequence,
        complaint,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_from_99_to_1() {
        assert_eq!(sequence::next(98), 99);
        assert_eq!(sequence::next(99), 1);
        assert_eq!(sequence::ack_of(1), 2);
        assert!(sequence::acknowledges(Some(1), 99) && sequence::acknowledges(None, 99));
        assert!(!sequence::acknowledges(None, 1));
    }

    #[test]
    fn the_log_of_a_pf4000_is_reproduced() {
        // NOP: `S 00200042001001010200` is answered `R 00249997        03000042`.
        let sent = Telegram::parse(b"00200042001001010200").unwrap();
        assert_eq!(sent.header.sequence, Some(2));
        let heard = answer(&Telegram::parse(b"00249997        03000042").unwrap()).unwrap();
        assert_eq!((heard.mid, heard.sequence, heard.complaint), (42, Some(3), None));
        let ours = ack(42, 2);
        assert_eq!(answer(&ours), Some(heard));
    }

    #[test]
    fn vectors_t12() {
        let ack = Telegram::parse(b"00249997001         0061").unwrap();
        assert_eq!(answer(&ack).map(|a| (a.mid, a.complaint)), Some((61, None)));
        let refusal = Telegram::parse(b"00289998            00610003").unwrap();
        let heard = answer(&refusal).unwrap();
        assert_eq!((heard.mid, heard.complaint), (61, Some(Complaint::Sequence)));
        assert_eq!(nack(61, Complaint::Sequence, 7).data, b"00610003");
        assert_eq!(answer(&Telegram::new(5, 1).with_data("0061")), None);
    }
}
