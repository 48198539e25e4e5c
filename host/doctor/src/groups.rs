//! The consumer groups of the plugins: their members, the right to join them, and what an earlier order has left behind.

use std::sync::Arc;

use base::error::UserError;
use base::finding::{Finding, Severity};
use base::text::counted;
use consumer::Subscription;
use desk::intake;
use kafka::errors::Context;
use kafka::group_list::{UNKNOWN_MEMBERS, fetch, is_classic, listed};
use kafka::raw::admin;
use kafka::{client, errors, retry_backlog};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::groups::{GroupInfo, GroupMemberInfo};
use settings::{KafkaArgs, RunArgs};

use crate::TIMEOUT;
use crate::report::{Area, Check};

/// The defaults of the host's consumers.
const CLIENT_ID: (&str, &str) = ("client.id", "host");
const ASSIGNOR: (&str, &str) = ("partition.assignment.strategy", "cooperative-sticky");

/// Kafka's topic of the commits of all groups.
const COMMITS: &str = "__consumer_offsets";

type Connection = BaseConsumer<Context>;

/// A group, and how a host joins it.
struct Joined<'a> {
    name: String,
    /// Of the source, retry topics or dead letters.
    what: &'static str,
    is_own: Box<dyn Fn(&str) -> bool + 'a>,
}

/// Lists the members of each group; none is joined. `store` is the id and the name of the desk's store, if it has one.
pub async fn check(
    args: Arc<RunArgs>,
    subscriptions: Arc<Vec<Subscription>>,
    store: Option<(String, String)>,
) -> Vec<Check> {
    let connection = match client::open(&args.kafka, &[]) {
        Ok(connection) => connection,
        Err(error) => return vec![Check::new(Area::Groups, "all", "", [Finding::refusal(&error)])],
    };
    let (mut checks, mut names) = (Vec::new(), Vec::new());
    for subscription in subscriptions.iter() {
        for group in groups(&args, subscription) {
            let others = store.as_ref().filter(|_| group.what == DEAD_LETTERS).and_then(|(id, name)| {
                intake::refuse_other_stores(&connection, &group.name, (id, name)).err()
            });
            let others = others.map(|error| Finding::refusal(&error));
            checks.push(check_group(&connection, &args.kafka, &group, others));
            names.push(group.name);
        }
        checks.extend(check_backlog(&args.kafka, subscription));
    }
    checks.push(rights(&connection, &names));
    client::drop_in_background(connection);
    checks
}

const DEAD_LETTERS: &str = "dead letters";

fn groups<'a>(args: &'a RunArgs, subscription: &Subscription) -> Vec<Joined<'a>> {
    let is_host = || Box::new(|id: &str| id == property(&args.kafka, CLIENT_ID));
    let name = subscription.group.clone();
    let mut all: Vec<Joined<'a>> = vec![Joined { name, what: "source", is_own: is_host() }];
    if !subscription.retry_topics().is_empty() {
        all.push(Joined { name: subscription.retry_group(), what: "retries", is_own: is_host() });
    }
    if args.desk {
        let name = subscription.dead_letter_group();
        all.push(Joined { name, what: DEAD_LETTERS, is_own: Box::new(intake::is_desk) });
    }
    all
}

fn check_group(
    connection: &Connection,
    kafka: &KafkaArgs,
    group: &Joined<'_>,
    others: Option<Finding>,
) -> Check {
    let what = group.what;
    let found = match fetch(connection, Some(&group.name), TIMEOUT) {
        Ok(found) => found,
        Err(error) => {
            let error = errors::unreachable(&kafka.bootstrap_servers, connection, &error);
            return Check::new(Area::Groups, &group.name, "", [Finding::refusal(&error)]);
        }
    };
    let Some(found) = found.groups().iter().find(|found| found.name() == group.name) else {
        return Check::new(Area::Groups, &group.name, format!("{what}: new, without members"), others);
    };
    let members = counted(found.members().len() as u64, "member");
    let detail = format!("{what}: {}, {members}", found.state().to_lowercase());
    let mut findings: Vec<Finding> = others.into_iter().collect();
    if is_classic(found) {
        findings.extend(foreign_protocol(found, &property(kafka, ASSIGNOR)));
        findings.extend(foreign_members(found, &*group.is_own));
    } else {
        let problem = format!("group {} {UNKNOWN_MEMBERS}", group.name);
        let why = "consumers with the newer protocol (KIP-848) take partitions that the host should have";
        findings.push(Finding::warning(problem, why).cure("stop them: host groups list"));
    }
    Check::new(Area::Groups, &group.name, detail, findings)
}

/// A group has one protocol, which all of its members know.
fn foreign_protocol(group: &GroupInfo, own: &str) -> Option<Finding> {
    let (kind, assignor) = (group.protocol_type(), group.protocol());
    let is_own =
        kind == "consumer" && (assignor.is_empty() || own.split(',').any(|own| own.trim() == assignor));
    if group.members().is_empty() || is_own {
        return None;
    }
    let problem = format!(
        "group {} has members with the assignor {assignor:?} ({kind}); a host has {own}. {}",
        group.name(),
        inline(&listed(group))
    );
    let why = "Kafka lets no member with another assignor join, so that no message is handled by the host";
    Some(
        Finding::error(problem, why)
            .cure("stop those members, or give the plugin another group: group in [[plugin]]")
            .cure(format!("or give all of them the assignor {own}, the host with -X {}=…", ASSIGNOR.0)),
    )
}

fn foreign_members(group: &GroupInfo, is_own: impl Fn(&str) -> bool) -> Option<Finding> {
    let foreign: Vec<&GroupMemberInfo> =
        group.members().iter().filter(|member| !is_own(member.client_id())).collect();
    let first = foreign.first()?;
    let (client, machine) = (first.client_id(), first.client_host().trim_start_matches('/'));
    let count = counted(foreign.len() as u64, "member");
    let problem =
        format!("group {} has {count} that are no hosts, such as {client:?} on {machine}", group.name());
    let why = "they take partitions, whose messages the plugin does not handle";
    Some(
        Finding::warning(problem, why)
            .cure(format!("stop them; show all members: host groups describe {}", group.name()))
            .cure("or give the plugin another group: group in [[plugin]]"),
    )
}

/// Retries that would not be read, because the plugin has an order now.
fn check_backlog(kafka: &KafkaArgs, subscription: &Subscription) -> Option<Check> {
    if !subscription.ordering.is_in_place() {
        return None;
    }
    let group = subscription.retry_group();
    let found = retry_backlog::ensure_empty(kafka, &group, &subscription.unordered_retry_topics());
    let finding = found.err().map(|error| Finding::refusal(&error));
    Some(Check::new(Area::Groups, group, "no retries are left from before the order", finding))
}

fn rights(connection: &Connection, names: &[String]) -> Check {
    if !has_commits(connection) {
        return Check::skipped(Area::Groups, "rights", "no group has ever committed");
    }
    let groups: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = admin::rights_on_groups(connection, &groups, TIMEOUT);
    let found = match found.map_err(|code| UserError::unavailable(errors::short(code))) {
        Ok(found) => found,
        Err(error) => return Check::skipped(Area::Groups, "rights", error.problem()),
    };
    let mut missing: Vec<&String> =
        found.iter().filter(|(_, rights)| !rights.read).map(|(name, _)| name).collect();
    missing.sort();
    let findings = missing.into_iter().map(|name| {
        let error = UserError::unavailable(format!("this client may not join group {name}"))
            .help(format!("grant READ on group {name} to this client"));
        Finding::of(Severity::Error, &error, "its messages are not handled")
    });
    Check::new(Area::Groups, "rights", "on groups: as needed", findings)
}

/// Whether the topic of all commits exists, or this client may not see it. Without it, a question to the coordinator of
/// a group would create it.
fn has_commits(connection: &Connection) -> bool {
    let found = connection.fetch_metadata(Some(COMMITS), TIMEOUT);
    let is_missing = |code: RDKafkaErrorCode| {
        matches!(code, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)
    };
    !found.is_ok_and(|found| {
        found.topics().iter().any(|topic| topic.error().is_some_and(|code| is_missing(code.into())))
    })
}

/// The value of a property, or its default.
fn property(kafka: &KafkaArgs, (name, default): (&str, &str)) -> String {
    kafka.given().rev().find(|(key, _)| key == name).map_or(default, |(_, value)| value).to_owned()
}

fn inline(lines: &str) -> String {
    lines.split_whitespace().collect::<Vec<_>>().join(" ")
}
