//! `host topics`.

/// Arguments of `host topics`.
#[derive(Debug, clap::Args)]
pub struct Args {}
