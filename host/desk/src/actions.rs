//! What people do to letters and groups, and who did what, when and why.

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, FromRow, Row as _};
use utoipa::ToSchema;

use crate::filter::{self, Filter, Where};
use crate::groups::GroupState;
use crate::letter::{Letter, State};
use crate::letters::insert;
use crate::page::{At, Cursor, Page};
use crate::{Desk, groups, new_id, random_id};

/// Somebody, and the reason for what they do.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// Who: a name that the caller gave.
    pub who: &'a str,
    /// Why.
    pub reason: &'a str,
    /// Milliseconds since the Unix epoch.
    pub now_ms: i64,
}

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Action {
    /// 32 hexadecimal digits.
    pub id: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Who did it.
    pub who: String,
    /// What: `replay`, `discard`, `restore`, `edit`, `note`, `close`, `reopen` and so on.
    pub what: String,
    /// Why.
    pub reason: String,
    /// The letter it was done to, where it was one.
    pub letter: Option<String>,
    /// The group it was done to.
    pub failure_group: Option<String>,
    /// The job it was done to.
    pub job: Option<String>,
    /// Which letters it was done to, as JSON.
    pub filter: Option<String>,
    /// How many they were.
    pub letters: u64,
}

/// What an action is done to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct To<'a> {
    pub letter: Option<&'a str>,
    pub failure_group: Option<&'a str>,
    pub job: Option<&'a str>,
    pub filter: Option<&'a Filter>,
    pub letters: u64,
}

impl Desk {
    /// Gives up the open letters among these. Returns how many they were.
    ///
    /// # Errors
    /// The store does not answer; then nothing was done.
    pub async fn discard(&self, filter: &Filter, by: By<'_>) -> sqlx::Result<u64> {
        self.turn(filter, State::Open, State::Discarded, "discard", by).await
    }

    /// Opens the discarded letters among these again. Returns how many they were.
    ///
    /// # Errors
    /// The store does not answer; then nothing was done.
    pub async fn restore(&self, filter: &Filter, by: By<'_>) -> sqlx::Result<u64> {
        self.turn(filter, State::Discarded, State::Open, "restore", by).await
    }

    async fn turn(
        &self,
        filter: &Filter,
        from: State,
        to: State,
        what: &str,
        by: By<'_>,
    ) -> sqlx::Result<u64> {
        let action = new_id();
        let mut with = Where::default();
        let (state, since) = (with.next(to.as_str()), with.next(by.now_ms));
        let id = with.next(action.as_str());
        with.and(&Filter { state: Some(from), ..filter.clone() });
        // What asks for another state means none of these.
        if filter.state.is_some_and(|state| state != from) {
            return Ok(0);
        }
        let sql = format!(
            "UPDATE letters SET state = {state}, state_since = {since}, action = {id} {}",
            with.sql()
        );
        let mut transaction = self.begin().await?;
        let letters = filter::query(sql, &with).execute(&mut *transaction).await?.rows_affected();
        if letters > 0 {
            let one = (filter.ids.len() == 1 && letters == 1).then(|| &filter.ids[0][..]);
            let to = To { letter: one, filter: Some(filter), letters, ..To::default() };
            write_as(&mut transaction, &action, what, by, to).await?;
        }
        transaction.commit().await?;
        Ok(letters)
    }

    /// Keeps a copy of a letter with another key, value and headers beside it. The copy is a message of
    /// its own, open; the original stays as it is.
    ///
    /// # Errors
    /// The store does not answer; then nothing was done.
    pub async fn edit(&self, original: &Letter, edited: Edited, by: By<'_>) -> sqlx::Result<Letter> {
        let (id, action) = (random_id(), new_id());
        let letter = Letter {
            message: id.clone(),
            id,
            state: State::Open,
            state_since_ms: by.now_ms,
            action: Some(action.clone()),
            place: None,
            taken_ms: by.now_ms,
            replays: 0,
            key: edited.key,
            value: edited.value,
            headers: edited.headers,
            value_cut: None,
            edited_from: Some(original.id.clone()),
            ..original.clone()
        };
        let mut transaction = self.begin().await?;
        insert(&mut transaction, &[&letter]).await?;
        groups::count_in(&mut transaction, [&letter].into_iter()).await?;
        let to = To { letter: Some(&original.id), letters: 1, ..To::default() };
        write_as(&mut transaction, &action, "edit", by, to).await?;
        transaction.commit().await?;
        Ok(letter)
    }

    /// Writes a note to a group, or closes or opens it; what is None stays as it is. False where there is
    /// no such group.
    ///
    /// # Errors
    /// The store does not answer; then nothing was done.
    pub async fn mark_group(
        &self,
        id: &str,
        note: Option<&str>,
        state: Option<GroupState>,
        by: By<'_>,
    ) -> sqlx::Result<bool> {
        let mut transaction = self.begin().await?;
        let to = To { failure_group: Some(id), ..To::default() };
        let changes = [
            note.map(|note| ("note", note, "note")),
            state.map(|state| {
                let what = if state == GroupState::Closed { "close" } else { "reopen" };
                ("state", state.as_str(), what)
            }),
        ];
        let mut found = true;
        for (column, value, what) in changes.into_iter().flatten() {
            let mut with = Where::default();
            let value = with.next(value);
            with.is("id", id);
            let sql = format!("UPDATE failure_groups SET {column} = {value} {}", with.sql());
            found = filter::query(sql, &with).execute(&mut *transaction).await?.rows_affected() == 1;
            if !found {
                break;
            }
            write_as(&mut transaction, &new_id(), what, by, to).await?;
        }
        transaction.commit().await?;
        Ok(found)
    }

    /// What was done, to one letter or to any, newest first. A letter's own are those that named it alone
    /// and the last one that changed it.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn actions(&self, letter: Option<&str>, at: &At, limit: usize) -> sqlx::Result<Page<Action>> {
        let mut with = Where::default();
        if let Some(letter) = letter {
            let (named, changed) = (with.next(letter), with.next(letter));
            with.must(format!(
                "(letter = {named} OR id IN (SELECT action FROM letters WHERE id = {changed}))"
            ));
        }
        let order = with.at(at, "at", "id");
        let sql = format!("SELECT * FROM actions {} {order} LIMIT {}", with.sql(), limit.saturating_add(1));
        let rows = filter::rows(sql, &with).fetch_all(&self.pool).await?;
        Ok(Page::of(rows, at, limit, |action: &Action| Cursor {
            moment: action.at_ms,
            id: action.id.clone(),
        }))
    }
}

/// What an edited letter has in place of the original's.
#[derive(Debug, Clone)]
pub struct Edited {
    /// None is a null key.
    pub key: Option<base::bytes::Bytes>,
    /// None is a tombstone.
    pub value: Option<base::bytes::Bytes>,
    /// All headers, in order.
    pub headers: Vec<super::letter::Header>,
}

/// Writes down that something was done, under this id.
pub(super) async fn write_as(
    connection: &mut AnyConnection,
    id: &str,
    what: &str,
    by: By<'_>,
    to: To<'_>,
) -> sqlx::Result<()> {
    let filter = to.filter.map(serde_json::to_string).transpose();
    let filter = filter.map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query(
        "INSERT INTO actions (id, at, who, what, reason, letter, failure_group, job, filter, letters) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(id)
    .bind(by.now_ms)
    .bind(super::letter::readable(by.who))
    .bind(what)
    .bind(super::letter::readable(by.reason))
    .bind(to.letter)
    .bind(to.failure_group)
    .bind(to.job)
    .bind(filter)
    .bind(to.letters.cast_signed())
    .execute(connection)
    .await?;
    Ok(())
}

impl<'r> FromRow<'r, AnyRow> for Action {
    fn from_row(row: &'r AnyRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            at_ms: row.try_get("at")?,
            who: row.try_get("who")?,
            what: row.try_get("what")?,
            reason: row.try_get("reason")?,
            letter: row.try_get("letter")?,
            failure_group: row.try_get("failure_group")?,
            job: row.try_get("job")?,
            filter: row.try_get("filter")?,
            letters: row.try_get::<i64, _>("letters")?.unsigned_abs(),
        })
    }
}
