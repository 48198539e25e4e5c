//! Where a letter goes, and the record that goes there.

use consumer::Pipeline;
use consumer::reports::ReplayTag;
use kafka::headers::{self, BLOCK_LEN, FailureHeaders, ID, Origin, REPLAY, REPLAYS};
use kafka::publisher::Destination;
use kafka::raw::HeaderList;

use crate::Letter;
use crate::jobs::Target;

/// A plugin's topics and group.
#[derive(Debug, Clone)]
pub struct Route {
    /// The topic it handles.
    pub topic: String,
    /// The group it handles it in.
    pub group: String,
    /// Its name@version.
    pub plugin: String,
    /// Its first retry topic, where it has one.
    pub retry: Option<Destination>,
    /// Its dead-letter topic.
    pub dead_letter: String,
    /// Whether failed messages are tried again in their place.
    pub in_place: bool,
}

impl Route {
    /// That of a pipeline.
    pub fn of(pipeline: &Pipeline) -> Self {
        let subscription = &pipeline.subscription;
        Self {
            topic: subscription.topic.clone(),
            group: subscription.group.clone(),
            plugin: pipeline.plugin.label.clone(),
            retry: pipeline.retry.first().cloned(),
            dead_letter: subscription.dead_letter_topic.clone(),
            in_place: subscription.ordering.is_in_place(),
        }
    }

    /// The retry topic for letters of this topic and group.
    ///
    /// # Errors
    /// Why there is none.
    pub fn retry_topic<'a>(routes: &'a [Self], topic: &str, group: &str) -> Result<&'a Destination, String> {
        let Some(route) = routes.iter().find(|route| route.topic == topic && route.group == group) else {
            return Err(format!("no plugin of this host handles {topic} in the group {}", named(group)));
        };
        match &route.retry {
            Some(retry) => Ok(retry),
            None if route.in_place => Err(format!(
                "{} tries messages of {topic} again in their place, so {group} has no retry topic",
                route.plugin
            )),
            None => Err(format!("{} does not retry, so {group} has no retry topic", route.plugin)),
        }
    }
}

fn named(group: &str) -> &str {
    if group.is_empty() { "that the record does not name" } else { group }
}

/// Why a letter cannot be sent anywhere. None where it can.
pub(super) fn refuse(letter: &Letter, routes: &[Route]) -> Option<String> {
    if letter.value_cut.is_some() {
        return Some("its value was cut out: the dead-letter topic refused it for its size".to_owned());
    }
    let source = &letter.source.topic;
    let is_its_own = letter.place.as_ref().is_some_and(|place| place.topic == *source);
    if is_its_own || routes.iter().any(|route| route.dead_letter == *source) {
        return Some("its record does not say which topic it comes from".to_owned());
    }
    let has_cut = |name: &[u8]| headers::is_cut(name) && letter.place.is_some();
    letter.headers.iter().any(|(name, _)| has_cut(&name.0)).then(|| {
        "its key and headers were cut out: the dead-letter topic refused them for their size".to_owned()
    })
}

/// The headers of a letter's record: the sender's, its identity, and for a retry topic what its readers need.
pub(super) fn header_list(
    letter: &Letter,
    job: &str,
    position: i64,
    target: Target,
    now_ms: i64,
) -> HeaderList {
    let mut list = HeaderList::with_capacity(letter.headers.len() + 3 + BLOCK_LEN);
    letter.sender_headers().for_each(|(name, value)| list.push(name, value));
    list.push(ID, Some(identity(letter).as_bytes()));
    list.push(REPLAYS, Some(letter.replays.saturating_add(1).to_string().as_bytes()));
    list.push(REPLAY, Some(ReplayTag::write(job, position).as_bytes()));
    if target == Target::Retry {
        stamp(letter, now_ms).write(&mut list);
    }
    list
}

/// The id that the message had, to the byte: the store keeps it without NULs.
fn identity(letter: &Letter) -> &str {
    let own = || headers::own_id(raw_headers(letter));
    if letter.edited_from.is_some() { &letter.message } else { own().unwrap_or(&letter.message) }
}

fn raw_headers(letter: &Letter) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    letter.headers.iter().map(|(name, value)| (&name.0[..], value.as_ref().map(|value| &value.0[..])))
}

/// It begins anew: the first attempt, due now, and its age counts from now.
fn stamp(letter: &Letter, now_ms: i64) -> FailureHeaders<'_> {
    let kind = headers::timestamp_type(raw_headers(letter));
    FailureHeaders {
        origin: Origin {
            topic: &letter.source.topic,
            partition: letter.source.partition,
            offset: letter.source.offset,
            timestamp: letter.source_timestamp_ms.map(|millis| (millis, kind)),
        },
        group: &letter.consumer_group,
        exception: &letter.exception,
        code: &letter.code,
        detail: &letter.detail,
        backtrace: &letter.backtrace,
        attempts: 0,
        next_attempt: 1,
        due_ms: now_ms,
        first_failed_ms: now_ms,
        plugin: &letter.plugin,
        digest: &letter.digest,
        value_cut: None,
        key_cut: None,
        headers_cut: None,
    }
}
