//! `[http]`: how the host reaches HTTP servers.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::Value;

/// How the host reaches HTTP servers: for the requests of plugins, and for the webhook of alerts. A server behind a
/// proxy is resolved and reached by the proxy, so the host cannot check its addresses, and `network:` in `allow` has no
/// effect on it.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct OutgoingHttp {
    /// A PEM file with the certificates of authorities that are trusted for HTTPS in addition to the public ones. A
    /// relative path starts at the directory of `host.toml`. The environment's `SSL_CERT_FILE` names a file that replaces
    /// the public ones, for mail servers too.
    #[schemars(with = "Option<String>", example = "ca.pem")]
    pub ca: Option<PathBuf>,
    /// The proxy, `http://[user:password@]host:port` or `https://…`. A text, `{ env = "NAME" }` or `{ file = "PATH" }`;
    /// an empty one means none. Default: `HTTPS_PROXY` and `HTTP_PROXY` of the environment, each for its scheme, or else
    /// `ALL_PROXY`.
    #[schemars(with = "Option<String>", example = "http://proxy.example.com:3128")]
    pub proxy: Option<Value>,
    /// What is reached without the proxy: names with everything below them, addresses, networks, or `*` for everything.
    /// This machine (`localhost`, loopback addresses) always is. Default: `NO_PROXY` of the environment.
    #[schemars(with = "Vec<String>", example = ["internal.example.com", "10.0.0.0/8"])]
    pub no_proxy: Option<Vec<String>>,
}
