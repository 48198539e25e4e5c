//! Replays to the original topic and to the retry topic: records, outcomes and takeovers.

use std::path::Path;

use base::bytes::Bytes;
use desk::Edited;
use desk_api::{
    DeadLetter, DeadLetterState, Filter, Location, PageSelector, ReplayItemState, ReplayPlan, ReplayState,
    ReplayTarget,
};
use testkit::{Kafka, Postgres, Record, eventually};

use crate::support::{BOUND, Guest, Host, attempts, big_endian, body, deliveries, file};
use crate::test_desk::{TestDesk, all_done, as_ingested, by, crafted, now_ms};

type Headers<'a> = Vec<(&'a [u8], Option<&'a [u8]>)>;

fn headers(record: &Record) -> Headers<'_> {
    record.headers.iter().map(|(name, value)| (&name[..], value.as_deref())).collect()
}

/// With headers whose names begin like those of the host, or are one of them.
fn with_names_like_the_hosts(record: Record) -> Record {
    let names = ["host-name", "retry_topic-mine", "kafka_original-topic"];
    names.into_iter().fold(record, |record, name| record.with_header(name, "mine"))
}

#[test]
fn a_dead_letter_is_replayed_to_its_topic_byte_for_byte() {
    let (kafka, guest, desk) = (Kafka::shared(), Guest::fast("rep-source"), TestDesk::new("replay-source"));
    kafka.create_topic(&guest.topic, 3, &[]);
    let host = desk.start(kafka, &guest, &[]);
    let sent = Record::new(body("back", "reject", ""))
        .with_key([0, 255, 1])
        .with_header(b"\xff\0name", [0, 1, 255])
        .with_null_header("twice")
        .with_header("twice", "x")
        .on(2);
    let sent = with_names_like_the_hosts(sent);
    kafka.produce(&guest.topic, [sent.clone()]);
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 1);
    desk.wait_for(&as_ingested(&guest, &kafka.read_all(&guest.dead)[0]));
    let replay = desk.replay(&ReplayPlan::default());
    // It is rejected again.
    let replay = desk.wait_done(&replay.id);
    assert_eq!((replay.dead_letters, replay.failed, replay.done, replay.steps), (1, 1, 0, 1));
    assert_eq!(replay.state_reason, "1 of 1 failed, more than 50 %");
    let records = kafka.read_all(&guest.topic);
    let [original, back] = &records[..] else { panic!("{records:?}") };
    assert_eq!((&back.key, &back.value, back.partition), (&sent.key, &sent.value, 2));
    let id = format!("{}/2/{}/{}", guest.topic, original.offset, original.timestamp_ms);
    let tag = format!("{}/1", replay.id);
    let mut expected = headers(original);
    expected.extend([
        (&b"host-id"[..], Some(id.as_bytes())),
        (b"host-replays", Some(b"1")),
        (b"host-replay", Some(tag.as_bytes())),
    ]);
    assert_eq!(headers(back), expected);
    let items = desk.runtime.block_on(desk.desk.replay_items(&replay.id, None, 0, 10)).expect("a store");
    let location = (items[0].topic.as_deref(), items[0].partition, items[0].offset);
    assert_eq!(location, (Some(&guest.topic[..]), Some(2), Some(back.offset)));
    // The audit log names the replay and the user.
    let entries = desk.desk.audit_log(Some(&items[0].dead_letter), &PageSelector::First, 10);
    let entries = desk.runtime.block_on(entries).expect("a store").items;
    assert_eq!((&entries[0].action[..], &entries[0].actor[..]), ("replay", "kim"));
    assert_eq!((desk.count(DeadLetterState::Replayed), entries.len()), (1, 1));
    // The plugin receives the same message; the new dead letter counts one replay.
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 2);
    let again = kafka
        .read_all(&guest.dead)
        .iter()
        .map(|record| as_ingested(&guest, record))
        .max_by_key(|dead_letter| dead_letter.replays);
    let again = again.expect("two dead letters");
    assert_eq!((again.replays, &again.message, &again.source.topic), (1, &id, &guest.topic));
    let same = format!("message={id}");
    assert_eq!(host.process.count(|line| line.contains(&same)), 2);
    desk.wait_for(&again);
    failed_again(&desk, &replay.id, &items[0].dead_letter, &again.id);
    let replay = desk.replay(&ReplayPlan { max_replays: 2, ..ReplayPlan::default() });
    desk.wait_done(&replay.id);
    let third = kafka.read_all(&guest.topic).into_iter().max_by_key(|record| record.offset).expect("records");
    assert_eq!(third.header_text("host-replays").as_deref(), Some("2"));
    assert_eq!(third.headers.len(), back.headers.len());
    assert_eq!(third.header_text("host-id"), Some(id));
    host.stop();
}

/// The dead letter, the list and the replay lead to the new dead letter, and that leads back.
fn failed_again(desk: &TestDesk, replay: &str, first: &str, again: &str) {
    let read =
        |id| desk.runtime.block_on(desk.desk.dead_letter(id)).expect("a store").expect("a dead letter");
    let outcome = read(first).outcome.expect("an outcome");
    assert_eq!((&outcome.replay[..], outcome.state), (replay, ReplayItemState::Failed));
    assert_eq!(
        (outcome.failed_as.as_deref(), read(again).failed_again_of.as_deref()),
        (Some(again), Some(first))
    );
    let all = Filter::default();
    let list = desk.runtime.block_on(desk.desk.dead_letters(&all, &PageSelector::First, 10));
    let list = list.expect("a store").items;
    let listed = list.iter().find(|listed| listed.id == first).expect("listed");
    assert_eq!(listed.outcome.as_ref(), Some(&outcome));
    let failed = desk.desk.replay_items(replay, Some(ReplayItemState::Failed), 0, 10);
    assert_eq!(desk.runtime.block_on(failed).expect("a store"), [outcome]);
}

#[test]
fn a_dead_letter_is_replayed_to_the_first_retry_topic_with_a_new_count() {
    let (kafka, guest, desk) = (Kafka::shared(), Guest::fast("rep-retry"), TestDesk::new("replay-retry"));
    let host = desk.start(kafka, &guest, &[]);
    kafka.produce(&guest.topic, [Record::new(body("x", "reject", r#","until":0"#))]);
    let dead_letter = crafted(&guest, 7, body("again", "retry", r#","until":1"#));
    desk.ingest(std::slice::from_ref(&dead_letter));
    let replay = desk.replay(&ReplayPlan { target: ReplayTarget::Retry, ..ReplayPlan::default() });
    // The first attempt fails, the second succeeds.
    let replay = desk.wait_done(&replay.id);
    assert_eq!((replay.failed, replay.done), (1, 0));
    eventually(BOUND, || host.handled("again") == 2);
    guest.settle(kafka);
    assert_eq!(kafka.read_all(&guest.topic).len(), 1, "it was sent to the original topic");
    let first = kafka.read_all(&guest.retry_topics[0]);
    let record = first.first().expect("a record");
    assert_eq!(record.value, dead_letter.value.as_ref().map(|value| value.0.clone()));
    let names: Vec<String> =
        record.headers.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    assert_eq!(names[..3], ["host-id", "host-replays", "host-replay"]);
    assert_eq!(record.header_text("kafka_original-topic"), Some(guest.topic.clone()));
    assert_eq!(record.header_text("kafka_dlt-original-consumer-group"), Some(guest.group.clone()));
    assert_eq!(big_endian(record, "kafka_original-offset"), 7);
    assert_eq!(big_endian(record, "retry_topic-attempts"), 1);
    assert!(big_endian(record, "retry_topic-backoff-timestamp") <= now_ms());
    let message = dead_letter.message.clone();
    assert_eq!(record.header_text("host-id").as_deref(), Some(&message[..]));
    let lines = host.stop();
    assert_eq!(attempts(&deliveries(&lines), "again"), [1, 2]);
    assert_eq!(lines.iter().filter(|line| line.contains(&format!("message={message}"))).count(), 2);
}

#[test]
fn an_edited_copy_is_a_message_of_its_own() {
    let (kafka, guest, desk) = (Kafka::shared(), Guest::fast("rep-edit"), TestDesk::new("replay-edit"));
    let host = desk.start(kafka, &guest, &[]);
    let original = crafted(&guest, 1, body("wrong", "reject", ""));
    desk.ingest(std::slice::from_ref(&original));
    let edited = Edited {
        key: None,
        value: Some(Bytes(body("right", "done", "").into_bytes())),
        headers: vec![
            (Bytes(b"a".to_vec()), None),
            (Bytes(b"host-id".to_vec()), Some(Bytes(b"forged".to_vec()))),
        ],
    };
    let copy = desk.runtime.block_on(desk.desk.edit(&original, edited, by())).expect("a store");
    let one = Filter { ids: vec![copy.id.clone()], ..Filter::default() };
    let replay = desk.runtime.block_on(desk.desk.start_replay(&one, None, &ReplayPlan::default(), by()));
    let replay = desk.wait_done(&replay.expect("a store").expect("a dead letter").id);
    assert_eq!((replay.dead_letters, replay.done), (1, 1));
    let records = kafka.read_all(&guest.topic);
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].text(), records[0].key.clone()), (body("right", "done", ""), None));
    let ids: Vec<_> = headers(&records[0]).into_iter().filter(|(name, _)| *name == b"host-id").collect();
    assert_eq!(ids, [(&b"host-id"[..], Some(copy.message.as_bytes()))]);
    let state = |state| desk.count(state);
    assert_eq!(
        (state(DeadLetterState::Open), state(DeadLetterState::Replayed)),
        (0, 1),
        "nothing is left to do"
    );
    assert_eq!(state(DeadLetterState::Edited), 1);
    host.stop();
}

#[test]
fn dead_letters_that_cannot_be_sent_stay_open_with_a_reason() {
    let (kafka, guest, desk) = (Kafka::shared(), Guest::fast("rep-gone"), TestDesk::new("replay-gone"));
    let host = desk.start(kafka, &guest, &[]);
    let stray = DeadLetter {
        source: Location { topic: "nowhere.at.all".to_owned(), ..crafted(&guest, 1, String::new()).source },
        ..crafted(&guest, 1, String::new())
    };
    let bad = DeadLetter {
        source: Location { topic: "no topic\0".replace('\0', "\u{fffd}"), ..stray.source.clone() },
        ..crafted(&guest, 2, String::new())
    };
    let good = crafted(&guest, 3, body("good", "done", ""));
    let late = crafted(&guest, 4, body("late", "done", ""));
    desk.ingest(&[stray.clone(), bad.clone(), good, late.clone()]);
    let replay = desk.replay(&ReplayPlan { rate: Some(2.0), ramp: vec![1], ..ReplayPlan::default() });
    // It is discarded before it is sent.
    let one = Filter { ids: vec![late.id.clone()], ..Filter::default() };
    assert_eq!(desk.runtime.block_on(desk.desk.discard(&one, by())).expect("a store"), 1);
    let replay = desk.wait_done(&replay.id);
    assert_eq!((replay.done, replay.skipped, replay.failed, replay.unknown), (1, 3, 0, 0));
    let gone = desk
        .runtime
        .block_on(desk.desk.replay_items(&replay.id, Some(ReplayItemState::Skipped), 0, 10))
        .expect("a store");
    let why = |dead_letter: &DeadLetter| {
        let found = gone
            .iter()
            .find(|gone| gone.dead_letter == dead_letter.id)
            .and_then(|gone| gone.skip_reason.clone());
        found.unwrap_or_default()
    };
    assert_eq!(why(&stray), "topic nowhere.at.all does not exist");
    assert!(why(&bad).contains("does not exist"), "{}", why(&bad));
    assert_eq!(why(&late), "it is discarded");
    assert_eq!((desk.count(DeadLetterState::Open), desk.count(DeadLetterState::Discarded)), (2, 1));
    assert!(kafka.read_all("nowhere.at.all").is_empty());
    host.stop();
}

#[test]
fn only_the_published_record_decides_the_outcome() {
    let (kafka, guest, desk) = (Kafka::shared(), Guest::fast("rep-forge"), TestDesk::new("replay-forge"));
    let host = desk.start(kafka, &guest, &[]);
    desk.ingest(&[crafted(&guest, 1, body("slow", "sleep", r#","ms":4000"#))]);
    let replay = desk.replay(&ReplayPlan::default());
    desk.wait(&replay.id, |replay| replay.sent == 1);
    let forged = |tag: String| Record::new(body("forged", "reject", "")).with_header("host-replay", tag);
    let unknown = "0".repeat(32);
    kafka.produce(
        &guest.topic,
        [format!("{}/1", replay.id), format!("{}/2", replay.id), format!("{unknown}/1"), "x".to_owned()]
            .map(forged),
    );
    eventually(BOUND, || host.handled("forged") == 4);
    let replay = desk.wait_done(&replay.id);
    assert_eq!((replay.done, replay.failed, replay.unknown), (1, 0, 0));
    host.stop();
}

#[test]
fn another_host_continues_the_replay_of_a_killed_one() {
    const COUNT: usize = 200;
    let (kafka, guest, postgres) = (Kafka::shared(), Guest::fast("rep-two"), Postgres::start());
    kafka.create_topic(&guest.topic, 2, &[]);
    let desk = TestDesk::of(postgres.url());
    let mut hosts = vec![desk.start(kafka, &guest, &[]), desk.start(kafka, &guest, &[])];
    desk.ingest(&all_done(&guest, COUNT));
    let replay = desk.replay(&ReplayPlan { rate: Some(40.0), ramp: vec![5, 50], ..ReplayPlan::default() });
    let works = |host: &Host| host.process.count(|line| line.contains("replay acquired")) > 0;
    eventually(BOUND, || kafka.read_all(&guest.topic).len() >= 60);
    let at_work: Vec<usize> = (0..2).filter(|host| works(&hosts[*host])).collect();
    assert_eq!(at_work.len(), 1, "one host runs the replay");
    hosts.remove(at_work[0]).process.kill();
    let replay = desk.wait(&replay.id, |replay| replay.state == ReplayState::Done);
    assert!(works(&hosts[0]), "no host took over");
    assert_eq!(replay.done + replay.unknown, COUNT as u64, "{replay:?}");
    let mut ids: Vec<_> =
        kafka.read_all(&guest.topic).iter().filter_map(|record| record.header_text("host-id")).collect();
    let sent = ids.len();
    ids.sort();
    ids.dedup();
    // At most the records in flight at the kill are sent again: half a second at this rate.
    assert!(ids.len() == COUNT && sent - COUNT <= 20, "{} of {COUNT}, {sent} sent", ids.len());
    hosts.remove(0).stop();
}

#[test]
fn with_retries_in_place_there_is_no_retry_topic() {
    let (kafka, guest, desk) = (Kafka::shared(), Guest::fast("rep-order"), TestDesk::new("replay-order"));
    let text = format!(
        "[[plugin]]\npath = \"{}\"\ntopic = \"{}\"\nordering = \"key\"\n",
        guest.path.display(),
        guest.topic
    );
    let path = file("replay-order.toml", text.as_bytes());
    let config: &Path = &path;
    let args = ["--bootstrap-servers", kafka.bootstrap(), "--config", config.to_str().expect("UTF-8")];
    let host = Host::run(&[&args[..], &["--store", &desk.store]].concat(), &[]);
    desk.ingest(&[crafted(&guest, 1, body("kept", "done", ""))]);
    let replay = desk.replay(&ReplayPlan { target: ReplayTarget::Retry, ..ReplayPlan::default() });
    let waits = desk.wait(&replay.id, |replay| !replay.state_reason.is_empty());
    assert!(waits.state_reason.contains("in place"), "{}", waits.state_reason);
    assert_eq!((waits.state, waits.waiting), (ReplayState::Running, 1));
    desk.runtime.block_on(desk.desk.cancel_replay(&replay.id, by())).expect("cancelled");
    // With ordering, too, the first attempt counts.
    desk.ingest(&[crafted(&guest, 2, body("twice", "retry", r#","until":1"#))]);
    let replay = desk.replay(&ReplayPlan::default());
    let replay = desk.wait_done(&replay.id);
    assert_eq!((replay.dead_letters, replay.done, replay.failed), (2, 1, 1));
    eventually(BOUND, || host.handled("twice") == 2);
    host.stop();
}

#[test]
fn a_message_without_a_timestamp_has_one_id_from_its_source_to_its_replay() {
    let (kafka, guest, desk) = (Kafka::shared(), Guest::fast("no-time"), TestDesk::new("no-time"));
    let host = desk.start(kafka, &guest, &[]);
    kafka.produce(&guest.topic, [Record { timestamp_ms: -1, ..Record::new(body("timeless", "retry", "")) }]);
    eventually(BOUND, || desk.count(DeadLetterState::Open) == 1);
    assert_eq!(kafka.read_all(&guest.topic)[0].timestamp_ms, -1);
    let id = format!("{}/0/0/-1", guest.topic);
    assert_eq!(as_ingested(&guest, &kafka.read_all(&guest.dead)[0]).message, id);
    let replay = desk.replay(&ReplayPlan::default());
    assert_eq!(desk.wait_done(&replay.id).failed, 1);
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 2);
    let lines = host.stop();
    assert_eq!(attempts(&deliveries(&lines), "timeless"), [1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6]);
    let same = format!("message={id} ");
    let ids = lines.iter().filter(|line| line.contains("message=")).filter(|line| !line.contains(&same));
    assert_eq!(ids.collect::<Vec<_>>(), Vec::<&String>::new());
}
