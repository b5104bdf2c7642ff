// What a guest sent to a serial port, for waiting on and for the report.
#pragma once

#include "emulator/machine/device.hpp"

#include <string>

namespace emu::script {

/// Stands between a serial port and its channel. Machine thread only.
class SerialRecord : public CharSink {
public:
    /// `next` gets every byte too; null: nobody.
    explicit SerialRecord(CharSink* next) : next_{next} {}

    void put(u8 byte) override
    {
        if (next_ != nullptr) {
            next_->put(byte);
        }
        ++count_;
        if (raw_.size() < kLimit) {
            raw_ += static_cast<char>(byte);
            if (byte != '\r') {
                text_ += static_cast<char>(byte);
            }
        }
    }

    const std::string& raw() const { return raw_; }
    /// Without carriage returns.
    const std::string& text() const { return text_; }
    u64 count() const { return count_; }

private:
    static constexpr std::size_t kLimit = std::size_t{256} << 20; // a guest may print for ever
    CharSink* next_;
    std::string raw_;
    std::string text_;
    u64 count_ = 0;
};

} // namespace emu::script
