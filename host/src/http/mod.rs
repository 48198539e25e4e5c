//! Requests of plugins to the outside world: where they may go, and how they get there.

pub mod address;
pub mod client;
pub mod credentials;
pub mod solapi;
pub mod target;
