//! `/`: what is wrong, since when, and whether it gets worse.

mod charts;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use desk_api::{
    DeadLetterState, DestinationOverview, Failure, Filter, HeldKey, PageSelector, PluginOverview, Replay,
};

use self::charts::{Chart, Range};
use super::Console;
use super::form::{QueryParams, query_string};
use super::page::{self, ErrorPage, PageContext};
use super::partitions::{self, Notice};
use super::plugins;
use super::release::MAX_ROWS;
use server::held_keys::PluginKeys;
use server::{DeskState, api};

/// Failures that are compared, and those that are listed.
const MAX_COMPARED: usize = 200;
const MAX_FAILURES: usize = 8;

#[derive(Template)]
#[template(path = "console/overview.html")]
struct OverviewPage {
    ctx: PageContext,
    open: u64,
    replays: Vec<Replay>,
    failures: Vec<Failure>,
    /// Whether more failures are open than are listed.
    has_more: bool,
    oldest_ms: Option<i64>,
    /// Whether the pauses in the store cannot be read.
    is_unread: bool,
    range: Range,
    /// The sums of all plugins.
    charts: Vec<Chart>,
    plugins: Vec<PluginCard>,
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

struct PluginCard {
    plugin: PluginOverview,
    charts: Vec<Chart>,
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
    params: QueryParams,
) -> Result<Response, ErrorPage> {
    let snapshot = console.0.live.snapshot(&state).await.map_err(|error| ctx.store_unavailable(error))?;
    let failures = state.desk.failures(true, ctx.now_ms, &PageSelector::First, MAX_COMPARED).await;
    let failures = failures.map_err(|error| ctx.store_unavailable(error))?;
    let replays = state.desk.active_replays(None).await.map_err(|error| ctx.store_unavailable(error))?;
    let range = Range::of(&params);
    let oldest_ms = failures.items.iter().filter_map(|failure| failure.oldest_open_ms).min();
    let has_more = failures.next.is_some() || failures.items.len() > MAX_FAILURES;
    let charts = charts::sums(&state, range, ctx.texts);
    Ok(page::render(&OverviewPage {
        open: snapshot.overview.open_dead_letters,
        oldest_ms,
        replays,
        has_more,
        failures: growing_first(failures.items),
        is_unread: state.pauses.unread_since_ms().is_some(),
        range,
        charts,
        plugins: cards(&state, &ctx, snapshot.overview.plugins, range),
        held_keys: state.held_keys.iter().map(held_keys_card).filter(|card| card.total > 0).collect(),
        destinations: snapshot.overview.destinations,
        ctx,
    }))
}

/// The failures with the most new dead letters, then the latest.
fn growing_first(mut failures: Vec<Failure>) -> Vec<Failure> {
    failures.sort_by_key(|failure| std::cmp::Reverse((failure.recent, failure.last_seen_ms)));
    failures.truncate(MAX_FAILURES);
    failures
}

fn cards(state: &DeskState, ctx: &PageContext, all: Vec<PluginOverview>, range: Range) -> Vec<PluginCard> {
    let mut partitions = partitions::of(state, ctx.texts);
    let histories = state.history.list();
    let card = |mut plugin: PluginOverview| {
        // A pause or resumption is seen at once.
        plugin.intake = api::intake(state, &plugin.name);
        let open = Filter {
            plugin: Some(plugin.plugin.clone()),
            state: Some(DeadLetterState::Open),
            ..Filter::default()
        };
        let history = histories.iter().find(|history| history.plugin == plugin.name);
        let own = partitions.iter_mut().find(|own| own.plugin == plugin.name);
        PluginCard {
            charts: history.map(|it| charts::of(&plugin, it, range, ctx.texts)).unwrap_or_default(),
            open: query_string(&open),
            query: plugins::query(&plugin.name),
            notices: own.map(|own| std::mem::take(&mut own.notices)).unwrap_or_default(),
            plugin,
        }
    };
    all.into_iter().map(card).collect()
}

fn held_keys_card(of: &PluginKeys) -> HeldKeysCard {
    let total = of.keys.len() as u64;
    let rows = of.list(MAX_ROWS);
    let (name, unlisted) = (of.plugin.to_string(), total.saturating_sub(rows.len() as u64));
    HeldKeysCard { query: plugins::query(&name), name, rows, total, unlisted }
}
