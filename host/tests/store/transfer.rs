//! Export and import of dead letters, on both databases.

use desk::record::Record;
use desk::{Desk, record};
use desk_api::{DeadLetter, DeadLetterState, Filter, Location, PageSelector};
use testkit::Postgres;

use crate::fixture::{ACTOR, NOW, dead_letter, on_both, one, open};

async fn exported(desk: &Desk, filter: &Filter) -> String {
    let mut lines = desk.export(filter, ACTOR).await.expect("an export");
    let mut text = String::new();
    while let Some(line) = lines.recv().await {
        text += &line.expect("a line");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_copied_between_stores() {
    let postgres = Postgres::start();
    let other = open(&postgres.url()).await;
    on_both(async |desk| {
        let dead_letters: Vec<DeadLetter> =
            (0..450).map(|offset| dead_letter(offset, "bad-address", "d1")).collect();
        desk.ingest(&dead_letters).await.expect("ingested");
        desk.discard(&one(&dead_letters[0]), ACTOR).await.expect("discarded");
        let text = exported(&desk, &Filter::default()).await;
        assert_eq!(text.lines().count(), 450);
        assert!(text.ends_with('\n'));
        let few = exported(&desk, &one(&dead_letters[7])).await;
        assert_eq!(serde_json::from_str::<DeadLetter>(&few).expect("a dead letter"), dead_letters[7]);
        // Existing dead letters do not change.
        let imported = desk.import(text.as_bytes(), ACTOR).await.expect("imported");
        assert_eq!((imported.new, imported.known), (0, 450));
        let before = other.count(&Filter::default()).await.expect("an answer");
        let imported = other.import(text.as_bytes(), ACTOR).await.expect("imported");
        assert_eq!(imported.new + imported.known, 450);
        assert_eq!(other.count(&Filter::default()).await.expect("an answer"), before + imported.new);
        let there = other.dead_letter(&dead_letters[0].id).await.expect("an answer").expect("a dead letter");
        assert_eq!(
            (there.state, there.headers),
            (DeadLetterState::Discarded, dead_letters[0].headers.clone())
        );
        assert_eq!(
            other.failures(true, NOW, &PageSelector::First, 10).await.expect("failures").items[0].open,
            449
        );
        let entries = desk.audit_log(None, &PageSelector::First, 10).await.expect("entries").items;
        let log: Vec<_> = entries.iter().map(|entry| (&entry.action[..], entry.dead_letters)).collect();
        assert_eq!(log, [("import", 0), ("export", 1), ("export", 450), ("discard", 1)]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_with_an_invalid_line_changes_nothing() {
    on_both(async |desk| {
        let lines: Vec<String> = (0..300)
            .map(|offset| serde_json::to_string(&dead_letter(offset, "bad-address", "d1")).expect("JSON"))
            .collect();
        let text = format!("{}\n{{\"id\":\"x\"}}\n", lines.join("\n"));
        let wrong = desk.import(text.as_bytes(), ACTOR).await.expect_err("the last line is invalid");
        assert!(wrong.to_string().starts_with("line 301: "), "{wrong}");
        assert_eq!(desk.count(&Filter::default()).await.expect("an answer"), 0);
        assert!(desk.audit_log(None, &PageSelector::First, 10).await.expect("entries").items.is_empty());
        // A dead letter that occurs twice in a file is imported once.
        let text = format!("{}\n{}\n\n{}", lines[0], lines[1], lines[0]);
        let imported = desk.import(text.as_bytes(), ACTOR).await.expect("imported");
        assert_eq!((imported.new, imported.known), (2, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_with_any_bytes_is_stored() {
    on_both(async |desk| {
        let mut seed = 1_u64;
        let mut noise = |length: usize| -> Vec<u8> {
            let next = |_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Incompressible bytes, including NUL.
                u8::try_from(seed >> 57).unwrap_or(0)
            };
            (0..length).map(next).collect()
        };
        let names = ["host-id", "host-plugin", "host-failure-code", "kafka_exception-message", "\0 name"];
        let headers = names.map(|name| (name.as_bytes().to_vec(), Some(noise(20_000))));
        let record = Record {
            location: Location { topic: "x.dlt".to_owned(), partition: 1, offset: 0 },
            timestamp_ms: -1,
            key: Some(noise(20_000)),
            value: Some(noise(200_000)),
            headers: headers.into(),
        };
        let dead_letter = record::dead_letter(record, NOW);
        assert_eq!(desk.ingest(std::slice::from_ref(&dead_letter)).await.expect("ingested").len(), 1);
        assert_eq!(desk.dead_letter(&dead_letter.id).await.expect("an answer"), Some(dead_letter.clone()));
        // It survives an export and an import.
        let text = exported(&desk, &Filter::default()).await;
        assert_eq!(desk.import(text.as_bytes(), ACTOR).await.expect("imported").known, 1);
    })
    .await;
}
