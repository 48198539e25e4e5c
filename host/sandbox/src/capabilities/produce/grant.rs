//! The grant of `produce`: the topics of one plugin.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::Arc;

use destinations::{Destination, Options};
use kafka::publisher::RecordPublisher;

use crate::call::Services;
use crate::capabilities::Grant;

/// The maximum number of records of a topic that were handed over and are not acknowledged.
const MAX_IN_PROGRESS: usize = 64;
/// Kafka takes any number of records at a time, and says so itself if a topic does not work: one failure is enough.
const OPTIONS: Options = Options { max: MAX_IN_PROGRESS, per_minute: None, breaker: Some(1) };

/// Permission to publish to topics.
#[derive(Debug)]
pub struct ProduceGrant {
    /// By name. None in a dry run, which has nothing to publish with.
    topics: BTreeMap<String, Option<Arc<Topic>>>,
}

/// A topic to publish to.
#[derive(Debug)]
pub struct Topic {
    /// Its name.
    pub name: CString,
    /// What waits for it, and whether it works.
    pub destination: Arc<Destination>,
    /// Publishes to it.
    pub publisher: Arc<RecordPublisher>,
}

impl ProduceGrant {
    /// The grant of these topics, whose names are valid.
    pub(super) fn new(topics: &[&str], services: Option<&Services>) -> Self {
        let access = |name: &str| {
            let services = services?;
            let publisher = Arc::clone(services.shared.get::<Arc<RecordPublisher>>()?);
            // All plugins have the same options.
            let destination =
                services.destinations.get_or_add(&format!("topic {name}"), None, OPTIONS).ok()?;
            Some(Arc::new(Topic { name: CString::new(name).ok()?, destination, publisher }))
        };
        Self { topics: topics.iter().map(|name| ((*name).to_owned(), access(name))).collect() }
    }

    /// The topic with this name, if it is granted.
    pub(super) fn topic(&self, name: &str) -> Option<&Option<Arc<Topic>>> {
        self.topics.get(name)
    }
}

impl Grant for ProduceGrant {
    fn has_effects(&self) -> bool {
        self.topics.values().any(Option::is_some)
    }

    fn summary(&self) -> String {
        let names: Vec<&str> = self.topics.keys().map(String::as_str).collect();
        format!("may publish to {}", names.join(", "))
    }
}
