//! Dry runs: the effects and the output of a call are captured; nothing is performed.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use base::text;
use http::Extensions;
use parking_lot::Mutex;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use tracing::Level;

use crate::capabilities;

/// The maximum size of the captured effects of one call, in bytes. Further effects are only counted.
const MAX_EFFECTS: usize = 16 << 20;

/// The responses of capabilities in a dry run, each by a type of the capability, such as
/// [`crate::capabilities::http::Responses`].
pub type Answers = Extensions;

/// An effect as a dry run captures it. Its JSON is part of the HTTP API and of `host plugin invoke -o json`.
pub trait Effect: Any + Debug + erased_serde::Serialize + Send + Sync {
    /// Its kind in a summary: `e-mail`, or `POST https://api.example.com`.
    fn summary(&self) -> String;

    /// The effect as text: a title and lines of detail, made with [`crate::wording`].
    fn lines(&self) -> Vec<String>;

    /// Its approximate size in memory, in bytes.
    fn size(&self) -> usize;
}

erased_serde::serialize_trait_object!(Effect);

/// A captured effect of some capability.
#[derive(Debug, Clone)]
pub struct Captured {
    kind: &'static str,
    effect: Arc<dyn Effect>,
}

impl Captured {
    /// An effect of the capability with this name.
    pub fn new(kind: &'static str, effect: Arc<dyn Effect>) -> Self {
        Self { kind, effect }
    }

    /// The effect, if it has this type.
    pub fn get<T: Effect>(&self) -> Option<&T> {
        (&*self.effect as &dyn Any).downcast_ref()
    }

    /// See [`Effect::summary`].
    pub fn summary(&self) -> String {
        self.effect.summary()
    }

    /// See [`Effect::lines`].
    pub fn lines(&self) -> Vec<String> {
        self.effect.lines()
    }

    /// See [`Effect::size`].
    pub fn size(&self) -> usize {
        self.effect.size()
    }
}

/// `kind` is the name of the capability. The other fields are those of the effect.
impl Serialize for Captured {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Tagged<'a> {
            kind: &'static str,
            #[serde(flatten)]
            effect: &'a dyn Effect,
        }
        Tagged { kind: self.kind, effect: &*self.effect }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Captured {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Value::deserialize(deserializer)?;
        let kind = json["kind"].as_str().unwrap_or_default();
        let capability = capabilities::ALL.iter().find(|capability| capability.name() == kind);
        let capability =
            capability.ok_or_else(|| D::Error::custom(format!("unknown kind of effect {kind:?}")))?;
        capability.effect(json).map(|effect| Self::new(capability.name(), effect)).map_err(D::Error::custom)
    }
}

/// An effect in JSON as lines for people; as its JSON if no capability of this host has the kind.
pub fn lines(json: &Value) -> Vec<String> {
    match Captured::deserialize(json) {
        Ok(captured) => captured.lines(),
        Err(_) => vec![text::line(json.to_string().as_bytes())],
    }
}

/// Effects are equal if their JSON is.
impl PartialEq for Captured {
    fn eq(&self, other: &Self) -> bool {
        let json = |captured: &Self| serde_json::to_value(captured).ok();
        json(self).is_some_and(|json_of_self| Some(json_of_self) == json(other))
    }
}

impl Eq for Captured {}

/// A line that a plugin logged or printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its log level.
    #[serde(serialize_with = "name")]
    pub level: Level,
    /// Without control characters.
    pub text: String,
}

fn name<S: Serializer>(level: &Level, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&level.as_str().to_ascii_lowercase())
}

/// The capture of one call.
#[derive(Debug, Default)]
pub struct Capture(Mutex<CapturedCall>);

/// The captured effects and output of a call.
#[derive(Debug, Default)]
pub struct CapturedCall {
    /// In the order of their requests.
    pub effects: Vec<Captured>,
    /// The number of effects beyond the maximum size.
    pub left_out: usize,
    /// In order.
    pub log: Vec<Line>,
    /// The size of the instance's memory at the end, in bytes.
    pub memory: usize,
    /// The size of the effects, in bytes.
    size: usize,
}

impl Capture {
    /// Takes everything captured so far.
    pub fn take(&self) -> CapturedCall {
        std::mem::take(&mut self.0.lock())
    }

    /// Captures an effect of the capability with this name.
    pub fn effect(&self, kind: &'static str, effect: Arc<dyn Effect>) {
        let captured = &mut *self.0.lock();
        let size = captured.size.saturating_add(effect.size());
        if size > MAX_EFFECTS {
            captured.left_out += 1;
            return;
        }
        captured.size = size;
        captured.effects.push(Captured::new(kind, effect));
    }

    pub(super) fn line(&self, level: Level, text: &str) {
        self.0.lock().log.push(Line { level, text: text.to_owned() });
    }

    pub(super) fn memory(&self, memory: usize) {
        self.0.lock().memory = memory;
    }
}

/// The approximate size of pairs of texts, in bytes.
pub fn size_of_pairs(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(name, value)| name.len() + value.len() + 64).sum()
}

/// The approximate size of texts, in bytes.
pub fn size_of_texts(texts: &[String]) -> usize {
    texts.iter().map(|text| text.len() + 32).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::ping::Pinged;

    #[test]
    fn captured_effects_have_a_maximum_size() {
        let capture = Capture::default();
        for _ in 0..100 {
            capture.effect("ping", Arc::new(Pinged { to: "x".repeat(1 << 20) }));
        }
        let captured = capture.take();
        assert_eq!((captured.effects.len(), captured.left_out), (15, 85));
        assert_eq!(capture.take().effects, []);
    }

    #[test]
    fn effects_can_be_written_and_read() {
        let captured = Captured::new("ping", Arc::new(Pinged { to: "a".into() }));
        let text = serde_json::to_string(&captured).expect("JSON");
        assert_eq!(text, r#"{"kind":"ping","to":"a"}"#);
        assert_eq!(serde_json::from_str::<Captured>(&text).expect("an effect"), captured);
        for wrong in [r#"{"kind":"pong"}"#, r#"{"kind":"ping"}"#, "{}", "1"] {
            assert!(serde_json::from_str::<Captured>(wrong).is_err(), "{wrong}");
        }
    }
}
