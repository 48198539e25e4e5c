use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_792_000_000_000;

const DAY: u64 = 86_400_000;

fn policy(retries: u32, delay_ms: u64, multiplier: f64, max_delay_ms: u64) -> Result<Policy, String> {
    let (blocking_tries, blocking_delay_ms) = (0, 100);
    let (jitter, max_age_ms) = (0.0, DAY);
    let retry = Retry {
        retries,
        delay_ms,
        multiplier,
        max_delay_ms,
        jitter,
        max_age_ms,
        blocking_tries,
        blocking_delay_ms,
    };
    Policy::new(retry, Vec::new())
}

fn doubling() -> Policy {
    policy(5, 1000, 2.0, 3_600_000).unwrap()
}

fn failed(attempt: u32, after_ms: Option<u64>, first_failed_ms: i64) -> Failed {
    Failed { attempt, retries: 5, after_ms, now_ms: NOW, first_failed_ms, random: 0.5 }
}

#[test]
fn five_retries_double_their_delay_and_end_with_a_dead_letter() {
    let policy = doubling();
    assert_eq!(policy.tiers_ms(), [1000, 2000, 4000, 8000, 16000]);
    assert_eq!(policy.max_attempts(), 6);
    for (attempt, delay) in [(1, 1000), (2, 2000), (3, 4000), (4, 8000), (5, 16000)] {
        let tier = attempt as usize - 1;
        let step = Step::Retry { tier, attempt: attempt + 1, due_ms: NOW + delay };
        assert_eq!(policy.next(&failed(attempt, None, NOW)), step);
    }
    assert_eq!(policy.next(&failed(6, None, NOW)), Step::Dead);
    assert_eq!(policy.next(&failed(u32::MAX, None, NOW)), Step::Dead);
    assert_eq!(policy.next(&failed(0, None, NOW)), Step::Dead);
}

#[test]
fn a_capped_delay_shares_one_tier() {
    let policy = policy(6, 1000, 2.0, 4000).unwrap();
    assert_eq!(policy.tiers_ms(), [1000, 2000, 4000]);
    let step = Step::Retry { tier: 2, attempt: 7, due_ms: NOW + 4000 };
    assert_eq!(policy.next(&Failed { retries: 6, ..failed(6, None, NOW) }), step);
}

#[test]
fn delays_are_truncated_as_in_spring() {
    assert_eq!(policy(5, 1000, 1.5, 60_000).unwrap().tiers_ms(), [1000, 1500, 2250, 3375, 5062]);
    // 1.1 ms is truncated to 1 ms.
    assert_eq!(policy(5, 1, 1.1, 60_000).unwrap().tiers_ms(), [1]);
}

#[test]
fn rules_have_retries_and_tiers() {
    let rule = |code: &str, retries| RuleSettings {
        code: code.to_owned(),
        retries: Some(retries),
        ..RuleSettings::default()
    };
    let retry = Retry { retries: 1, max_delay_ms: 4000, ..*doubling().retry() };
    let policy = Policy::new(retry, vec![rule("more", 5), rule("none", 0)]).unwrap();
    assert_eq!(policy.tiers_ms(), [1000, 2000, 4000]);
    assert_eq!(policy.max_attempts(), 2);
    let next = |code, attempt, after_ms| {
        let retries = policy.ruling(code, false).retries;
        policy.next(&Failed { retries, ..failed(attempt, after_ms, NOW) })
    };
    assert_eq!(next("more", 5, None), Step::Retry { tier: 2, attempt: 6, due_ms: NOW + 4000 });
    assert_eq!(next("more", 6, None), Step::Dead);
    assert_eq!(next("other", 1, None), Step::Retry { tier: 0, attempt: 2, due_ms: NOW + 1000 });
    assert_eq!(next("other", 2, None), Step::Dead);
    assert_eq!(next("none", 1, None), Step::Dead);
    assert_eq!(next("none", 1, Some(1000)), Step::Dead);
    // The tiers of rules are limited, too.
    assert!(Policy::new(*doubling().retry(), vec![rule("more", 40)]).is_ok());
    let slow = Retry { multiplier: 1.01, ..*doubling().retry() };
    let error = Policy::new(slow, vec![rule("more", 40)]).unwrap_err();
    assert!(error.contains("40 different delays"), "{error}");
}

#[test]
fn blocking_tries_are_bounded() {
    let retry = *doubling().retry();
    for (blocking_tries, blocking_delay_ms) in [(11, 100), (1, 1001)] {
        let retry = Retry { blocking_tries, blocking_delay_ms, ..retry };
        assert!(Policy::new(retry, Vec::new()).unwrap_err().contains("blocking-"), "{retry:?}");
    }
    let policy = Policy::new(Retry { blocking_tries: 10, blocking_delay_ms: 0, ..retry }, Vec::new());
    assert!(policy.unwrap().has_blocking_tries() && !doubling().has_blocking_tries());
}

#[test]
fn a_chosen_delay_uses_no_attempt_and_the_next_longer_tier() {
    let policy = doubling();
    let step = Step::Retry { tier: 2, attempt: 1, due_ms: NOW + 2500 };
    assert_eq!(policy.next(&failed(1, Some(2500), NOW)), step);
    let longest = Step::Retry { tier: 4, attempt: 6, due_ms: NOW + 3_600_000 };
    assert_eq!(policy.next(&failed(6, Some(u64::MAX), NOW)), longest);
    let shortest = Step::Retry { tier: 0, attempt: 1, due_ms: NOW + 100 };
    assert_eq!(policy.next(&failed(1, Some(0), NOW)), shortest);
}

#[test]
fn the_age_limits_retries_without_an_attempt() {
    let policy = doubling();
    let day = millis_u64(MAX_AGE).cast_signed();
    assert!(matches!(policy.next(&failed(1, Some(1000), NOW - day + 1000)), Step::Retry { .. }));
    assert_eq!(policy.next(&failed(1, Some(1000), NOW - day + 999)), Step::Dead);
}

#[test]
fn no_retries_mean_a_dead_letter_at_once() {
    let policy = policy(0, 1000, 2.0, 1000).unwrap();
    for after_ms in [None, Some(1000)] {
        assert_eq!(policy.next(&Failed { retries: 0, ..failed(1, after_ms, NOW) }), Step::Dead);
    }
}

#[test]
fn values_out_of_range_are_refused() {
    for (retries, delay, multiplier, max) in [
        (1001, 1, 1.0, 1),
        (5, 0, 2.0, 1000),
        (5, 1000, 0.5, 1000),
        (5, 1000, f64::NAN, 1000),
        (5, 1000, f64::INFINITY, 1000),
        (5, 1000, 2.0, 999),
        (5, 1000, 2.0, u64::MAX),
        (100, 10, 1.1, 86_400_000),
    ] {
        assert!(policy(retries, delay, multiplier, max).is_err(), "{retries} {delay} {multiplier} {max}");
    }
}

#[test]
fn jitter_extends_the_delay_in_the_same_tier() {
    let jitter = |random| {
        let policy = Policy::new(Retry { jitter: 0.2, ..*doubling().retry() }, Vec::new()).unwrap();
        let step = policy.next(&Failed { random, ..failed(1, None, NOW) });
        let chosen = policy.next(&Failed { random, ..failed(1, Some(1000), NOW) });
        assert_eq!(chosen, Step::Retry { tier: 0, attempt: 1, due_ms: NOW + 1000 });
        step
    };
    assert_eq!(jitter(0.0), Step::Retry { tier: 0, attempt: 2, due_ms: NOW + 1000 });
    assert_eq!(jitter(1.0), Step::Retry { tier: 0, attempt: 2, due_ms: NOW + 1200 });
}

#[test]
fn a_shorter_age_applies() {
    let policy = Policy::new(Retry { max_age_ms: 5000, ..*doubling().retry() }, Vec::new()).unwrap();
    assert!(matches!(policy.next(&failed(3, None, NOW - 1000)), Step::Retry { .. }));
    assert_eq!(policy.next(&failed(3, None, NOW - 1001)), Step::Dead);
    for (jitter, max_age_ms) in [(-0.1, DAY), (1.1, DAY), (f64::NAN, DAY), (0.0, 0), (0.0, DAY + 1)] {
        let retry = Retry { jitter, max_age_ms, ..*doubling().retry() };
        assert!(Policy::new(retry, Vec::new()).is_err(), "{jitter} {max_age_ms}");
    }
}

proptest! {
    #[test]
    fn retries_are_never_early_and_end(
        retries in 0_u32..12, delay_ms in 1_u64..10_000, multiplier in 1.0_f64..4.0, cap in 0_u64..100_000,
        jitter in 0.0_f64..=1.0, random in 0.0_f64..=1.0,
    ) {
        let max_delay_ms = delay_ms + cap;
        let policy = policy(retries, delay_ms, multiplier, max_delay_ms).unwrap();
        let policy = Policy::new(Retry { jitter, ..*policy.retry() }, Vec::new()).unwrap();
        let mut before = 0;
        for attempt in 1..=retries {
            let step = policy.next(&Failed { retries, random, ..failed(attempt, None, NOW) });
            let Step::Retry { tier, attempt: next, due_ms } = step else { panic!("dead at {attempt}") };
            let tier_ms = policy.tiers_ms()[tier];
            let waits_ms = (due_ms - NOW).unsigned_abs();
            prop_assert_eq!(next, attempt + 1);
            prop_assert!(tier_ms >= before && tier_ms <= max_delay_ms);
            prop_assert!((tier_ms..=tier_ms * 2).contains(&waits_ms), "{} of {}", waits_ms, tier_ms);
            before = tier_ms;
        }
        prop_assert_eq!(policy.next(&Failed { retries, ..failed(retries + 1, None, NOW) }), Step::Dead);
    }

    #[test]
    fn a_chosen_delay_is_exact_in_the_next_longer_tier(
        attempt in 1_u32..20, chosen in 0_u64..4_000_000, age_ms in 0_i64..100_000_000,
    ) {
        let policy = doubling();
        let left_ms = (DAY.cast_signed() - age_ms).max(0).unsigned_abs();
        let floor_ms = (age_ms.unsigned_abs() / 2).min(60_000).min(left_ms);
        let waits_ms = chosen.clamp(100, 3_600_000).max(floor_ms);
        match policy.next(&failed(attempt, Some(chosen), NOW - age_ms)) {
            Step::Retry { tier, attempt: next, due_ms } => {
                prop_assert_eq!((next, due_ms), (attempt, NOW + waits_ms.cast_signed()));
                let tiers = policy.tiers_ms();
                prop_assert!(tiers[tier] >= waits_ms || tier == tiers.len() - 1);
                prop_assert!(tier == 0 || tiers[tier - 1] < waits_ms);
                prop_assert!(age_ms + waits_ms.cast_signed() <= DAY.cast_signed());
            }
            Step::Dead => prop_assert!(age_ms + waits_ms.cast_signed() > DAY.cast_signed()),
        }
    }
}

#[test]
fn a_provider_that_always_requests_no_delay_is_asked_less_and_less_often() {
    let policy = doubling();
    let (mut now_ms, mut requests) = (0, 0);
    while now_ms < 60_000 {
        requests += 1;
        let failed =
            Failed { attempt: 1, retries: 5, after_ms: Some(0), now_ms, first_failed_ms: 0, random: 0.0 };
        let Step::Retry { attempt, due_ms, .. } = policy.next(&failed) else { panic!("dead") };
        assert_eq!(attempt, 1);
        now_ms = due_ms;
    }
    assert!((10..20).contains(&requests), "{requests} requests in a minute");
}
