//! Writes the seeds that depend on the contract and on the reference of `host.toml`, so that they are up to
//! date.
//!
//! usage: fuzz-seeds DIRECTORY; writes DIRECTORY/component/*, DIRECTORY/config/* and DIRECTORY/config.dict

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

// The functions that the coverage calls.
use libfuzzer_sys as _;
use sandbox::capabilities;
use settings::reference;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Modules with the exports of the contract.
const PLUGINS: [(&str, &str); 2] =
    [("plugin", include_str!("../seeds/plugin.wat")), ("raw", include_str!("../../tests/guests/raw.wat"))];

/// Modules that the host refuses, each at a different step.
const OTHERS: [(&str, &str); 7] = [
    ("module", "(module)"),
    ("empty", "(component)"),
    (
        "other-contract",
        r#"(component (instance $i) (export "kafka-host:plugin/handler@0.3.0" (instance $i)))"#,
    ),
    (
        "empty-instances",
        r#"(component (instance $i) (export "kafka-host:plugin/handler@0.2.0" (instance $i))
            (export "kafka-host:plugin/lifecycle@0.2.0" (instance $i)))"#,
    ),
    (
        "unknown-import",
        r#"(component (import "other:package/thing@1.0.0" (instance)) (instance $i)
            (export "kafka-host:plugin/handler@0.2.0" (instance $i))
            (export "kafka-host:plugin/lifecycle@0.2.0" (instance $i)))"#,
    ),
    (
        "wasi",
        r#"(component (import "wasi:io/poll@0.2.6" (instance (export "pollable" (type (sub resource)))))
            (import "wasi:random/random@0.2.6" (instance (export "get-random-u64" (func (result u64)))))
            (instance $i) (export "kafka-host:plugin/handler@0.2.0" (instance $i))
            (export "kafka-host:plugin/lifecycle@0.2.0" (instance $i)))"#,
    ),
    (
        "lifted",
        r#"(component (core module $m (func (export "f") (result i32) i32.const 1))
            (core instance $m (instantiate $m)) (func $f (result u32) (canon lift (core func $m "f")))
            (component $c (import "f" (func $f (result u32))) (export "describe" (func $f)))
            (instance $i (instantiate $c (with "f" (func $f))))
            (export "kafka-host:plugin/handler@0.2.0" (instance $i))
            (export "kafka-host:plugin/lifecycle@0.2.0" (instance $i)))"#,
    ),
];

fn main() {
    let directory = env::args().nth(1).expect("usage: fuzz-seeds DIRECTORY");
    let directory = Path::new(&directory);
    for kind in ["component", "config"] {
        fs::create_dir_all(directory.join(kind)).expect("a directory");
    }
    let write = |name: &str, bytes: &[u8]| fs::write(directory.join(name), bytes).expect("written");
    for (name, module) in PLUGINS {
        write(&format!("component/{name}"), &component(module));
    }
    for (name, text) in OTHERS {
        write(&format!("component/{name}"), &wat::parse_str(text).expect(name));
    }
    let template = reference::template("", &capabilities::extensions());
    write("config/reference", uncommented(&template).as_bytes());
    write("config.dict", dictionary(&template).as_bytes());
}

/// A module as a component of the contract.
fn component(module: &str) -> Vec<u8> {
    let mut module = wat::parse_str(module).expect("a module");
    let mut contract = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
    let (package, _) = contract.push_dir(wit).expect("the contract");
    let world = contract.select_world(&[package], Some("plugin")).expect("world `plugin`");
    embed_component_metadata(&mut module, &contract, world, StringEncoding::UTF8).expect("metadata");
    let encoder = ComponentEncoder::default();
    let mut encoder = encoder.module(&module).expect("a module of the contract");
    encoder.encode().expect("a component")
}

/// The examples of the reference as settings.
fn uncommented(template: &str) -> String {
    let is_setting = |line: &&str| line.contains(" = ") || line.starts_with('[');
    let lines = template.lines().map(|line| line.trim_start_matches("# ")).filter(is_setting);
    lines.map(|line| format!("{line}\n")).collect()
}

/// The keys, tables and values of the reference, as a dictionary for libFuzzer.
fn dictionary(template: &str) -> String {
    let settings = uncommented(template);
    let mut words = BTreeSet::new();
    for line in settings.lines() {
        words.insert(line.to_owned());
        words.extend(line.split([' ', '{', '}', ',']).filter(|word| word.len() > 2).map(str::to_owned));
    }
    words.iter().map(|word| format!("\"{}\"\n", escaped(word))).collect()
}

/// A word in the format of libFuzzer: a byte that is not printable ASCII is `\xNN`.
fn escaped(word: &str) -> String {
    let byte = |byte: u8| match byte {
        b'\\' | b'"' => format!("\\{}", char::from(byte)),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02X}"),
    };
    word.bytes().map(byte).collect()
}
