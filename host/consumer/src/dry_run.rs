//! Dry runs: calls whose effects are captured and not sent.
//!
//! A dry run has no mail server, no HTTP client and no store, since [`Outside::Captured`] contains none of
//! them. Effects are checked as in production: grants, limits, and whether an e-mail can be composed. Errors
//! that depend on a server or on name resolution do not occur.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::error::UserError;
use contract::Outcome;
use kafka::headers::{self, Origin};
use kafka::raw::TimestampType;
use sandbox::Plugin;
use sandbox::call::Outside;
use sandbox::capture::{Canned, Capture, Captured, Line, Seen};
use sandbox::cause::Cause;
use sandbox::engine::Engines;
use sandbox::file::PluginFile;
use sandbox::output::{At, Place};
use settings::PluginSettings;

use crate::message::{Record, named};
use crate::{Subscriber, Subscription};

/// A plugin whose effects are captured.
pub struct DryRun(Subscriber);

/// A message for a dry run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Input {
    /// The message's id; None for the id from its headers or its origin.
    pub id: Option<String>,
    /// The topic to which it was originally published.
    pub topic: String,
    /// The partition in that topic.
    pub partition: i32,
    /// The offset in that partition.
    pub offset: i64,
    /// The timestamp in milliseconds since the Unix epoch.
    pub timestamp: Option<i64>,
    /// The key; None is a null key.
    pub key: Option<Vec<u8>>,
    /// The value; None is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The sender's headers: names and values.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The number of the delivery, from 1.
    pub attempt: u32,
}

/// The result of a call.
pub struct Run {
    /// The result of [`Plugin::handle`]; see [`Cause::of`] for failures.
    pub outcome: Result<Outcome, Cause>,
    /// The captured effects, in order.
    pub effects: Vec<Captured>,
    /// The number of further effects that were not captured.
    pub left_out: usize,
    /// The lines that it logged and printed.
    pub log: Vec<Line>,
    /// The duration of the call, including the creation of the instance.
    pub took: Duration,
    /// The memory of the instance after the call, in bytes.
    pub memory: usize,
}

impl DryRun {
    /// Loads a plugin as it would run, with `answer` for each of its requests.
    ///
    /// # Errors
    /// See [`Subscriber::load`].
    pub async fn load(
        path: &Path,
        settings: Option<&PluginSettings>,
        engines: &Engines,
        answer: Canned,
    ) -> Result<Self, UserError> {
        Self::of(PluginFile::read(path, engines)?, |_| settings, answer).await
    }

    /// Likewise, of a file that was read; `settings` are looked up by the name that the plugin gives itself.
    ///
    /// # Errors
    /// See [`Subscriber::of`].
    pub async fn of<'a>(
        file: PluginFile,
        settings: impl FnOnce(&str) -> Option<&'a PluginSettings>,
        answer: Canned,
    ) -> Result<Self, UserError> {
        let outside = Outside::Captured(Arc::new(answer));
        Subscriber::of(file, settings, outside).await.map(Self)
    }

    /// The plugin.
    pub fn plugin(&self) -> &Plugin {
        &self.0.plugin
    }

    /// The plugin's subscription.
    pub fn subscription(&self) -> &Subscription {
        &self.0.subscription
    }

    /// Calls the plugin with one message. Calls may run concurrently.
    pub async fn call(&self, input: &Input) -> Run {
        let capture = Arc::new(Capture::default());
        let place = Place { plugin: Arc::clone(&self.0.plugin.name), at: At::Captured(Arc::clone(&capture)) };
        let record = Record {
            id: &input.id(),
            origin: input.origin(),
            key: input.key.as_deref(),
            value: input.value.as_deref(),
            headers: &named(input.headers()),
            attempt: input.attempt,
        };
        let message = record.message(&self.0.subscription.policy);
        let started = Instant::now();
        let outcome = self.0.handle(message, place).await;
        let took = started.elapsed();
        let Seen { effects, left_out, log, memory, .. } = capture.take();
        Run { outcome, effects, left_out, log, took, memory }
    }
}

impl Input {
    /// The message's id.
    pub fn id(&self) -> String {
        let from_record = || headers::id(self.headers(), &self.origin()).into_owned();
        self.id.clone().unwrap_or_else(from_record)
    }

    fn headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref()))
    }

    fn origin(&self) -> Origin<'_> {
        let timestamp = self.timestamp.map(|millis| (millis, TimestampType::CreateTime));
        Origin { topic: &self.topic, partition: self.partition, offset: self.offset, timestamp }
    }
}
