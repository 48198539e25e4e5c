//! The desk beside the plugins: their dead letters come in, and what is old goes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use base::error::UserError;
use cli::preflight;
use consumer::{Pipeline, Subscriber, Subscription};
use desk::intake::{self, Intake, Source};
use desk::{Desk, Filter, State, desk_failed};
use kafka::errors::Context;
use rdkafka::consumer::BaseConsumer;
use sandbox::Plugin;
use settings::RunArgs;
use tokio::task::{JoinHandle, block_in_place};

use super::consumer_config;

/// What the desk does by itself.
pub(super) struct Intakes {
    all: Vec<Intake>,
    bounds: JoinHandle<()>,
    /// How many letters were open at the start.
    pub(super) open: u64,
}

impl Intakes {
    /// Joins the dead-letter groups.
    ///
    /// # Errors
    /// What librdkafka has against the configuration, or the store does not answer.
    pub(super) async fn start<'a>(
        args: &RunArgs,
        desk: &Desk,
        plugins: impl Iterator<Item = &'a Pipeline>,
        stop: &Arc<AtomicBool>,
    ) -> anyhow::Result<Self> {
        let open = Filter { state: Some(State::Open), ..Filter::default() };
        let open = desk.count(&open).await.map_err(|error| desk_failed(&error))?;
        let config = consumer_config(args);
        let join = |pipeline: &Pipeline| {
            let source = source(&pipeline.plugin, &pipeline.subscription);
            Intake::join(&config, source, desk.clone(), Arc::clone(stop))
        };
        Ok(Self {
            all: plugins.map(join).collect::<Result<_, _>>()?,
            bounds: tokio::spawn(desk.clone().keep_in_bounds(preflight::retention(args)?)),
            open,
        })
    }

    /// Waits until the groups have been left; they have been told to stop.
    pub(super) fn stop(self) {
        self.bounds.abort();
        self.all.into_iter().for_each(Intake::join_thread);
    }
}

/// Refuses to begin where another host keeps some of the dead letters in another store.
///
/// # Errors
/// One does.
pub(super) fn refuse_others(
    connection: &BaseConsumer<Context>,
    desk: Option<&Desk>,
    plugins: &[Subscriber],
) -> Result<(), UserError> {
    let Some(desk) = desk else { return Ok(()) };
    let refuse =
        |of: &Subscriber| intake::refuse_others(connection, desk, &source(&of.plugin, &of.subscription));
    block_in_place(|| plugins.iter().try_for_each(refuse))
}

fn source(plugin: &Plugin, subscription: &Subscription) -> Source {
    Source {
        plugin: Arc::clone(&plugin.name),
        topic: subscription.dead_letter_topic.clone(),
        group: subscription.dead_letter_group(),
    }
}
