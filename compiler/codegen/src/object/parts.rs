//! Functions that long bodies are divided into.
//!
//! The idea: pieces one after the other become a function with the parameters of the body, until few enough are left; what loops and branches
//! have inside is divided first, so that each of them is small enough to be in a function with others.

use super::entry;
use super::plan::{Form, Kind};
use super::schedule::{Body, Part, Piece};
use super::writer::Writer;
use super::{Error, Linkage};
use cranelite_tile::Call;

/// Pieces in one function at most, those inside of others counted.
const PIECES_LIMIT: usize = 256;
/// In a loop or a branch.
const INNER_LIMIT: usize = 64;

/// Fills in what a level does for each kind of body. Answers how much stack its parts take.
pub fn define(writer: &mut Writer, body: &mut Body, prefix: &str, kinds: &[Kind], form: Form) -> Result<u32, Error> {
    let mut deepest = 0;
    for &kind in kinds {
        let pieces = Piece::of(&body.program.schedule, &mut 0);
        let pieces = Divide { writer, body, prefix, kind, form }.divided(pieces, PIECES_LIMIT, false)?;
        deepest = deepest.max(stack_bytes(&pieces));
        body.parts.insert(kind, pieces);
    }
    Ok(deepest)
}

struct Divide<'d, 'a> {
    writer: &'d mut Writer,
    body: &'d Body<'a>,
    prefix: &'d str,
    kind: Kind,
    form: Form,
}

impl<'a> Divide<'_, 'a> {
    /// At most so many pieces, which do the same. `repeated`: there is a turn.
    fn divided(&mut self, mut pieces: Vec<Piece<'a>>, limit: usize, repeated: bool) -> Result<Vec<Piece<'a>>, Error> {
        for piece in &mut pieces {
            let repeated = repeated || matches!(piece, Piece::Repeat(..));
            for body in piece.bodies_mut() {
                *body = self.divided(std::mem::take(body), INNER_LIMIT, repeated)?;
            }
        }
        while limit < pieces.iter().map(size).sum() {
            let (mut larger, mut group, mut taken) = (vec![], vec![], 0);
            for piece in pieces {
                let size = size(&piece);
                if PIECES_LIMIT < taken + size {
                    larger.push(self.part(std::mem::take(&mut group), repeated)?);
                    taken = 0;
                }
                taken += size;
                group.push(piece);
            }
            larger.push(self.part(group, repeated)?);
            pieces = larger;
        }
        Ok(pieces)
    }

    fn part(&mut self, pieces: Vec<Piece<'a>>, repeated: bool) -> Result<Piece<'a>, Error> {
        let function = entry::part(self.body, &pieces, self.kind, self.form, repeated, &mut self.writer.module);
        let symbol = format!("{}.{}_part{}", self.prefix, self.kind.name(), self.writer.written.len());
        let (function, frame_bytes) = self.writer.function(symbol, Linkage::Local, function)?;
        let has_executor = self.kind == Kind::Parallel;
        let may_fail = |p: &Piece| match p {
            Piece::Part(part) => part.may_fail,
            Piece::Check(_) => true,
            Piece::Calls(step, first) => {
                let is_foreign = |c: &Call| self.body.program.kernel(c.kernel).foreign.is_some();
                has_executor && self.body.tasks.contains_key(first) || step.calls().iter().any(is_foreign)
            }
            _ => false,
        };
        let may_fail = pieces.iter().any(|p| p.any(&may_fail));
        Ok(Piece::Part(Part { function, stack_bytes: frame_bytes + stack_bytes(&pieces), may_fail }))
    }
}

/// This one and those inside of it.
fn size(piece: &Piece) -> usize {
    1 + piece.bodies().iter().flatten().map(size).sum::<usize>()
}

/// What the deepest of the parts takes.
fn stack_bytes(pieces: &[Piece]) -> u32 {
    let of = |piece: &Piece| match piece {
        Piece::Part(part) => part.stack_bytes,
        _ => piece.bodies().iter().map(|body| stack_bytes(body)).max().unwrap_or(0),
    };
    pieces.iter().map(of).max().unwrap_or(0)
}
