//! Records of dry runs.

use base::bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::capture::Effect;
use crate::wording::{content, line};

/// A record as the plugin requested it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedRecord {
    /// The topic.
    pub topic: String,
    /// None is a null key.
    pub key: Option<Bytes>,
    /// None is a tombstone.
    pub value: Option<Bytes>,
    /// The plugin's headers, in order: names and values.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// The `host-id` that the host would add; None if the plugin set one.
    pub host_id: Option<String>,
}

impl Effect for CapturedRecord {
    fn summary(&self) -> String {
        format!("record to {}", line(&self.topic))
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("record to {}", line(&self.topic))];
        lines.push(format!("  key {}", shown(self.key.as_ref())));
        lines.extend(
            self.headers.iter().map(|(name, value)| format!("  {}: {}", line(name), shown(value.as_ref()))),
        );
        lines.extend(self.host_id.iter().map(|id| format!("  host-id: {} (added by the host)", line(id))));
        match &self.value {
            Some(value) => lines.extend(content("value", &value.0)),
            None => lines.push("  no value (a tombstone)".to_owned()),
        }
        lines
    }

    fn size(&self) -> usize {
        let bytes = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, |bytes| bytes.0.len());
        let headers = self.headers.iter().map(|(name, value)| name.len() + bytes(value) + 64);
        self.topic.len() + bytes(&self.key) + bytes(&self.value) + headers.sum::<usize>() + 256
    }
}

/// Bytes in one line.
fn shown(bytes: Option<&Bytes>) -> String {
    match bytes {
        None => "null".to_owned(),
        Some(Bytes(bytes)) => match std::str::from_utf8(bytes) {
            Ok(text) => line(text),
            Err(_) => format!("0x{}", hex::encode(bytes)),
        },
    }
}

#[cfg(test)]
mod tests {
    use crate::capture::Captured;

    #[test]
    fn every_part_of_a_record_is_shown() {
        let json = serde_json::json!({
            "kind": "produce", "topic": "t", "key": { "hex": "ff00" }, "value": "one\ntwo",
            "headers": [["x-a", "1\n"], ["x-b", null]], "host_id": "0a",
        });
        let captured: Captured = serde_json::from_value(json.clone()).expect("a record");
        let expected = [
            "record to t",
            "  key 0xff00",
            "  x-a: 1\\n",
            "  x-b: null",
            "  host-id: 0a (added by the host)",
            "  value, 7 bytes",
            "    one",
            "    two",
        ];
        assert_eq!(captured.lines(), expected);
        assert_eq!(captured.summary(), "record to t");
        assert_eq!(serde_json::to_value(&captured).expect("JSON"), json);
        let tombstone = serde_json::json!({
            "kind": "produce", "topic": "t", "key": null, "value": null, "headers": [], "host_id": null,
        });
        let captured: Captured = serde_json::from_value(tombstone).expect("a record");
        assert_eq!(captured.lines(), ["record to t", "  key null", "  no value (a tombstone)"]);
    }
}
