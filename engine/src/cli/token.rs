//! Tokens of the admin API.

use keyline_actors::catalog::TokenChange;
use keyline_actors::clock::now;
use serde_json::Value;

use super::args::Token;
use super::{Failure, World, ask, listing};
use crate::admin::control::{Ask, Control, ControlError, Method, escape};
use crate::admin::tokens::{Wanted, random, refusal, show};
use crate::admin::{OfflineApi, Problem, TOKEN_FILE};
use crate::config::Config;

pub(super) fn execute(what: &Token, config: &Config, world: &mut World<'_>) -> Result<(), Failure> {
    let node = Control::connect(&config.node.data_dir)?;
    match what {
        Token::Create { name, role, expires } => {
            let wanted = Wanted { name: name.clone(), role: *role, expires_s: *expires };
            let text = match node {
                Some(mut node) => {
                    let body = serde_json::to_vec(&wanted).map_err(|_| ControlError::Strange)?;
                    let made = node.post("/tokens", body)?;
                    made["token"].as_str().ok_or(ControlError::Strange)?.to_owned()
                }
                None => {
                    let (token, text) = wanted.make(now(), random().map_err(refused)?);
                    store(config, world)?
                        .change_token(TokenChange::Create(token))
                        .map_err(|e| refused(refusal(&e)))?;
                    text
                }
            };
            writeln!(world.out, "{text}").map_err(Failure::output)
        }
        Token::List(form) => {
            let rows: Vec<Value> = match node {
                Some(mut node) => {
                    node.json("/tokens")?["items"].as_array().cloned().ok_or(ControlError::Strange)?
                }
                None => store(config, world)?.tokens().iter().map(show).collect(),
            };
            listing::rows(listing::TOKENS, &rows, form.form(), world)
        }
        Token::Revoke { name, yes } => {
            if !yes {
                ask::confirm(&format!("void token {name:?}? who uses it is shut out at once."), world)?;
            }
            match node {
                Some(mut node) => {
                    let path = format!("/tokens/{}", escape(name));
                    let ask = Ask {
                        method: Method::DELETE,
                        path: &path,
                        media: None,
                        body: None,
                        headers: Vec::new(),
                    };
                    drop(node.ask(ask)?);
                }
                None => store(config, world)?
                    .change_token(TokenChange::Revoke(name.as_str().into()))
                    .map_err(|e| refused(refusal(&e)))?,
            }
            writeln!(world.out, "token {name} is void").map_err(Failure::output)
        }
    }
}

fn store(config: &Config, world: &World<'_>) -> Result<Box<dyn OfflineApi>, Failure> {
    let data = &config.node.data_dir;
    if !data.join(TOKEN_FILE).exists() {
        return Err(Failure::Refused(format!(
            "{} holds no data and no node runs on it; `keyline init` begins one",
            data.display()
        )));
    }
    world.backend.open(config)
}

fn refused(problem: Problem) -> Failure {
    Failure::Control(ControlError::Refused(problem.document()))
}
