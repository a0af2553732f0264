//! `--fault`: what goes wrong with a virtual device, how often.
//!
//! Owns the words. What they are to a protocol, its device says.

use crate::diagnostic::tree::parse_duration;
use rand::Rng;
use std::time::Duration;

/// What goes wrong with an answer, a frame or a telegram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// It does not come.
    Drop,
    /// It comes later.
    Delay(Duration),
    /// It is refused with this exception (Modbus).
    Exception(u8),
    /// The connection is closed.
    Close,
    /// Only a part of it comes.
    Short,
    /// Bytes come that are none.
    Garbage,
    /// It comes twice.
    Duplicate,
    /// One byte of it is another.
    Garble,
}

impl Fault {
    const fn word(&self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Delay(_) => "delay",
            Self::Exception(_) => "exception",
            Self::Close => "close",
            Self::Short => "short",
            Self::Garbage => "garbage",
            Self::Duplicate => "duplicate",
            Self::Garble => "garble",
        }
    }
}

/// Faults on request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Faults {
    /// What goes wrong, and with which part of all.
    drawn: Vec<(Fault, f64)>,
    /// The device starts anew this often.
    pub(super) reboot: Option<Duration>,
    /// Revisions of the start of a session that are refused (Open Protocol).
    pub(super) refused: Vec<u16>,
    /// A refusal closes the connection (Open Protocol).
    pub(super) closes: bool,
}

const HELP: &str = "write drop=0.01, delay=200ms@0.05, exception=6@0.01, close=0.01, short=0.01, garbage=0.01, duplicate=0.01, \
                    garble=0.01, reboot=60s, refuse=6+5 or refuse-close=6+5, with commas between";

impl std::str::FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut faults = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || format!("`{part}` is no fault: {HELP}");
            let (name, value) = part.split_once('=').ok_or_else(wrong)?;
            if name == "reboot" {
                let period = parse_duration(value).filter(|period| !period.is_zero());
                faults.reboot = Some(period.ok_or_else(wrong)?);
                continue;
            }
            if let "refuse" | "refuse-close" = name {
                let revisions: Result<Vec<u16>, _> = value.split('+').map(str::parse).collect();
                faults.refused = revisions.map_err(|_| wrong())?;
                faults.closes = name == "refuse-close";
                continue;
            }
            let (what, rate) = match value.split_once('@') {
                Some((what, rate)) => (Some(what), rate),
                None => (None, value),
            };
            let rate = rate.parse::<f64>().ok().filter(|rate| (0.0..=1.0).contains(rate));
            let rate = rate.ok_or_else(|| format!("`{part}`: how often is a number from 0 to 1; {HELP}"))?;
            let fault = match (name, what) {
                ("drop", None) => Fault::Drop,
                ("close", None) => Fault::Close,
                ("short", None) => Fault::Short,
                ("garbage", None) => Fault::Garbage,
                ("duplicate", None) => Fault::Duplicate,
                ("garble", None) => Fault::Garble,
                ("delay", Some(time)) => Fault::Delay(parse_duration(time).ok_or_else(wrong)?),
                ("exception", Some(code)) => Fault::Exception(code.parse().map_err(|_| wrong())?),
                _ => return Err(wrong()),
            };
            faults.drawn.push((fault, rate));
        }
        Ok(faults)
    }
}

impl Faults {
    /// Whether anything is drawn at all.
    pub(super) fn draws(&self) -> bool {
        !self.drawn.is_empty()
    }

    /// Holds them against what a protocol knows.
    ///
    /// # Errors
    /// A sentence: it does not know one of them.
    pub(super) fn only(&self, protocol: &str, known: &[&str]) -> Result<(), String> {
        let refuses = (!self.refused.is_empty()).then_some("refuse");
        let named = self.drawn.iter().map(|(fault, _)| fault.word()).chain(refuses);
        match named.into_iter().find(|word| !known.contains(word)) {
            Some(word) => Err(format!(
                "--fault {word}: a device of {protocol} does not have that; it has {}",
                known.join(", ")
            )),
            None => Ok(()),
        }
    }

    /// What goes wrong with the next one.
    pub(super) fn draw(&self) -> Option<Fault> {
        let mut rng = rand::rng();
        self.drawn
            .iter()
            .find(|(_, rate)| rng.random_bool(*rate))
            .map(|(fault, _)| fault.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_or_refused_with_what_to_write() {
        let faults: Faults = "drop=0.01,delay=200ms@0.05,exception=6@0.01,reboot=60s,refuse-close=6+5"
            .parse()
            .unwrap();
        assert_eq!(faults.reboot, Some(Duration::from_mins(1)));
        assert_eq!((faults.refused.as_slice(), faults.closes), ([6, 5].as_slice(), true));
        assert_eq!(
            faults.drawn,
            [
                (Fault::Drop, 0.01),
                (Fault::Delay(Duration::from_millis(200)), 0.05),
                (Fault::Exception(6), 0.01)
            ]
        );
        for wrong in [
            "drop",
            "drop=2",
            "delay=0.1",
            "exception=x@0.1",
            "reboot=0s",
            "refuse=x",
            "flood=0.1",
        ] {
            let fault = wrong.parse::<Faults>().unwrap_err();
            assert!(fault.contains("drop=0.01"), "{fault}");
        }
        let always: Faults = "drop=1".parse().unwrap();
        assert_eq!(always.draw(), Some(Fault::Drop));
        let never: Faults = "drop=0".parse().unwrap();
        assert_eq!(never.draw(), None);
    }

    #[test]
    fn a_fault_that_a_protocol_does_not_have_is_refused() {
        let faults: Faults = "drop=0.1,exception=6@0.1".parse().unwrap();
        assert_eq!(faults.only("modbus-tcp", &["drop", "exception"]), Ok(()));
        let fault = faults.only("serial", &["drop", "garble"]).unwrap_err();
        assert!(fault.contains("exception") && fault.contains("garble"), "{fault}");
    }
}
