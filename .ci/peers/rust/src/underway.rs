//! underway: jobs of one or of three steps, each a task of its own, taken one by one.

use std::time::Duration;

use ::underway::{Job, To, Worker};
use anyhow::Result;
use jiff::ToSpan;
use sqlx08::postgres::{PgPool, PgPoolOptions};

use crate::{Payload, Peer, payload, setting, step};

type Bench = Job<Payload, ()>;

pub(crate) struct Underway {
    pool: PgPool,
    chain: bool,
    job: Bench,
}

impl Underway {
    pub(crate) async fn new(url: &str, chain: bool) -> Result<Self> {
        // Each task in hand holds a connection.
        let pool = PgPoolOptions::new()
            .max_connections(setting("POOL", 40))
            .connect(url)
            .await?;
        ::underway::run_migrations(&pool).await?;
        let job = job(&pool, chain).await?;
        Ok(Self { pool, chain, job })
    }
}

async fn job(pool: &PgPool, chain: bool) -> Result<Bench> {
    let builder = Job::<Payload, ()>::builder();
    let job = if chain {
        builder
            .step(|_, payload| async move { To::next(step(payload)) })
            .step(|_, payload: Payload| async move { To::next(step(payload)) })
            .step(|_, payload: Payload| async move {
                step(payload);
                To::done()
            })
            .name("bench")
            .pool(pool.clone())
            .build()
            .await?
    } else {
        builder
            .step(|_, payload| async move {
                step(payload);
                To::done()
            })
            .name("bench")
            .pool(pool.clone())
            .build()
            .await?
    };
    Ok(job)
}

impl Peer for Underway {
    type Running = (Worker<Bench>, tokio::task::JoinHandle<()>);

    fn steps(&self) -> usize {
        if self.chain { 3 } else { 1 }
    }

    fn unfinished(&self) -> &'static str {
        "select count(*) from underway.task where state in ('pending', 'in_progress')"
    }

    async fn load(&mut self, jobs: usize) -> Result<()> {
        // A job that has run enqueues at the step at which it ran last: each backlog gets a job of its own.
        self.job = job(&self.pool, self.chain).await?;
        let numbers: Vec<usize> = (0..jobs).collect();
        for piece in numbers.chunks(1000) {
            let mut tx = self.pool.begin().await?;
            for number in piece {
                self.job.enqueue_using(&mut *tx, &payload(*number)).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }

    async fn start(&mut self) -> Result<Self::Running> {
        // A stopped worker stays stopped.
        self.job = job(&self.pool, self.chain).await?;
        let mut worker = self.job.worker();
        worker.set_concurrency_limit(setting("CONCURRENCY", 16) as usize);
        let running = worker.clone();
        // A poll starts one more loop that takes tasks until there are none: so it polls often.
        let task = tokio::spawn(async move {
            if let Err(error) = running.run_every(10.milliseconds()).await {
                eprintln!("underway: {error}");
            }
        });
        Ok((worker, task))
    }

    async fn stop(&mut self, (worker, task): Self::Running) -> Result<()> {
        worker.shutdown();
        tokio::time::timeout(Duration::from_secs(10), task)
            .await
            .ok();
        Ok(())
    }
}
