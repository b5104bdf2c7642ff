; Firmware that shuts its CPU down or resets the machine, in the way that `way` says. For tests.
;
; Each time it starts it writes a letter to port E9h: R after a reset of the machine, I when only the
; CPU started over (the second interrupt controller's mask survived). Then it gives the serial port a
; character and goes its way at once. Bit 7 of `way` asks for the AT's return from protected mode:
; CMOS byte 0Fh is set, and the CPU alone starts over.
;
; reset_guest.inc is this file assembled: tests/check_assembled.py compares, and writes it anew.

bits 16
org 0

%define HERE   0xf0000              ; the linear address of offset 0
%define MARK   0x5a                 ; of a start before this one
%define CODE32 0x08
%define DATA32 0x10
%define SMALL  0x18                 ; a stack without room
%define USER_CODE 0x23
%define USER_DATA 0x2b
%define GONE   0x30                 ; a task that is not present

        jmp short start
        times 4 - ($ - $$) db 0
way:    db 0

start:  cli
        in al, 0xa1
        cmp al, MARK
        mov al, 'R'
        jne .fresh
        mov al, 'I'
.fresh: out 0xe9, al
        mov al, MARK
        out 0xa1, al
        mov al, 0x0f
        out 0x70, al
        xor ax, ax
        mov ss, ax
        mov sp, 0x1000
        mov bl, [cs:way]
        test bl, 0x80
        jz .all
        mov al, 0x0a
.all:   out 0x71, al
        mov al, 'u'
        mov dx, 0x3f8
        out dx, al
        and bx, 0x7f
        add bx, bx
        jmp [cs:ways + bx]

ways:   dw short_idt, no_stack, port_92, pulse, output_port, hard, soft, interrupt, step
        dw undefined, small_stack, task_gate, paging, virtual, no_tss, init

; --- real mode

short_idt:
        lidt [cs:nothing]
        int3
no_stack:
        mov sp, 1
        push ax
interrupt:                          ; the timer's, at a CPU that has halted
        lidt [cs:nothing]
        mov al, 0x11
        out 0x20, al
        mov al, 0x08
        out 0x21, al
        mov al, 0x04
        out 0x21, al
        mov al, 0x01
        out 0x21, al
        mov al, 0xfe
        out 0x21, al
        mov al, 0x34
        out 0x43, al
        mov al, 0x20
        out 0x40, al
        xor al, al
        out 0x40, al
        sti
        hlt
step:   lidt [cs:nothing]
        pushf
        pop ax
        or ah, 1
        push ax
        popf
        nop

; --- devices

port_92:
        in al, 0x92
        and al, 0xfe
        out 0x92, al
        or al, 1
        out 0x92, al
        jmp $
pulse:  mov al, 0xfe
        out 0x64, al
        jmp $
output_port:
        mov al, 0xd1
        out 0x64, al
        mov al, 0xde
        out 0x60, al
        jmp $
hard:   mov dx, 0xcf9
        mov al, 0x02
        out dx, al
        mov al, 0x06
        out dx, al
        jmp $
soft:   mov dx, 0xcf9
        xor al, al
        out dx, al
        mov al, 0x04
        out dx, al
        jmp $

; --- protected mode; si = where to go

undefined:
        mov si, undefined_32
        jmp protected
small_stack:
        mov si, small_stack_32
        jmp protected
task_gate:
        mov si, task_gate_32
        jmp protected
paging: mov si, paging_32
        jmp protected
virtual:
        mov si, virtual_32
        jmp protected
no_tss: mov si, no_tss_32
        jmp protected
init:   mov si, init_32

protected:
        o32 lgdt [cs:gdt_pointer]
        o32 lidt [cs:nothing]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp dword CODE32:HERE + flat

bits 32
flat:   mov ax, DATA32
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov esp, 0x8000
        movzx esi, si
        add esi, HERE
        jmp esi

undefined_32:
        ud2
small_stack_32:
        lidt [HERE + idt_pointer]
        mov ax, SMALL
        mov ss, ax
        xor esp, esp
        ud2
task_gate_32:
        lidt [HERE + gone_pointer]
        ud2
paging_32:
        mov edi, 0x2000             ; an empty page directory
        mov cr3, edi
        xor eax, eax
        mov ecx, 1024
        rep stosd
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        nop
virtual_32:
        push dword 0                ; gs, fs, ds, es
        push dword 0
        push dword 0
        push dword 0
        push dword 0                ; ss:esp
        push dword 0x1000
        push dword 0x20002          ; VM
        push dword 0xf000
        push dword privileged
        iretd
no_tss_32:                          ; the handler's stack is in a task that has none
        lidt [HERE + idt_pointer]
        mov edi, 0
        xor eax, eax
        mov ecx, 32
        rep stosd
        push dword USER_DATA
        push dword 0x1000
        push dword 2
        push dword USER_CODE
        push dword HERE + privileged
        iretd
init_32:                            ; an INIT that the local APIC sends to its own CPU
        mov dword [0xfee00310], 0
        mov dword [0xfee00300], 0x4500
        jmp $

privileged:
        hlt

align 8
gdt:    dq 0
        dq 0x00cf9b000000ffff
        dq 0x00cf93000000ffff
        dq 0x0040930000000000
        dq 0x00cffb000000ffff
        dq 0x00cff3000000ffff
        dq 0x0000090000000067
gdt_pointer:
        dw gdt_pointer - gdt - 1
        dd HERE + gdt
nothing:
        dw 0
        dd 0

align 8
idt:    times 14 dw privileged - $$, CODE32, 0x8e00, HERE >> 16
idt_pointer:
        dw idt_pointer - idt - 1
        dd HERE + idt
gone:   times 14 dw 0, GONE, 0x8500, 0
gone_pointer:
        dw gone_pointer - gone - 1
        dd HERE + gone
