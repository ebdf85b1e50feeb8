/* A model divided for three threads, with executors of all kinds. Ends with 0 when all is well. */
#include "divisible.h"
#include "cranelite_arena.h"
#include "cranelite_threads.h"
#include <stdio.h>
#include <string.h>

static int failures;

static void expect(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "not so: %s\n", what);
        __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
    }
}

CRANELITE_STATIC_ARENA(arena, DIVISIBLE);
CRANELITE_STATIC_ARENA(other_arena, DIVISIBLE);
static float image[DIVISIBLE_IN_IMAGE_COUNT], expected[DIVISIBLE_OUT_Y_COUNT], y[DIVISIBLE_OUT_Y_COUNT], other_y[DIVISIBLE_OUT_Y_COUNT];

static cranelite_status run(void *memory, float *result, const cranelite_executor *executor)
{
    divisible_inputs in;
    divisible_outputs out;
    in.image = image;
    out.y = result;
    memset(result, 0x5a, sizeof y);
    if (memory) memset(memory, 0x5a, DIVISIBLE_ARENA_BYTES);
    /* By name, and by the description. */
    if (result == y) return divisible_invoke_parallel(&in, &out, memory, executor);
    {
        cranelite_call call;
        memset(&call, 0, sizeof call);
        call.struct_size = sizeof call;
        call.inputs = &in;
        call.outputs = &out;
        call.arena = memory;
        call.executor = executor;
        return divisible_model.call(&call);
    }
}

static int same(const float *result)
{
    return !memcmp(result, expected, sizeof expected);
}

static void pools(void)
{
    uint32_t threads;
    for (threads = 0; threads < 6; threads++) {
        cranelite_threads *pool = cranelite_threads_create(threads);
        cranelite_executor executor = cranelite_threads_executor(pool);
        int i;
        expect(pool != NULL, "there is a pool");
        for (i = 0; i < 20; i++) expect(run(arena, y, &executor) == CRANELITE_OK && same(y), "every number of threads computes the same");
        cranelite_threads_destroy(pool);
    }
}

static void count_task(void *context, uint32_t index)
{
    __atomic_fetch_add((uint32_t *)context + index, 1, __ATOMIC_RELAXED);
}

/* Short jobs of all sizes, one after the other: threads are late for many of them. */
static void every_task_once(void)
{
    cranelite_threads *pool = cranelite_threads_create(4);
    cranelite_executor executor = cranelite_threads_executor(pool);
    uint32_t job, i, wrong = 0;
    for (job = 0; job < 3000; job++) {
        uint32_t counters[16] = {0}, tasks = job * 7 % 17;
        executor.run(executor.user, count_task, counters, tasks);
        for (i = 0; i < 16; i++) wrong += counters[i] != (i < tasks);
    }
    expect(!wrong, "every task is run once");
    cranelite_threads_destroy(pool);
}

/* As user data: how often it was called. */
static int32_t from_the_last(void *user, void (*task)(void *context, uint32_t index), void *context, uint32_t count)
{
    ++*(int *)user;
    while (count--) task(context, count);
    return 0;
}

static int32_t fails(void *user, void (*task)(void *context, uint32_t index), void *context, uint32_t count)
{
    (void)task, (void)context, (void)count;
    return --*(int *)user ? from_the_last(user, task, context, count) : 77;
}

static void other_executors(void)
{
    cranelite_executor executor = {NULL, NULL};
    int calls = 0;
    expect(run(arena, y, NULL) == CRANELITE_OK && same(y), "no executor: one thread");
    expect(run(arena, y, &executor) == CRANELITE_NULL_POINTER, "an executor that runs nothing: status 1");
    executor.user = &calls;
    executor.run = from_the_last;
    expect(run(arena, y, &executor) == CRANELITE_OK && same(y) && calls == 3, "any order will do, once for each operator");
    calls = 1;
    executor.run = fails;
    expect(run(arena, y, &executor) == CRANELITE_EXECUTOR_FAILED && calls == 0, "an executor that fails: status 6");
    expect(run(NULL, y, &executor) == CRANELITE_NULL_POINTER, "no arena: status 1");
}

static void *many(void *executor)
{
    int i;
    for (i = 0; i < 20; i++) expect(run(other_arena, other_y, (const cranelite_executor *)executor) == CRANELITE_OK && same(other_y), "two at once");
    return NULL;
}

/* One pool for two callers. */
static void shared(void)
{
    cranelite_threads *pool = cranelite_threads_create(3);
    cranelite_executor executor = cranelite_threads_executor(pool);
    pthread_t thread;
    int i;
    expect(!pthread_create(&thread, NULL, many, &executor), "a thread starts");
    for (i = 0; i < 20; i++) expect(run(arena, y, &executor) == CRANELITE_OK && same(y), "two at once");
    expect(!pthread_join(thread, NULL), "a thread ends");
    cranelite_threads_destroy(pool);
}

int main(void)
{
    divisible_inputs in;
    divisible_outputs out;
    size_t i;
    for (i = 0; i < DIVISIBLE_IN_IMAGE_COUNT; i++) image[i] = (float)((int)(i * 7919 % 1000) - 500) / 500;
    in.image = image;
    out.y = expected;
    expect(divisible_invoke(&in, &out, arena) == CRANELITE_OK, "it runs");
    every_task_once();
    pools();
    other_executors();
    shared();
    return failures != 0;
}
