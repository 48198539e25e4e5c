//! The contract's imports, as the host provides them.

use std::sync::Arc;

use tracing::Level;
use wasmtime::component::{HasSelf, Linker};

use super::bindings::consumer::plugin::{config, log, mail, types};
use super::bindings::{Plugin as World, consumer::plugin::log::Level as GuestLevel};
use super::call::Call;
use super::limits::Exceeded;
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
    fn get(&mut self, key: String) -> wasmtime::Result<Option<String>> {
        self.count_host_call()?;
        Ok(self.grants.config.get(&key).cloned())
    }
}

impl log::Host for Call {
    fn write(
        &mut self,
        level: GuestLevel,
        mut text: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        use std::fmt::Write as _;
        self.count_host_call()?;
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
        if self.output.is_full() { Err(self.exceed(Exceeded::Log)) } else { Ok(()) }
    }
}

impl mail::Host for Call {
    async fn send(
        &mut self,
        emails: Vec<mail::Email>,
    ) -> wasmtime::Result<Vec<Result<mail::Receipt, mail::Error>>> {
        let Some(services) = self.services.clone().filter(|_| self.grants.mail) else {
            let denied = || Err(mail::Error::Denied("`mail` is not in the plugin's `allow`".to_owned()));
            return Ok(emails.iter().map(|_| denied()).collect());
        };
        let mut results = Vec::with_capacity(emails.len());
        for email in emails {
            self.count_host_call()?;
            if size(&email) > self.grants.limits.mail {
                return Err(self.exceed(Exceeded::Mail));
            }
            results.push(match &services.mailer {
                None => Ok(mail::Receipt {
                    id: String::new(),
                    response: "logged only".to_owned(),
                    refused: Vec::new(),
                }),
                Some(mailer) => {
                    let (mailer, email) = (Arc::clone(mailer), host_mail::Email::from(email));
                    // Connections belong to the runtime they were opened on.
                    let sent = services.runtime.spawn(async move { mailer.send(&email).await }).await;
                    match sent {
                        Ok(Ok(receipt)) => Ok(mail::Receipt {
                            id: receipt.id,
                            response: receipt.response,
                            refused: Vec::new(),
                        }),
                        Ok(Err(host_mail::MailError::Transient(text))) => Err(mail::Error::Transient(text)),
                        Ok(Err(host_mail::MailError::Permanent(text))) => Err(mail::Error::Permanent(text)),
                        Err(error) => {
                            Err(mail::Error::Transient(format!("sending was interrupted: {error}")))
                        }
                    }
                }
            });
        }
        Ok(results)
    }
}

/// What the e-mail holds, before it is encoded.
fn size(email: &mail::Email) -> usize {
    let address =
        |address: &mail::Address| address.email.len() + address.name.as_ref().map_or(0, String::len);
    let addresses = [&email.to, &email.cc, &email.bcc].into_iter().flatten().chain(&email.reply_to);
    let texts = [Some(&email.subject), email.text.as_ref(), email.html.as_ref()];
    let attachments = email.attachments.iter();
    address(&email.sender)
        + addresses.map(address).sum::<usize>()
        + texts.into_iter().flatten().map(String::len).sum::<usize>()
        + email.headers.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>()
        + attachments
            .map(|file| file.filename.len() + file.content_type.len() + file.content.len())
            .sum::<usize>()
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
