//! The examples, with the commands of their own READMEs.
//!
//! Every indented block of `examples/NAME/README.md` is run by a shell in a copy of the folder, beside copies of the others, except a block
//! after a line that ends with "prints": that is what the commands before it must have printed. The idea: what a reader would type is
//! what is tested.

use anyhow::{Context, Result, bail, ensure};
use cranelite_tests::suite::shared;
use cranelite_tests::tools::{as_program, cranelite_in, exists};
use libtest_mimic::{Arguments, Failed, Trial};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    if let Some(code) = as_program() {
        return code;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut examples: Vec<PathBuf> =
        fs::read_dir(&folder).expect("the folder examples").map(|e| e.expect("a readable folder").path()).collect();
    examples.sort();
    let trials = examples.into_iter().map(|path| {
        let name = path.file_name().expect("a file name").to_string_lossy().into_owned();
        let is_left_out = FOREIGN.iter().any(|f| f.example == name && !f.is_there());
        let trial = Trial::test(name, move || example(&path).map_err(|e| Failed::from(format!("{e:?}"))));
        trial.with_ignored_flag(is_left_out)
    });
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit_code()
}

/// What is not ours and not in the repository: without it the example is not run.
struct Foreign {
    example: &'static str,
    /// The archive in the folder with the suites, the file in it, and what the README calls that.
    archive: &'static str,
    file: &'static str,
    name: &'static str,
    /// A package of Python that has data.
    package: &'static str,
}

const FOREIGN: &[Foreign] = &[Foreign {
    example: "detect-face",
    archive: "zoo/mptask_face_detector.zip",
    file: "mptask_face_detector.tflite",
    name: "blaze_face_short_range.tflite",
    package: "skimage",
}];

impl Foreign {
    fn path(&self) -> Option<PathBuf> {
        shared().map(|folder| folder.join(self.archive)).filter(|path| path.exists())
    }

    fn is_there(&self) -> bool {
        let has_package =
            || Command::new("python3").args(["-c", &format!("import {}", self.package)]).output().is_ok_and(|o| o.status.success());
        self.path().is_some() && has_package()
    }

    /// Puts it into the copy of the example.
    fn fetch(&self, folder: &Path) -> Result<()> {
        let archive = self.path().context("it was there")?;
        let out = Command::new("python3").args(["-m", "zipfile", "-e"]).arg(archive).arg(folder).output()?;
        ensure!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        Ok(fs::rename(folder.join(self.file), folder.join(self.name))?)
    }
}

/// A block of a README.
enum Block {
    Commands(Vec<String>),
    Prints(String),
}

fn blocks(readme: &str) -> Vec<Block> {
    let (mut out, mut current, mut prints) = (vec![], vec![], false);
    for line in readme.lines().chain([""]) {
        match line.strip_prefix("    ") {
            Some(code) => current.push(code.to_string()),
            None => {
                let lines = std::mem::take(&mut current);
                if !lines.is_empty() {
                    out.push(if prints { Block::Prints(lines.join("\n")) } else { Block::Commands(lines) });
                    prints = false;
                }
                if !line.is_empty() {
                    prints = line.ends_with("prints");
                }
            }
        }
    }
    out
}

fn example(source: &Path) -> Result<()> {
    // Beside copies of all others and of runtime-stub, since some use their files. Packages of cargo stay where they are: they make nothing
    // outside of the target folder.
    let (root, copies) = (Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), tempfile::tempdir()?);
    let folder = if source.join("Cargo.toml").exists() {
        source.into()
    } else {
        for name in ["examples", "runtime-stub"] {
            copy(&root.join(name), &copies.path().join(name))?;
        }
        copies.path().join("examples").join(source.file_name().context("a name")?)
    };
    for foreign in FOREIGN.iter().filter(|f| folder.ends_with(f.example)) {
        foreign.fetch(&folder)?;
    }
    // `cranelite` is this very program.
    let bin = tempfile::tempdir()?;
    cranelite_in(bin.path())?;
    let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap_or_default());

    let readme = fs::read_to_string(source.join("README.md")).context("an example has a README.md")?;
    let mut printed = String::new();
    let mut expectations = 0;
    for block in blocks(&readme) {
        match block {
            Block::Commands(lines) => {
                let missing: Vec<&str> = lines.iter().filter_map(|l| l.split_whitespace().next()).filter(|w| needs_installing(w)).collect();
                if !missing.is_empty() {
                    ensure!(std::env::var_os("CRANELITE_REQUIRE_TOOLS").is_none(), "not installed: {}", missing.join(", "));
                    eprintln!("{}: not run, for want of {}", lines[0], missing.join(", "));
                    continue;
                }
                let out = Command::new("sh")
                    .args(["-ec", &lines.join("\n")])
                    .current_dir(&folder)
                    .env("PATH", &path)
                    .env("CARGO_TARGET_DIR", copies.path())
                    .output()?;
                printed = String::from_utf8_lossy(&out.stdout).into_owned();
                ensure!(out.status.success(), "{}\n{}\n{printed}{}", lines.join("\n"), out.status, String::from_utf8_lossy(&out.stderr));
            }
            Block::Prints(expected) => {
                if !printed.contains(expected.trim()) {
                    bail!("expected\n{expected}\nfound\n{printed}");
                }
                expectations += 1;
            }
        }
    }
    ensure!(0 < expectations, "the README says nowhere what is printed");
    Ok(())
}

/// A folder with its files and folders.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

fn needs_installing(word: &str) -> bool {
    !word.starts_with("./") && !["cranelite", "cd", "export"].contains(&word) && !exists(word)
}
