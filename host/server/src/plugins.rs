//! The plugins of this process in detail, for the API and the console.

use consumer::{max_batch, worker};
use desk_api::{Grant, PluginDetails, PluginOverview, Setting, SettingTable};

use crate::{DeskState, PluginInfo};

/// The heading of the table of a plugin, and of that of its limits, in the configuration.
const TABLE: &str = "[[plugin]]";
const LIMITS: &str = "[plugin.limits]";

/// A plugin in detail. None if nothing runs it.
pub fn details(state: &DeskState, info: &PluginInfo, overview: PluginOverview) -> Option<PluginDetails> {
    let pipeline = info.pipeline.upgrade()?;
    let (plugin, subscription) = (&pipeline.plugin, &pipeline.subscription);
    let grants = plugin.wants.iter().map(|capability| {
        let grant = plugin.grants.of(*capability);
        Grant {
            capability: capability.name().to_owned(),
            is_granted: grant.is_some(),
            about: grant.map_or_else(|| capability.not_granted().to_owned(), |grant| grant.summary()),
        }
    });
    Some(PluginDetails {
        version: info.label.rsplit_once('@').map_or("", |(_, version)| version).to_owned(),
        digest: plugin.digest.clone(),
        contract: plugin.contract.clone(),
        dead_letter_topic: subscription.dead_letter_topic.clone(),
        retry_group: info.retry_group.clone(),
        retry_topics: info.retry_topics.clone(),
        grants: grants.collect(),
        limits: limits(&state.settings, &info.label),
        isolation: plugin.isolation().as_str().to_owned(),
        not_reset: plugin.not_reset().map(ToString::to_string),
        ordering: subscription.ordering.as_str().to_owned(),
        concurrency: worker::shares(subscription.concurrency).iter().sum::<usize>() as u64,
        max_batch: max_batch(plugin, subscription) as u64,
        idle_instances: plugin.idle_instances() as u64,
        overview,
    })
}

/// The limits of a plugin: its tables follow the one with its name.
fn limits(tables: &[SettingTable], label: &str) -> Vec<Setting> {
    let own = tables.iter().skip_while(|table| table.heading != TABLE || table.remark != label).skip(1);
    let mut own = own.take_while(|table| table.heading != TABLE);
    own.find(|table| table.heading == LIMITS).map(|table| table.settings.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_those_of_the_plugin() {
        let table = |heading: &str, remark: &str, value: &str| SettingTable {
            heading: heading.to_owned(),
            remark: remark.to_owned(),
            settings: vec![Setting {
                key: "memory".to_owned(),
                value: value.to_owned(),
                origin: "default".to_owned(),
            }],
        };
        let tables = [
            table("[[plugin]]", "a@1", ""),
            table("[plugin.limits]", "", "1"),
            table("[[plugin]]", "b@1", ""),
            table("[plugin.http.\"https://h\"]", "", ""),
            table("[plugin.limits]", "", "2"),
            table("[[plugin]]", "c@1", ""),
        ];
        let of = |label: &str| limits(&tables, label).first().map(|setting| setting.value.clone());
        assert_eq!(
            [of("a@1"), of("b@1"), of("c@1"), of("d@1")],
            [Some("1".to_owned()), Some("2".to_owned()), None, None]
        );
    }
}
