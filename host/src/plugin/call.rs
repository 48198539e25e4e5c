//! What a plugin can see and use up during one call.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, ResourceLimiter, Store, Trap, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::engine::{MAX_MEMORY, TICK};
use super::output::{Output, Place};
use crate::mail::Mailer;

/// How long a call may take, host calls included.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the guest may compute in one call; time in host calls does not count.
pub const GUEST_TIME: Duration = Duration::from_secs(2);

/// The host's side of the contract's imports.
pub struct Services {
    /// Sends e-mail; None only logs it.
    pub mailer: Option<Arc<Mailer>>,
    /// Where connections live.
    pub runtime: tokio::runtime::Handle,
}

/// A store's data: one call's view of the host.
pub struct Call {
    /// Which message this is about.
    pub place: Place,
    /// None while the plugin describes itself: then nothing is granted.
    pub services: Option<Arc<Services>>,
    /// What the guest printed last, for the failure's detail.
    pub output: Output,
    limits: Limits,
    guest_ticks: u32,
    wasi: Option<WasiCtx>,
    table: ResourceTable,
}

impl Call {
    /// A store for one call.
    pub fn store(engine: &Engine, place: Place, services: Option<Arc<Services>>) -> Store<Self> {
        let call = Self {
            output: Output::new(place.clone()),
            place,
            services,
            limits: Limits::default(),
            guest_ticks: 0,
            wasi: None,
            table: ResourceTable::new(),
        };
        let mut store = Store::new(engine, call);
        store.limiter(|call| &mut call.limits);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut context| {
            let call = context.data_mut();
            call.guest_ticks += 1;
            if TICK * call.guest_ticks > GUEST_TIME {
                return Err(Trap::Interrupt.into());
            }
            Ok(UpdateDeadline::Yield(1))
        });
        store
    }

    /// Whether the guest was refused memory.
    pub fn ran_out_of_memory(&self) -> bool {
        self.limits.refused
    }
}

impl WasiView for Call {
    /// Made on first use: most calls never ask. Nothing is granted beside clocks, random numbers
    /// and output that becomes log lines.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let ctx = self.wasi.get_or_insert_with(|| {
            WasiCtxBuilder::new()
                .stdout(self.output.stream(tracing::Level::INFO))
                .stderr(self.output.stream(tracing::Level::WARN))
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false)
                .build()
        });
        WasiCtxView { ctx, table: &mut self.table }
    }
}

/// The total of an instance's memories and tables.
#[derive(Default)]
struct Limits {
    used: usize,
    refused: bool,
}

impl Limits {
    fn grow(&mut self, by: usize) -> bool {
        let fits = self.used.checked_add(by).filter(|total| *total <= MAX_MEMORY);
        match fits {
            Some(total) => self.used = total,
            None => self.refused = true,
        }
        fits.is_some()
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current)))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current).saturating_mul(size_of::<usize>())))
    }
}
