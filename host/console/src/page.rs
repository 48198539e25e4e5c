//! Parts of all pages: the layout's context, links between pages of a list, and error pages.

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::{clock, text};
use desk::audit::Actor;
use desk::{Desk, IdOf};
use desk_api::{Cursor, DeadLetterState, IntakeState, MAX_REASON_CHARS, Page, PartitionState};
use problem::Problem;

use super::Console;
use super::assets::{PATHS, Paths};
use super::form::Refusal;
use super::format::{self, CopyableId, LocalTime, Timestamp};
use super::i18n::{ENGLISH, Texts, counted};
use super::session::Session;
use super::strip::Strip;
use super::theme::Theme;
use server::{DeskState, api, ids};

/// The context of a page: language, session, address, and the health of the host.
#[derive(Clone)]
pub struct PageContext {
    pub texts: &'static Texts,
    pub session: Session,
    pub paths: &'static Paths,
    /// Whether a token is required, so that logging out makes sense.
    pub has_token: bool,
    pub now_ms: i64,
    pub theme: Theme,
    pub strip: Strip,
    /// The page's path and query.
    address: String,
}

impl FromRequestParts<Console> for PageContext {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Response> {
        // `login::guard` has set both extensions.
        let texts = parts.extensions.get::<&'static Texts>().copied().unwrap_or(&ENGLISH);
        let session = parts.extensions.get::<Session>().ok_or_else(|| form_expired(texts))?;
        Ok(Self {
            texts,
            session: session.clone(),
            paths: &PATHS,
            has_token: console.0.policy.has_token(),
            now_ms: clock::now_ms(),
            theme: Theme::of(&parts.headers),
            strip: Strip::of(&console.0.status, texts),
            address: parts.uri.path_and_query().map_or("/", |address| address.as_str()).to_owned(),
        })
    }
}

/// An item of the navigation.
pub struct NavItem {
    pub path: &'static str,
    pub name: &'static str,
    /// The key that follows `g` in the keyboard shortcut.
    pub key: char,
    /// Whether it begins a part of the navigation.
    pub is_first: bool,
}

impl PageContext {
    /// The navigation.
    pub fn navigation(&self) -> Vec<NavItem> {
        let (texts, rooms) = (self.texts, &self.texts.rooms);
        let parts: [&[(&'static str, &'static str, char)]; 3] = [
            &[
                ("/", texts.overview, 'o'),
                ("/failures", texts.failures, 'f'),
                ("/dead-letters", texts.dead_letters, 'd'),
                ("/waiting", texts.waiting, 'w'),
                ("/replays", texts.replays, 'r'),
                ("/trials", texts.trials, 't'),
            ],
            &[("/plugins", rooms.plugins, 'p'), ("/topics", rooms.topics_short, 'k')],
            &[("/audit-log", texts.audit_log, 'a'), ("/settings", rooms.settings, 's')],
        ];
        let items = parts.iter().flat_map(|part| part.iter().enumerate());
        items.map(|(index, &(path, name, key))| NavItem { path, name, key, is_first: index == 0 }).collect()
    }

    /// Whether the page belongs to this item of the navigation.
    pub fn is_current(&self, path: &str) -> bool {
        let current = self.address.split('?').next().unwrap_or_default();
        current == path
            || (path != "/" && current.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')))
    }

    /// A `<time>` element with the age.
    pub fn ago(&self, ms: &i64) -> Timestamp {
        Timestamp { ms: *ms, shown: self.texts.ago(self.now_ms.saturating_sub(*ms) / 1000) }
    }

    /// A `<time>` element with the time until something is due.
    pub fn due(&self, ms: &i64) -> Timestamp {
        Timestamp { ms: *ms, shown: self.texts.ahead(ms.saturating_sub(self.now_ms) / 1000) }
    }

    /// A `<time>` element with the local time.
    pub fn at(&self, ms: &i64) -> LocalTime {
        LocalTime(*ms)
    }

    /// An abbreviated id that can be copied.
    pub fn id(&self, id: &str) -> CopyableId {
        CopyableId { id: id.to_owned(), texts: self.texts }
    }

    /// A time in UTC.
    pub fn utc(&self, ms: &i64) -> String {
        text::utc(*ms)
    }

    /// A number with thousands separators.
    pub fn number(&self, number: &u64) -> String {
        format::number(*number)
    }

    /// A text with a number.
    pub fn counted(&self, text: &str, number: &u64) -> String {
        counted(text, *number)
    }

    /// What the host says, in the language of the page.
    pub fn remark(&self, said: &str) -> String {
        format::block(self.texts.remark(said).as_bytes())
    }

    /// A text on a single line.
    pub fn line(&self, text: &str) -> String {
        format::line(text)
    }

    /// An abbreviated id.
    pub fn short(&self, id: &str) -> String {
        format::short(id)
    }

    /// The name of a dead letter's state.
    pub fn state(&self, state: &DeadLetterState) -> &'static str {
        match state {
            DeadLetterState::Open => self.texts.open,
            DeadLetterState::Replayed => self.texts.replayed,
            DeadLetterState::Discarded => self.texts.discarded,
            DeadLetterState::Edited => self.texts.desk.edited_state,
        }
    }

    /// The name of a plugin's state.
    pub fn intake_state(&self, state: &IntakeState) -> &'static str {
        match state {
            IntakeState::Running => self.texts.handling,
            IntakeState::Paused => self.texts.paused,
            IntakeState::Resting => self.texts.resting,
        }
    }

    /// The name of a partition's state.
    pub fn partition_state(&self, state: &PartitionState) -> &'static str {
        match state {
            PartitionState::Reading => self.texts.reading,
            PartitionState::Resting => self.texts.resting,
            PartitionState::Blocked => self.texts.blocked,
            PartitionState::Draining => self.texts.draining,
        }
    }

    /// The page's address in the other language.
    pub fn other_language(&self) -> String {
        self.with("lang", self.texts.other_lang)
    }

    /// The page's address in the next theme, and the name of that theme.
    pub fn next_theme(&self) -> (String, &'static str) {
        let (next, rooms) = (self.theme.next(), &self.texts.rooms);
        let name = match next {
            Theme::Auto => rooms.theme_auto,
            Theme::Light => rooms.theme_light,
            Theme::Dark => rooms.theme_dark,
        };
        (self.with("theme", next.as_str()), name)
    }

    /// The page's address with a parameter.
    fn with(&self, name: &str, value: &str) -> String {
        let separator = if self.address.contains('?') { '&' } else { '?' };
        format!("{}{separator}{name}={value}", self.address)
    }

    /// The session's user as actor.
    ///
    /// # Errors
    /// The reason is too long.
    pub fn actor<'a>(&'a self, reason: &'a str) -> Result<Actor<'a>, ErrorPage> {
        if reason.chars().count() > MAX_REASON_CHARS {
            return Err(self.error(StatusCode::BAD_REQUEST, self.texts.reason_too_long));
        }
        Ok(Actor { name: &self.session.user, reason: reason.trim(), now_ms: clock::now_ms() })
    }

    /// Refuses a form that was not sent by a page of this session.
    ///
    /// # Errors
    /// The token does not match.
    pub fn check_csrf(&self, csrf: &str) -> Result<(), ErrorPage> {
        if self.session.is_csrf(csrf) {
            return Ok(());
        }
        Err(self.error(StatusCode::FORBIDDEN, self.texts.form_expired))
    }

    /// An error page.
    pub fn error(&self, status: StatusCode, detail: &str) -> ErrorPage {
        let ctx = Some(Box::new(self.clone()));
        ErrorPage { status, texts: self.texts, detail: detail.to_owned(), ctx }
    }

    /// An error page for an error of the API.
    pub fn problem(&self, problem: Problem) -> ErrorPage {
        self.error(problem.status(), problem.detail())
    }

    /// The error page for unknown paths and ids.
    pub fn not_found(&self) -> ErrorPage {
        self.error(StatusCode::NOT_FOUND, self.texts.not_found_detail)
    }

    /// The error page for an id that belongs to nothing, or is the beginning of several.
    ///
    /// An unknown id gets the page for unknown addresses.
    pub async fn no_such_id(&self, desk: &Desk, of: IdOf, id: &str) -> ErrorPage {
        let problem = ids::refused(desk, of, id).await;
        match problem.status() {
            StatusCode::NOT_FOUND => self.not_found(),
            StatusCode::CONFLICT => self.error(StatusCode::CONFLICT, self.texts.desk.ambiguous_id),
            _ => self.problem(problem),
        }
    }

    /// The error page for an unavailable store.
    pub fn store_unavailable(&self, error: sqlx::Error) -> ErrorPage {
        self.problem(api::store_unavailable(error))
    }
}

/// Links to the other pages of a list.
pub struct PageLinks {
    pub first: Option<String>,
    pub newer: Option<String>,
    pub older: Option<String>,
    pub last: Option<String>,
}

impl PageLinks {
    /// Links of a list at `path`, with this query string.
    pub fn new<T>(path: &str, query: &str, page: &Page<T>) -> Self {
        let separator = if query.is_empty() { "" } else { "&" };
        let link = |parameter: &str| format!("{path}?{query}{separator}{parameter}");
        let cursor = |name: &str, cursor: &Cursor| link(&format!("{name}={cursor}"));
        Self {
            first: page.previous.as_ref().map(|_| format!("{path}?{query}")),
            newer: page.previous.as_ref().map(|before| cursor("before", before)),
            older: page.next.as_ref().map(|after| cursor("after", after)),
            last: page.next.as_ref().map(|_| link("last=true")),
        }
    }

    /// Whether there is more than one page.
    pub fn is_any(&self) -> bool {
        self.older.is_some() || self.newer.is_some()
    }
}

/// An error as a page.
pub struct ErrorPage {
    status: StatusCode,
    texts: &'static Texts,
    detail: String,
    /// None without a session: the page has no navigation.
    ctx: Option<Box<PageContext>>,
}

/// An error page with the navigation.
#[derive(Template)]
#[template(path = "console/error.html")]
struct ErrorTemplate<'a> {
    ctx: PageContext,
    heading: &'a str,
    detail: String,
    /// Whether the page reloads: the error may be temporary.
    reloads: bool,
}

/// An error page without a session.
#[derive(Template)]
#[template(path = "console/bare_error.html")]
struct BareErrorTemplate<'a> {
    texts: &'static Texts,
    paths: &'static Paths,
    heading: &'a str,
    detail: String,
}

impl IntoResponse for ErrorPage {
    fn into_response(self) -> Response {
        let Self { status, texts, detail, ctx } = self;
        let heading = match status {
            StatusCode::NOT_FOUND => texts.not_found,
            _ => texts.request_failed,
        };
        let reloads = status == StatusCode::SERVICE_UNAVAILABLE;
        let detail = format::line(&detail);
        let page = match ctx {
            Some(ctx) => render(&ErrorTemplate { ctx: *ctx, heading, detail, reloads }),
            None => render(&BareErrorTemplate { texts, paths: &PATHS, heading, detail }),
        };
        (status, page).into_response()
    }
}

/// Renders a page.
pub fn render(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!("a page of the console cannot be rendered: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Renders the page of a form; of one that was refused, with the status of its refusal.
pub fn render_form(page: &impl Template, refused: Option<&Refusal>) -> Response {
    let status = refused.map_or(StatusCode::OK, |refused| refused.status);
    (status, render(page)).into_response()
}

/// The fallback of the router.
pub async fn not_found(ctx: PageContext) -> ErrorPage {
    ctx.not_found()
}

/// The answer to a form without a valid session.
pub fn form_expired(texts: &'static Texts) -> Response {
    let detail = texts.form_expired.to_owned();
    ErrorPage { status: StatusCode::FORBIDDEN, texts, detail, ctx: None }.into_response()
}

impl FromRequestParts<Console> for DeskState {
    type Rejection = Response;

    /// Answers with a page that reloads until the host has started.
    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Response> {
        if let Some(state) = console.0.status.desk() {
            return Ok(state.clone());
        }
        let ctx = PageContext::from_request_parts(parts, console).await?;
        let (heading, detail) = (ctx.texts.starting, ctx.texts.starting_detail.to_owned());
        let page = ErrorTemplate { ctx, heading, detail, reloads: true };
        Err((StatusCode::SERVICE_UNAVAILABLE, render(&page)).into_response())
    }
}
