//! `/letters/import`: letters from JSON Lines, however many there are.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt as _;
use producer::Problem;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::away;
use super::query::bad;
use super::request::{ARRIVAL, Open, late};
use crate::desk::filter::is_id;
use crate::desk::{Desk, Letter};

/// The longest line, in bytes: a record of several MiB as hexadecimal digits.
const LONGEST: usize = 64 << 20;
/// How many letters are written at a time, and how many bytes of them at most.
const BATCH: (usize, usize) = (200, 8 << 20);
/// For how long, and how many bytes, a body is read whose answer is known already.
const DRAIN: (Duration, usize) = (Duration::from_secs(5), 64 << 20);

/// What became of letters that came in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// Those that were not there.
    pub new: u64,
    /// Those that were there already; they stay as they are.
    pub known: u64,
}

/// Takes whole letters in, one a line.
#[utoipa::path(post, path = "/letters/import", tag = "letters", operation_id = "import_letters",
    request_body(content = String, description = "JSON Lines: a Letter a line", content_type = "application/jsonl"),
    responses((status = OK, body = Imported)))]
pub async fn import(Open(office): Open, mut body: Body) -> Result<Json<Imported>, Problem> {
    let mut lines =
        Lines { desk: office.desk, read: 0, size: 0, letters: Vec::new(), taken: Imported::default() };
    let imported = lines.read(&mut body).await;
    if imported.is_err() {
        let _ = timeout(DRAIN.0, drain(&mut body)).await;
    }
    imported.map(|()| Json(lines.taken))
}

/// Who is still sending reads the answer only then.
async fn drain(body: &mut Body) {
    let mut left = DRAIN.1;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, |data| data.len())) else { return };
        left = rest;
    }
}

struct Lines {
    desk: Desk,
    read: u64,
    letters: Vec<Letter>,
    /// How long the lines of `letters` are.
    size: usize,
    taken: Imported,
}

impl Lines {
    async fn read(&mut self, body: &mut Body) -> Result<(), Problem> {
        let mut rest: Vec<u8> = Vec::new();
        while let Some(frame) = timeout(ARRIVAL, body.frame()).await.map_err(|_| late())? {
            let frame = frame.map_err(|_| bad("the body broke off"))?;
            let Ok(data) = frame.into_data() else { continue };
            for part in data.split_inclusive(|byte| *byte == b'\n') {
                rest.extend_from_slice(part);
                if rest.len() > LONGEST {
                    let detail = format!("line {} is longer than {} MiB", self.read + 1, LONGEST >> 20);
                    return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
                }
                if part.ends_with(b"\n") {
                    self.take(&rest).await?;
                    rest.clear();
                }
            }
        }
        self.take(&rest).await?;
        self.write().await
    }

    async fn take(&mut self, line: &[u8]) -> Result<(), Problem> {
        self.read += 1;
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        let letter = serde_json::from_slice::<Letter>(line).map_err(|error| error.to_string());
        match letter.and_then(|letter| check(&letter).map(|()| letter)) {
            Ok(letter) => self.letters.push(letter),
            Err(why) => {
                self.write().await?;
                let Imported { new, known } = self.taken;
                return Err(bad(format!(
                    "line {} is no letter: {why}; those before it were taken in: {new} new, {known} known",
                    self.read
                )));
            }
        }
        self.size += line.len();
        if self.letters.len() >= BATCH.0 || self.size >= BATCH.1 {
            self.write().await?;
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), Problem> {
        let new = self.desk.take_in(&self.letters).await.map_err(away)?.len();
        self.taken.new += new as u64;
        self.taken.known += (self.letters.len() - new) as u64;
        self.letters.clear();
        self.size = 0;
        Ok(())
    }
}

/// Refuses what cannot come from a desk, and what PostgreSQL would not take.
fn check(letter: &Letter) -> Result<(), String> {
    for (name, id) in [("id", &letter.id), ("failure_group", &letter.failure_group)] {
        if id.len() != 32 || !is_id(id) || id.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(format!("{name}: not 32 hexadecimal digits in small letters"));
        }
    }
    let place = letter.place.as_ref().map_or("", |place| &place.topic);
    let texts = [
        &letter.message,
        &letter.source.topic,
        &letter.consumer_group,
        &letter.plugin,
        &letter.digest,
        &letter.code,
        &letter.detail,
        &letter.exception,
        &letter.backtrace,
    ];
    let mut texts = texts.into_iter().map(String::as_str).chain([place]);
    let mut ids = [&letter.action, &letter.edited_from].into_iter().flatten();
    if texts.any(|text| text.contains('\0')) || ids.any(|id| !is_id(id)) {
        return Err("a text with a NUL in it, or an id that is none".to_owned());
    }
    Ok(())
}
