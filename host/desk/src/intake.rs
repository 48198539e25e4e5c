//! Intake: a member of the dead-letter consumer group stores the records of the dead-letter topic, and commits
//! the offsets of the stored ones.

mod batch;
mod log_watch;
mod other_members;
mod progress;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base::clock;
use base::error::UserError;
use base::text;
use base::throttle::Throttle;
use desk_api::DeadLetter;
use kafka::broker_probe::BrokerProbe;
use kafka::fetch_watch::FetchWatch;
use kafka::{errors, raw};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::{ClientConfig, TopicPartitionList};
use tokio::runtime::Handle;

use self::batch::Batch;
use self::log_watch::LogWatch;
pub use self::other_members::is_desk;
use self::progress::Context;
use crate::Desk;
use crate::metrics;

/// How long dead letters are collected for one transaction.
const COLLECT: Duration = Duration::from_millis(100);
/// Poll timeout while nothing is collected.
const POLL: Duration = Duration::from_millis(50);
/// Maximum duration of a transaction, and of one during shutdown.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause before a failed transaction is retried.
const RETRY: Duration = Duration::from_secs(1);
/// Interval of the check for other members, and after a check without an answer.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);
const CHECK_RETRY: Duration = Duration::from_secs(5);
/// Interval at which a lasting condition is logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);
/// Maximum duration of the last commit, and of leaving the group.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(2);
const LEAVE_POLL: Duration = Duration::from_millis(5);

/// The source of dead letters.
#[derive(Debug, Clone)]
pub struct Source {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// The plugin's dead-letter topic.
    pub topic: String,
    /// The dead-letter consumer group.
    pub group: String,
}

/// A member of a dead-letter consumer group, on its own thread.
pub struct Intake {
    group: String,
    thread: thread::JoinHandle<()>,
}

impl Intake {
    /// Joins the group and stores dead letters until `stop` is set; then commits and leaves. `config` is the
    /// configuration of the host's other consumers.
    ///
    /// # Errors
    /// librdkafka refuses the configuration.
    pub fn join(
        config: &ClientConfig,
        source: Source,
        desk: Desk,
        stop: Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let mut config = config.clone();
        config.set("group.id", &source.group);
        config.set("client.id", other_members::client_id(desk.store_id()));
        // Every dead letter is stored, wherever the plugin's own group starts.
        config.set("auto.offset.reset", "earliest");
        config.set("enable.auto.commit", "false");
        config.set("enable.partition.eof", "false");
        let consumer = connect(&config, &source)?;
        let group = source.group.clone();
        let member = Member {
            probe: BrokerProbe::new(&config, &source.topic),
            log: LogWatch::default(),
            fetches: FetchWatch::new(&config),
            records: 0,
            config,
            consumer,
            source,
            desk,
            stop,
            runtime: Handle::current(),
            next_check: Instant::now(),
            has_conflict: false,
            warnings: Warnings::default(),
        };
        let thread = thread::Builder::new().name(format!("desk {group}")).spawn(move || member.run())?;
        Ok(Self { group, thread })
    }

    /// Waits until the member has left the group.
    pub fn join_thread(self) {
        if self.thread.join().is_err() {
            tracing::error!(group = self.group, "the intake thread panicked");
        }
    }
}

/// Refuses to start if another host stores dead letters of the group in another store than the one with this id and
/// name. If Kafka does not answer, the member repeats the check before it reads anything.
///
/// # Errors
/// Another host does.
pub fn refuse_other_stores(
    connection: &BaseConsumer<errors::Context>,
    group: &str,
    (store_id, store_name): (&str, &str),
) -> Result<(), UserError> {
    let others = other_members::find(connection, group, store_id).unwrap_or_default();
    if others.stores.is_empty() {
        return Ok(());
    }
    let what = format!("{}; this host uses {store_name}", conflict(group));
    Err(UserError::unavailable(what)
        .help(SHARE_STORE)
        .help("or disable the desk on all hosts but one: --desk=false")
        .help("a host that was killed remains a member until its session times out (45 s by default)"))
}

const SHARE_STORE: &str =
    "configure the same store for all of them: --store postgres://user:password@host/database";

fn conflict(group: &str) -> String {
    format!(
        "another host stores the dead letters of group {} in a different store",
        text::line(group.as_bytes())
    )
}

/// Joins the group with a new client.
fn connect(config: &ClientConfig, source: &Source) -> KafkaResult<BaseConsumer<Context>> {
    let consumer: BaseConsumer<Context> = config.create_with_context(Context::new(&source.group))?;
    consumer.subscribe(&[&source.topic])?;
    Ok(consumer)
}

struct Member {
    config: ClientConfig,
    log: LogWatch,
    fetches: FetchWatch,
    /// After what holds requests of it.
    consumer: BaseConsumer<Context>,
    source: Source,
    desk: Desk,
    stop: Arc<AtomicBool>,
    runtime: Handle,
    probe: BrokerProbe,
    /// The number of records that were read.
    records: i64,
    next_check: Instant,
    /// Whether a member of the group uses another store.
    has_conflict: bool,
    warnings: Warnings,
}

/// Conditions that are logged when they begin, and repeatedly while they last.
struct Warnings {
    conflict: Throttle,
    check_failed: Throttle,
    foreign_members: Throttle,
    store_unavailable: Throttle,
    unauthorized: Throttle,
}

impl Default for Warnings {
    fn default() -> Self {
        let throttle = || Throttle::new(REPORT_INTERVAL);
        Self {
            conflict: throttle(),
            check_failed: throttle(),
            foreign_members: throttle(),
            store_unavailable: throttle(),
            unauthorized: throttle(),
        }
    }
}

impl Member {
    fn run(mut self) {
        while !self.is_stopped() {
            self.watch_client();
            self.check_others();
            self.set_paused(self.has_conflict);
            let mut batch = Batch::default();
            self.collect(&mut batch);
            self.store(batch);
            self.commit();
        }
        self.leave();
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Checks the other members of the group: after every rebalance before anything is read, and periodically.
    fn check_others(&mut self) {
        if !self.consumer.context().take_assigned() && Instant::now() < self.next_check {
            return;
        }
        self.next_check = Instant::now() + CHECK_INTERVAL;
        let group = &self.source.group;
        let others = match other_members::find(&self.consumer, group, self.desk.store_id()) {
            Ok(others) => others,
            Err(error) => {
                self.next_check = Instant::now() + CHECK_RETRY;
                return self.report_failed_check(&error);
            }
        };
        self.has_conflict = !others.stores.is_empty();
        if self.has_conflict && self.warnings.conflict.is_due() {
            tracing::error!(
                "{}: intake is paused on all of them. {SHARE_STORE}; or set --desk=false on the other hosts",
                conflict(group)
            );
        } else if !self.has_conflict && self.warnings.conflict.clear() {
            tracing::info!(group, "no other store is in use any more; intake has resumed");
        }
        if !others.clients.is_empty() && self.warnings.foreign_members.is_due() {
            let clients: Vec<String> = others.clients.into_iter().collect();
            tracing::warn!(
                group,
                clients = text::line(clients.join(", ").as_bytes()),
                "other clients consume dead letters in this group; what they consume is not stored"
            );
        }
    }

    fn report_failed_check(&mut self, error: &KafkaError) {
        // The embedded broker does not list groups, and no other host can reach it.
        let is_expected = |code| errors::is_connection(code) || code == RDKafkaErrorCode::UnsupportedFeature;
        if !error.rdkafka_error_code().is_some_and(is_expected) && self.warnings.check_failed.is_due() {
            tracing::warn!(group = self.source.group, %error, "cannot list the members of the dead-letter group");
        }
    }

    /// Pauses or resumes all assigned partitions.
    fn set_paused(&self, pause: bool) {
        if !self.consumer.context().set_paused(pause) {
            return;
        }
        let set = |list: &TopicPartitionList| match pause {
            true => self.consumer.pause(list),
            false => self.consumer.resume(list),
        };
        if let Err(error) = self.consumer.assignment().and_then(|list| set(&list)) {
            tracing::warn!(group = self.source.group, %error, pause, "consumer");
            self.consumer.context().set_paused(!pause);
        }
    }

    /// Reads for [`COLLECT`], until the batch is full, or until a rebalance.
    fn collect(&mut self, batch: &mut Batch) {
        let until = Instant::now() + COLLECT;
        while !batch.is_full() && !self.consumer.context().is_assigned() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // The client spins for the rest of a timeout that is no whole number of milliseconds.
            self.poll(Duration::from_millis(clock::millis_u64(left) + 1), batch);
        }
    }

    fn poll(&mut self, timeout: Duration, batch: &mut Batch) {
        match self.consumer.poll(timeout) {
            None => {}
            Some(Ok(message)) => {
                let record = batch::record(&message);
                self.records += 1;
                self.consumer.context().read(&record.location);
                batch.add(record);
            }
            Some(Err(error)) => self.report(&error),
        }
    }

    fn report(&mut self, error: &KafkaError) {
        use RDKafkaErrorCode as Code;
        let (group, topic) = (&self.source.group, &self.source.topic);
        match error.rdkafka_error_code() {
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                tracing::error!(group, %error, "intake of dead letters has stopped; restart the host");
            }
            Some(Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed) => {
                if self.warnings.unauthorized.is_due() {
                    let why = errors::reason(error);
                    tracing::error!(
                        "dead letters remain in {topic} ({why}): grant this client READ on group {group} and on the \
                         topic, or disable the desk: --desk=false"
                    );
                }
            }
            Some(Code::InconsistentGroupProtocol) => tracing::error!(
                group,
                "other members use a different partition assignment strategy; stop them, or disable the desk: \
                 --desk=false"
            ),
            // librdkafka logs these itself, and reconnects.
            Some(code) if errors::is_connection(code) => tracing::debug!(group, %error, "consumer"),
            _ => tracing::warn!(group, %error, "consumer"),
        }
    }

    /// Stores a batch, and retries until that succeeds. Meanwhile nothing more is read, and the member stays in the
    /// group.
    fn store(&mut self, mut batch: Batch) {
        while !batch.dead_letters.is_empty() {
            match self.try_store(&batch.dead_letters) {
                Ok(new) => {
                    self.consumer.context().stored();
                    if self.warnings.store_unavailable.clear() {
                        tracing::info!(group = self.source.group, "the store is available again");
                    }
                    metrics::dead_letters_ingested(&self.source.plugin, new.len());
                    return batch.log_lines(&new).iter().for_each(|line| tracing::error!("{line}"));
                }
                Err(_) if self.is_stopped() => return,
                Err(cause) => self.wait_to_retry(&cause, &mut batch),
            }
        }
    }

    fn wait_to_retry(&mut self, cause: &str, batch: &mut Batch) {
        if self.warnings.store_unavailable.is_due() {
            tracing::error!(
                group = self.source.group,
                "dead letters remain in {} until the store {} is available: {cause}",
                self.source.topic,
                self.desk.store_name(),
            );
        }
        self.set_paused(true);
        let until = Instant::now() + RETRY;
        while Instant::now() < until && !self.is_stopped() {
            self.poll(POLL, batch);
        }
    }

    fn try_store(&self, dead_letters: &[DeadLetter]) -> Result<HashSet<String>, String> {
        let stopped = async {
            while !self.is_stopped() {
                tokio::time::sleep(POLL).await;
            }
            tokio::time::sleep(SHUTDOWN_TIMEOUT).await;
        };
        self.runtime.block_on(async {
            tokio::select! {
                result = self.desk.ingest(dead_letters) => result.map_err(|error| error.to_string()),
                () = tokio::time::sleep(TRANSACTION_TIMEOUT) => {
                    Err(format!("no answer within {} s", TRANSACTION_TIMEOUT.as_secs()))
                }
                () = stopped => Err("the host is shutting down".to_owned()),
            }
        })
    }

    fn commit(&self) {
        self.consumer.context().commit(&self.consumer);
    }

    /// Commits the offsets of the stored records and leaves the group. See `kafka::group` on why this waits for the departure.
    fn leave(&self) {
        let mut until = Instant::now() + LEAVE_TIMEOUT;
        self.commit();
        // Records read here are not stored; they are read again later.
        while Instant::now() < until && self.consumer.context().is_behind() {
            drop(self.consumer.poll(LEAVE_POLL));
            self.commit();
        }
        self.consumer.unsubscribe();
        until = Instant::now() + LEAVE_TIMEOUT;
        while Instant::now() < until && raw::member_id(&self.consumer).is_some() {
            drop(self.consumer.poll(LEAVE_POLL));
        }
    }
}
