//! A byte that is flipped in a record hides no other job.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;
use rusqlite::Connection;

use super::model::{JobKey, Terms};
use super::reader::{Filter, Listing, Reader};
use super::request::Spec;
use super::{describe, open_store};
use crate::capacity::capacity;
use crate::home::files::BATCH_DATABASE;
use crate::runner::protocol::ContainerEnd;
use awsb_model::Status;

/// The jobs that are neither children nor nodes: their keys and IDs.
const JOBS: [(i64, &str); 4] = [(1, "ended"), (2, "array"), (5, "waits"), (6, "failed")];

/// A database with an array of two and three other jobs.
fn written(home: &Path) {
    drop(open_store(home, &capacity()).unwrap());
    let db = Connection::open(home.join(BATCH_DATABASE)).unwrap();
    let terms = serde_json::to_string(&Terms::unreadable()).unwrap();
    let spec = serde_json::to_string(&Spec::unreadable()).unwrap();
    let end = ContainerEnd { started: true, exit_code: Some(1), reason: None, output: Some(7) };
    let ends = serde_json::to_string(&[end]).unwrap();
    db.execute_batch(&format!(
        "INSERT INTO jobs (key, id, queue, name, status, created_at, stopped_at, attempts, task, reason) VALUES
             (1, 'ended', 'local', 'name1', 5, 1000, 2000, 1, 'task1', 'words'),
             (5, 'waits', 'local', 'name5', 2, 1000, NULL, 0, NULL, NULL),
             (6, 'failed', 'local', 'name6', 6, 1000, 2000, 2, 'task6', NULL);
         INSERT INTO jobs (key, id, queue, name, size, summary, status, created_at)
             VALUES (2, 'array', 'local', 'name2', 2, '[0,0,2,0,0,0,0]', 1, 1000);
         INSERT INTO jobs (key, parent, idx, status, created_at) VALUES (3, 2, 0, 2, 1000), (4, 2, 1, 2, 1000);
         INSERT INTO specs VALUES (1, '{terms}', '{spec}'), (2, '{terms}', '{spec}'), (5, '{terms}', '{spec}'),
             (6, '{terms}', '{spec}');
         INSERT INTO attempts VALUES (1, 1, 'task1', 1500, 2000, 0, 'words', 'why', 7, NULL),
             (6, 1, 'task5', 1500, 1600, 1, NULL, 'why', 7, '{ends}'),
             (6, 2, 'task6', 1700, 2000, 1, NULL, 'why', 7, NULL);"
    ))
    .unwrap();
}

/// All values that jobs have: table, condition of the row, column, and the key of the job.
fn values(db: &Connection) -> Vec<(&'static str, String, String, i64)> {
    let mut all = Vec::new();
    let tables = [
        ("jobs", "'key = ' || key", "coalesce(parent, key)"),
        ("specs", "'key = ' || key", "key"),
        ("attempts", "'job = ' || job || ' AND number = ' || number", "job"),
    ];
    for (table, row, job) in tables {
        let mut columns = db.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).unwrap();
        let columns: Vec<String> =
            columns.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        for column in columns {
            let query = format!("SELECT {row}, {job} FROM {table} WHERE {column} IS NOT NULL");
            let mut rows = db.prepare(&query).unwrap();
            let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            all.extend(rows.map(Result::unwrap).map(|(row, job)| (table, row, column.clone(), job)));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_flipped_byte_hides_no_other_job(value: prop::sample::Index, at: prop::sample::Index, bit in 0..8_u32) {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path());
        let db = Connection::open(dir.path().join(BATCH_DATABASE)).unwrap();
        let all = values(&db);
        let (table, row, column, victim) = value.get(&all).clone();
        let old: rusqlite::types::Value =
            db.query_row(&format!("SELECT {column} FROM {table} WHERE {row}"), [], |row| row.get(0)).unwrap();
        let new = match old {
            rusqlite::types::Value::Text(text) => {
                let mut bytes = text.into_bytes();
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
                hex::encode(bytes)
            }
            rusqlite::types::Value::Integer(number) => (number ^ (1 << bit)).to_string(),
            other => panic!("{other:?}"),
        };
        let is_text = db.query_row(
            &format!("SELECT typeof({column}) = 'text' FROM {table} WHERE {row}"), [], |row| row.get::<_, bool>(0),
        ).unwrap();
        let new = if is_text { format!("CAST(x'{new}' AS TEXT)") } else { new };
        // A number that another row has cannot be written this way.
        let _ = db.execute(&format!("UPDATE {table} SET {column} = {new} WHERE {row}"), []);
        drop(db);

        let others: Vec<(i64, &str)> = JOBS.into_iter().filter(|(key, _)| *key != victim).collect();
        let reader = Reader::new(dir.path());
        let seen = reader.read_now(|db| {
            let mut listings: Vec<Vec<Listing>> =
                vec![Status::ALL.iter().map(|status| Listing::Queue("local".to_owned(), *status)).collect()];
            let filters = [
                Filter::Name("name*".to_owned()),
                Filter::Before(i64::MAX),
                Filter::After(0),
                Filter::Share("none".to_owned()),
            ];
            listings.extend(filters.map(|filter| vec![Listing::Filtered("local".to_owned(), filter)]));
            let mut seen = Vec::new();
            for listing in listings {
                let mut ids = BTreeSet::new();
                for part in listing {
                    for mut row in db.list(&part, None, None, 100)? {
                        let spec = db.readable(&mut row)?;
                        describe::summary(&row, &spec);
                        ids.insert(row.id);
                    }
                }
                seen.push(ids);
            }
            for (_, id) in JOBS {
                let Some(mut row) = db.job(id)? else { continue };
                let spec = db.readable(&mut row)?;
                let attempts = db.attempts(describe::whose_attempts(&row, &spec))?;
                describe::detail(&row, &spec, &attempts);
            }
            db.counts()?;
            db.assigned()?;
            db.active_tasks()?;
            if victim != 2 {
                assert_eq!(db.list(&Listing::Children(JobKey(2), Status::Runnable), None, None, 9)?.len(), 2);
            }
            Ok(seen)
        });
        let seen = seen.map_err(|e| TestCaseError::fail(e.message))?;
        for (_, id) in &others {
            // None has this share.
            prop_assert!(seen[..4].iter().all(|ids| ids.contains(*id)), "{id}: {seen:?}");
        }
        // A server starts, or says that jobs could run twice.
        match open_store(dir.path(), &capacity()) {
            Ok(store) => {
                let (active, _) = store.active().unwrap();
                let keys: Vec<i64> = active.iter().map(|job| job.key.0).collect();
                let waiting = others.iter().map(|(key, _)| *key).filter(|key| [2, 5].contains(key));
                prop_assert!(waiting.into_iter().all(|key| keys.contains(&key)), "{keys:?}");
            }
            Err(e) => prop_assert!(e.to_string().contains("is damaged"), "{e}"),
        }
    }
}
