//! Exhausts resources of the host, or ends in invalid ways.

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::random::random::get_random_bytes;

use crate::contract::kafka_host::plugin::config;
use crate::contract::kafka_host::plugin::log::{self, Level};

/// Most of these never return.
pub fn attempt(action: &str, at: &str) {
    match action {
        "sleep" => std::thread::sleep(Duration::from_millis(at.parse().unwrap_or_default())),
        // 201 waits of 15 ms. With work between them, each has 15 ms of that, too.
        "waits" => (0..201).for_each(|_| wait()),
        "waits-and-work" => (0..201).for_each(|_| {
            wait();
            work();
        }),
        "loop" => run_forever(),
        "recurse" => drop(black_box(descend(0))),
        "exit" => std::process::exit(at.parse().unwrap_or_default()),
        "abort" => std::process::abort(),
        "panic" => panic!("asked to panic"),
        "panic-in-panic" => {
            let _bomb = Bomb;
            panic!("asked to panic");
        }
        "divide" => drop(black_box(1 / at.parse::<i32>().unwrap_or_default())),
        "memory-at-once" => drop(black_box(vec![1_u8; 1 << 30])),
        "memory-in-small" => loop {
            Box::leak(black_box(Box::new([1_u8; 16])));
        },
        "memory-doubling" => {
            let mut text = "x".to_owned();
            loop {
                text.push_str(&text.clone());
            }
        }
        "log-lines" => (0..100_000).for_each(|_| info(&"x".repeat(1 << 10))),
        "log-one" => info(&"x".repeat(1 << 20)),
        "log-giant" => info(&"x".repeat(5 << 20)),
        "log-fields" => {
            let fields = vec![("name".to_owned(), "value".to_owned()); 100_000];
            log::write(Level::Info, "", &fields);
        }
        "log-empty" => loop {
            info("");
        },
        "stdout" => flood(std::io::stdout()),
        "stderr" => flood(std::io::stderr()),
        "config" => loop {
            black_box(config::get("nothing"));
        },
        "sleep-forever" => std::thread::sleep(Duration::from_secs(u64::MAX / 2_000_000_000)),
        "poll-forever" => {
            let all: Vec<_> = (0..100).map(|_| subscribe_duration(u64::MAX)).collect();
            black_box(wasip2::io::poll::poll(&all.iter().collect::<Vec<_>>()));
        }
        "poll-nothing" => drop(black_box(wasip2::io::poll::poll(&[]))),
        "handles" => loop {
            std::mem::forget(subscribe_duration(u64::MAX));
        },
        "random" => loop {
            black_box(get_random_bytes(1 << 10));
        },
        "random-giant" => drop(black_box(get_random_bytes(at.parse().unwrap_or(u64::MAX)))),
        action => panic!("unknown action {action}"),
    }
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("asked to panic again");
    }
}

const SHORT: Duration = Duration::from_millis(15);

fn wait() {
    subscribe_duration(SHORT.as_nanos() as u64).block();
}

fn work() {
    let began = Instant::now();
    while began.elapsed() < SHORT {
        black_box((0..10_000_u64).fold(0, |sum, number| black_box(sum ^ number)));
    }
}

fn run_forever() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn descend(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    // The condition is never true. Without it the compiler may remove the call.
    if black_box(depth) == u64::MAX { 0 } else { descend(depth + 1) + frame[0] }
}

fn info(text: &str) {
    log::write(Level::Info, text, &[]);
}

/// Writes until the host refuses.
fn flood(mut stream: impl Write) {
    let line = [&[b'x'; 1023][..], b"\n"].concat();
    let _ = (0..8 << 10).try_for_each(|_| stream.write_all(&line));
    let _ = (0..8).try_for_each(|_| stream.write_all(&vec![b'y'; 1 << 20]));
}
