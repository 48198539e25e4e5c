//! What a plugin logs and prints, as log lines with the message's place beside them.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::Level;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::capture::Capture;

/// The longest line; the rest of it is cut off.
const MAX_LINE: usize = 8 << 10;
/// How many warnings and errors a failure's detail tells: a panic in Rust prints three lines, the
/// second of which says why.
const KEPT: usize = 3;

/// Which message a line is about.
#[derive(Clone)]
pub struct Place {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// Where that is.
    pub at: At,
}

/// Where a message is.
#[derive(Clone)]
pub enum At {
    /// There is none, as when the plugin describes itself.
    Nowhere,
    /// A record.
    Record {
        /// Its topic.
        topic: Arc<str>,
        /// Its partition.
        partition: i32,
        /// Its offset.
        offset: i64,
    },
    /// A dry run: its lines are captured too.
    Captured(Arc<Capture>),
}

/// The lines of one call after the other.
#[derive(Clone)]
pub struct Output {
    /// How many bytes one call may log and print; the rest is dropped, and the call fails.
    max: usize,
    state: Arc<Mutex<State>>,
}

struct State {
    place: Place,
    written: usize,
    full: bool,
    /// The last warnings and errors.
    said: VecDeque<String>,
    /// What was printed since the last line break, by stream.
    partial: [Vec<u8>; 2],
}

impl Output {
    /// Nothing is allocated for lines until there is one.
    pub fn new(place: Place, max: usize) -> Self {
        let state =
            State { place, written: 0, full: false, said: VecDeque::new(), partial: Default::default() };
        Self { max, state: Arc::new(Mutex::new(state)) }
    }

    /// What comes now is about another message.
    pub fn turn_to(&self, place: Place) {
        let mut state = self.state.lock();
        (state.place, state.written, state.full) = (place, 0, false);
        state.said.clear();
    }

    /// The name of the plugin that says it.
    pub fn plugin(&self) -> Arc<str> {
        Arc::clone(&self.state.lock().place.plugin)
    }

    /// Where it is captured what the call does; forgotten where the call is not a dry run.
    pub fn capture(&self) -> Arc<Capture> {
        match &self.state.lock().place.at {
            At::Captured(capture) => Arc::clone(capture),
            At::Nowhere | At::Record { .. } => Arc::default(),
        }
    }

    /// The call is over, and its instance holds so many bytes: writes what has no line break at its end.
    pub fn end(&self, memory: usize) {
        let state = &mut *self.state.lock();
        for stream in STREAMS {
            state.flush_line(stream, self.max);
        }
        if let At::Captured(capture) = &state.place.at {
            capture.holds(memory);
        }
    }

    /// Whether something was dropped.
    pub fn is_full(&self) -> bool {
        self.state.lock().full
    }

    /// Writes one line to the log.
    pub fn line(&self, level: Level, text: &str) {
        self.state.lock().line(level, text, self.max);
    }

    /// The last warning and error lines of this call, or an empty text.
    pub fn last_errors(&self) -> String {
        self.state.lock().said.make_contiguous().join(" | ")
    }

    /// Standard output, whose lines go to the log.
    pub fn stdout(&self) -> Stream {
        Stream { output: self.clone(), kind: STREAMS[0] }
    }

    /// Standard error, likewise.
    pub fn stderr(&self) -> Stream {
        Stream { output: self.clone(), kind: STREAMS[1] }
    }
}

impl State {
    fn line(&mut self, level: Level, text: &str, max: usize) {
        let text = clean(text);
        if self.full {
            return;
        }
        self.written += text.len();
        if self.written > max {
            self.full = true;
            return emit(&self.place, Level::WARN, "(the rest of this call's output is dropped)");
        }
        emit(&self.place, level, &text);
        if level <= Level::WARN {
            if self.said.len() == KEPT {
                self.said.pop_front();
            }
            self.said.push_back(text.into_owned());
        }
    }

    fn print(&mut self, (index, level): Kind, bytes: &[u8], max: usize) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let partial = &mut self.partial[index];
            let room = MAX_LINE.saturating_sub(partial.len());
            partial.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.flush_line((index, level), max);
            }
        }
    }

    fn flush_line(&mut self, (index, level): Kind, max: usize) {
        let mut partial = std::mem::take(&mut self.partial[index]);
        let line = String::from_utf8_lossy(&partial);
        let line = line.trim_end_matches(['\n', '\r']);
        if !line.is_empty() {
            self.line(level, line, max);
        }
        partial.clear();
        self.partial[index] = partial;
    }
}

fn emit(place: &Place, level: Level, text: &str) {
    let plugin = &*place.plugin;
    macro_rules! at {
        ($level:expr) => {
            match &place.at {
                At::Record { topic, partition, offset } => tracing::event!(
                    target: "plugin", $level,
                    plugin, topic = &**topic, partition, offset, "{text}"
                ),
                At::Nowhere => tracing::event!(target: "plugin", $level, plugin, "{text}"),
                At::Captured(capture) => capture.line($level, text),
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

/// Which stream, and how its lines are logged.
type Kind = (usize, Level);
const STREAMS: [Kind; 2] = [(0, Level::INFO), (1, Level::WARN)];

/// Standard output or error of a guest.
#[derive(Clone)]
pub struct Stream {
    output: Output,
    kind: Kind,
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
        self.output.state.lock().print(self.kind, &bytes, self.output.max);
        match self.output.is_full() {
            true => Err(StreamError::Trap(wasmtime::Error::msg("too much output"))),
            false => Ok(()),
        }
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
