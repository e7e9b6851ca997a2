//! One binary for all suites: each test owns its folder and its ports.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking and may print what it measured"
)]

#[macro_use]
mod common;
mod contract;

mod admin_changes;
mod admin_repeats;
mod admin_rules;
mod api;
mod audit;
mod auto_registration;
mod backup;
mod baresip;
mod calls;
mod calls_dialog;
mod calls_early;
mod calls_fork;
mod calls_identity;
mod calls_media;
mod calls_odd;
mod calls_redirect;
mod calls_timer;
mod catalogue;
mod change_points;
mod cisco;
mod cli;
mod cli_changes;
mod codes;
mod differential;
mod faults;
mod flows_tls;
mod fuzz_corpus;
mod impact;
mod impact_applied;
mod import;
mod ipv6;
mod kill_points;
mod layers;
mod limits;
mod limits_connections;
mod linphone;
mod lossy;
mod mended;
mod merged;
mod monitoring;
mod mutual_tls;
mod oauth;
mod outbound;
mod overload;
mod own_certificates;
mod own_swaps;
mod phone_certificates;
mod registrar;
mod registrar_bindings;
mod registrar_digest;
mod revocation;
mod rollout_points;
mod rollout_scale;
mod rollouts;
mod rollouts_save;
mod security;
mod security_refusals;
mod sipp;
mod sipsak;
mod start_again;
mod startup;
mod stop;
mod strangers;
mod subscribe;
mod survival;
mod tls_resume;
mod tls_storm;
mod tls_suites;
mod torture;
mod torture_mutated;
mod torture_read;
mod trace;
mod transfer;
mod transfer_judged;
mod transfer_secure;
mod trunks;
mod upgrade;
mod websocket;
