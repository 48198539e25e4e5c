//! The list of the messages that wait.

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use base::bytes::Bytes;
use base::clock;
use desk_api::{WaitingFilter, WaitingGroup, WaitingList, WaitingMessage};
use kafka::decisions::Target;
use kafka::waiting::WaitingRetry;

use super::{Message, PluginWaiting, decision_overview, due_ms, plugins, record_of};
use crate::DeskState;

/// How long a list waits for Kafka. Then it has what is known.
const WAIT: Duration = Duration::from_millis(700);
/// The time within which a first failure counts as recent, in milliseconds.
const RECENT_MS: i64 = 300_000;

/// The messages that match: their numbers, and the `limit` that are due first.
pub async fn list(state: &DeskState, filter: &WaitingFilter, limit: usize) -> WaitingList {
    let mut list = WaitingList::default();
    let mut first = First { limit, heap: BinaryHeap::new() };
    let now_ms = clock::now_ms();
    let mut as_of_ms = Some(now_ms);
    // At once: each may take as long as Kafka does not answer.
    let mut refreshing = tokio::task::JoinSet::new();
    for (number, plugin) in plugins(state, filter).cloned().enumerate() {
        refreshing.spawn(async move {
            let scan = plugin.refresh(WAIT).await;
            (number, plugin, scan)
        });
    }
    let mut refreshed = refreshing.join_all().await;
    refreshed.sort_by_key(|(number, ..)| *number);
    for (_, plugin, scan) in &refreshed {
        list.unread += scan.unread;
        as_of_ms = as_of_ms.min(scan.as_of_ms);
        list.problems.extend(scan.problem.as_ref().map(|problem| format!("{}: {problem}", plugin.plugin)));
        add(&mut list, &mut first, plugin, filter, now_ms);
    }
    list.as_of_ms = as_of_ms;
    list.groups.sort_by(|a, b| {
        b.messages
            .cmp(&a.messages)
            .then_with(|| (&a.plugin, &a.topic, &a.code).cmp(&(&b.plugin, &b.topic, &b.code)))
    });
    list.messages = first.heap.into_sorted_vec().into_iter().map(|Due(message)| message).collect();
    list
}

/// Adds the messages of a plugin.
fn add(
    list: &mut WaitingList,
    first: &mut First,
    plugin: &PluginWaiting,
    filter: &WaitingFilter,
    now_ms: i64,
) {
    let mut groups: HashMap<(usize, Arc<str>), WaitingGroup> = HashMap::new();
    let has_decisions = plugin.decisions.as_ref().is_some_and(|decisions| !decisions.is_empty());
    plugin.each(filter, |Message { topic, partition, offset, retry }| {
        let Some(target) = plugin.waiting.target(topic, partition, offset) else { return };
        let decision = has_decisions.then(|| plugin.decision(&target, retry)).flatten();
        let due_ms = due_ms(retry, decision.as_ref());
        list.total += 1;
        let group = groups
            .entry((topic, Arc::clone(&retry.code)))
            .or_insert_with(|| new_group(plugin, &target, topic, retry, due_ms));
        group.messages += 1;
        group.decided += u64::from(decision.is_some());
        group.recent += u64::from(retry.first_failed_ms.is_some_and(|failed| failed > now_ms - RECENT_MS));
        group.next_due_ms = group.next_due_ms.min(due_ms);
        group.last_due_ms = group.last_due_ms.max(due_ms);
        group.first_failed_ms = [group.first_failed_ms, retry.first_failed_ms].into_iter().flatten().min();
        if first.wants(due_ms) {
            let decision = decision.map(|(decision, standing)| decision_overview(&decision, standing));
            first.add(WaitingMessage {
                record: record_of(&target),
                plugin: plugin.plugin.to_string(),
                message: retry.id.to_string(),
                key: retry.key.as_ref().map(|key| Bytes(key.to_vec())),
                code: retry.code.to_string(),
                detail: retry.detail.to_string(),
                topic: target.topic,
                attempt: retry.attempt,
                due_ms,
                first_failed_ms: retry.first_failed_ms,
                decision,
            });
        }
    });
    list.groups.extend(groups.into_values());
}

fn new_group(
    plugin: &PluginWaiting,
    target: &Target,
    topic: usize,
    retry: &WaitingRetry,
    due_ms: i64,
) -> WaitingGroup {
    WaitingGroup {
        plugin: plugin.plugin.to_string(),
        code: retry.code.to_string(),
        topic: target.topic.clone(),
        delay_ms: plugin.delays_ms.get(topic).copied(),
        messages: 0,
        recent: 0,
        decided: 0,
        next_due_ms: due_ms,
        last_due_ms: due_ms,
        first_failed_ms: None,
    }
}

/// The messages that are due first.
struct First {
    limit: usize,
    heap: BinaryHeap<Due>,
}

/// Ordered by its due time.
struct Due(WaitingMessage);

impl First {
    /// Whether a message that is due then is among them.
    fn wants(&self, due_ms: i64) -> bool {
        self.heap.len() < self.limit || self.heap.peek().is_some_and(|last| due_ms < last.0.due_ms)
    }

    fn add(&mut self, message: WaitingMessage) {
        self.heap.push(Due(message));
        if self.heap.len() > self.limit {
            self.heap.pop();
        }
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0.due_ms, &self.0.record).cmp(&(other.0.due_ms, &other.0.record))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}
