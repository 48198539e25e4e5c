//! `/groups`

use axum::Json;
use axum::extract::RawQuery;
use base::clock;
use desk::filter::is_id;
use desk::groups::{Group, GroupState};
use desk::{Desk, Page};
use problem::Problem;
use serde::Deserialize;
use utoipa::ToSchema;

use super::query::{PAGE, Paging, Query, bad};
use super::request::{Id, Open, Said, Who};
use super::{away, unknown};

/// The longest note, in characters.
const LONGEST_NOTE: usize = 4000;

/// Which groups.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it documents what `Query` reads")]
struct Which {
    /// Only those with open letters.
    open: Option<bool>,
}

/// Failures of one code, plugin and digest; the group that failed last comes first.
#[utoipa::path(get, path = "/groups", tag = "groups", operation_id = "list_groups", params(Which, Paging),
    responses((status = OK, body = Page<Group>)))]
pub async fn list(Open(office): Open, RawQuery(query): RawQuery) -> Result<Json<Page<Group>>, Problem> {
    let query = Query::read(query.as_deref(), &[&["open"], &PAGE])?;
    let (at, limit) = (query.at()?, query.limit()?);
    office.desk.groups(query.is("open")?, clock::now_ms(), &at, limit).await.map(Json).map_err(away)
}

/// One group.
#[utoipa::path(get, path = "/groups/{id}", tag = "groups", operation_id = "show_group",
    params(("id" = String, Path, description = "Its id, or what it alone begins with")),
    responses((status = OK, body = Group)))]
pub async fn show(Open(office): Open, Id(id): Id, RawQuery(query): RawQuery) -> Result<Json<Group>, Problem> {
    Query::read(query.as_deref(), &[])?;
    find(&office.desk, &id).await.map(Json)
}

/// What is changed of a group; what is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// What people should know about it.
    note: Option<String>,
    /// Whether somebody looks after it still.
    state: Option<GroupState>,
    /// Why.
    #[serde(default)]
    reason: String,
}

/// Writes a note to a group, closes it or opens it again.
#[utoipa::path(patch, path = "/groups/{id}", tag = "groups", operation_id = "mark_group",
    params(("id" = String, Path, description = "Its id, or what it alone begins with")),
    request_body = Mark, responses((status = OK, body = Group)))]
pub async fn mark(
    Open(office): Open,
    Id(id): Id,
    who: Who,
    Said(mark): Said<Mark>,
) -> Result<Json<Group>, Problem> {
    if mark.note.as_ref().is_some_and(|note| note.chars().count() > LONGEST_NOTE || note.contains('\0')) {
        return Err(bad(format!("note: at most {LONGEST_NOTE} characters, and no NUL")));
    }
    let group = find(&office.desk, &id).await?;
    let by = who.because(&mark.reason)?;
    let marked =
        office.desk.mark_group(&group.id, mark.note.as_deref(), mark.state, by).await.map_err(away)?;
    if !marked {
        return Err(unknown("group", &id));
    }
    find(&office.desk, &group.id).await.map(Json)
}

async fn find(desk: &Desk, id: &str) -> Result<Group, Problem> {
    let group = if is_id(id) { desk.group(id, clock::now_ms()).await.map_err(away)? } else { None };
    group.ok_or_else(|| unknown("group", id))
}
