//! Anything that the MES may publish as a unit is heard or refused, and what is stored of it reads back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lineside::model::Moment;
use lineside::unit::{StationRule, UnitSource, Units};
use std::time::Duration;

fn units() -> Units {
    Units::new(vec![StationRule {
        station: "st10".into(),
        sources: vec![UnitSource::Mes, UnitSource::Device],
        pattern: None,
        late: Duration::from_secs(10),
    }])
}

fuzz_target!(|messages: Vec<(&[u8], u32)>| {
    let mut all = units();
    let mut now = 1_795_342_500_000_i64;
    for (payload, later) in messages {
        now += i64::from(later);
        all.mes_said("st10", payload, Moment::new(now, u64::from(later)));
    }
    for change in all.take_changes() {
        if let Some(value) = change.value {
            units().restore("st10", &value);
        }
    }
});
