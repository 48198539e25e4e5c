//! `/dead-letters`

use askama::Template;
use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use desk::{Desk, IdOf, record};
use desk_api::{
    AuditEntry, DeadLetter, DeadLetterState, DeadLetterSummary, Filter, PageSelector, is_id_prefix,
};
use kafka::header_value::header_value;
use kafka::headers;

use super::PAGE_SIZE;
use super::form::{QueryParams, UNTICKED, query_string};
use super::format::{self, Value};
use super::page::{self, ErrorPage, PageContext, PageLinks};
use server::DeskState;

/// Digits from which on a searched text is taken for an id.
const MIN_ID: usize = 6;

#[derive(Template)]
#[template(path = "console/dead_letters.html")]
struct ListPage {
    ctx: PageContext,
    filter: Filter,
    /// The filter as a query string.
    query: String,
    /// The same, with a state in any case: it leads back to this list.
    back: String,
    /// Whether an action was sent without a ticked dead letter.
    is_unticked: bool,
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
pub async fn list(
    state: DeskState,
    ctx: PageContext,
    query_params: QueryParams,
) -> Result<Response, ErrorPage> {
    let query = &query_params;
    let mut filter = match query.get("state") {
        Some("any") => QueryParams::parse(&query.without("state")).filter(&ctx)?,
        _ => query.filter(&ctx)?,
    };
    if let Some(found) = searched(&state.desk, &ctx, &filter).await? {
        return Ok(found);
    }
    if query.is_empty() {
        filter.state = Some(DeadLetterState::Open);
    }
    let selector = query.selector(&ctx)?;
    let found = state.desk.counted_dead_letters(&filter, &selector, PAGE_SIZE).await;
    let (count, page) = found.map_err(|error| ctx.store_unavailable(error))?;
    let query = query_string(&filter);
    let any_state = match (filter.state, query.is_empty()) {
        (Some(_), _) => query.clone(),
        (None, true) => "state=any".to_owned(),
        (None, false) => format!("{query}&state=any"),
    };
    let links = PageLinks::new("/dead-letters", &any_state, &page);
    let is_unticked = query_params.get(UNTICKED).is_some();
    let (back, dead_letters) = (any_state, page.items);
    Ok(page::render(&ListPage { ctx, filter, query, back, is_unticked, count, dead_letters, links }))
}

/// The page of what the search names by its id: a dead letter, a failure or a replay.
async fn searched(desk: &Desk, ctx: &PageContext, filter: &Filter) -> Result<Option<Response>, ErrorPage> {
    let is_alone = Filter { text: None, state: None, ..filter.clone() } == Filter::default();
    let id = filter.text.as_deref().map(str::trim);
    let Some(id) = id.filter(|id| is_alone && is_id_prefix(id) && id.len() >= MIN_ID) else {
        return Ok(None);
    };
    let mut found = Vec::new();
    for (of, path) in
        [(IdOf::DeadLetter, "dead-letters"), (IdOf::Failure, "failures"), (IdOf::Replay, "replays")]
    {
        let ids = desk.ids_beginning_with(of, id).await.map_err(|error| ctx.store_unavailable(error))?;
        found.extend(ids.into_iter().map(|id| format!("/{path}/{id}")));
    }
    Ok(match &found[..] {
        [address] => Some(Redirect::to(address).into_response()),
        _ => None,
    })
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
    match dead_letter.map_err(|error| ctx.store_unavailable(error))? {
        Some(dead_letter) => Ok(dead_letter),
        None => Err(ctx.no_such_id(desk, IdOf::DeadLetter, id).await),
    }
}
