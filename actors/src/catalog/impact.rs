//! What a change would do, asked of the running node: its boards as the domain's [`Live`].

use keyline_domain::identity::ShownCertificate;
use keyline_domain::ids::{DeviceIndex, UnixMillis};
use keyline_domain::impact::{Before, CallLegs, Chains, Impact, Live, LivePhone, Scope, mixed_now};
use keyline_domain::inventory::CertificateRow;

use super::Catalog;
use super::change::{ChangeError, ChangeRequest, Remark, Tools};
use super::import::Inspect;
use crate::board::Boards;

/// Phones beyond which a change that is really done is not searched for shared lines that it mixes: who wants
/// to know asks before.
const WARNED_MAX: usize = 1000;

/// Phones and calls of the running node.
pub(crate) struct NodeLive<'a> {
    pub(crate) boards: &'a Boards,
    pub(crate) inspect: &'a dyn Inspect,
    pub(crate) now: UnixMillis,
}

impl Live for NodeLive<'_> {
    fn phone(&self, index: DeviceIndex) -> Option<LivePhone> {
        let slot = self.boards.devices.slot(index)?;
        let device = slot.device()?;
        let row = slot.row();
        let judged = self.boards.profiles.judge(device.profile, row.as_deref(), self.now);
        Some(LivePhone { settings: judged.map(|j| j.settings), row, shown: slot.shown() })
    }

    fn chains<'a>(&'a self, trusted: &[CertificateRow]) -> Chains<'a> {
        self.inspect.chains(trusted)
    }

    fn calls(&self, visit: &mut dyn FnMut(CallLegs<'_>)) {
        self.boards.calls.visit(|key, entry| {
            if !entry.legs.is_empty() {
                visit(CallLegs { call: &key.to_string(), legs: &entry.legs });
            }
        });
    }
}

impl Catalog {
    /// What a request would do. Nothing of it is done when this is called, and nothing afterwards: it is done
    /// in memory once more, looked at, and taken back.
    pub(super) fn impact_of(
        &mut self,
        request: &ChangeRequest,
        tools: Tools<'_>,
        scope: &Scope,
    ) -> Result<Impact, ChangeError> {
        let before = Before::take(&self.inventory, scope, tools.live, tools.now);
        let again = self.stage(request, tools)?;
        let impact = before.compare(&self.inventory);
        self.inventory.revert(again.undo);
        Ok(impact)
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
