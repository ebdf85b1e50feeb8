/* Tells words in a stream of sound: the file named on the command line, a .wav of one channel at 16 kHz, of 16 bits or mu-law. All that a firmware
   needs is in read_word(): the newest samples in, a label out. No heap. */
#include <stdio.h>
#include <string.h>

#include "keyword.h"

#define SAMPLES 1280 /* of each call, as in keyword.toml */
#define RATE 16000

static _Alignas(KEYWORD_ARENA_ALIGN) unsigned char arena[KEYWORD_ARENA_BYTES];
static _Alignas(KEYWORD_STATE_ALIGN) unsigned char state[KEYWORD_STATE_BYTES];

/* The word that has just been said; -1 for none, and -2 should a call fail. */
static int32_t read_word(const int16_t samples[SAMPLES], float *score) {
    const keyword_inputs in = {samples};
    keyword_result result;
    if (keyword_run(&in, &result, arena, state) != CRANELITE_OK) {
        return -2;
    }
    *score = result.score;
    return result.label;
}

static unsigned number(const unsigned char *bytes, int count) {
    return count == 0 ? 0 : bytes[0] | number(bytes + 1, count - 1) << 8;
}

/* Goes to the first sample; gives bytes of each, or 0. */
static int open_wav(FILE *f) {
    unsigned char head[12], chunk[8], format[16];
    int bytes = 0;
    if (fread(head, 1, 12, f) != 12 || memcmp(head, "RIFF", 4) != 0 || memcmp(head + 8, "WAVE", 4) != 0) {
        return 0;
    }
    while (fread(chunk, 1, 8, f) == 8 && memcmp(chunk, "data", 4) != 0) {
        unsigned rest = number(chunk + 4, 4);
        if (memcmp(chunk, "fmt ", 4) == 0 && rest >= 16 && fread(format, 1, 16, f) == 16) {
            const unsigned kind = number(format, 2), bits = number(format + 14, 2);
            const int is_right = number(format + 2, 2) == 1 && number(format + 4, 4) == RATE;
            bytes = !is_right ? 0 : kind == 1 && bits == 16 ? 2 : kind == 7 && bits == 8 ? 1 : 0;
            rest -= 16;
        }
        fseek(f, (long)(rest + rest % 2), SEEK_CUR);
    }
    return bytes;
}

/* ITU-T G.711: sign, exponent and mantissa, all inverted. */
static int16_t mu_law(unsigned char byte) {
    const int b = ~byte & 0xff, size = ((b & 15) * 8 + 132) << (b >> 4 & 7);
    return (int16_t)(b & 0x80 ? 132 - size : size - 132);
}

int main(int argc, char **argv) {
    FILE *f = argc == 2 ? fopen(argv[1], "rb") : NULL;
    const int bytes = f ? open_wav(f) : 0;
    if (bytes == 0) {
        fprintf(stderr, "usage: keyword FILE.wav, of one channel at 16 kHz, of 16 bits or mu-law\n");
        return 1;
    }
    unsigned char read[2 * SAMPLES];
    int16_t samples[SAMPLES];
    keyword_reset(state);
    for (long at = SAMPLES; fread(read, (size_t)bytes, SAMPLES, f) == SAMPLES; at += SAMPLES) {
        for (int i = 0; i < SAMPLES; i++) {
            samples[i] = bytes == 1 ? mu_law(read[i]) : (int16_t)number(read + 2 * i, 2);
        }
        float score = 0;
        const int32_t label = read_word(samples, &score);
        if (label == -2) {
            fprintf(stderr, "keyword_run failed\n");
            return 1;
        }
        if (label >= 0) {
            printf("%5.1f s  %-12s %.2f\n", (double)at / RATE, keyword_label(label), (double)score);
        }
    }
    fclose(f);
    return 0;
}
