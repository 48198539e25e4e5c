//! A Kafka consumer runtime whose message handlers are sandboxed WebAssembly components.

pub mod cli;
pub mod commands;
pub mod demo;
pub mod error;
pub mod kafka;
pub mod mail;
