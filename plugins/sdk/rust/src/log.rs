//! Lines in the host's log, which adds plugin, topic, partition and offset.
//!
//! The macros [`trace!`](crate::trace), [`debug!`](crate::debug), [`info!`](crate::info), [`warn!`](crate::warn) and
//! [`error!`](crate::error) take what `format!` takes. The host shows `info` and above, unless it is told otherwise:
//! `RUST_LOG=info,plugin=debug`. Personal data belongs to `debug`.

use std::fmt::Arguments;

pub use crate::bindings::kafka_host::plugin::log::Level;
use crate::imports;

/// Writes a line with fields: names and values.
///
/// ```
/// use kafka_host_plugin::log::{self, Level};
///
/// log::write(Level::Info, "the order is complete", &[("order", "17")]);
/// ```
pub fn write(level: Level, text: &str, fields: &[(&str, &str)]) {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    imports::log(level, text, &fields);
}

#[doc(hidden)]
pub fn format(level: Level, text: Arguments<'_>) {
    match text.as_str() {
        Some(text) => imports::log(level, text, &[]),
        None => imports::log(level, &text.to_string(), &[]),
    }
}

/// Logs a line at the level `trace`; see [`log`](mod@crate::log).
#[macro_export]
macro_rules! trace {
    ($($text:tt)+) => { $crate::log::format($crate::log::Level::Trace, ::std::format_args!($($text)+)) };
}

/// Logs a line at the level `debug`; see [`log`](mod@crate::log).
#[macro_export]
macro_rules! debug {
    ($($text:tt)+) => { $crate::log::format($crate::log::Level::Debug, ::std::format_args!($($text)+)) };
}

/// Logs a line at the level `info`; see [`log`](mod@crate::log).
#[macro_export]
macro_rules! info {
    ($($text:tt)+) => { $crate::log::format($crate::log::Level::Info, ::std::format_args!($($text)+)) };
}

/// Logs a line at the level `warn`; see [`log`](mod@crate::log).
#[macro_export]
macro_rules! warn {
    ($($text:tt)+) => { $crate::log::format($crate::log::Level::Warn, ::std::format_args!($($text)+)) };
}

/// Logs a line at the level `error`; see [`log`](mod@crate::log).
#[macro_export]
macro_rules! error {
    ($($text:tt)+) => { $crate::log::format($crate::log::Level::Error, ::std::format_args!($($text)+)) };
}
