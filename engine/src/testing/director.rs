//! The director: at the seam of one process, lets one thing happen at a time, and kills the process where it is told to.

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
    state: Mutex<State>,
    changed: Arc<Notify>,
}

/// An attempt that waits, and how it is given leave.
type Waiting = (Upcoming, oneshot::Sender<Option<Injected>>);

#[derive(Debug, Default)]
struct State {
    dead: bool,
    /// The loop has nothing to do.
    idle: Option<Idle>,
    poke: Option<oneshot::Sender<Poke>>,
    /// Attempts that wait for their turn: first come by intent, then by place in the plan; by name, of steps in other queues,
    /// where each is by itself.
    waiting: BTreeMap<(IntentId, usize, Arc<str>), Waiting>,
    /// An attempt has its turn.
    on_stage: Option<Upcoming>,
    /// What is done beside the loop.
    busy: usize,
}

/// How a process stands.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// Something goes on.
    Moving,
    /// Nothing happens before somebody makes it; who waits for the turn, first one first.
    Still {
        idle: Idle,
        next: Option<Upcoming>,
    },
    Dead,
}

impl Director {
    pub(super) fn new(script: Arc<Mutex<Script>>) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            script,
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
            // The loop knows of all that runs, all of it is here, and nothing has its turn.
            Some(idle)
                if state.busy == 0
                    && state.on_stage.is_none()
                    && state.poke.is_some()
                    && state.waiting.len() == idle.running =>
            {
                let next = state.waiting.values().next();
                Standing::Still {
                    idle,
                    next: next.map(|(upcoming, _)| upcoming.clone()),
                }
            }
            _ => Standing::Moving,
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

    /// Gives the turn to the first who waits for it.
    pub(super) fn grant(&self, injected: Option<Injected>) {
        let granted = self.change(|state| {
            let (_, (upcoming, leave)) = state.waiting.pop_first()?;
            state.on_stage = Some(upcoming);
            Some(leave)
        });
        if granted.is_some_and(|leave| leave.send(injected).is_err()) {
            // It was dropped in this very moment.
            self.change(|state| state.on_stage = None);
        }
    }

    fn at_commit(&self, when: When) -> Result<(), Error> {
        self.alive()?;
        let inside = self.on_stage().is_some();
        let script = &mut *self.script.lock().unwrap_or_else(PoisonError::into_inner);
        if script.dies_at_commit(when, inside) {
            self.crash();
        }
        self.alive()
    }
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
        self.change(|state| state.dead = true);
    }

    fn turn(&self, upcoming: Upcoming) -> BoxFuture<'static, Turn> {
        let place = (upcoming.intent, upcoming.index, upcoming.step.clone());
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
