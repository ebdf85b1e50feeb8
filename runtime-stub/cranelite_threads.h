/* A small pool of POSIX threads for models compiled with --threads: for C99 and C++ with GCC or Clang. Link with -pthread.

       #include "kws.h"
       #include "cranelite_threads.h"
       cranelite_threads *pool = cranelite_threads_create(4);    with the calling thread four in all
       cranelite_executor executor = cranelite_threads_executor(pool);
       ... kws_invoke_parallel(&in, &out, arena, &executor) ...
       cranelite_threads_destroy(pool);

   The threads look out for work for some tens of microseconds, as long as an invocation goes on, and then sleep. One pool serves one invocation
   at a time; another one that comes meanwhile runs on its own thread alone. Each thread needs the model's STACK_BYTES, which what POSIX gives
   by default exceeds by far. */
#ifndef CRANELITE_THREADS_H
#define CRANELITE_THREADS_H

#ifndef CRANELITE_ABI_1
#error "include the header of a model before cranelite_threads.h"
#endif

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How often a thread looks out for work before it sleeps. */
#ifndef CRANELITE_THREADS_PATIENCE
#define CRANELITE_THREADS_PATIENCE 4000
#endif

typedef void (*cranelite_task)(void *context, uint32_t index);

/* A number on a line of the cache of its own, and the one that is fetched with it. */
typedef union {
    uint64_t value;
    char line[128];
} cranelite_threads_number;

typedef struct {
    /* The current job, and how many of its tasks are done. */
    cranelite_threads_number job, done;
    /* By thread, of its part of the current job: the job's number in the upper half, how many tasks are left in the lower one. So a thread
       which comes late takes nothing from the job after, nor from its own by what it reads of the one after. */
    cranelite_threads_number *left;
    uint32_t threads;
    cranelite_task task;
    void *context;
    uint32_t count;
    uint32_t busy, ends, sleeping;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct cranelite_threads_worker *workers;
} cranelite_threads;

typedef struct cranelite_threads_worker {
    cranelite_threads *pool;
    uint32_t number;
    pthread_t handle;
} cranelite_threads_worker;

/* Waits a little: a pause takes up to a hundred nanoseconds, so that at first there is none. */
static inline void cranelite_threads_pause(uint32_t turn)
{
    if (turn < 100) return;
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The first of the tasks that a thread begins with: the same part of every job, so that it finds in its cache what it wrote before. */
static inline uint32_t cranelite_threads_part(const cranelite_threads *pool, uint32_t thread, uint32_t count)
{
    return (uint32_t)((uint64_t)count * thread / pool->threads);
}

/* Begins a job, whose number is the answer. */
static inline uint64_t cranelite_threads_publish(cranelite_threads *pool, uint32_t count)
{
    uint64_t job = (__atomic_load_n(&pool->job.value, __ATOMIC_RELAXED) + 1) & UINT32_MAX;
    uint32_t i;
    __atomic_store_n(&pool->count, count, __ATOMIC_RELAXED);
    __atomic_store_n(&pool->done.value, 0, __ATOMIC_RELAXED);
    for (i = 0; i < pool->threads; i++)
        __atomic_store_n(&pool->left[i].value,
                         job << 32 | (cranelite_threads_part(pool, i + 1, count) - cranelite_threads_part(pool, i, count)), __ATOMIC_RELAXED);
    /* In one order with `sleeping`: who does not see the job is seen asleep. */
    __atomic_store_n(&pool->job.value, job, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&pool->sleeping, __ATOMIC_SEQ_CST)) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->lock);
    }
    return job;
}

/* Takes tasks of a job while there are any, first those of this thread. */
static inline void cranelite_threads_work(cranelite_threads *pool, uint64_t job, uint32_t me)
{
    cranelite_task task = __atomic_load_n(&pool->task, __ATOMIC_RELAXED);
    void *context = __atomic_load_n(&pool->context, __ATOMIC_RELAXED);
    uint32_t count = __atomic_load_n(&pool->count, __ATOMIC_RELAXED), done = 0, i;
    for (i = 0; i < pool->threads; i++) {
        uint32_t thread = (me + i) % pool->threads, end = cranelite_threads_part(pool, thread + 1, count);
        uint64_t *left = &pool->left[thread].value, now = __atomic_load_n(left, __ATOMIC_RELAXED);
        while (now >> 32 == job && (uint32_t)now) {
            if (__atomic_compare_exchange_n(left, &now, now - 1, 1, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
                /* A task of this job was left, so nothing of what was read above can be of a later job. */
                task(context, end - (uint32_t)now);
                done++;
                now = __atomic_load_n(left, __ATOMIC_RELAXED);
            }
        }
    }
    if (done) __atomic_fetch_add(&pool->done.value, done, __ATOMIC_RELEASE);
}

/* The number of a job that is not `last`. */
static inline uint64_t cranelite_threads_await(cranelite_threads *pool, uint64_t last)
{
    uint64_t job;
    uint32_t turn;
    for (turn = 0; turn < CRANELITE_THREADS_PATIENCE; turn++) {
        job = __atomic_load_n(&pool->job.value, __ATOMIC_ACQUIRE);
        if (job != last) return job;
        cranelite_threads_pause(turn);
    }
    __atomic_fetch_add(&pool->sleeping, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&pool->lock);
    while ((job = __atomic_load_n(&pool->job.value, __ATOMIC_SEQ_CST)) == last) pthread_cond_wait(&pool->wake, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    __atomic_fetch_sub(&pool->sleeping, 1, __ATOMIC_SEQ_CST);
    return job;
}

static inline void *cranelite_threads_serve(void *argument)
{
    cranelite_threads_worker *worker = (cranelite_threads_worker *)argument;
    uint64_t job = 0;
    for (;;) {
        job = cranelite_threads_await(worker->pool, job);
        if (__atomic_load_n(&worker->pool->ends, __ATOMIC_RELAXED)) return NULL;
        cranelite_threads_work(worker->pool, job, worker->number);
    }
}

static inline int32_t cranelite_threads_run(void *user, cranelite_task task, void *context, uint32_t count)
{
    cranelite_threads *pool = (cranelite_threads *)user;
    uint32_t i;
    if (__atomic_exchange_n(&pool->busy, 1, __ATOMIC_ACQUIRE)) {
        for (i = 0; i < count; i++) task(context, i);
        return 0;
    }
    __atomic_store_n(&pool->task, task, __ATOMIC_RELAXED);
    __atomic_store_n(&pool->context, context, __ATOMIC_RELAXED);
    cranelite_threads_work(pool, cranelite_threads_publish(pool, count), 0);
    for (i = 1; __atomic_load_n(&pool->done.value, __ATOMIC_ACQUIRE) < count; i++) {
        /* Others of this core run too where there is no other core for them. */
        if (i % CRANELITE_THREADS_PATIENCE == 0) sched_yield();
        cranelite_threads_pause(i);
    }
    __atomic_store_n(&pool->busy, 0, __ATOMIC_RELEASE);
    return 0;
}

/* No invocation may be using the pool. Null is allowed. */
static inline void cranelite_threads_destroy(cranelite_threads *pool)
{
    uint32_t i;
    if (!pool) return;
    __atomic_store_n(&pool->ends, 1, __ATOMIC_RELAXED);
    cranelite_threads_publish(pool, 0);
    for (i = 1; i < pool->threads; i++) pthread_join(pool->workers[i].handle, NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool->workers);
    free(pool->left);
    free(pool);
}

/* So many threads, the calling one included; null if they cannot be had. */
static inline cranelite_threads *cranelite_threads_create(uint32_t threads)
{
    cranelite_threads *pool = (cranelite_threads *)calloc(1, sizeof *pool);
    int lock = 1, wake = 1, started;
    uint32_t i;
    if (!pool) return NULL;
    if (!threads) threads = 1;
    pool->left = (cranelite_threads_number *)calloc(threads, sizeof *pool->left);
    pool->workers = (cranelite_threads_worker *)calloc(threads, sizeof *pool->workers);
    if (pool->left && pool->workers) lock = pthread_mutex_init(&pool->lock, NULL);
    if (!lock) wake = pthread_cond_init(&pool->wake, NULL);
    if (wake) {
        if (!lock) pthread_mutex_destroy(&pool->lock);
        free(pool->workers);
        free(pool->left);
        free(pool);
        return NULL;
    }
    /* Known to all before the first of them starts. */
    pool->threads = threads;
    for (i = 1, started = 1; i < threads && started; i++) {
        pool->workers[i].pool = pool;
        pool->workers[i].number = i;
        started = !pthread_create(&pool->workers[i].handle, NULL, cranelite_threads_serve, &pool->workers[i]);
    }
    if (!started) {
        /* Those that run read `threads` for a job only, and the job that ends them has no tasks. */
        pool->threads = i - 1;
        cranelite_threads_destroy(pool);
        return NULL;
    }
    return pool;
}

static inline cranelite_executor cranelite_threads_executor(cranelite_threads *pool)
{
    cranelite_executor executor;
    executor.run = cranelite_threads_run;
    executor.user = pool;
    return executor;
}

#ifdef __cplusplus
}
#endif

#endif
