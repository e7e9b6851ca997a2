use super::*;
use crate::ids::UnixMillis;
use crate::inventory::{CapfOperation, Secret};
use crate::mode::Protocol;
use crate::profile::{CapfMode, KeyOrder};

const MODES: [CapfMode; 4] = [
    CapfMode::AuthenticationString,
    CapfMode::NullString,
    CapfMode::ExistingCertificateLsc,
    CapfMode::ExistingCertificateMic,
];

fn held(mic: bool, lsc: bool) -> Held {
    let good = |there: bool| there.then_some(State::Good);
    Held { mic: good(mic), lsc: good(lsc) }
}

fn at(seconds: u64) -> UnixMillis {
    UnixMillis(1_700_000_000_000).plus_secs(seconds)
}

#[test]
fn r137_r138_precedence_to_lsc_in_all_four_states() {
    let mode = CapfMode::ExistingCertificateLsc;
    assert_eq!(proof_of(mode, held(false, false)), Err(ProofFault::NoCertificate));
    assert_eq!(proof_of(mode, held(true, false)), Ok(Proof::Certificate(Used::Mic)));
    assert_eq!(proof_of(mode, held(false, true)), Ok(Proof::Certificate(Used::Lsc)));
    assert_eq!(proof_of(mode, held(true, true)), Ok(Proof::Certificate(Used::Lsc)));
}

#[test]
fn r138_r139_precedence_to_mic_in_all_four_states() {
    let mode = CapfMode::ExistingCertificateMic;
    assert_eq!(proof_of(mode, held(false, false)), Err(ProofFault::NoCertificate));
    assert_eq!(proof_of(mode, held(true, false)), Ok(Proof::Certificate(Used::Mic)));
    assert_eq!(proof_of(mode, held(false, true)), Ok(Proof::Certificate(Used::Lsc)));
    assert_eq!(proof_of(mode, held(true, true)), Ok(Proof::Certificate(Used::Mic)));
}

#[test]
fn r141_a_compromised_first_certificate_fails_and_nothing_falls_back() {
    let states = [None, Some(State::Good), Some(State::Compromised)];
    for (mic, lsc) in states.into_iter().flat_map(|m| states.map(|l| (m, l))) {
        for (mode, first, used) in [
            (CapfMode::ExistingCertificateLsc, lsc, Used::Lsc),
            (CapfMode::ExistingCertificateMic, mic, Used::Mic),
        ] {
            if first == Some(State::Compromised) {
                assert_eq!(proof_of(mode, Held { mic, lsc }), Err(ProofFault::Compromised(used)));
            }
        }
    }
    // Changing the mode is the way on.
    let both = Held { mic: Some(State::Compromised), lsc: Some(State::Good) };
    assert!(proof_of(CapfMode::ExistingCertificateMic, both).is_err());
    assert_eq!(proof_of(CapfMode::ExistingCertificateLsc, both), Ok(Proof::Certificate(Used::Lsc)));
}

#[test]
fn r140_one_certificate_is_used_and_the_other_is_not_taken() {
    let mut operation = Operation::new(CapfOperation::Upgrade, CapfMode::ExistingCertificateLsc, None, at(0));
    operation.advance(Advance::Came(held(true, true)), at(1));
    assert_eq!((operation.stage, operation.used), (Stage::Proving, Some(Used::Lsc)));
    let mut other = operation.clone();
    other.advance(Advance::Showed(Used::Mic), at(2));
    assert_eq!(other.stage, Stage::Failed(Fault::OtherCertificate));
    operation.advance(Advance::Showed(Used::Lsc), at(2));
    assert_eq!(operation.stage, Stage::MakingKey(at(2)));
}

#[test]
fn r135_a_wrong_string_is_refused_and_attempts_are_limited() {
    let string = || Some(Secret::new("4711"));
    let begun = |string| {
        let mut new = Operation::new(CapfOperation::Install, CapfMode::AuthenticationString, string, at(0));
        new.advance(Advance::Came(Held::default()), at(1));
        assert_eq!(new.stage, Stage::Proving);
        new
    };
    let mut operation = begun(string());
    for left in (1..STRING_ATTEMPTS_MAX).rev() {
        operation.advance(Advance::Typed("4712"), at(2));
        assert_eq!((operation.stage, operation.attempts_left()), (Stage::Proving, left));
    }
    let mut right = operation.clone();
    right.advance(Advance::Typed("4711"), at(3));
    assert_eq!(right.stage, Stage::MakingKey(at(3)));
    operation.advance(Advance::Typed(""), at(3));
    assert_eq!(operation.stage, Stage::Failed(Fault::StringWrongTooOften));
    operation.advance(Advance::Typed("4711"), at(4));
    assert_eq!(operation.stage, Stage::Failed(Fault::StringWrongTooOften), "the right one comes too late");
    // Without a string nothing is right, not even nothing; and no certificate stands in for it.
    let mut none = begun(None);
    none.advance(Advance::Showed(Used::Mic), at(2));
    none.advance(Advance::Typed(""), at(2));
    assert_eq!((none.stage, none.attempts_left()), (Stage::Proving, STRING_ATTEMPTS_MAX - 1));
}

#[test]
fn r136_a_null_string_asks_nothing_of_anybody() {
    let mut operation = Operation::new(CapfOperation::Install, CapfMode::NullString, None, at(0));
    operation.advance(Advance::Came(Held::default()), at(1));
    assert_eq!(operation.stage, Stage::MakingKey(at(1)));
}

#[test]
fn r142_all_operations_serve_both_protocols() {
    for protocol in [Protocol::Sip, Protocol::Sccp] {
        assert_eq!(operations(protocol).len(), 4);
        for (what, mode) in operations(protocol).iter().flat_map(|o| MODES.map(|m| (*o, m))) {
            let mut operation = Operation::new(what, mode, Some(Secret::new("1234")), at(0));
            operation.advance(Advance::Came(held(true, true)), at(1));
            operation.advance(Advance::Typed("1234"), at(2));
            operation.advance(Advance::Showed(operation.used.unwrap_or(Used::Mic)), at(2));
            operation.advance(Advance::Sent, at(3));
            operation.advance(Advance::Finished, at(4));
            assert_eq!(operation.stage, Stage::Done, "{what:?} {mode:?}");
        }
    }
}

#[test]
fn r173_a_phone_may_take_hours_over_its_key() {
    let mut operation = Operation::new(CapfOperation::Install, CapfMode::NullString, None, at(0));
    // The phone was off for a day.
    operation.advance(Advance::Came(Held::default()), at(86_400));
    for minutes in [1, 30, 61, 240] {
        operation.advance(Advance::Tick, at(86_400 + minutes * 60));
        assert_eq!(operation.making_key_s(at(86_400 + minutes * 60)), Some(minutes * 60), "progress is seen");
    }
    let mut late = operation.clone();
    operation.advance(Advance::Sent, at(86_400 + 241 * 60));
    operation.advance(Advance::Finished, at(86_400 + 242 * 60));
    assert_eq!(operation.stage, Stage::Done);
    late.advance(Advance::Tick, at(COMPLETE_WITHIN_S));
    assert_eq!(late.stage, Stage::Failed(Fault::TooLate));
}

#[test]
fn r144_the_backup_is_used_where_the_phone_has_no_ec() {
    let old = PhoneKeys { ec: false, rsa_max: 2048 };
    let new = PhoneKeys { ec: true, rsa_max: 4096 };
    assert_eq!(key_of(KeyOrder::EcPreferredRsaBackup, 2048, 384, new), Ok(KeySpec::Ec(384)));
    assert_eq!(key_of(KeyOrder::EcPreferredRsaBackup, 2048, 384, old), Ok(KeySpec::Rsa(2048)));
    assert_eq!(key_of(KeyOrder::EcOnly, 2048, 256, new), Ok(KeySpec::Ec(256)));
    assert_eq!(key_of(KeyOrder::EcOnly, 2048, 256, old), Err(KeyFault::NoEc));
    assert_eq!(key_of(KeyOrder::RsaOnly, 4096, 256, new), Ok(KeySpec::Rsa(4096)));
    assert_eq!(key_of(KeyOrder::RsaOnly, 4096, 256, old), Err(KeyFault::RsaTooLong { max: 2048 }));
}
