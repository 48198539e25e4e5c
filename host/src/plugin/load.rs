//! From a file to a plugin: checked before Kafka is ever asked.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use super::Plugin;
use super::bindings::PluginPre;
use super::bindings::exports::consumer::plugin::lifecycle::Description;
use super::call::{Call, Services};
use super::engine::Engines;
use super::grants::Grants;
use super::imports;
use super::kept::Kept;
use super::output::Place;
use super::subscription::Subscription;
use crate::config::PluginSettings;
use crate::error::Failure;

/// The contract this host speaks; the version's first two numbers must match.
const CONTRACT: &str = "consumer:plugin";
const CONTRACT_VERSION: &str = "0.1";
/// Packages a plugin may import beside the contract.
const WASI: [&str; 6] =
    ["wasi:cli", "wasi:clocks", "wasi:filesystem", "wasi:io", "wasi:random", "wasi:sockets"];

/// What helps a plugin of another contract.
const REBUILD: &str = "build it against this host's wit/, or run it with the host it was built for";
/// What helps a damaged file.
const AGAIN: &str = "the file is damaged or cut off: build or copy it again";

impl Plugin {
    /// Reads, compiles (or takes from the cache) and asks the plugin what it subscribes to;
    /// `settings` count more.
    ///
    /// # Errors
    /// What is wrong with the file, and what to do about it.
    pub async fn load(
        path: &Path,
        settings: Option<&PluginSettings>,
        engines: &Engines,
        services: Arc<Services>,
    ) -> Result<Self, Failure> {
        let at = |what: String| Failure::usage(format!("{}: {what}", path.display()));
        let bytes = std::fs::read(path).map_err(|error| {
            at(error.to_string())
                .help("build the plugins: make build, or cargo build --release --target wasm32-wasip2")
        })?;
        Self::from_bytes(path, &bytes, settings, engines, services).await
    }

    /// Likewise, for the bytes that were read from `path`.
    ///
    /// # Errors
    /// What is wrong with them, and what to do about it.
    pub async fn from_bytes(
        path: &Path,
        bytes: &[u8],
        settings: Option<&PluginSettings>,
        engines: &Engines,
        services: Arc<Services>,
    ) -> Result<Self, Failure> {
        let at = |what: String| Failure::usage(format!("{}: {what}", path.display()));
        check_kind(bytes).map_err(|(what, help)| at(what.to_owned()).help(help))?;
        let (engine, component) = compile(bytes, engines)
            .map_err(|error| at(format!("not a valid component: {}", error.root_cause())).help(AGAIN))?;
        check_contract(&engine, &component).map_err(|failure| failure.within(&path.display().to_string()))?;
        let wants_mail = wants_mail(&engine, &component);
        let wants_http = wants_http(&engine, &component);
        let component = link(&engine, &component)
            .map_err(|error| at(format!("cannot be linked: {error:#}")).help(REBUILD))?;
        let description = describe(&engine, &component, path).await.map_err(|what| {
            at(what).help("`describe` runs with nothing granted; ask whoever wrote the plugin")
        })?;
        let digest = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let help = match settings {
            Some(_) => "this is what the plugin's `describe` returns, below what its [[plugin]] says",
            None => "this is what the plugin's `describe` returns; ask whoever wrote it",
        };
        let Description { name, version, subscription, .. } = description;
        check_names(&name, &version).map_err(|what| at(what).help(help))?;
        let subscription = Subscription::new(subscription, settings).map_err(|what| at(what).help(help))?;
        let grants = Grants::new(settings).map_err(|failure| failure.within(&path.display().to_string()))?;
        let (label, grants) = (format!("{name}@{version}"), Arc::new(grants));
        let kept = Kept::new(settings.and_then(|settings| settings.isolation).unwrap_or_default());
        Ok(Self {
            name: name.into(),
            label,
            digest,
            subscription,
            engine,
            component,
            grants,
            services,
            kept,
            wants_mail,
            wants_http,
        })
    }
}

fn check_kind(bytes: &[u8]) -> Result<(), (&'static str, &'static str)> {
    const BUILD: &str =
        "build a component: cargo build --release --target wasm32-wasip2, or cargo component build --release";
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(("a core WebAssembly module, not a component", BUILD)),
        [0, b'a', b's', b'm', ..] => Err(("WebAssembly of a version this host does not know", BUILD)),
        _ => Err(("not a WebAssembly component", BUILD)),
    }
}

/// A component that does not fit the pool's sizes runs on demand.
fn compile(bytes: &[u8], engines: &Engines) -> wasmtime::Result<(Engine, Component)> {
    match Component::from_binary(&engines.pooled, bytes) {
        Ok(component) => Ok((engines.pooled.clone(), component)),
        Err(_) => Ok((engines.on_demand.clone(), Component::from_binary(&engines.on_demand, bytes)?)),
    }
}

fn link(engine: &Engine, component: &Component) -> wasmtime::Result<PluginPre<Call>> {
    let mut linker = Linker::new(engine);
    imports::link(&mut linker)?;
    PluginPre::new(linker.instantiate_pre(component)?)
}

/// Whether the component speaks this host's contract and imports nothing it does not know.
fn check_contract(engine: &Engine, component: &Component) -> Result<(), Failure> {
    let kind = component.component_type();
    let exports: Vec<&str> = kind.exports(engine).map(|(name, _)| name).collect();
    let imports: Vec<&str> = kind.imports(engine).map(|(name, _)| name).collect();
    let other = exports.iter().chain(&imports).filter_map(|name| package(name));
    let other: BTreeSet<&str> = other
        .filter(|(package, version)| *package == CONTRACT && !matches_contract(version))
        .map(|(_, version)| version)
        .collect();
    if let Some(version) = other.first() {
        return Err(Failure::usage(format!("contract {version}, but this host speaks {CONTRACT_VERSION}"))
            .help(REBUILD));
    }
    for wanted in ["handler", "lifecycle"] {
        let exported = exports.iter().any(|name| name.starts_with(&format!("{CONTRACT}/{wanted}@")));
        if !exported {
            return Err(Failure::usage(format!("not a plugin: it does not export {CONTRACT}/{wanted}"))
                .help("implement world `plugin` of wit/plugin.wit"));
        }
    }
    let unknown: Vec<&str> = imports.into_iter().filter(|name| !is_known(name)).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(format!("imports what this host does not have:\n    {}", unknown.join("\n    ")))
        .help(
            "a plugin may import consumer:plugin and WASI 0.2 (cli, clocks, filesystem, http, io, random, sockets)",
        ))
}

fn wants_mail(engine: &Engine, component: &Component) -> bool {
    component.component_type().imports(engine).any(|(name, _)| name.starts_with("consumer:plugin/mail@"))
}

/// Whether it sends HTTP requests.
fn wants_http(engine: &Engine, component: &Component) -> bool {
    component
        .component_type()
        .imports(engine)
        .any(|(name, _)| name.starts_with("wasi:http/outgoing-handler@"))
}

fn is_known(import: &str) -> bool {
    let is_http = ["wasi:http/types@0.2.", "wasi:http/outgoing-handler@0.2."]
        .iter()
        .any(|name| import.starts_with(name));
    is_http
        || package(import).is_some_and(|(package, version)| {
            (package == CONTRACT && matches_contract(version))
                || (WASI.contains(&package) && version.starts_with("0.2."))
        })
}

/// `a:b/c@1.2.3` is package `a:b`, version `1.2.3`.
fn package(name: &str) -> Option<(&str, &str)> {
    let (path, version) = name.split_once('@')?;
    Some((path.split_once('/')?.0, version))
}

fn matches_contract(version: &str) -> bool {
    version.strip_prefix(CONTRACT_VERSION).is_some_and(|rest| rest.starts_with('.'))
}

async fn describe(engine: &Engine, component: &PluginPre<Call>, path: &Path) -> Result<Description, String> {
    let name = path.file_stem().map_or_else(|| "plugin".into(), |stem| stem.to_string_lossy());
    let place = Place { plugin: name.into(), message: None };
    let grants = Arc::new(Grants::default());
    let bound = grants.limits.call_time;
    let mut store = Call::store(engine, place, grants, None);
    let call = async {
        let instance = component.instantiate_async(&mut store).await?;
        instance.consumer_plugin_lifecycle().call_describe(&mut store).await
    };
    match tokio::time::timeout(bound, call).await {
        Err(_) => Err(format!("does not describe itself within {} s", bound.as_secs())),
        Ok(Err(error)) => Err(format!("fails to describe itself: {}", error.root_cause())),
        Ok(Ok(description)) => Ok(description),
    }
}

fn check_names(name: &str, version: &str) -> Result<(), String> {
    for (what, text) in [("name", name), ("version", version)] {
        if text.is_empty() || text.len() > 200 || text.contains(char::is_control) {
            return Err(format!("its {what} is empty, too long or holds control characters"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        assert_eq!(package("wasi:io/poll@0.2.6"), Some(("wasi:io", "0.2.6")));
        assert_eq!(package("plain"), None);
        assert!(is_known("consumer:plugin/mail@0.1.7"));
        assert!(!is_known("consumer:plugin/mail@0.10.0"));
        assert!(is_known("wasi:http/types@0.2.6") && !is_known("wasi:http/incoming-handler@0.2.6"));
        assert!(!is_known("wasi:io/poll@0.3.0"));
    }
}
