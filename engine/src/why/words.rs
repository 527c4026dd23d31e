//! Reasons in words: one sentence each, with times in UTC.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::numbers::{Ordinal, of};
use super::{Awaited, Other, Reason, Rival, RunningStep, Tally, Then, Why};
use crate::intent::Mode;
use crate::state::IntentState;

impl Display for Why {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, reason) in self.reasons.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            reason.fmt(f)?;
        }
        Ok(())
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished { state, at } => {
                write!(f, "{state} at {}: there is nothing to wait for", time(*at))
            }
            Self::Unreadable { error } => write!(
                f,
                "it cannot be said what it waits for, since a row of it, or of one that it waits for, cannot be read: {error}"
            ),
            Self::Failed { .. } => failed(f, self),
            Self::Stopping {
                then,
                by,
                because,
                at,
            } => {
                match then {
                    Then::Cancelled => write!(f, "asked to stop by {by} at {}", time(*at))?,
                    Then::Failed => write!(f, "taken back since {}", time(*at))?,
                    Then::Rerun => write!(
                        f,
                        "taken back for steps that are to run again, asked for by {by} at {}",
                        time(*at)
                    )?,
                }
                match because {
                    Some(because) => write!(f, ": {because}"),
                    None => Ok(()),
                }
            }
            Self::CancelAsked { by, because, at } => {
                let at = time(*at);
                write!(
                    f,
                    "its cancel was asked for by {by} at {at}, from plain SQL, and waits for a worker"
                )?;
                match because {
                    Some(because) => write!(f, ": {because}"),
                    None => Ok(()),
                }
            }
            Self::InLine {
                resource,
                mode,
                place,
                holders,
                ahead,
            } => in_line(f, resource, *mode, *place, holders, ahead),
            Self::Retry {
                step,
                attempts,
                error,
                due_at,
            } => write!(
                f,
                "`{step}` is tried again at {}, after attempt {attempts} failed: {error}",
                time(*due_at)
            ),
            Self::Snooze { step, due_at } => write!(
                f,
                "`{step}` was not ready to go on, and looks again at {}",
                time(*due_at)
            ),
            Self::Sleep { step, name, due_at } => {
                write!(f, "`{step}` sleeps")?;
                named(f, step, name)?;
                write!(f, " until {}", time(*due_at))
            }
            Self::Signal { step, name, due_at } => {
                write!(f, "`{step}` waits for a signal")?;
                match step == name {
                    true => write!(f, " of its name")?,
                    false => write!(f, " `{name}`")?,
                }
                match due_at {
                    Some(due_at) => write!(f, ", until {}", time(*due_at)),
                    None => Ok(()),
                }
            }
            Self::StartTime { due_at } => write!(f, "not to start before {}", time(*due_at)),
            Self::Children {
                unfinished,
                children,
            } => awaits(f, *unfinished, children),
            Self::Routed {
                step,
                queue,
                since,
                reasons,
            } => {
                write!(f, "`{step}` is in queue `{queue}` since {}", time(*since))?;
                for (index, reason) in reasons.iter().enumerate() {
                    write!(f, "{}{reason}", if index == 0 { ": " } else { "; " })?;
                }
                Ok(())
            }
            Self::Handler => f.write_str("no live worker knows its steps"),
            Self::Lane { .. } => lane(f, self),
            Self::Suspect { crashes } => write!(
                f,
                "{} with it in hand: it waits for a worker that can take it by itself",
                match crashes {
                    1 => "a worker died".to_owned(),
                    n => format!("{n} workers died"),
                }
            ),
            Self::QueuePaused {
                queue,
                by,
                because,
                at,
            } => {
                write!(f, "queue `{queue}` is paused by {by} since {}", time(*at))?;
                match because {
                    Some(because) => write!(f, ": {because}"),
                    None => Ok(()),
                }
            }
            Self::Turns {
                queue,
                by,
                partition,
            } => {
                let by = by.replacen(':', " ", 1);
                match partition.as_str() {
                    "" => write!(f, "queue `{queue}` takes turns by {by}, and it has none"),
                    _ => write!(
                        f,
                        "queue `{queue}` takes turns by {by}: its turn is that of `{partition}`"
                    ),
                }
            }
            Self::PartitionFull {
                queue,
                partition,
                limit,
                lent,
            } => write!(
                f,
                "queue `{queue}` has a limit of {limit} of `{partition}` in the hands of workers at once, and they have {lent}"
            ),
            Self::QueueFull { queue, slots, lent } => write!(
                f,
                "queue `{queue}` has a limit of {slots} steps at once across all workers, and they have {lent} of these"
            ),
            Self::QueuePaced {
                queue,
                steps,
                period_ms,
                burst,
                due_at,
            } => {
                write!(
                    f,
                    "queue `{queue}` starts at most {steps} steps {}",
                    period(*period_ms)
                )?;
                if *burst > 1 {
                    write!(f, ", {burst} of them at once")?;
                }
                write!(
                    f,
                    ", across all workers; the next may begin at {}",
                    time(*due_at)
                )
            }
            Self::BacksOff {
                kind,
                intents,
                due_at,
            } => write!(
                f,
                "{intents} intents of kind `{kind}` in a row have crashed their workers: it is tried one at a time, not before \
                 {}",
                time(*due_at)
            ),
            Self::NoWorker { queue, silent } => {
                write!(f, "no live worker serves queue `{queue}`")?;
                silence(f, silent)
            }
            Self::UnknownKind {
                queue,
                kind,
                workers,
            } => write!(
                f,
                "no live worker knows kind `{kind}`; queue `{queue}` is served by {}",
                workers.join(", ")
            ),
            Self::Busy { queue, workers } => match workers {
                1 => write!(
                    f,
                    "all slots of queue `{queue}` are taken at its only worker"
                ),
                n => write!(
                    f,
                    "all slots of queue `{queue}` are taken at its {n} workers"
                ),
            },
            Self::Running {
                worker,
                host,
                since,
                steps,
                free,
            } => running(f, (worker, host), *since, steps, *free),
            Self::Silent {
                worker,
                since,
                lease_ms,
            } => write!(
                f,
                "{worker} was last heard of at {}, longer ago than its lease of {lease_ms} ms: another worker will take \
                 this over",
                time(*since)
            ),
        }
    }
}

/// The name by which a step waits, where that is not its own.
fn named(f: &mut Formatter<'_>, step: &str, name: &str) -> fmt::Result {
    match step == name {
        true => Ok(()),
        false => write!(f, " (`{name}`)"),
    }
}

fn failed(f: &mut Formatter<'_>, reason: &Reason) -> fmt::Result {
    let Reason::Failed {
        why,
        step,
        error,
        at,
        holds,
        resume,
    } = reason
    else {
        return Ok(());
    };
    write!(f, "failed at {} ({why}", time(*at))?;
    if let Some(step) = step {
        write!(f, " in `{step}`")?;
    }
    write!(f, "): {error}; ")?;
    if !holds.is_empty() {
        write!(f, "it keeps {} from others; ", holds.join(", "))?;
    }
    write!(f, "{}: intendant resume {resume}", advice(why))
}

fn lane(f: &mut Formatter<'_>, reason: &Reason) -> fmt::Result {
    let Reason::Lane {
        queue,
        kind,
        ahead,
        workers,
        free,
    } = reason
    else {
        return Ok(());
    };
    match ahead.count {
        0 => f.write_str("next")?,
        _ => write!(f, "behind {ahead}")?,
    }
    write!(
        f,
        " in line for a worker of queue `{queue}` that knows `{kind}`"
    )?;
    match (workers, free) {
        (0, _) | (_, 0) => Ok(()),
        (1, free) => write!(f, "; 1 is there, with room for {}", of(*free, "step")),
        (n, free) => write!(f, "; {n} are there, with room for {}", of(*free, "step")),
    }
}

fn in_line(
    f: &mut Formatter<'_>,
    resource: &str,
    mode: Mode,
    place: Tally,
    holders: &[Rival],
    ahead: &[Rival],
) -> fmt::Result {
    let mode = match mode {
        Mode::Shared => "to share ",
        Mode::Touched | Mode::Exclusive => "",
    };
    write!(f, "{} in line {mode}for {resource}", Ordinal(place))?;
    if holders.is_empty() && ahead.is_empty() {
        return f.write_str("; its turn has come");
    }
    list(f, "; held by ", holders)?;
    list(f, "; before it: ", ahead)
}

fn list(f: &mut Formatter<'_>, title: &str, rivals: &[Rival]) -> fmt::Result {
    for (index, rival) in rivals.iter().enumerate() {
        f.write_str(if index == 0 { title } else { ", " })?;
        rival.other.fmt(f)?;
    }
    Ok(())
}

fn awaits(f: &mut Formatter<'_>, unfinished: Tally, children: &[Awaited]) -> fmt::Result {
    match unfinished {
        Tally {
            count: 1,
            more: false,
        } => f.write_str("a child is unfinished: ")?,
        tally => write!(f, "{tally} children are unfinished: ")?,
    }
    for (index, child) in children.iter().enumerate() {
        if index > 0 {
            f.write_str("; ")?;
        }
        write!(f, "`{}` of `{}`, {}", child.name, child.step, child.other)?;
        for (index, reason) in child.reasons.iter().enumerate() {
            write!(f, "{}{reason}", if index == 0 { ": " } else { "; " })?;
        }
    }
    if unfinished.more || unfinished.count > children.len() as u64 {
        f.write_str("; …")?;
    }
    Ok(())
}

fn running(
    f: &mut Formatter<'_>,
    (worker, host): (&str, &str),
    since: DateTime<Utc>,
    steps: &[RunningStep],
    free: u64,
) -> fmt::Result {
    // On Linux a host is told with its boot, which is for machines.
    let host = host.split('/').next().unwrap_or_default();
    write!(f, "held by {worker} on {host} since {}", time(since))?;
    for (index, step) in steps.iter().enumerate() {
        f.write_str(if index == 0 { "; runs " } else { ", " })?;
        write!(f, "`{}` (attempt {}", step.name, step.attempt)?;
        if let Some(since) = step.since {
            write!(f, ", since {}", time(since))?;
        }
        if let Some(progress) = &step.progress {
            write!(f, ", {progress}")?;
        }
        f.write_str(")")?;
    }
    match (steps.is_empty(), free) {
        (true, 0) => f.write_str("; all its slots are taken, so that it may be waiting for one"),
        (true, _) => f.write_str("; what it runs is known with the next heartbeat"),
        (false, _) => Ok(()),
    }
}

fn silence(f: &mut Formatter<'_>, silent: &[String]) -> fmt::Result {
    match silent {
        [] => Ok(()),
        [one] => write!(f, "; {one} did, and is silent or leaving"),
        many => write!(f, "; {} did, and are silent or leaving", many.join(", ")),
    }
}

/// What has to be done before a resume is of any use.
fn advice(why: &str) -> &'static str {
    match why {
        "undecodable" | "plan refused" => "run workers whose code fits it, then",
        "quarantined" => "find out why its workers died, then",
        "circular wait" => "change who wants what, then",
        "interrupted" => {
            "find out whether it took effect, and skip the step if it did; if it did not,"
        }
        "undo failed" => "mend what keeps it from being taken back, then",
        _ => "mend the cause, then",
    }
}

impl Display for Other {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({}", self.kind, self.id, self.state)?;
        match (self.state, self.since) {
            (IntentState::Running | IntentState::Failed, Some(since)) => {
                write!(f, " since {}", time(since))?;
            }
            _ => write!(f, ", requested {}", time(self.requested_at))?,
        }
        if let Some(who) = &self.requested_by {
            write!(f, ", by {who}")?;
        }
        f.write_str(")")
    }
}

/// Of so many in a time.
fn period(period_ms: u64) -> String {
    match period_ms {
        1_000 => "a second".to_owned(),
        60_000 => "a minute".to_owned(),
        3_600_000 => "an hour".to_owned(),
        period_ms => format!("in {:?}", Duration::from_millis(period_ms)),
    }
}

fn time(time: DateTime<Utc>) -> impl Display {
    time.format("%Y-%m-%dT%H:%M:%SZ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::IntentId;
    use expect_test::expect;
    use uuid::Uuid;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_763_712_000 + seconds, 0).unwrap()
    }

    fn other(number: u128, state: IntentState) -> Other {
        Other {
            id: IntentId(Uuid::from_u128(number)),
            kind: "replica.add".into(),
            account: Some("acme".into()),
            requested_by: Some("ada".into()),
            requested_at: at(0),
            state,
            since: Some(at(60)),
        }
    }

    #[test]
    fn a_line_names_who_holds_and_who_stands_before() {
        let rival = |number, state, mode| Rival {
            mode,
            other: other(number, state),
        };
        let reason = Reason::InLine {
            resource: "server:42".into(),
            mode: Mode::Exclusive,
            place: Tally {
                count: 3,
                more: false,
            },
            holders: vec![rival(1, IntentState::Running, Mode::Shared)],
            ahead: vec![
                rival(2, IntentState::Blocked, Mode::Exclusive),
                rival(3, IntentState::Ready, Mode::Exclusive),
            ],
        };
        expect!["3rd in line for server:42; held by replica.add 00000000-0000-0000-0000-000000000001 (running since 2025-11-21T08:01:00Z, by ada); before it: replica.add 00000000-0000-0000-0000-000000000002 (blocked, requested 2025-11-21T08:00:00Z, by ada), replica.add 00000000-0000-0000-0000-000000000003 (ready, requested 2025-11-21T08:00:00Z, by ada)"]
            .assert_eq(&reason.to_string());
    }

    #[test]
    fn a_rate_is_told_with_when_the_next_may_begin() {
        let paced = |steps, period_ms, burst| Reason::QueuePaced {
            queue: "mail".into(),
            steps,
            period_ms,
            burst,
            due_at: at(60),
        };
        expect!["queue `mail` starts at most 100 steps a second, 10 of them at once, across all workers; the next may begin at 2025-11-21T08:01:00Z"]
            .assert_eq(&paced(100, 1_000, 10).to_string());
        expect!["queue `mail` starts at most 1 steps in 90s, across all workers; the next may begin at 2025-11-21T08:01:00Z"]
            .assert_eq(&paced(1, 90_000, 1).to_string());
    }

    #[test]
    fn a_sleep_and_a_signal_are_told_with_their_names_and_times() {
        let sleep = |name: &str| Reason::Sleep {
            step: "settle".into(),
            name: name.into(),
            due_at: at(60),
        };
        let signal = |name: &str, due_at| Reason::Signal {
            step: "approve".into(),
            name: name.into(),
            due_at,
        };
        let said = [
            sleep("settle"),
            sleep("a minute"),
            signal("approve", None),
            signal("by the boss", Some(at(60))),
        ];
        let said: Vec<_> = said.iter().map(ToString::to_string).collect();
        expect![[r#"
            `settle` sleeps until 2025-11-21T08:01:00Z
            `settle` sleeps (`a minute`) until 2025-11-21T08:01:00Z
            `approve` waits for a signal of its name
            `approve` waits for a signal `by the boss`, until 2025-11-21T08:01:00Z"#]]
        .assert_eq(&said.join("\n"));
    }

    #[test]
    fn of_many_children_the_first_are_named() {
        let child = Awaited {
            step: "raise".into(),
            name: "first".into(),
            other: other(1, IntentState::Waiting),
            reasons: vec![Reason::StartTime { due_at: at(3_600) }],
        };
        let reason = Reason::Children {
            unfinished: Tally {
                count: 1_000,
                more: true,
            },
            children: vec![child],
        };
        expect!["more than 1,000 children are unfinished: `first` of `raise`, replica.add 00000000-0000-0000-0000-000000000001 (waiting, requested 2025-11-21T08:00:00Z, by ada): not to start before 2025-11-21T09:00:00Z; …"]
            .assert_eq(&reason.to_string());
    }

    #[test]
    fn a_worker_without_a_free_slot_may_keep_it_waiting() {
        let running = |free, steps| Reason::Running {
            worker: "w1".into(),
            host: "box/6f1c".into(),
            since: at(0),
            steps,
            free,
        };
        expect!["held by w1 on box since 2025-11-21T08:00:00Z; all its slots are taken, so that it may be waiting for one"]
            .assert_eq(&running(0, vec![]).to_string());
        expect!["held by w1 on box since 2025-11-21T08:00:00Z; what it runs is known with the next heartbeat"]
            .assert_eq(&running(3, vec![]).to_string());
        let step = RunningStep {
            name: "copy".into(),
            attempt: 2,
            since: Some(at(5)),
            progress: Some("{\"rows\":7}".into()),
        };
        expect![[r#"held by w1 on box since 2025-11-21T08:00:00Z; runs `copy` (attempt 2, since 2025-11-21T08:00:05Z, {"rows":7})"#]]
            .assert_eq(&running(3, vec![step]).to_string());
    }
}
