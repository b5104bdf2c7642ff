#include "emulator/accel/code_buffer.hpp"

#include <new>
#include <sys/mman.h>

namespace emu::accel {

CodeBuffer::CodeBuffer(u64 size) : size_{size}
{
    void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE | PROT_EXEC,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        throw std::bad_alloc{};
    }
    data_ = static_cast<u8*>(memory);
}

CodeBuffer::~CodeBuffer()
{
    munmap(data_, size_);
}

} // namespace emu::accel
