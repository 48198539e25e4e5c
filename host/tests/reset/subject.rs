//! A component whose instances can be hashed.

use std::path::Path;
use std::sync::Arc;

use effects::Calls;
use sandbox::call::{Call, Outside};
use sandbox::engine::Engines;
use sandbox::grants::Grants;
use sandbox::imports;
use sandbox::output::{At, Place};
use wasmtime::component::{Component, Func, InstancePre, Linker, Val};
use wasmtime::{Result, Store};

/// A component with its engine.
pub struct Subject {
    engines: Engines,
    component: InstancePre<Call>,
    grants: Arc<Grants>,
}

/// An instance, and its exports.
pub struct Instance {
    pub store: Store<Call>,
    handle: Func,
    resetting: Func,
    hash: Func,
}

impl Subject {
    /// A component that can be hashed, and is reset after calls or is not.
    pub fn new(bytes: &[u8], resets: bool) -> Self {
        let bytes = reset::rewrite(bytes, reset::Options { resets, hash: true }).expect("it qualifies");
        let engines = Engines::with_cache(4, 64 << 20, None).expect("engines");
        let component = Component::from_binary(&engines.pooled, &bytes).expect("it is valid");
        let mut linker = Linker::new(&engines.pooled);
        imports::link(&mut linker).expect("imports");
        let component = linker.instantiate_pre(&component).expect("it is linked");
        // More than a card of the memory.
        let mut grants = Grants::default();
        grants.config.insert("y".to_owned(), "ü".repeat(2500));
        Self { engines, component, grants: Arc::new(grants) }
    }

    pub async fn instantiate(&self) -> Instance {
        let outside = Outside::Captured(Arc::default());
        let mut store = Call::store(
            &self.engines.pooled,
            &self.engines.memory,
            place(),
            Arc::clone(&self.grants),
            Some(outside),
        );
        let instance = self.component.instantiate_async(&mut store).await.expect("an instance");
        store.data_mut().note_first_state();
        let handler = instance.get_export_index(&mut store, None, "kafka-host:plugin/handler@0.2.0");
        let handle = instance.get_export_index(&mut store, handler.as_ref(), "handle").expect("handle");
        let handle = instance.get_func(&mut store, handle).expect("handle");
        let mut root = |name| instance.get_func(&mut store, name).expect(name);
        let (resetting, hash) = (root(reset::EXPORT), root(reset::HASH));
        Instance { store, handle, resetting, hash }
    }
}

impl Instance {
    /// Calls `handle`, which leaves the instance as it is.
    pub async fn handle(&mut self, value: &[u8]) -> Result<Val> {
        self.call(self.handle, value).await
    }

    /// Calls `handle-reset`.
    pub async fn handle_reset(&mut self, value: &[u8]) -> Result<Val> {
        self.call(self.resetting, value).await
    }

    async fn call(&mut self, function: Func, value: &[u8]) -> Result<Val> {
        Call::reset(&mut self.store, place(), true);
        self.store.data_mut().permit_effects(Calls::of("group", "1"), false);
        let mut outcomes = [Val::Bool(false)];
        function.call_async(&mut self.store, &[Val::List(vec![message(value)])], &mut outcomes).await?;
        let [outcomes] = outcomes;
        Ok(outcomes)
    }

    /// The hash of its memory, the size of the memory, and its globals.
    pub async fn hash(&mut self) -> i64 {
        let mut hash = [Val::Bool(false)];
        self.hash.call_async(&mut self.store, &[], &mut hash).await.expect("a hash");
        let [Val::S64(hash)] = hash else { panic!("{hash:?}") };
        hash
    }
}

/// The bytes of a plugin or guest.
pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("the plugin")
}

fn place() -> Place {
    Place { plugin: "reset".into(), at: At::Nowhere }
}

fn message(value: &[u8]) -> Val {
    let text = |text: &str| Val::String(text.into());
    let bytes = |bytes: &[u8]| Some(Box::new(Val::List(bytes.iter().copied().map(Val::U8).collect())));
    let header =
        Val::Record(vec![("key".into(), text("header")), ("value".into(), Val::Option(bytes(b"value")))]);
    let fields = [
        ("id", text("topic/0/1/1")),
        ("topic", text("topic")),
        ("partition", Val::U32(0)),
        ("offset", Val::U64(1)),
        ("timestamp-ms", Val::U64(1)),
        ("key", Val::Option(bytes(b"key"))),
        ("value", Val::Option(bytes(value))),
        ("headers", Val::List(vec![header])),
        ("attempt", Val::U32(1)),
        ("max-attempts", Val::U32(6)),
        ("attributes", Val::List(Vec::new())),
    ];
    Val::Record(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
}
