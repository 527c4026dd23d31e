//! The director: at the seam of one process, lets one thing happen at a time, and kills the process where it is told to.
//!
//! On a stage with one worker its transactions go on by themselves; in a troupe each waits for leave.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, oneshot};

use super::script::Script;
use crate::error::Error;
use crate::id::IntentId;
use crate::seam::{Idle, Injected, Poke, Turn, Upcoming, Watch, When};

/// Watches one process, from its start to its end.
#[derive(Debug)]
pub(super) struct Director {
    me: Weak<Self>,
    script: Arc<Mutex<Script>>,
    /// Transactions wait for leave.
    gated: bool,
    state: Mutex<State>,
    changed: Arc<Notify>,
}

/// What becomes of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is committed, and its process hears of it.
    Done,
    /// It is never committed, and its process hears that something went wrong.
    NotSent,
    /// It is committed, and its process hears that something went wrong.
    AnswerLost,
    /// Its process dies before the commit.
    DiesBefore,
    /// Its process dies when it is committed.
    DiesAfter,
}

/// An attempt that waits, and how it is given leave.
#[derive(Debug)]
struct Waiting {
    number: u64,
    upcoming: Upcoming,
    leave: oneshot::Sender<Option<Injected>>,
}

#[derive(Debug, Default)]
struct State {
    dead: bool,
    /// The loop has nothing to do.
    idle: Option<Idle>,
    poke: Option<oneshot::Sender<Poke>>,
    /// How often the loop has said so.
    said: u64,
    /// Attempts that wait for their turn: first come by intent, then by place in the plan; by name, of steps in other queues,
    /// where each is by itself.
    waiting: BTreeMap<(IntentId, usize, Arc<str>), Waiting>,
    /// An attempt has its turn, and its number.
    on_stage: Option<(u64, Upcoming)>,
    /// Attempts that have come so far.
    turns_made: u64,
    /// Attempts whose tasks are still there, of whatever session.
    attempts: usize,
    /// The heartbeat waits to be told.
    beat: Option<oneshot::Sender<Box<dyn Any + Send>>>,
    /// So does who looks at the schedules.
    schedules: Option<oneshot::Sender<Box<dyn Any + Send>>>,
    /// What is done beside the loop.
    busy: usize,
    /// The loop of a session runs. Before it and after it, nothing waits for leave.
    inside: bool,
    /// Transactions that wait for leave, in the order in which they came.
    gates: BTreeMap<u64, oneshot::Sender<()>>,
    gates_made: u64,
    /// What becomes of the one that was given leave last.
    fate: Option<Fate>,
}

/// How a process stands.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// Something goes on.
    Moving,
    /// Nothing happens before somebody makes it; who waits for the turn, first one first. `said`: how often it has said
    /// what it waits for.
    Still {
        idle: Idle,
        next: Option<Upcoming>,
        said: u64,
    },
    Dead,
}

impl Director {
    pub(super) fn new(script: Arc<Mutex<Script>>, gated: bool) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            script,
            gated,
            state: Mutex::default(),
            changed: Arc::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.changed.notify_waiters();
        changed
    }

    /// Told whenever anything changes.
    pub(super) fn changed(&self) -> &Arc<Notify> {
        &self.changed
    }

    pub(super) fn standing(&self) -> Standing {
        let state = self.state();
        match state.idle {
            _ if state.dead => Standing::Dead,
            Some(idle) if state.is_still(idle) => Standing::Still {
                idle,
                next: state.waiting.values().map(|it| it.upcoming.clone()).next(),
                said: state.said,
            },
            _ => Standing::Moving,
        }
    }

    /// Attempts that wait for their turn; none while one has it.
    pub(super) fn waiting(&self) -> Vec<Upcoming> {
        let state = self.state();
        let waiting = state.waiting.values().map(|it| it.upcoming.clone());
        waiting.filter(|_| state.on_stage.is_none()).collect()
    }

    /// Attempts that the loop has begun, whether they have their turn or wait for it.
    pub(super) fn under_way(&self) -> Vec<Upcoming> {
        let state = self.state();
        let on_stage = state.on_stage.iter().map(|(_, it)| it.clone());
        let waiting = state.waiting.values().map(|it| it.upcoming.clone());
        on_stage.chain(waiting).collect()
    }

    /// Transactions that wait for leave.
    pub(super) fn gates(&self) -> Vec<u64> {
        self.state().gates.keys().copied().collect()
    }

    /// Lets a transaction begin.
    pub(super) fn open(&self, gate: u64, fate: Fate) {
        let leave = self.change(|state| {
            state.fate = Some(fate);
            state.gates.remove(&gate)
        });
        if let Some(leave) = leave {
            // Gone: nobody waits for it.
            leave.send(()).ok();
        }
    }

    /// Nothing of it runs any more.
    pub(super) fn is_empty(&self) -> bool {
        self.state().attempts == 0
    }

    /// Nothing is done beside the loop, or nothing of it counts any more.
    fn is_quiet(&self) -> bool {
        let state = self.state();
        state.busy == 0 || state.dead
    }

    /// Who has the turn.
    pub(super) fn on_stage(&self) -> Option<Upcoming> {
        let state = self.state();
        state.on_stage.as_ref().map(|(_, it)| it.clone())
    }

    /// Makes the loop look again.
    pub(super) fn poke(&self, what: Poke) {
        let poke = self.change(|state| {
            state.idle = None;
            state.poke.take()
        });
        if let Some(poke) = poke {
            // Gone: it looks already.
            poke.send(what).ok();
        }
    }

    /// Whether a heartbeat can be made.
    pub(super) fn beats(&self) -> bool {
        self.state()
            .beat
            .as_ref()
            .is_some_and(|tell| !tell.is_closed())
    }

    /// Has a heartbeat made.
    pub(super) fn give_beat(&self) {
        if let Some(tell) = self.change(|state| state.beat.take()) {
            // Gone: its session is over.
            tell.send(self.busy()).ok();
        }
    }

    /// Whether the schedules can be looked at.
    pub(super) fn looks_at_schedules(&self) -> bool {
        self.state()
            .schedules
            .as_ref()
            .is_some_and(|tell| !tell.is_closed())
    }

    /// Has the schedules looked at.
    pub(super) fn give_look_at_schedules(&self) {
        if let Some(tell) = self.change(|state| state.schedules.take()) {
            // Gone: its worker is stopping.
            tell.send(self.busy()).ok();
        }
    }

    /// The loop is about to hear of something.
    pub(super) fn stir(&self) {
        self.change(|state| state.idle = None);
    }

    /// Gives the turn to one who waits for it.
    pub(super) fn grant(&self, next: &Upcoming, injected: Option<Injected>) {
        let granted = self.change(|state| {
            let waiting = state.waiting.remove(&place(next))?;
            state.on_stage = Some((waiting.number, waiting.upcoming));
            Some((waiting.number, waiting.leave))
        });
        if let Some((number, leave)) = granted
            && leave.send(injected).is_err()
        {
            // It was dropped in this very moment.
            self.change(|state| state.leave_stage(number));
        }
    }

    /// The process dies.
    pub(super) fn die(&self) {
        self.change(|state| {
            state.dead = true;
            // Whoever waits finds out.
            state.gates.clear();
            state.beat = None;
            state.schedules = None;
        });
    }

    fn at_commit(&self, when: When) -> Result<(), Error> {
        self.alive()?;
        let inside = self.on_stage().is_some();
        let script = &mut *self.script.lock().unwrap_or_else(PoisonError::into_inner);
        if script.dies_at_commit(when, inside) {
            self.die();
        }
        // It is one transaction's, and nobody's after it.
        let strikes = |fate: &mut Fate| match when {
            When::Before => matches!(fate, Fate::NotSent | Fate::DiesBefore),
            When::After => matches!(fate, Fate::AnswerLost | Fate::DiesAfter),
        };
        let fate = self.state().fate.take_if(strikes);
        match fate {
            Some(Fate::NotSent | Fate::AnswerLost) => {
                let cut = "cut off, as the test wants it";
                Err(Error::Unreachable(cut.to_owned()))
            }
            Some(Fate::DiesBefore | Fate::DiesAfter) => {
                self.die();
                self.alive()
            }
            Some(Fate::Done) | None => self.alive(),
        }
    }
}

impl State {
    /// The loop knows of all that runs, all of it is here, and whatever goes on waits for leave.
    fn is_still(&self, idle: Idle) -> bool {
        let on_stage = usize::from(self.on_stage.is_some());
        let going_on = usize::from(idle.ticks) + on_stage + self.busy;
        !idle.looks
            && self.poke.is_some()
            && self.waiting.len() + on_stage == idle.running
            && self.gates.len() == going_on
    }

    /// This attempt's turn is over; another one may have it by now.
    fn leave_stage(&mut self, number: u64) {
        if self.on_stage.as_ref().is_some_and(|(of, _)| *of == number) {
            self.on_stage = None;
        }
    }
}

fn place(upcoming: &Upcoming) -> (IntentId, usize, Arc<str>) {
    (upcoming.intent, upcoming.index, upcoming.step.clone())
}

impl Watch for Director {
    fn alive(&self) -> Result<(), Error> {
        if self.state().dead {
            let dead = "this process is dead, as the test wants it";
            return Err(Error::Setup(dead.to_owned()));
        }
        Ok(())
    }

    fn before_commit(&self) -> Result<(), Error> {
        self.at_commit(When::Before)
    }

    fn after_commit(&self) -> Result<(), Error> {
        self.at_commit(When::After)
    }

    fn crash(&self) {
        self.die();
    }

    fn enter(&self) -> Box<dyn Any + Send> {
        self.change(|state| state.inside = true);
        let director = self.me.clone();
        Box::new(OnDrop(Some(move || {
            if let Some(director) = director.upgrade() {
                director.change(|state| {
                    state.inside = false;
                    // What it has sent goes on, or finds that nobody waits for it.
                    state.gates.clear();
                    state.fate = None;
                    // Its attempts have ended with it, and not when their tasks come to be dropped, which is before or after
                    // the next session is looked at.
                    state.waiting.clear();
                    state.on_stage = None;
                    state.beat = None;
                });
            }
        })))
    }

    fn begin(&self) -> BoxFuture<'static, ()> {
        let (leave, given) = oneshot::channel();
        let gate = self.change(|state| {
            let gated = self.gated && state.inside && !state.dead;
            gated.then(|| {
                state.gates_made += 1;
                state.gates.insert(state.gates_made, leave);
                state.gates_made
            })
        });
        let Some(gate) = gate else {
            return Box::pin(std::future::ready(()));
        };
        let director = self.me.clone();
        let leaves = OnDrop(Some(move || {
            if let Some(director) = director.upgrade() {
                director.change(|state| state.gates.remove(&gate));
            }
        }));
        Box::pin(async move {
            let _leaves = leaves;
            given.await.ok();
        })
    }

    fn turn(&self, upcoming: Upcoming) -> BoxFuture<'static, Turn> {
        let place = place(&upcoming);
        let (leave, given) = oneshot::channel();
        let number = self.change(|state| {
            state.turns_made += 1;
            state.attempts += 1;
            let waiting = Waiting {
                number: state.turns_made,
                upcoming,
                leave,
            };
            state.waiting.insert(place.clone(), waiting);
            state.turns_made
        });
        let director = self.me.clone();
        let gone = OnDrop(Some(move || {
            if let Some(director) = director.upgrade() {
                director.change(|state| state.attempts -= 1);
            }
        }));
        let director = self.me.clone();
        let leaves = OnDrop(Some(move || {
            if let Some(director) = director.upgrade() {
                director.change(|state| {
                    // Another one of the same step may wait there by now, of the next session.
                    let own = state.waiting.get(&place);
                    if own.is_some_and(|own| own.number == number) {
                        state.waiting.remove(&place);
                    }
                });
            }
        }));
        let director = self.me.clone();
        Box::pin(async move {
            let (_leaves, gone) = (leaves, gone);
            // Nobody gives leave any more: the test is over, or the session.
            let Ok(injected) = given.await else {
                return std::future::pending().await;
            };
            let over = OnDrop(Some(move || {
                if let Some(director) = director.upgrade() {
                    director.change(|state| state.leave_stage(number));
                }
            }));
            Turn {
                injected,
                over: Box::new((over, gone)),
            }
        })
    }

    fn idle(&self, idle: Idle) -> BoxFuture<'static, Poke> {
        let director = self.me.clone();
        Box::pin(async move {
            let (poke, poked) = oneshot::channel();
            let set = director.upgrade().map(|director| {
                director.change(|state| {
                    state.idle = Some(idle);
                    state.said += 1;
                    state.poke = Some(poke);
                });
            });
            let _moves = OnDrop(Some(move || {
                if let Some(director) = director.upgrade() {
                    director.change(|state| {
                        state.idle = None;
                        state.poke = None;
                    });
                }
            }));
            match (set, poked.await) {
                (Some(()), Ok(poke)) => poke,
                (None, _) | (_, Err(_)) => std::future::pending().await,
            }
        })
    }

    fn beat(&self) -> BoxFuture<'static, Option<Box<dyn Any + Send>>> {
        let (tell, told) = oneshot::channel();
        self.change(|state| state.beat = Some(tell));
        Box::pin(async move { told.await.ok() })
    }

    fn schedules(&self) -> bool {
        self.gated
    }

    fn look_at_schedules(&self) -> BoxFuture<'static, Option<Box<dyn Any + Send>>> {
        let (tell, told) = oneshot::channel();
        self.change(|state| state.schedules = Some(tell));
        Box::pin(async move { told.await.ok() })
    }

    fn quiet(&self) -> BoxFuture<'static, ()> {
        let director = self.me.clone();
        Box::pin(async move {
            while let Some(director) = director.upgrade() {
                let mut changed = std::pin::pin!(director.changed.notified());
                changed.as_mut().enable();
                if director.is_quiet() {
                    return;
                }
                changed.await;
            }
        })
    }

    fn busy(&self) -> Box<dyn Any + Send> {
        self.change(|state| state.busy += 1);
        let director = self.me.clone();
        Box::new(OnDrop(Some(move || {
            if let Some(director) = director.upgrade() {
                director.change(|state| state.busy -= 1);
            }
        })))
    }
}

/// Does something when it is dropped.
struct OnDrop<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        if let Some(act) = self.0.take() {
            act();
        }
    }
}
