//! Text that must never be printed, and is wiped from memory.

use serde::{Serialize, Serializer};
use serde_json::Value;
use std::fmt;
use std::io::{self, Write};
use zeroize::{Zeroize, Zeroizing};

/// A password, user data or metadata of a caller, or what a role asks for. It has no `Display` and no
/// `Serialize`, and its `Debug` hides it; only [`reveal`] writes it, into the body that goes to the cloud.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text in.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for checking it against a rule or sending it to the cloud.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Writes the text: for `serialize_with` of the few fields that go to the cloud.
///
/// # Errors
/// When the serializer fails.
pub fn reveal<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&secret.0)
}

/// As [`reveal`], for a field that may be unset.
///
/// # Errors
/// When the serializer fails.
pub fn reveal_some<S: Serializer>(
    secret: &Option<Secret>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => reveal(secret, serializer),
        None => serializer.serialize_none(),
    }
}

/// The JSON of what has secrets in it. It is measured first: a buffer that grows leaves copies behind.
///
/// # Errors
/// When it cannot be serialised.
pub fn json(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, serde_json::Error> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value)?;
    let mut text = Zeroizing::new(Vec::with_capacity(length.0));
    serde_json::to_writer(&mut *text, value)?;
    Ok(text)
}

/// Counts what is written.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// JSON with secrets in it, which are wiped from memory when it is dropped.
#[derive(Default)]
pub struct SecretJson(pub Value);

impl Drop for SecretJson {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl fmt::Debug for SecretJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// As deep as the parser lets JSON be.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_text() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), "[secret]");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn json_is_as_long_as_it_was_measured() {
        let value = serde_json::json!({ "a": ["hunter2\n", 7, null], "b": { "c": "ü" } });
        let text = json(&value).unwrap();
        assert_eq!(*text, serde_json::to_vec(&value).unwrap());
        assert_eq!(text.capacity(), text.len());
        let mut secret = SecretJson(value);
        assert_eq!(format!("{secret:?}"), "[secret]");
        wipe(&mut secret.0);
        assert_eq!(secret.0.to_string(), r#"{"a":["",7,null],"b":{"c":""}}"#);
    }

    #[test]
    fn what_is_dropped_is_wiped() {
        fn is_wiped<T: zeroize::ZeroizeOnDrop>(_: &T) {}
        is_wiped(&Secret::new("hunter2".to_owned()).0);
        is_wiped(&json(&7).unwrap());
    }
}
