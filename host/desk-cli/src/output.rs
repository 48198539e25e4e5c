//! Output: data on stdout, messages on stderr. A closed pipe is not an error.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use base::error::UserError;
use base::{stderr, text};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// An output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns
    Table,
    /// JSON
    Json,
}

/// The argument for the output format.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct OutputArgs {
    /// Output format
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

impl OutputArgs {
    /// The format.
    pub fn format(self) -> Format {
        self.output
    }

    /// Prints a value as JSON, or as this text.
    ///
    /// # Errors
    /// It cannot be printed.
    pub fn print(self, value: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), UserError> {
        match self.output {
            Format::Json => print_json(value),
            Format::Table => print(text()),
        }
    }

    /// Prints the result of a change as JSON, or says it in these words on standard error.
    ///
    /// # Errors
    /// It cannot be printed.
    pub fn report(self, value: &impl Serialize, words: impl FnOnce() -> String) -> Result<(), UserError> {
        match self.output {
            Format::Json => print_json(value)?,
            Format::Table => note(words()),
        }
        Ok(())
    }
}

/// Whether data is coloured.
pub fn is_coloured() -> bool {
    stderr::takes_colours(&io::stdout())
}

/// Prints a message to stderr, if it can be written.
pub fn note(text: impl Display) {
    stderr::line(text);
}

/// Prints data to stdout. A closed pipe is not an error.
pub fn print(text: impl Display) -> Result<(), UserError> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(unwritable(&error)),
        _ => Ok(()),
    }
}

/// Prints a value as JSON.
pub fn print_json(value: &impl Serialize) -> Result<(), UserError> {
    print(json(serde_json::to_string_pretty(value))?)
}

/// JSON text with all control characters escaped: JSON permits DEL and the C1 range, which terminals may interpret.
pub fn json(text: serde_json::Result<String>) -> Result<String, UserError> {
    let text = text.map_err(|error| UserError::unavailable(format!("cannot write JSON: {error}")))?;
    if !text.contains(unsafe_in_json) {
        return Ok(text);
    }
    Ok(text
        .chars()
        .map(|c| if unsafe_in_json(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() })
        .collect())
}

fn unsafe_in_json(c: char) -> bool {
    c.is_control() && c != '\n'
}

/// The error for an unwritable stdout.
pub fn unwritable(error: &io::Error) -> UserError {
    UserError::unavailable(format!("cannot write to stdout: {error}"))
}

/// Aligned columns without borders. A heading with the prefix `>` aligns its column to the right.
pub fn table<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(headings.map(|heading| heading.trim_start_matches('>')));
    for row in rows {
        table.add_row(row);
    }
    for (column, heading) in table.column_iter_mut().zip(headings) {
        column.set_padding((0, 2));
        if heading.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// A cell for an optional value.
pub fn cell(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A cell with a list of numbers.
pub fn numbers(values: &[i32]) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// An untrusted text on a single line, with control characters escaped.
pub fn escaped(text: &str) -> String {
    text::line(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let text = table(["TOPIC", ">LAG"], [["a".into(), "1".into()], ["longer".into(), "1000".into()]]);
        assert_eq!(text, "TOPIC    LAG\na          1\nlonger  1000");
    }

    #[test]
    fn json_cannot_drive_a_terminal() {
        let text = json(serde_json::to_string("\u{1b}[2J\u{7f}\u{9b}2J")).unwrap();
        assert_eq!(text, r#""\u001b[2J\u007f\u009b2J""#);
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), "\u{1b}[2J\u{7f}\u{9b}2J");
    }
}
