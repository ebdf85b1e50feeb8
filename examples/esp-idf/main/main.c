/* Reads the test digits, and says how long that took. */
#include <inttypes.h>

#include "digit_reader.h"
#include "esp_log.h"
#include "esp_timer.h"
#include "test_digits.h"

static const char *const TAG = "digits";

void app_main(void) {
    int right = 0;
    const int64_t start = esp_timer_get_time();
    for (int i = 0; i < TEST_COUNT; i++) {
        const int digit = digit_reader_read(test_pixels[i]);
        if (i < 5) {
            ESP_LOGI(TAG, "this is a %d", digit);
        }
        right += digit == test_labels[i];
    }
    const int64_t spent = esp_timer_get_time() - start;
    ESP_LOGI(TAG, "%d of %d digits right", right, TEST_COUNT);
    ESP_LOGI(TAG, "%" PRId64 " microseconds for each", spent / TEST_COUNT);
}
