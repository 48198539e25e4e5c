//! A cluster of three brokers.

use std::cell::Cell;
use std::fs;

use anyhow::{Context, Result};

use super::{Kafka, QUICK_START, jars};
use crate::must;
use crate::wait::eventually;

const BROKERS: usize = 3;
const BOUND: std::time::Duration = std::time::Duration::from_secs(60);
/// Each topic is on every broker, and a record on two before it is acknowledged.
const REPLICATION: &str = "offsets.topic.replication.factor=3\ndefault.replication.factor=3\nmin.insync.replicas=2\n\
                           broker.session.timeout.ms=6000\nreplica.lag.time.max.ms=3000\n";

/// Three running brokers. The first is also the controller, and must not be killed.
pub struct KafkaCluster(Vec<Kafka>);

impl KafkaCluster {
    /// Starts the brokers.
    #[track_caller]
    pub fn start() -> Self {
        let cluster = Self(must(Self::try_start()));
        eventually(BOUND, || must(cluster.first().broker_count()) == BROKERS);
        cluster
    }

    fn try_start() -> Result<Vec<Kafka>> {
        let controller = Cell::new(0);
        let first = Kafka::try_start_with(QUICK_START, |_, _, port, _| {
            controller.set(port);
            Ok(REPLICATION.to_owned())
        })?;
        let others = (2..=BROKERS).map(|node| Self::join(node, controller.get()));
        std::iter::once(Ok(first)).chain(others).collect()
    }

    /// Starts a broker that is no controller.
    fn join(node: usize, controller: u16) -> Result<Kafka> {
        let settings = |_: &std::path::Path, port, _, _| {
            Ok(format!(
                "{REPLICATION}process.roles=broker\nnode.id={node}\nlisteners=PLAINTEXT://127.0.0.1:{port}\n\
                 controller.quorum.voters=1@127.0.0.1:{controller}\n"
            ))
        };
        let kafka = Kafka::prepare(jars::resolve()?, settings, QUICK_START)?;
        let file = kafka.dir().join("data/meta.properties");
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        // Without an id of its own, the broker gives the directory one.
        let own = text.lines().filter(|line| !line.starts_with("directory.id="));
        let own: String =
            own.map(|line| line.replace("node.id=1", &format!("node.id={node}")) + "\n").collect();
        fs::write(&file, own)?;
        fs::remove_file(kafka.dir().join("data/bootstrap.checkpoint"))?;
        kafka.launch()?;
        Ok(kafka)
    }

    /// The first broker, through which clients find the others.
    pub fn first(&self) -> &Kafka {
        self.broker(1)
    }

    /// The broker with this id, from 1.
    pub fn broker(&self, id: usize) -> &Kafka {
        &self.0[id - 1]
    }
}
