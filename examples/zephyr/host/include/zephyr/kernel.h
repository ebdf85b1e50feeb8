#include <stdint.h>
#include <time.h>

static inline uint32_t k_cycle_get_32(void) { return (uint32_t)clock(); }
