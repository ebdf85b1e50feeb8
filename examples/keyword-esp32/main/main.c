/* Listens for a word. */
#include "esp_log.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"
#include "microphone.h"
#include "wake_word.h"

static const char *const TAG = "keyword";

void app_main(void) {
    int8_t features[FEATURES];
    int frames = 0;
    TickType_t woken = xTaskGetTickCount();
    wake_word_start();
    while (microphone_frame(features)) {
        frames++;
        if (wake_word_hear(features)) {
            ESP_LOGI(TAG, "heard after %d.%02d s, probability %d/256", frames / 100, frames % 100, wake_word_probability());
        }
        vTaskDelayUntil(&woken, pdMS_TO_TICKS(10));
    }
    ESP_LOGI(TAG, "%d s of sound", frames / 100);
}
