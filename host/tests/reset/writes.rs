//! Every way in which a component, or the host for it, writes to its memory.

use crate::qualification::{counts_one_call, module};

/// The size of the parts in which the memory is restored.
const CARD: u32 = 1 << 10;
/// The stores, with a value for each, and the number of bytes that they write.
const STORES: [(&str, &str, u32); 14] = [
    ("i32.store", "(i32.const -1)", 4),
    ("i32.store8", "(i32.const -1)", 1),
    ("i32.store16", "(i32.const -1)", 2),
    ("i64.store", "(i64.const -1)", 8),
    ("i64.store8", "(i64.const -1)", 1),
    ("i64.store16", "(i64.const -1)", 2),
    ("i64.store32", "(i64.const -1)", 4),
    ("f32.store", "(f32.const 7)", 4),
    ("f64.store", "(f64.const 7)", 8),
    ("v128.store", "(v128.const i64x2 -1 -1)", 16),
    ("v128.store8_lane align=1 LANE", "(v128.const i64x2 -1 -1)", 1),
    ("v128.store16_lane align=1 LANE", "(v128.const i64x2 -1 -1)", 2),
    ("v128.store32_lane align=1 LANE", "(v128.const i64x2 -1 -1)", 4),
    ("v128.store64_lane align=1 LANE", "(v128.const i64x2 -1 -1)", 8),
];

/// A store at an offset behind an address.
fn store((operator, value, _): (&str, &str, u32), address: u32, offset: u32) -> String {
    let offset = if offset > 0 { format!("offset={offset}") } else { String::new() };
    match operator.strip_suffix(" align=1 LANE") {
        Some(operator) => format!("({operator} {offset} align=1 1 (i32.const {address}) {value})"),
        None => format!("({operator} {offset} align=1 (i32.const {address}) {value})"),
    }
}

#[tokio::test]
async fn every_store_is_restored_wherever_it_begins() {
    const LAST: u32 = 1 << 16;
    for case in STORES {
        let size = case.2;
        let mut handle = String::new();
        for card in [7, 8, 20, 63] {
            handle.push_str(&store(case, card * CARD, 0));
            handle.push_str(&store(case, card * CARD - 1, 0));
            handle.push_str(&store(case, card * CARD - size, 0));
        }
        handle.push_str(&store(case, LAST - size, 0));
        counts_one_call(&module("", &handle)).await;
        // Alone, so that no other write restores its card.
        for (address, offset) in
            [(30 * CARD - 1, 0), (30 * CARD - 100, 100), (30 * CARD - 100, 99), (0, LAST - size)]
        {
            counts_one_call(&module("", &store(case, address, offset))).await;
        }
    }
}

#[tokio::test]
async fn every_range_is_restored() {
    for (from, length) in [
        (30 * CARD, 1),
        (30 * CARD - 1, 1),
        (30 * CARD - 1, 2),
        (30 * CARD + 5, 3 * CARD),
        (30 * CARD, CARD),
        (30 * CARD - 1, 9 * CARD + 2),
        ((64 << 10) - 1, 1),
        (10 * CARD, 54 * CARD),
    ] {
        let fill = format!("(memory.fill (i32.const {from}) (i32.const 9) (i32.const {length}))");
        counts_one_call(&module("", &fill)).await;
        let source = "(data (i32.const 0x1400) \"\\05\\06\\07\\08\")";
        let length = length.min(4);
        let copy = format!("(memory.copy (i32.const {from}) (i32.const 0x1400) (i32.const {length}))");
        counts_one_call(&module(source, &copy)).await;
        let init = format!("(memory.init $text (i32.const {from}) (i32.const 0) (i32.const {length}))");
        counts_one_call(&module("", &init)).await;
    }
    // Nothing is written, at the very end.
    let nothing = "(memory.fill (i32.const 0x10000) (i32.const 9) (i32.const 0))";
    counts_one_call(&module("", nothing)).await;
}

/// `config.get` of a key that is not set: the host writes a zero over the byte at 0x2000.
const GET: &str = r#"(import "kafka-host:plugin/config@0.2.0" "get" (func $get (param i32 i32 i32)))"#;
const ARGUMENTS: &str = "(i32.const 0x600) (i32.const 1) (i32.const 0x2000)";

#[tokio::test]
async fn what_the_host_writes_is_restored() {
    let byte = r#"(data (i32.const 0x2000) "\07")"#;
    let of = |more: &str| {
        // Imports come first.
        format!("{GET} {more}")
    };
    for (more, handle) in [
        (String::new(), format!("(call $get {ARGUMENTS})")),
        (
            "(func $jump (param i32 i32 i32) (return_call $get (local.get 0) (local.get 1) (local.get 2)))"
                .into(),
            format!("(call $jump {ARGUMENTS})"),
        ),
        (
            "(type $kind (func (param i32 i32 i32))) (elem (table $table) (i32.const 0) func $get)".into(),
            format!("(call_indirect $table (type $kind) {ARGUMENTS} (i32.const 0))"),
        ),
        (
            "(type $kind (func (param i32 i32 i32))) \
             (elem (table $table) (i32.const 0) funcref (ref.func $get))"
                .into(),
            format!("(call_indirect $table (type $kind) {ARGUMENTS} (i32.const 0))"),
        ),
    ] {
        let whole = module(&of(&more), &handle)
            .replace("(data (i32.const 0x300)", &format!("{byte}(data (i32.const 0x300)"));
        counts_one_call(&whole).await;
    }
}

#[tokio::test]
async fn a_text_of_the_host_is_restored_where_it_was_allocated_and_its_pointer_where_it_was_asked_for() {
    // The value of `y` is longer than a card, and the pointer and the length are in two cards.
    let key = r#"(data (i32.const 0x680) "y")"#;
    for result in [20 * CARD, 20 * CARD + CARD - 8, 20 * CARD + CARD - 4] {
        let call = format!("(call $get (i32.const 0x680) (i32.const 1) (i32.const {result}))");
        let check = format!(
            "(if (i32.ne (i32.load (i32.const {})) (i32.const 5000)) (then unreachable))",
            result + 8
        );
        let whole = module(GET, &format!("{call} {check}"))
            .replace("(data (i32.const 0x300)", &format!("{key}(data (i32.const 0x300)"));
        counts_one_call(&whole).await;
    }
}
