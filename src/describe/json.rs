//! How every JSON file of this library is read: no key twice, no unknown key, and errors that name the place and repeat
//! little of the file.

use serde::de::value::SeqAccessDeserializer;
use serde::de::{DeserializeOwned, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, forward_to_deserialize_any};
use serde_json::{Map, Value};
use std::fmt;
use std::marker::PhantomData;

/// The most characters of a file that an error repeats.
const MOST_QUOTED: usize = 60;

/// The most characters of another crate's message about a file, in which it may repeat some of it.
const MOST_TOLD: usize = 240;

/// What a file says, as an error repeats it: in quotes, and cut where it is long.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", cut(text, MOST_QUOTED))
}

/// Names from a file in a list: the first few, each cut where it is long.
pub(crate) fn listed<S: AsRef<str>>(names: impl Iterator<Item = S>) -> String {
    let (shown, mut names) = (8, names.peekable());
    let mut list: Vec<String> = names.by_ref().take(shown).map(|name| cut(name.as_ref(), MOST_QUOTED)).collect();
    match (list.is_empty(), names.count()) {
        (true, _) => return "none".into(),
        (false, 0) => {}
        (false, more) => list.push(format!("and {more} more")),
    }
    list.join(", ")
}

/// A message about a file that may repeat some of it, or a list from it, cut where it is long.
pub(crate) fn told(message: impl fmt::Display) -> String {
    cut(&message.to_string(), MOST_TOLD)
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A JSON value in which no object has a key twice.
#[derive(Debug)]
pub(crate) struct Unique(pub(crate) Value);

impl Unique {
    pub(crate) fn parse(text: &str) -> Result<Value, String> {
        serde_json::from_str(text).map(|Self(value)| value).map_err(|error| format!("not valid JSON: {}", told(error)))
    }
}

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Self)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Unique(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {} stands twice in an object", quoted(&key))));
            }
            let Unique(value) = entries.next_value()?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

/// Reads a struct with derived keys of an object that has no others.
pub(crate) fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    if let Value::Object(map) = &value {
        let known = keys::<T>();
        if let Some(key) = map.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(unknown(key, known));
        }
    }
    read_any(value)
}

/// Reads whatever knows its keys by itself.
pub(crate) fn read_any<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let (path, inner) = (error.path().to_string(), told(error.inner()));
        if path == "." { inner } else { format!("{}: {inner}", cut(&path, MOST_QUOTED)) }
    })
}

/// The refusal of a key, with the one that is probably meant.
pub(crate) fn unknown(key: &str, known: &[&str]) -> String {
    match nearest(key, known) {
        Some(meant) => format!("unknown key {}, expected {meant:?}", quoted(key)),
        None => format!("unknown key {}, expected one of {}", quoted(key), known.join(", ")),
    }
}

/// The name that a mistyped one is most like, if it is like any: at most two letters, and a third of all, are other
/// ones. Capitals, hyphens and underscores make no difference.
pub(crate) fn nearest<'a>(given: &str, names: &[&'a str]) -> Option<&'a str> {
    if given.chars().nth(MOST_QUOTED).is_some() {
        return None;
    }
    let plain = |text: &str| -> Vec<char> {
        text.chars().filter(|letter| !"-_".contains(*letter)).flat_map(char::to_lowercase).collect()
    };
    let given = plain(given);
    let distances = names.iter().map(|&name| {
        let name = plain(name);
        (distance(&given, &name), name.len())
    });
    let (index, _) = distances
        .enumerate()
        .filter(|&(_, (distance, length))| distance <= 2 && 3 * distance <= length)
        .min_by_key(|&(_, (distance, _))| distance)?;
    Some(names[index])
}

/// How many letters must be inserted, removed or replaced to make one of the other (Levenshtein's distance).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The keys of a struct with a derived `Deserialize`, which it tells to whatever it is read from.
pub(crate) fn keys<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Asked<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Asked<'_> {
        type Error = serde::de::value::Error;

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(Self::Error::custom("this is no struct"))
        }

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            self.deserialize_any(visitor)
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }

    let mut keys: &'static [&'static str] = &[];
    // It fails: all that is wanted of it is what it asks for.
    let _ = T::deserialize(Asked(&mut keys));
    keys
}

/// A struct inside another, read by [`read`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Strict<T>(pub(crate) T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Strict<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Unique(value) = Unique::deserialize(deserializer)?;
        read(value).map(Self).map_err(D::Error::custom)
    }
}

/// One number for all axes, or a list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany<T> {
    One(i64),
    Many(Vec<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number or a list")
            }

            fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
                Ok(OneOrMany::One(value))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
                let value = i64::try_from(value);
                value.map(OneOrMany::One).map_err(|_| E::custom("a number that does not fit in 64 bits"))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMany::Many)
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

/// A number that must be a size.
pub(crate) fn natural(what: &str, value: i64, least: usize) -> Result<usize, String> {
    usize::try_from(value)
        .ok()
        .filter(|&value| value >= least)
        .ok_or(format!("{what} is {value}, expected at least {least}"))
}
