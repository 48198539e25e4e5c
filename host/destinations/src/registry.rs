//! All destinations of a host.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{Destination, Options};

/// The destinations of a host, for health checks, metrics and the API.
#[derive(Debug, Clone, Default)]
pub struct Destinations(Arc<Mutex<Vec<Arc<Destination>>>>);

impl Destinations {
    /// Adds one.
    pub fn add(&self, destination: Arc<Destination>) {
        self.0.lock().push(destination);
    }

    /// The one with this name, or a new one with `options`, or `default` without them.
    ///
    /// # Errors
    /// The one with this name has other options than these, and they are returned.
    pub fn get_or_add(
        &self,
        name: &str,
        options: Option<Options>,
        default: Options,
    ) -> Result<Arc<Destination>, Options> {
        let mut all = self.0.lock();
        if let Some(found) = all.iter().find(|one| **one.name() == *name) {
            let same = options.is_none_or(|options| options == *found.options());
            return if same { Ok(Arc::clone(found)) } else { Err(*found.options()) };
        }
        let new = Destination::new(name, options.unwrap_or(default));
        all.push(Arc::clone(&new));
        Ok(new)
    }

    /// All of them, in the order in which they were added.
    pub fn all(&self) -> Vec<Arc<Destination>> {
        self.0.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_has_one_set_of_options() {
        let all = Destinations::default();
        let options = |max| Options { max, per_minute: None, breaker: None };
        let first = all.get_or_add("a", Some(options(1)), options(9)).expect("new");
        assert!(Arc::ptr_eq(&first, &all.get_or_add("a", None, options(9)).expect("the same")));
        assert_eq!(all.get_or_add("a", Some(options(2)), options(9)).expect_err("other options"), options(1));
        assert_eq!(all.get_or_add("b", None, options(9)).expect("new").options().max, 9);
        assert_eq!(all.all().len(), 2);
    }
}
