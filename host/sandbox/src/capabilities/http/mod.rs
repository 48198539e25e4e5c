//! The capability `http`: requests through `wasi:http` to granted URLs.

pub mod address;
mod capture;
pub mod client;
mod credentials;
mod grant;
mod handler;
mod hooks;
pub mod no_answer;
mod request;
mod sending;
pub mod settings;
mod solapi;
pub mod target;

use std::sync::Arc;

use ::settings::{AllowEntry, Extension, RunArgs, SectionType, SizeLimit};
use base::error::UserError;
use ipnet::IpNet;
use wasmtime::component::Linker;

pub use self::capture::{Canned, CapturedRequest, Responses};
pub use self::grant::HttpGrant;
pub use self::request::requested;
pub use self::sending::retry_after;
use self::settings::HttpTables;
use self::target::Target;
use super::{Capability, Grant, GrantRequest};
use crate::call::Call;
use crate::capture::Effect;

const NAME: &str = "http";
const NETWORK: &str = "network:";

/// The maximum size of the bodies of a call's requests.
pub static MAX_REQUEST: &SizeLimit = &SETTINGS.limits[0];
/// The maximum size of a call's responses.
pub static MAX_RESPONSE: &SizeLimit = &SETTINGS.limits[1];

static SETTINGS: Extension = Extension {
    allow: &[
        AllowEntry {
            form: "a URL",
            about: "A URL: HTTP requests to it and everything below it.",
            example: "https://api.example.com",
            grants: true,
            matches: |text| text.starts_with("http:") || text.starts_with("https:"),
            parse: |text| Target::parse(text).map(|target| target.to_string()),
        },
        AllowEntry {
            form: "`network:CIDR`",
            about: "`network:CIDR`: connections to this network, which is not public, for requests to these URLs.",
            example: "network:10.0.0.0/8",
            grants: false,
            matches: |text| text.starts_with(NETWORK),
            parse: |text| network(text).map(|network| format!("{NETWORK}{network}")),
        },
    ],
    section: Some(SectionType::map::<HttpTables>(NAME, "https://api.example.com")),
    limits: &[
        SizeLimit {
            key: "http-request",
            about: "The bodies of a call's HTTP requests together",
            default: 1 << 20,
            code: "http-request-too-large",
            detail: "HTTP requests have more than",
            in_one_call: false,
        },
        SizeLimit {
            key: "http-response",
            about: "A call's HTTP responses together, heads and bodies",
            default: 1 << 20,
            code: "http-response-too-large",
            detail: "HTTP responses have more than",
            in_one_call: false,
        },
    ],
};

/// The capability `http`.
pub struct Http;

impl Capability for Http {
    fn name(&self) -> &'static str {
        NAME
    }

    fn imports(&self) -> &'static [&'static str] {
        &["wasi:http/outgoing-handler@0.2.", "wasi:http/types@0.2."]
    }

    fn link(&self, linker: &mut Linker<Call>) -> wasmtime::Result<()> {
        handler::link(linker)
    }

    fn permits_reset(&self) -> bool {
        true
    }

    fn settings(&self) -> &'static Extension {
        &SETTINGS
    }

    fn grant(&self, request: &GrantRequest<'_>) -> Result<Option<Arc<dyn Grant>>, UserError> {
        let (mut targets, mut networks) = (Vec::new(), Vec::new());
        for entry in &request.allow {
            match entry.strip_prefix(NETWORK) {
                Some(_) => networks.push(network(entry).map_err(UserError::usage)?),
                None => targets.push(Target::parse(entry).map_err(UserError::usage)?),
            }
        }
        let tables = request.sections.get::<HttpTables>().cloned().unwrap_or_default();
        if !targets.is_empty() {
            return Ok(Some(Arc::new(HttpGrant::new(targets, &tables, &networks, request.services)?)));
        }
        let problem = if !tables.0.is_empty() {
            "[plugin.http] requires a URL in the plugin's `allow`"
        } else if !networks.is_empty() {
            "`network:` requires a URL in the plugin's `allow`"
        } else {
            return Ok(None);
        };
        Err(UserError::usage(problem).help("add the URL to the plugin's `allow`"))
    }

    fn effect(&self, json: serde_json::Value) -> serde_json::Result<Arc<dyn Effect>> {
        Ok(Arc::new(serde_json::from_value::<CapturedRequest>(json)?))
    }

    fn not_granted(&self) -> &'static str {
        "HTTP is not granted: there is no URL in its `allow`"
    }

    fn warning(&self, is_granted: bool, _: &RunArgs) -> Option<String> {
        let text = "it imports wasi:http, but no URL is granted: each request is denied; \
                    add the URL to the `allow` of its [[plugin]]";
        (!is_granted).then(|| text.to_owned())
    }
}

/// Reads `network:CIDR`.
fn network(text: &str) -> Result<IpNet, String> {
    let cidr = text.strip_prefix(NETWORK).unwrap_or(text);
    let network: IpNet =
        cidr.parse().map_err(|_| format!("{cidr:?} is not a network; example: network:10.0.0.0/8"))?;
    if network.trunc() != network {
        return Err(format!("{cidr:?} is not a network; did you mean {}?", network.trunc()));
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use ::settings::Sections;

    use super::*;

    #[test]
    fn a_network_or_a_table_needs_a_url() {
        let mut sections = Sections::default();
        let grant = |allow: &[&'static str], sections: &Sections| {
            Http.grant(&GrantRequest { allow: allow.to_vec(), sections, services: None })
        };
        assert!(grant(&[], &sections).expect("nothing").is_none());
        let refused = grant(&["network:10.0.0.0/8"], &sections).expect_err("no URL").to_string();
        assert!(refused.contains("`network:` requires a URL"), "{refused}");
        sections.push(Box::new(toml::from_str::<HttpTables>("[\"https://h\"]").expect("a table")));
        let refused = grant(&[], &sections).expect_err("no URL").to_string();
        assert!(refused.contains("[plugin.http] requires a URL"), "{refused}");
        let granted = grant(&["https://h/a", "network:10.0.0.0/8"], &sections).expect("possible");
        assert_eq!(granted.expect("a grant").summary(), "may reach https://h/a");
    }

    #[test]
    fn a_network_has_no_host_bits() {
        assert!(network("network:10.0.0.0/8").is_ok());
        for (text, what) in
            [("network:10.0.0.1/8", "did you mean 10.0.0.0/8?"), ("network:10", "\"10\" is not a network;")]
        {
            let refused = network(text).expect_err(text);
            assert!(refused.contains(what), "{refused}");
        }
    }
}
