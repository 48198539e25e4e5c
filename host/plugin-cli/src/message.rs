//! Messages as JSON, in the format of `host consume -o json`.

use std::io::Read;

use base::error::UserError;
use base::text;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use consumer::dry_run::Input;
use consumer::subscription::Subscription;
use kafka::header_value::number_bytes;
use kafka::headers::{Origin, RetryInfo};
use kafka::raw::TimestampType;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct Json {
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
    timestamp: Option<i64>,
    /// Not passed to plugins.
    #[serde(rename = "timestamp_type")]
    _timestamp_type: Option<String>,
    key: Value,
    value: Value,
    headers: Vec<JsonHeader>,
    attempt: Option<u32>,
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonHeader {
    name: Value,
    #[serde(default)]
    value: Value,
}

/// Reads messages as they arrive. Errors name the source `place`.
pub fn messages(
    source: impl Read,
    place: &str,
    subscription: &Subscription,
) -> impl Iterator<Item = Result<Input, UserError>> {
    let values = serde_json::Deserializer::from_reader(source).into_iter::<Value>();
    values.zip(1_u64..).map(move |(value, number)| {
        let error = |problem: String| UserError::usage(format!("{place}: message {number}: {problem}"));
        let value = value.map_err(|cause| {
            error(format!("not JSON: {cause}"))
                .help("write one JSON object per line, in the format of `host consume -o json`")
        })?;
        read(value, subscription).map_err(|problem| match settings::nearest(&problem) {
            Some(name) => error(problem).help(format!("did you mean {name}?")),
            None => error(problem).help("the fields of a message: docs/guides/testing-a-plugin.md"),
        })
    })
}

/// Reads a message.
///
/// # Errors
/// The problem with it.
pub fn read(value: Value, subscription: &Subscription) -> Result<Input, String> {
    if !value.is_object() {
        return Err("a message is a JSON object, such as {\"value\": \"text\"}".to_owned());
    }
    let json: Json = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let attempt = json.attempt.filter(|attempt| (1..=32_767).contains(attempt));
    if json.attempt != attempt {
        return Err("attempt must be from 1 to 32767".to_owned());
    }
    let (partition, offset) = (json.partition.unwrap_or(0), json.offset.unwrap_or(0));
    if partition < 0 || offset < 0 {
        return Err("partition and offset must not be negative".to_owned());
    }
    let headers = json.headers.into_iter().map(header).collect::<Result<_, _>>()?;
    let mut input = Input {
        id: json.id,
        topic: json.topic.unwrap_or_else(|| subscription.topic.clone()),
        partition,
        offset,
        timestamp: json.timestamp.filter(|millis| *millis >= 0),
        key: bytes("key", json.key)?,
        value: bytes("value", json.value)?,
        headers,
        attempt: 1,
    };
    restore(&mut input, subscription);
    input.attempt = attempt.unwrap_or(input.attempt);
    Ok(input)
}

/// Restores the original message from a record of the plugin's own retry or dead-letter topic, as the host does. A
/// dead letter starts with attempt 1, as in a replay.
fn restore(input: &mut Input, subscription: &Subscription) {
    let is_dead = input.topic == subscription.dead_letter_topic;
    if !is_dead && !subscription.retry_topics().contains(&input.topic) {
        return;
    }
    let retry_info =
        RetryInfo::read_from(input.headers.iter().map(|(name, value)| (&**name, value.as_deref())));
    if retry_info.group.as_deref() != Some(subscription.group.as_bytes()) {
        return;
    }
    let timestamp = input.timestamp.map(|millis| (millis, TimestampType::CreateTime));
    let here = Origin { topic: &input.topic, partition: input.partition, offset: input.offset, timestamp };
    let Origin { topic, partition, offset, timestamp } = retry_info.origin(&here);
    let (topic, timestamp) = (topic.to_owned(), timestamp.map(|(millis, _)| millis));
    (input.topic, input.partition, input.offset, input.timestamp) = (topic, partition, offset, timestamp);
    let mut index = 0..;
    input.headers.retain(|_| index.next().is_none_or(|index| !retry_info.owns(index)));
    input.attempt = if is_dead { 1 } else { retry_info.attempt };
}

fn header(JsonHeader { name, value }: JsonHeader) -> Result<(Vec<u8>, Option<Vec<u8>>), String> {
    let name = match name {
        Value::String(_) | Value::Object(_) => bytes("a header's name", name)?,
        _ => None,
    };
    let name = name.ok_or("a header's name must be a text")?;
    let place = format!("the header {}", text::line(&name));
    let value = match &value {
        Value::Number(number) => {
            let number = number.as_i64().and_then(|number| number_bytes(&name, number));
            Some(number.ok_or_else(|| format!("{place} has a number as its value; write it as a text"))?)
        }
        _ => bytes(&place, value)?,
    };
    Ok((name, value))
}

/// The bytes of `{"base64": …}`, `{"hex": …}` and strings; None for null. Other values are JSON text.
fn bytes(place: &str, value: Value) -> Result<Option<Vec<u8>>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.into_bytes())),
        Value::Object(map) if encoded(&map).is_some() => {
            let (name, text) = encoded(&map).unwrap_or_default();
            let decoded = match name {
                "hex" => hex::decode(text).ok(),
                _ => BASE64_STANDARD.decode(text).ok(),
            };
            decoded.map(Some).ok_or_else(|| format!("{place}: not valid {name}"))
        }
        other => Ok(Some(other.to_string().into_bytes())),
    }
}

fn encoded(map: &Map<String, Value>) -> Option<(&str, &str)> {
    let mut entries = map.iter();
    let (name, value) = entries.next().filter(|(name, _)| matches!(name.as_str(), "hex" | "base64"))?;
    entries.next().is_none().then_some((name, value.as_str()?))
}

#[cfg(test)]
mod tests {
    use contract::{RetryPolicy, Subscription as Described};

    use super::*;

    fn subscription() -> Subscription {
        let retry = RetryPolicy {
            retries: 2,
            delay_ms: 500,
            multiplier: 2.0,
            max_delay_ms: 3_600_000,
            jitter: 0.0,
            max_age_ms: 86_400_000,
        };
        let (topic, group, dead_letter_topic) = ("t".into(), "g".into(), "t.dlt".into());
        Subscription::new(Described { topic, group, dead_letter_topic, retry }, None).expect("possible")
    }

    fn all(text: &str) -> Vec<Result<Input, String>> {
        let own = subscription();
        let read = messages(text.as_bytes(), "m.json", &own);
        read.map(|input| input.map_err(|failure| failure.to_string())).collect()
    }

    #[track_caller]
    fn one(text: &str) -> Input {
        let [input] = <[_; 1]>::try_from(all(text)).expect("one message");
        input.expect(text)
    }

    #[test]
    fn the_plugin_has_the_defaults() {
        let input = one("{}");
        assert_eq!((input.topic.as_str(), input.partition, input.offset, input.attempt), ("t", 0, 0, 1));
        assert_eq!((input.value.as_ref(), input.id().as_str()), (None, "t/0/0/-1"));
        let input = one(r#"{"topic":"x","partition":2,"offset":3,"timestamp":4,"attempt":5}"#);
        assert_eq!((input.attempt, input.id().as_str()), (5, "x/2/3/4"));
        assert_eq!(one(r#"{"id":"mine"}"#).id(), "mine");
        assert_eq!(one(r#"{"headers":[{"name":"host-id","value":"its"}]}"#).id(), "its");
    }

    #[test]
    fn a_value_is_text_json_or_bytes() {
        let value = |text: &str| one(&format!(r#"{{"value":{text}}}"#)).value;
        assert_eq!(value(r#""a\nb""#), Some(b"a\nb".to_vec()));
        assert_eq!(value(r#"{"a": 1}"#), Some(br#"{"a":1}"#.to_vec()));
        assert_eq!(value(r#"{"base64": "/wA="}"#), Some(vec![0xff, 0]));
        assert_eq!(value(r#"{"hex": "ff0a"}"#), Some(vec![0xff, 0x0a]));
        assert_eq!(value(r#"{"hex": "ff", "more": 1}"#), Some(br#"{"hex":"ff","more":1}"#.to_vec()));
        assert_eq!(value("[1]"), Some(b"[1]".to_vec()));
        assert_eq!(value("null"), None);
    }

    #[test]
    fn errors_name_the_message_and_the_nearest_name() {
        for (text, what) in [
            (r#"{"valu":1}"#, "did you mean value?"),
            (r#"{"headers":[{"nam":"x"}]}"#, "did you mean name?"),
            (r#"{"headers":[{"name":"x","value":5}]}"#, "the header x has a number"),
            (r#"{"headers":[{"name":5}]}"#, "a header's name must be a text"),
            (r#"{"attempt":0}"#, "attempt must be"),
            (r#"{"offset":-1}"#, "must not be negative"),
            (r#"{"value":{"base64":"?"}}"#, "value: not valid base64"),
            (r#"{"key":{"hex":"f"}}"#, "key: not valid hex"),
            (r#"{"topic":5}"#, "expected a string"),
            (r#"[{}]"#, "a message is a JSON object"),
            ("{", "not JSON"),
        ] {
            let error = all(text).pop().expect("a message").expect_err(text);
            assert!(error.contains(what) && error.starts_with("m.json: message 1: "), "{error}");
        }
        let read = all("{} {}\n{\"x\":1}");
        assert!(read.len() == 3 && read[2].as_ref().is_err_and(|error| error.contains("message 3")));
    }

    #[test]
    fn a_record_of_its_own_topics_becomes_the_original_message() {
        let block = r#"{"name":"mine","value":"x"},{"name":"kafka_original-topic","value":"t"},
            {"name":"kafka_original-partition","value":1},{"name":"kafka_original-offset","value":7},
            {"name":"kafka_original-timestamp","value":1000},{"name":"retry_topic-attempts","value":3},
            {"name":"kafka_dlt-original-consumer-group","value":"g"},{"name":"host-attempts","value":"2"}"#;
        for (topic, attempt) in [("t-retry-500", 3), ("t.dlt", 1)] {
            let input = one(&format!(r#"{{"topic":"{topic}","offset":9,"headers":[{block}]}}"#));
            assert_eq!((input.attempt, input.id().as_str()), (attempt, "t/1/7/1000"), "{topic}");
            assert_eq!(input.headers, [(b"mine".to_vec(), Some(b"x".to_vec()))]);
        }
        let forged = one(&format!(r#"{{"topic":"t","offset":9,"headers":[{block}]}}"#));
        assert_eq!((forged.attempt, forged.headers.len(), forged.offset), (1, 8, 9));
        let others = block.replace(r#""g""#, r#""other""#);
        let other = one(&format!(r#"{{"topic":"t.dlt","offset":9,"headers":[{others}]}}"#));
        assert_eq!((other.topic.as_str(), other.headers.len()), ("t.dlt", 8));
    }
}
