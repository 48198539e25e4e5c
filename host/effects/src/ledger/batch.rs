//! The task that writes the ledger.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use base::clock;
use base::error::UserError;
use base::throttle::Throttle;
use sqlx::{AnyConnection, Connection as _, Executor as _, Row as _};
use store::Store;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::statements as sql;
use super::{Begun, Request, Row, StoreHealth};

/// The maximum number of effects in a transaction.
const MAX_BATCH: usize = 256;
/// The maximum time for a transaction, including a reconnect.
const TRANSACTION_BOUND: Duration = Duration::from_secs(4);
/// The interval at which expired effects are deleted.
const DELETE_INTERVAL: Duration = Duration::from_secs(30);
/// The maximum number of expired effects that a transaction examines, so that requests do not wait long.
const MAX_EXAMINED: i64 = 500;
/// The interval at which effects that were kept for their dead letters are examined again.
const EXAMINE_AGAIN: Duration = Duration::from_secs(3600);
/// The interval at which an unavailable store is logged.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);
/// The interval at which a process that performs effects is seen.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// The time after which processes are forgotten.
const FORGET_OWNERS: Duration = Duration::from_secs(86_400);
/// The maximum number of remembered unconfirmed beginnings.
const MAX_UNCONFIRMED: usize = 10_000;

type Reply<T> = oneshot::Sender<Result<T, String>>;

pub(super) struct Writer {
    store: Store,
    keep: Duration,
    /// Identifies this process.
    owner: String,
    /// The effects that this process performs.
    owned: HashSet<String>,
    /// When this process was last seen, in milliseconds since the Unix epoch.
    seen: i64,
    /// None before the first request and after an error.
    connection: Option<AnyConnection>,
    /// When effects began whose commit was not confirmed. If the ledger contains them, this process wrote
    /// them and did not perform them.
    unconfirmed: HashMap<String, i64>,
    health: StoreHealth,
    /// Limits the log messages about an unavailable store.
    outage: Throttle,
    /// The last expired effect that was examined, by time and hash, and the time at which examination began.
    examined: (i64, String),
    examined_since: Instant,
}

/// The requests of a transaction, with at most one per effect. Sorted, so that two hosts do not deadlock.
#[derive(Default)]
pub(super) struct Batch {
    pub begin: BTreeMap<String, (Row, Reply<Begun>)>,
    pub settle: BTreeMap<String, (Row, String, Reply<()>)>,
    pub forget: BTreeMap<String, Option<Reply<()>>>,
    pub undo: BTreeMap<String, Reply<()>>,
    pub disown: BTreeMap<String, Reply<()>>,
}

impl Batch {
    /// Adds a request, or returns it if the batch has one for the same effect.
    fn add(&mut self, request: Request) -> Option<Request> {
        let hash = match &request {
            Request::Begin(row, _) | Request::Settle(row, ..) => &row.hash,
            Request::Forget(hash, _) | Request::Undo(hash, _) | Request::Disown(hash, _) => hash,
        };
        if self.has(hash) {
            return Some(request);
        }
        let hash = hash.clone();
        match request {
            // The call was cancelled; nothing will be performed.
            Request::Begin(_, reply) if reply.is_closed() => {}
            Request::Begin(row, reply) => _ = self.begin.insert(hash, (row, reply)),
            Request::Settle(row, answer, reply) => _ = self.settle.insert(hash, (row, answer, reply)),
            Request::Forget(hash, reply) => _ = self.forget.insert(hash, reply),
            Request::Undo(hash, reply) => _ = self.undo.insert(hash, reply),
            Request::Disown(hash, reply) => _ = self.disown.insert(hash, reply),
        }
        None
    }

    fn has(&self, hash: &str) -> bool {
        let plain =
            [self.undo.contains_key(hash), self.disown.contains_key(hash), self.forget.contains_key(hash)];
        self.begin.contains_key(hash) || self.settle.contains_key(hash) || plain.contains(&true)
    }

    fn is_empty(&self) -> bool {
        let plain = [self.undo.is_empty(), self.disown.is_empty(), self.forget.is_empty()];
        self.begin.is_empty() && self.settle.is_empty() && !plain.contains(&false)
    }

    /// The effects that this process does not perform any more.
    fn ended(&self) -> impl Iterator<Item = &String> {
        self.settle.keys().chain(self.forget.keys()).chain(self.undo.keys()).chain(self.disown.keys())
    }

    /// Replies to all requests with an error.
    fn fail(self, error: &str) {
        for (_, reply) in self.begin.into_values() {
            let _ = reply.send(Err(error.to_owned()));
        }
        let settled = self.settle.into_values().map(|(.., reply)| Some(reply));
        let undone = self.undo.into_values().chain(self.disown.into_values()).map(Some);
        for reply in settled.chain(self.forget.into_values()).chain(undone).flatten() {
            let _ = reply.send(Err(error.to_owned()));
        }
    }
}

/// The state of an effect in the ledger.
enum Found {
    Begun(Begun),
    /// Another host changed it during the transaction.
    Changed,
}

impl Writer {
    pub(super) fn new(store: Store, keep: Duration, health: StoreHealth) -> Self {
        Self {
            store,
            keep,
            owner: format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)),
            owned: HashSet::new(),
            seen: 0,
            connection: None,
            unconfirmed: HashMap::new(),
            health,
            outage: Throttle::new(REPORT_INTERVAL),
            examined: (i64::MIN, String::new()),
            examined_since: Instant::now(),
        }
    }

    /// Runs until the ledger is dropped.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut deletion = interval(DELETE_INTERVAL);
        deletion.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut requests = Vec::new();
        loop {
            tokio::select! {
                count = queue.recv_many(&mut requests, MAX_BATCH) => {
                    if count == 0 {
                        break;
                    }
                    while !requests.is_empty() {
                        requests = self.write(std::mem::take(&mut requests)).await;
                    }
                }
                _ = heartbeat.tick(), if !self.owned.is_empty() => self.beat().await,
                _ = deletion.tick() => if self.delete_expired().await {
                    deletion.reset_immediately();
                    tokio::task::yield_now().await;
                },
            }
        }
        if let Some(mut connection) = self.connection {
            let leaving = async {
                let _turn = self.store.next_turn().await;
                let _ = connection.execute(sql::forget_owners(&self.owner, 0)).await;
                drop(_turn);
                connection.close().await
            };
            let _ = timeout(TRANSACTION_BOUND, leaving).await;
        }
    }

    /// Records that this process is alive, so that no other one takes its effects for abandoned.
    async fn beat(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        let now = clock::now_ms();
        let beating = async {
            let _turn = self.store.next_turn().await;
            connection.execute(sql::seen(&self.owner, now)).await
        };
        match timeout(TRANSACTION_BOUND, beating).await {
            Ok(Ok(_)) => self.seen = now,
            _ => self.connection = None,
        }
    }

    /// Writes a transaction with one request per effect. Returns the requests that must follow it.
    async fn write(&mut self, requests: Vec<Request>) -> Vec<Request> {
        let mut batch = Batch::default();
        let mut later: Vec<Request> = requests.into_iter().filter_map(|request| batch.add(request)).collect();
        if batch.is_empty() {
            return later;
        }
        let now = clock::now_ms();
        let mut found = match self.commit(&batch, now).await {
            Ok(found) => found,
            Err(error) => {
                self.report_outage(&error);
                let error = format!("the store {} is unavailable: {error}", self.store.url());
                batch.fail(&error);
                self.health.failed(error);
                return later;
            }
        };
        self.health.succeeded();
        if self.outage.clear() {
            tracing::info!("the store {} is available again", self.store.url());
        }
        for hash in batch.ended() {
            self.owned.remove(hash);
        }
        for (hash, reply) in batch.forget {
            self.unconfirmed.remove(&hash);
            reply.map(|reply| reply.send(Ok(())));
        }
        let settled = batch.settle.into_values().map(|(.., reply)| reply);
        for reply in settled.chain(batch.undo.into_values()).chain(batch.disown.into_values()) {
            let _ = reply.send(Ok(()));
        }
        for (hash, (_, reply)) in batch.begin {
            let answer = match found.remove(&hash) {
                Some(Found::Begun(begun)) => Ok(begun),
                _ => Err("another host changed it at the same time".to_owned()),
            };
            self.unconfirmed.remove(&hash);
            if matches!(answer, Ok(Begun::New | Begun::Unsettled)) {
                self.owned.insert(hash.clone());
            }
            if let Err(Ok(Begun::New)) = reply.send(answer) {
                later.push(Request::Forget(hash, None));
            }
        }
        later
    }

    /// Runs the transaction, a second time with a new connection if the previous one was broken.
    async fn commit(&mut self, batch: &Batch, now: i64) -> Result<HashMap<String, Found>, String> {
        let attempts = async {
            let was_open = self.connection.is_some();
            match self.transact(batch, now).await {
                Err(_) if was_open => {
                    self.connection = None;
                    self.transact(batch, now).await
                }
                result => result,
            }
        };
        let result = timeout(TRANSACTION_BOUND, attempts).await;
        if !matches!(result, Ok(Ok(_))) {
            self.connection = None;
        }
        match result {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no response within {} s", TRANSACTION_BOUND.as_secs())),
        }
    }

    /// Runs the transaction once. Returns the state of the effects that begin.
    async fn transact(&mut self, batch: &Batch, now: i64) -> sqlx::Result<HashMap<String, Found>> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.store.connect().await?),
        };
        let _turn = self.store.next_turn().await;
        let mut transaction = connection.begin().await?;
        let ends = [
            sql::forget(&self.store, batch),
            sql::undo(&self.store, batch),
            sql::disown(&self.store, batch),
            sql::settle(&self.store, batch, now),
        ];
        let beat = !batch.begin.is_empty() && now - self.seen > clock::millis(HEARTBEAT);
        let seen = beat.then(|| sql::seen(&self.owner, now));
        let first: Vec<_> = ends.into_iter().chain([seen]).flatten().collect();
        for sql in first {
            transaction.execute(sql).await?;
        }
        let (mut new, mut old) = (HashSet::new(), HashMap::new());
        if let Some(sql) = sql::insert(&self.store, batch, now, &self.owner) {
            let rows = transaction.fetch_all(sql).await?;
            new = rows.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<_>>()?;
        }
        if let Some(sql) = sql::select_old(&self.store, batch, &new) {
            let rows = transaction.fetch_all(sql).await?;
            old = rows.iter().map(sql::existing).collect::<sqlx::Result<_>>()?;
        }
        if self.unconfirmed.len() < MAX_UNCONFIRMED {
            self.unconfirmed.extend(new.iter().map(|hash| (hash.clone(), now)));
        }
        let state = |hash: &String| match old.get(hash) {
            _ if new.contains(hash) => Found::Begun(Begun::New),
            Some(existing)
                if self.unconfirmed.get(hash) == Some(&existing.created) && existing.answer.is_none() =>
            {
                Found::Begun(Begun::New)
            }
            Some(existing) => Found::Begun(existing.begun(&self.owner, now)),
            None => Found::Changed,
        };
        let found: HashMap<_, _> = batch.begin.keys().map(|hash| (hash.clone(), state(hash))).collect();
        let is_unsettled = |found: &Found| matches!(found, Found::Begun(Begun::Unsettled));
        let taken = found.iter().filter(|(_, found)| is_unsettled(found)).map(|(hash, _)| hash).collect();
        if let Some(sql) = sql::own(&self.store, taken, &self.owner) {
            transaction.execute(sql).await?;
        }
        transaction.commit().await?;
        if beat {
            self.seen = now;
        }
        Ok(found)
    }

    /// Deletes some expired effects. Returns whether there may be more.
    async fn delete_expired(&mut self) -> bool {
        if self.examined_since.elapsed() >= EXAMINE_AGAIN {
            (self.examined, self.examined_since) = ((i64::MIN, String::new()), Instant::now());
        }
        let keep = clock::millis(self.keep);
        let before = clock::now_ms().saturating_sub(keep);
        match timeout(TRANSACTION_BOUND, self.delete(before)).await {
            Ok(Ok(may_be_more)) => may_be_more,
            result => {
                self.connection = None;
                tracing::debug!("cannot delete expired effects: {result:?}");
                false
            }
        }
    }

    /// Examines the next effects from before `before`, and deletes them. What a dead letter in the store has sent
    /// stays known while the dead letter is open, and for as long after its last change of state as other effects.
    /// Returns whether there may be more.
    async fn delete(&mut self, before: i64) -> sqlx::Result<bool> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.store.connect().await?),
        };
        let next = sqlx::query_as(
            "SELECT created, hash FROM effects WHERE created < $1 AND (created, hash) > ($2, $3) \
             ORDER BY created, hash LIMIT $4",
        );
        let (created, hash) = self.examined.clone();
        let next = next.bind(before).bind(created).bind(&hash).bind(MAX_EXAMINED);
        let next: Vec<(i64, String)> = next.fetch_all(&mut *connection).await?;
        let Some(last) = next.last() else { return Ok(false) };
        let sql = sqlx::query(
            "DELETE FROM effects WHERE created < $1 AND (created, hash) > ($2, $3) \
             AND (created, hash) <= ($4, $5) AND NOT EXISTS (SELECT 1 FROM letters \
             WHERE letters.message = effects.message AND (letters.state = 'open' OR letters.state_since >= $1))",
        );
        let sql = sql.bind(before).bind(created).bind(&hash).bind(last.0).bind(&last.1);
        let _turn = self.store.next_turn().await;
        connection.execute(sql).await?;
        connection.execute(sql::forget_owners("", clock::now_ms() - clock::millis(FORGET_OWNERS))).await?;
        self.examined.clone_from(last);
        Ok(i64::try_from(next.len()).is_ok_and(|count| count == MAX_EXAMINED))
    }

    /// Logs an unavailable store, at first and then every 30 s.
    fn report_outage(&mut self, error: &str) {
        if self.outage.is_due() {
            let failure = UserError::unavailable(format!(
                "the store {} is unavailable, and nothing is sent without it: {error}",
                self.store.url()
            ));
            tracing::error!("{}", failure.help("restore it; messages wait and then continue by themselves"));
        }
    }
}
