//! Other members of a dead-letter consumer group. A desk's client id names its store.

use std::collections::BTreeSet;
use std::time::Duration;

use kafka::group_list;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaResult;

/// How long the brokers may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The prefix of a desk's client id; the id of its store follows.
const CLIENT_ID_PREFIX: &str = "host-desk-";

/// The other members of a group.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct OtherMembers {
    /// Ids of the other stores in use.
    pub stores: BTreeSet<String>,
    /// Client ids of members that are not desks.
    pub clients: BTreeSet<String>,
}

/// The client id of a desk with this store.
pub(super) fn client_id(store_id: &str) -> String {
    format!("{CLIENT_ID_PREFIX}{store_id}")
}

/// Whether this is the client id of a desk.
pub fn is_desk(client_id: &str) -> bool {
    client_id.starts_with(CLIENT_ID_PREFIX)
}

/// Lists the members of the group that do not use this store.
///
/// # Errors
/// A broker does not answer.
pub(super) fn find<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    group: &str,
    store_id: &str,
) -> KafkaResult<OtherMembers> {
    let list = group_list::fetch(consumer, Some(group), TIMEOUT)?;
    let members =
        list.groups().iter().filter(|found| found.name() == group).flat_map(|found| found.members());
    Ok(classify(members.map(|member| member.client_id()), store_id))
}

fn classify<'a>(clients: impl Iterator<Item = &'a str>, store_id: &str) -> OtherMembers {
    let mut others = OtherMembers::default();
    for client in clients {
        match client.strip_prefix(CLIENT_ID_PREFIX) {
            Some(store) if store == store_id => {}
            Some(store) => _ = others.stores.insert(store.to_owned()),
            None => _ = others.clients.insert(client.to_owned()),
        }
    }
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_classified_by_their_stores() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let own = client_id("a");
        assert_eq!(classify([&own[..], &own[..]].into_iter(), "a"), OtherMembers::default());
        assert_eq!(
            classify([&own[..], "host-desk-b", "host", "host-desk-b"].into_iter(), "a"),
            OtherMembers { stores: set(&["b"]), clients: set(&["host"]) }
        );
    }
}
