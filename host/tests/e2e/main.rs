//! The `host` binary from end to end, on Apache Kafka.
//!
//! Needs what `make build guests` leaves. The tests share one broker; each runs its messages
//! through a guest that was renamed for it, so topics and groups are its own.

mod alerts;
mod configuration;
mod desk;
mod dlt;
mod dlt_try;
mod embedded;
mod groups;
mod hostile;
mod hostile_components;
mod hostile_http;
mod http_server;
mod isolation;
mod ledger;
mod limits;
mod logs;
mod main_path;
mod metadata;
mod metrics;
mod mixed;
mod offsets;
mod order;
mod plugin_inspect;
mod plugin_invoke;
mod postfix;
mod replay;
mod retry;
mod rules;
mod sandbox;
mod secured;
mod sms;
mod smtp_faults;
mod start_up;
mod support;
mod topics;
