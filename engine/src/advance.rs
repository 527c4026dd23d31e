//! Advance: what is next for an intent, as a pure function of its plan's shape and of where its steps are.

use std::time::Duration;

use crate::plan::Shape;

/// Where one step is, as far as its driver knows. Times are on the driver's monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Not begun, or begun by a worker that died.
    Pending,
    /// Being carried out here.
    Running,
    /// Its result is known and on its way to the disk. Nothing that depends on it may start yet.
    Recording,
    /// Waits for a retry or a snooze.
    Until(Duration),
    /// Waits for this many children.
    Children(u32),
    /// Waits for whatever comes first of several things: a message, a child; or this time.
    Any { due: Option<Duration> },
    /// Under way in another queue.
    Routed,
    /// Its result is on disk.
    Done,
    /// Out of attempts, or given up.
    Failed,
}

impl Status {
    /// How much has to come before it can go on.
    pub(crate) fn missing(self) -> Option<u32> {
        match self {
            Self::Any { .. } => Some(1),
            status => status.owing(),
        }
    }

    /// How much of the intent's own is under way elsewhere for it: there is no outcome before that has ended. A message
    /// that may never come is none.
    fn owing(self) -> Option<u32> {
        match self {
            Self::Children(missing) => Some(missing).filter(|missing| *missing > 0),
            Self::Routed => Some(1),
            Self::Pending
            | Self::Running
            | Self::Recording
            | Self::Until(_)
            | Self::Any { .. }
            | Self::Done
            | Self::Failed => None,
        }
    }
}

/// What the driver has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// Start these steps.
    Start(Vec<usize>),
    /// Nothing now: something runs here, or is on its way to the disk. Look again at the given time, if any.
    Busy(Option<Duration>),
    /// Nothing can go on before a timer is due or `others` more have come to their end, children or steps in other queues:
    /// let go of the intent.
    Park {
        due: Option<Duration>,
        others: Option<u32>,
    },
    /// Every step is done.
    Succeed,
    /// This step failed, and nothing of the intent runs any more.
    Fail(usize),
    /// It was asked to stop, and nothing of it runs any more: what its steps did can be taken back.
    TakeBack,
}

/// Decides what is next. `stopping` is set when the worker must not start anything more.
pub(crate) fn advance(shape: &Shape, steps: &[Status], now: Duration, stopping: bool) -> Next {
    let failed = steps.iter().position(|status| *status == Status::Failed);
    let running = steps.contains(&Status::Running);
    let missing = steps.iter().filter_map(|status| status.missing());

    if let Some(failed) = failed {
        // No outcome while a step or a child of the intent is still running (PROTOCOL P3).
        let owing = steps.iter().filter_map(|status| status.owing());
        return match (running, owing.sum::<u32>()) {
            (true, _) => Next::Busy(None),
            (false, 0) => Next::Fail(failed),
            (false, others) => Next::Park {
                due: None,
                others: Some(others),
            },
        };
    }

    let mut start = Vec::new();
    let mut after_commit = false;
    let mut due: Option<Duration> = None;
    for (index, status) in steps.iter().enumerate() {
        match status {
            Status::Pending | Status::Children(0) => {}
            Status::Until(at) | Status::Any { due: Some(at) } if *at <= now => {}
            Status::Until(at) | Status::Any { due: Some(at) } => {
                due = Some(due.map_or(*at, |known| known.min(*at)));
                continue;
            }
            Status::Running
            | Status::Recording
            | Status::Children(_)
            | Status::Any { due: None }
            | Status::Routed
            | Status::Done
            | Status::Failed => continue,
        }
        match dependencies(shape, steps, index) {
            Dependencies::OnDisk => start.push(index),
            Dependencies::OnTheirWay => after_commit = true,
            Dependencies::Open => {}
        }
    }

    if !start.is_empty() && !stopping {
        Next::Start(start)
    } else if running || after_commit || !start.is_empty() {
        Next::Busy(due)
    } else {
        match (due, missing.min()) {
            (None, None) => Next::Succeed,
            (due, others) => Next::Park { due, others },
        }
    }
}

/// Decides what is next for an intent that was asked to stop, of whose children and steps in other queues so many have not
/// come to their end: nothing starts, and there is no outcome while any of these, or a step here, is still running (PROTOCOL
/// P3).
pub(crate) fn wind_down(steps: &[Status], others: u32) -> Next {
    if steps.contains(&Status::Running) || steps.contains(&Status::Recording) {
        Next::Busy(None)
    } else if others > 0 {
        Next::Park {
            due: None,
            others: Some(others),
        }
    } else {
        Next::TakeBack
    }
}

enum Dependencies {
    OnDisk,
    OnTheirWay,
    Open,
}

fn dependencies(shape: &Shape, steps: &[Status], index: usize) -> Dependencies {
    let mut all = Dependencies::OnDisk;
    for &before in &shape.steps[index].after {
        match steps[before as usize] {
            Status::Done => {}
            Status::Recording => all = Dependencies::OnTheirWay,
            Status::Pending
            | Status::Running
            | Status::Until(_)
            | Status::Children(_)
            | Status::Any { .. }
            | Status::Routed
            | Status::Failed => {
                return Dependencies::Open;
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use serde_json::json;

    /// A diamond a → (b, c) → d; one letter a step: p r . d f, `q` in another queue, `s` for a message and
    /// `s5` until five seconds, `3` waits for children, `t5` until five seconds.
    fn check(steps: &str, expected: Expect) {
        let shape: Shape = serde_json::from_value(json!({"steps": [
            {"name": "a"}, {"name": "b", "after": [0]}, {"name": "c", "after": [0]}, {"name": "d", "after": [1, 2]}
        ], "output": 3}))
        .unwrap();
        let status = |word: &str| match word.split_at(1) {
            ("p", _) => Status::Pending,
            ("r", _) => Status::Running,
            (".", _) => Status::Recording,
            ("d", _) => Status::Done,
            ("f", _) => Status::Failed,
            ("q", _) => Status::Routed,
            ("s", "") => Status::Any { due: None },
            ("s", seconds) => Status::Any {
                due: Some(Duration::from_secs(seconds.parse().unwrap())),
            },
            ("t", seconds) => Status::Until(Duration::from_secs(seconds.parse().unwrap())),
            _ => Status::Children(word.parse().unwrap()),
        };
        let steps: Vec<_> = steps.split_whitespace().map(status).collect();
        expected.assert_eq(&format!(
            "{:?}",
            advance(&shape, &steps, Duration::from_secs(3), false)
        ));
    }

    #[test]
    fn a_step_starts_only_when_all_that_it_depends_on_is_on_disk() {
        check("p p p p", expect!["Start([0])"]);
        check(". p p p", expect!["Busy(None)"]);
        check("d p p p", expect!["Start([1, 2])"]);
        check("d r . p", expect!["Busy(None)"]);
        check("d d . p", expect!["Busy(None)"]);
        check("d d d p", expect!["Start([3])"]);
    }

    #[test]
    fn a_result_that_ends_the_intent_goes_to_disk_with_the_outcome() {
        check("d d d .", expect!["Succeed"]);
        check("d d d d", expect!["Succeed"]);
    }

    #[test]
    fn an_intent_is_let_go_of_when_only_timers_and_children_are_left() {
        check("d t5 t9 p", expect!["Park { due: Some(5s), others: None }"]);
        check(
            "d t5 2 p",
            expect!["Park { due: Some(5s), others: Some(2) }"],
        );
        check("d r 2 p", expect!["Busy(None)"]);
        check("d r t5 p", expect!["Busy(Some(5s))"]);
        check("d t2 t9 p", expect!["Start([1])"]);
        check("d 0 t9 p", expect!["Start([1])"]);
        check("d . t9 p", expect!["Park { due: Some(9s), others: None }"]);
    }

    #[test]
    fn an_intent_is_let_go_of_while_its_steps_are_in_other_queues() {
        check("q p p p", expect!["Park { due: None, others: Some(1) }"]);
        check("d q 3 p", expect!["Park { due: None, others: Some(1) }"]);
        check(
            "d q t5 p",
            expect!["Park { due: Some(5s), others: Some(1) }"],
        );
        check("d q r p", expect!["Busy(None)"]);
        check("d q p p", expect!["Start([2])"]);
        check("d f q p", expect!["Park { due: None, others: Some(1) }"]);
        check("d f 2 q", expect!["Park { due: None, others: Some(3) }"]);
    }

    #[test]
    fn what_was_asked_to_stop_ends_when_nothing_of_it_runs() {
        let is = |steps: &[Status], children, expected: Expect| {
            expected.assert_eq(&format!("{:?}", wind_down(steps, children)));
        };
        let later = Status::Until(Duration::from_secs(60));
        is(&[Status::Done, Status::Running], 2, expect!["Busy(None)"]);
        is(
            &[Status::Done, Status::Children(2), later],
            2,
            expect!["Park { due: None, others: Some(2) }"],
        );
        is(
            &[Status::Done, Status::Failed, later, Status::Pending],
            0,
            expect!["TakeBack"],
        );
    }

    #[test]
    fn an_intent_is_let_go_of_while_it_waits_for_a_message_and_fails_without_it() {
        check("s p p p", expect!["Park { due: None, others: Some(1) }"]);
        check(
            "d s5 t9 p",
            expect!["Park { due: Some(5s), others: Some(1) }"],
        );
        check("d s2 3 p", expect!["Start([1])"]);
        check("d s9 r p", expect!["Busy(Some(9s))"]);
        check("d f s p", expect!["Fail(1)"]);
        check("d f s9 2", expect!["Park { due: None, others: Some(2) }"]);
    }

    #[test]
    fn after_a_failure_nothing_starts_and_what_runs_is_waited_for() {
        check("d f p p", expect!["Fail(1)"]);
        check("d f r p", expect!["Busy(None)"]);
        check("d f . p", expect!["Fail(1)"]);
        check("d f t9 p", expect!["Fail(1)"]);
        check("d f 2 p", expect!["Park { due: None, others: Some(2) }"]);
    }
}
