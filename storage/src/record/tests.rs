use proptest::prelude::*;

use super::*;

#[derive(Debug, PartialEq, Clone)]
struct Sample {
    name: String,
    count: u64,
    tag: Option<Vec<u8>>,
    list: Vec<u64>,
}

impl Row for Sample {
    const TABLE: Table = Table::Meta;
    const SCHEMA: u8 = 2;

    fn encode(&self, out: &mut Encoder) {
        out.text(&self.name).number(self.count);
        out.option(self.tag.as_deref(), |out, tag| {
            out.bytes(tag);
        });
        out.list(&self.list, |out, value| {
            out.number(*value);
        });
    }

    fn decode(schema: u8, fields: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: fields.text()?.to_owned(),
            count: fields.number()?,
            tag: fields.option(|fields| Ok(fields.bytes()?.to_vec()))?,
            // Schema 1 knew no list.
            list: if schema < 2 { Vec::new() } else { fields.list(Decoder::number)? },
        })
    }
}

fn record(schema: u8, payload: Vec<u8>) -> Record {
    Record { schema, revision: Revision(1), payload }
}

proptest! {
    #[test]
    fn what_is_stored_is_read(
        key in proptest::collection::vec(any::<u8>(), 1..40),
        payload in proptest::collection::vec(any::<u8>(), 0..300),
        schema: u8,
        revision: u64,
    ) {
        let stored = to_stored(Table::Phones, &key, Revision(revision), schema, &payload);
        prop_assert_eq!(stored.len(), HEADER_BYTES + payload.len());
        let read = from_stored(Table::Phones, &key, &stored).unwrap();
        prop_assert_eq!((read.schema, read.revision, read.payload), (schema, Revision(revision), payload));
    }

    #[test]
    fn any_changed_bit_is_noticed(
        payload in proptest::collection::vec(any::<u8>(), 0..100),
        place: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let mut stored = to_stored(Table::Phones, b"SEP001122334455", Revision(77), 1, &payload);
        let place = place.index(stored.len());
        stored[place] ^= 1 << bit;
        prop_assert!(from_stored(Table::Phones, b"SEP001122334455", &stored).is_err());
    }

    #[test]
    fn any_cut_is_noticed(payload in proptest::collection::vec(any::<u8>(), 0..100), place: prop::sample::Index) {
        let stored = to_stored(Table::Calls, b"k", Revision(7), 3, &payload);
        let cut = &stored[..place.index(stored.len())];
        prop_assert!(from_stored(Table::Calls, b"k", cut).is_err());
    }

    #[test]
    fn samples_survive(name in ".{0,20}", count: u64, tag: Option<Vec<u8>>, list: Vec<u64>) {
        let sample = Sample { name, count, tag, list };
        prop_assert_eq!(Sample::from_record(&record(2, sample.to_payload())), Ok(sample));
    }

    #[test]
    fn any_bytes_decode_or_fail(payload in proptest::collection::vec(any::<u8>(), 0..200), schema in 0_u8..3) {
        let _ = Sample::from_record(&record(schema, payload));
    }
}

#[test]
fn a_row_under_another_key_or_table_is_noticed() {
    let stored = to_stored(Table::Phones, b"ab", Revision(1), 1, b"c");
    assert!(from_stored(Table::Phones, b"a", &stored).is_err());
    assert!(from_stored(Table::Calls, b"ab", &stored).is_err());
    let error = from_stored(Table::Phones, b"ax", &stored).unwrap_err();
    assert!(error.to_string().contains("table phones, key ax"), "{error}");
}

#[test]
fn older_schema_is_read_and_newer_refused() {
    let mut old = Encoder::default();
    old.text("a").number(300).bool(false);
    let read = Sample::from_record(&record(1, old.finish())).unwrap();
    assert_eq!(read, Sample { name: "a".into(), count: 300, tag: None, list: vec![] });
    assert_eq!(
        Sample::from_record(&record(3, vec![])),
        Err(DecodeError::SchemaTooNew { found: 3, supported: 2 })
    );
}

#[test]
fn leftovers_and_huge_counts_are_refused() {
    let sample = Sample { name: "a".into(), count: 1, tag: None, list: vec![] };
    let mut payload = sample.to_payload();
    payload.push(0);
    assert_eq!(Sample::from_record(&record(2, payload)), Err(DecodeError::Trailing { bytes: 1 }));
    let mut huge = Encoder::default();
    huge.text("a").number(1).bool(false).number(u64::MAX);
    assert_eq!(Sample::from_record(&record(2, huge.finish())), Err(DecodeError::Short));
    assert_eq!(Decoder::new(&[0xff; 11]).number(), Err(DecodeError::Value { field: "number" }));
    assert_eq!(Decoder::new(&[7, 1]).int::<u8>("x"), Ok(7));
    assert_eq!(Decoder::new(&[0x80, 2]).int::<u8>("x"), Err(DecodeError::Value { field: "x" }));
}

#[test]
fn payloads_stay_out_of_debug_text() {
    let text = format!("{:?}", record(1, b"hunter2".to_vec()));
    assert_eq!(text, "Record(schema 1 revision 1 7 bytes)");
}
