//! Whom a refused certificate names: for the log and the phone's view. It proves nothing.
//!
//! A handshake that fails keeps nothing of the certificate that it failed for, and a verifier serves all
//! handshakes. So the verifier leaves a note for the task whose handshake it is about.

use std::cell::RefCell;

use keyline_domain::identity::{CertificateFacts, CertificateName};
use keyline_domain::ids::DeviceName;

/// What a refused certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Its subject.
    pub subject: String,
    /// The device that its common name names.
    pub device: Option<DeviceName>,
}

tokio::task_local! {
    static NOTE: RefCell<Option<Claim>>;
}

/// Notes whom a certificate names that was refused just now. Outside of a handshake nobody wants to know.
pub(super) fn note(facts: &CertificateFacts) {
    let named = CertificateName::parse(facts.subject_cn.as_deref().unwrap_or_default());
    let claim = Claim { subject: facts.subject.clone(), device: named.device().cloned() };
    let _ = NOTE.try_with(|note| *note.borrow_mut() = Some(claim));
}

/// Runs a handshake, and gives what was noted during it.
pub async fn noting<T>(handshake: impl Future<Output = T>) -> (T, Option<Claim>) {
    let noted = async {
        let result = handshake.await;
        (result, NOTE.with(|note| note.borrow_mut().take()))
    };
    NOTE.scope(RefCell::new(None), noted).await
}
