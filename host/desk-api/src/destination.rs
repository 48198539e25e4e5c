//! Destinations in `GET /overview`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A place that effects go to, a mail server or the server of a URL, as this process knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DestinationOverview {
    /// Its URL, after its name if it has one.
    pub destination: String,
    /// Since when it has not worked; null if it works, as far as is known.
    pub outage_since_ms: Option<i64>,
    /// The latest failure of the outage.
    pub outage_reason: Option<String>,
    /// Connections or requests in progress.
    pub in_use: u64,
    /// Effects that wait: for the end of an outage, for room, or for the rate.
    pub waiting: u64,
    /// The number of connections or requests that may be in progress at the same time now.
    pub limit: u64,
    /// The limit that it has taught by its refusals; null if it takes the configured maximum.
    pub learned_limit: Option<u64>,
}
