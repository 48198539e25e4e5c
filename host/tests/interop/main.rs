//! A consumer that moves between a real Spring Kafka and this host, on Apache Kafka, in the middle
//! of its retries.
//!
//! Needs what `make build guests` leaves, and Maven for the consumer in `tests/spring`.
//! The moves and the letters are tested with Spring Boot 3.5 and 4.1, what is refused with 3.5.

mod fixture;
mod dead_letters;
mod moves;
mod policies;
#[path = "../e2e/support.rs"]
#[allow(dead_code, reason = "what the other tests need")]
mod support;
