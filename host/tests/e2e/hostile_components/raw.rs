//! Builds `guests/raw.wat` into a component of the contract.

use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::support::file;

/// The file of the component.
pub fn component() -> PathBuf {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/raw.wat");
    component_of(&std::fs::read(module).expect("the module"), "raw")
}

/// The file of the component from this text of a module.
pub fn component_of(wat: &[u8], name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut module = wat::parse_bytes(wat).expect("a module").into_owned();
    let mut contract = Resolve::default();
    let (package, _) = contract.push_dir(root.join("../wit")).expect("the contract");
    let world = contract.select_world(&[package], Some("plugin")).expect("world `plugin`");
    embed_component_metadata(&mut module, &contract, world, StringEncoding::UTF8).expect("metadata");
    let encoder = ComponentEncoder::default().validate(true);
    let mut encoder = encoder.module(&module).expect("a module of the contract");
    let component = encoder.encode().expect("a component");
    file(&format!("{name}.wasm"), &component)
}
