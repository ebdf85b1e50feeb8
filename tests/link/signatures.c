/* Three signatures of one object, and one of them compiled alone; what must come of it is computed here. */
#include "alone.h"
#include "cranelite_arena.h"
#include "learner.h"
#include "numbers.h"
#include <stdio.h>
#include <string.h>

#define CHECK(x) do { if (!(x)) return printf("line %d: %s\n", __LINE__, #x), 1; } while (0)

CRANELITE_STATIC_ARENA(arena, LEARNER);
CRANELITE_STATIC_STATE(state, LEARNER);
CRANELITE_STATIC_STATE(other_state, LEARNER);
CRANELITE_STATIC_ARENA(alone_arena, ALONE);
/* Enough for the one signature. */
CRANELITE_STATIC_ARENA(small_arena, LEARNER_TICK);

#ifdef WEIGHTS
CRANELITE_ALIGNED(LEARNER_WEIGHTS_ALIGN) static unsigned char weights[LEARNER_WEIGHTS_BYTES];
#define WITH_WEIGHTS , weights
#define WEIGHTS_POINTER weights
#else
#define WITH_WEIGHTS
#define WEIGHTS_POINTER NULL
#endif

/* Whatever the form of the call: NAME(x, y, arena, state). */
#ifdef IO_ARENA
#define SIGNATURE(name, NAME, OUTPUT, output) \
    static cranelite_status name(const float *x, float *y, unsigned char *in_arena, void *in_state) \
    { \
        cranelite_status status; \
        memcpy(in_arena + LEARNER_##NAME##_IN_X_OFFSET, x, LEARNER_##NAME##_IN_X_BYTES); \
        status = learner_##name##_invoke(in_arena, in_state WITH_WEIGHTS); \
        memcpy(y, in_arena + LEARNER_##NAME##_OUT_##OUTPUT##_OFFSET, LEARNER_##NAME##_OUT_##OUTPUT##_BYTES); \
        return status; \
    }
#else
#define SIGNATURE(name, NAME, OUTPUT, output) \
    static cranelite_status name(const float *x, float *y, void *in_arena, void *in_state) \
    { \
        learner_##name##_inputs in; \
        learner_##name##_outputs out; \
        in.x = x; \
        out.output = y; \
        return learner_##name##_invoke(&in, &out, in_arena, in_state WITH_WEIGHTS); \
    }
#endif
SIGNATURE(update, UPDATE, Y, y)
SIGNATURE(infer, INFER, Y, y)
SIGNATURE(tick, TICK, SUM, sum)

static float v[12];

/* Whether y is weights times (v + x), and biases. */
static int is_right(const float *x, const float *y)
{
    int i, o;
    for (o = 0; o < 8; o++) {
        float sum = biases[o];
        for (i = 0; i < 12; i++) sum += weights_w[o * 12 + i] * (v[i] + (x ? x[i] : 0));
        if (sum != y[o]) return 0;
    }
    return 1;
}

static int alone(const float *x, float *y, void *in_state)
{
    alone_inputs in;
    alone_outputs out;
    in.x = x;
    out.y = y;
    return (int)alone_invoke(&in, &out, alone_arena, in_state);
}

#ifdef THREADS
static int32_t backwards(void *user, void (*task)(void *context, uint32_t index), void *context, uint32_t count)
{
    (void)user;
    while (count--) task(context, count);
    return 0;
}
#endif

#ifdef SELF_TEST
#define SELF_TEST_OF(name, NAME) \
    do { \
        CRANELITE_ALIGNED(LEARNER_##NAME##_SELFTEST_ALIGN) static unsigned char buffer[LEARNER_##NAME##_SELFTEST_BYTES]; \
        uint32_t wrong = 7; \
        CHECK(learner_##name##_selftest(arena, other_state WITH_WEIGHTS, buffer, &wrong) == CRANELITE_OK); \
        CHECK(wrong == UINT32_MAX); \
    } while (0)
#endif

int main(void)
{
    float x[12], y[8], sum[1], of_alone[8];
    int i, step;
    CHECK(LEARNER_UPDATE_ARENA_BYTES <= LEARNER_ARENA_BYTES && LEARNER_TICK_ARENA_BYTES <= LEARNER_ARENA_BYTES);
    CHECK(sizeof arena % LEARNER_TICK_ARENA_ALIGN == 0 && LEARNER_INFER_STACK_BYTES <= LEARNER_STACK_BYTES);
#ifdef WEIGHTS
    {
        FILE *f = fopen("weights.bin", "rb");
        CHECK(f && fread(weights, 1, sizeof weights, f) == sizeof weights && !fclose(f));
        CHECK(learner_check_weights(weights) == CRANELITE_OK);
    }
#endif
    CHECK(learner_reset(state) == CRANELITE_OK && learner_reset(other_state) == CRANELITE_OK);
    memcpy(v, first_v, sizeof v);
    for (step = 0; step < 4; step++) {
        for (i = 0; i < 12; i++) x[i] = (float)((i * 7 + step * 5) % 11 - 4);
        /* What infer finds is what update has left there, and infer leaves it as it is. */
        CHECK(infer(x, y, arena, state) == CRANELITE_OK && is_right(x, y));
        CHECK(alone(x, of_alone, state) == CRANELITE_OK && !memcmp(y, of_alone, sizeof y));
        CHECK(update(x, y, arena, state) == CRANELITE_OK);
        for (i = 0; i < 12; i++) v[i] += x[i];
        CHECK(is_right(NULL, y));
        /* And tick has a variable of its own, elsewhere. */
        sum[0] = 0;
        x[0] = 0.25f;
        CHECK(tick(x, sum, step % 2 ? small_arena : arena, state) == CRANELITE_OK && sum[0] == 101.25f + (float)step);
    }
    /* Another instance knows nothing of that. */
    CHECK(tick(x, sum, arena, other_state) == CRANELITE_OK && sum[0] == 101.25f);
    CHECK(infer(x, y, arena, state) == CRANELITE_OK && is_right(x, y));
    memcpy(v, first_v, sizeof v);
    CHECK(infer(x, y, arena, other_state) == CRANELITE_OK && is_right(x, y));
    CHECK(infer(x, y, arena + 1, state) == CRANELITE_MISALIGNED_ARENA || LEARNER_INFER_ARENA_BYTES == 0 || LEARNER_INFER_ARENA_ALIGN == 1);
#ifndef IO_ARENA
    CHECK(infer(x, y, arena, NULL) == CRANELITE_NULL_POINTER && infer(NULL, y, arena, state) == CRANELITE_NULL_POINTER);
#endif
    CHECK(learner_reset(state) == CRANELITE_OK);
    CHECK(tick(x, sum, arena, state) == CRANELITE_OK && sum[0] == 101.25f);
    CHECK(alone_model.state_bytes <= learner_infer_model.state_bytes);

    /* As a caller that serves any model finds them. */
    {
        static const char *const names[LEARNER_SIGNATURE_COUNT] = {"update", "infer", "tick"};
        for (i = 0; i < LEARNER_SIGNATURE_COUNT; i++) {
            const cranelite_model *model = learner_signatures[i].model;
            const void *inputs[1];
            void *outputs[1];
            cranelite_call call = {0};
            CHECK(!strcmp(learner_signatures[i].name, names[i]));
            CHECK(model->input_count == 1 && model->output_count == 1 && model->state_bytes == LEARNER_STATE_BYTES);
            CHECK(model->arena_bytes <= LEARNER_ARENA_BYTES && model->const_bytes == LEARNER_CONST_BYTES && model->reset == learner_reset);
            CHECK(!strncmp(model->name, "learner_", 8) && !strcmp(model->name + 8, names[i]));
            inputs[0] = x;
            outputs[0] = y;
#ifdef IO_ARENA
            memcpy(arena + model->inputs[0].arena_offset, x, (size_t)model->inputs[0].bytes);
#endif
            call.struct_size = sizeof call;
            call.inputs = inputs;
            call.outputs = outputs;
            call.arena = arena;
            call.state = state;
            call.weights = WEIGHTS_POINTER;
            CHECK(model->call(&call) == CRANELITE_OK);
#ifdef IO_ARENA
            memcpy(y, arena + model->outputs[0].arena_offset, (size_t)model->outputs[0].bytes);
#endif
        }
        CHECK(y[0] == 102.25f && !learner_signatures[i].name && !learner_signatures[i].model);
        CHECK(learner_signatures[1].model == &learner_infer_model);
    }
#if defined LEVELS && !defined IO_ARENA
    {
        learner_infer_inputs in;
        learner_infer_outputs out;
        uint32_t level, done = 0;
        in.x = x;
        out.y = y;
        for (i = 0; i < 12; i++) v[i] += x[i];
        for (level = 0; level < LEARNER_LEVEL_COUNT; level++) {
            cranelite_status status = learner_infer_invoke_at(level, &in, &out, arena, state WITH_WEIGHTS);
            CHECK(status == CRANELITE_OK ? is_right(x, y) : status == CRANELITE_CPU_LACKS_FEATURE);
            done += status == CRANELITE_OK;
        }
        CHECK(done && learner_infer_model.level_count == LEARNER_LEVEL_COUNT);
    }
#endif
#if defined THREADS && !defined IO_ARENA
    {
        const cranelite_executor executor = {backwards, NULL};
        learner_infer_inputs in;
        learner_infer_outputs out;
        in.x = x;
        out.y = y;
        for (i = 0; i < 12; i++) v[i] += x[i];
        CHECK(learner_infer_invoke_parallel(&in, &out, arena, state WITH_WEIGHTS, &executor) == CRANELITE_OK && is_right(x, y));
    }
#endif
#ifdef SELF_TEST
    SELF_TEST_OF(update, UPDATE);
    SELF_TEST_OF(infer, INFER);
    SELF_TEST_OF(tick, TICK);
#endif
    return 0;
}
