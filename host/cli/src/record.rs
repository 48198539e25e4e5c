//! Records as text and as JSON.

use std::io::{self, Write};

use base::bytes::Bytes;
use base::text;
use kafka::header_value::{Header, header_json, header_text};
use kafka::raw;
use rdkafka::Timestamp;
use rdkafka::message::{BorrowedMessage, Message};
use serde::Serialize;
use serde_json::Value;

/// Writes partition, offset, timestamp, key and headers.
pub fn write_headers(out: &mut impl Write, message: &BorrowedMessage<'_>) -> io::Result<()> {
    let (partition, offset) = (message.partition(), message.offset());
    let timestamp = message.timestamp().to_millis().map_or_else(|| "-".to_owned(), text::utc);
    let key = message.key().map_or_else(|| "null".to_owned(), text::line);
    writeln!(out, "partition={partition} offset={offset} timestamp={timestamp} key={key}")?;
    for header in headers(message) {
        writeln!(out, "  {}: {}", text::line(header.name), header_text(&header))?;
    }
    Ok(())
}

/// Writes the value and a line feed. Control characters are escaped on a terminal only. A tombstone is `null`, as in
/// Kafka's own tools.
pub fn write_value(out: &mut impl Write, message: &BorrowedMessage<'_>, terminal: bool) -> io::Result<()> {
    match message.payload() {
        None => out.write_all(b"null")?,
        Some(value) if terminal => out.write_all(text::block(value).as_bytes())?,
        Some(value) => out.write_all(value)?,
    }
    out.write_all(b"\n")
}

fn headers<'m>(message: &'m BorrowedMessage<'_>) -> impl Iterator<Item = Header<'m>> {
    raw::headers(message).map(|(name, value)| Header { name, value })
}

/// A record for JSON. Bytes that are not UTF-8 become `{"hex": "…"}`.
#[derive(Serialize)]
pub struct Json<'m> {
    topic: &'m str,
    partition: i32,
    offset: i64,
    /// Milliseconds since the Unix epoch.
    timestamp: Option<i64>,
    timestamp_type: Option<&'static str>,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: Vec<JsonHeader>,
}

#[derive(Serialize)]
struct JsonHeader {
    name: Bytes,
    value: Value,
}

impl<'m> Json<'m> {
    /// Copies a record.
    pub fn of(message: &'m BorrowedMessage<'_>) -> Self {
        Self {
            topic: message.topic(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp: message.timestamp().to_millis(),
            timestamp_type: match message.timestamp() {
                Timestamp::NotAvailable => None,
                Timestamp::CreateTime(_) => Some("CreateTime"),
                Timestamp::LogAppendTime(_) => Some("LogAppendTime"),
            },
            key: message.key().map(bytes),
            value: message.payload().map(bytes),
            headers: headers(message)
                .map(|header| JsonHeader { name: bytes(header.name), value: header_json(&header) })
                .collect(),
        }
    }
}

fn bytes(bytes: &[u8]) -> Bytes {
    Bytes(bytes.to_vec())
}
