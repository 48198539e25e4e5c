//! The start-up summary.

use std::net::SocketAddr;

use base::text;
use consumer::gate::Pause;
use sandbox::engine::guest_memory::GuestMemory;
use settings::RunArgs;

use super::{App, RunningPlugin};

impl App {
    /// The topics of the plugins, in the order of the files.
    pub fn topics(&self) -> impl Iterator<Item = String> {
        self.running.iter().map(|running| running.pipeline.subscription.topic.clone())
    }

    /// The plugins and addresses of this process, as text.
    pub fn summary(&self, args: &RunArgs, address: SocketAddr) -> String {
        let mut lines = vec![format!("host {}", env!("CARGO_PKG_VERSION"))];
        for RunningPlugin { pipeline, .. } in &self.running {
            let (plugin, subscription) = (&pipeline.plugin, &pipeline.subscription);
            let limits = &plugin.grants.limits;
            let (memory, time) = (limits.memory >> 20, limits.call_time.as_secs_f64());
            lines.push(format!(
                "  plugin   {}  {memory} MiB, {time} s  {}",
                plugin.label,
                plugin.permissions()
            ));
            lines.extend(
                plugin.not_reset().map(|reason| format!("  instance new for each message: {reason}")),
            );
            lines.push(format!("  kafka    {}  group {}", args.kafka.bootstrap_servers, subscription.group));
            let tiers = subscription.retry_topics();
            let tiers = tiers.iter().filter_map(|tier| tier.strip_prefix(&subscription.topic));
            let chain: Vec<&str> = [subscription.topic.as_str()]
                .into_iter()
                .chain(tiers)
                .chain([subscription.dead_letter_topic.as_str()])
                .collect();
            lines.push(format!("  topics   {}", chain.join(" -> ")));
            lines.extend(pipeline.gate.status().pause.map(paused));
        }
        for destination in self.services.destinations.all() {
            lines.push(format!("  sends to {}  {}", destination.name(), destination.options()));
        }
        if let (Some(desk), Some(intakes)) = (&self.desk, &self.intakes) {
            lines.push(format!("  desk     {}  {} open", desk.store_name(), intakes.open));
        }
        if self.desk.is_some() {
            lines.push(format!("  console  http://{address}/"));
        }
        lines.push(format!("  memory   {} MiB for all instances", GuestMemory::of_process().max() >> 20));
        lines.push(format!("  stops    within {} s of SIGTERM", self.stop_bound().as_secs()));
        lines.push(format!("  health   http://{address}/readyz"));
        lines.join("\n")
    }
}

/// Says since when a plugin is paused, by whom and why.
fn paused(Pause { since_ms, actor, reason }: Pause) -> String {
    let (actor, reason) = (text::line(actor.as_bytes()), text::line(reason.as_bytes()));
    format!("  paused   since {}, by {actor}: {reason}", text::utc(since_ms))
}
