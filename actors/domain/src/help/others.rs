//! Users, lines, certificates, parameters.

use super::{Help, KindHelp, help};

const USER: &[Help] = &[
    help(
        "id",
        "a user id, unlike any other of end users and application users",
        "",
        "Name of the user in digest answers, and for phones to refer to.",
    ),
    help(
        "digest_credentials",
        "1 to 128 letters and digits",
        "none; left out, they stay as they are",
        "Password for digest authentication. It is stored sealed and never shown.",
    ),
];

pub(super) const KINDS: &[KindHelp] = &[
    KindHelp { kind: "end_user", text: "Somebody who uses phones.", fields: USER },
    KindHelp { kind: "application_user", text: "A program that registers or places calls.", fields: USER },
    KindHelp {
        kind: "line",
        text: "A directory number. Several phones may share it.",
        fields: &[help(
            "dn",
            "a directory number, unlike any other line's",
            "",
            "The number that is called, and registered as sip:<dn>@<domain>.",
        )],
    },
    KindHelp {
        kind: "parameter",
        text: "A setting of the cluster. GET /parameters has the help of each.",
        fields: &[
            help(
                "name",
                "one of GET /parameters",
                "",
                "Which parameter is set; a parameter that is removed has its default again.",
            ),
            help(
                "node",
                "a node on which call processing is active",
                "",
                "The node whose own value this is, where the parameter says per_node; left out for all nodes.",
            ),
            help(
                "value",
                "as `takes` of the parameter says",
                "",
                "Its value from the commit on, without a restart.",
            ),
        ],
    },
    KindHelp {
        kind: "certificate",
        text: "A certificate that is trusted for one purpose.",
        fields: &[
            help(
                "purpose",
                "CallManager-trust, CAPF-trust, Phone-SAST-trust, vendor-trust, trunk-trust or package-trust",
                "",
                "What it is trusted for: makers' roots and other servers, issuers of LSCs, signers of trust lists, \
                 certificates of preferred vendors' phones, trunk peers, signers of device packages.",
            ),
            help(
                "pem",
                "PEM text of at most 64 KiB, without a private key",
                "",
                "The certificate, with its chain where that helps.",
            ),
            help(
                "phone",
                "the name of a phone",
                "none",
                "The phone that a vendor's certificate belongs to, where each phone has its own.",
            ),
            help(
                "subject",
                "the subject of the certificate",
                "not compared",
                "What the certificate must say; a slip of the file is noticed by it.",
            ),
        ],
    },
];
