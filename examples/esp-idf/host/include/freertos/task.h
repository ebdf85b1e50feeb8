/* No time passes. */
static inline TickType_t xTaskGetTickCount(void) { return 0; }
static inline void vTaskDelayUntil(TickType_t *woken, TickType_t ticks) { *woken += ticks; }
