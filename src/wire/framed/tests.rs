use super::*;
use crate::model::plan::{
    Address, Checksum, ChecksumAt, FramePlace as Place, FramePlan as Frame, FramePoint, ParsePlan as Parse, PointPlan,
    TextKind as Kind,
};
use crate::model::{Decimal, Raw};
use crate::wire::escaped;
use proptest::prelude::*;

fn frame(start: &str, end: &str) -> Frame {
    Frame {
        start: start.into(),
        end: end.into(),
        lengths: Vec::new(),
        checksum: Checksum::None,
        checksum_at: ChecksumAt::BeforeEnd,
        idle: None,
        max: shape::MAX,
    }
}

fn sized(start: &str, end: &str, lengths: &[usize]) -> Frame {
    Frame {
        lengths: lengths.to_vec(),
        ..frame(start, end)
    }
}

/// What came, short: contents, `!` before what has a fault, and `~n` for noise.
fn short(framed: &[Framed]) -> Vec<String> {
    let one = |framed: &Framed| match framed {
        Framed::Frame { content, fault, .. } => {
            let sign = if fault.is_some() { "!" } else { "" };
            format!("{sign}{}", escaped(content))
        }
        Framed::Noise(count) => format!("~{count}"),
    };
    framed.iter().map(one).collect()
}

/// All at once, and byte by byte: it must be the same.
fn cut(frame: &Frame, bytes: &[u8]) -> Vec<String> {
    shape::check(frame).unwrap();
    let mut framer = Framer::new(frame.clone());
    let once = framer.push(0, bytes);
    let mut framer = Framer::new(frame.clone());
    let each: Vec<Framed> = bytes.iter().flat_map(|byte| framer.push(0, &[*byte])).collect();
    let whole = |framed: &[Framed]| -> Vec<Framed> {
        let whole = framed.iter().filter(|framed| matches!(framed, Framed::Frame { .. }));
        whole.cloned().collect()
    };
    assert_eq!(whole(&once), whole(&each));
    short(&once)
}

#[test]
fn lines_and_blanks_between_them() {
    assert_eq!(cut(&frame("", "\r\n"), b"1,2\r\n\r\n3\r\n4"), ["1,2", "3"]);
    // AcraDyne: CR, then perhaps NUL. Kilews: LF CR behind a brace.
    assert_eq!(cut(&frame("", "\r"), b"#1A\r\0#1B\r#1C\r\n"), ["#1A", "#1B", "#1C"]);
    assert_eq!(
        cut(&frame("{", "}\n\r"), b"{REQ100,1}\n\r{DATA100,2}\n\r"),
        ["REQ100,1", "DATA100,2"]
    );
}

#[test]
fn noise_and_half_frames_are_noise_and_the_next_frame_is_whole() {
    let stx = frame("\u{2}", "\u{3}");
    assert_eq!(cut(&stx, b"xx\x02abc\x03yy\x02d\x03"), ["~2", "abc", "~2", "d"]);
    assert_eq!(cut(&stx, b"\x02hal\x02abc\x03"), ["~4", "abc"]);
    let mut framer = Framer::new(stx);
    assert_eq!(short(&framer.push(0, b"\x02hal")), [""; 0]);
    assert_eq!(framer.due(), Some(1000));
    assert_eq!(short(&framer.tick(999)), [""; 0]);
    assert_eq!(short(&framer.push(1000, b"\x02abc\x03")), ["~4", "abc"]);
    assert_eq!(framer.due(), None);
}

#[test]
fn a_listener_that_slept_is_no_silence() {
    let mut framer = Framer::new(frame("\u{2}", "\u{3}"));
    assert_eq!(framer.push(0, b"\x02ha"), []);
    framer.resume(5000);
    assert_eq!(short(&framer.push(5001, b"lf\x03")), ["half"]);
}

#[test]
fn a_start_inside_a_frame_of_fixed_length_does_not_begin_another() {
    let fixed = sized("B", "\r\n", &[10, 14]);
    assert_eq!(cut(&fixed, b"B12B456B\r\nB12B456B8901\r\n"), ["12B456B", "12B456B8901"]);
    // Half a frame before it.
    assert_eq!(
        cut(&fixed, b"B12B45B123456 \r\nB1234567\r\n"),
        ["~6", "123456 ", "1234567"]
    );
    let mut framer = Framer::new(fixed.clone());
    assert_eq!(framer.push(0, b"B12B1234567\r\n"), []);
    assert_eq!(short(&framer.tick(1000)), ["~3", "1234567"]);
    assert_eq!(
        cut(&fixed, b"B12345678901234\r\nB1234567\r\n"),
        ["!12345678901234", "1234567"]
    );
}

#[test]
fn a_frame_of_another_length_is_told_and_never_read_with_shifted_columns() {
    let fixed = sized("", "\r\n", &[8]);
    assert_eq!(
        cut(&fixed, b"123456\r\n1234567\r\n123456\r\n"),
        ["123456", "!1234567", "123456"]
    );
    assert_eq!(cut(&fixed, b"12345\r\n123456\r\n"), ["!12345", "123456"]);
    // A pause tells where the whole frame begins.
    let mut framer = Framer::new(fixed);
    assert_eq!(framer.push(0, b"123"), []);
    assert_eq!(short(&framer.push(50, b"123456\r\n")), ["~3", "123456"]);
}

#[test]
fn only_a_length_or_only_a_gap() {
    assert_eq!(cut(&sized("", "", &[3]), b"\r\n123"), ["\\x0d\\x0a1"]);
    let mut framer = Framer::new(frame("", ""));
    assert_eq!(framer.push(0, b"4.2"), []);
    assert_eq!(framer.push(90, b"85"), []);
    assert_eq!(short(&framer.push(190, b"7")), ["4.285"]);
    assert_eq!(short(&framer.close()), ["7"]);
    assert_eq!(cut(&frame("#", ""), b"x#1#2#"), ["~1", "1", "2"]);
}

#[test]
fn what_is_too_long_is_told_once() {
    let lines = Frame {
        max: 8,
        ..frame("", "\r\n")
    };
    assert_eq!(cut(&lines, b"123456789012345\r\nabc\r\n"), ["!12345678", "~9", "abc"]);
    let stx = Frame {
        max: 8,
        ..frame("\u{2}", "\u{3}")
    };
    assert_eq!(
        cut(&stx, b"\x02123456789012345\x03\x02abc\x03"),
        ["!1234567", "~9", "abc"]
    );
}

#[test]
fn check_sums_protect_what_stands_between_start_and_end() {
    let kinds = [
        (Checksum::Xor, "6F"),
        (Checksum::Sum8, "35"),
        (Checksum::Lrc, "CB"),
        (Checksum::Crc16, "7376"),
    ];
    // The manual of the Mountz HDC-40i sums these bytes to 0x135.
    for (kind, digits) in kinds {
        assert_eq!(sum(kind, b"V 1.00").len(), digits.len());
        for checksum_at in [ChecksumAt::BeforeEnd, ChecksumAt::AfterEnd] {
            let of = Frame {
                checksum: kind,
                checksum_at,
                ..frame("\u{2}", "\r")
            };
            let good = encode(&of, b"V 1.00");
            assert_eq!(cut(&of, &good), ["V 1.00"]);
            assert_eq!(cut(&of, &good.to_ascii_lowercase()), ["!v 1.00"]);
            let at = good.iter().position(|byte| *byte == b'.').unwrap();
            let mut bad = good.clone();
            bad[at] = b',';
            bad.extend(&good);
            assert_eq!(cut(&of, &bad), ["!V 1,00", "V 1.00"]);
        }
    }
    assert_eq!(sum(Checksum::Sum8, &[0x56, 0x20, 0x31, 0x2E, 0x30, 0x30]), "35");
    assert_eq!(sum(Checksum::Lrc, b"V 1.00"), "CB");
    // The vector of Modbus over Serial Line: C5 CD on the wire, low byte first.
    assert_eq!(sum(Checksum::Crc16, &[1, 3, 0, 0, 0, 0x0A]), "CDC5");
    let of = Frame {
        checksum: Checksum::Sum8,
        ..frame("", "\r\n")
    };
    assert_eq!(cut(&of, b"V 1.0035\r\nV 1.003g\r\n1\r\n"), ["V 1.00", "!V 1.00", "!"]);
}

#[test]
fn what_cannot_be_cut_is_told() {
    for (frame, sentence) in [
        (sized("", "", &[3, 4]), "several `lengths` need an `end`"),
        (sized("B", "\r\n", &[2]), "`length` 2 has no room"),
        (sized("", "", &[5000]), "`length` 5000 is beyond `max`"),
        (frame("|", "|"), "`start` and `end` are the same"),
        (
            Frame {
                max: 0,
                ..frame("", "\r")
            },
            "`max` is a number of bytes",
        ),
        (
            Frame {
                checksum: Checksum::Xor,
                ..frame("", "")
            },
            "a `checksum` needs",
        ),
    ] {
        let fault = shape::check(&frame).unwrap_err();
        assert!(fault.starts_with(sentence), "{fault}");
    }
}

fn columns(from: usize, to: usize, kind: Kind) -> FramePoint {
    FramePoint {
        place: Place::Columns(from, to),
        kind,
    }
}

fn parser(pattern: Option<&str>, separator: Option<&str>) -> Parser {
    Parser::new(&Parse {
        pattern: pattern.map(Into::into),
        ignore: None,
        separator: separator.map(Into::into),
    })
    .unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "it stands beside what is read")]
fn dec(text: &str) -> Option<Raw> {
    Some(Raw::Dec(text.parse::<Decimal>().unwrap()))
}

#[expect(clippy::unnecessary_wraps, reason = "it stands beside what is read")]
fn words(text: &str) -> Option<Raw> {
    Some(Raw::Text(text.to_owned()))
}

/// Cuts one frame out of `bytes`, and takes it apart.
fn one(of: &Frame, parser: &Parser, bytes: &[u8]) -> FrameText {
    shape::check(of).unwrap();
    match Framer::new(of.clone()).push(0, bytes).as_slice() {
        [
            Framed::Frame {
                content,
                whole,
                fault: None,
            },
        ] => parser.parse(content, whole),
        other => panic!("{other:?}"),
    }
}

#[test]
fn fec_micro_nutrunner() {
    let line = b"0001  01    1  0.234L  123L 0.234                        10.0L   2.0    X   \r\n";
    assert_eq!(line.len(), 78);
    let parser = parser(None, None);
    for line in [
        line.to_vec(),
        String::from_utf8_lossy(line).replace(" 0.234", "  .234").into_bytes(),
    ] {
        let text = one(&sized("", "\r\n", &[78]), &parser, &line);
        let read = |from, to, kind| parser.read(&columns(from, to, kind), &text).unwrap();
        assert_eq!(read(1, 4, Kind::U32), Some(Raw::Int(1)));
        assert_eq!(read(7, 8, Kind::U16), Some(Raw::Int(1)));
        assert_eq!(read(12, 13, Kind::U16), Some(Raw::Int(1)));
        assert_eq!(read(16, 20, Kind::Decimal), dec("0.234"));
        assert_eq!(read(21, 21, Kind::Text), words("L"));
        assert_eq!(read(23, 26, Kind::Decimal), dec("123"));
        assert_eq!(read(27, 27, Kind::Text), words("L"));
        assert_eq!(read(29, 33, Kind::Decimal), dec("0.234"));
        assert_eq!(read(57, 61, Kind::Decimal), dec("10"));
        assert_eq!(read(62, 62, Kind::Text), words("L"));
        assert_eq!(read(64, 68, Kind::Decimal), dec("2"));
        assert_eq!(read(69, 69, Kind::Text), words(" "));
        assert_eq!(read(73, 73, Kind::Text), words("X"));
        // Blank numbers and columns that are not wholly there are absent.
        assert_eq!(read(40, 44, Kind::Decimal), None);
        assert_eq!(read(77, 79, Kind::Text), None);
    }
}

#[test]
fn cleco_tme_100_with_and_without_part_id() {
    let line = "B0102261122101503  12.34  10.00  15.00A   47.0   30.0   90.0AA0104";
    assert_eq!(line.len(), 66);
    let of = sized("B", "\r\n", &[68, 93]);
    let parser = parser(None, None);
    for id in ["", "WVWZZZ1JZXW000001        "] {
        let text = one(&of, &parser, format!("{line}{id}\r\n").as_bytes());
        let read = |from, to, kind| parser.read(&columns(from, to, kind), &text).unwrap();
        assert_eq!(read(2, 3, Kind::U16), Some(Raw::Int(1)));
        assert_eq!(read(4, 5, Kind::U16), Some(Raw::Int(2)));
        assert_eq!(read(6, 17, Kind::Text), words("261122101503"));
        assert_eq!(read(18, 24, Kind::Decimal), dec("12.34"));
        assert_eq!(read(25, 31, Kind::Decimal), dec("10"));
        assert_eq!(read(32, 38, Kind::Decimal), dec("15"));
        assert_eq!(read(39, 39, Kind::Text), words("A"));
        assert_eq!(read(40, 46, Kind::Decimal), dec("47"));
        assert_eq!(read(61, 61, Kind::Text), words("A"));
        assert_eq!(read(62, 62, Kind::Text), words("A"));
        assert_eq!(read(63, 64, Kind::U16), Some(Raw::Int(1)));
        assert_eq!(read(65, 66, Kind::U16), Some(Raw::Int(4)));
        let vin = (!id.is_empty()).then(|| Raw::Text(id.to_owned()));
        assert_eq!(read(67, 91, Kind::Text), vin);
    }
}

#[test]
fn separated_columns_of_tohnichi_sturtevant_unipulse_acradyne_and_kilews() {
    let parser = parser(None, Some(","));
    let of = frame("", "\r\n");
    let read = |line: &str, column, kind| {
        let text = one(&of, &parser, format!("{line}\r\n").as_bytes());
        let place = Place::Column(column);
        parser.read(&FramePoint { place, kind }, &text)
    };
    let m3 = "RE,999,100.0,16/12/31,12:59:59";
    assert_eq!(m3.len() + 2, 32);
    assert_eq!(read(m3, 3, Kind::Decimal), Ok(dec("100")));
    assert_eq!(read(m3, 5, Kind::Text), Ok(words("12:59:59")));
    assert_eq!(read(m3, 6, Kind::Text), Ok(None));
    let padded = "RE,001, +100.0,nm , +090,deg,OO,123456A ,16/12/31,12:59:59";
    assert_eq!(read(padded, 3, Kind::Decimal), Ok(dec("100")));
    assert_eq!(read(padded, 5, Kind::I32), Ok(Some(Raw::Int(90))));
    assert_eq!(read(padded, 7, Kind::Text), Ok(words("OO")));
    let torq = "+41.2597,In.oz,PEAK,NA,001,00001234,Test Station 1,.000001,.000001,05/31/2011,11:45:34";
    assert_eq!(read(torq, 1, Kind::Decimal), Ok(dec("41.2597")));
    assert_eq!(read(torq, 2, Kind::Text), Ok(words("In.oz")));
    assert_eq!(read(torq, 6, Kind::Text), Ok(words("00001234")));
    assert_eq!(read(torq, 8, Kind::Decimal), Ok(dec("0.000001")));
    let dashes = "RH,+000012.50,---------,+00000";
    assert_eq!(read(dashes, 2, Kind::Decimal), Ok(dec("12.5")));
    assert_eq!(read(dashes, 3, Kind::Decimal), Ok(None));
    let acradyne = "S01,JB01, 012.3, A, 045.6, A, A, 11/22/2026 10:15:03, WVWZZZ1JZXW000001               ";
    assert_eq!(read(acradyne, 3, Kind::Decimal), Ok(dec("12.3")));
    assert_eq!(read(acradyne, 7, Kind::Text), Ok(words(" A")));
    assert_eq!(read(acradyne, 1, Kind::U16), Err("`S01` is no u16".to_owned()));
    let braces = one(&frame("{", "}\n\r"), &parser, b"{DATA100,20261122,1,OK   }\n\r");
    let place = Place::Column(4);
    assert_eq!(
        parser.read(
            &FramePoint {
                place,
                kind: Kind::Text
            },
            &braces
        ),
        Ok(words("OK   "))
    );
}

#[test]
fn patterns_of_mark_10_and_of_the_interface() {
    let mark = parser(Some(r"^(?<torque>-?[\d.]+)(?: (?<uom>\S+))?$"), None);
    let group = |name: &str, kind| FramePoint {
        place: Place::Group(name.into()),
        kind,
    };
    let of = frame("", "\r\n");
    for (line, torque, uom) in [
        ("4.285 Nm", "4.285", Some("Nm")),
        ("-18.78 lbFin", "-18.78", Some("lbFin")),
        ("0.5", "0.5", None),
    ] {
        let text = one(&of, &mark, format!("{line}\r\n").as_bytes());
        assert!(text.fits);
        assert_eq!(mark.read(&group("torque", Kind::Decimal), &text), Ok(dec(torque)));
        assert_eq!(mark.read(&group("uom", Kind::Text), &text), Ok(uom.and_then(words)));
    }
    assert!(!one(&of, &mark, b"*10\r\n").fits);
    let shown = parser(
        Some(r"^(?<seq>\d+),(?<torque>[-\d. ]+),(?<uom>\S+),(?<judge>OK|NG)$"),
        None,
    );
    assert_eq!(shown.groups(), ["seq", "torque", "uom", "judge"]);
    let text = one(&frame("\u{2}", "\r\n"), &shown, b"\x027,-  1.50 ,Nm,OK\r\n");
    assert_eq!(shown.read(&group("torque", Kind::Decimal), &text), Ok(dec("-1.5")));
    assert_eq!(shown.read(&group("seq", Kind::U32), &text), Ok(Some(Raw::Int(7))));
    assert!(parser(None, None).groups().is_empty());
    let fault = Parser::new(&Parse {
        pattern: Some("(".into()),
        ..Parse::default()
    })
    .unwrap_err();
    assert!(fault.starts_with("`pattern`"), "{fault}");
}

#[test]
fn numbers_are_exact_or_errors() {
    let parser = parser(None, None);
    let read = |text: &str, kind| {
        let point = FramePoint {
            place: Place::Whole,
            kind,
        };
        parser.read(&point, &parser.parse(text.as_bytes(), text.as_bytes()))
    };
    for (text, kind, value) in [
        (" 65535 ", Kind::U16, Some(Raw::Int(65_535))),
        ("-32768", Kind::I16, Some(Raw::Int(-32_768))),
        ("+4294967295", Kind::U32, Some(Raw::Int(4_294_967_295))),
        ("-5", Kind::I32, Some(Raw::Int(-5))),
        ("18446744073709551615", Kind::U64, Some(Raw::Big(u64::MAX))),
        ("-9223372036854775808", Kind::I64, Some(Raw::Int(i64::MIN))),
        ("0", Kind::Bool, Some(Raw::Bool(false))),
        ("1", Kind::Bool, Some(Raw::Bool(true))),
        ("0012.340", Kind::Decimal, dec("12.34")),
        ("12\0\0", Kind::U16, Some(Raw::Int(12))),
        ("---.--", Kind::Decimal, None),
        ("", Kind::U16, None),
    ] {
        assert_eq!(read(text, kind), Ok(value), "{text}");
    }
    for (text, kind) in [
        ("65536", Kind::U16),
        ("-1", Kind::U32),
        ("2", Kind::Bool),
        ("1.5", Kind::I32),
        ("12,5", Kind::Decimal),
        ("--5", Kind::Decimal),
        ("NaN", Kind::Decimal),
        ("0x10", Kind::U16),
        ("*10", Kind::Decimal),
    ] {
        assert!(read(text, kind).is_err(), "{text}");
    }
    let latin = parser.parse(b"12 \xB0C", b"");
    assert_eq!((latin.content.as_str(), latin.not_text), ("12 °C", true));
}

#[test]
fn all_points_of_a_frame_and_what_is_wrong_with_it() {
    let parser = parser(Some("^(?<torque>.+),(?<judge>OK|NG)$"), None);
    let point = |name: &str, kind| PointPlan {
        name: name.into(),
        at: Address::Frame(FramePoint {
            place: Place::Group(name.into()),
            kind,
        }),
        invalid: vec![Raw::Text("****".into())],
        deadband: None,
    };
    let points = [point("torque", Kind::Decimal), point("judge", Kind::Text)];
    let read = |text: &str| parser.values(&points, &parser.parse(text.as_bytes(), b""));
    assert_eq!(read("1.5,OK"), (vec![dec("1.5"), words("OK")], vec![]));
    assert_eq!(read(" ****,NG"), (vec![words("****"), words("NG")], vec![]));
    assert_eq!(
        read("x,NG"),
        (
            vec![None, words("NG")],
            vec![(0, "`torque`: `x` is no decimal".to_owned())]
        )
    );
    assert_eq!(parser.misfit(&parser.parse(b"1.5,OK", b"")), None);
    assert_eq!(
        parser.misfit(&parser.parse(b"\x07rubbish", b"")).as_deref(),
        Some("`\\x07rubbish` does not match `pattern` (^(?<torque>.+),(?<judge>OK|NG)$)")
    );
}

const AIM: &str = "]d2010401234567890121ABC123";

#[test]
fn scanned_codes() {
    let scanner = Parser::new(&Parse {
        pattern: None,
        ignore: Some("^(NOREAD|ERROR)$".into()),
        separator: None,
    })
    .unwrap();
    let of = frame("", "\r");
    let read = |code: &str, place| {
        let text = one(&of, &scanner, format!("{code}\r").as_bytes());
        scanner.text(&place, &text).unwrap()
    };
    assert_eq!(read(AIM, Place::Aim).as_deref(), Some("]d2"));
    assert_eq!(read(AIM, Place::Symbology).as_deref(), Some("gs1_datamatrix"));
    assert_eq!(read(AIM, Place::Code).as_deref(), Some("010401234567890121ABC123"));
    assert_eq!(read(AIM, Place::Gs1("01".into())).as_deref(), Some("04012345678901"));
    assert_eq!(read(AIM, Place::Gs1("21".into())).as_deref(), Some("ABC123"));
    assert_eq!(read(AIM, Place::Gs1("10".into())), None);
    let all = r#"{"01":"04012345678901","21":"ABC123"}"#;
    assert_eq!(read(AIM, Place::Gs1All).as_deref(), Some(all));
    assert_eq!(
        read("(01)04012345678901(21)ABC123", Place::Gs1All).as_deref(),
        Some(all)
    );
    // What does not say that it is GS1 is none.
    assert_eq!(read("010401234567890121ABC123", Place::Gs1All), None);
    assert_eq!(read("]C0010401234567890121ABC123", Place::Gs1All), None);
    assert_eq!(scan::vin("IWVWZZZ1JZXW000001"), Some("WVWZZZ1JZXW000001"));
    assert_eq!(
        read("]A0IWVWZZZ1JZXW000001", Place::Symbology).as_deref(),
        Some("code39")
    );
    assert_eq!(scan::vin("WVWZZZ1JZXO000001"), None);
    assert_eq!(read("WVWZZZ1JZXW000001", Place::Aim), None);
    let noread = one(&of, &scanner, b"NOREAD\r");
    assert!(scanner.ignores(&noread));
    assert!(!scanner.ignores(&one(&of, &scanner, b"NOREADX\r")));
    let grouped = parser(Some(r"^(?<aim>\]..)?(?<code>.+?)(?<label>;\d+)?$"), None);
    let text = grouped.parse(b"]C1219;7", b"");
    assert_eq!(grouped.text(&Place::Gs1("21".into()), &text), Ok(Some("9".to_owned())));
}

#[test]
fn gs1_elements() {
    let parsed = |code: &str| {
        let elements = scan::gs1(code, Some("]C1"))?.unwrap_or_default();
        let shown: Vec<String> = elements.iter().map(|(ai, value)| format!("{ai}={value}")).collect();
        Ok::<_, String>(shown.join(" "))
    };
    for (code, shown) in [
        ("00123456789012345675", "00=123456789012345675"),
        ("10LOT7\u{1d}21S-9", "10=LOT7 21=S-9"),
        ("\u{1d}21S-9\u{1d}1126112217270101", "21=S-9 11=261122 17=270101"),
        ("01040123456789013103000123", "01=04012345678901 3103=000123"),
        ("8004AB/7\u{1d}240X\u{1d}", "8004=AB/7 240=X"),
        ("01040123456789013712\u{1d}400PO-1", "01=04012345678901 37=12 400=PO-1"),
        ("4144012345000009", "414=4012345000009"),
        ("800304012345678901SER", "8003=04012345678901SER"),
        ("8010CP-1\u{1d}801142", "8010=CP-1 8011=42"),
        ("99anything", "99=anything"),
        ("21A\u{1d}21A", "21=A"),
        ("2554012345000009", "255=4012345000009"),
        ("704012AB", "7040=12AB"),
    ] {
        assert_eq!(parsed(code).as_deref(), Ok(shown));
    }
    for code in [
        "0104012345678",
        "01ABCDEFGHIJKLMN",
        "21",
        "21123456789012345678901",
        "88X",
        "10A\u{1d}10B",
        "",
        "\u{1d}",
        "0104012345\u{1d}6789012",
        "21A\u{2}B",
        "253123",
    ] {
        assert!(parsed(code).is_err(), "{code:?}");
    }
    for code in ["(01)123", "(88)1", "(21)A(10)", "(01)04012345678901rest"] {
        assert!(scan::gs1(code, None).is_err(), "{code}");
    }
    assert_eq!(
        scan::gs1("(21)A(B(10)C", None),
        Ok(Some(vec![("21".into(), "A(B".into()), ("10".into(), "C".into())]))
    );
    assert_eq!(scan::gs1("(x)1", None), Ok(None));
}

#[test]
fn iso_15434_envelopes() {
    let code = "[)>\u{1e}06\u{1d}P1234\u{1d}1PAB\u{1d}25SUN99\u{1d}IWVWZZZ1JZXW000001\u{1e}\u{4}";
    let find = |di: &str| {
        let fields = scan::iso15434(code).unwrap().unwrap();
        fields.into_iter().find(|(of, _)| of == di).map(|(_, value)| value)
    };
    assert_eq!(find("P").as_deref(), Some("1234"));
    assert_eq!(find("1P").as_deref(), Some("AB"));
    assert_eq!(find("25S").as_deref(), Some("UN99"));
    assert_eq!(find("I").as_deref(), Some("WVWZZZ1JZXW000001"));
    assert_eq!(find("S"), None);
    let short = scan::iso15434("[)>\u{1e}06\u{1d}S7").unwrap();
    assert_eq!(short, Some(vec![("S".into(), "7".into())]));
    assert_eq!(scan::iso15434("S7"), Ok(None));
    assert_eq!(scan::iso15434("[)>\u{1e}05\u{1d}217\u{1e}\u{4}"), Ok(None));
    for bad in [
        "[)>06",
        "[)>\u{1e}06\u{1d}1234",
        "[)>\u{1e}06\u{1d}S",
        "[)>\u{1e}06\u{1d}S1\u{1d}S2",
    ] {
        assert!(scan::iso15434(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn vins() {
    // The example of 49 CFR 565 and one of its digits changed.
    assert!(scan::vin_is_valid("1M8GDM9AXKP042788", true));
    assert!(!scan::vin_is_valid("1M8GDM9A1KP042788", true));
    assert!(scan::vin_is_valid("1M8GDM9A1KP042788", false));
    for bad in [
        "1M8GDM9AXKP04278",
        "1M8GDM9AXKP0427888",
        "IM8GDM9AXKP042788",
        "1m8GDM9AXKP042788",
        "",
    ] {
        assert!(!scan::vin_is_valid(bad, false), "{bad}");
    }
    assert_eq!(scan::vin("I1M8GDM9AXKP042788"), Some("1M8GDM9AXKP042788"));
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let bytes = |most| proptest::collection::vec(prop::sample::select(vec![2, 3, 13, 10, b'B', b'1']), 0..most);
    let lengths = proptest::collection::vec(1usize..20, 0..3);
    let sums = prop::sample::select(vec![
        Checksum::None,
        Checksum::Xor,
        Checksum::Sum8,
        Checksum::Lrc,
        Checksum::Crc16,
    ]);
    (bytes(3), bytes(3), lengths, sums, any::<bool>()).prop_map(|(start, end, lengths, checksum, after)| Frame {
        start,
        end,
        lengths,
        checksum,
        checksum_at: if after {
            ChecksumAt::AfterEnd
        } else {
            ChecksumAt::BeforeEnd
        },
        idle: None,
        max: 24,
    })
}

proptest! {
    #[test]
    fn any_bytes_are_frames_noise_or_blanks(
        frame in any_frame(),
        pieces in proptest::collection::vec(
            proptest::collection::vec(prop::sample::select(vec![0, 2, 3, 13, 10, b'B', b'1', 0xFF]), 0..40), 0..8),
        step in prop::sample::select(vec![0u64, 30, 2000]),
    ) {
        let mut framer = Framer::new(frame);
        let (mut now, mut told, mut came) = (0, 0, Vec::new());
        let mut out = Vec::new();
        for piece in &pieces {
            now += step;
            out.extend(framer.push(now, piece));
            came.extend(piece);
        }
        out.extend(framer.close());
        prop_assert_eq!(framer.due(), None);
        for framed in &out {
            told += match framed {
                Framed::Noise(count) => *count,
                Framed::Frame { whole, .. } => whole.len(),
            };
        }
        let blank = came.iter().filter(|byte| matches!(byte, 13 | 10 | 0)).count();
        prop_assert!(told <= came.len() && told + blank >= came.len(), "{} of {}", told, came.len());
    }

    #[test]
    fn what_is_encoded_comes_back_behind_noise(
        content in "[ -AC-~]{1,12}",
        checksum in prop::sample::select(vec![Checksum::None, Checksum::Xor, Checksum::Lrc, Checksum::Crc16]),
        after in any::<bool>(),
        noise in proptest::collection::vec(0x80u8..0xFF, 0..9),
    ) {
        let checksum_at = if after { ChecksumAt::AfterEnd } else { ChecksumAt::BeforeEnd };
        let frame = Frame { checksum, checksum_at, ..frame("\u{2}", "\u{3}\r") };
        let mut bytes = noise.clone();
        bytes.extend(encode(&frame, content.as_bytes()));
        let out = Framer::new(frame).push(0, &bytes);
        let (got, fault) = match out.last() {
            Some(Framed::Frame { content, fault, .. }) => (content.clone(), fault.clone()),
            _ => (Vec::new(), None),
        };
        prop_assert_eq!((got, fault), (content.into_bytes(), None));
        prop_assert_eq!(out.len(), 1 + usize::from(!noise.is_empty()));
    }

    #[test]
    fn any_bytes_read_as_anything(bytes in proptest::collection::vec(any::<u8>(), 0..60), at in 0usize..40, gs1 in any::<bool>()) {
        let aim = if gs1 { b"]C1".to_vec() } else { b"[)>\x1e06\x1d".to_vec() };
        let bytes = [aim, bytes].concat();
        let parser = parser(Some("^(?<code>.*)(?<end>.)$"), Some(","));
        let text = parser.parse(&bytes, &bytes);
        for place in [
            Place::Whole, Place::Aim, Place::Symbology, Place::Code, Place::Gs1All, Place::Gs1("21".into()),
            Place::DataIdentifier("S".into()), Place::Vin { check_digit: at % 2 == 0 }, Place::Columns(at, 20), Place::Column(at), Place::Group("end".into()),
        ] {
            for kind in [Kind::Text, Kind::Decimal, Kind::Bool, Kind::U16, Kind::I16, Kind::U32, Kind::I32, Kind::U64, Kind::I64] {
                let read = parser.read(&FramePoint { place: place.clone(), kind }, &text);
                if let (Ok(Some(Raw::Text(_))), false) = (&read, kind == Kind::Text) {
                    prop_assert!(false, "{kind:?} is text");
                }
            }
        }
    }
}
