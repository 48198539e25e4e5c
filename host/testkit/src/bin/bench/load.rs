//! `bench load`: publishes messages in the format of the producer, evenly over the partitions of a topic.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

const BOUND: Duration = Duration::from_secs(120);

/// Arguments of `bench load`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Kafka brokers, comma-separated
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:9092")]
    pub bootstrap_servers: String,
    /// The topic; it must exist
    #[arg(long, default_value = "parse")]
    pub topic: String,
    /// Number of messages
    #[arg(long, default_value_t = 1_000_000)]
    pub messages: u64,
    /// Leave out the `host-id` header
    #[arg(long)]
    pub no_headers: bool,
}

/// Publishes the messages and waits for all acknowledgements.
pub fn run(args: &Args) -> Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &args.bootstrap_servers);
    config.set("linger.ms", "50").set("batch.num.messages", "100000").set("batch.size", "65536");
    config.set("queue.buffering.max.messages", "200000").set("delivery.report.only.error", "true");
    let producer: BaseProducer = config.create()?;
    let partitions = partitions(&producer, &args.topic)?;
    let start = Instant::now();
    for number in 0..args.messages {
        let partition = i32::try_from(number % partitions)?;
        send(&producer, args, partition, number)?;
    }
    producer.flush(BOUND)?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{} messages of about 200 bytes on {} partitions in {seconds:.1} s", args.messages, partitions);
    Ok(())
}

fn partitions(producer: &BaseProducer, topic: &str) -> Result<u64> {
    let metadata = producer.client().fetch_metadata(Some(topic), BOUND)?;
    let found = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    ensure!(found > 0, "topic {topic} does not exist: create it first");
    Ok(found as u64)
}

fn send(producer: &BaseProducer, args: &Args, partition: i32, number: u64) -> Result<()> {
    let value = payload(number);
    let mut record: BaseRecord<'_, [u8], str> =
        BaseRecord::to(&args.topic).partition(partition).payload(&value);
    if !args.no_headers {
        let id = format!("01920000-0000-7000-8000-{number:012x}");
        record = record
            .headers(OwnedHeaders::new_with_capacity(1).insert(Header { key: "host-id", value: Some(&id) }));
    }
    loop {
        match producer.send(record) {
            Ok(()) => break,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                record = refused;
                producer.poll(Duration::from_millis(5));
            }
            Err((error, _)) => return Err(error).context("publishing"),
        }
    }
    if number.is_multiple_of(1024) {
        producer.poll(Duration::ZERO);
    }
    Ok(())
}

fn payload(number: u64) -> String {
    format!(
        "{{\"from\":\"sender{:07}@example.com\",\"to\":\"receiver{number:07}@example.org\",\
         \"subject\":\"테스트 제목 {number:07}\",\
         \"body\":\"okay 테스트 내용 번호 {number:07} lorem ipsum dolor sit amet\"}}",
        number % 10_000
    )
}
