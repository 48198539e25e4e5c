//! `/replay`: what would be sent back and how, and then it is.

use askama::Template;
use axum::Extension;
use axum::extract::Form;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use desk::Filter;
use desk::jobs::{Plan, Target};
use desk::replay::Check;
use serde::Deserialize;

use super::form::{self, Asked};
use super::page::{self, Open, Shell, Trouble};
use super::session::Session;
use crate::Office;

#[derive(Template)]
#[template(path = "console/replay.html")]
struct Replay {
    shell: Shell,
    check: Check,
    /// What speaks against it, or nothing.
    refused: String,
    which: String,
    trial: String,
    is_all: bool,
    said: Said,
}

impl Replay {
    fn is_to(&self, target: &str) -> bool {
        self.said.target == target
    }
}

/// What the form holds.
#[derive(Debug, Clone, Deserialize)]
pub struct Said {
    #[serde(default)]
    csrf: String,
    #[serde(default)]
    which: String,
    #[serde(default)]
    trial: String,
    target: String,
    #[serde(default)]
    ramp: String,
    #[serde(default)]
    rate: String,
    limit: String,
    #[serde(default)]
    reason: String,
}

impl Said {
    /// Careful, where nobody says otherwise.
    fn new(which: String, trial: String) -> Self {
        let ramp = Plan::RAMP.map(|size| size.to_string()).join(", ");
        let limit = Plan::default().limit_percent.to_string();
        Self {
            csrf: String::new(),
            which,
            trial,
            target: "source".to_owned(),
            ramp,
            rate: String::new(),
            limit,
            reason: String::new(),
        }
    }

    fn plan(&self, shell: &Shell) -> Result<Plan, Trouble> {
        let mut ramp = Vec::new();
        for size in self.ramp.split([',', ' ']).filter(|size| !size.is_empty()) {
            ramp.extend(form::number::<u32>(size, shell.words.ramp, shell)?);
        }
        let limit = form::number(&self.limit, shell.words.stop_above, shell)?;
        let default = Plan::default();
        let plan = Plan {
            target: if self.target == "retry" { Target::Retry } else { Target::Source },
            rate: form::number(&self.rate, shell.words.rate_limit, shell)?,
            ramp,
            limit_percent: limit.unwrap_or(default.limit_percent),
            most_replays: default.most_replays,
        };
        plan.check().map_err(|why| shell.trouble(StatusCode::BAD_REQUEST, &why))?;
        Ok(plan)
    }
}

/// The form, with what would be sent.
pub async fn form(Open(office): Open, shell: Shell, asked: Asked) -> Result<Response, Trouble> {
    let filter = Filter { state: None, ..asked.filter(&shell)? };
    let mut said = Said::new(form::written(&filter), asked.get("trial").unwrap_or_default().to_owned());
    if asked.get("target") == Some("retry") {
        said.target = "retry".to_owned();
    }
    for (name, field) in [
        ("ramp", &mut said.ramp),
        ("rate", &mut said.rate),
        ("limit", &mut said.limit),
        ("reason", &mut said.reason),
    ] {
        if let Some(value) = asked.get(name) {
            *field = value.to_owned();
        }
    }
    let plan = said.plan(&shell)?;
    let ids = ids(&office, &shell, &said.trial)?;
    let (check, refused) = match office.replayer.check(&filter, ids.as_deref(), &plan).await {
        Ok(check) => (check, String::new()),
        Err(failure) => (Check { letters: 0, topics: vec![], warnings: vec![] }, failure.to_string()),
    };
    let is_all = filter.is_any() && said.trial.is_empty();
    let (which, trial) = (said.which.clone(), said.trial.clone());
    Ok(page::answer(&Replay { shell, check, refused, which, trial, is_all, said }))
}

/// Freezes which letters, and begins.
pub async fn start(
    Open(office): Open,
    shell: Shell,
    Extension(session): Extension<Session>,
    Form(said): Form<Said>,
) -> Result<Response, Trouble> {
    shell.check(&session, &said.csrf)?;
    let filter = form::which(&said.which, &shell)?;
    let (plan, ids) = (said.plan(&shell)?, ids(&office, &shell, &said.trial)?);
    let by = shell.because(&said.reason)?;
    let job = office.desk.start_job_with(&filter, ids.as_deref(), &plan, by).await;
    let job = job.map_err(|error| shell.away(error))?;
    let job = job.ok_or_else(|| shell.trouble(StatusCode::CONFLICT, shell.words.none_to_send))?;
    office.replayer.wake();
    Ok(Redirect::to(&format!("/jobs/{}", job.id)).into_response())
}

/// The letters that a trial leaves, where one is named.
fn ids(office: &Office, shell: &Shell, trial: &str) -> Result<Option<Vec<String>>, Trouble> {
    if trial.is_empty() {
        return Ok(None);
    }
    office.trials.passing(trial).map(Some).ok_or_else(|| shell.nothing())
}
