//! Shared parts of the fuzz targets. `scripts/fuzz` builds and runs them.

use std::borrow::Cow;

use sandbox::capabilities::mail::mailer::{Address, Attachment, Email};

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

/// An e-mail of a plugin. The bits of the first byte decide which parts it has.
pub fn email(input: &mut Input<'_>) -> Email {
    let kinds = input.byte();
    let address = |input: &mut Input<'_>| Address {
        name: input.optional().map(text),
        email: input.text().into_owned(),
    };
    let addresses = |input: &mut Input<'_>, count: u8| (0..count).map(|_| address(input)).collect();
    Email {
        sender: address(input),
        to: addresses(input, kinds & 3),
        cc: addresses(input, kinds >> 2 & 1),
        bcc: addresses(input, kinds >> 3 & 1),
        reply_to: (kinds >> 4 & 1 == 1).then(|| address(input)),
        subject: input.text().into_owned(),
        text: input.optional().map(text),
        html: input.optional().map(text),
        headers: (0..kinds >> 5 & 1)
            .map(|_| (input.text().into_owned(), input.text().into_owned()))
            .collect(),
        attachments: (0..kinds >> 6 & 1)
            .map(|_| Attachment {
                filename: input.text().into_owned(),
                content_type: input.text().into_owned(),
                content: input.rest().to_vec(),
            })
            .collect(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
