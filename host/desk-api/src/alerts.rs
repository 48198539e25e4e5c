//! `POST /alerts/test`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The result of a test alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AlertTest {
    /// A result per configured channel.
    pub channels: Vec<ChannelResult>,
}

/// The result of a test alert on one channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChannelResult {
    /// `webhook` or `mail`.
    pub channel: String,
    /// Whether the channel accepted the alert.
    pub accepted: bool,
    /// The reason why it was not accepted; empty otherwise.
    pub error: String,
}
