//! A plugin's file: what can be said of it before it is asked anything.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::error::UserError;
use contract::{Description, Linked, PACKAGE, VERSIONS};
use settings::PluginSettings;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::call::Call;
use crate::engine::Engines;
use crate::grants::Grants;
use crate::imports;
use crate::output::{At, Place};

/// Packages a plugin may import beside the contract.
const WASI: [&str; 6] =
    ["wasi:cli", "wasi:clocks", "wasi:filesystem", "wasi:io", "wasi:random", "wasi:sockets"];

/// What helps a plugin of another contract.
const REBUILD: &str = "build it against this host's wit/, or run it with the host it was built for";
/// What helps a damaged file.
const AGAIN: &str = "the file is damaged or cut off: build or copy it again";

/// A component that may be a plugin, compiled.
pub struct PluginFile {
    pub(crate) path: PathBuf,
    /// In bytes.
    pub size: usize,
    /// SHA-256 of the file, in hexadecimal.
    pub digest: String,
    /// The names of what it imports.
    pub imports: Vec<String>,
    /// The names of what it exports.
    pub exports: Vec<String>,
    pub(crate) engine: Engine,
    component: Component,
}

impl PluginFile {
    /// Reads and compiles it, or takes it from the cache.
    ///
    /// # Errors
    /// It cannot be read, or is no component.
    pub fn read(path: &Path, engines: &Engines) -> Result<Self, UserError> {
        let at = |what: String| UserError::usage(format!("{}: {what}", path.display()));
        let bytes = std::fs::read(path).map_err(|error| {
            at(error.to_string())
                .help("build the plugins: make build, or cargo build --release --target wasm32-wasip2")
        })?;
        Self::from_bytes(path, &bytes, engines)
    }

    /// Likewise, for the bytes that were read from `path`.
    ///
    /// # Errors
    /// They are no component.
    pub fn from_bytes(path: &Path, bytes: &[u8], engines: &Engines) -> Result<Self, UserError> {
        let at = |what: String| UserError::usage(format!("{}: {what}", path.display()));
        check_kind(bytes).map_err(|(what, help)| at(what.to_owned()).help(help))?;
        let (engine, component) = compile(bytes, engines)
            .map_err(|error| at(format!("not a valid component: {}", error.root_cause())).help(AGAIN))?;
        let kind = component.component_type();
        Ok(Self {
            path: path.to_owned(),
            size: bytes.len(),
            digest: hex::encode(Sha256::digest(bytes)),
            imports: kind.imports(&engine).map(|(name, _)| name.to_owned()).collect(),
            exports: kind.exports(&engine).map(|(name, _)| name.to_owned()).collect(),
            engine,
            component,
        })
    }

    /// Whether it speaks this host's contract and imports nothing that this host does not know.
    ///
    /// # Errors
    /// What it lacks, or has too much.
    pub fn check(&self) -> Result<(), UserError> {
        if let Some(version) = self.contracts().into_iter().find(|version| !contract::is_supported(version)) {
            let what = format!("contract {version}, but this host speaks {VERSIONS}");
            return Err(self.wrong(what).help(REBUILD));
        }
        self.check_exports()?;
        let unknown: Vec<&str> =
            self.imports.iter().map(String::as_str).filter(|name| !is_known(name)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(self
            .wrong(format!("imports what this host does not have:\n    {}", unknown.join("\n    ")))
            .help(
                "a plugin may import consumer:plugin and WASI 0.2 (cli, clocks, filesystem, http, io, random, sockets)",
            ))
    }

    /// Whether it is a plugin at all, of whatever version of the contract.
    ///
    /// # Errors
    /// What it lacks.
    pub fn check_exports(&self) -> Result<(), UserError> {
        for wanted in ["handler", "lifecycle"] {
            let exported = self.exports.iter().any(|name| name.starts_with(&format!("{PACKAGE}/{wanted}@")));
            if !exported {
                return Err(self
                    .wrong(format!("not a plugin: it does not export {PACKAGE}/{wanted}"))
                    .help("implement world `plugin` of wit/plugin.wit"));
            }
        }
        Ok(())
    }

    /// The versions of the contract that it names; one, unless something went wrong.
    pub fn contracts(&self) -> BTreeSet<&str> {
        let names = self.exports.iter().chain(&self.imports).filter_map(|name| package(name));
        names.filter(|(package, _)| *package == PACKAGE).map(|(_, version)| version).collect()
    }

    /// Whether it imports `mail`.
    pub fn wants_mail(&self) -> bool {
        self.imports.iter().any(|name| name.starts_with("consumer:plugin/mail@"))
    }

    /// Whether it sends HTTP requests.
    pub fn wants_http(&self) -> bool {
        self.imports.iter().any(|name| name.starts_with("wasi:http/outgoing-handler@"))
    }

    /// Gives it what it imports.
    ///
    /// # Errors
    /// It needs an import of another type.
    pub fn link(&self) -> Result<Linked<Call>, UserError> {
        let link = || {
            let mut linker = Linker::new(&self.engine);
            imports::link(&mut linker)?;
            Linked::new(linker.instantiate_pre(&self.component)?)
        };
        link().map_err(|error: wasmtime::Error| {
            self.wrong(format!("cannot be linked: {error:#}")).help(REBUILD)
        })
    }

    /// Asks it what it is, with nothing granted.
    ///
    /// # Errors
    /// It has no answer.
    pub async fn describe(&self, component: &Linked<Call>) -> Result<Description, UserError> {
        let name = self.path.file_stem().map_or_else(|| "plugin".into(), |stem| stem.to_string_lossy());
        let place = Place { plugin: name.into(), at: At::Nowhere };
        let grants = Arc::new(Grants::default());
        let bound = grants.limits.call_time;
        let mut store = Call::store(&self.engine, place, grants, None);
        let call = async { component.instantiate(&mut store).await?.describe(&mut store).await };
        let what = match tokio::time::timeout(bound, call).await {
            Err(_) => format!("does not describe itself within {} s", bound.as_secs()),
            Ok(Err(error)) => format!("fails to describe itself: {}", error.root_cause()),
            Ok(Ok(description)) => return Ok(description),
        };
        Err(self.wrong(what).help("`describe` runs with nothing granted; ask whoever wrote the plugin"))
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it describes is not possible.
    pub fn described_wrongly(&self, what: &str, settings: Option<&PluginSettings>) -> UserError {
        described_wrongly(&self.path, what, settings)
    }

    fn wrong(&self, what: String) -> UserError {
        UserError::usage(format!("{}: {what}", self.path.display()))
    }
}

/// What the plugin in this file describes is not possible.
pub fn described_wrongly(path: &Path, what: &str, settings: Option<&PluginSettings>) -> UserError {
    let help = match settings {
        Some(_) => "this is what the plugin's `describe` returns, below what its [[plugin]] says",
        None => "this is what the plugin's `describe` returns; ask whoever wrote it",
    };
    UserError::usage(format!("{}: {what}", path.display())).help(help)
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

fn is_known(import: &str) -> bool {
    let is_http = ["wasi:http/types@0.2.", "wasi:http/outgoing-handler@0.2."]
        .iter()
        .any(|name| import.starts_with(name));
    is_http
        || package(import).is_some_and(|(package, version)| {
            (package == PACKAGE && contract::is_supported(version))
                || (WASI.contains(&package) && version.starts_with("0.2."))
        })
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
        assert!(is_known("consumer:plugin/mail@0.1.7"));
        assert!(!is_known("consumer:plugin/mail@0.10.0"));
        assert!(is_known("wasi:http/types@0.2.6") && !is_known("wasi:http/incoming-handler@0.2.6"));
        assert!(!is_known("wasi:io/poll@0.3.0"));
    }
}
