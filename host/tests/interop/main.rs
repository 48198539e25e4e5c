//! A consumer that moves between a real Spring Kafka and this host, on Apache Kafka, in the middle
//! of its retries.
//!
//! Needs what `make build guests` leaves, and Maven for the consumer in `tests/spring`.
//! `SPRING_PROFILE=boot4` runs them with Spring Boot 4.

mod fixture;
mod letters;
mod moves;
mod policies;
#[path = "../e2e/support.rs"]
#[allow(dead_code, reason = "what the other tests need")]
mod support;
