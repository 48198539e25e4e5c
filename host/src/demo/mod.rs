//! `host demo`: the whole system in one process.

/// Arguments of `host demo`.
#[derive(Debug, clap::Args)]
pub struct Args {}
