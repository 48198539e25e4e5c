//! Kafka: settings, group membership, partitions, headers, publishing, topics.

pub mod assignment;
pub mod client;
pub mod committed;
pub mod delivery;
pub mod errors;
pub mod group;
pub mod header_value;
pub mod headers;
pub mod health;
pub mod leftovers;
pub mod metrics;
pub mod order;
pub mod partition;
pub mod probe;
pub mod publisher;
pub mod raw;
pub mod topics;
pub mod tracker;
mod waiting;
mod waker;
pub mod watch;
pub mod window;
