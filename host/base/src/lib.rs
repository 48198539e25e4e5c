//! Shared basics: user-facing errors, terminal text, the clock, bytes in JSON, throttled log messages.

pub mod bytes;
pub mod clock;
pub mod error;
pub mod text;
pub mod throttle;
