//! Who a request speaks for: the line in From, unless From is anonymous; and how its sender is named to others.

use std::borrow::Cow;
use std::sync::Arc;

use keyline_actors::board::Device;
use keyline_actors::route::CallKey;
use keyline_domain::call::{ANONYMOUS, Identity, Privacy, named};
use keyline_domain::ids::Dn;
use keyline_wire::sip::{Credentials, HeaderName, Host, Message, NameAddr};

use super::inbound::{contact_device, serves};
use super::invite::name_addr;
use super::shared::Shared;

/// The line that a request claims. An anonymous From (RFC 3323 §4.1.1.3) claims none: then it is the preferred
/// identity (RFC 3325 §9.2), the user of Contact, the first line of the device that Contact or the digest answer
/// names, or, in a call, the caller's. A claim only: admission asks for its proof.
pub(super) fn claimed_line(shared: &Shared, message: &Message<'_>, call: Option<CallKey>) -> String {
    let from = message.from();
    let user = from.as_ref().and_then(|f| f.uri.aor_user().map(Cow::into_owned)).unwrap_or_default();
    if !from.is_some_and(|f| is_anonymous(&f)) {
        return user;
    }
    let boards = &shared.boards;
    let preferred = preferred(shared, message).map(|dn| dn.as_str().to_owned());
    let contact = || {
        let user = message.contact()?.uri.aor_user()?.into_owned();
        boards.devices.has_line(&user).then_some(user)
    };
    let device = || {
        let by_name = contact_device(message).and_then(|name| boards.devices.by_name(&name));
        let by_user = || {
            message.authorizations().chain(message.proxy_authorizations()).find_map(|c| match c {
                Ok(Credentials::Digest(d)) => boards.devices.by_digest_user(d.username.as_deref()?),
                _ => None,
            })
        };
        let by_call = || boards.devices.by_name(&boards.calls.get(call?)?.caller);
        let index = by_name.or_else(by_user).or_else(by_call)?;
        boards.devices.device(index)?.lines.first().map(|dn| dn.as_str().to_owned())
    };
    preferred.or_else(contact).or_else(device).unwrap_or(user)
}

/// P-Preferred-Identity, where it names a line here.
fn preferred(shared: &Shared, message: &Message<'_>) -> Option<Dn> {
    let wish = message.address(HeaderName::PPreferredIdentity).filter(|a| serves(shared, &a.uri))?;
    Dn::parse(&wish.uri.aor_user()?).ok().filter(|dn| shared.boards.devices.has_line(dn.as_str()))
}

fn is_anonymous(from: &NameAddr<'_>) -> bool {
    let host =
        matches!(from.uri.host, Some(Host::Name(name)) if name.eq_ignore_ascii_case("anonymous.invalid"));
    host || from.uri.aor_user().is_some_and(|u| u.eq_ignore_ascii_case("anonymous"))
}

/// From of the INVITEs to called phones, and what is asserted to them. The identity is the proven line's, or another
/// line of the same device that the phone prefers; the display name is what the node knows, else the phone's own.
pub(super) fn of_caller(
    shared: &Shared,
    message: &Message<'_>,
    device: &Device,
    line: &str,
) -> (Arc<str>, Identity) {
    let anonymous = message.from().is_some_and(|f| is_anonymous(&f));
    let privacy = Privacy::parse(message.all(HeaderName::Privacy));
    if privacy.hides() || (anonymous && !privacy.none) {
        return (ANONYMOUS.into(), Identity::Hidden);
    }
    let own = |dn: &Dn| device.lines.contains(dn);
    let wish = preferred(shared, message).filter(own);
    let shown = wish.as_ref().map_or(line, Dn::as_str);
    let display = message.from().filter(|_| !anonymous).map(|f| f.display().into_owned()).unwrap_or_default();
    let addr_spec = name_addr("", shown, &shared.domain);
    let known = if device.description.is_empty() { display.as_str() } else { &device.description };
    (name_addr(&display, line, &shared.domain), Identity::Shown(named(known, &addr_spec)))
}
