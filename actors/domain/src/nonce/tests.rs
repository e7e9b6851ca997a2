use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::digest::Algorithm;

fn keys() -> NonceKeys {
    NonceKeys::new(NonceKey::new(3, &[7; 32]), None)
}

#[test]
fn a_nonce_says_what_was_put_in() {
    let md5 = AlgorithmSet::EMPTY.with(Algorithm::Md5);
    let nonce = mint(0x0123_4567_89ab_cdef, 42, md5, UnixMillis(1_700_000_000_999), &keys());
    let facts = open(nonce.as_str(), &keys()).unwrap();
    assert_eq!(facts.id, 0x0123_4567_89ab_cdef);
    assert_eq!((facts.start, facts.algorithms, facts.issued_s), (42, md5, 1_700_000_000));
    assert_eq!(nonce.as_str().len(), NONCE_LEN);
    assert_eq!(nonce.to_string(), nonce.as_str());
}

#[test]
fn no_character_can_be_changed() {
    let nonce = mint(99, 1, AlgorithmSet::all(), UnixMillis(1_700_000_000_000), &keys());
    for at in 0..NONCE_LEN {
        for c in ['A', 'z', '-', '=', '/', '+', ' '] {
            let mut text: Vec<char> = nonce.as_str().chars().collect();
            if text[at] != c {
                text[at] = c;
                assert_eq!(open(&text.iter().collect::<String>(), &keys()), Err(Forged));
            }
        }
    }
    for bad in ["", &nonce.as_str()[1..], &format!("{nonce}A"), &"ü".repeat(20)] {
        assert_eq!(open(bad, &keys()), Err(Forged));
    }
}

#[test]
fn keys_rotate_and_the_one_before_still_opens() {
    let first = keys();
    let nonce = mint(5, 1, AlgorithmSet::all(), UnixMillis(0), &first);
    let second = first.rotated(&[8; 32]);
    assert_eq!(open(nonce.as_str(), &second), open(nonce.as_str(), &first));
    let third = second.rotated(&[9; 32]);
    assert_eq!(open(nonce.as_str(), &third), Err(Forged));
    assert_eq!(third.current().id(), 1, "numbers run through four");
    // The number alone is worth nothing.
    let impostor = NonceKeys::new(NonceKey::new(3, &[8; 32]), None);
    assert_eq!(open(nonce.as_str(), &impostor), Err(Forged));
    assert!(!format!("{second:?}").contains("mac"));
}

#[test]
fn r153_validity_is_judged_to_the_second() {
    let now = UnixMillis(1_700_000_000_000);
    let facts = open(mint(5, 1, AlgorithmSet::all(), now, &keys()).as_str(), &keys()).unwrap();
    assert!(!facts.expired(now, 600));
    assert!(!facts.expired(now.plus_secs(600), 600));
    assert!(facts.expired(now.plus_secs(601), 600));
    assert!(facts.expired(now.plus_secs(2), 1));
    // A clock set back must not prolong it.
    assert!(!facts.expired(UnixMillis(now.0 - CLOCK_SKEW_S * 1000), 600));
    assert!(facts.expired(UnixMillis(now.0 - (CLOCK_SKEW_S + 1) * 1000), 600));
}

#[test]
fn r154_ids_keep_nonces_apart() {
    // The id is in the nonce bit for bit (see above), so distinct ids are distinct nonces whatever their
    // number; a sample shows that text and window place follow the id.
    let texts: HashSet<_> = (0..20_000u64)
        .map(|id| mint(id, 1, AlgorithmSet::all(), UnixMillis(1_700_000_000_000), &keys()))
        .collect();
    assert_eq!(texts.len(), 20_000);
    let places: HashSet<_> = texts.iter().map(|t| open(t.as_str(), &keys()).unwrap().place).collect();
    assert_eq!(places.len(), 20_000);
}

proptest! {
    #[test]
    fn opening_takes_any_text(text in "\\PC{0,60}") {
        prop_assert_eq!(open(&text, &keys()), Err(Forged));
    }

    #[test]
    fn minted_is_opened(id: u64, start: u32, issued_s: u32, key in 0u8..4, wanted in 0usize..64) {
        let chosen = Algorithm::ALL.into_iter().enumerate().filter(|(i, _)| wanted & (1 << i) != 0);
        let set = chosen.fold(AlgorithmSet::EMPTY, |set, (_, a)| set.with(a));
        let keys = NonceKeys::new(NonceKey::new(key, &[1; 32]), None);
        let text = mint(id, start, set, UnixMillis(u64::from(issued_s) * 1000), &keys);
        let facts = open(text.as_str(), &keys).unwrap();
        prop_assert_eq!((facts.id, facts.start, facts.algorithms, facts.issued_s), (id, start, set, issued_s));
    }
}

/// One of the authors' test vectors: key 00…0f, message 00…07.
#[test]
fn places_are_siphash_2_4() {
    let key = NonceKey { places: [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908], ..keys().current };
    assert_eq!(key.place(0x0706_0504_0302_0100), 0x93f5_f579_9a93_2462);
}
