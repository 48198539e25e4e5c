//! `/alerts/test`

use axum::Json;
use axum::http::StatusCode;
use desk_api::{AlertTest, ChannelResult};
use problem::Problem;

use crate::DeskState;

/// Sends a test alert to every configured channel.
#[utoipa::path(post, path = "/alerts/test", tag = "alerts", operation_id = "test_alerts",
    responses((status = OK, body = AlertTest)))]
pub async fn test(state: DeskState) -> Result<Json<AlertTest>, Problem> {
    let Some(alerts) = &state.alerts else {
        let detail = "no alerts are configured: set webhook or mail-to in [alerts], docs/guides/alerts.md";
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    };
    let channels = alerts.channels().test().await.into_iter().map(|(channel, result)| ChannelResult {
        channel: channel.to_owned(),
        accepted: result.is_ok(),
        error: result.err().map(|rejection| rejection.reason).unwrap_or_default(),
    });
    Ok(Json(AlertTest { channels: channels.collect() }))
}
