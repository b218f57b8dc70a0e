//! Files that are written completely or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use tempfile::NamedTempFile;

use crate::interrupt::{self, Temporary};
use crate::{input, leftovers, originals, output};

/// A file written under a temporary name beside its destination and renamed to it by [`commit`].
///
/// Dropped before that, it leaves nothing behind and an existing destination untouched. Writes are
/// buffered. A failed write is remembered: [`commit`] then refuses, even where an encoder swallowed
/// the error. The contents are not synced to the medium, so the promise is against a program that
/// fails or is interrupted, not against a loss of power.
///
/// A destination that is a symbolic link is written where the link points. A destination that is an
/// input of this run, by whatever path or link, is refused, at the creation and again at the rename.
/// A new file gets the permissions that any program would give it (0666 less the umask); a replaced
/// one keeps its own.
///
/// [`commit`]: AtomicFile::commit
#[derive(Debug)]
pub(crate) struct AtomicFile {
    path: PathBuf,
    rule: Rule,
    file: BufWriter<Sink>,
    failure: Option<String>,
}

/// What happens to a file that is at the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// It is replaced, and its permissions are kept.
    Replace,
    /// It stays, and that is a failure.
    NoClobber,
    /// Whatever it is, it is replaced by a file that only the user can read.
    Private,
}

#[derive(Debug)]
enum Sink {
    Beside(Temporary),
    /// For standard output: a file without a name, copied at the end.
    Spool(File),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            // The file itself, whose errors do not name it.
            Self::Beside(temporary) => temporary.get()?.as_file_mut().write(bytes),
            Self::Spool(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Beside(temporary) => temporary.get()?.as_file_mut().flush(),
            Self::Spool(file) => file.flush(),
        }
    }
}

impl Seek for Sink {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Beside(temporary) => temporary.get()?.as_file_mut().seek(to),
            Self::Spool(file) => file.seek(to),
        }
    }
}

impl AtomicFile {
    /// Checks the destination and creates the temporary file in its folder.
    ///
    /// Refuses a folder or a device, an input of this run, a file that exists where `no_clobber` is
    /// set, and a folder that is missing or cannot be written in.
    pub(crate) fn create(path: &Path, no_clobber: bool) -> Result<Self> {
        ensure!(names_a_file(path), "{path:?} does not name a file");
        if no_clobber && fs::symlink_metadata(path).is_ok() {
            bail!(exists(path));
        }
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => bail!("{} is a folder", path.display()),
            Ok(found) if !found.is_file() => bail!("{} is not a regular file", path.display()),
            Err(e) if !is_absence(&e) => bail!("cannot write {}: {e}", path.display()),
            _ => {}
        }
        originals::known().check(path)?;
        // A dangling link has no canonical path: the file replaces it.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        Self::beside(path, if no_clobber { Rule::NoClobber } else { Rule::Replace })
    }

    /// As [`create`](Self::create); `-` is standard output, which gets everything at the end or
    /// nothing.
    ///
    /// Refuses a terminal.
    pub(crate) fn create_or_standard_output(path: &Path, no_clobber: bool) -> Result<Self> {
        if !input::is_standard(path) {
            return Self::create(path, no_clobber);
        }
        ensure!(
            !io::stdout().is_terminal(),
            "standard output is a terminal, which cannot show the result; redirect it or name a file"
        );
        let spool = tempfile::tempfile().context("cannot create a temporary file")?;
        Ok(Self::new("standard output".into(), Rule::Replace, Sink::Spool(spool)))
    }

    /// A file that only the user can read. A link there is replaced, not followed.
    pub(crate) fn create_private(path: &Path) -> Result<Self> {
        Self::beside(path.to_owned(), Rule::Private)
    }

    fn beside(path: PathBuf, rule: Rule) -> Result<Self> {
        let folder = folder_of(&path);
        ensure!(folder.exists(), "there is no folder {}", folder.display());
        ensure!(folder.is_dir(), "{} is not a folder", folder.display());
        leftovers::sweep(folder);
        let temporary = interrupt::create(|| leftovers::create_locked(|| create_in(folder, rule)))
            .map_err(|e| anyhow!("cannot create a file in {}: {}", folder.display(), e.kind()))?;
        Ok(Self::new(path, rule, Sink::Beside(temporary)))
    }

    fn new(path: PathBuf, rule: Rule, sink: Sink) -> Self {
        Self { path, rule, file: BufWriter::with_capacity(1 << 16, sink), failure: None }
    }

    /// The destination.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what is buffered and renames the file to its destination.
    ///
    /// With `no_clobber`, a destination that appeared since the creation is left as it is and
    /// reported.
    pub(crate) fn commit(mut self) -> Result<()> {
        // A failure is noted like any other and reported below.
        let _ = self.flush();
        if let Some(failure) = self.failure {
            bail!(failure);
        }
        match self.file.into_parts().0 {
            Sink::Beside(temporary) => rename(temporary, &self.path, self.rule),
            Sink::Spool(file) => copy_to_standard_output(file),
        }
    }

    /// Names the file in a failure and remembers the first.
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|e| {
            // An interrupted write is tried again by its caller.
            if e.kind() == io::ErrorKind::Interrupted {
                return e;
            }
            let text = format!("cannot write {}: {e}", self.path.display());
            self.failure.get_or_insert_with(|| text.clone());
            io::Error::new(e.kind(), text)
        })
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.file.write(bytes);
        self.note(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.file.flush();
        self.note(result)
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let result = self.file.seek(to);
        self.note(result)
    }
}

/// Puts the file in its place, where that is still no input of this run.
fn rename(temporary: Temporary, path: &Path, rule: Rule) -> Result<()> {
    // Until it is done, no other output is put in its place.
    let mut known = originals::known();
    if rule != Rule::Private {
        known.check(path)?;
    }
    let renamed = temporary.keep(|file| -> Result<_> {
        if rule == Rule::Replace {
            copy_permissions(path, &file)
                .map_err(|e| anyhow!("cannot set the permissions of {}: {e}", path.display()))?;
        }
        Ok(if rule == Rule::NoClobber { file.persist_noclobber(path) } else { file.persist(path) })
    });
    match renamed.transpose()? {
        Some(Ok(_)) => {
            known.add_result(path);
            Ok(())
        }
        Some(Err(e)) if e.error.kind() == io::ErrorKind::AlreadyExists => bail!(exists(path)),
        Some(Err(e)) => bail!("cannot write {}: {}", path.display(), e.error),
        None => bail!("cannot write {}: its temporary file is gone", path.display()),
    }
}

fn copy_to_standard_output(mut file: File) -> Result<()> {
    file.rewind().context("cannot read the temporary file")?;
    let mut out = io::stdout().lock();
    io::copy(&mut file, &mut out).and_then(|_| out.flush()).map_err(|error| output::unwritable(&error))
}

fn exists(path: &Path) -> String {
    format!("{} exists and --no-clobber is given", path.display())
}

fn names_a_file(path: &Path) -> bool {
    // The last component of `folder/` would pass for a file's name.
    let last = path.as_os_str().as_encoded_bytes().last();
    let closed = last.is_some_and(|&b| std::path::is_separator(b.into()));
    path.file_name().is_some() && !closed
}

/// Whether an error says that a file, or the folder it would be in, is not there.
fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// The folder a file is in; the current one for a bare name.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A new file: without permissions of their own, the crate's are 0600.
fn create_in(folder: &Path, rule: Rule) -> io::Result<NamedTempFile> {
    let prefix = leftovers::prefix();
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(leftovers::SUFFIX);
    #[cfg(unix)]
    if rule != Rule::Private {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    #[cfg(not(unix))]
    let _ = rule;
    builder.tempfile_in(folder)
}

/// Gives the new file the permissions of the one it replaces, if there is one.
#[cfg(unix)]
fn copy_permissions(replaced: &Path, new: &NamedTempFile) -> io::Result<()> {
    match fs::metadata(replaced) {
        Ok(found) => new.as_file().set_permissions(found.permissions()),
        Err(_) => Ok(()),
    }
}

#[cfg(not(unix))]
fn copy_permissions(_replaced: &Path, _new: &NamedTempFile) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn commit_replaces_and_drop_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::write(&path, "old").unwrap();

        let mut file = AtomicFile::create(&path, false).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(names(folder.path()).len(), 2);
        drop(file);
        assert_eq!(names(folder.path()), ["a.json"]);
        assert_eq!(fs::read(&path).unwrap(), b"old");

        let mut file = AtomicFile::create(&path, false).unwrap();
        file.write_all(b"new").unwrap();
        file.commit().unwrap();
        assert_eq!(names(folder.path()), ["a.json"]);
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[test]
    fn no_clobber_refuses_before_and_at_the_rename() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let mut file = AtomicFile::create(&path, true).unwrap();
        file.write_all(b"new").unwrap();
        fs::write(&path, "came meanwhile").unwrap();
        let refusal = file.commit().unwrap_err().to_string();
        assert!(refusal.ends_with("a.npy exists and --no-clobber is given"), "{refusal}");
        assert_eq!(fs::read(&path).unwrap(), b"came meanwhile");
        assert_eq!(names(folder.path()), ["a.npy"]);

        let refusal = AtomicFile::create(&path, true).unwrap_err().to_string();
        assert!(refusal.contains("--no-clobber"), "{refusal}");
    }

    #[test]
    fn impossible_destinations_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |path: &Path| AtomicFile::create(path, false).unwrap_err().to_string();
        assert!(refusal(folder.path()).ends_with("is a folder"));
        assert!(refusal(&folder.path().join("no/a.png")).starts_with("there is no folder"));
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(refusal(&folder.path().join("file/a.png")).ends_with("file is not a folder"));
        for no_file in ["", "..", "new/"] {
            assert!(refusal(Path::new(no_file)).ends_with("does not name a file"));
        }
        let long = refusal(&folder.path().join("a".repeat(300)));
        assert!(long.starts_with("cannot write "), "{long}");
        #[cfg(target_os = "linux")]
        {
            assert!(refusal(Path::new("/dev/null")).ends_with("is not a regular file"));
            let unwritable = refusal(Path::new("/proc/a.png"));
            assert!(unwritable.starts_with("cannot create a file in /proc"), "{unwritable}");
        }
    }

    #[test]
    fn a_swallowed_failure_stops_the_commit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        let mut file = AtomicFile::create(&path, false).unwrap();
        // A handle that cannot be written through stands for a full disk.
        let read_only = interrupt::create(|| {
            let named = tempfile::Builder::new().tempfile_in(folder.path())?;
            Ok(NamedTempFile::from_parts(File::open(named.path())?, named.into_temp_path()))
        });
        file.file = BufWriter::with_capacity(1, Sink::Beside(read_only.unwrap()));
        let _ = file.write(b"lost");
        let refusal = file.commit().unwrap_err().to_string();
        assert!(refusal.starts_with("cannot write "), "{refusal}");
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_the_usual_or_the_replaced_ones() {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folder = tempfile::tempdir().unwrap();
        let usual = folder.path().join("usual");
        fs::write(&usual, "").unwrap();

        let path = folder.path().join("a");
        AtomicFile::create(&path, false).unwrap().commit().unwrap();
        assert_eq!(mode(&path), mode(&usual));
        let second = folder.path().join("b");
        AtomicFile::create(&second, true).unwrap().commit().unwrap();
        assert_eq!(mode(&second), mode(&usual));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        AtomicFile::create(&path, false).unwrap().commit().unwrap();
        assert_eq!(mode(&path), 0o640);
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_replaces_a_link() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let [real, link] = ["real", "link"].map(|name| folder.path().join(name));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut file = AtomicFile::create_private(&link).unwrap();
        file.write_all(b"new").unwrap();
        file.commit().unwrap();
        assert_eq!((fs::read(&real).unwrap(), fs::read(&link).unwrap()), (b"old".to_vec(), b"new".to_vec()));
        let found = fs::symlink_metadata(&link).unwrap();
        assert!(found.is_file() && found.permissions().mode() & 0o777 == 0o600, "{found:?}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_written_through() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real");
        let link = folder.path().join("link");
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut file = AtomicFile::create(&link, false).unwrap();
        file.write_all(b"new").unwrap();
        file.commit().unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
