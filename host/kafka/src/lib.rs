//! Kafka: clients, group membership, partitions, headers, publishing and topics.

pub mod assignment;
pub mod broker_probe;
pub mod commit_metadata;
pub mod committed;
pub mod compacted;
pub mod decisions;
pub mod delivery;
pub mod group;
pub mod group_list;
pub mod header_value;
pub mod headers;
pub mod health;
pub mod held_keys;
pub mod key_order;
pub mod memory;
pub mod metrics;
pub mod partition;
mod pending;
pub mod publisher;
pub mod resume;
pub mod retry_backlog;
pub mod tracker;
pub mod waiting;
mod waker;
pub mod window;

pub use kafka_client::{client, errors, fetch_watch};
pub use kafka_raw as raw;
