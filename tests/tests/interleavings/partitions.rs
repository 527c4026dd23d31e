//! Partitions of a queue, statement by statement, in every order: two claims of one partition, with a limit and without; and a claim
//! while somebody gives back what it has in hand. The statements are the engine's own.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use intendant::StoreKind;
use intendant_tests::database::Database;
use intendant_tests::orders::{Side, insert_session, orders, race, statement};
use sqlx::{PgPool, Postgres, Row as _, Transaction};
use uuid::Uuid;

/// Of four steps and the COMMIT.
const TURNS: usize = 5;

const TASKS: i64 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Takes as many as it may.
    Claim,
    /// What it has in hand is in nobody's hands any more.
    GiveBack,
}

struct Worker {
    does: Does,
    limit: Option<i64>,
    session: Uuid,
    /// How many may be taken of the partition.
    room: i64,
    has: Vec<Uuid>,
}

impl Worker {
    async fn claim(&mut self, tx: &mut Transaction<'static, Postgres>, nth: usize) -> Result<()> {
        match nth {
            1 => {
                sqlx::query(statement("partition_file")?)
                    .bind("mail")
                    .bind(vec!["letter"])
                    .bind(1_000i64)
                    .execute(&mut **tx)
                    .await?;
            }
            2 => {
                let rows = sqlx::query(statement("partition_next")?)
                    .bind("mail")
                    .bind(vec!["letter"])
                    .bind("")
                    .bind(10i64)
                    .fetch_all(&mut **tx)
                    .await?;
                self.room = match rows.first() {
                    Some(row) => self
                        .limit
                        .map_or(TASKS, |limit| limit - row.get::<i64, _>(1)),
                    None => 0,
                };
            }
            3 => {
                let rows = sqlx::query(statement("partition_take")?)
                    .bind("mail")
                    .bind(vec!["letter"])
                    .bind(vec!["acme"])
                    .bind(self.room.max(0))
                    .fetch_all(&mut **tx)
                    .await?;
                self.has = rows.iter().map(|row| row.get(0)).collect();
                if self.limit.is_some() {
                    sqlx::query(statement("partition_lend")?)
                        .bind(self.session)
                        .bind(&self.has)
                        .bind(vec!["mail"; self.has.len()])
                        .bind(vec!["acme"; self.has.len()])
                        .execute(&mut **tx)
                        .await?;
                }
            }
            _ => unreachable!("{nth}"),
        }
        Ok(())
    }

    async fn give_back(
        &mut self,
        tx: &mut Transaction<'static, Postgres>,
        nth: usize,
    ) -> Result<()> {
        match nth {
            1 => {
                let held = sqlx::query(statement("partition_held")?).bind(&self.has);
                let held = held.fetch_one(&mut **tx).await?;
                ensure!(held.get::<i64, _>(2) == self.has.len() as i64);
            }
            2 => {
                sqlx::query(statement("partition_return")?)
                    .bind(&self.has)
                    .bind(vec!["mail"])
                    .bind(vec!["acme"])
                    .bind(vec![self.has.len() as i64])
                    .execute(&mut **tx)
                    .await?;
                self.has.clear();
            }
            3 => {
                sqlx::query(statement("partition_forget")?)
                    .bind(vec!["mail"])
                    .bind(vec!["acme"])
                    .execute(&mut **tx)
                    .await?;
            }
            _ => unreachable!("{nth}"),
        }
        Ok(())
    }
}

impl Side for Worker {
    async fn step(&mut self, tx: &mut Transaction<'static, Postgres>, nth: usize) -> Result<()> {
        if nth == 0 {
            // A queue without limits is not locked.
            let lock = match self.limit {
                Some(_) => sqlx::query(statement("slot_lock")?).bind(vec!["mail"]),
                None => sqlx::query("select 1"),
            };
            lock.execute(&mut **tx).await?;
            return Ok(());
        }
        match self.does {
            Does::Claim => self.claim(tx, nth).await,
            Does::GiveBack => self.give_back(tx, nth).await,
        }
    }
}

/// Runs both in every order; the second one has `held` tasks of the partition in hand. Returns how many they have then.
async fn every_order(
    second: Does,
    limit: Option<i64>,
    held: usize,
) -> Result<BTreeSet<(usize, usize)>> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let mut got = BTreeSet::new();
    for order in orders(TURNS) {
        sqlx::raw_sql(
            "delete from intendant.partition_task; delete from intendant.partition; delete from intendant.ready;
             delete from intendant.intent; delete from intendant.queue; delete from intendant.session",
        )
        .execute(&pool)
        .await?;
        sqlx::query("insert into intendant.queue (name, partition_by, partition_limit) values ('mail', 'account', $1)")
            .bind(limit)
            .execute(&pool)
            .await?;
        sqlx::raw_sql(
            "insert into intendant.intent (id, kind, queue, account, input, position, requested_at, root_id)
             select gen_random_uuid(), 'letter', 'mail', 'acme', '{}', n, now(), gen_random_uuid() from generate_series(1, 4) n;
             insert into intendant.ready (queue, kind, position, intent_id, started, locks)
             select queue, kind, position, id, false, false from intendant.intent",
        )
        .execute(&pool)
        .await?;
        let side = async |does| -> Result<Worker> {
            let session = insert_session(&pool).await?;
            Ok(Worker {
                does,
                limit,
                session,
                room: 0,
                has: Vec::new(),
            })
        };
        let first = side(Does::Claim).await?;
        let mut second = side(second).await?;
        second.has = (0..held).map(|_| Uuid::now_v7()).collect();
        if held > 0 {
            sqlx::query(statement("partition_lend")?)
                .bind(second.session)
                .bind(&second.has)
                .bind(vec!["mail"; held])
                .bind(vec!["acme"; held])
                .execute(&pool)
                .await?;
        }
        let (first, second) = race(&pool, (first, second), TURNS, order).await?;
        let (lent, counted, left): (i64, i64, i64) = sqlx::query_as(
            "select (select coalesce(sum(lent), 0)::bigint from intendant.partition),
                    (select count(*) from intendant.partition_task), (select count(*) from intendant.ready)",
        )
        .fetch_one(&pool)
        .await?;
        let has = (first.has.len(), second.has.len());
        let in_hand = (has.0 + has.1) as i64;
        ensure!(lent == counted, "{order:b}: {lent} lent, {counted} counted");
        if let Some(limit) = limit {
            ensure!(
                lent == in_hand && lent <= limit,
                "{order:b}: {lent} lent, {has:?}"
            );
        }
        let both: BTreeSet<&Uuid> = first.has.iter().chain(&second.has).collect();
        ensure!(
            both.len() as i64 == in_hand,
            "{order:b}: one task is in two hands"
        );
        // What nobody has is in line.
        let taken = if second.does == Does::Claim {
            in_hand
        } else {
            has.0 as i64
        };
        ensure!(left + taken == TASKS, "{order:b}: {left} left, {has:?}");
        got.insert(has);
    }
    Ok(got)
}

#[tokio::test]
async fn of_two_that_claim_from_one_partition_neither_passes_its_limit() -> Result<()> {
    let got = every_order(Does::Claim, Some(2), 0).await?;
    ensure!(got == BTreeSet::from([(0, 2), (2, 0)]), "{got:?}");
    Ok(())
}

#[tokio::test]
async fn without_a_limit_two_claims_take_each_task_once() -> Result<()> {
    let got = every_order(Does::Claim, None, 0).await?;
    ensure!(got.contains(&(4, 0)) && got.contains(&(0, 4)), "{got:?}");
    Ok(())
}

#[tokio::test]
async fn what_one_gives_back_the_other_one_takes_now_or_later() -> Result<()> {
    let got = every_order(Does::GiveBack, Some(2), 2).await?;
    ensure!(got == BTreeSet::from([(0, 0), (2, 0)]), "{got:?}");
    let got = every_order(Does::GiveBack, Some(2), 1).await?;
    ensure!(got == BTreeSet::from([(1, 0), (2, 0)]), "{got:?}");
    Ok(())
}
