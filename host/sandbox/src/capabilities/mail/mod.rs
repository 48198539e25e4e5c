//! The capability `mail`: e-mail through the host's mail server.

mod bindings;
mod capture;
pub mod compose;
pub mod grant;
mod idle;
pub mod mailer;
mod metrics;
mod send;
mod server;
pub mod servers;
pub mod settings;

use std::sync::Arc;

use ::settings::{AllowEntry, Extension, RunArgs, SectionType, SizeLimit};
use base::error::UserError;
pub use connections::smtp;
use wasmtime::component::{HasSelf, Linker};

use self::bindings::MailCapability;
use self::bindings::kafka_host::plugin::mail;
pub use self::capture::{CapturedFile, CapturedMail};
pub use self::grant::MailGrant;
use self::servers::MailServers;
pub use self::settings::{MailSettings, Pattern, Redirect};
use super::{Capability, Grant, GrantRequest};
use crate::call::Call;
use crate::capture::Effect;

const NAME: &str = "mail";
/// The interface in contract 0.1.
const FIRST: &str = "consumer:plugin/mail@";

/// The maximum size of an e-mail with its attachments.
pub static MAX_EMAIL: &SizeLimit = &SETTINGS.limits[0];

static SETTINGS: Extension = Extension {
    allow: &[AllowEntry {
        form: "`mail`",
        about: "`mail`: sending e-mail.",
        example: NAME,
        grants: true,
        matches: |text| text == NAME,
        parse: |text| Ok(text.to_owned()),
    }],
    section: Some(SectionType::table::<MailSettings>(NAME)),
    limits: &[SizeLimit {
        key: "mail",
        about: "An e-mail with its attachments",
        default: 10 << 20,
        code: "mail-too-large",
        detail: "an e-mail has more than",
        in_one_call: true,
    }],
};

/// The capability `mail`.
pub struct Mail;

impl Capability for Mail {
    fn name(&self) -> &'static str {
        NAME
    }

    fn imports(&self) -> &'static [&'static str] {
        &["kafka-host:plugin/mail@", FIRST]
    }

    fn link(&self, linker: &mut Linker<Call>) -> wasmtime::Result<()> {
        MailCapability::add_to_linker::<Call, HasSelf<Call>>(linker, |call| call)?;
        // Contract 0.1 has the same function by another name.
        linker.instance(&format!("{FIRST}0.1.0"))?.func_wrap_async("send", |mut store, (emails,)| {
            Box::new(async move { Ok((mail::Host::send(store.data_mut(), emails).await?,)) })
        })
    }

    fn permits_reset(&self) -> bool {
        true
    }

    fn settings(&self) -> &'static Extension {
        &SETTINGS
    }

    /// Without a configuration file, `--mail-url` is meant for the plugins of the same command line.
    fn without_file(&self) -> &'static [&'static str] {
        &[NAME]
    }

    fn grant(&self, request: &GrantRequest<'_>) -> Result<Option<Arc<dyn Grant>>, UserError> {
        let settings = request.sections.get::<MailSettings>().cloned().unwrap_or_default();
        if !request.allow.is_empty() {
            let all = request.services.and_then(|services| services.shared.get::<Arc<MailServers>>());
            let servers = all.map(|all| all.of_plugin(settings.servers.as_deref())).transpose()?.flatten();
            return Ok(Some(Arc::new(MailGrant::new(&settings, servers))));
        }
        if settings == MailSettings::default() {
            return Ok(None);
        }
        let problem = "[plugin.mail] restricts e-mail, but `mail` is not in the plugin's `allow`";
        Err(UserError::usage(problem).help("set allow = [\"mail\"], or remove [plugin.mail]"))
    }

    fn effect(&self, json: serde_json::Value) -> serde_json::Result<Arc<dyn Effect>> {
        Ok(Arc::new(serde_json::from_value::<CapturedMail>(json)?))
    }

    fn not_granted(&self) -> &'static str {
        "e-mail is not granted: `mail` is not in its `allow`"
    }

    fn warning(&self, is_granted: bool, args: &RunArgs) -> Option<String> {
        let text = match (is_granted, args.has_mail()) {
            (false, _) => {
                "it imports `mail`, which is not granted: each e-mail is denied; set allow = [\"mail\"]"
            }
            (true, false) => "it may send e-mail, but there is no --mail-url: e-mail is only logged",
            (true, true) => return None,
        };
        Some(text.to_owned())
    }

    fn describe_metrics(&self) {
        metrics::describe();
    }
}

#[cfg(test)]
mod tests {
    use ::settings::{Section, Sections};

    use super::*;

    #[test]
    fn settings_without_the_grant_are_refused() {
        let mut sections = Sections::default();
        let settings = MailSettings { senders: Some(vec![]), ..MailSettings::default() };
        sections.push(settings.boxed());
        let refused = Mail.grant(&GrantRequest { allow: vec![], sections: &sections, services: None });
        let text = refused.expect_err("no `mail`").to_string();
        assert!(text.contains("`mail` is not in the plugin's `allow`"), "{text}");
        let granted = Mail.grant(&GrantRequest { allow: vec![NAME], sections: &sections, services: None });
        assert!(granted.expect("possible").is_some_and(|grant| !grant.has_effects()));
    }
}
