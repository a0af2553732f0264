//! Everything but results: who the controller is, refusals, parameter sets, jobs, tools, identifiers, alarms, inputs.

use super::codes;
use crate::wire::open_protocol::layout::Kind::{
    Angle, AngleLimit, Bool, Coded, Hundredth, Pids, Rest, Text, Time, Torque, TorqueLimit, Whole,
};
use crate::wire::open_protocol::layout::{Layout, param};

/// 0002: who the controller is. Revision 7 is `[OPI]`.
pub const M0002: Layout = Layout {
    mid: 2,
    from: 1,
    to: 7,
    params: &[
        param("01", "cell_id", 4, Whole, 1),
        param("02", "channel_id", 2, Whole, 1),
        param("03", "controller_name", 25, Text, 1),
        param("04", "supplier_code", 3, Text, 2),
        param("05", "open_protocol_version", 19, Text, 3),
        param("06", "controller_software_version", 19, Text, 3),
        param("07", "tool_software_version", 19, Text, 3),
        param("08", "rbu_type", 24, Text, 4),
        param("09", "controller_serial_number", 10, Text, 4),
        param("10", "system_type", 3, Whole, 5),
        param("11", "system_subtype", 3, Whole, 5),
        param("12", "sequence_number_support", 1, Bool, 6),
        param("13", "linking_support", 1, Bool, 6),
        param("14", "station_id", 10, Whole, 6),
        param("15", "station_name", 25, Text, 6),
        param("16", "client_id", 1, Text, 6),
        param("17", "optional_keep_alive", 1, Bool, 7),
    ],
};

/// 0004 revision 1: a refusal, two digits of code.
pub const M0004_1: Layout = Layout {
    mid: 4,
    from: 1,
    to: 1,
    params: &[
        param("", "failed_mid", 4, Whole, 1),
        param("", "refusal_code", 2, Whole, 1),
    ],
};
/// 0004 revision 2 `[OPI]`: three digits of code.
pub const M0004_2: Layout = Layout {
    mid: 4,
    from: 2,
    to: 3,
    params: &[
        param("", "failed_mid", 4, Whole, 2),
        param("", "refusal_code", 3, Whole, 2),
    ],
};
/// 0005: accepted.
pub const M0005: Layout = Layout {
    mid: 5,
    from: 1,
    to: 1,
    params: &[param("", "accepted_mid", 4, Whole, 1)],
};

/// 0013: a parameter set.
pub const M0013: Layout = Layout {
    mid: 13,
    from: 1,
    to: 1,
    params: &[
        param("01", "parameter_set_number", 3, Whole, 1),
        param("02", "parameter_set_name", 25, Text, 1),
        param("03", "rotation_direction", 1, Coded(&codes::ROTATION), 1),
        param("04", "batch_size", 2, Whole, 1),
        param("05", "torque_min_limit", 6, TorqueLimit, 1),
        param("06", "torque_max_limit", 6, TorqueLimit, 1),
        param("07", "torque_final_target", 6, Torque, 1),
        param("08", "angle_min", 5, AngleLimit, 1),
        param("09", "angle_max", 5, AngleLimit, 1),
        param("10", "final_angle_target", 5, Angle, 1),
    ],
};

/// 0015 revision 1, without ids.
pub const M0015_1: Layout = Layout {
    mid: 15,
    from: 1,
    to: 1,
    params: &[
        param("", "parameter_set_number", 3, Whole, 1),
        param("", "last_change_of_parameter_set", 19, Time, 1),
    ],
};
/// 0015 revision 2. Positions follow from the widths; the byte column that the specification prints is wrong from 09 on.
pub const M0015_2: Layout = Layout {
    mid: 15,
    from: 2,
    to: 2,
    params: &[
        param("01", "parameter_set_number", 3, Whole, 2),
        param("02", "parameter_set_name", 25, Text, 2),
        param("03", "last_change_of_parameter_set", 19, Time, 2),
        param("04", "rotation_direction", 1, Coded(&codes::ROTATION), 2),
        param("05", "batch_size", 2, Whole, 2),
        param("06", "torque_min_limit", 6, TorqueLimit, 2),
        param("07", "torque_max_limit", 6, TorqueLimit, 2),
        param("08", "torque_final_target", 6, Torque, 2),
        param("09", "angle_min", 5, AngleLimit, 2),
        param("10", "angle_max", 5, AngleLimit, 2),
        param("11", "final_angle_target", 5, Angle, 2),
        param("12", "first_target", 6, Torque, 2),
        param("13", "start_final_angle", 6, Torque, 2),
    ],
};

/// 0022: lock at batch done.
pub const M0022: Layout = Layout {
    mid: 22,
    from: 1,
    to: 1,
    params: &[param("", "lock_at_batch_done", 1, Bool, 1)],
};

/// 0035 revision 1: a job, two digits of number.
pub const M0035_1: Layout = Layout {
    mid: 35,
    from: 1,
    to: 1,
    params: &[
        param("01", "job_id", 2, Whole, 1),
        param("02", "job_status", 1, Coded(&codes::JOB_STATUS), 1),
        param("03", "job_batch_mode", 1, Coded(&codes::JOB_MODE), 1),
        param("04", "job_batch_size", 4, Whole, 1),
        param("05", "job_batch_counter", 4, Whole, 1),
        param("06", "time_stamp", 19, Time, 1),
    ],
};
/// 0035 revisions 2 to 5.
pub const M0035_2: Layout = Layout {
    mid: 35,
    from: 2,
    to: 5,
    params: &[
        param("01", "job_id", 4, Whole, 2),
        param("02", "job_status", 1, Coded(&codes::JOB_STATUS), 2),
        param("03", "job_batch_mode", 1, Coded(&codes::JOB_MODE), 2),
        param("04", "job_batch_size", 4, Whole, 2),
        param("05", "job_batch_counter", 4, Whole, 2),
        param("06", "time_stamp", 19, Time, 2),
        param("07", "job_current_step", 3, Whole, 3),
        param("08", "job_total_steps", 3, Whole, 3),
        param("09", "job_step_type", 2, Whole, 3),
        param("10", "job_tightening_status", 2, Coded(&codes::JOB_TIGHTENING), 4),
        param("11", "job_sequence_number", 5, Whole, 5),
        param("12", "vin_number", 25, Text, 5),
        param("13", "identifier_result_part_2", 25, Text, 5),
        param("14", "identifier_result_part_3", 25, Text, 5),
        param("15", "identifier_result_part_4", 25, Text, 5),
    ],
};

/// 0041: a tool.
pub const M0041: Layout = Layout {
    mid: 41,
    from: 1,
    to: 5,
    params: &[
        param("01", "tool_serial_number", 14, Text, 1),
        param("02", "tool_tightenings", 10, Whole, 1),
        param("03", "last_calibration", 19, Time, 1),
        param("04", "controller_serial_number", 10, Text, 1),
        param("05", "calibration_value", 6, Torque, 2),
        param("06", "last_service", 19, Time, 2),
        param("07", "tightenings_since_service", 10, Whole, 2),
        param("08", "tool_type", 2, Whole, 2),
        param("09", "motor_size", 2, Whole, 2),
        param("10", "open_end_data", 3, Text, 2),
        param("11", "controller_software_version", 19, Text, 2),
        param("12", "tool_max_torque", 6, Torque, 3),
        param("13", "gear_ratio", 6, Hundredth(None), 3),
        param("14", "tool_full_speed", 6, Hundredth(Some("/min")), 3),
        param("15", "primary_tool", 2, Whole, 4),
        param("16", "tool_model", 12, Text, 5),
    ],
};

/// 0052 revision 1: the whole data is the identifier, 25 characters or up to 40.
pub const M0052_1: Layout = Layout {
    mid: 52,
    from: 1,
    to: 1,
    params: &[param("", "vin_number", 25, Rest, 1)],
};
/// 0052 revision 2. Positions follow from the widths, the specification misprints parts 3 and 4.
pub const M0052_2: Layout = Layout {
    mid: 52,
    from: 2,
    to: 2,
    params: &[
        param("01", "vin_number", 25, Text, 2),
        param("02", "identifier_part_2", 25, Text, 2),
        param("03", "identifier_part_3", 25, Text, 2),
        param("04", "identifier_part_4", 25, Text, 2),
    ],
};

/// 0066 revision 1 `[OPI]`: what an offline tool has collected.
pub const M0066_1: Layout = Layout {
    mid: 66,
    from: 1,
    to: 1,
    params: &[param("01", "offline_results_count", 2, Whole, 1)],
};
/// 0066 revision 2 `[OPI]`.
pub const M0066_2: Layout = Layout {
    mid: 66,
    from: 2,
    to: 2,
    params: &[
        param("01", "offline_results_count", 3, Whole, 2),
        param("02", "offline_curves_count", 3, Whole, 2),
    ],
};

/// 0071 revision 1: an alarm came, four characters of code.
pub const M0071_1: Layout = Layout {
    mid: 71,
    from: 1,
    to: 1,
    params: &[
        param("01", "error_code", 4, Text, 1),
        param("02", "controller_ready", 1, Bool, 1),
        param("03", "tool_ready", 1, Bool, 1),
        param("04", "time_stamp", 19, Time, 1),
    ],
};
/// 0071 revision 2: five characters of code, and a text.
pub const M0071_2: Layout = Layout {
    mid: 71,
    from: 2,
    to: 2,
    params: &[
        param("01", "error_code", 5, Text, 2),
        param("02", "controller_ready", 1, Bool, 2),
        param("03", "tool_ready", 1, Bool, 2),
        param("04", "time_stamp", 19, Time, 2),
        param("05", "alarm_text", 50, Text, 2),
    ],
};
/// 0074 revision 1: an alarm was acknowledged at the controller.
pub const M0074_1: Layout = Layout {
    mid: 74,
    from: 1,
    to: 1,
    params: &[param("", "error_code", 4, Text, 1)],
};
/// 0074 revision 2 `[OPI]`: five characters of code.
pub const M0074_2: Layout = Layout {
    mid: 74,
    from: 2,
    to: 2,
    params: &[param("", "error_code", 5, Text, 2)],
};
/// 0076 revision 1: whether there is an alarm.
pub const M0076_1: Layout = Layout {
    mid: 76,
    from: 1,
    to: 1,
    params: &[
        param("01", "alarm_active", 1, Bool, 1),
        param("02", "error_code", 4, Text, 1),
        param("03", "controller_ready", 1, Bool, 1),
        param("04", "tool_ready", 1, Bool, 1),
        param("05", "time_stamp", 19, Time, 1),
    ],
};
/// 0076 revisions 2 and 3: five characters of code; 3 is `[OPI]`.
pub const M0076_2: Layout = Layout {
    mid: 76,
    from: 2,
    to: 3,
    params: &[
        param("01", "alarm_active", 1, Bool, 2),
        param("02", "error_code", 5, Text, 2),
        param("03", "controller_ready", 1, Bool, 2),
        param("04", "tool_ready", 1, Bool, 2),
        param("05", "time_stamp", 19, Time, 2),
        param("06", "tool_health", 1, Whole, 3),
    ],
};

/// 0081: the controller's time.
pub const M0081: Layout = Layout {
    mid: 81,
    from: 1,
    to: 1,
    params: &[param("", "time_stamp", 19, Time, 1)],
};
/// 0082: sets it.
pub const M0082: Layout = Layout {
    mid: 82,
    from: 1,
    to: 1,
    params: &[param("", "time_stamp", 19, Time, 1)],
};

/// 0152: four identifiers, each with its type, place in the work order, status and text.
pub const M0152: Layout = Layout {
    mid: 152,
    from: 1,
    to: 1,
    params: &[
        param("01", "identifier_1_type", 1, Whole, 1),
        param("", "identifier_1_order", 2, Whole, 1),
        param("", "identifier_1_status", 2, Coded(&codes::IDENTIFIER), 1),
        param("", "identifier_1", 25, Text, 1),
        param("02", "identifier_2_type", 1, Whole, 1),
        param("", "identifier_2_order", 2, Whole, 1),
        param("", "identifier_2_status", 2, Coded(&codes::IDENTIFIER), 1),
        param("", "identifier_2", 25, Text, 1),
        param("03", "identifier_3_type", 1, Whole, 1),
        param("", "identifier_3_order", 2, Whole, 1),
        param("", "identifier_3_status", 2, Coded(&codes::IDENTIFIER), 1),
        param("", "identifier_3", 25, Text, 1),
        param("04", "identifier_4_type", 1, Whole, 1),
        param("", "identifier_4_order", 2, Whole, 1),
        param("", "identifier_4_status", 2, Coded(&codes::IDENTIFIER), 1),
        param("", "identifier_4", 25, Text, 1),
    ],
};

/// 0211: eight monitored inputs.
pub const M0211: Layout = Layout {
    mid: 211,
    from: 1,
    to: 1,
    params: &[
        param("", "monitored_input_1", 1, Bool, 1),
        param("", "monitored_input_2", 1, Bool, 1),
        param("", "monitored_input_3", 1, Bool, 1),
        param("", "monitored_input_4", 1, Bool, 1),
        param("", "monitored_input_5", 1, Bool, 1),
        param("", "monitored_input_6", 1, Bool, 1),
        param("", "monitored_input_7", 1, Bool, 1),
        param("", "monitored_input_8", 1, Bool, 1),
    ],
};

/// 0901: what is to be plotted with a trace; its PIDs are kept by number.
pub const M0901: Layout = Layout {
    mid: 901,
    from: 1,
    to: 1,
    params: &[
        param("", "result_id", 10, Whole, 1),
        param("", "time_stamp", 19, Time, 1),
        param("", "pids", 3, Pids, 1),
    ],
};
/// 0902 `[OPI]`: how far the result memory reaches; its PIDs are kept by number.
pub const M0902: Layout = Layout {
    mid: 902,
    from: 1,
    to: 1,
    params: &[
        param("", "result_capacity", 10, Whole, 1),
        param("", "oldest_sequence_number", 10, Whole, 1),
        param("", "oldest_time", 19, Time, 1),
        param("", "newest_sequence_number", 10, Whole, 1),
        param("", "newest_time", 19, Time, 1),
        param("", "pids", 3, Pids, 1),
    ],
};
