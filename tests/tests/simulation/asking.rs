//! Asking: what people want, by the library or by plain SQL, with a key or without; and who asks again.

use intendant::{Error, Intent, IntentId, Request};
use rand::RngExt as _;
use sqlx::{Connection as _, SqliteConnection};

use crate::features::{CUSTOMERS, Seen};
use crate::judge::must;
use crate::people::ACTOR;
use crate::program::{Hold, Kind, Program, Release, Undo};
use crate::run::{Run, Stop};
use crate::script::Asked;

/// What somebody wants.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub kind: Kind,
    pub program: Program,
    pub key: Option<String>,
    pub priority: i32,
}

impl Wish {
    pub(crate) fn new(kind: Kind, program: Program) -> Self {
        Self {
            kind,
            program,
            key: None,
            priority: 0,
        }
    }
}

/// How it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Library,
    /// By two people at the same moment.
    Twice,
    Sql,
}

/// What comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Intent(IntentId),
    /// The key was used for something else.
    KeyRefused,
}

/// Whether plain SQL was done, or refused with a word that begins like this.
pub(crate) fn was_done(answer: Result<(), sqlx::Error>, refusal: &str) -> Result<bool, Stop> {
    match answer {
        Ok(()) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.message().starts_with(refusal) => Ok(false),
        Err(error) => Err(Stop::Breach(format!("plain SQL: {error}"))),
    }
}

/// A request, with what is said of it.
async fn worded<T: Intent>(request: Request<'_, T>, wish: &Wish) -> Result<IntentId, Error> {
    let mut request = request.by(ACTOR).priority(wish.priority);
    if let Some(key) = &wish.key {
        request = request.key(key);
    }
    Ok(request.await?.id())
}

impl Run {
    pub(crate) async fn ask(&mut self) -> Result<(), Stop> {
        if self.features.keys && self.dice.random_bool(0.4) {
            return self.ask_again().await;
        }
        let Some((kind, program)) = self.to_ask.pop() else {
            return self.move_one().await;
        };
        let mut wish = Wish::new(kind, program);
        if self.features.partition_limit.is_some() {
            wish.program.customer = self.dice.random_range(0..CUSTOMERS);
        }
        if self.features.keys && self.dice.random_bool(0.7) {
            wish.key = Some(format!("key-{}", self.asked.len()));
        }
        // A key of plain SQL has the time of the real clock, and would be over by the run's.
        let way = match (self.way(), wish.key.is_some()) {
            (Way::Sql, true) => Way::Library,
            (Way::Twice, false) => Way::Library,
            (way, _) => way,
        };
        if self.features.priorities && way != Way::Sql {
            wish.priority = self.dice.random_range(-5..=5);
        }
        self.tell(|| format!("asks {way:?} for {wish:?}"));
        match self.request(&wish, way).await? {
            Answer::Intent(id) => {
                self.tell(|| format!("it is {id}"));
                self.asked.push(Asked::new(id, wish));
                Ok(())
            }
            Answer::KeyRefused => Err(Stop::Breach(format!("a new key is refused: {wish:?}"))),
        }
    }

    /// Somebody asks again with a key that was used: for the same, or for something else.
    pub(crate) async fn ask_again(&mut self) -> Result<(), Stop> {
        let keyed = self.asked.iter().filter(|it| it.wish.key.is_some());
        let keyed: Vec<(IntentId, Wish)> = keyed.map(|it| (it.id, it.wish.clone())).collect();
        if keyed.is_empty() {
            return Ok(());
        }
        let (id, mut wish) = keyed[self.dice.random_range(0..keyed.len())].clone();
        // Neither is a part of what is compared.
        wish.priority = 0;
        let differs = self.dice.random_bool(0.4);
        if differs {
            match self.dice.random_range(0..2) {
                0 => wish.program.customer += CUSTOMERS,
                _ => {
                    let other = Kind::ALL.into_iter().find(|kind| *kind != wish.kind);
                    wish.kind = other.unwrap();
                }
            }
        }
        let way = self.way();
        let answer = self.request(&wish, way).await?;
        self.tell(|| format!("asks {way:?} again for {id}, differs: {differs}: {answer:?}"));
        let expected = match differs {
            true => Answer::KeyRefused,
            false => Answer::Intent(id),
        };
        must(answer == expected, || {
            format!(
                "the key of {id} is answered with {answer:?} and not with {expected:?}: {wish:?}"
            )
        })?;
        self.see(match differs {
            true => Seen::KeyRefused,
            false => Seen::AskedAgain,
        });
        Ok(())
    }

    fn way(&mut self) -> Way {
        if self.features.sql && self.dice.random_bool(0.5) {
            return Way::Sql;
        }
        match self.features.keys && self.dice.random_bool(0.3) {
            true => Way::Twice,
            false => Way::Library,
        }
    }

    async fn request(&mut self, wish: &Wish, way: Way) -> Result<Answer, Stop> {
        self.has_written = true;
        let answer = match way {
            Way::Library => self.by_library(wish).await,
            Way::Twice => {
                let both = (self.by_library(wish), self.by_library(wish));
                let (one, other) = futures_util::future::join(both.0, both.1).await;
                if let (Ok(one), Ok(other)) = (&one, &other) {
                    must(one == other, || format!("{one} and {other} have one key"))?;
                }
                one.and(other)
            }
            Way::Sql => return self.by_sql(wish).await,
        };
        match answer {
            Ok(id) => Ok(Answer::Intent(id)),
            Err(Error::KeyConflict { .. }) => Ok(Answer::KeyRefused),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) async fn by_library(&self, wish: &Wish) -> Result<IntentId, Error> {
        let (intendant, program) = (self.troupe.intendant(), wish.program.clone());
        match wish.kind {
            Kind::Hold => worded(intendant.request(Hold(program)), wish).await,
            Kind::Release => worded(intendant.request(Release(program)), wish).await,
            Kind::Undo => worded(intendant.request(Undo(program)), wish).await,
        }
    }

    /// As docs/SQL.md says. Its times and ids are of the real clock: they lie before all of the run, and in the order in which they
    /// were made, so nothing in the run depends on them.
    async fn by_sql(&mut self, wish: &Wish) -> Result<Answer, Stop> {
        let mut db = self.connect().await?;
        let ask = sqlx::query(
            "insert into intendant_request (kind, resources, input, key, requested_by) values (?1, ?2, ?3, ?4, ?5)",
        );
        let ask = ask
            .bind(wish.kind.word())
            .bind(serde_json::to_string(&wish.program.wants()).unwrap())
            .bind(serde_json::to_string(&wish.program).unwrap())
            .bind(wish.key.as_deref())
            .bind(ACTOR);
        let asked = ask.execute(&mut db).await.map(drop);
        if !was_done(asked, "IN409: ")? {
            return Ok(Answer::KeyRefused);
        }
        let id = sqlx::query_scalar("select id from intendant_requested");
        let id: String = id.fetch_one(&mut db).await.unwrap();
        db.close().await.unwrap();
        self.see(Seen::AskedBySql);
        Ok(Answer::Intent(id.parse().unwrap()))
    }

    /// A program of somebody else's, which has no part of the engine.
    pub(crate) async fn connect(&self) -> Result<SqliteConnection, Stop> {
        let db = SqliteConnection::connect(self.troupe.database_url()).await;
        db.map_err(|error| Stop::Breach(format!("the database cannot be reached: {error}")))
    }
}
