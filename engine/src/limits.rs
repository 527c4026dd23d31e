//! Every bound of the engine, with its reason.
//!
//! Promise 8: everything is bounded. A limit that a caller can run into is checked before anything is written, and the
//! error names it.

use std::time::Duration;

/// Largest input, output or progress note, in bytes of JSON. Rows stay small enough that a tick of hundreds of them is
/// a few megabytes; bigger things belong in files or object stores, and the payload names them.
pub const PAYLOAD_BYTES: usize = 1024 * 1024;

/// How long a verb for all that match may take where it is bounded in number: well within the time that a request over HTTP has.
pub const BATCH_TIME: Duration = Duration::from_secs(15);

/// How many looks back a verb for all that match takes for each state, where it is bounded in number.
pub const BATCH_LOOKS: usize = 20;

/// Most bytes of payloads in one page of a list, from which on it ends, whatever its limit is: a thousand payloads of the largest
/// size are more than anybody wants to hold in memory.
pub const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Deepest nesting of a payload. `serde_json` refuses more than 128 levels on the way back in, SQLite's JSON 1,000, so
/// what is accepted here can be read everywhere.
pub const PAYLOAD_DEPTH: usize = 100;

/// Longest error message that is kept, in bytes; the rest is cut at a character. Enough for a chain of causes, short
/// enough for a list of failures.
pub const ERROR_BYTES: usize = 8 * 1024;

/// Most lines of an attempt's log that are kept, the last ones: what a person reads who looks for the reason.
pub const LOG_LINES: usize = 200;

/// Most bytes of an attempt's log that are kept: the logs of a tick of a hundred failures are then a few megabytes.
pub const LOG_BYTES: usize = 32 * 1024;

/// Longest line of an attempt's log, in bytes; the rest is cut at a character.
pub const LOG_LINE_BYTES: usize = 4 * 1024;

/// Most measurements of one attempt: each is a row for ever.
pub const MEASURES: usize = 50;

/// Longest name of a kind, queue, account, key, step or child, in characters: it stands in indexes.
pub const NAME_CHARS: usize = 200;

/// Longest resource (`type:id`), in characters.
pub const RESOURCE_CHARS: usize = 400;

/// Most resources of one intent: they are all locked in one pass.
pub const RESOURCES: usize = 100;

/// Most conflict rules of one kind: they are read by people, and looked through for every intent that finds a resource
/// busy.
pub const CONFLICT_RULES: usize = 100;

/// How many of the latest intents on a resource are looked at for those that were asked for and have not been let in yet,
/// where a kind has rules about them.
pub const CONFLICT_LOOK: usize = 100;

/// How many of those in line housekeeping looks at for a circle at a time; the next look goes on behind them.
pub(crate) const CIRCLE_LOOK: usize = 100;

/// How many can be reached from those who are looked at for a circle; if there are more, each is looked at by itself.
pub(crate) const CIRCLE_REACH: usize = 1_000;

/// How many waits are read in a look for circles before it is cut off.
pub(crate) const CIRCLE_WAITS: usize = 100_000;

/// How many waits are followed in a look for circles, each as often as it is: some tens of milliseconds.
pub(crate) const CIRCLE_WORK: usize = 1_000_000;

/// How many are looked at each by itself where those who are looked at together can reach too many.
pub(crate) const CIRCLE_ALONE: usize = 10;

/// How many of the first in a line, of each sort, are looked at for a circle: who stands behind them waits for them.
pub(crate) const CIRCLE_LINE: usize = 100;

/// How far into a long line the first one is looked for behind whom those wait who go side by side with others. If there is none, some
/// of these try in vain.
pub(crate) const LINE_PLAIN: i64 = 1_000;

/// How many of the first in a line are read at least when others are let in or it moves on. Most lines are shorter.
pub(crate) const LINE_FRONT: usize = 16;

/// For how long kin of those who hold something pass in line who is not: as long, families that come one after the other
/// can hold somebody up. The view `links` has it too.
pub(crate) const PASSED: Duration = Duration::from_secs(60);

/// Most labels of one intent: each is two index entries for ever.
pub const LABELS: usize = 20;

/// Most steps of a plan. The worker that drives an intent keeps its plan in memory.
pub const PLAN_STEPS: usize = 10_000;

/// Longest chain of dependencies in a plan; each link is at least one commit.
pub const PLAN_DEPTH: usize = 1_000;

/// Most children that one step asks for.
pub const CHILDREN_PER_STEP: usize = 10_000;

/// Most intents that one step asks for without waiting for them: they are written in one statement.
pub const REQUESTS_PER_STEP: usize = 1_000;

/// Most bytes of the inputs of children that a step asks for together, and of the outputs of the children of an intent
/// that is taken in hand: a worker has them in memory at once.
pub const CHILDREN_BYTES: usize = 64 * 1024 * 1024;

/// Most children in one tick, unless it is a single intent that asks for more: keeps a tick within some hundreds of
/// milliseconds, however many fan-outs come together.
pub const CHILDREN_PER_TICK: usize = 2_000;

/// Most steps of one intent that are under way in other queues at once; the rest is sent as they end. What has become of
/// them is read whenever one has ended.
pub const ROUTED_AT_ONCE: usize = 256;

/// Most sleeps and signals that one step waits for by names, one after the other or together: its driver keeps them, and
/// what has come, in memory.
pub const WAITS_PER_STEP: usize = 100;

/// How many tasks a claim files from each end of a queue whose tasks take turns, shared by its kinds: some tens of milliseconds,
/// so that a hundred thousand that come at once are filed within seconds, and one that comes behind them at once.
pub(crate) const FILED_AT_ONCE: usize = 1_000;

/// How long a worker leaves a queue alone of whose partitions none may give anything: unless it lets go of something itself, it
/// would find the same. Shorter than the pause between two looks.
pub(crate) const PARTITIONS_FULL: Duration = Duration::from_millis(250);

/// How often somebody counts what is in line in queues with a cap, at most: within that time one may take more than its cap.
pub const BACKLOG_LOOK: Duration = Duration::from_millis(500);

/// How many partitions a claim looks at, one look by an index each; the next claim goes on behind them. Of those that are
/// full there are no more than tasks in the hands of all workers.
pub(crate) const PARTITIONS_AT_ONCE: usize = 256;

/// Most messages that one tick counts: each wakes an intent.
pub const SIGNALS_PER_TICK: usize = 500;

/// How long a routed step waits before it is offered again, after a worker took it whose code does not have it. Short
/// beside a deployment, long beside a claim.
pub const HANDLER_WAIT: Duration = Duration::from_secs(5);

/// How long an intent whose limit is over waits for its steps in other queues before it is looked again whether somebody is
/// still there to end them. Rare, and a bound on how late such an intent ends when a worker dies with the last of them.
pub const OVERDUE_LOOK: Duration = Duration::from_secs(15);
/// How often an intent that fails looks whether its steps in other queues can be taken back that somebody had in hand when
/// it looked last. Rare enough to cost nothing beside the steps.
pub const RECALL_WAIT: Duration = Duration::from_secs(5);

/// Most rows of requests in one statement, and most bytes of their inputs: what the two databases and the network
/// between take well at once.
pub const STATEMENT_ROWS: usize = 1_000;

/// See [`STATEMENT_ROWS`].
pub const STATEMENT_BYTES: usize = 8 * 1024 * 1024;

/// Deepest tree of intents, the root counting as one: a kind that asks for itself for ever ends here.
pub const TREE_DEPTH: usize = 32;

/// How often a step is tried when its author says nothing.
pub const ATTEMPTS: u32 = 10;

/// Wait before the second attempt, and the factor's base: 1 s, 2 s, 4 s… before jitter.
pub const RETRY_BASE: Duration = Duration::from_secs(1);

/// Longest wait between two attempts. An hour lets an operator's repair be noticed the same day.
pub const RETRY_CAP: Duration = Duration::from_secs(3600);

/// Longest `snooze`, and furthest start time: ten years, well inside what both databases' times can hold.
pub const FUTURE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Highest and lowest priority.
pub const PRIORITY: i32 = 1_000;

/// What one point of priority is worth: it goes before tasks that have waited this much longer.
pub const PRIORITY_POINT: Duration = Duration::from_secs(60);

/// How long an idempotency key is kept.
pub const KEY_RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

/// Silence after which a session counts as dead.
pub const LEASE: Duration = Duration::from_secs(15);

/// Time between two heartbeats, as a part of the lease: four may be lost.
pub const BEATS_PER_LEASE: u32 = 5;

/// Poll of an idle worker, under all wake-ups: what a lost wake-up costs. Three look-ups a second.
pub const POLL: Duration = Duration::from_millis(333);

/// Most steps that a worker runs at once in a queue, unless it says otherwise.
pub const CONCURRENCY: usize = 64;

/// Ended attempts that are taken in before a look at whether the tick on its way is back: the disk waits for whoever
/// takes in its answer.
pub(crate) const ENDED_AT_ONCE: usize = 128;

/// Most tasks that one tick claims: keeps a tick within some tens of milliseconds.
pub const CLAIM: usize = 1_000;

/// Most bytes of inputs that wait in a worker's memory; over this it claims nothing.
pub const PREFETCH_BYTES: usize = 16 * 1024 * 1024;

/// How long a claimed task may wait for a free slot before it is offered to idle workers again.
pub const PREFETCH_WAIT: Duration = Duration::from_secs(1);

/// Most timers that one tick readies.
pub const TIMERS_PER_TICK: usize = 500;

/// Crashes after which a suspect is quarantined, if it was alone in the last one (PROTOCOL P6).
pub const CRASHES: u32 = 3;

/// How long a kind is not tried after the second intent in a row of it has crashed its worker by itself; twice as long after
/// each further one.
pub const BACK_OFF: Duration = Duration::from_secs(1);

/// Longest time that a kind is not tried: what is mended is noticed soon after.
pub const BACK_OFF_CAP: Duration = Duration::from_secs(5 * 60);

/// How long the crash of a kind's intent is remembered: crashes further apart are not in a row.
pub const POISON_MEMORY: Duration = Duration::from_secs(3600);

/// Time limit of one call on the database by the engine, and of waiting for one that is busy when a worker begins.
/// Shorter than the lease, so that a worker that hangs on its database notices before the others do.
pub const DATABASE_CALL: Duration = Duration::from_secs(10);

/// Most bytes of an attempt's task: it is moved several times on its way, and two thousand of them are to stay in a cache.
pub(crate) const ATTEMPT_TASK: usize = 2_048;

/// Time limit of bringing a database up to date, with the wait for another process that is at it.
pub const MIGRATION: Duration = Duration::from_secs(600);

/// How long a worker's loop answers for a tick of which nothing is heard; the committer itself speaks after every try. A
/// worker that waits for its database is well: it is only called stalled when the call's own limit has failed too.
pub const COMMIT_PATIENCE: Duration = Duration::from_secs(20);

/// SQLite: how long one waits for its turn among those who write in this process; after that it asks the database by itself.
pub(crate) const WRITER_TURN: Duration = Duration::from_secs(2);

/// How long a heartbeat waits for a connection, at most; less with a short lease. While a server is away sqlx tries
/// again after up to a fifth of this, so all workers are back within a part of a lease of each other; with a long wait
/// one could take the other, which still sleeps, for dead.
pub const BEAT_CONNECT: Duration = Duration::from_secs(3);

/// How long after its last use a connection of the pool is taken without asking whether it lives.
pub const FRESH_CONNECTION: Duration = Duration::from_secs(1);

/// Longest `cx.transaction`: on SQLite it holds the only writer.
pub const TRANSACTION: Duration = Duration::from_secs(10);

/// How long a graceful stop waits for running steps before it hands their intents back.
pub const GRACE: Duration = Duration::from_secs(25);

/// How long a running step may go on after its intent was asked to stop, before its future is dropped: time to end well,
/// short enough for whoever waits for it.
pub const CANCEL_GRACE: Duration = Duration::from_secs(10);

/// What middleware may take beyond a step's own time limit, and beyond the grace time after a cancel: to report that the
/// time was up.
pub const MIDDLEWARE: Duration = Duration::from_secs(5);

/// How long a step may keep its thread without coming back to the runtime before the watchdog calls it stuck. Well beyond
/// what a busy machine or a garbage-collected library takes, well within what people wait before they ask.
pub const WATCHDOG: Duration = Duration::from_secs(10);

/// After how many times that a worker with a step that is still stuck stops, to be started anew: a minute unless said.
pub const WATCHDOG_PATIENCE: u32 = 6;

/// A worker with a maximum age stops up to this part of it earlier, by chance, so that workers that were started together do
/// not stop together.
pub const AGE_SPREAD: u32 = 10;

/// How often a cancel looks anew when what it is to stop has moved between its look and its locks. Each is some
/// milliseconds; an intent that moves every time is hardly thinkable.
pub const CANCEL_TRIES: usize = 100;

/// How often an event is written anew whose number somebody else has taken meanwhile.
pub const EVENT_TRIES: usize = 100;

/// How long a worker goes on with slots of a limited queue before it looks whether others wait for them: so long does each have
/// its turn where there are more workers than slots. One small statement a second, of workers that are at their limit.
pub const SLOT_TERM: Duration = Duration::from_secs(1);

/// Most steps of a rate, and most of them at once: a million in any time is no rate that a database keeps.
pub const RATE_STEPS: u32 = 1_000_000;

/// Longest period of a rate: a month, for what is counted by the month.
pub const RATE_PERIOD: Duration = Duration::from_secs(31 * 24 * 3600);

/// How long after a worker has asked for a permit it may begin a step by it: so much later than it was permitted an attempt
/// begins at most. Several times what a tick takes, since the answer comes with it; and short, since attempts of workers that are
/// held up differently come together by that.
pub const PERMIT_TERM: Duration = Duration::from_millis(500);

/// How long a worker sleeps at least before it asks a queue with a high rate again, so that it gets several permits with one
/// tick: twenty ticks a second.
pub const PERMIT_QUANTUM: Duration = Duration::from_millis(50);

/// Who sleeps longer than this for a permit looks as often whether somebody has given one back.
pub const PERMIT_LOOK: Duration = Duration::from_secs(3);

/// By how much of its sleep, or of the interval of the rate, a worker asks later by chance: so that of several that wait for the
/// same permit each has its turn, and not much of the rate is lost.
pub const PERMIT_JITTER: u32 = 10;

/// The most that this comes to, with rates of which the next permit is far away.
pub const PERMIT_JITTER_CAP: Duration = Duration::from_millis(100);

/// Most closures of steps that a worker can be told to run at once: half of the threads that a runtime has for them, so that
/// the program's own find some.
pub const BLOCKING: usize = 256;

/// How much of a program's standard output, and of its standard error, is kept, in bytes, the last part; as much as an output
/// may have. A command may say another limit.
pub const PROGRAM_OUTPUT: usize = 1024 * 1024;

/// How long a program may go on after SIGTERM, at its time limit or when its intent was cancelled: shorter than what a cancel
/// gives the step.
pub const PROGRAM_GRACE: Duration = Duration::from_secs(5);

/// The same where its step is gone already, so that a stopping worker still hands the intent back.
pub const PROGRAM_LEFT: Duration = Duration::from_millis(300);

/// How long the pipes of a program that has ended are read, where something that it has started keeps them open.
pub const PROGRAM_PIPES: Duration = Duration::from_secs(1);

/// How long a killed process group is waited for, where nobody reaps what was started in it.
pub const PROGRAM_GONE: Duration = Duration::from_millis(500);

/// How many of the last lines of its standard error are in the error of a program that has failed, and how many bytes of them.
pub const PROGRAM_LAST_LINES: usize = 10;

/// See [`PROGRAM_LAST_LINES`].
pub const PROGRAM_LAST_BYTES: usize = 2 * 1024;

/// Wait before an intent's failure is written again when the database has refused even that. Rare enough to cost the
/// others nothing, short enough to be seen by whoever mends the cause.
pub const REFUSED_WAIT: Duration = Duration::from_secs(1);

/// Most failed intents that are looked at for a list of failures in groups, the newest; more are told as more.
pub const FAILURES: usize = 10_000;

/// Most refusals that are told of a verb for many intents; the others are counted.
pub const REFUSALS: usize = 100;

/// Most rows on one page of a list.
pub const PAGE: u32 = 1_000;

/// How far `why` counts: what stands before an intent, its unfinished children. More is told as "more than".
pub const WHY_COUNT: u64 = 1_000;

/// Most intents, steps or workers that `why` names one by one.
pub const WHY_OTHERS: usize = 10;

/// Children of whom `why` says what they wait for themselves.
pub const WHY_CHILDREN: usize = 3;

/// Most sessions that `why` looks at.
pub const WHY_WORKERS: u64 = 1_000;

/// How many rows one look back through history goes when it has to compare what no index tells: some milliseconds on
/// either database (docs/PERFORMANCE.md).
pub const LOOK_BACK: u32 = 1_000;

/// How far the clock of a host that asks for an intent may be from the database's, for a search by time: the id has the
/// one's time, the record the other's.
pub const CLOCK_SKEW: Duration = Duration::from_secs(10 * 60);

/// How often a subscription looks for what is new: soon for people, little for the database.
pub const SUBSCRIPTION_PAUSE: Duration = Duration::from_millis(500);

/// A subscription pauses for so many times as long as its last look took, up to ten times its pause: however much there is to look
/// through, it leaves most of a connection to others.
pub(crate) const SUBSCRIPTION_SHARE: u32 = 4;

/// How often somebody looks for what deserves an alert, and tells of it: soon enough for people, some twenty small
/// statements for the database.
pub const WATCH: Duration = Duration::from_secs(15);

/// How long a task may be ready before its queue counts as too slow.
pub const QUEUE_AGE: Duration = Duration::from_secs(5 * 60);

/// How long a task may be ready with nobody there to claim it: longer than a deploy.
pub const UNSERVED: Duration = Duration::from_secs(60);

/// No step that runs for less than this is called slow.
pub const SLOW_STEP: Duration = Duration::from_secs(60);

/// How many times what is usual a slow step takes.
pub const SLOW_TIMES: u32 = 3;

/// Fewer durations than this say nothing of what is usual.
pub const SLOW_SAMPLES: usize = 10;

/// How many of the latest durations of a step are looked at, among how many of the latest intents, and for how many steps
/// at a time: some ten milliseconds altogether.
pub const SLOW_LATEST: usize = 100;

/// See [`SLOW_LATEST`].
pub const SLOW_LOOK_BACK: usize = 2_000;

/// See [`SLOW_LATEST`].
pub const SLOW_STEPS: usize = 5;

/// How many long-running steps are looked at, the longest first.
pub const SLOW_RUNNING: usize = 200;

/// How many lanes (queue and kind) are looked at.
pub const LANES: usize = 1_000;

/// Most alerts that are open at a time; deadlines beyond them wait until some are resolved. All of them are looked at every
/// time.
pub const ALERTS: usize = 10_000;

/// How many deadlines and how many failures one look takes.
pub const LOOK: usize = 10_000;

/// How long a resolved alert, and a notice with nothing new, is kept.
pub const ALERT_RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many resolved alerts one look deletes.
pub const ALERT_PURGE: usize = 1_000;

/// How long a worker that is gone is missed, if none of its name or on its machine begins.
pub const WORKER_MISSED: Duration = Duration::from_secs(3600);

/// How often the hook is told of one thing.
pub const THROTTLE: Duration = Duration::from_secs(5 * 60);

/// Most topics of one kind of intents: errors that are all different are told together.
pub const TOPICS_PER_KIND: usize = 100;

/// Most topics, and most notices that the hook is given at a time.
pub const TOPICS: usize = 10_000;

/// See [`TOPICS`].
pub const NOTICES: usize = 1_000;

/// How long a hook may take; what it was told is told again if it takes longer.
pub const HOOK: Duration = Duration::from_secs(30);

/// How long a look may take before somebody else takes its turn; the hook's time, and some.
pub const TURN: Duration = Duration::from_secs(45);

/// How late a schedule's tick may be and still count as on time: a restart of everything, and some.
pub const TICK_PATIENCE: Duration = Duration::from_secs(60);

/// Most late ticks that a schedule can be told to catch up with.
pub const CATCH_UP: u32 = 500;

/// Most ticks that are requested in one transaction: far from its time limit, also where each is compared with what the conflict
/// rules of its kind have to do with.
pub const TICKS_AT_ONCE: usize = 50;

/// How many ticks are thought of in each direction when a schedule was away for long; more are counted as more.
pub const DUE_TICKS: usize = 1_000;

/// Shortest interval of a schedule: what comes more often is no schedule, but a loop in a step.
pub const SCHEDULE_EVERY: Duration = Duration::from_secs(1);

/// How often a worker looks at its schedules at least: for what people have changed about them.
pub const SCHEDULE_LOOK: Duration = Duration::from_secs(1);

/// How long what came of a schedule's ticks is kept.
pub const TICK_RETENTION: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many old ticks go with each new one.
pub const TICK_PURGE: usize = 100;

/// Shortest time for which what has finished is kept. So whoever waits for an output has it by then, a caller's transaction that
/// has to do with it is over, and an outcome that is written late, or by a clock that was set back, is not behind what was looked at.
pub const RETENTION_LEAST: Duration = Duration::from_secs(3600);

/// Longest time that can be said; for ever is a word of its own.
pub const RETENTION_MOST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Most intents that retention removes in one transaction: some tens of milliseconds, for which SQLite has no other writer.
pub const RETENTION_BATCH: usize = 500;

/// Most rows of steps, attempts, events and the like that go in one transaction with their intents; or payloads.
pub(crate) const RETENTION_ROWS: i64 = 20_000;

/// Most kinds, in the order of their names, that retention and subscriptions look through for what has finished.
pub(crate) const FINISHED_KINDS: usize = 10_000;

/// Fewest, when a batch takes long.
pub(crate) const RETENTION_BATCH_LEAST: usize = 10;

/// Most outcomes that a batch looks at; children go with their root and are passed over.
pub(crate) const RETENTION_LOOK: usize = 2_000;

/// How long a batch should take: nobody notices that the writer was away for so long.
pub(crate) const RETENTION_TIME: Duration = Duration::from_millis(25);

/// Shortest pause between batches, so that ticks come in between.
pub(crate) const RETENTION_PAUSE: Duration = Duration::from_millis(20);

/// Longest pause between batches, however slow the database is.
pub(crate) const RETENTION_PAUSE_MOST: Duration = Duration::from_secs(5);

/// How long whoever removes may be silent before another worker does; a batch's transaction and its pause are shorter.
pub(crate) const RETENTION_TURN: Duration = Duration::from_secs(60);

/// How long what had to stay is left alone before it is looked at again.
pub(crate) const RETENTION_AGAIN: Duration = Duration::from_secs(3600);

/// Most keys whose time is over that go in one transaction.
pub(crate) const KEY_PURGE: usize = 1_000;
