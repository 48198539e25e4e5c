//! `/topics`: topics, consumer groups, and the partitions of this process.

use askama::Template;
use axum::response::Response;
use desk_api::{GroupMember, GroupOverview, TopicOverview, TopicUse};

use super::page::{self, PageContext};
use super::partitions::{self, Partitions};
use server::{DeskState, topics};

#[derive(Template)]
#[template(path = "console/topics.html")]
struct TopicsPage {
    ctx: PageContext,
    topics: Vec<TopicOverview>,
    groups: Vec<GroupOverview>,
    /// Why Kafka did not list the members; empty if it did.
    reason: String,
    partitions: Vec<Partitions>,
}

impl TopicsPage {
    fn used_as(&self, used_as: &TopicUse) -> &'static str {
        let rooms = &self.ctx.texts.rooms;
        match used_as {
            TopicUse::Source => rooms.source,
            TopicUse::Retry => rooms.retry,
            TopicUse::DeadLetter => rooms.dead_letter,
        }
    }

    fn retention(&self, millis: &Option<i64>) -> String {
        match millis {
            None => "–".to_owned(),
            Some(millis) => match u64::try_from(*millis) {
                Ok(millis) => self.ctx.texts.duration(millis),
                Err(_) => self.ctx.texts.rooms.retention_forever.to_owned(),
            },
        }
    }

    fn needed(&self, millis: &Option<u64>) -> String {
        millis.map_or_else(|| "–".to_owned(), |millis| self.ctx.texts.duration(millis))
    }

    /// The partitions of a member: `email.send 0, 1, 2`.
    fn assigned(&self, member: &GroupMember) -> Vec<String> {
        let all = member.partitions.iter();
        all.map(|own| format!("{} {}", own.topic, ranges(&own.partitions))).collect()
    }
}

/// Numbers with runs of them joined: `0–3, 7`.
fn ranges(numbers: &[i32]) -> String {
    let mut runs: Vec<(i32, i32)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let run = |(first, last): (i32, i32)| {
        if first == last { first.to_string() } else { format!("{first}–{last}") }
    };
    runs.into_iter().map(run).collect::<Vec<_>>().join(", ")
}

/// The topics and groups.
pub async fn show(state: DeskState, ctx: PageContext) -> Response {
    let groups = topics::groups(&state).await;
    let reason = groups.iter().find_map(|group| group.reason.clone()).unwrap_or_default();
    let partitions = partitions::of(&state, ctx.texts);
    let topics = topics::topics(&state);
    page::render(&TopicsPage { ctx, topics, groups, reason, partitions })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_partitions_are_joined() {
        assert_eq!(ranges(&[0, 1, 2, 3, 7, 9, 10]), "0–3, 7, 9–10");
        assert_eq!(ranges(&[]), "");
    }
}
