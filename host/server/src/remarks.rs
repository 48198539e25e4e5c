//! The lines of `/readyz` about what waits: for a destination, for a person, for Kafka, or for a plugin to work again. It
//! continues by itself or is wanted, so the host is ready, unless Kafka does not answer at all.

use std::collections::BTreeMap;
use std::time::Duration;

use base::{clock, text};
use consumer::gate::{self, Pause};
use effects::ledger::Outage;
use kafka::health::{Health, PartitionStatus};

use crate::Status;

/// A line for each.
pub fn of(status: &Status) -> Vec<String> {
    let unread = status.desk().and_then(|state| state.pauses.unread_since_ms()).map(unread);
    let gates = status.gates().iter().filter_map(|gate| idles(gate.status()));
    let destinations = status.destinations();
    let outage = status.0.services.get().and_then(|services| services.effects.store_outage()).map(unrecorded);
    let partitions = status.0.members.get().into_iter().flatten().flat_map(|member| partitions(member));
    let waiting = destinations.iter().filter_map(waits);
    unread.into_iter().chain(gates).chain(outage).chain(partitions).chain(waiting).collect()
}

/// Says that Kafka does not answer.
pub fn away(status: &Status, outage: &kafka::health::Outage) -> String {
    let servers = status.0.kafka.get().map_or("", String::as_str);
    let seconds = seconds_since(outage.since_ms);
    format!("Kafka at {servers} has not answered for {seconds} s: {}", outage.reason)
}

/// Says which partitions of a member are not read, and why.
fn partitions(member: &Health) -> Vec<String> {
    let mut kept: BTreeMap<(String, &str, &str), (u64, Duration)> = BTreeMap::new();
    for PartitionStatus { topic, condition, lasts, .. } in member.partitions() {
        if let Some(reason) = condition.reason() {
            let (count, longest) = kept.entry((topic, condition.word(), reason)).or_default();
            *count += 1;
            *longest = lasts.max(*longest);
        }
    }
    let line = |((topic, word, reason), (count, longest)): ((String, _, _), (u64, Duration))| {
        let (partitions, seconds) = (text::counted(count, "partition"), longest.as_secs());
        format!("{partitions} of {topic} {word} for {seconds} s: {reason}")
    };
    kept.into_iter().map(line).collect()
}

fn unrecorded(Outage { since_ms, error }: Outage) -> String {
    format!("nothing has been sent for {} s: {error}", seconds_since(since_ms))
}

fn unread(since_ms: i64) -> String {
    let seconds = seconds_since(since_ms);
    format!(
        "the store has been unavailable for {seconds} s, so no plugin is paused or resumed by another host"
    )
}

/// Says why a plugin is not handed messages.
fn idles(gate::Status { plugin, pause, rest }: gate::Status) -> Option<String> {
    if let Some(Pause { since_ms, actor, reason }) = pause {
        let (actor, reason) = (text::line(actor.as_bytes()), text::line(reason.as_bytes()));
        let (seconds, since) = (seconds_since(since_ms), text::utc(since_ms));
        return Some(format!(
            "plugin {plugin} has been paused for {seconds} s, since {since}, by {actor}: {reason}"
        ));
    }
    let (since_ms, code) = rest?;
    let seconds = seconds_since(since_ms);
    Some(format!("plugin {plugin} has been resting for {seconds} s, probed by one message at a time: {code}"))
}

/// Says what waits for a destination, if anything does.
fn waits(destination: &destinations::Status) -> Option<String> {
    let destinations::Status { name, waiting, limit, outage, .. } = destination;
    match outage {
        Some((since_ms, reason)) => {
            let seconds = seconds_since(*since_ms);
            Some(format!("{name} has not worked for {seconds} s, {waiting} wait: {reason}"))
        }
        None if *waiting > 0 => Some(format!("{waiting} wait for {name}, which takes {limit} at a time")),
        None => None,
    }
}

fn seconds_since(since_ms: i64) -> i64 {
    clock::now_ms().saturating_sub(since_ms).max(0) / 1000
}
