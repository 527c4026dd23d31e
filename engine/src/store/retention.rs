//! Retention: the rules, what was removed by them, what had to stay; and whether a tree is being removed. What removes:
//! [`removing`](super::removing).

use chrono::NaiveDate;

use super::args::Args;
use super::conn::Row;
use super::reading::readable;
use super::{Conn, NewChange, Store, change, sql};
use crate::clock::{from_micros, micros};
use crate::error::Error;
use crate::id::IntentId;
use crate::limits;
use crate::retention::{
    Keep, KeptRecord, RemovalRecord, Retention, RetentionRecord, Rule, Rules, Said,
};
use crate::state::IntentState;

fn rule(row: &Row) -> Result<Rule, Error> {
    let time = |us: Option<i64>| us.map(from_micros);
    Ok(Rule {
        kind: Some(row.text(0)?).filter(|kind| !kind.is_empty()),
        state: row.word(1)?,
        said: match row.text(2)?.as_str() {
            "person" => Said::Person,
            _ => Said::Code,
        },
        keep: Keep {
            rows: time(row.opt_int(3)?),
            payloads: time(row.opt_int(4)?),
        },
    })
}

/// All that has been said. A rule that cannot be read fails this: what it keeps must not go by another one.
pub(super) async fn rules(conn: &mut Conn<'_>) -> Result<Rules, Error> {
    let rows = conn.fetch(&sql::RETENTION_LIST, Args::new()).await?;
    let rules = rows.iter().map(rule);
    Ok(Rules(rules.collect::<Result<_, _>>()?))
}

/// Before anything of a tree is run again: it is all there, and stays until this transaction has ended.
pub(super) async fn hold(
    conn: &mut Conn<'_>,
    verb: &'static str,
    id: IntentId,
) -> Result<(), Error> {
    for row in conn
        .fetch(&sql::OUTCOME_KEEP, Args::new().uuid(id.0))
        .await?
    {
        if let Some(at) = row.opt_time(0)? {
            let at = at.to_utc();
            return Err(Error::PayloadRemoved { verb, id, at });
        }
    }
    let args = Args::new().uuid(id.0);
    conn.execute(&sql::RETENTION_DISTURB, args).await
}

/// What a worker's code says of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RuleStanding {
    /// It is written down, or was.
    Ours,
    /// A newer declaration is.
    Newer { revision: u32 },
    /// The same revision says something else.
    Differs { by: String },
}

fn named(rule: &Retention) -> Args {
    let kind = rule.kind.clone().unwrap_or_default();
    let Keep { rows, payloads } = rule.keep;
    Args::new()
        .text(kind)
        .text(rule.state.as_str())
        .int(rows.map(micros))
        .int(payloads.map(micros))
}

impl Store {
    /// Writes down what the code says, unless newer code has said something.
    pub(crate) async fn declare_retention(
        &self,
        rule: Retention,
        worker: String,
    ) -> Result<RuleStanding, Error> {
        self.transact(move |mut conn| {
            let (rule, worker) = (rule.clone(), worker.clone());
            Box::pin(async move {
                let args = named(&rule)
                    .int(i64::from(rule.revision))
                    .text(worker)
                    .now();
                let written = conn.fetch_one(&sql::RETENTION_DECLARE, args).await?;
                if written.is_some() {
                    return Ok(RuleStanding::Ours);
                }
                let rows = conn.fetch(&sql::RETENTION_LIST, Args::new()).await?;
                for row in &rows {
                    let theirs = self::rule(row)?;
                    let same = theirs.kind == rule.kind && theirs.state == rule.state;
                    if !same || theirs.said != Said::Code {
                        continue;
                    }
                    let revision = row.small::<u32>(5)?;
                    return Ok(match () {
                        () if revision > rule.revision => RuleStanding::Newer { revision },
                        () if theirs.keep == rule.keep => RuleStanding::Ours,
                        () => RuleStanding::Differs { by: row.text(7)? },
                    });
                }
                Ok(RuleStanding::Ours)
            })
        })
        .await
    }

    /// A person says it. Returns false if it is so already.
    pub(crate) async fn retain(&self, rule: Retention, change: NewChange) -> Result<bool, Error> {
        self.transact(move |mut conn| {
            let (rule, change) = (rule.clone(), change.clone());
            Box::pin(async move {
                let by = &change.by;
                let args = named(&rule).text(by.name.as_str());
                let args = args.opt_text(by.reason.as_deref()).now();
                let said = conn.fetch_one(&sql::RETENTION_SAY, args).await?.is_some();
                if said {
                    change::insert(&mut conn, &change).await?;
                }
                Ok(said)
            })
        })
        .await
    }

    /// Takes back what a person has said. Returns false if there was nothing.
    pub(crate) async fn retain_as_declared(
        &self,
        kind: Option<String>,
        state: IntentState,
        change: NewChange,
    ) -> Result<bool, Error> {
        self.transact(move |mut conn| {
            let (kind, change) = (kind.clone().unwrap_or_default(), change.clone());
            Box::pin(async move {
                let args = Args::new().text(kind).text(state.as_str());
                let unsaid = conn.fetch_one(&sql::RETENTION_UNSAY, args).await?.is_some();
                if unsaid {
                    change::insert(&mut conn, &change).await?;
                }
                Ok(unsaid)
            })
        })
        .await
    }

    pub(crate) async fn retentions(&self) -> Result<Vec<RetentionRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let rows = conn.fetch(&sql::RETENTION_LIST, Args::new()).await?;
                let mut records: Vec<RetentionRecord> = readable(&rows, "retention", record);
                let persons = records.iter().filter(|record| record.said == "person");
                let persons: Vec<_> = persons
                    .map(|rule| (rule.kind.clone(), rule.state))
                    .collect();
                for record in &mut records {
                    let same = (record.kind.clone(), record.state);
                    record.counts = record.said == "person" || !persons.contains(&same);
                }
                Ok(records)
            })
        })
        .await
    }

    pub(crate) async fn removals(&self) -> Result<Vec<RemovalRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let args = Args::new().int(i64::from(limits::PAGE));
                let rows = conn.fetch(&sql::REMOVAL_LIST, args).await?;
                Ok(readable(&rows, "removal", |row| {
                    Ok(RemovalRecord {
                        day: row.word::<NaiveDate>(0)?,
                        kind: row.text(1)?,
                        what: row.text(2)?,
                        intents: row.int(3)?.unsigned_abs(),
                        last_at: row.time(4)?.to_utc(),
                    })
                }))
            })
        })
        .await
    }

    pub(crate) async fn kept_by_retention(&self) -> Result<Vec<KeptRecord>, Error> {
        self.read(move |mut conn| {
            Box::pin(async move {
                let args = Args::new().int(i64::from(limits::PAGE));
                let rows = conn.fetch(&sql::RETENTION_KEPT_LIST, args).await?;
                Ok(readable(&rows, "retention_kept", |row| {
                    Ok(KeptRecord {
                        intent: row.uuid(0)?,
                        what: row.text(1)?,
                        reason: row.text(2)?,
                        looked_at: row.time(3)?.to_utc(),
                    })
                }))
            })
        })
        .await
    }
}

fn record(row: &Row) -> Result<RetentionRecord, Error> {
    let seconds = |us: Option<i64>| us.map(|us| (us / 1_000_000).unsigned_abs());
    let said = row.text(2)?;
    let revision = row.small::<u32>(5)?;
    Ok(RetentionRecord {
        kind: Some(row.text(0)?).filter(|kind| !kind.is_empty()),
        state: row.word(1)?,
        revision: (said == "code").then_some(revision),
        said,
        rows_s: seconds(row.opt_int(3)?),
        payloads_s: seconds(row.opt_int(4)?),
        said_at: row.time(6)?.to_utc(),
        said_by: row.text(7)?,
        reason: row.opt_text(8)?,
        counts: true,
    })
}
