//! The thread of a group member: serves its client until the stop, and replaces one that fetches nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use base::throttle::Throttle;
use parking_lot::{Mutex, RwLock};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use settings::OffsetReset;

use super::MemberContext;
use super::commits::{Commits, commit_at_once};
use super::log_watch::LogWatch;
use super::opening::REPORT_INTERVAL;
use crate::broker_probe::{BrokerProbe, ConnectionErrors};
use crate::fetch_watch::FetchWatch;
use crate::metrics::PartitionGauges;
use crate::partition::PartitionContext;
use crate::raw;

/// The interval at which the gauges of the partitions are set, and their fetches are watched.
const GAUGE_INTERVAL: Duration = Duration::from_secs(1);
/// The maximum time for leaving the group after draining, and the timeout of a poll meanwhile.
const LEAVE_BOUND: Duration = Duration::from_secs(2);
const LEAVE_POLL_TIMEOUT: Duration = Duration::from_millis(5);
/// The pause before a client that could not be created is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The client of a member.
type Client = Arc<BaseConsumer<MemberContext>>;
/// The client that a member has now.
pub(super) type CurrentClient = Arc<RwLock<Weak<BaseConsumer<MemberContext>>>>;

/// Everything that outlasts a client.
pub(super) struct Membership {
    pub group: String,
    pub topics: Vec<String>,
    pub config: ClientConfig,
    pub partition_context: Arc<PartitionContext>,
    pub reset: OffsetReset,
    pub drain: Duration,
    pub stop: Arc<AtomicBool>,
    pub current: CurrentClient,
}

impl Membership {
    /// Joins the group with a new client.
    pub fn connect(&self) -> KafkaResult<Client> {
        let context = MemberContext {
            group: self.group.clone(),
            partition_context: Arc::clone(&self.partition_context),
            reset: self.reset,
            drain: self.drain,
            health: Arc::clone(&self.partition_context.health),
            leave_by: OnceLock::new(),
            consumer: OnceLock::new(),
            partitions: Mutex::default(),
            gauges: Mutex::new(PartitionGauges::of(&self.group)),
            commits: Mutex::new(Commits { in_flight: None, next: Instant::now(), is_first: true }),
            unopened_report: Mutex::new(Throttle::new(REPORT_INTERVAL)),
            errors: ConnectionErrors::default(),
        };
        let client: Client = Arc::new(self.config.create_with_context(context)?);
        let _ = client.context().consumer.set(Arc::downgrade(&client));
        *self.current.write() = Arc::downgrade(&client);
        let _ = self.partition_context.on_uncommitted.set(commit_at_once(&self.current));
        let topics: Vec<&str> = self.topics.iter().map(String::as_str).collect();
        client.subscribe(&topics)?;
        Ok(client)
    }

    /// Serves the client, and its successors, until the stop.
    pub fn run(&self, client: Client) {
        let mut fetches = FetchWatch::new(&self.config);
        let mut client = Some(client);
        while let Some(served) = client {
            self.serve(&served, &mut fetches);
            drop(served);
            client = self.reconnect();
        }
    }

    /// A new client. None if the member is stopped.
    fn reconnect(&self) -> Option<Client> {
        while !self.is_stopped() {
            match self.connect() {
                Ok(client) => return Some(client),
                Err(error) => tracing::error!(group = self.group, %error, "cannot create a client"),
            }
            self.partition_context.health.beat();
            thread::sleep(RETRY);
        }
        None
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Serves rebalances and commits until the stop or until the client is stale, then leaves the group.
    fn serve(&self, client: &Client, fetches: &mut FetchWatch) {
        let context = client.context();
        let mut probe = BrokerProbe::new(&self.config, self.topics.first().map_or("", String::as_str));
        let mut logs = LogWatch::new();
        let mut next_gauges = Instant::now();
        let mut serve = |is_stale: &mut bool| {
            context.report(client.poll(context.poll_timeout()));
            context.health.beat();
            context.commit(client);
            if Instant::now() >= next_gauges {
                *is_stale |= context.watch_fetches(client, fetches);
                context.set_gauges(client);
                next_gauges = Instant::now() + GAUGE_INTERVAL;
            }
            if context.errors.lost_all() && context.health.outage().is_none() {
                probe.hurry();
            }
            if let Some(answer) = probe.run_if_due(client) {
                context.errors.tell(&context.health, answer.is_some());
                answer.iter().for_each(|broker| logs.ask(client, *broker));
            }
            logs.serve(client);
            context.control_flow(client);
        };
        let mut is_stale = false;
        while !is_stale && !self.is_stopped() {
            serve(&mut is_stale);
        }
        let until = context.begin_to_leave();
        while Instant::now() < until && !context.is_idle() {
            serve(&mut is_stale);
        }
        leave(client, until + LEAVE_BOUND);
        fetches.forget();
        // A next client may be assigned others.
        context.set_gauges(client);
    }
}

fn leave(client: &Client, until: Instant) {
    // Leaving is a rebalance: the partitions are revoked through `revoke`.
    client.unsubscribe();
    // librdkafka leaves the group when the partitions have stopped, which is after `revoke`. A client that is
    // dropped before that does not leave (`rd_kafka_cgrp_incr_unassign_done`, terminating), and the other
    // members wait until its session times out.
    while Instant::now() < until && raw::member_id(client).is_some() {
        client.context().report(client.poll(LEAVE_POLL_TIMEOUT));
    }
}
