//! The host's implementation of the import `mail`.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;

use ::settings::Unsettled;
use destinations::{Destination, Reservation};
use effects::{Content, Digest, Effects, Key, Performed, Record, Recorded};
use futures_util::FutureExt as _;
use tokio::sync::oneshot;

use super::bindings::kafka_host::plugin::mail;
use super::compose::{Composed, compose};
use super::grant::{MailGrant, Refused, Turn};
use super::mailer::{self as host_mail, MailError, Mailer, NotSent, ServerTrouble};
use super::servers::Servers;
use super::{CapturedMail, MAX_EMAIL, NAME, metrics};
use crate::call::{Call, Context, Outside};
use crate::call_clock::{CallClock, Pause};
use crate::call_end::CallEnd;
use crate::limits::Exceeded;

/// The number of e-mails that are recorded for each connection, so that connections do not wait for the store. A crash
/// leaves them in doubt: with `dead-letter` an operator has to examine each of them.
const AHEAD_SEND: usize = 4;
const AHEAD_DEAD_LETTER: usize = 2;
/// The number of refusals by the server, while it accepts other e-mails, after which one counts as refused itself.
const MAX_SUSPICIONS: u32 = 10;

type Sent = Result<mail::Receipt, MailError>;

impl mail::Host for Call {
    async fn send(
        &mut self,
        emails: Vec<mail::Email>,
    ) -> wasmtime::Result<Vec<Result<mail::Receipt, mail::MailError>>> {
        let context = self.context.clone();
        let count = counter(&context);
        let Some((outside, grant)) = context.outside.as_ref().zip(context.grants.get::<MailGrant>()) else {
            let denied = |_| {
                count("denied");
                Err(mail::MailError::Denied("`mail` is not in the plugin's `allow`".to_owned()))
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
                        Outside::Sent(services) => {
                            self.enter_host();
                            let sent = send(&context, &services.effects, &grant, email).await;
                            self.leave_host();
                            sent
                        }
                        Outside::Captured(_) => capture(&context, &grant, &email),
                    };
                    let sent = sent.inspect_err(|_| count("not-tried"))?;
                    (name_of(&grant, &sent), sent.map_err(mail::MailError::from))
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
        Ok(_) if grant.servers().is_none() => "logged",
        Ok(receipt) if receipt.refused.is_empty() => "sent",
        Ok(_) => "sent-in-part",
        Err(MailError::Transient(_)) => "transient",
        Err(MailError::Permanent(_)) => "permanent",
        Err(MailError::Unknown(_)) => "unknown",
    }
}

/// Sends an e-mail that is allowed, once.
async fn send(
    context: &Context,
    effects: &Effects,
    grant: &Arc<MailGrant>,
    email: host_mail::Email,
) -> wasmtime::Result<Sent> {
    let Some(servers) = grant.servers() else {
        let response = "logged only".to_owned();
        return Ok(Ok(mail::Receipt { id: String::new(), response, refused: Vec::new() }));
    };
    let key = context.effect(digest(&email))?;
    let email = grant.redirected(email);
    let composed = match compose(&email, &key.id()) {
        Ok(composed) => Arc::new(composed),
        Err(reason) => return Ok(Err(MailError::Permanent(reason))),
    };
    let ahead = match context.grants.unsettled {
        Unsettled::Send => AHEAD_SEND,
        Unsettled::DeadLetter => AHEAD_DEAD_LETTER,
    };
    let delivery = Delivery { clock: context.clock(), effects, servers, grant, key, composed, ahead };
    Ok(delivery.run().await?.map(mail::Receipt::from))
}

/// One e-mail on its way to a server.
struct Delivery<'a> {
    clock: Option<&'a Arc<CallClock>>,
    effects: &'a Effects,
    servers: &'a Servers,
    grant: &'a Arc<MailGrant>,
    key: Key,
    composed: Arc<Composed>,
    /// The number of recorded e-mails for each connection.
    ahead: usize,
}

impl Delivery<'_> {
    /// Waits until the e-mail may be sent and sends it, again and again while a server is the reason that it was not
    /// sent. Waiting costs the message no attempt, and the call no time.
    async fn run(self) -> Result<Result<host_mail::Receipt, MailError>, CallEnd> {
        let mut suspicion = Suspicion::default();
        loop {
            let waiting = self.clock.map(CallClock::wait);
            let turn = self.grant.turn().await;
            let (mailer, reservation) = self.servers.reserve(self.ahead).await;
            suspicion.at(mailer.destination());
            let trouble = match self.once(waiting, turn, mailer, reservation).await? {
                Ok(receipt) => return Ok(Ok(receipt)),
                Err(NotSent::Mail(error)) => return Ok(Err(error)),
                Err(NotSent::Server(trouble)) => trouble,
            };
            if trouble.is_suspect && suspicion.is_confirmed() {
                return Ok(Err(MailError::Transient(trouble.reason)));
            }
        }
    }

    /// Sends the e-mail unless it was sent before. Nothing is recorded while it waits: an e-mail that has begun and has
    /// no result is in doubt after a crash.
    async fn once(
        &self,
        waiting: Option<Pause>,
        turn: Turn,
        mailer: &Arc<Mailer>,
        reservation: Reservation,
    ) -> Result<Result<host_mail::Receipt, NotSent>, CallEnd> {
        let (mailer, composed) = (Arc::clone(mailer), Arc::clone(&self.composed));
        let clock = self.clock.cloned();
        // A call that has ended begins nothing.
        let (_call, ended) = oneshot::channel::<Infallible>();
        let sending = async move {
            let sent = match reservation.enter_unless(ended.map(drop)).await {
                Ok(room) => {
                    let _performing = clock.as_ref().map(CallClock::perform);
                    drop(waiting);
                    mailer.attempt(room, &composed).await
                }
                Err(outage) => Err(NotSent::Server(ServerTrouble { reason: outage.0, is_suspect: false })),
            };
            if !matches!(sent, Err(NotSent::Server(ServerTrouble { is_suspect: false, .. }))) {
                turn.take();
            }
            match sent {
                Ok(receipt) => Performed::Done(receipt),
                Err(error @ NotSent::Mail(MailError::Unknown(_))) => Performed::Unknown(error),
                Err(error) => Performed::Failed(error),
            }
        };
        Ok(self.effects.once(self.key.clone(), sending).await?)
    }
}

/// Whether an e-mail is the reason that servers refuse it, although the answers say otherwise: others were accepted
/// meanwhile, each time.
#[derive(Default)]
struct Suspicion<'a> {
    server: Option<&'a Arc<Destination>>,
    /// The number of e-mails that this server had accepted when it last refused this one.
    accepted: u64,
    count: u32,
}

impl<'a> Suspicion<'a> {
    /// The e-mail is about to be sent to this server.
    fn at(&mut self, server: &'a Arc<Destination>) {
        if !self.server.is_some_and(|known| Arc::ptr_eq(known, server)) {
            (self.server, self.accepted) = (Some(server), server.succeeded());
        }
    }

    /// The server refused it.
    fn is_confirmed(&mut self) -> bool {
        let accepted = self.server.map_or(self.accepted, |server| server.succeeded());
        self.count += u32::from(accepted > self.accepted);
        self.accepted = accepted;
        self.count >= MAX_SUSPICIONS
    }
}

/// Captures an e-mail if it could be sent.
fn capture(context: &Context, grant: &MailGrant, email: &host_mail::Email) -> wasmtime::Result<Sent> {
    let key = context.effect(digest(email))?;
    let capture = context.output.capture();
    let id = match host_mail::check(&grant.redirected(email.clone()), &key.id()) {
        Ok(id) => id,
        Err(error) => return Ok(Err(error)),
    };
    let redirected_to = grant.redirect_all().map(ToString::to_string);
    capture.effect(NAME, Arc::new(CapturedMail::new(id.clone(), email, redirected_to)));
    Ok(Ok(mail::Receipt { id, response: "captured, not sent".to_owned(), refused: Vec::new() }))
}

impl From<Refused> for mail::MailError {
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

impl From<MailError> for mail::MailError {
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
