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
pub const ERRORS: &[(u16, &str)] = &[
    (0, "no error"),
    (1, "invalid data"),
    (2, "parameter set id not present"),
    (3, "parameter set cannot be set"),
    (4, "parameter set not running"),
    (6, "VIN upload subscription already exists"),
    (7, "VIN upload subscription does not exist"),
    (8, "VIN input source not granted"),
    (9, "last tightening result subscription already exists"),
    (10, "last tightening result subscription does not exist"),
    (11, "alarm subscription already exists"),
    (12, "alarm subscription does not exist"),
    (13, "parameter set selection subscription already exists"),
    (14, "parameter set selection subscription does not exist"),
    (15, "tightening id requested not found"),
    (16, "connection rejected, protocol busy"),
    (17, "job id not present"),
    (18, "job info subscription already exists"),
    (19, "job info subscription does not exist"),
    (20, "job cannot be set"),
    (21, "job not running"),
    (22, "not possible to execute dynamic job request"),
    (23, "job batch decrement failed"),
    (24, "not possible to create parameter set"),
    (25, "programming control not granted"),
    (26, "wrong tool type for parameter set"),
    (27, "tool is inaccessible"),
    (28, "job abortion is in progress"),
    (30, "controller is not a sync master or station controller"),
    (31, "multi-spindle status subscription already exists"),
    (32, "multi-spindle status subscription does not exist"),
    (33, "multi-spindle result subscription already exists"),
    (34, "multi-spindle result subscription does not exist"),
    (35, "other master client already connected"),
    (40, "job line control info subscription already exists"),
    (41, "job line control info subscription does not exist"),
    (42, "identifier input source not granted"),
    (43, "multiple identifiers subscription already exists"),
    (44, "multiple identifiers subscription does not exist"),
    (50, "status of monitored inputs subscription already exists"),
    (51, "status of monitored inputs subscription does not exist"),
    (52, "IO device not connected"),
    (53, "faulty IO device id"),
    (54, "tool tag id unknown"),
    (55, "tool tag id subscription already exists"),
    (56, "tool tag id subscription does not exist"),
    (57, "tool motor tuning failed"),
    (58, "no alarm present"),
    (59, "tool currently in use"),
    (60, "no histogram available"),
    (61, "pairing with the tool failed or was denied"),
    (62, "pairing with the tool failed or was denied"),
    (63, "pairing with the tool failed or was denied"),
    (64, "pairing with the tool failed or was denied"),
    (65, "pairing with the tool failed or was denied"),
    (66, "pairing with the tool failed or was denied"),
    (67, "pairing with the tool failed or was denied"),
    (68, "pairing with the tool failed or was denied"),
    (69, "unsupported extra data revision"),
    (70, "calibration failed"),
    (71, "subscription already exists"),
    (72, "subscription does not exist"),
    (73, "subscribed MID unsupported"),
    (74, "subscribed MID revision unsupported"),
    (75, "requested MID unsupported"),
    (76, "requested MID revision unsupported"),
    (77, "requested on specific data not supported"),
    (78, "subscription on specific data not supported"),
    (79, "command failed"),
    (80, "Audi emergency status subscription exists"),
    (81, "Audi emergency status subscription does not exist"),
    (82, "automatic/manual mode subscription already exists"),
    (83, "automatic/manual mode subscription does not exist"),
    (84, "relay function subscription already exists"),
    (85, "relay function subscription does not exist"),
    (86, "selector socket info subscription already exists"),
    (87, "selector socket info subscription does not exist"),
    (88, "digital input info subscription already exists"),
    (89, "digital input info subscription does not exist"),
    (90, "lock at batch done subscription already exists"),
    (91, "lock at batch done subscription does not exist"),
    (92, "Open Protocol commands disabled"),
    (93, "Open Protocol commands disabled subscription already exists"),
    (94, "Open Protocol commands disabled subscription does not exist"),
    (95, "reject request, PowerMACS is in manual mode"),
    (96, "client already connected"),
    (97, "MID revision unsupported"),
    (98, "controller internal request time-out"),
    (99, "unknown MID"),
    (100, "illegal PID"),
    (101, "tightening in progress"),
    (102, "delete not possible"),
    (103, "illegal program id"),
    (104, "illegal node type"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(telegram: &Telegram) -> String {
        String::from_utf8(telegram.encode())
            .unwrap()
            .trim_end_matches('\0')
            .to_owned()
    }

    #[test]
    fn vectors_of_a_session() {
        assert_eq!(bytes(&start(3)), "00200001003         ");
        assert_eq!(bytes(&subscribe(61, 2).unwrap()), "00200060002         ");
        assert_eq!(bytes(&acknowledge(61)), "00200062            ");
        assert_eq!(bytes(&keep_alive()), "00209999            ");
        assert_eq!(bytes(&accepted(18)), "00240005            0018");
        assert_eq!(bytes(&refused(18, 2, 1)), "00260004            001802");
        assert_eq!(bytes(&refused(18, 21, 2)), "00270004002         0018021");
        assert_eq!(bytes(&old_result(0, 1)), "00300064001         0000000000");
        let extra = format!("{:29}01001", "");
        let traces = subscribe_generic(900, 1, &format!("0{extra}"));
        assert_eq!(bytes(&traces), format!("00640008001         0900001350{extra}"));
        assert_eq!(unsubscribe_generic(900, 1, "01001").data, b"09000010501001");
        assert_eq!(request(902, 1, "").data, b"090200100");
        assert_eq!(bytes(&stop()), "00200003001         ");
        assert_eq!(acknowledge(900).data, b"0900");
        assert_eq!(unsubscribe(61).unwrap().mid(), 63);
        assert_eq!(subscribe(900, 1), None);
    }

    #[test]
    fn refusals_are_read_in_both_revisions() {
        assert_eq!(refusal(&refused(18, 97, 1)), Some((18, 97)));
        assert_eq!(refusal(&refused(18, 104, 2)), Some((18, 104)));
        assert_eq!(refusal(&Telegram::new(4, 1).with_data("00")), None);
        assert_eq!(error_text(97), "MID revision unsupported");
        assert_eq!(error_text(29), "a code that the specification does not list");
        assert!([6, 9, 11, 13, 18, 43, 50, 71].into_iter().all(is_already) && !is_already(97));
        assert!([97, 74, 76, 79].into_iter().all(is_revision_refusal) && !is_revision_refusal(99));
    }

    #[test]
    fn every_classic_subscription_is_found_by_its_data() {
        for row in CLASSIC {
            let classic = classic(row.0).unwrap();
            assert_eq!(
                (classic.subscribe, classic.ack, classic.unsubscribe),
                (row.1, row.2, row.3)
            );
        }
        assert_eq!(classic(1201), None);
    }

    #[test]
    fn what_was_asked_for_is_read() {
        let asked = asked(&subscribe_generic(1201, 3, "0")).unwrap();
        assert_eq!((asked.mid, asked.revision, asked.extra.as_str()), (1201, 3, "0"));
        assert_eq!(super::asked(&Telegram::new(8, 1).with_data("12x1")), None);
    }
}
