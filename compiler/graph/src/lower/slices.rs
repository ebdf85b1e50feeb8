//! Slices of an array that begin where tuples of indices say, copied or combined with others.
//!
//! Not GATHER_ND and SCATTER_ND (`gather.rs`, `scatter.rs`), whose slices are whole along the axes that indices do not name. The idea: an array of slices has axes of tuples and
//! axes of slices, in any order; loops go over its axes in its order, and in the innermost, where both arrays are next to each other, there are runs.

use super::copy::{container, run};
use super::requantize::elem;
use super::{Context, convert, copy, indices};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::Node;
use cranelite_tile::{Binary, Cond, Elem, Index, KernelBuilder, Value};

/// Tuples of indices in an array of them.
#[derive(Clone, Debug)]
pub struct Tuples {
    /// Axes that are not that of the tuple: size and distance.
    axes: Vec<(usize, usize)>,
    /// From one index of a tuple to the next.
    step: usize,
    /// Which axis each is an index of.
    of: Vec<usize>,
}

impl Tuples {
    pub fn new(shape: &[usize], along: usize, of: &[usize], rank: usize) -> Result<Tuples, Diagnostic> {
        let distance = |d: usize| shape[d + 1..].iter().product::<usize>();
        let size = if along == shape.len() { 1 } else { shape.get(along).copied().unwrap_or(0) };
        let is_twice = (0..of.len()).any(|i| of[..i].contains(&of[i]));
        if shape.len() < along || size != of.len() || is_twice || of.iter().any(|d| rank <= *d) {
            return Err(Diagnostic::new(Code::OPERAND, "the tuples of indices do not fit the input")
                .detail("input 1")
                .expected(format!("indices of axes {of:?} along axis {along}"))
                .found(format!("{shape:?} for {rank} dimensions")));
        }
        let axes = (0..shape.len()).filter(|d| *d != along).map(|d| (shape[d], distance(d))).collect();
        Ok(Tuples { axes, step: if along < shape.len() { distance(along) } else { 1 }, of: of.to_vec() })
    }
}

/// What an axis of the array of slices is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Tuples so far apart.
    Tuple(usize),
    /// This axis of slices.
    Slice(usize),
}

/// Of a loop: its counter, as a number, too, where an index is added to it.
struct Turn {
    at: Index,
    number: Option<Value>,
}

#[derive(Clone, Debug)]
pub struct Slices {
    shape: Vec<usize>,
    /// Of the array that slices are of.
    of: Vec<usize>,
    sizes: Vec<usize>,
    kinds: Vec<Kind>,
    tuples: Tuples,
}

impl Slices {
    /// `left_out`: axes of slices that the array of slices does not have; `offset`: which of its axes the others are.
    pub fn new(of: &[usize], sizes: &[usize], left_out: &[usize], offset: &[usize], tuples: Tuples) -> Result<Slices, Diagnostic> {
        let kept: Vec<usize> = (0..sizes.len()).filter(|d| !left_out.contains(d)).collect();
        let rank = kept.len() + tuples.axes.len();
        let fits = sizes.len() == of.len()
            && sizes.iter().zip(of).all(|(size, all)| size <= all)
            && left_out.iter().all(|d| sizes.get(*d) == Some(&1))
            && offset.len() == kept.len()
            && offset.is_sorted_by(|a, b| a < b)
            && offset.iter().all(|d| *d < rank);
        if !fits {
            return Err(Diagnostic::new(Code::OPERAND, "the slices do not fit the input")
                .expected("slices that are no longer than the input, those left out one element long, and ascending axes for the others")
                .found(format!("slices {sizes:?} of {of:?}, without axes {left_out:?}, as axes {offset:?}")));
        }
        let (mut kept, mut tuple) = (kept.into_iter(), tuples.axes.iter());
        let (mut shape, mut kinds) = (vec![], vec![]);
        for d in 0..rank {
            match offset.contains(&d) {
                true => {
                    let axis = kept.next().expect("as many");
                    shape.push(sizes[axis]);
                    kinds.push(Kind::Slice(axis));
                }
                false => {
                    let (size, distance) = tuple.next().expect("the others");
                    shape.push(*size);
                    kinds.push(Kind::Tuple(*distance));
                }
            }
        }
        Ok(Slices { shape, of: of.to_vec(), sizes: sizes.to_vec(), kinds, tuples })
    }

    /// Of the array of slices.
    pub fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn stride(shape: &[usize], d: usize) -> usize {
        shape[d + 1..].iter().product()
    }

    /// How many of its last axes are a run in both arrays, and the elements of that; no index changes where it begins if `is_whole`.
    fn run(&self, is_whole: bool) -> (usize, usize) {
        let (mut axes, mut size) = (0, 1);
        for (d, kind) in self.kinds.iter().enumerate().rev() {
            match *kind {
                Kind::Slice(axis) if Self::stride(&self.of, axis) == size && !(is_whole && self.tuples.of.contains(&axis)) => {
                    size *= self.shape[d];
                    axes += 1;
                    // What is shorter than the axis is no part of a longer run.
                    if self.sizes[axis] != self.of[axis] {
                        break;
                    }
                }
                _ => break,
            }
        }
        (axes, size)
    }

    /// Loops over axes from `d` on, but the last: in them the body gets a counter for each.
    fn nest(&self, k: &mut KernelBuilder, d: usize, end: usize, counters: &mut Vec<Turn>, body: &dyn Fn(&mut KernelBuilder, &[Turn])) {
        if d == end {
            return body(k, counters);
        }
        let mut inside = |k: &mut KernelBuilder, at: Index, number: Option<Value>| {
            counters.push(Turn { at, number });
            self.nest(k, d + 1, end, counters, body);
            counters.pop();
        };
        if 1 < self.shape[d] && matches!(self.kinds[d], Kind::Slice(axis) if self.tuples.of.contains(&axis)) {
            let [zero, one] = [0, 1].map(|n| k.int(Elem::I64.x(1), n));
            k.repeat("i", self.shape[d], 1, &[zero], |k, i, number| {
                inside(k, i.into(), Some(number[0]));
                vec![k.add(number[0], one)]
            });
        } else {
            copy::each(k, "i", self.shape[d], |k, i| inside(k, i, None));
        }
    }

    /// The place in the array of slices, and where the tuple is.
    fn places(&self, counters: &[Turn]) -> (Index, Index) {
        let (mut place, mut tuple) = (Index::from(0), Index::from(0));
        for (d, i) in counters.iter().enumerate() {
            place = place + i.at.clone() * Self::stride(&self.shape, d) as i64;
            if let Kind::Tuple(distance) = self.kinds[d] {
                tuple = tuple + i.at.clone() * distance as i64;
            }
        }
        (place, tuple)
    }

    fn name(&self, what: &str, elem: Elem) -> String {
        let text = |shape: &[usize]| shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        format!("{what}_{elem}_{}_{}", text(&self.of), text(&self.shape))
    }

    /// Input 0 is the array, input 1 the indices.
    pub fn gather(&self, cx: &mut Context, node: &Node) {
        let ty = cx.output_type(node, 0);
        if ty.element_count() == 0 {
            return;
        }
        let bytes = ty.element.bytes().expect("infer has seen the type");
        let index = indices::elem(cx.input_type(node, 1).element).expect("infer has seen the type");
        let (axes, size) = self.run(false);
        let lanes = cx.machine.lanes(Elem::U8);
        let mut k = KernelBuilder::new(self.name("gather", container(bytes).expect("1 to 8 bytes")));
        let (x, list, y) = (k.read("x"), k.read("indices"), k.write("y"));
        self.nest(&mut k, 0, self.shape.len() - axes, &mut vec![], &|k, counters| {
            let (place, tuple) = self.places(counters);
            let mut from = Index::from(0);
            for (j, &axis) in self.tuples.of.iter().enumerate() {
                let v = k.load(index.x(1), list.at((tuple.clone() + j * self.tuples.step) * i64::from(index.bytes())));
                let start = k.clamped_index("start", v, 0, (self.of[axis] - self.sizes[axis]) as i64);
                from = from + start * Self::stride(&self.of, axis) as i64;
            }
            for (d, i) in counters.iter().enumerate() {
                if let Kind::Slice(axis) = self.kinds[d] {
                    from = from + i.at.clone() * Self::stride(&self.of, axis) as i64;
                }
            }
            run(k, lanes, size * bytes, (x, from * bytes as i64), (y, place * bytes as i64));
        });
        let buffers = [cx.input(node, 0), cx.input(node, 1), cx.output(node, 0)];
        cx.call(k.finish(), &buffers, &[]);
    }

    /// Input 0 is the array at first, input 1 the indices, input 2 the slices.
    pub fn scatter(&self, cx: &mut Context, node: &Node, combine: Option<Binary>) {
        let ty = cx.output_type(node, 0);
        let (before, result) = (cx.input(node, 0), cx.output(node, 0));
        if ty.element_count() == 0 {
            return;
        }
        copy::whole(cx, before, result);
        if self.shape.contains(&0) {
            return;
        }
        let elem = elem(ty.element).expect("infer has seen the type");
        let bytes = i64::from(elem.bytes());
        let index = indices::elem(cx.input_type(node, 1).element).expect("infer has seen the type");
        let (axes, size) = self.run(true);
        let lanes = cx.machine.lanes(elem);
        let name = combine.map_or("scatter_update".into(), |c| format!("scatter_{c:?}").to_lowercase());
        let mut k = KernelBuilder::new(self.name(&name, elem));
        let (list, updates, y) = (k.read("indices"), k.read("updates"), k.read_write("y"));
        let long = Elem::I64.x(1);
        self.nest(&mut k, 0, self.shape.len() - axes, &mut vec![], &|k, counters| {
            let (place, tuple) = self.places(counters);
            let mut to = Index::from(0);
            let mut is_inside: Option<Value> = None;
            for axis in 0..self.of.len() {
                let stride = Self::stride(&self.of, axis) as i64;
                let counter = (0..counters.len()).find(|d| matches!(self.kinds[*d], Kind::Slice(a) if a == axis));
                let Some(j) = self.tuples.of.iter().position(|a| *a == axis) else {
                    if let Some(d) = counter {
                        to = to + counters[d].at.clone() * stride;
                    }
                    continue;
                };
                let at = (tuple.clone() + j * self.tuples.step) * i64::from(index.bytes());
                let v = k.load(index.x(1), list.at(at));
                let v = k.widen(v, Elem::I64);
                let most = self.of[axis] as i64 - 1;
                let number = counter.and_then(|d| counters[d].number).map_or(v, |n| k.add(v, n));
                let (zero, last) = (k.int(long, 0), k.int(long, most));
                let (is_low, is_high) = (k.compare(Cond::Ge, number, zero), k.compare(Cond::Le, number, last));
                let is_one = k.and(is_low, is_high);
                is_inside = Some(is_inside.map_or(is_one, |all| k.and(all, is_one)));
                to = to + k.clamped_index("index", number, 0, most) * stride;
            }
            let put = |k: &mut KernelBuilder| {
                let one = |k: &mut KernelBuilder, first: Index, lanes: usize, exist: usize| {
                    let update = k.load_part(elem.x(lanes), updates.at((place.clone() + first.clone()) * bytes), exist);
                    let target = y.at((to.clone() + first) * bytes);
                    let after = match combine {
                        None => update,
                        Some(combine) => {
                            let there = k.load_part(elem.x(lanes), target.clone(), exist);
                            k.binary(combine, update, there)
                        }
                    };
                    k.store_part(target, after, exist);
                };
                // Nothing is combined twice, so the last vector may not overlap the one before.
                let whole = size / lanes * lanes;
                if 0 < whole {
                    k.each("c", whole, lanes as i64, |k, c| one(k, c.into(), lanes, lanes));
                }
                if whole < size {
                    one(k, whole.into(), (size - whole).next_power_of_two(), size - whole);
                }
            };
            match is_inside {
                None => put(k),
                Some(inside) => {
                    let inside = convert::truth(k, inside);
                    let turns = k.clamped_index("inside", inside, 0, 1);
                    k.each("put", turns, 1, |k, _| put(k));
                }
            }
        });
        let buffers = [cx.input(node, 1), cx.input(node, 2), result];
        cx.call(k.finish(), &buffers, &[]);
    }
}
