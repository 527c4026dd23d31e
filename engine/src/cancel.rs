//! Cancel: who wins, as a pure function of where an intent and its descendants are.
//!
//! Nothing has begun: the intent is cancelled at once. Something has: it is asked to stop, and a worker carries that out.
//! The store locks whoever could change the facts before it asks here, so that the answer is definite.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Error;
use crate::id::{IntentId, SessionId, TaskId};
use crate::state::IntentState;

/// What came of a cancel: see [`Intendant::cancel`](crate::Intendant::cancel).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cancelled {
    /// Nothing of it had begun: it is cancelled.
    Now,
    /// Something of it, or of a descendant, has begun: it is asked to stop, and will never succeed. It is cancelled when
    /// nothing of it runs any more.
    Stopping,
    /// It was cancelled before.
    Before,
}

/// What came of it for one of many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CancelAnswer {
    Done(Cancelled),
    /// It had finished otherwise.
    Finished(IntentState),
    /// It has, or a descendant has, started a step after which there is no way back.
    PastReturn {
        intent: IntentId,
        step: String,
    },
    NotFound,
}

impl CancelAnswer {
    /// The answer to a cancel of one.
    pub(crate) fn of_one(answers: Vec<(IntentId, Self)>) -> Self {
        let answer = answers.into_iter().next();
        answer.map_or(Self::NotFound, |(_, answer)| answer)
    }

    /// What whoever asked for it is told.
    pub(crate) fn settle(self, id: IntentId) -> Result<Cancelled, Error> {
        let verb = "cancelling";
        match self {
            Self::Done(cancelled) => Ok(cancelled),
            Self::Finished(state) => Err(Error::WrongState {
                verb,
                id,
                state,
                expected: "only an unfinished intent can be cancelled",
            }),
            Self::PastReturn { intent, step } => Err(Error::PastReturn {
                verb,
                id,
                intent,
                step,
            }),
            Self::NotFound => Err(Error::NotFound { id }),
        }
    }
}

/// Where an unfinished intent's token is, or what came of a finished one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token {
    Finished(IntentState),
    Leased(SessionId),
    /// In *ready*, *parked* or *blocked*, and whether anything of it has begun.
    Ready {
        begun: bool,
    },
    Parked {
        begun: bool,
    },
    Blocked {
        begun: bool,
    },
}

/// A step of an intent that is under way in another queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Away {
    pub(crate) task: TaskId,
    /// Who runs it, or is about to; nobody where it is in *ready* or *parked*.
    pub(crate) session: Option<SessionId>,
}

/// One that was asked for, or an unfinished descendant of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The one that was asked for.
    pub(crate) asked: IntentId,
    pub(crate) id: IntentId,
    pub(crate) parent: Option<IntentId>,
    pub(crate) token: Token,
    /// It has been asked to stop already.
    pub(crate) stopping: bool,
    /// The step after which there is no way back, if it has started.
    pub(crate) past: Option<String>,
    pub(crate) locks: bool,
    /// Its steps in other queues. Those at rest are taken back, the others are stopped by who runs them.
    pub(crate) away: Vec<Away>,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    /// Cancelled now, with their parents.
    pub(crate) now: BTreeMap<IntentId, Member>,
    /// Asked to stop; of those at rest, the token goes to *ready*.
    pub(crate) stop: BTreeMap<IntentId, Member>,
    pub(crate) answers: Vec<(IntentId, CancelAnswer)>,
}

/// Decides. All or nothing for each one that was asked for: where it, or a descendant, is past its point of no return,
/// nothing is stopped.
pub(crate) fn decide(asked: &[IntentId], members: Vec<Member>) -> Decision {
    let mut families: BTreeMap<IntentId, Vec<Member>> = BTreeMap::new();
    for member in members {
        families.entry(member.asked).or_default().push(member);
    }
    let mut decision = Decision::default();
    let mut seen = BTreeSet::new();
    for id in asked.iter().filter(|id| seen.insert(**id)) {
        let family = families.remove(id).unwrap_or_default();
        let answer = judge(*id, &family);
        if matches!(
            answer,
            CancelAnswer::Done(Cancelled::Now | Cancelled::Stopping)
        ) {
            for member in family {
                decision.add(member);
            }
        }
        decision.answers.push((*id, answer));
    }
    // One that is asked for beside its ancestor is asked for by itself.
    for members in [&mut decision.now, &mut decision.stop] {
        for (id, member) in members.iter_mut().filter(|(id, _)| seen.contains(*id)) {
            member.asked = *id;
        }
    }
    decision
}

fn judge(id: IntentId, family: &[Member]) -> CancelAnswer {
    let Some(own) = family.iter().find(|member| member.id == id) else {
        return CancelAnswer::NotFound;
    };
    match own.token {
        Token::Finished(IntentState::Cancelled) => CancelAnswer::Done(Cancelled::Before),
        Token::Finished(state) => CancelAnswer::Finished(state),
        _ if own.stopping => CancelAnswer::Done(Cancelled::Stopping),
        token => {
            let past = family
                .iter()
                .find_map(|member| Some((member.id, member.past.clone()?)));
            match past {
                Some((intent, step)) => CancelAnswer::PastReturn { intent, step },
                None if token.has_begun() => CancelAnswer::Done(Cancelled::Stopping),
                None => CancelAnswer::Done(Cancelled::Now),
            }
        }
    }
}

impl Decision {
    fn add(&mut self, member: Member) {
        if matches!(member.token, Token::Finished(_)) || member.stopping {
            return;
        }
        let members = if member.token.has_begun() {
            &mut self.stop
        } else {
            &mut self.now
        };
        members.entry(member.id).or_insert(member);
    }
}

impl Decision {
    /// The sessions that hold what is to be stopped, intents or steps of them.
    pub(crate) fn sessions(&self) -> BTreeSet<SessionId> {
        let members = self.stop.values();
        let sessions = members.flat_map(|member| {
            let own = match member.token {
                Token::Leased(session) => Some(session),
                Token::Finished(_)
                | Token::Ready { .. }
                | Token::Parked { .. }
                | Token::Blocked { .. } => None,
            };
            let others = member.away.iter().filter_map(|away| away.session);
            own.into_iter().chain(others)
        });
        sessions.collect()
    }

    /// Steps in other queues that nobody holds, and whose they are: they are taken back.
    pub(crate) fn taken_back(&self) -> BTreeMap<TaskId, IntentId> {
        let members = self.stop.values();
        let steps = members.flat_map(|member| {
            let resting = member.away.iter().filter(|away| away.session.is_none());
            resting.map(|away| (away.task, member.id))
        });
        steps.collect()
    }
}

impl Token {
    pub(crate) fn has_begun(self) -> bool {
        match self {
            Self::Finished(_) | Self::Leased(_) => true,
            Self::Ready { begun } | Self::Parked { begun } | Self::Blocked { begun } => begun,
        }
    }
}

/// What is kept as the reason of a descendant.
pub(crate) fn with_ancestor(ancestor: IntentId, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("cancelled with intent {ancestor}: {reason}"),
        None => format!("cancelled with intent {ancestor}"),
    }
}

/// What an outcome says of who cancelled it.
pub(crate) fn in_words(actor: &str, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("cancelled by {actor}: {reason}"),
        None => format!("cancelled by {actor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use uuid::Uuid;

    fn id(number: u128) -> IntentId {
        IntentId(Uuid::from_u128(number))
    }

    fn short(id: &IntentId) -> u128 {
        id.0.as_u128()
    }

    /// Families of intents, asked for by the first of each: `1 ready; 2 leased, 3 parked+`; `+` has begun, `!` is past
    /// its point of no return, `~` has been asked to stop already.
    fn check(families: &str, expected: Expect) {
        let mut members = Vec::new();
        let mut asked = Vec::new();
        for family in families.split(';') {
            let mut head = None;
            for member in family.split(',') {
                let (number, word) = member.trim().split_once(' ').unwrap();
                let own = id(number.parse().unwrap());
                let begun = word.contains('+') || word.contains('!') || word.contains('~');
                let token = match word.trim_end_matches(['+', '!', '~']) {
                    "ready" => Token::Ready { begun },
                    "parked" => Token::Parked { begun },
                    "blocked" => Token::Blocked { begun },
                    "leased" => Token::Leased(SessionId(Uuid::nil())),
                    state => Token::Finished(state.parse().unwrap()),
                };
                members.push(Member {
                    asked: *head.get_or_insert(own),
                    id: own,
                    parent: None,
                    token,
                    stopping: word.contains('~'),
                    past: word.contains('!').then(|| "pay".to_owned()),
                    locks: false,
                    away: Vec::new(),
                });
            }
            asked.extend(head);
        }
        let decision = decide(&asked, members);
        let list = |members: &BTreeMap<IntentId, Member>| {
            let of = |(id, member): (&IntentId, &Member)| match member.asked == *id {
                true => format!("{}", short(id)),
                false => format!("{}←{}", short(id), short(&member.asked)),
            };
            members.iter().map(of).collect::<Vec<_>>().join(" ")
        };
        let answers = decision.answers.iter().map(|(id, answer)| match answer {
            CancelAnswer::PastReturn { intent, step } => {
                format!("{}: past `{step}` in {}", short(id), short(intent))
            }
            other => format!("{}: {other:?}", short(id)),
        });
        let (now, stop) = (list(&decision.now), list(&decision.stop));
        let answers = answers.collect::<Vec<_>>().join("; ");
        expected.assert_eq(&format!("now [{now}] stop [{stop}] {answers}"));
    }

    #[test]
    fn what_has_not_begun_is_cancelled_and_what_has_is_asked_to_stop() {
        check("1 ready", expect!["now [1] stop [] 1: Done(Now)"]);
        check(
            "1 parked; 2 blocked",
            expect!["now [1 2] stop [] 1: Done(Now); 2: Done(Now)"],
        );
        check(
            "1 ready+; 2 leased",
            expect!["now [] stop [1 2] 1: Done(Stopping); 2: Done(Stopping)"],
        );
    }

    #[test]
    fn descendants_go_with_their_ancestor() {
        check(
            "1 parked+, 2 ready, 3 leased, 4 blocked",
            expect!["now [2←1 4←1] stop [1 3←1] 1: Done(Stopping)"],
        );
        check(
            "1 parked+, 2 ready; 2 ready",
            expect!["now [2] stop [1] 1: Done(Stopping); 2: Done(Now)"],
        );
    }

    #[test]
    fn steps_in_other_queues_are_taken_back_or_stopped_by_who_runs_them() {
        let session = |number| SessionId(Uuid::from_u128(number));
        let away = |number, session| Away {
            task: TaskId(Uuid::from_u128(number)),
            session,
        };
        let member = Member {
            asked: id(1),
            id: id(1),
            parent: None,
            token: Token::Leased(session(7)),
            stopping: false,
            past: None,
            locks: false,
            away: vec![away(2, None), away(3, Some(session(8))), away(4, None)],
        };
        let decision = decide(&[id(1)], vec![member.clone()]);
        assert_eq!(
            Vec::from_iter(decision.sessions()),
            [session(7), session(8)]
        );
        let taken_back = decision.taken_back();
        assert_eq!(
            Vec::from_iter(taken_back),
            [(away(2, None).task, id(1)), (away(4, None).task, id(1))]
        );
        // Once it is asked to stop nothing of it is at rest any more, and who runs the others has been told.
        let stopping = Member {
            stopping: true,
            ..member
        };
        let decision = decide(&[id(1)], vec![stopping]);
        assert!(decision.sessions().is_empty() && decision.taken_back().is_empty());
    }

    #[test]
    fn what_has_finished_is_left_as_it_is() {
        check(
            "1 succeeded",
            expect!["now [] stop [] 1: Finished(Succeeded)"],
        );
        check(
            "1 failed; 2 ready",
            expect!["now [2] stop [] 1: Finished(Failed); 2: Done(Now)"],
        );
        check("1 cancelled", expect!["now [] stop [] 1: Done(Before)"]);
    }

    #[test]
    fn a_second_cancel_changes_nothing() {
        check(
            "1 leased~, 2 leased~",
            expect!["now [] stop [] 1: Done(Stopping)"],
        );
        check(
            "1 parked+, 2 leased~",
            expect!["now [] stop [1] 1: Done(Stopping)"],
        );
    }

    #[test]
    fn past_the_point_of_no_return_of_one_of_them_nothing_is_stopped() {
        check("1 leased!", expect!["now [] stop [] 1: past `pay` in 1"]);
        check(
            "1 parked+, 2 ready, 3 leased!; 4 ready",
            expect!["now [4] stop [] 1: past `pay` in 3; 4: Done(Now)"],
        );
    }
}
