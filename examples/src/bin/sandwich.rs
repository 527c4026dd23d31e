//! A plan: steps that take each other's outputs, and what the engine has on record afterwards.

use std::time::Duration;

use anyhow::Result;
use intendant::{
    Cx, Intendant, Intent, IntentId, Node, Plan, Resources, StepResult, Worker, value,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

#[derive(Serialize, Deserialize)]
struct MakeSandwich {
    guest: String,
    eggs: u32,
}

impl Intent for MakeSandwich {
    const KIND: &'static str = "sandwich.make";
    type Output = String;

    /// Whom it is for: the history can be asked for all that was done for a guest.
    fn account(&self) -> Option<&str> {
        Some(&self.guest)
    }

    /// There is one pan, and nobody else fries in it meanwhile.
    fn resources(&self) -> Resources {
        Resources::exclusive("pan", 1)
    }
}

/// The plan is plain code, and types decide what fits: `stack` takes a `Bread` and `Eggs`, so it gets both.
///
/// ```text
/// slice ── toast ──┐
///                  ├── stack
/// fry ─────────────┘
/// ```
fn sandwich(intent: &MakeSandwich, plan: &mut Plan<()>) -> Node<String> {
    let bread = plan.step("slice", slice).input(value(2u32));
    // Nothing orders these two, so they run side by side.
    let toast = plan.step("toast", toast).input(bread);
    let eggs = plan.step("fry", fry).attempts(3).input(value(intent.eggs));
    plan.step("stack", stack).input((toast, eggs))
}

/// Outputs are kept, so they are types that go to JSON and back.
#[derive(Debug, Serialize, Deserialize)]
struct Bread {
    slices: u32,
    toasted: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Eggs(u32);

async fn slice(_: Cx<()>, slices: u32) -> StepResult<Bread> {
    Ok(Bread {
        slices,
        toasted: false,
    })
}

async fn toast(_: Cx<()>, bread: Bread) -> StepResult<Bread> {
    tokio::time::sleep(Duration::from_millis(30)).await;
    Ok(Bread {
        toasted: true,
        ..bread
    })
}

/// Any error is tried again; the first attempt goes wrong here, to have one on record.
async fn fry(cx: Cx<()>, eggs: u32) -> StepResult<Eggs> {
    tokio::time::sleep(Duration::from_millis(30)).await;
    if cx.attempt() == 1 {
        return Err(std::io::Error::other("the pan is cold").into());
    }
    Ok(Eggs(eggs))
}

async fn stack(cx: Cx<()>, (bread, eggs): (Bread, Eggs)) -> StepResult<String> {
    let crisp = if bread.toasted { "toast" } else { "bread" };
    Ok(format!(
        "{} of {crisp} with {} eggs, for {}",
        bread.slices,
        eggs.0,
        cx.account().unwrap_or("nobody")
    ))
}

#[tokio::main]
async fn main() -> Result<()> {
    let intendant = Intendant::open("sqlite::memory:").await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = Worker::new(&intendant, ()).register(sandwich);
    let working = tokio::spawn(worker.run(async { stopped.await.unwrap_or(()) }));

    let order = MakeSandwich {
        guest: "ada".to_owned(),
        eggs: 3,
    };
    let handle = intendant.request(order).by("waiter").await?;
    println!("{}", handle.output().await?);
    print_record(&intendant, handle.id()).await?;

    stop.send(()).ok();
    working.await??;
    Ok(())
}

/// Everything below is on record for as long as the database is kept.
async fn print_record(intendant: &Intendant, id: IntentId) -> Result<()> {
    let record = intendant.get(id).await?;
    println!("\n{} {}", record.kind, record.state);
    println!(
        "  for {}, asked for by {}",
        or_dash(record.account),
        or_dash(record.requested_by)
    );
    println!("  input  {}", record.input);
    for resource in record.resources {
        println!("  {} {}", resource.mode.as_str(), resource.resource);
    }

    println!("\nsteps");
    for step in intendant.steps(id).await? {
        let output = step.output.as_deref().map_or("-", |json| json.get());
        println!(
            "  {:<6} {}  attempt {}  {output}",
            step.name, step.state, step.attempt
        );
    }

    println!("\nfailed attempts");
    for attempt in intendant.attempts(id).await? {
        println!(
            "  {:<6} attempt {}: {}",
            attempt.step, attempt.attempt, attempt.error
        );
    }
    Ok(())
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use intendant::testing::Kit;

    fn kit() -> Kit<()> {
        Kit::new(|| (), |worker| worker.register(sandwich))
    }

    fn order() -> MakeSandwich {
        MakeSandwich {
            guest: "ada".to_owned(),
            eggs: 3,
        }
    }

    #[tokio::test]
    async fn the_sandwich_is_the_same_whatever_happens_in_the_kitchen() -> Result<()> {
        let report = kit().check_idempotent(order, async |_| ()).await?;
        report.assert_clean();
        Ok(())
    }

    #[tokio::test]
    async fn a_sandwich_that_went_wrong_can_be_made_after_all() -> Result<()> {
        let report = kit().check_recovery(order, async |_| ()).await?;
        report.assert_clean();
        Ok(())
    }
}
