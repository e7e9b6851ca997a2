//! Revocation lists while the node runs.

use keyline_actors::Handle;
use keyline_actors::catalog::{CrlChange, CrlRefused};
use keyline_actors::clock::now;
use keyline_domain::audit::{Draft, Happened, Who};
use serde_json::{Value, json};

use crate::admin::crl::unknown;
use crate::admin::{Code, Problem};
use crate::pki::crl::{self, CrlError};

pub(super) fn views(handle: &Handle) -> Vec<Value> {
    let lists = handle.boards.settings.crls();
    lists.iter().filter_map(|list| Some(crl::facts(&list.der)?.view(now()))).collect()
}

pub(super) async fn install(handle: Handle, pem: String, dry_run: bool, who: Who) -> Result<Value, Problem> {
    let internal = |reason: String| Problem::new(Code::Internal, reason);
    let settings = handle.boards.clone();
    // A long list is read and its signature verified beside the admin server's thread.
    let judged = tokio::task::spawn_blocking(move || {
        let (trusted, present) = (settings.settings.certificates(), settings.settings.crls());
        crl::accept(&pem, &trusted, &present, now())
    });
    match judged.await.map_err(|_| internal("the revocation list was not judged".to_owned()))? {
        Ok((change, answer)) => done(&handle, change, answer, dry_run, who).await,
        Err(error) if dry_run => Err(refused(&error)),
        Err(error) => {
            let happened = Happened::refused(error.code());
            let draft = Draft::new(&who, "crl_install", "revocation_list", "-", happened);
            handle.note(draft).await.map_err(|e| internal(e.to_string()))?;
            Err(refused(&error))
        }
    }
}

fn refused(error: &CrlError) -> Problem {
    Problem::new(Code::CertificateRefused, error.to_string()).narrower(error.code().to_owned())
}

/// The change, or what it would do: whose certificate the lists that it comes to would refuse.
async fn done(
    handle: &Handle,
    change: CrlChange,
    mut answer: Value,
    dry_run: bool,
    who: Who,
) -> Result<Value, Problem> {
    answer["dry_run"] = dry_run.into();
    if !dry_run {
        commit(handle, change, who).await?;
        return Ok(answer);
    }
    let lists = change.done_to(&handle.boards.settings.crls());
    let impact = handle.ask_lists(lists).await.map_err(|e| Problem::new(Code::Internal, e.to_string()))?;
    answer["impact"] = serde_json::to_value(impact).unwrap_or_default();
    Ok(answer)
}

pub(super) async fn delete(handle: Handle, name: String, dry_run: bool, who: Who) -> Result<Value, Problem> {
    let change = crl::remove(&name, &handle.boards.settings.crls(), now()).ok_or_else(|| unknown(&name))?;
    done(&handle, change, json!({ "name": name }), dry_run, who).await
}

async fn commit(handle: &Handle, change: CrlChange, who: Who) -> Result<(), Problem> {
    let name = change.name.clone();
    handle.change_crl(change, who).await.map_err(|refused| {
        let code = match refused {
            CrlRefused::TooMany | CrlRefused::Changed => Code::Conflict,
            CrlRefused::Store(_) => Code::Internal,
        };
        Problem::new(code, refused.to_string())
    })?;
    tracing::info!(revocation_list = &*name, "a revocation list was changed");
    Ok(())
}
