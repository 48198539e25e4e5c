//! `/replay`: previews a replay and starts it.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use desk_api::{Filter, ReplayPlan, ReplayPreview, ReplayTarget};
use serde::Deserialize;

use super::form::{self, QueryParams, Refusal, Submitted, query_string};
use super::i18n::Texts;
use super::page::{self, ErrorPage, PageContext};
use server::DeskState;
use server::api::one_line;

#[derive(Template)]
#[template(path = "console/start_replay.html")]
struct StartPage {
    ctx: PageContext,
    preview: ReplayPreview,
    /// Why the replay is not possible.
    refused: Option<Refusal>,
    /// Whether the number has to be entered.
    asks_for_number: bool,
    form: StartForm,
}

impl StartPage {
    fn is_target(&self, target: &str) -> bool {
        self.form.target == target
    }
}

/// The fields of the form.
#[derive(Debug, Clone, Deserialize)]
pub struct StartForm {
    /// The filter as a query string.
    #[serde(default)]
    query: String,
    #[serde(default)]
    trial: String,
    /// The list that the user came from, as a query string.
    #[serde(default)]
    back: String,
    #[serde(default)]
    number: String,
    target: String,
    #[serde(default)]
    ramp: String,
    #[serde(default)]
    rate: String,
    limit: String,
    #[serde(default)]
    reason: String,
}

impl StartForm {
    /// The defaults: a careful replay to the original topic.
    fn new(query: String, trial: String, back: String) -> Self {
        Self {
            query,
            trial,
            back,
            number: String::new(),
            target: ReplayTarget::Source.as_str().to_owned(),
            ramp: ReplayPlan::CAREFUL_RAMP.map(|size| size.to_string()).join(", "),
            rate: String::new(),
            limit: ReplayPlan::default().limit_percent.to_string(),
            reason: String::new(),
        }
    }

    /// Takes values from the page's query.
    fn prefill(&mut self, params: &QueryParams) {
        if params.get("target") == Some(ReplayTarget::Retry.as_str()) {
            self.target = ReplayTarget::Retry.as_str().to_owned();
        }
        for (name, field) in [
            ("ramp", &mut self.ramp),
            ("rate", &mut self.rate),
            ("limit", &mut self.limit),
            ("reason", &mut self.reason),
        ] {
            if let Some(value) = params.get(name) {
                *field = value.to_owned();
            }
        }
    }

    /// Whether the number of dead letters has to be entered; not if a trial has selected them.
    fn asks_for_number(&self, filter: &Filter) -> bool {
        self.trial.is_empty() && form::asks_for_number(filter)
    }

    fn plan(&self, texts: &Texts) -> Result<ReplayPlan, Refusal> {
        let mut ramp = Vec::new();
        for size in self.ramp.split([',', ' ']).filter(|size| !size.is_empty()) {
            ramp.extend(form::number::<u32>(size, texts.ramp)?);
        }
        let limit = form::number(&self.limit, texts.stop_above)?;
        let default = ReplayPlan::default();
        let is_retry = self.target == ReplayTarget::Retry.as_str();
        let plan = ReplayPlan {
            target: if is_retry { ReplayTarget::Retry } else { ReplayTarget::Source },
            rate: form::number(&self.rate, texts.rate_limit)?,
            ramp,
            limit_percent: limit.unwrap_or(default.limit_percent),
            max_replays: default.max_replays,
        };
        plan.check().map_err(Refusal::input)?;
        Ok(plan)
    }
}

/// The form, with a preview.
pub async fn form(state: DeskState, ctx: PageContext, params: QueryParams) -> Result<Response, ErrorPage> {
    if let Some(back) = params.nothing_ticked() {
        return Ok(back);
    }
    let filter = Filter { state: None, ..params.filter(&ctx)? };
    let trial = params.get("trial").unwrap_or_default().to_owned();
    let mut form = StartForm::new(query_string(&filter), trial, params.back(&filter));
    form.prefill(&params);
    start_page(&state, ctx, &filter, form, None).await
}

async fn start_page(
    state: &DeskState,
    ctx: PageContext,
    filter: &Filter,
    form: StartForm,
    refused: Option<Refusal>,
) -> Result<Response, ErrorPage> {
    let (plan, wrong) = match form.plan(ctx.texts) {
        Ok(plan) => (plan, None),
        Err(wrong) => (ReplayPlan::default(), Some(wrong)),
    };
    let mut refused = refused.or(wrong);
    let ids = trial_ids(state, &ctx, &form.trial)?;
    let preview = state.replayer.preview(filter, ids.as_deref(), &plan).await.unwrap_or_else(|error| {
        // The page says why there is no preview; the form itself is not wrong.
        refused = Some(Refusal { status: StatusCode::OK, text: one_line(&error) });
        ReplayPreview::default()
    });
    let asks_for_number = form.asks_for_number(filter) && preview.dead_letters > 1;
    let page = StartPage { ctx, preview, refused, asks_for_number, form };
    Ok(page::render_form(&page, page.refused.as_ref()))
}

/// Starts the replay.
pub async fn start(
    state: DeskState,
    Submitted { ctx, form }: Submitted<StartForm>,
) -> Result<Response, ErrorPage> {
    let filter = form::parse_filter(&form.query, &ctx)?;
    let ids = trial_ids(&state, &ctx, &form.trial)?;
    let Ok(plan) = form.plan(ctx.texts) else {
        return start_page(&state, ctx, &filter, form, None).await;
    };
    if form.asks_for_number(&filter) {
        let count = state.replayer.sendable(&filter, ids.as_deref(), &plan).await;
        let count = count.map_err(|error| ctx.store_unavailable(error))?;
        if let Some(refused) = form::wrong_number(&filter, &form.number, count, &ctx) {
            return start_page(&state, ctx, &filter, form, Some(refused)).await;
        }
    }
    let actor = ctx.actor(&form.reason)?;
    let replay = state.desk.start_replay(&filter, ids.as_deref(), &plan, actor).await;
    let replay = replay.map_err(|error| ctx.store_unavailable(error))?;
    let replay = replay.ok_or_else(|| ctx.error(StatusCode::CONFLICT, ctx.texts.none_to_send))?;
    state.replayer.wake();
    Ok(Redirect::to(&format!("/replays/{}", replay.id)).into_response())
}

/// The ids of the dead letters that did not fail in a trial; None without a trial.
fn trial_ids(state: &DeskState, ctx: &PageContext, trial: &str) -> Result<Option<Vec<String>>, ErrorPage> {
    if trial.is_empty() {
        return Ok(None);
    }
    state.trials.not_failed(trial).map(Some).ok_or_else(|| ctx.not_found())
}
