//! Claims: which device a request says it comes from. A claim proves nothing.

use crate::ids::DeviceIndex;

use super::CertificateName;

/// What a request says about its sender. Texts as received, unescaped, not yet checked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Claim<'a> {
    /// Device name parameter of the Contact (REGISTER).
    pub contact_device: Option<&'a str>,
    /// `username` of the digest answer for our realm.
    pub digest_user: Option<&'a str>,
    /// User part of the address of record: To in a REGISTER, else From.
    pub line: Option<&'a str>,
    /// Common name of the client certificate.
    pub certificate_cn: Option<&'a str>,
    /// The one device that a bearer token names.
    pub token_device: Option<&'a str>,
    /// Device whose live binding is on the flow that the request came in on.
    pub bound: Option<DeviceIndex>,
}

/// Which part of the claim named the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClaimedBy {
    /// Contact's device name parameter.
    ContactDevice,
    /// The digest user name.
    DigestUser,
    /// The line, which exactly one device has.
    Line,
    /// A shared line, on the flow of one of its devices.
    Flow,
    /// A shared line, and a certificate that names one of its devices.
    Certificate,
    /// A shared line, and a bearer token that names one of its devices.
    Token,
}

/// The look-ups that claims need; the engine answers them from its boards.
pub trait Directory {
    /// Device of this name, in any case.
    fn device_named(&self, name: &str) -> Option<DeviceIndex>;
    /// The one device with this digest user, or with this Extension Mobility user logged in; `None`
    /// when there are several (R196).
    fn device_of_digest_user(&self, user: &str) -> Option<DeviceIndex>;
    /// The device that has this line, when exactly one has it.
    fn only_device_of_line(&self, dn: &str) -> Option<DeviceIndex>;
    /// Whether a device has this line.
    fn has_line(&self, device: DeviceIndex, dn: &str) -> bool;
}

/// Names the claimed device: by Contact's device name, else by the digest user, else by the line when
/// exactly one device has it (design §5). A shared line alone names nobody; then the device that is
/// bound on this flow, or that the token or the certificate names, is taken if it has the line.
///
/// A Contact that names an unknown device claims nothing: it is not looked for elsewhere.
pub fn resolve(claim: &Claim<'_>, directory: &impl Directory) -> Option<(DeviceIndex, ClaimedBy)> {
    if let Some(name) = claim.contact_device {
        return directory.device_named(name).map(|d| (d, ClaimedBy::ContactDevice));
    }
    if let Some(device) = claim.digest_user.and_then(|u| directory.device_of_digest_user(u)) {
        return Some((device, ClaimedBy::DigestUser));
    }
    let line = claim.line?;
    if let Some(device) = directory.only_device_of_line(line) {
        return Some((device, ClaimedBy::Line));
    }
    let has_it = |d: &DeviceIndex| directory.has_line(*d, line);
    if let Some(device) = claim.bound.filter(has_it) {
        return Some((device, ClaimedBy::Flow));
    }
    if let Some(device) = claim.token_device.and_then(|name| directory.device_named(name)).filter(has_it) {
        return Some((device, ClaimedBy::Token));
    }
    let named = claim.certificate_cn.map(CertificateName::parse)?;
    let device = directory.device_named(named.device()?.as_str()).filter(has_it)?;
    Some((device, ClaimedBy::Certificate))
}
