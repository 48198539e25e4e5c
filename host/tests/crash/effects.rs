//! What the store of a host says of its effects.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use sqlx::ConnectOptions as _;
use sqlx::sqlite::SqliteConnectOptions;

/// The messages whose effects are in a store. Here a message has one effect, and its id is a number.
#[derive(Debug, Default)]
pub struct Effects {
    /// What became of it is written down.
    pub settled: HashSet<usize>,
    /// It was begun, and nobody wrote down what became of it.
    pub unsettled: HashSet<usize>,
}

impl Effects {
    /// Those in a SQLite file that no host has open. A copy is read: the next host finds what the last
    /// one left, and not what a reader made of it.
    pub fn of(store: &Path) -> Self {
        let copy = beside(store, ".copy");
        for more in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(beside(&copy, more));
        }
        std::fs::copy(store, &copy).expect("the store's file");
        if beside(store, "-wal").exists() {
            std::fs::copy(beside(store, "-wal"), beside(&copy, "-wal")).expect("the store's log");
        }
        let mut effects = Self::default();
        for (message, settled, answer) in rows(&copy) {
            assert_eq!(settled.is_some(), answer.is_some(), "message {message}");
            let id = message.parse().expect("a number of the test's");
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

fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    name.into()
}
