//! What a replay would do, without doing it.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::Desk;
use super::filter::{self, Filter, Where};
use super::jobs::Plan;
use super::letter::State;
use super::letters::small;

/// Letters of one topic and consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The topic their messages were first published to.
    pub source: String,
    /// The consumer group they failed in.
    pub consumer_group: String,
    /// How many they are.
    pub letters: u64,
    /// How many of them lost their value, because the dead-letter topic refused it for its size.
    pub without_value: u64,
}

/// What a job would be made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preview {
    /// Its letters, the most numerous first.
    pub shares: Vec<Share>,
    /// Letters that were replayed too often to be among them.
    pub left_out: u64,
}

impl Preview {
    /// How many letters the job would have.
    pub fn letters(&self) -> u64 {
        self.shares.iter().map(|share| share.letters).sum()
    }

    /// The groups whose letters were first published to each topic.
    pub fn groups_by_source(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for share in &self.shares {
            groups.entry(&share.source).or_default().push(&share.consumer_group);
        }
        groups
    }
}

impl Desk {
    /// What [`Desk::start_job`] would make a job of.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn preview_job(&self, filter: &Filter, plan: &Plan) -> sqlx::Result<Preview> {
        if filter.state.is_some_and(|state| state != State::Open) {
            return Ok(Preview::default());
        }
        let mut with = Where::of(&Filter { state: Some(State::Open), ..filter.clone() });
        let most = with.next(i64::from(plan.most_replays));
        let sql = format!(
            "SELECT source, consumer_group, CASE WHEN replays < {most} THEN 1 ELSE 0 END AS fit, \
             COUNT(*) AS letters, COUNT(value_cut) AS without_value FROM letters {} \
             GROUP BY source, consumer_group, fit ORDER BY letters DESC, source, consumer_group",
            with.sql()
        );
        let mut preview = Preview::default();
        for row in filter::query(sql, &with).fetch_all(&self.pool).await? {
            let letters = small::<i64>(&row, "letters")?.unsigned_abs();
            if small::<i64>(&row, "fit")? == 0 {
                preview.left_out += letters;
                continue;
            }
            preview.shares.push(Share {
                source: row.try_get("source")?,
                consumer_group: row.try_get("consumer_group")?,
                letters,
                without_value: small::<i64>(&row, "without_value")?.unsigned_abs(),
            });
        }
        Ok(preview)
    }
}
