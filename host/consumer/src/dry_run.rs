//! Calls of a plugin that send nothing: whatever it would do is captured.
//!
//! A dry run has no mail server, no HTTP client and no store: [`Outside::Captured`] holds none of them.
//! What the plugin asks for is checked as it is in earnest: grants, limits, and whether an e-mail can
//! be written at all. What only a server or a name's addresses could say is not known.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::error::UserError;
use contract::{Header, Message, Outcome};
use kafka::headers::{self, Origin};
use kafka::raw::TimestampType;
use sandbox::Plugin;
use sandbox::call::Outside;
use sandbox::capture::{Answers, Capture, Captured, Line, Seen};
use sandbox::cause::Cause;
use sandbox::engine::Engines;
use sandbox::file::PluginFile;
use sandbox::output::{At, Place};
use settings::PluginSettings;

use crate::{Subscriber, Subscription};

/// A plugin whose calls send nothing.
pub struct DryRun(Subscriber);

/// A message that did not come from Kafka just now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Input {
    /// None: the sender's in its headers, else the one it would have by its place.
    pub id: Option<String>,
    /// Where it was first published.
    pub topic: String,
    /// The partition there.
    pub partition: i32,
    /// The offset there.
    pub offset: i64,
    /// Milliseconds since the Unix epoch.
    pub timestamp: Option<i64>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// None is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The sender's headers: names and values.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The number of the delivery, from 1.
    pub attempt: u32,
}

/// What came of a call.
pub struct Run {
    /// As [`Plugin::handle`] has it; see [`Cause::of`] for what failed.
    pub outcome: Result<Outcome, Cause>,
    /// What it would have done, in order.
    pub effects: Vec<Captured>,
    /// How many more effects there were no room for.
    pub left_out: usize,
    /// What it logged and printed.
    pub log: Vec<Line>,
    /// The whole call, with making its instance.
    pub took: Duration,
    /// What the instance held at the end, in bytes.
    pub memory: usize,
}

impl DryRun {
    /// Loads a plugin as it would run. `answers` are for [`Outside::Captured`].
    ///
    /// # Errors
    /// See [`Subscriber::load`].
    pub async fn load(
        path: &Path,
        settings: Option<&PluginSettings>,
        engines: &Engines,
        answers: Answers,
    ) -> Result<Self, UserError> {
        Self::of(PluginFile::read(path, engines)?, |_| settings, answers).await
    }

    /// Loads a file that was read. Its settings are looked up by the plugin's own name.
    ///
    /// # Errors
    /// See [`Subscriber::of`].
    pub async fn of<'a>(
        file: PluginFile,
        settings: impl FnOnce(&str) -> Option<&'a PluginSettings>,
        answers: Answers,
    ) -> Result<Self, UserError> {
        let outside = Outside::Captured(Arc::new(answers));
        Subscriber::of(file, settings, outside).await.map(Self)
    }

    /// What is called.
    pub fn plugin(&self) -> &Plugin {
        &self.0.plugin
    }

    /// What it subscribes to.
    pub fn subscription(&self) -> &Subscription {
        &self.0.subscription
    }

    /// Calls it with one message; several calls may be under way.
    pub async fn call(&self, input: &Input) -> Run {
        let capture = Arc::new(Capture::default());
        let place = Place { plugin: Arc::clone(&self.0.plugin.name), at: At::Captured(Arc::clone(&capture)) };
        let names: Vec<_> = input.headers.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
        let headers: Vec<_> = names
            .iter()
            .zip(&input.headers)
            .map(|(name, (_, value))| Header { key: name, value: value.as_deref() })
            .collect();
        let id = input.id();
        let message = Message {
            id: &id,
            topic: &input.topic,
            partition: input.partition.cast_unsigned(),
            offset: input.offset.cast_unsigned(),
            timestamp_ms: input.timestamp.map_or(0, |millis| millis.max(0).cast_unsigned()),
            key: input.key.as_deref(),
            value: input.value.as_deref(),
            headers,
            attempt: input.attempt,
            max_attempts: self.0.subscription.policy.max_attempts().max(input.attempt),
        };
        let began = Instant::now();
        let outcome = self.0.handle(message, place).await;
        let took = began.elapsed();
        let Seen { effects, left_out, log, memory, .. } = capture.take();
        Run { outcome, effects, left_out, log, took, memory }
    }
}

impl Input {
    /// The id that the plugin is told.
    pub fn id(&self) -> String {
        let timestamp = self.timestamp.map(|millis| (millis, TimestampType::CreateTime));
        let Self { topic, partition, offset, .. } = self;
        let origin = Origin { topic, partition: *partition, offset: *offset, timestamp };
        let headers = self.headers.iter().map(|(name, value)| (name.as_slice(), value.as_deref()));
        self.id.clone().unwrap_or_else(|| headers::id(headers, &origin).into_owned())
    }
}
