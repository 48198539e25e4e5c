//! Pages of a list that is sorted by a moment and an id, newest first. Each page is found by an index,
//! the last one too.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

/// A place between two entries.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Cursor {
    /// Milliseconds since the Unix epoch.
    pub moment: i64,
    /// The entry's id.
    pub id: String,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.moment, self.id)
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once('-').and_then(|(moment, id)| Some((moment.parse().ok()?, id)));
        match parts {
            Some((moment, id)) if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Ok(Self { moment, id: id.to_owned() })
            }
            _ => Err("not a cursor: take it from the page before, as it is".to_owned()),
        }
    }
}

impl TryFrom<String> for Cursor {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum At {
    /// The newest entries.
    #[default]
    First,
    /// Those older than this one.
    After(Cursor),
    /// Those newer than this one, the nearest of them.
    Before(Cursor),
    /// The oldest entries.
    Last,
}

impl At {
    /// Whether the page is read from its end.
    pub(super) fn is_backwards(&self) -> bool {
        matches!(self, Self::Before(_) | Self::Last)
    }
}

/// Some entries of a list, newest first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Where older ones begin; None on the last page.
    #[schema(value_type = Option<String>)]
    pub next: Option<Cursor>,
    /// Where newer ones end; None on the first page.
    #[schema(value_type = Option<String>)]
    pub previous: Option<Cursor>,
}

impl<T> Page<T> {
    /// Of up to `limit + 1` rows that were read for `at`, in the order they were read in.
    pub(super) fn of(mut rows: Vec<T>, at: &At, limit: usize, cursor: impl Fn(&T) -> Cursor) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        if at.is_backwards() {
            rows.reverse();
        }
        let (first, last) = (rows.first().map(&cursor), rows.last().map(&cursor));
        let (has_newer, has_older) = match at {
            At::First => (false, more),
            At::After(_) => (true, more),
            At::Before(_) => (more, true),
            At::Last => (more, false),
        };
        Self { items: rows, next: last.filter(|_| has_older), previous: first.filter(|_| has_newer) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back() {
        let cursor = Cursor { moment: -5, id: "ab12".to_owned() };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "5", "-", "5-", "x-ab", "5-a'b", "99999999999999999999-a"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
