//! What stands behind the question mark and in forms: which letters, and which page.

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use desk::{At, Filter};
use url::form_urlencoded;

use super::Console;
use super::page::{Shell, Trouble};
use crate::api::Query;

/// What stands behind the question mark. Empty fields of a form are left out, and several ids are one list.
pub struct Asked(Vec<(String, String)>);

impl FromRequestParts<Console> for Asked {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Console) -> Result<Self, Response> {
        Ok(Self::read(parts.uri.query().unwrap_or_default()))
    }
}

impl Asked {
    /// Of a text as in an address.
    pub fn read(text: &str) -> Self {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()).into_owned() {
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

    /// A value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All but this, as in an address.
    pub fn without(&self, name: &str) -> String {
        let rest = self.0.iter().filter(|(known, _)| known != name);
        form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish()
    }

    /// Which page.
    ///
    /// # Errors
    /// It is none.
    pub fn at(&self, shell: &Shell) -> Result<At, Trouble> {
        self.part(&["after", "before", "last"])
            .and_then(|query| query.at())
            .map_err(|problem| shell.refused(problem))
    }

    /// Which letters.
    ///
    /// # Errors
    /// It cannot be meant.
    pub fn filter(&self, shell: &Shell) -> Result<Filter, Trouble> {
        let names =
            ["ids", "state", "topic", "code", "plugin", "group", "message", "since_ms", "until_ms", "text"];
        self.part(&names).and_then(|query| query.filter()).map_err(|problem| shell.refused(problem))
    }

    fn part(&self, names: &[&str]) -> Result<Query, problem::Problem> {
        let some = self.0.iter().filter(|(name, _)| names.contains(&&name[..]));
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(some).finish();
        Query::read(Some(&text), &[names])
    }
}

/// A filter as it stands in an address.
pub fn written(filter: &Filter) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(crate::api::pairs(filter)).finish()
}

/// The filter that a form carries.
///
/// # Errors
/// It cannot be meant.
pub fn which(text: &str, shell: &Shell) -> Result<Filter, Trouble> {
    Asked::read(text).filter(shell)
}

/// A number of a form's field; None where it is empty.
///
/// # Errors
/// It is none.
pub fn number<T: std::str::FromStr>(text: &str, what: &str, shell: &Shell) -> Result<Option<T>, Trouble> {
    let text = text.trim().replace(',', "");
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| shell.trouble(StatusCode::BAD_REQUEST, &format!("{what}: {text}")))
}
