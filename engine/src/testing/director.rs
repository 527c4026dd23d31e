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
type Waiting = (Upcoming, oneshot::Sender<Option<Injected>>);

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
    /// An attempt has its turn.
    on_stage: Option<Upcoming>,
    /// The heartbeat waits to be told.
    beat: Option<oneshot::Sender<Box<dyn Any + Send>>>,
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
                next: state.waiting.values().map(|(it, _)| it.clone()).next(),
                said: state.said,
            },
            _ => Standing::Moving,
        }
    }

    /// Attempts that wait for their turn; none while one has it.
    pub(super) fn waiting(&self) -> Vec<Upcoming> {
        let state = self.state();
        let waiting = state.waiting.values().map(|(it, _)| it.clone());
        waiting.filter(|_| state.on_stage.is_none()).collect()
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
        let state = self.state();
        state.waiting.is_empty() && state.on_stage.is_none()
    }

    /// Who has the turn.
    pub(super) fn on_stage(&self) -> Option<Upcoming> {
        self.state().on_stage.clone()
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

    /// The loop is about to hear of something.
    pub(super) fn stir(&self) {
        self.change(|state| state.idle = None);
    }

    /// Gives the turn to one who waits for it.
    pub(super) fn grant(&self, next: &Upcoming, injected: Option<Injected>) {
        let granted = self.change(|state| {
            let (upcoming, leave) = state.waiting.remove(&place(next))?;
            state.on_stage = Some(upcoming);
            Some(leave)
        });
        if granted.is_some_and(|leave| leave.send(injected).is_err()) {
            // It was dropped in this very moment.
            self.change(|state| state.on_stage = None);
        }
    }

    /// The process dies.
    pub(super) fn die(&self) {
        self.change(|state| {
            state.dead = true;
            // Whoever waits finds out.
            state.gates.clear();
            state.beat = None;
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
        self.change(|state| state.waiting.insert(place.clone(), (upcoming, leave)));
        let director = self.me.clone();
        let leaves = OnDrop(Some(move || {
            if let Some(director) = director.upgrade() {
                director.change(|state| state.waiting.remove(&place));
            }
        }));
        let director = self.me.clone();
        Box::pin(async move {
            let _leaves = leaves;
            // Nobody gives leave any more: the test is over.
            let Ok(injected) = given.await else {
                return std::future::pending().await;
            };
            let over = OnDrop(Some(move || {
                if let Some(director) = director.upgrade() {
                    director.change(|state| state.on_stage = None);
                }
            }));
            Turn {
                injected,
                over: Box::new(over),
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
