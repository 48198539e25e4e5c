//! The `host` binary from end to end, on Apache Kafka.
//!
//! Needs what `make build guests` leaves. The tests share one broker; each runs its messages
//! through a guest that was renamed for it, so topics and groups are its own.

mod configuration;
mod embedded;
mod groups;
mod hostile;
mod isolation;
mod limits;
mod logs;
mod main_path;
mod metadata;
mod metrics;
mod mixed;
mod offsets;
mod order;
mod postfix;
mod retry;
mod rules;
mod sandbox;
mod secured;
mod start_up;
mod support;
mod topics;
