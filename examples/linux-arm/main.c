/* Classifies 360 handwritten digits on a 64-bit Arm with Linux, at every feature level of the object that the CPU has. */
#include <stdio.h>

#include "digits.h"
#include "test_digits.h"

static _Alignas(DIGITS_ARENA_ALIGN) unsigned char arena[DIGITS_ARENA_BYTES];

int main(void) {
    for (uint32_t level = 0; level < DIGITS_LEVEL_COUNT; level++) {
        int right = 0;
        cranelite_status status = CRANELITE_OK;
        for (int i = 0; i < TEST_COUNT && status == CRANELITE_OK; i++) {
            int8_t image[64], probabilities[10];
            for (int p = 0; p < 64; p++) {
                /* Pixels are 0 to 16 and never negative, so adding a half and cutting rounds. */
                float steps = (float)test_pixels[i][p] / 16.0f / DIGITS_IN_IMAGE_SCALE + 0.5f;
                int q = (int)steps + DIGITS_IN_IMAGE_ZERO_POINT;
                image[p] = (int8_t)(q > 127 ? 127 : q);
            }
            const digits_inputs in = {image};
            const digits_outputs out = {probabilities};
            status = digits_invoke_at(level, &in, &out, arena);
            int best = 0;
            for (int c = 1; c < 10; c++) {
                best = probabilities[best] < probabilities[c] ? c : best;
            }
            right += best == test_labels[i];
        }
        if (status == CRANELITE_CPU_LACKS_FEATURE) {
            printf("%s: not on this CPU\n", digits_model.levels[level]);
        } else if (status != CRANELITE_OK) {
            return 1;
        } else {
            printf("%s: %d of %d digits right\n", digits_model.levels[level], right, TEST_COUNT);
        }
    }
    return 0;
}
