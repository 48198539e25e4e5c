//! The command line: one file per group of commands.
//!
//! Each of Kafka's commands is synchronous and owns the thread it runs on: call its `run` outside of any
//! async runtime. stdout carries data alone, stderr everything said to a person.

pub mod alerts;
mod args;
pub mod config;
pub mod consume;
pub mod demo;
pub mod dlt;
pub mod groups;
pub mod layers;
pub mod plugin;
pub mod preflight;
pub mod produce;
pub mod topics;

mod adopt;
mod ask;
mod interrupt;
mod output;
mod record;
mod release;
mod session;

pub use self::args::{Cli, Command};
