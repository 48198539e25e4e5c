//! The effects in the store of a host.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

/// The messages whose effects are in a store. A message has one effect, and its id is a number.
#[derive(Debug, Default)]
pub struct Effects {
    /// Effects with a recorded result.
    pub settled: HashSet<usize>,
    /// Effects that were begun and have no recorded result.
    pub unsettled: HashSet<usize>,
}

impl Effects {
    /// Reads a SQLite file that no host has open. It reads a copy, so that the next host finds the file as
    /// the previous host left it.
    pub fn of(store: &Path) -> Self {
        let copy = with_suffix(store, ".copy");
        for more in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(with_suffix(&copy, more));
        }
        std::fs::copy(store, &copy).expect("the file of the store");
        if with_suffix(store, "-wal").exists() {
            std::fs::copy(with_suffix(store, "-wal"), with_suffix(&copy, "-wal"))
                .expect("the log of the store");
        }
        let mut effects = Self::default();
        for (message, settled, answer) in rows(&copy) {
            assert_eq!(settled.is_some(), answer.is_some(), "message {message}");
            let id = message.parse().expect("a number as id");
            assert!(!effects.has(id), "message {message} has more than one effect");
            if answer.is_some() { &mut effects.settled } else { &mut effects.unsettled }.insert(id);
        }
        effects
    }

    pub fn has(&self, id: usize) -> bool {
        self.settled.contains(&id) || self.unsettled.contains(&id)
    }
}

fn rows(file: &Path) -> Vec<(String, Option<i64>, Option<String>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let read = async {
        let mut connection = SqliteConnectOptions::new().filename(file).connect().await?;
        sqlx::query_as("SELECT message, settled, answer FROM effects").fetch_all(&mut connection).await
    };
    runtime.block_on(read).expect("the table of effects")
}

fn with_suffix(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    name.into()
}
