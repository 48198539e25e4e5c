//! `/waiting`: the messages that wait for a retry.

mod decide;

use askama::Template;
use axum::response::Response;
use desk_api::{DecisionState, WaitingAction, WaitingFilter, WaitingList, WaitingMessage};
use url::form_urlencoded;

pub use self::decide::{form, submit};
use super::form::QueryParams;
use super::format;
use super::i18n::Texts;
use super::i18n::retries::RetryTexts;
use super::page::{self, ErrorPage, PageContext};
use server::{DeskState, api};

/// The number of messages that are listed.
const MAX_ROWS: usize = 100;
/// The parameters that say what a decision did.
const RESULTS: [&str; 6] = ["decided", "obeyed", "too_late", "replaced", "unanswered", "gone"];

#[derive(Template)]
#[template(path = "console/waiting.html")]
struct ListPage {
    ctx: PageContext,
    filter: WaitingFilter,
    /// The filter as a query string.
    query: String,
    list: WaitingList,
    unlisted: u64,
    /// What a decision did, one text for each result.
    results: Vec<String>,
    is_selection_missing: bool,
}

/// The messages by plugin, code and tier, and those that are due first.
pub async fn list(state: DeskState, ctx: PageContext, query: QueryParams) -> Result<Response, ErrorPage> {
    show(&state, ctx, &query, false).await
}

async fn show(
    state: &DeskState,
    ctx: PageContext,
    query: &QueryParams,
    is_selection_missing: bool,
) -> Result<Response, ErrorPage> {
    let filter = filter_of(query);
    let list = api::list_waiting(state, &filter, MAX_ROWS).await;
    let unlisted = list.total.saturating_sub(list.messages.len() as u64);
    let (query, results) = (query_string(&filter), results(query, &ctx.texts.retries));
    Ok(page::render(&ListPage { ctx, filter, query, list, unlisted, results, is_selection_missing }))
}

fn filter_of(query: &QueryParams) -> WaitingFilter {
    let text = |name| query.get(name).map(str::to_owned);
    WaitingFilter { plugin: text("plugin"), code: text("code"), topic: text("topic") }
}

fn query_string(filter: &WaitingFilter) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(filter.query_pairs()).finish()
}

/// What a decision did, from the parameters of the address to which it led.
fn results(query: &QueryParams, w: &RetryTexts) -> Vec<String> {
    let names = ["", w.obeyed, w.too_late, w.replaced, w.unanswered, w.gone];
    let number = |name: &str| query.get(name).and_then(|number| number.parse::<u64>().ok());
    let all = RESULTS.iter().zip(names).filter_map(|(parameter, name)| {
        let number = number(parameter).filter(|number| *number > 0 || *parameter == "decided")?;
        Some(format!("{} {name}", format::number(number)).trim_end().to_owned())
    });
    all.collect()
}

impl ListPage {
    fn group_query(&self, plugin: &str, code: &str, topic: &str) -> String {
        let text = |text: &str| Some(text.to_owned());
        query_string(&WaitingFilter { plugin: text(plugin), code: text(code), topic: text(topic) })
    }

    fn decision(&self, message: &WaitingMessage) -> String {
        let Some(decision) = &message.decision else { return String::new() };
        let w = &self.ctx.texts.retries;
        let state = match decision.state {
            DecisionState::Decided => w.unanswered,
            DecisionState::Obeyed => w.obeyed,
            DecisionState::TooLate => w.too_late,
        };
        format!("{}, {}: {state}", action_name(decision.action, w), format::line(&decision.actor))
    }
}

fn action_name(action: WaitingAction, w: &RetryTexts) -> &'static str {
    match action {
        WaitingAction::RunNow => w.run_now,
        WaitingAction::Postpone => w.postpone,
        WaitingAction::GiveUp => w.give_up,
    }
}

impl Texts {
    /// The name of an action in the audit log.
    pub fn waiting_action(&self, action: &str) -> &'static str {
        let w = &self.retries;
        WaitingAction::from_name(action).map_or(w.title, |action| action_name(action, w))
    }
}
