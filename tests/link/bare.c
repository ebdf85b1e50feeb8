/* Digits without a C library, for an emulator of programs: leaves with status 0 if 347 of 360 are right, else with a small number. */
#include "digits.h"
#include "test_digits.h"

static _Alignas(DIGITS_ARENA_ALIGN) unsigned char arena[DIGITS_ARENA_BYTES];

static int run(void) {
    int right = 0;
    for (int i = 0; i < TEST_COUNT; i++) {
        int8_t pixels[64], probabilities[10];
        for (int p = 0; p < 64; p++) {
            int q = (int)((float)test_pixels[i][p] / 16.0f / DIGITS_IN_SERVING_DEFAULT_IMAGE_0_SCALE + 0.5f) - 128;
            pixels[p] = (int8_t)(q > 127 ? 127 : q);
        }
        const digits_inputs in = {pixels};
        const digits_outputs out = {probabilities};
        if (digits_invoke(&in, &out, arena) != CRANELITE_OK) {
            return 2;
        }
        int best = 0;
        for (int c = 1; c < 10; c++) {
            best = probabilities[best] < probabilities[c] ? c : best;
        }
        right += best == test_labels[i];
    }
    return right == 347 ? 0 : 1;
}

void _start(void) {
    register long status __asm__("a0") = run();
    register long exit __asm__("a7") = 93;
    __asm__ volatile("ecall" : : "r"(status), "r"(exit));
    for (;;) {
    }
}
