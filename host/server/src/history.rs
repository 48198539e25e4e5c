//! What each plugin did in the last hour and the last day, sampled in memory: a restart begins anew.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::clock;
use desk_api::{PluginHistory, Series};
use kafka::health::Health;
use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;

use crate::metrics::Tally;
use crate::{PluginInfo, partitions};

/// The steps of the hour and of the day, and their numbers.
const STEP: Duration = Duration::from_secs(10);
const STEPS: usize = 360;
const LONG_STEP: Duration = Duration::from_secs(300);
const LONG_STEPS: usize = 288;
/// Steps in a long one.
const PER_LONG_STEP: usize = 30;

/// The histories of all plugins.
pub struct History {
    plugins: Arc<[PluginInfo]>,
    members: Arc<[Arc<Health>]>,
    rings: Mutex<Rings>,
}

struct Rings {
    end_ms: i64,
    at: Instant,
    plugins: Vec<PluginRings>,
}

/// The samples of one plugin.
#[derive(Default)]
struct PluginRings {
    /// The numbers of handled messages and of failed calls at the last sample.
    counts: Option<(u64, u64)>,
    hour: VecDeque<Sample>,
    day: VecDeque<Sample>,
    /// Samples since the last long step ended.
    unfinished: usize,
    /// The end of the last long step.
    day_end_ms: i64,
}

/// The values of a step. None is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sample {
    handled: Option<f32>,
    failed: Option<f32>,
    waiting: Option<f32>,
    lag: Option<f32>,
}

/// The counts of a plugin at the end of a step.
#[derive(Debug, Clone, Copy)]
struct Counts {
    handled: u64,
    failed: u64,
    waiting: Option<u64>,
    lag: Option<u64>,
}

impl History {
    /// The histories of these plugins, without samples.
    pub fn new(plugins: &Arc<[PluginInfo]>, members: &Arc<[Arc<Health>]>) -> Arc<Self> {
        let rings = plugins.iter().map(|_| PluginRings::default()).collect();
        let rings = Mutex::new(Rings { end_ms: 0, at: Instant::now(), plugins: rings });
        Arc::new(Self { plugins: Arc::clone(plugins), members: Arc::clone(members), rings })
    }

    /// Samples every step until it is dropped.
    pub async fn run(self: Arc<Self>) {
        let mut steps = tokio::time::interval(STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            steps.tick().await;
            self.sample();
        }
    }

    /// Takes a sample.
    pub fn sample(&self) {
        let tally = Tally::now();
        let counts = self.plugins.iter().map(|plugin| {
            let PluginInfo { name, topic, group, .. } = plugin;
            Counts {
                handled: ["done", "skipped"].into_iter().map(|outcome| tally.messages(name, outcome)).sum(),
                failed: tally.failures(name),
                waiting: partitions::waiting(&self.members, plugin),
                lag: partitions::lag(&self.members, group, topic),
            }
        });
        let counts: Vec<_> = counts.collect();
        let mut rings = self.rings.lock();
        let elapsed = rings.at.elapsed();
        rings.at = Instant::now();
        rings.end_ms = clock::now_ms();
        let end_ms = rings.end_ms;
        rings.plugins.iter_mut().zip(counts).for_each(|(rings, now)| rings.add(now, elapsed, end_ms));
    }

    /// The histories, in the order of the plugins.
    pub fn list(&self) -> Vec<PluginHistory> {
        let rings = self.rings.lock();
        let all = self.plugins.iter().zip(&rings.plugins);
        all.map(|(plugin, own)| PluginHistory {
            plugin: plugin.name.to_string(),
            hour: series(&own.hour, STEP, rings.end_ms),
            day: series(&own.day, LONG_STEP, own.day_end_ms),
        })
        .collect()
    }
}

impl PluginRings {
    fn add(&mut self, now: Counts, elapsed: Duration, end_ms: i64) {
        let seconds = elapsed.as_secs_f64().max(0.001);
        let rate = |now: u64, before: u64| (now.saturating_sub(before) as f64 / seconds) as f32;
        let number = |count: Option<u64>| count.map(|count| count as f32);
        let sample = Sample {
            handled: self.counts.map(|(before, _)| rate(now.handled, before)),
            failed: self.counts.map(|(_, before)| rate(now.failed, before)),
            waiting: number(now.waiting),
            lag: number(now.lag),
        };
        self.counts = Some((now.handled, now.failed));
        push(&mut self.hour, sample, STEPS);
        self.unfinished += 1;
        if self.unfinished >= PER_LONG_STEP {
            self.unfinished = 0;
            self.day_end_ms = end_ms;
            let step: Vec<Sample> = self.hour.iter().rev().take(PER_LONG_STEP).copied().collect();
            push(&mut self.day, joined(&step), LONG_STEPS);
        }
    }
}

/// A long step: the means of the rates, and the last known numbers. `samples` has the newest first.
fn joined(samples: &[Sample]) -> Sample {
    let mean = |of: fn(&Sample) -> Option<f32>| {
        let known: Vec<f32> = samples.iter().filter_map(of).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f32>() / known.len() as f32)
    };
    let last = |of: fn(&Sample) -> Option<f32>| samples.iter().find_map(of);
    Sample {
        handled: mean(|sample| sample.handled),
        failed: mean(|sample| sample.failed),
        waiting: last(|sample| sample.waiting),
        lag: last(|sample| sample.lag),
    }
}

fn push(ring: &mut VecDeque<Sample>, sample: Sample, most: usize) {
    if ring.len() >= most {
        ring.pop_front();
    }
    ring.push_back(sample);
}

fn series(samples: &VecDeque<Sample>, step: Duration, end_ms: i64) -> Series {
    let all = |of: fn(&Sample) -> Option<f32>| samples.iter().map(of).collect();
    Series {
        step_ms: clock::millis_u64(step),
        end_ms,
        handled: all(|sample| sample.handled),
        failed: all(|sample| sample.failed),
        waiting: all(|sample| sample.waiting),
        lag: all(|sample| sample.lag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(handled: u64, lag: Option<u64>) -> Counts {
        Counts { handled, failed: handled / 10, waiting: Some(3), lag }
    }

    #[test]
    fn rates_are_those_of_a_step_and_long_steps_join_thirty() {
        let mut rings = PluginRings::default();
        rings.add(counts(100, Some(7)), STEP, 1);
        assert_eq!(rings.hour.back().and_then(|sample| sample.handled), None, "nothing to compare with");
        rings.add(counts(300, None), STEP, 2);
        let last = rings.hour.back().expect("a sample");
        assert_eq!((last.handled, last.failed, last.waiting), (Some(20.0), Some(2.0), Some(3.0)));
        assert_eq!(last.lag, None, "Kafka did not answer");
        assert!(rings.day.is_empty());
        for _ in 2..PER_LONG_STEP {
            rings.add(counts(300, Some(9)), STEP, 3);
        }
        let long = rings.day.back().expect("a long step");
        assert_eq!(rings.day.len(), 1);
        assert!(long.handled.is_some_and(|rate| (0.6..0.8).contains(&rate)), "200 in 290 s: {long:?}");
        assert_eq!((long.lag, rings.day_end_ms), (Some(9.0), 3));
    }

    #[test]
    fn rings_are_bounded() {
        let mut rings = PluginRings::default();
        for _ in 0..PER_LONG_STEP * (LONG_STEPS + 5) {
            rings.add(counts(0, Some(0)), STEP, 0);
        }
        assert_eq!((rings.hour.len(), rings.day.len()), (STEPS, LONG_STEPS));
    }
}
