//! Changes that users make to dead letters and failures.

use base::bytes::Bytes;
use desk_api::{DeadLetter, DeadLetterState, FailureState, Filter, Header};

use crate::audit::{self, Actor, Subject, write, write_with_id};
use crate::dead_letters::insert;
use crate::rounds::{Rounds, Selection};
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

/// A change of state of many dead letters, in rounds.
///
/// Every round is complete in itself: the entry of the audit log counts the dead letters changed so far, in the same
/// transaction. If the host ends between two rounds, the rest is unchanged, and the same action changes it.
struct StateChange {
    desk: Desk,
    filter: Filter,
    from: DeadLetterState,
    to: DeadLetterState,
    action: &'static str,
    actor: (String, String, i64),
    entry: String,
}

impl Desk {
    /// Discards the matching open dead letters. Returns their number. Continues if the caller goes away.
    ///
    /// # Errors
    /// The store is unavailable. Some dead letters may be discarded: the audit log has their number, and the same
    /// action discards the rest.
    pub async fn discard(&self, filter: &Filter, actor: Actor<'_>) -> sqlx::Result<u64> {
        let (from, to) = (DeadLetterState::Open, DeadLetterState::Discarded);
        self.change_state(filter, from, to, "discard", actor).await
    }

    /// Reopens the matching discarded dead letters, and those of the filter's ids that were replaced by an edited copy.
    /// Returns their number. Continues if the caller goes away.
    ///
    /// # Errors
    /// See [`Desk::discard`].
    pub async fn restore(&self, filter: &Filter, actor: Actor<'_>) -> sqlx::Result<u64> {
        let to = DeadLetterState::Open;
        let discarded = self.change_state(filter, DeadLetterState::Discarded, to, "restore", actor).await?;
        if filter.ids.is_empty() {
            return Ok(discarded);
        }
        let edited = self.change_state(filter, DeadLetterState::Edited, to, "restore", actor).await?;
        Ok(discarded + edited)
    }

    async fn change_state(
        &self,
        filter: &Filter,
        from: DeadLetterState,
        to: DeadLetterState,
        action: &'static str,
        actor: Actor<'_>,
    ) -> sqlx::Result<u64> {
        if filter.state.is_some_and(|state| state != from) {
            return Ok(0);
        }
        let change = StateChange {
            desk: self.clone(),
            filter: filter.clone(),
            from,
            to,
            action,
            actor: (actor.name.to_owned(), actor.reason.to_owned(), actor.now_ms),
            entry: sortable_id(),
        };
        tokio::spawn(change.run()).await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }

    /// Stores an edited copy of a dead letter. The copy is open and is a message of its own. It takes the place of the
    /// original: that is not open any more, so that not both are sent.
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
            edited_as: None,
            failed_again_of: None,
            outcome: None,
            ..original.clone()
        };
        let mut transaction = self.begin().await?;
        insert(&self.store, &mut transaction, &[&copy]).await?;
        failures::add(&mut transaction, [&copy].into_iter()).await?;
        let subject = Subject { dead_letter: Some(&original.id), dead_letters: 1, ..Subject::default() };
        write_with_id(&mut transaction, &entry, "edit", actor, subject).await?;
        sqlx::query(
            "UPDATE letters SET state = 'edited', state_since = $1, action = $2 WHERE id = $3 AND state = 'open'",
        )
        .bind(actor.now_ms)
        .bind(&entry)
        .bind(&original.id)
        .execute(&mut *transaction)
        .await?;
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

impl StateChange {
    async fn run(self) -> sqlx::Result<u64> {
        let mut selection = Selection::new(&self.desk, &self.filter, self.from).await?;
        let (mut rounds, mut changed) = (Rounds::default(), 0);
        loop {
            let ids = selection.next(&self.desk).await?;
            if ids.is_empty() {
                return Ok(changed);
            }
            let mut left = &ids[..];
            while !left.is_empty() {
                let (some, rest) = rounds.split(left);
                left = rest;
                match self.round(some, changed, &mut rounds).await {
                    Ok(count) => changed += count,
                    Err(error) if changed > 0 => {
                        let action = self.action;
                        tracing::warn!(
                            changed,
                            "{action}: the store is unavailable; repeat the action for the rest: {error}"
                        );
                        return Err(error);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Changes these dead letters and counts them in the audit log.
    async fn round(&self, ids: &[String], before: u64, rounds: &mut Rounds) -> sqlx::Result<u64> {
        let mut clause = WhereClause::default();
        let (state, since) = (clause.bind(self.to.as_str()), clause.bind(self.actor.2));
        let entry = clause.bind(self.entry.as_str());
        sql::has_id(&mut clause, &self.desk.store, ids);
        // Not with an index on the state.
        let from = clause.bind(self.from.as_str());
        clause.add(format!("COALESCE(state, '') = {from}"));
        let sql = format!(
            "UPDATE letters SET state = {state}, state_since = {since}, action = {entry} {}",
            clause.sql()
        );
        let mut transaction = self.desk.begin().await?;
        let changed = sql::query(sql, &clause).execute(&mut *transaction).await?.rows_affected();
        if changed > 0 && before == 0 {
            let dead_letter = (self.filter.ids.len() == 1 && changed == 1).then(|| &self.filter.ids[0][..]);
            let filter = Some(&self.filter);
            let subject = Subject { dead_letter, filter, dead_letters: changed, ..Subject::default() };
            let (name, reason, now_ms) = (&self.actor.0, &self.actor.1, self.actor.2);
            let actor = Actor { name, reason, now_ms };
            write_with_id(&mut transaction, &self.entry, self.action, actor, subject).await?;
        } else if changed > 0 {
            audit::add(&mut transaction, &self.entry, changed).await?;
        }
        rounds.end(transaction).await?;
        Ok(changed)
    }
}
