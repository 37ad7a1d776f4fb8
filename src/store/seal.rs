//! Seals what must not be read with the journal alone. The provider that TLS uses does the work; here
//! is only what is sealed with which key, and what it belongs to.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// What every sealed text of this form begins with. No base64 does.
const FORM: &str = "v1:";
/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of a key's id: enough that no two of somebody's keys share theirs.
const ID_BYTES: usize = 8;
/// More than anybody needs at once, which is the one that writes and those before it.
pub(in crate::store) const KEYS_MAX: usize = 16;

/// The keys of a journal: the first one seals, each opens.
pub(in crate::store) struct Keys(Vec<Key>);

struct Key {
    /// Derived from the key, so that nobody has to choose it, and the same key is always called the
    /// same.
    id: String,
    /// Its nonces are random, and were one drawn twice it would only show that two texts are equal.
    aead: RandomizedNonceKey,
}

/// Why keys cannot be used; the text never repeats one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::store) enum BadKeys {
    #[error("it has no key; `cvm-gateway keys new` makes one")]
    None,
    #[error("it is no key, which is 64 digits of hexadecimal; `cvm-gateway keys new` makes one")]
    Malformed(usize),
    #[error("it repeats a key")]
    Repeated(usize),
    #[error("it has more than {KEYS_MAX} keys; take those out that are no longer used")]
    TooMany,
    #[error(
        "everybody may use it; take that away with `chmod o= FILE`, or mount it with the mode 0400"
    )]
    Open,
}

impl BadKeys {
    /// The line that it is about.
    pub(in crate::store) const fn line(&self) -> Option<usize> {
        match self {
            Self::Malformed(line) | Self::Repeated(line) => Some(*line),
            Self::None | Self::TooMany | Self::Open => None,
        }
    }
}

/// Why a sealed text cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::store) enum Closed {
    #[error("sealed with key {0}, which is not there")]
    OtherKey(String),
    #[error("not a sealed text")]
    Malformed,
    #[error("changed since it was sealed, or sealed for another row")]
    Changed,
}

impl Keys {
    /// Reads a key of each line; `#` begins a comment.
    ///
    /// # Errors
    /// [`BadKeys`].
    pub(in crate::store) fn parse(text: &str) -> Result<Self, BadKeys> {
        let mut keys: Vec<Key> = Vec::new();
        for (before, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let key = Key::parse(line).ok_or(BadKeys::Malformed(before + 1))?;
            if keys.iter().any(|known| known.id == key.id) {
                return Err(BadKeys::Repeated(before + 1));
            }
            keys.push(key);
        }
        match keys.len() {
            0 => Err(BadKeys::None),
            1..=KEYS_MAX => Ok(Self(keys)),
            _ => Err(BadKeys::TooMany),
        }
    }

    /// One line of a new key; none when the system has no randomness.
    pub(in crate::store) fn generate() -> Option<Zeroizing<String>> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        aws_lc_rs::rand::fill(key.as_mut()).ok()?;
        Some(Zeroizing::new(hex::encode(key.as_ref())))
    }

    /// What every text begins with that is sealed with the key that writes.
    pub(in crate::store) fn mark(&self) -> String {
        let first = self.0.first().map_or("", |key| key.id.as_str());
        format!("{FORM}{first}:")
    }

    /// The ids of the keys.
    pub(in crate::store) fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|key| key.id.as_str())
    }

    /// Seals `plain` for what `of` names; none when the system has no randomness.
    pub(in crate::store) fn seal(&self, of: &str, plain: &[u8]) -> Option<String> {
        let key = self.0.first()?;
        let mut sealed = plain.to_vec();
        let nonce = key.aead.seal_in_place_append_tag(aad(of), &mut sealed);
        let nonce: [u8; NONCE_LEN] = *nonce.ok()?.as_ref();
        let sealed = STANDARD.encode([&nonce, sealed.as_slice()].concat());
        Some(format!("{}{sealed}", self.mark()))
    }

    /// What was sealed for what `of` names.
    ///
    /// # Errors
    /// [`Closed`].
    pub(in crate::store) fn open(
        &self,
        of: &str,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, Closed> {
        let text = sealed.strip_prefix(FORM).ok_or(Closed::Malformed)?;
        let (id, text) = text.split_once(':').ok_or(Closed::Malformed)?;
        let Some(key) = self.0.iter().find(|key| key.id == id) else {
            return Err(unknown(id));
        };
        let bytes = STANDARD.decode(text).map_err(|_quotes| Closed::Malformed)?;
        let (nonce, rest) = bytes
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(Closed::Malformed)?;
        let mut plain = Zeroizing::new(rest.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = key.aead.open_in_place(nonce, aad(of), &mut plain);
        let length = opened.map_err(|_says_nothing| Closed::Changed)?.len();
        plain.truncate(length);
        Ok(plain)
    }
}

/// An id that is none is not repeated: it may be anything.
fn unknown(id: &str) -> Closed {
    let sound = id.len() == 2 * ID_BYTES && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if sound {
        Closed::OtherKey(id.to_owned())
    } else {
        Closed::Malformed
    }
}

/// Whether `text` is sealed at all, and not of before that was done.
pub(in crate::store) fn is_sealed(text: &str) -> bool {
    text.starts_with(FORM)
}

/// What a text belongs to, so that it cannot be put elsewhere.
fn aad(of: &str) -> Aad<String> {
    Aad::from(format!("cvm-gateway {FORM}{of}"))
}

impl Key {
    fn parse(line: &str) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(line, key.as_mut()).ok()?;
        let id = keyed(key.as_ref(), b"cvm-gateway key id");
        Some(Self {
            id: hex::encode(id.first_chunk::<ID_BYTES>()?),
            aead: RandomizedNonceKey::new(&AES_256_GCM_SIV, key.as_ref()).ok()?,
        })
    }
}

/// A digest that only who has `key` can make.
pub(in crate::store) fn keyed(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    // HMAC takes a key of any length, so there is always one.
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key)
        .unwrap_or_else(|_no_length_is_wrong| Hmac::<Sha256>::new(&Default::default()));
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The golden form: what is sealed once must open for ever.
    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn keys(lines: &[&str]) -> Keys {
        Keys::parse(&lines.join("\n")).unwrap()
    }

    #[test]
    fn each_key_opens_and_the_first_one_seals() {
        let [a, b] = [(); 2].map(|()| Keys::generate().unwrap());
        let (old, both) = (
            keys(&[&a]),
            keys(&["# rotated", &b, "", &format!("{} # old", *a)]),
        );
        let sealed = old.seal("x", b"secret").unwrap();
        assert!(is_sealed(&sealed) && sealed.starts_with(&old.mark()));
        assert_eq!(**both.open("x", &sealed).unwrap(), *b"secret");
        let sealed = both.seal("x", b"").unwrap();
        assert_eq!(**both.open("x", &sealed).unwrap(), *b"");
        let id = both.ids().next().unwrap().to_owned();
        assert_eq!(old.open("x", &sealed), Err(Closed::OtherKey(id)));
        assert_ne!(both.seal("x", b"").unwrap(), sealed, "nonces differ");
    }

    #[test]
    fn what_was_changed_or_moved_does_not_open() {
        let keys = keys(&[KEY]);
        let sealed = keys.seal("a", b"secret").unwrap();
        assert_eq!(keys.open("b", &sealed), Err(Closed::Changed));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[at] ^= 1;
            let changed = String::from_utf8(changed).unwrap();
            assert!(keys.open("a", &changed).is_err(), "{at}");
        }
        for end in 0..sealed.len() {
            assert!(keys.open("a", &sealed[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn the_form_stays() {
        let keys = keys(&[KEY]);
        assert_eq!(keys.mark(), "v1:32ebbb0b514c1729:");
        // Made by another implementation of the cipher, with a nonce of ones.
        let sealed = "v1:32ebbb0b514c1729:AQEBAQEBAQEBAQEB4kth6YqXLdIYa6d8m1xaGOKhfbqleg==";
        assert_eq!(**keys.open("golden", sealed).unwrap(), *b"secret");
    }

    #[test]
    fn bad_keys_are_not_repeated() {
        let twice = format!("{KEY}\n{KEY}");
        let many: Vec<_> = (0..17).map(|n| format!("{n:064x}")).collect();
        let rows = [
            (String::new(), BadKeys::None),
            ("# nothing\n\n".to_owned(), BadKeys::None),
            ("hunter2".to_owned(), BadKeys::Malformed(1)),
            (format!("{KEY}\n{KEY}00"), BadKeys::Malformed(2)),
            (KEY.replace('0', "ü"), BadKeys::Malformed(1)),
            (twice, BadKeys::Repeated(2)),
            (many.join("\n"), BadKeys::TooMany),
        ];
        for (text, error) in rows {
            assert_eq!(Keys::parse(&text).unwrap_err(), error, "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
        assert!(!format!("{:?}", keys(&[KEY])).contains("0001020304"));
    }
}
