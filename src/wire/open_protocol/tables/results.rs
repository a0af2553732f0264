//! Results: 0061, 0065, the multi-spindle ones, and the fixed parts of 1201 and 1202.
//!
//! 0061 revisions 1 to 7, 998, 999 and 0065 revisions 1 to 7 are the specification's, what is above is `[OPI]`.

use super::codes;
use crate::wire::open_protocol::layout::Kind::{
    Angle, AngleLimit, Bool, Coded, Hundredth, In, Objects, Pids, SpindleResults, SpindleStates, Stages, Text, Time,
    Torque, TorqueLimit, TorqueUom, Whole,
};
use crate::wire::open_protocol::layout::{Layout, Param, param};

/// 0061 revision 1.
pub const M0061_1: Layout = Layout {
    mid: 61,
    from: 1,
    to: 1,
    params: &[
        param("01", "cell_id", 4, Whole, 1),
        param("02", "channel_id", 2, Whole, 1),
        param("03", "controller_name", 25, Text, 1),
        param("04", "vin_number", 25, Text, 1),
        param("05", "job_id", 2, Whole, 1),
        param("06", "parameter_set_number", 3, Whole, 1),
        param("07", "batch_size", 4, Whole, 1),
        param("08", "batch_counter", 4, Whole, 1),
        param("09", "tightening_status", 1, Coded(&codes::VERDICT), 1),
        param("10", "torque_status", 1, Coded(&codes::LIMIT), 1),
        param("11", "angle_status", 1, Coded(&codes::LIMIT), 1),
        param("12", "torque_min_limit", 6, TorqueLimit, 1),
        param("13", "torque_max_limit", 6, TorqueLimit, 1),
        param("14", "torque_final_target", 6, Torque, 1),
        param("15", "torque", 6, Torque, 1),
        param("16", "angle_min", 5, AngleLimit, 1),
        param("17", "angle_max", 5, AngleLimit, 1),
        param("18", "final_angle_target", 5, Angle, 1),
        param("19", "angle", 5, Angle, 1),
        param("20", "time_stamp", 19, Time, 1),
        param("21", "last_change_of_parameter_set", 19, Time, 1),
        param("22", "batch_status", 1, Coded(&codes::BATCH), 1),
        param("23", "tightening_id", 10, Whole, 1),
    ],
};

/// What 0061 has from revision 2 up to 6, in all of them.
const fn from_2() -> [Param; 55] {
    [
        param("01", "cell_id", 4, Whole, 2),
        param("02", "channel_id", 2, Whole, 2),
        param("03", "controller_name", 25, Text, 2),
        param("04", "vin_number", 25, Text, 2),
        param("05", "job_id", 4, Whole, 2),
        param("06", "parameter_set_number", 3, Whole, 2),
        param("07", "strategy", 2, Whole, 2),
        param("08", "strategy_options", 5, Whole, 2),
        param("09", "batch_size", 4, Whole, 2),
        param("10", "batch_counter", 4, Whole, 2),
        param("11", "tightening_status", 1, Coded(&codes::VERDICT), 2),
        param("12", "batch_status", 1, Coded(&codes::BATCH), 2),
        param("13", "torque_status", 1, Coded(&codes::LIMIT), 2),
        param("14", "angle_status", 1, Coded(&codes::LIMIT), 2),
        param("15", "rundown_angle_status", 1, Coded(&codes::LIMIT), 2),
        param("16", "current_monitoring_status", 1, Coded(&codes::LIMIT), 2),
        param("17", "self_tap_status", 1, Coded(&codes::LIMIT), 2),
        param("18", "prevail_torque_monitoring_status", 1, Coded(&codes::LIMIT), 2),
        param("19", "prevail_torque_compensate_status", 1, Coded(&codes::LIMIT), 2),
        param("20", "tightening_error_status", 10, Whole, 2),
        param("21", "torque_min_limit", 6, TorqueLimit, 2),
        param("22", "torque_max_limit", 6, TorqueLimit, 2),
        param("23", "torque_final_target", 6, Torque, 2),
        param("24", "torque", 6, Torque, 2),
        param("25", "angle_min", 5, AngleLimit, 2),
        param("26", "angle_max", 5, AngleLimit, 2),
        param("27", "final_angle_target", 5, Angle, 2),
        param("28", "angle", 5, Angle, 2),
        param("29", "rundown_angle_min", 5, AngleLimit, 2),
        param("30", "rundown_angle_max", 5, AngleLimit, 2),
        param("31", "rundown_angle", 5, Angle, 2),
        param("32", "current_monitoring_min", 3, In("%"), 2),
        param("33", "current_monitoring_max", 3, In("%"), 2),
        param("34", "current_monitoring_value", 3, In("%"), 2),
        param("35", "self_tap_min", 6, TorqueLimit, 2),
        param("36", "self_tap_max", 6, TorqueLimit, 2),
        param("37", "self_tap_torque", 6, Torque, 2),
        param("38", "prevail_torque_monitoring_min", 6, TorqueLimit, 2),
        param("39", "prevail_torque_monitoring_max", 6, TorqueLimit, 2),
        param("40", "prevail_torque", 6, Torque, 2),
        param("41", "tightening_id", 10, Whole, 2),
        param("42", "job_sequence_number", 5, Whole, 2),
        param("43", "sync_tightening_id", 5, Whole, 2),
        param("44", "tool_serial_number", 14, Text, 2),
        param("45", "time_stamp", 19, Time, 2),
        param("46", "last_change_of_parameter_set", 19, Time, 2),
        param("47", "parameter_set_name", 25, Text, 3),
        param("48", "torque_values_unit", 1, TorqueUom, 3),
        param("49", "result_type", 2, Coded(&codes::RESULT_TYPE), 3),
        param("50", "identifier_result_part_2", 25, Text, 4),
        param("51", "identifier_result_part_3", 25, Text, 4),
        param("52", "identifier_result_part_4", 25, Text, 4),
        param("53", "customer_tightening_error_code", 4, Text, 5),
        param("54", "prevail_torque_compensate_value", 6, Torque, 6),
        param("55", "tightening_error_status_2", 10, Whole, 6),
    ]
}

/// The first part, then the second.
const fn chained<const A: usize, const B: usize, const N: usize>(first: [Param; A], second: [Param; B]) -> [Param; N] {
    assert!(A + B == N, "N is the sum of both");
    let mut out = [first[0]; N];
    let mut at = 0;
    while at < N {
        out[at] = if at < A { first[at] } else { second[at - A] };
        at += 1;
    }
    out
}

const PARAMS_2: [Param; 76] = chained(
    from_2(),
    [
        param("56", "compensated_angle", 7, Hundredth(Some("deg")), 7),
        param("57", "final_angle_decimal", 7, Hundredth(Some("deg")), 7),
        param("58", "start_final_angle", 6, Torque, 8),
        param("59", "post_view_torque_activated", 1, Bool, 8),
        param("60", "post_view_torque_high", 6, TorqueLimit, 8),
        param("61", "post_view_torque_low", 6, TorqueLimit, 8),
        param("62", "current_monitoring_ampere", 5, Hundredth(Some("A")), 9),
        param("63", "current_monitoring_ampere_min", 5, Hundredth(Some("A")), 9),
        param("64", "current_monitoring_ampere_max", 5, Hundredth(Some("A")), 9),
        param("65", "angle_numerator_scale_factor", 5, Whole, 10),
        param("66", "angle_denominator_scale_factor", 5, Whole, 10),
        param("67", "overall_angle_status", 1, Coded(&codes::LIMIT), 10),
        param("68", "overall_angle_min", 5, AngleLimit, 10),
        param("69", "overall_angle_max", 5, AngleLimit, 10),
        param("70", "overall_angle", 5, Angle, 10),
        param("71", "peak_torque", 6, Torque, 10),
        param("72", "residual_breakaway_torque", 6, Torque, 10),
        param("73", "start_rundown_angle", 6, Whole, 10),
        param("74", "rundown_angle_complete", 6, Whole, 10),
        param("75", "click_torque", 6, Torque, 11),
        param("76", "click_angle", 5, Angle, 11),
    ],
);

/// 0061 revisions 2 to 11.
pub const M0061_2: Layout = Layout {
    mid: 61,
    from: 2,
    to: 11,
    params: &PARAMS_2,
};

const PARAMS_998: [Param; 58] = chained(
    from_2(),
    [
        param("56", "number_of_stages", 2, Whole, 6),
        param("57", "number_of_stage_results", 2, Whole, 6),
        param("58", "stages", 0, Stages, 6),
    ],
);

/// 0061 revision 998: revision 6 and the stages.
pub const M0061_998: Layout = Layout {
    mid: 61,
    from: 998,
    to: 998,
    params: &PARAMS_998,
};

/// 0061 revision 999, the light one, without ids.
pub const M0061_999: Layout = Layout {
    mid: 61,
    from: 999,
    to: 999,
    params: &[
        param("", "vin_number", 25, Text, 999),
        param("", "job_id", 2, Whole, 999),
        param("", "parameter_set_number", 3, Whole, 999),
        param("", "batch_size", 4, Whole, 999),
        param("", "batch_counter", 4, Whole, 999),
        param("", "batch_status", 1, Coded(&codes::BATCH), 999),
        param("", "tightening_status", 1, Coded(&codes::VERDICT), 999),
        param("", "torque_status", 1, Coded(&codes::LIMIT), 999),
        param("", "angle_status", 1, Coded(&codes::LIMIT), 999),
        param("", "torque", 6, Torque, 999),
        param("", "angle", 5, Angle, 999),
        param("", "time_stamp", 19, Time, 999),
        param("", "last_change_of_parameter_set", 19, Time, 999),
        param("", "tightening_id", 10, Whole, 999),
    ],
};

/// 0065 revision 1.
pub const M0065_1: Layout = Layout {
    mid: 65,
    from: 1,
    to: 1,
    params: &[
        param("01", "tightening_id", 10, Whole, 1),
        param("02", "vin_number", 25, Text, 1),
        param("03", "parameter_set_number", 3, Whole, 1),
        param("04", "batch_counter", 4, Whole, 1),
        param("05", "tightening_status", 1, Coded(&codes::VERDICT), 1),
        param("06", "torque_status", 1, Coded(&codes::LIMIT), 1),
        param("07", "angle_status", 1, Coded(&codes::LIMIT), 1),
        param("08", "torque", 6, Torque, 1),
        param("09", "angle", 5, Angle, 1),
        param("10", "time_stamp", 19, Time, 1),
        param("11", "batch_status", 1, Coded(&codes::BATCH), 1),
    ],
};

/// 0065 revisions 2 to 11.
pub const M0065_2: Layout = Layout {
    mid: 65,
    from: 2,
    to: 11,
    params: &[
        param("01", "tightening_id", 10, Whole, 2),
        param("02", "vin_number", 25, Text, 2),
        param("03", "job_id", 4, Whole, 2),
        param("04", "parameter_set_number", 3, Whole, 2),
        param("05", "strategy", 2, Whole, 2),
        param("06", "strategy_options", 5, Whole, 2),
        param("07", "batch_size", 4, Whole, 2),
        param("08", "batch_counter", 4, Whole, 2),
        param("09", "tightening_status", 1, Coded(&codes::VERDICT), 2),
        param("10", "batch_status", 1, Coded(&codes::BATCH), 2),
        param("11", "torque_status", 1, Coded(&codes::LIMIT), 2),
        param("12", "angle_status", 1, Coded(&codes::LIMIT), 2),
        param("13", "rundown_angle_status", 1, Coded(&codes::LIMIT), 2),
        param("14", "current_monitoring_status", 1, Coded(&codes::LIMIT), 2),
        param("15", "self_tap_status", 1, Coded(&codes::LIMIT), 2),
        param("16", "prevail_torque_monitoring_status", 1, Coded(&codes::LIMIT), 2),
        param("17", "prevail_torque_compensate_status", 1, Coded(&codes::LIMIT), 2),
        param("18", "tightening_error_status", 10, Whole, 2),
        param("19", "torque", 6, Torque, 2),
        param("20", "angle", 5, Angle, 2),
        param("21", "rundown_angle", 5, Angle, 2),
        param("22", "current_monitoring_value", 3, In("%"), 2),
        param("23", "self_tap_torque", 6, Torque, 2),
        param("24", "prevail_torque", 6, Torque, 2),
        param("25", "job_sequence_number", 5, Whole, 2),
        param("26", "sync_tightening_id", 5, Whole, 2),
        param("27", "tool_serial_number", 14, Text, 2),
        param("28", "time_stamp", 19, Time, 2),
        param("29", "torque_values_unit", 1, TorqueUom, 3),
        param("30", "result_type", 2, Coded(&codes::RESULT_TYPE), 3),
        param("31", "identifier_result_part_2", 25, Text, 4),
        param("32", "identifier_result_part_3", 25, Text, 4),
        param("33", "identifier_result_part_4", 25, Text, 4),
        param("34", "customer_tightening_error_code", 4, Text, 5),
        param("35", "prevail_torque_compensate_value", 6, Torque, 6),
        param("36", "tightening_error_status_2", 10, Whole, 6),
        param("37", "station_id", 10, Whole, 7),
        param("38", "station_name", 25, Text, 7),
        param("39", "start_final_angle", 6, Torque, 8),
        param("40", "post_view_torque_activated", 1, Bool, 8),
        param("41", "post_view_torque_high", 6, TorqueLimit, 8),
        param("42", "post_view_torque_low", 6, TorqueLimit, 8),
        param("43", "current_monitoring_ampere", 5, Hundredth(Some("A")), 9),
        param("44", "current_monitoring_ampere_min", 5, Hundredth(Some("A")), 9),
        param("45", "current_monitoring_ampere_max", 5, Hundredth(Some("A")), 9),
        param("46", "angle_numerator_scale_factor", 5, Whole, 10),
        param("47", "angle_denominator_scale_factor", 5, Whole, 10),
        param("48", "overall_angle_status", 1, Coded(&codes::LIMIT), 10),
        param("49", "overall_angle_min", 5, AngleLimit, 10),
        param("50", "overall_angle_max", 5, AngleLimit, 10),
        param("51", "overall_angle", 5, Angle, 10),
        param("52", "peak_torque", 6, Torque, 10),
        param("53", "residual_breakaway_torque", 6, Torque, 10),
        param("54", "start_rundown_angle", 6, Whole, 10),
        param("55", "rundown_angle_complete", 6, Whole, 10),
        param("56", "click_torque", 6, Torque, 11),
        param("57", "click_angle", 5, Angle, 11),
    ],
};

/// 0091: states of all spindles.
pub const M0091: Layout = Layout {
    mid: 91,
    from: 1,
    to: 1,
    params: &[
        param("01", "spindle_count", 2, Whole, 1),
        param("02", "sync_tightening_id", 5, Whole, 1),
        param("03", "time_stamp", 19, Time, 1),
        param("04", "sync_overall_status", 1, Coded(&codes::VERDICT), 1),
        param("05", "spindles", 0, SpindleStates, 1),
    ],
};

/// 0101: results of all spindles.
pub const M0101: Layout = Layout {
    mid: 101,
    from: 1,
    to: 5,
    params: &[
        param("01", "spindle_count", 2, Whole, 1),
        param("02", "vin_number", 25, Text, 1),
        param("03", "job_id", 2, Whole, 1),
        param("04", "parameter_set_number", 3, Whole, 1),
        param("05", "batch_size", 4, Whole, 1),
        param("06", "batch_counter", 4, Whole, 1),
        param("07", "batch_status", 1, Coded(&codes::BATCH), 1),
        param("08", "torque_min_limit", 6, TorqueLimit, 1),
        param("09", "torque_max_limit", 6, TorqueLimit, 1),
        param("10", "torque_final_target", 6, Torque, 1),
        param("11", "angle_min", 5, AngleLimit, 1),
        param("12", "angle_max", 5, AngleLimit, 1),
        param("13", "final_angle_target", 5, Angle, 1),
        param("14", "last_change_of_parameter_set", 19, Time, 1),
        param("15", "time_stamp", 19, Time, 1),
        param("16", "sync_tightening_id", 5, Whole, 1),
        param("17", "sync_overall_status", 1, Coded(&codes::VERDICT), 1),
        param("18", "spindles", 0, SpindleResults, 1),
        param("19", "system_subtype", 3, Whole, 4),
        param("20", "job_sequence_number", 5, Whole, 5),
    ],
};

/// 1201 revision 1: objects of 5 characters.
pub const M1201_1: Layout = Layout {
    mid: 1201,
    from: 1,
    to: 1,
    params: &[
        param("", "message_count", 3, Whole, 1),
        param("", "message_number", 3, Whole, 1),
        param("", "result_id", 10, Whole, 1),
        param("", "time_stamp", 19, Time, 1),
        param("", "tightening_status", 1, Coded(&codes::VERDICT), 1),
        param("", "operation_type", 2, Coded(&codes::OPERATION), 1),
        param("", "objects", 3, Objects(5), 1),
        param("", "pids", 3, Pids, 1),
    ],
};

/// 1201 revision 2 `[OPI]`: with the MID that asked.
pub const M1201_2: Layout = Layout {
    mid: 1201,
    from: 2,
    to: 2,
    params: &[
        param("", "message_count", 3, Whole, 2),
        param("", "message_number", 3, Whole, 2),
        param("", "result_id", 10, Whole, 2),
        param("", "time_stamp", 19, Time, 2),
        param("", "tightening_status", 1, Coded(&codes::VERDICT), 2),
        param("", "operation_type", 2, Coded(&codes::OPERATION), 2),
        param("", "request_mid", 4, Whole, 2),
        param("", "objects", 3, Objects(5), 2),
        param("", "pids", 3, Pids, 2),
    ],
};

/// 1201 revision 3 `[OPI]`: objects of 10 characters.
pub const M1201_3: Layout = Layout {
    mid: 1201,
    from: 3,
    to: 3,
    params: &[
        param("", "message_count", 3, Whole, 3),
        param("", "message_number", 3, Whole, 3),
        param("", "result_id", 10, Whole, 3),
        param("", "time_stamp", 19, Time, 3),
        param("", "tightening_status", 1, Coded(&codes::VERDICT), 3),
        param("", "operation_type", 2, Coded(&codes::OPERATION), 3),
        param("", "request_mid", 4, Whole, 3),
        param("", "objects", 3, Objects(10), 3),
        param("", "pids", 3, Pids, 3),
    ],
};

/// 1202: one object of a result; the GUID from revision 2 on is `[OPI]`.
pub const M1202: Layout = Layout {
    mid: 1202,
    from: 1,
    to: 2,
    params: &[
        param("", "message_count", 3, Whole, 1),
        param("", "message_number", 3, Whole, 1),
        param("", "result_id", 10, Whole, 1),
        param("", "object_id", 4, Whole, 1),
        param("", "node_guid", 36, Text, 2),
        param("", "pids", 3, Pids, 1),
    ],
};
