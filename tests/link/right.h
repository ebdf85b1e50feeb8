/* How many of the test digits a model gets right, called in whatever way; -1 if a call fails. */
#ifndef RIGHT_H
#define RIGHT_H

#include "digits.h"
#include "test_digits.h"

static int right_of(int32_t (*invoke)(const digits_inputs *, const digits_outputs *, void *)) {
    static _Alignas(DIGITS_ARENA_ALIGN) unsigned char arena[DIGITS_ARENA_BYTES];
    int right = 0;
    for (int i = 0; i < TEST_COUNT; i++) {
        int8_t pixels[64], probabilities[10];
        for (int p = 0; p < 64; p++) {
            int q = (int)((float)test_pixels[i][p] / 16.0f / DIGITS_IN_IMAGE_SCALE + 0.5f) - 128;
            pixels[p] = (int8_t)(q > 127 ? 127 : q);
        }
        const digits_inputs in = {pixels};
        const digits_outputs out = {probabilities};
        if (invoke(&in, &out, arena) != CRANELITE_OK) {
            return -1;
        }
        int best = 0;
        for (int c = 1; c < 10; c++) {
            best = probabilities[best] < probabilities[c] ? c : best;
        }
        right += best == test_labels[i];
    }
    return right;
}

#endif
