//! What a plugin logs and prints, as log lines with the message's place beside them.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::Level;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::kafka::partition::Partition;

/// The longest line; the rest of it is cut off.
const MAX_LINE: usize = 8 << 10;
/// How many bytes one call may log and print; the rest is dropped.
const MAX_PER_CALL: usize = 256 << 10;

/// How many warnings and errors a failure's detail tells: a panic in Rust prints three lines, the
/// second of which says why.
const KEPT: usize = 3;

/// Which message a line is about.
#[derive(Clone)]
pub struct Place {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// Where the message was read; None while the plugin describes itself.
    pub message: Option<(Arc<Partition>, i64)>,
}

/// One call's lines.
#[derive(Clone)]
pub struct Output {
    place: Place,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    written: usize,
    full: bool,
    /// The last warnings and errors.
    said: VecDeque<String>,
}

impl Output {
    /// Nothing is allocated for lines until there is one.
    pub fn new(place: Place) -> Self {
        Self { place, state: Arc::default() }
    }

    /// Writes one line to the log.
    pub fn line(&self, level: Level, text: &str) {
        let text = clean(text);
        let mut state = self.state.lock();
        if state.full {
            return;
        }
        state.written += text.len();
        if state.written > MAX_PER_CALL {
            state.full = true;
            return emit(&self.place, Level::WARN, "(the rest of this call's output is dropped)");
        }
        emit(&self.place, level, &text);
        if level <= Level::WARN {
            if state.said.len() == KEPT {
                state.said.pop_front();
            }
            state.said.push_back(text.into_owned());
        }
    }

    /// The last warning and error lines of this call, or an empty text.
    pub fn last_errors(&self) -> String {
        self.state.lock().said.make_contiguous().join(" | ")
    }

    /// A stream whose lines go to the log.
    pub fn stream(&self, level: Level) -> Stream {
        Stream { output: self.clone(), level, partial: Arc::default() }
    }
}

fn emit(place: &Place, level: Level, text: &str) {
    let plugin = &*place.plugin;
    macro_rules! at {
        ($level:expr) => {
            match &place.message {
                Some((partition, offset)) => tracing::event!(
                    target: "plugin", $level,
                    plugin, topic = partition.topic(), partition = partition.index(), offset, "{text}"
                ),
                None => tracing::event!(target: "plugin", $level, plugin, "{text}"),
            }
        };
    }
    match level {
        Level::ERROR => at!(Level::ERROR),
        Level::WARN => at!(Level::WARN),
        Level::INFO => at!(Level::INFO),
        Level::DEBUG => at!(Level::DEBUG),
        Level::TRACE => at!(Level::TRACE),
    }
}

/// One line that cannot fake another or drive a terminal: control characters are escaped.
fn clean(text: &str) -> Cow<'_, str> {
    let end = text.floor_char_boundary(MAX_LINE);
    let text = &text[..end];
    if !text.contains(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if character.is_control() && character != '\t' {
            let _ = write!(cleaned, "{}", character.escape_default());
        } else {
            cleaned.push(character);
        }
    }
    Cow::Owned(cleaned)
}

/// Standard output or error of a guest.
#[derive(Clone)]
pub struct Stream {
    output: Output,
    level: Level,
    partial: Arc<Mutex<Vec<u8>>>,
}

impl Stream {
    fn take(&self, bytes: &[u8]) {
        let mut partial = self.partial.lock();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = MAX_LINE.saturating_sub(partial.len());
            partial.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.flush_line(&mut partial);
            }
        }
    }

    fn flush_line(&self, partial: &mut Vec<u8>) {
        let line = String::from_utf8_lossy(partial);
        let line = line.trim_end_matches(['\n', '\r']);
        if !line.is_empty() {
            self.output.line(self.level, line);
        }
        partial.clear();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(partial) = Arc::get_mut(&mut self.partial) {
            let mut partial = std::mem::take(partial.get_mut());
            self.flush_line(&mut partial);
        }
    }
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}

#[async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 << 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_fake_another() {
        assert_eq!(clean("plain 한글\ttab"), "plain 한글\ttab");
        assert_eq!(clean("a\nERROR b\u{1b}[31m"), "a\\nERROR b\\u{1b}[31m");
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let long = "가".repeat(MAX_LINE);
        assert!(clean(&long).len() <= MAX_LINE);
    }
}
