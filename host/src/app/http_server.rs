//! What is served beside the plugins, from before they are loaded.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use server::guard::Access;
use server::{Office, Served, api, console};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{App, RunningPlugin};

/// How long open HTTP connections may take to end.
const HANG_UP: Duration = Duration::from_secs(2);

/// Health checks, the desk, and what else is served beside the plugins.
pub struct Server {
    status: server::Status,
    stop: Arc<Notify>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Serves health checks, the desk for those whom `access` lets in, and `more` in the background.
    pub fn start(listener: TcpListener, access: Option<Access>, more: Router) -> Self {
        // Before anything is counted.
        server::metrics::start();
        let (status, stop) = (server::Status::default(), Arc::new(Notify::new()));
        let stopped = Arc::clone(&stop);
        let mut router = server::router(status.clone()).merge(more);
        if let Some(access) = access {
            router = router.merge(api::router(status.clone(), access.clone()));
            router = router.merge(console::router(status.clone(), access));
        }
        let task = tokio::spawn(server::serve(listener, router, async move { stopped.notified().await }));
        Self { status, stop, task }
    }

    /// The plugins are under way.
    pub(super) fn started(&self, app: &App) {
        self.status.started(app.health());
        if let Some(office) = app.office() {
            self.status.opened(office);
        }
    }

    pub(super) async fn stop(self) -> anyhow::Result<()> {
        self.stop.notify_one();
        // A client that keeps its connection open does not keep the process.
        match tokio::time::timeout(HANG_UP, self.task).await {
            Ok(result) => Ok(result??),
            Err(_) => Ok(()),
        }
    }
}

impl App {
    /// What the desk's API stands on; None without a desk.
    fn office(&self) -> Option<Office> {
        let (desk, replay) = self.desk.clone().zip(self.replay.as_ref())?;
        let trials = self.trials.clone()?;
        let plugins = self.running.iter().map(RunningPlugin::served).collect();
        Some(Office {
            desk,
            plugins,
            replayer: replay.replayer().clone(),
            alerts: self.alerts.clone(),
            trials,
        })
    }
}

impl RunningPlugin {
    fn served(&self) -> Served {
        let (plugin, subscription) = (&self.pipeline.plugin, &self.pipeline.subscription);
        Served {
            name: Arc::clone(&plugin.name),
            label: plugin.label.clone(),
            topic: subscription.topic.clone(),
            group: subscription.group.clone(),
            retry_group: subscription.retry_group(),
            retry_topics: subscription.retry_topics(),
        }
    }
}
