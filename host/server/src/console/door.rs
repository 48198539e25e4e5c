//! Who is let in: other sites' pages are not, and with a token only who has shown it.

use std::num::NonZeroU32;

use askama::Template;
use axum::extract::{Form, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde::Deserialize;
use url::form_urlencoded;

use super::Console;
use super::page::{self, Shell};
use super::session::{self, Session, cookies, is_https};
use super::words::Words;

/// Wrong tokens a minute, of all browsers together.
const ATTEMPTS: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// The cookie that holds the language.
const LANGUAGE: &str = "host-language";
/// A year, in seconds.
const YEAR: u32 = 31_536_000;
/// Only what comes from here runs, is shown, or is asked; no page may put this one into a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// How many attempts at the token there may still be.
pub type Attempts = DefaultDirectRateLimiter;

/// All of them.
pub fn attempts() -> Attempts {
    RateLimiter::direct(Quota::per_minute(ATTEMPTS))
}

/// Lets requests through with a session, and keeps every answer out of caches and frames.
pub async fn guard(State(console): State<Console>, mut request: Request, next: Next) -> Response {
    let words = language(request.headers());
    let mut response = match admit(&console, &mut request, words) {
        Ok(given) => {
            let mut response = next.run(request).await;
            if let Some(cookie) = given {
                // What the handler gives counts more.
                if !response.headers().contains_key(header::SET_COOKIE) {
                    response.headers_mut().insert(header::SET_COOKIE, cookie);
                }
            }
            response
        }
        Err(response) => *response,
    };
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::VARY, "accept-language, cookie"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let same_origin = HeaderValue::from_static("same-origin");
    response.headers_mut().insert("cross-origin-opener-policy", same_origin);
    response
}

/// Puts the session beside the request; the cookie of a new one.
fn admit(
    console: &Console,
    request: &mut Request,
    words: &'static Words,
) -> Result<Option<HeaderValue>, Box<Response>> {
    let (method, headers) = (request.method(), request.headers());
    let access = &console.0.access;
    if let Err(problem) = access.check_origin(method, headers) {
        return Err(Box::new(problem.into_response()));
    }
    if let Some(answer) = change_language(request) {
        return Err(Box::new(answer));
    }
    let path = request.uri().path();
    let (session, cookie) = match console.0.sessions.find(headers) {
        Some(session) => (session, None),
        None if !access.has_token() && method.is_safe() => {
            let session = console.0.sessions.begin(session::NOBODY);
            let cookie = session.cookie(is_https(headers));
            (session, Some(cookie))
        }
        // Nobody yet; the form of the door is bound to nothing.
        None if path == "/login" => (console.0.sessions.begin(session::NOBODY), None),
        None if access.has_token() => return Err(Box::new(to_the_door(request))),
        None => return Err(Box::new(page::expired(words))),
    };
    request.extensions_mut().insert(words);
    request.extensions_mut().insert(session);
    Ok(cookie)
}

fn to_the_door(request: &Request) -> Response {
    if *request.method() != Method::GET || request.uri().path() == "/events" {
        return (StatusCode::UNAUTHORIZED, "log in first: /login\n").into_response();
    }
    let here = request.uri().path_and_query().map_or("/", |here| here.as_str());
    let next = form_urlencoded::Serializer::new(String::new()).append_pair("next", here).finish();
    Redirect::to(&format!("/login?{next}")).into_response()
}

/// `?lang=ko` is remembered, and goes.
fn change_language(request: &Request) -> Option<Response> {
    let query = request.uri().query().filter(|_| *request.method() == Method::GET)?;
    let pairs = || form_urlencoded::parse(query.as_bytes());
    let words = pairs().find(|(name, _)| name == "lang").and_then(|(_, lang)| Words::of(&lang))?;
    let rest = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs().filter(|(name, _)| name != "lang"))
        .finish();
    let path = local(request.uri().path());
    let to = if rest.is_empty() { path.to_owned() } else { format!("{path}?{rest}") };
    let cookie = format!("{LANGUAGE}={}; Path=/; SameSite=Lax; Max-Age={YEAR}", words.lang);
    Some(([(header::SET_COOKIE, cookie)], Redirect::to(&to)).into_response())
}

fn language(headers: &HeaderMap) -> &'static Words {
    let chosen = cookies(headers, LANGUAGE).find_map(Words::of);
    chosen.unwrap_or_else(|| Words::accepted(headers))
}

/// A path on this host, or the overview: `//elsewhere` is another host's.
fn local(path: &str) -> &str {
    let is_local = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains(['\\', '\r', '\n', '\t'])
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    if is_local { path } else { "/" }
}

#[derive(Template)]
#[template(path = "console/login.html")]
struct Door {
    shell: Shell,
    next: String,
    wrong: &'static str,
}

/// Where to go afterwards.
#[derive(Deserialize)]
pub struct Onward {
    #[serde(default)]
    next: String,
}

/// The form.
pub async fn form(State(console): State<Console>, shell: Shell, Query(next): Query<Onward>) -> Response {
    if !console.0.access.has_token() {
        return Redirect::to("/").into_response();
    }
    page::answer(&Door { shell, next: local(&next.next).to_owned(), wrong: "" })
}

/// What is typed at the door.
#[derive(Deserialize)]
pub struct Entry {
    token: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    next: String,
}

/// Begins a session for whoever shows the token.
pub async fn enter(
    State(console): State<Console>,
    headers: HeaderMap,
    shell: Shell,
    Form(entry): Form<Entry>,
) -> Response {
    let next = local(&entry.next).to_owned();
    let words = shell.words;
    let refused = |status: StatusCode, wrong| {
        (status, page::answer(&Door { shell, next: next.clone(), wrong })).into_response()
    };
    // Whoever has the token is not kept out by others who have not.
    if console.0.access.is_token(entry.token.trim().as_bytes()) {
        let session: Session = console.0.sessions.begin(&entry.name);
        let cookie = session.cookie(is_https(&headers));
        tracing::info!(who = session.who, "somebody logged in to the console");
        return ([(header::SET_COOKIE, cookie)], Redirect::to(&next)).into_response();
    }
    if console.0.attempts.check().is_err() {
        return refused(StatusCode::TOO_MANY_REQUESTS, words.too_often);
    }
    tracing::warn!("a wrong token was shown to the console");
    refused(StatusCode::UNAUTHORIZED, words.wrong_token)
}

/// Ends the session in this browser.
pub async fn leave() -> Response {
    ([(header::SET_COOKIE, session::no_cookie())], Redirect::to("/login")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        assert_eq!(local("/letters?code=a%20b"), "/letters?code=a%20b");
        for path in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/a\nb",
            "javascript:alert(1)",
            "/\u{202e}",
        ] {
            assert_eq!(local(path), "/", "{path:?}");
        }
    }
}
