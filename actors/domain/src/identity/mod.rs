//! Identity: what a peer claims to be, and what its certificate proves (design §5 Identity).

mod certificate;
mod claim;
mod seen;
#[cfg(test)]
mod tests;

pub use certificate::{
    CertificateFacts, CertificateFault, CertificateKey, CertificateName, ChainedTo, PeerCertificate, Proven,
    SharedNameFault, ShownCertificate, model_fits, shared_name,
};
pub(crate) use certificate::{Expected, prove};
pub use claim::{Claim, ClaimedBy, Directory, resolve};
pub use seen::{SeenCertificate, SeenCertificates, SeenKind};
