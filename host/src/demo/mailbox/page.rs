//! `GET /demo/mailbox`: a page for a browser, JSON for everything else.

use std::net::SocketAddr;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::header::{
    ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::{Mail, Mailbox};

pub(super) const STYLE: &str = include_str!("../../../templates/mailbox.css");
pub(super) const SCRIPT: &str = include_str!("../../../templates/mailbox.js");

/// Only this page's own style and script run, whatever an e-mail holds. The hashes are those of
/// `STYLE` and `SCRIPT`; a test says the new one when a file changes.
pub(super) const POLICY: &str = concat!(
    "default-src 'none'; ",
    "style-src 'sha256-1UexBw3avLAIm7epSxwmCib7X4A+Nd5gTjvVPRa03r8='; ",
    "script-src 'sha256-PXXrCbOIHkBmGLgNAAUPp7az21oKwqrqbbdxruf+NPU='; ",
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
);

#[derive(Clone)]
struct Shown {
    mailbox: Mailbox,
    producer: SocketAddr,
    has_console: bool,
}

/// Serves `GET /demo/mailbox`: HTML where the client accepts it, else a JSON array, newest first.
/// `producer` is where the page's example sends its POST. The page leads to the console, where there is one.
pub fn router(mailbox: Mailbox, producer: SocketAddr, has_console: bool) -> Router {
    Router::new().route("/demo/mailbox", get(show)).with_state(Shown { mailbox, producer, has_console })
}

async fn show(State(shown): State<Shown>, headers: HeaderMap) -> Response {
    let wants_page = values(&headers, ACCEPT).any(|value| value.contains("text/html"));
    let response = match wants_page {
        true => html(&shown, &headers),
        false => {
            let mails = shown.mailbox.mails();
            Json(mails.iter().map(Arc::as_ref).collect::<Vec<&Mail>>()).into_response()
        }
    };
    ([(VARY, "accept, accept-language"), (CACHE_CONTROL, "no-cache")], response).into_response()
}

fn html(shown: &Shown, headers: &HeaderMap) -> Response {
    let words = language(headers);
    let run = shown.mailbox.started_ms;
    // Read before the e-mails: one that comes in between makes the page newer than its tag, never older.
    let revision = shown.mailbox.revision();
    let tag = format!("\"{run}-{revision}-{}\"", words.lang);
    if values(headers, IF_NONE_MATCH).any(|value| value == tag) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let mails = shown.mailbox.mails();
    let example = words.example(shown.producer);
    let page =
        Page { words, run, smtp: shown.mailbox.smtp, example, has_console: shown.has_console, mails: &mails };
    match page.render() {
        Ok(page) => {
            let headers = [
                (CONTENT_TYPE, "text/html; charset=utf-8"),
                (CONTENT_SECURITY_POLICY, POLICY),
                (X_CONTENT_TYPE_OPTIONS, "nosniff"),
                (REFERRER_POLICY, "no-referrer"),
            ];
            (headers, [(ETAG, tag)], page).into_response()
        }
        Err(error) => {
            tracing::error!("the mailbox page cannot be drawn: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Template)]
#[template(path = "mailbox.html")]
struct Page<'a> {
    words: &'static Words,
    run: u64,
    smtp: SocketAddr,
    example: String,
    has_console: bool,
    mails: &'a [Arc<Mail>],
}

/// Everything the page says, in one language.
struct Words {
    lang: &'static str,
    title: &'static str,
    lead: &'static str,
    path: &'static str,
    handler: &'static str,
    you_are_here: &'static str,
    none_yet: &'static str,
    none_yet_lead: &'static str,
    another: &'static str,
    fails: &'static str,
    console: &'static str,
    copy: &'static str,
    copied: &'static str,
    lost: &'static str,
    count: &'static str,
    from: &'static str,
    to: &'static str,
    cc: &'static str,
    delivered_to: &'static str,
    no_subject: &'static str,
    no_text: &'static str,
    attachments: &'static str,
    bytes: &'static str,
    html_source: &'static str,
    headers: &'static str,
    also_json: &'static str,
    example_subject: &'static str,
    example_body: &'static str,
}

const ENGLISH: Words = Words {
    lang: "en",
    title: "Mailbox",
    lead: "Every e-mail this demo sends ends up here. Nothing leaves your computer.",
    path: "How an e-mail gets here",
    handler: "sandboxed plugin",
    you_are_here: "you are here",
    none_yet: "No e-mail yet",
    none_yet_lead: "Send the first one from a terminal. It shows up here by itself.",
    another: "Send another one",
    fails: "An e-mail to “nobody” fails: mend it and send it back in",
    console: "the console",
    copy: "Copy",
    copied: "Copied",
    lost: "The host is not answering. This page catches up when it is back.",
    count: "E-mails",
    from: "From",
    to: "To",
    cc: "Cc",
    delivered_to: "Delivered to",
    no_subject: "(no subject)",
    no_text: "(no text)",
    attachments: "Attachments",
    bytes: "bytes",
    html_source: "HTML source",
    headers: "Headers",
    also_json: "The same as JSON:",
    example_subject: "Hello",
    example_body: "My first message",
};

const KOREAN: Words = Words {
    lang: "ko",
    title: "메일함",
    lead: "이 데모가 보내는 메일은 모두 여기로 모입니다. 컴퓨터 밖으로는 나가지 않습니다.",
    path: "메일이 여기까지 오는 길",
    handler: "샌드박스 플러그인",
    you_are_here: "지금 이곳",
    none_yet: "아직 받은 메일이 없습니다",
    none_yet_lead: "터미널에서 첫 메일을 보내 보세요. 도착하면 화면에 바로 나타납니다.",
    another: "메일 더 보내기",
    fails: "받는 사람을 “nobody”로 하면 실패합니다. 고쳐서 다시 보내 보세요:",
    console: "콘솔",
    copy: "복사",
    copied: "복사됨",
    lost: "호스트가 응답하지 않습니다. 다시 연결되면 화면이 저절로 갱신됩니다.",
    count: "받은 메일",
    from: "보낸 사람",
    to: "받는 사람",
    cc: "참조",
    delivered_to: "실제 수신자",
    no_subject: "(제목 없음)",
    no_text: "(본문 없음)",
    attachments: "첨부 파일",
    bytes: "바이트",
    html_source: "HTML 원문",
    headers: "헤더",
    also_json: "JSON으로 보기:",
    example_subject: "안녕하세요",
    example_body: "첫 메시지입니다",
};

impl Words {
    fn example(&self, producer: SocketAddr) -> String {
        format!(
            r#"curl http://{producer}/api/emails/send \
  -H 'Content-Type: application/json' \
  -d '{{"from":"me@example.com","to":"you@example.com",
       "subject":"{}","body":"{}"}}'"#,
            self.example_subject, self.example_body
        )
    }
}

/// The client's best of the two: the highest weight, the first among equals, English if neither.
fn language(headers: &HeaderMap) -> &'static Words {
    let mut best = (0.0, &ENGLISH);
    for range in values(headers, ACCEPT_LANGUAGE).flat_map(|value| value.split(',')) {
        let (tag, weight) = range.split_once(";q=").unwrap_or((range, "1"));
        let weight = weight.trim().parse().unwrap_or(0.0);
        let words = match tag.trim().split('-').next() {
            Some(tag) if tag.eq_ignore_ascii_case("ko") => &KOREAN,
            Some(tag) if tag.eq_ignore_ascii_case("en") => &ENGLISH,
            _ => continue,
        };
        if weight > best.0 {
            best = (weight, words);
        }
    }
    best.1
}

fn values(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}
