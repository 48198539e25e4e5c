//! Export and import of dead letters as JSON Lines.

use std::collections::HashMap;
use std::iter::Peekable;

use desk_api::{DeadLetter, Filter, ImportResult, Location, Page, PageSelector, cause, is_id};
use tokio::sync::mpsc;

use crate::audit::{self, Actor, Subject, write, write_with_id};
use crate::dead_letters::ingest;
use crate::record::{MAX_MESSAGE_ID_BYTES, MAX_NAME_BYTES, MAX_TEXT_BYTES, failure_id};
use crate::rounds::Rounds;
use crate::sql::to_json;
use crate::{Desk, sortable_id};

/// Dead letters per query of an export: each may be as large as a record.
const READ_BATCH: usize = 20;
/// Capacity of an export's channel, in lines.
const CHANNEL_LINES: usize = 20;
/// Maximum size of the lines of a round of an import, in bytes.
const MAX_ROUND_BYTES: usize = 4 << 20;
/// The year 10000, in milliseconds since the Unix epoch.
const MAX_TIMESTAMP_MS: i64 = 253_402_300_800_000;

/// The reason why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A line is not a dead letter.
    #[error("line {line}: {reason}")]
    Line {
        /// The line's number, from 1.
        line: usize,
        /// The error.
        reason: String,
    },
    /// The store is unavailable.
    #[error("the store is unavailable: {0}")]
    Store(#[from] sqlx::Error),
}

impl Desk {
    /// Exports the matching dead letters, newest first: lines of JSON, each with its line feed. An error ends the
    /// export, as does dropping the receiver.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn export(
        &self,
        filter: &Filter,
        actor: Actor<'_>,
    ) -> sqlx::Result<mpsc::Receiver<sqlx::Result<String>>> {
        // Before the transaction: a filter may have to examine every dead letter.
        let dead_letters = self.count(filter).await?;
        let mut transaction = self.begin().await?;
        let subject = Subject { filter: Some(filter), dead_letters, ..Subject::default() };
        write(&mut transaction, "export", actor, subject).await?;
        transaction.commit().await?;
        let (lines, receiver) = mpsc::channel(CHANNEL_LINES);
        let (desk, filter) = (self.clone(), filter.clone());
        tokio::spawn(async move {
            if let Err(error) = desk.send_lines(&filter, &lines).await {
                let _ = lines.send(Err(error)).await;
            }
        });
        Ok(receiver)
    }

    async fn send_lines(
        &self,
        filter: &Filter,
        lines: &mpsc::Sender<sqlx::Result<String>>,
    ) -> sqlx::Result<()> {
        let mut selector = PageSelector::First;
        loop {
            let Page { items, next, .. } = self.full_dead_letters(filter, &selector, READ_BATCH).await?;
            for dead_letter in items {
                if lines.send(Ok(to_json(&dead_letter)? + "\n")).await.is_err() {
                    return Ok(());
                }
            }
            match next {
                Some(next) => selector = PageSelector::After(next),
                None => return Ok(()),
            }
        }
    }

    /// Imports dead letters that [`Desk::export`] wrote, in rounds. Existing ones are left unchanged, and empty lines
    /// are ignored. If the host ends between two rounds, the audit log has the number of those imported so far, and
    /// the same import adds the rest.
    ///
    /// # Errors
    /// A line is not a dead letter; nothing has changed. Or the store is unavailable; some dead letters may be
    /// imported.
    pub async fn import(&self, lines: &[u8], actor: Actor<'_>) -> Result<ImportResult, ImportError> {
        // Parsed twice, so that they are never in memory all at once.
        for dead_letter in parse_lines(lines, actor.now_ms) {
            dead_letter?;
        }
        let (mut result, mut rounds, entry) = (ImportResult::default(), Rounds::default(), sortable_id());
        let mut waiting = parse_lines(lines, actor.now_ms).peekable();
        for number in 0.. {
            let batch = next_batch(&mut waiting, rounds.rows())?;
            let mut transaction = self.begin().await?;
            let new = ingest(&self.store, &mut transaction, &batch, &HashMap::new()).await?.len();
            result.new += new as u64;
            result.known += (batch.len() - new) as u64;
            if number == 0 {
                let subject = Subject { dead_letters: result.new, ..Subject::default() };
                write_with_id(&mut transaction, &entry, "import", actor, subject).await?;
            } else {
                audit::add(&mut transaction, &entry, new as u64).await?;
            }
            rounds.end(transaction).await?;
            if waiting.peek().is_none() {
                break;
            }
        }
        Ok(result)
    }
}

/// The dead letters of the next round: at least one, if any is left.
fn next_batch(
    waiting: &mut Peekable<impl Iterator<Item = Result<DeadLetter, ImportError>>>,
    rows: usize,
) -> Result<Vec<DeadLetter>, ImportError> {
    let (mut batch, mut bytes) = (Vec::new(), 0);
    while batch.len() < rows && bytes < MAX_ROUND_BYTES {
        let Some(dead_letter) = waiting.next() else { break };
        let dead_letter = dead_letter?;
        bytes += dead_letter.value.as_ref().map_or(0, |value| value.0.len());
        batch.push(dead_letter);
    }
    Ok(batch)
}

fn parse_lines(lines: &[u8], now_ms: i64) -> impl Iterator<Item = Result<DeadLetter, ImportError>> + '_ {
    let lines = lines.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    lines.filter(|(_, line)| !line.is_empty()).map(move |(index, line)| {
        parse(line, now_ms).map_err(|reason| ImportError::Line { line: index + 1, reason })
    })
}

/// Parses a dead letter. The failure id is computed, not read, and the time of ingestion is now.
fn parse(line: &[u8], now_ms: i64) -> Result<DeadLetter, String> {
    let dead_letter: DeadLetter =
        serde_json::from_slice(line).map_err(|error| format!("not a dead letter: {error}"))?;
    check(&dead_letter)?;
    let DeadLetter { code, plugin, digest, detail, .. } = &dead_letter;
    let failure = failure_id(code, plugin, digest, &cause(detail));
    Ok(DeadLetter { failure, ingested_ms: now_ms, edited_as: None, outcome: None, ..dead_letter })
}

fn check(dead_letter: &DeadLetter) -> Result<(), String> {
    check_ids(dead_letter)?;
    check_timestamps(dead_letter)?;
    let locations = [("source", Some(&dead_letter.source)), ("location", dead_letter.location.as_ref())];
    if let Some((name, _)) = locations.iter().find(|(_, it)| it.is_some_and(|it| !is_location(it))) {
        return Err(format!("{name}: a topic, and a partition and an offset of at least 0"));
    }
    if i64::try_from(dead_letter.value_cut.unwrap_or(0)).is_err() {
        return Err("value_cut: too large".to_owned());
    }
    check_texts(dead_letter)
}

fn check_ids(dead_letter: &DeadLetter) -> Result<(), String> {
    let ids = [
        ("id", Some(&dead_letter.id)),
        ("audit_entry", dead_letter.audit_entry.as_ref()),
        ("edited_from", dead_letter.edited_from.as_ref()),
        ("failed_again_of", dead_letter.failed_again_of.as_ref()),
    ];
    match ids.iter().find(|(_, id)| id.is_some_and(|id| !is_id(id))) {
        Some((name, _)) => Err(format!("{name}: 32 lower-case hexadecimal digits")),
        None => Ok(()),
    }
}

fn check_timestamps(dead_letter: &DeadLetter) -> Result<(), String> {
    let timestamps = [
        ("state_since_ms", Some(dead_letter.state_since_ms)),
        ("failed_ms", Some(dead_letter.failed_ms)),
        ("first_failed_ms", dead_letter.first_failed_ms),
        ("source_timestamp_ms", dead_letter.source_timestamp_ms),
    ];
    let is_valid = |timestamp: i64| (0..MAX_TIMESTAMP_MS).contains(&timestamp);
    match timestamps.iter().find(|(_, at)| at.is_some_and(|at| !is_valid(at))) {
        Some((name, _)) => {
            Err(format!("{name}: milliseconds since the Unix epoch, less than {MAX_TIMESTAMP_MS}"))
        }
        None => Ok(()),
    }
}

fn check_texts(dead_letter: &DeadLetter) -> Result<(), String> {
    let texts = [
        ("message", &dead_letter.message, MAX_MESSAGE_ID_BYTES),
        ("consumer_group", &dead_letter.consumer_group, MAX_NAME_BYTES),
        ("plugin", &dead_letter.plugin, MAX_NAME_BYTES),
        ("digest", &dead_letter.digest, MAX_TEXT_BYTES),
        ("code", &dead_letter.code, MAX_NAME_BYTES),
        ("detail", &dead_letter.detail, MAX_TEXT_BYTES),
        ("exception", &dead_letter.exception, MAX_TEXT_BYTES),
        ("backtrace", &dead_letter.backtrace, MAX_TEXT_BYTES),
    ];
    match texts.iter().find(|(_, text, max)| !is_text(text, *max)) {
        Some((name, _, max)) => Err(format!("{name}: at most {max} bytes, without NUL characters")),
        None => Ok(()),
    }
}

fn is_location(location: &Location) -> bool {
    let Location { topic, partition, offset } = location;
    is_text(topic, MAX_NAME_BYTES) && !topic.is_empty() && *partition >= 0 && *offset >= 0
}

fn is_text(text: &str, max_bytes: usize) -> bool {
    text.len() <= max_bytes && !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, dead_letter};

    fn line() -> serde_json::Value {
        let record = Record {
            location: Location { topic: "t.dlt".to_owned(), partition: 0, offset: 1 },
            timestamp_ms: 5,
            key: Some(vec![255]),
            value: Some(b"\0".to_vec()),
            headers: vec![(b"a".to_vec(), None)],
        };
        serde_json::to_value(dead_letter(record, 7)).expect("JSON")
    }

    #[test]
    fn an_export_is_read_back_unchanged() {
        let read = parse(line().to_string().as_bytes(), 7).expect("a dead letter");
        assert_eq!(serde_json::to_value(&read).expect("JSON"), line());
        let mut other = line();
        other["failure"] = "'; DROP TABLE letters; --".into();
        assert_eq!(parse(other.to_string().as_bytes(), 7).expect("a dead letter"), read);
    }

    #[test]
    fn invalid_fields_are_refused() {
        let long = "x".repeat(MAX_MESSAGE_ID_BYTES + 1);
        for (name, value) in [
            ("id", serde_json::json!("../etc")),
            ("id", serde_json::json!("A".repeat(32))),
            ("audit_entry", serde_json::json!("1")),
            ("edited_from", serde_json::json!("")),
            ("state", serde_json::json!("lost")),
            ("failed_ms", serde_json::json!(-1)),
            ("failed_ms", serde_json::json!(i64::MAX)),
            ("attempts", serde_json::json!(-1)),
            ("value_cut", serde_json::json!(u64::MAX)),
            ("source", serde_json::json!({"topic": "", "partition": 0, "offset": 0})),
            ("location", serde_json::json!({"topic": "t", "partition": -1, "offset": 0})),
            ("message", serde_json::json!(long)),
            ("detail", serde_json::json!("a\0b")),
            ("value", serde_json::json!({"hex": "0"})),
            ("more", serde_json::json!(1)),
        ] {
            let mut line = line();
            line[name] = value;
            let reason = parse(line.to_string().as_bytes(), 7).expect_err(name);
            assert!(reason.contains(name) || reason.contains("not a dead letter"), "{name}: {reason}");
        }
    }

    #[test]
    fn an_error_names_its_line() {
        let text = format!("{}\r\n\n{}\n{{}}\n", line(), line());
        let error = parse_lines(text.as_bytes(), 7).find_map(Result::err).expect("an error");
        assert!(error.to_string().starts_with("line 4: not a dead letter: "), "{error}");
    }
}
