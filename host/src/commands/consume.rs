//! `host consume`.

/// Arguments of `host consume`.
#[derive(Debug, clap::Args)]
pub struct Args {}
