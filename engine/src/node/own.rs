//! The node's own certificates while it runs: judged beside the phones' work, committed by the catalog, served from
//! the next handshake on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use keyline_actors::Handle;
use keyline_actors::catalog::OwnRefused;
use keyline_actors::clock::now;
use keyline_actors::keyring::OwnCertificates;
use keyline_domain::audit::{Draft, Happened, Who};
use keyline_domain::impact::small_server_keys;
use serde_json::Value;

use crate::admin::own::{refusal, unknown};
use crate::admin::{Code, Problem};
use crate::instant::Timestamp;
use crate::pki::authority::{OwnCertificate, ocsp_facts};
use crate::pki::own::{Asked, Grounds, OwnError, Site, decide, stapled, view};

/// What the own certificates say, read once for as long as they are the same.
#[derive(Debug, Default)]
pub(super) struct Views(ArcSwapOption<(Arc<OwnCertificates>, Vec<Value>)>);

impl Views {
    pub(super) fn of(&self, handle: &Handle) -> Vec<Value> {
        let own = handle.boards.settings.own();
        let kept = self.0.load_full().filter(|kept| Arc::ptr_eq(&kept.0, &own));
        let kept = kept.unwrap_or_else(|| {
            let all = own.iter().map(|(name, own)| view(name, own, now())).collect();
            let kept = Arc::new((Arc::clone(&own), all));
            self.0.store(Some(Arc::clone(&kept)));
            kept
        });
        let mut all = kept.1.clone();
        // Whether a response is current depends on the time.
        for (row, own) in all.iter_mut().zip(own.values()).filter(|(_, own)| own.ocsp.is_some()) {
            row["ocsp"] = stapled(own, now());
        }
        all
    }
}

/// Why it was not stored.
pub(crate) fn unstored(refused: &OwnRefused) -> Problem {
    let code = match refused {
        OwnRefused::Changed(_) => Code::Conflict,
        OwnRefused::Store(_) => Code::Internal,
    };
    Problem::new(code, refused.to_string())
}

pub(super) async fn ask(
    handle: Handle,
    site: Site,
    name: String,
    asked: Asked,
    dry_run: bool,
    who: Who,
) -> Result<Value, Problem> {
    let which = OwnCertificate::named(&name).ok_or_else(|| unknown(&name))?;
    let internal = |reason: String| Problem::new(Code::Internal, reason);
    let small_keys = handle.look(|catalog| small_server_keys(catalog.inventory())).await.map_err(internal)?;
    let boards = handle.boards.clone();
    // A large RSA key takes seconds.
    let judged = tokio::task::spawn_blocking(move || {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|e| internal(format!("the system gave no random bytes: {e}")))?;
        let present = boards.settings.own();
        let present = present.get(which.name()).ok_or_else(|| unknown(which.name()))?;
        let trusted = boards.settings.certificates();
        let grounds = Grounds { site: &site, trusted: &trusted, small_keys: &small_keys, now: now(), random };
        Ok::<_, Problem>(decide(which, &asked, present, &grounds))
    });
    let decided = judged.await.map_err(|_| internal("the certificate was not judged".to_owned()))??;
    let decided = match decided {
        Ok(decided) => decided,
        Err(error) => {
            if !dry_run {
                let code = match &error {
                    OwnError::Upload(refused) => refused.code(),
                    OwnError::Ocsp(refused) => refused.code(),
                    OwnError::Confirmation { .. } => "confirmation_stale",
                    OwnError::Bits(_) | OwnError::Authority(_) => "bad_request",
                };
                let happened = Happened::refused(code);
                let draft = Draft::new(&who, "own_certificate", "own_certificate", which.name(), happened);
                handle.note(draft).await.map_err(|e| internal(e.to_string()))?;
            }
            return Err(refusal(&error));
        }
    };
    if let Some(change) = decided.change.filter(|_| !dry_run) {
        let operation = change.operation;
        handle.change_own(change, who).await.map_err(|e| unstored(&e))?;
        tracing::info!(certificate = which.name(), operation, "an own certificate was changed");
    }
    Ok(decided.answer)
}

/// Says once that an OCSP response has run out: handshakes are served without one from then on.
pub(super) async fn watch_staples(handle: Handle) {
    let mut told: BTreeMap<Box<str>, Arc<[u8]>> = BTreeMap::new();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for (name, own) in handle.boards.settings.own().iter() {
            let Some((response, facts)) = own.ocsp.as_ref().zip(ocsp_facts(own)) else { continue };
            if now() >= facts.next_update && told.get(name).is_none_or(|last| last != response) {
                told.insert(name.clone(), Arc::clone(response));
                tracing::warn!(
                    certificate = &**name,
                    "its OCSP response was to be replaced by {} and is carried along no longer: bring a current one by `keyline cert staple`",
                    Timestamp(facts.next_update)
                );
            }
        }
    }
}
