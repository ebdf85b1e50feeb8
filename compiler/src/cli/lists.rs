//! `ops`, `explain`, `completions` and `man`: commands that print what is known without any model.

use super::{Cli, Outcome, print, print_json, print_raw};
use crate::diagnostic::Failure;
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use cranelite_codegen::targets::{self, Levels, ListedLevel, TRIPLES};
use cranelite_graph::diagnostic::{CODES, Explained};
use cranelite_graph::ops;
use cranelite_tile::{Machine, MicroTile};
use serde_json::{Value, json};

/// Lists the supported operators and their element types
#[derive(Args)]
pub struct OpsArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn ops(args: OpsArgs) -> Outcome {
    if args.json {
        print_json(&json!(operators().map(|(name, types)| json!({ "name": name, "types": types })).collect::<Vec<_>>()));
    } else {
        print(&operators().map(|(name, types)| format!("{name:<20} {types}\n")).collect::<String>());
    }
    Ok(())
}

/// Names, and element types or what becomes of the operator at import.
fn operators() -> impl Iterator<Item = (&'static str, String)> {
    let resolved = ops::RESOLVED.iter().map(|(name, text)| (*name, text.to_string()));
    ops::TABLE.iter().filter(|(name, _)| !ops::is_own(name)).map(|(name, types)| (*name, types.to_string())).chain(resolved)
}

/// Lists the targets and the feature levels of their CPUs
#[derive(Args)]
pub struct TargetsArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn targets(args: TargetsArgs) -> Outcome {
    let native = targets::native_cpu();
    let architectures = targets::list();
    if args.json {
        let triples: Vec<_> = TRIPLES.iter().map(|t| json!({ "triple": t.triple, "about": t.about, "tested": t.tested })).collect();
        let levels = |l: &Levels| l.levels.iter().map(level_json).collect::<Vec<_>>();
        let architectures = architectures.iter().map(|l| json!({ "name": l.architecture, "levels": levels(l), "features": l.features }));
        let architectures: Vec<_> = architectures.collect();
        print_json(&json!({ "triples": triples, "architectures": architectures, "native": native }));
        return Ok(());
    }
    let mut out: String = TRIPLES.iter().map(|t| format!("{:<30} {}\n{:<30}   tested: {}\n", t.triple, t.about, "", t.tested)).collect();
    for l in architectures {
        out += &format!("\nLevels of {}; the first is the default where the triple says no more:\n", l.architecture);
        for level in &l.levels {
            let features = level.features.join(" ");
            match &level.tuned {
                Some(machine) => out += &format!("  {:<18} {features:<20} tunes: {}\n", level.name, tuned(level.name, machine)),
                None => out += &format!("  {:<18} {features}\n", level.name),
            }
        }
        let note = if l.note.is_empty() { String::new() } else { format!("; {}", l.note) };
        out += &format!("Features: {}{note}\n", l.features.join(" "));
    }
    if let Some(native) = native {
        out += &format!("\nThis machine (--cpu native): {native}\n");
    }
    print(&out);
    Ok(())
}

/// What code for a core has of its own.
fn tuned(core: &str, machine: &Machine) -> String {
    let tile = |t: MicroTile| format!("{} x {}", t.rows, t.vectors);
    let matrices = machine.tile_matrix.map_or(String::new(), |t| format!(", {} (matrices of bytes)", tile(t)));
    format!("schedule of {core}, tiles {} (floats), {} (bytes){matrices}", tile(machine.tile_f32), tile(machine.tile_i8))
}

fn level_json(level: &ListedLevel) -> Value {
    let mut facts = json!({ "name": level.name, "features": level.features.join(" ") });
    if let Some(machine) = &level.tuned {
        let tile = |t: MicroTile| json!({ "pixels": t.rows, "vectors": t.vectors });
        facts["tunes"] = json!({ "schedule": level.name, "tile_f32": tile(machine.tile_f32), "tile_i8": tile(machine.tile_i8) });
        if let Some(matrices) = machine.tile_matrix {
            facts["tunes"]["tile_matrix"] = tile(matrices);
        }
    }
    facts
}

/// Explains the code of a message, such as E0203
#[derive(Args)]
pub struct ExplainArgs {
    /// The code; without it all codes are listed
    code: Option<String>,
}

pub fn explain(args: ExplainArgs) -> Outcome {
    let Some(code) = args.code else {
        print(&CODES.iter().map(|c| format!("{}  {}\n", c.code, c.title)).collect::<String>());
        return Ok(());
    };
    let Explained { code, title, explanation, way_out } = CODES
        .iter()
        .find(|known| known.code.eq_ignore_ascii_case(&code))
        .ok_or_else(|| Failure::Usage(format!("there is no code {code:?}; `cranelite explain` lists all")))?;
    let way_out =
        if way_out.is_empty() { String::new() } else { format!("\nThe way out, where a message has no better one: {way_out}.\n") };
    print(&format!("{code}: {title}\n\n{explanation}\n{way_out}"));
    Ok(())
}

/// Prints a completion script for a shell
#[derive(Args)]
pub struct CompletionsArgs {
    shell: Shell,
}

pub fn completions(args: CompletionsArgs) -> Outcome {
    let mut script = vec![];
    clap_complete::generate(args.shell, &mut Cli::command(), "cranelite", &mut script);
    print_raw(&String::from_utf8_lossy(&script));
    Ok(())
}

/// Prints the manual page, in roff
#[derive(Args)]
pub struct ManArgs {}

pub fn man(_: ManArgs) -> Outcome {
    let mut page = vec![];
    let command = Cli::command();
    clap_mangen::Man::new(command.clone()).render(&mut page).expect("memory takes everything");
    for sub in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        let name = format!("cranelite {}", sub.get_name());
        let man = clap_mangen::Man::new(sub.clone().bin_name(&name).display_name(name.clone()));
        page.extend(format!(".SH {}\n", name.to_uppercase()).bytes());
        man.render_description_section(&mut page).and_then(|()| man.render_synopsis_section(&mut page)).expect("memory takes everything");
        man.render_options_section(&mut page).expect("memory takes everything");
    }
    print_raw(&String::from_utf8_lossy(&page));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_lists_the_targets() {
        let readme = include_str!("../../../README.md");
        let table =
            readme.split("<!-- made by `cranelite targets`").nth(1).and_then(|rest| rest.split("<!-- end -->").next()).unwrap_or_default();
        let listed: Vec<&str> = table.lines().filter(|l| l.starts_with("| `")).collect();
        let expected: Vec<String> = TRIPLES.iter().map(|t| format!("| `{}` | {} | {} |", t.triple, t.about, t.tested)).collect();
        assert_eq!(listed, expected);
    }
}
