//! Texts of alerts. They contain no payload, and nothing that a chat would interpret.

use base::text;
use desk_api::Failure;

use super::rules::Event;

/// Maximum number of failures listed per kind of event.
const MAX_LISTED: usize = 10;
/// Maximum length of a failure's detail, in characters.
const MAX_DETAIL_CHARS: usize = 200;

/// The text of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// A single line.
    pub subject: String,
    /// The failures.
    pub body: String,
}

impl Text {
    /// Describes events, those with the most open dead letters first.
    pub fn of(events: &[(Event, Failure)], console: Option<&str>) -> Self {
        let select = |matches: fn(&Event) -> bool| {
            let mut some: Vec<&(Event, Failure)> =
                events.iter().filter(|(event, _)| matches(event)).collect();
            some.sort_by(|(_, a), (_, b)| b.open.cmp(&a.open).then_with(|| a.id.cmp(&b.id)));
            some
        };
        let kinds = [
            (["new failure", "new failures"], select(|event| matches!(event, Event::New { .. }))),
            (["growing failure", "growing failures"], select(|event| matches!(event, Event::Growth { .. }))),
            (["old failure", "old failures"], select(|event| *event == Event::Age)),
            (["recovery", "recoveries"], select(|event| *event == Event::Recovery)),
        ];
        let (mut subject, mut body) = (Vec::new(), Vec::new());
        for (names, some) in kinds.into_iter().filter(|(_, some)| !some.is_empty()) {
            subject.push(counted(some.len(), names));
            body.extend(some.iter().take(MAX_LISTED).map(|(event, failure)| entry(*event, failure, console)));
            if some.len() > MAX_LISTED {
                body.push(format!(
                    "… and {} more {}",
                    some.len() - MAX_LISTED,
                    names[usize::from(some.len() - MAX_LISTED != 1)]
                ));
            }
        }
        let single = match events {
            [(_, failure)] => format!(": {} ({})", line(&failure.code), line(&failure.plugin)),
            _ => String::new(),
        };
        Self { subject: format!("host: {}{single}", subject.join(", ")), body: body.join("\n\n") }
    }

    /// A test alert.
    pub fn test() -> Self {
        Self {
            subject: "host: test alert".to_owned(),
            body: "This is a test of the alerts on dead letters. Nothing has failed.".to_owned(),
        }
    }
}

fn counted(number: usize, [one, many]: [&str; 2]) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn entry(event: Event, failure: &Failure, console: Option<&str>) -> String {
    let (code, plugin) = (line(&failure.code), line(&failure.plugin));
    let open = text::counted(failure.open, "open dead letter");
    let since = failure.oldest_open_ms.map(minute).unwrap_or_default();
    let heading = match event {
        Event::New { .. } => format!("NEW: {code} ({plugin}), {open} since {since}"),
        Event::Growth { from, .. } => {
            format!("GROWING: {code} ({plugin}), {open} since {since}, up from {from} in the last report")
        }
        Event::Age => format!("STILL OPEN: {code} ({plugin}), {open}, the oldest since {since}"),
        Event::Recovery => format!("RECOVERED: {code} ({plugin}), no open dead letters"),
    };
    let detail = ellipsis(&line(&failure.detail), MAX_DETAIL_CHARS);
    let link = match console {
        Some(console) => format!("{console}/failures/{}", failure.id),
        None => format!("host dlt list --failure {}", failure.id.get(..8).unwrap_or(&failure.id)),
    };
    if event == Event::Recovery || detail.is_empty() {
        format!("{heading}\n{link}")
    } else {
        format!("{heading}\n{detail}\n{link}")
    }
}

fn minute(ms: i64) -> String {
    text::utc(ms).get(..16).map_or_else(String::new, |minute| minute.replace('T', " ") + " UTC")
}

fn line(text: &str) -> String {
    text::line(text.as_bytes())
}

/// A text of at most `max_chars` characters, and an ellipsis if it is longer.
pub(super) fn ellipsis(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use desk_api::FailureState;

    use super::*;

    fn failure(id: char, code: &str, open: u64) -> Failure {
        Failure {
            id: id.to_string().repeat(32),
            code: code.to_owned(),
            plugin: "email@1".to_owned(),
            digest: String::new(),
            first_seen_ms: 0,
            last_seen_ms: 0,
            cause: String::new(),
            detail: "no such\nmailbox".to_owned(),
            note: String::new(),
            state: FailureState::Open,
            open,
            replayed: 0,
            discarded: 0,
            edited: 0,
            recent: 0,
            oldest_open_ms: Some(1_795_435_410_000),
        }
    }

    #[test]
    fn a_single_failure_is_described_in_full() {
        let text = Text::of(
            &[(Event::New { aged: false }, failure('a', "bad-address", 10_000))],
            Some("https://host.example.com"),
        );
        assert_eq!(text.subject, "host: 1 new failure: bad-address (email@1)");
        assert_eq!(
            text.body,
            format!(
                "NEW: bad-address (email@1), 10000 open dead letters since 2026-11-23 12:03 UTC\nno such\\nmailbox\n\
                 https://host.example.com/failures/{}",
                "a".repeat(32)
            )
        );
    }

    #[test]
    fn many_failures_are_one_message_of_bounded_length() {
        let mut events: Vec<_> = (0..33)
            .map(|number| (Event::New { aged: false }, failure('b', &format!("code-{number}"), number)))
            .collect();
        events.push((Event::Recovery, failure('c', "gone", 0)));
        events.push((Event::Growth { from: 2, aged: false }, failure('d', &"x".repeat(5000), 20)));
        let text = Text::of(&events, None);
        assert_eq!(text.subject, "host: 33 new failures, 1 growing failure, 1 recovery");
        assert!(
            text.body.contains("NEW: code-32")
                && !text.body.contains("NEW: code-22 ")
                && text.body.contains("… and 23 more new failures")
        );
        assert!(
            text.body.contains("host dlt list --failure bbbbbbbb") && text.body.contains("RECOVERED: gone")
        );
    }
}
