//! `/alerts/test`: whether alerts arrive.

use axum::Json;
use axum::http::StatusCode;
use problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::request::Open;

/// What a channel said to a test.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ChannelAnswer {
    /// `webhook` or `mail`.
    pub channel: String,
    /// Whether it took it.
    pub taken: bool,
    /// What it said against it, or empty.
    pub why: String,
}

/// What the channels said to a test.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Tested {
    /// Each of them.
    pub channels: Vec<ChannelAnswer>,
}

/// Sends a test over every channel of alerts.
#[utoipa::path(post, path = "/alerts/test", tag = "alerts", operation_id = "test_alerts",
    responses((status = OK, body = Tested)))]
pub async fn test(Open(office): Open) -> Result<Json<Tested>, Problem> {
    let Some(alerts) = &office.alerts else {
        let detail = "no alerts are configured: [alerts] webhook or mail-to, docs/guides/alerts.md";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    };
    let channels = alerts.channels().test().await.into_iter().map(|(channel, answer)| ChannelAnswer {
        channel: channel.to_owned(),
        taken: answer.is_ok(),
        why: answer.err().map(|refused| refused.what).unwrap_or_default(),
    });
    Ok(Json(Tested { channels: channels.collect() }))
}
