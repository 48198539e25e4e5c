//! The command line: one file per group of commands.
//!
//! Each of Kafka's commands is synchronous and owns the thread it runs on: call its `run` outside of any
//! async runtime. stdout carries data alone, stderr everything said to a person.

pub mod alerts;
pub mod config;
pub mod consume;
pub mod dlt;
pub mod groups;
pub mod plugin;
pub mod produce;
pub mod topics;

mod adopt;
mod ask;
pub(crate) mod assignment;
mod interrupt;
mod output;
pub(crate) mod record;
mod release;
mod session;
