//! Ten thousand messages of every kind: each has its expected end.

use std::collections::HashMap;

use testkit::{Kafka, Record, Rng, scale};

use crate::support::{Delivery, Guest, Host, attempts, body, deliveries, id_of};

const PARTITIONS: u64 = 4;
/// The last attempt of the guest's retry policy.
const LAST: u32 = 6;

/// The expected end of a message.
struct Fate {
    action: &'static str,
    /// The last attempt that fails. `None` if the action does not depend on the attempt.
    until: Option<u32>,
}

impl Fate {
    fn random(rng: &mut Rng) -> Self {
        let until = Some(1 + rng.below(u64::from(LAST) - 1) as u32);
        let (action, until) = match rng.below(100) {
            0..40 => ("done", None),
            40..50 => ("skip", None),
            50..70 => ("retry", until),
            70..80 => ("reject", None),
            80..85 => ("trap", until),
            85..88 => ("trap", Some(LAST)),
            88..92 => ("panic", until),
            92..94 => ("outcomes", Some(LAST)),
            _ => ("retry", Some(LAST)),
        };
        Self { action, until }
    }

    fn body(&self, id: &str) -> String {
        let until = self.until.map_or_else(String::new, |until| format!(r#","until":{until}"#));
        body(id, self.action, &until)
    }

    fn deliveries(&self) -> u32 {
        self.until.map_or(1, |until| (until + 1).min(LAST))
    }

    /// The failure code of its dead letter.
    fn dead(&self) -> Option<&'static str> {
        match (self.action, self.until) {
            ("reject", _) => Some("asked-reject"),
            (_, Some(LAST)) => Some(match self.action {
                "retry" => "asked-retry",
                "outcomes" => "wrong-outcome-count",
                _ => "trap",
            }),
            _ => None,
        }
    }
}

#[test]
fn each_of_ten_thousand_messages_has_its_expected_end() {
    let kafka = Kafka::shared();
    let guest = Guest::fast("mixed");
    kafka.create_topic(&guest.topic, PARTITIONS as usize, &[]);
    let mut rng = Rng::seeded();
    let fates: HashMap<String, Fate> =
        (0..scale(10_000, 100_000)).map(|number| (format!("m{number}"), Fate::random(&mut rng))).collect();
    let host = Host::start(kafka, &[&guest.path]);
    let records = fates.iter().map(|(id, fate)| {
        Record::new(fate.body(id))
            .with_key(id.as_str())
            .with_header("sent-as", id.as_str())
            .on(rng.below(PARTITIONS) as i32)
    });
    kafka.produce(&guest.topic, records);
    guest.settle(kafka);
    let all = deliveries(&host.stop());

    let mut dead: HashMap<String, Vec<Record>> = HashMap::new();
    for record in kafka.read_all(&guest.dead) {
        dead.entry(id_of(&record)).or_default().push(record);
    }
    assert_eq!(all.len(), fates.len());
    for (id, fate) in &fates {
        check_end(id, fate, &all, dead.remove(id).unwrap_or_default());
    }
    assert!(dead.is_empty(), "dead letters without a message: {:?}", dead.keys());
}

fn check_end(id: &str, fate: &Fate, all: &HashMap<String, Vec<Delivery>>, dead: Vec<Record>) {
    let expected: Vec<u32> = (1..=fate.deliveries()).collect();
    assert_eq!(attempts(all, id), expected, "{id}: {} until {:?}", fate.action, fate.until);
    let codes: Vec<_> = dead.iter().filter_map(|record| record.header_text("host-failure-code")).collect();
    assert_eq!(
        codes,
        fate.dead().into_iter().collect::<Vec<_>>(),
        "{id}: {} until {:?}",
        fate.action,
        fate.until
    );
    for record in dead {
        assert_eq!(record.text(), fate.body(id));
        assert_eq!(record.key.as_deref(), Some(id.as_bytes()));
        assert_eq!(record.header_text("sent-as").as_deref(), Some(id));
        assert_eq!(record.header_text("host-attempts"), Some(fate.deliveries().to_string()));
    }
}
