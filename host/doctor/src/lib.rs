//! Checks of everything that a host needs before and while it runs. Nothing is created, changed, consumed or sent, and no
//! group is joined. What does not depend on each other is checked concurrently, and each wait has a bound.

mod brokers;
mod groups;
mod machine;
mod mail;
mod plugins;
mod report;
mod store;
mod topics;

use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use ::store::StoreUrl;
use sandbox::call::Services;
use settings::RunArgs;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

pub use self::report::Report;
use self::report::{Area, Check};

/// The time for each answer of Kafka, and for each mail server.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Checks what a host with these arguments needs. `services` and `store` are what preflight has made of the settings.
pub async fn check(args: &Arc<RunArgs>, services: &Arc<Services>, store: Option<StoreUrl>) -> Report {
    let handling = async {
        let plugins = on_thread(plugins::check(Arc::clone(args), Arc::clone(services))).await;
        let store = store::check(store.filter(|_| args.desk || plugins.may_have_effects)).await;
        (plugins, store)
    };
    let ((plugins, store), mail, brokers) =
        tokio::join!(handling, mail::check(services), brokers::check(&args.kafka));
    let mut all = machine::check(plugins.engine);
    all.extend(plugins.checks);
    all.extend(mail);
    all.push(store.check);
    all.extend(brokers.checks);
    let subscriptions = Arc::new(plugins.subscriptions);
    if brokers.is_reachable && !subscriptions.is_empty() {
        let topics = topics::check(Arc::clone(args), Arc::clone(&subscriptions));
        let groups = groups::check(Arc::clone(args), subscriptions, store.id);
        let (topics, groups) = tokio::join!(on_thread(topics), on_thread(groups));
        all.extend(topics.into_iter().chain(groups));
    } else {
        let why = if brokers.is_reachable { "no plugin was loaded" } else { "Kafka does not answer" };
        all.extend([Area::Topics, Area::Groups].map(|area| Check::skipped(area, "all", why)));
    }
    Report::new(all)
}

/// Waits for something that blocks its thread at times.
async fn on_thread<T: Send + 'static>(checking: impl Future<Output = T> + Send + 'static) -> T {
    let handle = Handle::current();
    let checked = spawn_blocking(move || handle.block_on(checking)).await;
    checked.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}
