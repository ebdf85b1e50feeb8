/* Digits without a C library, for an emulator of programs: leaves with status 0 if 347 of 360 are right, else with a small number. */
#include "right.h"

static int run(void) {
    int right = right_of(digits_invoke);
    return right < 0 ? 2 : right != 347;
}

void _start(void) {
    register long status __asm__("a0") = run();
    register long exit __asm__("a7") = 93;
    __asm__ volatile("ecall" : : "r"(status), "r"(exit));
    for (;;) {
    }
}
