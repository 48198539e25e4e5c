//! The contract's imports, as the host provides them.

use std::sync::Arc;

use tracing::Level;
use wasmtime::component::{HasSelf, Linker};

use super::bindings::consumer::plugin::{config, log, mail, types};
use super::bindings::{Plugin as World, consumer::plugin::log::Level as GuestLevel};
use super::call::Call;
use crate::mail as host_mail;

/// Links everything a plugin may import. WASI is always linked, because Rust, JavaScript and
/// Python components import all of it; over its empty context it denies on call.
///
/// # Errors
/// Two definitions of one import.
pub fn link(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    World::add_to_linker::<Call, HasSelf<Call>>(linker, |call| call)
}

impl types::Host for Call {}

impl config::Host for Call {
    /// Plugins have no configuration yet.
    fn get(&mut self, _: String) -> Option<String> {
        None
    }
}

impl log::Host for Call {
    fn write(&mut self, level: GuestLevel, mut text: String, fields: Vec<(String, String)>) {
        use std::fmt::Write as _;
        for (name, value) in fields {
            let _ = write!(text, " {name}={value}");
        }
        let level = match level {
            GuestLevel::Trace => Level::TRACE,
            GuestLevel::Debug => Level::DEBUG,
            GuestLevel::Info => Level::INFO,
            GuestLevel::Warn => Level::WARN,
            GuestLevel::Error => Level::ERROR,
        };
        self.output.line(level, &text);
    }
}

impl mail::Host for Call {
    async fn send(&mut self, emails: Vec<mail::Email>) -> Vec<Result<mail::Receipt, mail::Error>> {
        let Some(services) = self.services.clone() else {
            let denied =
                || Err(mail::Error::Denied("no e-mail while the plugin describes itself".to_owned()));
            return emails.iter().map(|_| denied()).collect();
        };
        let mut results = Vec::with_capacity(emails.len());
        for email in emails {
            results.push(match &services.mailer {
                None => Ok(mail::Receipt { id: String::new(), response: "logged only".to_owned() }),
                Some(mailer) => {
                    let (mailer, email) = (Arc::clone(mailer), host_mail::Email::from(email));
                    // Connections belong to the runtime they were opened on.
                    let sent = services.runtime.spawn(async move { mailer.send(&email).await }).await;
                    match sent {
                        Ok(Ok(receipt)) => Ok(mail::Receipt { id: receipt.id, response: receipt.response }),
                        Ok(Err(host_mail::MailError::Transient(text))) => Err(mail::Error::Transient(text)),
                        Ok(Err(host_mail::MailError::Permanent(text))) => Err(mail::Error::Permanent(text)),
                        Err(error) => {
                            Err(mail::Error::Transient(format!("sending was interrupted: {error}")))
                        }
                    }
                }
            });
        }
        results
    }
}

impl From<mail::Address> for host_mail::Address {
    fn from(address: mail::Address) -> Self {
        Self { name: address.name, email: address.email }
    }
}

impl From<mail::Email> for host_mail::Email {
    fn from(email: mail::Email) -> Self {
        let addresses = |list: Vec<mail::Address>| list.into_iter().map(Into::into).collect();
        let attachments = email.attachments.into_iter().map(|attachment| host_mail::Attachment {
            filename: attachment.filename,
            content_type: attachment.content_type,
            content: attachment.content,
        });
        Self {
            sender: email.sender.into(),
            to: addresses(email.to),
            cc: addresses(email.cc),
            bcc: addresses(email.bcc),
            reply_to: email.reply_to.map(Into::into),
            subject: email.subject,
            text: email.text,
            html: email.html,
            headers: email.headers,
            attachments: attachments.collect(),
        }
    }
}
