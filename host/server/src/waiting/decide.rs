//! Decisions about messages that wait.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::clock;
use base::error::UserError;
use desk::audit::Actor;
use desk_api::{WaitingAction, WaitingAnswer, WaitingFilter};
use kafka::decisions::{Action, Decision, Decisions, Standing, Target};
use kafka_topics::admin::Topics;
use rdkafka::error::RDKafkaErrorCode;
use serde_json::json;
use uuid::Uuid;

use super::{Message, PluginWaiting, due_ms, parse_record, plugins, record_of};
use crate::DeskState;

/// How long a decision waits until all messages are known.
const READ_BOUND: Duration = Duration::from_secs(20);
/// How long it waits at once: an error of Kafka is noticed after that.
const READ_WAIT: Duration = Duration::from_secs(1);
/// How long it waits for the answers of the hosts.
const ANSWER_BOUND: Duration = Duration::from_secs(3);
const ANSWER_POLL: Duration = Duration::from_millis(50);
/// The number of records that an entry of the audit log names.
const LOGGED: usize = 20;
/// The longest time by which a message is postponed, in milliseconds.
const MAX_POSTPONED_MS: i64 = 86_400_000;

/// The messages that are selected.
pub enum Selected<'a> {
    /// These records.
    Records(&'a [String]),
    /// All that match, but not more than this number.
    Matching(&'a WaitingFilter, u64),
}

/// When postponed messages are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shift {
    /// At this time in milliseconds since the Unix epoch.
    Until(i64),
    /// This number of milliseconds later.
    By(i64),
}

/// A decision that was asked for.
pub struct Request<'a> {
    /// What is decided.
    pub action: WaitingAction,
    /// When postponed messages are due; otherwise it has no effect.
    pub shift: Option<Shift>,
    /// The messages.
    pub selected: Selected<'a>,
    /// Who decides, and why.
    pub actor: Actor<'a>,
}

/// The reason why nothing is decided, or not about all.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The request is invalid.
    #[error("{0}")]
    Invalid(String),
    /// More messages match than were expected.
    #[error("more messages match")]
    TooMany {
        /// The number of those that match.
        matching: u64,
        /// The number that was expected.
        expected: u64,
    },
    /// The retry topics cannot be read.
    #[error("{0}")]
    Unread(String),
    /// The topic of the decisions about retries of this source is used otherwise.
    #[error("the topic of decisions about retries of {0} is used otherwise")]
    Foreign(String),
    /// The topic of the decisions cannot be used.
    #[error(transparent)]
    Topic(#[from] UserError),
    /// The store is unavailable; nothing has changed.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    /// Kafka did not take all decisions.
    #[error("{code}")]
    Kafka {
        /// The number of those that it took.
        decided: u64,
        /// The error of the first that it did not take.
        code: RDKafkaErrorCode,
    },
}

/// The messages of a plugin about which is decided.
struct Chosen<'a> {
    plugin: &'a PluginWaiting,
    log: &'a Arc<Decisions>,
    decisions: Vec<(Target, Decision)>,
}

/// Decides about messages. It is durable when this returns, and what the hosts have answered is in the answer.
///
/// # Errors
/// The request is invalid, or Kafka or the store is unavailable.
pub async fn decide(state: &DeskState, request: &Request<'_>) -> Result<WaitingAnswer, DecideError> {
    check(request)?;
    let (chosen, gone) = choose(state, request).await?;
    let mut answer = WaitingAnswer { gone, ..WaitingAnswer::default() };
    for Chosen { plugin, log, decisions } in &chosen {
        let selection = selection(&request.selected, decisions);
        let (action, name) = (request.action.as_str(), &plugin.plugin);
        // First, so that nothing is decided without an entry.
        state.desk.log_waiting(action, name, &selection, request.actor).await?;
        let topics = Topics::new(&plugin.kafka, plugin.creates_topics)?;
        topics.ensure_compacted(&plugin.source, &log.topic().name()).await?;
        let (decided, error) = log.decide(&plugin.publisher, decisions.clone()).await;
        answer.decided += decided as u64;
        if let Some(code) = error {
            return Err(DecideError::Kafka { decided: answer.decided, code });
        }
    }
    wait_for_answers(&chosen, &mut answer).await;
    Ok(answer)
}

fn check(request: &Request<'_>) -> Result<(), DecideError> {
    let invalid = |text: &str| Err(DecideError::Invalid(text.to_owned()));
    if request.action == WaitingAction::GiveUp && request.actor.reason.trim().is_empty() {
        return invalid("reason: required");
    }
    let now_ms = request.actor.now_ms;
    match (request.action, request.shift) {
        (WaitingAction::Postpone, None) => invalid("until_ms, or by_ms: one of both"),
        (WaitingAction::Postpone, Some(Shift::Until(until_ms))) if until_ms <= now_ms => {
            invalid("until_ms: a time in the future")
        }
        (WaitingAction::Postpone, Some(Shift::Until(until_ms))) if until_ms - now_ms > MAX_POSTPONED_MS => {
            invalid("until_ms: at most 24 hours ahead, as any retry")
        }
        (WaitingAction::Postpone, Some(Shift::By(by_ms))) if !(1..=MAX_POSTPONED_MS).contains(&by_ms) => {
            invalid("by_ms: more than 0, and at most 24 hours")
        }
        _ => Ok(()),
    }
}

/// The messages about which is decided, and the number of selected records that do not wait.
async fn choose<'a>(
    state: &'a DeskState,
    request: &Request<'a>,
) -> Result<(Vec<Chosen<'a>>, u64), DecideError> {
    let everything = WaitingFilter::default();
    let mut wanted = BTreeSet::new();
    let (filter, expected) = match request.selected {
        Selected::Matching(filter, expected) => (filter, Some(expected)),
        Selected::Records(names) => {
            for name in names {
                let unknown =
                    || DecideError::Invalid(format!("records: {name:?} is not TOPIC/PARTITION/OFFSET"));
                wanted.insert(parse_record(name).ok_or_else(unknown)?);
            }
            (&everything, None)
        }
    };
    let mut all = Vec::new();
    for plugin in plugins(state, filter) {
        if expected.is_none() && !wanted.iter().any(|target| plugin.waiting.topics().contains(&target.topic))
        {
            continue;
        }
        read(plugin).await?;
        let mut decisions = Vec::new();
        plugin.each(filter, |message| {
            let Message { topic, partition, offset, .. } = message;
            let Some(target) = plugin.waiting.target(topic, partition, offset) else { return };
            if expected.is_some() || wanted.contains(&target) {
                let decision = decision(plugin, &target, &message, request);
                decisions.push((target, decision));
            }
        });
        if !decisions.is_empty() {
            let foreign = || DecideError::Foreign(plugin.source.clone());
            all.push(Chosen { plugin, log: plugin.decisions.as_ref().ok_or_else(foreign)?, decisions });
        }
    }
    let matching = all.iter().map(|chosen| chosen.decisions.len() as u64).sum();
    if let Some(expected) = expected.filter(|expected| matching > *expected) {
        return Err(DecideError::TooMany { matching, expected });
    }
    let gone = (wanted.len() as u64).saturating_sub(matching);
    Ok((all, gone))
}

/// Waits until all messages of a plugin are known as they are now.
async fn read(plugin: &PluginWaiting) -> Result<(), DecideError> {
    let (began_ms, began) = (clock::now_ms(), Instant::now());
    loop {
        let scan = plugin.refresh(READ_WAIT).await;
        if let Some(problem) = scan.problem {
            return Err(DecideError::Unread(problem));
        }
        if scan.unread == 0 && scan.as_of_ms.is_some_and(|as_of_ms| as_of_ms >= began_ms - 2000) {
            return Ok(());
        }
        if began.elapsed() > READ_BOUND {
            let text = format!("{} messages of {} are not read yet", scan.unread, plugin.plugin);
            return Err(DecideError::Unread(text));
        }
    }
}

fn decision(
    plugin: &PluginWaiting,
    target: &Target,
    message: &Message<'_>,
    Request { action, shift, actor, .. }: &Request<'_>,
) -> Decision {
    let latest_ms = actor.now_ms.saturating_add(MAX_POSTPONED_MS);
    let action = match (action, shift) {
        (WaitingAction::RunNow, _) => Action::RunNow,
        (WaitingAction::GiveUp, _) => Action::GiveUp,
        (WaitingAction::Postpone, Some(Shift::Until(until_ms))) => Action::Postpone { until_ms: *until_ms },
        (WaitingAction::Postpone, shift) => {
            let by_ms = if let Some(Shift::By(by_ms)) = shift { *by_ms } else { 0 };
            let due_ms = due_ms(message.retry, plugin.decision(target, message.retry).as_ref());
            Action::Postpone { until_ms: due_ms.max(actor.now_ms).saturating_add(by_ms).min(latest_ms) }
        }
    };
    // JavaScript and jq keep 53 bits of a number.
    let number = Uuid::new_v4().as_u64_pair().0 >> 11;
    let (message, by, reason) =
        (message.retry.id.to_string(), actor.name.to_owned(), actor.reason.to_owned());
    Decision { number, message, action, by, reason, at_ms: actor.now_ms }
}

/// What was selected, for the audit log.
fn selection(selected: &Selected<'_>, decisions: &[(Target, Decision)]) -> String {
    let messages = decisions.len();
    match selected {
        Selected::Matching(filter, _) => json!({"waiting": filter, "messages": messages}).to_string(),
        Selected::Records(_) => {
            let records: Vec<String> =
                decisions.iter().take(LOGGED).map(|(target, _)| record_of(target)).collect();
            json!({"records": records, "messages": messages}).to_string()
        }
    }
}

async fn wait_for_answers(chosen: &[Chosen<'_>], answer: &mut WaitingAnswer) {
    let until = Instant::now() + ANSWER_BOUND;
    loop {
        let mut counts: HashMap<Option<Standing>, u64> = HashMap::new();
        for Chosen { log, decisions, .. } in chosen {
            for (target, decision) in decisions {
                let found = log.find(target);
                let own = found.filter(|(found, _)| found.number == decision.number);
                *counts.entry(own.map(|(_, standing)| standing)).or_default() += 1;
            }
        }
        let count = |standing| counts.get(&standing).copied().unwrap_or(0);
        answer.unanswered = count(Some(Standing::Decided));
        if answer.unanswered == 0 || Instant::now() >= until {
            answer.obeyed = count(Some(Standing::Obeyed));
            answer.too_late = count(Some(Standing::TooLate));
            answer.replaced = count(None);
            return;
        }
        tokio::time::sleep(ANSWER_POLL).await;
    }
}
