//! The console in a real browser, on a real Kafka, with real plugins.
//!
//! Needs Debian's `chromium` and `chromium-driver`. `SCREENSHOTS=DIR` keeps pictures of the rooms.

mod chromium;
mod fixture;
mod keyboard;
mod mailbox;
mod mouse;
mod rooms;
mod safety;
