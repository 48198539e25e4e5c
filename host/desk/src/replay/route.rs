//! Routes: the topics and groups of the host's plugins, to which dead letters are sent back.

use std::sync::Arc;

use consumer::{Gate, Pipeline};
use desk_api::DeadLetter;
use kafka::headers;
use kafka::publisher::Destination;

/// The topics and the consumer group of a plugin.
#[derive(Debug, Clone)]
pub struct Route {
    /// The plugin's topic.
    pub topic: String,
    /// The plugin's consumer group.
    pub group: String,
    /// The plugin, name@version.
    pub plugin: String,
    /// The first retry topic, if the plugin has any.
    pub retry: Option<Destination>,
    /// The dead-letter topic.
    pub dead_letter: String,
    /// Whether the plugin retries in place, without retry topics.
    pub in_place: bool,
    /// The plugin's gate.
    pub gate: Arc<Gate>,
}

impl Route {
    /// The route of a pipeline.
    pub fn of(pipeline: &Pipeline) -> Self {
        let subscription = &pipeline.subscription;
        Self {
            topic: subscription.topic.clone(),
            group: subscription.group.clone(),
            plugin: pipeline.plugin.label.clone(),
            retry: pipeline.retry.first().cloned(),
            dead_letter: subscription.dead_letter_topic.clone(),
            in_place: subscription.ordering.is_in_place(),
            gate: Arc::clone(&pipeline.gate),
        }
    }

    /// The retry topic for dead letters of this topic and group.
    ///
    /// # Errors
    /// The group has no retry topic on this host.
    pub fn retry_topic<'a>(routes: &'a [Self], topic: &str, group: &str) -> Result<&'a Destination, String> {
        let Some(route) = routes.iter().find(|route| route.topic == topic && route.group == group) else {
            return Err(match group {
                "" => format!("the record from {topic} does not name its consumer group"),
                _ => format!("no plugin of this host handles {topic} in group {group}"),
            });
        };
        match &route.retry {
            Some(retry) => Ok(retry),
            None if route.in_place => Err(format!(
                "{} retries messages of {topic} in place, so group {group} has no retry topic",
                route.plugin
            )),
            None => Err(format!("{} does not retry, so group {group} has no retry topic", route.plugin)),
        }
    }
}

/// The reason why a dead letter cannot be sent anywhere; None if it can.
pub(super) fn unsendable_reason(dead_letter: &DeadLetter, routes: &[Route]) -> Option<String> {
    if dead_letter.value_cut.is_some() {
        return Some("its value was cut: it exceeded the dead-letter topic's size limit".to_owned());
    }
    let source = &dead_letter.source.topic;
    let location = dead_letter.location.as_ref();
    let is_own_source = location.is_some_and(|location| location.topic == *source);
    if is_own_source || routes.iter().any(|route| route.dead_letter == *source) {
        return Some("its record does not name the original topic".to_owned());
    }
    let was_cut = |name: &[u8]| headers::is_cut(name) && location.is_some();
    dead_letter
        .headers
        .iter()
        .any(|(name, _)| was_cut(&name.0))
        .then(|| "its key and headers were cut: they exceeded the dead-letter topic's size limit".to_owned())
}
