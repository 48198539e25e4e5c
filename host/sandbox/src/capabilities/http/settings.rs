//! `[plugin.http."URL"]`: headers and signatures that the host adds to requests.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;
use settings::{Section, ShownTable, Value};

/// The tables of `[plugin.http]` by URL.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct HttpTables(pub BTreeMap<String, HttpSettings>);

/// Headers and signatures that the host adds to the plugin's requests to this URL and everything below it. The plugin
/// never sees them. This table grants nothing: an entry of `allow` must cover the URL.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct HttpSettings {
    /// Headers, which replace the plugin's headers of the same name. Each value is a text, `{ env = "NAME" }` or
    /// `{ file = "PATH" }`; keep secrets in the environment or in a file.
    #[schemars(with = "BTreeMap<String, String>", example = BTreeMap::from([("authorization", "Bearer token")]))]
    pub headers: BTreeMap<String, Value>,
    /// The key for signatures.
    #[schemars(with = "SolapiSettings")]
    pub solapi: Option<SolapiSettings>,
    /// The maximum number of concurrent requests of this host to the server (scheme, host and port), all plugins
    /// together. The host sends fewer if the server answers 429 or 503, and tries one more from time to time.
    /// Default: 100.
    #[schemars(with = "Option<u32>", example = 100)]
    pub concurrency: Option<NonZeroU32>,
    /// The maximum number of requests per minute of this host to the server. All of them may be sent in one burst; after
    /// that, they are spread evenly. Default: no limit.
    #[schemars(with = "Option<u32>", example = 600)]
    pub per_minute: Option<NonZeroU32>,
    /// The number of failures in a row (no connection, 429, 5xx) after which the server counts as down: messages that
    /// need it wait, and one request at a time probes whether it works again, with pauses up to 4 s. 0 turns this off,
    /// and the plugin gets every error. Default: 5.
    #[schemars(with = "Option<u32>", example = 5)]
    pub breaker: Option<u32>,
}

/// Signs each request for Solapi (HMAC-SHA256), in the header `authorization`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SolapiSettings {
    /// The API key.
    #[schemars(with = "String", example = &"NCS0123456789ABC")]
    pub key: Value,
    /// The API secret. Keep it in the environment or in a file.
    #[schemars(with = "String", example = &"secret")]
    pub secret: Value,
}

impl Section for HttpTables {
    fn boxed(&self) -> Box<dyn Section> {
        Box::new(self.clone())
    }

    fn values_mut(&mut self) -> Vec<&mut Value> {
        self.0.values_mut().flat_map(HttpSettings::values_mut).collect()
    }

    fn tables(&self) -> Vec<ShownTable> {
        let table = |(url, settings): (&String, &HttpSettings)| {
            let headers = settings.headers.iter().map(|(name, value)| (format!("headers.{name:?}"), value));
            let solapi = settings.solapi.iter().flat_map(|it| [("key", &it.key), ("secret", &it.secret)]);
            let solapi = solapi.map(|(key, value)| (format!("solapi.{key}"), value));
            let texts = headers.chain(solapi).map(|(key, value)| (key, value.to_string().into()));
            let counts = [
                ("concurrency", settings.concurrency.map(NonZeroU32::get)),
                ("per-minute", settings.per_minute.map(NonZeroU32::get)),
                ("breaker", settings.breaker),
            ];
            let counts = counts
                .into_iter()
                .filter_map(|(key, count)| Some((key.to_owned(), i64::from(count?).into())));
            let lines = texts.chain(counts).collect();
            ShownTable { heading: format!("[plugin.http.{url:?}]"), lines }
        };
        self.0.iter().map(table).collect()
    }
}

impl HttpSettings {
    fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        let solapi = self.solapi.iter_mut().flat_map(|solapi| [&mut solapi.key, &mut solapi.secret]);
        self.headers.values_mut().chain(solapi)
    }
}
