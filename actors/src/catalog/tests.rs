use std::sync::Arc;

use keyline_domain::inventory::{CertificateFacts, Kind, Step};
use keyline_storage::MemoryStore;
use keyline_storage::seal::NodeKey;
use keyline_storage::{Commit, Outcome, Store, StoreError, Table};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Catalog, ChangeError, ChangeRequest, Changed, Committer, Inspect, Tools};

struct Blind;

impl Inspect for Blind {
    fn inspect(&self, _: &str) -> Result<CertificateFacts, String> {
        Err("no certificates here".to_owned())
    }
}

/// A store that takes nothing.
struct Full;

impl Committer for Full {
    fn commit_all(&self, commits: &[Commit]) -> Vec<Outcome> {
        commits.iter().map(|_| Outcome::Unknown(StoreError::Closed)).collect()
    }
}

fn key() -> Arc<NodeKey> {
    Arc::new(NodeKey::from_bytes(Zeroizing::new([7; 32])))
}

fn load(store: &dyn Store) -> Catalog {
    Catalog::load(store, key(), "node").unwrap()
}

fn request(steps: Vec<Step>) -> ChangeRequest {
    ChangeRequest { steps, ..ChangeRequest::default() }
}

fn create(kind: Kind, body: Value) -> Step {
    Step::Create { kind, body }
}

fn run(
    catalog: &mut Catalog,
    committer: &dyn Committer,
    request: &ChangeRequest,
) -> Result<Changed, ChangeError> {
    let tools = Tools {
        committer,
        inspect: &Blind,
        has_certificate: &|_| false,
        live: &(),
        now: keyline_domain::ids::UnixMillis(0),
        offline: None,
    };
    catalog.change(request, tools).map(|(changed, _)| changed)
}

fn exported(catalog: &Catalog) -> Vec<String> {
    catalog.inventory().export(true).collect()
}

fn phone_with_all() -> ChangeRequest {
    request(vec![
        create(Kind::Line, json!({"dn": "1001"})),
        create(Kind::EndUser, json!({"id": "alice", "digest_credentials": "secret1"})),
        create(
            Kind::SecurityProfile,
            json!({"name": "Digest", "model": "Cisco 8845", "digest_authentication": true}),
        ),
        create(
            Kind::Phone,
            json!({"name": "SEP00AABBCCDD01", "model": "Cisco 8845", "security_profile": "Digest",
                   "lines": ["1001"], "digest_user": "alice"}),
        ),
    ])
}

#[test]
fn a_change_is_one_commit_and_is_there_after_a_restart() {
    let store = MemoryStore::new();
    let committer: &dyn Store = &store;
    let mut catalog = load(&store);
    let changed = run(&mut catalog, &committer, &phone_with_all()).unwrap();
    assert_eq!((changed.kind, &*changed.name, changed.before), (Kind::Line, "1001", None));
    assert_eq!(changed.after, Some(json!({"kind": "line", "dn": "1001"})));
    assert_eq!(exported(&load(&store)), exported(&catalog));
    assert_eq!(catalog.inventory().phone_count(), 1);
}

#[test]
fn a_dry_run_leaves_neither_row_nor_memory_behind() {
    let store = MemoryStore::new();
    let committer: &dyn Store = &store;
    let mut catalog = load(&store);
    let dry = ChangeRequest { dry_run: true, ..phone_with_all() };
    let mut told = run(&mut catalog, &committer, &dry).unwrap();
    assert_eq!(told.impact.take().unwrap().phones, 1);
    assert!(exported(&catalog).is_empty());
    assert!(store.scan(Table::Config, b"", keyline_storage::Page::FIRST, None).unwrap().rows.is_empty());
    // The answer is that of the change itself.
    assert_eq!(told, run(&mut catalog, &committer, &phone_with_all()).unwrap());
}

#[test]
fn what_the_store_does_not_take_is_not_in_memory_either() {
    let mut catalog = load(&MemoryStore::new());
    let failed = run(&mut catalog, &Full, &phone_with_all());
    assert!(matches!(failed, Err(ChangeError::Store(_))), "{failed:?}");
    assert!(exported(&catalog).is_empty());
}

#[test]
fn a_step_that_is_refused_takes_those_before_it_back() {
    let store = MemoryStore::new();
    let committer: &dyn Store = &store;
    let mut catalog = load(&store);
    let mut request = phone_with_all();
    request.steps.push(Step::Remove { kind: Kind::Line, name: "1001".to_owned() });
    match run(&mut catalog, &committer, &request) {
        Err(ChangeError::Refused { step, error }) => assert_eq!((step, error.code()), (4, "in_use")),
        other => panic!("{other:?}"),
    }
    assert!(exported(&catalog).is_empty());
}

#[test]
fn an_etag_changes_with_the_object_and_its_secret_and_shows_neither() {
    let store = MemoryStore::new();
    let committer: &dyn Store = &store;
    let mut catalog = load(&store);
    run(&mut catalog, &committer, &phone_with_all()).unwrap();
    let first = catalog.etag(Kind::EndUser, "alice").unwrap();
    assert_eq!(load(&store).etag(Kind::EndUser, "alice").unwrap(), first, "it outlives a restart");
    let set = |credentials: &str, expect: &str| ChangeRequest {
        expect: Some(expect.into()),
        ..request(vec![Step::Merge {
            kind: Kind::EndUser,
            name: "alice".to_owned(),
            body: json!({"digest_credentials": credentials}),
        }])
    };
    let changed = run(&mut catalog, &committer, &set("secret2", &first)).unwrap();
    assert_ne!(changed.etag.as_deref(), Some(&*first));
    assert!(!format!("{changed:?}").contains("secret"), "{changed:?}");
    // Whoever read it before that comes too late.
    let late = run(&mut catalog, &committer, &set("secret3", &first)).unwrap_err();
    assert!(
        matches!(&late, ChangeError::Expected { now, .. } if Some(now) == changed.etag.as_ref()),
        "{late}"
    );
}
