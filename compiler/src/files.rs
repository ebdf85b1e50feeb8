//! Reading and writing files, with errors that name the file.
//!
//! The idea: what is written appears whole or not at all, and a set of files appears together or not at all. Each folder gets a hidden
//! folder while files are written into it. There the new files have their final names already, so that the file system itself says
//! which of them would be one file; and there the old files wait until all new ones have taken their places. What is one folder to its user
//! ([`write_folder`]) is made there as a whole.

use crate::diagnostic::shown;
use cranelite_graph::diagnostic::{Code, Diagnostic};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// No model is larger, and a file that only seems to be so is refused before it is read.
const MAX_FILE_BYTES: u64 = 16 << 30;
/// A pipe does not say how much will come.
const MAX_PIPE_BYTES: u64 = 256 << 20;

/// The contents of a file or of a pipe.
pub fn read(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    let failed = |e: io::Error| problem("cannot read", path, &e);
    let refused = |why: &str| Diagnostic::new(Code::FILE_ACCESS, format!("cannot read {}: {why}", shown(path)));
    let kind = Kind::of(path).map_err(failed)?;
    let (max, too_large) = match kind {
        Kind::File => (MAX_FILE_BYTES, "it has more than 16 GiB"),
        Kind::Pipe => (MAX_PIPE_BYTES, "more than 256 MiB come out of the pipe; save them as a file and give that"),
        Kind::Folder => {
            return Err(failed(io::ErrorKind::IsADirectory.into())
                .help("give the file of a model, or the folder of a SavedModel, which has a saved_model.pb in it"));
        }
        Kind::Device => return Err(refused("it is a device, neither a file nor a pipe")),
    };
    let file = fs::File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    if max < size {
        return Err(refused(too_large));
    }
    let mut bytes = vec![];
    bytes.try_reserve_exact(size as usize).map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
    file.take(max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if max < bytes.len() as u64 { Err(refused(too_large)) } else { Ok(bytes) }
}

/// What a path leads to.
enum Kind {
    File,
    Folder,
    Pipe,
    Device,
}

impl Kind {
    fn of(path: &Path) -> io::Result<Kind> {
        let kind = fs::metadata(path)?.file_type();
        #[cfg(unix)]
        let is_pipe = std::os::unix::fs::FileTypeExt::is_fifo(&kind);
        #[cfg(not(unix))]
        let is_pipe = false;
        Ok(match () {
            () if kind.is_file() => Kind::File,
            () if kind.is_dir() => Kind::Folder,
            () if is_pipe => Kind::Pipe,
            () => Kind::Device,
        })
    }
}

fn problem(what: &str, path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::new(Code::FILE_ACCESS, format!("{what} {}: {error}", shown(path)))
}

/// Files that are to appear together.
#[derive(Default)]
pub struct Files {
    files: Vec<(PathBuf, Vec<u8>)>,
    inputs: Vec<PathBuf>,
}

impl Files {
    pub fn add(&mut self, path: PathBuf, contents: impl Into<Vec<u8>>) {
        self.files.push((path, contents.into()));
    }

    /// Where they are to be, and what is in them.
    pub fn iter(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.files.iter().map(|(path, contents)| (path.as_path(), contents.as_slice()))
    }

    /// A file that was read: none may take its place.
    pub fn keep(&mut self, path: &Path) {
        self.inputs.push(path.into());
    }

    /// Writes all of them, then gives them their places. Folders that are missing are made; a symbolic link stays, and what it leads to
    /// is replaced.
    pub fn write(self) -> Result<(), Diagnostic> {
        self.stage()?.publish()
    }

    fn stage(self) -> Result<Staged, Diagnostic> {
        let mut staged = Staged::default();
        for (path, contents) in &self.files {
            if let Some(input) = self.inputs.iter().find(|input| is_same(input, path)) {
                let message = format!("{} would be written over {}, which is read", shown(path), shown(input));
                return Err(Diagnostic::new(Code::OUTPUT, message).help("give the output another name or folder"));
            }
            staged.add(path, contents)?;
        }
        Ok(staged)
    }
}

/// Writes a folder with these files, by their paths in it, which takes its place as a whole: what was in an older one is gone with it. Only a folder
/// that has a file `mark` is taken for an older one; `input` was read and must not go.
pub fn write_folder(path: &Path, files: &[(PathBuf, Vec<u8>)], mark: &str, input: &Path) -> Result<(), Diagnostic> {
    let failed = |e: io::Error| problem("cannot write", path, &e);
    let mut made = Made::default();
    let parent = parent(path);
    made.make(parent).map_err(|e| problem("cannot create folder", parent, &e))?;
    let place = place(path, parent).map_err(failed)?;
    let is_there = match fs::symlink_metadata(&place) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        Err(e) => return Err(failed(e)),
        Ok(kind) if !kind.is_dir() => return Err(failed(io::ErrorKind::NotADirectory.into())),
        Ok(_) if place.join(mark).is_file() || fs::read_dir(&place).map_err(failed)?.next().is_none() => true,
        Ok(_) => {
            let message = format!("cannot write {}: there is a folder of that name with other things in it", shown(path));
            return Err(Diagnostic::new(Code::FILE_ACCESS, message).help("give the output another name, or remove the folder"));
        }
    };
    if fs::canonicalize(input).is_ok_and(|input| input.starts_with(&place)) {
        let message = format!("{} would be written over {}, which is read", shown(path), shown(input));
        return Err(Diagnostic::new(Code::OUTPUT, message).help("give the output another name or folder"));
    }
    let hidden = hidden_in(place.parent().unwrap_or(Path::new("/"))).map_err(failed)?;
    let [new, old] = ["new", "old"].map(|which| hidden.path().join(which));
    for (inner, contents) in files {
        let file = new.join(inner);
        fs::create_dir_all(file.parent().unwrap_or(&new)).map_err(failed)?;
        fs::File::create_new(&file).and_then(|mut file| file.write_all(contents)).map_err(failed)?;
    }
    if is_there {
        fs::rename(&place, &old).map_err(failed)?;
    }
    fs::rename(&new, &place).map_err(|e| {
        if is_there {
            // An error comes on top of the one that is told.
            let _ = fs::rename(&old, &place);
        }
        failed(e)
    })?;
    Ok(())
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where a path leads to; `folder` is there and is the one that the path is in.
fn place(path: &Path, folder: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Ok(fs::canonicalize(folder)?.join(path.file_name().ok_or(io::ErrorKind::InvalidFilename)?))
        }
        place => place,
    }
}

fn hidden_in(folder: &Path) -> io::Result<TempDir> {
    // The error would name the hidden folder.
    tempfile::Builder::new().prefix(".cranelite-").tempdir_in(folder).map_err(|e| io::Error::from(e.kind()))
}

/// Whether two paths lead to one file that is there, whatever they are called.
fn is_same(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    let identity =
        |path: &Path| fs::metadata(path).map(|m| (std::os::unix::fs::MetadataExt::dev(&m), std::os::unix::fs::MetadataExt::ino(&m)));
    #[cfg(not(unix))]
    let identity = |path: &Path| fs::canonicalize(path);
    identity(a).is_ok_and(|a| identity(b).is_ok_and(|b| a == b))
}

/// Files that are written and wait for their places.
#[derive(Default)]
struct Staged {
    files: Vec<Output>,
    /// Folders, and the hidden folder in each.
    hidden: Vec<(PathBuf, TempDir)>,
    made: Made,
}

struct Output {
    /// As the user knows it.
    path: PathBuf,
    place: PathBuf,
    new: PathBuf,
    /// What was in that place.
    old: PathBuf,
}

impl Staged {
    fn add(&mut self, path: &Path, contents: &[u8]) -> Result<(), Diagnostic> {
        let failed = |e: io::Error| problem("cannot write", path, &e);
        let folder = parent(path);
        self.made.make(folder).map_err(|e| problem("cannot create folder", folder, &e))?;
        match Kind::of(path) {
            Ok(Kind::Folder) => return Err(failed(io::ErrorKind::IsADirectory.into())),
            Ok(Kind::Pipe | Kind::Device) => return Err(failed(io::Error::other("it is a pipe or a device, not a file"))),
            Ok(Kind::File) | Err(_) => {}
        }
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        let place = place(path, folder).map_err(failed)?;
        let (folder, name) = (place.parent().unwrap_or(Path::new("")), place.file_name().unwrap_or(name));
        let hidden = self.hidden(folder).map_err(failed)?;
        let [new, old] = ["new", "old"].map(|which| hidden.join(which).join(name));
        let mut file = fs::File::create_new(&new).map_err(|e| match self.files.iter().find(|o| is_same(&o.new, &new)) {
            Some(other) => {
                let all = if other.path == *path { shown(path) } else { format!("{} and {}", shown(&other.path), shown(path)) };
                Diagnostic::new(Code::OUTPUT, format!("two outputs would be one file: {all}")).help("give each output a name of its own")
            }
            None => failed(e),
        })?;
        file.write_all(contents).map_err(failed)?;
        self.files.push(Output { path: path.into(), place, new, old });
        Ok(())
    }

    fn hidden(&mut self, folder: &Path) -> io::Result<PathBuf> {
        if let Some((_, hidden)) = self.hidden.iter().find(|(of, _)| of == folder) {
            return Ok(hidden.path().into());
        }
        let hidden = hidden_in(folder)?;
        ["new", "old"].iter().try_for_each(|which| fs::create_dir(hidden.path().join(which)))?;
        let path = hidden.path().into();
        self.hidden.push((folder.into(), hidden));
        Ok(path)
    }

    /// Should one not get its place, those before it give theirs back.
    fn publish(self) -> Result<(), Diagnostic> {
        for (i, output) in self.files.iter().enumerate() {
            output.publish().map_err(|e| {
                self.files[..i].iter().rev().for_each(Output::withdraw);
                problem("cannot write", &output.path, &e)
            })?;
        }
        Ok(())
    }
}

impl Output {
    /// At no time is nothing in the place of a file that was there.
    fn publish(&self) -> io::Result<()> {
        match fs::hard_link(&self.place, &self.old) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            // Some file systems have no hard links.
            Err(_) => fs::copy(&self.place, &self.old).map(drop)?,
            Ok(()) => {}
        }
        fs::rename(&self.new, &self.place)
    }

    fn withdraw(&self) {
        // An error comes on top of the one that is told.
        let _ = if fs::symlink_metadata(&self.old).is_ok() { fs::rename(&self.old, &self.place) } else { fs::remove_file(&self.place) };
    }
}

/// Folders that were made, which go again when they are empty at the end.
#[derive(Default)]
struct Made(Vec<PathBuf>);

impl Made {
    fn make(&mut self, folder: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = folder.ancestors().filter(|f| *f != OsStr::new("") && !f.is_dir()).collect();
        for folder in missing.into_iter().rev() {
            // `new/..` is there as soon as `new` is.
            if !folder.is_dir() {
                fs::create_dir(folder)?;
                self.0.push(folder.into());
            }
        }
        Ok(())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for folder in self.0.iter().rev() {
            let _ = fs::remove_dir(folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn staged(files: &[(PathBuf, &str)]) -> Result<Staged, Diagnostic> {
        let mut all = Files::default();
        files.iter().for_each(|(path, contents)| all.add(path.clone(), *contents));
        all.stage()
    }

    fn write(files: &[(PathBuf, &str)]) -> Result<(), Diagnostic> {
        staged(files)?.publish()
    }

    /// Everything in a folder, by its path.
    fn contents(folder: &Path) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_string();
            match fs::read_to_string(&path) {
                Ok(text) => drop(all.insert(name, text)),
                Err(_) => all.extend(contents(&path).into_iter().map(|(inner, text)| (format!("{name}/{inner}"), text))),
            }
        }
        all
    }

    fn are(folder: &Path, expected: &[(&str, &str)]) {
        let expected: BTreeMap<String, String> = expected.iter().map(|(n, t)| (n.to_string(), t.to_string())).collect();
        assert_eq!(contents(folder), expected);
    }

    #[test]
    fn all_files_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad) = (folder.path().join("a/b/good"), folder.path().join("bad"));
        fs::create_dir(&bad).unwrap();
        let error = write(&[(good.clone(), "x"), (bad.clone(), "y")]).unwrap_err();
        assert!(error.message.starts_with("cannot write"), "{error}");
        assert!(!folder.path().join("a").exists());
        write(&[(good.clone(), "x")]).unwrap();
        assert_eq!(fs::read(good).unwrap(), b"x");
    }

    #[test]
    fn old_files_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let [object, weights, header] = ["m.o", "m.bin", "m.h"].map(|name| folder.path().join(name));
        let new = [(object.clone(), "new o"), (weights, "new bin"), (header.clone(), "new h")];
        // The header's place is taken at the last moment.
        for is_update in [false, true] {
            if is_update {
                fs::write(&object, "old o").unwrap();
            }
            let staged = staged(&new).unwrap();
            fs::create_dir(&header).unwrap();
            fs::write(header.join("x"), "x").unwrap();
            let error = staged.publish().unwrap_err();
            assert!(error.message.starts_with("cannot write") && error.message.contains("m.h"), "{error}");
            are(folder.path(), if is_update { &[("m.o", "old o"), ("m.h/x", "x")] } else { &[("m.h/x", "x")] });
            fs::remove_dir_all(&header).unwrap();
        }
        write(&new).unwrap();
        are(folder.path(), &[("m.o", "new o"), ("m.bin", "new bin"), ("m.h", "new h")]);
    }

    #[test]
    fn one_file_is_not_written_twice() {
        let folder = tempfile::tempdir().unwrap();
        let d = folder.path().join("d");
        let other_names = ["d/x", "d/./x", "d/../d/x", "new/../d/x", "d//x"];
        for name in other_names {
            let error = write(&[(d.join("x"), "1"), (d.join("y"), "2"), (folder.path().join(name), "3")]).unwrap_err();
            assert_eq!(error.code, Code::OUTPUT, "{name}: {error}");
            are(folder.path(), &[]);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "{name}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("d")).unwrap();
        fs::write(path("d/x"), "old").unwrap();
        symlink("d", path("e")).unwrap();
        symlink("d/x", path("l")).unwrap();
        fs::hard_link(path("d/x"), path("h")).unwrap();
        for other in ["e/x", "l"] {
            let error = write(&[(path("d/x"), "1"), (path(other), "2")]).unwrap_err();
            assert_eq!(error.code, Code::OUTPUT, "{other}: {error}");
        }
        // What is replaced is a name, so two names of one file become two files.
        write(&[(path("l"), "1"), (path("h"), "2")]).unwrap();
        are(folder.path(), &[("d/x", "1"), ("e/x", "1"), ("l", "1"), ("h", "2")]);
        assert!(fs::symlink_metadata(path("l")).unwrap().is_symlink());
        symlink("loop", path("loop")).unwrap();
        assert!(write(&[(path("loop"), "1")]).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn inputs_and_devices_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("model"), "model").unwrap();
        std::os::unix::fs::symlink("model", path("link")).unwrap();
        fs::hard_link(path("model"), path("hard")).unwrap();
        let mut at = vec![];
        for (input, output) in [("model", "model"), ("link", "model"), ("model", "link"), ("model", "hard"), ("hard", "./model")] {
            let mut files = Files::default();
            files.keep(&path(input));
            files.add(path("other"), "1");
            files.add(path(output), "2");
            at.push(files.write().unwrap_err().code);
        }
        assert_eq!(at, [Code::OUTPUT; 5]);
        are(folder.path(), &[("model", "model"), ("link", "model"), ("hard", "model")]);
        assert!(write(&[("/dev/null".into(), "1")]).unwrap_err().message.contains("device"));
        assert!(read(Path::new("/dev/zero")).unwrap_err().message.contains("device"));
        assert!(read(folder.path()).is_err());
        let sparse = fs::File::create(path("sparse")).unwrap();
        if sparse.set_len(MAX_FILE_BYTES + 1).is_ok() {
            assert!(read(&path("sparse")).unwrap_err().message.contains("16 GiB"));
        }
    }

    fn write_tree(folder: &Path, files: &[(&str, &str)], input: &Path) -> Result<(), Diagnostic> {
        let files: Vec<(PathBuf, Vec<u8>)> = files.iter().map(|(path, text)| (path.into(), text.as_bytes().to_vec())).collect();
        write_folder(folder, &files, "list", input)
    }

    #[test]
    fn a_folder_takes_the_place_of_an_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("model"), "model").unwrap();
        let write = |name: &str, files: &[(&str, &str)]| write_tree(&path(name), files, &path("model"));
        write("new/f/", &[("list", "1"), ("a/b/c", "2")]).unwrap();
        are(folder.path(), &[("model", "model"), ("new/f/list", "1"), ("new/f/a/b/c", "2")]);
        write("new/f", &[("list", "3"), ("d", "4")]).unwrap();
        are(folder.path(), &[("model", "model"), ("new/f/list", "3"), ("new/f/d", "4")]);
        // One of the files cannot be written: everything is as before.
        assert!(write("new/f", &[("list", "5"), ("list/x", "6")]).is_err());
        assert!(write("other/f", &[("list", "5"), ("list/x", "6")]).is_err());
        // What is no such folder stays.
        fs::remove_file(path("new/f/list")).unwrap();
        let error = write("new/f", &[("list", "7")]).unwrap_err();
        assert!(error.message.ends_with("there is a folder of that name with other things in it"), "{error}");
        assert!(write("model", &[("list", "7")]).is_err() && write("model/f", &[("list", "7")]).is_err());
        are(folder.path(), &[("model", "model"), ("new/f/d", "4")]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        fs::create_dir(path("empty")).unwrap();
        write("empty", &[("list", "8")]).unwrap();
        are(folder.path(), &[("model", "model"), ("new/f/d", "4"), ("empty/list", "8")]);
        // What is read does not go with an older one.
        let error = write_tree(&path("empty"), &[("list", "9")], &path("empty/list")).unwrap_err();
        assert_eq!(error.code, Code::OUTPUT, "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("f")).unwrap();
        std::os::unix::fs::symlink("f", path("link")).unwrap();
        write_tree(&path("link"), &[("list", "1")], Path::new("none")).unwrap();
        assert!(fs::symlink_metadata(path("link")).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(path("f/list")).unwrap(), "1");
    }
}
