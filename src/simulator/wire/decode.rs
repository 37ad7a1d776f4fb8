//! A deserializer over JSON that forgives what the API forgives and names the path of everything else.

use super::Refusal;
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};
use serde_json::Value;
use std::fmt;

pub(super) fn decode<T: DeserializeOwned>(body: &Value) -> Result<T, Refusal> {
    T::deserialize(Node(body)).map_err(Fault::into_refusal)
}

/// One JSON value, read as the API reads it: an integer or a boolean may come as a string.
struct Node<'a>(&'a Value);

/// What is wrong, and where; the path grows towards the root as the fault is handed up.
#[derive(Debug)]
struct Fault {
    kind: Kind,
    path: Vec<String>,
}

#[derive(Debug)]
enum Kind {
    Unknown,
    Missing,
    WrongType,
}

impl Fault {
    fn wrong_type() -> Self {
        let path = Vec::new();
        Self {
            kind: Kind::WrongType,
            path,
        }
    }

    fn inside(mut self, step: &str) -> Self {
        self.path.push(step.to_owned());
        self
    }

    fn into_refusal(self) -> Refusal {
        if self.path.is_empty() {
            return Refusal::new("InvalidParameter", "The request body is not a JSON object.");
        }
        let path = self
            .path
            .iter()
            .rev()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(".");
        match self.kind {
            Kind::Unknown => Refusal::new(
                "UnknownParameter",
                format!("The parameter `{path}` is not recognized."),
            ),
            Kind::Missing => Refusal::new(
                "MissingParameter",
                format!("The request is missing a required parameter `{path}`."),
            ),
            Kind::WrongType => Refusal::new(
                "InvalidParameter",
                format!("The value type of parameter `{path}` is not valid."),
            ),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:?}", self.kind, self.path)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self::wrong_type()
    }

    fn unknown_field(field: &str, _expected: &'static [&'static str]) -> Self {
        let path = vec![field.to_owned()];
        Self {
            kind: Kind::Unknown,
            path,
        }
    }

    fn missing_field(field: &'static str) -> Self {
        let path = vec![field.to_owned()];
        Self {
            kind: Kind::Missing,
            path,
        }
    }
}

impl<'de> de::Deserializer<'de> for Node<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Fault> {
        Err(Fault::wrong_type()) // request members are of the types below only
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.0.is_null() {
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let coerced = || self.0.as_str()?.parse().ok();
        let number = self.0.as_i64().or_else(coerced);
        visitor.visit_i64(number.ok_or_else(Fault::wrong_type)?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let coerced = || self.0.as_str()?.parse().ok();
        let number = self.0.as_u64().or_else(coerced);
        visitor.visit_u64(number.ok_or_else(Fault::wrong_type)?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let coerced = || self.0.as_str()?.to_ascii_lowercase().parse().ok();
        let truth = self.0.as_bool().or_else(coerced);
        visitor.visit_bool(truth.ok_or_else(Fault::wrong_type)?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_str(self.0.as_str().ok_or_else(Fault::wrong_type)?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let items = self.0.as_array().ok_or_else(Fault::wrong_type)?;
        visitor.visit_seq(Items(items.iter().enumerate()))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let members = self.0.as_object().ok_or_else(Fault::wrong_type)?.iter();
        let value = None;
        visitor.visit_map(Members { members, value })
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u128 f32 f64 char bytes byte_buf unit unit_struct newtype_struct
        tuple tuple_struct map enum identifier ignored_any
    }
}

struct Items<'a>(std::iter::Enumerate<std::slice::Iter<'a, Value>>);

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let item = self.0.next();
        item.map(|(index, item)| {
            seed.deserialize(Node(item))
                .map_err(|fault| fault.inside(&index.to_string()))
        })
        .transpose()
    }
}

struct Members<'a> {
    members: serde_json::map::Iter<'a>,
    value: Option<(&'a String, &'a Value)>,
}

impl<'de> de::MapAccess<'de> for Members<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        self.value = self.members.next();
        let key = self.value.map(|(key, _)| key.as_str());
        key.map(|key| seed.deserialize(key.into_deserializer()))
            .transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (key, value) = self.value.take().ok_or_else(Fault::wrong_type)?;
        seed.deserialize(Node(value))
            .map_err(|fault| fault.inside(key))
    }
}
