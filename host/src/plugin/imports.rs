//! The contract's imports, as the host provides them.

use tracing::Level;
use wasmtime::component::{HasSelf, Linker};

use super::bindings::consumer::plugin::{config, log, types};
use super::bindings::{Plugin as World, consumer::plugin::log::Level as GuestLevel};
use super::call::Call;
use super::limits::Exceeded;

/// Links everything a plugin may import. WASI is always linked, because Rust, JavaScript and
/// Python components import all of it; over its empty context it denies on call.
///
/// # Errors
/// Two definitions of one import.
pub fn link(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    World::add_to_linker::<Call, HasSelf<Call>>(linker, |call| call)
}

impl types::Host for Call {}

impl config::Host for Call {
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.count_host_call()?;
        Ok(self.grants.config.get(&key).cloned())
    }
}

impl log::Host for Call {
    fn write(
        &mut self,
        level: GuestLevel,
        mut text: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        use std::fmt::Write as _;
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
