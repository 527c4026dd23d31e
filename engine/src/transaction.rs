//! `cx.transaction`: the user's SQL and the step's result in one commit.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;

use crate::again::Again;
use crate::cx::{Cx, StepContext};
use crate::error::Error;
use crate::limits;
use crate::payload::{self, Payload, PayloadError};
use crate::plan::StepDone;
use crate::state::AttemptFailure;
use crate::step::{StepError, StepOutput, StepResult, fail};
use crate::store::{Conn, Flush, OnceAnswer, OpenTx, nudge_within, record_once, write_notes};

/// An output that is on disk already, together with what the step's transaction wrote. Only
/// [`Cx::transaction`] makes one; a step that returns it has the output `T`.
#[derive(Debug)]
pub struct Committed<T> {
    value: T,
}

impl<T> Committed<T> {
    /// The output.
    pub fn into_inner(self) -> T {
        self.value
    }
}

#[expect(private_interfaces, reason = "sealed: only the engine calls it")]
impl<T: Serialize + DeserializeOwned + Send + 'static> StepOutput for Committed<T> {
    type Value = T;

    fn into_done(self) -> StepDone {
        StepDone::Recorded
    }

    fn accepts(output: &Payload) -> Result<(), PayloadError> {
        payload::decode::<T>(output).map(drop)
    }
}

/// A connection that a step's transaction can be on: sqlx's `PgConnection` or `SqliteConnection`, whichever the engine
/// is on.
pub trait StepConnection: Send + Sized {
    #[doc(hidden)]
    #[expect(
        private_interfaces,
        reason = "sealed: only sqlx's own types are accepted"
    )]
    fn of(conn: Conn<'_>) -> Option<&mut Self>;
}

#[expect(
    private_interfaces,
    reason = "sealed: only sqlx's own types are accepted"
)]
impl StepConnection for PgConnection {
    fn of(conn: Conn<'_>) -> Option<&mut Self> {
        match conn {
            Conn::Pg(conn) => Some(conn),
            Conn::Sqlite(..) => None,
        }
    }
}

#[expect(
    private_interfaces,
    reason = "sealed: only sqlx's own types are accepted"
)]
impl StepConnection for SqliteConnection {
    fn of(conn: Conn<'_>) -> Option<&mut Self> {
        match conn {
            Conn::Sqlite(conn, _) => Some(conn),
            Conn::Pg(_) => None,
        }
    }
}

impl<S: Send + Sync + 'static> Cx<S> {
    /// Runs SQL of the user's own and records the step's result, in one commit: both happen exactly once, whatever dies
    /// meanwhile. The closure gets a connection on which a transaction is open; what it returns is the step's output,
    /// so return it from the step.
    ///
    /// The transaction is rolled back when the closure fails, takes longer than ten seconds (on SQLite it holds the only
    /// writer), or when this worker has lost the intent to another one.
    ///
    /// ```
    /// # use intendant::{Committed, Cx, StepResult};
    /// # use sqlx::SqliteConnection;
    /// async fn charge(cx: Cx<()>, cents: i64) -> StepResult<Committed<i64>> {
    ///     cx.transaction(async |db: &mut SqliteConnection| {
    ///         sqlx::query("update balance set cents = cents - ?1").bind(cents).execute(&mut *db).await?;
    ///         Ok(sqlx::query_scalar("select cents from balance").fetch_one(&mut *db).await?)
    ///     })
    ///     .await
    /// }
    /// # fn is_step<F: Future + Send>(_: impl Fn(Cx<()>, i64) -> F) {}
    /// # is_step(charge);
    /// ```
    pub async fn transaction<C, T, W>(&self, work: W) -> StepResult<Committed<T>>
    where
        C: StepConnection,
        T: Serialize + DeserializeOwned + Send + 'static,
        W: AsyncFnOnce(&mut C) -> StepResult<T>,
    {
        let step = self.step();
        let store = step.intendant.store().clone();
        // In a task of its own: sqlx 0.9.0 can lose track of a `begin` whose future is dropped.
        let begin = tokio::spawn(async move { store.begin(Flush::Now).await });
        let mut tx = begin.await.map_err(StepError::new)??;
        let value = match tokio::time::timeout(limits::TRANSACTION, run(&mut tx, work)).await {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => {
                rollback(tx).await;
                return Err(error);
            }
            Err(_) => {
                rollback(tx).await;
                return Err(StepError::failed(
                    AttemptFailure::TimeOut,
                    format!(
                        "the step's transaction took longer than {:?}",
                        limits::TRANSACTION
                    ),
                ));
            }
        };
        let output = match payload::encode(&value) {
            Ok(output) => output,
            Err(error) => {
                rollback(tx).await;
                return Err(StepError::failed(
                    AttemptFailure::OutputRefused,
                    error.to_string(),
                ));
            }
        };
        let started_ago = store_age(self);
        let answer = record_once(&mut tx.conn(), &step.once, &output, started_ago).await?;
        if answer == OnceAnswer::Refused {
            rollback(tx).await;
            return earlier_result(self).await;
        }
        let notes = step.notes.measured(&step.once);
        if !notes.is_empty() {
            let asked = write_notes(&mut tx.conn(), &step.once.worker, &[notes]).await?;
            if asked > 0 {
                nudge_within(&mut tx.conn()).await?;
            }
        }
        step.settle(commit(step.clone(), tx, output)).await?;
        Ok(Committed { value })
    }
}

/// The result of an earlier transaction of this step, if that is why this one was refused: an attempt that ran out of
/// time may have got as far as its commit.
async fn earlier_result<S, T>(cx: &Cx<S>) -> StepResult<Committed<T>>
where
    S: Send + Sync + 'static,
    T: Serialize + DeserializeOwned + Send + 'static,
{
    let step = cx.step();
    let look = look(step.clone());
    let Some(output) = step.settle(look).await? else {
        return Err(StepError::new(
            "this worker has lost the intent; the step's transaction was rolled back",
        ));
    };
    let value = payload::decode(&output).map_err(|error| StepError::undecodable(&error))?;
    Ok(Committed { value })
}

async fn run<C, T, W>(tx: &mut OpenTx, work: W) -> StepResult<T>
where
    C: StepConnection,
    W: AsyncFnOnce(&mut C) -> StepResult<T>,
{
    let conn = C::of(tx.conn())
        .ok_or_else(|| fail("the transaction's connection is not of the engine's database"))?;
    work(conn).await
}

/// Takes in the step's result, if it is on disk. A database that cannot be reached is asked again: as long as it is not
/// known whether the transaction took place, the step must not be run again (promise 4).
async fn look(step: Arc<StepContext>) -> Result<Option<Payload>, StepError> {
    let mut again = Again::new();
    loop {
        match step.intendant.store().recorded(&step.once).await {
            Ok(output) => {
                if let Some(output) = &output {
                    step.set_recorded(output.clone());
                }
                return Ok(output);
            }
            Err(error) if error.is_retryable() => {
                tracing::debug!(%error, "looking again whether a step's transaction took place");
            }
            Err(error) => return Err(error.into()),
        }
        again.wait().await;
    }
}

/// Commits; after a lost answer, looks whether the result is there.
async fn commit(step: Arc<StepContext>, tx: OpenTx, output: Payload) -> Result<(), StepError> {
    match tx.commit().await {
        Ok(()) => {
            step.set_recorded(output);
            Ok(())
        }
        Err(Error::Unreachable(lost)) => match look(step).await? {
            Some(_) => Ok(()),
            None => Err(StepError::new(format!(
                "the step's transaction was not committed: {lost}"
            ))),
        },
        Err(error) => Err(error.into()),
    }
}

async fn rollback(tx: OpenTx) {
    let rolled_back: Result<_, _> = tokio::spawn(async move { tx.rollback().await }).await;
    if let Ok(Err(error)) = rolled_back {
        tracing::debug!(%error, "a step's transaction ended with its connection");
    }
}

fn store_age<S: Send + Sync + 'static>(cx: &Cx<S>) -> Duration {
    let step = cx.step();
    step.intendant
        .store()
        .clock()
        .monotonic()
        .saturating_duration_since(step.started)
}

/// Keeps the future of a transaction sendable, whatever the closure captures: checked at the call.
const _: fn() = || {
    fn sendable<F: Future + Send>(_: F) {}
    fn check(cx: &Cx<()>) {
        sendable(cx.transaction(async |_: &mut PgConnection| Ok(1)));
    }
    let _ = check;
};
