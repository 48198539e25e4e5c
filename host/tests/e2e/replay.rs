//! Replays to the original topic and to the retry topic: steps, rates, pauses and takeovers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base::bytes::Bytes;
use desk::Desk;
use desk::Edited;
use desk::audit::Actor;
use desk::record;
use desk::replay::Replayer;
use desk_api::{
    DeadLetter, DeadLetterState, Filter, Location, PageSelector, Replay, ReplayPlan, ReplayState,
    ReplayTarget, TopicShare,
};
use kafka::publisher::Publisher;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::topic_partition_list::Offset;
use settings::KafkaArgs;
use store::{Store, StoreUrl};
use testkit::{Kafka, Postgres, Record, eventually};
use tokio::runtime::Runtime;

use crate::support::{BOUND, Guest, Host, attempts, big_endian, body, deliveries, file};

/// Time after which a killed host is removed from its groups.
const SESSION: [&str; 2] = ["-X", "session.timeout.ms=6000"];
/// Time within which a pause or a cancellation takes effect.
const SOON: Duration = Duration::from_secs(1);

/// Direct access to the desk of a running host.
pub struct TestDesk {
    runtime: Runtime,
    desk: Desk,
    store: String,
}

impl TestDesk {
    /// With a store of its own.
    pub fn new(name: &str) -> Self {
        let path = fresh(name);
        Self::of(format!("sqlite:{}", path.display()))
    }

    fn of(store: String) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let url = StoreUrl::parse(&store).expect("a URL");
        let desk = runtime
            .block_on(async { Desk::open(&Store::open(url).await.expect("a store")).await.expect("a desk") });
        Self { runtime, desk, store }
    }

    pub fn start(&self, kafka: &Kafka, guest: &Guest, more: &[&str]) -> Host {
        let [flag, session] = SESSION;
        let args: Vec<&str> = ["--store", &self.store, flag, session].iter().chain(more).copied().collect();
        Host::start_with(kafka, &[&guest.path], &args)
    }

    pub fn ingest(&self, dead_letters: &[DeadLetter]) {
        let new = self.runtime.block_on(self.desk.ingest(dead_letters)).expect("a store");
        assert_eq!(new.len(), dead_letters.len());
    }

    /// Waits until the host has ingested this dead letter.
    pub fn wait_for(&self, dead_letter: &DeadLetter) {
        let is_there =
            || self.runtime.block_on(self.desk.dead_letter(&dead_letter.id)).expect("a store").is_some();
        eventually(BOUND, is_there);
    }

    pub fn replay(&self, plan: &ReplayPlan) -> Replay {
        let started = self.runtime.block_on(self.desk.start_replay(&Filter::default(), None, plan, by()));
        started.expect("a store").expect("dead letters")
    }

    fn get(&self, id: &str) -> Replay {
        self.runtime.block_on(self.desk.replay(id)).expect("a store").expect("a replay")
    }

    /// Waits until the replay meets a condition.
    #[track_caller]
    fn wait(&self, id: &str, wanted: impl Fn(&Replay) -> bool) -> Replay {
        let end = Instant::now() + BOUND;
        loop {
            let replay = self.get(id);
            if wanted(&replay) {
                return replay;
            }
            assert!(Instant::now() < end, "timeout after {BOUND:?}: {replay:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    pub fn wait_done(&self, id: &str) -> Replay {
        self.wait(id, |replay| replay.state == ReplayState::Done)
    }

    fn count(&self, state: DeadLetterState) -> u64 {
        let filter = Filter { state: Some(state), ..Filter::default() };
        self.runtime.block_on(self.desk.count(&filter)).expect("a store")
    }
}

fn fresh(name: &str) -> PathBuf {
    let path = file(&format!("{name}.db"), b"");
    for other in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{other}", path.display()));
    }
    path
}

fn by() -> Actor<'static> {
    Actor { name: "kim", reason: "fixed", now_ms: now_ms() }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("before the year 292 million")
}

/// The dead letter that the desk stores for a record of the dead-letter topic.
pub fn taken(guest: &Guest, record: &Record) -> DeadLetter {
    let location = Location { topic: guest.dead.clone(), partition: record.partition, offset: record.offset };
    let Record { timestamp_ms, key, value, headers, .. } = record.clone();
    record::dead_letter(record::Record { location, timestamp_ms, key, value, headers }, now_ms())
}

/// A dead letter of the guest's whose message was the `number`th one of the source's partition.
fn crafted(guest: &Guest, number: i64, value: String) -> DeadLetter {
    let headers = [
        ("kafka_original-topic", guest.topic.clone().into_bytes()),
        ("kafka_original-partition", 0_i32.to_be_bytes().to_vec()),
        ("kafka_original-offset", number.to_be_bytes().to_vec()),
        ("kafka_original-timestamp", (now_ms() - 1000).to_be_bytes().to_vec()),
        ("kafka_dlt-original-consumer-group", guest.group.clone().into_bytes()),
        ("host-failure-code", b"asked-reject".to_vec()),
        ("host-attempts", b"1".to_vec()),
    ];
    let record =
        headers.into_iter().fold(Record::new(value), |record, (name, value)| record.with_header(name, value));
    taken(guest, &Record { offset: number, partition: 0, timestamp_ms: now_ms() - 500 + number, ..record })
}

fn all_done(guest: &Guest, count: usize) -> Vec<DeadLetter> {
    (0..count).map(|number| crafted(guest, number as i64, body(&number.to_string(), "done", ""))).collect()
}

type Headers<'a> = Vec<(&'a [u8], Option<&'a [u8]>)>;

fn headers(record: &Record) -> Headers<'_> {
    record.headers.iter().map(|(name, value)| (&name[..], value.as_deref())).collect()
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
    kafka.produce(&guest.topic, [sent.clone()]);
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 1);
    desk.wait_for(&taken(&guest, &kafka.read_all(&guest.dead)[0]));
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
    assert_eq!(items.len(), 1);
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
        .map(|record| taken(&guest, record))
        .max_by_key(|dead_letter| dead_letter.replays);
    let again = again.expect("two dead letters");
    assert_eq!((again.replays, &again.message, &again.source.topic), (1, &id, &guest.topic));
    let same = format!("message={id}");
    assert_eq!(host.process.count(|line| line.contains(&same)), 2);
    desk.wait_for(&again);
    let replay = desk.replay(&ReplayPlan { max_replays: 2, ..ReplayPlan::default() });
    desk.wait_done(&replay.id);
    let third = kafka.read_all(&guest.topic).into_iter().max_by_key(|record| record.offset).expect("records");
    assert_eq!(third.header_text("host-replays").as_deref(), Some("2"));
    assert_eq!(third.headers.len(), back.headers.len());
    assert_eq!(third.header_text("host-id"), Some(id));
    host.stop();
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
    assert_eq!((desk.count(DeadLetterState::Open), desk.count(DeadLetterState::Replayed)), (1, 1));
    host.stop();
}

#[test]
fn a_step_with_too_many_failures_stops_the_replay() {
    let (kafka, guest, desk) = (Kafka::shared(), Guest::fast("rep-ramp"), TestDesk::new("replay-ramp"));
    let host = desk.start(kafka, &guest, &[]);
    let dead_letter = |number: i64| {
        let action = if [4, 6].contains(&number) { "reject" } else { "done" };
        crafted(&guest, number, body(&number.to_string(), action, ""))
    };
    desk.ingest(&(1..=30).map(dead_letter).collect::<Vec<_>>());
    let plan = ReplayPlan { ramp: vec![1, 2, 5, 20], limit_percent: 25, ..ReplayPlan::default() };
    let replay = desk.replay(&plan);
    let stopped = desk.wait(&replay.id, |replay| replay.state == ReplayState::Stopped);
    assert_eq!(stopped.state_reason, "2 of 5 failed, more than 25 %");
    assert_eq!((stopped.stepped, stopped.steps, stopped.waiting), (8, 3, 22));
    assert_eq!((stopped.done, stopped.failed, stopped.sent), (6, 2, 0));
    std::thread::sleep(SOON);
    assert_eq!(kafka.read_all(&guest.topic).len(), 8, "it continued");
    // The two that failed are dead letters again.
    eventually(BOUND, || desk.count(DeadLetterState::Open) == 24);
    desk.runtime.block_on(desk.desk.resume_replay(&replay.id, by())).expect("resumed");
    let done = desk.wait_done(&replay.id);
    assert_eq!((done.done, done.failed, done.steps, done.stepped), (28, 2, 5, 30));
    let mut positions: Vec<String> =
        kafka.read_all(&guest.topic).iter().filter_map(|record| record.header_text("host-replay")).collect();
    positions.sort();
    positions.dedup();
    assert_eq!(positions.len(), 30);
    host.stop();
}

/// Checks the rate of the records on the source topic, given the times at which sending began.
fn assert_rate(kafka: &Kafka, guest: &Guest, begins: &[i64], rate: f64) {
    let mut times: Vec<i64> = kafka.read_all(&guest.topic).iter().map(|record| record.timestamp_ms).collect();
    times.sort_unstable();
    for (sent, time) in times.iter().enumerate() {
        // One more may be sent at once after each begin.
        let began = begins.iter().filter(|begin| *begin <= time).count() as f64;
        let most = (time - begins[0]) as f64 / 1000.0 * rate + began;
        assert!((sent + 1) as f64 <= most.ceil(), "{} after {} ms", sent + 1, time - begins[0]);
    }
}

#[test]
fn a_replay_never_exceeds_its_rate_and_can_be_paused_and_cancelled() {
    const RATE: f64 = 40.0;
    let (kafka, guest, desk) = (Kafka::shared(), Guest::fast("rep-rate"), TestDesk::new("replay-rate"));
    let host = desk.start(kafka, &guest, &[]);
    desk.ingest(&all_done(&guest, 2000));
    let sent = || kafka.read_all(&guest.topic).len();
    let mut begins = vec![now_ms()];
    let replay = desk.replay(&ReplayPlan { rate: Some(RATE), ramp: vec![10, 30], ..ReplayPlan::default() });
    eventually(BOUND, || sent() >= 60);
    desk.runtime.block_on(desk.desk.pause_replay(&replay.id, by())).expect("paused");
    std::thread::sleep(SOON);
    let paused = sent();
    std::thread::sleep(2 * SOON);
    assert_eq!(sent(), paused, "a paused replay continues");
    begins.push(now_ms());
    desk.runtime.block_on(desk.desk.resume_replay(&replay.id, by())).expect("resumed");
    eventually(BOUND, || sent() >= paused + 60);
    desk.runtime.block_on(desk.desk.cancel_replay(&replay.id, by())).expect("cancelled");
    std::thread::sleep(SOON);
    let cancelled = sent();
    std::thread::sleep(2 * SOON);
    assert_eq!(sent(), cancelled, "a cancelled replay continues");
    assert_rate(kafka, &guest, &begins, RATE);
    // What was sent has an outcome; the rest is still open.
    let replay = desk.wait(&replay.id, |replay| replay.sent == 0);
    assert_eq!(
        (replay.state, replay.done, replay.waiting),
        (ReplayState::Cancelled, cancelled as u64, 2000 - cancelled as u64)
    );
    assert_eq!(
        (desk.count(DeadLetterState::Replayed), desk.count(DeadLetterState::Open)),
        (replay.done, replay.waiting)
    );
    // A new replay sends the rest, and nothing twice.
    let rest = desk.replay(&ReplayPlan::default());
    let rest = desk.wait_done(&rest.id);
    assert_eq!((rest.dead_letters, rest.done), (replay.waiting, replay.waiting));
    assert_eq!(sent(), 2000);
    let lines = host.stop();
    let all = deliveries(&lines);
    assert!((0..2000).all(|id| attempts(&all, &id.to_string()) == [1]));
}

#[test]
fn what_cannot_be_sent_stays_open_with_a_reason() {
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
    let gone =
        desk.runtime.block_on(desk.desk.replay_items(&replay.id, Some("gone"), 0, 10)).expect("a store");
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
    assert_eq!(at_work.len(), 1, "one of them runs it");
    hosts.remove(at_work[0]).process.kill();
    let replay = desk.wait(&replay.id, |replay| replay.state == ReplayState::Done);
    assert!(works(&hosts[0]), "no host took over");
    assert_eq!(replay.done + replay.unknown, COUNT as u64, "{replay:?}");
    let mut ids: Vec<_> =
        kafka.read_all(&guest.topic).iter().filter_map(|record| record.header_text("host-id")).collect();
    let sent = ids.len();
    ids.sort();
    ids.dedup();
    // Sent again is at most what was in flight at the kill: half a second at this rate.
    assert!(ids.len() == COUNT && sent - COUNT <= 20, "{} of {COUNT}, {sent} sent", ids.len());
    hosts.remove(0).stop();
}

/// A replayer of the test, for previews.
fn replayer(desk: &TestDesk, kafka: &Kafka) -> Replayer {
    let args = KafkaArgs {
        bootstrap_servers: kafka.bootstrap().to_owned(),
        properties: Vec::new(),
        environment_properties: Vec::new(),
        file_properties: Vec::new(),
    };
    let publisher = Arc::new(Publisher::new(&args).expect("a producer"));
    Replayer::new(desk.desk.clone(), args, publisher, Vec::new())
}

#[test]
fn other_groups_that_read_the_topic_are_named() {
    // A Kafka of its own: every group of the cluster is examined.
    let (kafka, guest, desk) = (&Kafka::start(), Guest::fast("rep-warn"), TestDesk::new("replay-warn"));
    let host = desk.start(kafka, &guest, &[]);
    kafka.produce(&guest.topic, [Record::new(body("x", "done", ""))]);
    eventually(BOUND, || kafka.lag(&guest.group, &guest.topic) == 0);
    let consumer: BaseConsumer = kafka.config("rep-billing").create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&guest.topic, 0, Offset::Offset(0)).expect("an offset");
    consumer.commit(&list, CommitMode::Sync).expect("committed");
    let mut dead_letters = all_done(&guest, 5);
    dead_letters[1].value_cut = Some(2_000_000);
    dead_letters[2].replays = 10;
    desk.ingest(&dead_letters);
    let replayer = replayer(&desk, kafka);
    let preview = |plan: &ReplayPlan| desk.runtime.block_on(replayer.preview(&Filter::default(), None, plan));
    let found = preview(&ReplayPlan::default()).expect("possible");
    assert_eq!(found.topics, [TopicShare { topic: guest.topic.clone(), dead_letters: 3 }]);
    let expected = [
        "left out: 1 dead letter already replayed 10 times or more".to_owned(),
        "left out: 1 dead letter whose value was cut: it exceeded the dead-letter topic's size limit"
            .to_owned(),
        format!(
            "group rep-billing also reads {} and will receive these messages again; --to retry sends them to {} only",
            guest.topic, guest.group
        ),
    ];
    assert_eq!(found.warnings, expected);
    let error = preview(&ReplayPlan { target: ReplayTarget::Retry, ..ReplayPlan::default() })
        .expect_err("no plugin here");
    assert!(error.to_string().contains("no plugin of this host handles"), "{error}");
    host.stop();
    // Dead letters of an active replay are left out of the next one.
    desk.replay(&ReplayPlan { rate: Some(0.001), ..ReplayPlan::default() });
    let found = preview(&ReplayPlan::default()).expect("possible");
    assert_eq!(found.dead_letters, 0);
    assert!(found.warnings[2].contains("3 dead letters in another replay"), "{:?}", found.warnings);
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
