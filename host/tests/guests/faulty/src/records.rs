//! Publishing records.

use crate::contract::kafka_host::plugin::log::Level;
use crate::contract::kafka_host::plugin::messages::Header;
use crate::contract::kafka_host::plugin::produce::{NewRecord, ProduceError, publish as publish_all};
use crate::{Request, write_log};

/// Publishes a record to each of the topics, in one call. Logs `produced id=… to=… answer=…` for each.
pub fn publish(request: &Request) {
    let Request { id, to, bytes, header, .. } = request;
    let value = format!(r#"{{"id":"{id}","path":"{}"}}"#, letters(*bytes)).into_bytes();
    let header =
        header.iter().map(|name| Header { key: name.clone(), value: Some(b"of the plugin".to_vec()) });
    let headers: Vec<_> = header.collect();
    let record = |topic: &String| NewRecord {
        topic: topic.clone(),
        key: Some(id.clone().into_bytes()),
        value: Some(value.clone()),
        headers: headers.clone(),
    };
    let records: Vec<_> = to.iter().map(record).collect();
    for (topic, answer) in to.iter().zip(publish_all(&records)) {
        let answer = match answer {
            Ok(position) => format!("{}/{}", position.partition, position.offset),
            Err(ProduceError::Denied(text)) => format!("denied: {text}"),
            Err(ProduceError::Permanent(text)) => format!("permanent: {text}"),
            Err(ProduceError::Transient(text)) => format!("transient: {text}"),
        };
        write_log(Level::Info, &format!("produced id={id} to={topic} answer={answer} ."));
    }
}

/// Letters that a compression does not shorten by much, the same each time.
fn letters(count: usize) -> String {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'a' + (state >> 33) as u8 % 26)
    };
    (0..count).map(next).collect()
}
