/* What is around a call of the model: pixels of a digit, from 0 to 16, as its input, and the class that its output says. */
#ifndef CLASSIFY_H
#define CLASSIFY_H

#include <stdint.h>

#include "digits.h"

static inline void digits_from_pixels(int8_t image[DIGITS_IN_IMAGE_COUNT], const uint8_t pixels[DIGITS_IN_IMAGE_COUNT]) {
    for (int p = 0; p < DIGITS_IN_IMAGE_COUNT; p++) {
        /* Never negative, so adding a half and cutting rounds. */
        const float steps = (float)pixels[p] / 16.0f / DIGITS_IN_IMAGE_SCALE + 0.5f;
        const int q = (int)steps + DIGITS_IN_IMAGE_ZERO_POINT;
        image[p] = (int8_t)(q > 127 ? 127 : q);
    }
}

static inline int digits_most_probable(const int8_t probabilities[DIGITS_OUT_OUTPUT_0_COUNT]) {
    int best = 0;
    for (int c = 1; c < DIGITS_OUT_OUTPUT_0_COUNT; c++) {
        if (probabilities[best] < probabilities[c]) {
            best = c;
        }
    }
    return best;
}

#endif
