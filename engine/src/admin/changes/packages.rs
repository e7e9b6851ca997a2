//! Installing packages of phone models (R066): the signature is verified here, the rules are the domain's.

use keyline_actors::clock::now;
use keyline_domain::inventory::{CertificateRow, Kind, Purpose, Step};
use keyline_domain::model::{OpenedPackage, Package, PackageError, judge_package, open_package};
use serde_json::json;

use super::super::Problem;
use super::super::api::Node;
use super::super::http::Answer;
use super::super::problem::Code;
use super::{Asked, created};
use crate::pki::{inspect, package};

/// Takes a package file and installs what it brings, in one change.
pub(super) async fn install(node: Node, asked: Asked) -> Answer {
    // What is signed is the payload inside, so the envelope may be written anew.
    let file = asked.object(Kind::Package)?.to_string();
    let opened = open_package(file.as_bytes()).map_err(|e| refusal(&e))?;
    let package = verified(&node, opened).await?;
    created(node, asked, Step::Install(Box::new(package))).await
}

async fn verified(node: &Node, opened: OpenedPackage) -> Result<Package, Problem> {
    let purpose = Purpose::PackageTrust;
    let trusted = node
        .read(Box::new(move |world| {
            Ok(json!(world.inventory.certificates(purpose).map(|row| &*row.pem).collect::<Vec<_>>()))
        }))
        .await?;
    let rows: Vec<_> = trusted
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|pem| pem.as_str())
        .map(|pem| CertificateRow {
            tag: Default::default(),
            purpose,
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
