//! Byte positions as `reference/devices.md` prints them, held against what the widths give.

use crate::wire::open_protocol::layout::Kind;
use crate::wire::open_protocol::tables::{LAYOUTS, layout};
use crate::wire::open_protocol::{Telegram, decode};

/// Revision that begins it, id, name, first and last byte of the value.
type Place = (u16, &'static str, &'static str, usize, usize);

const M0061_1: &[Place] = &[
    (1, "01", "cell_id", 23, 26),
    (1, "02", "channel_id", 29, 30),
    (1, "03", "controller_name", 33, 57),
    (1, "04", "vin_number", 60, 84),
    (1, "05", "job_id", 87, 88),
    (1, "06", "parameter_set_number", 91, 93),
    (1, "07", "batch_size", 96, 99),
    (1, "08", "batch_counter", 102, 105),
    (1, "09", "tightening_status", 108, 108),
    (1, "10", "torque_status", 111, 111),
    (1, "11", "angle_status", 114, 114),
    (1, "12", "torque_min_limit", 117, 122),
    (1, "13", "torque_max_limit", 125, 130),
    (1, "14", "torque_final_target", 133, 138),
    (1, "15", "torque", 141, 146),
    (1, "16", "angle_min", 149, 153),
    (1, "17", "angle_max", 156, 160),
    (1, "18", "final_angle_target", 163, 167),
    (1, "19", "angle", 170, 174),
    (1, "20", "time_stamp", 177, 195),
    (1, "21", "last_change_of_parameter_set", 198, 216),
    (1, "22", "batch_status", 219, 219),
    (1, "23", "tightening_id", 222, 231),
];

const M0061_2: &[Place] = &[
    (2, "01", "cell_id", 23, 26),
    (2, "02", "channel_id", 29, 30),
    (2, "03", "controller_name", 33, 57),
    (2, "04", "vin_number", 60, 84),
    (2, "05", "job_id", 87, 90),
    (2, "06", "parameter_set_number", 93, 95),
    (2, "07", "strategy", 98, 99),
    (2, "08", "strategy_options", 102, 106),
    (2, "09", "batch_size", 109, 112),
    (2, "10", "batch_counter", 115, 118),
    (2, "11", "tightening_status", 121, 121),
    (2, "12", "batch_status", 124, 124),
    (2, "13", "torque_status", 127, 127),
    (2, "14", "angle_status", 130, 130),
    (2, "15", "rundown_angle_status", 133, 133),
    (2, "16", "current_monitoring_status", 136, 136),
    (2, "17", "self_tap_status", 139, 139),
    (2, "18", "prevail_torque_monitoring_status", 142, 142),
    (2, "19", "prevail_torque_compensate_status", 145, 145),
    (2, "20", "tightening_error_status", 148, 157),
    (2, "21", "torque_min_limit", 160, 165),
    (2, "22", "torque_max_limit", 168, 173),
    (2, "23", "torque_final_target", 176, 181),
    (2, "24", "torque", 184, 189),
    (2, "25", "angle_min", 192, 196),
    (2, "26", "angle_max", 199, 203),
    (2, "27", "final_angle_target", 206, 210),
    (2, "28", "angle", 213, 217),
    (2, "29", "rundown_angle_min", 220, 224),
    (2, "30", "rundown_angle_max", 227, 231),
    (2, "31", "rundown_angle", 234, 238),
    (2, "32", "current_monitoring_min", 241, 243),
    (2, "33", "current_monitoring_max", 246, 248),
    (2, "34", "current_monitoring_value", 251, 253),
    (2, "35", "self_tap_min", 256, 261),
    (2, "36", "self_tap_max", 264, 269),
    (2, "37", "self_tap_torque", 272, 277),
    (2, "38", "prevail_torque_monitoring_min", 280, 285),
    (2, "39", "prevail_torque_monitoring_max", 288, 293),
    (2, "40", "prevail_torque", 296, 301),
    (2, "41", "tightening_id", 304, 313),
    (2, "42", "job_sequence_number", 316, 320),
    (2, "43", "sync_tightening_id", 323, 327),
    (2, "44", "tool_serial_number", 330, 343),
    (2, "45", "time_stamp", 346, 364),
    (2, "46", "last_change_of_parameter_set", 367, 385),
    (3, "47", "parameter_set_name", 388, 412),
    (3, "48", "torque_values_unit", 415, 415),
    (3, "49", "result_type", 418, 419),
    (4, "50", "identifier_result_part_2", 422, 446),
    (4, "51", "identifier_result_part_3", 449, 473),
    (4, "52", "identifier_result_part_4", 476, 500),
    (5, "53", "customer_tightening_error_code", 503, 506),
    (6, "54", "prevail_torque_compensate_value", 509, 514),
    (6, "55", "tightening_error_status_2", 517, 526),
    (7, "56", "compensated_angle", 529, 535),
    (7, "57", "final_angle_decimal", 538, 544),
    (8, "58", "start_final_angle", 547, 552),
    (8, "59", "post_view_torque_activated", 555, 555),
    (8, "60", "post_view_torque_high", 558, 563),
    (8, "61", "post_view_torque_low", 566, 571),
    (9, "62", "current_monitoring_ampere", 574, 578),
    (9, "63", "current_monitoring_ampere_min", 581, 585),
    (9, "64", "current_monitoring_ampere_max", 588, 592),
    (10, "65", "angle_numerator_scale_factor", 595, 599),
    (10, "66", "angle_denominator_scale_factor", 602, 606),
    (10, "67", "overall_angle_status", 609, 609),
    (10, "68", "overall_angle_min", 612, 616),
    (10, "69", "overall_angle_max", 619, 623),
    (10, "70", "overall_angle", 626, 630),
    (10, "71", "peak_torque", 633, 638),
    (10, "72", "residual_breakaway_torque", 641, 646),
    (10, "73", "start_rundown_angle", 649, 654),
    (10, "74", "rundown_angle_complete", 657, 662),
    (11, "75", "click_torque", 665, 670),
    (11, "76", "click_angle", 673, 677),
];

const M0065_1: &[Place] = &[
    (1, "01", "tightening_id", 23, 32),
    (1, "02", "vin_number", 35, 59),
    (1, "03", "parameter_set_number", 62, 64),
    (1, "04", "batch_counter", 67, 70),
    (1, "05", "tightening_status", 73, 73),
    (1, "06", "torque_status", 76, 76),
    (1, "07", "angle_status", 79, 79),
    (1, "08", "torque", 82, 87),
    (1, "09", "angle", 90, 94),
    (1, "10", "time_stamp", 97, 115),
    (1, "11", "batch_status", 118, 118),
];

const M0065_2: &[Place] = &[
    (2, "01", "tightening_id", 23, 32),
    (2, "02", "vin_number", 35, 59),
    (2, "03", "job_id", 62, 65),
    (2, "04", "parameter_set_number", 68, 70),
    (2, "05", "strategy", 73, 74),
    (2, "06", "strategy_options", 77, 81),
    (2, "07", "batch_size", 84, 87),
    (2, "08", "batch_counter", 90, 93),
    (2, "09", "tightening_status", 96, 96),
    (2, "10", "batch_status", 99, 99),
    (2, "11", "torque_status", 102, 102),
    (2, "12", "angle_status", 105, 105),
    (2, "13", "rundown_angle_status", 108, 108),
    (2, "14", "current_monitoring_status", 111, 111),
    (2, "15", "self_tap_status", 114, 114),
    (2, "16", "prevail_torque_monitoring_status", 117, 117),
    (2, "17", "prevail_torque_compensate_status", 120, 120),
    (2, "18", "tightening_error_status", 123, 132),
    (2, "19", "torque", 135, 140),
    (2, "20", "angle", 143, 147),
    (2, "21", "rundown_angle", 150, 154),
    (2, "22", "current_monitoring_value", 157, 159),
    (2, "23", "self_tap_torque", 162, 167),
    (2, "24", "prevail_torque", 170, 175),
    (2, "25", "job_sequence_number", 178, 182),
    (2, "26", "sync_tightening_id", 185, 189),
    (2, "27", "tool_serial_number", 192, 205),
    (2, "28", "time_stamp", 208, 226),
    (3, "29", "torque_values_unit", 229, 229),
    (3, "30", "result_type", 232, 233),
    (4, "31", "identifier_result_part_2", 236, 260),
    (4, "32", "identifier_result_part_3", 263, 287),
    (4, "33", "identifier_result_part_4", 290, 314),
    (5, "34", "customer_tightening_error_code", 317, 320),
    (6, "35", "prevail_torque_compensate_value", 323, 328),
    (6, "36", "tightening_error_status_2", 331, 340),
    (7, "37", "station_id", 343, 352),
    (7, "38", "station_name", 355, 379),
    (8, "39", "start_final_angle", 382, 387),
    (8, "40", "post_view_torque_activated", 390, 390),
    (8, "41", "post_view_torque_high", 393, 398),
    (8, "42", "post_view_torque_low", 401, 406),
    (9, "43", "current_monitoring_ampere", 409, 413),
    (9, "44", "current_monitoring_ampere_min", 416, 420),
    (9, "45", "current_monitoring_ampere_max", 423, 427),
    (10, "46", "angle_numerator_scale_factor", 430, 434),
    (10, "47", "angle_denominator_scale_factor", 437, 441),
    (10, "48", "overall_angle_status", 444, 444),
    (10, "49", "overall_angle_min", 447, 451),
    (10, "50", "overall_angle_max", 454, 458),
    (10, "51", "overall_angle", 461, 465),
    (10, "52", "peak_torque", 468, 473),
    (10, "53", "residual_breakaway_torque", 476, 481),
    (10, "54", "start_rundown_angle", 484, 489),
    (10, "55", "rundown_angle_complete", 492, 497),
    (11, "56", "click_torque", 500, 505),
    (11, "57", "click_angle", 508, 512),
];

fn held(mid: u16, revisions: std::ops::RangeInclusive<u16>, places: &[Place]) {
    for revision in revisions {
        let layout = layout(mid, revision).unwrap();
        let ours: Vec<Place> = layout
            .places(revision)
            .map(|(p, from, to)| (p.since, p.id, p.name, from, to))
            .collect();
        let printed: Vec<Place> = places.iter().filter(|p| p.0 <= revision).copied().collect();
        assert_eq!(ours, printed, "{mid:04} revision {revision}");
    }
}

/// Each field is where it is printed, and what stands there is what decoding gives by its name: every other byte is blank.
fn read_there(mid: u16, revision: u16, places: &[Place]) {
    let length = layout(mid, revision).unwrap().length(revision);
    for (_, _, name, from, to) in places.iter().filter(|p| p.0 <= revision) {
        let mut raw = vec![b' '; length];
        for (_, id, _, at, _) in places.iter().filter(|p| p.0 <= revision) {
            raw[at - 3..at - 1].copy_from_slice(id.as_bytes());
        }
        let width = to - from + 1;
        let value = if width == 19
            && layout(mid, revision)
                .unwrap()
                .params
                .iter()
                .any(|p| p.name == *name && p.kind == Kind::Time)
        {
            "2021-02-03:04:05:06".to_owned()
        } else {
            format!("{:0>width$}", 1)
        };
        raw[from - 1..*to].copy_from_slice(value.as_bytes());
        let data = raw.split_off(20);
        let out = decode(&Telegram::new(mid, revision).with_data(data)).unwrap();
        assert!(out.get(name).is_some(), "{mid:04} revision {revision} {name}: {out:?}");
        // Nothing else but what follows from it, and that it is taken for a tightening.
        let others = out
            .fields
            .iter()
            .filter(|f| f.name != *name && !DERIVED.contains(&&*f.name))
            .count();
        assert_eq!(
            (others, out.unknown.len()),
            (0, 0),
            "{mid:04} revision {revision} {name}: {out:?}"
        );
    }
}

const DERIVED: &[&str] = &[
    "kind",
    "strategy_name",
    "strategy_option_names",
    "errors",
    "error_texts",
];

#[test]
fn each_field_of_0061_is_where_it_is_printed() {
    held(61, 1..=1, M0061_1);
    held(61, 2..=11, M0061_2);
    read_there(61, 1, M0061_1);
    for revision in 2..=11 {
        read_there(61, revision, M0061_2);
    }
}

#[test]
fn each_field_of_0065_is_where_it_is_printed() {
    held(65, 1..=1, M0065_1);
    held(65, 2..=11, M0065_2);
    read_there(65, 1, M0065_1);
    for revision in 2..=11 {
        read_there(65, revision, M0065_2);
    }
}

#[test]
fn lengths_of_all_revisions_are_those_printed() {
    let lengths: &[(u16, &[(u16, usize)])] = &[
        (
            61,
            &[
                (1, 231),
                (2, 385),
                (3, 419),
                (4, 500),
                (5, 506),
                (6, 526),
                (7, 544),
                (8, 571),
                (9, 592),
                (10, 662),
                (11, 677),
                (999, 121),
                (998, 536),
            ],
        ),
        (
            65,
            &[
                (1, 118),
                (2, 226),
                (3, 233),
                (4, 314),
                (5, 320),
                (6, 340),
                (7, 379),
                (8, 406),
                (9, 427),
                (10, 497),
                (11, 512),
            ],
        ),
        (2, &[(1, 57), (2, 62), (3, 125), (4, 163), (5, 173), (6, 221), (7, 224)]),
        (13, &[(1, 104)]),
        (15, &[(1, 42), (2, 141)]),
        (35, &[(1, 63), (2, 65), (3, 79), (4, 83), (5, 198)]),
        (41, &[(1, 81), (2, 156), (3, 180), (4, 184), (5, 198)]),
        (52, &[(1, 45), (2, 128)]),
        (71, &[(1, 53), (2, 106)]),
        (76, &[(1, 56), (2, 57), (3, 60)]),
        (152, &[(1, 148)]),
        (211, &[(1, 28)]),
    ];
    for (mid, revisions) in lengths {
        for (revision, length) in *revisions {
            assert_eq!(
                layout(*mid, *revision).unwrap().length(*revision),
                *length,
                "{mid:04} revision {revision}"
            );
        }
    }
}

fn place(mid: u16, revision: u16, name: &str) -> (usize, usize) {
    let mut places = layout(mid, revision).unwrap().places(revision);
    let found = places.find(|(p, ..)| p.name == name);
    found.map_or_else(|| panic!("{name}"), |(_, from, to)| (from, to))
}

#[test]
fn fields_of_the_smaller_telegrams_are_where_they_are_printed() {
    let printed: &[(u16, u16, &str, usize, usize)] = &[
        (2, 7, "cell_id", 23, 26),
        (2, 7, "channel_id", 29, 30),
        (2, 7, "controller_name", 33, 57),
        (2, 7, "supplier_code", 60, 62),
        (2, 7, "open_protocol_version", 65, 83),
        (2, 7, "controller_software_version", 86, 104),
        (2, 7, "tool_software_version", 107, 125),
        (2, 7, "rbu_type", 128, 151),
        (2, 7, "controller_serial_number", 154, 163),
        (2, 7, "system_type", 166, 168),
        (2, 7, "system_subtype", 171, 173),
        (2, 7, "sequence_number_support", 176, 176),
        (2, 7, "linking_support", 179, 179),
        (2, 7, "station_id", 182, 191),
        (2, 7, "station_name", 194, 218),
        (2, 7, "client_id", 221, 221),
        (2, 7, "optional_keep_alive", 224, 224),
        (15, 1, "parameter_set_number", 21, 23),
        (15, 1, "last_change_of_parameter_set", 24, 42),
        (15, 2, "last_change_of_parameter_set", 55, 73),
        (15, 2, "batch_size", 79, 80),
        (15, 2, "angle_min", 107, 111),
        (15, 2, "angle_max", 114, 118),
        (15, 2, "final_angle_target", 121, 125),
        (15, 2, "first_target", 128, 133),
        (15, 2, "start_final_angle", 136, 141),
        (35, 1, "job_batch_counter", 39, 42),
        (35, 1, "time_stamp", 45, 63),
        (35, 5, "job_status", 29, 29),
        (35, 5, "job_batch_mode", 32, 32),
        (35, 5, "job_batch_size", 35, 38),
        (35, 5, "job_batch_counter", 41, 44),
        (35, 5, "job_current_step", 68, 70),
        (35, 5, "job_step_type", 78, 79),
        (35, 5, "job_tightening_status", 82, 83),
        (35, 5, "job_sequence_number", 86, 90),
        (35, 5, "vin_number", 93, 117),
        (35, 5, "identifier_result_part_4", 174, 198),
        (41, 5, "tool_serial_number", 23, 36),
        (41, 5, "tool_tightenings", 39, 48),
        (41, 5, "last_calibration", 51, 69),
        (41, 5, "calibration_value", 84, 89),
        (41, 5, "last_service", 92, 110),
        (41, 5, "open_end_data", 133, 135),
        (41, 5, "controller_software_version", 138, 156),
        (41, 5, "tool_max_torque", 159, 164),
        (41, 5, "tool_full_speed", 175, 180),
        (41, 5, "primary_tool", 183, 184),
        (41, 5, "tool_model", 187, 198),
        (52, 2, "identifier_part_2", 50, 74),
        (52, 2, "identifier_part_3", 77, 101),
        (52, 2, "identifier_part_4", 104, 128),
        (61, 998, "number_of_stages", 529, 530),
        (61, 998, "number_of_stage_results", 533, 534),
        (61, 998, "stages", 537, 536),
        (61, 999, "torque", 63, 68),
        (61, 999, "angle", 69, 73),
        (61, 999, "time_stamp", 74, 92),
        (61, 999, "tightening_id", 112, 121),
        (71, 2, "error_code", 23, 27),
        (71, 2, "alarm_text", 57, 106),
        (76, 1, "error_code", 26, 29),
        (76, 2, "time_stamp", 39, 57),
        (76, 3, "tool_health", 60, 60),
        (91, 1, "sync_tightening_id", 27, 31),
        (91, 1, "time_stamp", 34, 52),
        (91, 1, "sync_overall_status", 55, 55),
        (91, 1, "spindles", 58, 57),
        (101, 1, "batch_status", 75, 75),
        (101, 1, "torque_min_limit", 78, 83),
        (101, 1, "final_angle_target", 116, 120),
        (101, 1, "time_stamp", 144, 162),
        (101, 1, "sync_overall_status", 172, 172),
        (101, 1, "spindles", 175, 174),
        (152, 1, "identifier_2_type", 55, 55),
        (152, 1, "identifier_4", 124, 148),
        (902, 1, "newest_sequence_number", 60, 69),
        (902, 1, "pids", 89, 91),
        (1201, 1, "result_id", 27, 36),
        (1201, 1, "tightening_status", 56, 56),
        (1201, 2, "request_mid", 59, 62),
        (1201, 3, "objects", 63, 65),
        (1202, 1, "object_id", 37, 40),
        (1202, 1, "pids", 41, 43),
        (1202, 2, "node_guid", 41, 76),
        (1202, 2, "pids", 77, 79),
    ];
    for (mid, revision, name, from, to) in printed {
        assert_eq!(
            place(*mid, *revision, name),
            (*from, *to),
            "{mid:04} revision {revision} {name}"
        );
    }
}

#[test]
fn every_name_of_every_layout_is_listed_with_its_kind() {
    use crate::wire::open_protocol::fields::{FieldKind, info};
    for layout in LAYOUTS {
        for p in layout.params {
            if matches!(
                p.kind,
                Kind::SpindleStates | Kind::SpindleResults | Kind::Stages | Kind::Objects(_) | Kind::Pids
            ) {
                continue;
            }
            let info = info(p.name).unwrap_or_else(|| panic!("{}", p.name));
            let (kind, uom) = match p.kind {
                Kind::In(uom) => (FieldKind::Integer, Some(uom)),
                Kind::Hundredth(uom) => (FieldKind::Number, uom),
                Kind::Torque | Kind::TorqueLimit => (FieldKind::Number, Some("N.m")),
                Kind::Angle | Kind::AngleLimit => (FieldKind::Integer, Some("deg")),
                Kind::Text | Kind::Rest => (FieldKind::Text, None),
                Kind::Time => (FieldKind::Time, None),
                Kind::Bool => (FieldKind::Bool, None),
                Kind::Coded(words) => (FieldKind::Word(words.words), None),
                Kind::TorqueUom => (
                    FieldKind::Word(crate::wire::open_protocol::tables::codes::TORQUE_UOM.words),
                    None,
                ),
                _ => (FieldKind::Integer, None),
            };
            assert_eq!((info.kind, info.uom), (kind, uom), "{}", p.name);
            assert!(
                info.from.contains(&format!("{:04}", layout.mid)),
                "{} of {:04}",
                p.name,
                layout.mid
            );
        }
    }
}
