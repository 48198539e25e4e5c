//! The capability `produce`: records to granted topics of the host's Kafka.

mod bindings;
mod capture;
mod grant;
mod meaning;
mod metrics;
mod publish;

use std::sync::Arc;

use ::settings::{Allow, AllowEntry, Extension, PluginSettings, RunArgs, SizeLimit};
use base::error::UserError;
use base::topic_name::{MAX_TOPIC_NAME, is_topic, owner};
use wasmtime::component::{HasSelf, Linker};

use self::bindings::kafka_host::plugin::produce;
pub use self::capture::CapturedRecord;
pub use self::grant::ProduceGrant;
pub use self::publish::MAX_RECORDS;
use super::{Capability, Grant, GrantRequest};
use crate::call::Call;
use crate::capture::Effect;

const NAME: &str = "produce";
const PREFIX: &str = "produce:";

/// The maximum size of the records of one `publish`.
static MAX_SIZE: &SizeLimit = &SETTINGS.limits[0];

static SETTINGS: Extension = Extension {
    allow: &[AllowEntry {
        form: "`produce:TOPIC`",
        about: "`produce:TOPIC`: publishing records to this topic.",
        example: "produce:orders.enriched",
        grants: true,
        matches: |text| text.starts_with(PREFIX),
        parse: |text| topic(text).map(|topic| format!("{PREFIX}{topic}")),
    }],
    section: None,
    limits: &[SizeLimit {
        key: NAME,
        about: "The records of one `publish` together: keys, values and headers",
        default: 4 << 20,
        code: "produce-too-large",
        detail: "the records of one `publish` have more than",
        in_one_call: true,
    }],
};

/// The capability `produce`.
pub struct Produce;

impl Capability for Produce {
    fn name(&self) -> &'static str {
        NAME
    }

    fn imports(&self) -> &'static [&'static str] {
        &["kafka-host:plugin/produce@0.2."]
    }

    fn link(&self, linker: &mut Linker<Call>) -> wasmtime::Result<()> {
        produce::add_to_linker::<Call, HasSelf<Call>>(linker, |call| call)
    }

    fn permits_reset(&self) -> bool {
        true
    }

    fn settings(&self) -> &'static Extension {
        &SETTINGS
    }

    fn grant(&self, request: &GrantRequest<'_>) -> Result<Option<Arc<dyn Grant>>, UserError> {
        if request.allow.is_empty() {
            return Ok(None);
        }
        let topics = request.allow.iter().map(|entry| topic(entry)).collect::<Result<Vec<_>, _>>();
        let topics = topics.map_err(UserError::usage)?;
        Ok(Some(Arc::new(ProduceGrant::new(&topics, request.services))))
    }

    fn effect(&self, json: serde_json::Value) -> serde_json::Result<Arc<dyn Effect>> {
        Ok(Arc::new(serde_json::from_value::<CapturedRecord>(json)?))
    }

    fn not_granted(&self) -> &'static str {
        "publishing is not granted: there is no `produce:TOPIC` in its `allow`"
    }

    fn warning(&self, is_granted: bool, _: &RunArgs) -> Option<String> {
        let text = "it imports `produce`, which is not granted: each record is denied; add `produce:TOPIC` to \
                    the `allow` of its [[plugin]]";
        (!is_granted).then(|| text.to_owned())
    }

    fn describe_metrics(&self) {
        metrics::describe();
    }
}

/// The topics to which these settings permit a plugin to publish.
pub fn topics(settings: Option<&PluginSettings>) -> Vec<String> {
    let allow = settings.map(|settings| settings.allow.as_slice()).unwrap_or_default();
    let entries = allow.iter().filter_map(|entry| match entry {
        Allow::Capability(text) => text.strip_prefix(PREFIX),
        Allow::Env(_) | Allow::Directory(_) => None,
    });
    entries.map(str::to_owned).collect()
}

/// Reads `produce:TOPIC`.
fn topic(text: &str) -> Result<&str, String> {
    let topic = text.strip_prefix(PREFIX).unwrap_or(text);
    if topic.contains(['*', '?']) {
        return Err(format!("{text}: there are no wildcards; list each topic"));
    }
    if !is_topic(topic) {
        return Err(format!(
            "{text}: {topic:?} is not a topic name (1 to {MAX_TOPIC_NAME} of a-z A-Z 0-9 . _ -)"
        ));
    }
    match owner(topic) {
        Some(owner) => Err(format!("{text}: only {owner} publishes to topics with such a name")),
        None => Ok(topic),
    }
}

#[cfg(test)]
mod tests {
    use ::settings::Sections;

    use super::*;

    fn granted(allow: &[&'static str]) -> Result<Option<Arc<dyn Grant>>, UserError> {
        Produce.grant(&GrantRequest { allow: allow.to_vec(), sections: &Sections::default(), services: None })
    }

    #[test]
    fn nothing_is_granted_without_an_entry() {
        assert!(granted(&[]).expect("possible").is_none());
        let grant = granted(&["produce:b", "produce:a"]).expect("possible").expect("a grant");
        assert!(!grant.has_effects(), "without services");
        assert_eq!(grant.summary(), "may publish to a, b");
    }

    #[test]
    fn entries_that_are_no_topic_of_plugins_are_refused() {
        for (entry, why) in [
            ("produce:", "is not a topic name"),
            ("produce:a b", "is not a topic name"),
            ("produce:..", "is not a topic name"),
            ("produce:orders.*", "no wildcards"),
            ("produce:*", "no wildcards"),
            ("produce:orders-held", "only the host publishes"),
            ("produce:orders-waiting", "only the host publishes"),
            ("produce:__consumer_offsets", "only Kafka publishes"),
        ] {
            let refused = (SETTINGS.allow[0].parse)(entry).expect_err(entry);
            assert!(refused.contains(why), "{refused}");
            assert!(granted(&[entry]).is_err(), "{entry}");
        }
        assert_eq!((SETTINGS.allow[0].parse)("produce:a.b_c-9"), Ok("produce:a.b_c-9".to_owned()));
    }
}
