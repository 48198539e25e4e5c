//! `[desk]`: the dead-letter desk.

use std::net::SocketAddr;
use std::time::Duration;

use base::error::UserError;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Value;

/// The shortest token, in bytes: what guards dead letters must not be guessed.
const TOKEN: usize = 16;

/// The dead-letter desk: what failed is kept in the store, shown, and sent back. `--desk=false` leaves it
/// out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DeskSettings {
    /// Whether dead letters are taken in.
    #[schemars(example = true)]
    pub enabled: Option<bool>,
    /// What whoever asks must show (`Authorization: Bearer …`), 16 characters or more; needed where
    /// `listen` is not a loopback address. A text, `{ env = "NAME" }` or `{ file = "PATH" }`.
    #[schemars(with = "Option<String>", example = "a long random text")]
    pub token: Option<Value>,
    /// For how long letters that were replayed or discarded are kept since then; 30 days by default.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "30d")]
    pub keep: Option<Duration>,
    /// For how long open letters are kept since they came; 365 days by default.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "365d")]
    pub keep_open: Option<Duration>,
    /// How many letters are kept at most, 1,000,000 by default; the oldest go first, those that are not open
    /// before all others.
    #[schemars(example = 1_000_000)]
    pub most: Option<u64>,
}

impl DeskSettings {
    /// The token, checked.
    ///
    /// # Errors
    /// It is too short or cannot be read, or the address needs one and there is none.
    pub fn token(&self, listen: SocketAddr) -> Result<Option<String>, UserError> {
        let token = self.token.as_ref().map(|token| token.read("desk.token")).transpose()?;
        match &token {
            Some(token) if token.len() < TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(UserError::usage(format!("desk.token: {TOKEN} or more ASCII characters, without blanks"))
                    .help("make one: openssl rand -hex 32"))
            }
            None if !listen.ip().is_loopback() => Err(UserError::usage(format!(
                "the dead-letter desk would be open to everybody who reaches {listen}"
            ))
            .help("give it a token: desk.token = { env = \"HOST_TOKEN\" }")
            .help("or listen on this machine alone: --listen 127.0.0.1:8081, or leave the desk out: --desk=false")),
            _ => Ok(token),
        }
    }
}
