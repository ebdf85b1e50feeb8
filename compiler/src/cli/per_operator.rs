//! `bench --per-op`: how long each operator takes, and how far that is from what the machine can do.
//!
//! Not a profiler: the object's own hook tells where an operator ends. The idea: rounds of three parts, in which the machine's peak, the whole
//! model and its operators are timed one after the other, so that a clock that wanders slows them alike; figures are medians over the rounds.

use crate::diagnostic::{Failure, internal};
use crate::facts::{Arithmetic, Facts};
use crate::instance::check_status;
use crate::peaks::Probe;
use crate::report::grouped;
use cranelite_codegen::loader::Bound;
use cranelite_codegen::targets::Target;
use cranelite_graph::diagnostic::Diagnostic;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

/// Each of the three parts of a round takes at least so long, for the caches to forget the others.
const PART: Duration = Duration::from_micros(100);
const MIN_ROUNDS: usize = 5;

struct Operator {
    /// What belongs to no operator has no index.
    index: Option<u32>,
    /// With those of operators that it computes, too.
    name: String,
    macs: u64,
    bytes: u64,
    us: f64,
    percent_of_peak: Option<f64>,
}

pub struct Operators {
    operators: Vec<Operator>,
    macs: u64,
    whole_us: f64,
    /// Of the whole.
    percent_of_peak: Option<f64>,
    /// Operations per second.
    peaks: BTreeMap<Arithmetic, f64>,
}

/// What rounds have told, in the order of the rounds.
#[derive(Default)]
struct Samples {
    whole_us: Vec<f64>,
    operators_us: BTreeMap<u32, Vec<f64>>,
    peaks: BTreeMap<Arithmetic, Vec<f64>>,
}

/// Of an object for these targets, with a hook; it runs the level of `target`.
pub fn measure(facts: &Facts, targets: &[Target], target: &Target, bound: &mut Bound, at_least: Duration) -> Result<Operators, Failure> {
    let mut probes = BTreeMap::new();
    for arithmetic in facts.operators.iter().filter_map(|o| o.arithmetic) {
        if let Entry::Vacant(place) = probes.entry(arithmetic) {
            place.insert(Probe::of_products(target, arithmetic)?);
        }
    }
    let calls = {
        let once = whole(targets, bound, 1)?.min(whole(targets, bound, 1)?);
        (PART.as_secs_f64() / once.as_secs_f64().max(1e-8)).ceil() as u32
    };
    let mut samples = Samples::default();
    let start = Instant::now();
    while samples.whole_us.len() < MIN_ROUNDS || start.elapsed() < at_least {
        for (arithmetic, probe) in &mut probes {
            samples.peaks.entry(*arithmetic).or_default().push(probe.burst()?);
        }
        samples.whole_us.push(us(whole(targets, bound, calls)?, calls));
        for (operator, time) in by_operator(targets, bound, calls)? {
            samples.operators_us.entry(operator).or_default().push(us(time, calls));
        }
    }
    Ok(samples.summary(facts))
}

/// At least a tenth of a nanosecond, so that every speed is a number.
fn us(time: Duration, calls: u32) -> f64 {
    (time.as_secs_f64() * 1e6 / f64::from(calls)).max(1e-4)
}

fn whole(targets: &[Target], bound: &mut Bound, calls: u32) -> Result<Duration, Diagnostic> {
    let start = Instant::now();
    for _ in 0..calls {
        check_status(targets, bound.invoke())?;
    }
    Ok(start.elapsed())
}

/// Less what reading the clock costs between two kernels.
fn by_operator(targets: &[Target], bound: &mut Bound, calls: u32) -> Result<BTreeMap<u32, Duration>, Diagnostic> {
    let reading = (0..8).map(|_| Instant::now().elapsed()).min().unwrap_or_default();
    let mut times: BTreeMap<u32, Duration> = BTreeMap::new();
    let mut kernels: Vec<(u32, Instant)> = Vec::with_capacity(1 << 12);
    for _ in 0..calls {
        kernels.clear();
        let status = bound.profile(&mut |operator, _| kernels.push((operator, Instant::now())));
        check_status(targets, status.ok_or_else(|| internal("the object lacks a symbol", "profile"))?)?;
        for (kernel, next) in kernels.iter().zip(kernels.iter().skip(1)) {
            *times.entry(kernel.0).or_default() += (next.1 - kernel.1).saturating_sub(reading);
        }
    }
    Ok(times)
}

impl Samples {
    fn summary(&self, facts: &Facts) -> Operators {
        let operators = self.operators_us.iter().map(|(&index, times_us)| {
            let of_model = facts.operators.iter().find(|o| o.index == index);
            let (macs, bytes) = of_model.map_or((0, 0), |o| (o.computed_macs, o.bytes));
            // Round by round, since the clock may differ between rounds.
            let peaks = of_model.and_then(|o| self.peaks.get(&o.arithmetic?));
            let share = |peaks: &Vec<f64>| median(times_us.iter().zip(peaks).map(|(us, peak)| 100.0 * giga(2 * macs, *us) * 1e9 / peak));
            Operator {
                index: of_model.map(|o| o.index),
                name: of_model.map_or("copies".into(), |o| facts.names(o.index)),
                macs,
                bytes,
                us: median(times_us.iter().copied()),
                percent_of_peak: peaks.map(share),
            }
        });
        // What the products would take at the peak.
        let ideal_us = |round: usize| -> f64 {
            facts.operators.iter().filter_map(|o| Some(2e6 * o.computed_macs as f64 / self.peaks.get(&o.arithmetic?)?[round])).sum()
        };
        let percent = (0..self.whole_us.len()).map(|round| 100.0 * ideal_us(round) / self.whole_us[round]);
        Operators {
            operators: operators.collect(),
            macs: facts.computed_macs(),
            whole_us: median(self.whole_us.iter().copied()),
            percent_of_peak: (!self.peaks.is_empty()).then(|| median(percent)),
            peaks: self.peaks.iter().map(|(a, rates)| (*a, median(rates.iter().copied()))).collect(),
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

/// Billions per second.
fn giga(count: u64, us: f64) -> f64 {
    count as f64 / us / 1e3
}

impl Operators {
    fn sum_us(&self) -> f64 {
        self.operators.iter().map(|o| o.us).sum()
    }

    pub fn add_to(&self, facts: &mut Value) {
        let operator = |o: &Operator| {
            json!({
                "index": o.index,
                "name": o.name,
                "us": o.us,
                "macs": o.macs,
                "bytes": o.bytes,
                "gops": (0 < o.macs).then(|| giga(2 * o.macs, o.us)),
                "percent_of_peak": o.percent_of_peak,
                "gb_per_s": (o.macs == 0 && 0 < o.bytes).then(|| giga(o.bytes, o.us)),
            })
        };
        facts["operators"] = self.operators.iter().map(operator).collect();
        facts["operators_us"] = json!(self.sum_us());
        facts["whole_us"] = json!(self.whole_us);
        facts["percent_of_peak"] = json!(self.percent_of_peak);
        facts["peak_gops"] = self.peaks.iter().map(|(a, rate)| (a.name().to_string(), json!(rate / 1e9))).collect();
    }

    pub fn text(&self) -> String {
        let percent = |p: Option<f64>| p.map(|p| format!("{p:>6.1} %")).unwrap_or_default();
        let sum_us = self.sum_us();
        let mut out =
            format!("{:>5}  {:<24} {:>13} {:>7} {:>15} {:>14}  of peak\n", "index", "operator", "median", "share", "MACs", "speed");
        for o in &self.operators {
            let index = o.index.map(|i| i.to_string()).unwrap_or_default();
            let speed = match (o.macs, o.bytes) {
                (0, 0) => String::new(),
                (0, bytes) => format!("{:.2} GB/s", giga(bytes, o.us)),
                (macs, _) => format!("{:.2} GOP/s", giga(2 * macs, o.us)),
            };
            let macs = if o.macs == 0 { String::new() } else { grouped(o.macs) };
            let (us, share) = (o.us, 100.0 * o.us / sum_us);
            let row =
                format!("{index:>5}  {:<24} {us:>10.2} µs {share:>5.1} % {macs:>15} {speed:>14}  {}", o.name, percent(o.percent_of_peak));
            out += row.trim_end();
            out += "\n";
        }
        out += &format!(
            "{:>5}  {:<24} {sum_us:>10.2} µs; the whole takes {:.2} µs: {} MACs, {:.2} GOP/s{}\n",
            "",
            "sum",
            self.whole_us,
            grouped(self.macs),
            giga(2 * self.macs, self.whole_us),
            self.percent_of_peak.map(|p| format!(", {p:.1} % of peak")).unwrap_or_default()
        );
        let peaks: Vec<String> = self.peaks.iter().map(|(a, rate)| format!("{} {:.1} GOP/s", a.name(), rate / 1e9)).collect();
        if !peaks.is_empty() {
            out += &format!("{:>5}  {:<24} {}; a MAC is two operations\n", "", "peak at this level", peaks.join(", "));
        }
        out
    }
}
