//! Formats ids, ages and tables.

use base::clock;
use terminal_size::{Width, terminal_size};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::output::{self, escaped};

/// Digits of an abbreviated id.
const SHORT_ID: usize = 8;
/// Maximum width of a column, on a terminal; the last one takes the rest.
const MAX_WIDTH: usize = 32;
/// Minimum width of the last column.
const MIN_LAST_WIDTH: usize = 20;

/// The first digits of an id.
pub fn short(id: &str) -> String {
    escaped(id).chars().take(SHORT_ID).collect()
}

/// The age of a timestamp, in one unit.
pub fn age(timestamp_ms: i64) -> String {
    let seconds = clock::now_ms().saturating_sub(timestamp_ms).max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// A text after a separator; nothing if it is empty.
pub fn suffix(separator: &str, text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("{separator}{}", escaped(text)) }
}

/// A table. On a terminal, columns are truncated to its width.
pub fn fitted<const N: usize>(headings: [&str; N], mut rows: Vec<[String; N]>) -> String {
    if let Some((Width(width), _)) = terminal_size() {
        let mut used = 0;
        for column in 0..N.saturating_sub(1) {
            rows.iter_mut().for_each(|row| row[column] = truncated(&row[column], MAX_WIDTH));
            let widest = rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
            used += widest.max(headings[column].trim_start_matches('>').width()) + 2;
        }
        let left = usize::from(width).saturating_sub(used).max(MIN_LAST_WIDTH);
        rows.iter_mut().filter_map(|row| row.last_mut()).for_each(|last| *last = truncated(last, left));
    }
    output::table(headings, rows)
}

/// A text of at most `max_width` terminal columns.
fn truncated(text: &str, max_width: usize) -> String {
    if text.width() <= max_width {
        return text.to_owned();
    }
    let mut width = 1;
    let kept = text.chars().take_while(|c| {
        width += c.width().unwrap_or(0);
        width <= max_width
    });
    kept.chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_texts_fit() {
        assert_eq!(truncated("short", 5), "short");
        assert_eq!(truncated("longer", 5), "long…");
        // Two columns each.
        assert_eq!(truncated("발신자", 6), "발신자");
        assert_eq!(truncated("발신자", 5), "발신…");
        assert_eq!(truncated("발신자", 4), "발…");
    }

    #[test]
    fn ages_have_one_unit() {
        let now = clock::now_ms();
        let ages = [5, 125, 7300, 200_000].map(|seconds| age(now - seconds * 1000));
        assert_eq!(ages, ["5s", "2m", "2h", "2d"]);
        assert_eq!(age(now + 60_000), "0s");
    }
}
