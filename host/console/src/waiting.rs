//! `/waiting`: the messages that wait for a retry.

mod decide;
mod texts;

use std::fmt;

use askama::Template;
use askama::filters::HtmlSafe;
use axum::response::Response;
use base::text;
use desk_api::{DecisionState, WaitingAction, WaitingFilter, WaitingList, WaitingMessage};
use url::form_urlencoded;

pub use self::decide::{form, submit};
use super::form::QueryParams;
use super::format;
use super::i18n;
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
    w: &'static texts::Texts,
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
    let (w, results) = (texts::of(ctx.texts), results(query, texts::of(ctx.texts)));
    let query = query_string(&filter);
    Ok(page::render(&ListPage { ctx, w, filter, query, list, unlisted, results, is_selection_missing }))
}

fn filter_of(query: &QueryParams) -> WaitingFilter {
    let text = |name| query.get(name).map(str::to_owned);
    WaitingFilter { plugin: text("plugin"), code: text("code"), topic: text("topic") }
}

fn query_string(filter: &WaitingFilter) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(filter.query_pairs()).finish()
}

/// What a decision did, from the parameters of the address to which it led.
fn results(query: &QueryParams, w: &texts::Texts) -> Vec<String> {
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
        let state = match decision.state {
            DecisionState::Decided => self.w.unanswered,
            DecisionState::Obeyed => self.w.obeyed,
            DecisionState::TooLate => self.w.too_late,
        };
        format!("{}, {}: {state}", action_name(decision.action, self.w), format::line(&decision.actor))
    }

    fn due(&self, ms: &i64) -> Due {
        Due { ms: *ms, now_ms: self.ctx.now_ms, texts: self.ctx.texts }
    }
}

fn action_name(action: WaitingAction, w: &texts::Texts) -> &'static str {
    match action {
        WaitingAction::RunNow => w.run_now,
        WaitingAction::Postpone => w.postpone,
        WaitingAction::GiveUp => w.give_up,
    }
}

/// A due time as `<time>` element: the time left, and the exact time as tooltip.
struct Due {
    ms: i64,
    now_ms: i64,
    texts: &'static i18n::Texts,
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.ms.saturating_sub(self.now_ms).max(0) / 1000;
        let is_korean = self.texts.lang == i18n::KOREAN.lang;
        let (number, english, korean) = match seconds {
            0 => return write!(f, "{}", if is_korean { "지금" } else { "now" }),
            1..120 => (seconds, "s", "초 후"),
            120..7200 => (seconds / 60, "min", "분 후"),
            _ => (seconds / 3600, "h", "시간 후"),
        };
        let utc = text::utc(self.ms);
        write!(f, "<time datetime=\"{utc}\" title=\"{utc}\">")?;
        if is_korean {
            write!(f, "{number}{korean}")?
        } else {
            write!(f, "in {number} {english}")?
        }
        write!(f, "</time>")
    }
}

// It contains no untrusted text.
impl HtmlSafe for Due {}

impl i18n::Texts {
    /// The name of an action in the audit log.
    pub fn waiting_action(&self, action: &str) -> &'static str {
        let w = texts::of(self);
        WaitingAction::from_name(action).map_or(w.title, |action| action_name(action, w))
    }

    /// A number of messages.
    pub fn message_count(&self, count: &u64) -> String {
        let number = format::number(*count);
        match (self.lang, count) {
            ("ko", _) => format!("메시지 {number}건"),
            (_, 1) => "1 message".to_owned(),
            _ => format!("{number} messages"),
        }
    }

    /// The delay of a retry topic, in its largest unit.
    pub fn delay(&self, ms: &u64) -> String {
        let (number, english, korean) = match *ms {
            ms if ms % 3_600_000 == 0 && ms > 0 => (ms / 3_600_000, "h", "시간"),
            ms if ms % 60_000 == 0 && ms > 0 => (ms / 60_000, "min", "분"),
            ms if ms % 1000 == 0 && ms > 0 => (ms / 1000, "s", "초"),
            ms => (ms, "ms", "밀리초"),
        };
        if self.lang == i18n::KOREAN.lang {
            format!("{number}{korean}")
        } else {
            format!("{number} {english}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_times_and_delays_are_readable() {
        let due = |ms, texts| Due { ms, now_ms: 0, texts }.to_string();
        assert_eq!((due(-5, &i18n::ENGLISH), due(999, &i18n::KOREAN)), ("now".to_owned(), "지금".to_owned()));
        assert!(due(90_000, &i18n::ENGLISH).contains(">in 90 s<"));
        assert!(due(7_200_000, &i18n::KOREAN).contains(">2시간 후<"));
        let delays = [10, 1000, 90_000, 60_000, 7_200_000].map(|ms| i18n::ENGLISH.delay(&ms));
        assert_eq!(delays, ["10 ms", "1 s", "90 s", "1 min", "2 h"]);
    }
}
