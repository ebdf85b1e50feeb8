/* Hears a word in a stream of features, with a model such as microWakeWord's. */
#ifndef WAKE_WORD_H
#define WAKE_WORD_H

#include <stdbool.h>
#include <stdint.h>

enum { FEATURES = 40 };

/* Forgets all that was heard. */
void wake_word_start(void);

/* Takes the features of the next 10 ms; true when the word ends there. */
bool wake_word_hear(const int8_t features[FEATURES]);

/* The model's latest answer, in 256ths. */
uint8_t wake_word_probability(void);

#endif
