//! Formats ids, ages and tables.

use base::clock;
use desk_api::{DeadLetterState, Replay, ReplayItem, ReplayItemState, ReplayState};
use terminal_size::{Width, terminal_size};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::output::{self, escaped};

/// Digits of an abbreviated id.
const SHORT_ID: usize = 8;
/// Maximum width of a column, on a terminal; the last one takes the rest.
const MAX_WIDTH: usize = 32;
/// Width below which no column is truncated.
const MIN_WIDTH: usize = 6;

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

/// The state of a dead letter, or what became of its replay.
pub fn fate(state: DeadLetterState, outcome: Option<&ReplayItem>) -> String {
    match outcome.filter(|item| state == DeadLetterState::Replayed && item.sent_ms.is_some()) {
        Some(item) => item_fate(item),
        None => state.as_str().to_owned(),
    }
}

/// What became of a dead letter in a replay.
pub fn item_fate(item: &ReplayItem) -> String {
    match (item.state, &item.failed_as) {
        (ReplayItemState::Failed, Some(id)) => format!("failed again, now {}", short(id)),
        (ReplayItemState::Failed, None) => "first attempt failed".to_owned(),
        (ReplayItemState::Sent, _) => "sent, no outcome yet".to_owned(),
        (ReplayItemState::Unknown, _) => "unknown outcome".to_owned(),
        (state, _) => state.as_str().to_owned(),
    }
}

/// The state of a replay. One of which dead letters failed again has not simply succeeded.
pub fn replay_fate(replay: &Replay) -> String {
    match replay.state {
        ReplayState::Done if replay.failed > 0 => "done, with failures".to_owned(),
        state => state.as_str().to_owned(),
    }
}

/// A table. On a terminal, columns are truncated so that no row is wider.
pub fn fitted<const N: usize>(headings: [&str; N], rows: Vec<[String; N]>) -> String {
    match terminal_size() {
        Some((Width(width), _)) => output::table(headings, fitting(headings, rows, usize::from(width))),
        None => output::table(headings, rows),
    }
}

/// The rows with their widest cells truncated to this width of the table. Numbers are kept.
fn fitting<const N: usize>(
    headings: [&str; N],
    mut rows: Vec<[String; N]>,
    width: usize,
) -> Vec<[String; N]> {
    let heading = |column: usize| headings[column].trim_start_matches('>').width();
    let mut widths: [usize; N] = std::array::from_fn(|column| {
        let widest = rows.iter().map(|row| row[column].width()).max().unwrap_or(0).max(heading(column));
        if column + 1 < N { widest.min(MAX_WIDTH.max(heading(column))) } else { widest }
    });
    let is_text = |column: &usize| !headings[*column].starts_with('>');
    while widths.iter().sum::<usize>() + 2 * N.saturating_sub(1) > width {
        let narrowest = |column: usize| heading(column).max(MIN_WIDTH);
        let shrinkable = (0..N).filter(is_text).filter(|column| widths[*column] > narrowest(*column));
        let Some(widest) = shrinkable.max_by_key(|column| widths[*column]) else { break };
        widths[widest] -= 1;
    }
    for row in &mut rows {
        row.iter_mut().zip(widths).for_each(|(cell, width)| *cell = truncated(cell, width));
    }
    rows
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
    fn tables_fit_80_columns() {
        let headings = ["ID", "STATE", ">AGE", "CODE", "PLUGIN", "DETAIL"];
        let row =
            ["3f9c01ab", "failed again, now 91d20c44", "1h", "outcome-too-large", "email-of-the-shop@0.12.0"];
        let row: [String; 6] =
            [row[0], row[1], row[2], row[3], row[4], &"detail ".repeat(40)].map(str::to_owned);
        let table = output::table(headings, fitting(headings, vec![row.clone(), row.clone()], 80));
        assert!(table.lines().all(|line| line.width() <= 80), "{table}");
        assert!(table.contains("3f9c01ab") && table.contains("1h"), "ids and numbers are kept: {table}");
        assert_eq!(fitting(headings, vec![row.clone()], 500)[0][4], row[4]);
    }

    #[test]
    fn ages_have_one_unit() {
        let now = clock::now_ms();
        let ages = [5, 125, 7300, 200_000].map(|seconds| age(now - seconds * 1000));
        assert_eq!(ages, ["5s", "2m", "2h", "2d"]);
        assert_eq!(age(now + 60_000), "0s");
    }
}
