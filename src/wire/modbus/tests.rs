use super::*;
use proptest::prelude::*;

fn point(kind: ModbusType, order: WordOrder) -> ModbusPoint {
    ModbusPoint {
        table: Table::Holding,
        address: 10,
        kind,
        order,
        bits: None,
        count: None,
        clears: false,
    }
}

fn read(point: &ModbusPoint, words: &[u16]) -> Option<Raw> {
    let mut image = Image::default();
    image.put(point.table, point.address, words);
    decode(point, &image)
}

#[test]
fn floats_in_the_four_orders() {
    // devices.md 3.1: 123.456 as 42 F6 E9 79.
    let bits = 123.456_f32.to_bits();
    for (order, words) in [
        (WordOrder::Abcd, [0x42F6, 0xE979]),
        (WordOrder::Cdab, [0xE979, 0x42F6]),
        (WordOrder::Badc, [0xF642, 0x79E9]),
        (WordOrder::Dcba, [0x79E9, 0xF642]),
    ] {
        let point = point(ModbusType::F32, order);
        assert_eq!(read(&point, &words), Some(Raw::F32(bits)), "{order:?}");
        assert_eq!(encode(&point, &Raw::F32(bits)).unwrap(), words, "{order:?}");
    }
    let point = point(ModbusType::F32, WordOrder::Abcd);
    assert_eq!(read(&point, &[0x4228, 0xAE14]).unwrap().text(), "42.17");
}

#[test]
fn integers_and_signs() {
    let cases = [
        (ModbusType::U16, vec![0xFFFF], Raw::Int(65_535)),
        (ModbusType::I16, vec![0xFFFF], Raw::Int(-1)),
        (ModbusType::U32, vec![0xFFFF, 0xFFFE], Raw::Int(4_294_967_294)),
        (ModbusType::I32, vec![0xFFFF, 0xFFFE], Raw::Int(-2)),
        (ModbusType::U64, vec![0xFFFF; 4], Raw::Big(u64::MAX)),
        (ModbusType::U64, vec![0, 0, 1, 0], Raw::Int(65_536)),
        (ModbusType::I64, vec![0xFFFF; 4], Raw::Int(-1)),
        (ModbusType::Bcd16, vec![0x1234], Raw::Int(1234)),
        (ModbusType::Bcd32, vec![0x1234, 0x5678], Raw::Int(12_345_678)),
        (ModbusType::Bool, vec![0xFFFE], Raw::Bool(false)),
    ];
    for (kind, words, raw) in cases {
        let point = point(kind, WordOrder::Abcd);
        assert_eq!(read(&point, &words), Some(raw), "{kind:?}");
    }
    assert_eq!(read(&point(ModbusType::Bcd16, WordOrder::Abcd), &[0x12A4]), None);
    assert_eq!(
        read(&point(ModbusType::U16, WordOrder::Badc), &[0x0700]),
        Some(Raw::Int(7))
    );
    assert_eq!(
        read(&point(ModbusType::U16, WordOrder::Cdab), &[0x0700]),
        Some(Raw::Int(0x0700))
    );
}

#[test]
fn bits_in_a_word() {
    let mut over = point(ModbusType::Bool, WordOrder::Abcd);
    over.bits = Some((3, 1));
    assert_eq!(read(&over, &[0b1000]), Some(Raw::Bool(true)));
    assert_eq!(read(&over, &[0b0111]), Some(Raw::Bool(false)));
    let new = encode(&over, &Raw::Bool(false)).unwrap();
    assert_eq!(merge(&over, &[0xFFFF], &new), [0xFFF7]);
    let mut four = point(ModbusType::U16, WordOrder::Abcd);
    four.bits = Some((4, 4));
    assert_eq!(read(&four, &[0x1AB2]), Some(Raw::Int(0xB)));
    let new = encode(&four, &Raw::Int(0x1C)).unwrap();
    assert_eq!(merge(&four, &[0x1AB2], &new), [0x1AC2]);
    let mut wide = point(ModbusType::U32, WordOrder::Cdab);
    wide.bits = Some((16, 8));
    assert_eq!(read(&wide, &[0x0000, 0x12FE]), Some(Raw::Int(0xFE)));
}

#[test]
fn text_ends_at_nul_and_bad_utf8_is_latin_1() {
    let vin = point(ModbusType::Text(5), WordOrder::Abcd);
    assert_eq!(
        read(&vin, &[0x4142, 0x4344, 0x4546]),
        Some(Raw::Text("ABCDE".to_owned()))
    );
    assert_eq!(read(&vin, &[0x4142, 0x4300, 0x4546]), Some(Raw::Text("ABC".to_owned())));
    assert_eq!(read(&vin, &[0x41E4, 0, 0]), Some(Raw::Text("Aä".to_owned())));
    let swapped = point(ModbusType::Text(4), WordOrder::Badc);
    assert_eq!(read(&swapped, &[0x4241, 0x4443]), Some(Raw::Text("ABCD".to_owned())));
    assert_eq!(
        encode(&vin, &Raw::Text("ABCDEF".to_owned())),
        Err(EncodeFault::TooLong {
            text: "ABCDEF".to_owned(),
            bytes: 5
        })
    );
}

#[test]
fn arrays_take_their_elements_in_order() {
    let mut curve = point(ModbusType::I16, WordOrder::Abcd);
    curve.count = Some(3);
    let list = Raw::List(vec![Raw::Int(1), Raw::Int(-1), Raw::Int(3)]);
    assert_eq!(read(&curve, &[1, 0xFFFF, 3]), Some(list.clone()));
    assert_eq!(encode(&curve, &list).unwrap(), [1, 0xFFFF, 3]);
    assert_eq!(read(&curve, &[1, 2]), None, "an element is not known");
    assert_eq!(
        encode(&curve, &Raw::List(vec![Raw::Int(1)])),
        Err(EncodeFault::Count { given: 1, count: 3 })
    );
}

#[test]
fn too_wide_integers_give_their_low_bits() {
    let ack = point(ModbusType::U16, WordOrder::Abcd);
    assert_eq!(encode(&ack, &Raw::Int(65_536 + 7)).unwrap(), [7]);
    assert_eq!(encode(&ack, &Raw::Int(-1)).unwrap(), [0xFFFF]);
    assert_eq!(encode(&ack, &Raw::Big(u64::MAX)).unwrap(), [0xFFFF]);
    assert_eq!(encode(&ack, &Raw::Bool(true)).unwrap(), [1]);
    assert!(encode(&ack, &Raw::Text("x".to_owned())).is_err());
    assert!(encode(&ack, &Raw::F32(0.5_f32.to_bits())).is_err());
    let bcd = point(ModbusType::Bcd16, WordOrder::Abcd);
    assert_eq!(encode(&bcd, &Raw::Int(71_234)).unwrap(), [0x1234]);
    assert!(encode(&bcd, &Raw::Int(-3)).is_err());
}

#[test]
fn addresses_as_people_write_them() {
    for (text, table, address) in [
        ("holding:10", Table::Holding, 10),
        ("input:65535", Table::Input, 65_535),
        ("coil:0", Table::Coil, 0),
        ("discrete:3", Table::Discrete, 3),
        ("40001", Table::Holding, 0),
        ("400001", Table::Holding, 0),
        ("465536", Table::Holding, 65_535),
        ("30124", Table::Input, 123),
        ("00001", Table::Coil, 0),
        ("10002", Table::Discrete, 1),
    ] {
        assert_eq!(parse_at(text), Ok((table, address)), "{text}");
    }
    for text in [
        "",
        "4000",
        "40000",
        "465537",
        "20001",
        "holding:65536",
        "holding:-1",
        "holding:",
        "holding:+1",
        "Holding:1",
        "holdng:1",
        "4000001",
        "4000é",
        ":",
        "holding:1:2",
    ] {
        assert!(parse_at(text).is_err(), "{text}");
    }
}

#[test]
fn an_image_ends_at_65535() {
    let mut image = Image::default();
    image.put(Table::Input, 65_535, &[1, 2, 3]);
    assert_eq!(image.get(Table::Input, 65_535), Some(1));
    assert_eq!(image.get(Table::Input, 0), None);
    let mut last = point(ModbusType::U32, WordOrder::Abcd);
    last.table = Table::Input;
    last.address = 65_535;
    assert_eq!(decode(&last, &image), None);
    image.put(Table::Coil, 3, &[7]);
    assert_eq!(image.get(Table::Coil, 3), Some(1));
}

fn orders() -> impl Strategy<Value = WordOrder> {
    prop_oneof![
        Just(WordOrder::Abcd),
        Just(WordOrder::Cdab),
        Just(WordOrder::Badc),
        Just(WordOrder::Dcba)
    ]
}

fn valued() -> impl Strategy<Value = (ModbusType, Raw)> {
    prop_oneof![
        any::<bool>().prop_map(|v| (ModbusType::Bool, Raw::Bool(v))),
        any::<u16>().prop_map(|v| (ModbusType::U16, Raw::Int(v.into()))),
        any::<i16>().prop_map(|v| (ModbusType::I16, Raw::Int(v.into()))),
        any::<u32>().prop_map(|v| (ModbusType::U32, Raw::Int(v.into()))),
        any::<i32>().prop_map(|v| (ModbusType::I32, Raw::Int(v.into()))),
        any::<u64>().prop_map(|v| (ModbusType::U64, unsigned(v))),
        any::<i64>().prop_map(|v| (ModbusType::I64, Raw::Int(v))),
        any::<u32>().prop_map(|v| (ModbusType::F32, Raw::F32(v))),
        any::<u64>().prop_map(|v| (ModbusType::F64, Raw::F64(v))),
        (0..10_000_i64).prop_map(|v| (ModbusType::Bcd16, Raw::Int(v))),
        (0..100_000_000_i64).prop_map(|v| (ModbusType::Bcd32, Raw::Int(v))),
        "[ -~äöüß€]{0,12}".prop_map(|v| (ModbusType::Text(37), Raw::Text(v))),
    ]
}

fn kinds() -> impl Strategy<Value = ModbusType> {
    prop_oneof![
        valued().prop_map(|(kind, _)| kind),
        (0..9_u16).prop_map(ModbusType::Text)
    ]
}

#[test]
fn text_is_written_whole() {
    let point = ModbusPoint {
        bits: Some((0, 1)),
        ..point(ModbusType::Text(11), WordOrder::Abcd)
    };
    assert_eq!(merge(&point, &[1; 6], &[0; 6]), [0; 6]);
}

proptest! {
    #[test]
    fn what_is_written_reads_back((kind, raw) in valued(), order in orders()) {
        let point = point(kind, order);
        let words = encode(&point, &raw).unwrap();
        prop_assert_eq!(words.len(), usize::from(kind.width()));
        prop_assert_eq!(decode_words(&point, &words), Some(raw));
    }

    #[test]
    fn any_registers_give_a_value_or_none(
        kind in kinds(),
        order in orders(),
        bits in proptest::option::of((any::<u8>(), any::<u8>())),
        count in proptest::option::of(0..5_u16),
        words in proptest::collection::vec(any::<u16>(), 0..40),
    ) {
        let point = ModbusPoint { bits, count, ..point(kind, order) };
        let exact = words.len() == usize::from(span(&point));
        if let Some(raw) = decode_words(&point, &words) {
            prop_assert!(exact);
            if let Ok(back) = encode(&point, &raw) {
                prop_assert_eq!(merge(&point, &words, &back).len(), words.len());
            }
        }
    }

    #[test]
    fn a_field_that_is_written_leaves_the_others(
        old in any::<[u16; 2]>(),
        value in any::<u8>(),
        lowest in 0..28_u8,
        number in 1..9_u8,
        order in orders(),
    ) {
        let point = ModbusPoint { bits: Some((lowest, number)), ..point(ModbusType::U32, order) };
        let new = merge(&point, &old, &encode(&point, &Raw::Int(value.into())).unwrap());
        let number = number.min(32 - lowest);
        let expect = i64::from(value) & ((1 << number) - 1);
        prop_assert_eq!(decode_words(&point, &new), Some(Raw::Int(expect)));
        let all = ModbusPoint { bits: None, ..point };
        let (Some(Raw::Int(before)), Some(Raw::Int(after))) = (decode_words(&all, &old), decode_words(&all, &new)) else {
            return Err(TestCaseError::fail("u32"));
        };
        let mask = ((1_i64 << number) - 1) << lowest;
        prop_assert_eq!(before & !mask, after & !mask);
    }

    #[test]
    fn any_text_is_an_address_or_a_fault(text in "\\PC{0,12}") {
        if let Ok((_, address)) = parse_at(&text) {
            prop_assert!(text.contains(&address.to_string()) || text.len() >= 5);
        }
    }
}
