//! AUTH (RFC 4954) with a user and a password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::stream::Stream;
use super::{Kind, Timeouts};

/// A user and a password.
#[derive(Clone)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl Login {
    /// Logs in with PLAIN or LOGIN. Errors do not contain the server's text, which may repeat the credentials.
    pub(super) async fn perform(
        &self,
        stream: &mut Stream,
        mechanisms: &[String],
        timeouts: &Timeouts,
    ) -> Result<(), String> {
        let offers = |name: &str| mechanisms.iter().any(|mechanism| mechanism.eq_ignore_ascii_case(name));
        let Self { user, password } = self;
        let lines = if offers("PLAIN") {
            vec![format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{user}\0{password}")))]
        } else if offers("LOGIN") {
            vec!["AUTH LOGIN".to_owned(), STANDARD.encode(user), STANDARD.encode(password)]
        } else {
            return Err("it does not support a login with a password (AUTH PLAIN or LOGIN)".to_owned());
        };
        let last = lines.len() - 1;
        for (number, line) in lines.iter().enumerate() {
            let reply = stream
                .command(line, "the login", timeouts.command)
                .await
                .map_err(|error| error.to_string())?;
            let expected = if number == last { Kind::Positive } else { Kind::Intermediate };
            if reply.kind() != expected {
                return Err(format!("it refused the login with {}", reply.code));
            }
        }
        Ok(())
    }
}
