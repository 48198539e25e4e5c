//! Shared parts of the fuzz targets. `scripts/fuzz` builds and runs them.

use std::borrow::Cow;

/// Splits an input from its front, so that entries of a dictionary stay whole. Missing parts are empty or 0.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// The whole input.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether the input is exhausted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// The next eight bytes, as a big-endian number.
    pub fn number(&mut self) -> i64 {
        self.bytes(8).iter().fold(0, |number, byte| number << 8 | i64::from(*byte))
    }

    /// A chunk of bytes, whose length is the next byte.
    pub fn chunk(&mut self) -> &'a [u8] {
        let length = self.byte();
        self.bytes(usize::from(length))
    }

    /// A chunk as text.
    pub fn text(&mut self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.chunk())
    }

    /// A chunk, or `None` if its length is 255.
    pub fn optional(&mut self) -> Option<&'a [u8]> {
        match self.byte() {
            u8::MAX => None,
            length => Some(self.bytes(usize::from(length))),
        }
    }

    /// The rest of the input.
    pub fn rest(&mut self) -> &'a [u8] {
        self.bytes(self.0.len())
    }

    fn bytes(&mut self, max: usize) -> &'a [u8] {
        let (taken, left) = self.0.split_at(max.min(self.0.len()));
        self.0 = left;
        taken
    }
}
