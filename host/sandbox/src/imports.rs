//! The imports of plugins, as the host provides them.

use std::fmt::Write as _;

use contract::{Imports, Level as GuestLevel};
use tracing::Level;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::cli::WasiCli;
use wasmtime_wasi::clocks::WasiClocks;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::cli::environment;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::{self, Duration, Instant};
use wasmtime_wasi::p2::bindings::clocks::wall_clock;
use wasmtime_wasi::p2::bindings::io::poll;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::random::WasiRandom;

use crate::call::Call;
use crate::capabilities;
use crate::limits::Exceeded;

/// Interfaces and packages of WASI with which an instance can be reset. The decision record 0104 has a line for each.
const PERMIT_RESET: [&str; 14] = [
    "consumer:plugin/config",
    "consumer:plugin/effects",
    "consumer:plugin/log",
    "consumer:plugin/types",
    "kafka-host:plugin/config",
    "kafka-host:plugin/effects",
    "kafka-host:plugin/log",
    "kafka-host:plugin/messages",
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];

/// Whether an instance of a component with this import can be reset.
pub(crate) fn permits_reset(import: &str) -> bool {
    let is_known = |known: &&str| match import.strip_prefix(*known) {
        Some(rest) => known.ends_with('/') || rest.starts_with('@'),
        None => false,
    };
    PERMIT_RESET.iter().any(is_known) || capabilities::permit_reset(import)
}

/// Provides every import that a plugin may have. All of WASI is always provided, because Rust, JavaScript and Python
/// components import all of it; without a grant, its functions return errors.
///
/// # Errors
/// An import is defined twice.
pub fn link(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    poll::add_to_linker::<Call, Provided>(linker, |call| Timed(call))?;
    // Functions without handles, so that a call of them does not end an instance that is reset.
    random::add_to_linker::<Call, WasiRandom>(linker, Call::random)?;
    insecure::add_to_linker::<Call, WasiRandom>(linker, Call::random)?;
    insecure_seed::add_to_linker::<Call, WasiRandom>(linker, Call::random)?;
    environment::add_to_linker::<Call, WasiCli>(linker, Call::environment)?;
    wall_clock::add_to_linker::<Call, WasiClocks>(linker, Call::clocks)?;
    monotonic_clock::add_to_linker::<Call, Provided>(linker, |call| Timed(call))?;
    linker.allow_shadowing(false);
    contract::link(linker)?;
    capabilities::ALL.iter().try_for_each(|capability| capability.link(linker))
}

/// `wasi:io/poll`, whose waiting is not the guest's time, and the clock whose instants can be waited for.
struct Timed<'a>(&'a mut Call);

/// Selects the implementation of the imports.
struct Provided;

impl HasData for Provided {
    type Data<'a> = Timed<'a>;
}

impl poll::Host for Timed<'_> {
    async fn poll(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        self.0.enter_host();
        let ready = poll::Host::poll(self.0.table(), pollables).await;
        self.0.leave_host();
        ready
    }
}

impl poll::HostPollable for Timed<'_> {
    async fn block(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        self.0.enter_host();
        let ready = poll::HostPollable::block(self.0.table(), pollable).await;
        self.0.leave_host();
        ready
    }

    async fn ready(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<bool> {
        poll::HostPollable::ready(self.0.table(), pollable).await
    }

    fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        poll::HostPollable::drop(self.0.table(), pollable)
    }
}

impl monotonic_clock::Host for Timed<'_> {
    fn now(&mut self) -> wasmtime::Result<Instant> {
        self.0.clocks().now()
    }

    fn resolution(&mut self) -> wasmtime::Result<Duration> {
        self.0.clocks().resolution()
    }

    fn subscribe_instant(&mut self, when: Instant) -> wasmtime::Result<Resource<DynPollable>> {
        self.0.may_get_handle();
        self.0.clocks().subscribe_instant(when)
    }

    fn subscribe_duration(&mut self, duration: Duration) -> wasmtime::Result<Resource<DynPollable>> {
        self.0.may_get_handle();
        self.0.clocks().subscribe_duration(duration)
    }
}

impl Imports for Call {
    fn config(&mut self, key: &str) -> wasmtime::Result<Option<String>> {
        self.count_host_call()?;
        Ok(self.context.grants.config.get(key).cloned())
    }

    fn keep_effects(&mut self) -> wasmtime::Result<()> {
        self.count_host_call()?;
        self.context.take_performed();
        Ok(())
    }

    fn log(
        &mut self,
        level: GuestLevel,
        mut text: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.count_host_call()?;
        for (name, value) in fields {
            let _ = write!(text, " {name}={value}");
        }
        let level = match level {
            GuestLevel::Trace => Level::TRACE,
            GuestLevel::Debug => Level::DEBUG,
            GuestLevel::Info => Level::INFO,
            GuestLevel::Warn => Level::WARN,
            GuestLevel::Error => Level::ERROR,
        };
        self.context.output.line(level, &text);
        if self.context.output.is_full() { Err(self.exceed(Exceeded::Log)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use wit_parser::Resolve;

    use super::*;

    #[test]
    fn every_import_has_a_line_in_the_decision() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let record = root.join("docs/decisions/0104-an-instance-resets-itself.md");
        let record = std::fs::read_to_string(record).expect("the decision");
        let lines: Vec<&str> = record.lines().filter(|line| line.starts_with('|')).collect();
        let mut contract = Resolve::default();
        contract.push_dir(root.join("wit")).expect("the contract");
        let exports = ["handler", "lifecycle"];
        let own = contract.interfaces.iter().filter_map(|(_, interface)| interface.name.clone());
        let own = own.filter(|name| !exports.contains(&name.as_str()));
        let own = own.map(|name| format!("kafka-host:plugin/{name}"));
        let of_capabilities = capabilities::ALL
            .iter()
            .filter(|capability| capability.permits_reset())
            .flat_map(|capability| capability.imports())
            .map(|import| import.split('@').next().unwrap_or_default().to_owned());
        let all: Vec<String> = own.chain(PERMIT_RESET.map(str::to_owned)).chain(of_capabilities).collect();
        assert!(all.len() > 15, "{all:?}");
        for import in all {
            let package =
                import.split_once('/').map(|(package, _)| format!("`{package}/`")).unwrap_or_default();
            let is_listed = |line: &&str| line.contains(&format!("`{import}`")) || line.contains(&package);
            assert!(lines.iter().any(is_listed), "{import} is not in the table of 0104");
            assert!(permits_reset(&format!("{import}@0.2.0")) || permits_reset(&import), "{import}");
        }
        assert!(!permits_reset("test:ping/ping@1.0.0") && !permits_reset("wasi:keyvalue/store@0.2.0"));
    }
}
