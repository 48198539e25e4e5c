//! `/failures`

use askama::Template;
use axum::extract::Path;
use axum::response::{IntoResponse, Redirect, Response};
use base::text;
use desk::{Desk, IdOf};
use desk_api::{
    DeadLetterState, DeadLetterSummary, Failure, FailureState, Filter, MAX_NOTE_CHARS, PageSelector, Replay,
    is_id_prefix,
};
use serde::Deserialize;

use super::PAGE_SIZE;
use super::form::{QueryParams, Submitted};
use super::page::{self, ErrorPage, PageContext, PageLinks};
use server::DeskState;

/// Dead letters listed on a failure's page.
const MAX_DEAD_LETTERS: usize = 20;
const HOUR_MS: i64 = 3_600_000;
const CHART_HOURS: i64 = 24;
/// The chart's height, in its own units.
const CHART_HEIGHT: u64 = 60;
/// The width of an hour in the chart, in its own units.
const BAR_WIDTH: i64 = 10;

#[derive(Template)]
#[template(path = "console/failures.html")]
struct ListPage {
    ctx: PageContext,
    only_open: bool,
    failures: Vec<Failure>,
    links: PageLinks,
}

/// All failures, or those with open dead letters.
pub async fn list(state: DeskState, ctx: PageContext, query: QueryParams) -> Result<Response, ErrorPage> {
    let only_open = query.get("all").is_none();
    let selector = query.selector(&ctx)?;
    let page = state.desk.failures(only_open, ctx.now_ms, &selector, PAGE_SIZE).await;
    let page = page.map_err(|error| ctx.store_unavailable(error))?;
    let links = PageLinks::new("/failures", if only_open { "" } else { "all=1" }, &page);
    Ok(page::render(&ListPage { ctx, only_open, failures: page.items, links }))
}

#[derive(Template)]
#[template(path = "console/failure.html")]
struct FailurePage {
    ctx: PageContext,
    failure: Failure,
    bars: Vec<Bar>,
    max_per_hour: u64,
    /// The replays in progress that send its dead letters.
    replays: Vec<Replay>,
    dead_letters: Vec<DeadLetterSummary>,
}

impl FailurePage {
    fn is_closed(&self) -> bool {
        self.failure.state == FailureState::Closed
    }
}

/// An hour of the chart.
struct Bar {
    x: i64,
    y: u64,
    height: u64,
    dead_letters: u64,
    hour: String,
}

/// One failure.
pub async fn show(
    DeskState { desk, .. }: DeskState,
    ctx: PageContext,
    Path(id): Path<String>,
) -> Result<Response, ErrorPage> {
    let failure = find(&desk, &ctx, &id).await?;
    let first_hour = ctx.now_ms.div_euclid(HOUR_MS) - CHART_HOURS + 1;
    let counts = desk.dead_letters_per_hour(&failure.id, first_hour * HOUR_MS).await;
    let counts = counts.map_err(|error| ctx.store_unavailable(error))?;
    let max_per_hour = counts.values().copied().max().unwrap_or(0);
    let bar = |index| {
        let dead_letters = counts.get(&(first_hour + index)).copied().unwrap_or(0);
        // Even a single dead letter is visible.
        let height = match dead_letters {
            0 => 0,
            count => (count * CHART_HEIGHT / max_per_hour.max(1)).max(2),
        };
        let (x, y) = (index * BAR_WIDTH, CHART_HEIGHT - height);
        Bar { x, y, height, dead_letters, hour: hour(first_hour + index) }
    };
    let bars = (0..CHART_HOURS).map(bar).collect();
    let open =
        Filter { failure: Some(failure.id.clone()), state: Some(DeadLetterState::Open), ..Filter::default() };
    let dead_letters = desk.dead_letters(&open, &PageSelector::First, MAX_DEAD_LETTERS).await;
    let dead_letters = dead_letters.map_err(|error| ctx.store_unavailable(error))?.items;
    let replays =
        desk.active_replays(Some(&failure.id)).await.map_err(|error| ctx.store_unavailable(error))?;
    Ok(page::render(&FailurePage { ctx, failure, bars, max_per_hour, replays, dead_letters }))
}

fn hour(number: i64) -> String {
    text::utc(number * HOUR_MS).get(..13).map_or_else(String::new, |hour| hour.replace('T', " ") + "h")
}

/// The forms of a failure's page.
#[derive(Deserialize)]
pub struct UpdateForm {
    note: Option<String>,
    state: Option<FailureState>,
    #[serde(default)]
    reason: String,
}

/// Changes the note, closes or reopens the failure.
pub async fn update(
    DeskState { desk, .. }: DeskState,
    Path(id): Path<String>,
    Submitted { ctx, form }: Submitted<UpdateForm>,
) -> Result<Response, ErrorPage> {
    let failure = find(&desk, &ctx, &id).await?;
    let note = form.note.map(|note| note.replace('\0', ""));
    let note = note.map(|note| note.trim().chars().take(MAX_NOTE_CHARS).collect::<String>());
    let actor = ctx.actor(&form.reason)?;
    let updated = desk.update_failure(&failure.id, note.as_deref(), form.state, actor).await;
    updated.map_err(|error| ctx.store_unavailable(error))?;
    Ok(Redirect::to(&format!("/failures/{}", failure.id)).into_response())
}

async fn find(desk: &Desk, ctx: &PageContext, id: &str) -> Result<Failure, ErrorPage> {
    let failure = if is_id_prefix(id) { desk.failure(id, ctx.now_ms).await } else { Ok(None) };
    match failure.map_err(|error| ctx.store_unavailable(error))? {
        Some(failure) => Ok(failure),
        None => Err(ctx.no_such_id(desk, IdOf::Failure, id).await),
    }
}
