//! The SMTP server, and connections that are ready for a transaction.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;

use base::error::UserError;
use futures_util::FutureExt as _;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, Tls, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::mailer::one_line;

/// The first line of a certificate in PEM.
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// An SMTP server, as its URL describes it.
pub(super) struct Server {
    host: String,
    port: u16,
    tls: Tls,
    hello: ClientId,
    login: Option<Credentials>,
}

impl Server {
    /// See [`super::mailer::Mailer::from_url`]. Errors never repeat a part of the URL: a password with an unescaped `/`
    /// or `?` can be in any of them.
    pub(super) fn from_url(text: &str, ca: Option<&Path>) -> Result<Self, UserError> {
        let url = Url::parse(text).map_err(|error| invalid(&error.to_string()))?;
        if url.path().contains('@') || url.fragment().is_some() {
            return Err(invalid("a special character in the user or password is not percent-encoded"));
        }
        let host = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            _ => return Err(invalid("it has no host")),
        };
        let (tls, default_port) = security(&url, &host, authorities(ca)?)?;
        let port = url.port().unwrap_or(default_port);
        if port == 0 {
            return Err(invalid("its port is 0"));
        }
        let server = Self { host, port, tls, hello: hello(&url)?, login: login(&url)? };
        if server.login.is_some() && matches!(server.tls, Tls::None) {
            tracing::warn!(
                "{server}: the password crosses the network unencrypted; use ?tls=required or smtps://"
            );
        }
        Ok(server)
    }

    /// Connects, negotiates TLS and logs in. The error contains no credentials.
    ///
    /// An error with any code concerns the server or the configuration, never the e-mail.
    pub(super) async fn connect(&self, bound: Duration) -> Result<AsyncSmtpConnection, String> {
        let wrapper = if let Tls::Wrapper(parameters) = &self.tls { Some(parameters.clone()) } else { None };
        let address = (self.host.as_str(), self.port);
        let connecting =
            AsyncSmtpConnection::connect_tokio1(address, Some(bound), &self.hello, wrapper, None);
        let mut connection = greeted(connecting)
            .await
            .map_err(|error| one_line(&format!("no connection to {self}: {error}")))?;
        let upgrade = match &self.tls {
            Tls::Required(parameters) => Some(parameters),
            Tls::Opportunistic(parameters) if connection.can_starttls() => Some(parameters),
            _ => None,
        };
        if let Some(parameters) = upgrade {
            let secured = greeted(connection.starttls(parameters.clone(), &self.hello)).await;
            secured.map_err(|error| one_line(&format!("no STARTTLS with {self}: {error}")))?;
        }
        if let Some(login) = &self.login {
            // Without the server's text, which may repeat the credentials.
            connection.auth(DEFAULT_MECHANISMS, login).await.map_err(|error| match error.status() {
                Some(code) => format!("{self} refused the login with {code}"),
                None => format!("{self} does not support a login with a password, or closed the connection"),
            })?;
        }
        Ok(connection)
    }
}

/// Waits for a step that ends with EHLO. lettre 0.11 panics if a line of the response is blank; any failure closes the
/// connection.
async fn greeted<T>(step: impl Future<Output = Result<T, SmtpError>>) -> Result<T, String> {
    match AssertUnwindSafe(step).catch_unwind().await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err("its response to EHLO is malformed".to_owned()),
    }
}

/// The certificates of a file, trusted in addition to the public authorities.
fn authorities(path: Option<&Path>) -> Result<Option<Certificate>, UserError> {
    let Some(path) = path else { return Ok(None) };
    let error = |reason: &str| {
        UserError::usage(format!("mail.ca: {}: {reason}", path.display()))
            .help("name a PEM file with certificates (-----BEGIN CERTIFICATE-----)")
    };
    let pem = std::fs::read(path).map_err(|cause| error(&cause.to_string()))?;
    if !pem.windows(PEM.len()).any(|window| window == PEM) {
        return Err(error("it contains no certificate"));
    }
    // The certificate is parsed when a TLS configuration uses it.
    let usable = |ca: Certificate| {
        let builder = TlsParameters::builder("localhost".to_owned());
        builder.add_root_certificate(ca.clone()).build().map(|_| ca)
    };
    Certificate::from_pem(&pem).and_then(usable).map(Some).map_err(|cause| error(&cause.to_string()))
}

fn security(url: &Url, host: &str, ca: Option<Certificate>) -> Result<(Tls, u16), UserError> {
    let parameters = || {
        let builder = TlsParameters::builder(host.to_owned());
        let builder = ca.iter().cloned().fold(builder, TlsParametersBuilder::add_root_certificate);
        builder.build().map_err(|error| invalid(&format!("TLS cannot be set up for its host: {error}")))
    };
    let mut query = url.query_pairs();
    let option = query.next();
    if query.next().is_some() || option.as_ref().is_some_and(|(name, _)| name != "tls") {
        return Err(invalid("the only permitted parameter is `tls`"));
    }
    match (url.scheme(), option.as_ref().map(|(_, value)| value.as_ref())) {
        ("smtp", None) => Ok((Tls::None, SMTP_PORT)),
        ("smtp", Some("required")) => Ok((Tls::Required(parameters()?), SUBMISSION_PORT)),
        ("smtp", Some("opportunistic")) => Ok((Tls::Opportunistic(parameters()?), SUBMISSION_PORT)),
        ("smtps", None) => Ok((Tls::Wrapper(parameters()?), SUBMISSIONS_PORT)),
        ("smtps", Some(_)) => Err(invalid("smtps:// always uses TLS and has no parameter `tls`")),
        ("smtp", Some(_)) => Err(invalid("`tls` must be `required` or `opportunistic`")),
        _ => Err(invalid("it begins with neither smtp:// nor smtps://")),
    }
}

fn hello(url: &Url) -> Result<ClientId, UserError> {
    let name = url.path().trim_matches('/');
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte)) {
        return Err(invalid("its path is not a host name, which EHLO requires"));
    }
    Ok(if name.is_empty() { ClientId::default() } else { ClientId::Domain(name.to_owned()) })
}

fn login(url: &Url) -> Result<Option<Credentials>, UserError> {
    let decode = |part: &str| {
        let text = percent_decode_str(part).decode_utf8();
        text.map(|text| text.into_owned()).map_err(|_| invalid("its user or password is not UTF-8"))
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        ("", Some(_)) => Err(invalid("it has a password but no user")),
        (_, None) => Err(invalid("it has a user but no password")),
        (user, Some(password)) => Ok(Some(Credentials::new(decode(user)?, decode(password)?))),
    }
}

fn invalid(reason: &str) -> UserError {
    UserError::usage(format!("the mail URL is invalid: {reason}")).help(
        "write smtp://HOST:PORT, smtp://USER:PASSWORD@HOST:587?tls=required (STARTTLS) or \
         smtps://USER:PASSWORD@HOST; percent-encode special characters in USER and PASSWORD",
    )
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if matches!(self.tls, Tls::Wrapper(_)) { "smtps" } else { "smtp" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_parsed_and_shown_without_secrets() {
        for (url, shown) in [
            ("smtp://localhost", "smtp://localhost:25"),
            ("smtp://127.0.0.1:1025", "smtp://127.0.0.1:1025"),
            ("smtp://[::1]:1025", "smtp://[::1]:1025"),
            ("smtp://u:p%40ss@mail.example.com?tls=required", "smtp://mail.example.com:587"),
            (
                "smtp://mail.example.com:2525/client.example.com?tls=opportunistic",
                "smtp://mail.example.com:2525",
            ),
            ("smtps://u:p@mail.example.com", "smtps://mail.example.com:465"),
        ] {
            assert_eq!(Server::from_url(url, None).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused_and_named() {
        let path = std::env::temp_dir().join(format!("host-mail-ca-{}", std::process::id()));
        for content in
            [None, Some("no PEM"), Some("-----BEGIN CERTIFICATE-----\nQQ\n-----END CERTIFICATE-----")]
        {
            if let Some(content) = content {
                std::fs::write(&path, content).expect("written");
            }
            let Err(failure) = Server::from_url("smtps://host", Some(&path)) else { panic!("{content:?}") };
            let text = failure.to_string();
            assert!(text.contains("mail.ca") && text.contains("host-mail-ca"), "{text}");
        }
        std::fs::remove_file(&path).expect("removed");
    }

    #[test]
    fn wrong_urls_say_what_to_write_and_repeat_nothing() {
        for url in [
            "",
            "hunter2",
            "localhost:1025",
            "http://u:hunter2@host",
            "smtp://",
            "smtp://:hunter2@host",
            "smtp://hunter2@host",
            "smtp://u:hunter2/x@host",
            "smtp://u:1/hunter2@host",
            "smtp://u:1#hunter2@host",
            "smtp://u:1?hunter2@host",
            "smtp://u:hunter2@host:0",
            "smtp://host:99999",
            "smtp://host?tls=hunter2",
            "smtp://host?tls=required&x=hunter2",
            "smtps://host?tls=required",
            "smtp://host/a%20b",
        ] {
            let Err(failure) = Server::from_url(url, None) else { panic!("accepted: {url}") };
            assert_eq!(failure.code(), 2);
            let text = failure.to_string();
            assert!(
                text.contains("help: write smtp://HOST:PORT") && !text.contains("hunter2"),
                "{url}: {text}"
            );
        }
    }
}
