//! A batch that fails, from outside: what is lost, and what is not.

use serde_json::{Value, json};
use tokio::sync::oneshot::{self, Receiver};

use super::{Engine, EngineConfig};
use crate::access::secrets::{new_access_key_id, new_secret};
use crate::access::{Credentials, KeyMaterial, Keys};
use crate::batch::handle::Handle;
use crate::batch::messages::{Change, Message, Needs};
use crate::batch::open_store;
use crate::batch::resources::ChangeError;
use crate::batch::store::Store;
use crate::capacity::capacity;
use crate::containers::host::channel;
use crate::home::Home;
use crate::http::protocol::ApiError;
use crate::sessions::registry::Sessions;

/// An engine that does not run yet, in a home of its own.
fn engine() -> (tempfile::TempDir, Engine, Handle) {
    let dir = tempfile::tempdir().unwrap();
    let home = Home::at(dir.path().join("home"));
    home.create().unwrap();
    let owner = Credentials { access_key_id: new_access_key_id(), secret_access_key: new_secret() };
    let config = EngineConfig {
        capacity: capacity(),
        environment: Vec::new(),
        keys: Keys::new(KeyMaterial { owner, jobs: new_secret() }).into(),
        sessions: Sessions::default(),
        retention_ms: i64::MAX / 2,
        is_new_host: false,
    };
    let store = open_store(home.path(), &capacity()).unwrap();
    let (engine, handle) = Engine::open(&home, store, config, channel().0, &mut Vec::new()).unwrap();
    (dir, engine, handle)
}

/// A request that the engine finds waiting when it begins to run.
fn ask(
    handle: &Handle,
    change: impl FnOnce(&Store) -> Result<Value, ChangeError> + Send + 'static,
) -> Receiver<Result<Value, ApiError>> {
    let (reply, answer) = oneshot::channel();
    let change: Change = Box::new(change);
    handle.send(Message::Change(change, Needs::Space, reply));
    answer
}

fn register(name: &'static str) -> impl FnOnce(&Store) -> Result<Value, ChangeError> + Send + 'static {
    move |store| {
        store.register(name, &json!({}), None)?;
        Ok(json!(name))
    }
}

fn fail(_: &Store) -> Result<Value, ChangeError> {
    Err(ChangeError::Database(rusqlite::Error::InvalidQuery))
}

#[test]
fn messages_behind_one_that_fails_are_handled_in_the_next_batch() {
    let (dir, engine, handle) = engine();
    let before = ask(&handle, register("before"));
    let failing = [ask(&handle, fail), ask(&handle, fail)];
    let behind = ask(&handle, register("behind"));
    let (reply, all_end) = oneshot::channel();
    handle.send(Message::EndAll(reply));
    let last = ask(&handle, register("last"));
    handle.send(Message::Stop);
    engine.run();
    assert!(before.blocking_recv().unwrap().is_err(), "its transaction was the one that failed");
    for failing in failing {
        let error = failing.blocking_recv().unwrap().unwrap_err();
        assert!(error.message.contains("database"), "{}", error.message);
    }
    assert_eq!(behind.blocking_recv().unwrap().unwrap(), "behind");
    assert_eq!(last.blocking_recv().unwrap().unwrap(), "last");
    assert!(all_end.blocking_recv().unwrap().is_ok());
    // And it is as it was said.
    let store = open_store(&dir.path().join("home"), &capacity()).unwrap();
    let is_there = |name| store.definition(name, 1).unwrap().is_some();
    assert_eq!(["before", "behind", "last"].map(is_there), [false, true, true]);
}
