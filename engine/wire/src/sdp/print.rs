use std::fmt::{Result, Write};

use super::{Attribute, Connection, Direction, Media, Sdp};

/// Prints a description in the order of RFC 8866 §5.
pub(super) fn print(sdp: &Sdp) -> Vec<u8> {
    let mut out = String::with_capacity(512 + 256 * sdp.media.len());
    // Writing to a String cannot fail.
    let _ = session(&mut out, sdp);
    out.into_bytes()
}

fn session(out: &mut String, sdp: &Sdp) -> Result {
    let o = &sdp.origin;
    write!(
        out,
        "v=0\r\no={} {} {} IN {} {}\r\n",
        o.username, o.session_id, o.version, o.address_type, o.address
    )?;
    write!(out, "s={}\r\n", sdp.name)?;
    connection(out, sdp.connection.as_ref())?;
    bandwidth(out, &sdp.bandwidth)?;
    write!(out, "t={}\r\n", sdp.time)?;
    attributes(out, sdp.direction, &sdp.attributes)?;
    sdp.media.iter().try_for_each(|m| media(out, m))
}

fn media(out: &mut String, media: &Media) -> Result {
    write!(out, "m={} {}", media.kind, media.port)?;
    if let Some(ports) = media.ports {
        write!(out, "/{ports}")?;
    }
    write!(out, " {}", media.proto)?;
    media.formats.iter().try_for_each(|f| write!(out, " {f}"))?;
    out.write_str("\r\n")?;
    if let Some(title) = &media.title {
        write!(out, "i={title}\r\n")?;
    }
    connection(out, media.connection.as_ref())?;
    bandwidth(out, &media.bandwidth)?;
    media.crypto.iter().try_for_each(|line| line.write(out))?;
    attributes(out, media.direction, &media.attributes)
}

fn connection(out: &mut String, connection: Option<&Connection>) -> Result {
    let Some(c) = connection else { return Ok(()) };
    write!(out, "c=IN {} {}\r\n", if c.ip6 { "IP6" } else { "IP4" }, c.address)
}

fn bandwidth(out: &mut String, lines: &[Box<str>]) -> Result {
    lines.iter().try_for_each(|line| write!(out, "b={line}\r\n"))
}

fn attributes(out: &mut String, direction: Option<Direction>, attributes: &[Attribute]) -> Result {
    for Attribute { name, value } in attributes {
        match value {
            Some(value) => write!(out, "a={name}:{value}\r\n")?,
            None => write!(out, "a={name}\r\n")?,
        }
    }
    direction.map_or(Ok(()), |d| write!(out, "a={}\r\n", d.as_str()))
}
