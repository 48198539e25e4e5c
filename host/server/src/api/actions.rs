//! `/actions`

use axum::Json;
use axum::extract::RawQuery;
use desk::Page;
use desk::actions::Action;
use problem::Problem;

use super::away;
use super::query::{Paging, Query};
use super::request::Open;

/// Who did what, when and why; newest first.
#[utoipa::path(get, path = "/actions", tag = "actions", operation_id = "list_actions", params(Paging),
    responses((status = OK, body = Page<Action>)))]
pub async fn list(Open(office): Open, RawQuery(query): RawQuery) -> Result<Json<Page<Action>>, Problem> {
    let (at, limit) = Query::page(query.as_deref())?;
    office.desk.actions(None, &at, limit).await.map(Json).map_err(away)
}
