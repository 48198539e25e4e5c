//! What is said: no message's payload, and nothing that a chat would take for a command.

use base::text;

use super::rules::Event;
use crate::groups::Group;

/// How many failures of one kind are named.
const NAMED: usize = 10;
/// How much of a failure's detail is said, in characters.
const DETAIL: usize = 200;

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// One line.
    pub subject: String,
    /// Some lines.
    pub body: String,
}

impl Text {
    /// Of what happened, the largest first.
    pub fn of(events: &[(Event, Group)], console: Option<&str>) -> Self {
        let is = |wanted: fn(&Event) -> bool| {
            let mut some: Vec<&(Event, Group)> = events.iter().filter(|(event, _)| wanted(event)).collect();
            some.sort_by(|(_, a), (_, b)| b.open.cmp(&a.open).then_with(|| a.id.cmp(&b.id)));
            some
        };
        let kinds = [
            ("new failure", is(|event| matches!(event, Event::New { .. }))),
            ("failure that grows", is(|event| matches!(event, Event::Growth { .. }))),
            ("failure that stays open", is(|event| *event == Event::Age)),
            ("recovery", is(|event| *event == Event::Recovery)),
        ];
        let (mut subject, mut body) = (Vec::new(), Vec::new());
        for (name, some) in kinds.into_iter().filter(|(_, some)| !some.is_empty()) {
            subject.push(counted(some.len(), name));
            body.extend(some.iter().take(NAMED).map(|(event, group)| one(*event, group, console)));
            if some.len() > NAMED {
                body.push(format!("… and {}", counted(some.len() - NAMED, name)));
            }
        }
        let single = match events {
            [(_, group)] => format!(": {} ({})", line(&group.code), line(&group.plugin)),
            _ => String::new(),
        };
        Self { subject: format!("host: {}{single}", subject.join(", ")), body: body.join("\n\n") }
    }

    /// To see whether they arrive.
    pub fn test() -> Self {
        Self {
            subject: "host: a test".to_owned(),
            body: "This is a test of the alerts about dead letters. Nothing has failed.".to_owned(),
        }
    }
}

fn counted(number: usize, what: &str) -> String {
    match (number, what) {
        (1, _) => format!("1 {what}"),
        (_, "recovery") => format!("{number} recoveries"),
        (_, "new failure") => format!("{number} new failures"),
        (_, what) => format!(
            "{number} {}",
            what.replacen("failure", "failures", 1).replace("grows", "grow").replace("stays", "stay")
        ),
    }
}

fn one(event: Event, group: &Group, console: Option<&str>) -> String {
    let (code, plugin) = (line(&group.code), line(&group.plugin));
    let letters = |number: u64| text::counted(number, "open letter");
    let since = group.oldest_open_ms.map(minute).unwrap_or_default();
    let what = match event {
        Event::New { .. } => format!("NEW: {code} ({plugin}), {} since {since}", letters(group.open)),
        Event::Growth { from, .. } => {
            format!(
                "GROWS: {code} ({plugin}), {} since {since}, {from} when it was reported last",
                letters(group.open)
            )
        }
        Event::Age => {
            format!("STILL OPEN: {code} ({plugin}), {}, the oldest since {since}", letters(group.open))
        }
        Event::Recovery => format!("RECOVERED: {code} ({plugin}), no letter is open any more"),
    };
    let detail = line(&group.detail);
    let detail = match detail.char_indices().nth(DETAIL) {
        Some((end, _)) => format!("{}…", detail.get(..end).unwrap_or_default()),
        None => detail,
    };
    let next = match console {
        Some(console) => format!("{console}/groups/{}", group.id),
        None => format!("host dlt list --group {}", group.id.get(..8).unwrap_or(&group.id)),
    };
    if event == Event::Recovery || detail.is_empty() {
        format!("{what}\n{next}")
    } else {
        format!("{what}\n{detail}\n{next}")
    }
}

fn minute(ms: i64) -> String {
    text::utc(ms).get(..16).map_or_else(String::new, |minute| minute.replace('T', " ") + " UTC")
}

fn line(text: &str) -> String {
    text::line(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::GroupState;

    fn group(id: char, code: &str, open: u64) -> Group {
        Group {
            id: id.to_string().repeat(32),
            code: code.to_owned(),
            plugin: "email@1".to_owned(),
            digest: String::new(),
            first_seen_ms: 0,
            last_seen_ms: 0,
            detail: "no such\nmailbox".to_owned(),
            note: String::new(),
            state: GroupState::Open,
            open,
            replayed: 0,
            discarded: 0,
            recent: 0,
            oldest_open_ms: Some(1_795_435_410_000),
        }
    }

    #[test]
    fn one_failure_is_told_whole() {
        let text = Text::of(
            &[(Event::New { aged: false }, group('a', "bad-address", 10_000))],
            Some("https://host.example.com"),
        );
        assert_eq!(text.subject, "host: 1 new failure: bad-address (email@1)");
        assert_eq!(
            text.body,
            format!(
                "NEW: bad-address (email@1), 10000 open letters since 2026-11-23 12:03 UTC\nno such\\nmailbox\nhttps://host.example.com/groups/{}",
                "a".repeat(32)
            )
        );
    }

    #[test]
    fn many_are_one_message_of_bounded_length() {
        let mut events: Vec<_> = (0..33)
            .map(|number| (Event::New { aged: false }, group('b', &format!("code-{number}"), number)))
            .collect();
        events.push((Event::Recovery, group('c', "gone", 0)));
        events.push((Event::Growth { from: 2, aged: false }, group('d', &"x".repeat(5000), 20)));
        let text = Text::of(&events, None);
        assert_eq!(text.subject, "host: 33 new failures, 1 failure that grows, 1 recovery");
        assert!(
            text.body.contains("NEW: code-32")
                && !text.body.contains("NEW: code-22 ")
                && text.body.contains("… and 23 new failures")
        );
        assert!(
            text.body.contains("host dlt list --group bbbbbbbb") && text.body.contains("RECOVERED: gone")
        );
    }
}
