//! Problem documents for refused messages, with a `delivery` member if it applies.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use messages::Invalid;
use problem::Problem;

use crate::publisher::{Delivery, PublishError};

const DELIVERY: &str = "delivery";

/// 503 with the message's delivery state, to be retried after a second.
pub(crate) fn unavailable(delivery: Delivery, detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
        .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
        .extension(DELIVERY, delivery.as_str())
}

/// 400 for a body that is not a valid message.
pub(crate) fn invalid(invalid: Invalid) -> Problem {
    let detail = match &invalid {
        Invalid::Missing(_, text) => Cow::Borrowed(*text),
        Invalid::Malformed(text) => Cow::Owned(format!("the body is not a valid message: {text}")),
        Invalid::Field(..) => Cow::Owned(invalid.to_string()),
    };
    Problem::new(StatusCode::BAD_REQUEST, detail)
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::TooLarge => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the message exceeds the size limit of its Kafka topic",
            )
            .extension(DELIVERY, Delivery::NotSent.as_str()),
            PublishError::Unavailable { delivery, reason } => unavailable(delivery, reason),
        }
    }
}
