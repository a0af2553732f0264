//! `--fault`: what goes wrong with a virtual device, how often.

use crate::device::modbus::simulator::Fault;
use crate::diagnostic::tree::parse_duration;
use rand::Rng;
use std::time::Duration;

/// Faults on request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Faults {
    /// What goes wrong with an answer, and with which part of them.
    answers: Vec<(Fault, f64)>,
    /// The device starts anew this often.
    pub(super) reboot: Option<Duration>,
}

const HELP: &str = "write drop=0.01, delay=200ms@0.05, exception=6@0.01, close=0.01, short=0.01, garbage=0.01 or reboot=60s, \
                    with commas between";

impl std::str::FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut faults = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || format!("`{part}` is no fault: {HELP}");
            let (name, value) = part.split_once('=').ok_or_else(wrong)?;
            let (what, rate) = match value.split_once('@') {
                Some((what, rate)) => (Some(what), rate),
                None => (None, value),
            };
            if name == "reboot" {
                let period = parse_duration(value).filter(|period| !period.is_zero());
                faults.reboot = Some(period.ok_or_else(wrong)?);
                continue;
            }
            let rate = rate.parse::<f64>().ok().filter(|rate| (0.0..=1.0).contains(rate));
            let rate = rate.ok_or_else(|| format!("`{part}`: how often is a number from 0 to 1; {HELP}"))?;
            let fault = match (name, what) {
                ("drop", None) => Fault::Silence,
                ("close", None) => Fault::Close,
                ("short", None) => Fault::Short,
                ("garbage", None) => Fault::Garbage(vec![0x55; 9]),
                ("delay", Some(time)) => Fault::Delay(parse_duration(time).ok_or_else(wrong)?),
                ("exception", Some(code)) => Fault::Exception(code.parse().map_err(|_| wrong())?),
                _ => return Err(wrong()),
            };
            faults.answers.push((fault, rate));
        }
        Ok(faults)
    }
}

impl Faults {
    /// Whether answers go wrong at all.
    pub(super) fn touches_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// What goes wrong with the next answer.
    pub(super) fn draw(&self) -> Option<Fault> {
        let mut rng = rand::rng();
        self.answers
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
        let faults: Faults = "drop=0.01,delay=200ms@0.05,exception=6@0.01,reboot=60s"
            .parse()
            .unwrap();
        assert_eq!(faults.reboot, Some(Duration::from_mins(1)));
        assert_eq!(
            faults.answers,
            [
                (Fault::Silence, 0.01),
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
            "flood=0.1",
        ] {
            let fault = wrong.parse::<Faults>().unwrap_err();
            assert!(fault.contains("drop=0.01"), "{fault}");
        }
        let always: Faults = "drop=1".parse().unwrap();
        assert_eq!(always.draw(), Some(Fault::Silence));
        let never: Faults = "drop=0".parse().unwrap();
        assert_eq!(never.draw(), None);
    }
}
