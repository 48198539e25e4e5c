//! The cost of a message: its call in each isolation, and its tracking.

use std::sync::Arc;
use std::time::Instant;

use consumer::Subscriber;
use contract::Message;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use effects::Effects;
use kafka::tracker::Tracker;
use sandbox::call::{Outside, Services};
use sandbox::engine::Engines;
use sandbox::output::{At, Place};
use settings::{File, Isolation};
use tokio::runtime::{Builder, Runtime};

const JSON: &[u8] = r#"{"from":"sender0000001@example.com","to":"receiver0000001@example.org","subject":"테스트 제목 0000001","body":"okay 테스트 내용 번호 0000001 lorem ipsum dolor sit amet"}"#.as_bytes();

fn load(runtime: &Runtime, isolation: Isolation) -> Subscriber {
    let services = Arc::new(Services::new(Effects::new(runtime.handle().clone())));
    runtime.block_on(async {
        let engines = Engines::new(1, 64 << 20).expect("engines");
        let path = testkit::plugin("parse");
        let text =
            format!("[[plugin]]\npath = {path:?}\ntopic = \"parse\"\nisolation = {:?}", isolation.as_str());
        let settings = File::parse(&text, &[]).expect("settings").plugins.remove(0);
        Subscriber::load(&path, Some(&settings), &engines, Outside::Sent(services))
            .await
            .expect("parse.wasm loads")
    })
}

fn message() -> Message<'static> {
    Message {
        id: "0199f0c4-0000-7000-8000-000000000000",
        topic: "parse",
        partition: 0,
        offset: 1,
        timestamp_ms: 1_792_000_000_000,
        key: None,
        value: Some(JSON),
        headers: Vec::new(),
        attempt: 1,
        max_attempts: 6,
    }
}

fn call(criterion: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_time().build().expect("runtime");
    for isolation in [Isolation::Message, Isolation::NewInstance, Isolation::Instance] {
        let subscriber = load(&runtime, isolation);
        let name = format!("call, isolation {}, 200 bytes of JSON", isolation.as_str());
        criterion.bench_function(&name, |bencher| {
            bencher.iter_custom(|count| {
                runtime.block_on(async {
                    let started = Instant::now();
                    for _ in 0..count {
                        let place = Place { plugin: Arc::clone(&subscriber.plugin.name), at: At::Nowhere };
                        subscriber.handle(message(), place).await.expect("an outcome");
                    }
                    started.elapsed()
                })
            });
        });
    }
}

fn tracker(criterion: &mut Criterion) {
    criterion.bench_function("tracker, 1000 deliveries finished in reverse", |bencher| {
        bencher.iter_batched_ref(
            Tracker::default,
            |tracker| {
                let numbers: Vec<u64> = (0..1000).map(|offset| tracker.deliver(offset, None)).collect();
                numbers.into_iter().rev().for_each(|number| tracker.finish(number));
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, call, tracker);
criterion_main!(benches);
