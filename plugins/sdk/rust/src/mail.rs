//! E-mail, which the host sends. The configuration grants it with `allow = ["mail"]`.
//!
//! ```
//! use kafka_host_plugin::{Outcome, Result, mail::{self, Email}};
//!
//! fn notify(address: String) -> Result {
//!     let email = Email::new("shop@example.com", address, "Your order").text("It is on its way.");
//!     let receipt = mail::send(&email)?;
//!     Ok(Outcome::done(receipt.response))
//! }
//! ```

pub use crate::bindings::kafka_host::plugin::mail::{
    Address, Attachment, Email, MailError, Receipt, Refusal,
};
use crate::{Failure, Result, imports, reject, retry};

/// Sends an e-mail to all of its recipients. To those that the server refused for now, while it accepted others, it is sent
/// again. A retry of the message repeats these calls: the host answers those that succeeded from its ledger.
///
/// # Errors
/// Not every recipient was accepted: a retry (`smtp-451` and so on, by the server's reply, or `smtp-transient`) or a
/// rejection (`smtp-550` and so on, `smtp-permanent`, or `mail-denied` without a grant).
pub fn send(email: &Email) -> Result<Receipt> {
    let mut refused: Vec<Refusal> = Vec::new();
    let mut rest: Option<Email> = None;
    loop {
        let email = rest.as_ref().unwrap_or(email);
        let mut receipt = match send_once(email) {
            Ok(receipt) => receipt,
            Err(MailError::Permanent(response)) if !refused.is_empty() => {
                return Err(refusal(&refused, Some(response)));
            }
            Err(error) => return Err(error.into()),
        };
        let (again, permanent): (Vec<_>, Vec<_>) =
            receipt.refused.drain(..).partition(|refusal| refusal.transient);
        refused.extend(permanent);
        if again.is_empty() {
            return if refused.is_empty() { Ok(receipt) } else { Err(refusal(&refused, None)) };
        }
        // At least one recipient was accepted, so that this ends.
        if again.len() >= email.to.len() + email.cc.len() + email.bcc.len() {
            return Err(retry("smtp-transient", "the server accepted no further recipient"));
        }
        rest = Some(email.for_recipients(&again));
    }
}

/// Sends an e-mail once. The server accepted it for at least one recipient; [`Receipt::refused`] has the others.
///
/// # Errors
/// No recipient was accepted. As a [`Failure`], it has the code that [`send`] describes.
pub fn send_once(email: &Email) -> Result<Receipt, MailError> {
    let results = imports::mail(std::slice::from_ref(email));
    let none = || MailError::Transient("the host returned no result for the e-mail".to_owned());
    results.into_iter().next().ok_or_else(none)?
}

impl Email {
    /// An e-mail to one recipient, without content.
    pub fn new(sender: impl Into<Address>, to: impl Into<Address>, subject: impl Into<String>) -> Self {
        Self {
            sender: sender.into(),
            to: vec![to.into()],
            cc: vec![],
            bcc: vec![],
            reply_to: None,
            subject: subject.into(),
            text: None,
            html: None,
            headers: vec![],
            attachments: vec![],
        }
    }

    /// Sets the plain text.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..self }
    }

    /// Sets the HTML. A client shows it instead of the text.
    #[must_use]
    pub fn html(self, html: impl Into<String>) -> Self {
        Self { html: Some(html.into()), ..self }
    }

    /// Adds a file.
    #[must_use]
    pub fn attach(
        mut self,
        filename: impl Into<String>,
        content_type: impl Into<String>,
        content: impl Into<Vec<u8>>,
    ) -> Self {
        let (filename, content_type, content) = (filename.into(), content_type.into(), content.into());
        self.attachments.push(Attachment { filename, content_type, content });
        self
    }

    /// The same e-mail for some of its recipients. The host writes an international domain in ASCII, so that such a recipient
    /// is not found: it has no name then, and is in the list that nobody else reads.
    fn for_recipients(&self, refused: &[Refusal]) -> Self {
        let is_refused =
            |address: &&Address| refused.iter().any(|refusal| refusal.recipient == address.email);
        let only = |list: &[Address]| -> Vec<Address> { list.iter().filter(is_refused).cloned().collect() };
        let mut email = Self { to: only(&self.to), cc: only(&self.cc), bcc: only(&self.bcc), ..self.clone() };
        let everybody = [&self.to, &self.cc, &self.bcc];
        for Refusal { recipient, .. } in refused {
            if !everybody.iter().any(|list| list.iter().any(|address| address.email == *recipient)) {
                let list = if self.bcc.is_empty() { &mut email.to } else { &mut email.bcc };
                list.push(Address::from(recipient.as_str()));
            }
        }
        email
    }
}

impl Address {
    /// An address with a display name.
    pub fn named(name: impl Into<String>, email: impl Into<String>) -> Self {
        Self { name: Some(name.into()), email: email.into() }
    }
}

impl From<String> for Address {
    fn from(email: String) -> Self {
        Self { name: None, email }
    }
}

impl From<&str> for Address {
    fn from(email: &str) -> Self {
        email.to_owned().into()
    }
}

impl From<MailError> for Failure {
    fn from(error: MailError) -> Self {
        match error {
            MailError::Transient(detail) => retry(code(&detail, '4', "smtp-transient"), detail),
            MailError::Permanent(detail) => reject(permanent(&detail), detail),
            MailError::Denied(detail) => reject("mail-denied", detail),
        }
    }
}

/// The failure for recipients that were refused for good. The first one decides the code.
fn refusal(refused: &[Refusal], last: Option<String>) -> Failure {
    let first = refused.first().map_or("", |refusal| &refusal.response);
    let one = |refusal: &Refusal| format!("{}: {}", refusal.recipient, refusal.response);
    let details: Vec<String> = refused.iter().map(one).chain(last).collect();
    reject(permanent(first), details.join("; "))
}

fn permanent(detail: &str) -> String {
    code(detail, '5', "smtp-permanent")
}

/// The failure code of a server's reply: `smtp-550`; `otherwise` if there is no reply of this class.
fn code(detail: &str, class: char, otherwise: &str) -> String {
    match reply_code(detail).filter(|code| code.starts_with(class)) {
        Some(code) => format!("smtp-{code}"),
        None => otherwise.to_owned(),
    }
}

/// The code of the server's reply in a detail: `… answered 550 no such user`, or the reply alone.
fn reply_code(detail: &str) -> Option<&str> {
    let reply = detail.split_once(" answered ").map_or(detail, |(_, reply)| reply);
    let (code, rest) = reply.split_at_checked(3)?;
    let is_code = code.bytes().all(|byte| byte.is_ascii_digit());
    (is_code && !rest.starts_with(|c: char| c.is_alphanumeric())).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;
    use crate::testing::{Host, message};

    type Answer = Result<Vec<Refusal>, MailError>;

    fn refused(recipient: &str, transient: bool) -> Refusal {
        let response = if transient { "450" } else { "550" };
        Refusal { recipient: recipient.into(), transient, response: response.into() }
    }

    fn email() -> Email {
        let mut email = Email::new("s@x", Address::named("A", "a@x"), "Hi").text("t").html("h");
        email.to.push("b@bücher.de".into());
        email.cc.push(Address::named("C", "c@x"));
        email.attach("a.txt", "text/plain", "x")
    }

    /// The result of sending, and the recipients of each e-mail.
    fn sent(email: Email, answers: Vec<Answer>) -> (Result, Vec<Vec<String>>) {
        let mut answers = answers.into_iter();
        let mut host = Host::new().on_mail(move |_| {
            let refused = answers.next().expect("a further e-mail")?;
            Ok(Receipt { id: "x".into(), response: "250 queued".into(), refused })
        });
        let result =
            host.handle(move |_: u8| send(&email).map(|it| Outcome::done(it.response)), &message(&1));
        let recipients = |email: &Email| {
            let named = |it: &Address| it.name.iter().chain([&it.email]).cloned().collect::<String>();
            [&email.to, &email.cc, &email.bcc].into_iter().flatten().map(named).collect()
        };
        (result, host.emails.iter().map(recipients).collect())
    }

    #[test]
    fn the_code_is_that_of_the_reply() {
        for (error, code, is_retry) in [
            (MailError::Transient("451 busy".into()), "smtp-451", true),
            (MailError::Transient("usual (smtp://m:25) answered 421 4.3.2 closing".into()), "smtp-421", true),
            (MailError::Transient("no connection".into()), "smtp-transient", true),
            (MailError::Permanent("550 no such user".into()), "smtp-550", false),
            (MailError::Permanent("it accepted none; it answered 554 gone".into()), "smtp-554", false),
            (MailError::Permanent("it answered 5500 cats".into()), "smtp-permanent", false),
            (MailError::Denied("mail is not granted".into()), "mail-denied", false),
        ] {
            let (result, sent) = sent(email(), vec![Err(error)]);
            let failure = result.unwrap_err();
            assert_eq!((failure.code(), failure.is_retry(), sent.len()), (code, is_retry, 1));
        }
    }

    #[test]
    fn recipients_that_were_refused_for_now_are_sent_to_alone() {
        let (result, recipients) = sent(
            email(),
            vec![
                Ok(vec![refused("b@xn--bcher-kva.de", true), refused("c@x", true)]),
                Ok(vec![refused("c@x", true)]),
                Ok(vec![]),
            ],
        );
        assert_eq!(result, Ok(Outcome::done("250 queued")));
        let all = [vec!["Aa@x", "b@bücher.de", "Cc@x"], vec!["b@xn--bcher-kva.de", "Cc@x"], vec!["Cc@x"]];
        assert_eq!(recipients, all);
        let (result, _) = sent(email(), vec![Ok(vec![refused("a@x", true)]), Ok(vec![refused("a@x", true)])]);
        assert_eq!(result.unwrap_err().code(), "smtp-transient");
        let busy = Err(MailError::Transient("450 busy".into()));
        assert!(sent(email(), vec![Ok(vec![refused("a@x", true)]), busy]).0.unwrap_err().is_retry());
    }

    #[test]
    fn a_hidden_recipient_stays_hidden() {
        let mut hidden = email();
        hidden.bcc.push("d@bücher.de".into());
        let answer = [refused("a@x", true), refused("d@xn--bcher-kva.de", true)];
        let rest = hidden.for_recipients(&answer);
        let emails = |list: &[Address]| list.iter().map(|it| it.email.clone()).collect::<Vec<_>>();
        assert_eq!(
            (emails(&rest.to), emails(&rest.bcc)),
            (vec!["a@x".into()], vec!["d@xn--bcher-kva.de".into()])
        );
        assert_eq!((rest.attachments.len(), &rest.text, &rest.html), (1, &hidden.text, &hidden.html));
    }

    #[test]
    fn recipients_that_were_refused_for_good_are_in_the_detail() {
        let both = || Ok(vec![refused("a@x", false), refused("c@x", true)]);
        for (answers, detail) in [
            (vec![Ok(vec![refused("a@x", false)])], "a@x: 550"),
            (vec![both(), Ok(vec![])], "a@x: 550"),
            (vec![both(), Err(MailError::Permanent("550 gone".into()))], "a@x: 550; 550 gone"),
        ] {
            let failure = sent(email(), answers).0.unwrap_err();
            assert_eq!((failure.code(), failure.detail(), failure.is_retry()), ("smtp-550", detail, false));
        }
    }
}
