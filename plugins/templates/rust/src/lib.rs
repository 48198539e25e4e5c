//! Greets whoever a message names.

use kafka_host_plugin::{Outcome, Result, info, plugin, reject};
use serde::{Deserialize, Serialize};

/// The value of a message: `{"name": "Kim"}`.
#[derive(Deserialize, Serialize)]
struct Greeting {
    name: String,
}

plugin! {
    topic: "greetings",
    handler: greet,
}

fn greet(greeting: Greeting) -> Result {
    let name = greeting.name.trim();
    if name.is_empty() {
        return Err(reject("no-name", "the greeting is for nobody"));
    }
    info!("Hello, {name}!");
    Ok(Outcome::done("greeted"))
}

#[cfg(test)]
mod tests {
    use kafka_host_plugin::testing::{Host, message};

    use super::*;

    #[test]
    fn a_greeting_is_logged() {
        let mut host = Host::new();
        let greeting = Greeting { name: "Kim".to_owned() };
        assert_eq!(host.handle(greet, &message(&greeting)), Ok(Outcome::done("greeted")));
        assert_eq!(host.log[0].text, "Hello, Kim!");
    }

    #[test]
    fn nobody_is_not_greeted() {
        let greeting = Greeting { name: " ".to_owned() };
        let failure = Host::new().handle(greet, &message(&greeting)).unwrap_err();
        assert_eq!((failure.code(), failure.is_retry()), ("no-name", false));
    }
}
