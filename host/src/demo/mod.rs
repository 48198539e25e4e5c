//! `host demo`: the whole system in one process.

pub mod mailbox;

/// Arguments of `host demo`.
#[derive(Debug, clap::Args)]
pub struct Args {}
