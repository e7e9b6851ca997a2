//! Command line and node over a real socket.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use serde_json::json;

use super::fake::controlled;
use crate::admin::CONTROL_SOCKET;
use crate::admin::control::{Control, ControlError, escape};

fn connected(folder: &std::path::Path) -> Control {
    Control::connect(folder).unwrap().expect("the node runs")
}

#[test]
fn reading_needs_no_token_and_one_connection_serves_many_questions() {
    let folder = tempfile::tempdir().unwrap();
    let running = controlled(folder.path());
    let mut control = connected(folder.path());
    assert_eq!(control.json("/api/v1/ready").unwrap()["ready"], true);
    assert_eq!(control.json("/api/v1/calls").unwrap()["items"].as_array().unwrap().len(), 3);
    let path = format!("/api/v1/calls/{}/security", escape("07/0 1"));
    let text = control.text(&path).unwrap();
    assert!(text.starts_with("call 07/0 1: non_secure, icon none"), "{text}");
    drop(control);
    running.stop();
}

#[test]
fn an_import_is_answered_with_what_it_did_or_with_every_wrong_row() {
    let folder = tempfile::tempdir().unwrap();
    let _running = controlled(folder.path());
    let mut control = connected(folder.path());
    let done = control.post("/import", b"a\nb\n".to_vec()).unwrap();
    assert_eq!((&done["rows"], &done["changed"]), (&json!(2), &json!(1)));
    let Err(ControlError::Refused(problem)) = control.post("/import", b"bad".to_vec()) else { panic!() };
    assert_eq!((&problem["code"], &problem["more"]), (&json!("import_refused"), &json!(1)));
    assert_eq!(problem["errors"][0]["row"], 2);
    let Err(ControlError::Refused(problem)) = control.post("/import", b"locked".to_vec()) else { panic!() };
    assert_eq!(problem["code"], "storage_failed");
}

#[test]
fn a_panic_in_the_node_is_a_problem_and_the_next_import_runs() {
    let folder = tempfile::tempdir().unwrap();
    let _running = controlled(folder.path());
    let mut control = connected(folder.path());
    let Err(ControlError::Refused(problem)) = control.post("/import", b"panic".to_vec()) else { panic!() };
    assert_eq!(problem["code"], "internal");
    assert!(control.post("/import", b"a".to_vec()).is_ok());
}

#[test]
fn an_export_of_megabytes_comes_whole() {
    let folder = tempfile::tempdir().unwrap();
    let _running = controlled(folder.path());
    let mut out = Vec::new();
    connected(folder.path()).copy("/export", &mut out).unwrap();
    assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 100_000);
    assert!(out.ends_with(b"\"dn\":\"1001\"}\n"));
}

#[test]
fn only_the_owner_may_connect_and_a_stop_removes_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let running = controlled(folder.path());
    let path = folder.path().join(CONTROL_SOCKET);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    running.stop();
    assert!(!path.exists());
    assert!(Control::connect(folder.path()).unwrap().is_none());
}

#[test]
fn a_socket_left_by_a_killed_node_is_nobody_and_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    drop(UnixListener::bind(folder.path().join(CONTROL_SOCKET)).unwrap());
    assert!(Control::connect(folder.path()).unwrap().is_none());
    // It was killed while it made the socket.
    std::fs::create_dir(folder.path().join(".control")).unwrap();
    let running = controlled(folder.path());
    assert!(Control::connect(folder.path()).unwrap().is_some());
    running.stop();
}

#[test]
fn a_folder_with_a_long_path_works() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("x".repeat(120)).join("y".repeat(120));
    std::fs::create_dir_all(&deep).unwrap();
    assert!(Control::connect(&deep).unwrap().is_none());
    let running = controlled(&deep);
    assert!(connected(&deep).json("/api/v1/health").is_ok());
    running.stop();
}

#[test]
fn no_folder_is_no_node() {
    assert!(Control::connect(std::path::Path::new("/nowhere/at/all")).unwrap().is_none());
    let long = format!("/nowhere/{}", "x".repeat(150));
    assert!(Control::connect(std::path::Path::new(&long)).unwrap().is_none());
}
