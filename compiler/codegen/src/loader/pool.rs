//! Threads that wait for work: what the compiler's own commands give to an object compiled for several threads.
//!
//! Not part of any object; C programs find the same in runtime-stub. The ideas: steps of a model follow each other within microseconds, so
//! threads look out for work for a while before they sleep; the calling thread works too. Each thread begins with tasks of its own, the
//! same part of every job, so that it finds in its cache what it wrote in the step before; who has none left takes those of others. A task
//! is taken from a number that has its job and how many are left, so that a thread which comes late takes nothing from the job after, nor
//! from its own by what it reads of the one after.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

pub(super) type Task = unsafe extern "C" fn(*mut u8, u32);

/// How often a thread looks out for work before it sleeps: some tens of microseconds.
const PATIENCE: u32 = 4000;

/// On a line of the cache of its own, and the one that is fetched with it.
#[derive(Default)]
#[repr(align(128))]
struct Apart<T>(T);

struct Shared {
    /// The current job.
    job: Apart<AtomicU64>,
    /// By thread, of its part of the current job: the job's number in the upper half, how many tasks are left in the lower one.
    left: Vec<Apart<AtomicU64>>,
    task: AtomicPtr<()>,
    context: AtomicPtr<u8>,
    count: AtomicU32,
    /// Tasks that are done.
    done: Apart<AtomicU32>,
    sleeping: AtomicU32,
    lock: Mutex<()>,
    wake: Condvar,
    ends: AtomicBool,
}

pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// That has the threads: one that was forked off has none of them.
    process: u32,
}

impl Pool {
    /// So many threads, the caller's included.
    pub fn new(threads: usize) -> std::io::Result<Pool> {
        let shared = Shared {
            job: Apart::default(),
            left: (0..threads.max(1)).map(|_| Apart::default()).collect(),
            task: AtomicPtr::default(),
            context: AtomicPtr::default(),
            count: AtomicU32::default(),
            done: Apart::default(),
            sleeping: AtomicU32::default(),
            lock: Mutex::default(),
            wake: Condvar::default(),
            ends: AtomicBool::default(),
        };
        let mut pool = Pool { shared: Arc::new(shared), workers: vec![], process: std::process::id() };
        for me in 1..threads {
            let shared = pool.shared.clone();
            pool.workers.push(std::thread::Builder::new().spawn(move || shared.serve(me))?);
        }
        Ok(pool)
    }

    /// Whether its threads are in this process.
    pub fn is_here(&self) -> bool {
        self.process == std::process::id()
    }

    /// Runs all tasks of a job. One job at a time: `&mut` of the pool, in words.
    ///
    /// # Safety
    /// `task` may be called with `context` and all numbers below `count`, on any threads at the same time.
    pub(super) unsafe fn run(&mut self, task: Task, context: *mut u8, count: u32) {
        let s = &*self.shared;
        s.task.store(task as *mut (), Relaxed);
        s.context.store(context, Relaxed);
        s.count.store(count, Relaxed);
        s.done.0.store(0, Relaxed);
        let job = s.publish();
        s.work(job, 0);
        let mut turn: u32 = 1;
        while s.done.0.load(Acquire) < count {
            // Others of this core run too where there is no other core for them.
            if turn.is_multiple_of(PATIENCE) {
                std::thread::yield_now();
            }
            pause(turn);
            turn = turn.wrapping_add(1);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if !self.is_here() {
            return self.workers.drain(..).for_each(std::mem::forget);
        }
        self.shared.ends.store(true, Relaxed);
        self.shared.count.store(0, Relaxed);
        self.shared.publish();
        // A worker that panicked has ended too.
        self.workers.drain(..).for_each(|w| drop(w.join()));
    }
}

impl Shared {
    /// The tasks that a thread begins with.
    fn part(&self, thread: usize, count: u32) -> Range<u32> {
        let at = |n: usize| (u64::from(count) * n as u64 / self.left.len() as u64) as u32;
        at(thread)..at(thread + 1)
    }

    /// Begins a job, whose number is the answer.
    fn publish(&self) -> u64 {
        let job = self.job.0.load(Relaxed).wrapping_add(1) & u64::from(u32::MAX);
        let count = self.count.load(Relaxed);
        for (thread, left) in self.left.iter().enumerate() {
            left.0.store(job << 32 | self.part(thread, count).len() as u64, Relaxed);
        }
        // In one order with `sleeping`: who does not see the job is seen asleep.
        self.job.0.store(job, SeqCst);
        if 0 < self.sleeping.load(SeqCst) {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.wake.notify_all();
        }
        job
    }

    /// Takes tasks of a job while there are any, first those of this thread.
    fn work(&self, job: u64, me: usize) {
        let (task, context, count) = (self.task.load(Relaxed), self.context.load(Relaxed), self.count.load(Relaxed));
        let mut done = 0;
        for thread in (me..self.left.len()).chain(0..me) {
            let (left, end) = (&self.left[thread].0, self.part(thread, count).end);
            let mut now = left.load(Relaxed);
            while now >> 32 == job && 0 < now as u32 {
                match left.compare_exchange_weak(now, now - 1, AcqRel, Relaxed) {
                    Ok(_) => {
                        // SAFETY: a task of this job was left, so nothing of what was read above can be of a later job: it is a function
                        // of that type, which its caller allows to be called so.
                        unsafe { std::mem::transmute::<*mut (), Task>(task)(context, end - now as u32) };
                        done += 1;
                        now = left.load(Relaxed);
                    }
                    Err(other) => now = other,
                }
            }
        }
        if 0 < done {
            self.done.0.fetch_add(done, Release);
        }
    }

    fn serve(&self, me: usize) {
        let mut last = 0;
        loop {
            last = self.await_job(last);
            if self.ends.load(Relaxed) {
                return;
            }
            self.work(last, me);
        }
    }

    /// The number of a job that is not `last`.
    fn await_job(&self, last: u64) -> u64 {
        for turn in 0..PATIENCE {
            let job = self.job.0.load(Acquire);
            if job != last {
                return job;
            }
            pause(turn);
        }
        self.sleeping.fetch_add(1, SeqCst);
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let job = loop {
            let job = self.job.0.load(SeqCst);
            if job != last {
                break job;
            }
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        };
        self.sleeping.fetch_sub(1, SeqCst);
        job
    }
}

/// Waits a little: a pause takes up to a hundred nanoseconds, so that at first there is none.
fn pause(turn: u32) {
    if 100 < turn {
        std::hint::spin_loop();
    }
}

/// `run` of a `cranelite_executor` whose `user` is a pool.
///
/// # Safety
/// `user` is a pool that nothing else uses meanwhile; the rest as for [`Pool::run`].
pub(super) unsafe extern "C" fn run(user: *mut u8, task: Task, context: *mut u8, count: u32) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { (*user.cast::<Pool>()).run(task, context, count) };
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every task of every job is run once, whatever the threads do meanwhile.
    #[test]
    fn every_task_once() {
        extern "C" fn count(context: *mut u8, i: u32) {
            // SAFETY: the counters below.
            let counters = unsafe { &*context.cast::<[AtomicU32; 16]>() };
            counters[i as usize].fetch_add(1, Relaxed);
        }
        for threads in [1, 2, 3, 5] {
            let mut pool = Pool::new(threads).unwrap();
            for job in 0..20_000 {
                let counters: [AtomicU32; 16] = Default::default();
                let tasks = job * 7 % 17;
                // SAFETY: it outlives the call.
                unsafe { pool.run(count, (&raw const counters).cast_mut().cast(), tasks) };
                let expected: Vec<u32> = (0..16).map(|i| u32::from(i < tasks)).collect();
                assert_eq!(counters.map(|c| c.into_inner()).to_vec(), expected);
                if job % 5000 == 0 {
                    // Long enough for all to fall asleep.
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
            }
        }
    }
}
