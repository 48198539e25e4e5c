//! The console in a real browser, on a real Kafka, with real plugins.
//!
//! Needs Debian's `chromium` and `chromium-driver`. `SCREENSHOTS=DIR` saves pictures of the pages.

mod axe;
mod chromium;
mod fixture;
mod keyboard;
mod mailbox;
mod mouse;
mod outage;
mod pages;
mod pictures;
mod rooms;
mod safety;
mod selection;
mod task;
mod waiting;
