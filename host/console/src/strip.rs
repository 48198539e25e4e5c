//! The health strip at the top of every page: what does not work comes first.

use desk_api::{HealthPart, HealthState, PartKind};

use super::i18n::{Texts, counted};
use super::{format, partitions};
use server::{Status, health};

/// Destinations that are named although they work.
const MAX_NAMED: usize = 4;

/// The health of the host.
#[derive(Debug, Clone)]
pub struct Strip {
    /// The worst state.
    pub state: HealthState,
    /// Parts that wait or do not work.
    pub troubles: Vec<Trouble>,
    /// What works.
    pub well: Vec<Well>,
}

/// A part that waits or does not work.
#[derive(Debug, Clone)]
pub struct Trouble {
    pub state: HealthState,
    pub name: String,
    pub text: String,
    pub since_ms: Option<i64>,
    /// The page with more about it.
    pub link: &'static str,
}

/// Parts that work.
#[derive(Debug, Clone)]
pub struct Well {
    pub name: String,
    /// Since when, if that is known.
    pub since_ms: Option<i64>,
    pub link: &'static str,
}

impl Strip {
    /// The strip in this language.
    pub fn of(status: &Status, texts: &Texts) -> Self {
        let health = health::of(status);
        let (well, troubles): (Vec<_>, Vec<_>) =
            health.parts.iter().partition(|part| part.state == HealthState::Ok);
        let mut troubles: Vec<Trouble> =
            troubles.into_iter().map(|part| trouble(part, status, texts)).collect();
        troubles.sort_by_key(|trouble| std::cmp::Reverse(trouble.state));
        Self { state: health.state, troubles, well: self::well(&well, texts) }
    }
}

/// The page with more about a part.
fn link(kind: PartKind) -> &'static str {
    match kind {
        PartKind::Kafka | PartKind::Group | PartKind::Partitions => "/topics",
        PartKind::Store => "/settings",
        PartKind::Destination => "/#destinations",
        PartKind::Plugin => "/plugins",
    }
}

fn trouble(part: &HealthPart, status: &Status, texts: &Texts) -> Trouble {
    let HealthPart { kind, name, state, since_ms, reason, count } = part;
    let rooms = &texts.rooms;
    let reason = reason.as_deref().unwrap_or_default();
    let with = |text: &str| format!("{text} {reason}").trim_end().to_owned();
    let waiting = || {
        let count = count.filter(|count| *count > 0);
        count.map(|count| format!("{} {}", format::number(count), rooms.effects_wait)).unwrap_or_default()
    };
    let text = match (kind, state) {
        (PartKind::Kafka, _) => with(rooms.kafka_away),
        (PartKind::Store, _) => with(rooms.store_away),
        (PartKind::Destination, HealthState::Down) => [reason.to_owned(), waiting()]
            .into_iter()
            .filter(|it| !it.is_empty())
            .collect::<Vec<_>>()
            .join(" · "),
        (PartKind::Destination, _) => waiting(),
        (PartKind::Group, HealthState::Down) => with(rooms.group_failed),
        (PartKind::Group, _) => rooms.group_joining.to_owned(),
        (PartKind::Partitions, _) => {
            let count = counted(texts.n_partitions, count.unwrap_or(0));
            format!("{count}: {}", partitions::localized(reason, texts))
        }
        (PartKind::Plugin, _) => idle(name, status, texts).unwrap_or_else(|| reason.to_owned()),
    };
    Trouble { state: *state, name: name.clone(), text, since_ms: *since_ms, link: link(*kind) }
}

/// Why a plugin is not handed messages.
fn idle(plugin: &str, status: &Status, texts: &Texts) -> Option<String> {
    let gate = status.gates().iter().map(|gate| gate.status()).find(|gate| *gate.plugin == *plugin)?;
    match (gate.pause, gate.rest) {
        (Some(pause), _) => Some(format!("{}, {}: {}", texts.paused, pause.actor, pause.reason)),
        (None, Some((_, code))) => Some(format!("{}: {code}", texts.resting)),
        (None, None) => None,
    }
}

/// Kafka, store and destinations by name; groups and partitions by their number.
fn well(parts: &[&HealthPart], texts: &Texts) -> Vec<Well> {
    let rooms = &texts.rooms;
    let of = |kind: PartKind| parts.iter().filter(move |part| part.kind == kind);
    let mut well = Vec::new();
    let mut add = |name: String, since_ms: Option<i64>, kind: PartKind| {
        well.push(Well { name, since_ms, link: link(kind) });
    };
    of(PartKind::Kafka).for_each(|part| add(rooms.kafka.to_owned(), part.since_ms, part.kind));
    of(PartKind::Store).for_each(|part| add(rooms.store.to_owned(), part.since_ms, part.kind));
    let destinations = of(PartKind::Destination).count();
    if destinations > MAX_NAMED {
        add(format!("{} {destinations}", rooms.destinations_work), None, PartKind::Destination);
    } else {
        of(PartKind::Destination).for_each(|part| add(part.name.clone(), part.since_ms, part.kind));
    }
    let groups = of(PartKind::Group).count();
    if groups > 0 {
        let since_ms = of(PartKind::Group).filter_map(|part| part.since_ms).max();
        add(format!("{} {groups}", rooms.groups_joined), since_ms, PartKind::Group);
        let partitions: u64 = of(PartKind::Group).filter_map(|part| part.count).sum();
        add(format!("{} {}", rooms.partitions_read, format::number(partitions)), None, PartKind::Partitions);
    }
    well
}
