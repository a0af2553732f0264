//! Nothing is told in normal weeks.

use super::week::Line;
use crate::drift::Drift;

/// Line-weeks of a tool, and of a machine beside it.
const TOOLS: u64 = 50;
const MACHINES: u64 = 5;

#[test]
fn no_alarm_in_normal_weeks_of_tools() {
    let (mut results, mut faults) = (0_u32, Vec::new());
    for seed in 0..TOOLS {
        let mut drift = Drift::default();
        // Some lines are watched for longer.
        let weeks = if seed % 25 == 0 { 3 } else { 1 };
        Line::new(seed).weeks(weeks, &mut |draft| {
            results += 1;
            for finding in drift.said(&draft) {
                faults.push(format!(
                    "seed {seed}, {}: {} {}: {}",
                    draft.seen.rfc3339(),
                    finding.code,
                    finding.active,
                    finding.text
                ));
            }
            true
        });
    }
    assert!(results > 80_000, "{results}");
    assert!(
        faults.is_empty(),
        "{} of {results}:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

#[test]
fn no_alarm_in_normal_weeks_of_machines() {
    let mut faults = Vec::new();
    for seed in 0..MACHINES {
        let mut drift = Drift::default();
        Line::new(seed).machine(2, &mut |draft| {
            for finding in drift.said(&draft) {
                faults.push(format!(
                    "seed {seed}, {}: {} {}",
                    draft.seen.rfc3339(),
                    finding.code,
                    finding.text
                ));
            }
            true
        });
    }
    assert!(faults.is_empty(), "{}:\n{}", faults.len(), faults.join("\n"));
}
