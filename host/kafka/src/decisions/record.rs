//! The records of decisions: JSON, so that any tool can read them.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Action, Decision, Entry, Key, Part, Target};

/// The key of a record: the message that is waiting, and whether a host answers.
#[derive(Serialize, Deserialize)]
struct KeyText<'a> {
    group: Cow<'a, str>,
    topic: Cow<'a, str>,
    partition: i32,
    offset: i64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    answer: bool,
}

#[derive(Serialize, Deserialize)]
struct DecisionText<'a> {
    number: u64,
    message: Cow<'a, str>,
    action: ActionText,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until_ms: Option<i64>,
    by: Cow<'a, str>,
    reason: Cow<'a, str>,
    at_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ActionText {
    RunNow,
    Postpone,
    GiveUp,
}

#[derive(Serialize, Deserialize)]
struct AnswerText {
    number: u64,
    obeyed: bool,
}

/// The key of a record.
pub(super) fn key(group: &str, Key { target, part }: &Key) -> Vec<u8> {
    let Target { topic, partition, offset } = target;
    let (partition, offset) = (*partition, *offset);
    json(&KeyText {
        group: group.into(),
        topic: topic.into(),
        partition,
        offset,
        answer: *part == Part::Answer,
    })
}

/// The value of a record.
pub(super) fn value(entry: &Entry) -> Vec<u8> {
    match entry {
        Entry::Decision(decision) => {
            let Decision { number, message, action, by, reason, at_ms } = &**decision;
            let (action, until_ms) = match action {
                Action::RunNow => (ActionText::RunNow, None),
                Action::Postpone { until_ms } => (ActionText::Postpone, Some(*until_ms)),
                Action::GiveUp => (ActionText::GiveUp, None),
            };
            let (message, by, reason) = (message.into(), by.into(), reason.into());
            json(&DecisionText { number: *number, message, action, until_ms, by, reason, at_ms: *at_ms })
        }
        Entry::Answer { number, obeyed } => json(&AnswerText { number: *number, obeyed: *obeyed }),
    }
}

/// Reads a record. None if it belongs to another group or is no record of a host.
pub(super) fn read(group: &str, key: Option<&[u8]>, value: Option<&[u8]>) -> Option<(Key, Option<Entry>)> {
    let KeyText { group: of, topic, partition, offset, answer } = serde_json::from_slice(key?).ok()?;
    if of != group {
        return None;
    }
    let target = Target { topic: topic.into_owned(), partition, offset };
    let part = if answer { Part::Answer } else { Part::Decision };
    let entry = match (value, part) {
        (None, _) => None,
        (Some(value), Part::Answer) => {
            let AnswerText { number, obeyed } = serde_json::from_slice(value).ok()?;
            Some(Entry::Answer { number, obeyed })
        }
        (Some(value), Part::Decision) => Some(Entry::Decision(Arc::new(decision(value)?))),
    };
    Some((Key { target, part }, entry))
}

fn decision(value: &[u8]) -> Option<Decision> {
    let DecisionText { number, message, action, until_ms, by, reason, at_ms } =
        serde_json::from_slice(value).ok()?;
    let action = match action {
        ActionText::RunNow => Action::RunNow,
        ActionText::Postpone => Action::Postpone { until_ms: until_ms? },
        ActionText::GiveUp => Action::GiveUp,
    };
    let (message, by, reason) = (message.into_owned(), by.into_owned(), reason.into_owned());
    Some(Decision { number, message, action, by, reason, at_ms })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Strings and numbers alone.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_entry() -> impl Strategy<Value = Entry> {
        let action = prop_oneof![
            Just(Action::RunNow),
            any::<i64>().prop_map(|until_ms| Action::Postpone { until_ms }),
            Just(Action::GiveUp),
        ];
        let texts = any::<(String, String, String)>();
        let decision = (any::<u64>(), texts, action, any::<i64>()).prop_map(
            |(number, (message, by, reason), action, at_ms)| {
                Entry::Decision(Arc::new(Decision { number, message, action, by, reason, at_ms }))
            },
        );
        let answer = any::<(u64, bool)>().prop_map(|(number, obeyed)| Entry::Answer { number, obeyed });
        prop_oneof![decision, answer]
    }

    proptest! {
        #[test]
        fn any_record_round_trips(
            group: String,
            topic: String,
            (partition, offset, removes) in any::<(i32, i64, bool)>(),
            entry in any_entry(),
        ) {
            let part = if matches!(entry, Entry::Answer { .. }) { Part::Answer } else { Part::Decision };
            let at = Key { target: Target { topic, partition, offset }, part };
            let text = value(&entry);
            let value = (!removes).then_some(&*text);
            let text = key(&group, &at);
            prop_assert_eq!(read(&format!("{group}2"), Some(&text), value), None);
            prop_assert_eq!(read(&group, Some(&text), value), Some((at, (!removes).then_some(entry))));
        }

        #[test]
        fn other_records_are_ignored(key: Vec<u8>, value: Vec<u8>) {
            prop_assert_eq!(read("g", Some(&key), Some(&value)), None);
            let key = br#"{"group":"g","topic":"t","partition":0,"offset":0}"#;
            prop_assert_eq!(read("g", Some(key), Some(&value)), None);
        }
    }

    #[test]
    fn the_form_of_records_never_changes() {
        let target = Target { topic: "t-retry".into(), partition: 1, offset: 2 };
        let at = Key { target: target.clone(), part: Part::Decision };
        assert_eq!(key("g", &at), br#"{"group":"g","topic":"t-retry","partition":1,"offset":2}"#);
        let at = Key { target, part: Part::Answer };
        assert_eq!(
            key("g", &at),
            br#"{"group":"g","topic":"t-retry","partition":1,"offset":2,"answer":true}"#
        );
        let without_time =
            br#"{"number":1,"message":"m","action":"postpone","by":"b","reason":"","at_ms":3}"#;
        assert_eq!(decision(without_time), None);
        let text = br#"{"number":1,"message":"m","action":"give-up","by":"b","reason":"r","at_ms":3}"#;
        let given_up = decision(text).expect("a decision");
        assert_eq!(
            (given_up.action, value(&Entry::Decision(Arc::new(given_up)))),
            (Action::GiveUp, text.to_vec())
        );
    }
}
