//! Tokens of the admin API.

use keyline_actors::catalog::{TokenChange, TokenRefused};
use keyline_actors::clock::now;
use serde_json::Value;

use super::args::{Place, Token};
use super::source::{Source, refused};
use super::{Failure, World, ask, listing};
use crate::admin::control::{Ask, ControlError, Method, escape};
use crate::admin::tokens::{Wanted, random, refusal, show};
use crate::config::Config;

pub(super) fn execute(
    what: &Token,
    (place, config): (&Place, &Config),
    world: &mut World<'_>,
) -> Result<(), Failure> {
    match what {
        Token::Create { name, role, expires } => {
            let wanted = Wanted { name: name.clone(), role: *role, expires_s: *expires };
            let text = match Source::any(place, config, world)? {
                Source::Node(mut node) => {
                    let body = Some(serde_json::to_vec(&wanted).map_err(|_| ControlError::Strange)?);
                    let (path, media) = ("/api/v1/tokens", Some("application/json"));
                    let ask = Ask { method: Method::POST, path, media, body, headers: Vec::new() };
                    node.ask(ask)?.body["token"].as_str().ok_or(ControlError::Strange)?.to_owned()
                }
                Source::Store(mut store) => {
                    let (token, text) = wanted.make(now(), random().map_err(refused)?);
                    store.change_token(TokenChange::Create(token)).map_err(|e| refused(refusal(&e)))?;
                    text
                }
            };
            writeln!(world.out, "{text}").map_err(Failure::output)
        }
        Token::List(form) => {
            let rows: Vec<Value> = match Source::any(place, config, world)? {
                Source::Node(mut node) => {
                    let page = node.json("/api/v1/tokens")?;
                    page["items"].as_array().cloned().ok_or(ControlError::Strange)?
                }
                Source::Store(store) => store.tokens().iter().map(show).collect(),
            };
            listing::rows(listing::TOKENS, &rows, form.form(), world)
        }
        Token::Show { name, form } => {
            let token = match Source::any(place, config, world)? {
                Source::Node(mut node) => node.json(&format!("/api/v1/tokens/{}", escape(name)))?,
                Source::Store(store) => match store.tokens().iter().find(|token| *token.name == **name) {
                    Some(token) => show(token),
                    None => return Err(refused(refusal(&TokenRefused::Unknown(name.as_str().into())))),
                },
            };
            super::show::print(&token, form, world)
        }
        Token::Revoke { name, yes } => {
            ask::possible(*yes, world)?;
            if !yes {
                ask::confirm(&format!("void token {name:?}? who uses it is shut out at once."), world)?;
            }
            match Source::any(place, config, world)? {
                Source::Node(mut node) => {
                    let path = format!("/api/v1/tokens/{}", escape(name));
                    let headers = Vec::new();
                    let ask = Ask { method: Method::DELETE, path: &path, media: None, body: None, headers };
                    drop(node.ask(ask)?);
                }
                Source::Store(mut store) => store
                    .change_token(TokenChange::Revoke(name.as_str().into()))
                    .map_err(|e| refused(refusal(&e)))?,
            }
            writeln!(world.out, "token {name} is void").map_err(Failure::output)
        }
    }
}
