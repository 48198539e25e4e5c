//! Kills, outages and rebalances: every message has its expected end, and no commit passes a message that has
//! not ended.
//!
//! Every test has an Apache Kafka of its own. Random choices come from a printed seed, which `TEST_SEED=…`
//! repeats. `LONG=1` runs the full sizes.

mod cluster;
mod desk;
mod disk;
mod drain;
mod effects;
mod fixture;
mod invariants;
mod kill;
mod mail;
mod mail_faults;
mod order;
mod outage;
mod produce;
mod rebalance;
mod recreated;
mod replay;
mod workload;
