#include "emulator/debug/json_splitter.hpp"

namespace emu::debug {

bool JsonSplitter::feed(std::string_view bytes, const Value& value)
{
    bool good = true;
    for (const char c : bytes) {
        const bool blank = c == ' ' || c == '\t' || c == '\r' || c == '\n';
        if (depth_ == 0 && text_.empty() && blank) {
            continue;
        }
        text_ += c;
        if (in_string_) {
            in_string_ = escaped_ || c != '"';
            escaped_ = !escaped_ && c == '\\';
        } else if (c == '"') {
            in_string_ = true;
        } else if (c == '{' || c == '[') {
            ++depth_;
        } else if (c == '}' || c == ']') {
            --depth_;
        }
        const bool whole =
            !in_string_ && depth_ <= 0 && (depth_ < 0 || c == '}' || c == ']' || c == '\n');
        if (whole) {
            value(text_);
        }
        const bool too_much = text_.size() > kMaxBytes || depth_ > kMaxDepth;
        if (whole || too_much) {
            good = good && !too_much;
            text_.clear();
            depth_ = 0;
            in_string_ = false;
            escaped_ = false;
        }
    }
    return good;
}

} // namespace emu::debug
