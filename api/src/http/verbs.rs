//! What operators do to intents.

use intendant::{Batch, IntentFilter, IntentId, IntentState, Preview, Sent, Verb, limits};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::access::{Access, One};
use super::intents::Which;
use super::parts::{Answer, Body, Id, IdempotencyKey};
use super::problem::Problem;
use crate::deed::{self, Deed};

/// Most characters of a reason.
const REASON_CHARS: usize = 2_000;

/// Why it is done.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Act {
    /// Why; kept with the event
    #[schemars(length(max = 2000))]
    pub(super) reason: Option<String>,
    /// Say what would be done, and do nothing
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// Which step, and why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OnStep {
    /// The step
    step: String,
    /// Why; kept with the event
    #[schemars(length(max = 2000))]
    reason: Option<String>,
    /// Say what would be done, and do nothing
    #[serde(default)]
    dry_run: bool,
}

/// Which step, what it is to have come to, and why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Skip {
    /// The step
    step: String,
    /// Its output
    output: Value,
    /// Why; kept with the event
    #[schemars(length(max = 2000))]
    reason: Option<String>,
    /// Say what would be done, and do nothing
    #[serde(default)]
    dry_run: bool,
}

/// From where on, and why.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rerun {
    /// Of a failed intent: from this step on
    from: Option<String>,
    /// Why; kept with the event
    #[schemars(length(max = 2000))]
    reason: Option<String>,
    /// Say what would be done, and do nothing
    #[serde(default)]
    dry_run: bool,
}

/// The new input, and why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Amend {
    /// The input
    pub(super) input: Box<RawValue>,
    /// Why; kept with the event
    #[schemars(length(max = 2000))]
    pub(super) reason: Option<String>,
}

/// A message.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    /// The name by which steps wait for it
    pub(super) name: String,
    /// What it says
    #[serde(default)]
    pub(super) payload: Value,
    /// Sent again with the same key, it counts once, whatever it says then; the same as the header `Idempotency-Key`
    pub(super) key: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Done {
    /// The intent that it was done to
    intent: IntentId,
    /// Nothing was done
    dry_run: bool,
    /// Where it is now
    state: IntentState,
    #[serde(flatten)]
    pub(super) deed: Deed,
    /// Of a dry run: what would be done to its steps
    preview: Option<Preview>,
}

/// What came of a message.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct SentMessage {
    /// Its id
    id: Uuid,
    /// It was sent with this key before, and counts once
    pub(crate) before: bool,
}

/// The key that the header or the body names.
pub(super) fn one_key(
    header: Option<String>,
    body: Option<String>,
) -> Result<Option<String>, Problem> {
    match (header, body) {
        (Some(header), Some(body)) if header != body => {
            Err(Problem::invalid("the header and the body name two keys"))
        }
        (header, body) => Ok(header.or(body)),
    }
}

pub(super) fn check(reason: Option<&str>) -> Result<Option<&str>, Problem> {
    match reason {
        Some(reason) if reason.chars().count() > REASON_CHARS => Err(Problem::invalid(format!(
            "a reason has at most {REASON_CHARS} characters"
        ))),
        reason => Ok(reason),
    }
}

pub(super) async fn act(
    access: &Access,
    id: IntentId,
    verb: &Verb,
    Act { reason, dry_run }: Act,
) -> Result<Answer<Done>, Problem> {
    let reason = check(reason.as_deref())?;
    let one: One<'_> = access.one(id).await?;
    let (engine, who) = (one.engine(), access.who());
    let mut done = Done {
        intent: id,
        dry_run,
        state: one.record.state,
        deed: Deed::default(),
        preview: None,
    };
    if dry_run {
        done.preview = Some(engine.preview(id, verb).await?);
        return Ok(Answer(done));
    }
    done.deed = deed::act(engine, id, verb, who, reason).await?;
    done.state = engine.state(id).await?;
    Ok(Answer(done))
}

pub(super) async fn resume(
    access: Access,
    Id(id): Id,
    Body(body): Body<Act>,
) -> Result<Answer<Done>, Problem> {
    act(&access, id, &Verb::Resume, body).await
}

pub(super) async fn cancel(
    access: Access,
    Id(id): Id,
    Body(body): Body<Act>,
) -> Result<Answer<Done>, Problem> {
    act(&access, id, &Verb::Cancel, body).await
}

pub(super) async fn undo(
    access: Access,
    Id(id): Id,
    Body(body): Body<Act>,
) -> Result<Answer<Done>, Problem> {
    act(&access, id, &Verb::Undo, body).await
}

pub(super) async fn discard(
    access: Access,
    Id(id): Id,
    Body(body): Body<Act>,
) -> Result<Answer<Done>, Problem> {
    act(&access, id, &Verb::Discard, body).await
}

pub(super) async fn rerun(
    access: Access,
    Id(id): Id,
    Body(body): Body<Rerun>,
) -> Result<Answer<Done>, Problem> {
    let verb = match body.from {
        Some(step) => Verb::RerunFrom { step },
        None => Verb::Rerun,
    };
    let (reason, dry_run) = (body.reason, body.dry_run);
    act(&access, id, &verb, Act { reason, dry_run }).await
}

pub(super) async fn retry(
    access: Access,
    Id(id): Id,
    Body(body): Body<OnStep>,
) -> Result<Answer<Done>, Problem> {
    let verb = Verb::Retry { step: body.step };
    let (reason, dry_run) = (body.reason, body.dry_run);
    act(&access, id, &verb, Act { reason, dry_run }).await
}

pub(super) async fn skip(
    access: Access,
    Id(id): Id,
    Body(body): Body<Skip>,
) -> Result<Answer<Done>, Problem> {
    let (step, output) = (body.step, body.output);
    let (reason, dry_run) = (body.reason, body.dry_run);
    act(
        &access,
        id,
        &Verb::Skip { step, output },
        Act { reason, dry_run },
    )
    .await
}

pub(super) async fn amend(
    access: Access,
    Id(id): Id,
    Body(body): Body<Amend>,
) -> Result<Answer<Done>, Problem> {
    let reason = check(body.reason.as_deref())?;
    let one = access.one(id).await?;
    access.check_account_of(&body.input)?;
    access.check_input(&one.record.kind, &body.input).await?;
    let engine = one.engine();
    engine
        .amend_json(id, &body.input, access.who(), reason)
        .await?;
    Ok(Answer(Done {
        intent: id,
        dry_run: false,
        state: engine.state(id).await?,
        deed: Deed {
            intents: 1,
            ..Deed::default()
        },
        preview: None,
    }))
}

pub(super) async fn signal(
    access: Access,
    Id(id): Id,
    IdempotencyKey(key): IdempotencyKey,
    Body(body): Body<Message>,
) -> Result<Answer<SentMessage>, Problem> {
    let one = access.one(id).await?;
    let signal = one.engine().signal(id, body.name.as_str(), &body.payload);
    let signal = signal.by(access.who());
    let sent = match one_key(key, body.key)? {
        Some(key) => signal.key(key).await?,
        None => signal.await?,
    };
    Ok(Answer(match sent {
        Sent::Now(id) => SentMessage {
            id: id.0,
            before: false,
        },
        Sent::Before(id) => SentMessage {
            id: id.0,
            before: true,
        },
    }))
}

/// What is done to all that match.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum ForAll {
    Resume,
    Cancel,
    Undo,
    Discard,
    Rerun,
    Retry,
    Skip,
}

/// A verb for all that match.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Bulk {
    /// What is done
    verb: ForAll,
    /// To which of them, by at least one thing that they have in common; `limit` of them at once, the newest first, and at
    /// most a thousand: `next` of the answer is `before` of the call that goes on
    which: Which,
    /// To all that there are, if `which` says nothing that they have in common
    #[serde(default)]
    all: bool,
    /// Of a retry or a skip: the step; of a rerun: from this step on, of those that have failed
    step: Option<String>,
    /// Of a skip: the step's output
    #[serde(default, deserialize_with = "said")]
    output: Option<Value>,
    /// Why; kept with the events
    #[schemars(length(max = 2000))]
    reason: Option<String>,
    /// Say how many there are, and do nothing
    #[serde(default)]
    dry_run: bool,
}

/// A value that is there, and may be null.
fn said<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// Whether a filter lets everything through.
fn says_nothing(filter: &IntentFilter) -> bool {
    let everything = IntentFilter {
        before: filter.before,
        after: filter.after,
        limit: filter.limit,
        ..IntentFilter::default()
    };
    *filter == everything
}

pub(super) async fn bulk(access: Access, Body(body): Body<Bulk>) -> Result<Answer<Batch>, Problem> {
    let reason = check(body.reason.as_deref())?;
    let verb = match (body.verb, body.step, body.output) {
        (ForAll::Resume, None, None) => Verb::Resume,
        (ForAll::Cancel, None, None) => Verb::Cancel,
        (ForAll::Undo, None, None) => Verb::Undo,
        (ForAll::Discard, None, None) => Verb::Discard,
        (ForAll::Rerun, None, None) => Verb::Rerun,
        (ForAll::Rerun, Some(step), None) => Verb::RerunFrom { step },
        (ForAll::Retry, Some(step), None) => Verb::Retry { step },
        (ForAll::Skip, Some(step), Some(output)) => Verb::Skip { step, output },
        _ => {
            return Err(Problem::invalid(
                "a retry has a `step`, a skip a `step` and its `output`, a rerun a `step` or none; no other verb has any",
            ));
        }
    };
    let mut filter = body.which.filter()?;
    if says_nothing(&filter) && !body.all {
        return Err(Problem::invalid(
            "`which` says nothing of what is meant: name an account, a kind, a state or anything else that they have in common, or \
             say `all`",
        ));
    }
    filter.limit = filter.limit.or(Some(limits::PAGE));
    Ok(Answer(match body.dry_run {
        true => access.count_all(filter, &verb).await?,
        false => access.act_on_all(filter, &verb, reason).await?,
    }))
}
