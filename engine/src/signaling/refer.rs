//! REFER and Replaces: what a phone asks for, in the words of calls (RFC 3515, 3891).

use keyline_domain::call::{CallRef, DialogId, Header, Headers, Refer, ReferTo, Replaced};
use keyline_domain::ids::Dn;
use keyline_wire::sip::{HeaderName, Message, NameAddr, Replaces, Scheme, Uri};

use super::inbound::serves;
use super::invite::name_addr;
use super::path::Path;
use super::shared::Shared;
use super::worker::State;

/// Longest Subject that is taken out of a Refer-To.
const SUBJECT_MAX: usize = 256;

impl State {
    /// REFER that names no dialog: nobody is transferred without being in a call (R162: after its sender is
    /// known).
    pub(super) fn refer_outside(&mut self, shared: &Shared, path: &Path, message: &Message<'_>) {
        if self.speak(shared, path, message, false).is_some() {
            self.refuse_stateless(shared, path, message, 403, "REFER is served inside a call only");
        }
    }
}

/// What a REFER says.
pub(super) fn read(shared: &Shared, message: &Message<'_>) -> Refer {
    let refuses = |value: &str| value.trim().eq_ignore_ascii_case("false");
    let subscribe = !message
        .first(HeaderName::ReferSub)
        .is_some_and(|v| refuses(v.split(';').next().unwrap_or_default()));
    Refer { to: read_to(shared, message), subscribe }
}

fn read_to(shared: &Shared, message: &Message<'_>) -> Result<ReferTo, u16> {
    let mut values = message.values(HeaderName::ReferTo);
    let (Some(value), None) = (values.next(), values.next()) else { return Err(400) };
    let address = NameAddr::parse(value).map_err(|_| 400u16)?;
    let uri = &address.uri;
    // Anything but a call is asked of us in vain (RFC 3515 §2.4.2 leaves it to the recipient).
    if uri.param("method").is_some_and(|p| !p.text().eq_ignore_ascii_case("INVITE")) {
        return Err(403);
    }
    let user = match uri.scheme {
        Scheme::Sip | Scheme::Sips if serves(shared, uri) => uri.aor_user().ok_or(404u16)?.into_owned(),
        Scheme::Sip | Scheme::Sips => return Err(403),
        Scheme::Tel => number(uri).ok_or(404u16)?,
        Scheme::Other(_) => return Err(416),
    };
    let line = Dn::parse(&user).map_err(|_| 404u16)?;
    if !shared.boards.devices.has_line(line.as_str()) {
        return Err(404);
    }
    let sips = uri.scheme == Scheme::Sips;
    let called_uri = name_addr("", line.as_str(), &shared.domain);
    let (mut replaced, mut headers) = (None, Headers::new());
    for header in uri.headers() {
        // Everything else that could stand there is ours to write: dropped.
        if header.name.eq_ignore_ascii_case("Replaces") {
            if replaced.is_some() {
                return Err(400);
            }
            let value = uri.header("Replaces").ok_or(400u16)?;
            replaced = Some(read_replaces(shared, &Replaces::parse(&value).map_err(|_| 400u16)?));
        } else if header.name.eq_ignore_ascii_case("Require") {
            let value = uri.header("Require").ok_or(400u16)?;
            if value.split(',').any(|t| !t.trim().eq_ignore_ascii_case("replaces")) {
                return Err(420);
            }
        } else if header.name.eq_ignore_ascii_case("Subject") && headers.is_empty() {
            let value = uri.header("Subject").filter(|v| v.len() <= SUBJECT_MAX);
            headers.extend(value.map(|v| Header::new("Subject", &*v)));
        }
    }
    Ok(ReferTo { line, called_uri, sips, replaced, headers })
}

/// Digits of a tel URI without its visual separators (RFC 3966 §5.1.1).
fn number(uri: &Uri<'_>) -> Option<String> {
    let user = uri.aor_user()?;
    Some(user.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')')).collect())
}

/// The dialog that a Replaces names, from our side: its to-tag is ours (RFC 3891 §3).
pub(super) fn read_replaces(shared: &Shared, replaces: &Replaces<'_>) -> Replaced {
    let made = shared.boards.keys.load().tags.parse(replaces.to_tag);
    let call = made.map(|(made, _)| shared.boards.calls.home_of(replaces.to_tag, made));
    Replaced {
        call: call.map(|call| CallRef(call.pack())),
        dialog: DialogId {
            call_id: replaces.call_id.into(),
            local_tag: replaces.to_tag.into(),
            remote_tag: replaces.from_tag.into(),
        },
        early_only: replaces.early_only,
    }
}
