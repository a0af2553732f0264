//! Every vector of `reference/devices.md` 1.8, and the field facts of 1.5.5.

use super::*;
use crate::wire::open_protocol::{Trace, TraceOrder, trace, variable};

#[test]
fn t2_t3_who_the_controller_is() {
    let out = decoded("00570002001         010001020103Airbag1                  ");
    expect(
        &out,
        &[("cell_id", "1"), ("channel_id", "1"), ("controller_name", "Airbag1")],
    );
    let out = decoded(
        "02210002006         010001020103Airbag1                  04ACT05OpenProtocolVersion06Version 19.0.0.0   07Version 01.0.0.0   08RBUType                 09Serial    100021100212013114429496729515Station Or Cell Name     16A",
    );
    expect(
        &out,
        &[
            ("supplier_code", "ACT"),
            ("open_protocol_version", "OpenProtocolVersion"),
            ("controller_software_version", "Version 19.0.0.0"),
            ("tool_software_version", "Version 01.0.0.0"),
            ("rbu_type", "RBUType"),
            ("controller_serial_number", "Serial"),
            ("system_type", "2"),
            ("system_type_name", "PowerMACS 4000"),
            ("system_subtype", "2"),
            ("sequence_number_support", "false"),
            ("linking_support", "true"),
            ("station_id", "4294967295"),
            ("station_name", "Station Or Cell Name"),
            ("client_id", "A"),
        ],
    );
}

#[test]
fn t4_t5_t8_t9_refused_accepted_alive() {
    let out = decoded("00260004            001802");
    expect(
        &out,
        &[
            ("failed_mid", "18"),
            ("refusal_code", "2"),
            ("refusal_text", "parameter set id not present"),
        ],
    );
    let out = decoded("00270004002         0018021");
    expect(&out, &[("failed_mid", "18"), ("refusal_code", "21")]);
    expect(&decoded("00240005            0018"), &[("accepted_mid", "18")]);
    for raw in [
        "00209999            ",
        "00209999001 0000    ",
        "00200001003         ",
        "00200060002         ",
        "00200062            ",
    ] {
        let out = decoded(raw);
        assert!(out.fields.is_empty() && out.unknown.is_empty(), "{out:?}");
    }
    assert_eq!(Telegram::parse(b"00200001003         ").unwrap().revision(), 3);
    for (raw, data) in [
        ("00300064001         0000000000", "0000000000"),
        ("00230018001         012", "012"),
    ] {
        assert_eq!(Telegram::parse(raw.as_bytes()).unwrap().data_text(), data);
    }
}

#[test]
fn a_result_of_revision_1() {
    let out = decoded(
        "02310061001         010001020103airbag7                  04KPOL3456JKLO897          050006003070000080000090100111120008401300140014001200150007391600000170999918000001900000202001-06-02:09:54:09212001-05-29:12:34:33221230000345675",
    );
    expect(
        &out,
        &[
            ("cell_id", "1"),
            ("channel_id", "1"),
            ("controller_name", "airbag7"),
            ("vin_number", "KPOL3456JKLO897"),
            ("job_id", "0"),
            ("parameter_set_number", "3"),
            ("batch_size", "0"),
            ("batch_counter", "0"),
            ("tightening_status", "nok"),
            ("torque_status", "low"),
            ("angle_status", "ok"),
            ("torque_min_limit", "8.4"),
            ("torque_max_limit", "14"),
            ("torque_final_target", "12"),
            ("torque", "7.39"),
            ("angle_min", "0"),
            // 9999 says "no limit".
            ("angle_max", ""),
            ("angle", "0"),
            ("time_stamp", "2001-06-02:09:54:09"),
            ("last_change_of_parameter_set", "2001-05-29:12:34:33"),
            ("batch_status", "ok"),
            ("tightening_id", "345675"),
            ("kind", "tighten"),
        ],
    );
    let torque = out.field("torque").unwrap();
    assert_eq!(
        (&torque.value, torque.uom),
        (&Raw::Dec("7.39".parse().unwrap()), Some("N.m"))
    );
    assert_eq!(out.field("angle").unwrap().uom, Some("deg"));
}

/// What every revision from 2 on says of the real result.
fn real(out: &Decoded) {
    expect(
        out,
        &[
            ("controller_name", "RA ST6.2 ETV100"),
            ("vin_number", ""),
            ("parameter_set_number", "1"),
            ("strategy", "2"),
            ("strategy_name", "torque control / angle monitoring"),
            ("strategy_options", "67"),
            ("strategy_option_names", "torque,angle,rundown"),
            ("tightening_status", "nok"),
            ("batch_status", ""),
            ("torque_status", "low"),
            ("angle_status", "low"),
            ("rundown_angle_status", "low"),
            ("current_monitoring_status", "ok"),
            ("tightening_error_status", "8194"),
            ("torque_min_limit", "34"),
            ("torque_max_limit", "46"),
            ("torque_final_target", "40"),
            ("torque", "5.05"),
            ("angle", "0"),
            ("angle_min", "20"),
            ("angle_max", "420"),
            ("rundown_angle", "4"),
            ("rundown_angle_min", "100"),
            ("rundown_angle_max", "850"),
            ("current_monitoring_value", "0"),
            ("current_monitoring_min", "0"),
            ("current_monitoring_max", "150"),
            // 9999.00 says "no limit".
            ("self_tap_max", ""),
            ("prevail_torque_monitoring_max", "0"),
            ("tightening_id", "184887"),
            ("tool_serial_number", "C0761275"),
            ("time_stamp", "2020-06-25:01:04:39"),
            ("last_change_of_parameter_set", "2020-06-24:10:48:53"),
        ],
    );
}

#[test]
fn a_real_result_of_revision_2() {
    let out = decoded(&result(2, REAL_2));
    real(&out);
    expect(
        &out,
        &[
            ("errors", "2,14"),
            ("error_texts", "rundown angle min,trigger lost"),
            ("kind", "tighten"),
        ],
    );
    assert_eq!(out.get("errors"), Some(&Raw::List(vec![Raw::Int(2), Raw::Int(14)])));
    assert!(out.unknown.is_empty());
}

#[test]
fn results_of_revisions_3_to_6() {
    let tails = [
        "47Test Parameter Set       4824905",
        "50Identifier result part 2 51Identifier result part 3 52Identifier result part 4 ",
        "53E124",
        "54001500550000000042",
    ];
    let mut data = REAL_2.to_owned();
    for (revision, tail) in (3..).zip(tails) {
        data.push_str(tail);
        let out = decoded(&result(revision, &data));
        real(&out);
        expect(
            &out,
            &[
                ("parameter_set_name", "Test Parameter Set"),
                ("torque_values_unit", "[lbf_av].[ft_i]"),
                ("result_type", "bypass"),
                // A bypass is no tightening.
                ("kind", ""),
            ],
        );
        assert_eq!(out.field("torque").unwrap().uom, Some("[lbf_av].[ft_i]"));
        if revision >= 4 {
            for part in 2..=4 {
                let name = format!("identifier_result_part_{part}");
                assert_eq!(text(&out, &name), format!("Identifier result part {part}"));
            }
        }
        expect(
            &out,
            &[(
                "customer_tightening_error_code",
                if revision >= 5 { "E124" } else { "" },
            )],
        );
        if revision == 6 {
            expect(
                &out,
                &[
                    ("prevail_torque_compensate_value", "15"),
                    ("tightening_error_status_2", "42"),
                    ("errors", "2,14,34,36,38"),
                    (
                        "error_texts",
                        "rundown angle min,trigger lost,tool stall,gradient monitoring high,reaction bar failed",
                    ),
                ],
            );
        }
    }
}

#[test]
fn results_of_revisions_7_to_11() {
    let mut data = format!(
        "{REAL_2}47{:25}48149{:02}50{:25}51{:25}52{:25}53{:4}54001500550000000000",
        "Set", 1, "two", "three", "four", ""
    );
    let tails = [
        "560012345570009000",
        "580001505916000007061000050",
        "620125063000106409999",
        "6500001660000267168-00206903600700040071001234720005007300001274000034",
        "7500045576-0012",
    ];
    let says: [&[(&str, &str)]; 5] = [
        &[
            ("compensated_angle", "123.45"),
            ("final_angle_decimal", "90"),
            ("angle", "0"),
        ],
        &[
            ("start_final_angle", "1.5"),
            ("post_view_torque_activated", "true"),
            ("post_view_torque_high", "0.7"),
            ("post_view_torque_low", "0.5"),
        ],
        &[
            ("current_monitoring_ampere", "12.5"),
            ("current_monitoring_ampere_min", "0.1"),
            ("current_monitoring_ampere_max", "99.99"),
        ],
        &[
            ("angle_numerator_scale_factor", "1"),
            ("angle_denominator_scale_factor", "2"),
            ("overall_angle_status", "ok"),
            ("overall_angle_min", "-20"),
            ("overall_angle_max", "3600"),
            ("overall_angle", "400"),
            ("peak_torque", "12.34"),
            ("residual_breakaway_torque", "5"),
            ("start_rundown_angle", "12"),
            ("rundown_angle_complete", "34"),
        ],
        &[("click_torque", "4.55"), ("click_angle", "-12")],
    ];
    let mut seen: Vec<(&str, &str)> = Vec::new();
    for ((revision, tail), says) in (7..).zip(tails).zip(says) {
        data.push_str(tail);
        seen.extend(says);
        let raw = result(revision, &data);
        let length = crate::wire::open_protocol::tables::layout(61, revision)
            .unwrap()
            .length(revision);
        assert_eq!(raw.len(), length, "revision {revision}");
        let out = decoded(&raw);
        real(&out);
        expect(&out, &seen);
        expect(
            &out,
            &[
                ("kind", "tighten"),
                ("result_type", "tightening"),
                ("customer_tightening_error_code", ""),
            ],
        );
        assert!(out.unknown.is_empty(), "{:?}", out.unknown);
    }
}

#[test]
fn stages_of_revision_998_and_the_light_999() {
    let six = format!(
        "{REAL_2}47{:25}4814901{}53{:4}54001500550000000000",
        "Set", "50                         51                         52                         ", ""
    );
    let data = format!("{six}56025702580005050001000120000090");
    let out = decoded(&result(998, &data));
    real(&out);
    expect(
        &out,
        &[
            ("number_of_stages", "2"),
            ("stage_torques", "5.05,12"),
            ("stage_angles", "10,90"),
        ],
    );
    let cut = result(998, &format!("{six}560257025800050500010"));
    assert!(decode(&Telegram::parse(cut.as_bytes()).unwrap()).is_err());

    let data = format!(
        "{:25}0200300100007011200123400360{}{}0000000042",
        "VIN 1", "2021-02-03:04:05:06", "2020-02-03:04:05:06"
    );
    let out = decoded(&result(999, &data));
    expect(
        &out,
        &[
            ("vin_number", "VIN 1"),
            ("job_id", "2"),
            ("parameter_set_number", "3"),
            ("batch_size", "10"),
            ("batch_counter", "7"),
            ("batch_status", "nok"),
            ("tightening_status", "ok"),
            ("torque_status", "ok"),
            ("angle_status", "high"),
            ("torque", "12.34"),
            ("angle", "360"),
            ("tightening_id", "42"),
            ("kind", "tighten"),
        ],
    );
}

#[test]
fn old_results() {
    let out = decoded(
        "01180065001         01012345678902AIRBAG                   03001040002050060070080014670900046102001-04-22:14:54:34112",
    );
    expect(
        &out,
        &[
            ("tightening_id", "123456789"),
            ("vin_number", "AIRBAG"),
            ("parameter_set_number", "1"),
            ("batch_counter", "2"),
            ("tightening_status", "nok"),
            ("torque_status", "low"),
            ("angle_status", "low"),
            ("torque", "14.67"),
            ("angle", "46"),
            ("time_stamp", "2001-04-22:14:54:34"),
            ("batch_status", ""),
        ],
    );
}

#[test]
fn identifiers() {
    expect(
        &decoded("00450052001         VehicleIdNumber          "),
        &[("vin_number", "VehicleIdNumber")],
    );
    expect(
        &decoded("00470052001         VehicleIdNumberHigherThan25"),
        &[("vin_number", "VehicleIdNumberHigherThan25")],
    );
    let out = decoded(
        "01280052002         01VehicleIdNumber          02IdentifierPart2          03IdentifierPart3          04IdentifierPart4          ",
    );
    expect(
        &out,
        &[
            ("vin_number", "VehicleIdNumber"),
            ("identifier_part_2", "IdentifierPart2"),
            ("identifier_part_3", "IdentifierPart3"),
            ("identifier_part_4", "IdentifierPart4"),
        ],
    );
    let out = decoded(
        "01480152001         0110101Result part 1            0220003Result part 2            0330104Result part 3            0440105Result part 4            ",
    );
    expect(
        &out,
        &[
            ("identifier_1", "Result part 1"),
            ("identifier_1_type", "1"),
            ("identifier_1_order", "1"),
            ("identifier_1_status", "accepted"),
            ("identifier_2_status", "reset"),
            ("identifier_3_status", "next"),
            ("identifier_4_status", "initial"),
            ("identifier_4", "Result part 4"),
            ("vin_number", "Result part 1"),
            ("identifier_part_2", "Result part 2"),
        ],
    );
}

#[test]
fn alarms() {
    let out = decoded("00530071001         01E851021031042017-12-01:20:12:45");
    expect(
        &out,
        &[
            ("error_code", "E851"),
            ("controller_ready", "true"),
            ("tool_ready", "true"),
            ("alarm_active", "true"),
            ("time_stamp", "2017-12-01:20:12:45"),
        ],
    );
    let out = decoded(
        "01060071002         01E1021021031042017-12-01:20:12:4505Alarm Text                                        ",
    );
    expect(&out, &[("error_code", "E1021"), ("alarm_text", "Alarm Text")]);
    let out = decoded("00240074001         E851");
    expect(
        &out,
        &[
            ("error_code", "E851"),
            ("alarm_active", "false"),
            ("alarm_acknowledged", "true"),
        ],
    );
    expect(&decoded("00250074002         E8511"), &[("error_code", "E8511")]);
    let out = decoded("00560076001         01102E851031041052017-01-25:10:20:20");
    expect(
        &out,
        &[("alarm_active", "true"), ("error_code", "E851"), ("tool_ready", "true")],
    );
}

#[test]
fn jobs_parameter_sets_times_and_inputs() {
    let out = decoded("00630035001         0101020030040008050003062001-12-01:20:12:45");
    expect(
        &out,
        &[
            ("job_id", "1"),
            ("job_status", "not_done"),
            ("job_batch_mode", "ok_only"),
            ("job_batch_size", "8"),
            ("job_batch_counter", "3"),
        ],
    );
    let out = decoded(
        "01980035005         010001020030040008050003062001-12-01:20:12:45071200801009121001111234512VINVINN12345678912345678913IdentifierResultPart2xxxx14IdentifierResultPart3xxxx15IdentifierResultPart4xxxx",
    );
    expect(
        &out,
        &[
            ("job_id", "1"),
            ("job_current_step", "120"),
            ("job_total_steps", "10"),
            ("job_step_type", "12"),
            ("job_tightening_status", "ok"),
            ("job_sequence_number", "12345"),
            ("vin_number", "VINVINN123456789123456789"),
            ("identifier_result_part_4", "IdentifierResultPart4xxxx"),
        ],
    );
    expect(
        &decoded("00420015001         0022017-06-02:09:54:09"),
        &[
            ("parameter_set_number", "2"),
            ("last_change_of_parameter_set", "2017-06-02:09:54:09"),
        ],
    );
    expect(
        &decoded("00390081            2017-12-01:20:12:45"),
        &[("time_stamp", "2017-12-01:20:12:45")],
    );
    let inputs = "00280211   1        10101011";
    assert!(Telegram::parse(inputs.as_bytes()).unwrap().header.no_ack);
    expect(
        &decoded(inputs),
        &[
            ("monitored_input_1", "true"),
            ("monitored_input_2", "false"),
            ("monitored_input_8", "true"),
        ],
    );
    let relays = decoded("00300200            1231231230");
    assert_eq!(relays.unknown, [("0200".to_owned(), "1231231230".to_owned())]);
    expect(&decoded("00210022            1"), &[("lock_at_batch_done", "true")]);
    expect(
        &decoded("00300066002         0100502012"),
        &[("offline_results_count", "5"), ("offline_curves_count", "12")],
    );
}

#[test]
fn tools() {
    let out = decoded("00810041001         01ABCDEFG-123456024294967295032017-12-01:20:12:4504GFEDCBA-10");
    expect(
        &out,
        &[
            ("tool_serial_number", "ABCDEFG-123456"),
            ("tool_tightenings", "4294967295"),
            ("last_calibration", "2017-12-01:20:12:45"),
            ("controller_serial_number", "GFEDCBA-10"),
        ],
    );
    let raw = "01800041003     32000156877         020000015450032018-07-03:12:10:000400309280  05012650061970-01-01:00:00:00070000014832080109071000011                   120110001301189014048786";
    assert_eq!(Telegram::parse(raw.as_bytes()).unwrap().header.sequence, Some(32));
    let out = decoded(raw);
    expect(
        &out,
        &[
            ("tool_serial_number", "56877"),
            ("tool_tightenings", "15450"),
            ("calibration_value", "126.5"),
            ("last_service", "1970-01-01:00:00:00"),
            ("controller_software_version", ""),
            ("tool_max_torque", "110"),
            ("gear_ratio", "118.9"),
            ("tool_full_speed", "487.86"),
        ],
    );
}

/// 0101 with two spindles; `tail` are the parameters behind them.
fn two_spindles(revision: u16, tail: &str) -> String {
    let time = "2021-02-03:04:05:06";
    let data = format!(
        "010202{:25}0301040020500060600010710800084009001400100012001100000120999913000001{}15{time}160000717118{}{}{tail}",
        "VIN 1",
        "4".to_owned() + time,
        "010111001234100090",
        "0202000005670-0012",
    );
    format!("{:04}0101{revision:03}         {data}", data.len() + 20)
}

#[test]
fn spindles_have_their_own_values() {
    let out = decoded("00670091            01020200012032021-02-03:04:05:06041050101102020");
    expect(
        &out,
        &[
            ("spindle_count", "2"),
            ("sync_tightening_id", "12"),
            ("sync_overall_status", "ok"),
        ],
    );
    let states: Vec<Vec<String>> = out
        .spindles
        .iter()
        .map(|s| s.iter().map(|f| f.value.text()).collect())
        .collect();
    assert_eq!(states, [["1", "1", "ok"], ["2", "2", "nok"]]);

    let out = decoded(&two_spindles(1, ""));
    expect(
        &out,
        &[
            ("vin_number", "VIN 1"),
            ("batch_status", "ok"),
            ("torque_min_limit", "8.4"),
            ("angle_max", ""),
            ("sync_tightening_id", "7"),
            ("kind", "tighten"),
        ],
    );
    assert_eq!(out.spindles.len(), 2);
    let value = |spindle: usize, name: &str| {
        let field = out.spindles[spindle].iter().find(|f| f.name == name).unwrap();
        (field.value.text(), field.uom)
    };
    assert_eq!(value(0, "torque"), ("12.34".to_owned(), Some("N.m")));
    assert_eq!(value(0, "angle"), ("90".to_owned(), Some("deg")));
    assert_eq!(value(0, "torque_status").0, "ok");
    assert_eq!(value(1, "tightening_status").0, "nok");
    assert_eq!(value(1, "torque_status").0, "low");
    assert_eq!(value(1, "angle_status").0, "low");
    assert_eq!(value(1, "angle").0, "-12");
}

#[test]
fn a_press_has_force_and_stroke() {
    let out = decoded(&two_spindles(5, "190022000042"));
    expect(
        &out,
        &[
            ("system_subtype", "2"),
            ("job_sequence_number", "42"),
            ("force_min_limit", "8.4"),
            ("force_final_target", "12"),
            ("torque_min_limit", ""),
        ],
    );
    let first: Vec<(&str, String, Option<&str>)> = out.spindles[0]
        .iter()
        .map(|f| (&*f.name, f.value.text(), f.uom))
        .collect();
    assert!(first.contains(&("force", "12.34".to_owned(), Some("kN"))), "{first:?}");
    assert!(first.contains(&("stroke", "0.9".to_owned(), Some("mm"))), "{first:?}");
    let too_many = two_spindles(1, "").replace("010202VIN", "010302VIN");
    assert!(decode(&Telegram::parse(too_many.as_bytes()).unwrap()).is_err());
}

#[test]
fn results_with_variable_data_fields() {
    let one = decoded("00691201            00200100000001532022-11-14:09:35:1000000100100000");
    expect(
        &one,
        &[
            ("message_count", "2"),
            ("message_number", "1"),
            ("result_id", "153"),
            ("tightening_id", "153"),
            ("time_stamp", "2022-11-14:09:35:10"),
            ("tightening_status", "nok"),
            ("operation_type", "hand_tool"),
            ("object_ids", "10"),
            ("object_statuses", "nok"),
        ],
    );
    let two = decoded("00731201002         00200100000001532022-11-14:09:35:10000000800100100000");
    expect(
        &two,
        &[("request_mid", "8"), ("object_ids", "10"), ("result_id", "153")],
    );
    let three = decoded("00781201003         00200100000001532022-11-14:09:35:1000000080010010030092000");
    expect(
        &three,
        &[("request_mid", "8"), ("object_ids", "10"), ("object_statuses", "nok")],
    );
    assert!(three.unknown.is_empty() && two.unknown.is_empty() && one.unknown.is_empty());
    let raw = "00691201            00200100000001532022-11-14:09:35:1000000100100000";
    let place = variable::place(&Telegram::parse(raw.as_bytes()).unwrap()).unwrap();
    assert_eq!(place, (2, 1, "0000000153".to_owned()));
    assert!(variable::place(&Telegram::new(61, 1)).is_err());
}

/// A 1202 of revision 1 with these PIDs.
fn object(pids: &[&str]) -> String {
    let data = format!("00200200000001530010{:03}{}", pids.len(), pids.concat());
    format!("{:04}1202001         {data}", data.len() + 20)
}

/// A variable data field.
fn pid(number: u32, kind: u8, unit: u16, step: u16, value: &str) -> String {
    format!("{number:05}{:03}{kind:02}{unit:03}{step:04}{value}", value.len())
}

#[test]
fn variable_data_fields_of_every_type() {
    let out = decoded(&object(&[
        &pid(2001, 90, 90, 0, "00001.234e+2"),
        &pid(2011, 3, 50, 0, "000090.500"),
        &pid(30, 1, 0, 0, "0000184887"),
        &pid(2013, 2, 50, 0, "-0020"),
        &pid(10, 4, 0, 0, "  VIN 1   "),
        &pid(30203, 5, 0, 0, "2021-02-03:04:05:06"),
        &pid(700, 6, 0, 0, "1"),
        &pid(1401, 7, 0, 0, "0x1F"),
        &pid(701, 50, 0, 0, "0001.500-002.250"),
        &pid(702, 51, 0, 0, "0000000700000008"),
        &pid(703, 1, 0, 0, "18446744073709551615"),
        &pid(704, 3, 0, 0, "      "),
        &pid(705, 3, 0, 0, "------"),
        &pid(706, 1, 0, 0, "12x"),
        &pid(1402, 1, 0, 0, "2"),
        &pid(1037, 7, 0, 0, "2002"),
    ]));
    expect(
        &out,
        &[
            ("torque", "123.4"),
            ("pid_2001", "123.4"),
            ("angle", "90.5"),
            ("angle_min", "-20"),
            ("tightening_id", "184887"),
            ("vin_number", "VIN 1"),
            ("start_time", "2021-02-03:04:05:06"),
            ("pid_700", "true"),
            ("object_error_code", "0x1F"),
            ("pid_701", "1.5,-2.25"),
            ("pid_702", "7,8"),
            ("pid_703", "18446744073709551615"),
            ("pid_704", ""),
            ("pid_705", ""),
            ("pid_706", ""),
            ("torque_status", "high"),
            ("tightening_error_status", "8194"),
            ("errors", "2,14"),
        ],
    );
    assert_eq!(out.field("torque").unwrap().uom, Some("mN.m"));
    assert_eq!(out.unknown, [("pid_706".to_owned(), "12x".to_owned())]);
}

#[test]
fn of_several_steps_the_whole_counts_else_the_last() {
    let out = decoded(&object(&[
        &pid(2001, 3, 1, 1, "1.0"),
        &pid(2001, 3, 1, 2, "2.0"),
        &pid(2011, 2, 50, 1, "10"),
        &pid(2011, 2, 50, 0, "99"),
    ]));
    expect(
        &out,
        &[
            ("torque", "2"),
            ("pid_2001", "2"),
            ("pid_2001_step_1", "1"),
            ("pid_2001_step_2", "2"),
            ("angle", "99"),
            ("pid_2011", "99"),
            ("pid_2011_step_1", "10"),
        ],
    );
}

#[test]
fn a_result_of_an_mtf6000_is_joined() {
    let one = decoded("00691201            00200100000001532022-11-14:09:35:1010000100101000");
    expect(&one, &[("tightening_status", "ok"), ("kind", "tighten")]);
    let two = decoded(&object(&[
        &pid(30200, 1, 0, 0, "0000000777"),
        &pid(30201, 1, 0, 0, "2"),
        &pid(30202, 1, 0, 0, "1"),
        &pid(30207, 4, 0, 0, "C1"),
        &pid(30214, 4, 0, 0, "T1"),
        &pid(30216, 1, 0, 0, "5"),
        &pid(30217, 4, 0, 0, "Cover"),
        &pid(30237, 90, 90, 0, "00001.234e+2"),
        &pid(30238, 90, 50, 0, "00003.600e+2"),
        &pid(30241, 1, 0, 0, "2"),
        &pid(30242, 1, 0, 0, "3"),
    ]));
    let out = variable::join(&one, std::slice::from_ref(&two));
    listed(&out);
    expect(
        &out,
        &[
            ("tightening_id", "777"),
            ("result_id", "153"),
            ("kind", "loosen"),
            ("result_code", "ok"),
            ("controller_serial_number", "C1"),
            ("tool_serial_number", "T1"),
            ("parameter_set_number", "5"),
            ("parameter_set_name", "Cover"),
            ("torque", "123.4"),
            ("angle", "360"),
            ("torque_status", "low"),
            ("angle_status", "high"),
            ("tightening_status", "ok"),
            ("message_number", "1"),
        ],
    );
    let several = variable::join(&one, &[two.clone(), two]);
    assert_eq!((several.spindles.len(), text(&several, "torque")), (2, String::new()));
    expect(&several, &[("tightening_id", "153"), ("kind", "tighten")]);
}

#[test]
fn the_reach_of_a_result_memory() {
    let out = decoded(
        "01450902001         000000213400000000012022-12-21:13:02:3300000058192023-12-10:12:28:54002000050010600000001000100190500000002023-11-09:18:48:14",
    );
    expect(
        &out,
        &[
            ("result_capacity", "2134"),
            ("oldest_sequence_number", "1"),
            ("oldest_time", "2022-12-21:13:02:33"),
            ("newest_sequence_number", "5819"),
            ("newest_time", "2023-12-10:12:28:54"),
            ("pid_5", "true"),
            ("pid_10", "2023-11-09:18:48:14"),
            // Its numbers have meanings of their own.
            ("vin_number", ""),
        ],
    );
}

#[test]
fn a_trace_is_scaled_exactly() {
    let pids = format!("001{}", pid(2213, 3, 0, 0, "100.0000"));
    let data = format!(
        "0000000153{}0000200001{pids}0010000100003004032020.50 00003",
        "2021-02-03:04:05:06"
    )
    .replace("0.50 ", "0.50");
    let binary = [0xD2, 0x04, 0x00, 0x00, 0xFF, 0xFF];
    let telegram = Telegram::new(900, 1).with_data(data).with_binary(binary);
    let curve = trace::decode(&telegram, TraceOrder::Little).unwrap();
    let samples: Vec<String> = curve.samples.iter().map(ToString::to_string).collect();
    assert_eq!(samples, ["12.34", "0", "-0.01"]);
    assert_eq!(
        (curve.result_id.as_str(), curve.kind.as_str(), curve.uom),
        ("153", "torque", Some("N.m"))
    );
    assert_eq!(curve.step, Some(("time", Some("ms"), "0.5".parse().unwrap())));
    let big = trace::decode(&telegram, TraceOrder::Big).unwrap();
    assert_eq!(big.samples[2].to_string(), "-0.01");
    assert_ne!(big.samples[0], curve.samples[0]);
    let out = decoded_bytes(&telegram.encode());
    assert_eq!(out.trace, Some(curve));
    expect(
        &out,
        &[("result_id", "153"), ("trace_type", "torque"), ("pid_2213", "100")],
    );
    let mut short = telegram;
    short.binary.pop();
    assert!(decode(&short).unwrap_err().to_string().contains("`samples`"));
}

#[test]
fn a_trace_reads_back_as_it_was_built() {
    let samples: Vec<_> = ["0", "12.34", "-3.5", "100"]
        .iter()
        .map(|s| s.parse().unwrap())
        .collect();
    let curve = Trace {
        result_id: "42".into(),
        time: Some("2021-02-03:04:05:06".into()),
        kind: "angle".into(),
        uom: Some("deg"),
        samples,
        step: Some(("time", Some("ms"), "0.25".parse().unwrap())),
        fields: Vec::new(),
    };
    for order in [TraceOrder::Little, TraceOrder::Big] {
        let telegram = trace::encode(&curve, order).unwrap();
        let telegram = Telegram::parse(&telegram.encode()).unwrap();
        let mut back = trace::decode(&telegram, order).unwrap();
        back.fields.clear();
        assert_eq!(back, curve);
    }
    let long = Trace {
        samples: vec![crate::model::Decimal::ONE; 6_000],
        ..curve
    };
    assert!(trace::encode(&long, TraceOrder::Little).is_err());
}

#[test]
fn what_is_blank_dashed_or_impossible_is_absent() {
    let dashes = REAL_2
        .replace("24000505", "24------")
        .replace("2020-06-25:01:04:39", "0000-00-00:00:00:00");
    let out = decoded(&result(2, &dashes));
    expect(
        &out,
        &[
            ("torque", ""),
            ("time_stamp", ""),
            ("time_stamp_raw", "0000-00-00:00:00:00"),
            ("tightening_id", "184887"),
        ],
    );
    assert!(out.unknown.is_empty());
    let blanks = REAL_2
        .replace("24000505", "24      ")
        .replace("2020-06-25:01:04:39", "                   ");
    let out = decoded(&result(2, &blanks));
    expect(&out, &[("torque", ""), ("time_stamp", ""), ("time_stamp_raw", "")]);
    let letters = REAL_2.replace("24000505", "24ERR505").replace("13014", "13914");
    let out = decoded(&result(2, &letters));
    expect(&out, &[("torque", ""), ("torque_status", "")]);
    assert_eq!(
        out.unknown,
        [
            ("torque_status".to_owned(), "9".to_owned()),
            ("torque".to_owned(), "ERR505".to_owned())
        ]
    );
}

#[test]
fn a_parameter_that_is_missing_or_new_costs_itself_only() {
    // Without the tool's serial number.
    let missing = REAL_2.replace("44      C0761275", "");
    let out = decoded(&result(2, &missing));
    expect(
        &out,
        &[
            ("tool_serial_number", ""),
            ("torque", "5.05"),
            ("time_stamp", "2020-06-25:01:04:39"),
        ],
    );
    assert!(out.unknown.is_empty());
    // Id and value blank.
    let blank = REAL_2.replace("44      C0761275", "                ");
    expect(
        &decoded(&result(2, &blank)),
        &[("tool_serial_number", ""), ("time_stamp", "2020-06-25:01:04:39")],
    );
    // More than the revision has.
    let more = format!("{REAL_2}99abc");
    let out = decoded(&result(2, &more));
    real(&out);
    assert_eq!(out.unknown, [("99".to_owned(), "abc".to_owned())]);
    // The last ones missing, the telegram ending between two.
    let fewer = REAL_2.replace("462020-06-24:10:48:53", "");
    expect(
        &decoded(&result(2, &fewer)),
        &[("last_change_of_parameter_set", ""), ("tightening_id", "184887")],
    );
    // A revision that nobody knows yet.
    let out = decoded(&result(12, REAL_2));
    expect(&out, &[("torque", "5.05")]);
}

#[test]
fn what_ends_inside_a_value_is_a_fault() {
    let cut = result(2, REAL_2.get(..150).unwrap());
    let fault = decode(&Telegram::parse(cut.as_bytes()).unwrap()).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "MID 0061 revision 2 ends inside `torque_max_limit`: 153 bytes of data are needed, there are 150"
    );
    assert!(decode(&Telegram::new(61, 2)).is_err());
    let no_count = "00691201            00200100000001532022-11-14:09:35:100000x100100000";
    let fault = decode(&Telegram::parse(no_count.as_bytes()).unwrap()).unwrap_err();
    assert_eq!(fault.to_string(), "MID 1201: `0x1` is no objects");
}

#[test]
fn text_that_is_no_utf_8_is_marked() {
    let mut raw = result(2, REAL_2).into_bytes();
    raw[32] = 0xFF;
    let out = decoded_bytes(&raw);
    assert_eq!(text(&out, "controller_name"), "\u{FFFD}A ST6.2 ETV100");
    // UTF-8 is counted in bytes (MTF6000).
    let data = format!("01{:24}", "Überdruck");
    let out = decoded(&format!("{:04}0052002         {data}", data.len() + 20));
    expect(&out, &[("vin_number", "Überdruck")]);
}

#[test]
fn an_unknown_mid_is_kept() {
    let out = decoded("00260799            abc 12");
    assert!(out.fields.is_empty());
    assert_eq!(out.unknown, [("0799".to_owned(), "abc 12".to_owned())]);
}
