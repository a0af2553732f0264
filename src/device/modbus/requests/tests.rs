use super::*;
use crate::model::SlotName;
use crate::model::plan::{Link, ModbusTransport, ModbusType, PointPlan, WordOrder};
use proptest::prelude::*;
use std::time::Duration;

fn link(max_registers: u16, max_gap: u16) -> ModbusLink {
    ModbusLink {
        address: "127.0.0.1:502".into(),
        transport: ModbusTransport::Tcp,
        server_id: 1,
        poll: Duration::from_millis(50),
        timeout: Duration::from_secs(1),
        max_registers,
        max_bits: 2000,
        max_gap,
    }
}

fn point(table: Table, address: u16, kind: ModbusType, count: Option<u16>, clears: bool) -> PointPlan {
    PointPlan {
        name: "p".into(),
        at: Address::Modbus(ModbusPoint {
            table,
            address,
            kind,
            order: WordOrder::Abcd,
            bits: None,
            count,
            clears,
        }),
        invalid: vec![],
        deadband: None,
    }
}

fn plan(points: Vec<PointPlan>) -> SlotPlan {
    SlotPlan {
        slot: SlotName::new("s", "t"),
        link: Link::Modbus(link(125, 8)),
        points,
        events: vec![],
        notices: Vec::new(),
        alive: None,
    }
}

fn shape(plan: &SlotPlan, cut: &Cut) -> Vec<(Table, u16, u16)> {
    let all: Vec<PointIx> = (0..plan.points.len()).collect();
    coalesce(plan, &all, cut)
        .iter()
        .map(|r| (r.table, r.address, r.count))
        .collect()
}

#[test]
fn near_points_share_a_request_and_tables_do_not() {
    use ModbusType::{Bool, F32, U16};
    let plan = plan(vec![
        point(Table::Input, 100, U16, None, false),
        point(Table::Input, 101, F32, None, false),
        point(Table::Input, 111, U16, None, false),
        point(Table::Input, 121, U16, None, false),
        point(Table::Holding, 104, U16, None, false),
        point(Table::Coil, 3, Bool, None, false),
    ]);
    let cut = Cut::new(&link(125, 8));
    assert_eq!(
        shape(&plan, &cut),
        [
            (Table::Coil, 3, 1),
            (Table::Holding, 104, 1),
            (Table::Input, 100, 12),
            (Table::Input, 121, 1)
        ]
    );
}

#[test]
fn what_reading_clears_stands_alone_and_no_gap_spans_it() {
    use ModbusType::U16;
    let plan = plan(vec![
        point(Table::Input, 294, U16, None, true),
        point(Table::Input, 293, U16, None, false),
        point(Table::Input, 295, U16, None, false),
    ]);
    let cut = Cut::new(&link(125, 8));
    let alone = [(Table::Input, 293, 1), (Table::Input, 294, 1), (Table::Input, 295, 1)];
    assert_eq!(shape(&plan, &cut), alone);
    let near: Vec<_> = coalesce(&plan, &[1, 2], &cut)
        .iter()
        .map(|r| (r.address, r.count))
        .collect();
    assert_eq!(near, [(293, 1), (295, 1)], "also where the flag itself is not wanted");
}

#[test]
fn a_value_is_never_split_and_a_long_array_only_between_elements() {
    use ModbusType::{F32, U16};
    let plan = plan(vec![
        point(Table::Input, 0, U16, Some(4), false),
        point(Table::Input, 4, F32, None, false),
        point(Table::Input, 10, F32, Some(4), false),
    ]);
    let cut = Cut::new(&link(5, 0));
    assert_eq!(
        shape(&plan, &cut),
        [
            (Table::Input, 0, 4),
            (Table::Input, 4, 2),
            (Table::Input, 10, 4),
            (Table::Input, 14, 4)
        ]
    );
}

#[test]
fn a_refused_block_is_cut_otherwise() {
    use ModbusType::U16;
    let plan = plan((0..4).map(|n| point(Table::Input, n * 2, U16, None, false)).collect());
    let mut cut = Cut::new(&link(125, 8));
    assert_eq!(shape(&plan, &cut), [(Table::Input, 0, 7)]);
    let whole = |cut: &Cut| {
        coalesce(&plan, &[0, 1, 2, 3], cut)
            .into_iter()
            .max_by_key(|r| r.count)
            .unwrap()
    };
    assert_eq!(cut.refused(&whole(&cut), &[1]), None);
    assert_eq!(shape(&plan, &cut).len(), 2, "the bad one apart");
    assert_eq!(cut.refused(&whole(&cut), &[]).as_deref(), Some("max_gap = 0"));
    assert_eq!(shape(&plan, &cut).len(), 4, "no gaps");
}

#[test]
fn the_largest_request_is_found_out_by_halves_and_shared() {
    use ModbusType::U16;
    let plan = plan((0..100).map(|n| point(Table::Input, n, U16, None, false)).collect());
    let all: Vec<PointIx> = (0..100).collect();
    let mut cut = Cut::new(&link(125, 8));
    let mut said = Vec::new();
    // This device takes 12 registers at most.
    while let Some(request) = coalesce(&plan, &all, &cut)
        .into_iter()
        .find(|request| request.count > 12)
    {
        said.extend(cut.refused(&request, &[]));
    }
    assert_eq!(said, ["max_registers = 50", "max_registers = 25", "max_registers = 12"]);
    assert_eq!(coalesce(&plan, &all, &cut).len(), 9);
    let mut other = Cut::new(&link(125, 8));
    assert!(other.learn(cut.limits()) && !other.learn(cut.limits()));
    assert_eq!(coalesce(&plan, &all, &other).len(), 9);
}

fn points() -> impl Strategy<Value = Vec<PointPlan>> {
    let kind = prop_oneof![
        Just(ModbusType::U16),
        Just(ModbusType::F32),
        Just(ModbusType::F64),
        (1..40_u16).prop_map(ModbusType::Text)
    ];
    let table = prop_oneof![Just(Table::Input), Just(Table::Holding)];
    let one = (
        table,
        0..400_u16,
        kind,
        proptest::option::of(1..200_u16),
        proptest::bool::weighted(0.05),
    );
    proptest::collection::vec(one.prop_map(|(t, a, k, c, x)| point(t, a, k, c, x)), 1..60)
}

proptest! {
    #[test]
    fn every_register_is_read_once_within_the_limits(points in points(), most in 20..=125_u16, gap in 0..30_u16) {
        let plan = plan(points);
        let all: Vec<PointIx> = (0..plan.points.len()).collect();
        let requests = coalesce(&plan, &all, &Cut::new(&link(most, gap)));
        let mut read = vec![0_u32; plan.points.len()];
        for request in &requests {
            prop_assert!(request.count <= most);
            for piece in &request.pieces {
                let at = place(&plan.points[piece.point].at);
                prop_assert_eq!(request.address + piece.offset, at.address + piece.into);
                prop_assert!(piece.offset + piece.count <= request.count);
                prop_assert_eq!(piece.into % at.kind.width(), 0);
                prop_assert_eq!(piece.count % at.kind.width(), 0);
                prop_assert!(!at.clears || request.pieces.len() == 1);
                read[piece.point] += u32::from(piece.count);
            }
        }
        for (point, read) in plan.points.iter().zip(read) {
            prop_assert_eq!(read, u32::from(modbus::span(place(&point.at))));
        }
    }
}
