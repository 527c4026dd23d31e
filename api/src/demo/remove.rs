//! How a replica is removed: what adding it has made is taken away in the opposite order, however far it came.

use std::path::PathBuf;
use std::time::Duration;

use intendant::{Cx, Node, Plan, StepError, StepResult};

use super::audit::audit_replica;
use super::cloud::Cloud;
use super::kinds::{Removed, ReplicaRemove, step};
use super::mishap::{Mishap, middle};
use super::server;
use super::steps::{again, remove_if_there};

/// The plan of `replica.remove`. Unpublished first, so that nobody is sent to a server that is being stopped; the address
/// is given back when nobody answers there any more.
pub(crate) fn plan(_: &ReplicaRemove, plan: &mut Plan<Mishap>) -> Node<Removed> {
    let (first, longest) = (Duration::from_millis(200), Duration::from_secs(5));
    let unpublished = plan
        .step(step::UNPUBLISH, unpublish)
        .backoff(first, longest)
        .input(());
    let stopped = plan
        .step(step::STOP, stop)
        .backoff(first, longest)
        .input(unpublished);
    let released = plan
        .step(step::RELEASE, release)
        .backoff(first, longest)
        .input(stopped);
    let volume = plan
        .step(step::DELETE_VOLUME, delete_volume)
        .backoff(first, longest)
        .after(stopped)
        .input(());
    let snapshot = plan
        .step(step::DELETE_SNAPSHOT, delete_snapshot)
        .backoff(first, longest)
        .after(volume)
        .input(());
    plan.step(step::VERIFY, verify)
        .backoff(first, longest)
        .after(released)
        .after(snapshot)
        .input(())
}

async fn open(cx: &Cx<Mishap>) -> StepResult<(Cloud, ReplicaRemove)> {
    let intent: ReplicaRemove = cx.input()?;
    Ok((Cloud::open(&intent.directory).await.map_err(again)?, intent))
}

async fn unpublish(cx: Cx<Mishap>, (): ()) -> StepResult<()> {
    let (mut cloud, intent) = open(&cx).await?;
    cloud.unpublish(intent.replica).await.map_err(again)?;
    middle(&cx).await
}

/// Asks the server to end, after it has said that it is the replica's; waits until its process is gone.
async fn stop(cx: Cx<Mishap>, (): ()) -> StepResult<()> {
    let (mut cloud, intent) = open(&cx).await?;
    server::ask_to_stop(&mut cloud, intent.replica)
        .await
        .map_err(again)?;
    middle(&cx).await?;
    server::see_off(&mut cloud, intent.replica)
        .await
        .map_err(again)?;
    remove_directory(cloud.server_directory(intent.replica)).await?;
    cloud.forget_server(intent.replica).await.map_err(again)
}

async fn release(cx: Cx<Mishap>, (): ()) -> StepResult<()> {
    let (mut cloud, intent) = open(&cx).await?;
    cloud.release_address(intent.replica).await.map_err(again)?;
    middle(&cx).await
}

async fn delete_volume(cx: Cx<Mishap>, (): ()) -> StepResult<()> {
    let (cloud, intent) = open(&cx).await?;
    let volume = cloud.volume(intent.replica);
    // The database first: a volume without one cannot be taken for a whole one.
    remove_if_there(&volume.join("replica.db"))?;
    middle(&cx).await?;
    remove_directory(volume).await
}

async fn delete_snapshot(cx: Cx<Mishap>, (): ()) -> StepResult<()> {
    let (cloud, intent) = open(&cx).await?;
    let snapshot = cloud.snapshot(intent.replica);
    remove_if_there(&snapshot)?;
    middle(&cx).await?;
    // A copy that was broken off, and what SQLite keeps beside it while it copies.
    remove_if_there(&snapshot.with_extension("partial"))?;
    Ok(remove_if_there(
        &snapshot.with_extension("partial-journal"),
    )?)
}

/// Looks whether anything of the replica is left.
async fn verify(cx: Cx<Mishap>, (): ()) -> StepResult<Removed> {
    let (mut cloud, intent) = open(&cx).await?;
    middle(&cx).await?;
    let left = audit_replica(&mut cloud, intent.replica)
        .await
        .map_err(again)?;
    if left.is_empty() {
        return Ok(Removed {
            replica: intent.replica,
        });
    }
    Err(StepError::new(format!("left over: {left}")))
}

/// Removes a directory with what is in it; that it was not there is as good.
async fn remove_directory(path: PathBuf) -> StepResult<()> {
    match tokio::fs::remove_dir_all(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
