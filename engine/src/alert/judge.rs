//! Judge: what of the facts is an alert, as pure functions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{AlertKind, Watch};
use crate::clock::Micros;
use crate::id::{IntentId, SessionId};
use crate::limits;

/// Something that is an alert: the row as it is to be, without its id and when it is raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) kind: AlertKind,
    /// One alert of a kind is open for it at a time.
    pub(crate) about: String,
    pub(crate) intent: Option<IntentId>,
    pub(crate) intent_kind: Option<String>,
    pub(crate) step: Option<String>,
    pub(crate) generation: Option<u32>,
    pub(crate) queue: Option<String>,
    pub(crate) worker: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) since: Since,
    pub(crate) text: String,
    pub(crate) count: u64,
}

/// Since when it has been so, by the database's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    At(Micros),
    Ago(Duration),
}

impl Found {
    fn new(kind: AlertKind, about: String, since: Since, text: String) -> Self {
        Self {
            kind,
            about,
            since,
            text,
            intent: None,
            intent_kind: None,
            step: None,
            generation: None,
            queue: None,
            worker: None,
            host: None,
            count: 1,
        }
    }
}

/// A deadline that is over.
#[derive(Debug, Clone)]
pub(crate) struct Late {
    pub(crate) intent: IntentId,
    pub(crate) kind: String,
    /// None: the intent as a whole.
    pub(crate) step: Option<String>,
    pub(crate) generation: u32,
    pub(crate) due: Micros,
}

/// What is not done by its deadline.
pub(crate) fn late(late: Late) -> Found {
    let Late {
        intent,
        kind,
        step,
        generation,
        due,
    } = late;
    let when = due.to_utc().format("%Y-%m-%d %H:%M:%S UTC");
    let (alert, about, text) = match &step {
        None => (
            AlertKind::IntentDeadline,
            intent.to_string(),
            format!("`{kind}` was to be done by {when}"),
        ),
        Some(step) => (
            AlertKind::StepDeadline,
            about_step(intent, step, generation),
            format!("step `{step}` of `{kind}` was to be done by {when}"),
        ),
    };
    Found {
        intent: Some(intent),
        intent_kind: Some(kind),
        step,
        generation: Some(generation),
        ..Found::new(alert, about, Since::At(due), text)
    }
}

fn about_step(intent: IntentId, step: &str, generation: u32) -> String {
    // As the statements have it (`running_look`).
    format!("{intent}/{step}/{generation}")
}

/// The tasks of one kind that are ready in one queue.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    pub(crate) queue: String,
    pub(crate) kind: String,
    /// Up to [`limits::WHY_COUNT`].
    pub(crate) waiting: u64,
    /// For how long the oldest has been ready, where that is known.
    pub(crate) oldest: Option<Duration>,
    pub(crate) serves: Serves,
}

/// Whether somebody alive would claim it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serves {
    Kind,
    /// The queue, and none knows the kind.
    Queue,
    Nobody,
}

/// Queues that are not served, or not fast enough. One alert for each kind that nobody serves, one for each queue that is
/// too slow.
pub(crate) fn lanes(lanes: &[Lane], watch: &Watch) -> Vec<Found> {
    let mut found = Vec::new();
    let mut old: BTreeMap<&str, (Duration, &Lane, u64)> = BTreeMap::new();
    for lane in lanes {
        let Some(age) = lane.oldest else { continue };
        let Lane { queue, kind, .. } = lane;
        let wait = |of: &str| wait(of, lane.waiting);
        let nobody = match lane.serves {
            Serves::Kind => {
                let (oldest, of, waiting) = old.entry(queue).or_insert((age, lane, 0));
                *waiting += lane.waiting;
                if age > *oldest {
                    (*oldest, *of) = (age, lane);
                }
                continue;
            }
            Serves::Queue => format!(
                "no live worker that serves queue `{queue}` knows kind `{kind}`; {}",
                wait("")
            ),
            Serves::Nobody => format!(
                "no live worker serves queue `{queue}`; {}",
                wait(&format!(" of kind `{kind}`"))
            ),
        };
        if age >= watch.unserved {
            found.push(Found {
                queue: Some(queue.clone()),
                intent_kind: Some(kind.clone()),
                count: lane.waiting,
                ..Found::new(
                    AlertKind::NoWorker,
                    format!("{queue}/{kind}"),
                    Since::Ago(age),
                    nobody,
                )
            });
        }
    }
    for (queue, (age, lane, waiting)) in old {
        if age < watch.queue_age {
            continue;
        }
        let kind = &lane.kind;
        let text = format!(
            "the oldest task of queue `{queue}`, a `{kind}`, has been ready for {}; {}",
            rounded(age),
            wait("", waiting)
        );
        found.push(Found {
            queue: Some(queue.to_owned()),
            count: waiting,
            ..Found::new(
                AlertKind::QueueTooOld,
                queue.to_owned(),
                Since::Ago(age),
                text,
            )
        });
    }
    found
}

/// How many tasks wait, in words.
fn wait(of: &str, count: u64) -> String {
    match count {
        1 => format!("1 task{of} waits"),
        count if count >= limits::WHY_COUNT => format!("{count} tasks{of} or more wait"),
        count => format!("{count} tasks{of} wait"),
    }
}

/// A step that has been running for long.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    pub(crate) intent: IntentId,
    pub(crate) kind: String,
    pub(crate) step: String,
    pub(crate) generation: u32,
    pub(crate) runs: Duration,
    pub(crate) worker: String,
}

/// Under what the durations of a step are looked up: the elements of a map are alike.
pub(crate) fn durations_of(step: &str) -> &str {
    match step.find('[') {
        Some(at) => &step[..=at],
        None => step,
    }
}

/// What 95 of a hundred of these durations stay below or at; none of too few, which say nothing.
///
/// The nearest rank: a duration that was measured, not one in between two.
pub(crate) fn usual(mut durations: Vec<Duration>) -> Option<Duration> {
    if durations.len() < limits::SLOW_SAMPLES {
        return None;
    }
    durations.sort_unstable();
    let rank = (durations.len() * 95).div_ceil(100);
    durations.get(rank - 1).copied()
}

/// Whether a step runs far longer than it usually does.
pub(crate) fn slow(running: &Running, usual: Option<Duration>, watch: &Watch) -> Option<Found> {
    let usual = usual?;
    let Running {
        intent,
        kind,
        step,
        generation,
        runs,
        worker,
    } = running;
    if *runs < watch.slow.max(usual.saturating_mul(watch.slow_times)) {
        return None;
    }
    let text = format!(
        "step `{step}` of `{kind}` has been running for {} on {worker}; 95 of a hundred take {} at most",
        rounded(*runs),
        rounded(usual)
    );
    Some(Found {
        intent: Some(*intent),
        intent_kind: Some(kind.clone()),
        step: Some(step.clone()),
        generation: Some(*generation),
        worker: Some(worker.clone()),
        ..Found::new(
            AlertKind::SlowStep,
            about_step(*intent, step, *generation),
            Since::Ago(*runs),
            text,
        )
    })
}

/// A session that was taken for dead.
pub(crate) fn gone(
    session: SessionId,
    worker: &str,
    host: &str,
    last_beat: Micros,
    held: usize,
) -> Found {
    let what = match held {
        0 => "it held nothing".to_owned(),
        1 => "1 intent that it held goes on elsewhere".to_owned(),
        held => format!("{held} intents that it held go on elsewhere"),
    };
    let text = format!("worker `{worker}` was taken for dead; {what}");
    Found {
        worker: Some(worker.to_owned()),
        host: Some(host.to_owned()),
        count: held as u64,
        ..Found::new(
            AlertKind::WorkerGone,
            session.to_string(),
            Since::At(last_beat),
            text,
        )
    }
}

/// A kind whose intents have crashed their workers one after the other.
pub(crate) fn backs_off(kind: &str, intents: u32, newest: IntentId) -> Found {
    let text = format!(
        "{intents} intents of kind `{kind}` in a row have crashed their workers; it is tried one at a time and more and more \
         rarely, until one succeeds"
    );
    Found {
        intent: Some(newest),
        intent_kind: Some(kind.to_owned()),
        count: u64::from(intents),
        ..Found::new(
            AlertKind::KindBacksOff,
            kind.to_owned(),
            Since::Ago(Duration::ZERO),
            text,
        )
    }
}

/// A schedule whose next tick nobody has decided.
#[derive(Debug, Clone)]
pub(crate) struct Overdue {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) revision: u32,
    pub(crate) next: Micros,
    pub(crate) late: Duration,
    pub(crate) declared: IsDeclared,
}

/// Whether the code of somebody alive has a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IsDeclared {
    AsItIs,
    Otherwise,
    ByNobody,
}

/// A schedule that has stopped, and nobody has stopped it.
pub(crate) fn overdue(overdue: Overdue) -> Found {
    let Overdue {
        name,
        kind,
        revision,
        next,
        late,
        declared,
    } = overdue;
    let why = match declared {
        IsDeclared::AsItIs => {
            "the workers that declare it do not decide it, and their logs say why".to_owned()
        }
        IsDeclared::Otherwise => format!(
            "live workers declare another revision of it than {revision}, which is in force: was the code rolled back?"
        ),
        IsDeclared::ByNobody => {
            "no live worker declares it; if it is no more, pause or remove it".to_owned()
        }
    };
    let when = next.to_utc().format("%Y-%m-%d %H:%M:%S UTC");
    let text = format!(
        "schedule `{name}` was to tick at {when}, {} ago; {why}",
        rounded(late)
    );
    Found {
        intent_kind: Some(kind),
        ..Found::new(AlertKind::ScheduleOverdue, name, Since::At(next), text)
    }
}

/// What an open alert is about, and how many tasks it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) kind: AlertKind,
    pub(crate) about: String,
    pub(crate) count: u64,
}

/// What has to be written so that the open alerts are those that were found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) raise: Vec<Found>,
    pub(crate) update: Vec<Found>,
    pub(crate) resolve: Vec<Open>,
}

/// Compares what is open with what was found, for alerts that stand as long as they are found.
pub(crate) fn changes(open: &[Open], found: Vec<Found>) -> Changes {
    let lasting = |kind: AlertKind| match kind {
        AlertKind::QueueTooOld | AlertKind::NoWorker | AlertKind::ScheduleOverdue => true,
        AlertKind::IntentDeadline
        | AlertKind::StepDeadline
        | AlertKind::SlowStep
        | AlertKind::WorkerGone
        | AlertKind::KindBacksOff
        | AlertKind::Failure => false,
    };
    let mut changes = Changes::default();
    let known: BTreeMap<(AlertKind, &str), u64> = open
        .iter()
        .map(|open| ((open.kind, open.about.as_str()), open.count))
        .collect();
    let mut stand: BTreeSet<(AlertKind, String)> = BTreeSet::new();
    for found in found {
        stand.insert((found.kind, found.about.clone()));
        match known.get(&(found.kind, found.about.as_str())) {
            None => changes.raise.push(found),
            Some(count) if lasting(found.kind) && *count != found.count => {
                changes.update.push(found)
            }
            Some(_) => {}
        }
    }
    let gone =
        |open: &&Open| lasting(open.kind) && !stand.contains(&(open.kind, open.about.clone()));
    changes.resolve = open.iter().filter(gone).cloned().collect();
    changes
}

/// A duration as people say it: two units at most.
pub(crate) fn rounded(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn lane(queue: &str, kind: &str, waiting: u64, age_s: u64, serves: Serves) -> Lane {
        Lane {
            queue: queue.to_owned(),
            kind: kind.to_owned(),
            waiting,
            oldest: Some(Duration::from_secs(age_s)),
            serves,
        }
    }

    fn check(facts: &[Lane], expected: Expect) {
        let found = lanes(facts, &Watch::default());
        let lines = found
            .iter()
            .map(|found| format!("{} {}: {}\n", found.kind, found.about, found.text));
        expected.assert_eq(&lines.collect::<String>());
    }

    #[test]
    fn a_queue_is_too_old_by_its_oldest_task_and_says_how_many_wait() {
        check(
            &[
                lane("mail", "mail.send", 7, 301, Serves::Kind),
                lane("mail", "mail.sort", 3, 3_700, Serves::Kind),
                lane("ssh", "ssh.run", 1_000, 299, Serves::Kind),
            ],
            expect![[r#"
                queue too old mail: the oldest task of queue `mail`, a `mail.sort`, has been ready for 1 h 1 min; 10 tasks wait
            "#]],
        );
    }

    #[test]
    fn a_kind_that_nobody_serves_is_found_after_a_deploy_s_time() {
        check(
            &[
                lane("gpu", "train", 1_000, 61, Serves::Nobody),
                lane("ssh", "ssh.run", 1, 3_600, Serves::Queue),
                lane("mail", "mail.send", 1, 59, Serves::Nobody),
            ],
            expect![[r#"
                no worker gpu/train: no live worker serves queue `gpu`; 1000 tasks of kind `train` or more wait
                no worker ssh/ssh.run: no live worker that serves queue `ssh` knows kind `ssh.run`; 1 task waits
            "#]],
        );
    }

    #[test]
    fn what_is_usual_is_a_duration_that_was_measured() {
        let ms = |range: std::ops::RangeInclusive<u64>| range.map(Duration::from_millis).collect();
        assert_eq!(usual(ms(1..=100)), Some(Duration::from_millis(95)));
        assert_eq!(usual(ms(1..=20)), Some(Duration::from_millis(19)));
        assert_eq!(usual(ms(1..=10)), Some(Duration::from_millis(10)));
        assert_eq!(usual(ms(1..=9)), None, "too few say nothing");
    }

    #[test]
    fn a_step_is_slow_beyond_a_minimum_and_a_multiple_of_what_is_usual() {
        let step = |runs_s| Running {
            intent: IntentId(uuid::Uuid::nil()),
            kind: "replica.add".to_owned(),
            step: "snapshot".to_owned(),
            generation: 1,
            runs: Duration::from_secs(runs_s),
            worker: "w1".to_owned(),
        };
        let is_slow = |runs, usual: Option<u64>| {
            slow(
                &step(runs),
                usual.map(Duration::from_secs),
                &Watch::default(),
            )
            .is_some()
        };
        assert!(!is_slow(100_000, None));
        assert!(!is_slow(59, Some(0)) && is_slow(60, Some(0)));
        assert!(!is_slow(89, Some(30)) && is_slow(90, Some(30)));
        assert_eq!(durations_of("resize[17]"), "resize[");
        assert_eq!(durations_of("join"), "join");
    }

    #[test]
    fn alerts_are_raised_once_and_resolved_when_they_are_not_found_any_more() {
        let found = |facts: &[Lane]| lanes(facts, &Watch::default());
        let old = |waiting| lane("mail", "mail.send", waiting, 400, Serves::Kind);
        let first = changes(&[], found(&[old(7)]));
        assert_eq!((first.raise.len(), first.resolve.len()), (1, 0));
        let open = |count| Open {
            kind: AlertKind::QueueTooOld,
            about: "mail".to_owned(),
            count,
        };
        assert_eq!(changes(&[open(7)], found(&[old(7)])), Changes::default());
        let more = changes(&[open(7)], found(&[old(9)]));
        assert_eq!((more.raise.len(), more.update.len()), (0, 1));
        let none = changes(&[open(7)], Vec::new());
        assert_eq!(none.resolve, [open(7)]);
        // What is found once and stands until the rows say otherwise is not resolved by not being found.
        let late = Open {
            kind: AlertKind::IntentDeadline,
            ..open(1)
        };
        assert_eq!(changes(&[late], Vec::new()), Changes::default());
    }

    #[test]
    fn durations_are_said_in_two_units() {
        let said = [0, 59, 61, 3_600, 90_000].map(|s| rounded(Duration::from_secs(s)));
        assert_eq!(said, ["0 ms", "59 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
    }
}
