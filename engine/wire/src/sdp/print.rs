use std::ops::Range;

use super::{Attribute, Connection, Direction, Media, Sdp, Text};
use crate::sip::text::push_number;

/// Prints a description in the order of RFC 8866 §5. Also where in it the version of the origin line stands.
pub(super) fn print(sdp: &Sdp<'_>) -> (String, Range<usize>) {
    let mut out = String::with_capacity(512 + 256 * sdp.media.len());
    let version = session(&mut out, sdp);
    (out, version)
}

fn push(out: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| out.push_str(part));
}

fn session(out: &mut String, sdp: &Sdp<'_>) -> Range<usize> {
    let o = &sdp.origin;
    push(out, &["v=0\r\no=", &o.username, " ", &o.session_id, " "]);
    let version = out.len()..out.len() + o.version.len();
    push(out, &[&o.version, " IN ", &o.address_type, " ", &o.address, "\r\ns=", &sdp.name, "\r\n"]);
    connection(out, sdp.connection.as_ref());
    bandwidth(out, &sdp.bandwidth);
    push(out, &["t=", &sdp.time, "\r\n"]);
    attributes(out, sdp.direction, &sdp.attributes);
    sdp.media.iter().for_each(|m| media(out, m));
    version
}

fn media(out: &mut String, media: &Media<'_>) {
    push(out, &["m=", &media.kind, " "]);
    push_number(out, media.port.into());
    if let Some(ports) = media.ports {
        out.push('/');
        push_number(out, ports.into());
    }
    push(out, &[" ", &media.proto]);
    media.formats.iter().for_each(|format| push(out, &[" ", format]));
    out.push_str("\r\n");
    if let Some(title) = &media.title {
        push(out, &["i=", title, "\r\n"]);
    }
    connection(out, media.connection.as_ref());
    bandwidth(out, &media.bandwidth);
    media.crypto.iter().for_each(|line| line.push(out));
    attributes(out, media.direction, &media.attributes);
}

fn connection(out: &mut String, connection: Option<&Connection<'_>>) {
    if let Some(c) = connection {
        push(out, &[if c.ip6 { "c=IN IP6 " } else { "c=IN IP4 " }, &c.address, "\r\n"]);
    }
}

fn bandwidth(out: &mut String, lines: &[Text<'_>]) {
    lines.iter().for_each(|line| push(out, &["b=", line, "\r\n"]));
}

fn attributes(out: &mut String, direction: Option<Direction>, attributes: &[Attribute<'_>]) {
    for Attribute { name, value } in attributes {
        match value {
            Some(value) => push(out, &["a=", name, ":", value, "\r\n"]),
            None => push(out, &["a=", name, "\r\n"]),
        }
    }
    if let Some(direction) = direction {
        push(out, &["a=", direction.as_str(), "\r\n"]);
    }
}
