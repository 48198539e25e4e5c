//! Calls with several messages, for plugins that permit them and have no effects.

use contract::{Message, Outcome};
use settings::PluginSettings;

use crate::Plugin;
use crate::instance_pool::Instance;
use crate::output::Place;

/// The attribute of a plugin's description with the maximum number of messages that one call may have.
const ATTRIBUTE: &str = "max-batch";
/// The largest of these numbers.
const MOST: usize = 1000;
/// The largest batch unless the settings say otherwise: all of a batch that fails is handled again. Other sizes have not
/// been measured.
const USUAL: usize = 64;

/// The number of messages of a call that the plugin permits.
///
/// # Errors
/// The attribute is not a number from 1 to [`MOST`].
pub(crate) fn permitted(attributes: &[(String, String)]) -> Result<usize, String> {
    let Some((_, text)) = attributes.iter().find(|(name, _)| name == ATTRIBUTE) else { return Ok(1) };
    let number = text.parse().ok().filter(|number| (1..=MOST).contains(number));
    number.ok_or_else(|| format!("its attribute {ATTRIBUTE} is not a number from 1 to {MOST}"))
}

/// The number of messages of a call: as permitted, unless the settings ask for fewer.
///
/// # Errors
/// The settings ask for more than [`MOST`].
pub(crate) fn max(permitted: usize, settings: Option<&PluginSettings>) -> Result<usize, String> {
    let wanted = settings.and_then(|settings| settings.max_batch).map(|wanted| usize::try_from(wanted.get()));
    match wanted {
        None => Ok(permitted.min(USUAL)),
        Some(Ok(wanted)) if wanted <= MOST => Ok(permitted.min(wanted)),
        Some(_) => Err(format!("its max-batch exceeds {MOST}")),
    }
}

impl Plugin {
    /// The maximum number of messages of a call; 1 unless the plugin permits more, has no effects, and its instances are
    /// used again.
    pub fn max_batch(&self) -> usize {
        self.max_batch
    }

    /// Passes several messages to an instance in one call. None if there is not a valid outcome for each of them:
    /// nothing is known about any of them.
    pub async fn handle_batch(&self, messages: Vec<Message<'_>>, place: Place) -> Option<Vec<Outcome>> {
        let count = messages.len();
        let _running = self.epochs.run();
        // As in `handle`, for a call without effects.
        let Instance { mut store, guest, calls } = match self.reused(&place, None) {
            Some(instance) => instance,
            None => Box::pin(self.new_instance(place, None, std::future::pending::<()>)).await.ok()?,
        };
        let result = tokio::select! {
            biased;
            outcomes = guest.handle_batch(&mut store, messages) => outcomes.ok(),
            () = tokio::time::sleep(self.grants.limits.call_time) => None,
        };
        store.data().context.output.end(store.data().memory());
        let outcomes = result?;
        let is_valid = store.data().exceeded().is_none()
            && store.data().shortage().is_none()
            && outcomes.len() == count
            && outcomes.iter().all(|outcome| self.fits(outcome));
        if !is_valid {
            return None;
        }
        self.pool.give_back(Instance { store, guest, calls: calls + 1 }, &self.grants);
        Some(outcomes)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_plugin_permits_batches_and_the_settings_bound_them() {
        let of = |text: &str| permitted(&[("other".into(), "x".into()), (ATTRIBUTE.into(), text.into())]);
        assert_eq!((permitted(&[]), of("1"), of("1000")), (Ok(1), Ok(1), Ok(1000)));
        for text in ["0", "1001", "", "-1", "ten", "1.5"] {
            assert!(of(text).is_err(), "{text}");
        }
        let settings = |wanted| PluginSettings { max_batch: NonZeroU32::new(wanted), ..Default::default() };
        assert_eq!((max(1, None), max(1000, None), max(8, None)), (Ok(1), Ok(USUAL), Ok(8)));
        assert_eq!((max(1000, Some(&settings(500))), max(8, Some(&settings(500)))), (Ok(500), Ok(8)));
        assert_eq!(max(1000, Some(&settings(1))), Ok(1));
        assert!(max(1000, Some(&settings(1001))).is_err());
    }
}
