//! The audit log: users, actions, times and reasons.

use desk_api::{AuditEntry, Cursor, Filter, Page, PageSelector};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use crate::record::without_nul;
use crate::sql::{self, WhereClause};
use crate::{Desk, sortable_id};

/// The user behind an action, and the reason for it.
#[derive(Debug, Clone, Copy)]
pub struct Actor<'a> {
    /// The user's name, as given by the client.
    pub name: &'a str,
    /// The reason given.
    pub reason: &'a str,
    /// Time of the action, in milliseconds since the Unix epoch.
    pub now_ms: i64,
}

/// The subject of an action.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Subject<'a> {
    pub dead_letter: Option<&'a str>,
    pub failure: Option<&'a str>,
    pub replay: Option<&'a str>,
    pub plugin: Option<&'a str>,
    pub filter: Option<&'a Filter>,
    /// What selected retries, as JSON.
    pub retries: Option<&'a str>,
    pub dead_letters: u64,
}

impl Desk {
    /// Entries of the audit log, newest first: all of them, or those of one dead letter. The latter are the
    /// entries that name it, and the one of its last state change.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn audit_log(
        &self,
        dead_letter: Option<&str>,
        selector: &PageSelector,
        limit: usize,
    ) -> sqlx::Result<Page<AuditEntry>> {
        let mut clause = WhereClause::default();
        if let Some(id) = dead_letter {
            let (named, changed) = (clause.bind(id), clause.bind(id));
            clause.add(format!(
                "(letter = {named} OR id IN (SELECT action FROM letters WHERE id = {changed}))"
            ));
        }
        let order = clause.page(selector, "at", "id");
        let sql = format!("SELECT * FROM actions {} {order} LIMIT {}", clause.sql(), limit.saturating_add(1));
        let rows = sql::fetch(&self.pool, sql, &clause, entry).await?;
        Ok(Page::from_rows(rows, selector, limit, |entry| Cursor {
            time_ms: entry.at_ms,
            id: entry.id.clone(),
        }))
    }

    /// Writes an entry: a build is tried on these dead letters.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn log_trial(&self, filter: &Filter, dead_letters: u64, actor: Actor<'_>) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        let subject = Subject { filter: Some(filter), dead_letters, ..Subject::default() };
        write(&mut transaction, "try", actor, subject).await?;
        transaction.commit().await
    }

    /// Writes an entry: keys that a plugin holds are about to be released.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn log_release(&self, plugin: &str, actor: Actor<'_>) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        let subject = Subject { plugin: Some(plugin), ..Subject::default() };
        write(&mut transaction, "release-keys", actor, subject).await?;
        transaction.commit().await
    }

    /// Writes an entry: something is about to be decided about retries of a plugin, which `selection` describes as JSON.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn log_waiting(
        &self,
        action: &str,
        plugin: &str,
        selection: &str,
        actor: Actor<'_>,
    ) -> sqlx::Result<()> {
        let mut transaction = self.begin().await?;
        let subject = Subject { plugin: Some(plugin), retries: Some(selection), ..Subject::default() };
        write(&mut transaction, action, actor, subject).await?;
        transaction.commit().await
    }
}

/// Writes an entry; returns its id.
pub(crate) async fn write(
    connection: &mut AnyConnection,
    action: &str,
    actor: Actor<'_>,
    subject: Subject<'_>,
) -> sqlx::Result<String> {
    let id = sortable_id();
    write_with_id(connection, &id, action, actor, subject).await?;
    Ok(id)
}

/// Writes an entry whose id is already in use by the rows it has changed.
pub(crate) async fn write_with_id(
    connection: &mut AnyConnection,
    id: &str,
    action: &str,
    actor: Actor<'_>,
    subject: Subject<'_>,
) -> sqlx::Result<()> {
    let filter = subject.filter.map(sql::to_json).transpose()?;
    let filter = filter.or_else(|| subject.retries.map(str::to_owned));
    sqlx::query(
        "INSERT INTO actions (id, at, who, what, reason, letter, failure_group, job, filter, letters, plugin) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(id)
    .bind(actor.now_ms)
    .bind(without_nul(actor.name))
    .bind(action)
    .bind(without_nul(actor.reason))
    .bind(subject.dead_letter)
    .bind(subject.failure)
    .bind(subject.replay)
    .bind(filter)
    .bind(subject.dead_letters.cast_signed())
    .bind(subject.plugin)
    .execute(connection)
    .await?;
    Ok(())
}

/// Counts more dead letters in an entry: those of a further round.
pub(crate) async fn add(connection: &mut AnyConnection, id: &str, dead_letters: u64) -> sqlx::Result<()> {
    sqlx::query("UPDATE actions SET letters = letters + $1 WHERE id = $2")
        .bind(dead_letters.cast_signed())
        .bind(id)
        .execute(connection)
        .await?;
    Ok(())
}

fn entry(row: &AnyRow) -> sqlx::Result<AuditEntry> {
    Ok(AuditEntry {
        id: row.try_get("id")?,
        at_ms: row.try_get("at")?,
        actor: row.try_get("who")?,
        action: row.try_get("what")?,
        reason: row.try_get("reason")?,
        dead_letter: row.try_get("letter")?,
        failure: row.try_get("failure_group")?,
        replay: row.try_get("job")?,
        plugin: row.try_get("plugin")?,
        filter: row.try_get("filter")?,
        dead_letters: sql::count(row, "letters")?,
    })
}
