//! The arrays of `run`: `--input a.npy --input b.npy --next-step --input c.npy ...`, and the signatures that take them.
//!
//! The idea: `--next-step` separates, so the order of the options on the command line is what counts.

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use std::path::PathBuf;

/// What each step runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps(pub Vec<Step>);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// Its name, where one was given: a single one is that of all steps.
    pub signature: Option<String>,
    pub inputs: Vec<PathBuf>,
}

impl Steps {
    /// The signatures, each once, and the number of that of each step.
    pub fn signatures(&self) -> (Vec<String>, Vec<usize>) {
        let mut all: Vec<String> = vec![];
        let mut number = |step: &Step| {
            let Some(name) = &step.signature else { return 0 };
            all.iter().position(|known| known == name).unwrap_or_else(|| {
                all.push(name.clone());
                all.len() - 1
            })
        };
        let numbers = self.0.iter().map(&mut number).collect();
        (all, numbers)
    }
}

impl FromArgMatches for Steps {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let separators: Vec<usize> = matches.indices_of("next-step").into_iter().flatten().collect();
        let step_at = |at: usize| separators.iter().filter(|s| **s < at).count();
        let inputs = matches.indices_of("input").into_iter().flatten().zip(matches.get_many::<PathBuf>("input").into_iter().flatten());
        let mut steps = vec![Step::default(); separators.len() + 1];
        for (at, path) in inputs {
            steps[step_at(at)].inputs.push(path.clone());
        }
        let named =
            matches.indices_of("signature").into_iter().flatten().zip(matches.get_many::<String>("signature").into_iter().flatten());
        let named: Vec<(usize, &String)> = named.map(|(at, name)| (step_at(at), name)).collect();
        if let [(_, only)] = named[..] {
            steps.iter_mut().for_each(|s| s.signature = Some(only.clone()));
            return Ok(Steps(steps));
        }
        for (step, name) in named {
            if steps[step].signature.replace(name.clone()).is_some() {
                return Err(clap::Error::raw(ErrorKind::ArgumentConflict, "a step has one --signature: begin another with --next-step\n"));
            }
        }
        if steps[0].signature.is_none() && steps.iter().any(|s| s.signature.is_some()) {
            let message = "where steps have several signatures, the first one has a --signature, too\n";
            return Err(clap::Error::raw(ErrorKind::MissingRequiredArgument, message));
        }
        for i in 1..steps.len() {
            steps[i].signature = steps[i].signature.take().or_else(|| steps[i - 1].signature.clone());
        }
        Ok(Steps(steps))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Steps::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Steps {
    fn augment_args(command: Command) -> Command {
        command
            .arg(
                Arg::new("input")
                    .long("input")
                    .value_name("FILE.npy")
                    .value_parser(value_parser!(PathBuf))
                    .action(ArgAction::Append)
                    .help("Array for the next input of the model"),
            )
            .arg(
                Arg::new("next-step")
                    .long("next-step")
                    .num_args(0)
                    .default_missing_value("true")
                    .action(ArgAction::Append)
                    .help("Ends the inputs of one step: the model runs again on those that follow"),
            )
            .arg(Arg::new("signature").long("signature").value_name("NAME").action(ArgAction::Append).help(
                "Run this signature instead of the model's first subgraph; steps may have others, and what the model keeps is one for all",
            ))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Steps::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_decides() {
        let steps = |words: &[&str]| {
            let matches = Steps::augment_args(Command::new("t")).get_matches_from(["t"].iter().chain(words));
            let Steps(steps) = Steps::from_arg_matches(&matches).map_err(|e| e.kind())?;
            let text = |s: &Step| s.inputs.iter().map(|p| p.display().to_string()).chain(s.signature.clone()).collect::<String>();
            Ok::<_, ErrorKind>(steps.iter().map(text).collect::<Vec<_>>().join(" "))
        };
        let steps = |words: &[&str]| steps(words).unwrap_or_else(|kind| format!("{kind:?}"));
        assert_eq!(steps(&[]), "");
        assert_eq!(steps(&["--input", "a", "--input", "b"]), "ab");
        assert_eq!(steps(&["--input", "a", "--input=b", "--next-step", "--input", "c"]), "ab c");
        assert_eq!(steps(&["--next-step", "--input", "c", "--next-step"]), " c ");
        // One signature is that of all steps; several are those of their steps and of the ones behind.
        assert_eq!(steps(&["--input", "a", "--next-step", "--signature", "S"]), "aS S");
        let several = ["--signature", "S", "--next-step", "--input", "a", "--signature", "T", "--next-step", "--input", "b"];
        assert_eq!(steps(&several), "S aT bT");
        assert_eq!(steps(&["--signature", "S", "--signature", "T"]), "ArgumentConflict");
        assert_eq!(steps(&["--next-step", "--signature", "S", "--next-step", "--signature", "T"]), "MissingRequiredArgument");
    }
}
