//! The engines that compile and run plugins.

pub mod epochs;
pub mod guest_memory;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::finding::Finding;
use rustix::fs::{Access, access};
use rustix::process::{Resource, getrlimit};
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
};

use self::epochs::Epochs;
use self::guest_memory::GuestMemory;

/// The share of one instance in the pool. A component that needs more does not fit it. Those of Rust, JavaScript and
/// Python do; one that resets its instances has a card table for each module with a memory, and may keep a copy of it.
const TABLES_PER_CALL: u32 = 8;
const MEMORIES_PER_CALL: u32 = 4;
/// The number of elements of a table. Each table of the pool reserves address space for as many.
pub const TABLE_ELEMENTS: usize = 64 << 10;

/// The bytes of a memory and of a table that remain in the process for their next instance, instead of being returned to the
/// kernel: with the scan, what a call wrote; without it, the beginning, which is cleared whether it was written or not.
const KEPT: [usize; 2] = [256 << 10, 64 << 10];
const KEPT_WITH_SCAN: [usize; 2] = [8 << 20, 1 << 20];
/// The part of the memory for guests that memories without an instance may keep.
const SHARE_OF_KEPT: usize = 8;

/// The address space of one memory in the pool, with which compiled code needs no bounds checks, and the guard behind it.
const RESERVATION: u64 = 4 << 30;
const GUARD: u64 = 32 << 20;
/// The part of a limited address space that the pool may take: threads, Kafka and the store need some, too.
const SHARE_OF_POOL: u64 = 2;
/// The same for memories on demand, if address space is short: they move when they outgrow it.
const SMALL_RESERVATION: u64 = 1 << 20;
const SMALL_GUARD: u64 = 64 << 10;

/// The variable with the directory of compiled plugins.
pub const CACHE: &str = "HOST_CACHE";

/// Two engines: one with pooled instances, and one with instances on demand for components that do not fit the pool.
pub struct Engines {
    /// Instances come from a pool, unless the process may not reserve the address space that it takes.
    pub pooled: Engine,
    /// Every instance has a new memory mapping.
    pub on_demand: Engine,
    /// The clock of both.
    pub epochs: Arc<Epochs>,
    /// What makes compilation or calls slower than they could be.
    pub findings: Vec<Finding>,
    /// The memory that their instances share with those of other engines.
    pub memory: Arc<GuestMemory>,
    /// The maximum memory of an instance, in bytes.
    pub max_memory: usize,
    cache: Option<Cache>,
}

impl Engines {
    /// Engines for up to `calls` concurrent calls, each with one memory of at most `memory` bytes.
    ///
    /// # Errors
    /// The process has too little memory, or the cache directory is not usable.
    pub fn new(calls: u32, memory: usize) -> wasmtime::Result<Self> {
        let (cache, finding) = cache()?;
        let mut engines = Self::with_cache(calls, memory, cache)?;
        engines.findings.extend(finding);
        Ok(engines)
    }

    /// [`Engines::new`] with this cache, or none.
    ///
    /// # Errors
    /// The process has too little memory.
    pub fn with_cache(calls: u32, memory: usize, cache: Option<Cache>) -> wasmtime::Result<Self> {
        let all = GuestMemory::of_process();
        let on_demand = InstanceAllocationStrategy::OnDemand;
        let mut findings = Vec::new();
        let (pooled, on_demand) = match pooled(calls, memory, cache.clone()) {
            Ok(pooled) => (pooled, Engine::new(base(cache.clone()).allocation_strategy(on_demand))?),
            Err(reason) => {
                let why = "instances get their memory on demand, and calls take longer";
                let cure =
                    "raise the limit on address space (ulimit -v), or lower the concurrency of the plugins";
                findings.push(Finding::warning(reason, why).cure(cure));
                let new =
                    || Engine::new(sparing(&mut base(cache.clone())).allocation_strategy(on_demand.clone()));
                (new()?, new()?)
            }
        };
        let epochs = Arc::new(Epochs::start(vec![pooled.weak(), on_demand.weak()])?);
        Ok(Self { pooled, on_demand, epochs, findings, memory: all, max_memory: memory, cache })
    }

    /// The number of modules and components that were compiled and not found in the cache.
    pub fn cache_misses(&self) -> usize {
        self.cache.as_ref().map_or(0, Cache::cache_misses)
    }
}

fn base(cache: Option<Cache>) -> Config {
    let mut config = Config::new();
    config.wasm_component_model(true).concurrency_support(false).epoch_interruption(true).cache(cache);
    config.memory_reservation(RESERVATION).memory_guard_size(GUARD);
    config
}

/// Reserves next to no address space, at the price of bounds checks and of copying memories that grow.
fn sparing(config: &mut Config) -> &mut Config {
    config
        .memory_reservation(0)
        .memory_reservation_for_growth(SMALL_RESERVATION)
        .memory_guard_size(SMALL_GUARD)
        .guard_before_linear_memory(false)
}

/// An engine with a pool, or the reason why there can be none.
fn pooled(calls: u32, memory: usize, cache: Option<Cache>) -> Result<Engine, String> {
    let gib = |bytes: u64| bytes >> 30;
    let memories = u64::from(calls.saturating_mul(MEMORIES_PER_CALL));
    let needed = memories.saturating_mul(RESERVATION.max(memory as u64) + GUARD);
    let limit = getrlimit(Resource::As).current.filter(|limit| needed > limit / SHARE_OF_POOL);
    if let Some(limit) = limit {
        let (needed, limit) = (gib(needed), gib(limit));
        return Err(format!(
            "the pool of instances takes {needed} GiB of address space, of which the process may have {limit} GiB \
             (ulimit -v)"
        ));
    }
    let engine = Engine::new(base(cache).allocation_strategy(pool(calls, memory)));
    engine.map_err(|error| {
        format!("the pool of instances takes {} GiB of address space: {error:#}", gib(needed))
    })
}

/// Measured: clearing touched pages is cheaper than returning them to the kernel. The kernel knows which pages were written
/// (`PAGEMAP_SCAN`, Linux 6.7 and later); without it guests should be linked with small stacks and a small memory. Core
/// instances and component instances are only counted by wasmtime, and bounded by the number of calls.
fn pool(calls: u32, memory: usize) -> PoolingAllocationConfig {
    let [most, kept_table] = if scans_pages() { KEPT_WITH_SCAN } else { KEPT };
    let share = GuestMemory::of_process().max() / SHARE_OF_KEPT / usize::try_from(calls).unwrap_or(1).max(1);
    let kept_memory = share.clamp(KEPT[0], most);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(u32::MAX)
        .total_core_instances(u32::MAX)
        .total_memories(calls.saturating_mul(MEMORIES_PER_CALL))
        .total_tables(calls.saturating_mul(TABLES_PER_CALL))
        .total_stacks(calls)
        .max_memory_size(memory)
        .max_memories_per_component(MEMORIES_PER_CALL)
        .max_memories_per_module(MEMORIES_PER_CALL)
        .max_tables_per_component(TABLES_PER_CALL)
        .max_tables_per_module(TABLES_PER_CALL)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(kept_memory)
        .table_keep_resident(kept_table)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Whether the kernel says which pages a guest has written.
pub fn scans_pages() -> bool {
    PoolingAllocationConfig::is_pagemap_scan_available()
}

/// Compiled components are cached, because JavaScript and Python components take many seconds to compile. Write access
/// to the directory permits running code as the host.
fn cache() -> wasmtime::Result<(Option<Cache>, Option<Finding>)> {
    if cache_directory(None).is_none() {
        return Ok((None, None));
    }
    Ok(match cache_in(None) {
        Ok(cache) => (Some(cache), None),
        Err(finding) => (None, Some(finding)),
    })
}

/// The cache in a directory, by default that of [`CACHE`] or of the user.
///
/// # Errors
/// There is no directory, or it cannot be used.
pub fn cache_in(named: Option<&Path>) -> Result<Cache, Finding> {
    let Some(directory) = cache_directory(named) else {
        let why = "plugins are compiled at every start";
        return Err(Finding::warning("there is no directory for compiled plugins", why)
            .cure("name one: HOST_CACHE=DIR, or host plugin compile --cache DIR"));
    };
    let unusable = |error: &std::io::Error| unusable(&directory, error);
    private_directory(&directory).map_err(|error| unusable(&error))?;
    let mut config = CacheConfig::new();
    config.with_directory(&directory);
    Cache::new(config).map_err(|error| unusable(&std::io::Error::other(format!("{error:#}"))))
}

fn cache_directory(named: Option<&Path>) -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(named) = named.map(Path::to_owned).or_else(|| variable(CACHE)) {
        return std::path::absolute(named).ok();
    }
    // Relative paths are ignored, as the XDG specification asks for: they would mean another directory at every start.
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(base.join("consumer-host"))
}

/// Creates the directory, or checks that no other user than this one and root can write to it. One of root that this user
/// can only read is that of an image: what is missing in it is compiled at every start.
fn private_directory(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let metadata = std::fs::symlink_metadata(directory)?;
    let own = std::fs::metadata("/proc/self").map_or(metadata.uid(), |own| own.uid());
    let is_safe = is_safe_owner(metadata.uid(), own) && metadata.permissions().mode() & 0o022 == 0;
    if !metadata.is_dir() || !is_safe {
        return Err(std::io::Error::other("not a directory that only this user can write to"));
    }
    let wanted = if metadata.uid() == own { Access::WRITE_OK } else { Access::READ_OK };
    Ok(access(directory, wanted | Access::EXEC_OK)?)
}

/// Root can run code as anyone already.
fn is_safe_owner(owner: u32, own: u32) -> bool {
    owner == own || owner == 0
}

fn unusable(directory: &Path, error: &std::io::Error) -> Finding {
    let problem = format!("the cache of plugins is disabled: {}: {error}", directory.display());
    Finding::warning(problem, "plugins are compiled at every start")
        .cure("make it a directory that only this user can write to, or set HOST_CACHE to another one")
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_cache_that_others_can_write_to_is_refused() {
        let parent = tempfile::tempdir().expect("a directory");
        let directory = parent.path().join("cache");
        private_directory(&directory).expect("a new one");
        private_directory(&directory).expect("the same again");
        set_permissions(&directory, Permissions::from_mode(0o777)).expect("permissions");
        let error = private_directory(&directory).expect_err("anyone can write to it");
        let finding = unusable(&directory, &error).to_string();
        assert!(finding.contains("/cache: not a directory that only this user"), "{finding}");
        assert!(finding.contains("HOST_CACHE"), "{finding}");
        let file = parent.path().join("file");
        std::fs::write(&file, "").expect("a file");
        assert!(private_directory(&file).is_err());
    }
    #[test]
    fn a_cache_of_root_is_safe_and_one_of_another_user_is_not() {
        assert!(is_safe_owner(1000, 1000) && is_safe_owner(0, 1000) && is_safe_owner(0, 0));
        assert!(!is_safe_owner(1001, 1000) && !is_safe_owner(1000, 0));
    }

    #[test]
    fn a_named_cache_is_used_and_a_file_is_refused() {
        let parent = tempfile::tempdir().expect("a directory");
        let named = parent.path().join("a/b");
        let cache = cache_in(Some(&named)).expect("a cache");
        assert_eq!(cache.directory().as_path(), named.canonicalize().expect("it exists"));
        let file = parent.path().join("file");
        std::fs::write(&file, "").expect("a file");
        let finding = cache_in(Some(&file)).expect_err("a file").to_string();
        assert!(finding.contains("/file: "), "{finding}");
    }
}
