//! Pages of a list that is sorted by time and id, newest first.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

/// A position between two entries of a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Cursor {
    /// Milliseconds since the Unix epoch.
    pub time_ms: i64,
    /// The entry's id.
    pub id: String,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.time_ms, self.id)
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once('-').and_then(|(time, id)| Some((time.parse().ok()?, id)));
        match parts {
            Some((time_ms, id)) if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Ok(Self { time_ms, id: id.to_owned() })
            }
            _ => Err("not a cursor; use the value of `next` or `previous` unchanged".to_owned()),
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

/// Selects a page of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PageSelector {
    /// The newest entries.
    #[default]
    First,
    /// Entries older than the cursor.
    After(Cursor),
    /// Entries newer than the cursor, the nearest ones.
    Before(Cursor),
    /// The oldest entries.
    Last,
}

impl PageSelector {
    /// Whether rows are read in ascending order.
    pub fn is_backwards(&self) -> bool {
        matches!(self, Self::Before(_) | Self::Last)
    }
}

/// A page of a list, newest entries first.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Cursor of the next (older) page; null on the last page.
    #[schema(value_type = Option<String>)]
    pub next: Option<Cursor>,
    /// Cursor of the previous (newer) page; null on the first page.
    #[schema(value_type = Option<String>)]
    pub previous: Option<Cursor>,
}

impl<T> Page<T> {
    /// Builds a page from up to `limit + 1` rows, in the order in which `selector` reads them.
    pub fn from_rows(
        mut rows: Vec<T>,
        selector: &PageSelector,
        limit: usize,
        cursor: impl Fn(&T) -> Cursor,
    ) -> Self {
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        if selector.is_backwards() {
            rows.reverse();
        }
        let (first, last) = (rows.first().map(&cursor), rows.last().map(&cursor));
        let (has_newer, has_older) = match selector {
            PageSelector::First => (false, has_more),
            PageSelector::After(_) => (true, has_more),
            PageSelector::Before(_) => (has_more, true),
            PageSelector::Last => (has_more, false),
        };
        Self { items: rows, next: last.filter(|_| has_older), previous: first.filter(|_| has_newer) }
    }

    /// The only page of a short list.
    pub fn single(items: Vec<T>) -> Self {
        Self { items, next: None, previous: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back() {
        let cursor = Cursor { time_ms: -5, id: "ab12".to_owned() };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "5", "-", "5-", "x-ab", "5-a'b", "99999999999999999999-a"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
