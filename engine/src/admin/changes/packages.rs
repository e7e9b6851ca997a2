//! Installing packages of phone models (R066): the signature is verified here, the rules are the domain's.

use keyline_actors::clock::now;
use keyline_domain::inventory::{CertificateRow, Kind, Purpose, Step};
use keyline_domain::model::{Package, PackageError, judge_package, open_package};
use serde_json::{Value, json};

use super::super::Problem;
use super::super::api::Node;
use super::super::http::Answer;
use super::super::lists::World;
use super::super::problem::Code;
use super::{Asked, created};
use crate::pki::{inspect, package};

/// Purpose of the certificates that packages are verified by.
const PURPOSE: Purpose = Purpose::PackageTrust;

/// Takes a package file and installs what it brings, in one change.
pub(super) async fn install(node: Node, asked: Asked) -> Answer {
    // What is signed is the payload inside, so the envelope may be written anew.
    let file = asked.object(Kind::Package)?.to_string();
    let trusted = node.read(Box::new(package_signers)).await?;
    let package = package_of(file.as_bytes(), &trusted)?;
    created(node, asked, Step::Install(Box::new(package))).await
}

/// The certificates whose keys may sign packages: a list of PEM texts.
///
/// # Errors
/// None; it is a question to a configuration.
pub(crate) fn package_signers(world: &World<'_>) -> Result<Value, Problem> {
    Ok(json!(world.inventory.certificates(PURPOSE).map(|row| &*row.pem).collect::<Vec<_>>()))
}

/// A package file whose signature is good, of what `package_signers` says.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn package_of(file: &[u8], trusted: &Value) -> Result<Package, Problem> {
    let opened = open_package(file).map_err(|e| refusal(&e))?;
    let rows: Vec<_> = trusted
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|pem| pem.as_str())
        .map(|pem| CertificateRow {
            tag: Default::default(),
            purpose: PURPOSE,
            pem: pem.into(),
            phone: None,
            subject: None,
            facts: inspect::row_facts(pem).ok(),
        })
        .collect();
    let signature = package::verify(&opened, rows.iter(), now());
    judge_package(&opened.payload, signature).map_err(|e| refusal(&e))
}

fn refusal(error: &PackageError) -> Problem {
    Problem::new(Code::RuleBroken, error.to_string()).narrower(error.code().to_owned())
}
