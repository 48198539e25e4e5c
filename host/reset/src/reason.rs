//! The reasons why a component does not qualify.

use std::borrow::Cow;
use std::fmt;

/// The reason why the instances of a component cannot be reset, in words for the plugin's author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason(Cow<'static, str>);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&'static str> for Reason {
    fn from(text: &'static str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Reason {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<wasmparser::BinaryReaderError> for Reason {
    fn from(error: wasmparser::BinaryReaderError) -> Self {
        Self(format!("it cannot be read: {error}").into())
    }
}

/// The reason of the encoder for what it cannot encode again.
pub fn of_encoder<E: fmt::Display>(error: E) -> Reason {
    Reason::from(error.to_string())
}
