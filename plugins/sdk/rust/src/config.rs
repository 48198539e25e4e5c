//! The plugin's configuration: `config` in `host.toml`.

use std::fmt::Display;
use std::str::FromStr;

use crate::{Failure, Result, imports, retry};

/// The value of a key; `None` if it is not set.
#[must_use]
pub fn get(key: &str) -> Option<String> {
    imports::config(key)
}

/// The value of a key that has to be set.
///
/// # Errors
/// It is not set: a retry with the code `config`, because somebody can set it before the retries are used up.
pub fn require(key: &str) -> Result<String> {
    get(key).ok_or_else(|| invalid(key, "is not set"))
}

/// The parsed value of a key; `None` if it is not set.
///
/// # Errors
/// It is not a `T`: a retry with the code `config`.
pub fn parse<T: FromStr<Err: Display>>(key: &str) -> Result<Option<T>> {
    get(key).map(|value| value.parse().map_err(|error| invalid(key, error))).transpose()
}

fn invalid(key: &str, problem: impl Display) -> Failure {
    retry("config", format!("config.{key}: {problem}; set it in `config` of the plugin in host.toml"))
}
