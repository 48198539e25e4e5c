//! What a plugin can see and use up during one call.

use std::sync::Arc;

use effects::{Calls, Digest, Effects, Key};
use parking_lot::Mutex;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::capabilities::http::{End, Hooks, Session};
use crate::capabilities::mail::mailer::Mailer;
use crate::capture::Canned;
use crate::engine::TICK;
use crate::grants::Grants;
use crate::limits::{Exceeded, MAX_HANDLES, MAX_RANDOM, Memory};
use crate::output::{Output, Place};

/// Where what a plugin does goes. This decides alone: who captures has nothing to send with.
#[derive(Clone)]
pub enum Outside {
    /// Out, through these.
    Sent(Arc<Services>),
    /// Nowhere: it is captured, and requests are answered with this.
    Captured(Arc<Canned>),
}

/// The host's side of the contract's imports.
pub struct Services {
    /// Sends e-mail; None only logs it.
    pub mailer: Option<Arc<Mailer>>,
    /// Performs what plugins do to the outside world.
    pub effects: Effects,
}

/// The largest set of HTTP headers that a guest may make, in bytes of the host's memory.
const FIELDS: usize = 32 << 10;

/// A store's data: a call's view of the host.
pub struct Call {
    /// None while the plugin describes itself: then nothing is granted.
    pub outside: Option<Outside>,
    /// What it may reach and use up.
    pub grants: Arc<Grants>,
    /// What the guest printed last, for the failure's detail.
    pub output: Output,
    exceeded: Option<Exceeded>,
    memory: Memory,
    guest_ticks: u32,
    host_calls: u32,
    /// Set where the plugin may do something to the outside world.
    effects: Option<Arc<Mutex<Calls>>>,
    http: Hooks,
    http_ctx: WasiHttpCtx,
    wasi: Option<WasiCtx>,
    table: ResourceTable,
}

impl Call {
    /// A store for one call.
    pub fn store(
        engine: &Engine,
        place: Place,
        grants: Arc<Grants>,
        outside: Option<Outside>,
    ) -> Store<Self> {
        let limits = grants.limits;
        let mut call = Self {
            output: Output::new(place, limits.log),
            outside,
            grants,
            exceeded: None,
            memory: Memory::new(limits.memory),
            guest_ticks: 0,
            host_calls: 0,
            effects: None,
            http: Hooks::default(),
            http_ctx: WasiHttpCtx::new(),
            wasi: None,
            table: ResourceTable::new(),
        };
        call.table.set_max_capacity(MAX_HANDLES);
        call.http_ctx.set_field_size_limit(FIELDS);
        let mut store = Store::new(engine, call);
        store.limiter(|call| &mut call.memory);
        store.set_hostcall_fuel(limits.hand_over());
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut context| {
            let call = context.data_mut();
            call.guest_ticks += 1;
            if TICK * call.guest_ticks > call.grants.limits.guest_time {
                return Err(call.exceed(Exceeded::GuestTime));
            }
            Ok(UpdateDeadline::Yield(1))
        });
        store
    }

    /// The limit that the call went over, if any. What it answers after that does not count.
    pub fn exceeded(&self) -> Option<Exceeded> {
        self.exceeded.or_else(|| self.output.is_full().then_some(Exceeded::Log))
    }

    /// Turns to another message, in the same instance.
    pub fn turn_to(store: &mut Store<Self>, place: Place) {
        let call = store.data_mut();
        call.output.turn_to(place);
        (call.guest_ticks, call.host_calls, call.http.requests) = (0, 0, 0);
        store.set_epoch_deadline(1);
    }

    /// What the instance holds, in bytes.
    pub fn memory(&self) -> usize {
        self.memory.used()
    }

    /// Whether the guest was refused memory; it may have coped.
    pub fn ran_out_of_memory(&self) -> bool {
        self.memory.ran_out()
    }

    /// Notes the limit that the call went over; the error ends it.
    pub fn exceed(&mut self, limit: Exceeded) -> wasmtime::Error {
        self.exceeded.get_or_insert(limit);
        wasmtime::Error::msg(limit.code())
    }

    /// Whose effects the next ones are.
    pub fn effects_of(&mut self, calls: Calls) {
        let calls = Arc::new(Mutex::new(calls));
        self.http.session =
            self.outside.clone().zip(self.grants.http.clone()).map(|(outside, outbound)| Session {
                outbound,
                outside,
                client: self.grants.client.clone(),
                capture: self.output.capture(),
                limits: self.grants.limits,
                calls: Arc::clone(&calls),
                end: Arc::default(),
                used: Arc::default(),
            });
        self.effects = Some(calls);
    }

    /// What can end the call from beside it.
    pub fn end(&self) -> Option<Arc<End>> {
        self.http.session.as_ref().map(|session| Arc::clone(&session.end))
    }

    /// The key of the next effect with this content. Where nothing may be done there is no message
    /// to remember it for.
    pub fn effect(&mut self, digest: Digest) -> Key {
        self.effects.get_or_insert_with(|| Arc::new(Mutex::new(Calls::of("", "")))).lock().next(digest)
    }

    /// Counts a host call.
    ///
    /// # Errors
    /// It is one too many; the error ends the call.
    pub fn count_host_call(&mut self) -> wasmtime::Result<()> {
        self.host_calls += 1;
        if self.host_calls > self.grants.limits.host_calls {
            return Err(self.exceed(Exceeded::HostCalls));
        }
        Ok(())
    }
}

impl WasiHttpView for Call {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http_ctx, table: &mut self.table, hooks: &mut self.http }
    }
}

impl WasiView for Call {
    /// Made on first use: most calls never ask. Nothing is granted beside clocks, random numbers,
    /// output that becomes log lines, and what the configuration lists.
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let ctx = self.wasi.get_or_insert_with(|| {
            let mut wasi = WasiCtxBuilder::new();
            wasi.stdout(self.output.stdout())
                .stderr(self.output.stderr())
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false)
                .max_random_size(MAX_RANDOM);
            if let Err(error) = self.grants.open(&mut wasi) {
                self.output
                    .line(tracing::Level::ERROR, &format!("a directory it may read is gone: {error:#}"));
            }
            wasi.build()
        });
        WasiCtxView { ctx, table: &mut self.table }
    }
}
