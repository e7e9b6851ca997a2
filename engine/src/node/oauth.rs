//! The issuer of a running node, as the admin API asks for it.

use std::sync::Arc;

use keyline_actors::Handle;
use keyline_actors::clock::now;
use keyline_domain::audit::{Draft, Happened, Who};
use keyline_domain::ids::UserId;
use serde_json::{Value, json};

use crate::admin::oauth::{OauthApi, Wanted};
use crate::admin::{BoxFuture, Code, Problem};
use crate::oauth::{For, Oauth};

/// The issuer.
pub(super) struct Issuer {
    pub(super) handle: Handle,
    pub(super) oauth: Arc<Oauth>,
}

/// Kind of its entries in the audit.
const KIND: &str = "oauth_token";

fn off() -> Problem {
    let detail =
        "the node issues no tokens: oauth.embedded is false; ask the issuer that oauth.key_set_issuer names";
    Problem::new(Code::Conflict, detail)
}

impl OauthApi for Issuer {
    fn keys(&self) -> Value {
        self.oauth.published(&self.handle.boards.keys)
    }

    fn issue(&self, wanted: Wanted, who: Who) -> BoxFuture<Result<Value, Problem>> {
        let (handle, oauth) = (self.handle.clone(), Arc::clone(&self.oauth));
        Box::pin(async move {
            let settings = oauth.settings();
            // A token of a key that is gone would be void: none may outlast the key after its own.
            let most = settings.key_s;
            let lifetime_s = wanted.expires_s.unwrap_or(settings.token_s.min(most));
            if !(1..=most).contains(&lifetime_s) {
                let detail = format!("a token may last 1 to {most} seconds (oauth.key_s), not {lifetime_s}");
                return Err(Problem::new(Code::BadRequest, detail));
            }
            let (name, holder) = match (&wanted.phone, &wanted.user) {
                (Some(phone), _) => {
                    let devices = &handle.boards.devices;
                    let found =
                        devices.by_name(phone).or_else(|| devices.by_name(&phone.to_ascii_uppercase()));
                    let device = found.and_then(|d| devices.device(d)).ok_or_else(|| {
                        Problem::new(Code::PhoneNotFound, format!("there is no phone {phone:?}"))
                    })?;
                    if let Some(other) = wanted
                        .lines
                        .iter()
                        .find(|l| !device.lines.iter().any(|own| own.as_str() == l.as_str()))
                    {
                        let detail = format!("{other:?} is no line of {}", device.name);
                        return Err(Problem::new(Code::BadRequest, detail));
                    }
                    (device.name.to_string(), true)
                }
                (None, Some(user)) => {
                    UserId::parse(user).map_err(|e| Problem::new(Code::BadRequest, e.to_string()))?;
                    (user.clone(), false)
                }
                (None, None) => return Err(Problem::new(Code::BadRequest, "name a phone or a user")),
            };
            let mut id = [0; 16];
            getrandom::fill(&mut id)
                .map_err(|e| Problem::new(Code::Internal, format!("the system gave no random bytes: {e}")))?;
            let holder = if holder { For::Phone(&name) } else { For::User(&name) };
            let keys = &handle.boards.keys;
            let issued = oauth.issue(keys, holder, &wanted.lines, lifetime_s, now(), id).ok_or_else(off)?;
            let told = json!({
                "phone": wanted.phone, "user": wanted.user, "lines": wanted.lines, "expires": issued.expires,
            });
            let draft = Draft::new(&who, "oauth_issue", KIND, &name, Happened::Done).with(None, Some(&told));
            handle.note(draft).await.map_err(|e| Problem::new(Code::Internal, e.to_string()))?;
            Ok(json!({
                "access_token": issued.token.as_str(),
                "token_type": "Bearer",
                "expires_in": lifetime_s,
                "scope": settings.scope.join(" "),
            }))
        })
    }

    fn rotate(&self, who: Who) -> BoxFuture<Result<(), Problem>> {
        let (handle, embedded) = (self.handle.clone(), self.oauth.settings().embedded);
        Box::pin(async move {
            if !embedded {
                return Err(off());
            }
            handle.rotate_oauth(who).await.map_err(|e| Problem::new(Code::Internal, e.to_string()))
        })
    }
}
