//! Arguments that select dead letters, a failure or a replay.

use base::error::UserError;
use base::{clock, text};
use desk_api::{DeadLetterCount, Filter, is_id};
use humantime_serde::re::humantime;
use serde::de::IgnoredAny;

use super::client::Client;
use crate::confirm;
use crate::output::OutputArgs;

/// A failure or replay to change.
#[derive(Debug, clap::Args)]
pub struct Target {
    /// Its id, or a unique prefix of it
    #[arg(value_name = "ID")]
    pub id: String,
    /// Reason for the audit log
    #[arg(long, default_value = "", hide_default_value = true)]
    pub reason: String,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Arguments that select dead letters; all conditions must match.
#[derive(Debug, Default, clap::Args)]
pub struct Select {
    #[command(flatten)]
    conditions: Conditions,
    /// Only dead letters of this plugin: name@version, or name for all versions
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
}

/// All conditions but the plugin, whose flag differs between commands.
#[derive(Debug, Default, clap::Args)]
pub struct Conditions {
    /// Ids of dead letters, or unique prefixes of them
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Only dead letters with this original topic or dead-letter topic
    #[arg(long)]
    topic: Option<String>,
    /// Only dead letters with this failure code; `*` matches any characters: smtp-5*
    #[arg(long)]
    code: Option<String>,
    /// Only dead letters of this failure (see host dlt failures)
    #[arg(long, value_name = "ID")]
    failure: Option<String>,
    /// Only messages dead-lettered at or after this time: an age such as 2h or 3d, or a time such as
    /// 2026-11-23T14:36, of this machine's time zone (TZ) unless an offset or Z follows
    #[arg(long, value_name = "TIME", value_parser = timestamp, allow_hyphen_values = true)]
    since: Option<i64>,
    /// Only messages dead-lettered before this time: an age or a time
    #[arg(long, value_name = "TIME", value_parser = timestamp, allow_hyphen_values = true)]
    until: Option<i64>,
    /// Only dead letters with this text in the key, value, detail or message id
    #[arg(long)]
    text: Option<String>,
}

impl Conditions {
    /// The filter, restricted to a plugin if given.
    ///
    /// # Errors
    /// A condition is invalid.
    pub fn filter(self, plugin: Option<String>) -> Result<Filter, UserError> {
        let filter = Filter {
            ids: self.ids,
            topic: self.topic,
            code: self.code,
            plugin,
            failure: self.failure,
            since_ms: self.since,
            until_ms: self.until,
            text: self.text,
            ..Filter::default()
        };
        filter
            .check()
            .map_err(|error| UserError::usage(error).help("list ids: host dlt list, host dlt failures"))?;
        Ok(filter)
    }
}

impl Select {
    /// The filter.
    ///
    /// # Errors
    /// A condition is invalid.
    pub fn filter(self) -> Result<Filter, UserError> {
        self.conditions.filter(self.plugin)
    }

    /// The filter of a command that changes dead letters.
    ///
    /// # Errors
    /// A condition is invalid, or there is none and `all` is not set.
    pub fn restricted(self, all: bool) -> Result<Filter, UserError> {
        let filter = self.filter()?;
        if filter.is_unrestricted() && !all {
            return Err(UserError::usage("no dead letters selected")
                .help("select by id, or by --topic, --code, --plugin, --failure, --since, --until, --text")
                .help("or select all: --all"));
        }
        Ok(filter)
    }
}

/// The number of matching dead letters. `state` describes the filter's state.
///
/// # Errors
/// The host does not answer, or there are none.
pub async fn count(client: &Client, filter: &Filter, state: &str) -> Result<u64, UserError> {
    // The beginning of several ids must not be taken for all of them.
    for id in filter.ids.iter().filter(|id| !is_id(id)) {
        let _: IgnoredAny = client.get(&format!("/dead-letters/{id}"), &[]).await?;
    }
    let DeadLetterCount { dead_letters } = client.get("/dead-letters/count", &filter.query_pairs()).await?;
    if dead_letters == 0 {
        return Err(UserError::unavailable(format!("no matching dead letter is {state}"))
            .help("list them: host dlt list, with the same filters"));
    }
    Ok(dead_letters)
}

/// Asks for confirmation if several dead letters are affected.
///
/// # Errors
/// The answer is no, or there is no terminal.
pub fn confirm_count(question: &str, dead_letters: u64, yes: bool) -> Result<(), UserError> {
    if yes || dead_letters <= 1 { Ok(()) } else { confirm::require(question, "nothing was changed") }
}

/// Parses an age or a time; returns milliseconds since the Unix epoch.
fn timestamp(text: &str) -> Result<i64, String> {
    if let Ok(age) = humantime::parse_duration(text) {
        return Ok(clock::now_ms().saturating_sub(clock::millis(age)));
    }
    text::time(text).ok_or_else(|| {
        "expected an age such as 2h or 3d, or a time such as 2026-11-23T14:36 or 2026-11-23T14:36:49Z"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_times_are_accepted() {
        let now = clock::now_ms();
        let ago = now - timestamp("2h").expect("an age");
        assert!((7_199_000..=7_200_000).contains(&ago), "{ago}");
        assert_eq!(timestamp("2026-11-23T14:36:49Z"), Ok(1_795_444_609_000));
        assert_eq!(timestamp("2026-11-23 23:36:49 +09:00"), Ok(1_795_444_609_000));
        for text in ["", "yesterday", "2h ago", "-2h", "2026-13-01"] {
            assert!(timestamp(text).is_err(), "{text}");
        }
    }
}
