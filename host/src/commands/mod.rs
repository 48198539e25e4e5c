//! Kafka's command line: one file per group of commands.
//!
//! Each command is synchronous and owns the thread it runs on: call its `run` outside of any async
//! runtime. stdout carries data alone, stderr everything said to a person.

pub mod config;
pub mod consume;
pub mod groups;
pub mod produce;
pub mod topics;

mod adopt;
pub(crate) mod assignment;
mod interrupt;
mod output;
mod record;
mod release;
mod session;
