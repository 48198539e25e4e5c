//! The health of this process and of what it depends on, for `/readyz`, the API and every page of the console.

use std::collections::BTreeMap;

use base::clock;
use consumer::gate::{self, Pause};
use desk_api::{Health, HealthPart, HealthState, PartKind};
use kafka::health::{Health as Member, Outage, PartitionStatus};
use kafka::partition::Condition;

use crate::Status;

/// The health now.
pub fn of(status: &Status) -> Health {
    let members = status.members();
    let mut parts = vec![kafka(status, members)];
    parts.extend(store(status));
    parts.extend(status.destinations().into_iter().map(destination));
    parts.extend(members.iter().filter_map(|member| group(member)));
    parts.extend(members.iter().flat_map(|member| partitions(member)));
    let gates = status.gates().iter();
    parts.extend(gates.filter_map(|gate| plugin(gate.status())));
    let state = parts.iter().map(|part| part.state).max().unwrap_or(HealthState::Ok);
    Health { state, ready: is_ready(status), parts }
}

/// Whether every consumer group has been joined, and Kafka answers.
fn is_ready(status: &Status) -> bool {
    let joined = status.0.members.get().is_some_and(|all| all.iter().all(|member| member.is_joined()));
    joined && outage(status.members()).is_none()
}

/// The outage of Kafka that began first.
pub fn outage(members: &[std::sync::Arc<Member>]) -> Option<Outage> {
    members.iter().filter_map(|member| member.outage()).min_by_key(|outage| outage.since_ms)
}

fn kafka(status: &Status, members: &[std::sync::Arc<Member>]) -> HealthPart {
    let name = status.0.kafka.get().cloned().unwrap_or_else(|| "Kafka".to_owned());
    let part = HealthPart {
        kind: PartKind::Kafka,
        name,
        state: HealthState::Ok,
        since_ms: members.iter().filter_map(|member| member.answers_since_ms()).max(),
        reason: None,
        count: None,
    };
    match outage(members) {
        None => part,
        Some(Outage { since_ms, reason }) => {
            HealthPart { state: HealthState::Down, since_ms: Some(since_ms), reason: Some(reason), ..part }
        }
    }
}

/// The store: down if effects cannot be recorded, or the desk cannot read it.
fn store(status: &Status) -> Option<HealthPart> {
    let desk = status.desk();
    let unrecorded = status.0.services.get().and_then(|services| services.effects.store_outage());
    let unread = desk.and_then(|state| state.pauses.unread_since_ms());
    let name = desk.map(|state| state.desk.store_name().to_owned())?;
    let since_ms = unrecorded.as_ref().map(|outage| outage.since_ms).into_iter().chain(unread).min();
    let reason = unrecorded.map(|outage| outage.error);
    Some(HealthPart {
        kind: PartKind::Store,
        name,
        state: if since_ms.is_some() { HealthState::Down } else { HealthState::Ok },
        since_ms,
        reason: reason.or_else(|| since_ms.map(|_| "it does not answer; see the host's log".to_owned())),
        count: None,
    })
}

fn destination(status: destinations::Status) -> HealthPart {
    let destinations::Status { name, waiting, outage, .. } = status;
    let state = match (&outage, waiting) {
        (Some(_), _) => HealthState::Down,
        (None, 0) => HealthState::Ok,
        (None, _) => HealthState::Waiting,
    };
    let (since_ms, reason) = outage.unzip();
    let count = Some(waiting as u64);
    HealthPart { kind: PartKind::Destination, name: name.to_string(), state, since_ms, reason, count }
}

/// None before the member begins to join.
fn group(member: &Member) -> Option<HealthPart> {
    let (state, reason) = match member.lost() {
        Some(reason) => (HealthState::Down, Some(reason.to_owned())),
        None if !member.is_alive() => {
            (HealthState::Down, Some("its thread does not run; see the host's log".to_owned()))
        }
        None if !member.is_joined() => (HealthState::Waiting, Some("it has not joined yet".to_owned())),
        None => (HealthState::Ok, None),
    };
    Some(HealthPart {
        kind: PartKind::Group,
        name: member.group()?.to_owned(),
        state,
        since_ms: member.joined_ms().filter(|_| state == HealthState::Ok),
        reason,
        count: Some(member.partitions().len() as u64),
    })
}

/// The partitions of a member that are not read, by topic and reason.
fn partitions(member: &Member) -> Vec<HealthPart> {
    let mut kept: BTreeMap<(String, &str), HealthPart> = BTreeMap::new();
    for PartitionStatus { topic, condition, lasts, .. } in member.partitions() {
        let Some(reason) = condition.reason() else { continue };
        let since_ms = since_ms(lasts);
        let is_blocked = matches!(condition, Condition::Blocked(_));
        let new = || HealthPart {
            kind: PartKind::Partitions,
            name: topic.clone(),
            state: if is_blocked { HealthState::Down } else { HealthState::Waiting },
            since_ms: Some(since_ms),
            reason: Some(reason.to_owned()),
            count: Some(0),
        };
        let part = kept.entry((topic.clone(), reason)).or_insert_with(new);
        part.count = part.count.map(|count| count + 1);
        part.since_ms = part.since_ms.min(Some(since_ms));
    }
    kept.into_values().collect()
}

/// The beginning of what lasts so long, in milliseconds since the Unix epoch, to the second: the two clocks may differ by
/// less.
pub fn since_ms(lasts: std::time::Duration) -> i64 {
    let since_ms = clock::now_ms().saturating_sub(clock::millis(lasts));
    since_ms.div_euclid(1000).saturating_mul(1000)
}

fn plugin(gate::Status { plugin, pause, rest }: gate::Status) -> Option<HealthPart> {
    let (since_ms, reason) = match (pause, rest) {
        (Some(Pause { since_ms, actor, reason }), _) => (since_ms, format!("paused by {actor}: {reason}")),
        (None, Some((since_ms, code))) => (since_ms, format!("it rests, its calls fail: {code}")),
        (None, None) => return None,
    };
    Some(HealthPart {
        kind: PartKind::Plugin,
        name: plugin.to_string(),
        state: HealthState::Waiting,
        since_ms: Some(since_ms),
        reason: Some(reason),
        count: None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use kafka::partition::{Block, Limit};

    use super::*;

    fn member(group: &str) -> Arc<Member> {
        let member = Arc::new(Member::default());
        member.set_group(group);
        member.beat();
        member
    }

    fn states(health: &Health) -> Vec<(&str, HealthState)> {
        health.parts.iter().map(|part| (part.name.as_str(), part.state)).collect()
    }

    #[test]
    fn kafka_and_groups_decide_whether_the_host_is_ready() {
        let status = Status::default();
        assert!(!of(&status).ready, "nothing has started");
        let (one, other) = (member("g"), member("g-retry"));
        status.set_members(vec![Arc::clone(&one), Arc::clone(&other)]);
        status.set_kafka("kafka:9092");
        one.join(None);
        let joining = of(&status);
        let expected =
            [("kafka:9092", HealthState::Ok), ("g", HealthState::Ok), ("g-retry", HealthState::Waiting)];
        assert_eq!((states(&joining), joining.ready), (expected.into(), false));
        other.join(None);
        one.answered();
        assert_eq!((of(&status).ready, of(&status).state), (true, HealthState::Ok));
        one.unanswered("connection refused".to_owned());
        let away = of(&status);
        assert_eq!((away.ready, away.state), (false, HealthState::Down));
        let part = &away.parts[0];
        assert_eq!(part.reason.as_deref(), Some("connection refused"));
        assert!(part.since_ms.is_some_and(|since| clock::now_ms() - since < 60_000));
        one.answered();
        assert!(of(&status).ready);
    }

    #[test]
    fn partitions_that_are_not_read_are_counted_by_their_reason() {
        let status = Status::default();
        let group = member("g");
        let partition = |partition, condition, seconds| PartitionStatus {
            group: "g".to_owned(),
            topic: "t".to_owned(),
            partition,
            condition,
            lasts: Duration::from_secs(seconds),
            next: 0,
            lag: 0,
            in_flight: 0,
            held_keys: 0,
        };
        group.set_partitions(vec![
            partition(0, Condition::Reading, 0),
            partition(1, Condition::Blocked(Block::Publish), 7),
            partition(2, Condition::Blocked(Block::Publish), 60),
            partition(3, Condition::Resting(Limit::Memory), 9),
        ]);
        status.set_members(vec![group]);
        let health = of(&status);
        let found: Vec<_> = health.parts.iter().filter(|part| part.kind == PartKind::Partitions).collect();
        let counts: Vec<_> = found.iter().map(|part| (part.state, part.count)).collect();
        assert_eq!(counts, [(HealthState::Down, Some(2)), (HealthState::Waiting, Some(1))]);
        let lasts = clock::now_ms() - found[0].since_ms.expect("a time");
        assert!((60_000..70_000).contains(&lasts), "{lasts}");
    }
}
