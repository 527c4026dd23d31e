//! What is in a database: the row count and the checksum of every table, by which a replica is compared with its
//! snapshot.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection as _, Row as _, TypeInfo as _, ValueRef as _};

/// How long a statement waits for another process's lock.
pub(crate) const BUSY: Duration = Duration::from_secs(30);

/// A table's row count and checksum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableSum {
    pub(crate) table: String,
    pub(crate) rows: u64,
    pub(crate) checksum: String,
}

/// Opens a database that is only looked at.
pub(crate) async fn open_read_only(path: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .busy_timeout(BUSY);
    SqliteConnection::connect_with(&options)
        .await
        .with_context(|| format!("opening {}", path.display()))
}

/// Counts and sums every ordinary table of a database, in the order of their names.
pub(crate) async fn sums(path: &Path) -> Result<Vec<TableSum>> {
    let mut db = open_read_only(path).await?;
    let names: Vec<String> = sqlx::query_scalar(
        "select name from pragma_table_list \
         where schema = 'main' and type in ('table', 'shadow') and name not like 'sqlite\\_%' escape '\\' order by name",
    )
    .fetch_all(&mut db)
    .await?;
    let mut sums = Vec::with_capacity(names.len());
    for table in names {
        let sum = sum(&mut db, &table)
            .await
            .with_context(|| format!("summing up table `{table}`"))?;
        sums.push(sum);
    }
    db.close().await?;
    Ok(sums)
}

/// Whether SQLite finds the file sound; its complaints otherwise.
pub(crate) async fn integrity(path: &Path) -> Result<Result<(), String>> {
    let mut db = open_read_only(path).await?;
    let lines: Vec<String> = sqlx::query_scalar("pragma integrity_check(10)")
        .fetch_all(&mut db)
        .await?;
    db.close().await?;
    Ok(if lines == ["ok"] {
        Ok(())
    } else {
        Err(lines.join("; "))
    })
}

/// The rows' hashes are added up, not chained: VACUUM may renumber rows and reorder them, and a sum, unlike XOR, sees a
/// row that is there twice. Nothing has to be sorted, and memory stays at one row.
async fn sum(db: &mut SqliteConnection, table: &str) -> Result<TableSum> {
    let select = format!("select * from \"{}\"", table.replace('"', "\"\""));
    let mut stream = sqlx::query(AssertSqlSafe(select)).fetch(db);
    let (mut rows, mut total) = (0, 0u128);
    while let Some(row) = stream.try_next().await? {
        rows += 1;
        total = total.wrapping_add(hash(&row)?);
    }
    Ok(TableSum {
        table: table.to_owned(),
        rows,
        checksum: format!("{total:032x}"),
    })
}

/// Every value goes in with its type and length, so that no two rows read the same.
fn hash(row: &SqliteRow) -> Result<u128> {
    let mut hash = Sha256::new();
    for index in 0..row.len() {
        let value = row.try_get_raw(index)?;
        if value.is_null() {
            hash.update(b"n");
            continue;
        }
        let kind = value.type_info().name().to_owned();
        match kind.as_str() {
            "INTEGER" => {
                hash.update(b"i");
                hash.update(row.try_get_unchecked::<i64, _>(index)?.to_le_bytes());
            }
            "REAL" => {
                hash.update(b"r");
                hash.update(
                    row.try_get_unchecked::<f64, _>(index)?
                        .to_bits()
                        .to_le_bytes(),
                );
            }
            kind => {
                let bytes = row.try_get_unchecked::<Vec<u8>, _>(index)?;
                hash.update(if kind == "TEXT" { b"t" } else { b"b" });
                hash.update((bytes.len() as u64).to_le_bytes());
                hash.update(&bytes);
            }
        }
    }
    let digest = hash.finalize();
    let (head, _) = digest
        .split_first_chunk::<16>()
        .context("a hash of 32 bytes")?;
    Ok(u128::from_le_bytes(*head))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn file(directory: &Path, name: &str, sql: &'static str) -> Vec<TableSum> {
        let path = directory.join(name);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true);
        let mut db = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
        sums(&path).await.unwrap()
    }

    #[tokio::test]
    async fn a_checksum_depends_on_the_rows_and_not_on_their_order() {
        let directory = tempfile::tempdir().unwrap();
        let one = file(
            directory.path(),
            "1",
            "create table a(x, y); insert into a values (1, 'b'), (null, x'00')",
        )
        .await;
        let two = file(
            directory.path(),
            "2",
            "create table a(x, y); insert into a values (null, x'00'), (1, 'b')",
        )
        .await;
        let type_differs = file(
            directory.path(),
            "3",
            "create table a(x, y); insert into a values (1, x'62'), (null, x'00')",
        )
        .await;
        let doubled = file(
            directory.path(),
            "4",
            "create table a(x, y); insert into a values (1, 'b'), (1, 'b')",
        )
        .await;
        assert_eq!(one, two);
        assert_eq!(one[0].rows, 2);
        assert_ne!(one[0].checksum, type_differs[0].checksum);
        assert_ne!(one[0].checksum, doubled[0].checksum);
    }
}
