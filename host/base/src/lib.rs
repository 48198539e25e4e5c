//! What every crate of the host uses: errors for people, text for terminals, the clock, bytes in JSON.

pub mod bytes;
pub mod clock;
pub mod error;
pub mod text;
