//! A consumer that moves between a real Spring Kafka application and this host, on Apache Kafka, during its
//! retries.
//!
//! Needs the results of `make build guests`, and Maven for the consumer in `tests/spring`.
//! Moves and dead letters are tested with Spring Boot 3.5 and 4.1, refusals with 3.5.

mod dead_letters;
mod fixture;
mod moves;
mod policies;
#[path = "../e2e/support.rs"]
#[allow(dead_code, reason = "parts that other tests need")]
mod support;
