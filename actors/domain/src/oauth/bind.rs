//! Whose a token is (R167; RFC 8898 §2.2: it must map to the address of record).

use super::{Claims, Fault};
use crate::ids::{DeviceName, UserId};

/// The claimed device, and what it speaks for.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    /// Its name.
    pub device: &'a DeviceName,
    /// Its user: the one logged in, else its own (R195, R199).
    pub user: Option<&'a UserId>,
    /// User parts of the addresses of record that the request speaks for; none in a dialog.
    pub aors: &'a [&'a str],
}

/// Whether a token is this device's. A token that names devices is for these alone, whoever its user is; one that
/// names none is for the devices of its user, or for the device that it names in the user's place, as issuers that
/// know no claim of ours do.
///
/// # Errors
/// [`Fault::NamesNobody`], [`Fault::OtherDevice`], [`Fault::OtherUser`], [`Fault::OtherLine`].
pub fn names(claims: &Claims, holder: &Holder<'_>) -> Result<(), Fault> {
    let is_device = |name: &str| name.eq_ignore_ascii_case(holder.device.as_str());
    match (claims.devices.as_slice(), claims.user.as_deref()) {
        ([], None) => return Err(Fault::NamesNobody),
        ([], Some(user)) => {
            let own = holder.user.is_some_and(|u| u.as_str() == user);
            if !own && !is_device(user) {
                return Err(Fault::OtherUser);
            }
        }
        (devices, _) if devices.iter().any(|d| is_device(d)) => {}
        _ => return Err(Fault::OtherDevice),
    }
    match &claims.lines {
        Some(lines) if !holder.aors.iter().all(|aor| lines.iter().any(|l| **l == **aor)) => {
            Err(Fault::OtherLine)
        }
        _ => Ok(()),
    }
}
