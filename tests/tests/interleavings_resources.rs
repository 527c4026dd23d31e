//! One resource, two ticks, statement by statement, in every order (PROTOCOL P5): one intent is let in while another one that
//! holds the resource finishes, or while another one is let in. The statements are the engine's own, in the order of a tick.

use anyhow::{Result, ensure};
use intendant::StoreKind;
use intendant_tests::database::Database;
use intendant_tests::orders::{Side, orders, race, statement};
use sqlx::{PgPool, Postgres, Row as _, Transaction};
use uuid::Uuid;

const TURNS: usize = 5;
const RESOURCE: &str = "server:42";

async fn intent(pool: &PgPool, position: i64) -> Result<Uuid> {
    let id = Uuid::now_v7();
    sqlx::query(
        "insert into intendant.intent (id, kind, queue, input, position, locks, requested_at, root_id)
         values ($1, 'k', 'q', '1', $2, true, to_timestamp(0), $1)",
    )
    .bind(id)
    .bind(position)
    .execute(pool)
    .await?;
    sqlx::query(
        "insert into intendant.resource (intent_id, resource, mode) values ($1, $2, 'exclusive')",
    )
    .bind(id)
    .bind(RESOURCE)
    .execute(pool)
    .await?;
    Ok(id)
}

/// The holder finishes, and readies who is next in line.
struct Finish {
    holder: Uuid,
    in_line: Vec<Uuid>,
    holders: usize,
}

impl Side for Finish {
    async fn step(&mut self, tx: &mut Transaction<'static, Postgres>, nth: usize) -> Result<()> {
        let own = vec![self.holder];
        match nth {
            0 => {
                let query = sqlx::query(statement("resource_lock")?).bind(own);
                query.fetch_all(&mut **tx).await?;
            }
            1 => {
                let query = sqlx::query(statement("success_insert")?)
                    .bind(own.clone())
                    .bind(vec!["k"])
                    .bind(vec![None::<String>])
                    .bind(vec![0i64])
                    .bind(vec![0i64])
                    .bind(vec!["1"])
                    .bind(vec![None::<String>]);
                query.execute(&mut **tx).await?;
                let query = sqlx::query(statement("holder_free")?).bind(own);
                query.fetch_all(&mut **tx).await?;
            }
            2 => {
                (self.holders, self.in_line) = look(tx).await?;
            }
            _ => {
                if let (0, Some(next)) = (self.holders, self.in_line.first()) {
                    let query = sqlx::query(statement("blocked_ready")?).bind(vec![*next]);
                    query.fetch_all(&mut **tx).await?;
                }
            }
        }
        Ok(())
    }
}

/// How many hold it, and who stands in line.
async fn look(tx: &mut Transaction<'static, Postgres>) -> Result<(usize, Vec<Uuid>)> {
    let resources = || vec![RESOURCE];
    let query = sqlx::query(statement("holder_of")?).bind(resources());
    let holders = query.fetch_all(&mut **tx).await?.len();
    let query = sqlx::query(statement("line_of")?).bind(resources());
    let line = query.fetch_all(&mut **tx).await?;
    Ok((holders, line.iter().map(|row| row.get(1)).collect()))
}

/// What became of one that was claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Let {
    In,
    Wait,
    /// Somebody was at the resource: it goes back to where it was.
    Later,
}

/// One is claimed, and let in or put in line.
struct Admit {
    intent: Uuid,
    position: i64,
    /// It has whoever holds the resource stop.
    supersedes: Option<Uuid>,
    locked: bool,
    busy: bool,
    became: Let,
}

impl Admit {
    fn new(intent: Uuid, position: i64) -> Self {
        Self {
            intent,
            position,
            supersedes: None,
            locked: false,
            busy: false,
            became: Let::Later,
        }
    }
}

impl Side for Admit {
    async fn step(&mut self, tx: &mut Transaction<'static, Postgres>, nth: usize) -> Result<()> {
        let own = vec![self.intent];
        match nth {
            0 => {
                sqlx::query("delete from intendant.ready where intent_id = any ($1)")
                    .bind(own)
                    .execute(&mut **tx)
                    .await?;
            }
            1 => {
                let query = sqlx::query(statement("resource_try")?).bind(vec![RESOURCE]);
                self.locked = !query.fetch_all(&mut **tx).await?.is_empty();
            }
            2 if self.locked => {
                let (holders, line) = look(tx).await?;
                self.busy = holders > 0 || !line.is_empty();
            }
            _ if nth > 2 && !self.locked => {
                let query = sqlx::query(statement("ready_insert")?)
                    .bind(own)
                    .bind(vec![0i64])
                    .bind(vec![false])
                    .bind(vec![true]);
                query.execute(&mut **tx).await?;
            }
            _ if nth > 2 && self.busy => {
                self.became = Let::Wait;
                if let Some(old) = self.supersedes {
                    let query = sqlx::query(statement("link_insert")?)
                        .bind(vec![old])
                        .bind(vec!["superseded by"])
                        .bind(own.clone())
                        .bind(vec![RESOURCE])
                        .bind(vec![false]);
                    query.execute(&mut **tx).await?;
                }
                let query = sqlx::query(statement("line_insert")?)
                    .bind(vec![RESOURCE])
                    .bind(vec![self.position])
                    .bind(own.clone())
                    .bind(vec!["exclusive"])
                    .bind(vec![false]);
                query.execute(&mut **tx).await?;
                let query = sqlx::query(statement("blocked_insert")?)
                    .bind(own)
                    .bind(vec![self.position])
                    .bind(vec![false]);
                query.execute(&mut **tx).await?;
            }
            _ if nth > 2 => {
                self.became = Let::In;
                hold(&mut **tx, self.intent).await?;
            }
            _ => {}
        }
        Ok(())
    }
}

async fn hold<'c>(db: impl sqlx::PgExecutor<'c>, intent: Uuid) -> Result<()> {
    sqlx::query(statement("holder_insert")?)
        .bind(vec![RESOURCE])
        .bind(vec![intent])
        .bind(vec!["exclusive"])
        .bind(vec![false])
        .bind(vec![false])
        .execute(db)
        .await?;
    Ok(())
}

/// Whether one holds the resource, is blocked, is in line for a worker.
async fn places(pool: &PgPool, intent: Uuid) -> Result<(bool, bool, bool)> {
    let row = sqlx::query(
        "select exists (select from intendant.holder where intent_id = $1),
                exists (select from intendant.blocked where intent_id = $1),
                exists (select from intendant.ready where intent_id = $1)",
    );
    let row = row.bind(intent).fetch_one(pool).await?;
    Ok((row.get(0), row.get(1), row.get(2)))
}

async fn clear(pool: &PgPool) -> Result<()> {
    sqlx::query("truncate intendant.holder, intendant.line, intendant.blocked, intendant.ready, intendant.link")
        .execute(pool)
        .await?;
    Ok(())
}

async fn finish_against_admission(supersedes: bool) -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let mut counts = std::collections::HashMap::new();
    for order in orders(TURNS) {
        let (holder, next) = (intent(&pool, 1).await?, intent(&pool, 2).await?);
        hold(&pool, holder).await?;
        let finish = Finish {
            holder,
            in_line: Vec::new(),
            holders: 0,
        };
        let admit = Admit {
            supersedes: supersedes.then_some(holder),
            ..Admit::new(next, 2)
        };
        let (_, admit) = race(&pool, (finish, admit), TURNS, order).await?;
        let found = places(&pool, next).await?;
        // In, or in line for a worker: never blocked by somebody who is gone.
        let expected = match admit.became {
            Let::In => (true, false, false),
            Let::Wait | Let::Later => (false, false, true),
        };
        ensure!(
            found == expected,
            "{order:b}: {:?}, {found:?}",
            admit.became
        );
        *counts.entry(format!("{:?}", admit.became)).or_insert(0) += 1;
        clear(&pool).await?;
    }
    ensure!(counts.len() == 3, "{counts:?}");
    Ok(())
}

#[tokio::test]
async fn whoever_is_let_in_while_the_holder_finishes_sees_it_gone_or_is_put_back_in_line()
-> Result<()> {
    finish_against_admission(false).await
}

#[tokio::test]
async fn whoever_supersedes_one_that_finishes_just_then_goes_all_the_same() -> Result<()> {
    finish_against_admission(true).await
}

#[tokio::test]
async fn of_two_that_are_let_in_at_the_same_time_one_holds_the_resource() -> Result<()> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let (mut waited, mut later) = (0, 0);
    for order in orders(TURNS) {
        let (one, other) = (intent(&pool, 1).await?, intent(&pool, 2).await?);
        let sides = (Admit::new(one, 1), Admit::new(other, 2));
        let (first, second) = race(&pool, sides, TURNS, order).await?;
        let found = [places(&pool, one).await?, places(&pool, other).await?];
        for (admit, found) in [&first, &second].into_iter().zip(found) {
            let expected = match admit.became {
                Let::In => (true, false, false),
                Let::Wait => (false, true, false),
                Let::Later => (false, false, true),
            };
            ensure!(
                found == expected,
                "{order:b}: {:?}, {found:?}",
                admit.became
            );
        }
        let became = [first.became, second.became];
        let inside = became.iter().filter(|became| **became == Let::In).count();
        ensure!(inside == 1, "{order:b}: {became:?}");
        waited += usize::from(became.contains(&Let::Wait));
        later += usize::from(became.contains(&Let::Later));
        clear(&pool).await?;
    }
    ensure!(
        waited > 5 && later > 50,
        "{waited} waited, {later} are to try again"
    );
    Ok(())
}
