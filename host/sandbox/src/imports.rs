//! The imports of plugins, as the host provides them.

use std::fmt::Write as _;

use contract::{Imports, Level as GuestLevel};
use tracing::Level;
use wasmtime::component::Linker;

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
    contract::link(linker)?;
    capabilities::ALL.iter().try_for_each(|capability| capability.link(linker))
}

impl Imports for Call {
    fn config(&mut self, key: &str) -> wasmtime::Result<Option<String>> {
        self.count_host_call()?;
        Ok(self.context.grants.config.get(key).cloned())
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
