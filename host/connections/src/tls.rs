//! TLS for connections of the host to mail servers and HTTP origins.

use std::error::Error as StdError;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::error::UserError;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, Error as TlsError, RootCertStore};

/// The variable with a file of authorities in place of the public ones, as OpenSSL reads it.
pub const PUBLIC: &str = "SSL_CERT_FILE";

/// TLS that trusts the public certificate authorities and these.
///
/// # Errors
/// [`PUBLIC`] names a file without authorities, a certificate cannot be used, or the cryptography provider does not
/// support TLS's default versions.
pub fn client(authorities: &[CertificateDer<'static>]) -> Result<ClientConfig, UserError> {
    let failed = |error: TlsError| UserError::unavailable(format!("cannot set up TLS: {error}"));
    let mut roots = public(replacement().as_deref())?;
    for authority in authorities {
        roots.add(authority.clone()).map_err(failed)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(tls.map_err(failed)?.with_root_certificates(roots).with_no_client_auth())
}

/// TLS for HTTP: see [`client`].
///
/// # Errors
/// See [`client`].
pub fn https(authorities: &[CertificateDer<'static>]) -> Result<ClientConfig, UserError> {
    let mut tls = client(authorities)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

/// The file that replaces the public authorities.
pub fn replacement() -> Option<PathBuf> {
    std::env::var_os(PUBLIC).filter(|path: &OsString| !path.is_empty()).map(PathBuf::from)
}

/// The authorities of a file, or Mozilla's.
fn public(file: Option<&Path>) -> Result<RootCertStore, UserError> {
    let Some(file) = file else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let mut roots = RootCertStore::empty();
    // The list of a system may contain some that rustls does not read.
    let (usable, _) = roots.add_parsable_certificates(certificates(PUBLIC, file)?);
    if usable == 0 { Err(unusable(PUBLIC, file, "it contains no usable certificate")) } else { Ok(roots) }
}

/// The certificates of a PEM file, checked for use as authorities. `key` is the setting that names the file.
///
/// # Errors
/// The file cannot be read, contains no certificate, or one that cannot be used.
pub fn authorities(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, UserError> {
    let all = certificates(key, path)?;
    let mut roots = RootCertStore::empty();
    for authority in &all {
        roots.add(authority.clone()).map_err(|cause| unusable(key, path, &cause.to_string()))?;
    }
    Ok(all)
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, UserError> {
    let pem = std::fs::read(path).map_err(|cause| unusable(key, path, &cause.to_string()))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|cause| unusable(key, path, &cause.to_string()))?;
    if all.is_empty() { Err(unusable(key, path, "it contains no certificate")) } else { Ok(all) }
}

fn unusable(key: &str, path: &Path, reason: &str) -> UserError {
    UserError::usage(format!("{key}: {}: {reason}", path.display()))
        .help("name a PEM file with certificates (-----BEGIN CERTIFICATE-----)")
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
/// a certificate authority.
pub fn explain(tls: &TlsError, host: &str, setting: &str) -> String {
    let TlsError::InvalidCertificate(certificate) = tls else { return tls.to_string() };
    match certificate {
        CertificateError::UnknownIssuer => format!(
            "the issuer of its certificate is not trusted; set {setting} to a file with the issuer's certificate"
        ),
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
        explain(cause(&error).expect("a failure of TLS"), "mail.example", "mail.ca")
    }

    #[test]
    fn failures_of_certificates_say_what_to_do() {
        assert!(explained(CertificateError::UnknownIssuer).contains("set mail.ca to a file"));
        assert!(explained(CertificateError::Expired).contains("renew it"));
        assert!(explained(CertificateError::NotValidForName).contains("another name than mail.example"));
        assert_eq!(cause(&io::Error::other("reset")), None);
    }

    #[test]
    fn a_file_replaces_the_public_authorities() {
        assert!(public(None).expect("Mozilla's").len() > 50);
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("public.pem");
        let refused = |file: &Path| public(Some(file)).expect_err("no authorities").to_string();
        assert!(refused(&file).contains("SSL_CERT_FILE: "), "missing: {}", refused(&file));
        for (text, why) in [
            ("", "contains no certificate"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "contains no usable certificate",
            ),
        ] {
            std::fs::write(&file, text).expect("a file");
            assert!(refused(&file).contains(why), "{}", refused(&file));
        }
    }
}
