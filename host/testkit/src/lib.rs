//! Shared test tools. They start real servers: Apache Kafka, PostgreSQL, Postfix, Spring Boot applications
//! and the built binaries. Doubles stand in for what fails on demand: mail servers ([`FaultySmtp`],
//! [`ManneredSmtp`]) and a [`Proxy`].
//!
//! An error ends the test: functions panic with a message that names the cause, the place and the next
//! command.

mod guard;
mod http;
mod kafka;
mod mannered_smtp;
mod postfix;
mod postgres;
mod process;
mod proxy;
mod rng;
mod smtp;
mod spring;
mod tls_front;
mod usage;
mod wait;
mod wall_clock;

pub use http::{Response, get, post, request};
pub use kafka::cluster::KafkaCluster;
pub use kafka::secured::{PASSWORD, Secured, USER};
pub use kafka::{Kafka, Record};
pub use mannered_smtp::{ManneredSmtp, Manners};
pub use postfix::{Postfix, certificate};
pub use postgres::Postgres;
pub use process::{Process, TOLERATING_FULL_FILES, binary, plugin};
pub use proxy::{Behaviour, Proxy, Tunnel};
pub use rng::Rng;
pub use smtp::{End, FaultySmtp, Shares, Transaction};
pub use spring::{Boot, spring, spring_mail, spring_speed};
pub use tls_front::TlsFront;
pub use usage::Usage;
pub use wait::{eventually, free_port, long, scale};
pub use wall_clock::WallClock;

/// The value. An error panics with its whole chain of causes.
#[track_caller]
fn must<T>(result: anyhow::Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error:#}"),
    }
}
