//! `host.toml`: every check that needs nothing but the text.
#![no_main]
#![allow(unsafe_code, reason = "libFuzzer calls functions that are not mangled")]

use base::error::UserError;
use consumer::subscription::Subscription;
use contract::{RetryPolicy, Subscription as Described};
use libfuzzer_sys::fuzz_target;
use sandbox::capabilities::mail::mailer::Mailer;
use sandbox::grants::Grants;
use sandbox::limits::Limits;
use settings::Allow;
use settings::{File, HttpSettings, PluginSettings, Value};
use store::StoreUrl;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(file) = good(File::parse(text)) else { return };
    let _ = format!("{file:?}");
    good(file.store.keep());
    if let Some(Value::Text(url)) = &file.store.url {
        good(StoreUrl::parse(url).map(|url| url.to_string()));
    }
    if let Some(Value::Text(url)) = &file.mail.url {
        good(Mailer::from_url(url, None).map(|mailer| mailer.to_string()));
    }
    file.plugins.iter().for_each(plugin);
});

fn plugin(settings: &PluginSettings) {
    said(Limits::new(&settings.limits).map(|limits| limits.hand_over()));
    if let Some(subscription) = said(Subscription::new(described(), Some(settings))) {
        let topics = subscription.retry_topics();
        assert!(topics.len() <= 32 && !topics.contains(&subscription.topic));
        assert!(!topics.contains(&subscription.dead_letter_topic));
        subscription.policy.ruling("smtp-transient", false);
    }
    let texts = settings.config.values().chain(settings.http.values().flat_map(values));
    let needs_io = texts.into_iter().any(|value| !matches!(value, Value::Text(_)))
        || settings.allow.iter().any(|allow| matches!(allow, Allow::Directory(_)));
    if !needs_io {
        good(Grants::new(Some(settings)));
    }
}

fn values(http: &HttpSettings) -> impl Iterator<Item = &Value> {
    http.headers.values().chain(http.solapi.iter().flat_map(|solapi| [&solapi.key, &solapi.secret]))
}

fn described() -> Described {
    Described {
        topic: "email.send".into(),
        group: "email-send-group".into(),
        dead_letter_topic: "email.send.dlt".into(),
        retry: RetryPolicy {
            retries: 5,
            delay_ms: 1000,
            multiplier: 2.0,
            max_delay_ms: 3_600_000,
            jitter: 0.0,
            max_age_ms: 86_400_000,
        },
    }
}

/// An error says what is wrong, and that it was given.
fn good<T>(result: Result<T, UserError>) -> Option<T> {
    result.inspect_err(|failure| assert!(failure.code() == 2 && !failure.to_string().trim().is_empty())).ok()
}

fn said<T>(result: Result<T, String>) -> Option<T> {
    result.inspect_err(|what| assert!(!what.trim().is_empty())).ok()
}
