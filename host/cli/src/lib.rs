//! The command line: one module per command.
//!
//! Commands that use Kafka are synchronous and block their thread: call their `run` outside of an async runtime.
//! stdout carries data, stderr carries messages to the user.

mod args;
pub mod completions;
pub mod config;
pub mod consume;
pub mod demo;
pub mod doctor;
pub mod groups;
pub mod layers;
pub mod plugin;
pub mod preflight;
pub mod produce;
pub mod topics;

mod adopt;
mod examples;
mod held_keys;
mod interrupt;
mod kafka_client;
mod live_group;
mod record;
mod release;

pub use self::args::{Cli, Command, is_service};
