/* Digits without a C library, for an emulator of programs: leaves with status 0 if 347 of 360 are right, else with a small number. */
#include "right.h"

static int run(void) {
    int32_t (*volatile invoke)(const digits_inputs *, const digits_outputs *, void *) = digits_invoke;
    int right = right_of(invoke);
    return right < 0 ? 2 : right != 347;
}

void _start(void) {
#if defined(__aarch64__)
    register long status __asm__("x0") = run();
    register long exit __asm__("x8") = 93;
    __asm__ volatile("svc 0" : : "r"(status), "r"(exit));
#else
    register long status __asm__("a0") = run();
    register long exit __asm__("a7") = 93;
    __asm__ volatile("ecall" : : "r"(status), "r"(exit));
#endif
    for (;;) {
    }
}
