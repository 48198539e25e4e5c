//! `host plugin compile`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use base::error::UserError;
use bytesize::ByteSize;
use consumer::dry_run::DryRun;
use desk_cli::output::{note, print};
use sandbox::capture::Answers;
use sandbox::engine::{self, Engines};
use sandbox::limits::Limits;

use crate::args::DryArgs;

/// Arguments of `host plugin compile`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files of plugins
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Directory of compiled plugins, which hosts find in the same variable [default: consumer-host in the user's cache
    /// directory]
    #[arg(long, value_name = "DIR", env = engine::CACHE)]
    cache: Option<PathBuf>,
    /// The plugins' configuration.
    #[command(flatten)]
    pub dry: DryArgs,
}

/// Compiles plugins into the cache.
///
/// # Errors
/// The cache cannot be used (exit code 1), or a file is not a plugin that runs with this configuration (2).
pub async fn run(args: Args) -> Result<(), UserError> {
    let cache =
        engine::cache_in(args.cache.as_deref()).map_err(|finding| UserError::from(finding).as_answer())?;
    let mut run = args.dry.run;
    run.plugins = args.files;
    for (index, path) in run.plugins.iter().enumerate() {
        let settings = run.settings_of(index)?;
        let memory = settings.map(|settings| Limits::new(&settings.limits)).transpose();
        let memory = memory.map_err(UserError::usage)?.unwrap_or_default().memory;
        let engines = Engines::with_cache(1, memory, Some(cache.clone())).map_err(|error| {
            UserError::unavailable(format!("cannot set up WebAssembly: {error:#}"))
                .help("permit the process more memory (ulimit -v, the container's limit)")
        })?;
        compile(path, settings, &engines).await?;
    }
    let directory = cache.directory().display();
    match args.cache {
        Some(_) => note(format_args!("for a host that finds them there: HOST_CACHE={directory}")),
        None => note(format_args!("hosts of this user find them in {directory}")),
    }
    Ok(())
}

/// Loads the plugin as a host would: whether its instances are reset decides what is compiled.
async fn compile(
    path: &Path,
    settings: Option<&settings::PluginSettings>,
    engines: &Engines,
) -> Result<(), UserError> {
    let (started, before) = (Instant::now(), engines.cache_misses());
    let dry = DryRun::load(path, settings, engines, Answers::new()).await?;
    let label = &dry.plugin().label;
    let took = started.elapsed().as_secs_f64();
    match engines.cache_misses() - before {
        0 => print(format_args!("{label}: was compiled already, {took:.1} s")),
        _ => print(format_args!("{label}: compiled in {took:.1} s{}", peak())),
    }
}

/// The most memory that this process has had, as Linux tells it.
fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.map(|kib| format!(", with up to {} of memory", ByteSize::kib(kib))).unwrap_or_default()
}
