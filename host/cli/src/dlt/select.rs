//! Which letters, as typed.

use std::time::{Duration, UNIX_EPOCH};

use base::clock;
use base::error::UserError;
use desk::Filter;
use humantime_serde::re::humantime;
use server::api::Count;
pub use server::api::pairs as query;

use super::client::Client;
use crate::ask;

/// Which letters: of several conditions, all must hold.
#[derive(Debug, Default, clap::Args)]
pub struct Select {
    #[command(flatten)]
    conditions: Conditions,
    /// Of this plugin: name@version, or the name alone
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
}

/// Conditions beside the plugin's name, which is not `--plugin` everywhere.
#[derive(Debug, Default, clap::Args)]
pub struct Conditions {
    /// Letters by their ids, or what those begin with
    #[arg(value_name = "ID")]
    pub ids: Vec<String>,
    /// Of this topic, or of this dead-letter topic
    #[arg(long)]
    topic: Option<String>,
    /// With this failure code
    #[arg(long)]
    code: Option<String>,
    /// Of this group of failures (host dlt groups)
    #[arg(long, value_name = "ID")]
    group: Option<String>,
    /// Dead since: 2h or 3d ago, or 2026-11-23T14:36:49Z
    #[arg(long, value_name = "WHEN", value_parser = moment, allow_hyphen_values = true)]
    since: Option<i64>,
    /// Dead before
    #[arg(long, value_name = "WHEN", value_parser = moment, allow_hyphen_values = true)]
    until: Option<i64>,
    /// With this text in key, value, detail or message id
    #[arg(long)]
    text: Option<String>,
}

impl Conditions {
    /// As a filter, of this plugin alone where there is one.
    ///
    /// # Errors
    /// It cannot be meant.
    pub fn filter(self, plugin: Option<String>) -> Result<Filter, UserError> {
        let filter = Filter {
            ids: self.ids,
            topic: self.topic,
            code: self.code,
            plugin,
            group: self.group,
            since_ms: self.since,
            until_ms: self.until,
            text: self.text,
            ..Filter::default()
        };
        filter
            .check()
            .map_err(|why| UserError::usage(why).help("see ids: host dlt list, host dlt groups"))?;
        Ok(filter)
    }
}

impl Select {
    /// As a filter.
    ///
    /// # Errors
    /// It cannot be meant.
    pub fn filter(self) -> Result<Filter, UserError> {
        self.conditions.filter(self.plugin)
    }

    /// As a filter for something that is done to letters.
    ///
    /// # Errors
    /// It cannot be meant, or means every letter without `all`.
    pub fn some(self, all: bool) -> Result<Filter, UserError> {
        let filter = self.filter()?;
        if filter.is_any() && !all {
            return Err(UserError::usage("which letters?")
                .help("name them by id, or by --topic, --code, --plugin, --group, --since, --until, --text")
                .help("or say --all"));
        }
        Ok(filter)
    }
}

/// How many letters these are, of those in the filter's state; none is an error.
///
/// # Errors
/// The host does not answer, or there are none.
pub async fn count(client: &Client, filter: &Filter, what: &str) -> Result<u64, UserError> {
    let Count { letters } = client.get("/letters/count", &query(filter)).await?;
    if letters == 0 {
        return Err(UserError::unavailable(format!("none of these letters is {what}"))
            .help("see which there are: host dlt list, with the same filters"));
    }
    Ok(letters)
}

/// Asks before something is done to several letters.
///
/// # Errors
/// The answer is no, or there is nobody to ask.
pub fn agreed(question: &str, letters: u64, yes: bool) -> Result<(), UserError> {
    if yes || letters <= 1 {
        return Ok(());
    }
    if !ask::is_possible() {
        return Err(UserError::usage(format!(
            "{letters} letters: this asks first, and there is no terminal to ask on; nothing was done"
        ))
        .help("do it without being asked: --yes"));
    }
    if ask::confirmed(question)? { Ok(()) } else { Err(UserError::unavailable("nothing was done")) }
}

/// A moment, in milliseconds since the Unix epoch: so long ago, or a date.
fn moment(text: &str) -> Result<i64, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(clock::now_ms().saturating_sub(millis(ago)));
    }
    let date = if text.contains(['T', ' ']) { text.to_owned() } else { format!("{text}T00:00:00Z") };
    let moment = humantime::parse_rfc3339_weak(&date).map_err(|_| {
        "expected how long ago, as in 2h or 3d, or a moment, as in 2026-11-23T14:36:49Z".to_owned()
    })?;
    Ok(moment.duration_since(UNIX_EPOCH).map_or(0, millis))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How long ago that was, in one unit.
pub fn age(moment_ms: i64) -> String {
    let seconds = clock::now_ms().saturating_sub(moment_ms).max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_durations_or_dates() {
        let now = clock::now_ms();
        let ago = now - moment("2h").expect("a duration");
        assert!((7_199_000..=7_200_000).contains(&ago), "{ago}");
        assert_eq!(moment("2026-11-23T14:36:49Z"), Ok(1_795_444_609_000));
        assert_eq!(moment("2026-11-23 14:36:49"), Ok(1_795_444_609_000));
        assert_eq!(moment("1970-01-02"), Ok(86_400_000));
        for text in ["", "yesterday", "2h ago", "-2h", "2026-13-01"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ages_have_one_unit() {
        let now = clock::now_ms();
        let ages = [5, 125, 7300, 200_000].map(|seconds| age(now - seconds * 1000));
        assert_eq!(ages, ["5s", "2m", "2h", "2d"]);
        assert_eq!(age(now + 60_000), "0s");
    }
}
