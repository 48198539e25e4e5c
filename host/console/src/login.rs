//! Login, language, and the checks that every request passes.

use std::num::NonZeroU32;

use askama::Template;
use axum::extract::{Form, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde::Deserialize;
use url::form_urlencoded;

use super::Console;
use super::i18n::Texts;
use super::page::{self, PageContext};
use super::session::{DEFAULT_USER, Session, is_https};
use super::theme::{self, Theme};

/// Failed logins per minute, of all browsers together.
const MAX_FAILED_LOGINS: NonZeroU32 = NonZeroU32::new(10).unwrap();
/// The cookie with the chosen language.
const LANGUAGE_COOKIE: &str = "host-language";
/// How long the language and the theme are kept.
const PREFERENCE_LIFETIME: time::Duration = time::Duration::days(365);
/// Only resources of this origin; no frames.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Limits failed logins.
pub type Limiter = DefaultDirectRateLimiter;

/// The limiter of failed logins.
pub fn limiter() -> Limiter {
    RateLimiter::direct(Quota::per_minute(MAX_FAILED_LOGINS))
}

/// Middleware: requires a session, and disables caching and framing.
pub async fn guard(State(console): State<Console>, mut request: Request, next: Next) -> Response {
    let texts = language(request.headers());
    let is_https = is_https(request.headers());
    let mut response = match admit(&console, &mut request, texts) {
        Ok(None) => next.run(request).await,
        Ok(Some(session)) => {
            let response = next.run(request).await;
            // The handler's own cookie takes precedence.
            match response.headers().contains_key(header::SET_COOKIE) {
                true => response,
                false => (console.0.sessions.set_cookie(&session, is_https), response).into_response(),
            }
        }
        Err(response) => *response,
    };
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::VARY, "accept-language, cookie"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let same_origin = HeaderValue::from_static("same-origin");
    response.headers_mut().insert("cross-origin-opener-policy", same_origin);
    response
}

/// Adds session and language to the request. Returns the session if it is new and needs a cookie.
fn admit(
    console: &Console,
    request: &mut Request,
    texts: &'static Texts,
) -> Result<Option<Session>, Box<Response>> {
    let (method, headers) = (request.method(), request.headers());
    let (policy, sessions) = (&console.0.policy, &console.0.sessions);
    if let Err(problem) = policy.check_origin(method, headers) {
        return Err(Box::new(problem.into_response()));
    }
    if let Some(response) = change_preference(request) {
        return Err(Box::new(response));
    }
    let (session, is_new) = match sessions.find(headers) {
        Some(session) => (session, false),
        None if !policy.has_token() && method.is_safe() => (sessions.create(DEFAULT_USER), true),
        // The login form is not bound to a session.
        None if request.uri().path() == "/login" => (sessions.create(DEFAULT_USER), false),
        None if policy.has_token() => return Err(Box::new(require_login(request))),
        None => return Err(Box::new(page::form_expired(texts))),
    };
    request.extensions_mut().insert(texts);
    request.extensions_mut().insert(session.clone());
    Ok(is_new.then_some(session))
}

fn require_login(request: &Request) -> Response {
    if *request.method() != Method::GET || request.uri().path() == "/events" {
        return (StatusCode::UNAUTHORIZED, "login required: /login\n").into_response();
    }
    let address = request.uri().path_and_query().map_or("/", |address| address.as_str());
    let next = form_urlencoded::Serializer::new(String::new()).append_pair("next", address).finish();
    Redirect::to(&format!("/login?{next}")).into_response()
}

/// Stores the language of `?lang=ko` or the theme of `?theme=dark`, and redirects to the address without it.
fn change_preference(request: &Request) -> Option<Response> {
    let query = request.uri().query().filter(|_| *request.method() == Method::GET)?;
    let pairs = || form_urlencoded::parse(query.as_bytes());
    let chosen = pairs().find_map(|(name, value)| match &*name {
        "lang" => Texts::of(&value).map(|texts| (LANGUAGE_COOKIE, texts.lang)),
        "theme" => Theme::parse(&value).map(|theme| (theme::COOKIE, theme.as_str())),
        _ => None,
    })?;
    let rest = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs().filter(|(name, _)| name != "lang" && name != "theme"))
        .finish();
    let path = local_path(request.uri().path());
    let to = if rest.is_empty() { path.to_owned() } else { format!("{path}?{rest}") };
    let cookie = Cookie::build(chosen).path("/").same_site(SameSite::Lax);
    let jar = CookieJar::new().add(cookie.max_age(PREFERENCE_LIFETIME));
    Some((jar, Redirect::to(&to)).into_response())
}

fn language(headers: &HeaderMap) -> &'static Texts {
    let jar = CookieJar::from_headers(headers);
    let chosen = jar.get(LANGUAGE_COOKIE).and_then(|cookie| Texts::of(cookie.value()));
    chosen.unwrap_or_else(|| Texts::accepted(headers))
}

/// The path if it is on this host, otherwise the overview. `//elsewhere` would be another host.
fn local_path(path: &str) -> &str {
    let is_local = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains(['\\', '\r', '\n', '\t'])
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    if is_local { path } else { "/" }
}

#[derive(Template)]
#[template(path = "console/login.html")]
struct LoginPage {
    ctx: PageContext,
    next: String,
    error: &'static str,
}

/// The address after the login.
#[derive(Deserialize)]
pub struct NextQuery {
    #[serde(default)]
    next: String,
}

/// The login form.
pub async fn form(
    State(console): State<Console>,
    ctx: PageContext,
    Query(query): Query<NextQuery>,
) -> Response {
    if !console.0.policy.has_token() {
        return Redirect::to("/").into_response();
    }
    page::render(&LoginPage { ctx, next: local_path(&query.next).to_owned(), error: "" })
}

/// The fields of the login form.
#[derive(Deserialize)]
pub struct LoginForm {
    token: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    next: String,
}

/// Creates a session if the token is correct.
pub async fn log_in(
    State(console): State<Console>,
    headers: HeaderMap,
    ctx: PageContext,
    Form(form): Form<LoginForm>,
) -> Response {
    let (next, texts) = (local_path(&form.next).to_owned(), ctx.texts);
    let refuse = |status: StatusCode, error| {
        (status, page::render(&LoginPage { ctx, next: next.clone(), error })).into_response()
    };
    // Checked before the limiter, so that failed logins of others do not lock out a user with the token.
    if console.0.policy.is_token(form.token.trim().as_bytes()) {
        let session = console.0.sessions.create(&form.name);
        let jar = console.0.sessions.set_cookie(&session, is_https(&headers));
        tracing::info!(user = session.user, "login to the console");
        return (jar, Redirect::to(&next)).into_response();
    }
    if console.0.login_limiter.check().is_err() {
        return refuse(StatusCode::TOO_MANY_REQUESTS, texts.too_many_attempts);
    }
    tracing::warn!("failed login to the console: wrong token");
    refuse(StatusCode::UNAUTHORIZED, texts.wrong_token)
}

/// Ends the browser's session.
pub async fn log_out(State(console): State<Console>) -> Response {
    (console.0.sessions.remove_cookie(), Redirect::to("/login")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_on_this_host() {
        assert_eq!(local_path("/dead-letters?code=a%20b"), "/dead-letters?code=a%20b");
        for path in [
            "",
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/a\nb",
            "javascript:alert(1)",
            "/\u{202e}",
        ] {
            assert_eq!(local_path(path), "/", "{path:?}");
        }
    }
}
