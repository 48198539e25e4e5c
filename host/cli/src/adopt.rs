//! `host groups adopt`: migrates a consumer between Spring Kafka and this host while retries are pending.
//!
//! Both read the source topic in the same group, which needs no migration. Spring has a consumer group for each retry
//! topic (`<group>-retry-1000`), and this host has one for all of them (`<group>-retry`): the offsets of one side are
//! committed for the other. Nothing is committed before all checks have passed.

mod finished;
mod plan;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use base::error::UserError;
use base::text;
use consumer::subscription::Subscription;
use rdkafka::admin::ConfigSource;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::groups::{GroupInfo, GroupList};
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use settings::KafkaArgs;
use settings::RunArgs;

use self::plan::{Direction, Move, Partition, Retries, Topic};
use crate::groups;
use crate::kafka_client::{self, KafkaClient};
use crate::live_group::{self, Members, UNKNOWN_MEMBERS, outside};
use crate::preflight;
use desk_cli::output::{OutputArgs, note};

/// A topic setting that this host sets on topics that it creates, and Spring does not.
const HOST_SETTING: &str = "max.message.bytes";

/// Values by partition.
type Offsets<T = i64> = BTreeMap<(String, i32), T>;

/// Arguments of `host groups adopt`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Migrate from this host to Spring Kafka, instead of from Spring Kafka to this host
    #[arg(long)]
    to_spring: bool,
    /// Show the offsets to commit, without committing them
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
    /// The plugins and their settings.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Runs `host groups adopt`.
///
/// # Errors
/// One side cannot continue where the other stopped; nothing has changed.
pub fn run(args: &Args) -> Result<(), UserError> {
    let to = if args.to_spring { Direction::Spring } else { Direction::Host };
    let kafka = &args.run.kafka;
    let subscriptions = subscriptions(&args.run)?;
    let client = KafkaClient::open(kafka, &[])?;
    let metadata = client.metadata(None)?;
    let mut all = Vec::new();
    for subscription in &subscriptions {
        let consumer = Moved { subscription, kafka, client: &client, metadata: &metadata };
        check_unordered(subscription)?;
        consumer.check_idle(args.dry_run)?;
        if args.to_spring {
            consumer.check_none_finished()?;
        }
        let moves =
            consumer.read_retries()?.plan(to).map_err(|failure| failure.within(&subscription.topic))?;
        all.push((subscription, moves));
    }
    if !args.dry_run {
        for (subscription, moves) in &all {
            commit(kafka, subscription, moves, to)?;
        }
    }
    report::print(args, &all, to)
}

fn subscriptions(run: &RunArgs) -> Result<Vec<Subscription>, UserError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| UserError::unavailable(format!("cannot load plugins: {error}")))?;
    let (plugins, _) = runtime.block_on(preflight::prepare(run))?;
    Ok(plugins.into_iter().map(|plugin| plugin.subscription).collect())
}

/// Plugins with an ordering use no retry topics.
fn check_unordered(subscription: &Subscription) -> Result<(), UserError> {
    let ordering = subscription.ordering;
    if !ordering.is_in_place() {
        return Ok(());
    }
    let what = format!(
        "{} has ordering = \"{}\": messages are retried in place, and Spring cannot continue their attempts",
        subscription.topic,
        ordering.as_str()
    );
    Err(UserError::usage(what)
        .help("let the running side finish, until the lag is 0: host groups describe GROUP"))
}

/// Spring's group for a retry topic: it has the topic's suffix.
fn spring_group(subscription: &Subscription, suffix: &str) -> String {
    format!("{}{suffix}", subscription.group)
}

/// The consumer that is migrated, as seen by the broker.
struct Moved<'a> {
    subscription: &'a Subscription,
    kafka: &'a KafkaArgs,
    client: &'a KafkaClient,
    metadata: &'a Metadata,
}

impl Moved<'_> {
    /// This host's existing retry topics, and other topics that are named like retry topics of the same source.
    fn retry_topics(&self) -> (Vec<&str>, Vec<&str>) {
        let tiers = self.subscription.retry_topics();
        let known = self.metadata.topics().iter().map(|topic| topic.name());
        known
            .filter(|name| {
                tiers.iter().any(|tier| tier == name)
                    || name
                        .strip_prefix(&self.subscription.topic)
                        .is_some_and(|rest| is_retry_suffix(rest, &self.prefix()))
            })
            .partition(|name| tiers.iter().any(|tier| tier == name))
    }

    /// The suffix of retry topics, without the delay.
    fn prefix(&self) -> String {
        let tiers = self.subscription.retry_topics();
        let suffix =
            tiers.first().and_then(|tier| tier.strip_prefix(&self.subscription.topic)).unwrap_or("-retry");
        match suffix.rsplit_once('-') {
            Some((prefix, delay)) if delay.bytes().all(|byte| byte.is_ascii_digit()) => prefix.to_owned(),
            _ => suffix.to_owned(),
        }
    }

    fn read_retries(&self) -> Result<Retries, UserError> {
        let tiers = self.subscription.retry_topics();
        let (found, others) = self.retry_topics();
        let partitions: Vec<(String, i32)> = self.partitions(found.iter().chain(&others).copied()).collect();
        let ends = self.watermarks(&partitions)?;
        let retry_group = self.subscription.retry_group();
        let host = self.committed(&retry_group, &partitions)?;
        let mut topic = |name: &&str| -> Result<Topic, UserError> {
            let suffix = name.strip_prefix(&self.subscription.topic).unwrap_or_default().to_owned();
            let own: Vec<(String, i32)> = self.partitions(iter::once(*name)).collect();
            let spring = self.committed(&spring_group(self.subscription, &suffix), &own)?;
            let partition = |key: &(String, i32)| {
                let (start, end) = ends.get(key).copied().unwrap_or_default();
                let (spring, host) = (spring.get(key).copied(), host.get(key).copied());
                Partition { index: key.1, start, end, spring, host }
            };
            Ok(Topic {
                name: (*name).to_owned(),
                suffix,
                made_by_host: self.made_by_host(name)?,
                partitions: own.iter().map(partition).collect(),
            })
        };
        let mut found: Vec<Topic> = found.iter().map(&mut topic).collect::<Result<_, _>>()?;
        found.sort_by_key(|topic| tiers.iter().position(|tier| *tier == topic.name));
        let others = others.iter().map(&mut topic).collect::<Result<_, _>>()?;
        Ok(Retries { tiers, found, others })
    }

    fn partitions<'b>(&self, topics: impl Iterator<Item = &'b str>) -> impl Iterator<Item = (String, i32)> {
        let found =
            topics.filter_map(|name| self.metadata.topics().iter().find(|topic| topic.name() == name));
        found.flat_map(|topic| topic.partitions().iter().map(move |p| (topic.name().to_owned(), p.id())))
    }

    fn committed(&self, group: &str, of: &[(String, i32)]) -> Result<Offsets, UserError> {
        let client = outside(self.kafka, group)?;
        groups::committed(&client, of.iter().map(|(topic, partition)| (topic.as_str(), *partition)))
    }

    /// The first and the next offsets.
    ///
    /// # Errors
    /// A partition has no leader.
    fn watermarks(&self, of: &[(String, i32)]) -> Result<Offsets<(i64, i64)>, UserError> {
        let read = |position| self.client.offsets(position, of);
        let (starts, ends) = (read(Offset::Beginning)?, read(Offset::End)?);
        let known = |list: &TopicPartitionList, (topic, partition): &(String, i32)| {
            let found = list.find_partition(topic, *partition)?;
            found.error().ok().and_then(|()| found.offset().to_raw()).filter(|offset| *offset >= 0)
        };
        of.iter()
            .map(|key| match (known(&starts, key), known(&ends, key)) {
                (Some(start), Some(end)) => Ok((key.clone(), (start, end))),
                _ => Err(UserError::unavailable(format!("{}[{}] has no leader", key.0, key.1))
                    .help(format!("show it: host topics describe {}", key.0))),
            })
            .collect()
    }

    fn made_by_host(&self, topic: &str) -> Result<Option<bool>, UserError> {
        let settings = kafka_client::settings(self.kafka, topic)?;
        let own = |entry: &rdkafka::admin::ConfigEntry| {
            entry.name == HOST_SETTING && entry.source == ConfigSource::DynamicTopic
        };
        Ok(settings.map(|entries| entries.iter().any(own)))
    }

    fn check_none_finished(&self) -> Result<(), UserError> {
        let (found, _) = self.retry_topics();
        let source = [self.subscription.topic.as_str()];
        let (retry_group, group) = (self.subscription.retry_group(), self.subscription.group.clone());
        for (group, topics) in [(group, &source[..]), (retry_group, &found[..])] {
            let partitions: Vec<(String, i32)> = self.partitions(topics.iter().copied()).collect();
            finished::check_none_finished(&outside(self.kafka, &group)?, &partitions)?;
        }
        Ok(())
    }

    /// All consumer groups of both sides.
    fn groups(&self) -> BTreeSet<String> {
        let (found, others) = self.retry_topics();
        let suffixes =
            found.into_iter().chain(others).filter_map(|name| name.strip_prefix(&self.subscription.topic));
        let springs = suffixes.map(|suffix| spring_group(self.subscription, suffix));
        springs.chain([self.subscription.group.clone(), self.subscription.retry_group()]).collect()
    }

    /// Neither side may run: uncommitted messages would be handled twice.
    fn check_idle(&self, dry_run: bool) -> Result<(), UserError> {
        let listed: GroupList = groups::fetch(self.client, None)?;
        let ours = self.groups();
        for group in listed.groups().iter().filter(|group| ours.contains(group.name())) {
            if !group.members().is_empty() {
                return Err(active(group));
            }
            if groups::is_classic(group) {
                continue;
            }
            if dry_run {
                note(format_args!(
                    "note: group {} {UNKNOWN_MEMBERS}; this is checked without --dry-run",
                    group.name()
                ));
            } else {
                self.probe(group.name())?;
            }
        }
        Ok(())
    }

    /// Commits the committed offsets once more: the broker rejects the commit if the group has members.
    fn probe(&self, group: &str) -> Result<(), UserError> {
        let (found, others) = self.retry_topics();
        let topics = found.into_iter().chain(others).chain([self.subscription.topic.as_str()]);
        let partitions: Vec<(String, i32)> = self.partitions(topics).collect();
        let client = outside(self.kafka, group)?;
        match live_group::probe(&client, &partitions)? {
            Members::Unlisted(refused) => return Err(commit_rejected(&client, group, &refused)),
            Members::Unknown => {
                note(format_args!("note: group {group} {UNKNOWN_MEMBERS}; make sure that it is stopped"));
            }
            Members::None | Members::Listed(_) => {}
        }
        Ok(())
    }
}

/// `-retry`, `-retry-1000`, or `-retry-1000-0` for separate topics of equal delays.
fn is_retry_suffix(suffix: &str, prefix: &str) -> bool {
    let Some(rest) = suffix.strip_prefix(prefix) else { return false };
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    rest.is_empty()
        || rest
            .strip_prefix('-')
            .is_some_and(|rest| rest.split('-').count() <= 2 && rest.split('-').all(number))
}

fn active(group: &GroupInfo) -> UserError {
    let name = text::line(group.name().as_bytes());
    UserError::unavailable(format!("group {name} is active, {}", live_group::listed(group)))
        .help("stop both sides first; a killed member remains until its session times out (45 s by default)")
        .help(format!("list the members: host groups describe {name}"))
}

fn commit_rejected(client: &KafkaClient, group: &str, error: &KafkaError) -> UserError {
    if !live_group::is_rejection(error) {
        return client.failure(&format!("commit for group {group}"), error);
    }
    UserError::unavailable(format!("group {group} is active: the broker rejects commits from outside"))
        .help("stop both sides first; a killed member remains until its session times out (45 s by default)")
}

fn list(client: &KafkaClient, offsets: &Offsets) -> Result<TopicPartitionList, UserError> {
    let mut list = TopicPartitionList::new();
    for ((topic, partition), offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
            .map_err(|error| client.failure("commit", &error))?;
    }
    Ok(list)
}

/// The group that stops and the group that continues.
fn sides(subscription: &Subscription, suffix: &str, to: Direction) -> (String, String) {
    let (host, spring) = (subscription.retry_group(), spring_group(subscription, suffix));
    match to {
        Direction::Host => (spring, host),
        Direction::Spring => (host, spring),
    }
}

fn commit(
    kafka: &KafkaArgs,
    subscription: &Subscription,
    moves: &[Move],
    to: Direction,
) -> Result<(), UserError> {
    let mut by_group: BTreeMap<String, Offsets> = BTreeMap::new();
    for m in moves.iter().filter(|m| m.offset != m.before) {
        if let Some(offset) = m.offset {
            let (_, group) = sides(subscription, &m.suffix, to);
            by_group.entry(group).or_default().insert((m.topic.clone(), m.partition), offset);
        }
    }
    for (group, wanted) in &by_group {
        let client = outside(kafka, group)?;
        (client.consumer.commit(&list(&client, wanted)?, CommitMode::Sync)).map_err(|error| {
            commit_rejected(&client, group, &error).help("run the command again; completed commits are kept")
        })?;
        let found = groups::committed(&client, wanted.keys().map(|(topic, index)| (topic.as_str(), *index)))?;
        if found != *wanted {
            return Err(UserError::unavailable(format!(
                "the broker did not accept all offsets of group {group}"
            ))
            .help("grant this client READ on the group and its topics, and run the command again"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_topics_are_recognised_by_their_suffix() {
        for suffix in ["-retry", "-retry-1000", "-retry-0", "-retry-4000-1"] {
            assert!(is_retry_suffix(suffix, "-retry"), "{suffix}");
        }
        for suffix in ["", ".dlt", "-retry-", "-retry-x", "-retry-1-2-3", "-retry1", "-retry.dlt", "-other-1"]
        {
            assert!(!is_retry_suffix(suffix, "-retry"), "{suffix}");
        }
        assert!(is_retry_suffix("-again-5", "-again"));
    }
}
