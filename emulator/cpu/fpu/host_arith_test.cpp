#include "emulator/cpu/fpu/arith.hpp"
#include "emulator/cpu/fpu/compare.hpp"
#include "emulator/cpu/fpu/host_x87.hpp"
#include "emulator/cpu/fpu/remainder.hpp"
#include "emulator/cpu/fpu/sample_values.hpp"
#include "emulator/cpu/fpu/shape.hpp"
#include "tests/skip.hpp"

#include <catch2/catch.hpp>
#include <cstdio>
#include <functional>
#include <string>

using namespace emu::fpu;

namespace {

constexpr u16 kAllMasked = 0x3f;
constexpr u16 kMaskSets[] = {kAllMasked, 0x00, 0x3d, 0x3e, 0x37, 0x2f, 0x1f, 0x3b};

struct Answer {
    F80 value;
    u16 status; // exceptions, C1 and what else the operation defines
};

using Operation = std::function<Answer(F80 st0, F80 st1, Context& ctx)>;

Answer answer(F80 unchanged, F80 value, const Context& ctx)
{
    return {ctx.is_abandoned() ? unchanged : value,
            static_cast<u16>(ctx.raised | (ctx.rounded_up ? sw::c1 : 0))};
}

std::string describe(F80 a)
{
    char text[32];
    std::snprintf(text, sizeof text, "%04x:%016llx", a.sign_exponent,
                  static_cast<unsigned long long>(a.significand));
    return text;
}

/// Counts the differences over all corner pairs and `random_pairs` random ones.
class Comparison {
public:
    Comparison(const host::Instruction& instruction, Operation operation, u16 watched)
        : instruction_{instruction}, operation_{std::move(operation)}, watched_{watched}
    {}

    void check(F80 st0, F80 st1, u16 control)
    {
        const host::Outcome host = instruction_.run(host::with_two(st0, st1, control));
        Context ctx;
        ctx.control = control;
        const Answer ours = operation_(st0, st1, ctx);
        const u16 host_status = host.registers.status & watched_;
        ++tried_;
        if (host.registers.st[0] == ours.value && host_status == (ours.status & watched_)) {
            return;
        }
        if (++differences_ <= 10) {
            UNSCOPED_INFO("st0 " << describe(st0) << " st1 " << describe(st1) << " control "
                                 << std::hex << control << " host "
                                 << describe(host.registers.st[0]) << " status " << host_status
                                 << " ours " << describe(ours.value) << " status "
                                 << (ours.status & watched_));
        }
    }

    void check_all(unsigned random_pairs)
    {
        const std::vector<F80> corners = sample::corner_values();
        for (u16 masks : {kAllMasked, u16{0}}) {
            for (u16 control : sample::control_words(masks)) {
                for (F80 a : corners) {
                    for (F80 b : corners) {
                        check(a, b, control);
                    }
                }
            }
        }
        sample::Random random{1};
        for (unsigned i = 0; i < random_pairs; ++i) {
            const F80 a = sample::random_value(random);
            const F80 b = sample::random_value(random);
            for (u16 control : sample::control_words(kMaskSets[i % std::size(kMaskSets)])) {
                check(a, b, control);
            }
        }
    }

    unsigned differences() const { return differences_; }
    unsigned tried() const { return tried_; }

private:
    const host::Instruction& instruction_;
    Operation operation_;
    u16 watched_;
    unsigned differences_ = 0;
    unsigned tried_ = 0;
};

void compare_with_host(const host::Instruction& instruction, const Operation& operation,
                       u16 watched = sw::exceptions | sw::c1, unsigned random_pairs = 12000)
{
    if (!host::kHasHostX87) {
        suite::skip("no x87 on this host");
        return;
    }
    Comparison comparison{instruction, operation, watched};
    comparison.check_all(random_pairs);
    CHECK(comparison.differences() == 0);
    CHECK(comparison.tried() > 100'000);
}

using Binary = F80 (*)(F80, F80, Context&);

Operation of(Binary f)
{
    return [f](F80 a, F80 b, Context& ctx) {
        const F80 value = f(a, b, ctx);
        return answer(a, value, ctx);
    };
}

u16 quotient_bits(const Remainder& r)
{
    return static_cast<u16>(((r.quotient & 4) != 0 ? sw::c0 : 0) |
                            ((r.quotient & 2) != 0 ? sw::c3 : 0) |
                            ((r.quotient & 1) != 0 ? sw::c1 : 0) | (r.is_partial ? sw::c2 : 0));
}

Operation of_remainder(Remainder (*f)(F80, F80, Context&))
{
    return [f](F80 a, F80 b, Context& ctx) {
        const Remainder r = f(a, b, ctx);
        Answer result = answer(a, r.value, ctx);
        result.status |= quotient_bits(r);
        return result;
    };
}

} // namespace

TEST_CASE("f80: addition agrees with the host in every mode")
{
    const host::Instruction fadd{0xd8, 0xc1}; // FADD ST(0), ST(1)

    compare_with_host(fadd, of(add));
}

TEST_CASE("f80: subtraction agrees with the host in every mode")
{
    const host::Instruction fsub{0xd8, 0xe1}; // FSUB ST(0), ST(1)

    compare_with_host(fsub, of(sub));
}

TEST_CASE("f80: multiplication agrees with the host in every mode")
{
    const host::Instruction fmul{0xd8, 0xc9}; // FMUL ST(0), ST(1)

    compare_with_host(fmul, of(mul));
}

TEST_CASE("f80: division agrees with the host in every mode")
{
    const host::Instruction fdiv{0xd8, 0xf1}; // FDIV ST(0), ST(1)

    compare_with_host(fdiv, of(div));
}

TEST_CASE("f80: the square root agrees with the host in every mode")
{
    const host::Instruction fsqrt{0xd9, 0xfa};

    compare_with_host(fsqrt, [](F80 a, F80, Context& ctx) {
        const F80 value = emu::fpu::sqrt(a, ctx);
        return answer(a, value, ctx);
    });
}

TEST_CASE("f80: rounding to an integral value agrees with the host in every mode")
{
    const host::Instruction frndint{0xd9, 0xfc};

    compare_with_host(frndint, [](F80 a, F80, Context& ctx) {
        const F80 value = round_to_integral(a, ctx);
        return answer(a, value, ctx);
    });
}

TEST_CASE("f80: scaling agrees with the host in every mode")
{
    const host::Instruction fscale{0xd9, 0xfd};

    compare_with_host(fscale, of(scale));
}

TEST_CASE("f80: FPREM agrees with the host, with quotient bits")
{
    const host::Instruction fprem{0xd9, 0xf8};

    compare_with_host(fprem, of_remainder(remainder_truncating), sw::exceptions | sw::conditions);
}

TEST_CASE("f80: FPREM1 agrees with the host, with quotient bits")
{
    const host::Instruction fprem1{0xd9, 0xf5};

    compare_with_host(fprem1, of_remainder(remainder_nearest), sw::exceptions | sw::conditions);
}
