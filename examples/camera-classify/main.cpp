// The same in C++17: which traffic sign a camera sees, of a file of frames in NV12.
#include <array>
#include <cstdint>
#include <cstdio>
#include <fstream>

#include "sign.h"

class SignReader {
public:
    // Nothing where the call fails.
    const sign_result *read(const std::uint8_t *frame) {
        const sign_inputs in{frame};
        return sign_run(&in, &result, arena.data()) == CRANELITE_OK ? &result : nullptr;
    }

private:
    alignas(SIGN_ARENA_ALIGN) std::array<std::uint8_t, SIGN_ARENA_BYTES> arena;
    sign_result result{};
};

int main(int argc, char **argv) {
    static SignReader reader;
    static std::array<char, SIGN_IN_CAMERA_BYTES> frame;
    std::ifstream video(argc == 2 ? argv[1] : "drive.nv12", std::ios::binary);
    while (video.read(frame.data(), frame.size())) {
        const sign_result *seen = reader.read(reinterpret_cast<const std::uint8_t *>(frame.data()));
        if (!seen) {
            return 1;
        }
        std::printf("%-8s %.2f\n", sign_label(seen->label), static_cast<double>(seen->score));
    }
    return video.eof() ? 0 : 1;
}
