//! What a change would do, asked of the running node: its boards as the domain's [`Live`].

use keyline_domain::identity::ShownCertificate;
use keyline_domain::ids::{DeviceIndex, UnixMillis};
use keyline_domain::impact::{
    Before, CallLegs, Chains, Impact, Live, LivePhone, Progress, SLICE, Scope, Slice, mixed_now,
};
use keyline_domain::inventory::CertificateRow;

use super::Catalog;
use super::change::{ChangeError, ChangeRequest, Changed, Remark, Tools};
use super::crl::RevokedBy;
use super::import::Inspect;
use crate::board::{Boards, Crl};

/// Phones beyond which a change that is really done is not searched for shared lines that it mixes: who wants
/// to know asks before.
const WARNED_MAX: usize = 1000;

/// Phones and calls of the running node.
pub(crate) struct NodeLive<'a> {
    pub(crate) boards: &'a Boards,
    pub(crate) inspect: &'a dyn Inspect,
    pub(crate) now: UnixMillis,
    /// Revocation lists that certificates would be judged by.
    pub(crate) lists: &'a [Crl],
}

impl Live for NodeLive<'_> {
    fn phone(&self, index: DeviceIndex) -> Option<LivePhone> {
        let slot = self.boards.devices.slot(index)?;
        let device = slot.device()?;
        let Some(row) = slot.row() else {
            // Judged by the saved version of its profile.
            return Some(LivePhone { settings: None, row: None, shown: None });
        };
        let judged = self.boards.profiles.judge(device.profile, Some(&row), self.now);
        Some(LivePhone { settings: judged.map(|j| j.settings), row: Some(row), shown: slot.shown() })
    }

    fn chains<'a>(&'a self, trusted: &[CertificateRow], refuse_expired: bool) -> Chains<'a> {
        self.inspect.chains(trusted, RevokedBy { lists: self.lists, refuse_expired })
    }

    fn calls(&self, visit: &mut dyn FnMut(CallLegs<'_>)) {
        self.boards.calls.visit(|key, entry| {
            if !entry.legs.is_empty() {
                visit(CallLegs { call: &key.to_string(), legs: &entry.legs });
            }
        });
    }
}

/// A question that is answered slice by slice, so that nobody who changes something waits for all of it.
#[derive(Debug)]
pub(crate) struct Asked {
    changed: Changed,
    scope: Scope,
    progress: Progress,
    slice: Option<Slice>,
}

/// The same of other revocation lists.
#[derive(Debug)]
pub(crate) struct AskedLists {
    scope: Scope,
    progress: Progress,
    slice: Option<Slice>,
}

impl Default for AskedLists {
    fn default() -> Self {
        Self { scope: Scope::of_certificates(), progress: Progress::default(), slice: None }
    }
}

impl AskedLists {
    /// All phones were looked at.
    pub(crate) fn is_done(&self) -> bool {
        self.slice.is_some_and(Slice::is_last)
    }

    /// The answer.
    pub(crate) fn answer(self) -> Impact {
        self.progress.done()
    }
}

impl Asked {
    /// All phones were looked at.
    pub(crate) fn is_done(&self) -> bool {
        self.slice.is_some_and(Slice::is_last)
    }

    /// The answer.
    pub(crate) fn answer(self) -> Changed {
        Changed { impact: Some(Box::new(self.progress.done())), ..self.changed }
    }
}

impl Catalog {
    /// Begins to say what a request would do: what the change itself would answer.
    ///
    /// # Errors
    /// As for the change itself.
    pub(crate) fn ask(&mut self, request: &ChangeRequest, tools: Tools<'_>) -> Result<Asked, ChangeError> {
        let (changed, scope, staged) = self.judged(request, tools)?;
        self.inventory.revert(staged.undo);
        Ok(Asked { changed, scope, progress: Progress::default(), slice: None })
    }

    /// What a request would do, of one more slice of the phones that it touches. Nothing of it is done when this is
    /// called, and nothing afterwards: it is done in memory once more, looked at, and taken back.
    ///
    /// # Errors
    /// As for the change itself, also when what was changed meanwhile stands in its way.
    pub(crate) fn ask_on(
        &mut self,
        request: &ChangeRequest,
        tools: Tools<'_>,
        asked: &mut Asked,
    ) -> Result<(), ChangeError> {
        let slice = asked.scope.slice(&self.inventory, asked.slice, SLICE);
        let (scope, progress) = (&asked.scope, &mut asked.progress);
        let before = Before::take(&self.inventory, scope, slice, tools.live, tools.now, progress);
        let again = self.stage(request, tools)?;
        before.compare(&self.inventory, progress);
        self.inventory.revert(again.undo);
        asked.slice = Some(slice);
        Ok(())
    }

    /// What other revocation lists would do, of one more slice of all phones.
    pub(crate) fn ask_lists(&self, live: &NodeLive<'_>, asked: &mut AskedLists) {
        let slice = asked.scope.slice(&self.inventory, asked.slice, SLICE);
        let (scope, progress) = (&asked.scope, &mut asked.progress);
        let before = Before::take(&self.inventory, scope, slice, live, live.now, progress);
        before.compare(&self.inventory, progress);
        asked.slice = Some(slice);
    }

    /// Shared lines that are mixed now and that the change touches (R015).
    pub(super) fn mixed_remarks(&self, scope: &Scope) -> Vec<Remark> {
        let mixed = mixed_now(&self.inventory, scope, WARNED_MAX).into_iter();
        mixed
            .map(|line| {
                let first: Vec<_> = line.offending.first.iter().take(10).map(|d| d.as_str()).collect();
                let dots = if line.offending.count > 10 { ", …" } else { "" };
                Remark {
                    code: "shared_line_mixed",
                    text: "all devices that share a line with an encrypted phone must be set to encrypted",
                    name: format!("{}: {}{dots}", line.line, first.join(", ")),
                }
            })
            .collect()
    }
}

/// A certificate stays what it was where nobody can judge it anew.
pub(super) fn as_shown<'a>() -> Chains<'a> {
    Box::new(|shown: &ShownCertificate| shown.chain)
}
