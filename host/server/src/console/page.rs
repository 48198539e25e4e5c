//! What every page has: its frame, and what becomes of it when something goes wrong.

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base::clock;
use desk::actions::By;
use desk::page::Cursor;
use desk::{Page, State};
use problem::Problem;

use super::Console;
use super::assets::{PATHS, Paths};
use super::session::Session;
use super::shown::{self, Moment};
use super::words::{ENGLISH, Words};
use crate::Office;

/// The longest reason, in characters.
const LONGEST_REASON: usize = 1000;

/// The frame of a page, and who looks at it.
pub struct Shell {
    pub words: &'static Words,
    pub who: String,
    pub csrf: String,
    pub paths: &'static Paths,
    /// Whether there is a token, and so somebody to log out.
    pub has_token: bool,
    pub now_ms: i64,
    /// The page's own address, with what stands behind the question mark.
    here: String,
}

impl FromRequestParts<Console> for Shell {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Response> {
        // The guard has put both there.
        let words = parts.extensions.get::<&'static Words>().copied().unwrap_or(&ENGLISH);
        let session = parts.extensions.get::<Session>().ok_or_else(|| expired(words))?;
        Ok(Self {
            words,
            who: session.who.clone(),
            csrf: session.csrf.clone(),
            paths: &PATHS,
            has_token: console.0.access.has_token(),
            now_ms: clock::now_ms(),
            here: parts.uri.path_and_query().map_or("/", |here| here.as_str()).to_owned(),
        })
    }
}

/// A room of the console.
pub struct Room {
    pub path: &'static str,
    pub name: &'static str,
    /// What follows `g` on the keyboard.
    pub key: char,
}

impl Shell {
    /// All rooms.
    pub fn rooms(&self) -> [Room; 6] {
        let words = self.words;
        [
            ("/", words.overview, 'o'),
            ("/groups", words.groups, 'g'),
            ("/letters", words.letters, 'l'),
            ("/jobs", words.jobs, 'j'),
            ("/trials", words.trials, 't'),
            ("/actions", words.actions, 'r'),
        ]
        .map(|(path, name, key)| Room { path, name, key })
    }

    /// `<time>`
    pub fn ago(&self, ms: &i64) -> Moment {
        Moment { ms: *ms, now_ms: self.now_ms, words: self.words }
    }

    /// A number with separators.
    pub fn n(&self, number: &u64) -> String {
        shown::number(*number)
    }

    /// A text on one line.
    pub fn line(&self, text: &str) -> String {
        shown::line(text)
    }

    /// The beginning of an id.
    pub fn short(&self, id: &str) -> String {
        shown::short(id)
    }

    /// What a state is called.
    pub fn state(&self, state: &State) -> &'static str {
        match state {
            State::Open => self.words.open,
            State::Replayed => self.words.replayed,
            State::Discarded => self.words.discarded,
        }
    }

    /// Where the same page is in the other language.
    pub fn elsewhere(&self) -> String {
        let and = if self.here.contains('?') { '&' } else { '?' };
        format!("{}{and}lang={}", self.here, self.words.other_lang)
    }

    /// Whether this room is the one that is shown.
    pub fn is_in(&self, room: &str) -> bool {
        let path = self.here.split('?').next().unwrap_or_default();
        path == room || (room != "/" && path.strip_prefix(room).is_some_and(|rest| rest.starts_with('/')))
    }

    /// Whoever sits there, for the record.
    ///
    /// # Errors
    /// The reason is too long.
    pub fn because<'a>(&'a self, reason: &'a str) -> Result<By<'a>, Trouble> {
        if reason.chars().count() > LONGEST_REASON {
            return Err(self.trouble(StatusCode::BAD_REQUEST, self.words.reason_needed));
        }
        Ok(By { who: &self.who, reason: reason.trim(), now_ms: clock::now_ms() })
    }

    /// Refuses a form that is not this session's.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self, session: &Session, csrf: &str) -> Result<(), Trouble> {
        if session.sent(csrf) {
            return Ok(());
        }
        Err(self.trouble(StatusCode::FORBIDDEN, self.words.form_expired))
    }

    /// A page that says what went wrong.
    pub fn trouble(&self, status: StatusCode, what: &str) -> Trouble {
        Trouble { status, words: self.words, what: what.to_owned() }
    }

    /// Likewise, for what the API would have answered.
    pub fn refused(&self, problem: Problem) -> Trouble {
        Trouble { status: problem.status(), words: self.words, what: problem.detail().to_owned() }
    }

    /// Nothing is there.
    pub fn nothing(&self) -> Trouble {
        self.trouble(StatusCode::NOT_FOUND, self.words.not_found_lead)
    }

    /// The store does not answer.
    pub fn away(&self, error: sqlx::Error) -> Trouble {
        self.refused(crate::api::away(error))
    }
}

/// The links between the pages of a list.
pub struct Links {
    pub first: Option<String>,
    pub newer: Option<String>,
    pub older: Option<String>,
    pub last: Option<String>,
}

impl Links {
    /// Of a list at `path`, with `query` behind it.
    pub fn of<T>(path: &str, query: &str, page: &Page<T>) -> Self {
        let and = if query.is_empty() { "" } else { "&" };
        let to = |what: &str| format!("{path}?{query}{and}{what}");
        let cursor = |name: &str, cursor: &Cursor| to(&format!("{name}={cursor}"));
        Self {
            first: page.previous.as_ref().map(|_| format!("{path}?{query}")),
            newer: page.previous.as_ref().map(|before| cursor("before", before)),
            older: page.next.as_ref().map(|after| cursor("after", after)),
            last: page.next.as_ref().map(|_| to("last=true")),
        }
    }

    /// Whether there is more than one page.
    pub fn is_any(&self) -> bool {
        self.older.is_some() || self.newer.is_some()
    }
}

/// What went wrong, as a page.
pub struct Trouble {
    status: StatusCode,
    words: &'static Words,
    what: String,
}

#[derive(Template)]
#[template(path = "console/trouble.html")]
struct TroublePage<'a> {
    words: &'static Words,
    paths: &'static Paths,
    heading: &'a str,
    what: String,
    /// Whether it may be gone by itself soon.
    again: bool,
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let Self { status, words, what } = self;
        let again = status == StatusCode::SERVICE_UNAVAILABLE;
        let heading = match status {
            StatusCode::NOT_FOUND => words.not_found,
            _ => words.went_wrong,
        };
        let page = TroublePage { words, paths: &PATHS, heading, what: shown::line(&what), again };
        (status, answer(&page)).into_response()
    }
}

/// Draws a page.
pub fn answer(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(error) => {
            tracing::error!("a page of the console cannot be drawn: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// There is no such page.
pub async fn not_found(shell: Shell) -> Trouble {
    shell.nothing()
}

/// The form is of no session that is known.
pub fn expired(words: &'static Words) -> Response {
    let what = words.form_expired.to_owned();
    Trouble { status: StatusCode::FORBIDDEN, words, what }.into_response()
}

/// The office, once the host has started; else a page that says so and asks again.
pub struct Open(pub Office);

impl FromRequestParts<Console> for Open {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Response> {
        if let Some(office) = console.0.status.office() {
            return Ok(Self(office.clone()));
        }
        let words = parts.extensions.get::<&'static Words>().copied().unwrap_or(&ENGLISH);
        let page = TroublePage {
            words,
            paths: &PATHS,
            heading: words.starting,
            what: words.starting_lead.to_owned(),
            again: true,
        };
        Err((StatusCode::SERVICE_UNAVAILABLE, answer(&page)).into_response())
    }
}
