//! Credentials that the host adds to requests. Plugins never see them.

use std::collections::BTreeMap;
use std::fmt;

use base::error::UserError;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, PROXY_AUTHORIZATION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderName, HeaderValue};
use url::Url;

use super::client::Request;
use super::settings::HttpSettings;
use super::solapi::Solapi;
use super::target::Target;

/// Credentials for one URL and everything below it. `Debug` does not show them.
pub struct Credentials {
    target: Target,
    headers: Vec<(HeaderName, HeaderValue)>,
    solapi: Option<Solapi>,
}

impl Credentials {
    /// The credentials of `[plugin.http."URL"]`. `allowed` are the granted URLs.
    ///
    /// # Errors
    /// No entry of `allow` covers the URL, or a value is missing or cannot be a header.
    pub fn new(url: &str, settings: &HttpSettings, allowed: &[Target]) -> Result<Self, UserError> {
        let place = format!("plugin.http.{url:?}");
        let target = Target::parse(url).map_err(|problem| UserError::usage(problem).within("plugin.http"))?;
        if !allowed.iter().any(|allowed| allowed.overlaps(&target)) {
            let problem = format!("{place}: the plugin's `allow` does not cover this URL");
            return Err(UserError::usage(problem).help(format!("add {url:?} to the plugin's `allow`")));
        }
        let mut headers = Vec::with_capacity(settings.headers.len());
        for (name, value) in &settings.headers {
            let place = format!("{place}.headers.{name:?}");
            let text = value.read(&place)?;
            headers.push((header_name(name, &place)?, secret(&text, &place)?));
        }
        let solapi = settings.solapi.as_ref().map(|solapi| -> Result<_, UserError> {
            let [key, secret] = [(&solapi.key, "key"), (&solapi.secret, "secret")]
                .map(|(value, name)| value.read(&format!("{place}.solapi.{name}")));
            let solapi = Solapi { key: key?, secret: secret? };
            self::secret(&solapi.authorization(), &format!("{place}.solapi.key"))?;
            Ok(solapi)
        });
        Ok(Self { target, headers, solapi: solapi.transpose()? })
    }

    /// The credentials of all tables. The longest path takes precedence, and comes last.
    ///
    /// # Errors
    /// See [`Credentials::new`].
    pub fn all(tables: &BTreeMap<String, HttpSettings>, allowed: &[Target]) -> Result<Vec<Self>, UserError> {
        let mut all: Vec<_> = tables
            .iter()
            .map(|(url, settings)| Self::new(url, settings, allowed))
            .collect::<Result<_, _>>()?;
        all.sort_by_key(|credentials: &Self| credentials.target.path_len());
        Ok(all)
    }

    /// The names of the headers added to requests to this URL.
    pub fn names(&self, url: &Url) -> impl Iterator<Item = HeaderName> {
        let signed = self.solapi.as_ref().map(|_| AUTHORIZATION);
        let covers = self.target.covers(url);
        self.headers.iter().map(|(name, _)| name.clone()).chain(signed).filter(move |_| covers)
    }

    /// Adds the headers to a request, if it goes to this URL.
    pub fn add_to(&self, request: &mut Request) {
        if !self.target.covers(&request.url) {
            return;
        }
        for (name, value) in &self.headers {
            request.headers.insert(name, value.clone());
        }
        if let Some(solapi) = &self.solapi
            && let Ok(mut value) = HeaderValue::try_from(solapi.authorization())
        {
            value.set_sensitive(true);
            request.headers.insert(AUTHORIZATION, value);
        }
    }
}

fn header_name(name: &str, place: &str) -> Result<HeaderName, UserError> {
    let parsed = HeaderName::try_from(name)
        .map_err(|_| UserError::usage(format!("{place}: {name:?} is not a header name")))?;
    if [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, PROXY_AUTHORIZATION].contains(&parsed) {
        return Err(UserError::usage(format!("{place}: {parsed} is reserved for the host")));
    }
    Ok(parsed)
}

fn secret(text: &str, place: &str) -> Result<HeaderValue, UserError> {
    let mut value = HeaderValue::try_from(text).map_err(|_| {
        UserError::usage(format!("{place}: the value contains characters that a header must not contain"))
            .help("remove line breaks and other control characters from the value")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.target)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, Method};

    use super::*;

    fn tables(text: &str) -> BTreeMap<String, HttpSettings> {
        toml::from_str(text).expect(text)
    }

    fn added(credentials: &[Credentials], url: &str, own: &[(&'static str, &'static str)]) -> HeaderMap {
        let headers =
            own.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut request = Request {
            method: Method::POST,
            url: url.parse().expect(url),
            headers: headers.collect(),
            body: Bytes::new(),
        };
        credentials.iter().for_each(|credentials| credentials.add_to(&mut request));
        request.headers
    }

    #[test]
    fn only_requests_to_the_url_get_credentials() {
        let allowed = ["https://h", "https://other", "http://h"].map(|url| Target::parse(url).expect(url));
        let text = "[\"https://h\"]\nheaders = { authorization = \"outer\", x-a = \"a\" }\n\
                    [\"https://h/near\"]\nheaders = { authorization = \"inner\" }\n";
        let all = Credentials::all(&tables(text), &allowed).expect("possible");
        let forged = [("authorization", "the plugin's own"), ("x-b", "b")];
        let headers = added(&all, "https://h/far", &forged);
        assert_eq!(
            (&headers["authorization"], &headers["x-a"], &headers["x-b"]),
            (
                &HeaderValue::from_static("outer"),
                &HeaderValue::from_static("a"),
                &HeaderValue::from_static("b")
            )
        );
        assert!(headers["authorization"].is_sensitive());
        assert_eq!(added(&all, "https://h/near/er", &[])["authorization"], "inner");
        for elsewhere in ["https://other/", "http://h/", "https://h:444/", "https://h.evil/"] {
            assert_eq!(added(&all, elsewhere, &forged)["authorization"], "the plugin's own", "{elsewhere}");
        }
    }

    #[test]
    fn impossible_credentials_are_refused_and_not_shown() {
        let allowed = [Target::parse("https://h/a").expect("a target")];
        for (text, named) in [
            ("[\"https://other\"]\n", "does not cover this URL"),
            ("[\"https://h/b\"]\n", "does not cover this URL"),
            ("[\"https://h\"]\nheaders = { host = \"hush\" }", "host"),
            ("[\"https://h\"]\nheaders = { proxy-authorization = \"hush\" }", "reserved for the host"),
            ("[\"https://h\"]\nheaders = { \"a b\" = \"hush\" }", "a b"),
            ("[\"https://h\"]\nheaders = { x = \"hush\\n\" }", "headers.\"x\""),
            ("[\"https://h\"]\nheaders = { x = { env = \"HOST_TEST_NO_SUCH_VARIABLE\" } }", "NO_SUCH"),
            ("[\"https://h\"]\nsolapi = { key = \"hush\\n\", secret = \"hush\" }", "solapi.key"),
        ] {
            let error = Credentials::all(&tables(text), &allowed).expect_err(text).to_string();
            assert!(error.contains(named) && !error.contains("hush"), "{error}");
        }
    }
}
