//! Letters as JSON Lines: out of one store, and into another.

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use crate::actions::{By, To, write_as};
use crate::letter::{LONGEST, LONGEST_ID, Letter, Place, group_of};
use crate::letters::take;
use crate::page::{At, Page};
use crate::{Desk, Filter, new_id};

/// How many letters are read at once: each may be as large as a record.
const READ: usize = 20;
/// How many lines wait for whoever writes them on.
const AHEAD: usize = 20;
/// How many letters are written at once.
const WRITE: usize = 200;
/// The year 10000, in milliseconds since the Unix epoch.
const LATEST_MS: i64 = 253_402_300_800_000;

/// What an import did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// Letters that were not there.
    pub new: u64,
    /// Letters that were there, and stay as they are.
    pub known: u64,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A line is no letter.
    #[error("line {line}: {why}")]
    Line {
        /// Which one, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The store does not answer.
    #[error("the store does not answer: {0}")]
    Store(#[from] sqlx::Error),
}

impl Desk {
    /// Whole letters, newest first, each a line of JSON with its line feed. An error ends them. They end
    /// too once the receiver is dropped.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn export(
        &self,
        filter: &Filter,
        by: By<'_>,
    ) -> sqlx::Result<mpsc::Receiver<sqlx::Result<String>>> {
        let mut transaction = self.begin().await?;
        let letters = self.count(filter).await?;
        let to = To { filter: Some(filter), letters, ..To::default() };
        write_as(&mut transaction, &new_id(), "export", by, to).await?;
        transaction.commit().await?;
        let (lines, receiver) = mpsc::channel(AHEAD);
        let (desk, filter) = (self.clone(), filter.clone());
        tokio::spawn(async move {
            if let Err(error) = desk.send(&filter, &lines).await {
                let _ = lines.send(Err(error)).await;
            }
        });
        Ok(receiver)
    }

    async fn send(&self, filter: &Filter, lines: &mpsc::Sender<sqlx::Result<String>>) -> sqlx::Result<()> {
        let mut at = At::First;
        loop {
            let Page { items, next, .. } = self.whole_letters(filter, &at, READ).await?;
            for letter in items {
                let line =
                    serde_json::to_string(&letter).map_err(|error| sqlx::Error::Encode(error.into()))?;
                if lines.send(Ok(line + "\n")).await.is_err() {
                    return Ok(());
                }
            }
            match next {
                Some(next) => at = At::After(next),
                None => return Ok(()),
            }
        }
    }

    /// Takes letters in that [`Desk::export`] wrote, all of them or none. One that is there already stays as
    /// it is. Empty lines count for nothing.
    ///
    /// # Errors
    /// A line is no letter, or the store does not answer; then nothing has changed.
    pub async fn import(&self, lines: &[u8], by: By<'_>) -> Result<Imported, ImportError> {
        // Read twice, so that they are never in memory all at once.
        for letter in letters(lines, by.now_ms) {
            letter?;
        }
        let mut transaction = self.begin().await?;
        let mut imported = Imported::default();
        let mut waiting = letters(lines, by.now_ms).peekable();
        while waiting.peek().is_some() {
            let some = waiting.by_ref().take(WRITE).collect::<Result<Vec<_>, _>>()?;
            let new = take(&mut transaction, &some).await?.len();
            imported.new += new as u64;
            imported.known += (some.len() - new) as u64;
        }
        let to = To { letters: imported.new, ..To::default() };
        write_as(&mut transaction, &new_id(), "import", by, to).await?;
        transaction.commit().await?;
        Ok(imported)
    }
}

/// The letters in these lines, each checked.
fn letters(lines: &[u8], now_ms: i64) -> impl Iterator<Item = Result<Letter, ImportError>> + '_ {
    let lines = lines.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    lines.filter(|(_, line)| !line.is_empty()).map(move |(index, line)| {
        letter(line, now_ms).map_err(|why| ImportError::Line { line: index + 1, why })
    })
}

/// One letter; its group is what its failure says, and it came now.
fn letter(line: &[u8], now_ms: i64) -> Result<Letter, String> {
    let letter: Letter = serde_json::from_slice(line).map_err(|error| format!("no letter: {error}"))?;
    check(&letter)?;
    let failure_group = group_of(&letter.code, &letter.plugin, &letter.digest);
    Ok(Letter { failure_group, taken_ms: now_ms, ..letter })
}

fn check(letter: &Letter) -> Result<(), String> {
    let ids = [
        ("id", Some(&letter.id)),
        ("action", letter.action.as_ref()),
        ("edited_from", letter.edited_from.as_ref()),
    ];
    if let Some((name, _)) = ids.iter().find(|(_, id)| id.is_some_and(|id| !is_id(id))) {
        return Err(format!("{name}: 32 hexadecimal digits, in small letters"));
    }
    let moments = [
        ("state_since_ms", Some(letter.state_since_ms)),
        ("failed_ms", Some(letter.failed_ms)),
        ("first_failed_ms", letter.first_failed_ms),
        ("source_timestamp_ms", letter.source_timestamp_ms),
    ];
    let is_moment = |moment: i64| (0..LATEST_MS).contains(&moment);
    if let Some((name, _)) = moments.iter().find(|(_, at)| at.is_some_and(|at| !is_moment(at))) {
        return Err(format!("{name}: milliseconds since 1970, at most {LATEST_MS}"));
    }
    let places = [("source", Some(&letter.source)), ("place", letter.place.as_ref())];
    if let Some((name, _)) = places.iter().find(|(_, place)| place.is_some_and(|place| !is_place(place))) {
        return Err(format!("{name}: a topic, and a partition and an offset that are not negative"));
    }
    if i64::try_from(letter.value_cut.unwrap_or(0)).is_err() {
        return Err("value_cut: too large".to_owned());
    }
    let texts = [
        ("message", &letter.message, LONGEST_ID),
        ("consumer_group", &letter.consumer_group, LONGEST),
        ("plugin", &letter.plugin, LONGEST),
        ("digest", &letter.digest, LONGEST),
        ("code", &letter.code, LONGEST),
        ("detail", &letter.detail, LONGEST),
        ("exception", &letter.exception, LONGEST),
        ("backtrace", &letter.backtrace, LONGEST),
    ];
    match texts.iter().find(|(_, text, longest)| !is_text(text, *longest)) {
        Some((name, _, longest)) => Err(format!("{name}: at most {longest} bytes, without a NUL")),
        None => Ok(()),
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_place(place: &Place) -> bool {
    is_text(&place.topic, LONGEST) && !place.topic.is_empty() && place.partition >= 0 && place.offset >= 0
}

fn is_text(text: &str, longest: usize) -> bool {
    text.len() <= longest && !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::letter::Record;

    fn line() -> serde_json::Value {
        let place = Place { topic: "t.dlt".to_owned(), partition: 0, offset: 1 };
        let record = Record {
            place,
            timestamp_ms: 5,
            key: Some(vec![255]),
            value: Some(b"\0".to_vec()),
            headers: vec![(b"a".to_vec(), None)],
        };
        serde_json::to_value(Letter::read(record, 7)).expect("JSON")
    }

    #[test]
    fn what_was_exported_is_taken_as_it_was() {
        let read = letter(line().to_string().as_bytes(), 7).expect("a letter");
        assert_eq!(serde_json::to_value(&read).expect("JSON"), line());
        let mut other = line();
        other["failure_group"] = "'; DROP TABLE letters; --".into();
        assert_eq!(letter(other.to_string().as_bytes(), 7).expect("a letter"), read);
    }

    #[test]
    fn what_is_no_letter_is_refused() {
        let long = "x".repeat(LONGEST_ID + 1);
        for (name, value) in [
            ("id", serde_json::json!("../etc")),
            ("id", serde_json::json!("A".repeat(32))),
            ("action", serde_json::json!("1")),
            ("edited_from", serde_json::json!("")),
            ("state", serde_json::json!("lost")),
            ("failed_ms", serde_json::json!(-1)),
            ("failed_ms", serde_json::json!(i64::MAX)),
            ("attempts", serde_json::json!(-1)),
            ("value_cut", serde_json::json!(u64::MAX)),
            ("source", serde_json::json!({"topic": "", "partition": 0, "offset": 0})),
            ("place", serde_json::json!({"topic": "t", "partition": -1, "offset": 0})),
            ("message", serde_json::json!(long)),
            ("detail", serde_json::json!("a\0b")),
            ("value", serde_json::json!({"hex": "0"})),
            ("more", serde_json::json!(1)),
        ] {
            let mut line = line();
            line[name] = value;
            let why = letter(line.to_string().as_bytes(), 7).expect_err(name);
            assert!(why.contains(name) || why.contains("no letter"), "{name}: {why}");
        }
    }

    #[test]
    fn the_line_is_named() {
        let text = format!("{}\r\n\n{}\n{{}}\n", line(), line());
        let wrong = letters(text.as_bytes(), 7).find_map(Result::err).expect("the last one is none");
        assert!(wrong.to_string().starts_with("line 4: no letter: "), "{wrong}");
    }
}
