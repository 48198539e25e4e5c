use std::slice;

use super::*;

fn plan(source: &str) -> TopicPlan {
    TopicPlan {
        group: format!("{source}-group"),
        source: source.into(),
        retry: vec![format!("{source}-retry-10"), format!("{source}-retry-20")],
        dead_letter: format!("{source}.dlt"),
        held_keys: None,
        decisions: Some(format!("{source}-waiting")),
        max_wait: Duration::from_secs(24 * 3600),
        publishes: Vec::new(),
    }
}

/// A cluster with these topics, of 3 replicas each.
fn cluster<'a>(names: impl IntoIterator<Item = &'a str>) -> Cluster {
    let shape = Shape { partitions: 1, replication: 3, leaderless: 0, in_sync: 3 };
    let topics = names.into_iter().map(|name| (name.to_owned(), shape)).collect();
    Cluster { bootstrap_servers: "kafka:9092".into(), topics, ..Cluster::default() }
}

/// The settings of a topic in the defaults of a broker.
fn defaults() -> TopicSettings {
    TopicSettings {
        cleanup_policy: Some("delete".into()),
        retention_ms: Some(604_800_000),
        retention_bytes: Some(-1),
        min_insync_replicas: Some(1),
        max_message_bytes: Some(1_048_588),
    }
}

/// What is found in a cluster in which the topics of `s` exist in the defaults, except for the settings of one.
fn found(name: &str, change: impl FnOnce(&mut TopicSettings)) -> Vec<Finding> {
    let plan = plan("s");
    let mut cluster = cluster(plan.all().map(String::as_str));
    cluster.settings = plan.all().map(|name| (name.clone(), defaults())).collect();
    change(cluster.settings.get_mut(name).expect("a topic"));
    check(&cluster, &[plan])
}

#[track_caller]
fn only(findings: Vec<Finding>, severity: Severity) -> Finding {
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(finding.severity, severity, "{finding:?}");
    finding.clone()
}

#[test]
fn topics_in_the_defaults_of_a_broker_and_unknown_ones_have_no_findings() {
    assert_eq!(found("s", |_| {}), []);
    assert_eq!(check(&cluster([]), &[plan("s"), plan("t")]), []);
    assert_eq!(found("s.dlt", |settings| *settings = TopicSettings::default()), []);
}

#[test]
fn a_retention_shorter_than_the_longest_wait_is_a_warning() {
    const DAY_MS: i64 = 86_400_000;
    let short = only(found("s-retry-20", |s| s.retention_ms = Some(20_000)), Severity::Warning);
    assert_eq!(
        short.problem,
        "topic s-retry-20 keeps records for 20s (retention.ms=20000), and 4days are needed"
    );
    assert!(short.why.contains("retries wait for up to 1day (max-age)"), "{}", short.why);
    assert_eq!(
        short.cures[0],
        "kafka-configs --bootstrap-server kafka:9092 --alter --entity-type topics --entity-name s-retry-20 \
         --add-config retention.ms=691200000"
    );
    // Retries wait longer than dead letters.
    for (name, days) in [("s-retry-10", 4), ("s.dlt", 3)] {
        only(found(name, |s| s.retention_ms = Some(days * DAY_MS - 1)), Severity::Warning);
        assert_eq!(found(name, |s| s.retention_ms = Some(days * DAY_MS)), [], "{name}");
        assert_eq!(found(name, |s| s.retention_ms = Some(-1)), [], "{name}");
    }
    assert_eq!(found("s", |s| s.retention_ms = Some(1)), [], "the source is the operator's");
}

#[test]
fn a_limit_on_the_size_is_a_warning() {
    let limited = only(found("s.dlt", |s| s.retention_bytes = Some(1000)), Severity::Warning);
    assert!(limited.problem.contains("retention.bytes=1000"), "{}", limited.problem);
    assert!(
        limited.cures[0].ends_with("--entity-name s.dlt --add-config retention.bytes=-1"),
        "{}",
        limited.cures[0]
    );
    assert_eq!(found("s", |s| s.retention_bytes = Some(1000)), []);
}

#[test]
fn fewer_replicas_in_sync_than_of_the_source_are_a_warning() {
    let plan = plan("s");
    let mut cluster = cluster(plan.all().map(String::as_str));
    cluster.settings = plan.all().map(|name| (name.clone(), defaults())).collect();
    let in_sync = |count| TopicSettings { min_insync_replicas: Some(count), ..defaults() };
    for name in ["s", "s-retry-10", "s-retry-20"] {
        cluster.settings.insert(name.into(), in_sync(2));
    }
    let plans = [plan];
    let lower = only(check(&cluster, &plans), Severity::Warning);
    assert_eq!(lower.problem, "topic s.dlt has min.insync.replicas=1, its source s has 2");
    assert!(lower.cures[0].starts_with("kafka-configs") && lower.cures[0].ends_with("min.insync.replicas=2"));
    cluster.topics.insert("s.dlt".into(), Shape { partitions: 1, replication: 1, leaderless: 0, in_sync: 1 });
    let lower = only(check(&cluster, &plans), Severity::Warning);
    assert!(lower.cures[0].starts_with("give the topic 2 replicas"), "{}", lower.cures[0]);
    // More than there are replicas of the source cannot be in sync.
    cluster.topics.insert("s".into(), Shape { partitions: 1, replication: 1, leaderless: 0, in_sync: 1 });
    assert_eq!(check(&cluster, &plans), []);
}

#[test]
fn a_compacted_derived_topic_is_an_error() {
    for policy in ["compact", "compact,delete", "delete, compact"] {
        let compacted =
            only(found("s-retry-10", |s| s.cleanup_policy = Some(policy.into())), Severity::Error);
        assert_eq!(compacted.problem, format!("topic s-retry-10 is compacted (cleanup.policy={policy})"));
        assert!(compacted.cures[0].ends_with("--add-config cleanup.policy=delete"), "{}", compacted.cures[0]);
    }
    assert_eq!(found("s", |s| s.cleanup_policy = Some("compact".into())), []);
}

#[test]
fn names_that_differ_only_in_dots_and_underscores_collide() {
    let colliding =
        only(check(&cluster(["mail.send", "mail_send.dlt"]), &[plan("mail.send")]), Severity::Error);
    assert_eq!(
        colliding.problem,
        "topic mail.send.dlt cannot be created, because topic mail_send.dlt exists"
    );
    assert!(colliding.why.contains("'.' and '_'") && colliding.cures[0].contains("[[plugin]]"));
    // Both exist, in a cluster of another kind.
    let both = plan("mail.send");
    let names = both.all().map(String::as_str).chain(["mail_send.dlt"]);
    assert_eq!(check(&cluster(names), slice::from_ref(&both)), []);
    // Two plugins, none of whose topics exist: the sources and the three derived topics of each.
    let findings = check(&cluster([]), &[plan("mail.send"), plan("mail_send")]);
    assert_eq!(findings.len(), 4, "{findings:?}");
    assert!(findings[0].problem.ends_with("topic mail.send is to be created too"), "{findings:?}");
}

#[test]
fn a_retry_topic_that_another_plugin_reads_as_something_else_is_an_error() {
    let (retrying, mut other) = (plan("s"), plan("t"));
    other.dead_letter = "s-retry-20".into();
    let stored = only(check(&cluster([]), &[retrying.clone(), other]), Severity::Error);
    assert!(stored.problem.contains("s-retry-20 is a retry topic of group s-group"), "{}", stored.problem);
    let handled = only(check(&cluster([]), &[retrying.clone(), plan("s-retry-10")]), Severity::Error);
    assert!(handled.why.contains("would handle the retries of s-group"), "{}", handled.why);
    // Plugins may share all topics, or handle the dead letters of another.
    let twin = TopicPlan { group: "twin".into(), ..retrying.clone() };
    assert_eq!(check(&cluster([]), &[retrying.clone(), twin]), []);
    assert_eq!(check(&cluster([]), &[retrying, plan("s.dlt")]), []);
}

#[test]
fn topics_to_publish_to_exist_and_belong_to_nobodys_failed_messages() {
    let publishing = |name: &str| TopicPlan { publishes: vec![name.into()], ..plan("s") };
    let found = |name: &str, topics: &[&str]| {
        let (plan, other) = (publishing(name), plan("t"));
        published(&cluster(topics.iter().copied()), &plan, &[plan.clone(), other])
    };
    assert_eq!(found("results", &["results"]), []);
    assert_eq!(found("t", &[]), [], "the host creates the source of another plugin");
    let missing = only(found("results", &[]), Severity::Error);
    assert_eq!(missing.problem, "topic results does not exist");
    assert_eq!(missing.cures[0], "create it: host topics create results --bootstrap-servers kafka:9092");
    assert!(missing.cures[1].contains(r#"remove "produce:results""#), "{missing:?}");
    for name in ["t-retry-10", "t.dlt"] {
        let taken = only(found(name, &[name]), Severity::Error);
        assert!(taken.problem.contains("a topic of the failed messages of t-group"), "{taken:?}");
    }
}

#[test]
fn a_topic_of_decisions_that_is_used_otherwise_is_left_alone() {
    let of = |partitions: usize, policy: &str| {
        let mut cluster = cluster(["s", "s-waiting"]);
        cluster.topics.get_mut("s-waiting").expect("a topic").partitions = partitions;
        let settings = TopicSettings { cleanup_policy: Some(policy.into()), ..defaults() };
        cluster.settings = [("s-waiting".to_owned(), settings)].into();
        check(&cluster, &[plan("s")])
    };
    assert_eq!(of(1, "compact"), []);
    let deleted = only(of(1, "delete"), Severity::Warning);
    assert_eq!(
        deleted.problem,
        "topic s-waiting is not compacted alone (cleanup.policy=delete), so it is not the topic of decisions about \
         retries of s"
    );
    assert!(deleted.cures[0].starts_with("if nothing uses the topic, delete it"), "{deleted:?}");
    let parted = only(of(3, "compact"), Severity::Warning);
    assert!(parted.problem.contains("has 3 partitions, not one"), "{parted:?}");
    // Also one that does not exist yet, of another plugin or its own.
    let handled = only(check(&cluster([]), &[plan("s"), plan("s-waiting")]), Severity::Warning);
    assert!(handled.problem.contains("is the source topic of group s-waiting-group"), "{handled:?}");
    let own = TopicPlan { dead_letter: "s-waiting".into(), ..plan("s") };
    let own = only(check(&cluster([]), &[own]), Severity::Warning);
    assert!(own.problem.contains("is the dead-letter topic of group s-group"), "{own:?}");
    // Nothing is known of a topic that the client may not see.
    assert_eq!(check(&cluster(["s-waiting"]), &[plan("s")]), []);
}

#[test]
fn a_topic_of_held_keys_that_is_used_otherwise_is_an_error() {
    let holding = TopicPlan { held_keys: Some("s-held".into()), ..plan("s") };
    assert_eq!(check(&cluster([]), slice::from_ref(&holding)), []);
    let shared = only(check(&cluster([]), &[holding.clone(), plan("s-held")]), Severity::Error);
    assert_eq!(
        shared.problem,
        "topic s-held has the held keys of group s-group and is the source topic of group s-held-group"
    );
    assert!(shared.cures[1].contains("on-dead = \"continue\""), "{shared:?}");
    let mut cluster = cluster(["s-held"]);
    cluster.settings = [("s-held".to_owned(), defaults())].into();
    let foreign = only(check(&cluster, &[holding]), Severity::Error);
    assert!(foreign.cures[0].starts_with("if nothing else uses the topic: kafka-configs"), "{foreign:?}");
}

#[test]
fn all_errors_are_in_the_refusal_and_warnings_are_not() {
    let warnings = found("s.dlt", |s| s.retention_ms = Some(1));
    assert!(refusal(&warnings).is_none());
    let compacted = |name| only(found(name, |s| s.cleanup_policy = Some("compact".into())), Severity::Error);
    let one = refusal(&[compacted("s.dlt")]).expect("a refusal");
    assert!(one.problem().starts_with("topic s.dlt is compacted (cleanup.policy=compact): Kafka refuses"));
    assert_eq!((one.code(), one.fixes().len()), (2, 1));
    let two =
        refusal(&[warnings, vec![compacted("s.dlt"), compacted("s-retry-10")]].concat()).expect("a refusal");
    assert!(two.problem().starts_with("topics cannot be used:\n  topic s.dlt is compacted"), "{two}");
    assert_eq!((two.problem().lines().count(), two.fixes().len()), (3, 2));
}
