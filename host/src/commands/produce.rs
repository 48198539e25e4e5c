//! `host produce`.

/// Arguments of `host produce`.
#[derive(Debug, clap::Args)]
pub struct Args {}
