//! Current values of the metrics, for the overview.

use consumer::metrics::{FAILURES, MESSAGES};

use super::start;

/// A snapshot of the metrics, in Prometheus's text format.
pub struct Tally(String);

impl Tally {
    /// Takes a snapshot.
    pub fn now() -> Self {
        Self(start().map(|handle| handle.render()).unwrap_or_default())
    }

    /// Number of the plugin's messages with this outcome.
    pub fn messages(&self, plugin: &str, outcome: &str) -> u64 {
        self.sum(MESSAGES, &[("plugin", plugin), ("outcome", outcome)])
    }

    /// Number of the plugin's failed calls.
    pub fn failures(&self, plugin: &str) -> u64 {
        self.sum(FAILURES, &[("plugin", plugin)])
    }

    /// The sum of all samples with this name and these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let labels: Vec<String> = labels.iter().map(|(key, value)| label(key, value)).collect();
        let values = self.0.lines().filter_map(|line| {
            let (line, value) = line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} ")?;
            // Every label is enclosed in commas.
            let line = format!(",{line},");
            labels.iter().all(|label| line.contains(label)).then(|| value.parse::<f64>().ok())?
        });
        // Never negative, and far below 2^53.
        values.sum::<f64>() as u64
    }
}

/// A label in Prometheus's text format, enclosed in commas.
fn label(key: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!(",{key}=\"{value}\",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_up_by_labels() {
        let text = "# TYPE host_lag gauge\n\
            host_lag{group=\"g\",topic=\"t\",partition=\"0\"} 5\n\
            host_lag{group=\"g\",topic=\"t\",partition=\"1\"} 7\n\
            host_lag{group=\"g\",topic=\"t2\",partition=\"0\"} 100\n\
            host_lag{group=\"other\",topic=\"t\",partition=\"0\"} 1000\n\
            host_messages_total{plugin=\"a \\\"b\\\"\",outcome=\"done\"} 3\n\
            host_failures_total{plugin=\"p\",code=\"x\"} 1\n\
            host_failures_total{plugin=\"p\",code=\"y\"} 2\n";
        let tally = Tally(text.to_owned());
        let lag = |topic: &str| tally.sum("host_lag", &[("group", "g"), ("topic", topic)]);
        assert_eq!((lag("t"), lag("none")), (12, 0));
        assert_eq!(tally.messages("a \"b\"", "done"), 3);
        assert_eq!(tally.messages("a \"b\"", "dead"), 0);
        assert_eq!(tally.failures("p"), 3);
    }
}
