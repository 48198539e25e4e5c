//! A plugin's file, and the checks that precede calls.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use base::error::UserError;
use base::{stderr, text};
use bytesize::ByteSize;
use contract::{Description, Linked, VERSIONS};
use reset::Reason;
use settings::PluginSettings;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::call::Call;
use crate::capabilities::{self, Capability};
use crate::cause::Cause;
use crate::grants::Grants;
use crate::imports::{self, permits_reset};
use crate::instances::{POOL_WAIT, has_no_room};
use crate::needs::Needs;
use crate::output::{At, Place};
use engine::Engines;
use engine::epochs::Epochs;
use engine::guest_memory::GuestMemory;

/// The packages of WASI that a plugin may import.
const WASI: [&str; 6] =
    ["wasi:cli", "wasi:clocks", "wasi:filesystem", "wasi:io", "wasi:random", "wasi:sockets"];

/// The size of a page of WebAssembly, in bytes.
const PAGE: usize = 64 << 10;

/// Help for a plugin of another contract.
const REBUILD: &str = "build it against this host's wit/, or run it with the host it was built for";
/// Help for a damaged file.
const DAMAGED: &str = "the file is damaged or truncated: build or copy it again";

/// The time of a compilation after which it is reported.
const QUIET: Duration = Duration::from_secs(1);

/// A compiled component that may be a plugin.
#[derive(Clone)]
pub struct PluginFile {
    pub(crate) path: PathBuf,
    /// The size of the file, in bytes.
    pub size: usize,
    /// SHA-256 of the file, in hexadecimal.
    pub digest: String,
    /// The names of its imports.
    pub imports: Vec<String>,
    /// The names of its exports.
    pub exports: Vec<String>,
    /// The reason why its instances cannot be reset, if they cannot.
    pub not_reset: Option<Reason>,
    /// The reason why its instances do not come from the pool, if they do not.
    pub not_pooled: Option<String>,
    /// The size of its largest memory at first, in bytes.
    pub first_memory: usize,
    /// What an instance takes.
    pub needs: Needs,
    resets: bool,
    pub(crate) engine: Engine,
    pub(crate) memory: Arc<GuestMemory>,
    /// The largest limit on the memory of an instance, in bytes.
    max_memory: usize,
    pub(crate) epochs: Arc<Epochs>,
    component: Component,
    bytes: Arc<[u8]>,
}

impl PluginFile {
    /// Reads and compiles a file. Compiled components may come from a cache.
    ///
    /// # Errors
    /// The file cannot be read, or is not a component.
    pub fn read(path: &Path, engines: &Engines) -> Result<Self, UserError> {
        let at = |problem: String| UserError::usage(format!("{}: {problem}", path.display()));
        let bytes = std::fs::read(path).map_err(|error| {
            at(error.to_string())
                .help("build the plugins: make build, or cargo build --release --target wasm32-wasip2")
        })?;
        announced(path, || Self::from_bytes(path, &bytes, engines))
    }

    /// Compiles the content of the file `path`.
    ///
    /// # Errors
    /// It is not a component.
    pub fn from_bytes(path: &Path, bytes: &[u8], engines: &Engines) -> Result<Self, UserError> {
        let at = |problem: String| UserError::usage(format!("{}: {problem}", path.display()));
        check_kind(bytes).map_err(|(problem, help)| at(problem.to_owned()).help(help))?;
        let Compiled { engine, component, not_reset, not_pooled } = compile(bytes, engines)
            .map_err(|error| at(format!("not a valid component: {}", error.root_cause())).help(DAMAGED))?;
        let kind = component.component_type();
        let exports = kind.exports(&engine).map(|(name, _)| name).filter(|name| *name != reset::EXPORT);
        Ok(Self {
            path: path.to_owned(),
            size: bytes.len(),
            digest: hex::encode(Sha256::digest(bytes)),
            imports: kind.imports(&engine).map(|(name, _)| name.to_owned()).collect(),
            exports: exports.map(str::to_owned).collect(),
            first_memory: first_memory(&component),
            needs: Needs::of(&component, bytes),
            resets: not_reset.is_none(),
            not_reset,
            not_pooled,
            engine,
            memory: Arc::clone(&engines.memory),
            max_memory: engines.max_memory,
            epochs: Arc::clone(&engines.epochs),
            component,
            bytes: bytes.into(),
        })
    }

    /// Compiles it for an isolation without a reset. Its instances have one module less.
    ///
    /// # Errors
    /// It cannot be linked.
    pub(crate) fn without_reset(&mut self) -> Result<Linked<Call>, UserError> {
        let compile = || Component::from_binary(&self.engine, &self.bytes);
        let component = announced(&self.path, compile);
        self.component = component.map_err(|error| {
            self.error(format!("not a valid component: {}", error.root_cause())).help(DAMAGED)
        })?;
        self.resets = false;
        self.link()
    }

    /// Checks that it implements this host's contract and has no unknown imports.
    ///
    /// # Errors
    /// It implements another contract or none, or has an unknown import.
    pub fn check(&self) -> Result<(), UserError> {
        let mut contracts = self.contracts().into_iter();
        if let Some((package, version)) =
            contracts.find(|(package, version)| !contract::is_supported(package, version))
        {
            let problem = format!("it implements {package} {version}, and this host supports {VERSIONS}");
            return Err(self.error(problem).help(REBUILD));
        }
        self.check_exports()?;
        let unknown: Vec<&str> =
            self.imports.iter().map(String::as_str).filter(|name| !is_known(name)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(self
            .error(format!("it has imports that this host does not provide:\n    {}", unknown.join("\n    ")))
            .help(
                "a plugin may import kafka-host:plugin and WASI 0.2 (cli, clocks, filesystem, http, io, random, sockets)",
            ))
    }

    /// Checks that it is a plugin, of any version of the contract.
    ///
    /// # Errors
    /// It lacks an export.
    pub fn check_exports(&self) -> Result<(), UserError> {
        for wanted in ["handler", "lifecycle"] {
            let is_wanted = |name: &String| {
                let interface = name.split_once('/').and_then(|(_, name)| name.split_once('@'));
                interface.is_some_and(|(interface, _)| interface == wanted) && contract_of(name).is_some()
            };
            if !self.exports.iter().any(is_wanted) {
                return Err(self
                    .error(format!("not a plugin: it does not export kafka-host:plugin/{wanted}"))
                    .help("implement the world `plugin` of wit/plugin.wit"));
            }
        }
        Ok(())
    }

    /// The packages of the contract among its imports and exports, with their versions; one in a correct build.
    pub fn contracts(&self) -> BTreeSet<(&str, &str)> {
        self.exports.iter().chain(&self.imports).filter_map(|name| contract_of(name)).collect()
    }

    /// The capabilities that it imports.
    pub fn wants(&self) -> Vec<&'static dyn Capability> {
        capabilities::wanted(&self.imports)
    }

    /// Links its imports.
    ///
    /// # Errors
    /// An import has another type.
    pub fn link(&self) -> Result<Linked<Call>, UserError> {
        let link = || {
            let mut linker = Linker::new(&self.engine);
            imports::link(&mut linker)?;
            Linked::new(linker.instantiate_pre(&self.component)?, self.resets)
        };
        link().map_err(|error: wasmtime::Error| {
            self.error(format!("it cannot be linked: {error:#}")).help(REBUILD)
        })
    }

    /// Calls the plugin's `describe`, with nothing granted. It has the largest memory of all plugins: which settings are its
    /// own is known by the name that it returns.
    ///
    /// # Errors
    /// It traps, takes too long, or needs more memory.
    pub async fn describe(&self, component: &Linked<Call>) -> Result<Description, UserError> {
        let max = self.max_memory;
        if self.first_memory > max {
            let [first, max] = [self.first_memory, max].map(|bytes| ByteSize::b(bytes as u64));
            let problem = format!("its memory has {first} at first, and no plugin may have more than {max}");
            return Err(self.error(problem).help("set limits.memory in its [[plugin]] in host.toml"));
        }
        let name = self.path.file_stem().map_or_else(|| "plugin".into(), |stem| stem.to_string_lossy());
        let place = Place { plugin: name.into(), at: At::Nowhere };
        let mut grants = Grants::default();
        grants.limits.memory = max;
        let bound = grants.limits.call_time;
        let grants = Arc::new(grants);
        let _running = self.epochs.run();
        let call = async {
            loop {
                let (place, grants) = (place.clone(), Arc::clone(&grants));
                let mut store = Call::store(&self.engine, &self.memory, place, grants, None);
                let result = match component.instantiate(&mut store).await {
                    Err(error) if has_no_room(&error, store.data()) => {
                        drop(store);
                        tokio::time::sleep(POOL_WAIT).await;
                        continue;
                    }
                    Err(error) => Err(error),
                    Ok(guest) => guest.describe(&mut store).await,
                };
                store.data().context.output.end(store.data().memory());
                return result.map_err(|error| Cause::from_error(&error, store.data()));
            }
        };
        let problem = match tokio::time::timeout(bound, call).await {
            Err(_) => format!("its `describe` did not return within {} s", bound.as_secs()),
            Ok(Err(cause)) => format!("its `describe` failed: {}", cause.detail),
            Ok(Ok(description)) => return Ok(description),
        };
        Err(self.error(problem).help("`describe` runs with nothing granted; contact the plugin's author"))
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The error for an invalid description.
    pub fn invalid_description(&self, problem: &str, settings: Option<&PluginSettings>) -> UserError {
        invalid_description(&self.path, problem, settings)
    }

    fn error(&self, problem: String) -> UserError {
        UserError::usage(format!("{}: {problem}", self.path.display()))
    }
}

/// The error for an invalid description by the plugin in this file.
pub fn invalid_description(path: &Path, problem: &str, settings: Option<&PluginSettings>) -> UserError {
    let help = match settings {
        Some(_) => "the value is from the plugin's `describe`, or from its [[plugin]] in host.toml",
        None => "the value is from the plugin's `describe`; contact the plugin's author",
    };
    UserError::usage(format!("{}: {problem}", path.display())).help(help)
}

fn check_kind(bytes: &[u8]) -> Result<(), (&'static str, &'static str)> {
    const BUILD: &str =
        "build a component: cargo build --release --target wasm32-wasip2, or cargo component build --release";
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(("a core WebAssembly module, not a component", BUILD)),
        [0, b'a', b's', b'm', ..] => Err(("WebAssembly of a version that this host does not support", BUILD)),
        _ => Err(("not a WebAssembly component", BUILD)),
    }
}

/// Says so if a compilation takes long. The component of an interpreter takes seconds, unless it is in the cache.
fn announced<T>(path: &Path, compile: impl FnOnce() -> T) -> T {
    let (done, waiting) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let notice = move || {
            if waiting.recv_timeout(QUIET) == Err(RecvTimeoutError::Timeout) {
                let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                stderr::line(format_args!("compiling {}…", text::line(name.as_bytes())));
            }
        };
        // Without a thread there is no notice.
        let _notice = thread::Builder::new().spawn_scoped(scope, notice);
        let compiled = compile();
        drop(done);
        compiled
    })
}

struct Compiled {
    engine: Engine,
    component: Component,
    not_reset: Option<Reason>,
    not_pooled: Option<String>,
}

/// The size of the largest memory of a component at first, in bytes.
fn first_memory(component: &Component) -> usize {
    let pages = component.resources_required().and_then(|required| required.max_initial_memory_size);
    pages.and_then(|pages| usize::try_from(pages).ok()).unwrap_or_default().saturating_mul(PAGE)
}

/// A component that does not fit the pool gets its instances on demand. One that resets its instances fits it: another
/// one is replaced as fast.
fn compile(bytes: &[u8], engines: &Engines) -> wasmtime::Result<Compiled> {
    let pooled = |bytes: &[u8]| Component::from_binary(&engines.pooled, bytes);
    let resetting = reset::rewrite(bytes, reset::Options::default()).and_then(|rewritten| {
        let component = pooled(&rewritten)
            .map_err(|error| format!("the reset cannot be added: {}", error.root_cause()))?;
        match component.component_type().imports(&engines.pooled).find(|(name, _)| !permits_reset(name)) {
            Some((name, _)) => Err(format!("it imports {name}").into()),
            None => Ok(component),
        }
    });
    let engine = engines.pooled.clone();
    let not_reset = match resetting {
        Ok(component) => return Ok(Compiled { engine, component, not_reset: None, not_pooled: None }),
        Err(reason) => Some(reason),
    };
    match pooled(bytes) {
        Ok(component) => Ok(Compiled { engine, component, not_reset, not_pooled: None }),
        Err(error) => {
            let component = Component::from_binary(&engines.on_demand, bytes)?;
            let not_pooled = Some(error.root_cause().to_string());
            Ok(Compiled { engine: engines.on_demand.clone(), component, not_reset, not_pooled })
        }
    }
}

fn is_known(import: &str) -> bool {
    match package(import) {
        Some((package, version)) if contract::is_package(package) => contract::is_supported(package, version),
        Some((package, version)) if WASI.contains(&package) => version.starts_with("0.2."),
        _ => capabilities::is_provided(import),
    }
}

/// The package of the contract to which this interface belongs, and its version.
fn contract_of(name: &str) -> Option<(&str, &str)> {
    package(name).filter(|(package, _)| contract::is_package(package))
}

/// `a:b/c@1.2.3` is package `a:b`, version `1.2.3`.
fn package(name: &str) -> Option<(&str, &str)> {
    let (path, version) = name.split_once('@')?;
    Some((path.split_once('/')?.0, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(package("wasi:io/poll@0.2.6"), Some(("wasi:io", "0.2.6")));
        assert_eq!(package("plain"), None);
        assert!(is_known("consumer:plugin/mail@0.1.7") && is_known("kafka-host:plugin/mail@0.2.1"));
        assert!(!is_known("consumer:plugin/mail@0.2.0") && !is_known("kafka-host:plugin/mail@0.1.0"));
        assert!(!is_known("consumer:plugin/mail@0.10.0"));
        assert!(is_known("wasi:http/types@0.2.6") && !is_known("wasi:http/incoming-handler@0.2.6"));
        assert!(!is_known("wasi:io/poll@0.3.0"));
    }
}
