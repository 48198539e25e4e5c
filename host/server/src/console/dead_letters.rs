//! `/dead-letters`

use askama::Template;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use desk::{Desk, record};
use desk_api::{
    AuditEntry, DeadLetter, DeadLetterState, DeadLetterSummary, Filter, PageSelector, is_id_prefix,
};
use kafka::header_value::header_value;
use kafka::headers;

use super::PAGE_SIZE;
use super::form::{QueryParams, query_string};
use super::format::{self, Value};
use super::page::{self, ErrorPage, PageContext, PageLinks};
use crate::DeskState;

#[derive(Template)]
#[template(path = "console/dead_letters.html")]
struct ListPage {
    ctx: PageContext,
    filter: Filter,
    /// The filter as a query string.
    query: String,
    count: u64,
    dead_letters: Vec<DeadLetterSummary>,
    links: PageLinks,
}

impl ListPage {
    fn is_state(&self, state: &str) -> bool {
        self.filter.state.map_or("", DeadLetterState::as_str) == state
    }
}

/// The matching dead letters; the open ones without a query.
pub async fn list(state: DeskState, ctx: PageContext, query: QueryParams) -> Result<Response, ErrorPage> {
    let mut filter = match query.get("state") {
        Some("any") => QueryParams::parse(&query.without("state")).filter(&ctx)?,
        _ => query.filter(&ctx)?,
    };
    if query.is_empty() {
        filter.state = Some(DeadLetterState::Open);
    }
    let selector = query.selector(&ctx)?;
    let count = state.desk.count(&filter).await.map_err(|error| ctx.store_unavailable(error))?;
    let page = state.desk.dead_letters(&filter, &selector, PAGE_SIZE).await;
    let page = page.map_err(|error| ctx.store_unavailable(error))?;
    let query = query_string(&filter);
    let any_state = match (filter.state, query.is_empty()) {
        (Some(_), _) => query.clone(),
        (None, true) => "state=any".to_owned(),
        (None, false) => format!("{query}&state=any"),
    };
    let links = PageLinks::new("/dead-letters", &any_state, &page);
    Ok(page::render(&ListPage { ctx, filter, query, count, dead_letters: page.items, links }))
}

#[derive(Template)]
#[template(path = "console/dead_letter.html")]
struct DeadLetterPage {
    ctx: PageContext,
    dead_letter: DeadLetter,
    key: Option<Value>,
    value: Option<Value>,
    sender_headers: Vec<(String, String)>,
    added_headers: Vec<(String, String)>,
    audit_log: Vec<AuditEntry>,
}

/// One dead letter.
pub async fn show(state: DeskState, ctx: PageContext, Path(id): Path<String>) -> Result<Response, ErrorPage> {
    let dead_letter = find(&state.desk, &ctx, &id).await?;
    let audit_log = state.desk.audit_log(Some(&dead_letter.id), &PageSelector::First, PAGE_SIZE).await;
    let mut audit_log = audit_log.map_err(|error| ctx.store_unavailable(error))?.items;
    audit_log.reverse();
    Ok(page::render(&DeadLetterPage {
        key: dead_letter.key.as_ref().map(|key| Value::new(&key.0)),
        value: dead_letter.value.as_ref().map(|value| Value::new(&value.0)),
        sender_headers: headers(&dead_letter, false),
        added_headers: headers(&dead_letter, true),
        audit_log,
        dead_letter,
        ctx,
    }))
}

/// The headers set by the sender, or those added later.
fn headers(dead_letter: &DeadLetter, added: bool) -> Vec<(String, String)> {
    let each = record::headers(dead_letter).zip(headers::added(record::headers(dead_letter)));
    let texts = each
        .filter(|(_, is_added)| *is_added == added)
        .map(|((name, value), _)| (format::block(name), format::line(&header_value(name, value))));
    texts.collect()
}

/// The value of a dead letter, as a download.
pub async fn value(
    state: DeskState,
    ctx: PageContext,
    Path(id): Path<String>,
) -> Result<Response, ErrorPage> {
    let dead_letter = find(&state.desk, &ctx, &id).await?;
    let disposition = format!("attachment; filename=\"{}.bin\"", dead_letter.id);
    let value = dead_letter.value.ok_or_else(|| ctx.not_found())?;
    let content_type = (header::CONTENT_TYPE, "application/octet-stream".to_owned());
    Ok(([content_type, (header::CONTENT_DISPOSITION, disposition)], value.0).into_response())
}

/// The dead letter with this id or unique prefix of an id.
///
/// # Errors
/// 404, or the store is unavailable.
pub async fn find(desk: &Desk, ctx: &PageContext, id: &str) -> Result<DeadLetter, ErrorPage> {
    let dead_letter = if is_id_prefix(id) { desk.dead_letter(id).await } else { Ok(None) };
    dead_letter.map_err(|error| ctx.store_unavailable(error))?.ok_or_else(|| ctx.not_found())
}
