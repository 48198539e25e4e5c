//! The state of one call: permissions, limits, effects and output.

use std::sync::Arc;
use std::time::{Duration, Instant};

use connections::is_shortage;
use destinations::{Destination, Destinations};
use effects::{Calls, Digest, Effects, Key};
use http::Extensions;
use parking_lot::Mutex;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::cli::WasiCliCtxView;
use wasmtime_wasi::clocks::WasiClocksCtxView;
use wasmtime_wasi::random::WasiRandomCtx;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::call_clock::CallClock;
use crate::call_end::EndSignal;
use crate::capture::Answers;
use crate::grants::Grants;
use crate::limits::{Exceeded, MAX_HANDLES, MAX_RANDOM, Memory};
use crate::output::{Output, Place};
use crate::shortage::Shortage;
use engine::epochs::TICK;
use engine::guest_memory::GuestMemory;

/// The target of a plugin's effects. There is no other switch: a dry run has no services for sending.
#[derive(Clone)]
pub enum Outside {
    /// They are performed through these services.
    Sent(Arc<Services>),
    /// They are captured, and capabilities give these answers.
    Captured(Arc<Answers>),
}

impl Outside {
    /// The services; None in a dry run.
    pub fn services(&self) -> Option<&Arc<Services>> {
        match self {
            Self::Sent(services) => Some(services),
            Self::Captured(_) => None,
        }
    }
}

/// The host's side of capabilities.
pub struct Services {
    /// Performs effects.
    pub effects: Effects,
    /// The places that effects go to.
    pub destinations: Destinations,
    /// Objects that capabilities share with the rest of the host, by type, such as the client of the mail server.
    pub shared: Extensions,
}

impl Services {
    /// Services with nothing shared.
    pub fn new(effects: Effects) -> Self {
        Self { effects, destinations: Destinations::default(), shared: Extensions::new() }
    }

    /// Shares an object, if there is one.
    #[must_use]
    pub fn with<T: Clone + Send + Sync + 'static>(mut self, shared: Option<T>) -> Self {
        shared.map(|shared| self.shared.insert(shared));
        self
    }
}

/// The part of a call that capabilities use. Tasks that outlive a host function own a copy.
#[derive(Clone)]
pub struct Context {
    /// None during `describe`, when nothing is granted.
    pub outside: Option<Outside>,
    /// The plugin's permissions and limits.
    pub grants: Arc<Grants>,
    /// The plugin's output. Its last lines are part of a failure's detail.
    pub output: Output,
    /// The message's effects, if the plugin can have any.
    calls: Option<Arc<Mutex<Calls>>>,
    end: Option<Arc<EndSignal>>,
    clock: Option<Arc<CallClock>>,
    traces: Option<Arc<Mutex<Traces>>>,
}

/// What the effects of a call have left behind.
#[derive(Default)]
struct Traces {
    /// The destinations at which an effect failed.
    blamed: Vec<Arc<Destination>>,
    /// The effects that were performed, unless the plugin finds that they had no effect.
    performed: Vec<Key>,
}

impl Context {
    /// The key of the message's next effect with this content.
    ///
    /// # Errors
    /// The plugin cannot have effects ([`crate::capabilities::Grant::has_effects`]); the error ends the call.
    pub fn effect(&self, digest: Digest) -> wasmtime::Result<Key> {
        let calls = self.calls.as_ref().ok_or_else(|| wasmtime::Error::msg("effects are not permitted"))?;
        Ok(calls.lock().next(digest))
    }

    /// An effect failed for a reason of this destination.
    pub fn blame(&self, destination: &Arc<Destination>) {
        if let Some(traces) = &self.traces {
            traces.lock().blamed.push(Arc::clone(destination));
        }
    }

    /// An effect was performed, unless the plugin finds that it was not: by its outcome.
    pub fn performed(&self, key: Key) {
        if let Some(traces) = &self.traces {
            traces.lock().performed.push(key);
        }
    }

    /// Takes the effects of [`Context::performed`].
    pub fn take_performed(&self) -> Vec<Key> {
        self.traces.as_ref().map(|traces| std::mem::take(&mut traces.lock().performed)).unwrap_or_default()
    }

    /// Whether an effect of the call failed at a destination that does not work.
    pub fn is_outage(&self) -> bool {
        self.traces
            .as_ref()
            .is_some_and(|traces| traces.lock().blamed.iter().any(|destination| !destination.works()))
    }

    /// The clock of a call that can have effects.
    pub fn clock(&self) -> Option<&Arc<CallClock>> {
        self.clock.as_ref()
    }

    /// Ends the call; None unless [`crate::capabilities::Grant::signals_end`].
    pub fn end(&self) -> Option<&Arc<EndSignal>> {
        self.end.as_ref()
    }
}

/// The data of a store: one call's view of the host.
pub struct Call {
    /// The part that capabilities use.
    pub context: Context,
    exceeded: Option<Exceeded>,
    memory: Memory,
    guest_time: Duration,
    /// When the guest last began to run, as far as is known.
    resumed: Instant,
    host_calls: u32,
    /// The state of capabilities, created on first use: most calls use none.
    states: Extensions,
    wasi: Option<WasiCtx>,
    is_short: bool,
    table: ResourceTable,
    first: First,
    /// Whether the guest may have got a handle. Then the numbers of its next handles are not those of a new instance.
    has_used_handles: bool,
}

/// An instance before its first call.
#[derive(Debug, Clone, Copy, Default)]
struct First {
    /// The size of its memory, in bytes.
    memory: usize,
    /// Whether its start functions called the host, so that the next instance may begin in another state.
    called_host: bool,
}

impl Call {
    /// A store for one call, with memory of what all guests have.
    pub fn store(
        engine: &Engine,
        all: &Arc<GuestMemory>,
        place: Place,
        grants: Arc<Grants>,
        outside: Option<Outside>,
    ) -> Store<Self> {
        let (memory, hand_over) = (grants.limits.memory, grants.limits.hand_over());
        let output = Output::new(place, grants.limits.log);
        let mut call = Self {
            context: Context { outside, grants, output, calls: None, end: None, clock: None, traces: None },
            exceeded: None,
            memory: Memory::new(memory, Arc::clone(all)),
            guest_time: Duration::ZERO,
            resumed: Instant::now(),
            host_calls: 0,
            states: Extensions::new(),
            wasi: None,
            is_short: false,
            table: ResourceTable::new(),
            first: First::default(),
            has_used_handles: false,
        };
        call.table.set_max_capacity(MAX_HANDLES);
        let mut store = Store::new(engine, call);
        store.limiter(|call| &mut call.memory);
        store.set_hostcall_fuel(hand_over);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut context| {
            let call = context.data_mut();
            call.charge_guest();
            if call.guest_time > call.context.grants.limits.guest_time {
                return Err(call.exceed(Exceeded::GuestTime));
            }
            Ok(UpdateDeadline::Yield(1))
        });
        store
    }

    /// Prepares the store of a reused instance for another message. With `as_new`, clocks and random numbers begin
    /// anew.
    pub fn reset(store: &mut Store<Self>, place: Place, as_new: bool) {
        let call = store.data_mut();
        call.context.output.reset(place);
        (call.guest_time, call.resumed, call.host_calls) = (Duration::ZERO, Instant::now(), 0);
        call.states.clear();
        if as_new {
            call.wasi = None;
        }
        store.set_epoch_deadline(1);
    }

    /// Notes the state of a new instance.
    pub fn note_first_state(&mut self) {
        let called_host = self.host_calls > 0 || self.wasi.is_some();
        self.first = First { memory: self.memory.used(), called_host };
    }

    /// Whether an instance that has reset itself equals a new one.
    pub fn is_clean(&self) -> bool {
        let First { memory, called_host } = self.first;
        let is_first = self.memory.used() == memory && !self.memory.ran_out() && !self.memory.is_short();
        is_first && !called_host && !self.has_used_handles
    }

    /// Permits the effects of one message. Starts the clock of the call, which effects may stop.
    pub fn permit_effects(&mut self, calls: Calls, signals_end: bool) -> Arc<CallClock> {
        let clock = CallClock::start(self.context.grants.limits.call_time);
        self.context.calls = Some(Arc::new(Mutex::new(calls)));
        self.context.end = signals_end.then(Arc::default);
        self.context.clock = Some(Arc::clone(&clock));
        self.context.traces = Some(Arc::default());
        clock
    }

    /// Charges the time since the guest began to run. It is at most a tick: after a tick, other calls may have run on the
    /// thread.
    fn charge_guest(&mut self) {
        self.guest_time += self.resumed.elapsed().min(TICK);
        self.resumed = Instant::now();
    }

    /// A host function that may wait runs from here until [`Call::leave_host`]. Its time is not the guest's.
    pub(crate) fn enter_host(&mut self) {
        self.charge_guest();
    }

    /// See [`Call::enter_host`].
    pub(crate) fn leave_host(&mut self) {
        self.resumed = Instant::now();
    }

    /// The guest may get a handle from here on.
    pub(crate) fn may_get_handle(&mut self) {
        self.has_used_handles = true;
    }

    /// The guest's resources.
    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        self.may_get_handle();
        &mut self.table
    }

    /// Random numbers, for which the guest needs no handle.
    pub(crate) fn random(&mut self) -> &mut WasiRandomCtx {
        self.wasi().0.random()
    }

    /// Clocks. Their functions that return a handle are called through [`WasiView::ctx`].
    pub(crate) fn clocks(&mut self) -> WasiClocksCtxView<'_> {
        let (ctx, table) = self.wasi();
        WasiClocksCtxView { ctx: ctx.clocks(), table }
    }

    /// Environment and arguments, for which the guest needs no handle.
    pub(crate) fn environment(&mut self) -> WasiCliCtxView<'_> {
        let (ctx, table) = self.wasi();
        WasiCliCtxView { ctx: ctx.cli(), table }
    }

    /// A capability's state in this call, and the table of the guest's resources.
    pub fn state<T: Clone + Send + Sync + 'static>(
        &mut self,
        create: impl FnOnce(&Context) -> T,
    ) -> (&mut T, &mut ResourceTable) {
        self.may_get_handle();
        let Self { context, states, table, .. } = self;
        (states.get_or_insert_with(|| create(context)), table)
    }

    /// The limit that the call exceeded, if any. Its outcome is then invalid.
    pub fn exceeded(&self) -> Option<Exceeded> {
        self.exceeded.or_else(|| self.context.output.is_full().then_some(Exceeded::Log))
    }

    /// The size of the instance's memory, in bytes.
    pub fn memory(&self) -> usize {
        self.memory.used()
    }

    /// Whether the guest was refused memory. It may have continued without it.
    pub fn ran_out_of_memory(&self) -> bool {
        self.memory.ran_out()
    }

    /// What this process was short of, if it was: of files for a directory, or of memory for its guests.
    pub fn shortage(&self) -> Option<Shortage> {
        if self.memory.is_short() {
            return Some(Shortage::GuestMemory);
        }
        self.is_short.then_some(Shortage::Files)
    }

    /// Records that the call exceeded a limit. The error ends the call.
    pub fn exceed(&mut self, limit: Exceeded) -> wasmtime::Error {
        self.exceeded.get_or_insert(limit);
        wasmtime::Error::msg(limit.code())
    }

    /// Counts a call of a host function.
    ///
    /// # Errors
    /// It exceeds the limit; the error ends the call.
    pub fn count_host_call(&mut self) -> wasmtime::Result<()> {
        self.host_calls += 1;
        if self.host_calls > self.context.grants.limits.host_calls {
            return Err(self.exceed(Exceeded::HostCalls));
        }
        Ok(())
    }
}

impl Call {
    /// The context is created on first use; most calls never use it. It grants clocks, random numbers, output that
    /// becomes log lines, and the environment variables and directories of `allow`.
    fn wasi(&mut self) -> (&mut WasiCtx, &mut ResourceTable) {
        let Self { context, wasi, is_short, table, .. } = self;
        let ctx = wasi.get_or_insert_with(|| {
            let Context { grants, output, .. } = context;
            let mut wasi = WasiCtxBuilder::new();
            wasi.stdout(output.stdout())
                .stderr(output.stderr())
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false)
                .max_random_size(MAX_RANDOM);
            if let Err(error) = grants.open(&mut wasi) {
                *is_short = is_shortage(error.as_ref());
                let text = format!("a directory of `allow` cannot be opened: {error:#}");
                output.line(tracing::Level::ERROR, &text);
            }
            wasi.build()
        });
        (ctx, table)
    }
}

impl WasiView for Call {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.may_get_handle();
        let (ctx, table) = self.wasi();
        WasiCtxView { ctx, table }
    }
}
