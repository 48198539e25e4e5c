//! Kafka's command line: one file per group of commands.

pub mod consume;
pub mod groups;
pub mod produce;
pub mod topics;
