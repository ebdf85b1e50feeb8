/* Tells gestures by a stream of an accelerometer: lines "x,y,z" of a file, in thousandths of g. Lines "# wave" say what was done up to there, so
   that the answers can be judged. All that a firmware needs is in read_gesture(): the newest samples in, a label out. No heap. */
#include <stdio.h>
#include <string.h>

#include "gesture.h"

#define SAMPLES 4 /* of each call, as in gesture.toml */
#define RATE 50
/* A gesture may be told from a little before its end to one second after it. */
#define EARLY (RATE / 2)
#define LATE RATE

static _Alignas(GESTURE_ARENA_ALIGN) unsigned char arena[GESTURE_ARENA_BYTES];
static _Alignas(GESTURE_STATE_ALIGN) unsigned char state[GESTURE_STATE_BYTES];

/* The gesture that has just been made; -1 for none, and -2 should a call fail. */
static int32_t read_gesture(const int16_t samples[SAMPLES * 3], float *score) {
    const gesture_inputs in = {samples};
    gesture_result result;
    if (gesture_run(&in, &result, arena, state) != CRANELITE_OK) {
        return -2;
    }
    *score = result.score;
    return result.label;
}

struct event {
    long at; /* in samples */
    int32_t label;
};

static int32_t number_of(const char *name) {
    for (int32_t label = 0; label < GESTURE_LABEL_COUNT; label++) {
        if (strcmp(gesture_label(label), name) == 0) {
            return label;
        }
    }
    return -1;
}

int main(int argc, char **argv) {
    int right = 0, wrong = 0, missed = 0, false_alarms = 0, total = 0;
    const int is_quiet = argc > 2;
    for (int file = 1; file < argc; file++) {
        static struct event done[1000], told[1000];
        int done_count = 0, told_count = 0, filled = 0;
        long at = 0;
        int16_t samples[SAMPLES * 3];
        char line[64];
        FILE *f = fopen(argv[file], "r");
        if (!f) {
            perror(argv[file]);
            return 1;
        }
        gesture_reset(state);
        while (fgets(line, sizeof line, f)) {
            int x, y, z;
            char name[32];
            if (sscanf(line, "# %31s", name) == 1 && done_count < 1000) {
                done[done_count].at = at;
                done[done_count++].label = number_of(name);
            } else if (sscanf(line, "%d,%d,%d", &x, &y, &z) == 3) {
                samples[filled++] = (int16_t)x;
                samples[filled++] = (int16_t)y;
                samples[filled++] = (int16_t)z;
                at++;
            }
            if (filled == SAMPLES * 3) {
                float score = 0;
                const int32_t label = read_gesture(samples, &score);
                filled = 0;
                if (label == -2) {
                    fprintf(stderr, "gesture_run failed\n");
                    return 1;
                }
                if (label >= 0 && told_count < 1000) {
                    told[told_count].at = at;
                    told[told_count++].label = label;
                    if (!is_quiet) {
                        printf("%5.1f s  %-6s %.2f\n", (double)at / RATE, gesture_label(label), (double)score);
                    }
                }
            }
        }
        fclose(f);
        /* Each gesture with the first answer around its end. */
        for (int i = 0; i < done_count; i++) {
            int found = -1;
            for (int k = 0; k < told_count && found < 0; k++) {
                if (told[k].at >= done[i].at - EARLY && told[k].at <= done[i].at + LATE) {
                    found = k;
                }
            }
            if (found < 0) {
                missed++;
            } else {
                right += told[found].label == done[i].label;
                wrong += told[found].label != done[i].label;
                told[found].at = -1000;
            }
        }
        for (int k = 0; k < told_count; k++) {
            false_alarms += told[k].at >= 0;
        }
        total += done_count;
    }
    printf("%d gestures: %d right, %d wrong, %d missed; %d false alarms\n", total, right, wrong, missed, false_alarms);
    return 0;
}
