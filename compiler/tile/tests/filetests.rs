//! The files of tests/filetests/tile: programs that the verifier must accept or refuse.
//!
//! A file under `verify-error` ends with the messages as `# error: …` lines; CRANELITE_BLESS=1 writes them anew. The idea: what the
//! verifier says is read in the file beside the program that it says it of.

use cranelite_tile::text::{parse, print};
use cranelite_tile::verify::verify;
use std::path::{Path, PathBuf};

const EXPECTED: &str = "# error: ";

fn files(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/filetests/tile").join(folder);
    let entries = std::fs::read_dir(&root).unwrap_or_else(|e| panic!("{}: {e}", root.display()));
    let mut files: Vec<PathBuf> =
        entries.map(|e| e.expect("an entry").path()).filter(|p| p.extension().is_some_and(|x| x == "tile")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// The program's text and what the verifier says of it.
fn verified(path: &Path) -> (String, Vec<String>) {
    let text = std::fs::read_to_string(path).expect("a readable file");
    let program = parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let again = parse(&print(&program)).unwrap_or_else(|e| panic!("{}, printed: {e}", path.display()));
    assert!(again == program, "{} does not survive printing", path.display());
    let messages = verify(&program).err().unwrap_or_default().iter().map(|e| e.to_string()).collect();
    (text, messages)
}

#[test]
fn accepted() {
    for path in files("verify-ok") {
        let (_, messages) = verified(&path);
        assert!(messages.is_empty(), "{}:\n{}", path.display(), messages.join("\n"));
    }
}

#[test]
fn refused() {
    for path in files("verify-error") {
        let (text, messages) = verified(&path);
        assert!(!messages.is_empty(), "{} is accepted", path.display());
        let expected: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix(EXPECTED)).collect();
        if std::env::var_os("CRANELITE_BLESS").is_some() {
            let program: Vec<&str> = text.lines().filter(|l| !l.starts_with(EXPECTED)).collect();
            let errors: String = messages.iter().map(|m| format!("{EXPECTED}{m}\n")).collect();
            std::fs::write(&path, format!("{}\n\n{errors}", program.join("\n").trim_end())).expect("a writable file");
        } else {
            assert_eq!(messages, expected, "{}", path.display());
        }
    }
}
