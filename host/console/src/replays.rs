//! `/replays`

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use desk::replay::ReplayError;
use desk::{Desk, IdOf};
use desk_api::{
    DeadLetterState, Filter, Replay, ReplayItem, ReplayItemState, ReplayState, ReplayTarget, is_id_prefix,
};
use serde::Deserialize;

use super::PAGE_SIZE;
use super::form::{QueryParams, Submitted, query_string};
use super::i18n::Texts;
use super::page::{self, ErrorPage, PageContext, PageLinks};
use server::DeskState;

/// The width of the progress bar, in its own units.
const BAR_WIDTH: u64 = 1000;

#[derive(Template)]
#[template(path = "console/replays.html")]
struct ListPage {
    ctx: PageContext,
    replays: Vec<Replay>,
    links: PageLinks,
}

/// All replays, newest first.
pub async fn list(state: DeskState, ctx: PageContext, query: QueryParams) -> Result<Response, ErrorPage> {
    let selector = query.selector(&ctx)?;
    let page = state.desk.replays(&selector, PAGE_SIZE).await;
    let page = page.map_err(|error| ctx.store_unavailable(error))?;
    let links = PageLinks::new("/replays", "", &page);
    Ok(page::render(&ListPage { ctx, replays: page.items, links }))
}

#[derive(Template)]
#[template(path = "console/replay.html")]
struct ReplayPage {
    ctx: PageContext,
    replay: Replay,
    /// The replay's dead letters that are still open, as a query string.
    open: String,
    segments: Vec<Segment>,
    /// The state of the listed items; None if all are listed.
    listed: Option<ReplayItemState>,
    items: Vec<ReplayItem>,
}

impl ReplayPage {
    fn target(&self) -> &'static str {
        match self.replay.plan.target {
            ReplayTarget::Source => self.ctx.texts.to_source,
            ReplayTarget::Retry => self.ctx.texts.to_retry,
        }
    }

    fn can_resume(&self) -> bool {
        matches!(self.replay.state, ReplayState::Paused | ReplayState::Stopped)
    }

    fn has_ended(&self) -> bool {
        matches!(self.replay.state, ReplayState::Done | ReplayState::Cancelled)
    }
}

/// A segment of the progress bar.
struct Segment {
    class: &'static str,
    name: &'static str,
    state: ReplayItemState,
    dead_letters: u64,
    x: u64,
    width: u64,
}

/// One replay.
pub async fn show(
    state: DeskState,
    ctx: PageContext,
    Path(id): Path<String>,
    query: QueryParams,
) -> Result<Response, ErrorPage> {
    let replay = find(&state.desk, &ctx, &id).await?;
    let asked =
        query.get("items").and_then(|name| ReplayItemState::ALL.into_iter().find(|it| it.as_str() == name));
    // What failed again needs attention.
    let listed =
        asked.or((replay.failed > 0 && query.get("items").is_none()).then_some(ReplayItemState::Failed));
    let items = state.desk.replay_items(&replay.id, listed, 0, PAGE_SIZE).await;
    let items = items.map_err(|error| ctx.store_unavailable(error))?;
    let open = query_string(&Filter { state: Some(DeadLetterState::Open), ..replay.filter.clone() });
    let segments = segments(&replay, ctx.texts);
    Ok(page::render(&ReplayPage { ctx, replay, open, segments, listed, items }))
}

/// The replay with this id or unique prefix of an id.
async fn find(desk: &Desk, ctx: &PageContext, id: &str) -> Result<Replay, ErrorPage> {
    let replay = if is_id_prefix(id) { desk.replay(id).await } else { Ok(None) };
    match replay.map_err(|error| ctx.store_unavailable(error))? {
        Some(replay) => Ok(replay),
        None => Err(ctx.no_such_id(desk, IdOf::Replay, id).await),
    }
}

fn segments(replay: &Replay, texts: &Texts) -> Vec<Segment> {
    let counts = [
        ("done", texts.desk.handled, ReplayItemState::Handled, replay.done),
        ("failed", texts.desk.failed_again, ReplayItemState::Failed, replay.failed),
        ("unknown", texts.unknown, ReplayItemState::Unknown, replay.unknown),
        ("skipped", texts.skipped, ReplayItemState::Skipped, replay.skipped),
        ("sent", texts.sent, ReplayItemState::Sent, replay.sent),
        ("waiting", texts.waiting, ReplayItemState::Waiting, replay.waiting),
    ];
    let scale = |count: u64| count * BAR_WIDTH / replay.dead_letters.max(1);
    let mut before = 0;
    let segment = |(class, name, state, dead_letters): (_, _, _, u64)| {
        let x = scale(before);
        before += dead_letters;
        Segment { class, name, state, dead_letters, x, width: scale(before) - x }
    };
    counts.into_iter().map(segment).collect()
}

impl PageContext {
    /// The name of a replay's state.
    pub fn replay_state(&self, state: &ReplayState) -> &'static str {
        match state {
            ReplayState::Running => self.texts.running,
            ReplayState::Paused => self.texts.paused,
            ReplayState::Stopped => self.texts.stopped,
            ReplayState::Cancelled => self.texts.cancelled,
            ReplayState::Done => self.texts.completed,
        }
    }
}

/// The form that changes a replay.
#[derive(Deserialize)]
pub struct ChangeForm {
    /// `pause`, `resume` or `cancel`.
    action: String,
}

/// Pauses, resumes or cancels a replay.
pub async fn change(
    DeskState { desk, replayer, .. }: DeskState,
    Path(id): Path<String>,
    Submitted { ctx, form }: Submitted<ChangeForm>,
) -> Result<Response, ErrorPage> {
    let id = find(&desk, &ctx, &id).await?.id;
    let actor = ctx.actor("")?;
    let replay = match &form.action[..] {
        "pause" => desk.pause_replay(&id, actor).await,
        "resume" => desk.resume_replay(&id, actor).await,
        "cancel" => desk.cancel_replay(&id, actor).await,
        _ => return Err(ctx.not_found()),
    };
    replayer.wake();
    match replay {
        Ok(replay) => Ok(Redirect::to(&format!("/replays/{}", replay.id)).into_response()),
        Err(ReplayError::Unknown) => Err(ctx.not_found()),
        Err(error @ ReplayError::InState(_)) => Err(ctx.error(StatusCode::CONFLICT, &error.to_string())),
        Err(ReplayError::Store(error)) => Err(ctx.store_unavailable(error)),
    }
}
