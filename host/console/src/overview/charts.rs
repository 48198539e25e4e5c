//! The charts of the overview: rate, failures, waiting retries and lag, of each plugin and of all together.

use desk_api::{PluginHistory, PluginOverview, Series};

use crate::form::{QueryParams, query_string};
use crate::format;
use crate::i18n::Texts;
use crate::spark::{self, Spark};
use server::DeskState;

/// The steps of an hour and of a day.
const HOUR: usize = 360;
const DAY: usize = 288;

/// The time that the charts show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// The last hour.
    Hour,
    /// The last day.
    Day,
}

impl Range {
    /// The range that the page's address names.
    pub fn of(params: &QueryParams) -> Self {
        if params.get("range") == Some("day") { Self::Day } else { Self::Hour }
    }

    /// Whether it is the last day.
    pub fn is_day(self) -> bool {
        self == Self::Day
    }

    fn series(self, history: &PluginHistory) -> &Series {
        match self {
            Self::Hour => &history.hour,
            Self::Day => &history.day,
        }
    }

    fn steps(self) -> usize {
        match self {
            Self::Hour => HOUR,
            Self::Day => DAY,
        }
    }
}

/// A number with its chart.
pub struct Chart {
    pub name: &'static str,
    /// The class of its colour.
    pub class: &'static str,
    /// The value now; a dash if it is unknown.
    pub now: String,
    pub unit: &'static str,
    /// The chart in words.
    pub label: String,
    pub spark: Spark,
    /// The list behind the number.
    pub link: String,
}

/// What a chart shows.
#[derive(Debug, Clone, Copy)]
enum Shown {
    Handled,
    Failed,
    Waiting,
    Lag,
}

const ALL: [Shown; 4] = [Shown::Handled, Shown::Failed, Shown::Waiting, Shown::Lag];

impl Shown {
    fn values(self, series: &Series) -> &[Option<f32>] {
        match self {
            Self::Handled => &series.handled,
            Self::Failed => &series.failed,
            Self::Waiting => &series.waiting,
            Self::Lag => &series.lag,
        }
    }

    /// The value now, if it is counted rather than measured over a step.
    fn counted(self, plugin: &PluginOverview) -> Option<Option<u64>> {
        match self {
            Self::Handled | Self::Failed => None,
            Self::Waiting => Some(plugin.retry_waiting),
            Self::Lag => Some(plugin.lag),
        }
    }

    fn chart(
        self,
        values: &[Option<f32>],
        counted: Option<Option<u64>>,
        range: Range,
        texts: &Texts,
        plugin: Option<&PluginOverview>,
    ) -> Chart {
        let rooms = &texts.rooms;
        let (name, class, unit) = match self {
            Self::Handled => (rooms.handled, "handled", rooms.handled_unit),
            Self::Failed => (rooms.failed_calls, "failed", rooms.failed_unit),
            Self::Waiting => (rooms.waiting, "waiting", rooms.waiting_unit),
            Self::Lag => (rooms.lag, "lag", rooms.lag_unit),
        };
        let spark = Spark::new(values, range.steps());
        let shown =
            |value: Option<f32>| value.map_or_else(|| "–".to_owned(), |value| format::rate(f64::from(value)));
        let now = match counted {
            Some(count) => count.map_or_else(|| "–".to_owned(), format::number),
            None => shown(spark.last),
        };
        let time = if range.is_day() { rooms.day } else { rooms.hour };
        let known = if now == "–" { rooms.unknown } else { now.as_str() };
        let label = format!("{name}: {known} {unit}. {time}: {} {}", rooms.highest, shown(spark.highest));
        Chart { name, class, label, now, unit, spark, link: self.link(plugin) }
    }

    fn link(self, plugin: Option<&PluginOverview>) -> String {
        let name = plugin.map(|plugin| super::plugins::query(&plugin.name));
        let with =
            |path: &str| name.as_ref().map_or_else(|| path.to_owned(), |name| format!("{path}?{name}"));
        match self {
            Self::Handled => "/plugins".to_owned(),
            Self::Failed => {
                let filter = desk_api::Filter {
                    plugin: plugin.map(|plugin| plugin.plugin.clone()),
                    ..desk_api::Filter::default()
                };
                format!("/dead-letters?{}", query_string(&filter))
            }
            Self::Waiting => with("/waiting"),
            Self::Lag => "/topics".to_owned(),
        }
    }
}

/// The charts of a plugin.
pub fn of(plugin: &PluginOverview, history: &PluginHistory, range: Range, texts: &Texts) -> Vec<Chart> {
    let series = range.series(history);
    let chart =
        |shown: Shown| shown.chart(shown.values(series), shown.counted(plugin), range, texts, Some(plugin));
    ALL.into_iter().map(chart).collect()
}

/// The charts of all plugins together.
pub fn sums(state: &DeskState, range: Range, texts: &Texts) -> Vec<Chart> {
    let histories = state.history.list();
    let chart = |shown: Shown| {
        let all = histories.iter().map(|history| shown.values(range.series(history)));
        let values = spark::sum(all);
        let counted = match shown {
            Shown::Handled | Shown::Failed => None,
            Shown::Waiting => {
                Some(total(state, |state, plugin| server::partitions::waiting(&state.members, plugin)))
            }
            Shown::Lag => Some(total(state, |state, plugin| {
                server::partitions::lag(&state.members, &plugin.group, &plugin.topic)
            })),
        };
        shown.chart(&values, counted, range, texts, None)
    };
    ALL.into_iter().map(chart).collect()
}

fn total(state: &DeskState, of: fn(&DeskState, &server::PluginInfo) -> Option<u64>) -> Option<u64> {
    state.plugins.iter().map(|plugin| of(state, plugin)).sum()
}
