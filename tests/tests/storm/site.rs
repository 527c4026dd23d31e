//! Everything that runs in a storm, and how it comes to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use intendant::{Error, Intendant, StoreKind};
use intendant_tests::binary;
use intendant_tests::chaos::Chaos;
use intendant_tests::database::Database;
use intendant_tests::rounds::{Round, STEPS};
use intendant_tests::tell;
use tokio::task::JoinHandle;

use crate::asking::{self, Asked, Talk};
use crate::counts::Counts;
use crate::crew::Crew;
use crate::faults::{Dealt, Deck, Fault};
use crate::judge;
use crate::network::Network;
use crate::server::Server;
use crate::{PATIENCE, SLOTS, STEP_MS};

/// There is always as much to do, so that there is always something to hit.
const LEAST: i64 = 600;
const MORE: usize = 600;

/// Looking at every row takes longer and longer in a soak: it is done again after so many times as long as it took.
const BETWEEN_CHECKS: u32 = 10;

/// Each of the engine's connections may be one that the last crash has broken.
const TRIES: usize = 20;

/// What is asked for.
pub(crate) fn round(number: usize) -> Round {
    Round {
        number,
        step_ms: STEP_MS,
    }
}

/// A database with workers and a server on it, and somebody who asks. What is on the network is dropped before it.
pub(crate) struct Site {
    asking: JoinHandle<Result<Asked>>,
    talk: Arc<Talk>,
    server: Arc<Server>,
    crew: Crew,
    chaos: Chaos,
    /// Of PostgreSQL.
    network: Option<Network>,
    /// How many were asked for past the server.
    intents: usize,
    check_at: Instant,
    /// By the machine's clock, which is the database's.
    begun_at: SystemTime,
}

/// What came of it.
pub(crate) struct Ended {
    pub(crate) counts: Counts,
    pub(crate) repeated: usize,
    pub(crate) quarantined: u64,
    pub(crate) workers_without_database: u64,
    pub(crate) servers_without_database: u64,
}

impl Site {
    pub(crate) async fn new(kind: StoreKind, seed: u64) -> Result<Self> {
        let begun_at = SystemTime::now();
        // Built now, and not while something is waited for.
        binary::path("intendant")?;
        let (network, database) = match kind {
            StoreKind::Sqlite => (None, Database::new(kind).await?),
            StoreKind::Postgres => {
                let (network, database) = Network::start(seed).await?;
                (Some(network), database)
            }
        };
        let url = match &network {
            Some(network) => network.url(&database)?,
            None => database.url.clone(),
        };
        let intendant = Intendant::open(&database.url).await?;
        let chaos = Chaos::over(database, intendant, SLOTS).await?;
        chaos.intendant.request_all((0..MORE).map(round)).await?;
        let [_, ledger, slots] = chaos.arguments()?;
        let crew = Crew::start([url.clone(), ledger, slots], kind)?;
        let server = Server::new(url);
        let talk = Arc::<Talk>::default();
        Ok(Self {
            asking: tokio::spawn(asking::ask(server.clone(), talk.clone())),
            talk,
            server,
            crew,
            chaos,
            network,
            intents: MORE,
            check_at: Instant::now(),
            begun_at,
        })
    }

    /// Faults, for so long, and up to twice as long where not enough was hit by then. Returns how long it was.
    pub(crate) async fn storm(&mut self, deck: &mut Deck, lasts: Duration) -> Result<Duration> {
        if let Some(network) = &self.network {
            network.disturb();
        }
        let begun = Instant::now();
        let kind = self.chaos.intendant.store_kind();
        // Whoever asks ends before it is told to only if something is wrong.
        while !self.asking.is_finished() {
            // A machine that is slow, or that has other work, takes longer to meet as much.
            let is_over = begun.elapsed() >= lasts && self.so_far().short(kind, lasts).is_empty();
            if is_over || begun.elapsed() >= 2 * lasts {
                break;
            }
            let dealt = deck.deal();
            tokio::time::sleep(dealt.after).await;
            self.crew.attend()?;
            if let Some(network) = &mut self.network {
                network.attend().await?;
            }
            if self.network.as_ref().is_none_or(Network::is_up) {
                self.top_up().await?;
                self.check().await?;
            }
            self.strike(dealt)?;
        }
        Ok(begun.elapsed())
    }

    /// What was hit up to now.
    fn so_far(&self) -> Counts {
        let acknowledged = self.talk.acknowledged.load(Ordering::Relaxed);
        let intents = self.intents as u64 + acknowledged;
        let mut counts = Counts {
            killed: self.crew.killed.len() as u64,
            paused: self.crew.paused,
            refused: self.crew.refused,
            servers: self.server.killed(),
            intents,
            steps: intents * STEPS.len() as u64,
            acknowledged,
            // The ledger tells, at the end.
            amid_a_step: u64::MAX,
            off_clock: u64::MAX,
            ..Counts::default()
        };
        if let Some(network) = &self.network {
            network.count(&mut counts);
        }
        counts
    }

    fn strike(&mut self, dealt: Dealt) -> Result<()> {
        match (dealt.fault, &mut self.network) {
            (Fault::KillWorker, _) => self.crew.kill(dealt.which)?,
            (Fault::PauseWorker, _) => self.crew.pause(dealt.which, dealt.lasts)?,
            (Fault::KillServer, _) => self.server.kill(),
            // One in four is away for longer than a lease.
            (Fault::CrashDatabase, Some(network)) => match dealt.which % 4 {
                0 => network.crash(dealt.lasts),
                _ => network.crash(dealt.lasts / 20),
            },
            (Fault::Silence, Some(network)) => network.silence(dealt.lasts),
            (Fault::Delay, Some(network)) => network.delay(dealt.lasts),
            (Fault::CrashDatabase | Fault::Silence | Fault::Delay, None) => {}
        }
        Ok(())
    }

    /// Asks for more, past the proxy. The database does not crash meanwhile, so that what fails has not been asked for.
    async fn top_up(&mut self) -> Result<()> {
        let intendant = &self.chaos.intendant;
        let unfinished = until_reached(async || intendant.unfinished().await).await?;
        if unfinished.total() < LEAST {
            let numbers = self.intents..self.intents + MORE;
            until_reached(async || intendant.request_all(numbers.clone().map(round)).await).await?;
            self.intents += MORE;
        }
        Ok(())
    }

    /// The invariants hold at any time.
    async fn check(&mut self) -> Result<()> {
        let begun = Instant::now();
        if begun < self.check_at {
            return Ok(());
        }
        let intendant = &self.chaos.intendant;
        let breaches = until_reached(async || intendant.invariant_breaches().await).await?;
        ensure!(breaches.is_empty(), "invariants are broken: {breaches:?}");
        let pause = (begun.elapsed() * BETWEEN_CHECKS).max(Duration::from_secs(2));
        self.check_at = Instant::now() + pause;
        Ok(())
    }

    /// Nothing goes wrong any more: everything comes to its end, and is judged.
    pub(crate) async fn end(mut self) -> Result<Ended> {
        if let Some(network) = &mut self.network {
            network.calm().await?;
        }
        self.crew.wake_all()?;
        self.talk.stop.store(true, Ordering::Relaxed);
        let asked = (&mut self.asking).await??;
        // Connections that have not been used for a second are asked first whether they live.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let limit = PATIENCE;
        self.chaos.drain(limit, |_| self.crew.revive()).await?;
        let quarantined = judge::resume_quarantined(&self.chaos).await?;
        self.chaos.drain(limit, |_| self.crew.revive()).await?;
        self.crew.stop().await?;
        self.judged(asked, quarantined).await
    }

    async fn judged(self, asked: Asked, quarantined: u64) -> Result<Ended> {
        let intents = self.intents + asked.acknowledged.len();
        // What a worker had decided to start when it was stopped, it starts when it wakes up.
        let stale = self.crew.paused as usize * 2 * SLOTS;
        let judgement = self.chaos.judge_steps(STEPS, intents, 0, stale).await?;
        let lines = self.chaos.lines()?;
        judge::no_early_steps(&lines)?;
        judge::nothing_acknowledged_is_lost(&self.chaos, &asked, self.begun_at).await?;
        let counts = Counts {
            amid_a_step: judge::amid_a_step(&lines, &self.crew.killed),
            off_clock: judge::begun_by(&lines, &self.crew.off_clock),
            ..self.so_far()
        };
        tell!(
            "{} requests and reads were not answered at first; {} intents had been asked for all the same",
            self.server.unanswered(),
            asked.found
        );
        ensure!(
            quarantined <= counts.killed / 10,
            "{quarantined} intents were quarantined by {} kills",
            counts.killed
        );
        Ok(Ended {
            counts,
            repeated: judgement.repeated,
            quarantined,
            workers_without_database: self.crew.without_database,
            servers_without_database: self.server.without_database(),
        })
    }
}

/// Asks again where a connection is one that the database's last crash has broken.
async fn until_reached<T>(mut ask: impl AsyncFnMut() -> Result<T, Error>) -> Result<T> {
    for _ in 1..TRIES {
        match ask().await {
            Err(error) if error.is_retryable() => {
                tokio::time::sleep(Duration::from_millis(5)).await
            }
            answered => return Ok(answered?),
        }
    }
    Ok(ask().await?)
}
