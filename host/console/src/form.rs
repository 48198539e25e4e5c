//! Query strings and form fields.

use std::convert::Infallible;

use axum::extract::{Form, FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use desk_api::{FILTER_PARAMETERS, Filter, PageSelector};
use problem::Problem;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::Console;
use super::i18n::counted;
use super::page::{ErrorPage, PageContext};
use server::api::Query;

/// The parameter of a list that says that nothing was ticked.
pub const UNTICKED: &str = "unticked";

/// A form that a page of this session has sent; any other is refused.
pub struct Submitted<T> {
    pub ctx: PageContext,
    pub form: T,
}

/// A form with its session's token.
#[derive(Deserialize)]
struct Signed<T> {
    #[serde(default)]
    csrf: String,
    #[serde(flatten)]
    form: T,
}

impl<T: DeserializeOwned> FromRequest<Console> for Submitted<T> {
    type Rejection = Response;

    async fn from_request(request: Request, console: &Console) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let ctx = PageContext::from_request_parts(&mut parts, console).await?;
        let form = Form::<Signed<T>>::from_request(Request::from_parts(parts, body), console).await;
        let Form(Signed { csrf, form }) = form.map_err(IntoResponse::into_response)?;
        ctx.check_csrf(&csrf).map_err(IntoResponse::into_response)?;
        Ok(Self { ctx, form })
    }
}

/// Whether a form takes an action back: `/discard` and `/restore` are one page, and so are `/pause` and `/resume`.
pub struct Undoes(pub bool);

impl FromRequestParts<Console> for Undoes {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Console) -> Result<Self, Infallible> {
        Ok(Self(matches!(parts.uri.path(), "/restore" | "/resume")))
    }
}

/// Why a form was refused. Its page appears again, with what was entered and this text.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub text: String,
}

impl Refusal {
    /// What was entered is wrong.
    pub fn input(text: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, text: text.into() }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { status: problem.status(), text: problem.detail().to_owned() }
    }
}

/// Query parameters. Empty ones are dropped, and repeated ids are joined to a list.
pub struct QueryParams(Vec<(String, String)>);

impl FromRequestParts<Console> for QueryParams {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Console) -> Result<Self, Response> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

impl QueryParams {
    /// Parses a query string.
    pub fn parse(query: &str) -> Self {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()).into_owned() {
            if value.is_empty() {
                continue;
            }
            match pairs.iter_mut().find(|(known, _)| name == "ids" && *known == name) {
                Some((_, ids)) => *ids = format!("{ids},{value}"),
                None => pairs.push((name, value)),
            }
        }
        Self(pairs)
    }

    /// A parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The query string without this parameter.
    pub fn without(&self, name: &str) -> String {
        let rest = self.0.iter().filter(|(known, _)| known != name);
        form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish()
    }

    /// The answer to a form of ticked dead letters in which none is ticked: the list, with its filter, says so.
    pub fn nothing_ticked(&self) -> Option<Response> {
        if self.get("ticked").is_none() || self.get("ids").is_some() {
            return None;
        }
        let back = self.get("back").map(|back| query_string_of(&Self::parse(back))).unwrap_or_default();
        let separator = if back.is_empty() { "" } else { "&" };
        Some(Redirect::to(&format!("/dead-letters?{back}{separator}{UNTICKED}=1")).into_response())
    }

    /// The list that the user came from: its filter as a query string.
    pub fn back(&self, filter: &Filter) -> String {
        self.get("back").map_or_else(|| query_string(filter), |back| query_string_of(&Self::parse(back)))
    }

    /// The page of a list.
    ///
    /// # Errors
    /// The parameters are invalid.
    pub fn selector(&self, ctx: &PageContext) -> Result<PageSelector, ErrorPage> {
        let query = self.select(&["after", "before", "last"]);
        query.and_then(|query| query.selector()).map_err(|problem| ctx.problem(problem))
    }

    /// The filter.
    ///
    /// # Errors
    /// The parameters are invalid.
    pub fn filter(&self, ctx: &PageContext) -> Result<Filter, ErrorPage> {
        let query = self.select(&FILTER_PARAMETERS);
        query.and_then(|query| query.filter()).map_err(|problem| ctx.problem(problem))
    }

    fn select(&self, names: &[&str]) -> Result<Query, Problem> {
        let some = self.0.iter().filter(|(name, _)| names.contains(&&name[..]));
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(some).finish();
        Query::read(Some(&text), &[names])
    }
}

/// Whether an action on all dead letters that a filter matches asks for their number. Those that were ticked, or make
/// up a failure, were seen by the user; those of a filter are often more than expected.
pub fn asks_for_number(filter: &Filter) -> bool {
    let is_of_failure = Filter { failure: None, state: None, ..filter.clone() } == Filter::default()
        && filter.failure.is_some();
    filter.ids.is_empty() && !is_of_failure
}

/// The refusal of a number that is not the number of dead letters; None if it is, or is not asked for.
pub fn wrong_number(filter: &Filter, given: &str, count: u64, ctx: &PageContext) -> Option<Refusal> {
    let is_right = !asks_for_number(filter) || count <= 1 || whole(&given.replace('.', "")) == Some(count);
    (!is_right).then(|| Refusal::input(counted(ctx.texts.desk.wrong_number, count)))
}

/// A whole number as people write it, with separators.
pub fn whole<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.replace([',', ' '], "").parse().ok()
}

/// Only parameters of the list are part of an address.
fn query_string_of(params: &QueryParams) -> String {
    let known = params.0.iter().filter(|(name, _)| FILTER_PARAMETERS.contains(&&name[..]));
    form_urlencoded::Serializer::new(String::new()).extend_pairs(known).finish()
}

/// A filter as a query string.
pub fn query_string(filter: &Filter) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(filter.query_pairs()).finish()
}

/// Parses the filter in a form's hidden field.
///
/// # Errors
/// It is invalid.
pub fn parse_filter(query: &str, ctx: &PageContext) -> Result<Filter, ErrorPage> {
    QueryParams::parse(query).filter(ctx)
}

/// Parses a number; None if the field is empty.
///
/// # Errors
/// It is not a number.
pub fn number<T: std::str::FromStr>(text: &str, label: &str) -> Result<Option<T>, Refusal> {
    let text = text.trim().replace(',', "");
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| Refusal::input(format!("{label}: {text}")))
}
