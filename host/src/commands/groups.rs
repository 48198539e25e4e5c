//! `host groups`.

/// Arguments of `host groups`.
#[derive(Debug, clap::Args)]
pub struct Args {}
