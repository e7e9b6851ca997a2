//! Keys that tell transactions apart (RFC 3261 §17.1.3, §17.2.3).

use smallvec::SmallVec;

use crate::sip::header::via::Via;
use crate::sip::{Host, Message, Method};

/// Identity of a transaction, compared byte by byte.
///
/// Everything in it but the branch of our own requests comes from the peer: hash it with a keyed hash.
/// The key of a request says nothing about its source; a table that must not let one source touch
/// another's transactions adds the source itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionKey(Bytes);

/// Most keys fit without allocating.
type Bytes = SmallVec<[u8; 120]>;

impl TransactionKey {
    /// Key of the server transaction that a request belongs to; an ACK gives the key of its INVITE.
    /// `None` for responses and for requests without a readable topmost Via.
    pub fn server(request: &Message<'_>) -> Option<TransactionKey> {
        let method = request.method()?;
        Self::server_as(request, if method == Method::Ack { Method::Invite } else { method })
    }

    /// Key of the INVITE that a CANCEL is meant for (RFC 3261 §9.2); works for ACK as well.
    pub fn cancelled_invite(request: &Message<'_>) -> Option<TransactionKey> {
        request.method()?;
        Self::server_as(request, Method::Invite)
    }

    /// Key of the client transaction of a request that we sent with this branch.
    pub fn client(branch: &str, method: Method<'_>) -> TransactionKey {
        let mut key = KeyBuilder::new(b'C');
        key.part(branch);
        key.part(method.as_str());
        key.done()
    }

    /// Key of the client transaction that a response belongs to; `None` without branch or CSeq.
    pub fn from_response(response: &Message<'_>) -> Option<TransactionKey> {
        response.status()?;
        Some(Self::client(response.top_via()?.branch()?, response.cseq()?.method))
    }

    /// The bytes that are compared.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn server_as(request: &Message<'_>, method: Method<'_>) -> Option<TransactionKey> {
        let via = request.top_via()?;
        if let Some(branch) = via.unique_branch() {
            let mut key = KeyBuilder::new(b'S');
            key.part(branch);
            key.sent_by(&via);
            key.part(method.as_str());
            return Some(key.done());
        }
        // RFC 2543: the branch is no help. The To tag is left out for INVITE, as its ACK carries ours.
        let mut key = KeyBuilder::new(b'O');
        key.part(request.request_uri()?);
        key.part(request.from_tag().unwrap_or_default());
        key.part(request.call_id().unwrap_or_default());
        key.number(request.cseq()?.number);
        key.part(via.raw);
        if method != Method::Invite {
            key.part(request.to_tag().unwrap_or_default());
        }
        key.part(method.as_str());
        Some(key.done())
    }
}

/// Parts are written with their lengths, so that no two different lists of parts give one key.
struct KeyBuilder(Bytes);

impl KeyBuilder {
    fn new(kind: u8) -> Self {
        KeyBuilder(Bytes::from_slice(&[kind]))
    }

    fn number(&mut self, number: u32) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    fn part(&mut self, text: &str) {
        // A part is shorter than a head, which is below 2^16.
        self.number(text.len() as u32);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn sent_by(&mut self, via: &Via<'_>) {
        match via.host {
            Host::Name(name) => {
                self.number(name.len() as u32);
                self.0.extend(name.bytes().map(|b| b.to_ascii_lowercase()));
            }
            Host::V4(ip) => self.address(4, &ip.octets()),
            Host::V6(ip) => self.address(6, &ip.octets()),
        }
        self.number(u32::from(via.port.unwrap_or(0)));
    }

    /// Its first four bytes are no length that a name can have.
    fn address(&mut self, kind: u32, octets: &[u8]) {
        self.number(u32::MAX - kind);
        self.0.extend_from_slice(octets);
    }

    fn done(self) -> TransactionKey {
        TransactionKey(self.0)
    }
}

/// Printable form for traces.
impl std::fmt::Display for TransactionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}
