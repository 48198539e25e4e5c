//! `/health`, `/history`, `/topics`, `/groups` and `/settings`: what this process is and does.

use axum::Json;
use axum::extract::{RawQuery, State};
use desk_api::{GroupOverview, Health, Page, PluginHistory, SettingTable, TopicOverview};
use problem::Problem;

use super::query::Query;
use crate::{DeskState, Status, health, topics};

/// Returns the state of Kafka, the store, each destination, each consumer group, and of what waits. Answers before the
/// host has started, too.
#[utoipa::path(get, path = "/health", tag = "overview", operation_id = "show_health",
    responses((status = OK, body = Health)))]
pub async fn show(State(status): State<Status>, RawQuery(query): RawQuery) -> Result<Json<Health>, Problem> {
    Query::read(query.as_deref(), &[])?;
    Ok(Json(health::of(&status)))
}

/// Returns what each plugin did in the last hour and the last day: rate, failures, waiting retries and lag.
#[utoipa::path(get, path = "/history", tag = "overview", operation_id = "show_history",
    responses((status = OK, body = Page<PluginHistory>)))]
pub async fn history(
    state: DeskState,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<PluginHistory>>, Problem> {
    Query::read(query.as_deref(), &[])?;
    Ok(Json(Page::single(state.history.list())))
}

/// Lists the topics of the plugins, with their retention and the retention that they need.
#[utoipa::path(get, path = "/topics", tag = "topics", operation_id = "list_topics",
    responses((status = OK, body = Page<TopicOverview>)))]
pub async fn topics(
    state: DeskState,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<TopicOverview>>, Problem> {
    Query::read(query.as_deref(), &[])?;
    Ok(Json(Page::single(topics::topics(&state))))
}

/// Lists the consumer groups of the plugins with their members on all hosts. Waits for Kafka for up to half a second.
#[utoipa::path(get, path = "/groups", tag = "topics", operation_id = "list_groups",
    responses((status = OK, body = Page<GroupOverview>)))]
pub async fn groups(
    state: DeskState,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<GroupOverview>>, Problem> {
    Query::read(query.as_deref(), &[])?;
    Ok(Json(Page::single(topics::groups(&state).await)))
}

/// Lists the effective configuration by tables, as `host config show` prints it: secrets are masked.
#[utoipa::path(get, path = "/settings", tag = "settings", operation_id = "list_settings",
    responses((status = OK, body = Page<SettingTable>)))]
pub async fn settings(
    state: DeskState,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<SettingTable>>, Problem> {
    Query::read(query.as_deref(), &[])?;
    Ok(Json(Page::single(state.settings.to_vec())))
}
