//! Every name that decoding can give, what it is, and which telegrams carry it.

use self::FieldKind::{Bool, Integer, List, Number, Text, Time, Word};
use super::tables::codes;

/// What kind of value a name has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// A whole number.
    Integer,
    /// An exact decimal.
    Number,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Text, trimmed.
    Text,
    /// `YYYY-MM-DD:HH:MM:SS`, the controller's local time.
    Time,
    /// true or false.
    Bool,
    /// Several values.
    List,
}

/// One name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldInfo {
    /// The name; `pid_*` stands for any PID.
    pub name: &'static str,
    /// Its kind of value.
    pub kind: FieldKind,
    /// Unit of measure where it has one; torque may come in the telegram's own.
    pub uom: Option<&'static str>,
    /// Telegrams that carry it: `0061 r2+, 0065 r2+`.
    pub from: &'static str,
    /// What it says.
    pub about: &'static str,
}

/// One row a name: name, kind, uom, where from, what it says.
macro_rules! table {
    ($($name:literal, $kind:expr, $uom:expr, $from:literal, $about:literal;)+) => {
        /// Every name, in the order of the MIDs. Torque in `N.m` unless the telegram names its own uom.
        pub static FIELDS: &[FieldInfo] =
            &[$(FieldInfo { name: $name, kind: $kind, uom: $uom, from: $from, about: $about }),+];
    };
}

table! {
    "cell_id", Integer, None, "0002, 0061", "cell";
    "channel_id", Integer, None, "0002, 0061", "channel";
    "controller_name", Text, None, "0002, 0061, PID 01100", "name of the controller";
    "supplier_code", Text, None, "0002 r2+", "three letters, ACT is Atlas Copco";
    "open_protocol_version", Text, None, "0002 r3+", "open protocol version";
    "controller_software_version", Text, None, "0002 r3+, 0041 r2+", "controller software version";
    "tool_software_version", Text, None, "0002 r3+", "tool software version";
    "rbu_type", Text, None, "0002 r4+", "rbu type";
    "controller_serial_number", Text, None, "0002 r4+, 0041, PID 01104, PID 30207", "controller serial number";
    "system_type", Integer, None, "0002 r5+", "system type";
    "system_subtype", Integer, None, "0002 r5+, 0101 r4+", "system subtype";
    "sequence_number_support", Bool, None, "0002 r6+", "acknowledgement on link level is offered";
    "linking_support", Bool, None, "0002 r6+", "messages in parts are offered";
    "station_id", Integer, None, "0002 r6+, 0065 r7+, PID 00002, PID 30211", "station id";
    "station_name", Text, None, "0002 r6+, 0065 r7+, PID 00003, PID 30210", "station name";
    "client_id", Text, None, "0002 r6+", "client id";
    "optional_keep_alive", Bool, None, "0002 r7+", "keep-alive telegrams are not required";
    "failed_mid", Integer, None, "0004", "the MID that was refused";
    "refusal_code", Integer, None, "0004", "why, see refusal_text";
    "accepted_mid", Integer, None, "0005", "the MID that was accepted";
    "parameter_set_number", Integer, None, "0013, 0015, 0061, r999, 0065, 0101, PID 01000, PID 30216", "parameter set; on PF6000 its place in the menu";
    "parameter_set_name", Text, None, "0013, 0015 r2+, 0061 r3+, PID 01001, PID 30217", "name of the parameter set";
    "rotation_direction", Word(codes::ROTATION.words), None, "0013, 0015 r2+", "how the screw is turned";
    "batch_size", Integer, None, "0013, 0015 r2+, 0061, r999, 0065 r2+, 0101, PID 00100, PID 30228", "tightenings of the batch";
    "torque_min_limit", Number, Some("N.m"), "0013, 0015 r2+, 0061, 0101, PID 02003", "lower limit; absent where 9999.00 says that there is none";
    "torque_max_limit", Number, Some("N.m"), "0013, 0015 r2+, 0061, 0101, PID 02002", "upper limit; absent where 9999.00 says that there is none";
    "torque_final_target", Number, Some("N.m"), "0013, 0015 r2+, 0061, 0101, PID 02000", "target of the torque";
    "angle_min", Integer, Some("deg"), "0013, 0015 r2+, 0061, 0101, PID 02013", "lower limit; absent where 9999 says that there is none";
    "angle_max", Integer, Some("deg"), "0013, 0015 r2+, 0061, 0101, PID 02012", "upper limit; absent where 9999 says that there is none";
    "final_angle_target", Integer, Some("deg"), "0013, 0015 r2+, 0061, 0101, PID 02010", "target of the angle";
    "last_change_of_parameter_set", Time, None, "0015, 0061, r999, 0101", "when the parameter set was changed";
    "last_change_of_parameter_set_raw", Text, None, "0015, 0061, r999, 0101", "what stood there instead of a time";
    "first_target", Number, Some("N.m"), "0015 r2+", "first target";
    "start_final_angle", Number, Some("N.m"), "0015 r2+, 0061 r8+, 0065 r8+", "torque at which the final angle starts (snug)";
    "lock_at_batch_done", Bool, None, "0022", "lock at batch done";
    "job_id", Integer, None, "0035, 0061, r999, 0065 r2+, 0101, PID 01500", "job, 0 where none";
    "job_status", Word(codes::JOB_STATUS.words), None, "0035", "where the job stands";
    "job_batch_mode", Word(codes::JOB_MODE.words), None, "0035", "what the job counts";
    "job_batch_size", Integer, None, "0035", "job batch size";
    "job_batch_counter", Integer, None, "0035", "job batch counter";
    "time_stamp", Time, None, "0035, 0061, r999, 0065, 0071, 0076, 0081, 0082, 0091, 0101, 0901, 1201", "the controller's local time";
    "time_stamp_raw", Text, None, "0035, 0061, r999, 0065, 0071, 0076, 0081, 0082, 0091, 0101, 0901, 1201", "what stood there instead of a time";
    "job_current_step", Integer, None, "0035 r3+", "job current step";
    "job_total_steps", Integer, None, "0035 r3+", "job total steps";
    "job_step_type", Integer, None, "0035 r3+", "job step type";
    "job_tightening_status", Word(codes::JOB_TIGHTENING.words), None, "0035 r4+", "what the last tightening did to the job";
    "job_sequence_number", Integer, None, "0035 r5+, 0061 r2+, 0065 r2+, 0101 r5+, PID 01501", "job sequence number";
    "vin_number", Text, None, "0035 r5+, 0052, 0061, r999, 0065, 0101, PID 00010", "identifier of the unit; may be part of what was downloaded";
    "identifier_result_part_2", Text, None, "0035 r5+, 0061 r4+, 0065 r4+, PID 00011", "identifier result part 2";
    "identifier_result_part_3", Text, None, "0035 r5+, 0061 r4+, 0065 r4+, PID 00012", "identifier result part 3";
    "identifier_result_part_4", Text, None, "0035 r5+, 0061 r4+, 0065 r4+, PID 00013", "identifier result part 4";
    "tool_serial_number", Text, None, "0041, 0061 r2+, 0065 r2+, PID 01202, PID 30214", "tool serial number";
    "tool_tightenings", Integer, None, "0041", "tool tightenings";
    "last_calibration", Time, None, "0041", "last calibration";
    "last_calibration_raw", Text, None, "0041", "what stood there instead of a time";
    "calibration_value", Number, Some("N.m"), "0041 r2+", "last calibration of the tool";
    "last_service", Time, None, "0041 r2+", "last service";
    "last_service_raw", Text, None, "0041 r2+", "what stood there instead of a time";
    "tightenings_since_service", Integer, None, "0041 r2+", "tightenings since service";
    "tool_type", Integer, None, "0041 r2+, PID 01200", "tool type";
    "motor_size", Integer, None, "0041 r2+", "motor size";
    "open_end_data", Text, None, "0041 r2+", "open end data";
    "tool_max_torque", Number, Some("N.m"), "0041 r3+", "tool max torque";
    "gear_ratio", Number, None, "0041 r3+", "gear ratio";
    "tool_full_speed", Number, Some("/min"), "0041 r3+", "tool full speed";
    "primary_tool", Integer, None, "0041 r4+", "primary tool";
    "tool_model", Text, None, "0041 r5+, PID 01203", "tool model";
    "identifier_part_2", Text, None, "0052 r2+", "identifier part 2";
    "identifier_part_3", Text, None, "0052 r2+", "identifier part 3";
    "identifier_part_4", Text, None, "0052 r2+", "identifier part 4";
    "offline_results_count", Integer, None, "0066", "offline results count";
    "offline_curves_count", Integer, None, "0066 r2+", "offline curves count";
    "error_code", Text, None, "0071, 0074, 0076", "code of the alarm";
    "controller_ready", Bool, None, "0071, 0076", "the controller is ready";
    "tool_ready", Bool, None, "0071, 0076", "the tool is ready";
    "alarm_text", Text, None, "0071 r2+", "alarm text";
    "alarm_active", Bool, None, "0076", "there is an alarm; false where one was acknowledged at the controller";
    "tool_health", Integer, None, "0076 r3+", "as it was sent, its meaning is not published";
    "identifier_1_type", Integer, None, "0152", "type of that identifier";
    "identifier_1_order", Integer, None, "0152", "its place in the work order";
    "identifier_1_status", Word(codes::IDENTIFIER.words), None, "0152", "what became of it";
    "identifier_1", Text, None, "0152", "identifier of this number";
    "identifier_2_type", Integer, None, "0152", "type of that identifier";
    "identifier_2_order", Integer, None, "0152", "its place in the work order";
    "identifier_2_status", Word(codes::IDENTIFIER.words), None, "0152", "what became of it";
    "identifier_2", Text, None, "0152", "identifier of this number";
    "identifier_3_type", Integer, None, "0152", "type of that identifier";
    "identifier_3_order", Integer, None, "0152", "its place in the work order";
    "identifier_3_status", Word(codes::IDENTIFIER.words), None, "0152", "what became of it";
    "identifier_3", Text, None, "0152", "identifier of this number";
    "identifier_4_type", Integer, None, "0152", "type of that identifier";
    "identifier_4_order", Integer, None, "0152", "its place in the work order";
    "identifier_4_status", Word(codes::IDENTIFIER.words), None, "0152", "what became of it";
    "identifier_4", Text, None, "0152", "identifier of this number";
    "monitored_input_1", Bool, None, "0211", "monitored input 1";
    "monitored_input_2", Bool, None, "0211", "monitored input 2";
    "monitored_input_3", Bool, None, "0211", "monitored input 3";
    "monitored_input_4", Bool, None, "0211", "monitored input 4";
    "monitored_input_5", Bool, None, "0211", "monitored input 5";
    "monitored_input_6", Bool, None, "0211", "monitored input 6";
    "monitored_input_7", Bool, None, "0211", "monitored input 7";
    "monitored_input_8", Bool, None, "0211", "monitored input 8";
    "result_id", Integer, None, "0901, 1201, 1202", "id of the result";
    "result_capacity", Integer, None, "0902", "results that the memory holds";
    "oldest_sequence_number", Integer, None, "0902", "oldest sequence number";
    "oldest_time", Time, None, "0902", "oldest time";
    "oldest_time_raw", Text, None, "0902", "what stood there instead of a time";
    "newest_sequence_number", Integer, None, "0902", "newest sequence number";
    "newest_time", Time, None, "0902", "newest time";
    "newest_time_raw", Text, None, "0902", "what stood there instead of a time";
    "batch_counter", Integer, None, "0061, r999, 0065, 0101, PID 00101, PID 30229", "tightenings done of the batch";
    "tightening_status", Word(codes::VERDICT.words), None, "0061, r999, 0065, 1201, PID 00001", "the controller's verdict";
    "torque_status", Word(codes::LIMIT.words), None, "0061, r999, 0065, PID 01402, PID 30241", "torque against its limits";
    "angle_status", Word(codes::LIMIT.words), None, "0061, r999, 0065, PID 01403, PID 30242", "angle against its limits";
    "torque", Number, Some("N.m"), "0061, r999, 0065, PID 02001, PID 30237", "final torque";
    "angle", Integer, Some("deg"), "0061, r999, 0065, PID 02011, PID 30238", "final angle";
    "batch_status", Word(codes::BATCH.words), None, "0061, r999, 0065, 0101, PID 00102", "verdict on the batch; absent where batches are not used";
    "tightening_id", Integer, None, "0061, r999, 0065, PID 00030, PID 30200", "id of the result, unique on its controller";
    "strategy", Integer, None, "0061 r2+, 0065 r2+, PID 01002", "code of the strategy";
    "strategy_options", Integer, None, "0061 r2+, 0065 r2+", "decimal number of a bit field";
    "rundown_angle_status", Word(codes::LIMIT.words), None, "0061 r2+, 0065 r2+, PID 01404", "rundown angle status";
    "current_monitoring_status", Word(codes::LIMIT.words), None, "0061 r2+, 0065 r2+", "current monitoring status";
    "self_tap_status", Word(codes::LIMIT.words), None, "0061 r2+, 0065 r2+", "self tap status";
    "prevail_torque_monitoring_status", Word(codes::LIMIT.words), None, "0061 r2+, 0065 r2+", "prevail torque monitoring status";
    "prevail_torque_compensate_status", Word(codes::LIMIT.words), None, "0061 r2+, 0065 r2+", "prevail torque compensate status";
    "tightening_error_status", Integer, None, "0061 r2+, 0065 r2+, PID 01037", "decimal number of a bit field; see errors";
    "rundown_angle_min", Integer, Some("deg"), "0061 r2+", "rundown angle min";
    "rundown_angle_max", Integer, Some("deg"), "0061 r2+", "rundown angle max";
    "rundown_angle", Integer, Some("deg"), "0061 r2+, 0065 r2+, PID 02044", "rundown angle";
    "current_monitoring_min", Integer, Some("%"), "0061 r2+", "current monitoring min";
    "current_monitoring_max", Integer, Some("%"), "0061 r2+", "current monitoring max";
    "current_monitoring_value", Integer, Some("%"), "0061 r2+, 0065 r2+", "current monitoring value";
    "self_tap_min", Number, Some("N.m"), "0061 r2+", "self tap min";
    "self_tap_max", Number, Some("N.m"), "0061 r2+", "self tap max";
    "self_tap_torque", Number, Some("N.m"), "0061 r2+, 0065 r2+", "self tap torque";
    "prevail_torque_monitoring_min", Number, Some("N.m"), "0061 r2+", "prevail torque monitoring min";
    "prevail_torque_monitoring_max", Number, Some("N.m"), "0061 r2+", "prevail torque monitoring max";
    "prevail_torque", Number, Some("N.m"), "0061 r2+, 0065 r2+", "prevail torque";
    "sync_tightening_id", Integer, None, "0061 r2+, 0065 r2+, 0091, 0101", "sync tightening id";
    "torque_values_unit", Word(codes::TORQUE_UOM.words), None, "0061 r3+, 0065 r3+", "unit of measure of the torques of this telegram";
    "result_type", Word(codes::RESULT_TYPE.words), None, "0061 r3+, 0065 r3+, PID 01039", "what the result is";
    "customer_tightening_error_code", Text, None, "0061 r5+, 0065 r5+", "the customer's own code";
    "prevail_torque_compensate_value", Number, Some("N.m"), "0061 r6+, 0065 r6+", "prevail torque compensate value";
    "tightening_error_status_2", Integer, None, "0061 r6+, 0065 r6+, PID 01038", "the same, errors 33 and up";
    "compensated_angle", Number, Some("deg"), "0061 r7+", "angle with compensation";
    "final_angle_decimal", Number, Some("deg"), "0061 r7+", "final angle with two decimals";
    "post_view_torque_activated", Bool, None, "0061 r8+, 0065 r8+", "post view torque activated";
    "post_view_torque_high", Number, Some("N.m"), "0061 r8+, 0065 r8+", "post view torque high";
    "post_view_torque_low", Number, Some("N.m"), "0061 r8+, 0065 r8+", "post view torque low";
    "current_monitoring_ampere", Number, Some("A"), "0061 r9+, 0065 r9+", "current monitoring ampere";
    "current_monitoring_ampere_min", Number, Some("A"), "0061 r9+, 0065 r9+", "current monitoring ampere min";
    "current_monitoring_ampere_max", Number, Some("A"), "0061 r9+, 0065 r9+", "current monitoring ampere max";
    "angle_numerator_scale_factor", Integer, None, "0061 r10+, 0065 r10+", "angle numerator scale factor";
    "angle_denominator_scale_factor", Integer, None, "0061 r10+, 0065 r10+", "angle denominator scale factor";
    "overall_angle_status", Word(codes::LIMIT.words), None, "0061 r10+, 0065 r10+", "overall angle status";
    "overall_angle_min", Integer, Some("deg"), "0061 r10+, 0065 r10+", "overall angle min";
    "overall_angle_max", Integer, Some("deg"), "0061 r10+, 0065 r10+", "overall angle max";
    "overall_angle", Integer, Some("deg"), "0061 r10+, 0065 r10+", "overall angle";
    "peak_torque", Number, Some("N.m"), "0061 r10+, 0065 r10+, PID 30230", "peak torque";
    "residual_breakaway_torque", Number, Some("N.m"), "0061 r10+, 0065 r10+", "residual breakaway torque";
    "start_rundown_angle", Integer, None, "0061 r10+, 0065 r10+", "as it was sent, its scale is not published";
    "rundown_angle_complete", Integer, None, "0061 r10+, 0065 r10+", "as it was sent, its scale is not published";
    "click_torque", Number, Some("N.m"), "0061 r11+, 0065 r11+", "click torque";
    "click_angle", Integer, Some("deg"), "0061 r11+, 0065 r11+", "click angle";
    "number_of_stages", Integer, None, "0061 r998", "stages of the tightening";
    "number_of_stage_results", Integer, None, "0061 r998", "stages with a result";
    "spindle_count", Integer, None, "0091, 0101", "spindles in this telegram";
    "sync_overall_status", Word(codes::VERDICT.words), None, "0091, 0101", "verdict on all spindles";
    "message_count", Integer, None, "1201, 1202", "telegrams of this result";
    "message_number", Integer, None, "1201, 1202", "number of this telegram among them";
    "operation_type", Word(codes::OPERATION.words), None, "1201", "what the result came from";
    "request_mid", Integer, None, "1201 r2+", "the MID that asked for it";
    "object_id", Integer, None, "1202", "object of the result";
    "node_guid", Text, None, "1202 r2+", "node of the object";
    "oldest_result_id", Integer, None, "PID 00050", "oldest result id";
    "latest_result_id", Integer, None, "PID 00051", "latest result id";
    "controller_number", Integer, None, "PID 01101", "controller number";
    "controller_type", Text, None, "PID 01102", "controller type";
    "controller_article_number", Text, None, "PID 01103", "controller article number";
    "tool_article_number", Text, None, "PID 01201", "tool article number";
    "bolt_name", Text, None, "PID 01300", "bolt name";
    "bolt_number", Integer, None, "PID 01301", "bolt number";
    "bolt_status", Word(codes::VERDICT.words), None, "PID 01302", "bolt status";
    "object_status", Word(codes::VERDICT.words), None, "PID 01400", "object status";
    "object_error_code", Text, None, "PID 01401", "the object's errors, hexadecimal";
    "speed", Number, Some("/min"), "PID 02051", "speed";
    "force", Number, Some("kN"), "PID 02111", "force";
    "stroke", Number, Some("mm"), "PID 02121", "stroke";
    "result_code", Word(codes::RESULT_MTF.words), None, "PID 30202", "how it ended";
    "start_time", Time, None, "PID 30203", "start time";
    "result_error", Word(codes::ERROR_MTF.words), None, "PID 30205", "result error";
    "result_error_source", Text, None, "PID 30206", "result error source";
    "batch_sequence", Integer, None, "PID 30221", "batch sequence";
    "total_angle", Number, Some("deg"), "PID 30231", "total angle";
    "duration", Number, Some("s"), "PID 30232", "duration";
    "final_torque_type", Word(codes::TORQUE_TYPE_MTF.words), None, "PID 30236", "final torque type";
    "kind", Word(codes::KIND_MTF.words), None, "0061, 0065, 0101, 1201; PID 30201", "tightened or loosened; absent for batch counts, bypasses and such";
    "strategy_name", Text, None, "0061 r2+, 0065 r2+; PID 01002", "the strategy in words";
    "strategy_option_names", List, None, "0061 r2+, 0065 r2+", "the strategy options in words";
    "errors", List, None, "0061 r2+, 0065 r2+; PID 01037, 01038", "numbers of the error bits, from 1; those of error status 2 from 33; absent where none is set";
    "error_texts", List, None, "0061 r2+, 0065 r2+; PID 01037, 01038", "the same in words";
    "refusal_text", Text, None, "0004", "why, in words";
    "system_type_name", Word(codes::SYSTEM.words), None, "0002 r5+", "the system type in words";
    "alarm_acknowledged", Bool, None, "0074", "true: it was acknowledged at the controller";
    "stage_torques", List, Some("N.m"), "0061 r998", "torque of each stage";
    "stage_angles", List, Some("deg"), "0061 r998", "angle of each stage";
    "object_ids", List, None, "1201", "objects of the result";
    "object_statuses", List, None, "1201", "verdict on each of them";
    "spindle_number", Integer, None, "0091, 0101, a spindle", "number of the spindle";
    "trace_type", Word(codes::TRACE.words), None, "0900", "what is plotted";
    "trace_samples", List, None, "0900", "the curve; its uom as sent";
    "trace_step", Number, None, "0900", "how far one sample is from the one before; its uom as sent";
    "trace_step_name", Text, None, "0900", "what that is: time, angle, step";
    "transducer_type", Integer, None, "0900", "as it was sent";
    "force_status", Word(codes::LIMIT.words), None, "0101 r4+ of a press", "force against its limits";
    "stroke_status", Word(codes::LIMIT.words), None, "0101 r4+ of a press", "stroke against its limits";
    "force_min_limit", Number, Some("kN"), "0101 r4+ of a press", "lower limit";
    "force_max_limit", Number, Some("kN"), "0101 r4+ of a press", "upper limit";
    "force_final_target", Number, Some("kN"), "0101 r4+ of a press", "target of the force";
    "stroke_min", Number, Some("mm"), "0101 r4+ of a press", "lower limit";
    "stroke_max", Number, Some("mm"), "0101 r4+ of a press", "upper limit";
    "final_stroke_target", Number, Some("mm"), "0101 r4+ of a press", "target of the stroke";
    "pid_*", Text, None, "0900, 0901, 0902, 1201, 1202", "any variable data field by its number without leading zeros; of one step also `pid_N_step_S`; its kind and uom as sent";
}

/// The entry of a name; any `pid_N` has that of `pid_*`.
#[must_use]
pub fn info(name: &str) -> Option<&'static FieldInfo> {
    let name = if name.starts_with("pid_") { "pid_*" } else { name };
    FIELDS.iter().find(|f| f.name == name)
}
