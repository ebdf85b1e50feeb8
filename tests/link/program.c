/* Two models in one program, two threads on one model, and callers that do it wrong. Ends with 0 when all is well.
   data.h, written by the test, has the inputs and the expected outputs of both models as bytes. */
#include "cranelite_arena.h"
#include "data.h"
#include "perceptron.h"
#include "tiny_i8.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static int failures;

static void expect(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "not so: %s\n", what);
        failures++;
    }
}

/* Memory aligned for any model, with a margin on both sides that must stay as it was. */
#define MARGIN 64
#define ALIGNED(name, bytes)                                  \
    static unsigned char name##_memory[(bytes) + 4 * MARGIN]; \
    unsigned char *name = aligned(name##_memory, sizeof name##_memory)

static unsigned char *aligned(unsigned char *memory, size_t bytes)
{
    memset(memory, 0x5a, bytes);
    return memory + MARGIN + (MARGIN - (size_t)memory % MARGIN) % MARGIN;
}

static int untouched(const unsigned char *p, size_t bytes)
{
    while (bytes--)
        if (*p++ != 0x5a) return 0;
    return 1;
}

static int close_enough(const float *found, const unsigned char *expected, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++) {
        float e, d;
        memcpy(&e, expected + i * sizeof e, sizeof e);
        d = found[i] < e ? e - found[i] : found[i] - e;
        if (!(d <= 1e-5f + 1e-5f * (e < 0 ? -e : e))) return 0;
    }
    return 1;
}

static void perceptron(void)
{
    ALIGNED(arena, PERCEPTRON_ARENA_BYTES);
    float x[PERCEPTRON_IN_X_COUNT], y[PERCEPTRON_OUT_Y_COUNT];
    perceptron_inputs in;
    perceptron_outputs out;
    in.x = x;
    out.y = y;
    memcpy(x, perceptron_in, PERCEPTRON_IN_X_BYTES);
    expect(perceptron_invoke(&in, &out, arena) == 0, "perceptron runs");
    expect(close_enough(y, perceptron_out, PERCEPTRON_OUT_Y_COUNT), "perceptron gives the expected floats");
    expect(untouched(arena - MARGIN, MARGIN), "nothing is written before the arena");
    expect(untouched(arena + PERCEPTRON_ARENA_BYTES, MARGIN), "nothing is written behind the arena");
}

/* Any address will do for a caller's buffer of bytes. */
static void tiny_i8(unsigned char *arena, size_t shift)
{
    int8_t image[TINY_I8_IN_IMAGE_COUNT + 3], scores[TINY_I8_OUT_SCORES_COUNT + 3];
    tiny_i8_inputs in;
    tiny_i8_outputs out;
    in.image = image + shift;
    out.scores = scores + shift;
    memset(scores, 0x5a, sizeof scores);
    memcpy(image + shift, tiny_i8_in, TINY_I8_IN_IMAGE_BYTES);
    expect(tiny_i8_invoke(&in, &out, arena) == 0, "tiny_i8 runs");
    expect(!memcmp(scores + shift, tiny_i8_out, TINY_I8_OUT_SCORES_BYTES), "tiny_i8 gives the expected bytes");
    expect(untouched((unsigned char *)scores, shift), "nothing is written before an output");
    expect(untouched((unsigned char *)scores + shift + TINY_I8_OUT_SCORES_BYTES, 3 - shift), "nothing is written behind an output");
}

static void *many(void *arena)
{
    int i;
    for (i = 0; i < 200; i++) tiny_i8((unsigned char *)arena, (size_t)i % 4);
    return NULL;
}

CRANELITE_STATIC_ARENA(first, TINY_I8);
CRANELITE_STATIC_ARENA(second, TINY_I8);

static void threads(void)
{
    pthread_t thread;
    expect(!pthread_create(&thread, NULL, many, first), "a thread starts");
    many(second);
    expect(!pthread_join(thread, NULL), "a thread ends");
}

static void wrong_callers(void)
{
    ALIGNED(arena, TINY_I8_ARENA_BYTES);
    ALIGNED(output, TINY_I8_OUT_SCORES_BYTES);
    int8_t image[TINY_I8_IN_IMAGE_COUNT];
    tiny_i8_inputs in, no_image;
    tiny_i8_outputs out, no_scores;
    memset(image, 0, sizeof image);
    in.image = image;
    no_image.image = NULL;
    out.scores = (int8_t *)output;
    no_scores.scores = NULL;
    expect(tiny_i8_invoke(NULL, &out, arena) == CRANELITE_NULL_POINTER, "no inputs: status 1");
    expect(tiny_i8_invoke(&in, NULL, arena) == CRANELITE_NULL_POINTER, "no outputs: status 1");
    expect(tiny_i8_invoke(&in, &out, NULL) == CRANELITE_NULL_POINTER, "no arena: status 1");
    expect(tiny_i8_invoke(&no_image, &out, arena) == CRANELITE_NULL_POINTER, "a null input: status 1");
    expect(tiny_i8_invoke(&in, &no_scores, arena) == CRANELITE_NULL_POINTER, "a null output: status 1");
    expect(tiny_i8_invoke(&in, &out, arena + 1) == CRANELITE_MISALIGNED_ARENA, "an odd arena: status 2");
    expect(tiny_i8_invoke(&in, &out, arena + TINY_I8_ARENA_ALIGN / 2) == CRANELITE_MISALIGNED_ARENA, "half aligned: status 2");
    expect(untouched(arena, TINY_I8_ARENA_BYTES) && untouched(output, TINY_I8_OUT_SCORES_BYTES), "a refused call touches nothing");
}

int main(void)
{
    perceptron();
    threads();
    wrong_callers();
    return failures != 0;
}
