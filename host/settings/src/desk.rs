//! `[desk]`: the dead-letter desk.

use std::net::SocketAddr;
use std::time::Duration;

use base::error::UserError;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::Value;

/// The minimum length of a token in bytes: a token that protects dead letters must not be guessed.
const MIN_TOKEN: usize = 16;

/// The dead-letter desk. It stores dead letters, shows them and replays them. `--desk=false` disables it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DeskSettings {
    /// Whether the desk is enabled. Default: true.
    #[schemars(example = true)]
    pub enabled: Option<bool>,
    /// The token for the API and the console (`Authorization: Bearer …`): at least 16 ASCII characters, without
    /// blanks. It is required unless `listen` is a loopback address. A text, `{ env = "NAME" }` or
    /// `{ file = "PATH" }`.
    #[schemars(with = "Option<String>", example = "a-long-random-text")]
    pub token: Option<Value>,
    /// How long replayed and discarded dead letters are kept, from that time on. Default: 30 days.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "30d")]
    pub keep: Option<Duration>,
    /// How long open dead letters are kept, from their arrival on. Default: 365 days.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", example = "365d")]
    pub keep_open: Option<Duration>,
    /// The maximum number of dead letters in the store. Above it, the oldest are deleted, open ones last.
    /// Default: 1,000,000.
    #[schemars(example = 1_000_000)]
    pub most: Option<u64>,
}

impl DeskSettings {
    /// The token, checked.
    ///
    /// # Errors
    /// The token is too short or cannot be read, or the address requires one and there is none.
    pub fn token(&self, listen: SocketAddr) -> Result<Option<String>, UserError> {
        let token = self.token.as_ref().map(|token| token.read("desk.token")).transpose()?;
        match &token {
            Some(token) if token.len() < MIN_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(UserError::usage(format!(
                    "desk.token: at least {MIN_TOKEN} ASCII characters, without blanks"
                ))
                .help("generate one: openssl rand -hex 32"))
            }
            None if !listen.ip().is_loopback() => Err(UserError::usage(format!(
                "the dead-letter desk would be open without a token to every client that can reach {listen}"
            ))
            .help("set a token: desk.token = { env = \"HOST_TOKEN\" }")
            .help("or accept only local connections: --listen 127.0.0.1:8081")
            .help("or disable the desk: --desk=false")),
            _ => Ok(token),
        }
    }
}
