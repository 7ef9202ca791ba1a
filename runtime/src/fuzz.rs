//! Hostile input for the parsers' tests.
//!
//! The tests called `fuzz_...` stand beside the parsers. Each tries some hundred inputs, the same
//! every time. For others, and for as long as you like:
//!
//!     PROPTEST_CASES=1000000 PROPTEST_RNG_SEED=$RANDOM cargo nextest run -p tare fuzz_
//!
//! What fails is made as small as it can be, and shown.

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngSeed};
use serde_json::{Value, json};

/// How a test is run that nobody asked to run longer.
pub(crate) fn settings() -> Config {
    let asked = |name| std::env::var_os(name).is_some();
    let asked_for = Config { failure_persistence: None, ..Config::default() };
    Config {
        cases: if asked("PROPTEST_CASES") { asked_for.cases } else { 300 },
        rng_seed: if asked("PROPTEST_RNG_SEED") { asked_for.rng_seed } else { RngSeed::Fixed(7) },
        ..asked_for
    }
}

/// Words that parsers stumble over.
const ODD: [&str; 32] = [
    "",
    " ",
    "/",
    "//",
    ".",
    "..",
    "../..",
    "/proc/../..",
    "\0",
    "\n",
    "a\0b",
    ":",
    "::",
    ",",
    "-",
    "0-",
    "-1",
    "1-0",
    "0-4294967295",
    "18446744073709551616",
    "9e999",
    "+1",
    "0x10",
    "\u{202e}",
    "é",
    "CAP_",
    "ro=",
    "=",
    "=ro",
    "size=",
    "a b",
    "%s",
];

/// A short text: an odd word, a long one, or any.
pub(crate) fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(&ODD[..]).prop_map(str::to_owned),
        1 => (select(&ODD[..]), 1usize..2000).prop_map(|(word, times)| word.repeat(times)),
        1 => "[0-9a-zµ.+-]{0,12}",
        2 => any::<String>(),
    ]
}

/// One change to a text.
#[derive(Debug, Clone)]
enum Edit {
    /// Bytes are put in.
    Insert(Vec<u8>),
    /// So many are taken out.
    Remove(usize),
    /// One is another.
    Set(u8),
    /// A part is there twice.
    Repeat(usize),
}

/// `seed` with some changes.
pub(crate) fn mutated(seed: &[u8]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let edit = prop_oneof![
        words().prop_map(|text| Edit::Insert(text.into_bytes())),
        vec(any::<u8>(), 0..9).prop_map(Edit::Insert),
        (0usize..40).prop_map(Edit::Remove),
        any::<u8>().prop_map(Edit::Set),
        (0usize..200).prop_map(Edit::Repeat),
    ];
    (Just(seed.to_vec()), vec((any::<Index>(), edit), 0..8)).prop_map(|(mut bytes, edits)| {
        for (index, edit) in edits {
            let at = index.index(bytes.len() + 1);
            let rest = bytes.len() - at;
            match edit {
                Edit::Insert(more) => drop(bytes.splice(at..at, more)),
                Edit::Remove(count) => drop(bytes.drain(at..at + count.min(rest))),
                Edit::Set(byte) => {
                    if let Some(place) = bytes.get_mut(at) {
                        *place = byte;
                    }
                }
                Edit::Repeat(count) => {
                    let part = bytes[at..at + count.min(rest)].to_vec();
                    drop(bytes.splice(at..at, part));
                }
            }
        }
        bytes
    })
}

/// A value that does not belong where it is put.
fn values() -> impl Strategy<Value = Value> {
    let numbers = [
        json!(0),
        json!(-1),
        json!(1),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(u32::MAX),
        json!(1u64 << 32),
        json!(1e300),
        json!(0.5),
        json!(-0.0),
    ];
    prop_oneof![
        4 => select(numbers.to_vec()),
        4 => words().prop_map(Value::from),
        1 => select(vec![Value::Null, json!(true), json!([]), json!({}), json!([[]]), json!([null])]),
        1 => vec(words(), 0..5).prop_map(Value::from),
    ]
}

/// The JSON document `seed`, some values of which are other ones, or gone.
pub(crate) fn json(seed: Value) -> impl Strategy<Value = Value> {
    (Just(seed), vec((any::<Index>(), proptest::option::weighted(0.8, values())), 0..6)).prop_map(
        |(mut document, changes)| {
            for (index, value) in changes {
                let mut left = index.index(count(&document));
                change(&mut document, &mut left, value.as_ref());
            }
            document
        },
    )
}

/// How many values a document has, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum::<usize>(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Makes the value number `left` another, or removes it.
fn change(value: &mut Value, left: &mut usize, new: Option<&Value>) -> bool {
    if *left == 0 {
        if let Some(new) = new {
            *value = new.clone();
        }
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(items) => {
            for at in 0..items.len() {
                if *left == 0 && new.is_none() {
                    items.remove(at);
                    return true;
                }
                if change(&mut items[at], left, new) {
                    return true;
                }
            }
        }
        Value::Object(fields) => {
            let names: Vec<String> = fields.keys().cloned().collect();
            for name in names {
                if *left == 0 && new.is_none() {
                    fields.remove(&name);
                    return true;
                }
                if fields.get_mut(&name).is_some_and(|field| change(field, left, new)) {
                    return true;
                }
            }
        }
        _ => {}
    }
    false
}
