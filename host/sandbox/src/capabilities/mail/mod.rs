//! The capability `mail`: e-mail through the host's mail server.

mod bindings;
pub mod compose;
pub mod grant;
#[cfg(test)]
mod import_tests;
pub mod mailer;
pub mod metrics;
mod server;
mod transaction;

use std::sync::Arc;

use effects::{Content, Digest, Key, Performed, Record, Recorded};
use settings::Unsettled;
use wasmtime::component::{HasSelf, Linker};

use self::bindings::MailCapability;
use self::bindings::consumer::plugin::mail;
use self::grant::{MailGrant, Refused, TooMany};
use self::mailer::{self as host_mail, MailError};
use crate::call::{Call, Outside, Services};
use crate::capture::Capture;
use crate::limits::Exceeded;

/// Links its import.
///
/// # Errors
/// Two definitions of it.
pub fn link(linker: &mut Linker<Call>) -> wasmtime::Result<()> {
    MailCapability::add_to_linker::<Call, HasSelf<Call>>(linker, |call| call)
}

impl mail::Host for Call {
    async fn send(
        &mut self,
        emails: Vec<mail::Email>,
    ) -> wasmtime::Result<Vec<Result<mail::Receipt, mail::Error>>> {
        let plugin = self.output.plugin();
        let (Some(outside), Some(grant)) = (self.outside.clone(), self.grants.mail.clone()) else {
            let denied = |_| {
                metrics::mail(&plugin, "denied");
                Err(mail::Error::Denied("`mail` is not in the plugin's `allow`".to_owned()))
            };
            return Ok(emails.iter().map(denied).collect());
        };
        let mut results = Vec::with_capacity(emails.len());
        for email in emails {
            self.count_host_call()?;
            if size(&email) > self.grants.limits.mail {
                return Err(self.exceed(Exceeded::Mail));
            }
            let email = host_mail::Email::from(email);
            let (name, result) = match grant.check(&email) {
                Ok(()) => {
                    let key = self.effect(digest(&email));
                    let sent = match &outside {
                        Outside::Sent(services) => {
                            send(services, &grant, self.grants.unsettled, key, email).await
                        }
                        Outside::Captured(_) => capture(&self.output.capture(), &grant, &key, &email),
                    };
                    let sent = sent.inspect_err(|_| metrics::mail(&plugin, "not-tried"))?;
                    (name_of(&outside, &sent), sent.map_err(mail::Error::from))
                }
                Err(refused @ Refused::Denied(_)) => ("denied", Err(refused.into())),
                Err(refused @ Refused::NoAddress(_)) => ("permanent", Err(refused.into())),
            };
            metrics::mail(&plugin, name);
            results.push(result);
        }
        Ok(results)
    }
}

/// What it is counted as.
fn name_of(outside: &Outside, sent: &Result<mail::Receipt, MailError>) -> &'static str {
    match outside {
        Outside::Captured(_) => return "captured",
        Outside::Sent(services) if services.mailer.is_none() => return "logged",
        Outside::Sent(_) => {}
    }
    match sent {
        Ok(receipt) if receipt.refused.is_empty() => "sent",
        Ok(_) => "sent-in-part",
        Err(MailError::Transient(_)) => "transient",
        Err(MailError::Permanent(_)) => "permanent",
        Err(MailError::Unknown(_)) => "unknown",
    }
}

async fn send(
    services: &Services,
    grant: &Arc<MailGrant>,
    unsettled: Unsettled,
    key: Key,
    email: host_mail::Email,
) -> wasmtime::Result<Result<mail::Receipt, MailError>> {
    let Some(mailer) = &services.mailer else {
        let response = "logged only".to_owned();
        return Ok(Ok(mail::Receipt { id: String::new(), response, refused: Vec::new() }));
    };
    let (mailer, grant) = (Arc::clone(mailer), Arc::clone(grant));
    let name = key.id();
    // What a crash leaves in doubt is written down before it is sent. Where a person has to look at it, it is no
    // more than keeps the connections busy.
    let turn = match unsettled {
        Unsettled::DeadLetter => Some(mailer.turn().await),
        Unsettled::Send => None,
    };
    let sending = async move {
        // Counted here: what was sent by an earlier try is not sent, and counts no more.
        if let Err(too_many) = grant.count() {
            return Performed::Failed(NotSent::TooMany(too_many));
        }
        let email = grant.redirected(email);
        let sent = match turn {
            None => mailer.send(&email, &name).await,
            Some(Ok(turn)) => mailer.send_in(turn, &email, &name).await,
            Some(Err(late)) => Err(late),
        };
        match sent {
            Ok(receipt) => Performed::Done(receipt),
            Err(error @ MailError::Unknown(_)) => Performed::Unknown(NotSent::Mail(error)),
            Err(error) => Performed::Failed(NotSent::Mail(error)),
        }
    };
    match services.effects.once(key, sending).await? {
        Ok(receipt) => Ok(Ok(receipt.into())),
        Err(NotSent::Mail(error)) => Ok(Err(error)),
        Err(NotSent::TooMany(too_many)) => Err(too_many.into()),
    }
}

/// Writes it down instead of sending it, where it could be sent.
fn capture(
    capture: &Capture,
    grant: &MailGrant,
    key: &Key,
    email: &host_mail::Email,
) -> wasmtime::Result<Result<mail::Receipt, MailError>> {
    grant.count_alone(capture.mails())?;
    let id = match host_mail::check(&grant.redirected(email.clone()), &key.id()) {
        Ok(id) => id,
        Err(error) => return Ok(Err(error)),
    };
    capture.mail(id.clone(), email, grant.redirect_all().map(ToString::to_string));
    Ok(Ok(mail::Receipt { id, response: "captured, not sent".to_owned(), refused: Vec::new() }))
}

/// Why an e-mail was not sent.
enum NotSent {
    Mail(MailError),
    TooMany(TooMany),
}

impl From<Refused> for mail::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Denied(text) => Self::Denied(text),
            Refused::NoAddress(text) => Self::Permanent(text),
        }
    }
}

impl Recorded for host_mail::Receipt {
    fn record(&self) -> Record {
        Record { head: serde_json::to_string(self).unwrap_or_default(), body: Vec::new() }
    }

    fn recall(record: Record) -> Option<Self> {
        serde_json::from_str(&record.head).ok()
    }
}

impl From<host_mail::Receipt> for mail::Receipt {
    fn from(receipt: host_mail::Receipt) -> Self {
        let refused = receipt.refused.into_iter().map(|refusal| mail::Refusal {
            recipient: refusal.recipient,
            transient: refusal.transient,
            response: refusal.response,
        });
        Self { id: receipt.id, response: receipt.response, refused: refused.collect() }
    }
}

impl From<MailError> for mail::Error {
    fn from(error: MailError) -> Self {
        match error {
            // The plugin can only try again; whether that sends it again is the host's to know.
            error @ MailError::Unknown(_) => Self::Transient(error.to_string()),
            MailError::Transient(text) => Self::Transient(text),
            MailError::Permanent(text) => Self::Permanent(text),
        }
    }
}

/// Everything that the plugin said of the e-mail.
fn digest(email: &host_mail::Email) -> Digest {
    let count = |content: Content, count: usize| content.field(&(count as u64).to_be_bytes());
    let text = |content: Content, text: Option<&str>| match text {
        Some(text) => content.field(b"1").field(text.as_bytes()),
        None => content.field(b"0"),
    };
    let address = |content: Content, address: &host_mail::Address| {
        text(content, address.name.as_deref()).field(address.email.as_bytes())
    };
    let mut content = address(Content::default().field(b"mail"), &email.sender);
    let reply_to: Vec<_> = email.reply_to.iter().cloned().collect();
    for list in [&email.to, &email.cc, &email.bcc, &reply_to] {
        content = list.iter().fold(count(content, list.len()), address);
    }
    for part in [Some(email.subject.as_str()), email.text.as_deref(), email.html.as_deref()] {
        content = text(content, part);
    }
    content = count(content, email.headers.len());
    for (name, value) in &email.headers {
        content = content.field(name.as_bytes()).field(value.as_bytes());
    }
    for file in &email.attachments {
        content = content.field(file.filename.as_bytes());
        content = content.field(file.content_type.as_bytes()).field(&file.content);
    }
    content.digest()
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
