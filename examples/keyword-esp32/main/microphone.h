/* Where features come from. */
#ifndef MICROPHONE_H
#define MICROPHONE_H

#include <stdbool.h>
#include <stdint.h>

/* The features of the next 10 ms: 40 energies on a logarithmic scale, quantised as microWakeWord's models take them (-128 is 0, 127 is 26).
   False at the end of the recording. */
bool microphone_frame(int8_t features[40]);

#endif
