//! Query parameters. Unknown and repeated ones are errors.

use std::str::FromStr;

use axum::http::StatusCode;
use desk_api::{
    Cursor, DEFAULT_PAGE, DeadLetterState, FILTER_PARAMETERS, Filter, MAX_PAGE, PageSelector, WaitingFilter,
};
use problem::Problem;
use url::form_urlencoded;
use utoipa::IntoParams;

/// The names of [`Paging`].
pub const PAGE_PARAMETERS: [&str; 4] = ["limit", "after", "before", "last"];
/// Similarity above which an unknown name is taken for a typo.
const MIN_SIMILARITY: f64 = 0.7;

/// Selects a page of a list. `after`, `before` and `last` exclude each other; without them it is the first page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents the parameters that `Query` reads")]
pub struct Paging {
    /// Entries per page, 1 to 500. The default is 50.
    limit: Option<usize>,
    /// Entries older than this cursor: the `next` of a page.
    after: Option<String>,
    /// Entries newer than this cursor: the `previous` of a page.
    before: Option<String>,
    /// The last page.
    last: Option<bool>,
}

/// The query parameters of a request.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads query parameters with these names.
    ///
    /// # Errors
    /// 400: one is unknown or repeated.
    pub fn read(query: Option<&str>, known: &[&[&str]]) -> Result<Self, Problem> {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned();
        let mut read: Vec<(String, String)> = Vec::new();
        for (name, value) in pairs {
            let mut known = known.iter().copied().flatten();
            if !known.clone().any(|known| *known == name) {
                return Err(unknown_parameter(&name, &mut known));
            }
            if read.iter().any(|(before, _)| *before == name) {
                return Err(bad_request(format!("{name}: given twice")));
            }
            read.push((name, value));
        }
        Ok(Self(read))
    }

    /// Reads a filter and a page.
    ///
    /// # Errors
    /// 400: a parameter is invalid.
    pub fn filter_and_page(query: Option<&str>) -> Result<(Filter, PageSelector, usize), Problem> {
        let query = Self::read(query, &[&FILTER_PARAMETERS, &PAGE_PARAMETERS])?;
        Ok((query.filter()?, query.selector()?, query.limit()?))
    }

    /// Reads a page.
    ///
    /// # Errors
    /// 400: a parameter is invalid.
    pub fn page(query: Option<&str>) -> Result<(PageSelector, usize), Problem> {
        let query = Self::read(query, &[&PAGE_PARAMETERS])?;
        Ok((query.selector()?, query.limit()?))
    }

    /// Reads a filter.
    ///
    /// # Errors
    /// 400: a parameter is invalid.
    pub fn filter_only(query: Option<&str>) -> Result<Filter, Problem> {
        Self::read(query, &[&FILTER_PARAMETERS])?.filter()
    }

    /// Entries per page.
    ///
    /// # Errors
    /// 400: not 1 to 500.
    pub fn limit(&self) -> Result<usize, Problem> {
        match self.number("limit")? {
            None => Ok(DEFAULT_PAGE),
            Some(limit) if (1..=MAX_PAGE).contains(&limit) => Ok(limit),
            Some(_) => Err(bad_request(format!("limit: 1 to {MAX_PAGE}"))),
        }
    }

    /// A boolean; false if it is missing.
    ///
    /// # Errors
    /// 400: neither `true` nor `false`.
    pub fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(bad_request(format!("{name}: true or false"))),
        }
    }

    /// One of these values, by its name; None if it is missing.
    ///
    /// # Errors
    /// 400: another name.
    pub fn one_of<T: Copy>(
        &self,
        name: &str,
        all: impl IntoIterator<Item = T> + Clone,
        text: impl Fn(T) -> &'static str,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let found = all.clone().into_iter().find(|one| text(*one) == value);
        found.map(Some).ok_or_else(|| {
            let names: Vec<_> = all.into_iter().map(&text).collect();
            bad_request(format!("{name}: one of {}", names.join(", ")))
        })
    }

    /// The filter.
    ///
    /// # Errors
    /// 400: a parameter is invalid.
    pub fn filter(&self) -> Result<Filter, Problem> {
        let text = |name| self.get(name).map(str::to_owned);
        let state = |name| {
            DeadLetterState::from_name(name).ok_or_else(|| bad_request("state: open, replayed or discarded"))
        };
        let filter = Filter {
            ids: self.get("ids").map(|ids| ids.split(',').map(str::to_owned).collect()).unwrap_or_default(),
            state: self.get("state").map(state).transpose()?,
            topic: text("topic"),
            code: text("code"),
            plugin: text("plugin"),
            failure: text("failure"),
            message: text("message"),
            since_ms: self.number("since_ms")?,
            until_ms: self.number("until_ms")?,
            text: text("text"),
        };
        filter.check().map_err(bad_request)?;
        Ok(filter)
    }

    /// The filter of messages that wait.
    pub fn waiting_filter(&self) -> WaitingFilter {
        let text = |name| self.get(name).filter(|text| !text.is_empty()).map(str::to_owned);
        WaitingFilter { plugin: text("plugin"), code: text("code"), topic: text("topic") }
    }

    /// The page.
    ///
    /// # Errors
    /// 400: a cursor is invalid, or the parameters exclude each other.
    pub fn selector(&self) -> Result<PageSelector, Problem> {
        let cursor = |name| self.get(name).map(Cursor::from_str).transpose();
        let cursor = |name| cursor(name).map_err(|error| bad_request(format!("{name}: {error}")));
        match (cursor("after")?, cursor("before")?, self.flag("last")?) {
            (None, None, false) => Ok(PageSelector::First),
            (Some(after), None, false) => Ok(PageSelector::After(after)),
            (None, Some(before), false) => Ok(PageSelector::Before(before)),
            (None, None, true) => Ok(PageSelector::Last),
            _ => Err(bad_request("after, before, last: only one of them")),
        }
    }

    /// An optional number.
    ///
    /// # Errors
    /// 400: not an integer in range.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let number = self.get(name).map(str::parse).transpose();
        number.map_err(|_| bad_request(format!("{name}: an integer")))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// 400.
pub fn bad_request(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, detail.into())
}

fn unknown_parameter(name: &str, known: &mut dyn Iterator<Item = &&str>) -> Problem {
    let known: Vec<&str> = known.copied().collect();
    let similarity = |known: &str| strsim::jaro_winkler(name, known);
    let nearest = known.iter().max_by(|a, b| similarity(a).total_cmp(&similarity(b)));
    match nearest {
        None => bad_request(format!("unknown parameter {name:?}: this path has no parameters")),
        Some(nearest) if similarity(nearest) > MIN_SIMILARITY => {
            bad_request(format!("unknown parameter {name:?}; did you mean {nearest:?}?"))
        }
        Some(_) => bad_request(format!("unknown parameter {name:?}; known are {}", known.join(", "))),
    }
}
