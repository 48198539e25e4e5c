//! Reads records from the log segments of the broker, byte for byte.
//!
//! Without a client, it also reads header names that clients cannot represent (invalid UTF-8, NUL), and works
//! on a stopped broker.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Kafka;
use crate::must;

/// The size of base offset and length, which the length does not include.
const BATCH_PREFIX: usize = 12;
/// The bound on retries while files are created and deleted.
const BOUND: Duration = Duration::from_secs(5);
const COMPRESSION: i16 = 0b111;
const CONTROL: i16 = 0b10_0000;

/// A record to publish, or a record that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// When publishing, a negative number leaves the choice to the partitioner.
    pub partition: i32,
    /// Set on reading.
    pub offset: i64,
    /// In milliseconds since the Unix epoch. When publishing, 0 means now and -1 none.
    pub timestamp_ms: i64,
    /// Any bytes, or null.
    pub key: Option<Vec<u8>>,
    /// Any bytes, or null: a tombstone.
    pub value: Option<Vec<u8>>,
    /// Names, which may be any bytes and repeat, and values, which may be null.
    pub headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Record {
    /// A record to publish: a value, no key, any partition.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..Self::tombstone() }
    }

    /// A tombstone to publish: no value, no key, any partition.
    pub fn tombstone() -> Self {
        Self { partition: -1, ..Self::default() }
    }

    /// With a key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<Vec<u8>>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    /// With one more header whose value is null.
    #[must_use]
    pub fn with_null_header(mut self, name: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), None));
        self
    }

    /// On this partition.
    #[must_use]
    pub fn on(mut self, partition: i32) -> Self {
        self.partition = partition;
        self
    }

    /// The value of the last header with this name, if it is not null.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let last = self.headers.iter().rfind(|(key, _)| key == name.as_bytes());
        last.and_then(|(_, value)| value.as_deref())
    }

    /// The value of the last header with this name, as text.
    pub fn header_text(&self, name: &str) -> Option<String> {
        self.header(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// The value as text, empty for a tombstone.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

impl Kafka {
    /// Every record of a topic that the broker has written, by partition and offset. It includes records of
    /// open and aborted transactions and excludes transaction markers. Empty for a missing topic.
    #[track_caller]
    pub fn read_all(&self, topic: &str) -> Vec<Record> {
        let data = self.dir().join("data");
        let end = Instant::now() + BOUND;
        let result = loop {
            match read_topic(&data, topic) {
                // The log cleaner or a deletion removed a file meanwhile.
                Err(error) if is_gone(&error) && Instant::now() < end => {}
                result => break result,
            }
        };
        must(result.with_context(|| format!("reading {topic}")))
    }
}

fn is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::NotFound)
}

fn read_topic(data: &Path, topic: &str) -> Result<Vec<Record>> {
    let mut partitions: Vec<(i32, PathBuf)> = Vec::new();
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // The directories of a deleted topic end in `-delete`, which does not parse as a number.
        if let Some((name, number)) = name.rsplit_once('-')
            && let (true, Ok(number)) = (name == topic, number.parse())
        {
            partitions.push((number, path.clone()));
        }
    }
    partitions.sort();
    let mut records = Vec::new();
    for (partition, dir) in partitions {
        let segments = segments(&dir)?;
        for segment in &segments {
            let bytes = fs::read(segment)?;
            read_segment(&bytes, partition, &mut records).with_context(|| segment.display().to_string())?;
        }
        if self::segments(&dir)? != segments {
            return Err(replaced().into());
        }
    }
    Ok(records)
}

/// The segments of a partition, in the order of their offsets. While the log cleaner replaces one, neither the
/// old nor the new file ends in `.log`.
fn segments(dir: &Path) -> Result<Vec<PathBuf>> {
    let files = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let has_kind = |path: &Path, kind: &str| path.extension().is_some_and(|found| found == kind);
    if files.iter().any(|path| has_kind(path, "swap")) {
        return Err(replaced().into());
    }
    let mut segments: Vec<_> = files.into_iter().filter(|path| has_kind(path, "log")).collect();
    // File names are first offsets, padded with zeros.
    segments.sort();
    Ok(segments)
}

fn replaced() -> io::Error {
    io::Error::new(ErrorKind::NotFound, "a segment is being replaced")
}

/// An incomplete batch ends the segment.
fn read_segment(mut bytes: &[u8], partition: i32, records: &mut Vec<Record>) -> Result<()> {
    while let Some(prefix) = bytes.get(..BATCH_PREFIX) {
        let mut prefix = Reader(prefix);
        let base = prefix.i64()?;
        let length = usize::try_from(prefix.i32()?).unwrap_or(0);
        let Some(batch) = bytes.get(BATCH_PREFIX..BATCH_PREFIX + length).filter(|batch| !batch.is_empty())
        else {
            break;
        };
        read_batch(batch, base, partition, records).with_context(|| format!("the batch at offset {base}"))?;
        bytes = &bytes[BATCH_PREFIX + length..];
    }
    Ok(())
}

/// Format version 2: <https://kafka.apache.org/documentation/#recordbatch>.
fn read_batch(batch: &[u8], base: i64, partition: i32, records: &mut Vec<Record>) -> Result<()> {
    let mut batch = Reader(batch);
    let _leader_epoch = batch.i32()?;
    let magic = batch.take(1)?;
    ensure!(magic == [2], "the format is version {magic:?}, not 2");
    let _checksum = batch.i32()?;
    let attributes = batch.i16()?;
    ensure!(
        attributes & COMPRESSION == 0,
        "the batch is compressed; set compression.type=uncompressed on the topic"
    );
    let _last_offset_delta = batch.i32()?;
    let first_timestamp = batch.i64()?;
    let _largest_timestamp_and_producer = batch.take(8 + 8 + 2 + 4)?;
    let count = batch.i32()?;
    for _ in 0..count {
        let length = batch.length()?.context("a record without a length")?;
        let mut record = Reader(batch.take(length)?);
        let _attributes = record.take(1)?;
        let timestamp_ms = first_timestamp + record.varint()?;
        let offset = base + record.varint()?;
        let (key, value) = (record.bytes()?, record.bytes()?);
        let mut headers = Vec::new();
        for _ in 0..record.varint()? {
            headers.push((record.bytes()?.context("a header without a name")?, record.bytes()?));
        }
        if attributes & CONTROL == 0 {
            records.push(Record { partition, offset, timestamp_ms, key, value, headers });
        }
    }
    Ok(())
}

/// Reads big-endian numbers, zigzag varints and byte strings.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).context("the batch ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into()?))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }

    fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.take(8)?.try_into()?))
    }

    fn varint(&mut self) -> Result<i64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// -1 is null.
    fn length(&mut self) -> Result<Option<usize>> {
        Ok(usize::try_from(self.varint()?).ok())
    }

    fn bytes(&mut self) -> Result<Option<Vec<u8>>> {
        self.length()?.map(|length| Ok(self.take(length)?.to_vec())).transpose()
    }
}
