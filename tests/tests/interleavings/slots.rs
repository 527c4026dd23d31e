//! Slots of a limited queue, statement by statement, in every order: two sessions want the last ones, one gives back what the
//! other one wants, one dies while the other one takes, or somebody takes the limit away and sets it again. The statements are the
//! engine's own.

use anyhow::{Result, ensure};
use intendant::StoreKind;
use intendant_tests::database::Database;
use intendant_tests::orders::{Side, insert_session, orders, race, statement};
use sqlx::{PgPool, Postgres, Row as _, Transaction};
use uuid::Uuid;

const LIMIT: i64 = 3;

/// Of three statements and the COMMIT.
const TURNS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Wants so many.
    Have(i64),
    /// Ends, or is reaped.
    End,
    /// No limit, and the same again: what was lent is forgotten.
    Limit,
}

struct Wants {
    wish: Wish,
    session: Uuid,
    /// The queue's limit, and what it has lent.
    budget: Option<(i64, i64)>,
    has: i64,
}

impl Side for Wants {
    async fn step(&mut self, tx: &mut Transaction<'static, Postgres>, nth: usize) -> Result<()> {
        match (self.wish, nth) {
            (Wish::Have(_), 0) => {
                let query = sqlx::query_as::<_, (String, i64, i64)>(statement("slot_lock")?);
                let row = query.bind(vec!["mail"]).fetch_optional(&mut **tx).await?;
                self.budget = row.map(|(_, limit, lent)| (limit, lent));
            }
            (Wish::Have(_), 1) => {
                let query = sqlx::query(statement("slot_load")?).bind(vec!["mail"]);
                let rows = query.fetch_all(&mut **tx).await?;
                self.has = 0;
                for row in rows {
                    if row.get::<Uuid, _>(1) == self.session {
                        self.has = row.get(2);
                    }
                }
            }
            (Wish::Have(wanted), 2) => {
                let Some((limit, lent)) = self.budget else {
                    return Ok(());
                };
                let held = self.has;
                self.has = wanted.min(held + (limit - lent).max(0));
                sqlx::query(statement("slot_move")?)
                    .bind(self.session)
                    .bind(vec!["mail"])
                    .bind(vec![self.has - held])
                    .bind(vec![self.has])
                    .bind(vec![self.has < wanted])
                    .bind(vec![false])
                    .bind(vec![None::<i64>])
                    .execute(&mut **tx)
                    .await?;
            }
            (Wish::End, 1) => {
                let query = sqlx::query(statement("slot_hold")?).bind(self.session);
                query.execute(&mut **tx).await?;
            }
            (Wish::End, 2) => {
                let query = sqlx::query(statement("slot_return")?).bind(self.session);
                query.execute(&mut **tx).await?;
                self.has = 0;
            }
            (Wish::Limit, 0 | 2) => {
                let limit = (nth == 2).then_some(LIMIT);
                let query = sqlx::query(statement("queue_limit")?).bind("mail");
                query.bind(limit).execute(&mut **tx).await?;
            }
            (Wish::Limit, 1) => {
                let query = sqlx::query(statement("slot_forget")?).bind("mail");
                query.execute(&mut **tx).await?;
                self.has = 0;
            }
            _ => {
                sqlx::query("select 1").execute(&mut **tx).await?;
            }
        }
        Ok(())
    }
}

/// Runs both in every order, after which the queue has lent what they have, and no more than it may. Returns what they have
/// got, in all orders.
async fn every_order(wishes: (Wish, Wish), before: (i64, i64)) -> Result<Vec<(i64, i64)>> {
    let (database, _engine) = Database::open(StoreKind::Postgres).await?;
    let pool = PgPool::connect(&database.url).await?;
    let mut got = Vec::new();
    for order in orders(TURNS) {
        sqlx::raw_sql("delete from intendant.slot; delete from intendant.queue; delete from intendant.session")
            .execute(&pool)
            .await?;
        sqlx::query("insert into intendant.queue (name, slots, lent) values ('mail', $1, $2)")
            .bind(LIMIT)
            .bind(before.0 + before.1)
            .execute(&pool)
            .await?;
        let side = async |wish, held: i64| -> Result<Wants> {
            let session = insert_session(&pool).await?;
            sqlx::query("insert into intendant.slot values ('mail', $1, $2)")
                .bind(session)
                .bind(held)
                .execute(&pool)
                .await?;
            Ok(Wants {
                wish,
                session,
                budget: None,
                has: held,
            })
        };
        let sides = (
            side(wishes.0, before.0).await?,
            side(wishes.1, before.1).await?,
        );
        let (first, second) = race(&pool, sides, TURNS, order).await?;
        let (lent, held): (i64, i64) = sqlx::query_as(
            "select (select lent from intendant.queue), (select coalesce(sum(held), 0)::bigint from intendant.slot)",
        )
        .fetch_one(&pool)
        .await?;
        // What was lent before the limit was taken away is not any more, whoever thinks so.
        let forgets = [wishes.0, wishes.1].contains(&Wish::Limit);
        ensure!(
            lent == held && (forgets || held == first.has + second.has) && lent <= LIMIT,
            "{order:b}: {lent} lent, {held} held, {} and {}",
            first.has,
            second.has
        );
        got.push((first.has, second.has));
    }
    Ok(got)
}

#[tokio::test]
async fn of_two_that_want_the_last_slots_one_has_them() -> Result<()> {
    let got = every_order((Wish::Have(2), Wish::Have(2)), (0, 0)).await?;
    ensure!(got.contains(&(2, 1)) && got.contains(&(1, 2)), "{got:?}");
    Ok(())
}

#[tokio::test]
async fn what_one_gives_back_the_other_one_has_now_or_later() -> Result<()> {
    let got = every_order((Wish::Have(0), Wish::Have(3)), (2, 1)).await?;
    ensure!(got.contains(&(0, 3)) && got.contains(&(0, 1)), "{got:?}");
    Ok(())
}

#[tokio::test]
async fn what_a_dying_one_had_is_there_for_the_other_one() -> Result<()> {
    let got = every_order((Wish::End, Wish::Have(3)), (2, 1)).await?;
    ensure!(got.contains(&(0, 3)) && got.contains(&(0, 1)), "{got:?}");
    Ok(())
}

#[tokio::test]
async fn a_limit_that_is_set_again_meanwhile_has_lent_what_sessions_have() -> Result<()> {
    every_order((Wish::Limit, Wish::Have(3)), (1, 2)).await?;
    every_order((Wish::Limit, Wish::Have(0)), (1, 2)).await?;
    every_order((Wish::Limit, Wish::End), (1, 2)).await?;
    Ok(())
}

#[tokio::test]
async fn two_that_die_give_back_all() -> Result<()> {
    every_order((Wish::End, Wish::End), (2, 1)).await?;
    Ok(())
}
