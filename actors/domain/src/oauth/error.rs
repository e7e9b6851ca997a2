//! Why a token does not serve.

use super::Claims;

/// Why a token does not serve: a closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// No signed JWT in compact form, or a claim of the wrong shape.
    Malformed,
    /// Longer than [`super::TOKEN_MAX`].
    TooLarge,
    /// `none`, a symmetric algorithm, or one that its key is not for.
    Algorithm,
    /// Its issuer is none that is trusted.
    Issuer,
    /// Its issuer has no key of that `kid`.
    KeyUnknown,
    /// The same, while the issuer is being asked for its keys anew.
    KeyPending,
    /// The signature is not that of its key.
    Signature,
    /// It is meant for somebody else.
    Audience,
    /// Its time has run out.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It lacks a scope that is required.
    Scope,
    /// It names neither a device nor a user.
    NamesNobody,
    /// It names other devices.
    OtherDevice,
    /// It names a user who has not this device.
    OtherUser,
    /// It is for other lines.
    OtherLine,
}

/// What the token of a request is worth, before anybody looked whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenOutcome<'a> {
    /// There is none.
    #[default]
    Absent,
    /// There is one on a port where tokens prove nothing; nobody has looked at it.
    OffPort,
    /// It does not serve.
    Bad(Fault),
    /// Its signature is right and it holds now.
    Right(&'a Claims),
}
