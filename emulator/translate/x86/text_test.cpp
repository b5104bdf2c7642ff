// The IR of typical instructions, as text. r0 to r7 are EAX ECX EDX EBX ESP EBP ESI EDI.
#include "emulator/translate/x86/test_code.hpp"

#include <catch2/catch.hpp>

using namespace emu::x86;

TEST_CASE("x86 translate: flat 32-bit moves are one or two operations", "[x86][translate]")
{
    CHECK(translate_one({0x89, 0xd8}) == "mov.4 r0, r3\n"); // mov eax, ebx
    CHECK(translate_one({0x8b, 0x03}) == "ld.4 r0, r3\n");  // mov eax, [ebx]
    CHECK(translate_one({0x8b, 0x43, 8}) == "lea.4 t0, r3, -, 0x8\n"
                                            "ld.4 r0, t0\n"); // mov eax, [ebx+8]
    CHECK(translate_one({0x89, 0x54, 0x24, 4}) == "lea.4 t0, r4, -, 0x4\n"
                                                  "st.4 t0, r2\n"); // mov [esp+4], edx
    CHECK(translate_one({0x0f, 0xb6, 0x01}) == "ld.1 r0, r1\n");    // movzx eax, byte [ecx]
    CHECK(translate_one({0x88, 0xdc}) == "put8h.4 r0, r3\n");       // mov ah, bl
}

TEST_CASE("x86 translate: arithmetic is the operation and its flag record", "[x86][translate]")
{
    CHECK(translate_one({0x01, 0xc8}) == "add.4 r0, r0, r1\n"
                                         "flags.4/1 r0, r1, -\n"); // add eax, ecx
    CHECK(translate_one({0x01, 0xc0}) == "mov.4 t0, r0\n"
                                         "add.4 r0, r0, t0\n"
                                         "flags.4/1 r0, t0, -\n"); // add eax, eax
    CHECK(translate_one({0x85, 0xc0}) == "flags.4/3 r0, -, -\n");  // test eax, eax
    CHECK(translate_one({0x83, 0xf8, 5}) == "sub.4 t0, r0, #0x5\n"
                                            "flags.4/2 t0, #0x5, -\n"); // cmp eax, 5
    CHECK(translate_one({0x41}) == "getcf.4 t0\n"
                                   "add.4 r1, r1, #0x1\n"
                                   "flags.4/4 r1, t0, -\n"); // inc ecx
}

TEST_CASE("x86 translate: flags follow the store of a memory destination", "[x86][translate]")
{
    CHECK(translate_one({0x00, 0x18}) == "ld.1/2 t0, r0\n"
                                         "add.1 t1, t0, r3\n"
                                         "st.1 r0, t1\n"
                                         "flags.1/1 t1, r3, -\n"); // add [eax], bl
}

TEST_CASE("x86 translate: shifts keep the last bit shifted out", "[x86][translate]")
{
    CHECK(translate_one({0xc1, 0xe0, 4}) == "shl.4 t0, r0, #0x3\n"
                                            "shl.4 r0, r0, #0x4\n"
                                            "flags.4/6 r0, t0, -\n"); // shl eax, 4
    CHECK(translate_one({0xd3, 0xfa}) == "and.4 t0, r1, #0x1f\n"
                                         "sar.4 t1, r2, t0\n"
                                         "flags.4/13 t1, r2, t0\n"
                                         "mov.4 r2, t1\n"); // sar edx, cl
}

TEST_CASE("x86 translate: the stack pointer moves after the access", "[x86][translate]")
{
    CHECK(translate_one({0x50}) == "lea.4 t0, r4, -, 0xfffffffc\n"
                                   "st.4 t0, r0\n"
                                   "mov.4 r4, t0\n"); // push eax
    CHECK(translate_one({0x58}) == "ld.4 r0, r4\n"
                                   "add.4 r4, r4, #0x4\n"); // pop eax
    CHECK(translate_one({0x5c}) == "ld.4 t0, r4\n"
                                   "add.4 r4, r4, #0x4\n"
                                   "mov.4 r4, t0\n"); // pop esp
    CHECK(translate_one({0x8f, 0x44, 0x24, 4}) == "ld.4 t0, r4\n"
                                                  "lea.4 t1, r4, -, 0x8\n"
                                                  "st.4 t1, t0\n"
                                                  "add.4 r4, r4, #0x4\n"); // pop dword [esp+4]
}

TEST_CASE("x86 translate: segments are checked and added unless they are flat", "[x86][translate]")
{
    CHECK(translate_one({0x64, 0xa1, 0, 0, 0, 0}) == "mov.4 t0, #0x0\n"
                                                     "segbase.4/4 t1, t0\n"
                                                     "ld.4 r0, t1\n"); // mov eax, fs:[0]
    CHECK(translate_one({0x8b, 0x40, 2}, 0) == "lea.2 t0, r3, r6, 0x2\n"
                                               "segchk.4/3 t0, 0x2\n"
                                               "segbase.4/3 t1, t0\n"
                                               "ld.2 t2, t1\n"
                                               "put16.4 r0, t2\n"); // mov ax, [bx+si+2]
    CHECK(translate_one({0x50}, 0) == "lea.2 t0, r4, -, 0xfffffffe\n"
                                      "segchk.4/2 t0, 0x102\n"
                                      "segbase.4/2 t1, t0\n"
                                      "st.2 t1, r0\n"
                                      "put16.4 r4, t0\n"); // push ax
    // A write through CS is always checked, and refused there.
    CHECK(translate_one({0x2e, 0x89, 0x03}) == "segchk.4/1 r3, 0x104\n"
                                               "segbase.4/1 t0, r3\n"
                                               "st.4 t0, r0\n"); // mov cs:[ebx], eax
}

TEST_CASE("x86 translate: branches exit to program counters of the operand size",
          "[x86][translate]")
{
    CHECK(translate_one({0x75, 0xfe}) == "exitcc.4/5 0x0\n"); // jne self
    CHECK(translate_one({0xe9, 0xfb, 0xff, 0xff, 0xff}) == "exit.4 0x0\n");
    CHECK(translate_one({0xe9, 0xf0, 0xff}, 0) == "exit.4 0xfff3\n"); // wraps at 64 KiB
    CHECK(translate_one({0xc3}) == "ld.4 t0, r4\n"
                                   "add.4 r4, r4, #0x4\n"
                                   "exitind.4 t0\n"); // ret
}

TEST_CASE("x86 decoder: prefixes, ModRM, SIB, displacement and immediate make the length",
          "[x86][decoder]")
{
    CHECK(length_of({0x90}, true) == 1);
    CHECK(length_of({0x05, 0, 0, 0, 0}, true) == 5);             // add eax, imm32
    CHECK(length_of({0x05, 0, 0}, false) == 3);                  // add ax, imm16
    CHECK(length_of({0x66, 0x05, 0, 0}, true) == 4);             // add ax, imm16
    CHECK(length_of({0x8b, 0x04, 0x25, 0, 0, 0, 0}, true) == 7); // no base
    CHECK(length_of({0x8b, 0x06, 0, 0}, false) == 4);            // mov ax, [disp16]
    CHECK(length_of({0x67, 0x8b, 0x44, 0x24, 4}, false) == 5);   // mov ax, [esp+4]
    CHECK(length_of({0xf7, 0x00, 0, 0, 0, 0}, true) == 6);       // test dword [eax], imm
    CHECK(length_of({0xf7, 0x10}, true) == 2);                   // not dword [eax]
    CHECK(length_of({0xc8, 0, 0, 0}, true) == 4);                // enter
    CHECK(length_of({0x9a, 0, 0, 0, 0, 0, 0}, true) == 7);       // call far
    CHECK(length_of({0x0f, 0xba, 0xe0, 1}, true) == 4);          // bt eax, 1
    CHECK(length_of({0x0f, 0x20, 0x04}, true) == 3);             // mov r, cr: no SIB
    CHECK(length_of({0x67, 0xa1, 0, 0}, true) == 4);             // mov eax, [moffs16]
    CHECK(length_of({0xf0, 0x2e, 0x66, 0x67, 0xf3, 0x90}, true) == 6);
}
