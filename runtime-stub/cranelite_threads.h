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

typedef struct {
    /* Of the current job: its number in the upper half, the next task in the lower one, so that a thread which comes late takes nothing
       from the job after. On a line of the cache of its own, as is what tells that tasks are done. */
    uint64_t next;
    char apart_1[120];
    uint32_t done;
    char apart_2[124];
    cranelite_task task;
    void *context;
    uint32_t count;
    uint32_t busy, ends, sleeping;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    uint32_t workers;
    pthread_t *handles;
} cranelite_threads;

static inline void cranelite_threads_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline void cranelite_threads_publish(cranelite_threads *pool, uint64_t job)
{
    /* In one order with `sleeping`: who does not see the job is seen asleep. */
    __atomic_store_n(&pool->next, job << 32, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&pool->sleeping, __ATOMIC_SEQ_CST)) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->lock);
    }
}

/* Takes tasks of a job while there are any. */
static inline void cranelite_threads_work(cranelite_threads *pool, uint64_t job)
{
    cranelite_task task = __atomic_load_n(&pool->task, __ATOMIC_RELAXED);
    void *context = __atomic_load_n(&pool->context, __ATOMIC_RELAXED);
    uint32_t count = __atomic_load_n(&pool->count, __ATOMIC_RELAXED);
    uint64_t next = __atomic_load_n(&pool->next, __ATOMIC_RELAXED);
    while (next >> 32 == job && (uint32_t)next < count) {
        if (__atomic_compare_exchange_n(&pool->next, &next, next + 1, 1, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            /* The job is not over while this task is not done, so what was read above belongs to it. */
            task(context, (uint32_t)next);
            __atomic_fetch_add(&pool->done, 1, __ATOMIC_RELEASE);
            next = __atomic_load_n(&pool->next, __ATOMIC_RELAXED);
        }
    }
}

/* The number of a job after `last`. */
static inline uint64_t cranelite_threads_await(cranelite_threads *pool, uint64_t last)
{
    uint64_t job;
    int i;
    for (i = 0; i < CRANELITE_THREADS_PATIENCE; i++) {
        job = __atomic_load_n(&pool->next, __ATOMIC_ACQUIRE) >> 32;
        if (job != last) return job;
        cranelite_threads_pause();
    }
    __atomic_fetch_add(&pool->sleeping, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&pool->lock);
    while ((job = __atomic_load_n(&pool->next, __ATOMIC_SEQ_CST) >> 32) == last) pthread_cond_wait(&pool->wake, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
    __atomic_fetch_sub(&pool->sleeping, 1, __ATOMIC_SEQ_CST);
    return job;
}

static inline void *cranelite_threads_serve(void *argument)
{
    cranelite_threads *pool = (cranelite_threads *)argument;
    uint64_t job = 0;
    for (;;) {
        job = cranelite_threads_await(pool, job);
        if (__atomic_load_n(&pool->ends, __ATOMIC_RELAXED)) return NULL;
        cranelite_threads_work(pool, job);
    }
}

static inline int32_t cranelite_threads_run(void *user, cranelite_task task, void *context, uint32_t count)
{
    cranelite_threads *pool = (cranelite_threads *)user;
    uint64_t job;
    uint32_t i;
    if (__atomic_exchange_n(&pool->busy, 1, __ATOMIC_ACQUIRE)) {
        for (i = 0; i < count; i++) task(context, i);
        return 0;
    }
    __atomic_store_n(&pool->task, task, __ATOMIC_RELAXED);
    __atomic_store_n(&pool->context, context, __ATOMIC_RELAXED);
    __atomic_store_n(&pool->count, count, __ATOMIC_RELAXED);
    __atomic_store_n(&pool->done, 0, __ATOMIC_RELAXED);
    job = (__atomic_load_n(&pool->next, __ATOMIC_RELAXED) >> 32) + 1;
    cranelite_threads_publish(pool, job);
    cranelite_threads_work(pool, job);
    for (i = 1; __atomic_load_n(&pool->done, __ATOMIC_ACQUIRE) < count; i++) {
        /* Others of this core run too where there is no other core for them. */
        if (i % CRANELITE_THREADS_PATIENCE == 0) sched_yield();
        else cranelite_threads_pause();
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
    cranelite_threads_publish(pool, (__atomic_load_n(&pool->next, __ATOMIC_RELAXED) >> 32) + 1);
    for (i = 0; i < pool->workers; i++) pthread_join(pool->handles[i], NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->lock);
    free(pool->handles);
    free(pool);
}

/* So many threads, the calling one included; null if they cannot be had. */
static inline cranelite_threads *cranelite_threads_create(uint32_t threads)
{
    cranelite_threads *pool = (cranelite_threads *)calloc(1, sizeof *pool);
    uint32_t workers = threads ? threads - 1 : 0;
    if (!pool) return NULL;
    pool->handles = (pthread_t *)calloc(workers + 1, sizeof *pool->handles);
    if (!pool->handles || pthread_mutex_init(&pool->lock, NULL)) {
        free(pool->handles);
        free(pool);
        return NULL;
    }
    if (pthread_cond_init(&pool->wake, NULL)) {
        pthread_mutex_destroy(&pool->lock);
        free(pool->handles);
        free(pool);
        return NULL;
    }
    while (pool->workers < workers) {
        if (pthread_create(&pool->handles[pool->workers], NULL, cranelite_threads_serve, pool)) {
            cranelite_threads_destroy(pool);
            return NULL;
        }
        pool->workers++;
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
