//! Suppressing boxes that are given by two corners, with a queue of candidates.
//!
//! Unlike `boxes.rs`, which removes all that a chosen box overlaps, a candidate is compared when its turn comes, and with those that were chosen since its
//! last turn: its score may have become lower, and then it goes back to the queue. How many turns there are is not known, so they are a loop of the
//! schedule, some of them in each call.

use super::super::select::{First, Heap};
use super::super::{Context, copy, math, moves};
use cranelite_tile::{Arg, BufferId, Cond, Elem, Index, KernelBuilder, Step, Type, Value};

/// So many candidates, of which at most so many are chosen.
#[derive(Clone, Copy, Debug)]
pub struct Queued {
    pub count: usize,
    pub most: usize,
}

const FLOAT: Type = Type { elem: Elem::F32, lanes: 1 };
const INT: Type = Type { elem: Elem::I32, lanes: 1 };
/// Turns of candidates in one call.
const TURNS: usize = 64;
/// What is known between calls, in words: the length of the queue, how many were found, and the most that can be.
const SIZE: usize = 0;
const FOUND: usize = 4;
const LIMIT: usize = 8;

/// Chooses from boxes and scores; `scalars` are the thresholds of overlaps and of scores, and sigma where scores are lowered. Results are the numbers of
/// the boxes, their scores and how many there are.
pub fn suppress(cx: &mut Context, q: Queued, [boxes, scores]: [BufferId; 2], scalars: &[BufferId], results: [BufferId; 3]) {
    let zeros = cx.fill(0, 4);
    for (to, count) in results.into_iter().zip([q.most, q.most, 1]) {
        moves::elements(cx, zeros, to, 4, (0, 0), &[moves::Axis { count, from: 0, to: 1 }]);
    }
    if q.count == 0 || q.most == 0 {
        return;
    }
    let scratch = |cx: &mut Context, name: &str, words: usize| cx.scratch(name, 4 * words as u64);
    let [lowered, begins, queue] = ["lowered_scores", "begins", "queue"].map(|name| scratch(cx, name, q.count));
    let (state, goes_on) = (scratch(cx, "progress", 3), cx.scratch("goes_on", 1));
    let mut k = KernelBuilder::new(format!("candidates_{}", q.count));
    let (x, threshold) = (k.read("scores"), k.read("threshold"));
    let [numbers, begin, places, progress] = ["lowered", "begins", "queue", "progress"].map(|name| k.read_write(name));
    let queued = Heap { numbers, count: q.count, places, most: q.count, first: First::Best };
    let [zero, one, most] = [0, 1, q.most as i64].map(|n| k.int(INT, n));
    let threshold = k.load(FLOAT, threshold.at(0));
    k.each("i", q.count, 1, |k, i| {
        let score = k.load(FLOAT, x.at(i * 4));
        k.store(numbers.at(i * 4), score);
        k.store(begin.at(i * 4), zero);
        k.store(places.at(i * 4), zero);
    });
    let size = k.repeat("i", q.count, 1, &[zero, zero], |k, i, v| {
        let score = k.load(FLOAT, x.at(i * 4));
        let is_good = k.compare(Cond::Gt, score, threshold);
        let added = k.select(is_good, one, zero);
        let turns = k.clamped_index("good", added, 0, 1);
        k.each("add", turns, 1, |k, _| queued.push(k, v[0], v[1]));
        vec![k.add(v[0], added), k.add(v[1], one)]
    })[0];
    k.store(progress.at(SIZE), size);
    k.store(progress.at(FOUND), zero);
    let limit = k.min(size, most);
    k.store(progress.at(LIMIT), limit);
    cx.call(k.finish(), &[scores, scalars[1], lowered, begins, queue, state], &[]);

    let is_soft = scalars.len() == 3;
    let mut k = KernelBuilder::new(format!("suppress_{}_{}", q.count, q.most));
    let boxes_arg = k.read("boxes");
    let scalar_args: Vec<Arg> = ["iou_threshold", "score_threshold", "sigma"][..scalars.len()].iter().map(|name| k.read(name)).collect();
    let [numbers, begins_arg, places, progress, y, y_scores] =
        ["lowered", "begins", "queue", "progress", "selected", "selected_scores"].map(|name| k.read_write(name));
    let condition = k.write("goes_on");
    let turn = Turn {
        q,
        boxes: boxes_arg,
        queue: Heap { numbers, count: q.count, places, most: q.count, first: First::Best },
        begins: begins_arg,
        progress,
        y,
        y_scores,
        scalars: scalar_args,
    };
    k.each("turn", TURNS, 1, |k, _| {
        let goes_on = turn.goes_on(k);
        let times = k.clamped_index("goes_on", goes_on, 0, 1);
        k.each("once", times, 1, |k, _| turn.write(k, is_soft));
    });
    let more = turn.goes_on(&mut k);
    let more = k.narrow(more, Elem::U8);
    k.store(condition.at(0), more);
    let kernel = k.finish();
    let buffers = [&[boxes][..], scalars, &[lowered, begins, queue, state, results[0], results[1], goes_on]].concat();
    let ((), test) = cx.apart(|cx| cx.call(kernel, &buffers, &[]));
    cx.step(Step::While { test, condition: goes_on, body: vec![] });
    let found = cx.view("found", state, FOUND as u64, 4);
    copy::whole(cx, found, results[2]);
}

/// The turn of one candidate.
struct Turn {
    q: Queued,
    boxes: Arg,
    queue: Heap,
    /// By box: the first of those that were chosen with which it has not been compared.
    begins: Arg,
    progress: Arg,
    y: Arg,
    y_scores: Arg,
    scalars: Vec<Arg>,
}

impl Turn {
    /// 1 as long as more can be found and there are candidates.
    fn goes_on(&self, k: &mut KernelBuilder) -> Value {
        let [size, found, limit] = [SIZE, FOUND, LIMIT].map(|at| k.load(INT, self.progress.at(at)));
        let [zero, one] = [0, 1].map(|n| k.int(INT, n));
        let (is_less, is_there) = (k.compare(Cond::Lt, found, limit), k.compare(Cond::Gt, size, zero));
        let goes_on = k.and(is_less, is_there);
        k.select(goes_on, one, zero)
    }

    fn write(&self, k: &mut KernelBuilder, is_soft: bool) {
        let [zero, one] = [0, 1].map(|n| k.int(INT, n));
        let [size, found] = [SIZE, FOUND].map(|at| k.load(INT, self.progress.at(at)));
        let place = self.queue.pop(k, size);
        let size = k.sub(size, one);
        let own = k.clamped_index("box", place, 0, self.q.count as i64 - 1);
        let (original, begin) = (k.load(FLOAT, self.queue.numbers.at(own * 4)), k.load(INT, self.begins.at(own * 4)));
        let candidate = self.sides(k, own.into());
        let [iou_threshold, score_threshold] = [0, 1].map(|i| k.load(FLOAT, self.scalars[i].at(0)));
        let new = k.sub(found, begin);
        let new = k.clamped_index("new", new, 0, self.q.most as i64);
        let last = k.sub(found, one);
        // The last one that was chosen comes first. After the one that suppresses, or lowers the score too far, nothing changes.
        let compared = k.repeat("j", new, 1, &[original, zero, one, last], |k, _, v| {
            let at = k.clamped_index("j", v[3], 0, self.q.most as i64 - 1);
            let chosen = k.load(INT, self.y.at(at * 4));
            let chosen = k.clamped_index("chosen", chosen, 0, self.q.count as i64 - 1);
            let chosen = self.sides(k, chosen.into());
            let iou = overlap(k, candidate, chosen);
            let (counts, is_over) = (k.compare(Cond::Ne, v[2], zero), k.compare(Cond::Ge, iou, iou_threshold));
            let suppresses = k.and(counts, is_over);
            let suppressed = k.select(suppresses, one, v[1]);
            let mut counts = k.select(is_over, zero, v[2]);
            let mut score = v[0];
            if is_soft {
                let lowered = self.lowered(k, score, iou);
                let is_soft = k.compare(Cond::Ne, counts, zero);
                score = k.select(is_soft, lowered, score);
            }
            let is_low = k.compare(Cond::Le, score, score_threshold);
            counts = k.select(is_low, zero, counts);
            vec![score, suppressed, counts, k.sub(v[3], one)]
        });
        let (score, suppressed) = (compared[0], compared[1]);
        k.store(self.begins.at(own * 4), found);
        k.store(self.queue.numbers.at(own * 4), score);
        let (is_left, is_same) = (k.compare(Cond::Eq, suppressed, zero), k.compare(Cond::Eq, score, original));
        let is_good = k.compare(Cond::Gt, score, score_threshold);
        let chosen = k.and(is_left, is_same);
        let chosen = k.select(chosen, one, zero);
        let times = k.clamped_index("is_chosen", chosen, 0, 1);
        k.each("choose", times, 1, |k, _| {
            let at = k.clamped_index("at", found, 0, self.q.most as i64 - 1);
            k.store(self.y.at(at * 4), place);
            k.store(self.y_scores.at(at * 4), score);
        });
        let again = k.and(is_left, is_good);
        let again = k.select(again, one, zero);
        let times = k.clamped_index("is_again", again, 0, 1);
        k.each("queue", times, 1, |k, _| self.queue.push(k, size, place));
        let (found, size) = (k.add(found, chosen), k.add(size, again));
        k.store(self.progress.at(FOUND), found);
        k.store(self.progress.at(SIZE), size);
    }

    /// Of a box: the lower y and x, the upper ones, and the area.
    fn sides(&self, k: &mut KernelBuilder, number: Index) -> [Value; 5] {
        let [y1, x1, y2, x2] = [0, 1, 2, 3].map(|i| k.load(FLOAT, self.boxes.at(number.clone() * 16 + i * 4)));
        let (y_low, y_high, x_low, x_high) = (k.min(y2, y1), k.max(y2, y1), k.min(x2, x1), k.max(x2, x1));
        let (height, width) = (k.sub(y_high, y_low), k.sub(x_high, x_low));
        [y_low, x_low, y_high, x_high, k.mul(height, width)]
    }

    /// The score of a box that overlaps one by so much.
    fn lowered(&self, k: &mut KernelBuilder, score: Value, iou: Value) -> Value {
        let (sigma, zero, half) = (k.load(FLOAT, self.scalars[2].at(0)), k.float(FLOAT, 0.0), k.float(FLOAT, -0.5));
        let is_soft = k.compare(Cond::Gt, sigma, zero);
        let scale = k.div(half, sigma);
        let power = k.mul(scale, iou);
        let power = k.mul(power, iou);
        let power = k.to_float(power, Elem::F64);
        let factor = math::exp_double(k, power);
        let factor = k.to_float(factor, Elem::F32);
        let lowered = k.mul(score, factor);
        k.select(is_soft, lowered, score)
    }
}

/// The common area over that of both together; of what has no area 0.
fn overlap(k: &mut KernelBuilder, a: [Value; 5], b: [Value; 5]) -> Value {
    let zero = k.float(FLOAT, 0.0);
    let mut side = |low: usize, high: usize| {
        let (end, start) = (k.min(b[high], a[high]), k.max(b[low], a[low]));
        let length = k.sub(end, start);
        k.max(zero, length)
    };
    let (height, width) = (side(0, 2), side(1, 3));
    let common = k.mul(height, width);
    let both = k.add(a[4], b[4]);
    let together = k.sub(both, common);
    let [no_a, no_b] = [a, b].map(|v| k.compare(Cond::Le, v[4], zero));
    let nothing = k.compare(Cond::Eq, together, zero);
    let nothing = k.or(nothing, no_a);
    let nothing = k.or(nothing, no_b);
    let one = k.float(FLOAT, 1.0);
    let together = k.select(nothing, one, together);
    let share = k.div(common, together);
    k.select(nothing, zero, share)
}
