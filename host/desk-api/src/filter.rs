//! Filters over dead letters.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::dead_letter::DeadLetterState;
use crate::id::is_id_prefix;

/// Maximum number of ids in a filter.
pub const MAX_FILTER_IDS: usize = 1000;
/// The names of a filter's fields, as query parameters.
pub const FILTER_PARAMETERS: [&str; 10] =
    ["ids", "state", "topic", "code", "plugin", "failure", "message", "since_ms", "until_ms", "text"];

/// Selects dead letters. All given conditions must match; an empty filter matches every dead letter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields, default, rename_all = "snake_case")]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Ids, or unique prefixes of ids.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[param(style = Form, explode = false)]
    pub ids: Vec<String>,
    /// The state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<DeadLetterState>,
    /// The source topic or the dead-letter topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// The failure code, or a pattern in which `*` matches any characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The plugin: name@version, or the name alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<String>,
    /// The failure's id, or a prefix of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The message id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Dead-lettered at or after this time, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<i64>,
    /// Dead-lettered before this time, in milliseconds since the Unix epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
    /// Text in the key, the detail, the message id or the first 4 KiB of the value, or the beginning of the dead
    /// letter's id; case-insensitive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Filter {
    /// Checks the ids.
    ///
    /// # Errors
    /// There are too many, or one is malformed.
    pub fn check(&self) -> Result<(), String> {
        if self.ids.len() > MAX_FILTER_IDS {
            return Err(format!("ids: at most {MAX_FILTER_IDS}"));
        }
        let ids = self.ids.iter().map(|id| ("ids", id)).chain(self.failure.iter().map(|id| ("failure", id)));
        match ids.into_iter().find(|(_, id)| !is_id_prefix(id)) {
            Some((name, id)) => {
                Err(format!("{name}: {id:?} is not an id or the start of one: 1 to 32 hexadecimal digits"))
            }
            None => Ok(()),
        }
    }

    /// Whether the filter matches every dead letter, or every dead letter in a state.
    pub fn is_unrestricted(&self) -> bool {
        Self { state: None, ..self.clone() } == Self::default()
    }

    /// The filter as query parameters.
    pub fn query_pairs(&self) -> Vec<(&'static str, String)> {
        let Self { ids, state, topic, code, plugin, failure, message, since_ms, until_ms, text } = self;
        let ids = (!ids.is_empty()).then(|| ids.join(","));
        let pairs = [
            ("ids", ids),
            ("state", state.map(|state| state.as_str().to_owned())),
            ("topic", topic.clone()),
            ("code", code.clone()),
            ("plugin", plugin.clone()),
            ("failure", failure.clone()),
            ("message", message.clone()),
            ("since_ms", since_ms.map(|time| time.to_string())),
            ("until_ms", until_ms.map(|time| time.to_string())),
            ("text", text.clone()),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_a_parameter() {
        let some = |text: &str| Some(text.to_owned());
        let filter = Filter {
            ids: vec!["ab".to_owned(), "cd".to_owned()],
            state: Some(DeadLetterState::Open),
            topic: some("t"),
            code: some("c"),
            plugin: some("p"),
            failure: some("f0"),
            message: some("m"),
            since_ms: Some(1),
            until_ms: Some(2),
            text: some("x"),
        };
        let pairs = filter.query_pairs();
        assert_eq!(pairs.iter().map(|(name, _)| *name).collect::<Vec<_>>(), FILTER_PARAMETERS);
        assert_eq!(pairs[0].1, "ab,cd");
        assert!(!filter.is_unrestricted() && Filter { ids: vec![], ..Filter::default() }.is_unrestricted());
    }

    #[test]
    fn malformed_ids_are_refused() {
        let failure = Filter { failure: Some("' OR 1=1".to_owned()), ..Filter::default() };
        assert!(failure.check().is_err_and(|error| error.starts_with("failure: ")));
        let many = Filter { ids: vec!["ab".to_owned(); MAX_FILTER_IDS + 1], ..Filter::default() };
        assert!(many.check().is_err_and(|error| error.contains("at most 1000")));
    }
}
