//! Puts a new first key into a file of keys, so that after a crash it is the old file or the new one.

use crate::store::connection::query;
use crate::store::desk::Desk;
use crate::store::error::StoreError;
use crate::store::keyring::{new_key, read_text};
use crate::store::seal::{KEYS_MAX, Keys};
use crate::store::sql;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;
use time::Date;
use zeroize::Zeroizing;

/// What became of the keys in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The id of the new key.
    pub new: String,
    /// The ids of those that only open from now on.
    pub kept: Vec<String>,
    /// The ids of those that were taken out.
    pub dropped: Vec<String>,
}

impl Desk {
    /// The ids of the keys that something in the journal is sealed with.
    ///
    /// # Errors
    /// What reading may tell.
    pub async fn used_keys(&self) -> Result<BTreeSet<String>, StoreError> {
        let rows = query(sql::USED_KEYS).fetch_all(&self.readers).await?;
        let used = rows.iter().map(|row| row.try_get("used"));
        Ok(used.collect::<Result<_, _>>()?)
    }
}

/// Puts a new key, dated `today`, before those in the file at `path`, in one step. Comments stay. With
/// `used`, keys are taken out that are not among these; never the first one, which a gateway that has not
/// read the file yet still seals with.
///
/// # Errors
/// [`StoreError::KeyFile`] and [`StoreError::BadKeys`] for what is there, [`StoreError::FullKeyFile`],
/// [`StoreError::Unsealed`], and [`StoreError::File`] when it cannot be replaced.
pub fn rotate_keys(
    path: &Path,
    today: Date,
    used: Option<&BTreeSet<String>>,
) -> Result<Rotated, StoreError> {
    let text = read_text(path)?;
    let old = Keys::parse(&text).map_err(|rule| StoreError::bad_keys(path, &rule))?;
    let (first, rest): (Vec<_>, Vec<_>) =
        (old.ids().take(1).collect(), old.ids().skip(1).collect());
    let unused = |id: &&str| used.is_some_and(|used| !used.contains(*id));
    let (dropped, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(unused);
    let kept: Vec<_> = first.into_iter().chain(rest).map(str::to_owned).collect();
    if kept.len() >= KEYS_MAX {
        return Err(StoreError::FullKeyFile {
            path: path.to_owned(),
        });
    }
    let key = new_key()?;
    let dropped: Vec<_> = dropped.into_iter().map(str::to_owned).collect();
    let (new, text) = rotated(&text, &key, today, &dropped)?;
    replace(path, &text).map_err(|source| StoreError::file(path, source))?;
    Ok(Rotated { new, kept, dropped })
}

/// The id of the key, and the text with it in front and without the dropped ones.
fn rotated(
    text: &str,
    key: &str,
    today: Date,
    dropped: &[String],
) -> Result<(String, Zeroizing<String>), StoreError> {
    let id_of = |line: &str| {
        let keys = Keys::parse(line).ok()?;
        keys.ids().next().map(str::to_owned)
    };
    let new = id_of(key).ok_or(StoreError::Unsealed)?;
    // Made as large as it may become: one that grows leaves copies behind.
    let mut rotated = Zeroizing::new(String::with_capacity(text.len() + key.len() + 64));
    let mut first = true;
    for line in text.lines() {
        let id = id_of(line);
        if first && id.is_some() {
            first = false;
            rotated.push_str(key);
            rotated.push_str(&format!(" # {today}\n"));
        }
        if id.is_none_or(|id| !dropped.contains(&id)) {
            rotated.push_str(line);
            rotated.push('\n');
        }
    }
    Ok((new, rotated))
}

/// Replaces what the file at `path` holds, also through a link, and keeps its mode and owner.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = path.canonicalize()?;
    let mut new = path.clone().into_os_string();
    new.push(".new");
    let mut options = OpenOptions::new();
    // One that is there is that of somebody who rotates just now, or was stopped when he did.
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", new.display())))?;
    let written = write_as(&path, &mut file, text).and_then(|()| fs::rename(&new, &path));
    if written.is_err() {
        drop(fs::remove_file(&new)); // what went wrong is told
    }
    written?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder)?.sync_all()
}

/// Writes a file that is as private as that at `path`.
fn write_as(path: &Path, file: &mut File, text: &str) -> io::Result<()> {
    let (old, new) = (fs::metadata(path)?, file.metadata()?);
    if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
        fchown(&*file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(old.permissions())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use time::macros::date;

    const DAY: Date = date!(2026 - 01 - 02);

    fn key(number: usize) -> String {
        format!("{number:064x}")
    }

    fn id(number: usize) -> String {
        let keys = Keys::parse(&key(number)).unwrap();
        keys.ids().next().unwrap().to_owned()
    }

    /// A file in a folder of its own.
    fn file(text: &str) -> (std::path::PathBuf, std::path::PathBuf) {
        let folder = std::env::temp_dir().join(uuid::Uuid::new_v4().to_string());
        fs::create_dir(&folder).unwrap();
        let path = folder.join("journal.key");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_new_key_comes_first_and_comments_stay() {
        let text = format!("# ours\n\n{} # old\n# older\n{}", key(1), key(2));
        let (folder, path) = file(&text);
        let link = folder.join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let told = rotate_keys(&link, DAY, None).unwrap();
        assert_eq!((told.kept, told.dropped), (vec![id(1), id(2)], vec![]));
        let lines = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = lines.lines().collect();
        assert_eq!(lines[..2], ["# ours", ""]);
        let new = lines[2].strip_suffix(" # 2026-01-02").unwrap();
        assert_eq!(Keys::parse(new).unwrap().ids().next().unwrap(), told.new);
        assert_eq!(
            lines[3..].join("\n"),
            text.lines().skip(2).collect::<Vec<_>>().join("\n")
        );
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing is left");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_seals_nothing_is_dropped_but_never_the_first() {
        let text = format!("{}\n{} # two\n{}\n", key(1), key(2), key(3));
        let (folder, path) = file(&text);
        let used = BTreeSet::from([id(3)]);
        let told = rotate_keys(&path, DAY, Some(&used)).unwrap();
        assert_eq!((told.kept, told.dropped), (vec![id(1), id(3)], vec![id(2)]));
        let after = fs::read_to_string(&path).unwrap();
        assert!(
            !after.contains(&key(2)) && !after.contains("two"),
            "{after}"
        );
        assert!(after.ends_with(&format!("\n{}\n{}\n", key(1), key(3))));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_cannot_be_rotated_stays_as_it_is() {
        let full: Vec<_> = (1..=KEYS_MAX).map(key).collect();
        let rows = [
            (full.join("\n"), "has 16 keys, and no more are read"),
            (
                format!("{}\nhunter2", key(1)),
                ":2 cannot be used: it is no key",
            ),
            ("# nothing\n".to_owned(), "it has no key"),
        ];
        for (text, says) in rows {
            let (folder, path) = file(&text);
            let error = rotate_keys(&path, DAY, None).unwrap_err().to_string();
            assert!(
                error.contains(says) && !error.contains("hunter2"),
                "{error}"
            );
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            fs::remove_dir_all(folder).unwrap();
        }
        // Another one rotates.
        let (folder, path) = file(&key(1));
        fs::write(folder.join("journal.key.new"), "").unwrap();
        let error = rotate_keys(&path, DAY, None).unwrap_err();
        let told = crate::domain::causes::chain(&error, ": ");
        assert!(told.contains("journal.key.new"), "{told}");
        assert_eq!(fs::read_to_string(&path).unwrap(), key(1));
        // All used keys stay, and one too many is dropped.
        fs::remove_file(folder.join("journal.key.new")).unwrap();
        fs::write(&path, full.join("\n")).unwrap();
        let used = (1..KEYS_MAX).map(id).collect();
        let told = rotate_keys(&path, DAY, Some(&used)).unwrap();
        assert_eq!(told.dropped, [id(KEYS_MAX)]);
        fs::remove_dir_all(folder).unwrap();
    }
}
