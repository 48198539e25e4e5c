//! The URL of a mail server.

use std::path::Path;
use std::sync::Arc;

use base::error::UserError;
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;
use settings::MailServer;
use url::{Host, Url};

use super::smtp::Timeouts;
use super::smtp::connection::{Endpoint, Login, Security};
use crate::tls;

/// The ports of SMTP (RFC 5321), of submission with STARTTLS (RFC 6409) and with implicit TLS (RFC 8314).
const PORTS: (u16, u16, u16) = (25, 587, 465);

/// See [`super::mailer::Mailer::new`]. `table` of the settings has the keys. Errors never repeat a part of the URL: a
/// password with an unescaped `/` or `?` can be in any of them.
pub(super) fn endpoint(table: &str, text: &str, ca: Option<&Path>) -> Result<Endpoint, UserError> {
    let setting = format!("{table}.ca");
    let authorities = ca.map(|path| tls::authorities(&setting, path)).transpose()?.unwrap_or_default();
    let endpoint = parse(text, &authorities, setting);
    endpoint.map_err(|error| if table == "mail" { error } else { error.within(table) })
}

fn parse(
    text: &str,
    authorities: &[CertificateDer<'static>],
    ca_setting: String,
) -> Result<Endpoint, UserError> {
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
    let (security, default_port) = security(&url, authorities)?;
    let port = url.port().unwrap_or(default_port);
    if port == 0 {
        return Err(invalid("its port is 0"));
    }
    let endpoint = Endpoint { host, port, security, ca_setting, hello: hello(&url)?, login: login(&url)? };
    if endpoint.login.is_some() && matches!(endpoint.security, Security::None) {
        tracing::warn!(
            "{endpoint}: the password crosses the network unencrypted; use ?tls=required or smtps://"
        );
    }
    Ok(endpoint)
}

fn security(url: &Url, authorities: &[CertificateDer<'static>]) -> Result<(Security, u16), UserError> {
    let config = || tls::client(authorities).map(Arc::new);
    let mut query = url.query_pairs();
    let option = query.next();
    if query.next().is_some() || option.as_ref().is_some_and(|(name, _)| name != "tls") {
        return Err(invalid("the only permitted parameter is `tls`"));
    }
    let (plain, submission, submissions) = PORTS;
    match (url.scheme(), option.as_ref().map(|(_, value)| value.as_ref())) {
        ("smtp", None) => Ok((Security::None, plain)),
        ("smtp", Some("required")) => Ok((Security::Required(config()?), submission)),
        ("smtp", Some("opportunistic")) => Ok((Security::Opportunistic(config()?), submission)),
        ("smtps", None) => Ok((Security::Implicit(config()?), submissions)),
        ("smtps", Some(_)) => Err(invalid("smtps:// always uses TLS and has no parameter `tls`")),
        ("smtp", Some(_)) => Err(invalid("`tls` must be `required` or `opportunistic`")),
        _ => Err(invalid("it begins with neither smtp:// nor smtps://")),
    }
}

fn hello(url: &Url) -> Result<Option<String>, UserError> {
    let name = url.path().trim_matches('/');
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte)) {
        return Err(invalid("its path is not a host name, which EHLO requires"));
    }
    Ok((!name.is_empty()).then(|| name.to_owned()))
}

fn login(url: &Url) -> Result<Option<Login>, UserError> {
    let decode = |part: &str| {
        let text = percent_decode_str(part).decode_utf8();
        text.map(|text| text.into_owned()).map_err(|_| invalid("its user or password is not UTF-8"))
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        ("", Some(_)) => Err(invalid("it has a password but no user")),
        (_, None) => Err(invalid("it has a user but no password")),
        (user, Some(password)) => Ok(Some(Login { user: decode(user)?, password: decode(password)? })),
    }
}

fn invalid(reason: &str) -> UserError {
    UserError::usage(format!("the mail URL is invalid: {reason}")).help(
        "write smtp://HOST:PORT, smtp://USER:PASSWORD@HOST:587?tls=required (STARTTLS) or \
         smtps://USER:PASSWORD@HOST; percent-encode special characters in USER and PASSWORD",
    )
}

/// The time-outs of a server, with the defaults for those that are not set.
pub(super) fn timeouts(settings: &MailServer) -> Timeouts {
    let default = Timeouts::default();
    Timeouts {
        connect: settings.connect_timeout.unwrap_or(default.connect),
        greeting: settings.greeting_timeout.unwrap_or(default.greeting),
        command: settings.command_timeout.unwrap_or(default.command),
        data: settings.data_timeout.unwrap_or(default.data),
        block: settings.block_timeout.unwrap_or(default.block),
        end: settings.end_timeout.unwrap_or(default.end),
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
            assert_eq!(endpoint("mail", url, None).unwrap().to_string(), shown);
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
            let Err(failure) = endpoint("mail.server.b", "smtps://host", Some(&path)) else {
                panic!("{content:?}")
            };
            let text = failure.to_string();
            assert!(text.contains("mail.server.b.ca") && text.contains("host-mail-ca"), "{text}");
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
            let Err(failure) = endpoint("mail", url, None) else { panic!("accepted: {url}") };
            assert_eq!(failure.code(), 2);
            let text = failure.to_string();
            assert!(
                text.contains("help: write smtp://HOST:PORT") && !text.contains("hunter2"),
                "{url}: {text}"
            );
        }
    }
}
