//! What every plugin may import, as the host provides it.

use std::fmt::Write as _;

use contract::{Imports, Level as GuestLevel};
use tracing::Level;
use wasmtime::component::Linker;

use crate::call::Call;
use crate::capabilities;
use crate::limits::Exceeded;

/// Links everything a plugin may import. WASI is always linked, because Rust, JavaScript and
/// Python components import all of it; over its empty context it denies on call.
///
/// # Errors
/// Two definitions of one import.
pub fn link(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    contract::link(linker)?;
    capabilities::http::link(linker)?;
    capabilities::mail::link(linker)
}

impl Imports for Call {
    fn config(&mut self, key: &str) -> wasmtime::Result<Option<String>> {
        self.count_host_call()?;
        Ok(self.grants.config.get(key).cloned())
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
        self.output.line(level, &text);
        if self.output.is_full() { Err(self.exceed(Exceeded::Log)) } else { Ok(()) }
    }
}
