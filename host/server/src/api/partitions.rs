//! `/partitions`

use axum::Json;
use axum::extract::RawQuery;
use desk_api::{Page, PartitionOverview};
use problem::Problem;

use super::query::Query;
use crate::DeskState;
use crate::partitions::{Assigned, assigned};

/// Lists the partitions that are assigned to this process: for each plugin, those that are not read come first.
#[utoipa::path(get, path = "/partitions", tag = "overview", operation_id = "list_partitions",
    responses((status = OK, body = Page<PartitionOverview>)))]
pub async fn list(
    state: DeskState,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<PartitionOverview>>, Problem> {
    Query::read(query.as_deref(), &[])?;
    Ok(Json(Page::single(partitions(&state))))
}

/// The partitions now.
pub fn partitions(state: &DeskState) -> Vec<PartitionOverview> {
    assigned(state).into_iter().map(Assigned::overview).collect()
}
