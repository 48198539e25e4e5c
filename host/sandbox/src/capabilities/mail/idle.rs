//! Open connections between two e-mails.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::smtp::Connection;

/// The time after which an idle connection is closed. A server may allow few, and another host may wait for one.
const IDLE: Duration = Duration::from_secs(5);
/// The time after which an idle connection must answer before it is used, since the server may have closed it.
const FRESH: Duration = Duration::from_secs(1);
/// The time for that answer.
const PROBE: Duration = Duration::from_secs(2);

/// The idle connections to one server.
#[derive(Default)]
pub struct IdleConnections(Arc<Mutex<Idle>>);

#[derive(Default)]
struct Idle {
    /// Sorted by time.
    all: Vec<IdleConnection>,
    /// Whether a task closes them.
    is_watched: bool,
}

struct IdleConnection {
    connection: Connection,
    since: Instant,
    /// Whether the last transaction was refused, and has to be ended first.
    is_open: bool,
}

impl IdleConnections {
    /// The connection that was used last and still works, as far as is known.
    pub async fn take(&self) -> Option<Connection> {
        loop {
            let IdleConnection { mut connection, since, is_open } = self.0.lock().all.pop()?;
            let idle = since.elapsed();
            if idle < IDLE && ((idle < FRESH && !is_open) || connection.reset(PROBE).await) {
                return Some(connection);
            }
        }
    }

    /// The number of idle connections.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.lock().all.len()
    }

    /// Keeps a connection for a while, unless there would be more than `max`.
    pub fn keep(&self, connection: Connection, is_open: bool, max: usize) {
        let mut idle = self.0.lock();
        if idle.all.len() >= max {
            return connection.close();
        }
        idle.all.push(IdleConnection { connection, since: Instant::now(), is_open });
        if !std::mem::replace(&mut idle.is_watched, true) {
            tokio::spawn(close_old(Arc::downgrade(&self.0)));
        }
    }
}

/// Closes connections when they have been idle for too long, until there are none.
async fn close_old(idle: Weak<Mutex<Idle>>) {
    while let Some(next) = idle.upgrade().and_then(|idle| next_end(&mut idle.lock())) {
        sleep_until(next).await;
        let Some(idle) = idle.upgrade() else { return };
        let (mut idle, now) = (idle.lock(), Instant::now());
        let old = idle.all.partition_point(|idle| idle.since + IDLE <= now);
        for IdleConnection { connection, .. } in idle.all.drain(..old) {
            connection.close();
        }
    }
}

/// When the next connection has to be closed; None if the task has nothing to do.
fn next_end(idle: &mut Idle) -> Option<Instant> {
    let next = idle.all.first().map(|oldest| oldest.since + IDLE);
    idle.is_watched = next.is_some();
    next
}
