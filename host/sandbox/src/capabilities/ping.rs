//! A minimal capability for tests, with every part. It is named only in [`super::ALL`].

mod tests;

use std::sync::Arc;

use base::error::UserError;
use effects::Content;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use settings::{AllowEntry, Extension, RunArgs, Section, SectionType, ShownTable, SizeLimit};
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use super::{Capability, Grant, GrantRequest};
use crate::call::{Call, Outside};
use crate::capture::Effect;
use crate::limits::Exceeded;

const NAME: &str = "ping";
const IMPORT: &str = "test:ping/ping@1.0.0";

static SETTINGS: Extension = Extension {
    allow: &[AllowEntry {
        form: "`ping`",
        about: "`ping`: sending pings.",
        example: NAME,
        grants: true,
        matches: |text| text == NAME,
        parse: |text| Ok(text.to_owned()),
    }],
    section: Some(SectionType::table::<PingSettings>(NAME)),
    limits: &[SizeLimit {
        key: "ping",
        about: "A ping",
        default: 1 << 10,
        code: "ping-too-large",
        detail: "a ping has more than",
        in_one_call: true,
    }],
};

/// The capability `ping`.
pub struct Ping;

/// The pings that the plugin may send.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct PingSettings {
    /// The target of all pings.
    #[schemars(example = &"a")]
    to: String,
}

/// A ping of a dry run.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pinged {
    /// Its target.
    pub to: String,
}

#[derive(Debug)]
struct PingGrant {
    to: Option<String>,
    sent: Option<Sent>,
}

/// The pings that were sent, without those of dry runs.
type Sent = Arc<Mutex<Vec<String>>>;

impl Capability for Ping {
    fn name(&self) -> &'static str {
        NAME
    }

    fn imports(&self) -> &'static [&'static str] {
        &[IMPORT]
    }

    fn link(&self, linker: &mut Linker<Call>) -> wasmtime::Result<()> {
        let ping =
            |mut store: StoreContextMut<'_, Call>, (to,): (String,)| Ok((ping(store.data_mut(), to)?,));
        linker.instance(IMPORT)?.func_wrap("ping", ping)
    }

    fn settings(&self) -> &'static Extension {
        &SETTINGS
    }

    fn grant(&self, request: &GrantRequest<'_>) -> Result<Option<Arc<dyn Grant>>, UserError> {
        if request.allow.is_empty() {
            return Ok(None);
        }
        let to = request.sections.get::<PingSettings>().map(|settings| settings.to.clone());
        let sent = request.services.and_then(|services| services.shared.get::<Sent>()).cloned();
        Ok(Some(Arc::new(PingGrant { to, sent })))
    }

    fn effect(&self, json: serde_json::Value) -> serde_json::Result<Arc<dyn Effect>> {
        Ok(Arc::new(serde_json::from_value::<Pinged>(json)?))
    }

    fn not_granted(&self) -> &'static str {
        "ping is not granted: `ping` is not in its `allow`"
    }

    fn warning(&self, is_granted: bool, _: &RunArgs) -> Option<String> {
        (!is_granted).then(|| "it imports `ping`, which is not granted".to_owned())
    }
}

fn ping(call: &mut Call, to: String) -> wasmtime::Result<Result<(), String>> {
    call.count_host_call()?;
    let limit = &SETTINGS.limits[0];
    if to.len() > call.context.grants.limits.size(limit) {
        return Err(call.exceed(Exceeded::Size(limit)));
    }
    let context = &call.context;
    let Some((outside, grant)) = context.outside.as_ref().zip(context.grants.get::<PingGrant>()) else {
        return Ok(Err("not granted".to_owned()));
    };
    let to = grant.to.clone().unwrap_or(to);
    let key = context.effect(Content::default().field(b"ping").field(to.as_bytes()).digest())?;
    match outside {
        Outside::Captured(_) => context.output.capture().effect(NAME, Arc::new(Pinged { to })),
        Outside::Sent(_) => grant.sent.iter().for_each(|sent| sent.lock().push(format!("{to} {}", key.id()))),
    }
    Ok(Ok(()))
}

impl Grant for PingGrant {
    fn has_effects(&self) -> bool {
        self.sent.is_some()
    }

    fn summary(&self) -> String {
        "may ping".to_owned()
    }
}

impl Section for PingSettings {
    fn boxed(&self) -> Box<dyn Section> {
        Box::new(self.clone())
    }

    fn tables(&self) -> Vec<ShownTable> {
        let lines = vec![("to".to_owned(), self.to.as_str().into())];
        vec![ShownTable { heading: "[plugin.ping]".to_owned(), lines }]
    }
}

impl Effect for Pinged {
    fn summary(&self) -> String {
        "ping".to_owned()
    }

    fn lines(&self) -> Vec<String> {
        vec![format!("ping to {}", self.to)]
    }

    fn size(&self) -> usize {
        self.to.len() + 64
    }
}
