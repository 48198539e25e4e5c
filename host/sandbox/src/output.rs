//! The output of plugins, as log lines with the place of their message.

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
use crate::exception::Exception;

/// The maximum length of a line, in bytes. Longer lines are cut.
const MAX_LINE: usize = 8 << 10;
/// The number of lines in the detail of a failure: warnings, errors, and what was printed to standard error.
const LAST_LINES: usize = 3;
/// The maximum length of the last lines of standard error that may hold an exception, in bytes.
const MAX_TAIL: usize = 16 << 10;

/// The message that a line is about.
#[derive(Clone)]
pub struct Place {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// The place of the message.
    pub at: At,
}

/// The place of a message.
#[derive(Clone)]
pub enum At {
    /// There is no message, for example while the plugin describes itself.
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
    /// A batch of records of one partition.
    Batch {
        /// Their topic.
        topic: Arc<str>,
        /// Their partition.
        partition: i32,
        /// The first and the last offset.
        offsets: (i64, i64),
    },
    /// A dry run; lines are captured too.
    Captured(Arc<Capture>),
}

/// The output of an instance, one call at a time.
#[derive(Clone)]
pub struct Output {
    /// The maximum output of one call, in bytes. The rest is dropped, and the call fails.
    max: usize,
    state: Arc<Mutex<State>>,
}

struct State {
    place: Place,
    written: usize,
    full: bool,
    /// The last warnings and errors, and lines of standard error.
    last: VecDeque<String>,
    /// The last lines of standard error, and their length.
    tail: (VecDeque<String>, usize),
    /// Printed text since the last line break, by stream.
    partial: [Vec<u8>; 2],
}

impl Output {
    /// Output with a maximum in bytes. No memory is allocated before the first line.
    pub fn new(place: Place, max: usize) -> Self {
        let state = State {
            place,
            written: 0,
            full: false,
            last: VecDeque::new(),
            tail: Default::default(),
            partial: Default::default(),
        };
        Self { max, state: Arc::new(Mutex::new(state)) }
    }

    /// The following output is about another message.
    pub fn reset(&self, place: Place) {
        let mut state = self.state.lock();
        (state.place, state.written, state.full) = (place, 0, false);
        state.last.clear();
        state.tail.0.clear();
        state.tail.1 = 0;
    }

    /// The plugin's name.
    pub fn plugin(&self) -> Arc<str> {
        Arc::clone(&self.state.lock().place.plugin)
    }

    /// The capture of a dry run; otherwise one that is never read.
    pub fn capture(&self) -> Arc<Capture> {
        match &self.state.lock().place.at {
            At::Captured(capture) => Arc::clone(capture),
            At::Nowhere | At::Record { .. } | At::Batch { .. } => Arc::default(),
        }
    }

    /// Ends a call: writes lines without a line break, and captures the size of the instance's memory in bytes.
    pub fn end(&self, memory: usize) {
        let state = &mut *self.state.lock();
        for stream in [STDOUT, STDERR] {
            state.flush_line(stream, self.max);
        }
        if let At::Captured(capture) = &state.place.at {
            capture.memory(memory);
        }
    }

    /// Whether output was dropped.
    pub fn is_full(&self) -> bool {
        self.state.lock().full
    }

    /// Logs one line.
    pub fn line(&self, level: Level, text: &str) {
        self.state.lock().line(level, text, self.max);
    }

    /// The last warnings and errors of the call, and lines of standard error, in one line; or an empty text.
    pub fn last_errors(&self) -> String {
        self.state.lock().last.make_contiguous().join(" | ")
    }

    /// The exception that the last lines of standard error end with.
    pub(crate) fn exception(&self) -> Option<Exception> {
        Exception::printed(self.state.lock().tail.0.make_contiguous())
    }

    /// Standard output; its lines are logged.
    pub fn stdout(&self) -> Stream {
        Stream { output: self.clone(), index: STDOUT }
    }

    /// Standard error; its lines are logged, and explain a failure.
    pub fn stderr(&self) -> Stream {
        Stream { output: self.clone(), index: STDERR }
    }
}

impl State {
    fn line(&mut self, level: Level, text: &str, max: usize) {
        self.note(level, text, level <= Level::WARN, max);
    }

    /// Logs a line. One that `explains` is in the detail of a failure.
    fn note(&mut self, level: Level, text: &str, explains: bool, max: usize) {
        let text = clean(text);
        if self.full {
            return;
        }
        self.written += text.len();
        if self.written > max {
            self.full = true;
            return emit(&self.place, Level::WARN, "(further output is dropped)");
        }
        emit(&self.place, level, &text);
        if explains {
            if self.last.len() == LAST_LINES {
                self.last.pop_front();
            }
            self.last.push_back(text.into_owned());
        }
    }

    /// Logs a printed line. Its level is what its beginning says: `console.debug` of JavaScript and `logging` of Python print
    /// to standard error at every level.
    fn printed(&mut self, index: usize, text: &str, max: usize) {
        let is_error = index == STDERR;
        self.note(level_of(text), text, is_error, max);
        if is_error && !self.full {
            // An empty line has a cost, too.
            let cost = |line: &str| line.len() + size_of::<String>();
            let line = clean(text).into_owned();
            let (lines, size) = &mut self.tail;
            *size += cost(&line);
            lines.push_back(line);
            while *size > MAX_TAIL
                && let Some(first) = lines.pop_front()
            {
                *size -= cost(&first);
            }
        }
    }

    fn print(&mut self, index: usize, bytes: &[u8], max: usize) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let partial = &mut self.partial[index];
            let room = MAX_LINE.saturating_sub(partial.len());
            partial.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.flush_line(index, max);
            }
        }
    }

    fn flush_line(&mut self, index: usize, max: usize) {
        let mut partial = std::mem::take(&mut self.partial[index]);
        let line = String::from_utf8_lossy(&partial);
        let line = line.trim_end_matches(['\n', '\r']);
        if !line.is_empty() {
            self.printed(index, line, max);
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
                At::Batch { topic, partition, offsets: (first, last) } => tracing::event!(
                    target: "plugin", $level,
                    plugin, topic = &**topic, partition, offset = first, last_offset = last, "{text}"
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

/// One line that can neither forge another one nor control a terminal: control characters are escaped.
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

/// The numbers of the streams.
const STDOUT: usize = 0;
const STDERR: usize = 1;

/// The level of a printed line: the word that Python's `logging`, and many others, begin it with. Others are `info`, on
/// both streams: that something is on standard error says nothing about it. Panics and exceptions are warnings.
fn level_of(text: &str) -> Level {
    const LEVELS: [(&str, Level); 9] = [
        ("TRACE", Level::TRACE),
        ("DEBUG", Level::DEBUG),
        ("INFO", Level::INFO),
        ("WARNING", Level::WARN),
        ("WARN", Level::WARN),
        ("ERROR", Level::ERROR),
        ("CRITICAL", Level::ERROR),
        ("FATAL", Level::ERROR),
        ("Traceback (most recent call last)", Level::WARN),
    ];
    let start = text.strip_prefix('[').unwrap_or(text);
    let ends = |rest: &str| rest.starts_with([':', ']', ' ']) || rest.is_empty();
    let named = LEVELS.iter().find(|(word, _)| start.strip_prefix(word).is_some_and(ends));
    match named {
        Some((_, level)) => *level,
        None if text.starts_with("thread '") && text.contains(" panicked at ") => Level::WARN,
        None => Level::INFO,
    }
}

/// Standard output or error of a guest.
#[derive(Clone)]
pub struct Stream {
    output: Output,
    index: usize,
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
        self.output.state.lock().print(self.index, &bytes, self.output.max);
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
    fn a_printed_line_has_the_level_that_it_begins_with() {
        for (text, level) in [
            ("console debug", Level::INFO),
            ("", Level::INFO),
            ("DEBUG:root:text", Level::DEBUG),
            ("INFO:root:text", Level::INFO),
            ("WARNING:root:text", Level::WARN),
            ("[WARN] text", Level::WARN),
            ("ERROR text", Level::ERROR),
            ("CRITICAL:root:text", Level::ERROR),
            ("ERRORS", Level::INFO),
            ("Traceback (most recent call last):", Level::WARN),
            ("thread '<unnamed>' (1) panicked at src/lib.rs:1:2:", Level::WARN),
        ] {
            assert_eq!(level_of(text), level, "{text}");
        }
    }

    #[test]
    fn the_last_lines_of_standard_error_have_a_bound() {
        let place = Place { plugin: "plugin".into(), at: At::Nowhere };
        let output = Output::new(place.clone(), 1 << 20);
        for number in 0..100_000 {
            output.state.lock().printed(STDERR, &number.to_string(), 1 << 20);
        }
        output.state.lock().printed(STDOUT, "not an error", 1 << 20);
        let lines = output.state.lock().tail.0.clone();
        assert!(lines.iter().map(String::len).sum::<usize>() <= MAX_TAIL);
        assert_eq!((lines.back().map(String::as_str), lines.len() > 500), (Some("99999"), true));
        output.reset(place);
        assert!(output.state.lock().tail.0.is_empty());
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let long = "가".repeat(MAX_LINE);
        assert!(clean(&long).len() <= MAX_LINE);
    }
}
