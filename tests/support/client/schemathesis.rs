//! schemathesis: reads the API's own description and holds the node against it.

use std::process::Command;

use super::Program;
use super::browser::judges;
use crate::node::Node;

/// What `make judges` installs.
const FOLDER: &str = "schemathesis-4.32.5";

/// What an answer is held against: no 5xx, and status, media type and body as described.
const CHECKS: &str =
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// Asks every path but the endless traces, with values that fit and values that do not.
///
/// # Panics
/// When it is not installed.
pub fn judge(node: &Node, examples: u32) -> Program {
    let program = judges().join(FOLDER).join("bin/schemathesis");
    assert!(program.exists(), "{} is missing: run `make judges`", program.display());
    let roots = node.folder().join("judged.pem");
    std::fs::write(&roots, node.server_certificates()).expect("a PEM file");
    let mut command = Command::new(program);
    command
        .arg("run")
        .arg(format!("https://{}/api/v1/openapi.json", node.address("admin")))
        .arg("--tls-verify")
        .arg(&roots)
        .args(["-H", &format!("Authorization: Bearer {}", node.token())])
        .args(["--phases", "coverage,fuzzing", "-n", &examples.to_string(), "--seed", "1"])
        .args(["--exclude-path-regex", "/trace/", "--checks", CHECKS, "--workers", "1"])
        .args(["--no-color", "--no-shrink", "--continue-on-failure", "--warnings", "off"])
        .args(["--generation-database", "none"])
        // It writes what it found beside where it runs.
        .current_dir(node.folder());
    Program::start("schemathesis (`make judges`)", &mut command)
}
