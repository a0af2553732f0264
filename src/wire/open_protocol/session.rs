//! The telegrams of a session: start, stop, subscriptions, acknowledgements, refusals and their words.
//!
//! Owns their bytes and tables (specification 1.3, 1.4, table 18). Does not own when they are sent.

use super::Telegram;

/// A classic subscription: one MID each for subscribing, acknowledging and unsubscribing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classic {
    /// Asks for it; the revision in its header picks the revision of the data.
    pub subscribe: u16,
    /// Acknowledges one data telegram.
    pub ack: u16,
    /// Ends it.
    pub unsubscribe: u16,
}

/// Data MID, subscribe, acknowledge, unsubscribe.
const CLASSIC: &[(u16, u16, u16, u16)] = &[
    (15, 14, 16, 17),
    (22, 21, 23, 24),
    (35, 34, 36, 37),
    (52, 51, 53, 54),
    (61, 60, 62, 63),
    (71, 70, 72, 73),
    (74, 70, 75, 73),
    (76, 70, 77, 73),
    (91, 90, 92, 93),
    (101, 100, 102, 103),
    (106, 105, 108, 109),
    (107, 105, 108, 109),
    (152, 151, 153, 154),
    (211, 210, 212, 213),
    (217, 216, 218, 219),
    (221, 220, 222, 223),
    (262, 261, 263, 264),
    (401, 400, 402, 403),
    (421, 420, 422, 423),
];

/// The classic subscription that brings this data MID; `None` where only the generic one (0008) does.
#[must_use]
pub fn classic(data_mid: u16) -> Option<Classic> {
    let row = CLASSIC.iter().find(|row| row.0 == data_mid)?;
    Some(Classic {
        subscribe: row.1,
        ack: row.2,
        unsubscribe: row.3,
    })
}

/// 0001: start, asking for this revision of 0002.
#[must_use]
pub fn start(revision: u16) -> Telegram {
    Telegram::new(1, revision)
}

/// 0003: stop.
#[must_use]
pub const fn stop() -> Telegram {
    Telegram::new(3, 1)
}

/// 9999: keep-alive.
#[must_use]
pub const fn keep_alive() -> Telegram {
    Telegram::new(9999, 0)
}

/// 0005: this MID is accepted.
#[must_use]
pub fn accepted(mid: u16) -> Telegram {
    Telegram::new(5, 0).with_data(format!("{mid:04}"))
}

/// 0004 revision 1: this MID is refused, with this code (two digits; revision 2 has three, `[OPI]`).
#[must_use]
pub fn refused(mid: u16, code: u16, revision: u16) -> Telegram {
    if revision >= 2 {
        return Telegram::new(4, revision).with_data(format!("{mid:04}{code:03}"));
    }
    Telegram::new(4, 0).with_data(format!("{mid:04}{code:02}"))
}

/// The classic acknowledgement of this data MID (0062 for 0061), or 0005 where there is none.
#[must_use]
pub fn acknowledge(data_mid: u16) -> Telegram {
    classic(data_mid).map_or_else(|| accepted(data_mid), |row| Telegram::new(row.ack, 0))
}

/// The classic subscription to this data MID in this revision.
#[must_use]
pub fn subscribe(data_mid: u16, revision: u16) -> Option<Telegram> {
    Some(Telegram::new(classic(data_mid)?.subscribe, revision))
}

/// The classic end of a subscription.
#[must_use]
pub fn unsubscribe(data_mid: u16) -> Option<Telegram> {
    Some(Telegram::new(classic(data_mid)?.unsubscribe, 1))
}

/// 0006: asks once for this MID.
#[must_use]
pub fn request(mid: u16, revision: u16, extra: &str) -> Telegram {
    generic(6, mid, revision, extra)
}

/// 0008: subscribes to this MID.
#[must_use]
pub fn subscribe_generic(mid: u16, revision: u16, extra: &str) -> Telegram {
    generic(8, mid, revision, extra)
}

/// 0009: ends that.
#[must_use]
pub fn unsubscribe_generic(mid: u16, revision: u16, extra: &str) -> Telegram {
    generic(9, mid, revision, extra)
}

fn generic(verb: u16, mid: u16, revision: u16, extra: &str) -> Telegram {
    let revision = revision.max(1);
    Telegram::new(verb, 1).with_data(format!("{mid:04}{revision:03}{:02}{extra}", extra.len()))
}

/// 0064: asks for the result of this tightening id in this revision of 0065; 0 is the latest.
#[must_use]
pub fn old_result(id: u64, revision: u16) -> Telegram {
    Telegram::new(64, revision).with_data(format!("{:010}", id.min(9_999_999_999)))
}

/// What a 0006, 0008 or 0009 asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The MID.
    pub mid: u16,
    /// Its revision.
    pub revision: u16,
    /// The extra data.
    pub extra: String,
}

/// Reads a 0006, 0008 or 0009; an extra length that disagrees with the data is passed over.
#[must_use]
pub fn asked(telegram: &Telegram) -> Option<Asked> {
    let number = |from: usize, to: usize| -> Option<u16> {
        std::str::from_utf8(telegram.data.get(from..to)?)
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    Some(Asked {
        mid: number(0, 4)?,
        revision: number(4, 7).unwrap_or(1).max(1),
        extra: String::from_utf8_lossy(telegram.data.get(9..).unwrap_or_default()).into_owned(),
    })
}

/// What a 0004 says: the MID that was refused and the code.
#[must_use]
pub fn refusal(telegram: &Telegram) -> Option<(u16, u16)> {
    let code = std::str::from_utf8(telegram.data.get(4..)?).ok()?.trim();
    Some((telegram.about()?, code.parse().ok()?))
}

/// Codes of a 0004 that mean "it is so already" when subscribing again.
#[must_use]
pub const fn is_already(code: u16) -> bool {
    matches!(code, 6 | 9 | 11 | 13 | 18 | 43 | 50 | 71)
}

/// Codes of a 0004 that mean "not in this revision": ask for a lower one.
#[must_use]
pub const fn is_revision_refusal(code: u16) -> bool {
    matches!(code, 74 | 76 | 79 | 97)
}

/// What a code of a 0004 means.
#[must_use]
pub fn error_text(code: u16) -> &'static str {
    ERRORS
        .iter()
        .find(|(known, _)| *known == code)
        .map_or("a code that the specification does not list", |(_, text)| text)
}

/// Codes of a 0004 (specification table 18; 100 and up `[OPI]`).
pub const ERRORS: &[(u16, &str)] = &[(0, "no error")];
