//! `/`: open failures and plugins.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use desk_api::{
    DeadLetterState, DestinationOverview, Failure, Filter, HeldKey, PageSelector, PluginOverview,
};
use url::form_urlencoded;

use super::Console;
use super::form::query_string;
use super::format;
use super::page::{self, ErrorPage, PageContext};
use super::partitions::{self, Notice, Partitions};
use super::release::MAX_ROWS;
use crate::held_keys::PluginKeys;
use crate::{DeskState, api};

/// Failures listed on the page.
const MAX_FAILURES: usize = 8;

#[derive(Template)]
#[template(path = "console/overview.html")]
struct OverviewPage {
    ctx: PageContext,
    open: u64,
    failures: Vec<Failure>,
    /// Whether more failures are open than are listed.
    has_more: bool,
    oldest_ms: Option<i64>,
    /// Whether the pauses in the store cannot be read.
    is_unread: bool,
    plugins: Vec<PluginRow>,
    partitions: Vec<Partitions>,
    held_keys: Vec<HeldKeysCard>,
    destinations: Vec<DestinationOverview>,
}

/// The held keys of a plugin.
struct HeldKeysCard {
    name: String,
    /// The plugin's name, as a query string.
    query: String,
    rows: Vec<HeldKey>,
    total: u64,
    unlisted: u64,
}

struct PluginRow {
    plugin: PluginOverview,
    throughput: String,
    /// The plugin's open dead letters, as a query string.
    open: String,
    /// The plugin's name, as a query string.
    query: String,
    /// The partitions that are not read.
    notices: Vec<Notice>,
}

/// The overview.
pub async fn show(
    State(console): State<Console>,
    state: DeskState,
    ctx: PageContext,
) -> Result<Response, ErrorPage> {
    let snapshot = console.0.live.snapshot(&state).await.map_err(|error| ctx.store_unavailable(error))?;
    let failures = state.desk.failures(true, ctx.now_ms, &PageSelector::First, MAX_FAILURES).await;
    let failures = failures.map_err(|error| ctx.store_unavailable(error))?;
    let mut partitions = partitions::of(&state, ctx.texts);
    let plugins = snapshot.overview.plugins.into_iter().zip(snapshot.throughput);
    let plugins = plugins.map(|(mut plugin, rate)| {
        // A pause or resumption is seen at once.
        plugin.intake = api::intake(&state, &plugin.name);
        let open = Filter {
            plugin: Some(plugin.plugin.clone()),
            state: Some(DeadLetterState::Open),
            ..Filter::default()
        };
        let throughput = rate.map_or("–".to_owned(), format::rate);
        let query = plugin_query(&plugin.name);
        let own = partitions.iter_mut().find(|own| own.plugin == plugin.name);
        let notices = own.map(|own| std::mem::take(&mut own.notices)).unwrap_or_default();
        PluginRow { plugin, throughput, open: query_string(&open), query, notices }
    });
    let plugins = plugins.collect();
    Ok(page::render(&OverviewPage {
        open: snapshot.overview.open_dead_letters,
        oldest_ms: failures.items.iter().filter_map(|failure| failure.oldest_open_ms).min(),
        has_more: failures.next.is_some(),
        failures: failures.items,
        is_unread: state.pauses.unread_since_ms().is_some(),
        plugins,
        partitions,
        held_keys: state.held_keys.iter().map(held_keys_card).filter(|card| card.total > 0).collect(),
        destinations: snapshot.overview.destinations,
        ctx,
    }))
}

fn plugin_query(name: &str) -> String {
    form_urlencoded::Serializer::new(String::new()).append_pair("plugin", name).finish()
}

fn held_keys_card(of: &PluginKeys) -> HeldKeysCard {
    let total = of.keys.len() as u64;
    let rows = of.list(MAX_ROWS);
    let (name, unlisted) = (of.plugin.to_string(), total.saturating_sub(rows.len() as u64));
    HeldKeysCard { query: plugin_query(&name), name, rows, total, unlisted }
}
