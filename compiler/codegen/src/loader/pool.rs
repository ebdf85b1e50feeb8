//! Threads that wait for work: what the compiler's own commands give to an object compiled for several threads.
//!
//! Not part of any object; C programs find the same in runtime-stub. The ideas: steps of a model follow each other within microseconds, so
//! threads look out for work for a while before they sleep; the calling thread works too, and whoever is free takes the next task. A
//! task is taken by a number that names its job, so that a thread which comes late takes nothing from the job after.

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

pub(super) type Task = unsafe extern "C" fn(*mut u8, u32);

/// How often a thread looks out for work before it sleeps: some tens of microseconds.
const PATIENCE: u32 = 4000;

#[derive(Default)]
struct Shared {
    /// Of the current job: its number in the upper half, the next task in the lower one.
    next: AtomicU64,
    task: AtomicPtr<()>,
    context: AtomicPtr<u8>,
    count: AtomicU32,
    /// Tasks that are done.
    done: AtomicU32,
    sleeping: AtomicU32,
    lock: Mutex<()>,
    wake: Condvar,
    ends: AtomicBool,
}

pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl Pool {
    /// So many threads, the caller's included.
    pub fn new(threads: usize) -> std::io::Result<Pool> {
        let mut pool = Pool { shared: Arc::default(), workers: vec![] };
        for _ in 1..threads {
            let shared = pool.shared.clone();
            pool.workers.push(std::thread::Builder::new().spawn(move || shared.serve())?);
        }
        Ok(pool)
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
        s.done.store(0, Relaxed);
        let job = (s.next.load(Relaxed) >> 32) + 1;
        s.publish(job);
        s.work(job);
        let mut turns = 0;
        while s.done.load(Acquire) < count {
            pause(&mut turns);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.ends.store(true, Relaxed);
        self.shared.count.store(0, Relaxed);
        self.shared.publish((self.shared.next.load(Relaxed) >> 32) + 1);
        // A worker that panicked has ended too.
        self.workers.drain(..).for_each(|w| drop(w.join()));
    }
}

impl Shared {
    fn publish(&self, job: u64) {
        // In one order with `sleeping`: who does not see the job is seen asleep.
        self.next.store(job << 32, SeqCst);
        if 0 < self.sleeping.load(SeqCst) {
            drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.wake.notify_all();
        }
    }

    /// Takes tasks of a job while there are any.
    fn work(&self, job: u64) {
        let (task, context, count) = (self.task.load(Relaxed), self.context.load(Relaxed), self.count.load(Relaxed));
        let mut next = self.next.load(Relaxed);
        while next >> 32 == job && (next as u32) < count {
            match self.next.compare_exchange_weak(next, next + 1, AcqRel, Relaxed) {
                Ok(_) => {
                    // SAFETY: the job is not over while this task is not done, so what was read above belongs to it: a function of that
                    // type, which its caller allows to be called so.
                    unsafe { std::mem::transmute::<*mut (), Task>(task)(context, next as u32) };
                    self.done.fetch_add(1, Release);
                    next = self.next.load(Relaxed);
                }
                Err(now) => next = now,
            }
        }
    }

    fn serve(&self) {
        let mut last = 0;
        loop {
            let job = self.await_job(last);
            if self.ends.load(Relaxed) {
                return;
            }
            self.work(job);
            last = job;
        }
    }

    /// The number of a job after `last`.
    fn await_job(&self, last: u64) -> u64 {
        for _ in 0..PATIENCE {
            let job = self.next.load(Acquire) >> 32;
            if job != last {
                return job;
            }
            std::hint::spin_loop();
        }
        self.sleeping.fetch_add(1, SeqCst);
        let mut guard = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let job = loop {
            let job = self.next.load(SeqCst) >> 32;
            if job != last {
                break job;
            }
            guard = self.wake.wait(guard).unwrap_or_else(PoisonError::into_inner);
        };
        self.sleeping.fetch_sub(1, SeqCst);
        job
    }
}

/// Lets other threads of this core run where there is no other core for them.
fn pause(turns: &mut u32) {
    *turns += 1;
    if turns.is_multiple_of(PATIENCE) { std::thread::yield_now() } else { std::hint::spin_loop() }
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
            for job in 0..2000 {
                let counters: [AtomicU32; 16] = Default::default();
                let tasks = job % 17;
                // SAFETY: it outlives the call.
                unsafe { pool.run(count, (&raw const counters).cast_mut().cast(), tasks) };
                let expected: Vec<u32> = (0..16).map(|i| u32::from(i < tasks)).collect();
                assert_eq!(counters.map(|c| c.into_inner()).to_vec(), expected);
                if job % 500 == 0 {
                    // Long enough for all to fall asleep.
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
            }
        }
    }
}
