//! Numbers of variable data fields (PIDs), their names and units (specification 6.4; 30200 and up are MTF6000's own).

use super::codes;
use crate::wire::open_protocol::layout::Words;

/// A PID that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pid {
    /// Its number.
    pub number: u32,
    /// Name of the field: that of 0061 where the meaning is the same.
    pub name: &'static str,
    /// Where it is a code.
    pub words: Option<&'static Words>,
}

const fn pid(number: u32, name: &'static str) -> Pid {
    Pid {
        number,
        name,
        words: None,
    }
}

const fn code(number: u32, name: &'static str, words: &'static Words) -> Pid {
    Pid {
        number,
        name,
        words: Some(words),
    }
}

/// Every one, in the order of their numbers.
pub static PIDS: &[Pid] = &[
    code(1, "tightening_status", &codes::VERDICT),
    pid(2, "station_id"),
    pid(3, "station_name"),
    pid(10, "vin_number"),
    pid(11, "identifier_result_part_2"),
    pid(12, "identifier_result_part_3"),
    pid(13, "identifier_result_part_4"),
    pid(30, "tightening_id"),
    pid(50, "oldest_result_id"),
    pid(51, "latest_result_id"),
    pid(100, "batch_size"),
    pid(101, "batch_counter"),
    code(102, "batch_status", &codes::BATCH),
    pid(1000, "parameter_set_number"),
    pid(1001, "parameter_set_name"),
    pid(1002, "strategy"),
    pid(1037, "tightening_error_status"),
    pid(1038, "tightening_error_status_2"),
    code(1039, "result_type", &codes::RESULT_TYPE),
    pid(1100, "controller_name"),
    pid(1101, "controller_number"),
    pid(1102, "controller_type"),
    pid(1103, "controller_article_number"),
    pid(1104, "controller_serial_number"),
    pid(1200, "tool_type"),
    pid(1201, "tool_article_number"),
    pid(1202, "tool_serial_number"),
    pid(1203, "tool_model"),
    pid(1300, "bolt_name"),
    pid(1301, "bolt_number"),
    code(1302, "bolt_status", &codes::VERDICT),
    code(1400, "object_status", &codes::VERDICT),
    pid(1401, "object_error_code"),
    code(1402, "torque_status", &codes::LIMIT),
    code(1403, "angle_status", &codes::LIMIT),
    code(1404, "rundown_angle_status", &codes::LIMIT),
    pid(1500, "job_id"),
    pid(1501, "job_sequence_number"),
    pid(2000, "torque_final_target"),
    pid(2001, "torque"),
    pid(2002, "torque_max_limit"),
    pid(2003, "torque_min_limit"),
    pid(2010, "final_angle_target"),
    pid(2011, "angle"),
    pid(2012, "angle_max"),
    pid(2013, "angle_min"),
    pid(2044, "rundown_angle"),
    pid(2051, "speed"),
    pid(2111, "force"),
    pid(2121, "stroke"),
    pid(30200, "tightening_id"),
    code(30201, "kind", &codes::KIND_MTF),
    code(30202, "result_code", &codes::RESULT_MTF),
    pid(30203, "start_time"),
    code(30205, "result_error", &codes::ERROR_MTF),
    pid(30206, "result_error_source"),
    pid(30207, "controller_serial_number"),
    pid(30210, "station_name"),
    pid(30211, "station_id"),
    pid(30214, "tool_serial_number"),
    pid(30216, "parameter_set_number"),
    pid(30217, "parameter_set_name"),
    pid(30221, "batch_sequence"),
    pid(30228, "batch_size"),
    pid(30229, "batch_counter"),
    pid(30230, "peak_torque"),
    pid(30231, "total_angle"),
    pid(30232, "duration"),
    code(30236, "final_torque_type", &codes::TORQUE_TYPE_MTF),
    pid(30237, "torque"),
    pid(30238, "angle"),
    code(30241, "torque_status", &codes::LIMIT_MTF),
    code(30242, "angle_status", &codes::LIMIT_MTF),
];

/// The PID of this number, where it has a name.
#[must_use]
pub fn named(number: u32) -> Option<&'static Pid> {
    PIDS.iter().find(|p| p.number == number)
}

/// Divides or multiplies the samples of a trace.
pub const DIVIDE: u32 = 2213;
/// Multiplies them.
pub const MULTIPLY: u32 = 2214;

/// Unit codes, as UCUM reads them; 000, none, is absent.
pub static UNITS: &[(u16, &str)] = &[
    (1, "N.m"),
    (2, "[lbf_av].[ft_i]"),
    (3, "cN.m"),
    (4, "kN.m"),
    (5, "MN.m"),
    (6, "[lbf_av].[in_i]"),
    (7, "kgf.m"),
    (9, "%"),
    (10, "[lbf_av].[in_i]/16"),
    (11, "dN.m"),
    (12, "mN.m"),
    (13, "kgf.cm"),
    (50, "deg"),
    (51, "rad"),
    (90, "mN.m"),
    (100, "Hz"),
    (101, "/min"),
    (200, "s"),
    (201, "min"),
    (202, "ms"),
    (203, "h"),
    (251, "Cel"),
    (300, "N"),
    (301, "kN"),
    (351, "mm"),
    (750, "A"),
    (751, "V"),
    (800, "%"),
];

/// The unit of measure of a code.
#[must_use]
pub fn unit(code: u16) -> Option<&'static str> {
    UNITS.iter().find(|(known, _)| *known == code).map(|(_, uom)| *uom)
}
