//! What a start prints: what is in use.

use std::net::SocketAddr;

use sandbox::limits::Limits;
use settings::RunArgs;

use super::{App, RunningPlugin};

impl App {
    /// What is in use.
    pub fn summary(&self, args: &RunArgs, address: SocketAddr) -> String {
        let mut lines = vec![format!("host {}", env!("CARGO_PKG_VERSION"))];
        let mail = self.services.mailer.as_ref().map_or_else(
            || "e-mail is only logged, not sent (no --mail-url)".to_owned(),
            |mailer| format!("may reach {mailer}"),
        );
        for RunningPlugin { pipeline, .. } in &self.running {
            let (plugin, subscription) = (&pipeline.plugin, &pipeline.subscription);
            let mail = match (plugin.wants_mail, &plugin.grants.mail) {
                (false, _) if plugin.wants_http => "no e-mail".to_owned(),
                (false, _) => "reaches nothing".to_owned(),
                (true, Some(grant)) => match grant.redirect_all() {
                    Some(address) if self.services.mailer.is_some() => format!("{mail}, all for {address}"),
                    _ => mail.clone(),
                },
                (true, None) => "wants to send e-mail and may not: `mail` is not in its `allow`".to_owned(),
            };
            let http = match (plugin.wants_http, &plugin.grants.http) {
                (false, _) => String::new(),
                (true, Some(outbound)) => {
                    let targets: Vec<_> = outbound.targets().iter().map(ToString::to_string).collect();
                    format!(", may reach {}", targets.join(" "))
                }
                (true, None) => ", wants HTTP and may not: no URL is in its `allow`".to_owned(),
            };
            let Limits { memory, call_time, .. } = plugin.grants.limits;
            let (memory, time) = (memory >> 20, call_time.as_secs_f64());
            lines.push(format!("  plugin   {}  {memory} MiB, {time} s  {mail}{http}", plugin.label));
            lines.push(format!("  kafka    {}  group {}", args.kafka.bootstrap_servers, subscription.group));
            let tiers = subscription.retry_topics();
            let tiers = tiers.iter().filter_map(|tier| tier.strip_prefix(&subscription.topic));
            let chain: Vec<&str> = [subscription.topic.as_str()]
                .into_iter()
                .chain(tiers)
                .chain([subscription.dead_letter_topic.as_str()])
                .collect();
            lines.push(format!("  topics   {}", chain.join(" -> ")));
        }
        if let (Some(desk), Some(intakes)) = (&self.desk, &self.intakes) {
            lines.push(format!("  desk     {}  {} open", desk.place(), intakes.open));
        }
        if self.desk.is_some() {
            lines.push(format!("  console  http://{address}/"));
        }
        lines.push(format!("  health   http://{address}/readyz"));
        lines.join("\n") + "\n"
    }
}
