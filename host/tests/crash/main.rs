//! What kills, outages and rebalances may not break: every message ends in its place, and no
//! commit passes one that has not.
//!
//! Every test has an Apache Kafka of its own. What is random comes from a printed seed:
//! `TEST_SEED=…` repeats it. `LONG=1` runs the full sizes.

mod audit;
mod desk;
mod drain;
mod effects;
mod fixture;
mod kill;
mod mail;
mod mail_faults;
mod order;
mod outage;
mod rebalance;
mod replay;
mod workload;
