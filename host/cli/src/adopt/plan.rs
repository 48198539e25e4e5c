//! Plans the commits. Neither side can read the other's retry policy, so the plan relies on the broker's state alone.

use std::fmt::Write as _;
use std::time::Duration;

use base::error::UserError;

/// The side that continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Host,
    Spring,
}

/// A retry topic on the broker.
#[derive(Debug)]
pub struct Topic {
    pub name: String,
    /// The suffix after the source topic's name, also used in the name of Spring's group.
    pub suffix: String,
    /// Whether this host has created it; None without permission to read its settings.
    pub made_by_host: Option<bool>,
    pub partitions: Vec<Partition>,
}

/// Offsets of one partition.
#[derive(Debug)]
pub struct Partition {
    pub index: i32,
    pub start: i64,
    pub end: i64,
    /// Committed offset of Spring's group for the topic.
    pub spring: Option<i64>,
    /// Committed offset of this host's retry group.
    pub host: Option<i64>,
}

impl Partition {
    /// Number of messages after the highest of these positions.
    fn left(&self, positions: [Option<i64>; 2]) -> i64 {
        let position = positions.into_iter().flatten().max().unwrap_or(self.start);
        self.end.saturating_sub(position.max(self.start)).max(0)
    }

    /// The committed offsets of the side that stops and of the side that continues.
    fn offsets(&self, to: Direction) -> (Option<i64>, Option<i64>) {
        match to {
            Direction::Host => (self.spring, self.host),
            Direction::Spring => (self.host, self.spring),
        }
    }
}

impl Topic {
    fn read_by_spring(&self) -> bool {
        self.partitions.iter().any(|partition| partition.spring.is_some())
    }

    fn waiting(&self, to: Direction) -> i64 {
        self.partitions.iter().map(|partition| partition.left([partition.offsets(to).0, None])).sum()
    }

    /// Number of messages that neither side has read.
    fn unread(&self) -> i64 {
        self.partitions.iter().map(|partition| partition.left([partition.spring, partition.host])).sum()
    }

    /// The delay in the topic's name, in milliseconds; None if all delays are equal.
    fn delay_ms(&self) -> Option<u64> {
        self.suffix.rsplit_once('-')?.1.parse().ok()
    }
}

/// The retry topics of a consumer.
#[derive(Debug)]
pub struct Retries {
    /// This host's retry topics, whether or not they exist.
    pub tiers: Vec<String>,
    /// Those that exist, in order.
    pub found: Vec<Topic>,
    /// Other topics that are named like retry topics of the same source.
    pub others: Vec<Topic>,
}

/// The commit for a partition.
#[derive(Debug, PartialEq, Eq)]
pub struct Move {
    pub topic: String,
    pub suffix: String,
    pub partition: i32,
    /// Committed offset of the side that stops. None if there is none; then nothing is committed.
    pub offset: Option<i64>,
    /// Previous committed offset of the side that continues.
    pub before: Option<i64>,
    /// Number of messages left.
    pub waiting: i64,
}

impl Retries {
    /// The commits for the side that continues.
    ///
    /// # Errors
    /// It cannot continue where the other side stopped.
    pub fn plan(&self, to: Direction) -> Result<Vec<Move>, UserError> {
        if self.found.is_empty() && self.others.is_empty() {
            let what = format!("none of the retry topics exists: {}", self.tiers.join(", "));
            return Err(
                UserError::unavailable(what).help("no retries are pending: stop one side, start the other")
            );
        }
        self.refuse_other_policy(to)?;
        self.refuse_unread_topics()?;
        if to == Direction::Spring {
            self.refuse_topics_unknown_to_spring()?;
        }
        let moves: Vec<Move> = self.found.iter().flat_map(|topic| moves(topic, to)).collect();
        self.refuse_to_go_back(&moves, to)?;
        Ok(moves)
    }

    /// Spring creates all its retry topics when it starts, and commits offsets on those it has read.
    fn refuse_other_policy(&self, to: Direction) -> Result<(), UserError> {
        let other: Vec<&Topic> = self.others.iter().filter(|topic| topic.read_by_spring()).collect();
        let lacking = self.lacking(to);
        if other.is_empty() && lacking.is_empty() {
            return Ok(());
        }
        let mut what = String::from("the retry policies differ");
        for topic in &other {
            let _ = write!(what, "\n  {} is read by Spring and not by this host's policy", topic.name);
        }
        for name in &lacking {
            let _ = write!(what, "\n  {name} is read by this host's policy and not by Spring");
        }
        let _ = write!(what, "\n  this host's retry topics: {}", self.tiers.join(", "));
        let springs = self.found.iter().filter(|topic| !lacking.contains(&topic.name.as_str())).chain(other);
        let failure = UserError::unavailable(what).help(suggestion(springs.map(Topic::delay_ms).collect()));
        if to == Direction::Spring && !lacking.is_empty() {
            return Err(
                failure.help(format!("first let this host finish the messages in {}", lacking.join(", ")))
            );
        }
        Err(failure.help("if Spring had another policy before: delete the topics that are no longer used"))
    }

    /// This host's topics that Spring has neither created nor read, although it has others.
    fn lacking(&self, to: Direction) -> Vec<&str> {
        let spring_was_here =
            self.found.iter().chain(&self.others).any(|topic| topic.made_by_host == Some(false));
        let found = |name: &str| self.found.iter().find(|topic| topic.name == name);
        let lacks = |name: &&str| match found(name) {
            // A missing topic holds no messages.
            None => to == Direction::Host,
            Some(topic) => spring_was_here && topic.made_by_host == Some(true) && !topic.read_by_spring(),
        };
        self.tiers.iter().map(String::as_str).filter(lacks).collect()
    }

    fn refuse_unread_topics(&self) -> Result<(), UserError> {
        let Some(topic) = self.others.iter().find(|topic| topic.unread() > 0) else { return Ok(()) };
        let what = format!(
            "{} holds messages that neither side has read ({}), and is not a retry topic of this host\n  this host's \
             retry topics: {}",
            topic.name,
            topic.unread(),
            self.tiers.join(", ")
        );
        Err(UserError::unavailable(what)
            .help("run the side that reads it until it is empty, or adapt this host's retry policy")
            .help(format!("show the messages: host consume {} --from-beginning --headers", topic.name)))
    }

    /// Spring may not have a retry topic that it has never read, although it has read others.
    fn refuse_topics_unknown_to_spring(&self) -> Result<(), UserError> {
        if !self.found.iter().any(Topic::read_by_spring) {
            return Ok(());
        }
        let suspect = |topic: &&Topic| {
            topic.made_by_host != Some(false)
                && !topic.read_by_spring()
                && topic.waiting(Direction::Spring) > 0
        };
        let Some(topic) = self.found.iter().find(suspect) else { return Ok(()) };
        let read: Vec<&str> = self
            .found
            .iter()
            .filter(|topic| topic.read_by_spring())
            .map(|topic| topic.name.as_str())
            .collect();
        let what = format!(
            "{} holds {} messages, and Spring has never read it (it has read {})",
            topic.name,
            topic.waiting(Direction::Spring),
            read.join(", ")
        );
        Err(UserError::unavailable(what)
            .help("let this host finish these messages, then stop it and hand over"))
    }

    fn refuse_to_go_back(&self, moves: &[Move], to: Direction) -> Result<(), UserError> {
        let end = |wanted: &Move| {
            let topic = self.found.iter().find(|topic| topic.name == wanted.topic);
            let partition =
                topic.and_then(|topic| topic.partitions.iter().find(|p| p.index == wanted.partition));
            partition.map_or(i64::MAX, |partition| partition.end)
        };
        let back: Vec<String> = moves
            .iter()
            .filter_map(|m| Some((m, m.offset?, m.before?)))
            // An offset beyond the end stems from a topic that was deleted and created again.
            .filter(|(m, offset, before)| before > offset && *before <= end(m))
            .map(|(m, offset, before)| format!("\n  {}[{}]: {before}, not {offset}", m.topic, m.partition))
            .collect();
        if back.is_empty() {
            return Ok(());
        }
        let (on, off, flag) = match to {
            Direction::Host => ("this host", "Spring", "with --to-spring"),
            Direction::Spring => ("Spring", "this host", "without --to-spring"),
        };
        let what = format!("{on} is ahead of {off}; going back would repeat messages{}", back.concat());
        Err(UserError::unavailable(what).help(format!(
            "no migration is needed: start {on}; to migrate in the other direction, run this command {flag}"
        )))
    }
}

fn moves(topic: &Topic, to: Direction) -> impl Iterator<Item = Move> {
    topic.partitions.iter().map(move |partition| {
        let (offset, before) = partition.offsets(to);
        Move {
            topic: topic.name.clone(),
            suffix: topic.suffix.clone(),
            partition: partition.index,
            offset,
            before,
            waiting: partition.left([offset.or(before), None]),
        }
    })
}

/// The settings in host.toml for a policy with these topics.
fn suggestion(mut delays: Vec<Option<u64>>) -> String {
    delays.sort_unstable();
    delays.dedup();
    let text = |ms: u64| humantime_serde::re::humantime::format_duration(Duration::from_millis(ms));
    let delays: Vec<u64> = match delays.first() {
        Some(None) => {
            return "Spring's delays are all equal, or it retries once: set retries (Spring's attempts minus 1), delay and \
                    multiplier = 1.0 under [plugin.retry]"
                .to_owned();
        }
        _ => delays.into_iter().flatten().collect(),
    };
    let retries = delays.len();
    match delays[..] {
        [] => "set retries = 0 under [plugin.retry]".to_owned(),
        [0, ..] => "Spring numbers its topics (SUFFIX_WITH_INDEX_VALUE); set SUFFIX_WITH_DELAY_VALUE there"
            .to_owned(),
        [delay] => format!("set under [plugin.retry]: retries = 1, delay = \"{}\"", text(delay)),
        [first, second, ..] => {
            let multiplier = second as f64 / first as f64;
            let follows =
                delays.windows(2).filter(|pair| (pair[0] as f64 * multiplier - pair[1] as f64).abs() < 1.5);
            let start = format!(
                "set under [plugin.retry]: retries = {retries}, delay = \"{}\", multiplier = {multiplier:?}",
                text(first)
            );
            match (follows.count() + 1 == retries, delays.last()) {
                (false, Some(last)) => format!(
                    "{start}, max-delay = \"{}\"; set more retries if Spring's attempts minus 1 are more",
                    text(*last)
                ),
                _ => start,
            }
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
