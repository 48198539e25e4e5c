//! What a replay would do, and what a person should know before it does it.

use std::collections::{BTreeMap, BTreeSet};

use base::error::UserError;
use base::text::counted;
use consumer::subscription;
use kafka::errors;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use utoipa::ToSchema;

use super::record::Route;
use super::{Replayer, readers};
use crate::filter::{self, Filter, Where};
use crate::jobs::{self, Plan, Target};
use crate::{Desk, State, desk_failed};

/// What a replay would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// How many letters it would send.
    pub letters: u64,
    /// Where to.
    pub topics: Vec<TopicShare>,
    /// What a person should know before.
    pub warnings: Vec<String>,
}

/// A topic, and how many letters would go there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TopicShare {
    /// The topic.
    pub topic: String,
    /// How many letters.
    pub letters: u64,
}

/// Letters of one topic and group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The topic their messages were first published to.
    pub topic: String,
    /// The group they failed in; empty where the records do not say.
    pub group: String,
    /// How many there are.
    pub letters: u64,
}

/// Why letters that are asked for are left out, and the condition of those.
const LEFT_OUT: [(&str, &str); 3] = [
    (jobs::CUT, "with no value any more: the dead-letter topic refused it for its size"),
    (jobs::STRAY, "from nobody knows which topic"),
    (jobs::TAKEN, "in another job that may still send them: cancel it first"),
];

impl Replayer {
    /// What a job with this filter and plan would do; of the letters with these ids alone, where there are some.
    ///
    /// # Errors
    /// It is not possible (a usage failure), or the store does not answer.
    pub async fn check(
        &self,
        filter: &Filter,
        ids: Option<&[String]>,
        plan: &Plan,
    ) -> Result<Check, UserError> {
        plan.check().map_err(UserError::usage)?;
        let desk = self.desk();
        let sources = desk.sources(filter, ids, plan).await.map_err(|error| desk_failed(&error))?;
        let mut warnings = match ids {
            // What was chosen by hand is named where it is chosen.
            Some(_) => Vec::new(),
            None => desk.left_out(filter, plan).await.map_err(|error| desk_failed(&error))?,
        };
        let topics = match plan.target {
            Target::Source => {
                warnings.extend(self.missing(&sources).await);
                warnings.extend(self.warnings(&sources).await);
                sum(sources.iter().map(|source| (source.topic.clone(), source.letters)))
            }
            Target::Retry => retry_topics(self.routes(), &sources)?,
        };
        let letters = sources.iter().map(|source| source.letters).sum();
        let topics = topics.into_iter().map(|(topic, letters)| TopicShare { topic, letters }).collect();
        Ok(Check { letters, topics, warnings })
    }

    /// Which groups read these topics beside the ones that the letters are of: they get the messages again.
    pub async fn warnings(&self, sources: &[Source]) -> Vec<String> {
        let mut topics: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for source in sources.iter().filter(|source| subscription::is_topic(&source.topic)) {
            topics.entry(source.topic.clone()).or_default().insert(source.group.clone());
        }
        if topics.is_empty() {
            return Vec::new();
        }
        let (kafka, asked) = (self.kafka().clone(), topics.keys().cloned().collect());
        let readers = tokio::task::spawn_blocking(move || readers::of(&kafka, &asked)).await;
        let readers = match readers {
            Ok(Ok(readers)) => readers,
            Ok(Err(error)) => {
                return vec![format!(
                    "Kafka does not say which other groups read them: {}",
                    errors::reason(&error)
                )];
            }
            Err(_) => return vec!["nobody knows which other groups read them".to_owned()],
        };
        let mut warnings: Vec<String> = topics
            .iter()
            .flat_map(|(topic, own)| {
                let groups = readers.groups.get(topic).into_iter().flatten();
                groups.filter(|group| !is_alone(own, group)).map(|group| warning(topic, group, own))
            })
            .collect();
        if readers.unseen > 0 {
            warnings.push(format!(
                "{} groups did not say what they have read; others may get the messages again too",
                readers.unseen
            ));
        }
        warnings
    }

    /// Topics that are gone.
    async fn missing(&self, sources: &[Source]) -> Vec<String> {
        let mut warnings = Vec::new();
        for source in sources {
            if let Ok(None) = self.partitions(&source.topic).await {
                let Source { topic, letters, .. } = source;
                warnings.push(format!(
                    "there is no topic {topic}, so these stay open: {}",
                    counted(*letters, "letter")
                ));
            }
        }
        warnings
    }
}

/// Whether the letters are of this group, and of no other.
fn is_alone(own: &BTreeSet<String>, group: &str) -> bool {
    own.len() == 1 && own.contains(group)
}

fn warning(topic: &str, group: &str, own: &BTreeSet<String>) -> String {
    let rather = match (own.len(), own.first().filter(|own| !own.is_empty())) {
        (1, Some(own)) => format!("; --to retry sends them to {own} alone"),
        _ => String::new(),
    };
    format!("group {group} reads {topic} as well: it will get these messages again{rather}")
}

/// How many letters go to each topic.
fn sum(letters: impl Iterator<Item = (String, u64)>) -> BTreeMap<String, u64> {
    let mut topics = BTreeMap::new();
    letters.for_each(|(topic, letters)| *topics.entry(topic).or_default() += letters);
    topics
}

fn retry_topics(routes: &[Route], sources: &[Source]) -> Result<BTreeMap<String, u64>, UserError> {
    let topics = sources.iter().map(|source| {
        let found = Route::retry_topic(routes, &source.topic, &source.group);
        found.map(|to| (to.name().into_owned(), source.letters)).map_err(|why| {
            UserError::usage(format!("not possible for {}: {why}", counted(source.letters, "letter")))
                .help(format!("send them to their own topic, {}: --to source", source.topic))
        })
    });
    Ok(sum(topics.collect::<Result<Vec<_>, _>>()?.into_iter()))
}

impl Desk {
    /// Topics and groups of the letters that a job with this filter and plan would have.
    pub(super) async fn sources(
        &self,
        filter: &Filter,
        ids: Option<&[String]>,
        plan: &Plan,
    ) -> sqlx::Result<Vec<Source>> {
        if filter.state.is_some_and(|state| state != State::Open) {
            return Ok(Vec::new());
        }
        let mut all: BTreeMap<(String, String), u64> = BTreeMap::new();
        for some in jobs::pieces(ids) {
            for Source { topic, group, letters } in self.sources_among(filter, some, plan).await? {
                *all.entry((topic, group)).or_default() += letters;
            }
        }
        Ok(all.into_iter().map(|((topic, group), letters)| Source { topic, group, letters }).collect())
    }

    async fn sources_among(
        &self,
        filter: &Filter,
        ids: Option<&[String]>,
        plan: &Plan,
    ) -> sqlx::Result<Vec<Source>> {
        let mut with = Where::default();
        jobs::sendable(&mut with, filter, ids, plan);
        let sql = format!(
            "SELECT source, consumer_group, COUNT(*) FROM letters {} GROUP BY source, consumer_group",
            with.sql()
        );
        let rows = filter::query(sql, &with).fetch_all(&self.pool).await?;
        let source = |row: &sqlx::any::AnyRow| {
            let letters: i64 = row.try_get(2)?;
            Ok(Source { topic: row.try_get(0)?, group: row.try_get(1)?, letters: letters.unsigned_abs() })
        };
        rows.iter().map(source).collect()
    }

    /// How many open letters are left out, and why.
    async fn left_out(&self, filter: &Filter, plan: &Plan) -> sqlx::Result<Vec<String>> {
        let mut left_out = Vec::new();
        if filter.state.is_some_and(|state| state != State::Open) {
            return Ok(left_out);
        }
        let open = Filter { state: Some(State::Open), ..filter.clone() };
        let mut with = Where::of(&open);
        let most = with.next(i64::from(plan.most_replays));
        with.must(format!("replays >= {most}"));
        let often = format!("replayed {} times before, or more often", plan.most_replays);
        left_out.extend(self.left(with, &often).await?);
        for (condition, why) in LEFT_OUT {
            let mut with = Where::of(&open);
            with.must(format!("({condition})"));
            left_out.extend(self.left(with, why).await?);
        }
        Ok(left_out)
    }

    async fn left(&self, with: Where, why: &str) -> sqlx::Result<Option<String>> {
        let sql = format!("SELECT COUNT(*) FROM letters {}", with.sql());
        let count: i64 = filter::scalar(sql, &with).fetch_one(&self.pool).await?;
        Ok((count > 0).then(|| format!("left out: {}, {why}", counted(count.unsigned_abs(), "letter"))))
    }
}

#[cfg(test)]
mod tests {
    use kafka::publisher::Destination;

    use super::*;

    fn route(topic: &str, group: &str, retry: Option<&str>) -> Route {
        Route {
            topic: topic.to_owned(),
            group: group.to_owned(),
            plugin: "email@1".to_owned(),
            retry: retry.and_then(|name| Destination::new(name, 1)),
            dead_letter: format!("{topic}.dlt"),
            in_place: retry.is_none(),
        }
    }

    #[test]
    fn retry_is_refused_where_there_is_no_retry_topic() {
        let routes = [route("a", "a-group", Some("a-retry-1000")), route("b", "b-group", None)];
        let source =
            |topic: &str, group: &str| Source { topic: topic.into(), group: group.into(), letters: 3 };
        let topics =
            |sources: &[Source]| retry_topics(&routes, sources).map_err(|failure| failure.to_string());
        assert_eq!(topics(&[source("a", "a-group")]), Ok(BTreeMap::from([("a-retry-1000".to_owned(), 3)])));
        let told = topics(&[source("a", "a-group"), source("b", "b-group")]).expect_err("in place");
        assert!(told.contains("in their place") && told.contains("--to source"), "{told}");
        let told = topics(&[source("a", "billing")]).expect_err("another group");
        assert!(told.contains("no plugin of this host handles a in the group billing"), "{told}");
        assert!(topics(&[source("a", "")]).is_err_and(|told| told.contains("does not name")));
    }

    #[test]
    fn the_group_itself_is_no_other() {
        let own = BTreeSet::from(["email-send-group".to_owned()]);
        assert!(is_alone(&own, "email-send-group") && !is_alone(&own, "billing"));
        assert_eq!(
            warning("email.send", "billing", &own),
            "group billing reads email.send as well: it will get these messages again; --to retry sends them to \
             email-send-group alone"
        );
        // Each of two groups gets what the other one could not handle.
        let both = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert!(!is_alone(&both, "a"));
        assert!(warning("t", "a", &both).ends_with("again"));
    }
}
