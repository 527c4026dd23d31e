//! Cancel against what happens to a step in another queue at the same time, statement by statement, in every order: its end,
//! and its claim. The statements are the engine's own, in the order of a tick and of a cancel. On PostgreSQL; SQLite has one
//! writer.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use intendant::StoreKind;
use intendant_tests::database::Database;
use intendant_tests::orders::{self, orders, race, statement};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Row as _, Transaction};
use uuid::Uuid;

const TURNS: usize = 5;

type Tx = Transaction<'static, Postgres>;

/// An intent that is parked for its step in another queue.
#[derive(Debug, Clone, Copy)]
struct Scene {
    intent: Uuid,
    task: Uuid,
    /// Of the worker that has the step, or claims it.
    session: Uuid,
    lease: Uuid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    End,
    Claim,
    Cancel,
}

/// What a side came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Came {
    #[default]
    Nothing,
    Done,
    /// A tick that knows that its step is to stop.
    Told,
    /// A cancel that begins anew.
    Moved,
}

/// What a cancel saw last: whether its intent is parked, and whether there is a step away, and who has it.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    parked: bool,
    step: Option<Option<Uuid>>,
}

impl Seen {
    fn session(self) -> Option<Uuid> {
        self.step.flatten()
    }
}

struct Side {
    who: Who,
    scene: Scene,
    came: Came,
    seen: Seen,
}

impl orders::Side for Side {
    async fn step(&mut self, tx: &mut Tx, nth: usize) -> Result<()> {
        match self.who {
            Who::End => self.end(tx, nth).await,
            Who::Claim => self.claim(tx, nth).await,
            Who::Cancel => self.cancel(tx, nth).await,
        }
    }
}

impl Side {
    /// A tick's first statement, and the look for what is to stop, if it says that there is something.
    async fn fence(&mut self, tx: &mut Tx) -> Result<()> {
        let query = sqlx::query(statement("tick_fence")?).bind(self.scene.session);
        let query = query.bind(1i64).bind(false);
        let cancels: i64 = query.fetch_one(&mut **tx).await?.get(0);
        if cancels > 0 {
            let query = sqlx::query(statement("cancel_of_session")?).bind(self.scene.session);
            let row = query.fetch_optional(&mut **tx).await?;
            let row = row.map(|row| (row.get::<Uuid, _>(0), row.get::<Uuid, _>(1)));
            if row == Some((self.scene.task, self.scene.intent)) {
                self.came = Came::Told;
            }
        }
        Ok(())
    }

    async fn wait_lock(&self, tx: &mut Tx) -> Result<()> {
        let query = sqlx::query(statement("wait_lock")?).bind(vec![self.scene.intent]);
        query.execute(&mut **tx).await?;
        Ok(())
    }

    /// Deletes the step's row, which is what lets it count, and counts it. Returns whether its intent can go on.
    async fn count(&self, tx: &mut Tx) -> Result<bool> {
        let query = sqlx::query(statement("routed_delete")?).bind(vec![self.scene.task]);
        ensure!(query.fetch_optional(&mut **tx).await?.is_some());
        let query = sqlx::query(statement("wait_arrive")?).bind(vec![self.scene.intent]);
        Ok(query.bind(vec![1i64]).fetch_one(&mut **tx).await?.get(1))
    }

    async fn end(&mut self, tx: &mut Tx, nth: usize) -> Result<()> {
        match nth {
            0 => self.fence(tx).await,
            1 => self.wait_lock(tx).await,
            2 => {
                if self.count(tx).await? {
                    let query = sqlx::query(statement("parked_ready")?);
                    query
                        .bind(vec![self.scene.intent])
                        .execute(&mut **tx)
                        .await?;
                }
                Ok(())
            }
            _ => {
                let query = sqlx::query(statement("lease_delete")?).bind(self.scene.session);
                let query = query.bind(vec![self.scene.lease]);
                query.execute(&mut **tx).await?;
                if self.came == Came::Nothing {
                    self.came = Came::Done;
                }
                Ok(())
            }
        }
    }

    async fn claim(&mut self, tx: &mut Tx, nth: usize) -> Result<()> {
        match nth {
            0 => self.fence(tx).await,
            1 => {
                let query = sqlx::query(statement("claim_take")?).bind("network");
                let query = query.bind(vec!["race"]).bind(1i64);
                if query.fetch_optional(&mut **tx).await?.is_some() {
                    self.came = Came::Done;
                }
                Ok(())
            }
            2 if self.came == Came::Done => {
                let query = sqlx::query(statement("routed_load")?).bind(vec![self.scene.task]);
                let row = query.fetch_one(&mut **tx).await?;
                // Nobody takes the step of an intent that is to stop: it is in no line any more.
                ensure!(row.get::<Option<String>, _>(20).is_none());
                Ok(())
            }
            3 if self.came == Came::Done => {
                let query = sqlx::query(statement("lease_insert")?).bind(self.scene.lease);
                let query = query.bind(self.scene.session).bind(0i64).bind(false);
                let query = query.bind(vec![self.scene.task]);
                query.execute(&mut **tx).await?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn look(&mut self, tx: &mut Tx) -> Result<()> {
        let intents = || vec![self.scene.intent];
        let query = sqlx::query(statement("cancel_look")?).bind(intents());
        let row = query.fetch_one(&mut **tx).await?;
        ensure!(row.get::<Option<Uuid>, _>(4).is_none());
        let parked = row.get::<Option<String>, _>(5).is_some();
        let query = sqlx::query(statement("cancel_routed")?).bind(intents());
        let row = query.fetch_optional(&mut **tx).await?;
        let step = row.map(|row| row.get(2));
        self.seen = Seen { parked, step };
        Ok(())
    }

    async fn cancel(&mut self, tx: &mut Tx, nth: usize) -> Result<()> {
        match nth {
            0 => self.look(tx).await,
            1 => {
                let Some(session) = self.seen.session() else {
                    return Ok(());
                };
                let query = sqlx::query(statement("cancel_session")?).bind(vec![session]);
                ensure!(query.fetch_optional(&mut **tx).await?.is_some());
                self.look(tx).await
            }
            2 => self.hold(tx).await,
            _ if self.came == Came::Moved => Ok(()),
            _ => self.carry_out(tx).await,
        }
    }

    /// Wait row and tokens, and a last look.
    async fn hold(&mut self, tx: &mut Tx) -> Result<()> {
        let taken_back = self.seen.step == Some(None);
        let mut tasks = vec![self.scene.intent];
        if taken_back {
            self.wait_lock(tx).await?;
            tasks.push(self.scene.task);
        }
        let expected = tasks.len();
        let query = sqlx::query(statement("cancel_hold")?).bind(tasks);
        let rows = query.fetch_all(&mut **tx).await?;
        let place = match self.seen.parked {
            true => "parked",
            false => "ready",
        };
        let intent = self.scene.intent;
        let is_there = |row: &sqlx::postgres::PgRow| {
            row.get::<Uuid, _>(0) != intent || row.get::<String, _>(1) == place
        };
        let before = self.seen;
        self.look(tx).await?;
        let same = (before.parked, before.step) == (self.seen.parked, self.seen.step);
        if rows.len() < expected || !rows.iter().all(is_there) || !same {
            self.came = Came::Moved;
        }
        Ok(())
    }

    async fn carry_out(&mut self, tx: &mut Tx) -> Result<()> {
        let intents = || vec![self.scene.intent];
        let query = sqlx::query(statement("cancel_insert")?).bind("ada");
        let query = query.bind(intents()).bind(vec![None::<String>]);
        query.execute(&mut **tx).await?;
        if self.seen.parked {
            let query = sqlx::query(statement("parked_take")?).bind(intents());
            ensure!(query.fetch_optional(&mut **tx).await?.is_some());
        }
        if self.seen.step == Some(None) {
            let query = sqlx::query(statement("ready_take")?).bind(vec![self.scene.task]);
            ensure!(query.fetch_optional(&mut **tx).await?.is_some());
            self.count(tx).await?;
        }
        if self.seen.parked {
            let query = sqlx::query(statement("ready_insert")?).bind(intents());
            let query = query.bind(vec![0i64]).bind(vec![true]).bind(vec![false]);
            query.execute(&mut **tx).await?;
        }
        self.came = Came::Done;
        Ok(())
    }
}

impl Scene {
    async fn new(pool: &PgPool, who: Who) -> Result<Self> {
        let scene = Self {
            intent: Uuid::now_v7(),
            task: Uuid::now_v7(),
            session: Uuid::new_v4(),
            lease: Uuid::now_v7(),
        };
        let token = match who {
            Who::End | Who::Cancel => {
                "insert into intendant.lease (id, session_id, claimed_at, tasks)
                 values ('LEASE', 'SESSION', now(), array['TASK'::uuid])"
            }
            Who::Claim => {
                "insert into intendant.ready (queue, kind, position, intent_id, started, locks, routed)
                 values ('network', 'race', 0, 'TASK', true, false, true)"
            }
        };
        let rows = "
            delete from intendant.lease; delete from intendant.ready; delete from intendant.parked;
            delete from intendant.cancel; delete from intendant.routed; delete from intendant.session;
            insert into intendant.session (id, worker, host, pid, build, lease_ms, started_at, beat_at)
            values ('SESSION', 'w', 'h', 1, 'b', 15000, now(), now());
            insert into intendant.intent (id, kind, queue, input, position, requested_at, root_id)
            values ('INTENT', 'race', 'default', '1', 0, to_timestamp(0), 'INTENT');
            insert into intendant.started (intent_id, started_at) values ('INTENT', now());
            insert into intendant.parked (intent_id, reason) values ('INTENT', 'child');
            insert into intendant.wait (intent_id, arrived, wake_at) values ('INTENT', 0, 1);
            insert into intendant.step (intent_id, name, generation, state, attempt, queue)
            values ('INTENT', 'address', 1, 'waiting', 1, 'network');
            insert into intendant.routed (task_id, intent_id, step, generation, queue, kind, position, input, sent_at)
            values ('TASK', 'INTENT', 'address', 1, 'network', 'race', 0, '1', now());";
        let sql = format!("{rows} {token}")
            .replace("INTENT", &scene.intent.to_string())
            .replace("TASK", &scene.task.to_string())
            .replace("SESSION", &scene.session.to_string())
            .replace("LEASE", &scene.lease.to_string());
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await?;
        Ok(scene)
    }

    /// The intent parked, in *ready*, asked to stop; the step there, in *ready*, leased; and how often it was counted.
    async fn places(&self, pool: &PgPool) -> Result<[i64; 7]> {
        let query = sqlx::query(
            "select (select count(*) from intendant.parked where intent_id = $1),
                    (select count(*) from intendant.ready where intent_id = $1),
                    (select count(*) from intendant.cancel where intent_id = $1),
                    (select count(*) from intendant.routed where task_id = $2),
                    (select count(*) from intendant.ready where intent_id = $2),
                    (select count(*) from intendant.lease where $2 = any (tasks)),
                    (select arrived from intendant.wait where intent_id = $1)::bigint",
        );
        let query = query.bind(self.intent).bind(self.task);
        let row = query.fetch_one(pool).await?;
        Ok(std::array::from_fn(|index| row.get(index)))
    }
}

/// Runs every order of a race, and counts what both came to.
async fn every_order(
    who: Who,
    check: impl Fn([Came; 2], [i64; 7]) -> bool,
) -> Result<BTreeMap<String, usize>> {
    let (database, engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let mut seen = BTreeMap::new();
    for order in orders(TURNS) {
        let scene = Scene::new(&pool, who).await?;
        let side = |who| Side {
            who,
            scene,
            came: Came::Nothing,
            seen: Seen::default(),
        };
        let sides = (side(who), side(Who::Cancel));
        let (first, second) = race(&pool, sides, TURNS, order).await?;
        let came = [first.came, second.came];
        let places = scene.places(&pool).await?;
        ensure!(check(came, places), "{order:b}: {came:?}, {places:?}");
        *seen.entry(format!("{came:?}")).or_insert(0) += 1;
    }
    drop(engine);
    println!("{who:?}: {seen:?}");
    Ok(seen)
}

#[tokio::test]
async fn against_the_end_of_a_routed_step_it_counts_once_and_the_intent_stops() -> Result<()> {
    // Whoever is first: the step has ended, it was counted once, and the intent is in line to be stopped.
    let stops = [0, 1, 1, 0, 0, 0, 1];
    let seen = every_order(Who::End, |came, places| match came {
        [Came::Done | Came::Told, Came::Done] => places == stops,
        // The intent can go on: the cancel begins anew, and finds it in line.
        [Came::Done, Came::Moved] => places == [0, 1, 0, 0, 0, 0, 1],
        _ => false,
    })
    .await?;
    ensure!(seen.len() >= 2, "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn against_the_claim_of_a_routed_step_it_is_taken_back_or_its_worker_is_told() -> Result<()> {
    let seen = every_order(Who::Claim, |came, places| match came {
        // Taken back: nobody carries it out, and it was counted.
        [Came::Nothing, Came::Done] => places == [0, 1, 1, 0, 0, 0, 1],
        // Claimed before the cancel has looked: whoever has it is told.
        [Came::Done, Came::Done] => places == [0, 1, 1, 1, 0, 1, 0],
        // Claimed meanwhile: the cancel begins anew.
        [Came::Done, Came::Moved] => places == [1, 0, 0, 1, 0, 1, 0],
        _ => false,
    })
    .await?;
    ensure!(seen.len() >= 2, "{seen:?}");
    Ok(())
}
