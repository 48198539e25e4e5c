//! Intake and retention of the plugins' dead letters.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use base::error::UserError;
use cli::preflight;
use consumer::{Pipeline, Subscriber, Subscription};
use desk::intake::{self, Intake, Source};
use desk::{Desk, store_unavailable};
use desk_api::{DeadLetterState, Filter};
use kafka::errors::Context;
use rdkafka::consumer::BaseConsumer;
use sandbox::Plugin;
use settings::RunArgs;
use tokio::task::{JoinHandle, block_in_place};

use super::consumer_config;

/// The desk's background work.
pub(super) struct Intakes {
    all: Vec<Intake>,
    maintenance: JoinHandle<()>,
    /// Number of open dead letters at the start.
    pub(super) open: u64,
}

impl Intakes {
    /// Joins the dead-letter consumer groups.
    ///
    /// # Errors
    /// librdkafka refuses the configuration, or the store is unavailable.
    pub(super) async fn start<'a>(
        args: &RunArgs,
        desk: &Desk,
        plugins: impl Iterator<Item = &'a Pipeline>,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let open = Filter { state: Some(DeadLetterState::Open), ..Filter::default() };
        let open = desk.count(&open).await.map_err(|error| store_unavailable(&error))?;
        let config = consumer_config(args);
        let join = |pipeline: &Pipeline| {
            let source = source(&pipeline.plugin, &pipeline.subscription);
            Intake::join(&config, source, desk.clone(), Arc::clone(stop))
        };
        Ok(Self {
            all: plugins.map(join).collect::<Result<_, _>>()?,
            maintenance: tokio::spawn(desk.clone().maintain(preflight::retention(args)?)),
            open,
        })
    }

    /// Waits until the members have left their groups. The stop flag must be set.
    pub(super) fn stop(self) {
        self.maintenance.abort();
        self.all.into_iter().for_each(Intake::join_thread);
    }
}

/// Refuses to start if another host stores the same dead letters in another store.
///
/// # Errors
/// Another host does.
pub(super) fn refuse_others(
    connection: &BaseConsumer<Context>,
    desk: Option<&Desk>,
    plugins: &[Subscriber],
) -> Result<(), UserError> {
    let Some(desk) = desk else { return Ok(()) };
    let store = (desk.store_id(), desk.store_name());
    let refuse = |of: &Subscriber| {
        intake::refuse_other_stores(connection, &of.subscription.dead_letter_group(), store)
    };
    block_in_place(|| plugins.iter().try_for_each(refuse))
}

fn source(plugin: &Plugin, subscription: &Subscription) -> Source {
    Source {
        plugin: Arc::clone(&plugin.name),
        topic: subscription.dead_letter_topic.clone(),
        group: subscription.dead_letter_group(),
    }
}
