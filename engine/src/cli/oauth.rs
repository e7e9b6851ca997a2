//! Bearer tokens for phones, from the node's own issuer.

use serde_json::Value;

use super::args::{Oauth, Place};
use super::source::Source;
use super::{Failure, World, ask, said};
use crate::admin::control::{Ask, ControlError, Method};
use crate::admin::oauth::Wanted;
use crate::config::Config;

pub(super) fn execute(
    what: &Oauth,
    place: &Place,
    config: &Config,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    match what {
        Oauth::Issue { phone, user, lines, expires, json } => {
            let wanted = Wanted {
                phone: phone.clone(),
                user: user.clone(),
                lines: lines.clone(),
                expires_s: *expires,
            };
            let body = serde_json::to_vec(&wanted).map_err(|_| ControlError::Strange)?;
            let issued = post("/api/v1/oauth/tokens", Some(body), place, config)?;
            if *json {
                return said::whole(&issued, world);
            }
            let token = issued["access_token"].as_str().ok_or(ControlError::Strange)?;
            writeln!(world.out, "{token}").map_err(Failure::output)
        }
        Oauth::Keys => {
            let keys = Source::running(place, config)?.node()?.json("/api/v1/oauth/keys")?;
            said::whole(&keys, world)
        }
        Oauth::Rotate { yes } => {
            ask::possible(*yes, world)?;
            if !yes {
                ask::confirm(
                    "sign with a new key? tokens of the key before the present one end at once.",
                    world,
                )?;
            }
            let keys = post("/api/v1/oauth/rotate", None, place, config)?;
            said::whole(&keys, world)
        }
    }
}

fn post(path: &str, body: Option<Vec<u8>>, place: &Place, config: &Config) -> Result<Value, Failure> {
    let media = body.is_some().then_some("application/json");
    let ask = Ask { method: Method::POST, path, media, body, headers: Vec::new() };
    Ok(Source::running(place, config)?.node()?.ask(ask)?.body)
}
