//! Whether the store can be opened.

use base::finding::Finding;
use store::{Look, StoreUrl};

use crate::report::{Area, Check};

/// The check of the store.
pub struct Store {
    pub check: Check,
    /// Its id and its name, if a desk has opened it.
    pub id: Option<(String, String)>,
}

/// Looks at the store, if a host opens it.
pub async fn check(url: Option<StoreUrl>) -> Store {
    let Some(url) = url else {
        let why = "there is no desk, and no plugin has effects";
        return Store { check: Check::skipped(Area::Store, "store", why), id: None };
    };
    let name = url.to_string();
    match store::look(&url).await {
        Ok(look) => Store {
            check: Check::new(Area::Store, &name, detail(&look), []),
            id: look.id.map(|id| (id, name)),
        },
        Err(error) => {
            Store { check: Check::new(Area::Store, name, "", [Finding::refusal(&error)]), id: None }
        }
    }
}

fn detail(look: &Look) -> String {
    match (look.migrations, look.pending) {
        (None, _) => "no tables yet; the host creates them at start".to_owned(),
        (Some(_), 0) => "its tables are up to date".to_owned(),
        (Some(_), pending) => {
            format!("its tables are older; the host migrates them at start ({pending} steps)")
        }
    }
}
