//! How much of the arena constants take while they are decoded, and which of them are worth it.
//!
//! Not the planner: places are not known yet, only what lives at once. The idea: an arena as large as one constant needs has room for every other one that needs less, so
//! what is packed is decided by one number.

use super::{PackError, Packing, Prefer, into_scratch};
use crate::arena;
use crate::machine::Machine;
use crate::program::Program;

impl Packing {
    /// By number: the most bytes that are live in any of the programs while the constant is decoded; 0 where none reads it.
    pub fn needs(&self, programs: &[(&Program, &Machine)]) -> Vec<u64> {
        let mut needs = vec![0; self.constants.len()];
        for (program, machine) in programs {
            let mut program = (*program).clone();
            let made = into_scratch(&mut program, machine, self);
            let lives = arena::fullest_lives(&program);
            for (buffer, number) in made {
                needs[number] = needs[number].max(lives.get(&buffer).copied().unwrap_or(0));
            }
        }
        needs
    }

    /// Those that fit into an arena of so many bytes, or into the one that it takes without them.
    pub fn within(&self, programs: &[(&Program, &Machine)], arena_bytes: u64, prefer: Prefer) -> Result<Packing, PackError> {
        let limit = arena_bytes.max(least(programs));
        self.chosen(&self.needs(programs), limit, prefer)
    }

    /// Those with which constants and arena together have the fewest bytes.
    pub fn fewest_in_all(&self, programs: &[(&Program, &Machine)], prefer: Prefer) -> Result<Packing, PackError> {
        let needs = self.needs(programs);
        let least = least(programs);
        let total = |limit: &u64| {
            let saved = self.constants.iter().zip(&needs).filter(|(_, need)| *need <= limit).map(|(p, _)| p.saved_bytes()).sum::<u64>();
            i128::from(*limit.max(&least)) - i128::from(saved)
        };
        let limit = needs.iter().copied().chain([least]).min_by_key(|limit| (total(limit), *limit)).unwrap_or(least);
        self.chosen(&needs, limit.max(least), prefer)
    }

    fn chosen(&self, needs: &[u64], limit: u64, prefer: Prefer) -> Result<Packing, PackError> {
        if needs.iter().all(|need| *need <= limit) {
            return Ok(self.clone());
        }
        let kept: std::collections::BTreeSet<&[u8]> =
            self.constants.iter().zip(needs).filter(|(_, need)| **need <= limit).map(|(p, _)| &p.content.data[..]).collect();
        self.only(|p| kept.contains(&p.content.data[..]), prefer)
    }
}

/// The arena without decoded constants, about.
fn least(programs: &[(&Program, &Machine)]) -> u64 {
    programs.iter().map(|(p, _)| arena::least_bytes(p)).max().unwrap_or(0)
}
