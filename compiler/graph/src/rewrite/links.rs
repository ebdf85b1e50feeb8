//! Places that must be treated alike, as sets that grow together.
//!
//! Not a pass. The idea: every place names another one of its set, or itself, which is then the set's root (union-find).

/// By place: one nearer to the root.
pub struct Links(pub Vec<u32>);

impl Links {
    /// So many places, each a set of its own.
    pub fn new(count: usize) -> Links {
        Links((0..count as u32).collect())
    }
    pub fn root(&mut self, mut place: usize) -> usize {
        while self.0[place] as usize != place {
            let next = self.0[self.0[place] as usize];
            self.0[place] = next;
            place = next as usize;
        }
        place
    }
    pub fn link(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b) as u32;
    }
}
