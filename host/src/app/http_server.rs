//! The HTTP server, which starts before the plugins are loaded.

use std::sync::Arc;

use axum::Router;
use consumer::Pipeline;
use server::guard::AccessPolicy;
use server::history::History;
use server::{DeskState, PluginInfo, PluginKeys, api};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{App, RunningPlugin};

/// Health checks, metrics, the API and the console.
pub struct Server {
    status: server::Status,
    stop: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves in the background: health checks, the API and the console under `policy` (neither without one), and
    /// `more`.
    pub fn start(listener: TcpListener, policy: Option<AccessPolicy>, more: Router) -> Self {
        // Before any metric is updated.
        server::metrics::start();
        let (status, stop) = (server::Status::default(), Arc::new(Notify::new()));
        let stopped = Arc::clone(&stop);
        let mut router = server::router(status.clone()).merge(more);
        if let Some(policy) = policy {
            router = router.merge(api::router(status.clone(), policy.clone()));
            router = router.merge(console::router(status.clone(), policy));
        }
        let task = tokio::spawn(server::serve(listener, router, async move { stopped.notified().await }));
        Self { status, stop, task }
    }

    /// Publishes the state of the started app.
    pub(super) fn started(&self, app: &App) {
        self.status.set_kafka(&app.kafka.bootstrap_servers);
        self.status.set_members(app.health());
        self.status.set_services(Arc::clone(&app.services));
        let gates = app.running.iter().map(|running| Arc::clone(&running.pipeline.gate));
        self.status.set_gates(gates.collect());
        if let Some(desk) = app.desk_state() {
            tokio::spawn(Arc::clone(&desk.history).run());
            self.status.set_desk(desk);
        }
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.stop.notify_one();
        Ok(self.task.await?)
    }
}

impl App {
    /// The state of the API and the console; None without a desk.
    fn desk_state(&self) -> Option<DeskState> {
        let (desk, replay) = self.desk.clone().zip(self.replay.as_ref())?;
        let (trials, pauses) = self.trials.clone().zip(self.pauses.clone())?;
        let plugins: Arc<[PluginInfo]> = self.running.iter().map(RunningPlugin::info).collect();
        let members = self.health().into();
        let history = History::new(&plugins, &members);
        Some(DeskState {
            desk,
            plugins,
            members,
            destinations: self.services.destinations.clone(),
            replayer: replay.replayer().clone(),
            alerts: self.alerts.clone(),
            trials,
            pauses,
            held_keys: self.running.iter().filter_map(RunningPlugin::held_keys).collect(),
            waiting: self.running.iter().filter_map(|plugin| plugin.waiting.clone()).collect(),
            settings: self.settings.clone().into(),
            topic_settings: Arc::clone(&self.topic_settings),
            groups: server::group_inquiry(&self.kafka),
            history,
        })
    }
}

impl RunningPlugin {
    /// The keys that the plugin holds, if it holds any.
    fn held_keys(&self) -> Option<PluginKeys> {
        let Pipeline { plugin, subscription, publisher, held_keys, .. } = &*self.pipeline;
        let (plugin, topic) = (Arc::clone(&plugin.name), subscription.topic.clone());
        held_keys.clone().map(|keys| PluginKeys { plugin, topic, keys, publisher: Arc::clone(publisher) })
    }

    fn info(&self) -> PluginInfo {
        let (plugin, subscription) = (&self.pipeline.plugin, &self.pipeline.subscription);
        PluginInfo {
            name: Arc::clone(&plugin.name),
            label: plugin.label.clone(),
            topic: subscription.topic.clone(),
            group: subscription.group.clone(),
            retry_group: subscription.retry_group(),
            retry_topics: subscription.retry_topics(),
            pipeline: Arc::downgrade(&self.pipeline),
        }
    }
}
