//! `lineside contract`: what the MES may rely on, as files.

use super::{ConfigFile, INVALID, coloured, complain, print};
use crate::config::{Config, MqttVersion, UnitFrom};
use crate::contract::asyncapi::{Broker, Described, SlotDescribed, asyncapi};
use crate::contract::schema;
use crate::diagnostic::Diagnostics;
use crate::gateway::setup;
use crate::model::EventType;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// The folder that the files are written to; made where it is missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Machine-readable output
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let mut out = Diagnostics::new();
    let config = setup::configuration(&arguments.file.config, &mut out);
    let Some(config) = config else {
        if arguments.json {
            print(&format!("{:#}", json!({"ok": false, "diagnostics": out.to_json()})));
            return ExitCode::from(INVALID);
        }
        complain(&out.render(coloured()));
        return ExitCode::from(INVALID);
    };
    match write(&arguments.out, &config) {
        Ok(files) => {
            if arguments.json {
                let answer = json!({"ok": true, "files": files, "diagnostics": out.to_json()});
                print(&format!("{answer:#}"));
            } else {
                let schemas = files.len().saturating_sub(1);
                print(&format!(
                    "{schemas} schemas and asyncapi.json in {}",
                    arguments.out.display()
                ));
            }
            ExitCode::SUCCESS
        }
        Err(fault) => {
            complain(&format!("error: cannot write to {}: {fault}", arguments.out.display()));
            ExitCode::FAILURE
        }
    }
}

/// Writes every schema and the document; which files those are.
fn write(dir: &Path, config: &Config) -> std::io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(dir)?;
    let put = |path: PathBuf, value: &serde_json::Value| {
        std::fs::write(&path, format!("{value:#}\n"))?;
        Ok(path)
    };
    let schemas = EventType::ALL
        .iter()
        .map(|kind| put(dir.join(format!("{kind}.schema.json")), &schema(*kind)));
    let mut files = schemas.collect::<std::io::Result<Vec<PathBuf>>>()?;
    files.push(put(dir.join("asyncapi.json"), &asyncapi(&described(config)))?);
    Ok(files)
}

fn described(config: &Config) -> Described<'_> {
    let mqtt = &config.mqtt;
    let host = if mqtt.host.contains(':') {
        format!("[{}]:{}", mqtt.host, mqtt.port)
    } else {
        format!("{}:{}", mqtt.host, mqtt.port)
    };
    let told = config
        .stations
        .iter()
        .filter(|station| station.unit_from.contains(&UnitFrom::Mes));
    let used = config.slots().map(|(_, slot)| slot).filter(|slot| !slot.disabled);
    Described {
        gateway: &config.gateway.id,
        plant: &config.plant,
        broker: Broker {
            host,
            tls: mqtt.tls,
            version: match mqtt.version {
                MqttVersion::V5 => "5",
                MqttVersion::V311 => "3.1.1",
            },
            client_id: &mqtt.client_id,
            user: mqtt.username.is_some(),
            certificate: mqtt.identity.is_some(),
        },
        stations: told.map(|station| &*station.id).collect(),
        slots: used
            .map(|slot| SlotDescribed {
                name: &slot.name,
                delivers: slot.delivers.iter().map(|(kind, _)| *kind).collect(),
                requires: slot.requires.iter().map(|(name, _)| name.as_str()).collect(),
                values: slot
                    .values
                    .iter()
                    .map(|(name, uom, _)| (name.as_str(), uom.code().to_string()))
                    .collect(),
            })
            .collect(),
    }
}
