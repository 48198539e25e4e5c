//! Whether the plugins load, and what they are granted.

use std::path::Path;
use std::sync::Arc;

use base::error::UserError;
use base::finding::Finding;
use consumer::{Subscriber, Subscription, bounds, load};
use sandbox::call::{Outside, Services};
use sandbox::capabilities::{self, Capability};
use sandbox::engine::Engines;
use settings::RunArgs;

use crate::report::{Area, Check};

/// The plugins of a run.
pub struct Plugins {
    pub checks: Vec<Check>,
    /// Their engines.
    pub engine: Check,
    /// The subscriptions of those that were loaded.
    pub subscriptions: Vec<Subscription>,
    /// Whether one of them has effects, or was not loaded and may have some.
    pub may_have_effects: bool,
}

/// Loads each plugin, whatever is wrong with the others.
pub async fn check(args: Arc<RunArgs>, services: Arc<Services>) -> Plugins {
    let settings = (0..args.plugins.len()).map(|index| args.settings_of(index).ok().flatten());
    let engines = match load::new_engines(settings) {
        Ok(engines) => engines,
        Err(error) => {
            let engine = Check::new(Area::Machine, "engine", "", [Finding::refusal(&error)]);
            let skipped = Check::skipped(Area::Plugins, "all", "there is no engine");
            return Plugins {
                checks: vec![skipped],
                engine,
                subscriptions: Vec::new(),
                may_have_effects: true,
            };
        }
    };
    let findings = engines.findings.clone();
    let engine = Check::new(Area::Machine, "engine", "compiles into a cache, calls from a pool", findings);
    let mut loaded: Vec<Subscriber> = Vec::new();
    let mut checks = Vec::new();
    for (index, path) in args.plugins.iter().enumerate() {
        let (name, outside) = (path.display().to_string(), Outside::Sent(Arc::clone(&services)));
        match load(&args, index, path, &engines, outside, &loaded).await {
            Ok(subscriber) => {
                let detail = format!("{}, {}", subscriber.plugin.label, subscriber.plugin.permissions());
                checks.push(Check::new(
                    Area::Plugins,
                    name,
                    detail,
                    warnings(&args, index, path, &subscriber),
                ));
                loaded.push(subscriber);
            }
            Err(error) => checks.push(Check::new(Area::Plugins, name, "", [Finding::refusal(&error)])),
        }
    }
    let has_effects = loaded.iter().any(|subscriber| subscriber.plugin.has_effects());
    let may_have_effects = has_effects || loaded.len() < args.plugins.len();
    let subscriptions = loaded.into_iter().map(|subscriber| subscriber.subscription).collect();
    Plugins { checks, engine, subscriptions, may_have_effects }
}

/// The checks of a start for one plugin.
async fn load(
    args: &RunArgs,
    index: usize,
    path: &Path,
    engines: &Engines,
    outside: Outside,
    others: &[Subscriber],
) -> Result<Subscriber, UserError> {
    let subscriber = Subscriber::load(path, args.settings_of(index)?, engines, outside).await?;
    load::check_group(others, &subscriber)?;
    bounds::check_bounds(&args.kafka, &subscriber.plugin)?;
    Ok(subscriber)
}

/// What a plugin wants and cannot fully use.
fn warnings(args: &RunArgs, index: usize, path: &Path, subscriber: &Subscriber) -> Vec<Finding> {
    let settings = args.settings_of(index).ok().flatten();
    let finding = |capability: &&dyn Capability| {
        let warning = capability.warning(capabilities::is_granted(*capability, settings), args)?;
        let problem = format!("{}: {warning}", subscriber.plugin.label);
        let cure =
            format!("show what it wants and what it is granted: host plugin inspect {}", path.display());
        Some(Finding::warning(problem, "messages that need it fail, or have no effect").cure(cure))
    };
    subscriber.plugin.wants.iter().filter_map(finding).collect()
}
