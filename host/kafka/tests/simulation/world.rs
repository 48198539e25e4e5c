//! The cluster, the members of a group and the calls in progress, and everything that can happen to them.

mod promises;

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use async_channel::Receiver;
use kafka::delivery::Delivery;
use kafka::partition::{Partition, PartitionContext};
use kafka::window::RetryState;
use settings::Ordering;
use testkit::Rng;

use crate::cluster::{Cluster, Record};
use crate::member::{Member, Sent};

/// The number of actions that a failure shows.
const TRACE: usize = 60;

/// A violation of a promise.
#[derive(Debug)]
pub struct Violation(pub String);

/// What happens in an episode.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The order of the messages.
    pub ordering: Ordering,
    /// Whether topics have ids.
    pub has_ids: bool,
    /// Whether members leave in order only, and the log stays as it is. Then nothing is repeated.
    pub is_kind: bool,
    /// Whether one message is never finished.
    pub one_waits: bool,
    /// The number of actions.
    pub actions: u64,
    /// The maximum number of records that are published, fetched or taken at a time.
    pub batch: u64,
}

/// The state of an episode.
pub struct World {
    plan: Plan,
    rng: Rng,
    cluster: Cluster,
    context: Arc<PartitionContext>,
    ready: Receiver<Weak<Partition>>,
    member: Member,
    /// Calls of partitions that were given up.
    former: Vec<(usize, Delivery)>,
    waiting: Option<(usize, Delivery)>,
    /// Commits that arrive later.
    late: Vec<Sent>,
    /// The number of durable outcomes of each record.
    handled: Vec<u32>,
    /// The number of times that each record was postponed.
    postponed: Vec<u32>,
    /// The number of actions so far.
    pub steps: u64,
    trace: VecDeque<&'static str>,
}

type Checked = Result<(), Violation>;

impl World {
    pub fn new(
        plan: Plan,
        rng: Rng,
        context: Arc<PartitionContext>,
        ready: Receiver<Weak<Partition>>,
    ) -> Self {
        let cluster = Cluster::new(plan.has_ids);
        let member = Member::join(&cluster, &context);
        Self {
            plan,
            rng,
            cluster,
            context,
            ready,
            member,
            former: Vec::new(),
            waiting: None,
            late: Vec::new(),
            handled: Vec::new(),
            postponed: Vec::new(),
            steps: 0,
            trace: VecDeque::with_capacity(TRACE),
        }
    }

    /// Runs the episode.
    pub fn run(&mut self) -> Checked {
        for _ in 0..self.plan.actions {
            self.act()?;
        }
        self.settle()
    }

    /// The last actions.
    pub fn trace(&self) -> String {
        self.trace.iter().copied().collect::<Vec<_>>().join(", ")
    }

    fn act(&mut self) -> Checked {
        let faults = if self.plan.is_kind { 0 } else { 8 };
        match self.rng.below(92 + faults) {
            0..20 => self.publish(),
            20..38 => self.fetch(),
            38..56 => self.take()?,
            56..74 => self.finish(),
            74..79 => self.commit(),
            79..84 => self.answer_commit()?,
            84..86 => self.deliver_late()?,
            86..88 => self.check_log(),
            88..91 => self.finish_former(),
            91 if !self.plan.one_waits => self.rebalance()?,
            91 => self.note("nothing"),
            92..94 => self.crash()?,
            94 => self.recreate()?,
            95..97 => self.elect()?,
            _ => self.expire()?,
        }
        Ok(())
    }

    fn note(&mut self, action: &'static str) {
        self.steps += 1;
        if self.trace.len() == TRACE {
            self.trace.pop_front();
        }
        self.trace.push_back(action);
    }

    fn amount(&mut self) -> usize {
        self.rng.below(self.plan.batch) as usize + 1
    }

    fn publish(&mut self) {
        self.note("publish");
        for _ in 0..self.amount() {
            let (id, epoch) = (self.handled.len(), self.cluster.epoch);
            let key = self.rng.below(6) as u8;
            self.cluster.records.push_back(Record { id, epoch, key });
            self.handled.push(0);
            self.postponed.push(0);
        }
    }

    fn fetch(&mut self) {
        self.note("fetch");
        let count = self.amount();
        self.member.fetch(&self.cluster, count);
    }

    fn take(&mut self) -> Checked {
        self.note("take");
        let Some(partition) = self.ready.try_recv().ok().and_then(|partition| partition.upgrade()) else {
            return Ok(());
        };
        let mut batch = Vec::new();
        let count = self.amount();
        partition.take(count, &mut batch);
        for delivery in batch {
            let value = delivery.message().value().and_then(|value| value.try_into().ok());
            let id = usize::from_le_bytes(value.expect("the number of the record"));
            self.check_delivery(id, &delivery)?;
            if self.plan.one_waits && self.waiting.is_none() {
                self.waiting = Some((id, delivery));
            } else {
                self.member.deliveries.push((id, delivery));
            }
        }
        Ok(())
    }

    fn finish(&mut self) {
        self.note("finish");
        let count = self.member.deliveries.len() as u64;
        if count > 0 {
            let index = self.rng.below(count) as usize;
            let (id, delivery) = self.member.deliveries.swap_remove(index);
            self.end(id, delivery);
        }
    }

    fn finish_former(&mut self) {
        self.note("finish a former call");
        if let Some((id, delivery)) = self.former.pop() {
            self.end(id, delivery);
        }
    }

    /// A call ends, with any outcome.
    fn end(&mut self, id: usize, delivery: Delivery) {
        let in_place = self.plan.ordering.is_in_place();
        match self.rng.below(20) {
            0 => delivery.give_back(),
            1..4 if in_place => {
                let attempt = delivery.attempt() + 1;
                if !delivery.partition().is_closed() || self.plan.is_kind {
                    self.postponed[id] += 1;
                }
                let now = base::clock::now_ms();
                delivery.postpone(RetryState { attempt, due_ms: now, first_failed_ms: now });
            }
            _ => {
                self.handled[id] += 1;
                delivery.finish();
            }
        }
    }

    fn commit(&mut self) {
        self.note("commit");
        self.member.commit();
    }

    /// The commit in flight arrives and is answered; or the answer, or the commit itself is lost or late.
    fn answer_commit(&mut self) -> Checked {
        self.note("answer a commit");
        let Some(sent) = &self.member.sent else { return Ok(()) };
        match self.rng.below(8) {
            0 => self.member.confirm(false),
            1 if !self.plan.is_kind => self.late.extend(self.member.sent.take()),
            2 => {
                self.cluster.store(sent.generation, sent.commit.clone());
                self.member.confirm(false);
            }
            _ => {
                let stored = self.cluster.store(sent.generation, sent.commit.clone());
                self.member.confirm(stored);
            }
        }
        self.check_commit()
    }

    fn deliver_late(&mut self) -> Checked {
        self.note("deliver a late commit");
        if let Some(Sent { generation, commit }) = self.late.pop() {
            self.cluster.store(generation, commit);
        }
        self.check_commit()
    }

    fn check_log(&mut self) {
        self.note("check the log");
        let former = self.member.check_log(&self.cluster);
        self.former.extend(former);
    }

    /// The partition is revoked, drained, committed, and assigned to another member.
    fn rebalance(&mut self) -> Checked {
        self.note("rebalance");
        self.member.partition.close();
        for (id, delivery) in
            std::mem::take(&mut self.member.deliveries).into_iter().chain(self.waiting.take())
        {
            self.end(id, delivery);
        }
        if let Some(Sent { generation, commit }) = self.member.sent.take() {
            self.cluster.store(generation, commit);
        }
        self.member.commit_revoked(&mut self.cluster);
        self.check_commit()?;
        self.join()
    }

    /// The member ends without a commit. The outcome of its calls may be durable.
    fn crash(&mut self) -> Checked {
        self.note("crash");
        self.member.partition.cut_off();
        let calls = std::mem::take(&mut self.member.deliveries);
        for (id, delivery) in calls.into_iter().chain(self.waiting.take()) {
            if self.rng.below(2) == 0 {
                self.handled[id] += 1;
            }
            drop(delivery);
        }
        if let Some(Sent { generation, commit }) = self.member.sent.take()
            && self.rng.below(2) == 0
        {
            self.cluster.store(generation, commit);
        }
        self.check_commit()?;
        self.join()
    }

    fn join(&mut self) -> Checked {
        self.cluster.generation += 1;
        self.member = Member::join(&self.cluster, &self.context);
        Ok(())
    }

    fn recreate(&mut self) -> Checked {
        self.note("create the topic again");
        self.cluster.recreate();
        self.check_commit()
    }

    fn elect(&mut self) -> Checked {
        self.note("elect a leader");
        let count = if self.rng.below(2) == 0 { 0 } else { self.amount() };
        self.cluster.elect(count);
        self.check_commit()
    }

    fn expire(&mut self) -> Checked {
        self.note("expire");
        let count = self.amount();
        self.cluster.expire(count);
        self.check_commit()
    }

    /// With nothing more happening, everything is handled and committed.
    fn settle(&mut self) -> Checked {
        let rounds = 10_000 + self.cluster.records.len();
        for _ in 0..rounds {
            self.check_log();
            self.fetch();
            for _ in 0..4 {
                self.take()?;
                while !self.member.deliveries.is_empty() {
                    self.finish();
                }
            }
            while !self.former.is_empty() {
                self.finish_former();
            }
            self.commit();
            self.answer_commit()?;
            if self.is_settled() {
                return self.check_once();
            }
        }
        let unhandled = self.unhandled();
        let (end, commit) =
            (self.cluster.end(), self.cluster.commit.as_ref().map(|commit| commit.position.offset));
        Err(Violation(format!("stalled: {unhandled:?} of {end} are not handled, {commit:?} is committed")))
    }
}
