//! The pictures in a folder, and what else is in it.

use crate::picture::{Format, Readable};
use anyhow::{Context as _, Error, Result, bail, ensure};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::path::{Path, PathBuf};

/// Files that systems put into folders, in lower case; and those whose names begin with a dot.
const SYSTEM: [&str; 6] = ["thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "__macosx"];

/// At most so many kinds of what was left out are named.
const KINDS: usize = 6;

/// A picture to enlarge, and where to write the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) input: PathBuf,
    pub(super) output: PathBuf,
}

/// What is in a folder.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) tasks: Vec<Task>,
    pub(super) left_out: LeftOut,
    /// Folders within that cannot be read.
    pub(super) unreadable: Vec<Error>,
}

/// What is neither a picture that is enlarged nor hidden, and how often each kind of it occurs.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    /// Files by their extensions, in lower case.
    files: BTreeMap<String, usize>,
    folders: usize,
    linked_folders: usize,
    broken_links: usize,
    special: usize,
}

/// The pictures in a folder, by the extensions of their names, and where each goes: the name stays, its extension is that
/// of the format if one is asked for, and .png where the format is read but not written. With `recursive`, those in the folders within too, which are mirrored; links to
/// folders are not entered, nor is the folder of the results.
pub(super) fn find(input: &Path, output: &Path, format: Option<Format>, recursive: bool) -> Result<Found> {
    let shown = input.display();
    let results = fs::canonicalize(output).ok();
    if let (Ok(from), Some(to)) = (fs::canonicalize(input), &results) {
        ensure!(from != *to, "{shown}: the pictures cannot be written to the folder they are in");
    }
    let mut left_out = LeftOut::default();
    let (mut names, mut unreadable) = (Vec::new(), Vec::new());
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries = match entries(&input.join(&folder)) {
            Ok(entries) => entries,
            Err(error) if folder.as_os_str().is_empty() => return Err(error),
            Err(error) => {
                unreadable.push(error);
                continue;
            }
        };
        for entry in entries {
            let (path, name) = (entry.path(), folder.join(entry.file_name()));
            match kind(&entry, &path) {
                Kind::Hidden => {}
                Kind::Folder if results.is_some() && fs::canonicalize(&path).ok() == results => {}
                Kind::Folder if recursive => folders.push(name),
                Kind::Folder => left_out.folders += 1,
                Kind::LinkedFolder => left_out.linked_folders += 1,
                Kind::BrokenLink => left_out.broken_links += 1,
                Kind::Special => left_out.special += 1,
                Kind::File if Readable::of_extension(&path).is_some() => names.push(name),
                Kind::File => {
                    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
                    *left_out.files.entry(extension).or_default() += 1;
                }
            }
        }
    }
    names.sort();
    if names.is_empty() && unreadable.is_empty() {
        let left_out = left_out.line(recursive).map_or(String::new(), |line| format!("; {line}"));
        let extensions = Readable::EXTENSIONS;
        bail!("{shown} is a folder without pictures: no name in it ends in {extensions}{left_out}");
    }
    Ok(Found { tasks: tasks(input, output, &names, format)?, left_out, unreadable })
}

/// What goes where; two of one name are refused.
fn tasks(input: &Path, output: &Path, names: &[PathBuf], format: Option<Format>) -> Result<Vec<Task>> {
    let mut taken: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    let mut tasks = Vec::new();
    for name in names {
        let mut made = name.clone();
        let read_only = Readable::of_extension(name).is_some_and(|readable| readable.written().is_none());
        if let Some(format) = format.or(read_only.then_some(Format::Png)) {
            made.set_extension(format.extension());
        }
        let from = input.join(name);
        if let Some(other) = taken.insert(made.clone(), from.clone()) {
            bail!("{} and {} would both become {}", other.display(), from.display(), made.display());
        }
        tasks.push(Task { input: from, output: output.join(made) });
    }
    Ok(tasks)
}

fn entries(folder: &Path) -> Result<Vec<DirEntry>> {
    fs::read_dir(folder)
        .and_then(Iterator::collect)
        .with_context(|| format!("cannot read the folder {}", folder.display()))
}

/// What an entry of a folder is.
enum Kind {
    /// A picture or not.
    File,
    Folder,
    LinkedFolder,
    BrokenLink,
    /// A device, a FIFO or a socket.
    Special,
    /// Of the system, or meant not to be seen.
    Hidden,
}

fn kind(entry: &DirEntry, path: &Path) -> Kind {
    if is_hidden(&entry.file_name()) {
        return Kind::Hidden;
    }
    let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
    match fs::metadata(path) {
        Ok(found) if found.is_dir() && is_link => Kind::LinkedFolder,
        Ok(found) if found.is_dir() => Kind::Folder,
        Ok(found) if found.is_file() => Kind::File,
        Ok(_) => Kind::Special,
        Err(_) if is_link => Kind::BrokenLink,
        // Reading it will tell what is wrong with it.
        Err(_) => Kind::File,
    }
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || SYSTEM.contains(&&*name.to_string_lossy().to_lowercase())
}

impl LeftOut {
    /// One line that names everything with its reason, or nothing where nothing was left out.
    pub(super) fn line(&self, recursive: bool) -> Option<String> {
        let mut files: Vec<(&String, usize)> =
            self.files.iter().map(|(extension, &count)| (extension, count)).collect();
        files.sort_by_key(|&(extension, count)| (std::cmp::Reverse(count), extension));
        let mut parts: Vec<String> = Vec::new();
        if !files.is_empty() {
            let named = |&(extension, count): &(&String, usize)| match extension.as_str() {
                "" => format!("{count} without an extension"),
                extension => format!("{count} .{extension}"),
            };
            let mut named: Vec<String> = files.iter().take(KINDS).map(named).collect();
            let others: usize = files.iter().skip(KINDS).map(|(_, count)| count).sum();
            if others > 0 {
                named.push(format!("{others} others"));
            }
            parts.push(format!("{} (no pictures by name)", named.join(", ")));
        }
        let mut part = |count: usize, one: &str, many: &str| {
            if count > 0 {
                parts.push(format!("{count} {}", if count == 1 { one } else { many }));
            }
        };
        if !recursive {
            let why = "(--recursive enters them)";
            part(self.folders, &format!("folder {why}"), &format!("folders {why}"));
        }
        part(self.linked_folders, "link to a folder", "links to folders");
        part(self.broken_links, "link that leads nowhere", "links that lead nowhere");
        part(self.special, "device or pipe", "devices or pipes");
        if parts.is_empty() { None } else { Some(format!("left out: {}", parts.join(", "))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_one_short_line() {
        assert_eq!(LeftOut::default().line(false), None);
        let mut left_out = LeftOut { folders: 1, linked_folders: 2, ..LeftOut::default() };
        for (extension, count) in [("bak", 2), ("txt", 7), ("", 1), ("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)] {
            left_out.files.insert(extension.into(), count);
        }
        assert_eq!(
            left_out.line(false).unwrap(),
            "left out: 7 .txt, 2 .bak, 1 without an extension, 1 .a, 1 .b, 1 .c, 2 others (no pictures by name), \
             1 folder (--recursive enters them), 2 links to folders"
        );
        left_out.files.clear();
        assert_eq!(left_out.line(true).unwrap(), "left out: 2 links to folders");
    }
}
