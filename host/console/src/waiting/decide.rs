//! `/waiting/run-now`, `/waiting/postpone` and `/waiting/give-up`: a decision, and its confirmation.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use base::text;
use desk_api::{WaitingAction, WaitingAnswer, WaitingFilter, WaitingRequest};
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use serde::Deserialize;
use url::form_urlencoded;

use super::super::form::{QueryParams, Refusal, Submitted, whole};
use super::super::i18n::retries::RetryTexts;
use super::super::page::{self, ErrorPage, PageContext};
use super::{RESULTS, action_name, filter_of, query_string, show};
use server::{DeskState, api};

const MINUTE_MS: i64 = 60_000;

#[derive(Template)]
#[template(path = "console/waiting_decide.html")]
struct DecidePage {
    ctx: PageContext,
    action: WaitingAction,
    name: &'static str,
    detail: &'static str,
    /// The filter as a query string.
    query: String,
    /// The number of messages.
    count: u64,
    /// The offset of this machine's time zone, which applies if the browser does not tell its own.
    zone: String,
    form: DecideForm,
    refused: Option<Refusal>,
}

/// The fields of the form.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct DecideForm {
    /// The selected records, separated by commas; empty for all that match.
    ids: String,
    plugin: String,
    code: String,
    topic: String,
    count: String,
    minutes: String,
    until: String,
    /// The offset of the browser's time zone at that time, in minutes; empty without its script.
    offset: String,
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
    let WaitingFilter { plugin, code, topic } = filter_of(&query);
    let [plugin, code, topic] = [plugin, code, topic].map(Option::unwrap_or_default);
    let form = DecideForm { ids, plugin, code, topic, ..DecideForm::default() };
    Ok(decide_page(&state, ctx, action, form, None).await)
}

async fn decide_page(
    state: &DeskState,
    ctx: PageContext,
    action: WaitingAction,
    form: DecideForm,
    refused: Option<Refusal>,
) -> Response {
    let filter = form.filter();
    let count = match form.ids.as_str() {
        "" => api::list_waiting(state, &filter, 0).await.total,
        ids => ids.split(',').count() as u64,
    };
    let w = &ctx.texts.retries;
    let detail = match action {
        WaitingAction::RunNow => w.run_now_detail,
        WaitingAction::Postpone => w.postpone_detail,
        WaitingAction::GiveUp => w.give_up_detail,
    };
    let (name, query) = (action_name(action, w), query_string(&filter));
    let zone = text::local(ctx.now_ms).rsplit(' ').next().unwrap_or_default().to_owned();
    let page = DecidePage { ctx, action, name, detail, query, count, zone, form, refused };
    page::render_form(&page, page.refused.as_ref())
}

/// Decides, and leads to the list with the result.
pub async fn submit(
    state: DeskState,
    Path(action): Path<String>,
    Submitted { ctx, form }: Submitted<DecideForm>,
) -> Result<Response, ErrorPage> {
    let action = WaitingAction::from_name(&action).ok_or_else(|| ctx.not_found())?;
    let lacks_reason = action == WaitingAction::GiveUp && form.reason.trim().is_empty();
    let request = match form.request(action, &ctx.texts.retries) {
        Ok(_) if lacks_reason => Err(Refusal::input(ctx.texts.reason_required)),
        request => request,
    };
    let answer = match request {
        Ok(request) => {
            let actor = ctx.actor(&form.reason)?;
            api::decide_about_waiting(&state, &request, action, actor).await.map_err(Refusal::from)
        }
        Err(refused) => Err(refused),
    };
    Ok(match answer {
        Ok(answer) => {
            Redirect::to(&format!("/waiting?{}", result_query(&form.filter(), &answer))).into_response()
        }
        Err(refused) => decide_page(&state, ctx, action, form, Some(refused)).await,
    })
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

    fn request(&self, action: WaitingAction, w: &RetryTexts) -> Result<WaitingRequest, Refusal> {
        let whole = |text: &str| whole::<u32>(text).ok_or_else(|| Refusal::input(w.not_a_number));
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
                (minutes, "") if !minutes.is_empty() => {
                    request.by_ms = Some(i64::from(whole(minutes)?) * MINUTE_MS);
                }
                ("", until) if !until.is_empty() => {
                    let until = time(until, &self.offset).ok_or_else(|| Refusal::input(w.not_a_time))?;
                    request.until_ms = Some(until);
                }
                _ => return Err(Refusal::input(w.one_of_both)),
            }
        }
        Ok(request)
    }
}

/// Milliseconds since the Unix epoch of a browser's local time. Without the browser's offset, which only a script can
/// tell, it is a time of this machine's zone.
fn time(until: &str, offset: &str) -> Option<i64> {
    if offset.is_empty() {
        return text::time(until);
    }
    let offset = Offset::from_seconds(offset.parse::<i32>().ok()?.checked_mul(60)?).ok()?;
    let time: DateTime = until.parse().ok()?;
    Some(time.to_zoned(TimeZone::fixed(offset)).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_browsers_are_of_their_zone() {
        assert_eq!(time("1970-01-02T00:01", "0"), Some(86_460_000));
        assert_eq!(time("1970-01-02T09:01", "540"), Some(86_460_000), "Seoul");
        assert_eq!(time("1970-01-01T20:31", "-210"), Some(86_460_000));
        assert_eq!(time("1970-01-02T00:01", ""), text::time("1970-01-02T00:01"), "this machine's zone");
        for (until, offset) in [("tomorrow", "0"), ("tomorrow", ""), ("1970-01-02T00:01", "east")] {
            assert_eq!(time(until, offset), None, "{until} {offset}");
        }
        assert_eq!(time("1970-01-02T00:01", "2000000000"), None);
    }
}
