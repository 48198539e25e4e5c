//! `/`: what fails, since when, how many, and what to do about it.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use desk::groups::Group;
use desk::{self, At, Filter};

use super::Console;
use super::form;
use super::page::{self, Open, Shell, Trouble};
use crate::api::PluginOverview;

/// How many failures are shown here.
const GROUPS: usize = 8;

#[derive(Template)]
#[template(path = "console/overview.html")]
struct Overview {
    shell: Shell,
    open: u64,
    groups: Vec<Group>,
    /// Whether there are more than are shown.
    more: bool,
    oldest_ms: Option<i64>,
    plugins: Vec<Row>,
}

/// A plugin, and messages a second.
struct Row {
    plugin: PluginOverview,
    rate: String,
    /// Its open letters, as in an address.
    open: String,
}

/// The first thing one sees.
pub async fn show(
    State(console): State<Console>,
    Open(office): Open,
    shell: Shell,
) -> Result<Response, Trouble> {
    let seen = console.0.live.look(&office).await.map_err(|error| shell.away(error))?;
    let groups = office.desk.groups(true, shell.now_ms, &At::First, GROUPS).await;
    let groups = groups.map_err(|error| shell.away(error))?;
    let plugins = seen.overview.plugins.into_iter().zip(seen.rates);
    let plugins = plugins.map(|(plugin, rate)| {
        let open = Filter {
            plugin: Some(plugin.plugin.clone()),
            state: Some(desk::State::Open),
            ..Filter::default()
        };
        Row { plugin, rate: rate.map_or("–".to_owned(), shown), open: form::written(&open) }
    });
    Ok(page::answer(&Overview {
        open: seen.overview.open_letters,
        oldest_ms: groups.items.iter().filter_map(|group| group.oldest_open_ms).min(),
        more: groups.next.is_some(),
        groups: groups.items,
        plugins: plugins.collect(),
        shell,
    }))
}

fn shown(rate: f64) -> String {
    if rate >= 10.0 || rate == 0.0 { super::shown::number(rate as u64) } else { format!("{rate:.1}") }
}
