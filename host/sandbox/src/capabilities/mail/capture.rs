//! E-mails of dry runs.

use serde::{Deserialize, Serialize};

use super::mailer::{Address, Email};
use crate::capture::{Effect, size_of_pairs, size_of_texts};
use crate::wording::{content, line, list, pairs};

/// An e-mail as the plugin requested it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedMail {
    /// The `Message-ID` with which it would be sent.
    pub id: String,
    /// `user@domain`, or `name <user@domain>`, as for all addresses.
    pub sender: String,
    /// `To`.
    pub to: Vec<String>,
    /// `Cc`.
    pub cc: Vec<String>,
    /// Hidden recipients.
    pub bcc: Vec<String>,
    /// The address that would receive it in place of the recipients, by `redirect-all`.
    pub redirected_to: Option<String>,
    /// `Reply-To`.
    pub reply_to: Option<String>,
    /// One line.
    pub subject: String,
    /// The plain text body.
    pub text: Option<String>,
    /// The HTML body.
    pub html: Option<String>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Attachments without their content.
    pub attachments: Vec<CapturedFile>,
}

/// An attachment of an e-mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedFile {
    /// Its file name.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// Its size in bytes.
    pub size: usize,
}

impl CapturedMail {
    pub(super) fn new(id: String, email: &Email, redirected_to: Option<String>) -> Self {
        let all = |list: &[Address]| list.iter().map(shown).collect();
        let attachments = email.attachments.iter().map(|file| CapturedFile {
            name: file.filename.clone(),
            content_type: file.content_type.clone(),
            size: file.content.len(),
        });
        Self {
            id,
            sender: shown(&email.sender),
            to: all(&email.to),
            cc: all(&email.cc),
            bcc: all(&email.bcc),
            redirected_to,
            reply_to: email.reply_to.as_ref().map(shown),
            subject: email.subject.clone(),
            text: email.text.clone(),
            html: email.html.clone(),
            headers: email.headers.clone(),
            attachments: attachments.collect(),
        }
    }
}

impl Effect for CapturedMail {
    fn summary(&self) -> String {
        "e-mail".to_owned()
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("e-mail from {} to {}", line(&self.sender), list(&self.to))];
        for (name, addresses) in [("cc", &self.cc), ("bcc", &self.bcc)] {
            if !addresses.is_empty() {
                lines.push(format!("  {name} {}", list(addresses)));
            }
        }
        for (name, value) in [("redirected to", &self.redirected_to), ("reply to", &self.reply_to)] {
            lines.extend(value.as_ref().map(|value| format!("  {name} {}", line(value))));
        }
        lines.push(format!("  subject {}", line(&self.subject)));
        lines.push(format!("  Message-ID {}", line(&self.id)));
        lines.extend(pairs(&self.headers));
        lines.extend(self.attachments.iter().map(|file| {
            format!("  attachment {} ({}, {} bytes)", line(&file.name), line(&file.content_type), file.size)
        }));
        for (name, body) in [("text", &self.text), ("html", &self.html)] {
            lines.extend(body.iter().flat_map(|body| content(name, body.as_bytes())));
        }
        lines
    }

    fn size(&self) -> usize {
        let bodies = self.text.iter().chain(&self.html).map(String::len).sum::<usize>();
        let files = self.attachments.iter();
        let files = files.map(|file| file.name.len() + file.content_type.len() + 64).sum::<usize>();
        let lists = [&self.to, &self.cc, &self.bcc].map(|list| size_of_texts(list)).iter().sum::<usize>();
        self.subject.len() + bodies + files + lists + size_of_pairs(&self.headers) + 512
    }
}

fn shown(address: &Address) -> String {
    match &address.name {
        Some(name) => format!("{name} <{}>", address.email),
        None => address.email.clone(),
    }
}

#[cfg(test)]
mod tests {
    use crate::capture::Captured;

    #[test]
    fn every_part_of_an_e_mail_is_shown() {
        let json = serde_json::json!({
            "kind": "mail", "id": "<1@b>", "sender": "a@b", "to": ["b@c", "c@d"], "cc": [], "bcc": ["d@e"],
            "redirected_to": "e@f", "reply_to": null, "subject": "hello\n", "text": "one\ntwo", "html": null,
            "headers": [["x-a", "1"]], "attachments": [{ "name": "a.txt", "content_type": "text/plain", "size": 3 }],
        });
        let captured: Captured = serde_json::from_value(json.clone()).expect("an e-mail");
        let expected = [
            "e-mail from a@b to b@c, c@d",
            "  bcc d@e",
            "  redirected to e@f",
            "  subject hello\\n",
            "  Message-ID <1@b>",
            "  x-a: 1",
            "  attachment a.txt (text/plain, 3 bytes)",
            "  text, 7 bytes",
            "    one",
            "    two",
        ];
        assert_eq!(
            (captured.lines(), captured.summary()),
            (expected.map(str::to_owned).to_vec(), "e-mail".into())
        );
        assert_eq!(serde_json::to_value(&captured).expect("JSON"), json);
    }
}
