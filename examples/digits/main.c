/* Classifies 360 handwritten digits with the linked model and prints the accuracy. No heap, no library beyond printf. */
#include <math.h>
#include <stdio.h>

#include "digits.h"
#include "test_digits.h"

static _Alignas(DIGITS_ARENA_ALIGN) unsigned char arena[DIGITS_ARENA_BYTES + (DIGITS_ARENA_BYTES == 0)];

int main(void) {
    int correct = 0;
    for (int i = 0; i < TEST_COUNT; i++) {
        int8_t image[64], probabilities[10];
        for (int p = 0; p < 64; p++) {
            /* The pixel as a real number in 0..1, quantised as the header says. */
            float real = (float)test_pixels[i][p] / 16.0f;
            long q = lroundf(real / DIGITS_IN_IMAGE_SCALE) +
                     DIGITS_IN_IMAGE_ZERO_POINT;
            image[p] = (int8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
        }
        const digits_inputs in = {image};
        const digits_outputs out = {probabilities};
        cranelite_status status = digits_invoke(&in, &out, arena);
        if (status != 0) {
            fprintf(stderr, "digits_invoke: status %d\n", (int)status);
            return 1;
        }
        int best = 0;
        for (int c = 1; c < 10; c++) {
            if (probabilities[best] < probabilities[c]) {
                best = c;
            }
        }
        correct += best == test_labels[i];
    }
    printf("%d of %d digits right, accuracy %.1f %%\n", correct, TEST_COUNT, 100.0 * correct / TEST_COUNT);
    return 0;
}
