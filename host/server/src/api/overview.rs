//! `/overview`: how the plugins stand.

use axum::Json;
use axum::extract::RawQuery;
use desk::{Filter, State};
use problem::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::away;
use super::query::Query;
use super::request::Open;
use crate::Office;
use crate::metrics::Tally;

/// How the host stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Overview {
    /// One entry a plugin.
    pub plugins: Vec<PluginOverview>,
    /// Letters that are open, of all topics.
    pub open_letters: u64,
}

/// How a plugin stands, as far as this process knows: each process counts since its start, and for its own
/// partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PluginOverview {
    /// name@version
    pub plugin: String,
    /// The topic it handles.
    pub topic: String,
    /// Its consumer group.
    pub group: String,
    /// Messages that were handled, those with nothing to do among them.
    pub done: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Messages that were put into the dead-letter topic.
    pub dead: u64,
    /// Messages that wait in its retry topics.
    pub retry_waiting: u64,
    /// Messages of its topic that are not finished.
    pub lag: u64,
}

/// How the plugins stand.
#[utoipa::path(get, path = "/overview", tag = "overview", operation_id = "show_overview",
    responses((status = OK, body = Overview)))]
pub async fn show(Open(office): Open, RawQuery(query): RawQuery) -> Result<Json<Overview>, Problem> {
    Query::read(query.as_deref(), &[])?;
    look(&office).await.map(Json).map_err(away)
}

/// How the plugins stand now.
///
/// # Errors
/// The store does not answer.
pub async fn look(office: &Office) -> sqlx::Result<Overview> {
    let open = Filter { state: Some(State::Open), ..Filter::default() };
    let open_letters = office.desk.count(&open).await?;
    let tally = Tally::now();
    let plugins = office.plugins.iter().map(|served| {
        let retry_waiting =
            served.retry_topics.iter().map(|topic| tally.lag(&served.retry_group, topic)).sum();
        let done = ["done", "skipped"].map(|outcome| tally.messages(&served.name, outcome));
        PluginOverview {
            plugin: served.label.clone(),
            topic: served.topic.clone(),
            group: served.group.clone(),
            done: done.iter().sum(),
            failed: tally.failures(&served.name),
            dead: tally.messages(&served.name, "dead"),
            retry_waiting,
            lag: tally.lag(&served.group, &served.topic),
        }
    });
    Ok(Overview { plugins: plugins.collect(), open_letters })
}
