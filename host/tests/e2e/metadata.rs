//! A broker that takes less metadata with a commit than the host has to say.

use testkit::{Kafka, Process, Record, eventually};

use crate::support::{BOUND, Guest, Host, attempts, body, deliveries, file};

const WARNING: &str = "so only offsets are committed";

fn small() -> Kafka {
    Kafka::start_with(&[("offset.metadata.max.bytes", "64")])
}

/// Every second one takes a while, so what is finished lies in pieces.
fn holes(count: usize) -> impl Iterator<Item = Record> {
    (0..count).map(|id| {
        let what = if id % 2 == 0 { ("sleep", r#","ms":2000"#) } else { ("done", "") };
        Record::new(body(&format!("hole-{id}"), what.0, what.1))
    })
}

#[test]
fn offsets_alone_are_committed_where_the_broker_takes_no_more() {
    let kafka = small();
    let guest = Guest::fast("plainly");
    kafka.create_topic(&guest.topic, 1, &[]);
    kafka.produce(&guest.topic, holes(60));
    let failing = (0..20).map(|id| {
        let until = if id % 2 == 0 { r#","until":2"# } else { "" };
        Record::new(body(&format!("fails-{id}"), "retry", until))
    });
    kafka.produce(&guest.topic, failing);
    let host = Host::start(&kafka, &[&guest.path]);
    guest.settle(&kafka);
    assert_eq!(kafka.committed(&guest.group, &guest.topic), [Some(80)]);
    let lines = host.stop();
    let said = lines.iter().filter(|line| line.contains(WARNING)).collect::<Vec<_>>();
    assert!(!said.is_empty(), "{}", lines.join("\n"));
    assert!(said.iter().all(|line| line.contains("offset.metadata.max.bytes")), "{said:?}");
    let all = deliveries(&lines);
    for id in 0..20 {
        let expected: &[u32] = if id % 2 == 0 { &[1, 2, 3] } else { &[1, 2, 3, 4, 5, 6] };
        assert_eq!(attempts(&all, &format!("fails-{id}")), expected, "{id}");
    }
    (0..60).for_each(|id| assert_eq!(attempts(&all, &format!("hole-{id}")), [1], "{id}"));
    assert_eq!(kafka.read_all(&guest.dead).len(), 10);
}

#[test]
fn in_order_it_is_an_error_that_attempts_and_held_keys_are_not_kept() {
    let kafka = small();
    let guest = Guest::fast("plain-in");
    kafka.create_topic(&guest.topic, 1, &[]);
    let text = format!(
        "listen = \"127.0.0.1:0\"\n[kafka]\nbootstrap-servers = \"{}\"\n[[plugin]]\npath = \"{}\"\n\
         topic = \"{}\"\nordering = \"key\"\nretry = {{ delay = \"300ms\" }}\n",
        kafka.bootstrap(),
        guest.path.display(),
        guest.topic
    );
    let config = file("plain-in.toml", text.as_bytes());
    let failing = (0..20).map(|id| {
        Record::new(body(&format!("{id}"), "retry", r#","until":2"#)).with_key(format!("key-{id}"))
    });
    kafka.produce(&guest.topic, failing);
    let mut host = Process::start("host", &["--config", config.to_str().expect("UTF-8")]);
    eventually(BOUND, || kafka.committed(&guest.group, &guest.topic) == [Some(20)]);
    host.terminate();
    assert_eq!(host.wait(BOUND).code(), Some(0));
    let lines = host.lines();
    let said: Vec<_> = lines.iter().filter(|line| line.contains(WARNING)).collect();
    assert_eq!(said.len(), 1, "{}", lines.join("\n"));
    for says in ["ERROR", "begins with the first attempt again", "offset.metadata.max.bytes"] {
        assert!(said[0].contains(says), "no {says:?} in {}", said[0]);
    }
    let all = deliveries(&lines);
    (0..20).for_each(|id| assert_eq!(attempts(&all, &format!("{id}")), [1, 2, 3], "{id}"));
}
