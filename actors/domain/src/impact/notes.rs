//! What is worth saying beside the lists.

use super::{Impact, Note};

/// Notes on the lists that are not empty.
pub(super) fn of(impact: &Impact) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut note = |there: bool, code, text| {
        if there {
            notes.push(Note { code, text });
        }
    };
    note(
        !impact.web_access_off.is_empty(),
        "web_access_off",
        "with web access off the quality report tool and serviceability applications that read the phones' pages \
         get nothing (R023)",
    );
    note(
        !impact.cipher_policy.is_empty(),
        "cipher_policy",
        "phones in authenticated mode do not register under a strongest or medium TLS menu (R130)",
    );
    note(
        !impact.mixed_lines.is_empty(),
        "shared_line_mixed",
        "all devices that share a line with an encrypted phone must be set to encrypted (R015)",
    );
    note(
        !impact.encrypted_config_needs_rsa.is_empty(),
        "encrypted_config_needs_rsa",
        "with ec_only a phone gets no certificate with an RSA key, and its configuration file can be encrypted for \
         an RSA key only: it would get none (R064, R144)",
    );
    note(
        !impact.long_rsa_keys.is_empty(),
        "long_rsa_key",
        "these models are not known to make RSA keys of more than 2048 bits (R148)",
    );
    note(!impact.weak_rsa_keys.is_empty(), "weak_rsa_key", "RSA keys of 512 or 1024 bits are weak (R146)");
    note(
        !impact.small_server_key_only.is_empty(),
        "small_server_key_only",
        "these models may not register where the RSA key of the call-processing certificate has more than 2048 \
         bits (R147)",
    );
    note(
        !impact.unknown.is_empty(),
        "certificate_not_seen",
        "of some registered phones the certificate has not been seen since the start; ask again when they are back",
    );
    notes
}
