; Option ROM that boots a Linux kernel handed over through fw_cfg.
;
; The BIOS calls it through its bootstrap entry vector (Plug and Play BIOS Specification 1.0A,
; section 3.2). It copies four items to the addresses that come with them and enters the kernel's
; 16-bit set-up code as the Linux/x86 boot protocol ("Running the kernel") wants.
;
; linux_boot_rom.inc is this file assembled: tests/check_assembled.py compares, and writes it anew.
; Both checksums are filled in when the ROM is handed to the firmware.

%include "option_rom.nasm"

bits 16
org 0

%define ROM_SIZE 512

        option_rom_header ROM_SIZE, 'Linux loader'

; Rows of fw_cfg keys: address, size, data.
items:  dw 0x07, 0x08, 0x11         ; kernel, protected-mode part
        dw 0x0a, 0x0b, 0x12         ; initial RAM disk
        dw 0x13, 0x14, 0x15         ; command line
        dw 0x16, 0x17, 0x18         ; kernel, real-mode part
items_end:

boot:   cli
        cld
        xor ax, ax
        mov ds, ax
        mov ss, ax
        mov sp, SCRATCH
        in al, 0x92                 ; open A20
        or al, 2
        and al, 0xfe
        out 0x92, al

        mov si, items
.next:  mov ax, [cs:si + 2]
        call number
        mov edi, eax                ; size
        test eax, eax
        jz .skip
        mov ax, [cs:si]
        call number
        mov edx, eax                ; address
        mov ecx, edi
        mov ax, [cs:si + 4]
        call read
.skip:  add si, 6
        cmp si, items_end
        jb .next

        mov ax, 0x16
        call number
        mov ebx, eax
        mov ax, 0x13
        call number
        sub eax, ebx                ; the stack ends below the command line
        sub eax, 16
        mov ecx, eax
        shr ebx, 4
        mov ds, bx
        mov es, bx
        mov fs, bx
        mov gs, bx
        mov ss, bx
        mov esp, ecx
        add bx, 0x20
        push bx
        push word 0
        retf

        fw_cfg_routines

        times ROM_SIZE - ($ - $$) db 0
