//! `[plugin.http."URL"]`: what the host adds to a plugin's requests.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Value;

/// What the host adds to the plugin's HTTP requests to one URL and all below it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct HttpSettings {
    /// Headers, in place of the plugin's own of the same name. Values are given as under `config`: better
    /// not as texts where they are secret.
    #[schemars(with = "BTreeMap<String, String>", example = BTreeMap::from([("authorization", "Bearer token")]))]
    pub headers: BTreeMap<String, Value>,
    /// Signs each request as Solapi asks for, in the header `authorization`.
    #[schemars(with = "SolapiSettings")]
    pub solapi: Option<SolapiSettings>,
}

/// Signs each request as Solapi asks for (HMAC-SHA256), in the header `authorization`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SolapiSettings {
    /// The API key.
    #[schemars(with = "String", example = &"NCS0123456789ABC")]
    pub key: Value,
    /// The API secret; better kept in the environment or in a file than written out.
    #[schemars(with = "String", example = &"secret")]
    pub secret: Value,
}

impl HttpSettings {
    /// Every value that may be kept somewhere else.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        let solapi = self.solapi.iter_mut().flat_map(|solapi| [&mut solapi.key, &mut solapi.secret]);
        self.headers.values_mut().chain(solapi)
    }
}
