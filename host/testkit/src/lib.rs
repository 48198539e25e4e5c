//! Real parts for tests: Apache Kafka, PostgreSQL, postfix, the built binaries and plugins, HTTP, ports,
//! seeds; and a mock of a mail server that fails.
//!
//! Test support: what goes wrong ends the test with a message that says what, where and the next
//! command, so these functions panic where a library would return an error.

mod guard;
mod http;
mod kafka;
mod postfix;
mod postgres;
mod process;
mod rng;
mod smtp;
mod spring;
mod usage;
mod wait;

pub use http::{Response, get, post, request};
pub use kafka::secured::{PASSWORD, Secured, USER};
pub use kafka::{Kafka, Record};
pub use postfix::{Postfix, certificate};
pub use postgres::Postgres;
pub use process::{Process, binary, plugin};
pub use rng::Rng;
pub use smtp::{End, FaultySmtp, Shares, Transaction};
pub use spring::{Boot, spring, spring_mail};
pub use usage::Usage;
pub use wait::{eventually, free_port, long, scale};

/// The value, or a panic that shows the whole chain of causes.
#[track_caller]
fn must<T>(result: anyhow::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error:#}"),
    }
}
