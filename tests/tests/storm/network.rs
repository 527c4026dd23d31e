//! A PostgreSQL server of the storm's own, which crashes, and the proxy in front of it.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::Result;
use intendant_tests::database::Database;
use intendant_tests::postgres::Cluster;
use intendant_tests::proxy::{Fate, Faults, Proxy, Sort};
use tokio::task::JoinHandle;

use crate::counts::Counts;

/// How often the proxy cuts, and loses what wakes others, all the time.
const CUTS: Faults = Faults {
    answer_lost: 0.02,
    never_sent: 0.02,
    reset: 0.0008,
    notification_lost: 0.5,
};

/// How much later everything comes that is late, in milliseconds.
const LATE_MS: RangeInclusive<u64> = 50..=300;

/// The server, and the way to it.
pub(crate) struct Network {
    proxy: Proxy,
    /// None while it crashes and starts again.
    cluster: Option<Cluster>,
    crashing: Option<JoinHandle<Result<Cluster>>>,
    silent_until: Option<Instant>,
    late_until: Option<Instant>,
    crashes: u64,
    silences: u64,
}

impl Network {
    /// Starts a server, with a database on it. Nothing is cut yet.
    pub(crate) async fn start(seed: u64) -> Result<(Self, Database)> {
        let cluster = Cluster::start()?;
        let database = Database::on_server(&cluster.url()).await?;
        let network = Self {
            proxy: Proxy::start(&database.url, seed).await?,
            cluster: Some(cluster),
            crashing: None,
            silent_until: None,
            late_until: None,
            crashes: 0,
            silences: 0,
        };
        Ok((network, database))
    }

    /// The way to the database that leads through the proxy.
    pub(crate) fn url(&self, database: &Database) -> Result<String> {
        self.proxy.url(&database.url)
    }

    /// From now on it cuts.
    pub(crate) fn disturb(&self) {
        self.proxy.disturb(CUTS);
    }

    /// The server crashes, and is away for some time; nothing if it is away already.
    pub(crate) fn crash(&mut self, away: Duration) {
        let Some(mut cluster) = self.cluster.take() else {
            return;
        };
        // Whoever connects meanwhile waits, as without a proxy: a pool tries again where it is refused, and fails where it
        // is let in and then cut off.
        self.proxy.hold();
        self.crashes += 1;
        self.crashing = Some(tokio::task::spawn_blocking(move || {
            cluster.crash(away)?;
            anyhow::Ok(cluster)
        }));
    }

    /// Nothing comes through for some time.
    pub(crate) fn silence(&mut self, lasts: Duration) {
        self.proxy.hold();
        self.silences += 1;
        self.silent_until = Some(Instant::now() + lasts);
    }

    /// Everything comes late for some time.
    pub(crate) fn delay(&mut self, lasts: Duration) {
        self.proxy.delay(Some(LATE_MS));
        self.late_until = Some(Instant::now() + lasts);
    }

    /// Ends what is over.
    pub(crate) async fn attend(&mut self) -> Result<()> {
        if self.crashing.as_ref().is_some_and(JoinHandle::is_finished) {
            self.await_server().await?;
        }
        self.silent_until.take_if(|until| *until <= Instant::now());
        if self.crashing.is_none() && self.silent_until.is_none() {
            self.proxy.release();
        }
        if self.late_until.is_some_and(|until| until <= Instant::now()) {
            self.proxy.delay(None);
            self.late_until = None;
        }
        Ok(())
    }

    /// Whether the server can be asked, past the proxy.
    pub(crate) fn is_up(&self) -> bool {
        self.crashing.is_none()
    }

    /// From now on nothing goes wrong.
    pub(crate) async fn calm(&mut self) -> Result<()> {
        self.proxy.calm();
        self.await_server().await?;
        self.silent_until = None;
        self.late_until = None;
        self.proxy.release();
        Ok(())
    }

    async fn await_server(&mut self) -> Result<()> {
        if let Some(crashing) = self.crashing.take() {
            self.cluster = Some(crashing.await??);
        }
        Ok(())
    }

    pub(crate) fn count(&self, counts: &mut Counts) {
        let cuts = self.proxy.counts();
        let of = |fate: Fate| -> u64 {
            let sorts = [Sort::Tick, Sort::Step, Sort::Request];
            sorts.map(|sort| cuts.of(sort, fate)).iter().sum()
        };
        counts.crashes = self.crashes;
        counts.silences = self.silences;
        counts.resets = cuts.resets;
        counts.delayed = cuts.delayed;
        counts.notifications = cuts.notifications_lost;
        counts.answers_lost = of(Fate::AnswerLost);
        counts.never_sent = of(Fate::NeverSent);
    }
}
