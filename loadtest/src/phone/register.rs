//! Registration.

use std::fmt::Write as _;
use std::sync::Arc;

use keyline_wire::sip::{Contacts, HeaderName, Message};

use super::client::Unwatched;
use super::text::{ALLOW, Outgoing, contact, random, supported, user_agent};
use super::{Inner, Phone, PhoneError};

/// Identity of a line's registration: kept over refreshes (RFC 3261 §10.2).
#[derive(Debug, Clone)]
pub(super) struct Registration {
    call_id: String,
    tag: String,
    cseq: u32,
}

/// What the server granted.
#[derive(Debug, Clone)]
pub struct Registered {
    /// Seconds granted: `expires` of the own Contact, else the Expires header; 0 when nothing is
    /// registered any more.
    pub expires: u32,
    /// All Contact values of the 200, as written.
    pub contacts: Vec<String>,
    /// The 200.
    pub response: Arc<Message<'static>>,
}

impl Phone {
    /// Registers every line, or with [`super::PhoneConfig::bulk`] all by one request. Answers challenges,
    /// takes Min-Expires of a 423. Gives the last line's grant.
    ///
    /// # Errors
    /// [`PhoneError::Refused`] with the final status, or why there is none.
    pub async fn register(&self) -> Result<Registered, PhoneError> {
        self.register_for(self.config().expires).await
    }

    /// Registers again under the nonce and Call-ID in use: nc and CSeq rise by one.
    ///
    /// # Errors
    /// As [`Phone::register`].
    pub async fn refresh(&self) -> Result<Registered, PhoneError> {
        self.register().await
    }

    /// Removes the phone's bindings (Expires 0).
    ///
    /// # Errors
    /// As [`Phone::register`].
    pub async fn unregister(&self) -> Result<Registered, PhoneError> {
        self.register_for(0).await
    }

    /// Registers for that many seconds.
    ///
    /// # Errors
    /// As [`Phone::register`].
    pub async fn register_for(&self, expires: u32) -> Result<Registered, PhoneError> {
        let config = self.config();
        let lines = if config.bulk { &config.lines[..1] } else { &config.lines[..] };
        let mut last = None;
        for line in lines {
            last = Some(self.inner.register_line(line, expires, &[]).await?);
        }
        last.ok_or(PhoneError::NoLine)
    }

    /// Registers one line with further headers; a header named `Contact` replaces the phone's own.
    ///
    /// # Errors
    /// As [`Phone::register`].
    pub async fn register_line(
        &self,
        line: &str,
        expires: u32,
        headers: &[(&str, &str)],
    ) -> Result<Registered, PhoneError> {
        self.inner.register_line(line, expires, headers).await
    }

    /// Begins a new registration of all lines: new Call-ID, as after a restart of the phone.
    pub fn forget_registration(&self) {
        self.inner.lock().registrations.clear();
    }
}

impl Inner {
    async fn register_line(
        &self,
        line: &str,
        expires: u32,
        headers: &[(&str, &str)],
    ) -> Result<Registered, PhoneError> {
        let mut expires = expires;
        loop {
            let response = self.request(self.register_request(line, expires, headers)?, &mut Unwatched).await;
            // A challenge took a number more.
            let response = response?;
            if let Some(used) = response.cseq() {
                let mut state = self.lock();
                if let Some(registration) = state.registrations.get_mut(line) {
                    registration.cseq = registration.cseq.max(used.number);
                }
            }
            match (response.status(), response.min_expires()) {
                (Some(200..=299), _) => return Ok(granted(line, self.local()?.port(), response)),
                (Some(423), Some(least)) if least > expires => expires = least,
                _ => return Err(refused("REGISTER", &response)),
            }
        }
    }

    fn register_request(
        &self,
        line: &str,
        expires: u32,
        headers: &[(&str, &str)],
    ) -> Result<Outgoing, PhoneError> {
        let config = &self.config;
        let local = self.local()?;
        let registration = {
            let mut state = self.lock();
            let entry = state.registrations.entry(line.to_owned()).or_insert_with(|| Registration {
                call_id: format!("{}@{}", random(12), local.ip()),
                tag: random(8),
                cseq: 100,
            });
            entry.cseq += 1;
            entry.clone()
        };
        let mut out = Outgoing {
            method: "REGISTER".into(),
            uri: format!("sip:{}", config.host),
            from: format!("<sip:{line}@{}>;tag={}", config.host, registration.tag),
            to: format!("<sip:{line}@{}>", config.host),
            call_id: registration.call_id,
            cseq: registration.cseq,
            ..Outgoing::default()
        };
        let own = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Contact"));
        if !own {
            out.headers.push(("Contact".into(), contact(config, local, line)));
        }
        out.headers.push(("Expires".into(), expires.to_string()));
        out.headers.push(("Supported".into(), supported(config).into()));
        out.headers.push(("Allow".into(), ALLOW.into()));
        out.headers.push(("User-Agent".into(), user_agent(config)));
        out.headers.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        if config.bulk && expires > 0 {
            out.body = Some(bulk_body());
        }
        Ok(out)
    }
}

/// What a phone sends to register all its lines at once (Cisco remotecc).
fn bulk_body() -> super::Body {
    const PARTS: [&str; 2] = [
        "<x-cisco-remotecc-request><bulkregisterreq><contact all=\"true\"><register/></contact>\
         </bulkregisterreq></x-cisco-remotecc-request>",
        "<x-cisco-remotecc-request><optionsind><combine max=\"6\"><remotecc><status/></remotecc>\
         <service-control/></combine></optionsind></x-cisco-remotecc-request>",
    ];
    let mut body = String::new();
    for part in PARTS {
        // Writing to a String can not fail.
        let _ = write!(
            body,
            "--uniqueBoundary\r\nContent-Type: application/x-cisco-remotecc-request+xml\r\n\
             Content-Disposition: session;handling=optional\r\n\r\n{part}\r\n"
        );
    }
    body.push_str("--uniqueBoundary--\r\n");
    ("multipart/mixed; boundary=uniqueBoundary".into(), body.into_bytes())
}

fn granted(line: &str, port: u16, response: Arc<Message<'static>>) -> Registered {
    let contacts: Vec<String> = response.values(HeaderName::Contact).map(str::to_owned).collect();
    let header = response.expires().map(|e| e.seconds);
    let own = match response.contacts() {
        Contacts::List(list) => {
            // Other devices may share the line.
            let mine = list.iter().find(|c| c.uri.user == Some(line) && c.uri.port == Some(port));
            mine.map_or(Some(0), |c| c.expires().map(|e| e.seconds))
        }
        _ => Some(0),
    };
    Registered { expires: own.or(header).unwrap_or(0), contacts, response }
}

/// A refusal with its status, reason phrase and Warning.
pub(super) fn refused(method: &str, response: &Message<'_>) -> PhoneError {
    let mut reason = response.reason().unwrap_or_default().to_owned();
    if let Some(warning) = response.first(HeaderName::Warning) {
        // Writing to a String can not fail.
        let _ = write!(reason, " ({warning})");
    }
    PhoneError::Refused { method: method.to_owned(), status: response.status().unwrap_or(0), reason }
}
