//! Loads a file as by `--plugin`, up to the description of the plugin, and handles a message.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls functions that are not mangled")]

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::Duration;

use consumer::Subscriber;
use contract::Message;
use effects::Effects;
use libfuzzer_sys::fuzz_target;
use sandbox::call::{Outside, Services};
use sandbox::engine::Engines;
use sandbox::file::PluginFile;
use sandbox::output::{At, Place};
use tokio::runtime::{Builder, Runtime};

/// The pooled memory of one instance, as large as one that is reset. Larger memories are allocated on demand, up to the
/// default limit.
const MEMORY: usize = 16 << 20;
/// The real duration of a tick of 10 ms, so that an endless loop ends after 20 ms instead of 2 s.
const TICK: Duration = Duration::from_micros(100);

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));
static ENGINES: LazyLock<Engines> = LazyLock::new(|| {
    let engines = Engines::with_cache(4, MEMORY, None).expect("engines");
    let both = [engines.pooled.clone(), engines.on_demand.clone()];
    thread::spawn(move || {
        loop {
            thread::sleep(TICK);
            both.iter().for_each(|engine| engine.increment_epoch());
        }
    });
    engines
});

fuzz_target!(
    init: LazyLock::force(&ENGINES),
    |data: &[u8]| {
        RUNTIME.block_on(async {
            let effects = Effects::new(RUNTIME.handle().clone());
            let outside = Outside::Sent(Arc::new(Services::new(effects)));
            let plugin = match PluginFile::from_bytes(Path::new("fuzz.wasm"), data, &ENGINES) {
                Ok(file) => {
                    let reason = file.not_reset.as_ref().map(ToString::to_string).unwrap_or_default();
                    assert!(!reason.starts_with("the reset cannot be added"), "{reason}");
                    Subscriber::of(file, |_| None, outside).await
                }
                Err(failure) => Err(failure),
            };
            match plugin {
                Ok(plugin) => handle(&plugin).await,
                Err(failure) => {
                    let text = failure.to_string();
                    assert!(failure.code() == 2 && text.starts_with("fuzz.wasm: ") && text.contains("help: "));
                }
            }
        });
    }
);

async fn handle(subscriber: &Subscriber) {
    let plugin = &subscriber.plugin;
    assert!(!plugin.name.is_empty() && plugin.digest.len() == 64);
    let message = Message {
        id: "1",
        topic: &subscriber.subscription.topic,
        partition: 0,
        offset: 0,
        timestamp_ms: 0,
        key: Some(b"key"),
        value: Some(b"A"),
        headers: Vec::new(),
        attempt: 1,
        max_attempts: 2,
    };
    let place = Place { plugin: Arc::clone(&plugin.name), at: At::Nowhere };
    if let Err(cause) = subscriber.handle(message, place).await {
        assert!(!cause.code.is_empty() && !cause.exception.is_empty());
    }
}
