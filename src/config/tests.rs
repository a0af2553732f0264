use super::*;
use crate::diagnostic::{Diagnostics, Source};
use std::path::Path;

const WHOLE: &str = r#"
[gateway]
id = "gw-body-07"
state_dir = "state"
profiles = "device-profiles"
web = "127.0.0.1:8087"
require_lock = false

[plant]
enterprise = "acme"
site = "leipzig"
area = "body"
line = "line-3"

[mqtt]
broker = "mqtt://127.0.0.1:1884"
version = "3.1.1"
username = "gw"
password_file = "mqtt.password"
inflight = 20
topic_prefix = "plant"
require_subscriber = true

[outbox]
max_bytes = "2GiB"
when_full = "drop_oldest"
max_age = "30d"
keep_sent = "0"

[[station]]
id = "st10"
unit_from = ["mes", "slot:scanner", "device"]
unit_pattern = "^[A-HJ-NPR-Z0-9]{17}$"
late = "10s"

[[station.slot]]
id = "spindle-1"
delivers = "tightening"
requires = ["torque", "torque.min"]

[[station.slot]]
id = "scanner"
delivers = ["identification", "alarm"]
disabled = true
"#;

fn load(text: &str) -> (Option<Config>, Diagnostics) {
    let source = Arc::new(Source {
        path: "gateway.toml".into(),
        text: text.into(),
    });
    let mut out = Diagnostics::new();
    let config = read(
        &source,
        Path::new("/etc/lineside"),
        &|path| !path.ends_with("gone.pem"),
        &mut out,
    );
    (config, out)
}

#[test]
fn every_key_is_read() {
    let (config, out) = load(WHOLE);
    assert!(out.is_empty(), "{}", out.render(false));
    let config = config.unwrap();
    assert_eq!(config.gateway.state_dir, Path::new("/etc/lineside/state"));
    assert_eq!(config.plant.topic_prefix, "plant");
    assert_eq!(
        (config.mqtt.port, config.mqtt.version, config.mqtt.inflight),
        (1884, MqttVersion::V311, 20)
    );
    assert_eq!(config.mqtt.client_id, "gw-body-07");
    assert_eq!(config.outbox.max_age, Some(Duration::from_hours(30 * 24)));
    let station = &config.stations[0];
    assert_eq!(
        station.unit_from,
        [UnitFrom::Mes, UnitFrom::Slot("scanner".into()), UnitFrom::Device]
    );
    assert_eq!(station.slots[1].delivers.len(), 2);
    assert!(station.slots[1].disabled);
}

#[test]
fn all_faults_are_told_at_once() {
    let text = WHOLE
        .replace(
            "[mqtt]\nbroker",
            "[mqtt]\nca_file = \"gone.pem\"\npassword = \"x\"\nbrokr",
        )
        .replace("max_age = \"30d\"", "max_age = \"30 days\"")
        .replace("id = \"scanner\"", "id = \"spindle-1\"")
        .replace("\"alarm\"]", "\"alarn\"]")
        .replace("id = \"st10\"", "id = \"unit\"")
        .replace("web = \"127.0.0.1:8087\"", "web = \"0.0.0.0:80\"")
        .replace("unit_pattern = \"^[A", "unit_pattern = \"^([A");
    let (config, out) = load(&text);
    assert!(config.is_none());
    let text = out.render(false);
    for part in [
        "there is no file `gone.pem`",
        "a password does not belong into gateway.toml",
        "unknown key `brokr`",
        "did you mean `broker`?",
        "[mqtt] needs `broker`",
        "`30 days` is not a time",
        "slot `spindle-1` stands twice",
        "there is no slot `scanner` at this station",
        "did you mean `alarm`?",
        "`unit` cannot be an id",
        "readable by everybody",
        "this is no regular expression",
    ] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
}

#[test]
fn a_password_needs_a_user_and_certificates_a_key() {
    let (_, out) = load(&WHOLE.replace("username = \"gw\"\n", ""));
    let text = out.render(false);
    assert!(text.contains("a password without a user name is not sent"), "{text}");
    let (_, out) = load(&WHOLE.replace("username", "cert_file = \"gw.pem\"\nusername"));
    let text = out.render(false);
    assert!(text.contains("`cert_file` goes with `key_file`"), "{text}");
    let (config, out) = load(&WHOLE.replace("username", "ca_file = \"ca.pem\"\nusername"));
    assert!(out.render(false).contains("without TLS"), "{}", out.render(false));
    let mqtt = config.unwrap().mqtt;
    let line = |key: &str| mqtt.place(key).map(|place| place.line_column().0);
    assert_eq!(line("ca_file"), line("password_file").map(|line| line - 2));
    assert!(line("key_file") < line("ca_file"), "[mqtt] itself");
}

#[test]
fn an_empty_file_says_what_is_needed() {
    let (config, out) = load("");
    assert!(config.is_none());
    let text = out.render(false);
    for part in ["needs `gateway`", "needs `plant`", "needs `mqtt`", "needs `station`"] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
}

#[test]
fn brokers_are_read() {
    let with = |broker: &str| {
        load(&WHOLE.replace("mqtt://127.0.0.1:1884", broker))
            .0
            .map(|c| (c.mqtt.host, c.mqtt.port, c.mqtt.tls))
    };
    assert_eq!(
        with("mqtts://mes.plant.example"),
        Some(("mes.plant.example".into(), 8883, true))
    );
    assert_eq!(with("mqtt://[::1]:1999"), Some(("::1".into(), 1999, false)));
    assert_eq!(with("mqtt://10.0.0.1/"), Some(("10.0.0.1".into(), 1883, false)));
    for bad in ["127.0.0.1", "http://x", "mqtt://", "mqtt://a:b", "mqtt://u@h"] {
        assert_eq!(with(bad), None, "{bad}");
    }
}

#[test]
fn what_means_nothing_is_a_warning_and_has_no_effect() {
    let text = WHOLE.replace("when_full = \"drop_oldest\"", "when_full = \"hold\"");
    let (config, out) = load(&text);
    assert!(!out.has_errors(), "{}", out.render(false));
    assert!(
        out.render(false).contains("`max_age` means nothing"),
        "{}",
        out.render(false)
    );
    assert_eq!(config.unwrap().outbox.max_age, None);
}
