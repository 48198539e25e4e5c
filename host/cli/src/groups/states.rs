//! What a running host says about its partitions of a consumer group. Kafka does not know it.

use std::collections::HashMap;
use std::time::Duration;

use base::error::UserError;
use desk_api::{Page, PartitionOverview};
use serde::Serialize;

use desk_cli::dlt::client::{ApiArgs, Client};

/// The maximum time for the host's answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The state of a partition in its host.
#[derive(Debug, Clone, Serialize)]
pub struct State {
    pub state: &'static str,
    pub reason: Option<String>,
    pub since_ms: Option<i64>,
    pub in_progress: u64,
    pub held_keys: u64,
}

/// The states of a host's partitions.
#[derive(Debug, Default)]
pub struct States(HashMap<(String, i32, String), State>);

impl States {
    /// Asks a running host.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub async fn fetch(args: &ApiArgs) -> Result<Self, UserError> {
        let client = Client::new(args)?;
        let answer = tokio::time::timeout(TIMEOUT, client.get("/partitions", &[])).await;
        let page: Page<PartitionOverview> = answer.unwrap_or_else(|_| {
            let seconds = TIMEOUT.as_secs();
            let what = format!("the host does not answer within {seconds} s");
            Err(UserError::unavailable(what).help("use another address: --api URL, or HOST_API"))
        })?;
        Ok(Self(page.items.into_iter().filter_map(entry).collect()))
    }

    /// The state of a partition that is assigned to this member.
    pub fn of(&self, topic: &str, partition: i32, member: &str) -> Option<State> {
        self.0.get(&(topic.to_owned(), partition, member.to_owned())).cloned()
    }
}

/// Hosts of another Kafka have other members, even if their groups and topics have the same names.
fn entry(it: PartitionOverview) -> Option<((String, i32, String), State)> {
    let PartitionOverview { reason, since_ms, in_progress, held_keys, .. } = it;
    let state = State { state: it.state.as_str(), reason, since_ms, in_progress, held_keys };
    Some(((it.topic, it.partition, it.member?), state))
}
