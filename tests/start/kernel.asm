; A Multiboot kernel that tells the first serial port what it was given, and switches the machine off.
;
; It starts twice: the first time it soils its bss and resets, so that the second start shows whether
; the bss is cleared. multiboot_test.py makes an ELF file of the same bytes and compares what is said.
; kernel.inc is this file assembled: tests/check_assembled.py compares, and writes it anew.

bits 32
org 0x100000

%define STACK    0x108000
%define BSS      0x110000
%define BSS_END  0x118000
%define STARTED  0x50               ; a byte of CMOS

file:
        align 4
header: dd 0x1badb002
flags:  dd 0x00010007
        dd -(0x1badb002 + 0x00010007)
        dd header, file, file_end, BSS_END, start
video:  dd 0, 800, 600, 32

start:  mov esp, STACK
        mov ebp, ebx
        mov edi, eax
        mov al, STARTED
        out 0x70, al
        in al, 0x71
        cmp al, 'M'
        je report
        mov al, 'M'
        out 0x71, al
        mov edi, BSS
        mov ecx, (BSS_END - BSS) / 4
        or eax, -1
        rep stosd
        mov al, 0xfe
        out 0x64, al
        jmp $

report: mov esi, magic
        call puts
        mov eax, edi
        call hex
        mov esi, cr0_is
        call puts
        mov eax, cr0
        and eax, 0x80000001
        call hex
        mov esi, eflags_is
        call puts
        pushf
        pop eax
        and eax, 0x20200
        call hex
        mov esi, bss_is
        call puts
        mov edi, BSS
        mov ecx, (BSS_END - BSS) / 4
        xor eax, eax
        repe scasd
        mov al, '0'
        je .clean
        inc eax
.clean: call putc
        mov esi, flags_are
        call puts
        mov eax, [ebp]
        call hex
        mov esi, line_is
        call puts
        mov esi, [ebp + 16]
        call puts
        mov esi, loader_is
        call puts
        mov esi, [ebp + 64]
        call puts
        mov esi, lower_is
        call puts
        mov eax, [ebp + 4]
        call hex
        mov esi, upper_is
        call puts
        mov eax, [ebp + 8]
        call hex
        call map
        call modules
        call screen
        mov esi, the_end
        call puts
        mov dx, 0xcf8
        mov eax, 0x80000b40         ; the PIIX4's power management: the base of its registers
        out dx, eax
        mov dx, 0xcfc
        in eax, dx
        and al, 0xc0
        lea edx, [eax + 4]
        mov ax, 0x2000              ; soft off
        out dx, ax
        jmp $

; The usable memory above 1 MiB, and whether sizes say where the next entry is.
map:    mov esi, usable_is
        call puts
        mov ebx, [ebp + 48]
        mov edx, ebx
        add edx, [ebp + 44]
        xor eax, eax
.next:  cmp ebx, edx
        jae hex
        cmp dword [ebx + 20], 1
        jne .other
        cmp dword [ebx + 4], 0x100000
        jb .other
        add eax, [ebx + 12]
.other: add ebx, [ebx]
        add ebx, 4
        jmp .next

; Each module's place, text and sum of bytes.
modules:
        mov ecx, [ebp + 20]
        mov ebx, [ebp + 24]
.next:  jecxz .end
        mov esi, module_is
        call puts
        mov eax, [ebx]
        call hex
        mov al, '-'
        call putc
        mov eax, [ebx + 4]
        call hex
        mov al, ' '
        call putc
        mov esi, [ebx + 8]
        call puts
        mov al, ' '
        call putc
        mov esi, [ebx]
        xor edx, edx
.sum:   cmp esi, [ebx + 4]
        jae .told
        movzx eax, byte [esi]
        add edx, eax
        inc esi
        jmp .sum
.told:  mov eax, edx
        call hex
        add ebx, 16
        dec ecx
        jmp .next
.end:   ret

; The frame buffer's form; a pixel is written and read back.
screen: test dword [ebp], 0x1000
        jz .none
        mov esi, screen_is
        call puts
        mov eax, [ebp + 100]
        call hex
        mov al, ' '
        call putc
        mov eax, [ebp + 104]
        call hex
        mov al, ' '
        call putc
        movzx eax, word [ebp + 108] ; bits per pixel, type
        call hex
        cmp byte [ebp + 109], 1
        jne .none
        mov esi, colours_are
        call puts
        mov eax, [ebp + 110]
        call hex
        movzx eax, word [ebp + 114]
        call hex
        mov ebx, [ebp + 88]
        mov dword [ebx], 0x00123456
        mov eax, [ebx]
        mov esi, pixel_is
        call puts
        call hex
.none:  ret

; al to the serial port
putc:   push edx
        push eax
        mov dx, 0x3fd
.wait:  in al, dx
        test al, 0x20
        jz .wait
        pop eax
        mov dx, 0x3f8
        out dx, al
        pop edx
        ret

puts:   push eax
.next:  lodsb
        test al, al
        jz .end
        call putc
        jmp .next
.end:   pop eax
        ret

hex:    push ecx
        mov ecx, 8
.next:  rol eax, 4
        push eax
        and al, 15
        cmp al, 10
        jb .digit
        add al, 'a' - '0' - 10
.digit: add al, '0'
        call putc
        pop eax
        loop .next
        pop ecx
        ret

magic:       db 'magic ', 0
cr0_is:      db 10, 'cr0 ', 0
eflags_is:   db 10, 'eflags ', 0
bss_is:      db 10, 'bss ', 0
flags_are:   db 10, 'flags ', 0
line_is:     db 10, 'line ', 0
loader_is:   db 10, 'loader ', 0
lower_is:    db 10, 'lower ', 0
upper_is:    db 10, 'upper ', 0
usable_is:   db 10, 'usable ', 0
module_is:   db 10, 'module ', 0
screen_is:   db 10, 'screen ', 0
colours_are: db 10, 'colours ', 0
pixel_is:    db 10, 'pixel ', 0
the_end:     db 10, 'end', 10, 0
file_end:
