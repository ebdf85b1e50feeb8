//! The arrays of `run`: `--input a.npy --input b.npy --next-step --input c.npy ...`
//!
//! The idea: `--next-step` separates, so the order of the two options on the command line is what counts.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};
use std::path::PathBuf;

/// The input files of each step.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps(pub Vec<Vec<PathBuf>>);

impl FromArgMatches for Steps {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let separators: Vec<usize> = matches.indices_of("next-step").into_iter().flatten().collect();
        let inputs = matches.indices_of("input").into_iter().flatten().zip(matches.get_many::<PathBuf>("input").into_iter().flatten());
        let mut steps = vec![vec![]; separators.len() + 1];
        for (at, path) in inputs {
            steps[separators.iter().filter(|s| **s < at).count()].push(path.clone());
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
            let Steps(steps) = Steps::from_arg_matches(&matches).unwrap();
            steps.iter().map(|s| s.iter().map(|p| p.display().to_string()).collect::<String>()).collect::<Vec<_>>()
        };
        assert_eq!(steps(&[]), [""]);
        assert_eq!(steps(&["--input", "a", "--input", "b"]), ["ab"]);
        assert_eq!(steps(&["--input", "a", "--input=b", "--next-step", "--input", "c"]), ["ab", "c"]);
        assert_eq!(steps(&["--next-step", "--input", "c", "--next-step"]), ["", "c", ""]);
    }
}
