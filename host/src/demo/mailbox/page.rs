//! `GET /demo/mailbox`: HTML for browsers, JSON for other clients.

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

/// Permits only the page's own style and script, by the hashes of `STYLE` and `SCRIPT`. A test reports outdated
/// hashes.
pub(super) const POLICY: &str = concat!(
    "default-src 'none'; ",
    "style-src 'sha256-1UexBw3avLAIm7epSxwmCib7X4A+Nd5gTjvVPRa03r8='; ",
    "script-src 'sha256-PXXrCbOIHkBmGLgNAAUPp7az21oKwqrqbbdxruf+NPU='; ",
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
);

#[derive(Clone)]
struct PageState {
    mailbox: Mailbox,
    producer: SocketAddr,
    has_console: bool,
}

/// Serves `GET /demo/mailbox`: HTML if the client accepts it, otherwise a JSON array; newest first. `producer` is the
/// address in the page's example. The page links to the console if there is one.
pub fn router(mailbox: Mailbox, producer: SocketAddr, has_console: bool) -> Router {
    Router::new().route("/demo/mailbox", get(show)).with_state(PageState { mailbox, producer, has_console })
}

async fn show(State(state): State<PageState>, headers: HeaderMap) -> Response {
    let wants_page = values(&headers, ACCEPT).any(|value| value.contains("text/html"));
    let response = match wants_page {
        true => html(&state, &headers),
        false => {
            let mails = state.mailbox.mails();
            Json(mails.iter().map(Arc::as_ref).collect::<Vec<&Mail>>()).into_response()
        }
    };
    ([(VARY, "accept, accept-language"), (CACHE_CONTROL, "no-cache")], response).into_response()
}

fn html(state: &PageState, headers: &HeaderMap) -> Response {
    let texts = language(headers);
    let run = state.mailbox.started_ms;
    // Read before the e-mails, so that the page is never older than its tag.
    let revision = state.mailbox.revision();
    let tag = format!("\"{run}-{revision}-{}\"", texts.lang);
    if values(headers, IF_NONE_MATCH).any(|value| value == tag) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let mails = state.mailbox.mails();
    let example = texts.example(state.producer);
    let page =
        Page { texts, run, smtp: state.mailbox.smtp, example, has_console: state.has_console, mails: &mails };
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
            tracing::error!("the mailbox page cannot be rendered: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[derive(Template)]
#[template(path = "mailbox.html")]
struct Page<'a> {
    texts: &'static Texts,
    run: i64,
    smtp: SocketAddr,
    example: String,
    has_console: bool,
    mails: &'a [Arc<Mail>],
}

/// The page's texts in one language.
struct Texts {
    lang: &'static str,
    title: &'static str,
    lead: &'static str,
    path: &'static str,
    handler: &'static str,
    this_page: &'static str,
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

const ENGLISH: Texts = Texts {
    lang: "en",
    title: "Mailbox",
    lead: "Every e-mail that the demo sends is delivered here. Nothing leaves your computer.",
    path: "Path of an e-mail",
    handler: "sandboxed plugin",
    this_page: "this page",
    none_yet: "No e-mails yet",
    none_yet_lead: "Send one from a terminal. It appears here automatically.",
    another: "Send another e-mail",
    fails: "An e-mail to “nobody@example.com” becomes a dead letter.",
    console: "Edit and replay it in the console",
    copy: "Copy",
    copied: "Copied",
    lost: "The host is not responding. This page updates as soon as it is available again.",
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
    also_json: "As JSON:",
    example_subject: "Hello",
    example_body: "My first message",
};

const KOREAN: Texts = Texts {
    lang: "ko",
    title: "메일함",
    lead: "데모가 보내는 모든 메일이 여기로 배달됩니다. 외부로는 전송되지 않습니다.",
    path: "메일 전달 경로",
    handler: "샌드박스 플러그인",
    this_page: "현재 페이지",
    none_yet: "아직 받은 메일이 없습니다",
    none_yet_lead: "터미널에서 메일을 보내면 자동으로 표시됩니다.",
    another: "메일 더 보내기",
    fails: "“nobody@example.com”에 보낸 메일은 데드 레터가 됩니다.",
    console: "콘솔에서 수정하고 재처리하기",
    copy: "복사",
    copied: "복사됨",
    lost: "호스트가 응답하지 않습니다. 다시 연결되면 화면이 자동으로 갱신됩니다.",
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

impl Texts {
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

/// The supported language with the highest weight in `Accept-Language`; English if there is none.
fn language(headers: &HeaderMap) -> &'static Texts {
    let mut best = (0.0, &ENGLISH);
    for range in values(headers, ACCEPT_LANGUAGE).flat_map(|value| value.split(',')) {
        let (tag, weight) = range.split_once(";q=").unwrap_or((range, "1"));
        let weight = weight.trim().parse().unwrap_or(0.0);
        let texts = match tag.trim().split('-').next() {
            Some(tag) if tag.eq_ignore_ascii_case("ko") => &KOREAN,
            Some(tag) if tag.eq_ignore_ascii_case("en") => &ENGLISH,
            _ => continue,
        };
        if weight > best.0 {
            best = (weight, texts);
        }
    }
    best.1
}

fn values(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}
