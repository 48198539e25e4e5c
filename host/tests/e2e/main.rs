//! The `host` binary from end to end, on Apache Kafka.
//!
//! Needs the results of `make build guests`. The tests share one broker. Each has a guest with a name of its
//! own, and so its own topics and groups.

mod alerts;
mod breaker;
mod bulk;
mod calls;
mod clock;
mod configuration;
mod consume;
mod derived_topics;
mod desk;
mod dlt;
mod dlt_try;
mod embedded;
mod groups;
mod hostile_components;
mod hostile_http;
mod hostile_records;
mod http_server;
mod isolation;
mod ledger;
mod limits;
mod logs;
mod mail_failover;
mod mail_servers;
mod main_path;
mod metadata;
mod metrics;
mod mixed;
mod offsets;
mod order;
mod outgoing;
mod pauses;
mod plugin_command;
mod plugin_inspect;
mod plugin_invoke;
mod postfix;
mod process;
mod recreated;
mod replay;
mod replay_pace;
mod replay_preview;
mod retry;
mod rules;
mod sandbox;
mod secured;
mod shortage;
mod sms;
mod smtp_faults;
mod start_up;
mod store_outage;
mod support;
mod test_desk;
mod topics;
mod waiting;
