/* Firmware for a bare 64-bit Arm: classifies handwritten digits, and counts the instructions of one inference. No libc. */
#include <stddef.h>
#include <stdint.h>

#include "digits.h"
#include "test_digits.h"

/* Start code and debugger. */
intptr_t semihost(intptr_t operation, const void *argument);
enum { SYS_WRITE0 = 0x04, SYS_EXIT_EXTENDED = 0x20, STOPPED = 0x20026 };

static void print(const char *text) { semihost(SYS_WRITE0, text); }

static void print_number(uint64_t n) {
    char digits[21];
    char *at = digits + sizeof digits - 1;
    *at = 0;
    do {
        *--at = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    print(at);
}

void leave(int code) {
    const uint64_t reason[2] = {STOPPED, (uint64_t)code};
    semihost(SYS_EXIT_EXTENDED, reason);
}

static uint64_t ticks(void) {
    uint64_t t;
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(t));
    return t;
}

static uint64_t ticks_per_second(void) {
    uint64_t f;
    __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(f));
    return f;
}

static _Alignas(DIGITS_ARENA_ALIGN) uint8_t arena[DIGITS_ARENA_BYTES];

/* The most probable class of a test digit, or -1. */
static int classify(int which) {
    int8_t image[DIGITS_IN_IMAGE_COUNT];
    int8_t probabilities[DIGITS_OUT_OUTPUT_0_COUNT];
    for (size_t p = 0; p < sizeof image; p++) {
        /* Pixels are 0 to 16 and never negative, so adding a half and cutting rounds. */
        float steps = (float)test_pixels[which][p] / 16.0f / DIGITS_IN_IMAGE_SCALE + 0.5f;
        int q = (int)steps + DIGITS_IN_IMAGE_ZERO_POINT;
        image[p] = (int8_t)(q > 127 ? 127 : q);
    }
    const digits_inputs in = {image};
    const digits_outputs out = {probabilities};
    if (digits_invoke(&in, &out, arena) != CRANELITE_OK) {
        return -1;
    }
    int best = 0;
    for (int c = 1; c < 10; c++) {
        if (probabilities[best] < probabilities[c]) {
            best = c;
        }
    }
    return best;
}

int main(void) {
    int right = 0;
    uint64_t spent = 0;
    for (int i = 0; i < TEST_COUNT; i++) {
        uint64_t start = ticks();
        int class = classify(i);
        spent += ticks() - start;
        if (class < 0) {
            print("digits_invoke failed\n");
            return 1;
        }
        if (i < 5) {
            print("this is a ");
            print_number((uint64_t)class);
            print("\n");
        }
        right += class == test_labels[i];
    }
    print_number((uint64_t)right);
    print(" of 360 digits right\n");
    /* With -icount shift=0 the emulator's clock advances by one nanosecond per instruction. */
    print_number(spent * (1000000000u / ticks_per_second()) / TEST_COUNT);
    print(" instructions per inference\n");
    return 0;
}
