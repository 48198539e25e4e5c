//! What handles a message.

use serde::de::DeserializeOwned;

use crate::{IntoResult, Message, Result};

/// A function that handles a message: `fn(T)` or `fn(T, &Message)`, where `T` is decoded from the JSON of the value, or
/// `fn(&Message)`, which decodes it itself. It returns what [`IntoResult`] lists.
///
/// The first two reject a value that is not a `T`, and messages without a value; see [`Message::json`]. `Input` is only there
/// to tell the three apart.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "a handler is `fn(T)`, `fn(T, &Message)` or `fn(&Message)`, where `T` implements `serde::Deserialize` and \
            borrows nothing",
    note = "it returns `Outcome`, `()`, or a `Result` of either whose error becomes a `Failure`"
)]
pub trait Handler<Input> {
    /// Handles a message.
    ///
    /// # Errors
    /// The message failed.
    fn handle(&self, message: &Message) -> Result;
}

impl<F, T, R> Handler<(T,)> for F
where
    F: Fn(T) -> R,
    T: DeserializeOwned,
    R: IntoResult,
{
    fn handle(&self, message: &Message) -> Result {
        self(message.json()?).into_result()
    }
}

impl<F, T, R> Handler<(T, &Message)> for F
where
    F: Fn(T, &Message) -> R,
    T: DeserializeOwned,
    R: IntoResult,
{
    fn handle(&self, message: &Message) -> Result {
        self(message.json()?, message).into_result()
    }
}

impl<F, R> Handler<&Message> for F
where
    F: Fn(&Message) -> R,
    R: IntoResult,
{
    fn handle(&self, message: &Message) -> Result {
        self(message).into_result()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Host, message};
    use crate::{Failure, Outcome, reject};

    fn value(number: u8) -> Outcome {
        Outcome::done(number.to_string())
    }

    fn with_message(number: u8, message: &Message) -> Result<(), Failure> {
        assert_eq!(message.value.as_deref(), Some(number.to_string().as_bytes()));
        Ok(())
    }

    fn raw(message: &Message) -> Result<Outcome> {
        message.value.as_ref().map(|_| Outcome::skipped("")).ok_or_else(|| reject("none", ""))
    }

    #[test]
    fn a_handler_takes_a_value_or_the_message_or_both() {
        let mut host = Host::new();
        assert_eq!(host.handle(value, &message(&7)), Ok(Outcome::done("7")));
        assert_eq!(host.handle(with_message, &message(&7)), Ok(Outcome::done("")));
        assert_eq!(host.handle(raw, &message(&7)), Ok(Outcome::skipped("")));
        assert_eq!(
            host.handle(|_: u8| Err::<(), _>(reject("closures", "too")), &message(&7)).unwrap_err().code(),
            "closures"
        );
        let mut tombstone = message(&7);
        tombstone.value = None;
        assert_eq!(host.handle(value, &tombstone).unwrap_err().code(), "tombstone");
        assert_eq!(host.handle(raw, &tombstone).unwrap_err().code(), "none");
        assert_eq!(host.handle(value, &message("7")).unwrap_err().code(), "invalid-message");
    }
}
