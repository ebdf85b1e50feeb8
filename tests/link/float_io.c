/* `model` and the same model with floats outside, `real`: equal outputs for real numbers inside and outside of what can be quantised. */
#include <math.h>
#include <stdio.h>

#include "cranelite_arena.h"
#include "model.h"
#include "real.h"

#define INPUTS MODEL_IN_X_COUNT

CRANELITE_STATIC_ARENA(arena, MODEL);
CRANELITE_STATIC_ARENA(real_arena, REAL);

int main(void) {
    float x[REAL_IN_X_COUNT], real_bytes[REAL_OUT_BYTES_COUNT], real_floats[REAL_OUT_FLOATS_COUNT], floats[MODEL_OUT_FLOATS_COUNT];
    int8_t q[MODEL_IN_X_COUNT], bytes[MODEL_OUT_BYTES_COUNT];
    const model_inputs in = {q};
    const model_outputs out = {bytes, floats};
    const real_inputs real_in = {x};
    const real_outputs real_out = {real_bytes, real_floats};
    unsigned random = 1;
    for (int round = 0; round < 1000; round++) {
        for (int i = 0; i < INPUTS; i++) {
            random = random * 1103515245u + 12345u;
            /* Quarters of a step meet halves; every ninth number is far outside. */
            int steps = (int)(random >> 16) % 1200 - 600;
            x[i] = (float)steps * (MODEL_IN_X_SCALE / 4) * (i % 9 == 8 ? 100.0f : 1.0f);
            float rounded = roundf(x[i] / MODEL_IN_X_SCALE) + (float)MODEL_IN_X_ZERO_POINT;
            q[i] = (int8_t)(rounded < -128 ? -128 : rounded > 127 ? 127 : rounded);
        }
        if (model_invoke(&in, &out, arena) != CRANELITE_OK || real_invoke(&real_in, &real_out, real_arena) != CRANELITE_OK) {
            return 1;
        }
        for (int i = 0; i < MODEL_OUT_BYTES_COUNT; i++) {
            float expected = MODEL_OUT_BYTES_SCALE * (float)(bytes[i] - MODEL_OUT_BYTES_ZERO_POINT);
            if (real_bytes[i] != expected) {
                printf("round %d, byte %d: %g is not %g\n", round, i, real_bytes[i], expected);
                return 1;
            }
        }
        for (int i = 0; i < MODEL_OUT_FLOATS_COUNT; i++) {
            if (real_floats[i] != floats[i]) {
                printf("round %d, float %d: %g is not %g\n", round, i, real_floats[i], floats[i]);
                return 1;
            }
        }
    }
    return 0;
}
