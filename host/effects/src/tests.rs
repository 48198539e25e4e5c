//! Each effect is performed once, with a store.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use store::{Store, StoreUrl};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::*;
use crate::ledger::Ledger;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer(String);

impl Recorded for Answer {
    fn record(&self) -> Record {
        Record { head: self.0.clone(), body: vec![1] }
    }

    fn recall(record: Record) -> Option<Self> {
        (record.body == [1]).then_some(Self(record.head))
    }
}

/// A directory for a store, removed at the end.
struct Directory(std::path::PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("host-effects-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    /// The effects of a new process.
    async fn effects(&self, never_again: bool) -> Arc<Effects> {
        let url = StoreUrl::parse(&format!("sqlite:{}/host.db", self.0.display())).expect("a URL");
        let store = Store::open(url).await.expect("a store");
        let effects = Effects::new(Handle::current());
        let groups = never_again.then(|| "group".to_owned()).into_iter().collect();
        effects.deduplicate(Deduplicator::new(Ledger::new(store, Duration::from_secs(86_400)), groups));
        Arc::new(effects)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn key(message: &str) -> Key {
    Calls::of("group", message).next([7; 32])
}

/// An effect that counts how often it is performed.
fn counted(
    count: &Arc<AtomicUsize>,
    how: fn(String) -> Performed<Answer, String>,
) -> impl Future<Output = Performed<Answer, String>> + Send + 'static {
    let count = Arc::clone(count);
    async move { how(format!("number {}", count.fetch_add(1, Ordering::SeqCst) + 1)) }
}

fn done(text: String) -> Performed<Answer, String> {
    Performed::Done(Answer(text))
}

#[tokio::test]
async fn concurrent_attempts_perform_one_effect() {
    let directory = Directory::new("hundred");
    let (effects, count) = (directory.effects(false).await, Arc::new(AtomicUsize::new(0)));
    let asked: Vec<_> = (0..100)
        .map(|_| {
            let (effects, perform) = (Arc::clone(&effects), counted(&count, done));
            tokio::spawn(async move { effects.once(key("m"), perform).await })
        })
        .collect();
    for asked in asked {
        assert_eq!(asked.await.expect("no panic"), Ok(Ok(Answer("number 1".to_owned()))));
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn failed_effects_are_repeated_and_those_in_doubt_as_configured() {
    let directory = Directory::new("unknown");
    let count = Arc::new(AtomicUsize::new(0));
    let effects = directory.effects(true).await;
    let failed = counted(&count, Performed::Failed);
    assert_eq!(effects.once(key("a"), failed).await, Ok(Err("number 1".to_owned())));
    assert_eq!(effects.once(key("a"), counted(&count, done)).await, Ok(Ok(Answer("number 2".to_owned()))));
    let unknown = counted(&count, Performed::Unknown);
    assert_eq!(effects.once(key("b"), unknown).await, Ok(Err("number 3".to_owned())));
    assert_eq!(effects.once(key("b"), counted(&count, done)).await, Err(Interrupted::Unknown));
    // Another process, which repeats effects in doubt: one that fails there may still have been sent before.
    let again = directory.effects(false).await;
    let failed = counted(&count, Performed::Failed);
    assert_eq!(again.once(key("b"), failed).await, Ok(Err("number 4".to_owned())));
    assert_eq!(effects.once(key("b"), counted(&count, done)).await, Err(Interrupted::Unknown));
    assert_eq!(again.once(key("b"), counted(&count, done)).await, Ok(Ok(Answer("number 5".to_owned()))));
    assert_eq!(effects.once(key("b"), counted(&count, done)).await, Ok(Ok(Answer("number 5".to_owned()))));
}

#[tokio::test]
async fn a_cancelled_call_does_not_cancel_its_effect() {
    let directory = Directory::new("cut-off");
    let (effects, count) = (directory.effects(true).await, Arc::new(AtomicUsize::new(0)));
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let perform = {
        let (begun, go_on, perform) = (Arc::clone(&begun), Arc::clone(&go_on), counted(&count, done));
        async move {
            begun.notify_one();
            go_on.notified().await;
            perform.await
        }
    };
    let call = tokio::spawn({
        let effects = Arc::clone(&effects);
        async move { effects.once(key("m"), perform).await }
    });
    begun.notified().await;
    call.abort();
    assert!(call.await.expect_err("cut off").is_cancelled());
    let second = tokio::spawn({
        let (effects, perform) = (Arc::clone(&effects), counted(&count, done));
        async move { effects.once(key("m"), perform).await }
    });
    assert!(!effects.finish(Duration::from_millis(50)).await);
    go_on.notify_one();
    assert_eq!(second.await.expect("no panic"), Ok(Ok(Answer("number 1".to_owned()))));
    assert!(effects.finish(Duration::from_secs(30)).await);
}

/// The result of an attempt, or the end of the process before the result is known.
#[derive(Debug, Clone, Copy)]
enum Attempt {
    Done,
    Failed,
    Unknown,
    Restart,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// After one attempt has performed the effect, every other attempt gets its answer. Before that, each
    /// attempt performs it, unless the effect is in doubt and must not be repeated.
    #[test]
    fn attempts_end_as_documented(
        never_again in any::<bool>(),
        attempts in prop::collection::vec(
            prop_oneof![Just(Attempt::Done), Just(Attempt::Failed), Just(Attempt::Unknown), Just(Attempt::Restart)], 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let directory = Directory::new(&format!("attempts-{}", fastrand::u64(..)));
            let mut effects = directory.effects(never_again).await;
            let (count, mut answered, mut unknown) = (Arc::new(AtomicUsize::new(0)), None, false);
            for how in attempts {
                let perform = match how {
                    Attempt::Restart => {
                        effects = directory.effects(never_again).await;
                        continue;
                    }
                    Attempt::Done => counted(&count, done),
                    Attempt::Failed => counted(&count, Performed::Failed),
                    Attempt::Unknown => counted(&count, Performed::Unknown),
                };
                let before = count.load(Ordering::SeqCst);
                let result = effects.once(key("m"), perform).await;
                let next = format!("number {}", before + 1);
                let expected = match (&answered, how) {
                    (Some(answer), _) => Ok(Ok(Answer::clone(answer))),
                    (None, _) if never_again && unknown => Err(Interrupted::Unknown),
                    (None, Attempt::Done) => Ok(Ok(Answer(next))),
                    (None, _) => Ok(Err(next)),
                };
                let performed = answered.is_none() && !(never_again && unknown);
                assert_eq!(result, expected);
                assert_eq!(count.load(Ordering::SeqCst) - before, usize::from(performed));
                if let Ok(Ok(answer)) = result {
                    answered = Some(answer);
                }
                unknown |= performed && matches!(how, Attempt::Unknown);
            }
        });
    }
}
