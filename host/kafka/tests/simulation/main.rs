//! The message path against a model of Kafka: partitions, trackers, windows, orders and commits as they are, and in place
//! of threads, client and cluster a scheduler that chooses with a seed what happens next.
//!
//! What must hold after every step: a message that was not handled is not skipped by the next owner of its partition, a
//! message of a key starts after those before it, and in the end everything is handled and committed; once, if nothing
//! failed.

mod cluster;
mod member;
mod world;

use std::sync::atomic::{self, AtomicBool, AtomicUsize};
use std::sync::{Arc, OnceLock, Weak};

use async_channel::Receiver;
use kafka::partition::{Partition, PartitionContext};
use settings::Ordering;
use testkit::Rng;
use tokio::runtime::Runtime;

use crate::cluster::{Cluster, Record};
use crate::member::Member;
use crate::world::{Plan, Violation, World};

const STEPS: u64 = 10_000_000;

/// Runs an episode. Returns its number of steps and, if a promise was broken, which and after which actions.
fn episode(plan: Plan, seed: u64) -> (u64, Option<String>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (context, list) = context(&runtime, plan.ordering);
    let mut world = World::new(plan, Rng::new(seed), context, list);
    let broken = world.run().err().map(|Violation(text)| format!("{text}\nafter {}", world.trace()));
    (world.steps, broken)
}

fn context(runtime: &Runtime, ordering: Ordering) -> (Arc<PartitionContext>, Receiver<Weak<Partition>>) {
    let (ready, list) = async_channel::unbounded();
    let context = PartitionContext {
        group: "g".to_owned(),
        is_retry: false,
        ordering,
        ready,
        runtime: runtime.handle().clone(),
        health: Arc::default(),
        memory: Arc::default(),
        has_regressed: AtomicBool::default(),
        held_keys: None,
        decisions: None,
        has_large_headers: AtomicBool::default(),
        on_uncommitted: OnceLock::new(),
    };
    (Arc::new(context), list)
}

fn plan(rng: &mut Rng) -> Plan {
    let ordering = [Ordering::Unordered, Ordering::Key, Ordering::Partition][rng.below(3) as usize];
    let (is_kind, actions, batch) = (rng.below(4) == 0, 100 + rng.below(2_000), 1 + rng.below(16));
    let plan = Plan { ordering, has_ids: true, is_kind, one_waits: false, actions, batch };
    if rng.below(500) == 0 {
        // So many records that all that is kept of them has reached its limit.
        return Plan {
            ordering: Ordering::Unordered,
            is_kind: true,
            one_waits: true,
            actions: 12_000,
            batch: 16,
            ..plan
        };
    }
    plan
}

/// Runs episodes until a promise is broken, or for this number of steps. Returns the number of steps, and what broke.
fn run(steps: u64, mut plan: impl FnMut(&mut Rng) -> Plan) -> (u64, Option<String>) {
    let (mut rng, mut done, mut episodes) = (Rng::seeded(), 0, 0);
    while done < steps {
        let (plan, seed) = (plan(&mut rng), rng.next_u64());
        let (count, broken) = episode(plan, seed);
        done += count;
        episodes += 1;
        if let Some(broken) = broken {
            return (done, Some(format!("episode {episodes}, seed {seed}, {plan:?}: {broken}")));
        }
    }
    println!("{done} steps in {episodes} episodes");
    (done, None)
}

#[test]
fn nothing_is_lost_or_stands_still_whatever_happens() {
    let (steps, broken) = run(testkit::scale(STEPS, 10 * STEPS), plan);
    assert_eq!(broken, None, "after {steps} steps");
}

/// The simulation sees what it is made for: without the ids of topics, the commit of a deleted topic that arrives late
/// hides messages of the next one, and later messages of their keys may start first.
#[test]
fn without_topic_ids_messages_of_the_next_topic_are_skipped() {
    let (steps, broken) = run(STEPS, |rng| Plan { has_ids: false, ..plan(rng) });
    let broken = broken.expect("a message that would be skipped");
    println!("found after {steps} steps");
    let expected = ["would be skipped", "stalled", "starts before its predecessor"];
    assert!(expected.iter().any(|one| broken.contains(one)), "{broken}");
}

#[test]
fn the_member_hears_of_a_message_that_finishes_when_all_was_committed() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (context, _list) = context(&runtime, Ordering::Unordered);
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let _ = context.on_uncommitted.set(Box::new(move || {
        counter.fetch_add(1, atomic::Ordering::Relaxed);
    }));
    let mut cluster = Cluster::new(true);
    cluster.records.extend((0..3).map(|id| Record { id, epoch: 0, key: 0 }));
    let mut member = Member::join(&cluster, &context);
    member.commit();
    member.confirm(true);
    member.fetch(&cluster, 3);
    let mut deliveries = Vec::new();
    member.partition.take(3, &mut deliveries);
    let mut finish_one = || {
        deliveries.pop().expect("a delivery").finish();
        calls.load(atomic::Ordering::Relaxed)
    };
    assert_eq!(finish_one(), 1, "nothing else is to be committed");
    assert_eq!(finish_one(), 1, "the first one has not been committed");
    member.commit();
    member.confirm(true);
    assert_eq!(finish_one(), 2, "all was committed");
}
