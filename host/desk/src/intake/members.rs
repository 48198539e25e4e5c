//! Who else is in a dead-letter group: each member is named after its store.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;

/// How long the brokers may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// What a desk's client id has before the id of its store.
const DESK: &str = "host-desk-";

/// Other members of a group.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Others {
    /// The stores of other desks.
    pub desks: BTreeSet<String>,
    /// The client ids of what is no desk.
    pub strangers: BTreeSet<String>,
}

/// The client id of a desk with this store.
pub(super) fn client_id(store_id: &str) -> String {
    format!("{DESK}{store_id}")
}

/// # Errors
/// Not every broker answers.
pub(super) fn look<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    group: &str,
    store_id: &str,
) -> KafkaResult<Others> {
    let list = consumer.fetch_group_list(Some(group), TIMEOUT)?;
    let members =
        list.groups().iter().filter(|found| found.name() == group).flat_map(|found| found.members());
    Ok(others(members.map(|member| member.client_id()), store_id))
}

fn others<'a>(clients: impl Iterator<Item = &'a str>, store_id: &str) -> Others {
    let mut others = Others::default();
    for client in clients {
        match client.strip_prefix(DESK) {
            Some(store) if store == store_id => {}
            Some(store) => _ = others.desks.insert(store.to_owned()),
            None => _ = others.strangers.insert(client.to_owned()),
        }
    }
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_told_apart_by_their_stores() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let own = client_id("a");
        assert_eq!(others([&own[..], &own[..]].into_iter(), "a"), Others::default());
        assert_eq!(
            others([&own[..], "host-desk-b", "host", "host-desk-b"].into_iter(), "a"),
            Others { desks: set(&["b"]), strangers: set(&["host"]) }
        );
    }
}
