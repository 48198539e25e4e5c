use super::*;

const SOURCE: &str = "t";

/// A topic with a partition of ten messages for each pair of committed offsets, Spring's first.
fn topic(delay: &str, by_host: bool, commits: &[(Option<i64>, Option<i64>)]) -> Topic {
    let suffix = format!("-retry{delay}");
    let partition = |(index, (spring, host)): (usize, &(Option<i64>, Option<i64>))| Partition {
        index: i32::try_from(index).unwrap(),
        start: 0,
        end: 10,
        spring: *spring,
        host: *host,
    };
    let partitions = commits.iter().enumerate().map(partition).collect();
    Topic { name: format!("{SOURCE}{suffix}"), suffix, made_by_host: Some(by_host), partitions }
}

fn retries(tiers: &[&str], found: Vec<Topic>, others: Vec<Topic>) -> Retries {
    let tiers = tiers.iter().map(|delay| format!("{SOURCE}-retry{delay}")).collect();
    Retries { tiers, found, others }
}

#[track_caller]
fn refused(retries: &Retries, to: Direction, says: &[&str]) {
    let failure = retries.plan(to).expect_err("refused");
    let text = failure.to_string();
    says.iter().for_each(|says| assert!(text.contains(says), "no {says:?} in {text}"));
    assert_eq!(failure.code(), 1);
}

#[test]
fn the_offsets_of_one_side_are_committed_for_the_other() {
    let known = retries(
        &["-1000", "-2000"],
        vec![
            topic("-1000", false, &[(Some(4), None), (Some(7), Some(2))]),
            topic("-2000", false, &[(None, None), (None, Some(3))]),
        ],
        vec![],
    );
    let moves = known.plan(Direction::Host).unwrap();
    let planned: Vec<_> =
        moves.iter().map(|m| (m.topic.as_str(), m.partition, m.offset, m.before, m.waiting)).collect();
    assert_eq!(
        planned,
        [
            ("t-retry-1000", 0, Some(4), None, 6),
            ("t-retry-1000", 1, Some(7), Some(2), 3),
            ("t-retry-2000", 0, None, None, 10),
            ("t-retry-2000", 1, None, Some(3), 7),
        ]
    );
    refused(&known, Direction::Spring, &["Spring is ahead of this host", "t-retry-1000[1]: 7, not 2"]);
}

#[test]
fn a_topic_of_spring_only_is_refused() {
    let known = retries(
        &["-1000"],
        vec![topic("-1000", false, &[(Some(10), None)])],
        vec![topic("-2000", false, &[(Some(10), None)])],
    );
    let says = [
        "t-retry-2000 is read by Spring and not by this host's policy",
        "this host's retry topics: t-retry-1000",
        "retries = 2, delay = \"1s\", multiplier = 2.0",
    ];
    refused(&known, Direction::Host, &says);
    refused(&known, Direction::Spring, &says);
}

#[test]
fn a_topic_of_this_host_only_is_refused() {
    let tiers = ["-1000", "-2000"];
    let says =
        ["t-retry-2000 is read by this host's policy and not by Spring", "retries = 1, delay = \"1s\""];
    let spring = || topic("-1000", false, &[(Some(10), Some(10))]);
    refused(&retries(&tiers, vec![spring()], vec![]), Direction::Host, &says);
    let made = |spring| topic("-2000", true, &[(spring, Some(10))]);
    refused(&retries(&tiers, vec![spring(), made(None)], vec![]), Direction::Host, &says);
    refused(
        &retries(&tiers, vec![spring(), made(None)], vec![]),
        Direction::Spring,
        &["first let this host finish", says[0], says[1]],
    );
    // Spring has read it before.
    assert!(retries(&tiers, vec![spring(), made(Some(10))], vec![]).plan(Direction::Spring).is_ok());
}

#[test]
fn a_topic_unknown_to_spring_must_be_empty() {
    let tiers = ["-1000", "-2000"];
    let found = |spring, left: i64| {
        vec![topic("-1000", true, &[(spring, Some(10))]), topic("-2000", true, &[(None, Some(10 - left))])]
    };
    refused(
        &retries(&tiers, found(Some(10), 3), vec![]),
        Direction::Spring,
        &["t-retry-2000 holds 3 messages", "t-retry-1000"],
    );
    assert!(retries(&tiers, found(Some(10), 0), vec![]).plan(Direction::Spring).is_ok());
    // Spring has not read any retry topic.
    assert!(retries(&tiers, found(None, 3), vec![]).plan(Direction::Spring).is_ok());
}

#[test]
fn messages_that_neither_side_has_read_are_not_left_behind() {
    let known = |spring, host| {
        let found = vec![topic("-1000", false, &[(Some(10), Some(10))])];
        retries(&["-1000"], found, vec![topic("-500", false, &[(spring, host)])])
    };
    refused(
        &known(None, Some(4)),
        Direction::Host,
        &["t-retry-500 holds", "(6)", "host consume t-retry-500"],
    );
    assert!(known(None, Some(10)).plan(Direction::Spring).is_ok());
}

#[test]
fn without_retry_topics_there_is_nothing_to_adopt() {
    refused(
        &retries(&["-1000"], vec![], vec![]),
        Direction::Host,
        &["none of the retry topics exists", "t-retry-1000"],
    );
}

#[test]
fn offsets_beyond_the_end_are_ignored() {
    let known = retries(&["-1000"], vec![topic("-1000", false, &[(Some(4), Some(120))])], vec![]);
    assert_eq!(known.plan(Direction::Host).unwrap()[0].offset, Some(4));
}

#[test]
fn the_suggestion_is_the_policy_of_the_other_side() {
    let suggest = |delays: &[u64]| suggestion(delays.iter().map(|delay| Some(*delay)).collect());
    assert!(suggest(&[8000, 1000, 2000, 4000]).ends_with("retries = 4, delay = \"1s\", multiplier = 2.0"));
    assert!(suggest(&[1000, 3000, 5000]).contains("multiplier = 3.0, max-delay = \"5s\""));
    assert!(suggest(&[0, 1, 2]).contains("SUFFIX_WITH_DELAY_VALUE"));
    assert!(suggestion(vec![None]).contains("multiplier = 1.0"));
}
