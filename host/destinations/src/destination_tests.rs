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
            rooms.push(enter(&destination).await);
        }
        enter(&destination).await.succeeded();
    }
    assert_eq!(destination.status().limit, max);
    destination
}

async fn enter(destination: &Arc<Destination>) -> Room {
    destination.reserve(2).await.enter().await.expect("it works")
}

async fn is_waiting(destination: &Arc<Destination>) -> bool {
    tokio::time::timeout(Duration::from_millis(10), enter(destination)).await.is_err()
}

#[tokio::test]
async fn no_more_than_the_limit_are_in_use_and_others_wait_in_their_order() {
    let destination = warm(2, 5).await;
    let (first, second) = (enter(&destination).await, enter(&destination).await);
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for number in 0..3 {
        let (destination, order) = (Arc::clone(&destination), Arc::clone(&order));
        waiting.push(tokio::spawn(async move {
            let room = enter(&destination).await;
            order.lock().push(number);
            room.succeeded();
        }));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Of the waiting ones, two have a reservation.
    assert_eq!((destination.status().in_use, destination.status().waiting), (2, 1));
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
    let room = enter(&destination).await;
    assert!(is_waiting(&destination).await);
    let next = tokio::spawn({
        let destination = Arc::clone(&destination);
        async move { enter(&destination).await }
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
        let mut room = enter(&destination).await;
        room.accepted();
        accepted.push(room);
    }
    let mut refused = Vec::new();
    for _ in 0..7 {
        refused.push(enter(&destination).await);
    }
    refused.into_iter().for_each(|room| room.refused("421 too many connections"));
    let status = destination.status();
    assert_eq!((status.limit, status.learned, status.outage), (3, Some(3), None));
    assert!(is_waiting(&destination).await);
}

#[tokio::test]
async fn a_refusal_of_the_only_use_counts_as_a_failure() {
    let destination = destination(10, 2);
    enter(&destination).await.refused("421 busy");
    assert!(destination.works());
    enter(&destination).await.refused("421 busy");
    assert!(!destination.works());
}

#[tokio::test]
async fn throttling_halves_the_limit_once_per_burst_and_counts_as_a_failure() {
    let destination = warm(10, 8).await;
    let mut rooms = Vec::new();
    for _ in 0..10 {
        rooms.push(enter(&destination).await);
    }
    for room in rooms.drain(..5) {
        room.throttled("429");
        assert_eq!((destination.status().limit, destination.status().learned), (5, Some(5)));
    }
    rooms.pop().expect("a room").succeeded();
    assert!(destination.works());
    drop(rooms);
    for _ in 0..8 {
        assert!(destination.works());
        enter(&destination).await.throttled("429");
    }
    assert!(!destination.works(), "eight in a row");
}

#[tokio::test]
async fn an_outage_lets_one_probe_at_a_time_through_and_ends_with_the_first_success() {
    let destination = warm(10, 3).await;
    for _ in 0..3 {
        enter(&destination).await.failed("connection refused");
    }
    let (since, reason) = destination.status().outage.expect("an outage");
    assert!(since > 0 && reason == "connection refused");
    let start = Instant::now();
    for pause in [500, 1000] {
        let began = Instant::now();
        let probe = enter(&destination).await;
        assert!(began.elapsed() >= Duration::from_millis(pause), "{:?}", began.elapsed());
        assert!(is_waiting(&destination).await, "a second probe");
        probe.failed("connection refused");
    }
    assert!(!destination.works() && start.elapsed() >= Duration::from_millis(1500));
    enter(&destination).await.succeeded();
    assert!(destination.works());
    let rooms = [enter(&destination).await, enter(&destination).await];
    assert_eq!(destination.status().in_use, rooms.len(), "it grows with each success");
}

#[tokio::test]
async fn a_probe_that_is_cancelled_lets_the_next_one_through() {
    let destination = destination(1, 1);
    enter(&destination).await.failed("x");
    drop(enter(&destination).await);
    assert!(!destination.works());
    enter(&destination).await.succeeded();
    assert!(destination.works());
}

#[tokio::test]
async fn the_rate_is_kept_and_an_unused_room_does_not_count() {
    let options = Options { max: 100, per_minute: NonZeroU32::new(60), breaker: None };
    let destination = Destination::new("smtp://test", options);
    let start = Instant::now();
    for _ in 0..100 {
        drop(enter(&destination).await);
    }
    for _ in 0..60 {
        enter(&destination).await.succeeded();
    }
    let burst = start.elapsed();
    enter(&destination).await.succeeded();
    assert!(start.elapsed() >= Duration::from_secs(1), "{burst:?}, {:?}", start.elapsed());
}

#[tokio::test]
async fn there_are_as_many_reservations_as_requested_for_each_use() {
    let destination = warm(3, 5).await;
    let mut reservations = Vec::new();
    for _ in 0..6 {
        reservations.push(destination.reserve(2).await);
    }
    let more = tokio::time::timeout(Duration::from_millis(10), destination.reserve(2)).await;
    assert!(more.is_err(), "a seventh");
    reservations.pop();
    destination.reserve(2).await;
}

#[tokio::test]
async fn reservations_from_before_an_outage_end_when_it_begins() {
    let destination = warm(1, 1).await;
    let room = enter(&destination).await;
    let reservation = destination.reserve(2).await;
    let waiting = tokio::spawn(reservation.enter());
    tokio::task::yield_now().await;
    room.failed("gone");
    let outage = waiting.await.expect("no panic").expect_err("it does not work");
    assert_eq!(outage, Outage("gone".to_owned()));
}

#[tokio::test]
async fn a_use_that_stalls_is_an_outage_until_it_succeeds() {
    let destination = warm(2, 1).await;
    let room = enter(&destination).await;
    room.stalled("no answer");
    room.stalled("still no answer");
    assert!(!destination.works() && is_waiting(&destination).await);
    assert_eq!(destination.status().in_use, 1);
    room.succeeded();
    assert!(destination.works());
    enter(&destination).await.succeeded();
}

#[tokio::test]
async fn a_destination_that_asks_for_a_rest_is_not_used_before() {
    let destination = destination(10, 5);
    let start = Instant::now();
    destination.rest(Duration::from_millis(80));
    destination.rest(Duration::from_millis(10));
    enter(&destination).await.succeeded();
    assert!(start.elapsed() >= Duration::from_millis(80), "{:?}", start.elapsed());
}
