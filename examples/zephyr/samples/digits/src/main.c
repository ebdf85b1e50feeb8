/* Reads the test digits, and says how many cycles that took. */
#include <zephyr/kernel.h>
#include <zephyr/sys/printk.h>

#include "digit_reader.h"
#include "test_digits.h"

int main(void) {
    int right = 0;
    uint32_t spent = 0;
    for (int i = 0; i < TEST_COUNT; i++) {
        const uint32_t start = k_cycle_get_32();
        const int digit = digit_reader_read(test_pixels[i]);
        spent += (k_cycle_get_32() - start) / TEST_COUNT;
        if (i < 5) {
            printk("this is a %d\n", digit);
        }
        right += digit == test_labels[i];
    }
    printk("%d of %d digits right\n", right, TEST_COUNT);
    printk("%u cycles for each\n", (unsigned)spent);
    return 0;
}
