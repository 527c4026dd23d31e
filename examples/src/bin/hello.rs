//! The smallest program: one kind of operation, one step, one request.

use anyhow::Result;
use intendant::{Cx, Intendant, Intent, StepResult, Worker};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// What is asked for. It is kept as JSON, and read again by whichever worker carries it out.
#[derive(Serialize, Deserialize)]
struct Greet {
    name: String,
}

impl Intent for Greet {
    const KIND: &'static str = "greet";
    type Output = String;
}

/// How it is carried out.
async fn greet(_: Cx<()>, greet: Greet) -> StepResult<String> {
    Ok(format!("hello, {}", greet.name))
}

#[tokio::main]
async fn main() -> Result<()> {
    // In memory, so that nothing is left behind; `sqlite://PATH` or `postgres://…` keep what is asked for.
    let intendant = Intendant::open("sqlite::memory:").await?;

    // From here on the request is on record, whether a worker runs or not.
    let greeting = intendant
        .request(Greet {
            name: "Ada".to_owned(),
        })
        .await?;

    // A worker has a program of its own, usually, and runs until `intendant::shutdown_signal()`.
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = Worker::new(&intendant, ()).register_step(greet);
    let working = tokio::spawn(worker.run(async { stopped.await.unwrap_or(()) }));

    println!("{}", greeting.output().await?);

    stop.send(()).ok();
    working.await??;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use intendant::testing::Kit;

    #[tokio::test]
    async fn twice_is_no_more_than_once() -> Result<()> {
        let kit = Kit::new(|| (), |worker| worker.register_step(greet));
        let ada = || Greet {
            name: "Ada".to_owned(),
        };
        kit.check_idempotent(ada, async |_| ())
            .await?
            .assert_clean();
        kit.check_recovery(ada, async |_| ()).await?.assert_clean();
        Ok(())
    }
}
