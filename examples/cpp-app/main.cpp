// Two models in one C++17 program, each in a thread of its own: handwritten digits, and gestures of an accelerometer.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <iterator>
#include <thread>

#include "digits.h"
#include "gestures.h"
#include "test_digits.h"
#include "test_gestures.h"

template <std::size_t n>
static int best(const std::array<std::int8_t, n> &probabilities) {
    return static_cast<int>(std::distance(probabilities.begin(), std::max_element(probabilities.begin(), probabilities.end())));
}

// Each returns how many were right, or -1. The arenas live on the threads' stacks: nothing is shared but code and weights.
static int classify_digits() {
    alignas(DIGITS_ARENA_ALIGN) std::array<std::uint8_t, DIGITS_ARENA_BYTES> arena;
    std::array<std::int8_t, DIGITS_IN_IMAGE_COUNT> image;
    std::array<std::int8_t, DIGITS_OUT_OUTPUT_0_COUNT> probabilities;
    const digits_inputs in{image.data()};
    const digits_outputs out{probabilities.data()};
    int right = 0;
    for (int i = 0; i < TEST_COUNT; i++) {
        std::transform(std::begin(test_pixels[i]), std::end(test_pixels[i]), image.begin(), [](std::uint8_t pixel) {
            const float q = std::round(pixel / 16.0f / DIGITS_IN_IMAGE_SCALE) +
                            DIGITS_IN_IMAGE_ZERO_POINT;
            return static_cast<std::int8_t>(std::clamp(q, -128.0f, 127.0f));
        });
        if (digits_invoke(&in, &out, arena.data()) != CRANELITE_OK) {
            return -1;
        }
        right += best(probabilities) == test_labels[i];
    }
    return right;
}

static int classify_gestures() {
    alignas(GESTURES_ARENA_ALIGN) std::array<std::uint8_t, GESTURES_ARENA_BYTES> arena;
    std::array<std::int8_t, std::size(gesture_names)> probabilities;
    const gestures_outputs out{probabilities.data()};
    int right = 0;
    for (int i = 0; i < TEST_GESTURES; i++) {
        const gestures_inputs in{gesture_samples[i]};
        if (gestures_invoke(&in, &out, arena.data()) != CRANELITE_OK) {
            return -1;
        }
        right += best(probabilities) == gesture_kinds[i];
    }
    return right;
}

int main() {
    int digits = 0, gestures = 0;
    std::thread first([&] { digits = classify_digits(); });
    std::thread second([&] { gestures = classify_gestures(); });
    first.join();
    second.join();
    std::printf("%d of %d digits right\n%d of %d gestures right\n", digits, TEST_COUNT, gestures, TEST_GESTURES);
    return digits < 0 || gestures < 0;
}
