//! `/audit-log`

use axum::Json;
use axum::extract::RawQuery;
use desk_api::{AuditEntry, Page};
use problem::Problem;

use super::query::{Paging, Query};
use super::store_unavailable;
use crate::DeskState;

/// Lists the audit log, newest entries first.
#[utoipa::path(get, path = "/audit-log", tag = "audit log", operation_id = "list_audit_log", params(Paging),
    responses((status = OK, body = Page<AuditEntry>)))]
pub async fn list(state: DeskState, RawQuery(query): RawQuery) -> Result<Json<Page<AuditEntry>>, Problem> {
    let (selector, limit) = Query::page(query.as_deref())?;
    state.desk.audit_log(None, &selector, limit).await.map(Json).map_err(store_unavailable)
}
