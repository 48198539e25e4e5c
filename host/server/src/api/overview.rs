//! `/overview`

use axum::Json;
use axum::extract::RawQuery;
use desk_api::{DeadLetterState, DestinationOverview, Filter, Overview, PluginOverview};
use problem::Problem;

use super::plugins::intake;
use super::query::Query;
use super::store_unavailable;
use crate::metrics::Tally;
use crate::{DeskState, PluginInfo, partitions};

/// Returns the state of the plugins and the number of open dead letters.
#[utoipa::path(get, path = "/overview", tag = "overview", operation_id = "show_overview",
    responses((status = OK, body = Overview)))]
pub async fn show(state: DeskState, RawQuery(query): RawQuery) -> Result<Json<Overview>, Problem> {
    Query::read(query.as_deref(), &[])?;
    overview(&state).await.map(Json).map_err(store_unavailable)
}

/// The current overview.
///
/// # Errors
/// The store is unavailable.
pub async fn overview(state: &DeskState) -> sqlx::Result<Overview> {
    let open = Filter { state: Some(DeadLetterState::Open), ..Filter::default() };
    let open_dead_letters = state.desk.count(&open).await?;
    let tally = Tally::now();
    let plugins = state.plugins.iter().map(|plugin| plugin_overview(plugin, state, &tally)).collect();
    let destinations = state.destinations.all();
    let destinations = destinations.iter().map(|one| destination_overview(one.status())).collect();
    Ok(Overview { plugins, open_dead_letters, destinations })
}

fn destination_overview(status: destinations::Status) -> DestinationOverview {
    let destinations::Status { name, in_use, waiting, limit, learned, outage } = status;
    let (outage_since_ms, outage_reason) = outage.unzip();
    DestinationOverview {
        destination: name.to_string(),
        outage_since_ms,
        outage_reason,
        in_use: in_use as u64,
        waiting: waiting as u64,
        limit: limit as u64,
        learned_limit: learned.map(|limit| limit as u64),
    }
}

pub(super) fn plugin_overview(plugin: &PluginInfo, state: &DeskState, tally: &Tally) -> PluginOverview {
    let PluginInfo { name, label, topic, group, .. } = plugin;
    PluginOverview {
        name: name.to_string(),
        intake: intake(state, name),
        plugin: label.clone(),
        topic: topic.clone(),
        group: group.clone(),
        done: ["done", "skipped"].into_iter().map(|outcome| tally.messages(name, outcome)).sum(),
        failed: tally.failures(name),
        dead_letters: tally.messages(name, "dead"),
        retry_waiting: partitions::waiting(&state.members, plugin),
        lag: partitions::lag(&state.members, group, topic),
    }
}
