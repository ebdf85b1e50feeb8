//! Which output pixels see which taps, and how pixels are grouped into tiles.
//!
//! No values and no memory here, only counting. The idea: the output is cut into rectangles inside which every pixel sees the same
//! taps of the filter, so that padding costs nothing: absent taps are left out of the loops, and no border is ever copied.

/// One dimension of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    pub input: usize,
    pub filter: usize,
    pub output: usize,
    pub stride: usize,
    pub dilation: usize,
    /// Padding before the first element; negative: so many elements are seen by nobody.
    pub before: i64,
    pub places: Places,
}

/// Where the output positions of an axis lie in the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    pub first: usize,
    /// From one to the next.
    pub step: usize,
    /// All positions of the result.
    pub count: usize,
}

impl Places {
    /// The positions are all of the result.
    pub fn all(count: usize) -> Places {
        Places { first: 0, step: 1, count }
    }
}

/// Consecutive output positions that see the taps `first..end` and no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub start: usize,
    pub len: usize,
    pub first: usize,
    pub end: usize,
}

impl Segment {
    pub fn taps(&self) -> usize {
        self.end - self.first
    }
}

impl Axis {
    /// A dimension of which every output position sees all of the one input position.
    pub fn plain(len: usize) -> Axis {
        Axis { input: len, filter: 1, output: len, stride: 1, dilation: 1, before: 0, places: Places::all(len) }
    }

    /// Whether every output position sees the input position of its own number and no other, and there is none that nobody sees.
    pub fn sees_itself(&self) -> bool {
        let all = self.places == Places::all(self.output);
        all && self.filter == 1 && self.before == 0 && self.input == self.output && (self.stride == 1 || self.output == 1)
    }

    /// The output positions of a segment alone.
    pub fn part(&self, s: &Segment) -> Axis {
        let before = self.before - (s.start * self.stride) as i64;
        Axis { output: s.len, before, places: Places { first: self.places.first + s.start * self.places.step, ..self.places }, ..*self }
    }

    /// Where the window of an output position begins.
    fn begin(&self, position: usize) -> i64 {
        (position * self.stride) as i64 - self.before
    }

    /// Taps that hit the input at an output position; empty ones begin and end at 0.
    fn taps(&self, position: usize) -> (usize, usize) {
        let begin = self.begin(position);
        let taps_to = |end: i64| (end - begin).max(0).unsigned_abs() as usize;
        let first = taps_to(0).div_ceil(self.dilation);
        let end = taps_to(self.input as i64).div_ceil(self.dilation).min(self.filter);
        if first < end { (first, end) } else { (0, 0) }
    }

    pub fn segments(&self) -> Vec<Segment> {
        let mut all: Vec<Segment> = vec![];
        let mut p = 0;
        while p < self.output {
            let (first, end) = self.taps(p);
            let len = self.alike(p, first, end).clamp(1, self.output - p);
            match all.last_mut() {
                Some(s) if (s.first, s.end) == (first, end) => s.len += len,
                _ => all.push(Segment { start: p, len, first, end }),
            }
            p += len;
        }
        all
    }

    /// How many positions from `p` on certainly see the same taps: many where that is all or nothing.
    fn alike(&self, p: usize, first: usize, end: usize) -> usize {
        let (begin, input) = (self.begin(p), self.input as i64);
        let last = begin + ((self.filter - 1) * self.dilation) as i64;
        if first == 0 && end == self.filter {
            // The last tap stays below the end of the input.
            (input - 1 - last) as usize / self.stride + 1
        } else if first == end && input <= begin {
            usize::MAX
        } else if first == end && last < 0 {
            last.unsigned_abs().div_ceil(self.stride as u64) as usize
        } else {
            1
        }
    }

    /// Input position of the first tap of the first pixel of a segment.
    pub fn origin(&self, s: &Segment) -> usize {
        if s.taps() == 0 { 0 } else { (self.begin(s.start) + (s.first * self.dilation) as i64) as usize }
    }
}

/// A grid of equal tiles: `ny × nx` tiles of `tile[0] × tile[1]` pixels, each row of tiles ending in one of `tail` columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// First row in the rectangle.
    pub y: usize,
    pub tile: [usize; 2],
    pub ny: usize,
    pub nx: usize,
    pub tail: usize,
}

/// Cost of a tile of so many pixels, in units of one multiplication of a pixel with a vector: every pixel and every tile has its own.
fn cost(pixels: usize, vectors: usize) -> usize {
    if pixels == 0 { 0 } else { pixels * vectors + pixels + vectors + 1 }
}

/// Cuts a rectangle into grids whose tiles have at most `pixels` pixels: whole tiles first, then the rows that are left. Pixels of a tile that are fewer than
/// `together` cost as many.
pub fn grids(height: usize, width: usize, pixels: usize, vectors: usize, together: usize) -> Vec<Grid> {
    let cost = |pixels: usize, vectors: usize| cost(pixels.next_multiple_of(together), vectors);
    let mut all = vec![];
    let mut y = 0;
    while y < height {
        let left = height - y;
        let best = (1..=pixels.min(left)).flat_map(|rows| (1..=(pixels / rows).min(width)).map(move |columns| (rows, columns))).min_by_key(
            |&(rows, columns)| {
                let line = width / columns * cost(rows * columns, vectors) + cost(rows * (width % columns), vectors);
                // What the rows that do not fill a tile will cost, roughly: as if they went one by one.
                let last = left % rows * (width.div_ceil(pixels) * cost(width.min(pixels), vectors));
                (left / rows * line + last, rows)
            },
        );
        let Some((rows, columns)) = best else { break };
        all.push(Grid { y, tile: [rows, columns], ny: left / rows, nx: width / columns, tail: width % columns });
        y += left / rows * rows;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn borders_of_three_by_three() {
        let axis = Axis { input: 7, filter: 3, output: 7, stride: 1, dilation: 1, before: 1, places: Places::all(7) };
        let s = axis.segments();
        assert_eq!(s.len(), 3);
        assert_eq!(s[0], Segment { start: 0, len: 1, first: 1, end: 3 });
        assert_eq!(s[1], Segment { start: 1, len: 5, first: 0, end: 3 });
        assert_eq!(s[2], Segment { start: 6, len: 1, first: 0, end: 2 });
        assert_eq!(s.iter().map(|s| axis.origin(s)).collect::<Vec<_>>(), [0, 0, 5]);
    }

    proptest! {
        #[test]
        fn segments_hold_the_taps_that_exist(input in 1usize..20, filter in 1usize..9, stride in 1usize..4, dilation in 1usize..4,
                                             before in -5i64..12, output in 1usize..20) {
            let axis = Axis { input, filter, output, stride, dilation, before, places: Places::all(output) };
            let mut next = 0;
            for s in axis.segments() {
                prop_assert_eq!(s.start, next);
                next += s.len;
                for p in s.start..s.start + s.len {
                    for k in 0..filter {
                        let at = (p * stride + k * dilation) as i64 - before;
                        let exists = 0 <= at && at < input as i64;
                        prop_assert_eq!(exists, s.first <= k && k < s.end, "pixel {} tap {}", p, k);
                    }
                }
                if 0 < s.taps() {
                    prop_assert!(axis.origin(&s) < input);
                }
            }
            prop_assert_eq!(next, output);
        }

        #[test]
        fn grids_cover_every_pixel_once(height in 1usize..40, width in 1usize..40, pixels in 1usize..20, vectors in 1usize..6,
                                        together in 1usize..3) {
            let mut seen = vec![0; height * width];
            for g in grids(height, width, pixels, vectors, together) {
                prop_assert!(g.tile[0] * g.tile[1] <= pixels && g.tail < g.tile[1]);
                for y in g.y..g.y + g.ny * g.tile[0] {
                    for x in 0..g.nx * g.tile[1] + g.tail {
                        seen[y * width + x] += 1;
                    }
                }
            }
            prop_assert!(seen.iter().all(|&n| n == 1));
        }
    }
}
