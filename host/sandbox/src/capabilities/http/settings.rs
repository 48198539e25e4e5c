//! `[plugin.http."URL"]`: headers and signatures that the host adds to requests.

use std::collections::BTreeMap;

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
            let lines = headers.chain(solapi).map(|(key, value)| (key, value.to_string().into())).collect();
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
