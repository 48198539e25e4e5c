//! `host dlt list`.

use base::error::UserError;
use base::text;
use desk::letters::Summary;
use desk::{Page, State};
use server::api::MOST;
use terminal_size::{Width, terminal_size};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::client::Client;
use super::select::{Select, age, query};
use crate::output::{self, Format, note};

/// How many digits of an id are shown.
pub const SHORT: usize = 8;
/// The widest column but the last, on a terminal.
const WIDEST: usize = 32;
/// The least that is shown of the last one.
const NARROWEST: usize = 20;

/// Arguments of `host dlt list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    select: Select,
    /// What has become of them
    #[arg(long, value_enum, value_name = "STATE")]
    state: Option<State>,
    /// The most letters
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// How to print the list
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Prints letters, newest first.
pub async fn run(client: &Client, args: Args) -> Result<(), UserError> {
    let Args { select, state, limit, output } = args;
    let mut filter = select.filter()?;
    filter.state = state;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut letters: Vec<Summary> = Vec::new();
    let mut after = None;
    loop {
        let mut query = query(&filter);
        query.push(("limit", (limit - letters.len()).min(MOST).to_string()));
        query.extend(after.map(|after: String| ("after", after)));
        let page: Page<Summary> = client.get("/letters", &query).await?;
        letters.extend(page.items);
        after = page.next.map(|next| next.to_string());
        if after.is_none() || letters.len() >= limit {
            break;
        }
    }
    if output == Format::Json {
        return output::print_json(&letters);
    }
    if letters.is_empty() {
        note("no letters");
        return Ok(());
    }
    output::print(table(&letters))?;
    if after.is_some() {
        note("there are more: --limit N shows more of them");
    }
    Ok(())
}

fn table(letters: &[Summary]) -> String {
    let rows = letters.iter().map(|letter| {
        let state = letter.state.as_str().to_owned();
        [
            short(&letter.id),
            state,
            age(letter.failed_ms),
            escaped(&letter.code),
            escaped(&letter.plugin),
            escaped(&letter.detail),
        ]
    });
    fitted(["ID", "STATE", ">AGE", "CODE", "PLUGIN", "DETAIL"], rows.collect())
}

/// A table that is as wide as the terminal, its last column cut. Elsewhere nothing is cut.
pub fn fitted<const N: usize>(headings: [&str; N], mut rows: Vec<[String; N]>) -> String {
    if let Some((Width(width), _)) = terminal_size() {
        let mut taken = 0;
        for column in 0..N.saturating_sub(1) {
            rows.iter_mut().for_each(|row| row[column] = cut(&row[column], WIDEST));
            let widest = rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
            taken += widest.max(headings[column].trim_start_matches('>').width()) + 2;
        }
        let left = usize::from(width).saturating_sub(taken).max(NARROWEST);
        rows.iter_mut().filter_map(|row| row.last_mut()).for_each(|last| *last = cut(last, left));
    }
    output::table(headings, rows)
}

/// Text of at most so many columns of a terminal.
fn cut(text: &str, most: usize) -> String {
    if text.width() <= most {
        return text.to_owned();
    }
    let mut width = 1;
    let kept = text.chars().take_while(|c| {
        width += c.width().unwrap_or(0);
        width <= most
    });
    kept.chain(['…']).collect()
}

/// What an id begins with.
pub fn short(id: &str) -> String {
    text::line(id.as_bytes()).chars().take(SHORT).collect()
}

/// A text that anyone may have written, on one line.
pub fn escaped(text: &str) -> String {
    text::line(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_fits() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "long…");
        // Two columns each.
        assert_eq!(cut("발신자", 6), "발신자");
        assert_eq!(cut("발신자", 5), "발신…");
        assert_eq!(cut("발신자", 4), "발…");
    }
}
