// The memory that generated code lives in: one executable mapping, filled from front to back.
#pragma once

#include "base/result.hpp"
#include "base/types.hpp"

namespace emu::accel {

using base::u64;
using base::u8;

class CodeBuffer {
public:
    /// `size` in bytes. Throws std::bad_alloc if the host refuses executable memory.
    explicit CodeBuffer(u64 size);
    ~CodeBuffer();
    CodeBuffer(const CodeBuffer&) = delete;
    CodeBuffer& operator=(const CodeBuffer&) = delete;

    u8* begin() const { return data_; }
    u8* end() const { return data_ + size_; }
    u64 size() const { return size_; }

private:
    u8* data_;
    u64 size_;
};

} // namespace emu::accel
