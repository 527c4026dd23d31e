//! Scenes for the engine's own ticks: on either store, two sessions of two processes, and a scene for each order of their
//! turns. Some orders are played at the same time: what a scene has, nobody else has.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use intendant::testing::turns::{Held, Session, Tick, Ticked, Wish, ask};
use intendant::{Intendant, IntentId, IntentState, Resources, StoreKind, StoreOptions};

use crate::database::Database;
use crate::orders::{by_turns, orders_on, take_turns, take_turns_of_three};

/// So many orders are played at the same time on PostgreSQL: mostly they wait.
const BESIDE: usize = 4;

/// How long a turn of theirs may take, which may be of many statements.
const BLOCKED: Duration = Duration::from_millis(12);

/// The kind of everybody in a scene.
pub const KIND: &str = "k";

/// The statements before which a turn ends.
pub type Before = &'static [&'static str];

/// A tick, and the statements of it before which a turn ends.
pub type By = (Tick, Before);

/// One order of the turns of two sessions.
#[derive(Debug)]
pub struct Scene {
    /// Whose turns come when.
    pub order: u32,
    nth: usize,
    turns: usize,
    /// Two processes.
    pub processes: [Intendant; 2],
    sessions: Vec<Session>,
}

impl Scene {
    /// A name of this scene's own.
    pub fn name(&self, what: &str) -> String {
        format!("{what}-{}", self.nth)
    }

    /// An intent that is claimed by the queue `who`, and wants such resources for itself.
    pub fn wish(&self, who: &str, wants: &[&str]) -> Wish {
        let wants = wants.iter();
        Wish {
            kind: KIND,
            queue: self.name(who),
            resources: wants.fold(Resources::none(), |all, name| {
                all.and_exclusive("r", self.name(name))
            }),
            ..Wish::default()
        }
    }

    /// Asks for an intent.
    pub async fn ask(&self, wish: Wish) -> Result<IntentId> {
        Ok(ask(&self.processes[0], vec![wish]).await?[0])
    }

    /// One of the two sessions.
    pub fn session(&mut self, which: usize) -> &mut Session {
        &mut self.sessions[which]
    }

    /// The claim of whoever is in a queue.
    pub fn claim(&self, who: &str) -> Tick {
        Tick::default().claim(&self.name(who), KIND, 10)
    }

    /// One session has this one in hand from now on.
    pub async fn hold(&mut self, which: usize, who: &str) -> Result<Held> {
        let claim = self.claim(who);
        let held = self.session(which).tick(claim).await?.held;
        held.into_iter().next().context("nobody was let in")
    }

    /// Somebody in hand asks for children, and is parked until so many have finished.
    pub async fn has_children(
        &mut self,
        which: usize,
        parent: &Held,
        children: Vec<Wish>,
        wake_at: Option<i64>,
    ) -> Result<Vec<IntentId>> {
        let mut tick = Tick::default();
        let mut ids = Vec::new();
        for child in children {
            let id = self.session(which).child_id();
            tick = tick.child(parent, id, child, None);
            ids.push(id);
        }
        if let Some(wake_at) = wake_at {
            tick = tick.park(parent, wake_at);
        }
        self.session(which).tick(tick).await?;
        Ok(ids)
    }

    /// Both sessions tick, in this order.
    pub async fn race(&mut self, first: By, second: By) -> Result<[Ticked; 2]> {
        let mut sessions = std::mem::take(&mut self.sessions).into_iter();
        let mut side = |(tick, before): By| {
            let session = sessions.next();
            move |own| async move {
                let mut session = session.context("a session")?;
                let ticks = async { Ok(session.tick(tick).await?) };
                let ticked = by_turns(own, before, ticks).await?;
                Ok((session, ticked))
            }
        };
        let (first, second) = (side(first), side(second));
        let order = (self.order, self.turns);
        let ended = take_turns(first, second, order, BLOCKED).await;
        let ((first, one), (second, other)) =
            ended.with_context(|| format!("order {:b}", self.order))?;
        self.sessions = vec![first, second];
        Ok([one, other])
    }

    /// The two processes do something at the same time, in this order.
    pub async fn race_of<T: Send + 'static, F>(
        &self,
        does: [impl FnOnce(Intendant) -> F; 2],
        before: Before,
    ) -> Result<(T, T)>
    where
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let [first, second] = does;
        let [one, other] = &self.processes;
        let (first, second) = (first(one.clone()), second(other.clone()));
        take_turns(
            |own| by_turns(own, before, first),
            |own| by_turns(own, before, second),
            (self.order, self.turns),
            BLOCKED,
        )
        .await
    }

    /// Three at the same time: two in this order, and one that has its only turn at this place among theirs.
    pub async fn race_of_three<A, B, C>(
        &self,
        (first, before_first): (impl Future<Output = Result<A>> + Send + 'static, Before),
        (second, before_second): (impl Future<Output = Result<B>> + Send + 'static, Before),
        (third, place): (impl Future<Output = Result<C>> + Send + 'static, usize),
    ) -> Result<(A, B, C)>
    where
        A: Send + 'static,
        B: Send + 'static,
        C: Send + 'static,
    {
        take_turns_of_three(
            |own| by_turns(own, before_first, first),
            |own| by_turns(own, before_second, second),
            |own| by_turns(own, &[], third),
            (self.order, self.turns, place),
            BLOCKED,
        )
        .await
    }

    /// Carries out whatever can be let in by these queues, until nothing can. Returns who was refused.
    pub async fn drain(&mut self, queues: &[&str]) -> Result<Vec<Held>> {
        let mut refused = Vec::new();
        loop {
            let (mut held, mut readied) = (Vec::new(), 0);
            for who in queues {
                let claim = self.claim(who);
                let ticked = self.session(0).tick(claim).await?;
                held.extend(ticked.held);
                readied += ticked.readied;
            }
            // Who is not let in may let others go.
            if held.is_empty() && readied == 0 {
                return Ok(refused);
            }
            self.end(&held).await?;
            refused.extend(held.into_iter().filter(|held| held.unfit().is_some()));
        }
    }

    /// The first session's tasks come to their end: those that cannot be carried out fail, the others succeed.
    pub async fn end(&mut self, held: &[Held]) -> Result<()> {
        for held in held {
            let tick = match held.unfit() {
                Some(_) => Tick::default().fail(held),
                None => Tick::default().succeed(held),
            };
            self.session(0).tick(tick).await?;
        }
        Ok(())
    }

    /// Where an intent is.
    pub async fn state(&self, id: IntentId) -> Result<IntentState> {
        Ok(self.processes[0].state(id).await?)
    }

    /// All of these have succeeded.
    pub async fn all_done(&self, ids: &[IntentId]) -> Result<()> {
        for id in ids {
            let state = self.state(*id).await?;
            let order = self.order;
            ensure!(
                state == IntentState::Succeeded,
                "{order:b}: {id} is {state}"
            );
        }
        Ok(())
    }
}

/// Plays a scene in every order of so many turns that the store admits. Returns what came of each. The invariants hold
/// after all of it.
pub async fn play<T>(
    kind: StoreKind,
    turns: usize,
    scene: impl AsyncFn(&mut Scene) -> Result<T>,
) -> Result<Vec<T>> {
    let (database, intendant) = Database::open(kind).await?;
    intendant.close().await;
    let connect = async || {
        let options = StoreOptions {
            // The machine does not die here.
            sync_every_commit: false,
            ..StoreOptions::new(&database.url)
        };
        anyhow::Ok(Intendant::with_options(&options).await?)
    };
    let processes = [connect().await?, connect().await?];
    let orders = Arc::new(orders_on(kind, turns));
    let beside = match kind {
        StoreKind::Sqlite => 1,
        StoreKind::Postgres => BESIDE,
    };
    let lanes = (0..beside).map(async |lane| {
        let mut played = Vec::new();
        let mut stage = Scene {
            order: 0,
            nth: 0,
            turns,
            processes: processes.clone(),
            sessions: Vec::new(),
        };
        for process in &processes {
            stage.sessions.push(Session::open(process).await?);
        }
        for (nth, order) in orders.iter().enumerate().skip(lane).step_by(beside) {
            (stage.nth, stage.order) = (nth, *order);
            let ended = scene(&mut stage).await;
            played.push(ended.with_context(|| format!("order {order:b}"))?);
        }
        anyhow::Ok(played)
    });
    let played = try_join_all(lanes).await?;
    let breaches = processes[0].invariant_breaches().await?;
    ensure!(breaches.is_empty(), "{breaches:?}");
    Ok(played.into_iter().flatten().collect())
}
