//! Dead letters come in: a member of the dead-letter group writes what lies in the dead-letter topic into
//! the store, and commits what is written.

mod batch;
mod members;
mod progress;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base::error::UserError;
use base::text;
use kafka::broker_probe::BrokerProbe;
use kafka::{errors, raw};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, TopicPartitionList};
use tokio::runtime::Handle;

use self::batch::Batch;
use self::progress::Context;
use crate::Desk;
use crate::letter::Letter;
use crate::metrics;

/// How long letters are gathered for one transaction.
const GATHER: Duration = Duration::from_millis(100);
/// How long one look for events waits where nothing is read.
const POLL: Duration = Duration::from_millis(50);
/// How long one transaction may take, and how long it goes on once the host stops.
const TRANSACTION: Duration = Duration::from_secs(15);
const LAST: Duration = Duration::from_secs(2);
/// The pause before a transaction that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often it is said that something keeps letters from coming in.
const SAY: Duration = Duration::from_secs(30);
/// How often the group's members are looked at, and how soon again where nobody answered.
const LOOK: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long the last commit may take, and then leaving the group.
const LEAVE: Duration = Duration::from_secs(2);
const LEAVE_POLL: Duration = Duration::from_millis(5);

/// Whose dead letters they are.
#[derive(Debug, Clone)]
pub struct Source {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// Its dead-letter topic.
    pub topic: String,
    /// The consumer group they are taken in by.
    pub group: String,
}

/// A member of a dead-letter group, on a thread of its own.
pub struct Intake {
    group: String,
    thread: thread::JoinHandle<()>,
}

impl Intake {
    /// Joins the group and takes letters in until `stop` is set; then it commits and leaves. `config` is
    /// that of the host's other consumers.
    ///
    /// # Errors
    /// What librdkafka has against the configuration.
    pub fn join(
        config: &ClientConfig,
        source: Source,
        desk: Desk,
        stop: Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let mut config = config.clone();
        config.set("group.id", &source.group);
        config.set("client.id", members::client_id(desk.store_id()));
        // Every dead letter is to be kept, whatever the plugin's own group begins with.
        config.set("auto.offset.reset", "earliest");
        config.set("enable.auto.commit", "false");
        config.set("enable.partition.eof", "false");
        let consumer: BaseConsumer<Context> = config.create_with_context(Context::new(&source.group))?;
        consumer.subscribe(&[&source.topic])?;
        let group = source.group.clone();
        let member = Member {
            probe: BrokerProbe::new(&config, &source.topic),
            consumer,
            source,
            desk,
            stop,
            runtime: Handle::current(),
            look_at: Instant::now(),
            is_refused: false,
            refused: Say::default(),
            unseen: Say::default(),
            strangers: Say::default(),
            away: Say::default(),
            not_let_in: Say::default(),
        };
        let thread = thread::Builder::new().name(format!("desk {group}")).spawn(move || member.run())?;
        Ok(Self { group, thread })
    }

    /// Waits until the member has left.
    pub fn join_thread(self) {
        if self.thread.join().is_err() {
            tracing::error!(group = self.group, "the dead-letter group's thread panicked");
        }
    }
}

/// Refuses to start where somebody else keeps a part of the group's dead letters in another store. Where
/// nobody answers, the member looks itself before it reads anything.
///
/// # Errors
/// Somebody does.
pub fn refuse_others(
    connection: &BaseConsumer<errors::Context>,
    desk: &Desk,
    source: &Source,
) -> Result<(), UserError> {
    let others = members::look(connection, &source.group, desk.store_id()).unwrap_or_default();
    if others.desks.is_empty() {
        return Ok(());
    }
    Err(UserError::unavailable(format!("{}, and {} would be another", refusal(&source.group), desk.place()))
        .help(ONE_STORE)
        .help("or leave the desk out of all but one: --desk=false")
        .help("a host that was killed counts until its session has ended, 45 s"))
}

const ONE_STORE: &str = "give all of them one store: --store postgres://user:password@host/database";

fn refusal(group: &str) -> String {
    format!(
        "another host keeps the dead letters of group {} in a store of its own",
        text::line(group.as_bytes())
    )
}

/// Something that is said once, and then now and again while it lasts.
#[derive(Default)]
struct Say(Option<Instant>);

impl Say {
    fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|said| said.elapsed() >= SAY);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }

    /// Whether it had been said.
    fn is_over(&mut self) -> bool {
        self.0.take().is_some()
    }
}

struct Member {
    consumer: BaseConsumer<Context>,
    source: Source,
    desk: Desk,
    stop: Arc<AtomicBool>,
    runtime: Handle,
    probe: BrokerProbe,
    look_at: Instant,
    /// Whether somebody in the group has another store.
    is_refused: bool,
    refused: Say,
    unseen: Say,
    strangers: Say,
    away: Say,
    not_let_in: Say,
}

impl Member {
    fn run(mut self) {
        while !self.is_stopped() {
            self.probe.run_if_due(&self.consumer);
            self.look();
            self.set_paused(self.is_refused);
            let mut batch = Batch::default();
            self.fill(&mut batch);
            self.keep(batch);
            self.commit();
        }
        self.leave();
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Looks who else is in the group: after every rebalance, before anything is read, and now and then.
    fn look(&mut self) {
        if !self.consumer.context().take_assigned() && Instant::now() < self.look_at {
            return;
        }
        self.look_at = Instant::now() + LOOK;
        let group = &self.source.group;
        match members::look(&self.consumer, group, self.desk.store_id()) {
            Ok(others) => {
                self.is_refused = !others.desks.is_empty();
                if self.is_refused && self.refused.is_due() {
                    tracing::error!(
                        "{}: none of them goes on. {ONE_STORE}; or --desk=false on the others",
                        refusal(group)
                    );
                } else if !self.is_refused && self.refused.is_over() {
                    tracing::info!(group, "alone with its store again; dead letters are taken in");
                }
                if !others.strangers.is_empty() && self.strangers.is_due() {
                    let clients: Vec<String> = others.strangers.into_iter().collect();
                    tracing::warn!(
                        group,
                        clients = text::line(clients.join(", ").as_bytes()),
                        "others read dead letters in this group too; what they read is not kept here"
                    );
                }
            }
            Err(error) => {
                self.look_at = Instant::now() + LOOK_AGAIN;
                // The embedded broker keeps no list of groups, and nobody else reaches it.
                let is_quiet =
                    |code| errors::is_connection(code) || code == RDKafkaErrorCode::UnsupportedFeature;
                if !error.rdkafka_error_code().is_some_and(is_quiet) && self.unseen.is_due() {
                    tracing::warn!(group, %error, "cannot see who else keeps this group's dead letters");
                }
            }
        }
    }

    /// Reads nothing more of what is assigned, or goes on.
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

    /// Reads for a moment, or until there is enough; not on past a rebalance.
    fn fill(&mut self, batch: &mut Batch) {
        let until = Instant::now() + GATHER;
        while !batch.is_full() && !self.consumer.context().is_assigned() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.poll(left, batch);
        }
    }

    fn poll(&mut self, wait: Duration, batch: &mut Batch) {
        let error = match self.consumer.poll(wait) {
            None => return,
            Some(Ok(message)) => {
                let record = batch::record(&message);
                self.consumer.context().read(&record.place);
                return batch.add(record);
            }
            Some(Err(error)) => error,
        };
        self.report(&error);
    }

    fn report(&mut self, error: &KafkaError) {
        use RDKafkaErrorCode as Code;
        let (group, topic) = (&self.source.group, &self.source.topic);
        match error.rdkafka_error_code() {
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) => {
                tracing::error!(group, %error, "no dead letters are taken in any more; restart the host");
            }
            Some(Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed) => {
                if self.not_let_in.is_due() {
                    let why = errors::reason(error);
                    tracing::error!(
                        "dead letters stay in {topic} ({why}): grant READ on group {group} and on the topic to this \
                         client, or leave the desk out: --desk=false"
                    );
                }
            }
            Some(Code::InconsistentGroupProtocol) => tracing::error!(
                group,
                "its other members share partitions out in another way; end them, or leave the desk out: --desk=false"
            ),
            // librdkafka's own lines say so already, and it goes on by itself.
            Some(code) if errors::is_connection(code) => tracing::debug!(group, %error, "consumer"),
            _ => tracing::warn!(group, %error, "consumer"),
        }
    }

    /// Writes the letters, however long that takes. While the store is away nothing more is read, and the
    /// member stays one.
    fn keep(&mut self, mut batch: Batch) {
        while !batch.letters.is_empty() {
            match self.take_in(&batch.letters) {
                Ok(new) => {
                    self.consumer.context().stored();
                    if self.away.is_over() {
                        tracing::info!(group = self.source.group, "the store takes dead letters again");
                    }
                    metrics::letters_taken(&self.source.plugin, new.len());
                    return batch.lines(&new).iter().for_each(|line| tracing::error!("{line}"));
                }
                Err(_) if self.is_stopped() => return,
                Err(why) => {
                    if self.away.is_due() {
                        tracing::error!(
                            group = self.source.group,
                            "dead letters stay in {} until the store {} takes them: {why}",
                            self.source.topic,
                            self.desk.place(),
                        );
                    }
                    self.set_paused(true);
                    let until = Instant::now() + RETRY;
                    while Instant::now() < until && !self.is_stopped() {
                        self.poll(POLL, &mut batch);
                    }
                }
            }
        }
    }

    fn take_in(&self, letters: &[Letter]) -> Result<HashSet<String>, String> {
        let stopped = async {
            while !self.is_stopped() {
                tokio::time::sleep(POLL).await;
            }
            tokio::time::sleep(LAST).await;
        };
        self.runtime.block_on(async {
            tokio::select! {
                result = self.desk.take_in(letters) => result.map_err(|error| error.to_string()),
                () = tokio::time::sleep(TRANSACTION) => {
                    Err(format!("no answer within {} s", TRANSACTION.as_secs()))
                }
                () = stopped => Err("the host stops".to_owned()),
            }
        })
    }

    fn commit(&self) {
        self.consumer.context().commit(&self.consumer);
    }

    /// What is stored is committed. See `kafka::group` on why it is waited for that the member has left.
    fn leave(&self) {
        let mut until = Instant::now() + LEAVE;
        self.commit();
        // What is read here is not stored, and so comes again.
        while Instant::now() < until && self.consumer.context().is_behind() {
            drop(self.consumer.poll(LEAVE_POLL));
            self.commit();
        }
        self.consumer.unsubscribe();
        until = Instant::now() + LEAVE;
        while Instant::now() < until && raw::is_member(&self.consumer) {
            drop(self.consumer.poll(LEAVE_POLL));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_said_once_in_a_while() {
        let mut say = Say::default();
        assert!(!say.is_over());
        assert!(say.is_due() && !say.is_due());
        assert!(say.is_over() && !say.is_over());
        assert!(say.is_due());
    }
}
