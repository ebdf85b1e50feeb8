/* A recording of 20 seconds, made up: tones that rise or fall or both, in noise. On a board the features are those of a microphone, by the
   audio front end of TensorFlow Lite Micro. */
#include "microphone.h"

enum { RISE = 1, FALL = 2, STAY = 4 };

/* Tones, in frames of 10 ms. The word is one that rises and then falls. */
static const struct {
    int begin, frames, shape;
} tones[] = {
    {200, 23, RISE}, {223, 23, FALL}, /* the word */
    {450, 24, RISE},                  /* only half of it */
    {650, 22, FALL},
    {900, 20, RISE}, {920, 26, FALL}, /* the word */
    {1200, 24, FALL}, {1224, 24, RISE},
    {1500, 40, STAY},
    {1700, 26, RISE}, {1726, 20, FALL}, /* the word */
};

/* Steps of the quantised features that a channel has from the middle of a tone, by its distance in quarters of a channel. */
static int bump(int distance) {
    static const int heights[] = {130, 128, 122, 113, 101, 88, 75, 62, 50, 39, 30, 23, 17, 12, 9, 6, 4, 3, 2, 1};
    distance = distance < 0 ? -distance : distance;
    return distance < (int)(sizeof heights / sizeof *heights) ? heights[distance] : 0;
}

bool microphone_frame(int8_t features[40]) {
    static int frame;
    static uint32_t noise = 1;
    if (frame == 2000) {
        return false;
    }
    for (int channel = 0; channel < 40; channel++) {
        noise = noise * 1664525u + 1013904223u;
        int level = 15 + (int)(noise >> 27);
        for (unsigned t = 0; t < sizeof tones / sizeof *tones; t++) {
            const int at = frame - tones[t].begin, frames = tones[t].frames;
            if (0 <= at && at < frames) {
                /* Between channels 6 and 32, in quarters. */
                const int way = 4 * 26 * at / frames;
                const int middle = tones[t].shape == RISE ? 24 + way : tones[t].shape == FALL ? 128 - way : 80;
                level += bump(4 * channel - middle);
            }
        }
        features[channel] = (int8_t)((level > 255 ? 255 : level) - 128);
    }
    frame++;
    return true;
}
