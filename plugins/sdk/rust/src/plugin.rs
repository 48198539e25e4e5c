//! The declaration of a plugin.

use std::marker::PhantomData;
use std::time::Duration;

use crate::bindings::exports::kafka_host::plugin::lifecycle::{self, Description, Subscription};
use crate::bindings::kafka_host::plugin::messages;
use crate::outcome::lower;
use crate::{Handler, Message};

/// When a message that failed is delivered again. The configuration of the host may say otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// The number of deliveries after the first one; 5 by default.
    pub retries: u32,
    /// The delay before the first retry; 1 s by default.
    pub delay: Duration,
    /// The factor of each further delay, 1 or more; 2 by default.
    pub multiplier: f64,
    /// The maximum delay; 1 h by default.
    pub max_delay: Duration,
    /// The maximum random extension of a delay, as a fraction of it from 0 to 1; 0 by default.
    pub jitter: f64,
    /// The maximum time between a message's first failure and its last retry, at most 24 h; 24 h by default.
    pub max_age: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            retries: 5,
            delay: Duration::from_secs(1),
            multiplier: 2.0,
            max_delay: Duration::from_secs(3_600),
            jitter: 0.0,
            max_age: Duration::from_secs(86_400),
        }
    }
}

impl RetryPolicy {
    fn lower(&self) -> lifecycle::RetryPolicy {
        let ms = |duration: Duration| duration.as_millis().try_into().unwrap_or(u64::MAX);
        lifecycle::RetryPolicy {
            retries: self.retries,
            delay_ms: ms(self.delay),
            multiplier: self.multiplier,
            max_delay_ms: ms(self.max_delay),
            jitter: self.jitter,
            max_age_ms: ms(self.max_age),
        }
    }
}

/// What [`plugin!`](crate::plugin!) builds: a plugin with topic `T` and handler `H`. Each key of the macro is a method.
#[derive(Debug, Clone, Copy)]
pub struct Plugin<T = Missing, H = Missing> {
    name: &'static str,
    version: &'static str,
    summary: &'static str,
    topic: T,
    group: Option<&'static str>,
    dead_letter_topic: Option<&'static str>,
    retry: Option<RetryPolicy>,
    max_batch: Option<u16>,
    handler: H,
}

/// In place of a topic or a handler that is not declared.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Missing;

/// A handler of `Input`.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Handling<F, Input>(F, PhantomData<Input>);

impl Plugin {
    /// A plugin that has only a name.
    #[must_use]
    pub const fn new(name: &'static str, version: &'static str, summary: &'static str) -> Self {
        Self {
            name,
            version,
            summary,
            topic: Missing,
            group: None,
            dead_letter_topic: None,
            retry: None,
            max_batch: None,
            handler: Missing,
        }
    }
}

impl<T, H> Plugin<T, H> {
    /// Its name; the crate's by default.
    #[must_use]
    pub fn name(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    /// Its version; the crate's by default.
    #[must_use]
    pub fn version(self, version: &'static str) -> Self {
        Self { version, ..self }
    }

    /// One sentence; the crate's `description` by default.
    #[must_use]
    pub fn summary(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    /// The topic whose messages it handles.
    #[must_use]
    pub fn topic(self, topic: &'static str) -> Plugin<&'static str, H> {
        let Self { name, version, summary, group, dead_letter_topic, retry, max_batch, handler, .. } = self;
        Plugin { name, version, summary, topic, group, dead_letter_topic, retry, max_batch, handler }
    }

    /// Its consumer group; `<name>-group` by default.
    #[must_use]
    pub fn group(self, group: &'static str) -> Self {
        Self { group: Some(group), ..self }
    }

    /// The topic for messages that finally failed; `<topic>.dlt` by default.
    #[must_use]
    pub fn dead_letter_topic(self, topic: &'static str) -> Self {
        Self { dead_letter_topic: Some(topic), ..self }
    }

    /// When a message that failed is delivered again.
    #[must_use]
    pub fn retry(self, policy: RetryPolicy) -> Self {
        Self { retry: Some(policy), ..self }
    }

    /// The maximum number of messages in one call, from 1 to 1000; 1 by default. The messages of a call share an instance.
    /// It is for plugins whose work is small and has no effects.
    #[must_use]
    pub fn max_batch(self, messages: u16) -> Self {
        Self { max_batch: Some(messages), ..self }
    }

    /// What handles a message.
    #[must_use]
    pub fn handler<F: Handler<Input>, Input>(self, handler: F) -> Plugin<T, Handling<F, Input>> {
        let Self { name, version, summary, topic, group, dead_letter_topic, retry, max_batch, .. } = self;
        let handler = Handling(handler, PhantomData);
        Plugin { name, version, summary, topic, group, dead_letter_topic, retry, max_batch, handler }
    }
}

/// A plugin that has at least a topic and a handler: the exports of a component.
#[diagnostic::on_unimplemented(message = "a plugin needs a `topic` and a `handler`")]
pub trait Declared {
    #[doc(hidden)]
    fn describe(&self) -> Description;

    #[doc(hidden)]
    fn handle(&self, batch: &[Message]) -> Vec<messages::Outcome>;
}

impl<F: Handler<Input>, Input> Declared for Plugin<&'static str, Handling<F, Input>> {
    fn describe(&self) -> Description {
        let or = |given: Option<&str>, name: &str, suffix: &str| match given {
            Some(given) => given.to_owned(),
            None => [name, suffix].concat(),
        };
        let max_batch = self.max_batch.map(|messages| ("max-batch".to_owned(), messages.to_string()));
        Description {
            name: self.name.to_owned(),
            version: self.version.to_owned(),
            summary: self.summary.to_owned(),
            subscription: Subscription {
                topic: self.topic.to_owned(),
                group: or(self.group, self.name, "-group"),
                dead_letter_topic: or(self.dead_letter_topic, self.topic, ".dlt"),
                retry: self.retry.unwrap_or_default().lower(),
            },
            attributes: max_batch.into_iter().collect(),
        }
    }

    fn handle(&self, batch: &[Message]) -> Vec<messages::Outcome> {
        batch.iter().map(|message| lower(self.handler.0.handle(message))).collect()
    }
}

/// Declares the plugin of a crate. `topic` and `handler` are required, everything else has a default:
///
/// ```
/// use kafka_host_plugin::{Message, Result, RetryPolicy, plugin};
///
/// fn handle(order: serde_json::Value, message: &Message) -> Result<()> {
///     Ok(())
/// }
///
/// plugin! {
///     name: "orders",                                        // that of the crate
///     version: "1.0.0",                                      // that of the crate
///     summary: "Handles orders",                             // the `description` of the crate
///     topic: "orders.created",
///     group: "order-group",                                  // <name>-group
///     dead_letter_topic: "orders.dead",                      // <topic>.dlt
///     retry: RetryPolicy { retries: 3, ..Default::default() }, // 5 retries after 1 s, 2 s, 4 s, 8 s, 16 s
///     max_batch: 100,                                        // 1
///     handler: handle,
/// }
/// ```
///
/// The comments have the defaults. `handler` is a [`Handler`](crate::Handler), and each key a method of
/// [`Plugin`](crate::Plugin). The host's configuration may name another topic, group and policy.
///
/// A plugin without a topic or a handler does not compile:
///
/// ```compile_fail
/// kafka_host_plugin::plugin! { topic: "orders" }
/// ```
#[macro_export]
macro_rules! plugin {
    ($($key:ident: $value:expr),* $(,)?) => {
        const _: () = {
            struct Component;

            fn plugin() -> impl $crate::Declared {
                $crate::Plugin::new(
                    ::core::env!("CARGO_PKG_NAME"),
                    ::core::env!("CARGO_PKG_VERSION"),
                    ::core::env!("CARGO_PKG_DESCRIPTION"),
                )$(.$key($value))*
            }

            impl $crate::bindings::exports::kafka_host::plugin::lifecycle::Guest for Component {
                fn describe() -> $crate::bindings::exports::kafka_host::plugin::lifecycle::Description {
                    $crate::Declared::describe(&plugin())
                }
            }

            impl $crate::bindings::exports::kafka_host::plugin::handler::Guest for Component {
                fn handle(
                    batch: ::std::vec::Vec<$crate::Message>,
                ) -> ::std::vec::Vec<$crate::bindings::exports::kafka_host::plugin::handler::Outcome> {
                    $crate::Declared::handle(&plugin(), &batch)
                }
            }

            $crate::bindings::export!(Component with_types_in $crate::bindings);
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::message;

    #[test]
    fn all_but_topic_and_handler_has_defaults() {
        let plugin = Plugin::new("greeter", "1.2.3", "Greets").topic("greetings").handler(|_: u8| ());
        let description = plugin.describe();
        assert_eq!((&*description.name, &*description.version), ("greeter", "1.2.3"));
        assert_eq!((&*description.summary, description.attributes), ("Greets", vec![]));
        let Subscription { topic, group, dead_letter_topic, retry } = description.subscription;
        assert_eq!((&*topic, &*group, &*dead_letter_topic), ("greetings", "greeter-group", "greetings.dlt"));
        let defaults = lifecycle::RetryPolicy {
            retries: 5,
            delay_ms: 1000,
            multiplier: 2.0,
            max_delay_ms: 3_600_000,
            jitter: 0.0,
            max_age_ms: 86_400_000,
        };
        assert_eq!(retry, defaults);
    }

    #[test]
    fn everything_can_be_declared() {
        let retry = RetryPolicy { retries: 1, delay: Duration::MAX, ..RetryPolicy::default() };
        let plugin = Plugin::new("a", "1", "")
            .handler(|_: u8| ())
            .topic("t")
            .name("n")
            .version("2")
            .summary("s")
            .group("g")
            .dead_letter_topic("d")
            .retry(retry)
            .max_batch(64);
        let description = plugin.describe();
        let texts = [&description.name, &description.version, &description.summary].map(String::as_str);
        assert_eq!(texts, ["n", "2", "s"]);
        let subscription = description.subscription;
        let topics = [&subscription.topic, &subscription.group, &subscription.dead_letter_topic];
        assert_eq!(topics, ["t", "g", "d"]);
        assert_eq!((subscription.retry.retries, subscription.retry.delay_ms), (1, u64::MAX));
        assert_eq!(description.attributes, [("max-batch".to_owned(), "64".to_owned())]);
    }

    #[test]
    fn each_message_of_a_batch_has_its_outcome() {
        let plugin = Plugin::new("n", "1", "").topic("t").handler(|_: u8| ());
        let outcomes = plugin.handle(&[message(&1), message("x"), message(&2)]);
        let [messages::Outcome::Done(_), messages::Outcome::Reject(_), messages::Outcome::Done(_)] =
            &outcomes[..]
        else {
            panic!("{outcomes:?}")
        };
    }
}
