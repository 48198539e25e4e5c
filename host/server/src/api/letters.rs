//! `/letters`

use axum::Json;
use axum::extract::RawQuery;
use axum::http::StatusCode;
use base::bytes::Bytes;
use desk::actions::{Action, Edited};
use desk::filter::is_id;
use desk::letter::Header;
use desk::letters::Summary;
use desk::{Desk, Filter, Letter, Page};
use problem::Problem;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::query::{Paging, Query};
use super::request::{Id, Open, Said, Who, reasoned, some};
use super::{away, unknown};

/// Some letters, newest first.
#[utoipa::path(get, path = "/letters", tag = "letters", operation_id = "list_letters", params(Filter, Paging),
    responses((status = OK, body = Page<Summary>)))]
pub async fn list(Open(office): Open, RawQuery(query): RawQuery) -> Result<Json<Page<Summary>>, Problem> {
    let (filter, at, limit) = Query::filter_and_page(query.as_deref())?;
    office.desk.letters(&filter, &at, limit).await.map(Json).map_err(away)
}

/// How many letters.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct Count {
    /// How many there are.
    pub letters: u64,
}

/// How many letters there are.
#[utoipa::path(get, path = "/letters/count", tag = "letters", operation_id = "count_letters", params(Filter),
    responses((status = OK, body = Count)))]
pub async fn count(Open(office): Open, RawQuery(query): RawQuery) -> Result<Json<Count>, Problem> {
    let filter = Query::filter_alone(query.as_deref())?;
    let letters = office.desk.count(&filter).await.map_err(away)?;
    Ok(Json(Count { letters }))
}

/// One letter, whole.
#[utoipa::path(get, path = "/letters/{id}", tag = "letters", operation_id = "show_letter",
    params(("id" = String, Path, description = "Its id, or what it alone begins with")),
    responses((status = OK, body = Letter)))]
pub async fn show(
    Open(office): Open,
    Id(id): Id,
    RawQuery(query): RawQuery,
) -> Result<Json<Letter>, Problem> {
    Query::read(query.as_deref(), &[])?;
    find(&office.desk, &id).await.map(Json)
}

/// What was done to a letter, newest first.
#[utoipa::path(get, path = "/letters/{id}/actions", tag = "letters", operation_id = "list_actions_of_letter",
    params(("id" = String, Path, description = "Its id, or what it alone begins with"), Paging),
    responses((status = OK, body = Page<Action>)))]
pub async fn actions(
    Open(office): Open,
    Id(id): Id,
    RawQuery(query): RawQuery,
) -> Result<Json<Page<Action>>, Problem> {
    let (at, limit) = Query::page(query.as_deref())?;
    let letter = find(&office.desk, &id).await?;
    office.desk.actions(Some(&letter.id), &at, limit).await.map(Json).map_err(away)
}

/// Which letters, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// Which.
    #[serde(default)]
    filter: Filter,
    /// Why; needed to discard.
    #[serde(default)]
    reason: String,
    /// Whether an empty filter means every letter.
    #[serde(default)]
    all: bool,
}

/// To how many letters something was done.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct Turned {
    /// How many they were.
    pub letters: u64,
}

/// Gives up the open letters among these.
#[utoipa::path(post, path = "/letters/discard", tag = "letters", operation_id = "discard_letters",
    request_body = Turn, responses((status = OK, body = Turned)))]
pub async fn discard(Open(office): Open, who: Who, Said(turn): Said<Turn>) -> Result<Json<Turned>, Problem> {
    some(&turn.filter, turn.all)?;
    let by = who.because(reasoned(&turn.reason)?)?;
    let letters = office.desk.discard(&turn.filter, by).await.map_err(away)?;
    Ok(Json(Turned { letters }))
}

/// Opens the discarded letters among these again.
#[utoipa::path(post, path = "/letters/restore", tag = "letters", operation_id = "restore_letters",
    request_body = Turn, responses((status = OK, body = Turned)))]
pub async fn restore(Open(office): Open, who: Who, Said(turn): Said<Turn>) -> Result<Json<Turned>, Problem> {
    some(&turn.filter, turn.all)?;
    let by = who.because(&turn.reason)?;
    let letters = office.desk.restore(&turn.filter, by).await.map_err(away)?;
    Ok(Json(Turned { letters }))
}

/// What an edited copy has in place of the original's; what is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The key; `null` is a null key.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Bytes>)]
    key: Option<Option<Bytes>>,
    /// The value; `null` is a tombstone.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Bytes>)]
    value: Option<Option<Bytes>>,
    /// All headers, in order: pairs of name and value.
    #[serde(default)]
    #[schema(value_type = Option<Vec<Vec<Option<Bytes>>>>)]
    headers: Option<Vec<Header>>,
    /// Why.
    #[serde(default)]
    reason: String,
}

/// Keeps an edited copy beside the letter; the copy is a message of its own, open.
#[utoipa::path(post, path = "/letters/{id}/edit", tag = "letters", operation_id = "edit_letter",
    params(("id" = String, Path, description = "Its id, or what it alone begins with")),
    request_body = Edit, responses((status = CREATED, body = Letter)))]
pub async fn edit(
    Open(office): Open,
    Id(id): Id,
    who: Who,
    Said(edit): Said<Edit>,
) -> Result<(StatusCode, Json<Letter>), Problem> {
    let original = find(&office.desk, &id).await?;
    let edited = Edited {
        key: edit.key.unwrap_or_else(|| original.key.clone()),
        value: edit.value.unwrap_or_else(|| original.value.clone()),
        headers: edit.headers.unwrap_or_else(|| original.headers.clone()),
    };
    let by = who.because(&edit.reason)?;
    let copy = office.desk.edit(&original, edited, by).await.map_err(away)?;
    Ok((StatusCode::CREATED, Json(copy)))
}

async fn find(desk: &Desk, id: &str) -> Result<Letter, Problem> {
    let letter = if is_id(id) { desk.letter(id).await.map_err(away)? } else { None };
    letter.ok_or_else(|| unknown("letter", id))
}

/// What is there, `null` too.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Bytes>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
