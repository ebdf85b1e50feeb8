//! Reading and writing files, with errors that name the file.
//!
//! The idea: what is written appears whole or not at all, under its final name only when its last byte is on its way to the disk,
//! and a set of files appears together or not at all.

use cranelite_graph::diagnostic::{Code, Diagnostic};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

pub fn read(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    fs::read(path).map_err(|e| match problem("cannot read", path, &e) {
        d if path.is_dir() => {
            d.help("give the .tflite file; a folder may be a SavedModel: tf.lite.TFLiteConverter.from_saved_model(FOLDER).convert()")
        }
        d => d,
    })
}

pub fn create_directory(path: &Path) -> Result<(), Diagnostic> {
    fs::create_dir_all(path).map_err(|e| problem("cannot create folder", path, &e))
}

fn problem(what: &str, path: &Path, error: &io::Error) -> Diagnostic {
    Diagnostic::new(Code::FILE_ACCESS, format!("{what} {}: {error}", path.display()))
}

/// Files that are to appear together.
#[derive(Default)]
pub struct Files {
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Files {
    pub fn add(&mut self, path: PathBuf, contents: impl Into<Vec<u8>>) {
        self.files.push((path, contents.into()));
    }

    /// Writes all of them beside their places first, then gives them their names. Folders that are missing are made.
    pub fn write(self) -> Result<(), Diagnostic> {
        let mut written: Vec<(NamedTempFile, PathBuf)> = vec![];
        for (path, contents) in self.files {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            create_directory(folder)?;
            let failed = |e: io::Error| problem("cannot write", &path, &e);
            if path.is_dir() {
                return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
            }
            let mut file = tempfile::Builder::new().permissions(permissions()).tempfile_in(folder).map_err(failed)?;
            file.write_all(&contents).map_err(failed)?;
            written.push((file, path));
        }
        for (file, path) in written {
            file.persist(&path).map_err(|e| problem("cannot write", &path, &e.error))?;
        }
        Ok(())
    }
}

/// As any new file has them; a temporary file is its owner's alone by default.
fn permissions() -> fs::Permissions {
    #[cfg(unix)]
    return std::os::unix::fs::PermissionsExt::from_mode(0o666);
    #[cfg(not(unix))]
    return fs::metadata(".").map(|m| m.permissions()).expect("the current folder has permissions");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad) = (folder.path().join("a/good"), folder.path().join("b"));
        fs::create_dir(&bad).unwrap();
        let mut files = Files::default();
        files.add(good.clone(), "x");
        files.add(bad, "y");
        assert!(files.write().unwrap_err().message.starts_with("cannot write"));
        assert_eq!(fs::read_dir(good.parent().unwrap()).unwrap().count(), 0);
        let mut files = Files::default();
        files.add(good.clone(), "x");
        files.write().unwrap();
        assert_eq!(fs::read(good).unwrap(), b"x");
    }
}
