//! Waiting for a destination.

use super::*;

fn destination(max: usize, breaker: u32) -> Arc<Destination> {
    Destination::new("smtp://test", Options { max, per_minute: None, breaker: Some(breaker) })
}

/// With the limit at its maximum.
async fn warm(max: usize, breaker: u32) -> Arc<Destination> {
    let destination = destination(max, breaker);
    for held in 0..max {
        let mut rooms = Vec::new();
        for _ in 0..held {
            rooms.push(destination.enter().await);
        }
        destination.enter().await.succeeded();
    }
    assert_eq!(destination.status().limit, max);
    destination
}

async fn is_waiting(destination: &Arc<Destination>) -> bool {
    tokio::time::timeout(Duration::from_millis(10), destination.enter()).await.is_err()
}

#[tokio::test]
async fn no_more_than_the_limit_are_in_use_and_others_wait_in_their_order() {
    let destination = warm(2, 5).await;
    let (first, second) = (destination.enter().await, destination.enter().await);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for number in 0..3 {
        let (destination, order) = (Arc::clone(&destination), Arc::clone(&order));
        waiting.push(tokio::spawn(async move {
            let room = destination.enter().await;
            order.lock().push(number);
            room.succeeded();
        }));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((destination.status().in_use, destination.status().waiting), (2, 3));
    drop((first, second));
    for task in waiting {
        task.await.expect("entered");
    }
    assert_eq!(*order.lock(), [0, 1, 2]);
    assert_eq!((destination.status().in_use, destination.status().waiting), (0, 0));
}

#[tokio::test]
async fn a_use_that_stops_waiting_gives_its_turn_to_the_next() {
    let destination = destination(1, 5);
    let room = destination.enter().await;
    assert!(is_waiting(&destination).await);
    let next = tokio::spawn({
        let destination = Arc::clone(&destination);
        async move { destination.enter().await }
    });
    tokio::task::yield_now().await;
    drop(room);
    next.await.expect("entered").succeeded();
}

#[tokio::test]
async fn a_refusal_lowers_the_limit_to_what_was_accepted_and_is_no_outage() {
    let destination = warm(10, 1).await;
    let mut accepted = Vec::new();
    for _ in 0..3 {
        let mut room = destination.enter().await;
        room.accepted();
        accepted.push(room);
    }
    let mut refused = Vec::new();
    for _ in 0..7 {
        refused.push(destination.enter().await);
    }
    refused.into_iter().for_each(|room| room.refused("421 too many connections"));
    let status = destination.status();
    assert_eq!((status.limit, status.learned, status.outage), (3, Some(3), None));
    assert!(is_waiting(&destination).await);
}

#[tokio::test]
async fn a_refusal_of_the_only_use_counts_as_a_failure() {
    let destination = destination(10, 2);
    destination.enter().await.refused("421 busy");
    assert!(destination.works());
    destination.enter().await.refused("421 busy");
    assert!(!destination.works());
}

#[tokio::test]
async fn an_outage_lets_one_probe_at_a_time_through_and_ends_with_the_first_success() {
    let destination = warm(10, 3).await;
    for _ in 0..3 {
        destination.enter().await.failed("connection refused");
    }
    let (since, reason) = destination.status().outage.expect("an outage");
    assert!(since > 0 && reason == "connection refused");
    let start = Instant::now();
    for pause in [500, 1000] {
        let began = Instant::now();
        let probe = destination.enter().await;
        assert!(began.elapsed() >= Duration::from_millis(pause), "{:?}", began.elapsed());
        assert!(is_waiting(&destination).await, "a second probe");
        probe.failed("connection refused");
    }
    assert!(!destination.works() && start.elapsed() >= Duration::from_millis(1500));
    destination.enter().await.succeeded();
    assert!(destination.works());
    let rooms = [destination.enter().await, destination.enter().await];
    assert_eq!(destination.status().in_use, rooms.len(), "it grows with each success");
}

#[tokio::test]
async fn a_probe_that_is_cancelled_lets_the_next_one_through() {
    let destination = destination(1, 1);
    destination.enter().await.failed("x");
    drop(destination.enter().await);
    assert!(!destination.works());
    destination.enter().await.succeeded();
    assert!(destination.works());
}

#[tokio::test]
async fn the_rate_is_kept_and_an_unused_room_does_not_count() {
    let options = Options { max: 100, per_minute: NonZeroU32::new(60), breaker: None };
    let destination = Destination::new("smtp://test", options);
    let start = Instant::now();
    for _ in 0..100 {
        drop(destination.enter().await);
    }
    for _ in 0..60 {
        destination.enter().await.succeeded();
    }
    let burst = start.elapsed();
    destination.enter().await.succeeded();
    assert!(start.elapsed() >= Duration::from_secs(1), "{burst:?}, {:?}", start.elapsed());
}
