//! Files that change while the gateway runs: read again and again, and told of when they differ. Their
//! content decides, not their times or events of the file system: mounted secrets swap links.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::Arc;

/// Reads a file of at most so many bytes. `config` gives it: no other room reads files.
#[derive(Clone)]
pub struct Reader(Arc<ReadFile>);

type ReadFile = dyn Fn(&str, u64) -> Result<SecretString, String> + Send + Sync;

impl Reader {
    /// Reads with `read`, which names the file in its errors.
    #[must_use]
    pub fn new(
        read: impl Fn(&str, u64) -> Result<SecretString, String> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(read))
    }

    /// The text of a file.
    ///
    /// # Errors
    /// Why it cannot be read.
    pub fn read(&self, path: &str, bytes_max: u64) -> Result<SecretString, String> {
        (self.0)(path, bytes_max)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reader")
    }
}

/// Files that belong together, and what was last seen of them.
#[derive(Debug)]
pub(super) struct Watched {
    paths: Vec<String>,
    bytes_max: u64,
    seen: Option<[u8; 32]>,
}

impl Watched {
    pub(super) fn new(paths: Vec<String>, bytes_max: u64) -> Self {
        Self {
            paths,
            bytes_max,
            seen: None,
        }
    }

    /// The names of the files, for people.
    pub(super) fn names(&self) -> String {
        self.paths.join(", ")
    }

    /// Their texts, or what is wrong with them, if that differs from the last time.
    pub(super) fn changed(&mut self, reader: &Reader) -> Option<Result<Vec<SecretString>, String>> {
        let paths = self.paths.iter();
        let read: Result<Vec<_>, _> = paths
            .map(|path| reader.read(path, self.bytes_max))
            .collect();
        let mut digest = Sha256::new();
        match &read {
            Ok(texts) => {
                for text in texts {
                    let text = text.expose_secret();
                    digest.update(text.len().to_be_bytes());
                    digest.update(text);
                }
            }
            Err(error) => digest.update(error),
        }
        let now = Some(digest.finalize().into());
        if now == self.seen {
            return None;
        }
        self.seen = now;
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn only_what_differs_is_told() {
        let files = Arc::new(Mutex::new(["a".to_owned(), "b".to_owned()]));
        let shared = Arc::clone(&files);
        let reader = Reader::new(move |path, _| {
            let files = shared.lock().unwrap();
            let text = &files[usize::from(path == "second")];
            if text == "gone" {
                return Err(format!("cannot read {path}"));
            }
            Ok(text.clone().into())
        });
        let mut watched = Watched::new(vec!["first".to_owned(), "second".to_owned()], 10);
        assert_eq!(watched.names(), "first, second");
        let mut look = |texts: [&str; 2]| {
            *files.lock().unwrap() = texts.map(str::to_owned);
            let changed = watched.changed(&reader);
            changed.map(|read| {
                let join = |texts: Vec<SecretString>| {
                    let texts = texts.iter().map(ExposeSecret::expose_secret);
                    texts.collect::<Vec<_>>().join("+")
                };
                read.map(join)
            })
        };
        assert_eq!(look(["a", "b"]), Some(Ok("a+b".to_owned())));
        assert_eq!(look(["a", "b"]), None);
        assert_eq!(look(["ab", ""]), Some(Ok("ab+".to_owned())));
        let error = Some(Err("cannot read second".to_owned()));
        assert_eq!(look(["ab", "gone"]), error);
        assert_eq!(look(["ab", "gone"]), None);
        assert_eq!(look(["ab", ""]), Some(Ok("ab+".to_owned())));
    }
}
