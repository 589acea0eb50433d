// sentencepiece writes its progress and its errors to stderr by itself. Declared in its src/common.h, which needs its
// build folder.
#pragma once

namespace sentencepiece::logging {
void SetMinLogLevel(int level);
}  // namespace sentencepiece::logging

namespace steerlm {

inline void silence_sentencepiece() { sentencepiece::logging::SetMinLogLevel(3); }  // LOG_FATAL

}  // namespace steerlm
