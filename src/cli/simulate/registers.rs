//! A virtual device of registers on the stage: how it is reached, and what goes wrong with its answers.
//!
//! Owns no results ([`super::device`]).

use super::device::Device;
use super::faults::Fault;
use super::memory::Home;
use super::{Arguments, Serving, Virtual, cannot, describe, is_port, served, stage};
use crate::device::modbus::simulator::{Fault as Spoilt, Simulator};
use crate::model::SlotName;
use crate::model::plan::{Link, ModbusLink, ModbusTransport};
use crate::profile::Profile;
use std::sync::Arc;
use std::time::Duration;

/// How often its life sign beats, in scans.
const BEAT: u64 = 25;
/// How often live values move, in scans.
const DRIFT: u64 = 100;
/// What can go wrong with an answer.
const FAULTS: &[&str] = &["drop", "delay", "exception", "close", "short", "garbage"];

pub(super) async fn simulate(arguments: &Arguments, profile: Profile, every: Option<Duration>) -> Result<(), String> {
    let plan = profile.plan(&SlotName::new("no-station", "no-slot"));
    let Link::Modbus(link) = &plan.link else { return Ok(()) };
    arguments.fault.only(profile.protocol(), FAULTS)?;
    let server = arguments.server_id.unwrap_or(link.server_id);
    let (simulator, at, serving) = listen(arguments, link, server).await?;
    let who = match link.transport {
        ModbusTransport::Tcp => ", every server identifier".to_owned(),
        _ => format!(", server {server}"),
    };
    let introduced = describe(&profile, &plan, &at, &who);
    if arguments.fault.draws() {
        let faults = arguments.fault.clone();
        simulator.judge(move |_, _| faults.draw().as_ref().and_then(spoilt));
    }
    let home = Home::Registers(simulator);
    let mut device = Device::new(Arc::new(profile), home, arguments.nok_rate, every, arguments.no_wait);
    stage(arguments, &mut device, every, &introduced, serving).await
}

fn spoilt(fault: &Fault) -> Option<Spoilt> {
    match fault {
        Fault::Drop => Some(Spoilt::Silence),
        Fault::Delay(by) => Some(Spoilt::Delay(*by)),
        Fault::Exception(code) => Some(Spoilt::Exception(*code)),
        Fault::Close => Some(Spoilt::Close),
        Fault::Short => Some(Spoilt::Short),
        Fault::Garbage => Some(Spoilt::Garbage(vec![0x55; 9])),
        Fault::Duplicate | Fault::Garble => None,
    }
}

/// Listens, in the profile's own transport. Where, and what serves.
async fn listen(arguments: &Arguments, link: &ModbusLink, server: u8) -> Result<(Simulator, String, Serving), String> {
    let at = arguments.listen.as_str();
    match &link.transport {
        ModbusTransport::Tcp => {
            let (simulator, local, serve) = Simulator::bind(at).await.map_err(|fault| cannot(at, &fault))?;
            Ok((simulator, local.to_string(), served(serve)))
        }
        ModbusTransport::RtuOverTcp => {
            let bound = Simulator::bind_line(at, server).await;
            let (simulator, local, serve) = bound.map_err(|fault| cannot(at, &fault))?;
            Ok((simulator, local.to_string(), served(serve)))
        }
        ModbusTransport::Rtu(settings) => {
            is_port(at)?;
            let simulator = Simulator::new();
            let serve = simulator.serve_port(at, settings, server).await?;
            let path = at.to_owned();
            let serving = async move {
                match serve.await {
                    Ok(()) => Err(format!("{path} is gone")),
                    Err(fault) => Err(format!("{path}: {fault}")),
                }
            };
            Ok((simulator, at.to_owned(), Box::pin(serving)))
        }
    }
}

impl Virtual for Device {
    async fn scan(&mut self, scans: u64) -> Vec<String> {
        if scans.is_multiple_of(DRIFT) {
            self.drift();
        }
        Device::scan(self, scans.is_multiple_of(BEAT))
    }

    async fn next(&mut self, verdict: Option<bool>, all: bool) -> Vec<String> {
        Device::next(self, verdict, all)
    }

    async fn reboot(&mut self) -> String {
        Device::reboot(self)
    }

    fn set(&mut self, name: &str, text: &str) -> Result<String, String> {
        Device::set(self, name, text)
    }

    fn show(&self) -> String {
        Device::show(self)
    }

    fn summary(&self) -> String {
        Device::summary(self)
    }

    async fn typed(&mut self, _words: &[&str]) -> Option<Vec<String>> {
        None
    }

    fn words(&self) -> &'static str {
        ""
    }
}
