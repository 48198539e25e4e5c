//! `/waiting/run-now`, `/waiting/postpone` and `/waiting/give-up`: a decision, and its confirmation.

use askama::Template;
use axum::Extension;
use axum::extract::{Form, Path};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use desk_api::{WaitingAction, WaitingAnswer, WaitingFilter, WaitingRequest};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use url::form_urlencoded;

use super::super::form::QueryParams;
use super::super::page::{self, ErrorPage, PageContext};
use super::super::session::Session;
use super::{RESULTS, action_name, filter_of, query_string, show, texts};
use server::{DeskState, api};

const MINUTE_MS: i64 = 60_000;

#[derive(Template)]
#[template(path = "console/waiting_decide.html")]
struct DecidePage {
    ctx: PageContext,
    w: &'static texts::Texts,
    action: WaitingAction,
    name: &'static str,
    detail: &'static str,
    /// The selected records, separated by commas; empty for all that match.
    ids: String,
    filter: WaitingFilter,
    /// The filter as a query string.
    query: String,
    /// The number of messages.
    count: u64,
    fields: Fields,
    error: String,
}

/// What the form has, as it was entered.
#[derive(Default)]
struct Fields {
    count: String,
    minutes: String,
    until: String,
    reason: String,
}

/// The form: for selected messages, or for all that match. Without either, nothing is decided.
pub async fn form(
    state: DeskState,
    ctx: PageContext,
    Path(action): Path<String>,
    query: QueryParams,
) -> Result<Response, ErrorPage> {
    let action = WaitingAction::from_name(&action).ok_or_else(|| ctx.not_found())?;
    let (ids, is_all) = (query.get("ids").unwrap_or_default().to_owned(), query.get("all").is_some());
    if ids.is_empty() && !is_all {
        let mut page = show(&state, ctx, &query, true).await?;
        *page.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(page);
    }
    let ids = if is_all { String::new() } else { ids };
    let page = page(&state, ctx, action, ids, filter_of(&query)).await;
    Ok(page::render(&page))
}

async fn page(
    state: &DeskState,
    ctx: PageContext,
    action: WaitingAction,
    ids: String,
    filter: WaitingFilter,
) -> DecidePage {
    let count = match ids.as_str() {
        "" => api::list_waiting(state, &filter, 0).await.total,
        ids => ids.split(',').count() as u64,
    };
    let w = texts::of(ctx.texts);
    let detail = match action {
        WaitingAction::RunNow => w.run_now_detail,
        WaitingAction::Postpone => w.postpone_detail,
        WaitingAction::GiveUp => w.give_up_detail,
    };
    let (name, query) = (action_name(action, w), query_string(&filter));
    let (fields, error) = (Fields::default(), String::new());
    DecidePage { ctx, w, action, name, detail, ids, filter, query, count, fields, error }
}

/// The fields of the form.
#[derive(Deserialize)]
pub struct DecideForm {
    csrf: String,
    #[serde(default)]
    ids: String,
    #[serde(default)]
    plugin: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    topic: String,
    #[serde(default)]
    count: String,
    #[serde(default)]
    minutes: String,
    #[serde(default)]
    until: String,
    #[serde(default)]
    reason: String,
}

/// Decides, and leads to the list with the result.
pub async fn submit(
    state: DeskState,
    ctx: PageContext,
    Extension(session): Extension<Session>,
    Path(action): Path<String>,
    Form(form): Form<DecideForm>,
) -> Result<Response, ErrorPage> {
    ctx.check_csrf(&session, &form.csrf)?;
    let action = WaitingAction::from_name(&action).ok_or_else(|| ctx.not_found())?;
    let request = match form.request(action, texts::of(ctx.texts)) {
        Ok(request) => request,
        Err(error) => return Ok(again(&state, ctx, action, form, StatusCode::BAD_REQUEST, error).await),
    };
    if action == WaitingAction::GiveUp && request.reason.is_empty() {
        let error = ctx.texts.reason_required.to_owned();
        return Ok(again(&state, ctx, action, form, StatusCode::BAD_REQUEST, error).await);
    }
    let actor = ctx.actor(&form.reason)?;
    let answer = match api::decide_about_waiting(&state, &request, action, actor).await {
        Ok(answer) => answer,
        Err(problem) => {
            let (status, error) = (problem.status(), problem.detail().to_owned());
            return Ok(again(&state, ctx, action, form, status, error).await);
        }
    };
    Ok(Redirect::to(&format!("/waiting?{}", result_query(&form.filter(), &answer))).into_response())
}

/// The form again, as it was filled in, with an error.
async fn again(
    state: &DeskState,
    ctx: PageContext,
    action: WaitingAction,
    form: DecideForm,
    status: StatusCode,
    error: String,
) -> Response {
    let filter = form.filter();
    let DecideForm { ids, count, minutes, until, reason, .. } = form;
    let mut page = page(state, ctx, action, ids, filter).await;
    page.fields = Fields { count, minutes, until, reason };
    page.error = error;
    (status, page::render(&page)).into_response()
}

fn result_query(filter: &WaitingFilter, answer: &WaitingAnswer) -> String {
    let WaitingAnswer { decided, obeyed, too_late, replaced, unanswered, gone } = answer;
    let numbers = [decided, obeyed, too_late, replaced, unanswered, gone];
    let results = RESULTS.iter().zip(numbers).map(|(name, number)| (*name, number.to_string()));
    let pairs = filter.query_pairs().into_iter().chain(results);
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

impl DecideForm {
    fn filter(&self) -> WaitingFilter {
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        WaitingFilter { plugin: text(&self.plugin), code: text(&self.code), topic: text(&self.topic) }
    }

    fn request(&self, action: WaitingAction, w: &texts::Texts) -> Result<WaitingRequest, String> {
        let whole = |text: &str| {
            let digits = text.trim().replace(',', "");
            digits.parse::<u32>().map_err(|_| w.not_a_number.to_owned())
        };
        let records: Vec<String> =
            self.ids.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
        let mut request =
            WaitingRequest { reason: self.reason.trim().to_owned(), ..WaitingRequest::default() };
        if records.is_empty() {
            request.filter = self.filter();
            request.count = Some(whole(&self.count)?.into());
        }
        request.records = records;
        if action == WaitingAction::Postpone {
            match (self.minutes.trim(), self.until.trim()) {
                ("", "") => return Err(w.one_of_both.to_owned()),
                ("", until) => request.until_ms = Some(utc(until).ok_or_else(|| w.not_a_time.to_owned())?),
                (minutes, "") => request.by_ms = Some(i64::from(whole(minutes)?) * MINUTE_MS),
                _ => return Err(w.one_of_both.to_owned()),
            }
        }
        Ok(request)
    }
}

/// Milliseconds since the Unix epoch of a local time in UTC, as browsers send it.
fn utc(text: &str) -> Option<i64> {
    let time: DateTime = text.parse().ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_browsers_are_read() {
        assert_eq!(utc("1970-01-02T00:01"), Some(86_460_000));
        assert_eq!(utc("tomorrow"), None);
    }
}
