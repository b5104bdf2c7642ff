#include "emulator/translate/x86/translator.hpp"

#include "emulator/translate/x86/emitter.hpp"

namespace emu::x86 {

namespace {

constexpr unsigned kMaxInstructions = 32;
constexpr unsigned kTempReserve = 40; // more than any one instruction uses
constexpr std::size_t kMaxIr = 2000;
constexpr u32 kPageMask = 0xffff'f000;

/// Translates one block, instruction by instruction.
class BlockTranslator {
public:
    BlockTranslator(const TranslateRequest& request, CodeSource& source, ir::Block& into)
        : request_{request}, window_{request, source}, block_{into}, emitter_{request, into}
    {}

    Translation run()
    {
        u32 pc = request_.pc;
        for (unsigned done = 0;; ++done) {
            if (done != 0 && is_full(done, pc)) {
                emitter_.jump_to(pc);
                return result_;
            }
            if (translate_one(pc, done == 0) == Flow::end_block) {
                return result_;
            }
            pc = emitter_.next;
        }
    }

private:
    bool is_full(unsigned done, u32 pc) const
    {
        const u32 first_page = (request_.cs_base + request_.pc) & kPageMask;
        const u32 page = (request_.cs_base + pc) & kPageMask;
        return done >= request_.max_instructions || done >= kMaxInstructions ||
               emitter_.ir.temps_left() < kTempReserve || block_.insts.size() > kMaxIr ||
               page != first_page;
    }

    Flow translate_one(u32 pc, bool is_first)
    {
        emitter_.insn = {};
        window_.start(pc, is_first);
        const u32 features = request_.model != nullptr ? request_.model->features : ~u32{0};
        const DecodeStatus status = decode(window_, request_.mode, features, emitter_.insn);
        if (status == DecodeStatus::fetch_fault || status == DecodeStatus::limit_fault) {
            if (is_first) {
                return fail(status);
            }
            return emitter_.jump_to(pc); // a block of its own raises the fault
        }
        const OpcodeRow* row = emitter_.insn.row;
        const bool is_late_branch =
            emitter_.context_changed && row != nullptr && (row->flags & kBranch) != 0;
        if (status == DecodeStatus::next_page || is_late_branch) {
            return emitter_.jump_to(pc);
        }
        emitter_.pc = pc;
        emitter_.next = pc + window_.length();
        result_.byte_length += window_.length();
        emitter_.ir.insn(pc, static_cast<u8>(window_.length()));
        if (status == DecodeStatus::too_long) {
            return emitter_.raise(helper<"raise_gp0">());
        }
        return row != nullptr ? translate_row(*row) : emitter_.undefined();
    }

    Flow translate_row(const OpcodeRow& row)
    {
        emitter_.must_poll = false;
        const Flow flow = row.translate(emitter_);
        if (flow == Flow::next && emitter_.must_poll) {
            emitter_.ir.emit({.op = ir::Op::poll, .imm = emitter_.next});
        }
        return flow;
    }

    Flow fail(DecodeStatus status)
    {
        const bool limit = status == DecodeStatus::limit_fault;
        result_.result = limit ? TranslateResult::limit_fault : TranslateResult::fetch_fault;
        result_.fault_address = window_.fault_address();
        return Flow::end_block;
    }

    const TranslateRequest& request_;
    CodeWindow window_;
    ir::Block& block_;
    Emitter emitter_;
    Translation result_;
};

} // namespace

Translation translate(const TranslateRequest& request, CodeSource& code, ir::Block& into)
{
    BlockTranslator translator{request, code, into};
    return translator.run();
}

} // namespace emu::x86
