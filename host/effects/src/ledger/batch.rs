//! The one task that writes the ledger.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use base::clock;
use base::error::UserError;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Connection as _, Executor as _, Row as _};
use store::{Store, placeholders};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Begun, Job, Row, decode};

/// How many effects one transaction takes.
const MOST: usize = 256;
/// How long one transaction may take, connecting anew included.
const TRANSACTION: Duration = Duration::from_secs(4);
/// How often what is old is looked for.
const CLEAN: Duration = Duration::from_secs(30);
/// How many of the old effects one transaction deletes: what is sent meanwhile does not wait long.
const OLD: i64 = 500;
/// How often it is said that the store is not there.
const SAY: Duration = Duration::from_secs(30);
/// Of how many begins at most it is remembered that nobody knows whether they were written.
const DOUBTS: usize = 10_000;

type Statement = Query<'static, Any, AnyArguments>;
type Reply<T> = oneshot::Sender<Result<T, String>>;

pub(super) struct Writer {
    store: Store,
    keep: Duration,
    /// None until it is needed, and after an error.
    connection: Option<AnyConnection>,
    /// When effects were begun whose commit broke: what is found of them is this process's own, and was
    /// never performed.
    doubts: HashMap<String, i64>,
    /// When it was said last that the store is not there.
    said: Option<Instant>,
}

/// One transaction. No effect is in it twice. Sorted, so that two hosts do not wait for each other.
#[derive(Default)]
struct Batch {
    begin: BTreeMap<String, (Row, Reply<Begun>)>,
    settle: BTreeMap<String, (Row, String, Reply<()>)>,
    forget: BTreeMap<String, Option<Reply<()>>>,
}

impl Batch {
    /// Takes the job, or gives it back where its effect has one here.
    fn add(&mut self, job: Job) -> Option<Job> {
        let hash = match &job {
            Job::Begin(row, _) | Job::Settle(row, ..) => &row.hash,
            Job::Forget(hash, _) => hash,
        };
        if self.begin.contains_key(hash) || self.settle.contains_key(hash) || self.forget.contains_key(hash) {
            return Some(job);
        }
        let hash = hash.clone();
        match job {
            // Whoever asked has given up; nothing will be performed.
            Job::Begin(_, reply) if reply.is_closed() => {}
            Job::Begin(row, reply) => _ = self.begin.insert(hash, (row, reply)),
            Job::Settle(row, answer, reply) => _ = self.settle.insert(hash, (row, answer, reply)),
            Job::Forget(hash, reply) => _ = self.forget.insert(hash, reply),
        }
        None
    }

    fn is_empty(&self) -> bool {
        self.begin.is_empty() && self.settle.is_empty() && self.forget.is_empty()
    }

    fn fail(self, why: &str) {
        for (_, reply) in self.begin.into_values() {
            let _ = reply.send(Err(why.to_owned()));
        }
        let settled = self.settle.into_values().map(|(.., reply)| Some(reply));
        for reply in settled.chain(self.forget.into_values()).flatten() {
            let _ = reply.send(Err(why.to_owned()));
        }
    }
}

/// What a transaction found of an effect.
enum Found {
    Begun(Begun),
    /// By another host, in between.
    Changed,
}

impl Writer {
    pub(super) fn new(store: Store, keep: Duration) -> Self {
        Self { store, keep, connection: None, doubts: HashMap::new(), said: None }
    }

    /// Until the ledger is dropped.
    pub(super) async fn run(mut self, mut waiting: mpsc::Receiver<Job>) {
        let mut clean = interval(CLEAN);
        clean.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut jobs = Vec::new();
        loop {
            tokio::select! {
                count = waiting.recv_many(&mut jobs, MOST) => {
                    if count == 0 {
                        break;
                    }
                    while !jobs.is_empty() {
                        jobs = self.write(std::mem::take(&mut jobs)).await;
                    }
                }
                _ = clean.tick() => if self.clean().await {
                    clean.reset_immediately();
                    tokio::task::yield_now().await;
                },
            }
        }
        if let Some(connection) = self.connection {
            let _ = timeout(TRANSACTION, connection.close()).await;
        }
    }

    /// Writes what can go into one transaction; gives back what has to come after it.
    async fn write(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        let mut batch = Batch::default();
        let mut later: Vec<Job> = jobs.into_iter().filter_map(|job| batch.add(job)).collect();
        if batch.is_empty() {
            return later;
        }
        let now = clock::now_ms();
        let mut found = match self.committed(&batch, now).await {
            Ok(found) => found,
            Err(why) => {
                self.say(&why);
                batch.fail(&format!("the store {} does not take it: {why}", self.store.url()));
                return later;
            }
        };
        if self.said.take().is_some() {
            tracing::info!("the store {} takes what is written again", self.store.url());
        }
        for (hash, reply) in batch.forget {
            self.doubts.remove(&hash);
            reply.map(|reply| reply.send(Ok(())));
        }
        for (.., reply) in batch.settle.into_values() {
            let _ = reply.send(Ok(()));
        }
        for (hash, (_, reply)) in batch.begin {
            let answer = match found.remove(&hash) {
                Some(Found::Begun(begun)) => Ok(begun),
                _ => Err("another host changed it at the same time".to_owned()),
            };
            self.doubts.remove(&hash);
            if let Err(Ok(Begun::New)) = reply.send(answer) {
                later.push(Job::Forget(hash, None));
            }
        }
        later
    }

    /// A connection that was open before may have broken since: then a new one is tried.
    async fn committed(&mut self, batch: &Batch, now: i64) -> Result<HashMap<String, Found>, String> {
        let tries = async {
            let was_open = self.connection.is_some();
            match self.transact(batch, now).await {
                Err(_) if was_open => {
                    self.connection = None;
                    self.transact(batch, now).await
                }
                result => result,
            }
        };
        let result = timeout(TRANSACTION, tries).await;
        if !matches!(result, Ok(Ok(_))) {
            self.connection = None;
        }
        match result {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", TRANSACTION.as_secs())),
        }
    }

    /// Whether what is begun is new. What was written, and whose commit was not confirmed, is in doubt.
    async fn transact(&mut self, batch: &Batch, now: i64) -> sqlx::Result<HashMap<String, Found>> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.store.connect().await?),
        };
        let mut transaction = connection.begin().await?;
        for sql in [forget(batch), settle(batch, now)].into_iter().flatten() {
            transaction.execute(sql).await?;
        }
        let (mut new, mut old) = (HashSet::new(), HashMap::new());
        if let Some(sql) = insert(batch, now) {
            let rows = transaction.fetch_all(sql).await?;
            new = rows.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<_>>()?;
        }
        if let Some(sql) = look(batch, &new) {
            let rows = transaction.fetch_all(sql).await?;
            old = rows.iter().map(known).collect::<sqlx::Result<_>>()?;
        }
        if self.doubts.len() < DOUBTS {
            self.doubts.extend(new.iter().map(|hash| (hash.clone(), now)));
        }
        transaction.commit().await?;
        let found = |hash: &String| {
            let found = match old.get(hash) {
                _ if new.contains(hash) => Found::Begun(Begun::New),
                Some(Known { answer: Some(answer), .. }) => {
                    Found::Begun(decode(answer).map_or(Begun::Unsettled, Begun::Done))
                }
                Some(Known { created, .. }) if self.doubts.get(hash) == Some(created) => {
                    Found::Begun(Begun::New)
                }
                Some(_) => Found::Begun(Begun::Unsettled),
                None => Found::Changed,
            };
            (hash.clone(), found)
        };
        Ok(batch.begin.keys().map(found).collect())
    }

    /// Deletes some of what is older than it is kept. True where there may be more.
    async fn clean(&mut self) -> bool {
        let keep = i64::try_from(self.keep.as_millis()).unwrap_or(i64::MAX);
        let before = clock::now_ms().saturating_sub(keep);
        match timeout(TRANSACTION, self.delete(before)).await {
            Ok(Ok(deleted)) => deleted == OLD.unsigned_abs(),
            result => {
                self.connection = None;
                tracing::debug!("old effects were not deleted: {result:?}");
                false
            }
        }
    }

    /// How many were deleted.
    async fn delete(&mut self, before: i64) -> sqlx::Result<u64> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.store.connect().await?),
        };
        let sql = sqlx::query(
            "DELETE FROM effects WHERE hash IN \
             (SELECT hash FROM effects WHERE created < $1 ORDER BY created LIMIT $2)",
        );
        let deleted = connection.execute(sql.bind(before).bind(OLD)).await?;
        Ok(deleted.rows_affected())
    }

    /// Once, and then every 30 s.
    fn say(&mut self, why: &str) {
        if self.said.is_none_or(|said| said.elapsed() >= SAY) {
            self.said = Some(Instant::now());
            let failure = UserError::unavailable(format!(
                "the store {} takes nothing, and nothing is sent without it: {why}",
                self.store.url()
            ));
            tracing::error!(
                "{}",
                failure.help("messages wait; mend or start it, and they go on by themselves")
            );
        }
    }
}

/// Of an effect that was begun before.
struct Known {
    created: i64,
    answer: Option<String>,
}

fn forget(batch: &Batch) -> Option<Statement> {
    let sql = "DELETE FROM effects WHERE answer IS NULL AND hash IN";
    (!batch.forget.is_empty()).then(|| list(sql, batch.forget.keys().collect()))
}

/// Writes the row anew where somebody deleted it.
fn settle(batch: &Batch, now: i64) -> Option<Statement> {
    if batch.settle.is_empty() {
        return None;
    }
    let values = placeholders(1, batch.settle.len(), 6);
    let mut sql = sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO effects (hash, consumer_group, message, created, settled, answer) VALUES {values} \
         ON CONFLICT (hash) DO UPDATE SET settled = excluded.settled, answer = excluded.answer"
    )));
    for (row, answer, _) in batch.settle.values() {
        sql = sql.bind(row.hash.clone()).bind(readable(&row.group)).bind(readable(&row.message));
        sql = sql.bind(now).bind(now).bind(answer.clone());
    }
    Some(sql)
}

/// Returns which ones are new.
fn insert(batch: &Batch, now: i64) -> Option<Statement> {
    if batch.begin.is_empty() {
        return None;
    }
    let values = placeholders(1, batch.begin.len(), 4);
    let mut sql = sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO effects (hash, consumer_group, message, created) VALUES {values} \
         ON CONFLICT (hash) DO NOTHING RETURNING hash"
    )));
    for (row, _) in batch.begin.values() {
        sql = sql.bind(row.hash.clone()).bind(readable(&row.group)).bind(readable(&row.message)).bind(now);
    }
    Some(sql)
}

/// Returns those that are not new.
fn look(batch: &Batch, new: &HashSet<String>) -> Option<Statement> {
    let old: Vec<_> = batch.begin.keys().filter(|hash| !new.contains(*hash)).collect();
    let sql = "SELECT hash, created, answer FROM effects WHERE hash IN";
    (!old.is_empty()).then(|| list(sql, old))
}

fn known(row: &AnyRow) -> sqlx::Result<(String, Known)> {
    Ok((row.try_get(0)?, Known { created: row.try_get(1)?, answer: row.try_get(2)? }))
}

fn list(sql: &str, hashes: Vec<&String>) -> Statement {
    let sql = sqlx::query(AssertSqlSafe(format!("{sql} {}", placeholders(1, 1, hashes.len()))));
    hashes.into_iter().fold(sql, |sql, hash| sql.bind(hash.clone()))
}

/// PostgreSQL takes no NUL.
fn readable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
