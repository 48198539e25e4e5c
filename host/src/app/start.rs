//! The start, in two steps: everything that may take long, which a signal ends, and joining the consumer groups.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use base::stderr;
use cli::layers::Origins;
use cli::{config, preflight};
use consumer::Pipeline;
use consumer::reports::{Outcomes, Report};
use desk::Desk;
use desk::alerts::Alerts;
use desk::pauses::Pauses;
use desk_api::SettingTable;
use kafka::publisher::Publisher;
use kafka::{client, errors};
use kafka_topics::admin::Topics;
use kafka_topics::topic_watch::TopicWatch;
use sandbox::call::Services;
use settings::RunArgs;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use trials::Trials;

use super::intake::{self, Intakes};
use super::plugin::{self, RunningPlugin};
use super::{App, alerts, replay, store, trials, watch_interval};
use crate::signals::Signals;

/// The maximum time that Kafka may be unreachable at start.
const CONNECT_BOUND: Duration = Duration::from_secs(30);

/// Everything that a host needs before it joins the consumer groups.
struct Prepared {
    services: Arc<Services>,
    desk: Option<Desk>,
    publisher: Arc<Publisher>,
    trials: Option<Trials>,
    alerts: Option<Alerts>,
    reports: Option<mpsc::Receiver<Report>>,
    pipelines: Vec<Arc<Pipeline>>,
    pauses: Option<Pauses>,
    topic_watch: TopicWatch,
    settings: Vec<SettingTable>,
}

impl App {
    /// Loads the plugins, opens the store, connects to Kafka, creates missing topics, and joins the consumer
    /// groups. None if a signal came before they were joined.
    ///
    /// # Errors
    /// The arguments are invalid, or Kafka or the store is unreachable.
    pub async fn start(
        args: &Arc<RunArgs>,
        origins: &Origins,
        signals: &mut Signals,
    ) -> anyhow::Result<Option<Self>> {
        // On a thread of its own: compiling a plugin blocks it, and must not delay the end.
        let (arguments, origins, runtime) = (Arc::clone(args), origins.clone(), Handle::current());
        let preparing =
            tokio::task::spawn_blocking(move || runtime.block_on(Prepared::new(&arguments, &origins)));
        tokio::select! {
            prepared = preparing => prepared??.join(args).await.map(Some),
            () = signals.recv() => {
                stderr::line("Stopped during the start, before a consumer group was joined.");
                Ok(None)
            }
        }
    }
}

impl Prepared {
    async fn new(args: &RunArgs, origins: &Origins) -> anyhow::Result<Self> {
        let (plugins, services) = preflight::prepare(args).await?;
        let settings = config::tables(args, origins, &plugins)?;
        // Without a file, nobody has decided what plugins may use; the summary says what they may.
        if args.found.as_ref().is_some_and(|found| !found.file.plugins.is_empty()) {
            config::warnings(args, &plugins).iter().for_each(|warning| tracing::warn!("{warning}"));
        }
        // Before the store, which an invalid configuration must not change.
        let topics = Topics::new(&args.kafka, args.create_topics)?;
        let desk = store::open(args, &plugins, &services).await?;
        let connection = client::connect(&args.kafka, CONNECT_BOUND).await?;
        intake::refuse_others(&connection, desk.as_ref(), &plugins)?;
        client::drop_in_background(connection);
        let publisher = Publisher::new(&args.kafka).map_err(|error| errors::invalid_config(&error))?;
        let publisher = Arc::new(publisher);
        let trials = trials(args, desk.as_ref(), &plugins)?;
        let alerts = alerts::new(args, desk.as_ref(), &services)?;
        let (outcomes, reports) = desk.as_ref().map(|_| Outcomes::channel()).unzip();
        let mut topic_watch = TopicWatch::new(topics, Arc::clone(&publisher), watch_interval(&args.kafka));
        plugin::check_topics(&plugins, args, &mut topic_watch).await?;
        let mut pipelines = Vec::with_capacity(plugins.len());
        for subscriber in plugins {
            pipelines.push(plugin::pipeline(subscriber, &mut topic_watch, &publisher, &outcomes).await?);
        }
        // Before the first message is handed over.
        let pauses = plugin::pauses(desk.as_ref(), &pipelines).await?;
        Ok(Self {
            services,
            desk,
            publisher,
            trials,
            alerts,
            reports,
            pipelines,
            pauses,
            topic_watch,
            settings,
        })
    }

    /// Joins the consumer groups, and starts what reads and writes from now on.
    async fn join(self, args: &RunArgs) -> anyhow::Result<App> {
        let Self {
            services,
            desk,
            publisher,
            trials,
            alerts,
            reports,
            pipelines,
            pauses,
            topic_watch,
            settings,
        } = self;
        let topic_settings = topic_watch.settings();
        let stop = Arc::new(AtomicBool::new(false));
        let memory = Arc::default();
        let running =
            pipelines.into_iter().map(|pipeline| RunningPlugin::start(pipeline, args, &memory, &stop));
        let running = running.collect::<anyhow::Result<Vec<_>>>()?;
        let replay = replay::start(desk.as_ref().zip(reports), args, &publisher, &running)?;
        let pipelines = running.iter().map(|running| &*running.pipeline);
        let intakes = match &desk {
            Some(desk) => Some(Intakes::start(args, desk, pipelines, &stop).await?),
            None => None,
        };
        let pausing = pauses.clone().map(|pauses| tokio::spawn(pauses.run()));
        let alerting = alerts.clone().map(|alerts| tokio::spawn(alerts.run()));
        let topic_watch = tokio::spawn(topic_watch.run());
        Ok(App {
            running,
            services,
            desk,
            intakes,
            replay,
            trials,
            alerts,
            alerting,
            pauses,
            pausing,
            stop,
            topic_watch,
            kafka: args.kafka.clone(),
            settings,
            topic_settings,
        })
    }
}
