//! What stands behind the question mark, checked.

use std::str::FromStr;

use axum::http::StatusCode;
use desk::page::Cursor;
use desk::{At, Filter, State};
use problem::Problem;
use url::form_urlencoded;
use utoipa::IntoParams;

/// How many entries a page has where nobody says.
const LIMIT: usize = 50;
/// The most entries of a page.
pub const MOST: usize = 500;
const FILTER: [&str; 10] =
    ["ids", "state", "topic", "code", "plugin", "group", "message", "since_ms", "until_ms", "text"];
/// The names of [`Paging`].
pub const PAGE: [&str; 4] = ["limit", "after", "before", "last"];

/// Which page of a list. At most one of `after`, `before` and `last`; none of them is the first page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it documents what `Query` reads")]
pub struct Paging {
    /// The most entries of the page, 1 to 500; 50 where it is left out.
    limit: Option<usize>,
    /// Entries that are older: the `next` of the page before.
    after: Option<String>,
    /// Entries that are newer: the `previous` of the page behind.
    before: Option<String>,
    /// The oldest entries.
    last: Option<bool>,
}

/// The parameters of a request.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads parameters of these names.
    ///
    /// # Errors
    /// 400: one is unknown, or stands there twice.
    pub fn read(query: Option<&str>, known: &[&[&str]]) -> Result<Self, Problem> {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned();
        let mut read: Vec<(String, String)> = Vec::new();
        for (name, value) in pairs {
            let mut known = known.iter().copied().flatten();
            if !known.clone().any(|known| *known == name) {
                return Err(unknown(&name, &mut known));
            }
            if read.iter().any(|(before, _)| *before == name) {
                return Err(bad(format!("{name}: stands there twice")));
            }
            read.push((name, value));
        }
        Ok(Self(read))
    }

    /// A filter and a page.
    ///
    /// # Errors
    /// 400: a parameter is not as it must be.
    pub fn filter_and_page(query: Option<&str>) -> Result<(Filter, At, usize), Problem> {
        let query = Self::read(query, &[&FILTER, &PAGE])?;
        Ok((query.filter()?, query.at()?, query.limit()?))
    }

    /// A page alone.
    ///
    /// # Errors
    /// 400: a parameter is not as it must be.
    pub fn page(query: Option<&str>) -> Result<(At, usize), Problem> {
        let query = Self::read(query, &[&PAGE])?;
        Ok((query.at()?, query.limit()?))
    }

    /// A filter alone.
    ///
    /// # Errors
    /// 400: a parameter is not as it must be.
    pub fn filter_alone(query: Option<&str>) -> Result<Filter, Problem> {
        Self::read(query, &[&FILTER])?.filter()
    }

    /// How many entries.
    ///
    /// # Errors
    /// 400: it is not 1 to 500.
    pub fn limit(&self) -> Result<usize, Problem> {
        match self.number("limit")? {
            None => Ok(LIMIT),
            Some(limit) if (1..=MOST).contains(&limit) => Ok(limit),
            Some(_) => Err(bad(format!("limit: 1 to {MOST}"))),
        }
    }

    /// Whether the parameter is `true`.
    ///
    /// # Errors
    /// 400: it is neither that nor `false`.
    pub fn is(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(bad(format!("{name}: true or false"))),
        }
    }

    /// The parameter as `true` or `false`, where it is there.
    ///
    /// # Errors
    /// 400: it is neither.
    pub fn maybe(&self, name: &str) -> Result<Option<bool>, Problem> {
        self.get(name).map(|_| self.is(name)).transpose()
    }

    /// Which letters.
    ///
    /// # Errors
    /// 400: they cannot be meant.
    pub fn filter(&self) -> Result<Filter, Problem> {
        let text = |name| self.get(name).map(str::to_owned);
        let state = match self.get("state") {
            None => None,
            Some(name) => Some(State::named(name).ok_or_else(|| bad("state: open, replayed or discarded"))?),
        };
        let filter = Filter {
            ids: self.get("ids").map(|ids| ids.split(',').map(str::to_owned).collect()).unwrap_or_default(),
            state,
            topic: text("topic"),
            code: text("code"),
            plugin: text("plugin"),
            group: text("group"),
            message: text("message"),
            since_ms: self.number("since_ms")?,
            until_ms: self.number("until_ms")?,
            text: text("text"),
        };
        filter.check().map_err(bad)?;
        Ok(filter)
    }

    /// Which page.
    ///
    /// # Errors
    /// 400: it is none.
    pub fn at(&self) -> Result<At, Problem> {
        let cursor = |name| self.get(name).map(Cursor::from_str).transpose();
        let cursor = |name| cursor(name).map_err(|why| bad(format!("{name}: {why}")));
        match (cursor("after")?, cursor("before")?, self.is("last")?) {
            (None, None, false) => Ok(At::First),
            (Some(after), None, false) => Ok(At::After(after)),
            (None, Some(before), false) => Ok(At::Before(before)),
            (None, None, true) => Ok(At::Last),
            _ => Err(bad("after, before, last: only one of them")),
        }
    }

    /// A number, where it is there.
    ///
    /// # Errors
    /// 400: it is none.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let number = self.get(name).map(str::parse).transpose();
        number.map_err(|_| bad(format!("{name}: a whole number")))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// 400, with what is wrong.
pub fn bad(what: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, what.into())
}

fn unknown(name: &str, known: &mut dyn Iterator<Item = &&str>) -> Problem {
    let known: Vec<&str> = known.copied().collect();
    let nearest =
        known.iter().max_by(|a, b| strsim::jaro_winkler(name, a).total_cmp(&strsim::jaro_winkler(name, b)));
    match nearest {
        None => bad(format!("{name:?} is no parameter: there are none here")),
        Some(nearest) if strsim::jaro_winkler(name, nearest) > 0.7 => {
            bad(format!("{name:?} is no parameter; did you mean {nearest:?}?"))
        }
        Some(_) => bad(format!("{name:?} is no parameter; there are {}", known.join(", "))),
    }
}

/// A filter as parameters of a request.
pub fn pairs(filter: &Filter) -> Vec<(&'static str, String)> {
    let Filter { ids, state, topic, code, plugin, group, message, since_ms, until_ms, text } = filter;
    let ids = (!ids.is_empty()).then(|| ids.join(","));
    let pairs = [
        ("ids", ids),
        ("state", state.map(|state| state.as_str().to_owned())),
        ("topic", topic.clone()),
        ("code", code.clone()),
        ("plugin", plugin.clone()),
        ("group", group.clone()),
        ("message", message.clone()),
        ("since_ms", since_ms.map(|moment| moment.to_string())),
        ("until_ms", until_ms.map(|moment| moment.to_string())),
        ("text", text.clone()),
    ];
    pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
