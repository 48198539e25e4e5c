//! The host's implementation of the import `mail`.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use ::settings::Unsettled;
use effects::{Content, Digest, Effects, Key, Performed, Record, Recorded};

use super::bindings::consumer::plugin::mail;
use super::grant::{MailGrant, Refused};
use super::mailer::{self as host_mail, MailError, Mailer};
use super::{CapturedMail, MAX_EMAIL, NAME, metrics};
use crate::call::{Call, Context, Outside};
use crate::call_end::{CallEnd, Wait};
use crate::limits::Exceeded;

type Sent = Result<mail::Receipt, MailError>;

impl mail::Host for Call {
    async fn send(
        &mut self,
        emails: Vec<mail::Email>,
    ) -> wasmtime::Result<Vec<Result<mail::Receipt, mail::Error>>> {
        let context = self.context.clone();
        let count = counter(&context);
        let Some((outside, grant)) = context.outside.as_ref().zip(context.grants.get::<MailGrant>()) else {
            let denied = |_| {
                count("denied");
                Err(mail::Error::Denied("`mail` is not in the plugin's `allow`".to_owned()))
            };
            return Ok(emails.iter().map(denied).collect());
        };
        let mut results = Vec::with_capacity(emails.len());
        for email in emails {
            self.count_host_call()?;
            if size(&email) > context.grants.limits.size(MAX_EMAIL) {
                return Err(self.exceed(Exceeded::Size(MAX_EMAIL)));
            }
            let email = host_mail::Email::from(email);
            let (name, result) = match grant.check(&email) {
                Ok(()) => {
                    let sent = match outside {
                        Outside::Sent(services) => send(&context, &services.effects, &grant, email).await,
                        Outside::Captured(_) => capture(&context, &grant, &email),
                    };
                    let sent = sent.inspect_err(|_| count("not-tried"))?;
                    (name_of(&grant, &sent), sent.map_err(mail::Error::from))
                }
                Err(refused @ Refused::Denied(_)) => ("denied", Err(refused.into())),
                Err(refused @ Refused::InvalidAddress(_)) => ("permanent", Err(refused.into())),
            };
            count(name);
            results.push(result);
        }
        Ok(results)
    }
}

/// Counts e-mails by result. Dry runs are not counted.
fn counter(context: &Context) -> impl Fn(&'static str) {
    let is_dry = matches!(context.outside, Some(Outside::Captured(_)));
    let plugin = (!is_dry).then(|| context.output.plugin());
    move |result| {
        if let Some(plugin) = &plugin {
            metrics::mail(plugin, result);
        }
    }
}

fn name_of(grant: &MailGrant, sent: &Sent) -> &'static str {
    match sent {
        Ok(_) if grant.mailer().is_none() => "logged",
        Ok(receipt) if receipt.refused.is_empty() => "sent",
        Ok(_) => "sent-in-part",
        Err(MailError::Transient(_)) => "transient",
        Err(MailError::Permanent(_)) => "permanent",
        Err(MailError::Unknown(_)) => "unknown",
    }
}

async fn send(
    context: &Context,
    effects: &Effects,
    grant: &Arc<MailGrant>,
    email: host_mail::Email,
) -> wasmtime::Result<Sent> {
    let Some(mailer) = grant.mailer() else {
        let response = "logged only".to_owned();
        return Ok(Ok(mail::Receipt { id: String::new(), response, refused: Vec::new() }));
    };
    let key = context.effect(digest(&email))?;
    perform(effects, Arc::clone(mailer), grant, context.grants.unsettled, key, email).await
}

async fn perform(
    effects: &Effects,
    mailer: Arc<Mailer>,
    grant: &Arc<MailGrant>,
    unsettled: Unsettled,
    key: Key,
    email: host_mail::Email,
) -> wasmtime::Result<Sent> {
    let (grant, name) = (Arc::clone(grant), key.id());
    // An effect is recorded before it is performed, and a crash leaves it in doubt. If each effect in doubt makes a
    // dead letter, only as many are recorded as keep the connections busy.
    let reserved = match unsettled {
        Unsettled::DeadLetter => Some(mailer.reserve().await),
        Unsettled::Send => None,
    };
    let sending = async move {
        // Counted here: an e-mail that an earlier attempt has sent is not sent again, and does not count.
        if let Err(wait) = grant.count() {
            return Performed::Failed(NotSent::Wait(wait));
        }
        let email = grant.redirected(email);
        let sent = match reserved {
            None => mailer.send(&email, &name).await,
            Some(Ok(reservation)) => mailer.send_reserved(reservation, &email, &name).await,
            Some(Err(late)) => Err(late),
        };
        match sent {
            Ok(receipt) => Performed::Done(receipt),
            Err(error @ MailError::Unknown(_)) => Performed::Unknown(NotSent::Mail(error)),
            Err(error) => Performed::Failed(NotSent::Mail(error)),
        }
    };
    match effects.once(key, sending).await.map_err(CallEnd::Effect)? {
        Ok(receipt) => Ok(Ok(receipt.into())),
        Err(NotSent::Mail(error)) => Ok(Err(error)),
        Err(NotSent::Wait(wait)) => Err(CallEnd::Wait(wait).into()),
    }
}

/// Captures an e-mail if it could be sent.
fn capture(context: &Context, grant: &MailGrant, email: &host_mail::Email) -> wasmtime::Result<Sent> {
    let key = context.effect(digest(email))?;
    let capture = context.output.capture();
    grant.count_alone(capture.count(NAME)).map_err(CallEnd::Wait)?;
    let id = match host_mail::check(&grant.redirected(email.clone()), &key.id()) {
        Ok(id) => id,
        Err(error) => return Ok(Err(error)),
    };
    let redirected_to = grant.redirect_all().map(ToString::to_string);
    capture.effect(NAME, Arc::new(CapturedMail::new(id.clone(), email, redirected_to)));
    Ok(Ok(mail::Receipt { id, response: "captured, not sent".to_owned(), refused: Vec::new() }))
}

/// The reason why an e-mail was not sent.
enum NotSent {
    Mail(MailError),
    Wait(Wait),
}

impl From<Refused> for mail::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Denied(text) => Self::Denied(text),
            Refused::InvalidAddress(text) => Self::Permanent(text),
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
            // The plugin can only retry. The host decides whether that sends the e-mail again.
            error @ MailError::Unknown(_) => Self::Transient(error.to_string()),
            MailError::Transient(text) => Self::Transient(text),
            MailError::Permanent(text) => Self::Permanent(text),
        }
    }
}

/// Identifies an e-mail by its content.
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

/// The size of an e-mail before it is encoded, in bytes.
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
