//! Letters that are sent back: to their topic or to the group's retry topic, in steps, and no faster than asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base::bytes::Bytes;
use desk::actions::{By, Edited};
use desk::jobs::{Job, JobState, Plan, Target};
use desk::letter::{self, Place};
use desk::replay::{Replayer, TopicShare};
use desk::{At, Desk, Filter, Letter, State};
use kafka::publisher::Publisher;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::topic_partition_list::Offset;
use settings::KafkaArgs;
use store::{Store, StoreUrl};
use testkit::{Kafka, Postgres, Record, eventually};
use tokio::runtime::Runtime;

use crate::support::{BOUND, Guest, Host, attempts, big_endian, body, deliveries, file};

/// How soon a host that was killed is missed.
const SESSION: [&str; 2] = ["-X", "session.timeout.ms=6000"];
/// How soon a pause or a cancel takes effect.
const SOON: Duration = Duration::from_secs(1);

/// The desk of a running host, from beside it.
pub struct Office {
    runtime: Runtime,
    desk: Desk,
    store: String,
}

impl Office {
    /// In a store of the test's own.
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

    pub fn take_in(&self, letters: &[Letter]) {
        let new = self.runtime.block_on(self.desk.take_in(letters)).expect("a store");
        assert_eq!(new.len(), letters.len());
    }

    /// Waits until the host has taken in this letter.
    pub fn wait_for(&self, letter: &Letter) {
        let is_there = || self.runtime.block_on(self.desk.letter(&letter.id)).expect("a store").is_some();
        eventually(BOUND, is_there);
    }

    pub fn replay(&self, plan: &Plan) -> Job {
        let started = self.runtime.block_on(self.desk.start_job(&Filter::default(), plan, by()));
        started.expect("a store").expect("letters")
    }

    fn job(&self, id: &str) -> Job {
        self.runtime.block_on(self.desk.job(id)).expect("a store").expect("a job")
    }

    /// Waits until it is as wanted.
    #[track_caller]
    fn wait(&self, id: &str, wanted: impl Fn(&Job) -> bool) -> Job {
        let end = Instant::now() + BOUND;
        loop {
            let job = self.job(id);
            if wanted(&job) {
                return job;
            }
            assert!(Instant::now() < end, "not so in {BOUND:?}: {job:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[track_caller]
    pub fn wait_done(&self, id: &str) -> Job {
        self.wait(id, |job| job.state == JobState::Done)
    }

    fn count(&self, state: State) -> u64 {
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

fn by() -> By<'static> {
    By { who: "kim", reason: "mended", now_ms: now_ms() }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("before the year 292 million")
}

/// What the desk makes of a record of the dead-letter topic.
pub fn taken(guest: &Guest, record: &Record) -> Letter {
    let place = Place { topic: guest.dead.clone(), partition: record.partition, offset: record.offset };
    let Record { timestamp_ms, key, value, headers, .. } = record.clone();
    Letter::read(letter::Record { place, timestamp_ms, key, value, headers }, now_ms())
}

/// A dead letter of the guest's whose message was the `number`th one of the source's partition.
fn crafted(guest: &Guest, number: i64, value: String) -> Letter {
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

fn all_done(guest: &Guest, count: usize) -> Vec<Letter> {
    (0..count).map(|number| crafted(guest, number as i64, body(&number.to_string(), "done", ""))).collect()
}

type Headers<'a> = Vec<(&'a [u8], Option<&'a [u8]>)>;

fn headers(record: &Record) -> Headers<'_> {
    record.headers.iter().map(|(name, value)| (&name[..], value.as_deref())).collect()
}

#[test]
fn a_letter_goes_back_to_its_topic_byte_for_byte() {
    let (kafka, guest, office) = (Kafka::shared(), Guest::fast("rep-source"), Office::new("replay-source"));
    kafka.create_topic(&guest.topic, 3, &[]);
    let host = office.start(kafka, &guest, &[]);
    let sent = Record::new(body("back", "reject", ""))
        .with_key([0, 255, 1])
        .with_header(b"\xff\0name", [0, 1, 255])
        .with_null_header("twice")
        .with_header("twice", "x")
        .on(2);
    kafka.produce(&guest.topic, [sent.clone()]);
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 1);
    office.wait_for(&taken(&guest, &kafka.read_all(&guest.dead)[0]));
    let job = office.replay(&Plan::default());
    // It is rejected again.
    let job = office.wait_done(&job.id);
    assert_eq!((job.letters, job.failed, job.done, job.steps), (1, 1, 0, 1));
    assert_eq!(job.why, "1 of 1 failed, more than 50 %");
    let records = kafka.read_all(&guest.topic);
    let [original, back] = &records[..] else { panic!("{records:?}") };
    assert_eq!((&back.key, &back.value, back.partition), (&sent.key, &sent.value, 2));
    let id = format!("{}/2/{}/{}", guest.topic, original.offset, original.timestamp_ms);
    let tag = format!("{}/1", job.id);
    let mut expected = headers(original);
    expected.extend([
        (&b"host-id"[..], Some(id.as_bytes())),
        (b"host-replays", Some(b"1")),
        (b"host-replay", Some(tag.as_bytes())),
    ]);
    assert_eq!(headers(back), expected);
    let letters = office.runtime.block_on(office.desk.job_letters(&job.id, None, 0, 10)).expect("a store");
    assert_eq!(letters.len(), 1);
    let place = (letters[0].topic.as_deref(), letters[0].partition, letters[0].offset);
    assert_eq!(place, (Some(&guest.topic[..]), Some(2), Some(back.offset)));
    // The letter says so, and who did it.
    let actions = office.desk.actions(Some(&letters[0].letter), &At::First, 10);
    let actions = office.runtime.block_on(actions).expect("a store").items;
    assert_eq!((&actions[0].what[..], &actions[0].who[..]), ("replay", "kim"));
    assert_eq!((office.count(State::Replayed), actions.len()), (1, 1));
    // It is the same message for the plugin, and a letter again that was replayed once.
    eventually(BOUND, || kafka.read_all(&guest.dead).len() == 2);
    let again = kafka
        .read_all(&guest.dead)
        .iter()
        .map(|record| taken(&guest, record))
        .max_by_key(|letter| letter.replays);
    let again = again.expect("two letters");
    assert_eq!((again.replays, &again.message, &again.source.topic), (1, &id, &guest.topic));
    let same = format!("message={id}");
    assert_eq!(host.process.count(|line| line.contains(&same)), 2);
    office.wait_for(&again);
    let job = office.replay(&Plan { most_replays: 2, ..Plan::default() });
    office.wait_done(&job.id);
    let third = kafka.read_all(&guest.topic).into_iter().max_by_key(|record| record.offset).expect("records");
    assert_eq!(third.header_text("host-replays").as_deref(), Some("2"));
    assert_eq!(third.headers.len(), back.headers.len());
    assert_eq!(third.header_text("host-id"), Some(id));
    host.stop();
}

#[test]
fn a_letter_goes_to_the_first_retry_topic_and_begins_anew() {
    let (kafka, guest, office) = (Kafka::shared(), Guest::fast("rep-retry"), Office::new("replay-retry"));
    let host = office.start(kafka, &guest, &[]);
    kafka.produce(&guest.topic, [Record::new(body("x", "reject", r#","until":0"#))]);
    let letter = crafted(&guest, 7, body("again", "retry", r#","until":1"#));
    office.take_in(std::slice::from_ref(&letter));
    let job = office.replay(&Plan { target: Target::Retry, ..Plan::default() });
    // Its first try fails, its second does not.
    let job = office.wait_done(&job.id);
    assert_eq!((job.failed, job.done), (1, 0));
    eventually(BOUND, || host.handled("again") == 2);
    guest.settle(kafka);
    assert_eq!(kafka.read_all(&guest.topic).len(), 1, "it went to its topic");
    let first = kafka.read_all(&guest.retry_topics[0]);
    let record = first.first().expect("a record");
    assert_eq!(record.value, letter.value.as_ref().map(|value| value.0.clone()));
    let names: Vec<String> =
        record.headers.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();
    assert_eq!(names[..3], ["host-id", "host-replays", "host-replay"]);
    assert_eq!(record.header_text("kafka_original-topic"), Some(guest.topic.clone()));
    assert_eq!(record.header_text("kafka_dlt-original-consumer-group"), Some(guest.group.clone()));
    assert_eq!(big_endian(record, "kafka_original-offset"), 7);
    assert_eq!(big_endian(record, "retry_topic-attempts"), 1);
    assert!(big_endian(record, "retry_topic-backoff-timestamp") <= now_ms());
    let message = letter.message.clone();
    assert_eq!(record.header_text("host-id").as_deref(), Some(&message[..]));
    let lines = host.stop();
    assert_eq!(attempts(&deliveries(&lines), "again"), [1, 2]);
    assert_eq!(lines.iter().filter(|line| line.contains(&format!("message={message}"))).count(), 2);
}

#[test]
fn an_edited_letter_is_a_message_of_its_own() {
    let (kafka, guest, office) = (Kafka::shared(), Guest::fast("rep-edit"), Office::new("replay-edit"));
    let host = office.start(kafka, &guest, &[]);
    let original = crafted(&guest, 1, body("wrong", "reject", ""));
    office.take_in(std::slice::from_ref(&original));
    let edited = Edited {
        key: None,
        value: Some(Bytes(body("right", "done", "").into_bytes())),
        headers: vec![
            (Bytes(b"a".to_vec()), None),
            (Bytes(b"host-id".to_vec()), Some(Bytes(b"forged".to_vec()))),
        ],
    };
    let copy = office.runtime.block_on(office.desk.edit(&original, edited, by())).expect("a store");
    let one = Filter { ids: vec![copy.id.clone()], ..Filter::default() };
    let job = office.runtime.block_on(office.desk.start_job(&one, &Plan::default(), by()));
    let job = office.wait_done(&job.expect("a store").expect("a letter").id);
    assert_eq!((job.letters, job.done), (1, 1));
    let records = kafka.read_all(&guest.topic);
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].text(), records[0].key.clone()), (body("right", "done", ""), None));
    let ids: Vec<_> = headers(&records[0]).into_iter().filter(|(name, _)| *name == b"host-id").collect();
    assert_eq!(ids, [(&b"host-id"[..], Some(copy.message.as_bytes()))]);
    assert_eq!((office.count(State::Open), office.count(State::Replayed)), (1, 1));
    host.stop();
}

#[test]
fn a_step_that_fails_too_much_stops_the_job() {
    let (kafka, guest, office) = (Kafka::shared(), Guest::fast("rep-ramp"), Office::new("replay-ramp"));
    let host = office.start(kafka, &guest, &[]);
    let letter = |number: i64| {
        let action = if [4, 6].contains(&number) { "reject" } else { "done" };
        crafted(&guest, number, body(&number.to_string(), action, ""))
    };
    office.take_in(&(1..=30).map(letter).collect::<Vec<_>>());
    let plan = Plan { ramp: vec![1, 2, 5, 20], limit_percent: 25, ..Plan::default() };
    let job = office.replay(&plan);
    let stopped = office.wait(&job.id, |job| job.state == JobState::Stopped);
    assert_eq!(stopped.why, "2 of 5 failed, more than 25 %");
    assert_eq!((stopped.stepped, stopped.steps, stopped.waiting), (8, 3, 22));
    assert_eq!((stopped.done, stopped.failed, stopped.sent), (6, 2, 0));
    std::thread::sleep(SOON);
    assert_eq!(kafka.read_all(&guest.topic).len(), 8, "it went on");
    // The two that failed are letters again.
    eventually(BOUND, || office.count(State::Open) == 24);
    office.runtime.block_on(office.desk.resume_job(&job.id, by())).expect("resumed");
    let done = office.wait_done(&job.id);
    assert_eq!((done.done, done.failed, done.steps, done.stepped), (28, 2, 5, 30));
    let mut positions: Vec<String> =
        kafka.read_all(&guest.topic).iter().filter_map(|record| record.header_text("host-replay")).collect();
    positions.sort();
    positions.dedup();
    assert_eq!(positions.len(), 30);
    host.stop();
}

/// How many records there are on the source topic at most, given when the job began to send.
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
fn a_job_is_never_faster_than_its_rate_and_can_be_paused_and_cancelled() {
    const RATE: f64 = 40.0;
    let (kafka, guest, office) = (Kafka::shared(), Guest::fast("rep-rate"), Office::new("replay-rate"));
    let host = office.start(kafka, &guest, &[]);
    office.take_in(&all_done(&guest, 2000));
    let sent = || kafka.read_all(&guest.topic).len();
    let mut begins = vec![now_ms()];
    let job = office.replay(&Plan { rate: Some(RATE), ramp: vec![10, 30], ..Plan::default() });
    eventually(BOUND, || sent() >= 60);
    office.runtime.block_on(office.desk.pause_job(&job.id, by())).expect("paused");
    std::thread::sleep(SOON);
    let paused = sent();
    std::thread::sleep(2 * SOON);
    assert_eq!(sent(), paused, "a paused job goes on");
    begins.push(now_ms());
    office.runtime.block_on(office.desk.resume_job(&job.id, by())).expect("resumed");
    eventually(BOUND, || sent() >= paused + 60);
    office.runtime.block_on(office.desk.cancel_job(&job.id, by())).expect("cancelled");
    std::thread::sleep(SOON);
    let cancelled = sent();
    std::thread::sleep(2 * SOON);
    assert_eq!(sent(), cancelled, "a cancelled job goes on");
    assert_rate(kafka, &guest, &begins, RATE);
    // What was sent has its outcome, what was not is open, and neither is lost.
    let job = office.wait(&job.id, |job| job.sent == 0);
    assert_eq!(
        (job.state, job.done, job.waiting),
        (JobState::Cancelled, cancelled as u64, 2000 - cancelled as u64)
    );
    assert_eq!((office.count(State::Replayed), office.count(State::Open)), (job.done, job.waiting));
    // A new job takes the rest, and nothing twice.
    let rest = office.replay(&Plan::default());
    let rest = office.wait_done(&rest.id);
    assert_eq!((rest.letters, rest.done), (job.waiting, job.waiting));
    assert_eq!(sent(), 2000);
    let lines = host.stop();
    let all = deliveries(&lines);
    assert!((0..2000).all(|id| attempts(&all, &id.to_string()) == [1]));
}

#[test]
fn what_cannot_be_sent_stays_open_and_says_why() {
    let (kafka, guest, office) = (Kafka::shared(), Guest::fast("rep-gone"), Office::new("replay-gone"));
    let host = office.start(kafka, &guest, &[]);
    let stray = Letter {
        source: Place { topic: "nowhere.at.all".to_owned(), ..crafted(&guest, 1, String::new()).source },
        ..crafted(&guest, 1, String::new())
    };
    let bad = Letter {
        source: Place { topic: "no topic\0".replace('\0', "\u{fffd}"), ..stray.source.clone() },
        ..crafted(&guest, 2, String::new())
    };
    let good = crafted(&guest, 3, body("good", "done", ""));
    let late = crafted(&guest, 4, body("late", "done", ""));
    office.take_in(&[stray.clone(), bad.clone(), good, late.clone()]);
    let job = office.replay(&Plan { rate: Some(2.0), ramp: vec![1], ..Plan::default() });
    // Somebody gives it up before its turn.
    let one = Filter { ids: vec![late.id.clone()], ..Filter::default() };
    assert_eq!(office.runtime.block_on(office.desk.discard(&one, by())).expect("a store"), 1);
    let job = office.wait_done(&job.id);
    assert_eq!((job.done, job.gone, job.failed, job.unknown), (1, 3, 0, 0));
    let gone =
        office.runtime.block_on(office.desk.job_letters(&job.id, Some("gone"), 0, 10)).expect("a store");
    let why = |letter: &Letter| {
        let found = gone.iter().find(|gone| gone.letter == letter.id).and_then(|gone| gone.why.clone());
        found.unwrap_or_default()
    };
    assert_eq!(why(&stray), "there is no topic nowhere.at.all");
    assert!(why(&bad).contains("there is no topic"), "{}", why(&bad));
    assert_eq!(why(&late), "it is discarded");
    assert_eq!((office.count(State::Open), office.count(State::Discarded)), (2, 1));
    assert!(kafka.read_all("nowhere.at.all").is_empty());
    host.stop();
}

#[test]
fn only_the_record_that_was_published_tells_the_outcome() {
    let (kafka, guest, office) = (Kafka::shared(), Guest::fast("rep-forge"), Office::new("replay-forge"));
    let host = office.start(kafka, &guest, &[]);
    office.take_in(&[crafted(&guest, 1, body("slow", "sleep", r#","ms":4000"#))]);
    let job = office.replay(&Plan::default());
    office.wait(&job.id, |job| job.sent == 1);
    let forged = |tag: String| Record::new(body("forged", "reject", "")).with_header("host-replay", tag);
    let unknown = "0".repeat(32);
    kafka.produce(
        &guest.topic,
        [format!("{}/1", job.id), format!("{}/2", job.id), format!("{unknown}/1"), "x".to_owned()]
            .map(forged),
    );
    eventually(BOUND, || host.handled("forged") == 4);
    let job = office.wait_done(&job.id);
    assert_eq!((job.done, job.failed, job.unknown), (1, 0, 0));
    host.stop();
}

#[test]
fn another_host_goes_on_where_one_is_killed() {
    const COUNT: usize = 200;
    let (kafka, guest, postgres) = (Kafka::shared(), Guest::fast("rep-two"), Postgres::start());
    kafka.create_topic(&guest.topic, 2, &[]);
    let office = Office::of(postgres.url());
    let mut hosts = vec![office.start(kafka, &guest, &[]), office.start(kafka, &guest, &[])];
    office.take_in(&all_done(&guest, COUNT));
    let job = office.replay(&Plan { rate: Some(40.0), ramp: vec![5, 50], ..Plan::default() });
    let works = |host: &Host| host.process.count(|line| line.contains("a replay goes on")) > 0;
    eventually(BOUND, || kafka.read_all(&guest.topic).len() >= 60);
    let at_work: Vec<usize> = (0..2).filter(|host| works(&hosts[*host])).collect();
    assert_eq!(at_work.len(), 1, "one of them works on it");
    hosts.remove(at_work[0]).process.kill();
    let job = office.wait(&job.id, |job| job.state == JobState::Done);
    assert!(works(&hosts[0]), "nobody took over");
    assert_eq!(job.done + job.unknown, COUNT as u64, "{job:?}");
    let mut ids: Vec<_> =
        kafka.read_all(&guest.topic).iter().filter_map(|record| record.header_text("host-id")).collect();
    let sent = ids.len();
    ids.sort();
    ids.dedup();
    // What was on its way when it was killed is sent again: half a second's worth at most.
    assert!(ids.len() == COUNT && sent - COUNT <= 20, "{} of {COUNT}, {sent} sent", ids.len());
    hosts.remove(0).stop();
}

/// One of the test's own, to ask.
fn replayer(office: &Office, kafka: &Kafka) -> Replayer {
    let args = KafkaArgs {
        bootstrap_servers: kafka.bootstrap().to_owned(),
        properties: Vec::new(),
        environment_properties: Vec::new(),
        file_properties: Vec::new(),
    };
    let publisher = Arc::new(Publisher::new(&args).expect("a producer"));
    Replayer::new(office.desk.clone(), args, publisher, Vec::new())
}

#[test]
fn other_groups_that_read_the_topic_are_named() {
    // Of its own: every group is asked.
    let (kafka, guest, office) = (&Kafka::start(), Guest::fast("rep-warn"), Office::new("replay-warn"));
    let host = office.start(kafka, &guest, &[]);
    kafka.produce(&guest.topic, [Record::new(body("x", "done", ""))]);
    eventually(BOUND, || kafka.lag(&guest.group, &guest.topic) == 0);
    let consumer: BaseConsumer = kafka.config("rep-billing").create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&guest.topic, 0, Offset::Offset(0)).expect("an offset");
    consumer.commit(&list, CommitMode::Sync).expect("committed");
    let mut letters = all_done(&guest, 5);
    letters[1].value_cut = Some(2_000_000);
    letters[2].replays = 10;
    office.take_in(&letters);
    let replayer = replayer(&office, kafka);
    let check = |plan: &Plan| office.runtime.block_on(replayer.check(&Filter::default(), None, plan));
    let checked = check(&Plan::default()).expect("possible");
    assert_eq!(checked.topics, [TopicShare { topic: guest.topic.clone(), letters: 3 }]);
    let expected = [
        "left out: 1 letter, replayed 10 times before, or more often".to_owned(),
        "left out: 1 letter, with no value any more: the dead-letter topic refused it for its size"
            .to_owned(),
        format!(
            "group rep-billing reads {} as well: it will get these messages again; --to retry sends them to {} alone",
            guest.topic, guest.group
        ),
    ];
    assert_eq!(checked.warnings, expected);
    let told = check(&Plan { target: Target::Retry, ..Plan::default() }).expect_err("no plugin here");
    assert!(told.to_string().contains("no plugin of this host handles"), "{told}");
    host.stop();
    // What a job has is left out of the next.
    office.replay(&Plan { rate: Some(0.001), ..Plan::default() });
    let checked = check(&Plan::default()).expect("possible");
    assert_eq!(checked.letters, 0);
    assert!(checked.warnings[2].contains("3 letters, in another job"), "{:?}", checked.warnings);
}

#[test]
fn where_messages_are_tried_again_in_their_place_there_is_no_retry_topic() {
    let (kafka, guest, office) = (Kafka::shared(), Guest::fast("rep-order"), Office::new("replay-order"));
    let text = format!(
        "[[plugin]]\npath = \"{}\"\ntopic = \"{}\"\nordering = \"key\"\n",
        guest.path.display(),
        guest.topic
    );
    let path = file("replay-order.toml", text.as_bytes());
    let config: &Path = &path;
    let args = ["--bootstrap-servers", kafka.bootstrap(), "--config", config.to_str().expect("UTF-8")];
    let host = Host::run(&[&args[..], &["--store", &office.store]].concat(), &[]);
    office.take_in(&[crafted(&guest, 1, body("kept", "done", ""))]);
    let job = office.replay(&Plan { target: Target::Retry, ..Plan::default() });
    let waits = office.wait(&job.id, |job| !job.why.is_empty());
    assert!(waits.why.contains("again in their place"), "{}", waits.why);
    assert_eq!((waits.state, waits.waiting), (JobState::Running, 1));
    office.runtime.block_on(office.desk.cancel_job(&job.id, by())).expect("cancelled");
    // In order, too, its first try counts.
    office.take_in(&[crafted(&guest, 2, body("twice", "retry", r#","until":1"#))]);
    let job = office.replay(&Plan::default());
    let job = office.wait_done(&job.id);
    assert_eq!((job.letters, job.done, job.failed), (2, 1, 1));
    eventually(BOUND, || host.handled("twice") == 2);
    host.stop();
}
