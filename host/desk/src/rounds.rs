//! Bulk work in rounds: short transactions, with a pause for other writers after each.
//!
//! A transaction over 100,000 dead letters keeps the ledger of a SQLite file, and with it every e-mail, waiting for
//! half a minute. No transaction of the desk changes more than [`MAX_ROUND`] dead letters.

use std::time::Duration;

use desk_api::{DeadLetterState, Filter};

use crate::sql::{self, WhereClause};
use crate::{Desk, Writing};

/// Bounds of the number of dead letters per round.
const FIRST_ROWS: usize = 100;
const MAX_ROUND: usize = 2000;
/// Maximum number of dead letters per statement that binds each of them.
pub(crate) const MAX_ROWS: usize = 500;
/// The duration of a round above which the next one is smaller: dead letters may be large, and disks slow.
const TARGET: Duration = Duration::from_millis(50);
/// The pause as a share of the round, and its bounds. Writers of this process take turns anyway; the pause is for those
/// of other processes.
const PAUSE_SHARE: u32 = 4;
const MIN_PAUSE: Duration = Duration::from_millis(5);
const MAX_PAUSE: Duration = Duration::from_millis(100);
/// Ids of a selection per query. A filter may have to examine every dead letter for each query.
const MAX_IDS: usize = 10_000;

/// The size of rounds, adapted to their duration.
#[derive(Debug)]
pub(crate) struct Rounds {
    rows: usize,
}

impl Default for Rounds {
    fn default() -> Self {
        Self { rows: FIRST_ROWS }
    }
}

impl Rounds {
    /// The number of dead letters of the next round.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Commits a round, and pauses.
    pub async fn end(&mut self, round: Writing) -> sqlx::Result<()> {
        let began = round.began();
        round.commit().await?;
        let took = began.elapsed();
        self.adapt(took);
        tokio::time::sleep((took / PAUSE_SHARE).clamp(MIN_PAUSE, MAX_PAUSE)).await;
        Ok(())
    }

    fn adapt(&mut self, took: Duration) {
        if took > TARGET {
            self.rows = (self.rows / 2).max(1);
        } else if took < TARGET / 2 {
            self.rows = (self.rows * 2).min(MAX_ROUND);
        }
    }

    /// The first ids of `ids` for the next round, and the rest.
    pub fn split<'i>(&self, ids: &'i [String]) -> (&'i [String], &'i [String]) {
        ids.split_at(self.rows.min(ids.len()))
    }
}

/// The ids of the dead letters that matched a filter when the action began, oldest first.
///
/// Dead letters that fail later are not part of it, so that the action ends.
#[derive(Debug)]
pub(crate) struct Selection {
    filter: Filter,
    until_ms: i64,
    after: Option<(i64, String)>,
}

impl Selection {
    /// The matching dead letters in this state.
    pub async fn new(desk: &Desk, filter: &Filter, state: DeadLetterState) -> sqlx::Result<Self> {
        let newest: Option<i64> =
            sqlx::query_scalar("SELECT MAX(failed) FROM letters").fetch_one(&desk.pool).await?;
        let filter = Filter { state: Some(state), ..filter.clone() };
        Ok(Self { filter, until_ms: newest.unwrap_or(i64::MIN), after: None })
    }

    /// The next ids, read outside of any writing transaction; empty at the end.
    pub async fn next(&mut self, desk: &Desk) -> sqlx::Result<Vec<String>> {
        let mut clause = WhereClause::from_filter(&self.filter);
        let until = clause.bind(self.until_ms);
        clause.add(format!("failed <= {until}"));
        if let Some((failed, id)) = &self.after {
            let (failed, id) = (clause.bind(*failed), clause.bind(id.as_str()));
            clause.add(format!("(failed, id) > ({failed}, {id})"));
        }
        let sql =
            format!("SELECT failed, id FROM letters {} ORDER BY failed, id LIMIT {MAX_IDS}", clause.sql());
        let rows: Vec<(i64, String)> = sql::query_as(sql, &clause).fetch_all(&desk.pool).await?;
        self.after = rows.last().cloned().or(self.after.take());
        Ok(rows.into_iter().map(|(_, id)| id).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_shrink_until_they_are_short_and_have_a_bound() {
        let mut rounds = Rounds::default();
        for _ in 0..10 {
            rounds.adapt(Duration::from_millis(1));
        }
        assert_eq!(rounds.rows(), MAX_ROUND);
        for _ in 0..20 {
            rounds.adapt(Duration::from_millis(400));
        }
        assert_eq!(rounds.rows(), 1);
        rounds.adapt(Duration::from_millis(40));
        assert_eq!(rounds.rows(), 1, "neither short nor long");
        let ids: Vec<String> = (0..3).map(|number: i32| number.to_string()).collect();
        assert_eq!(rounds.split(&ids), (&ids[..1], &ids[1..]));
        assert_eq!(Rounds::default().split(&ids).0.len(), 3);
    }
}
