; Option ROM that starts a Multiboot kernel handed over through fw_cfg.
;
; Sources: Multiboot Specification 0.6.96, sections 3.2 "Machine state" and 3.3 "Boot information
; format"; VESA "VBE Core Functions Standard 3.0".
; multiboot.cpp prepares the boot information and what follows it in one block; here it gets what only
; the firmware knows: the memory map and the video mode. Then the kernel and its modules are read to
; their places and the kernel is entered in protected mode.
;
; multiboot_rom.inc is this file assembled: tests/check_assembled.py compares, and writes it anew.

%include "option_rom.nasm"

bits 16
org 0

%define ROM_SIZE    1024

%define KEY_SIZE    0x8100          ; fw_cfg keys, as in multiboot.cpp: the block's size in bytes,
%define KEY_BLOCK   0x8101          ; and the block
%define BLOCK       0x80000         ; where it goes, our ds and es; offsets in it:

%define FLAGS       0
%define MEM_LOWER   4
%define MEM_UPPER   8
%define MMAP_LENGTH 44
%define VBE_MODE    80
%define FRAMEBUFFER 88
%define PITCH       96
%define FB_WIDTH    100
%define FB_HEIGHT   104
%define FB_BPP      108
%define FB_TYPE     109
%define FB_COLOURS  110
%define ENTRY       0x80            ; from here on it is between multiboot.cpp and this file
%define ROW_COUNT   0x84
%define VIDEO       0x88            ; not 0: a graphics mode is wanted
%define WIDTH       0x8c
%define HEIGHT      0x90
%define DEPTH       0x94
%define MODE        0x100           ; VBE's mode information
%define CONTROL     0x200           ; VBE's controller information
%define MAP         0x400           ; the memory map
%define MAP_END     0x1000
%define ROWS        0x1000          ; key (16 bits, and 16 unused), address, size

%define HAS_MAP     0x40            ; flags
%define HAS_VIDEO   0x1800          ; VBE and framebuffer

%define SMAP        0x534d4150
%define CODE32      8
%define DATA32      16

        option_rom_header ROM_SIZE, 'Multiboot loader'

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

        mov ax, KEY_SIZE
        call number
        mov ecx, eax
        mov edx, BLOCK
        mov ax, KEY_BLOCK
        call read

        mov ax, BLOCK / 16
        mov ds, ax
        mov es, ax
        sti
        call memory
        cmp dword [VIDEO], 0
        je .load
        call video

.load:  cli
        mov bx, ROWS
        mov bp, [ROW_COUNT]
.next:  test bp, bp
        jz .enter
        mov edx, [bx + 4]
        mov ecx, [bx + 8]
        mov ax, [bx]
        call read
        add bx, 12
        dec bp
        jmp .next

.enter: xor eax, eax
        mov ax, cs
        shl eax, 4
        lea ecx, [eax + gdt]
        mov word [ss:SCRATCH + 32], gdt_end - gdt - 1
        mov [ss:SCRATCH + 34], ecx
        o32 lgdt [ss:SCRATCH + 32]
        add eax, flat
        push dword CODE32
        push eax
        mov eax, cr0
        or al, 1
        mov cr0, eax
        o32 retf

bits 32
flat:   mov ax, DATA32
        mov ds, ax
        mov es, ax
        mov fs, ax
        mov gs, ax
        mov ss, ax
        mov ebx, BLOCK
        mov eax, 0x2badb002
        jmp [ebx + ENTRY]
bits 16

; mem_lower, mem_upper and the memory map.
memory: int 0x12
        movzx eax, ax
        mov [MEM_LOWER], eax
        mov ah, 0x88
        int 0x15
        movzx eax, ax
        mov [MEM_UPPER], eax
        xor ebx, ebx
        mov di, MAP
.next:  mov eax, 0xe820
        mov edx, SMAP
        mov ecx, 20
        add di, 4                   ; behind the entry's own size
        int 0x15
        lea di, [di - 4]            ; leaves the carry flag
        jc .end
        cmp eax, SMAP
        jne .end
        mov dword [es:di], 20
        cmp dword [es:di + 4], 0x100000
        jne .other
        cmp dword [es:di + 8], 0
        jne .other
        mov eax, [es:di + 12]       ; up to the first hole
        shr eax, 10
        mov [MEM_UPPER], eax
.other: add di, 24
        test ebx, ebx
        jz .end
        cmp di, MAP_END
        jb .next
.end:   sub di, MAP
        movzx eax, di
        mov [MMAP_LENGTH], eax
        jnz .done
        and byte [FLAGS], ~HAS_MAP & 0xff
.done:  ret

; Looks for the mode that is wanted, then for one of another depth; without either, text mode stays.
video:  mov dword [CONTROL], 'VBE2'
        mov di, CONTROL
        mov ax, 0x4f00
        int 0x10
        cmp ax, 0x004f
        jne .none
.search:
        lfs si, [CONTROL + 14]
.mode:  mov cx, [fs:si]
        add si, 2
        cmp cx, 0xffff
        je .end
        mov di, MODE
        mov ax, 0x4f01
        int 0x10
        cmp ax, 0x004f
        jne .mode
        mov al, [MODE]
        and al, 0x99                ; supported, in colour, graphics, linear frame buffer
        cmp al, 0x99
        jne .mode
        cmp byte [MODE + 27], 6 ; direct colour
        jne .mode
        mov ax, [WIDTH]
        cmp ax, [MODE + 18]
        jne .mode
        mov ax, [HEIGHT]
        cmp ax, [MODE + 20]
        jne .mode
        mov al, [DEPTH]
        test al, al
        jz .set
        cmp al, [MODE + 25]
        jne .mode
.set:   mov [VBE_MODE], cx
        mov bx, cx
        or bx, 0x4000               ; with the linear frame buffer
        mov ax, 0x4f02
        int 0x10
        cmp ax, 0x004f
        jne .none
        mov eax, [MODE + 40]
        mov [FRAMEBUFFER], eax
        movzx eax, word [MODE + 16]
        mov [PITCH], eax
        movzx eax, word [MODE + 18]
        mov [FB_WIDTH], eax
        movzx eax, word [MODE + 20]
        mov [FB_HEIGHT], eax
        mov al, [MODE + 25]
        mov [FB_BPP], al
        mov byte [FB_TYPE], 1 ; direct colour; VBE has sizes first, Multiboot positions
        mov si, MODE + 31
        mov di, FB_COLOURS
        mov cx, 3
.next:  lodsw
        xchg al, ah
        stosw
        loop .next
        or word [FLAGS], HAS_VIDEO
.none:  ret
.end:   cmp byte [DEPTH], 0
        je .none
        mov byte [DEPTH], 0
        jmp .search

        fw_cfg_routines

align 8
gdt:    dq 0
        dq 0x00cf9b000000ffff
        dq 0x00cf93000000ffff
gdt_end:

        times ROM_SIZE - ($ - $$) db 0
