//! Whether each broker can be reached: under the addresses that are configured, and under those that the brokers
//! advertise, to which clients connect from then on. librdkafka keeps the versions of the brokers' API to itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base::error::UserError;
use base::finding::{Finding, Severity};
use base::text::counted;
use futures_util::future::join_all;
use kafka::{client, errors, raw};
use rdkafka::consumer::Consumer as _;
use settings::KafkaArgs;
use tokio::task::spawn_blocking;

use crate::TIMEOUT;
use crate::report::{Area, Check};

/// The time for what a connected broker answers at once.
const ANSWER: Duration = Duration::from_secs(1);
/// The port without which librdkafka reads an address.
const PORT: &str = "9092";

/// The check of the brokers.
pub struct Brokers {
    pub checks: Vec<Check>,
    pub is_reachable: bool,
}

/// What a broker says about its cluster.
#[derive(Debug, Clone, Default)]
struct Cluster {
    id: Option<String>,
    controller: Option<i32>,
    /// The ids of the brokers by their advertised addresses.
    brokers: BTreeMap<String, i32>,
}

/// Connects to all brokers concurrently, each with a client of its own.
pub async fn check(kafka: &KafkaArgs) -> Brokers {
    let listed: BTreeSet<String> = kafka.bootstrap_servers.split(',').map(address).collect();
    let found = reach_all(kafka, &listed).await;
    let Some(cluster) = found.values().find_map(|answer| answer.as_ref().ok()).cloned() else {
        let checks = found.into_iter().map(|(name, answer)| {
            let finding = answer.err().map(|error| Finding::refusal(&error));
            Check::new(Area::Kafka, name, "", finding)
        });
        return Brokers { checks: checks.collect(), is_reachable: false };
    };
    let advertised = cluster.brokers.keys().filter(|name| !listed.contains(*name)).cloned().collect();
    let further = reach_all(kafka, &advertised).await;
    let mut checks = vec![check_cluster(&cluster, &found)];
    for (name, answer) in found.iter().chain(&further) {
        checks.push(check_broker(name, answer.as_ref().err(), cluster.brokers.get(name).copied()));
    }
    Brokers { checks, is_reachable: true }
}

type Answers = BTreeMap<String, Result<Cluster, UserError>>;

async fn reach_all(kafka: &KafkaArgs, addresses: &BTreeSet<String>) -> Answers {
    let reaching = addresses.iter().map(|name| {
        let kafka = KafkaArgs { bootstrap_servers: name.clone(), ..kafka.clone() };
        async move {
            let panicked = |_| Err(UserError::unavailable(format!("cannot ask {name}")));
            (name.clone(), spawn_blocking(move || reach(&kafka)).await.unwrap_or_else(panicked))
        }
    });
    join_all(reaching).await.into_iter().collect()
}

/// Asks the one broker of these arguments.
fn reach(kafka: &KafkaArgs) -> Result<Cluster, UserError> {
    let connection = client::open(kafka, &[])?;
    let answer = connection.fetch_metadata(None, TIMEOUT).map(|metadata| {
        let client = connection.client();
        let brokers =
            metadata.brokers().iter().map(|broker| (advertised(broker.host(), broker.port()), broker.id()));
        Cluster {
            id: client.fetch_cluster_id(ANSWER),
            controller: raw::controller(client, ANSWER),
            brokers: brokers.collect(),
        }
    });
    let answer = answer.map_err(|error| errors::unreachable(&kafka.bootstrap_servers, &connection, &error));
    client::drop_in_background(connection);
    answer
}

fn check_cluster(cluster: &Cluster, found: &Answers) -> Check {
    let id = cluster.id.as_deref().unwrap_or("unknown");
    let controller = cluster.controller.map_or("no controller".to_owned(), |id| format!("controller {id}"));
    let detail = format!("id {id}, {}, {controller}", counted(cluster.brokers.len() as u64, "broker"));
    let no_controller = || {
        Finding::warning(
            "the cluster has no controller",
            "no topic can be created, and no partition gets another leader",
        )
        .cure("start the controllers of the cluster, and look into their logs")
    };
    let ids: BTreeSet<&String> = found.values().flatten().filter_map(|cluster| cluster.id.as_ref()).collect();
    let different = (ids.len() > 1).then(|| {
        let why = "which of them the host works with is left to chance";
        Finding::error("the bootstrap servers belong to different clusters", why)
            .cure("list the brokers of one cluster: --bootstrap-servers, or KAFKA_BOOTSTRAP_SERVERS")
    });
    let findings = cluster.controller.is_none().then(no_controller).into_iter().chain(different);
    Check::new(Area::Kafka, "cluster", detail, findings)
}

/// A broker of a cluster of which another one answers. One with an id is known by this very address.
fn check_broker(name: &str, error: Option<&UserError>, id: Option<i32>) -> Check {
    let detail = id.map_or("answers".to_owned(), |id| format!("broker {id} answers"));
    let finding = error.map(|error| match id {
        None => {
            let why = "the host needs another one of the list to start";
            Finding::of(Severity::Warning, error, why)
        }
        Some(id) => Finding::error(
            format!("broker {id} does not answer: {}", error.problem()),
            "the messages of the partitions that it leads are not handled",
        )
        .cure("start it, or make the address that it advertises (advertised.listeners) one that this machine reaches"),
    });
    Check::new(Area::Kafka, name, detail, finding)
}

/// An address of the configuration in the form of [`advertised`].
fn address(text: &str) -> String {
    let text = text.trim();
    let text = text.split_once("://").map_or(text, |(_, address)| address);
    let has_port = text.rsplit_once(':').is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'));
    if has_port { text.to_owned() } else { format!("{text}:{PORT}") }
}

fn advertised(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configured_addresses_have_the_form_of_advertised_ones() {
        for (text, host, port) in [
            ("localhost:9092", "localhost", 9092),
            (" kafka", "kafka", 9092),
            ("SASL_SSL://kafka:9093", "kafka", 9093),
            ("[::1]:9094", "::1", 9094),
            ("[::1]", "::1", 9092),
        ] {
            assert_eq!(address(text), advertised(host, port), "{text}");
        }
    }

    #[test]
    fn a_broker_under_its_advertised_address_is_needed_and_one_of_the_list_is_not() {
        let error = UserError::unavailable("cannot reach Kafka at k:1 (connection refused)").help("start it");
        let text = |check: Check| serde_json::to_string(&check).expect("JSON");
        let listed = text(check_broker("k:1", Some(&error), None));
        assert!(listed.contains(r#""status":"warning""#) && listed.contains("start it"), "{listed}");
        let leading = text(check_broker("k:1", Some(&error), Some(2)));
        assert!(
            leading.contains(r#""status":"error""#) && leading.contains("broker 2 does not"),
            "{leading}"
        );
    }
}
