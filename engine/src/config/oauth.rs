//! `[oauth]`: whose bearer tokens open the SIP OAuth listener.

use std::fmt;
use std::path::{Path, PathBuf};

use keyline_domain::oauth::ClaimNames;

use super::check::{Checker, flag, list, number, text};
use super::error::Problem;

/// Entries of `audience` and `scope`.
const LIST_MAX: usize = 16;
/// Longest name, URL or claim, in bytes.
const TEXT_MAX: usize = 512;
const DAY_S: u64 = 86_400;

/// `[oauth]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oauth {
    /// `embedded`: the node issues tokens itself and takes them.
    pub embedded: bool,
    /// `issuer`: the `iss` of the node's own tokens.
    pub issuer: String,
    /// `authz_server`: where challenges send phones for a token, an https URI.
    pub authz_server: String,
    /// `audience`: a token must be meant for one of these.
    pub audience: Vec<String>,
    /// `scope`: a token must have all of these.
    pub scope: Vec<String>,
    /// `skew_s`: seconds that an issuer's clock and ours may differ by.
    pub skew_s: u64,
    /// `token_s`: seconds that the node's own tokens hold unless another time is asked for.
    pub token_s: u64,
    /// `key_s`: seconds for which a key of the node signs before the next one does; it is known as long again.
    pub key_s: u64,
    /// `key_set`: keys of an issuer outside.
    pub key_set: Option<KeySource>,
    /// `key_set_issuer`: that issuer's `iss`.
    pub key_set_issuer: String,
    /// `key_set_ca`: authorities for the URL; the system's if not set.
    pub key_set_ca: Option<PathBuf>,
    /// `refresh_s`: seconds after which the key set is read again.
    pub refresh_s: u64,
    /// `device_claim`, `user_claim`, `lines_claim`.
    pub claims: ClaimNames,
}

/// Where a key set is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file.
    File(PathBuf),
    /// An https URL.
    Url(String),
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(url),
        }
    }
}

impl Checker<'_> {
    pub(super) fn oauth(&mut self, folder: &Path, domain: &str) -> Oauth {
        let own = format!("https://{domain}");
        let names = ClaimNames::default();
        let embedded = self.take("oauth", "embedded", flag).unwrap_or(true);
        let issuer = self.oauth_text("issuer").unwrap_or_else(|| own.clone());
        let key_set = self.take("oauth", "key_set", |value| {
            let text = short(text(value)?)?;
            match text.split_once("://") {
                Some(("https", rest)) if !rest.is_empty() && !rest.starts_with('/') => {
                    Ok(KeySource::Url(text))
                }
                Some(_) => {
                    Err("is no https URL; write \"https://HOST/PATH\", or the path of a file".to_owned())
                }
                None if text.is_empty() => Err("is empty; write a path or an https URL".to_owned()),
                None => Ok(KeySource::File(folder.join(text))),
            }
        });
        let key_set_issuer = self.oauth_text("key_set_issuer").unwrap_or_default();
        let key_set_ca = self.oauth_text("key_set_ca").map(|path| folder.join(path));
        if key_set.is_some() && (key_set_issuer.is_empty() || (embedded && key_set_issuer == issuer)) {
            self.oauth_problem(
                if self.has("oauth", "key_set_issuer") { "key_set_issuer" } else { "key_set" },
                "needs oauth.key_set_issuer, the `iss` of the tokens that these keys sign; it must not be that of \
                 the node's own tokens (oauth.issuer)",
            );
        }
        let key_s = self.take("oauth", "key_s", |v| number(v, 1, 365 * DAY_S)).unwrap_or(30 * DAY_S);
        let token_s = self.take("oauth", "token_s", |v| number(v, 1, 30 * DAY_S)).unwrap_or(3_600);
        Oauth {
            embedded,
            issuer,
            authz_server: self
                .take("oauth", "authz_server", |value| {
                    let text = short(text(value)?)?;
                    match text.starts_with("https://") && !text.contains(['"', '\\', ' ']) {
                        true => Ok(text),
                        false => Err("is no https URI (RFC 8898 §4)".to_owned()),
                    }
                })
                .unwrap_or(own),
            audience: self.oauth_list("audience").unwrap_or_else(|| vec!["keyline".to_owned()]),
            scope: self.oauth_list("scope").unwrap_or_else(|| vec!["sip".to_owned()]),
            skew_s: self.take("oauth", "skew_s", |v| number(v, 0, 600)).unwrap_or(60),
            token_s,
            key_s,
            key_set,
            key_set_issuer,
            key_set_ca,
            refresh_s: self.take("oauth", "refresh_s", |v| number(v, 1, 7 * DAY_S)).unwrap_or(3_600),
            claims: ClaimNames {
                device: self.oauth_text("device_claim").unwrap_or(names.device),
                user: self.oauth_text("user_claim").unwrap_or(names.user),
                lines: self.oauth_text("lines_claim").unwrap_or(names.lines),
            },
        }
    }

    fn oauth_text(&mut self, key: &'static str) -> Option<String> {
        self.take("oauth", key, |value| match short(text(value)?)? {
            text if text.is_empty() => Err("is empty".to_owned()),
            text => Ok(text),
        })
    }

    fn oauth_list(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.take("oauth", key, |value| {
            let words = list(value, LIST_MAX, "is no list of texts; write [\"one\", \"two\"]")?;
            // They are put into challenges and compared word by word.
            // A token that is meant for anybody would be one that is meant for somebody else.
            if words.is_empty() && key == "audience" {
                return Err(
                    "names nobody; write the `aud` of the tokens that are meant for this node".to_owned()
                );
            }
            match words.iter().find(|w| w.is_empty() || w.len() > TEXT_MAX || w.contains(['"', '\\', ' '])) {
                Some(wrong) => Err(format!("{wrong:?} has a blank or a quote, is empty, or too long")),
                None => Ok(words),
            }
        })
    }

    fn oauth_problem(&mut self, key: &'static str, reason: &str) {
        let Some((place, value)) = self.given("oauth", key) else { return };
        self.problem(Problem::Value { place, key: format!("oauth.{key}"), value, reason: reason.to_owned() });
    }
}

fn short(text: &str) -> Result<String, String> {
    if text.len() > TEXT_MAX || text.chars().any(char::is_control) {
        return Err(format!("is longer than {TEXT_MAX} bytes, or has control characters"));
    }
    Ok(text.to_owned())
}
