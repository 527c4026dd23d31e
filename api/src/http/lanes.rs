//! Queues and schedules: looked at, paused, resumed; queues given a limit, a rate, turns, or a cap.

use std::num::NonZeroU32;

use axum::extract::FromRequestParts;
use axum::http::request;
use chrono::{DateTime, Utc};
use intendant::{ChangeRecord, Partitions, QueueRecord, Rate, ScheduleRecord, TickRecord};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::parts::{Answer, Body, Search, in_path, named_parameter, some};
use super::problem::Problem;
use super::route::{Described, Operation, Schemas};
use super::verbs::check;

/// The queue or the schedule that the path names.
pub(super) struct Name(String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self(in_path(parts, state, "name").await?))
    }
}

impl Described for Name {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation
            .parameters
            .push(named_parameter("name", "Its name"));
    }
}

/// Why it is done.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Because {
    /// Why; kept with the change
    #[schemars(length(max = 2000))]
    reason: Option<String>,
}

/// How many run.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewLimit {
    /// So many of its steps run at once, across all workers, and no more; null: as many as there are workers for
    slots: Option<u32>,
    /// Why; kept with the change
    #[schemars(length(max = 2000))]
    reason: Option<String>,
}

/// How many wait.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCap {
    /// So many of its tasks may be in line before it refuses requests (429); null: any number
    cap: Option<u64>,
    /// Why; kept with the change
    #[schemars(length(max = 2000))]
    reason: Option<String>,
}

/// How many may begin.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRate {
    /// Steps in a time, as in `100/s`, `30/min`, `500/h` or `7/90s`; null: at any rate
    #[schemars(length(max = 100))]
    rate: Option<String>,
    /// So many of them at once after a pause; as many as the rate allows in a tenth of a second, and one at least, unless said
    burst: Option<u32>,
    /// Why; kept with the change
    #[schemars(length(max = 2000))]
    reason: Option<String>,
}

/// Whose turn it is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPartitions {
    /// By what its tasks are told apart: `account`, `resource:server` or `input:/customer/id`; null: they take no turns
    #[schemars(length(max = 210))]
    by: Option<String>,
    /// So many tasks of one partition are in the hands of workers at once, and no more
    at_once: Option<u32>,
    /// Why; kept with the change
    #[schemars(length(max = 2000))]
    reason: Option<String>,
}

/// Whether anything has changed by it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Changed {
    /// It was otherwise before
    pub(crate) changed: bool,
}

/// When it was asked for.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AskedAt {
    /// The time by which it is found among the schedule's ticks
    pub(crate) at: DateTime<Utc>,
}

pub(super) async fn queues(access: Access) -> Result<Answer<Vec<QueueRecord>>, Problem> {
    Ok(Answer(access.everything()?.queues().await?))
}

pub(super) async fn pause_queue(
    access: Access,
    Name(name): Name,
    Body(Because { reason }): Body<Because>,
) -> Result<Answer<Changed>, Problem> {
    let (engine, reason) = (access.everything()?, check(reason.as_deref())?);
    let changed = engine.pause_queue(&name, access.who(), reason).await?;
    Ok(Answer(Changed { changed }))
}

pub(super) async fn resume_queue(
    access: Access,
    Name(name): Name,
    Body(Because { reason }): Body<Because>,
) -> Result<Answer<Changed>, Problem> {
    let (engine, reason) = (access.everything()?, check(reason.as_deref())?);
    let changed = engine.resume_queue(&name, access.who(), reason).await?;
    Ok(Answer(Changed { changed }))
}

pub(super) async fn limit_queue(
    access: Access,
    Name(name): Name,
    Body(NewLimit { slots, reason }): Body<NewLimit>,
) -> Result<Answer<Changed>, Problem> {
    let (engine, reason) = (access.everything()?, check(reason.as_deref())?);
    let changed = engine
        .limit_queue(&name, slots, access.who(), reason)
        .await?;
    Ok(Answer(Changed { changed }))
}

pub(super) async fn cap_queue(
    access: Access,
    Name(name): Name,
    Body(NewCap { cap, reason }): Body<NewCap>,
) -> Result<Answer<Changed>, Problem> {
    let (engine, reason) = (access.everything()?, check(reason.as_deref())?);
    let changed = engine.cap_queue(&name, cap, access.who(), reason).await?;
    Ok(Answer(Changed { changed }))
}

pub(super) async fn rate_queue(
    access: Access,
    Name(name): Name,
    Body(new): Body<NewRate>,
) -> Result<Answer<Changed>, Problem> {
    let (engine, reason) = (access.everything()?, check(new.reason.as_deref())?);
    let rate = rate(new.rate.as_deref(), new.burst)?;
    let changed = engine.rate_queue(&name, rate, access.who(), reason).await?;
    Ok(Answer(Changed { changed }))
}

pub(super) async fn partition_queue(
    access: Access,
    Name(name): Name,
    Body(new): Body<NewPartitions>,
) -> Result<Answer<Changed>, Problem> {
    let (engine, reason) = (access.everything()?, check(new.reason.as_deref())?);
    let turns = partitions(new.by.as_deref(), new.at_once)?;
    let changed = engine.partition_queue(&name, turns, access.who(), reason);
    let changed = changed.await?;
    Ok(Answer(Changed { changed }))
}

/// How tasks are told apart, as people write it.
pub(super) fn partitions(
    text: Option<&str>,
    at_once: Option<u32>,
) -> Result<Option<Partitions>, Problem> {
    let by: Option<Partitions> = text.map(str::parse).transpose().map_err(Problem::invalid)?;
    match (by, at_once) {
        (Some(by), Some(at_once)) => Ok(Some(by.at_once(at_once))),
        (None, Some(_)) => Err(Problem::invalid(
            "a limit is of each partition, and there are none",
        )),
        (by, None) => Ok(by),
    }
}

/// A rate as people write it.
pub(super) fn rate(text: Option<&str>, burst: Option<u32>) -> Result<Option<Rate>, Problem> {
    let rate: Option<Rate> = text.map(str::parse).transpose().map_err(Problem::invalid)?;
    match (rate, burst) {
        (Some(rate), Some(burst)) => Ok(Some(rate.burst(burst))),
        (None, Some(_)) => Err(Problem::invalid("a burst is of a rate, and there is none")),
        (rate, None) => Ok(rate),
    }
}

/// What people did to a queue, the latest first.
pub(super) async fn queue_changes(
    access: Access,
    Name(name): Name,
) -> Result<Answer<Vec<ChangeRecord>>, Problem> {
    Ok(Answer(access.everything()?.queue_changes(&name).await?))
}

/// The same of a schedule.
pub(super) async fn schedule_changes(
    access: Access,
    Name(name): Name,
) -> Result<Answer<Vec<ChangeRecord>>, Problem> {
    Ok(Answer(access.everything()?.schedule_changes(&name).await?))
}

/// How many ticks.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Latest {
    /// Most of them; 50 unless said
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<NonZeroU32>,
}

pub(super) async fn schedule_ticks(
    access: Access,
    Name(name): Name,
    Search(latest): Search<Latest>,
) -> Result<Answer<Vec<TickRecord>>, Problem> {
    let limit = some(latest.limit)?.unwrap_or(50);
    let ticks = access.everything()?.schedule_ticks(&name, limit);
    Ok(Answer(ticks.await?))
}

pub(super) async fn remove_schedule(
    access: Access,
    Name(name): Name,
    Body(Because { reason }): Body<Because>,
) -> Result<Answer<Changed>, Problem> {
    let (engine, reason) = (access.everything()?, check(reason.as_deref())?);
    engine.remove_schedule(&name, access.who(), reason).await?;
    Ok(Answer(Changed { changed: true }))
}

pub(super) async fn schedules(access: Access) -> Result<Answer<Vec<ScheduleRecord>>, Problem> {
    Ok(Answer(access.everything()?.schedules().await?))
}

pub(super) async fn pause_schedule(
    access: Access,
    Name(name): Name,
    Body(Because { reason }): Body<Because>,
) -> Result<Answer<Changed>, Problem> {
    let (engine, reason) = (access.everything()?, check(reason.as_deref())?);
    let changed = engine.pause_schedule(&name, access.who(), reason).await?;
    Ok(Answer(Changed { changed }))
}

pub(super) async fn resume_schedule(
    access: Access,
    Name(name): Name,
    Body(Because { reason }): Body<Because>,
) -> Result<Answer<Changed>, Problem> {
    let (engine, reason) = (access.everything()?, check(reason.as_deref())?);
    let changed = engine.resume_schedule(&name, access.who(), reason).await?;
    Ok(Answer(Changed { changed }))
}

pub(super) async fn run_schedule(
    access: Access,
    Name(name): Name,
    Body(Because { reason }): Body<Because>,
) -> Result<Answer<AskedAt>, Problem> {
    let (engine, reason) = (access.everything()?, check(reason.as_deref())?);
    let at = engine.run_schedule(&name, access.who(), reason).await?;
    Ok(Answer(AskedAt { at }))
}
