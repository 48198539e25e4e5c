//! Previews of replays, with warnings.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::clock;
use base::error::UserError;
use base::text::{self, counted};
use consumer::gate::{Pause, Status};
use consumer::subscription;
use desk_api::{DeadLetterState, Filter, ReplayPlan, ReplayPreview, ReplayTarget, TopicShare};

use super::route::Route;
use super::store::{self, NO_SOURCE, Source, VALUE_CUT};
use super::{Replayer, effects};
use crate::sql::{self, WhereClause};
use crate::{Desk, store_unavailable};

/// The reason why a preview leaves out dead letters.
const IN_OTHER_REPLAY: &str = "in another replay that may still send them; cancel that replay first";
/// The time that a preview waits for Kafka.
const KAFKA_BOUND: Duration = Duration::from_millis(700);

impl Replayer {
    /// Previews a replay with this filter and plan, restricted to `ids` if given.
    ///
    /// # Errors
    /// The replay is not possible (a usage error), or the store is unavailable.
    pub async fn preview(
        &self,
        filter: &Filter,
        ids: Option<&[String]>,
        plan: &ReplayPlan,
    ) -> Result<ReplayPreview, UserError> {
        plan.check().map_err(UserError::usage)?;
        let desk = &self.0.desk;
        let sendable = desk.sendable(filter, ids, plan).await.map_err(|error| store_unavailable(&error))?;
        let left_out = async {
            match ids {
                // The trial that selected them has reported the others.
                Some(_) => Ok(Vec::new()),
                None => desk.left_out(filter, plan).await,
            }
        };
        // Kafka may take longer than the store, and is asked before it is known which topics matter.
        let kafka = async {
            let topics = self.0.routes.iter().map(|route| route.topic.clone()).collect();
            Ok(match plan.target {
                ReplayTarget::Source => self.0.readers.of(&topics, KAFKA_BOUND).await.err(),
                ReplayTarget::Retry => None,
            })
        };
        // The others read all dead letters, and a person waits for the slowest.
        let sources = desk.sources_and_effects(&sendable, self.0.keep_effects);
        let ((sources, effects), mut warnings, away) =
            tokio::try_join!(sources, left_out, kafka).map_err(|error| store_unavailable(&error))?;
        let topics = match plan.target {
            ReplayTarget::Source => {
                warnings.extend(self.topic_warnings(&sources, away).await);
                sum(sources.iter().map(|source| (source.topic.clone(), source.dead_letters)))
            }
            ReplayTarget::Retry => retry_topics(&self.0.routes, &sources)?,
        };
        warnings.extend(paused(&self.0.routes, &sources));
        warnings.extend(effects::warnings(&effects, self.0.keep_effects));
        let dead_letters = sources.iter().map(|source| source.dead_letters).sum();
        let topics =
            topics.into_iter().map(|(topic, dead_letters)| TopicShare { topic, dead_letters }).collect();
        Ok(ReplayPreview { dead_letters, topics, effects, warnings })
    }

    /// The number of dead letters that a replay would send.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn sendable(
        &self,
        filter: &Filter,
        ids: Option<&[String]>,
        plan: &ReplayPlan,
    ) -> sqlx::Result<u64> {
        let sendable = self.0.desk.sendable(filter, ids, plan).await?;
        let sources = self.0.desk.sources(&sendable).await?;
        Ok(sources.iter().map(|source| source.dead_letters).sum())
    }

    /// Warnings about topics that do not exist, and about other consumer groups that read the topics and would receive
    /// the messages again. `away` is the reason why Kafka has not answered for the topics of the plugins.
    async fn topic_warnings(&self, sources: &[Source], away: Option<String>) -> Vec<String> {
        let mut topics: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for source in sources.iter().filter(|source| subscription::is_topic(&source.topic)) {
            topics.entry(source.topic.clone()).or_default().insert(source.group.clone());
        }
        let invalid = sources.iter().filter(|source| !subscription::is_topic(&source.topic));
        let mut warnings: Vec<String> = invalid.map(missing).collect();
        if topics.is_empty() {
            return warnings;
        }
        let readers = match away {
            Some(why) => Err(why),
            // Known by now, unless a topic is none of the plugins'.
            None => self.0.readers.of(&topics.keys().cloned().collect(), KAFKA_BOUND).await,
        };
        let readers = match readers {
            Ok(readers) => readers,
            Err(why) => {
                let text = format!(
                    "Kafka does not answer: {why}; other groups that read these topics are unknown, and nothing is \
                     sent until it answers"
                );
                warnings.push(text);
                return warnings;
            }
        };
        warnings.extend(sources.iter().filter(|source| readers.missing.contains(&source.topic)).map(missing));
        warnings.extend(topics.iter().flat_map(|(topic, own)| {
            let groups = readers.groups.get(topic).into_iter().flatten();
            groups.filter(|group| !is_only_group(own, group)).map(|group| warning(topic, group, own))
        }));
        if readers.unknown > 0 {
            let groups = counted(readers.unknown, "group");
            warnings.push(format!(
                "cannot read the offsets of {groups}; more groups may receive these messages again"
            ));
        }
        warnings
    }
}

/// The warning about a topic that does not exist.
fn missing(Source { topic, dead_letters, .. }: &Source) -> String {
    format!("topic {topic} does not exist; {} will stay open", counted(*dead_letters, "dead letter"))
}

/// Whether all dead letters failed in this group.
fn is_only_group(own: &BTreeSet<String>, group: &str) -> bool {
    own.len() == 1 && own.contains(group)
}

fn warning(topic: &str, group: &str, own: &BTreeSet<String>) -> String {
    let alternative = match (own.len(), own.first().filter(|own| !own.is_empty())) {
        (1, Some(own)) => format!("; --to retry sends them to {own} only"),
        _ => String::new(),
    };
    format!("group {group} also reads {topic} and will receive these messages again{alternative}")
}

/// The number of dead letters per topic.
fn sum(counts: impl Iterator<Item = (String, u64)>) -> BTreeMap<String, u64> {
    let mut topics = BTreeMap::new();
    counts.for_each(|(topic, count)| *topics.entry(topic).or_default() += count);
    topics
}

fn retry_topics(routes: &[Route], sources: &[Source]) -> Result<BTreeMap<String, u64>, UserError> {
    let topics = sources.iter().map(|source| {
        let found = Route::retry_topic(routes, &source.topic, &source.group);
        found.map(|to| (to.name().into_owned(), source.dead_letters)).map_err(|why| {
            let count = counted(source.dead_letters, "dead letter");
            UserError::usage(format!("cannot send {count} to a retry topic: {why}"))
                .help(format!("send them to their original topic, {}: --to source", source.topic))
        })
    });
    Ok(sum(topics.collect::<Result<Vec<_>, _>>()?.into_iter()))
}

/// Warnings about plugins that are paused or rest, so that their messages wait.
fn paused(routes: &[Route], sources: &[Source]) -> Vec<String> {
    let is_used = |route: &&Route| {
        sources.iter().any(|source| source.topic == route.topic && source.group == route.group)
    };
    let warning = |route: &Route| {
        let Status { plugin, pause, rest } = route.gate.status();
        if let Some(Pause { since_ms, actor, reason }) = pause {
            let (since, actor) = (text::utc(since_ms), text::line(actor.as_bytes()));
            let reason = text::line(reason.as_bytes());
            return Some(format!(
                "plugin {plugin} is paused since {since}, by {actor}: {reason}; the messages wait until it is \
                 resumed: host plugin resume {plugin}"
            ));
        }
        rest.map(|(_, code)| {
            format!("plugin {plugin} rests because its calls fail ({code}); the messages wait")
        })
    };
    routes.iter().filter(is_used).filter_map(warning).collect()
}

impl Desk {
    /// Warnings about open dead letters that are left out.
    async fn left_out(&self, filter: &Filter, plan: &ReplayPlan) -> sqlx::Result<Vec<String>> {
        let mut warnings = Vec::new();
        if filter.state.is_some_and(|state| state != DeadLetterState::Open) {
            return Ok(warnings);
        }
        let open = Filter { state: Some(DeadLetterState::Open), ..filter.clone() };
        let clause = WhereClause::from_filter(&open);
        let too_often = format!("already replayed {} times or more", plan.max_replays);
        let reasons = [
            (format!("replays >= {}", plan.max_replays), too_often.as_str()),
            (VALUE_CUT.to_owned(), "whose value was cut: it exceeded the dead-letter topic's size limit"),
            (NO_SOURCE.to_owned(), "whose record does not name the original topic"),
        ];
        // One pass for all: the rows are large.
        let sums = reasons.iter().enumerate().map(|(index, (condition, _))| {
            format!("COALESCE(SUM(CASE WHEN {condition} THEN 1 ELSE 0 END), 0) AS count_{index}")
        });
        let sums = sums.collect::<Vec<_>>().join(", ");
        let sql = format!("SELECT {sums} FROM letters {}", clause.sql());
        let row = sql::query(sql, &clause).fetch_one(&self.pool).await?;
        let mut left_out = |count, reason: &str| {
            if count > 0 {
                warnings.push(format!("left out: {} {reason}", counted(count, "dead letter")));
            }
        };
        for (index, (_, reason)) in reasons.iter().enumerate() {
            left_out(sql::count(&row, &format!("count_{index}"))?, reason);
        }
        left_out(self.in_other_replays(clause).await?, IN_OTHER_REPLAY);
        Ok(warnings)
    }

    /// Number of dead letters that other replays may still send. In a pass of its own, for which PostgreSQL joins tables;
    /// as a part of another one it is a query for each dead letter.
    async fn in_other_replays(&self, mut clause: WhereClause) -> sqlx::Result<u64> {
        let Some(active_ms) = self.active_at(clock::now_ms()).await? else { return Ok(0) };
        clause.add(store::in_other_replay(active_ms));
        let sql = format!("SELECT COUNT(*) AS count FROM letters {}", clause.sql());
        sql::count(&sql::query(sql, &clause).fetch_one(&self.pool).await?, "count")
    }
}

#[cfg(test)]
mod tests {
    use consumer::Gate;
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
            gate: Gate::new(&"email".into(), None),
        }
    }

    #[test]
    fn a_paused_plugin_is_warned_about() {
        let routes = [route("a", "a-group", None), route("b", "b-group", None)];
        let sources = [Source { topic: "a".into(), group: "a-group".into(), dead_letters: 3 }];
        assert!(paused(&routes, &sources).is_empty());
        let pause = Pause { since_ms: 0, actor: "ada".into(), reason: "the\nserver moves".into() };
        routes.iter().for_each(|route| route.gate.set_pause(Some(pause.clone())));
        let warnings = paused(&routes, &sources);
        assert_eq!(warnings.len(), 1, "only the plugin that would receive them: {warnings:?}");
        assert!(warnings[0].contains("by ada: the") && warnings[0].contains("host plugin resume email"));
        assert!(!warnings[0].contains('\n'), "{warnings:?}");
    }

    #[test]
    fn retry_is_refused_without_a_retry_topic() {
        let routes = [route("a", "a-group", Some("a-retry-1000")), route("b", "b-group", None)];
        let source =
            |topic: &str, group: &str| Source { topic: topic.into(), group: group.into(), dead_letters: 3 };
        let topics = |sources: &[Source]| retry_topics(&routes, sources).map_err(|error| error.to_string());
        assert_eq!(topics(&[source("a", "a-group")]), Ok(BTreeMap::from([("a-retry-1000".to_owned(), 3)])));
        let error = topics(&[source("a", "a-group"), source("b", "b-group")]).expect_err("in place");
        assert!(error.contains("in place") && error.contains("--to source"), "{error}");
        let error = topics(&[source("a", "billing")]).expect_err("another group");
        assert!(error.contains("no plugin of this host handles a in group billing"), "{error}");
        assert!(topics(&[source("a", "")]).is_err_and(|error| error.contains("does not name")));
    }

    #[test]
    fn the_group_itself_is_not_another_reader() {
        let own = BTreeSet::from(["email-send-group".to_owned()]);
        assert!(is_only_group(&own, "email-send-group") && !is_only_group(&own, "billing"));
        assert_eq!(
            warning("email.send", "billing", &own),
            "group billing also reads email.send and will receive these messages again; --to retry sends them to \
             email-send-group only"
        );
        // Each of two groups receives the other group's failed messages.
        let both = BTreeSet::from(["a".to_owned(), "b".to_owned()]);
        assert!(!is_only_group(&both, "a"));
        assert!(warning("t", "a", &both).ends_with("again"));
    }
}
