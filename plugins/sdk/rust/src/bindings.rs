//! Generated from the contract.
#![allow(
    unsafe_code,
    missing_docs,
    unused_qualifications,
    clippy::all,
    reason = "generated, and values cross the component's boundary as raw pointers"
)]

wit_bindgen::generate!({
    path: "wit",
    world: "plugin",
    additional_derives: [PartialEq],
    pub_export_macro: true,
    default_bindings_module: "kafka_host_plugin::bindings",
});
