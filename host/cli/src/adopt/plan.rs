//! What may be taken over: decided from what the broker shows alone, since neither side can read
//! the other's policy.

use std::fmt::Write as _;
use std::time::Duration;

use base::error::UserError;

/// Which side goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Host,
    Spring,
}

/// A retry topic on the broker.
#[derive(Debug)]
pub struct Topic {
    pub name: String,
    /// What stands behind the source topic's name, as in Spring's name for its group.
    pub suffix: String,
    /// Whether this host has created it; None where that may not be asked.
    pub made_by_host: Option<bool>,
    pub partitions: Vec<Partition>,
}

/// Offsets of one partition.
#[derive(Debug)]
pub struct Partition {
    pub index: i32,
    pub start: i64,
    pub end: i64,
    /// What Spring's group for the topic has committed.
    pub spring: Option<i64>,
    /// What this host's retry group has committed.
    pub host: Option<i64>,
}

impl Partition {
    /// Messages that none of these positions covers.
    fn left(&self, positions: [Option<i64>; 2]) -> i64 {
        let position = positions.into_iter().flatten().max().unwrap_or(self.start);
        self.end.saturating_sub(position.max(self.start)).max(0)
    }

    /// What the side that stops has committed, and the side that goes on.
    fn offsets(&self, to: To) -> (Option<i64>, Option<i64>) {
        match to {
            To::Host => (self.spring, self.host),
            To::Spring => (self.host, self.spring),
        }
    }
}

impl Topic {
    fn read_by_spring(&self) -> bool {
        self.partitions.iter().any(|partition| partition.spring.is_some())
    }

    fn waiting(&self, to: To) -> i64 {
        self.partitions.iter().map(|partition| partition.left([partition.offsets(to).0, None])).sum()
    }

    /// What neither side has read.
    fn unread(&self) -> i64 {
        self.partitions.iter().map(|partition| partition.left([partition.spring, partition.host])).sum()
    }

    /// The delay in the topic's name, in milliseconds; None for the topic of equal delays.
    fn delay_ms(&self) -> Option<u64> {
        self.suffix.rsplit_once('-')?.1.parse().ok()
    }
}

/// What is known of one consumer's retries.
#[derive(Debug)]
pub struct Retries {
    /// This host's retry topics, those that do not exist included.
    pub tiers: Vec<String>,
    /// Those of them that exist, in their order.
    pub found: Vec<Topic>,
    /// Other topics that are named like retry topics of the same source.
    pub others: Vec<Topic>,
}

/// One partition's commit.
#[derive(Debug, PartialEq, Eq)]
pub struct Move {
    pub topic: String,
    pub suffix: String,
    pub partition: i32,
    /// Where the side that stops is; None: it has committed nothing, and nothing is committed here.
    pub offset: Option<i64>,
    /// Where the side that goes on was.
    pub before: Option<i64>,
    /// Messages that are left to it.
    pub waiting: i64,
}

impl Retries {
    /// What to commit for the side that goes on.
    ///
    /// # Errors
    /// Why it cannot go on where the other stopped, and what to do.
    pub fn plan(&self, to: To) -> Result<Vec<Move>, UserError> {
        if self.found.is_empty() && self.others.is_empty() {
            let what = format!("no retry topic exists: neither {}", self.tiers.join(" nor "));
            return Err(
                UserError::unavailable(what).help("nothing waits in retries: stop one side, start the other")
            );
        }
        self.refuse_other_policy(to)?;
        self.refuse_what_nobody_reads()?;
        if to == To::Spring {
            self.refuse_what_spring_never_read()?;
        }
        let moves: Vec<Move> = self.found.iter().flat_map(|topic| moves(topic, to)).collect();
        self.refuse_to_go_back(&moves, to)?;
        Ok(moves)
    }

    /// Spring creates the topics of all its tiers when it starts, and commits on those it has read.
    fn refuse_other_policy(&self, to: To) -> Result<(), UserError> {
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
        if to == To::Spring && !lacking.is_empty() {
            return Err(failure
                .help(format!("let this host work off what waits in {} before that", lacking.join(", "))));
        }
        Err(failure.help("where Spring had another policy once: delete the topic that is no longer used"))
    }

    /// This host's topics that Spring, which had others, has neither created nor ever read.
    fn lacking(&self, to: To) -> Vec<&str> {
        let spring_was_here =
            self.found.iter().chain(&self.others).any(|topic| topic.made_by_host == Some(false));
        let found = |name: &str| self.found.iter().find(|topic| topic.name == name);
        let lacks = |name: &&str| match found(name) {
            // What is not there holds nothing.
            None => to == To::Host,
            Some(topic) => spring_was_here && topic.made_by_host == Some(true) && !topic.read_by_spring(),
        };
        self.tiers.iter().map(String::as_str).filter(lacks).collect()
    }

    fn refuse_what_nobody_reads(&self) -> Result<(), UserError> {
        let Some(topic) = self.others.iter().find(|topic| topic.unread() > 0) else { return Ok(()) };
        let what = format!(
            "{} still holds messages that neither side has read ({}), and this host's policy does not read it\n  \
             this host's retry topics: {}",
            topic.name,
            topic.unread(),
            self.tiers.join(", ")
        );
        Err(UserError::unavailable(what)
            .help("run the side that reads it until it is empty, or take it into this host's policy")
            .help(format!("see whose they are: host consume {} --from-beginning --headers", topic.name)))
    }

    /// Where Spring has read some retry topics here and never this one, it may have no such tier.
    fn refuse_what_spring_never_read(&self) -> Result<(), UserError> {
        if !self.found.iter().any(Topic::read_by_spring) {
            return Ok(());
        }
        let suspect = |topic: &&Topic| {
            topic.made_by_host != Some(false) && !topic.read_by_spring() && topic.waiting(To::Spring) > 0
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
            topic.waiting(To::Spring),
            read.join(", ")
        );
        Err(UserError::unavailable(what).help("let this host work it off, then stop it and hand over"))
    }

    fn refuse_to_go_back(&self, moves: &[Move], to: To) -> Result<(), UserError> {
        let end = |wanted: &Move| {
            let topic = self.found.iter().find(|topic| topic.name == wanted.topic);
            let partition =
                topic.and_then(|topic| topic.partitions.iter().find(|p| p.index == wanted.partition));
            partition.map_or(i64::MAX, |partition| partition.end)
        };
        let back: Vec<String> = moves
            .iter()
            .filter_map(|m| Some((m, m.offset?, m.before?)))
            // Beyond the end it is of a topic that was deleted and made again.
            .filter(|(m, offset, before)| before > offset && *before <= end(m))
            .map(|(m, offset, before)| format!("\n  {}[{}]: {before}, not {offset}", m.topic, m.partition))
            .collect();
        if back.is_empty() {
            return Ok(());
        }
        let (on, off, flag) = match to {
            To::Host => ("this host", "Spring", "with --to-spring"),
            To::Spring => ("Spring", "this host", "without --to-spring"),
        };
        let what =
            format!("{on} has gone further than {off}; going back would repeat messages{}", back.concat());
        Err(UserError::unavailable(what)
            .help(format!("nothing is left to take over: start {on}; the other way is {flag}")))
    }
}

fn moves(topic: &Topic, to: To) -> impl Iterator<Item = Move> {
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

/// What to write into host.toml for a policy with these topics.
fn suggestion(mut delays: Vec<Option<u64>>) -> String {
    delays.sort_unstable();
    delays.dedup();
    let text = |ms: u64| humantime_serde::re::humantime::format_duration(Duration::from_millis(ms));
    let delays: Vec<u64> = match delays.first() {
        Some(None) => {
            return "Spring's delays are all equal, or it retries once: set retries (Spring's attempts less 1) and delay, \
                    and multiplier = 1.0, under [plugin.retry]"
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
                    "{start}, max-delay = \"{}\"; more retries where Spring's attempts less 1 are more",
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
