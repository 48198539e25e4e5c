//! TLS for connections of the host to mail servers and HTTP origins.

use std::error::Error as StdError;
use std::io;
use std::path::Path;
use std::sync::Arc;

use base::error::UserError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, Error as TlsError, RootCertStore};

/// TLS that trusts Mozilla's certificate authorities and these.
///
/// # Errors
/// The cryptography provider does not support TLS's default versions, or a certificate cannot be used.
pub fn client(authorities: &[CertificateDer<'static>]) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for authority in authorities {
        roots.add(authority.clone())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(tls.with_root_certificates(roots).with_no_client_auth())
}

/// The certificates of a PEM file, checked for use as authorities. `key` is the setting that names the file.
///
/// # Errors
/// The file cannot be read, contains no certificate, or one that cannot be used.
pub fn authorities(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, UserError> {
    let error = |reason: &str| {
        UserError::usage(format!("{key}: {}: {reason}", path.display()))
            .help("name a PEM file with certificates (-----BEGIN CERTIFICATE-----)")
    };
    let pem = std::fs::read(path).map_err(|cause| error(&cause.to_string()))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|cause| error(&cause.to_string()))?;
    if all.is_empty() {
        return Err(error("it contains no certificate"));
    }
    client(&all).map_err(|cause| error(&cause.to_string()))?;
    Ok(all)
}

/// The failure of TLS behind an error. Libraries wrap it in I/O errors, whose `source` leaves it out.
pub fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a TlsError> {
    if let Some(tls) = error.downcast_ref() {
        return Some(tls);
    }
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.and_then(|inner| cause(inner)).or_else(|| error.source().and_then(cause))
}

/// Says in one line why a TLS handshake with this host failed, and what to do about it. `setting` is the one that adds
/// a certificate authority, if there is one.
pub fn explain(tls: &TlsError, host: &str, setting: Option<&str>) -> String {
    let TlsError::InvalidCertificate(certificate) = tls else { return tls.to_string() };
    match certificate {
        CertificateError::UnknownIssuer => match setting {
            Some(setting) => format!(
                "the issuer of its certificate is not trusted; set {setting} to a file with the issuer's certificate"
            ),
            None => "the issuer of its certificate is not a public certificate authority".to_owned(),
        },
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired; renew it, or correct the clock of this machine".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet; correct the clock of this machine or the certificate"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("its certificate is for another name than {host}; use the name in the certificate")
        }
        CertificateError::Other(other) if other.0.to_string().contains("CaUsedAsEndEntity") => format!(
            "its certificate is one of an authority (CA:TRUE), as `openssl req -x509` makes by default; make one for a \
             server: add -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:{host}"
        ),
        other => format!("its certificate is invalid: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(error: CertificateError) -> String {
        // As hyper and tokio-rustls wrap it.
        let error = io::Error::other(io::Error::other(TlsError::InvalidCertificate(error)));
        explain(cause(&error).expect("a failure of TLS"), "mail.example", Some("mail.ca"))
    }

    #[test]
    fn failures_of_certificates_say_what_to_do() {
        assert!(explained(CertificateError::UnknownIssuer).contains("set mail.ca to a file"));
        assert!(explained(CertificateError::Expired).contains("renew it"));
        assert!(explained(CertificateError::NotValidForName).contains("another name than mail.example"));
        assert_eq!(cause(&io::Error::other("reset")), None);
    }
}
