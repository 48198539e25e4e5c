//! A store of an earlier version keeps its dead letters.

use std::fs;
use std::path::Path;

use desk::Desk;
use desk_api::{Filter, PageSelector};
use sqlx::migrate::Migrator;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};
use store::{Store, StoreUrl};
use testkit::Postgres;

use crate::fixture::NOW;

/// The last migration before the contents of records had a table of their own.
const BEFORE: &str = "0009";
const ID: &str = "0123456789abcdef0123456789abcdef";

/// The migrations up to [`BEFORE`].
fn earlier(directory: &Path) {
    fs::create_dir_all(directory).expect("a directory");
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("store/migrations");
    for entry in fs::read_dir(all).expect("migrations").flatten() {
        if *entry.file_name().to_string_lossy() < *format!("{BEFORE}~") {
            fs::copy(entry.path(), directory.join(entry.file_name())).expect("copied");
        }
    }
}

/// Makes a store as an earlier host has left it, with a dead letter of the longest topic that Kafka permits, whose code
/// is longer than an index takes.
async fn earlier_store(url: &str, migrations: &Path) {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url).await.expect("a connection");
    let migrator = Migrator::new(migrations).await.expect("migrations");
    migrator.run(&mut connection).await.expect("migrated");
    let long = "x".repeat(8000);
    let topic = "t".repeat(249);
    let sql = format!(
        "INSERT INTO letters (id, topic, topic_partition, topic_offset, failed, taken, message, source, \
         source_partition, source_offset, consumer_group, failure_group, plugin, digest, code, detail, exception, \
         backtrace, attempts, replays, record_key, record_value, record_headers, words, state, state_since) \
         VALUES ('{ID}', 'mail.dlt', 0, 7, {NOW}, {NOW}, 'mail/0/7/1', '{topic}', 0, 7, 'mail-group', 'f', 'email@1', 'd', \
         'smtp-550 {long}', 'no mailbox', 'Reject', 'at main', 3, 0, $1, $2, '[]', 'key\nvalue\nno mailbox', 'open', {NOW})"
    );
    let insert = sqlx::query(AssertSqlSafe(sql)).bind(b"key".to_vec()).bind(b"value".to_vec());
    insert.execute(&mut connection).await.expect("inserted");
    connection.close().await.expect("closed");
}

async fn keeps_its_dead_letters(url: &str, migrations: &Path) {
    earlier_store(url, migrations).await;
    let store = Store::open(StoreUrl::parse(url).expect("a URL")).await.expect("a store");
    let desk = Desk::open(&store).await.expect("a desk");
    let kept = desk.dead_letter(ID).await.expect("an answer").expect("the dead letter");
    assert_eq!((kept.failed_ms, kept.attempts, &kept.detail[..]), (NOW, 3, "no mailbox"));
    assert_eq!(
        (kept.key.expect("a key").0, kept.value.expect("a value").0),
        (b"key".to_vec(), b"value".to_vec())
    );
    assert_eq!((kept.source.topic.len(), &kept.backtrace[..]), (249, "at main"));
    assert!(kept.code.starts_with("smtp-550 xxx") && kept.code.len() == 128, "{}", kept.code);
    for filter in [
        Filter { text: Some("MAILBOX".to_owned()), ..Filter::default() },
        Filter { text: Some(ID[..8].to_owned()), ..Filter::default() },
        Filter { code: Some("smtp-550*".to_owned()), ..Filter::default() },
        Filter { plugin: Some("email".to_owned()), ..Filter::default() },
        Filter { topic: Some("t".repeat(249)), ..Filter::default() },
    ] {
        assert_eq!(desk.count(&filter).await.expect("a count"), 1, "{filter:?}");
        let page = desk.dead_letters(&filter, &PageSelector::First, 10).await.expect("a page");
        assert_eq!(page.items.len(), 1, "{filter:?}");
    }
}

#[tokio::test]
async fn a_store_of_an_earlier_version_keeps_its_dead_letters() {
    let directory = std::env::temp_dir().join(format!("host-migration-{}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    let migrations = directory.join("migrations");
    earlier(&migrations);
    let file = directory.join("host.db");
    fs::write(&file, "").expect("a file");
    keeps_its_dead_letters(&format!("sqlite:{}", file.display()), &migrations).await;
    let postgres = Postgres::start();
    keeps_its_dead_letters(&postgres.url(), &migrations).await;
    let _ = fs::remove_dir_all(&directory);
}
