//! The commands that ask a running host through its HTTP API, and the output of all commands.

pub mod alerts;
pub mod confirm;
pub mod dlt;
pub mod output;
pub mod status;
pub mod waiting;
