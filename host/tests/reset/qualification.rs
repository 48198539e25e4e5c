//! Which components qualify: each reason by a module that differs from one that qualifies in a single point.

use std::path::Path;

use reset::{Options, rewrite};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::subject::Subject;

/// A plugin whose outcome is `done`, after the code at `HANDLE`. There are definitions at `MORE`.
const MODULE: &str = r#"(module
  (type $nothing (func))
  MORE
  (memory (export "memory") 1)
  (table $table 2 funcref)
  (elem $passive func)
  (data $text "text")
  (data (i32.const 0x300) "\08\03\00\00\01\00\00\00")
  (data (OFFSET) "x")
  (global $heap (mut i32) (i32.const 0x1000))
  (func (export "kafka-host:plugin/lifecycle@0.2.0#describe") (result i32) (i32.const 0x200))
  (func (export "kafka-host:plugin/handler@0.2.0#handle") (param i32 i32) (result i32)
    HANDLE
    (i32.store (i32.const 0x500) (i32.add (i32.const 1) (i32.load (i32.const 0x500))))
    (i32.const 0x300))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (i32.and (i32.add (local.get 3) (i32.const 15)) (i32.const -8)))))
)"#;

pub fn module(more: &str, handle: &str) -> String {
    MODULE.replace("MORE", more).replace("HANDLE", handle).replace("OFFSET", "i32.const 0x600")
}

fn component(module: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}\n{module}"));
    let mut contract = Resolve::default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (package, _) = contract.push_dir(root.join("../wit")).expect("the contract");
    let world = contract.select_world(&[package], Some("handler-only")).expect("a world");
    embed_component_metadata(&mut module, &contract, world, StringEncoding::UTF8).expect("metadata");
    let encoder = ComponentEncoder::default();
    let mut encoder = encoder.module(&module).expect("a module of the contract");
    encoder.encode().expect("a component")
}

/// A call of a component leaves an instance as new, unless it is not reset.
pub async fn counts_one_call(module: &str) {
    let subject = Subject::new(&component(module), true);
    let new = subject.instantiate().await.hash().await;
    let mut instance = subject.instantiate().await;
    for _ in 0..3 {
        instance.handle_reset(b"").await.expect("an outcome");
        assert_eq!(instance.hash().await, new, "{module}");
    }
    instance.handle(b"").await.expect("an outcome");
    assert_ne!(instance.hash().await, new, "{module}");
}

#[tokio::test]
async fn known_state_is_restored() {
    for (more, handle) in [
        ("", ""),
        ("", "(memory.init $text (i32.const 0x700) (i32.const 0) (i32.const 4))"),
        ("", "(memory.fill (i32.const 0) (i32.const 7) (i32.const 0x100))"),
        ("", "(drop (table.get $table (i32.const 0)))"),
        ("(global $wide (mut i64) (i64.const 3))", "(global.set $wide (i64.const 4))"),
        ("(global $real (mut f64) (f64.const 3))", "(global.set $real (f64.const 4))"),
        ("(global $half (mut f32) (f32.const 3))", "(global.set $half (f32.const 4))"),
        ("(global $many (mut v128) (v128.const i64x2 1 2))", "(global.set $many (v128.const i64x2 3 4))"),
        // The first content of the memory is known after the start function only.
        ("(start $start) (func $start (i32.store (i32.const 0x900) (i32.const 5)))", ""),
    ] {
        counts_one_call(&module(more, handle)).await;
    }
    let computed = "global.get $base";
    let base = module("(global $base i32 (i32.const 0x600))", "");
    counts_one_call(&base.replace("i32.const 0x600) \"x\"", &format!("{computed}) \"x\""))).await;
}

#[test]
fn what_is_not_known_does_not_qualify() {
    let reason = |module: &str| match rewrite(&component(module), Options::default()) {
        Ok(_) => panic!("it qualifies: {module}"),
        Err(reason) => reason.to_string(),
    };
    for (more, handle, expected) in [
        ("", "(table.set $table (i32.const 0) (ref.null func))", "TableSet"),
        ("", "(drop (table.grow $table (ref.null func) (i32.const 1)))", "TableGrow"),
        ("", "(table.fill $table (i32.const 0) (ref.null func) (i32.const 1))", "TableFill"),
        ("", "(table.copy $table $table (i32.const 0) (i32.const 0) (i32.const 0))", "TableCopy"),
        ("", "(table.init $table $passive (i32.const 0) (i32.const 0) (i32.const 0))", "TableInit"),
        ("", "(elem.drop $passive)", "ElemDrop"),
        ("", "(data.drop $text)", "DataDrop"),
        ("", "(drop (i32.atomic.load (i32.const 0)))", "I32AtomicLoad"),
        ("(global $last (mut funcref) (ref.null func))", "", "refers to a function"),
        ("(memory $other 1)", "", "more than one memory"),
        ("(global (export \"reset:mark\") i32 (i32.const 0))", "", "begins with reset:"),
    ] {
        let reason = reason(&module(more, handle));
        assert!(reason.contains(expected), "{reason}");
    }
    let large = module("", "").replace("(memory (export \"memory\") 1)", "(memory (export \"memory\") 257)");
    assert!(reason(&large).contains("16448 KiB at first"), "{}", reason(&large));
    let wide = module("", "").replace("i32.const 0x600", "i32.const 0xfffe");
    rewrite(&component(&wide), Options::default()).expect("its data fits");
    let beyond = module("", "").replace("i32.const 0x600", "i32.const 0x10000");
    assert!(reason(&beyond).contains("does not fit"), "{}", reason(&beyond));
}

#[test]
fn garbage_is_refused() {
    let whole = component(&module("", ""));
    for length in 0..whole.len() {
        // It may qualify where only its end is missing, and is then refused when it is compiled.
        let _ = rewrite(&whole[..length], Options::default());
    }
    assert!(rewrite(b"\0asm\x01\0\0\0", Options::default()).is_err(), "a module");
    assert!(rewrite(b"", Options::default()).is_err());
}
