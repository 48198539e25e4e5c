//! The imports of plugins, as the host provides them.

use std::fmt::Write as _;

use contract::{Imports, Level as GuestLevel};
use tracing::Level;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::io::poll;

use crate::call::Call;
use crate::capabilities;
use crate::limits::Exceeded;

/// Provides every import that a plugin may have. All of WASI is always provided, because Rust, JavaScript and Python
/// components import all of it; without a grant, its functions return errors.
///
/// # Errors
/// An import is defined twice.
pub fn link(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    linker.allow_shadowing(true);
    poll::add_to_linker::<Call, Provided>(linker, |call| Timed(call))?;
    linker.allow_shadowing(false);
    contract::link(linker)?;
    capabilities::ALL.iter().try_for_each(|capability| capability.link(linker))
}

/// `wasi:io/poll`, whose waiting is not the guest's time.
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
