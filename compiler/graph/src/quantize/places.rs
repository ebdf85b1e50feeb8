//! Where in an image the pixels of a resized one lie, as the reference rounds it.
//!
//! Not the interpolation (`lower/resize.rs`). One axis at a time, of so many pixels before and after.

use super::round_half_away_f32;

/// One axis of an image that is resized.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    pub from: usize,
    pub to: usize,
    pub align_corners: bool,
    pub half_pixel_centers: bool,
}

/// The pixels before and after a place, and how much each of them counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Between<W> {
    pub pixels: [usize; 2],
    pub weights: [W; 2],
}

/// One is this many parts in places of integers.
pub const ONE: i32 = 1 << 10;

impl Axis {
    fn aligns(&self) -> bool {
        self.align_corners && 1 < self.to
    }

    /// The pixel that becomes pixel `i`.
    pub fn nearest(&self, i: usize) -> usize {
        let (from, to) = (self.from as f32, self.to as f32);
        let scale = if self.aligns() { (from - 1.0) / (to - 1.0) } else { from / to };
        let place = (i as f32 + if self.half_pixel_centers { 0.5 } else { 0.0 }) * scale;
        let pixel = if self.align_corners { round_half_away_f32(place) } else { libm::floorf(place) };
        (pixel as usize).min(self.from - 1)
    }

    /// Between which pixels pixel `i` lies, in floats.
    pub fn between_f32(&self, i: usize) -> Between<f32> {
        let (from, to) = (self.from as f32, self.to as f32);
        let scale = if self.aligns() { (self.from - 1) as f32 / (self.to - 1) as f32 } else { from / to };
        let place = if self.half_pixel_centers { (i as f32 + 0.5) * scale - 0.5 } else { i as f32 * scale };
        let before = libm::floorf(place).max(0.0);
        let after = (libm::ceilf(place) as i64).min(self.from as i64 - 1).max(0);
        let part = place - before;
        Between { pixels: [before as usize, after as usize], weights: [1.0 - part, part] }
    }

    /// As `between_f32`, in parts of [`ONE`].
    pub fn between_i32(&self, i: usize) -> Between<i32> {
        let one = i64::from(ONE);
        let (from, to, i) = (self.from as i64, self.to as i64, i as i64);
        let scale = match self.aligns() {
            true => (one * (from - 1) + (to - 1) / 2) / (to - 1),
            false => (one * from + to / 2) / to,
        };
        let place = if self.half_pixel_centers { i * scale + scale / 2 - one / 2 } else { i * scale };
        let before = (place / one).max(0);
        let after = ((place + one - 1) / one).min(from - 1).max(0);
        let part = (place - one * before) as i32;
        Between { pixels: [before as usize, after as usize], weights: [ONE - part, part] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXIS: Axis = Axis { from: 4, to: 8, align_corners: false, half_pixel_centers: false };

    #[test]
    fn nearest_pixels() {
        let all = |axis: Axis| (0..axis.to).map(|i| axis.nearest(i)).collect::<Vec<_>>();
        assert_eq!(all(AXIS), [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(all(Axis { to: 3, ..AXIS }), [0, 1, 2]);
        assert_eq!(all(Axis { to: 3, half_pixel_centers: true, ..AXIS }), [0, 2, 3]);
        assert_eq!(all(Axis { to: 3, align_corners: true, ..AXIS }), [0, 2, 3]);
        assert_eq!(all(Axis { to: 1, align_corners: true, ..AXIS }), [0]);
    }

    #[test]
    fn places_between_pixels() {
        let half = Axis { half_pixel_centers: true, ..AXIS };
        // Before the first pixel's centre and behind the last one's there is one pixel, whatever the weights.
        assert_eq!(half.between_f32(0), Between { pixels: [0, 0], weights: [1.25, -0.25] });
        assert_eq!(half.between_i32(0), Between { pixels: [0, 0], weights: [1280, -256] });
        assert_eq!(half.between_f32(7), Between { pixels: [3, 3], weights: [0.75, 0.25] });
        assert_eq!(AXIS.between_i32(3), Between { pixels: [1, 2], weights: [512, 512] });
        assert_eq!(Axis { to: 7, align_corners: true, ..AXIS }.between_f32(6), Between { pixels: [3, 3], weights: [1.0, 0.0] });
    }
}
