//! Changes that users make to dead letters and failures.

use base::bytes::Bytes;
use desk_api::{DeadLetter, DeadLetterState, FailureState, Filter, Header};

use crate::audit::{Actor, Subject, write, write_with_id};
use crate::dead_letters::insert;
use crate::sql::{self, WhereClause};
use crate::{Desk, failures, random_id, sortable_id};

/// The payload of an edited copy.
#[derive(Debug, Clone)]
pub struct Edited {
    /// None for a null key.
    pub key: Option<Bytes>,
    /// None for a tombstone.
    pub value: Option<Bytes>,
    /// All headers, in order.
    pub headers: Vec<Header>,
}

impl Desk {
    /// Discards the matching open dead letters. Returns their number.
    ///
    /// # Errors
    /// The store is unavailable; nothing has changed.
    pub async fn discard(&self, filter: &Filter, actor: Actor<'_>) -> sqlx::Result<u64> {
        let (from, to) = (DeadLetterState::Open, DeadLetterState::Discarded);
        self.change_state(filter, from, to, "discard", actor).await
    }

    /// Reopens the matching discarded dead letters. Returns their number.
    ///
    /// # Errors
    /// The store is unavailable; nothing has changed.
    pub async fn restore(&self, filter: &Filter, actor: Actor<'_>) -> sqlx::Result<u64> {
        let (from, to) = (DeadLetterState::Discarded, DeadLetterState::Open);
        self.change_state(filter, from, to, "restore", actor).await
    }

    async fn change_state(
        &self,
        filter: &Filter,
        from: DeadLetterState,
        to: DeadLetterState,
        action: &str,
        actor: Actor<'_>,
    ) -> sqlx::Result<u64> {
        if filter.state.is_some_and(|state| state != from) {
            return Ok(0);
        }
        let entry = sortable_id();
        let mut clause = WhereClause::default();
        let (state, since) = (clause.bind(to.as_str()), clause.bind(actor.now_ms));
        let id = clause.bind(entry.as_str());
        clause.filter(&Filter { state: Some(from), ..filter.clone() });
        let sql = format!(
            "UPDATE letters SET state = {state}, state_since = {since}, action = {id} {}",
            clause.sql()
        );
        let mut transaction = self.begin().await?;
        let dead_letters = sql::query(sql, &clause).execute(&mut *transaction).await?.rows_affected();
        if dead_letters > 0 {
            let dead_letter = (filter.ids.len() == 1 && dead_letters == 1).then(|| &filter.ids[0][..]);
            let subject = Subject { dead_letter, filter: Some(filter), dead_letters, ..Subject::default() };
            write_with_id(&mut transaction, &entry, action, actor, subject).await?;
        }
        transaction.commit().await?;
        Ok(dead_letters)
    }

    /// Stores an edited copy of a dead letter. The copy is open and is a message of its own; the original does not
    /// change.
    ///
    /// # Errors
    /// The store is unavailable; nothing has changed.
    pub async fn edit(
        &self,
        original: &DeadLetter,
        edited: Edited,
        actor: Actor<'_>,
    ) -> sqlx::Result<DeadLetter> {
        let (id, entry) = (random_id(), sortable_id());
        let copy = DeadLetter {
            message: id.clone(),
            id,
            state: DeadLetterState::Open,
            state_since_ms: actor.now_ms,
            audit_entry: Some(entry.clone()),
            location: None,
            ingested_ms: actor.now_ms,
            replays: 0,
            key: edited.key,
            value: edited.value,
            headers: edited.headers,
            value_cut: None,
            edited_from: Some(original.id.clone()),
            ..original.clone()
        };
        let mut transaction = self.begin().await?;
        insert(&mut transaction, &[&copy]).await?;
        failures::add(&mut transaction, [&copy].into_iter()).await?;
        let subject = Subject { dead_letter: Some(&original.id), dead_letters: 1, ..Subject::default() };
        write_with_id(&mut transaction, &entry, "edit", actor, subject).await?;
        transaction.commit().await?;
        Ok(copy)
    }

    /// Changes a failure's note or state; None leaves it as it is. Returns false if the failure does not exist.
    ///
    /// # Errors
    /// The store is unavailable; nothing has changed.
    pub async fn update_failure(
        &self,
        id: &str,
        note: Option<&str>,
        state: Option<FailureState>,
        actor: Actor<'_>,
    ) -> sqlx::Result<bool> {
        let mut transaction = self.begin().await?;
        let subject = Subject { failure: Some(id), ..Subject::default() };
        let changes = [
            note.map(|note| ("note", note, "note")),
            state.map(|state| {
                let action = if state == FailureState::Closed { "close" } else { "reopen" };
                ("state", state.as_str(), action)
            }),
        ];
        let mut found = true;
        for (column, value, action) in changes.into_iter().flatten() {
            let mut clause = WhereClause::default();
            let value = clause.bind(value);
            clause.equals("id", id);
            let sql = format!("UPDATE failure_groups SET {column} = {value} {}", clause.sql());
            found = sql::query(sql, &clause).execute(&mut *transaction).await?.rows_affected() == 1;
            if !found {
                break;
            }
            write(&mut transaction, action, actor, subject).await?;
        }
        transaction.commit().await?;
        Ok(found)
    }
}
