//! Bytes in JSON: a string if they are UTF-8, otherwise `{"hex": "…"}`.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

/// Untrusted bytes. In JSON: a string, or `{"hex": "…"}` if they are not UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, ToSchema)]
#[schema(value_type = Form)]
pub struct Bytes(pub Vec<u8>);

#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Hex {
    hex: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum Form {
    Text(String),
    Hex(Hex),
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Hex { hex: hex::encode(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Ok(Self(text.into_bytes())),
            Form::Hex(Hex { hex }) => hex::decode(hex)
                .map(Self)
                .map_err(|_| D::Error::custom("hex: not pairs of hexadecimal digits")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_round_trip(bytes: Vec<u8>) {
            let text = serde_json::to_string(&Bytes(bytes.clone())).unwrap();
            prop_assert_eq!(serde_json::from_str::<Bytes>(&text).unwrap().0, bytes);
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [r#"{"hex":"0"}"#, r#"{"hex":"0g"}"#, r#"{"hex":"00","more":1}"#, "1", "null"] {
            assert!(serde_json::from_str::<Bytes>(text).is_err(), "{text}");
        }
    }
}
