; A boot sector that tells the first serial port its letter. From a floppy it then reads 72 sectors at
; once through INT 13h and tells the carry flag, the count and the sum of all words. Then it switches
; the machine off.
;
; boot_sector.inc is this file assembled: tests/check_assembled.py compares, and writes it anew.

bits 16
org 0x7c00

        jmp short start
        nop
letter: db '?'

start:  cli
        xor ax, ax
        mov ds, ax
        mov ss, ax
        mov sp, 0x7c00
        sti
        cld
        mov [drive], dl
        mov al, [letter]
        call put
        test byte [drive], 0x80
        jnz off
        mov ax, 0x1000
        mov es, ax
        xor bx, bx
        mov cx, 1
        xor dh, dh
        mov dl, [drive]
        mov ax, 0x0248
        int 0x13
        push ax
        mov al, '0'
        adc al, 0
        call put
        pop ax
        xor ah, ah
        call hex
        mov ds, [buffer]
        xor si, si
        xor dx, dx
        mov cx, 72 * 256
.sum:   lodsw
        add dx, ax
        loop .sum
        xor ax, ax
        mov ds, ax
        mov ax, dx
        call hex

off:    mov dx, 0xcf8
        mov eax, 0x80000b40         ; the PIIX4's power management: the base of its registers
        out dx, eax
        mov dx, 0xcfc
        in eax, dx
        and al, 0xc0
        lea dx, [eax + 4]
        mov ax, 0x2000              ; soft off
        out dx, ax
        jmp $

hex:    mov cx, 4
.next:  rol ax, 4
        push ax
        and al, 15
        cmp al, 10
        jb .digit
        add al, 'a' - '0' - 10
.digit: add al, '0'
        call put
        pop ax
        loop .next
        ret

put:    push dx
        push ax
        mov dx, 0x3fd
.wait:  in al, dx
        test al, 0x20
        jz .wait
        pop ax
        mov dx, 0x3f8
        out dx, al
        pop dx
        ret

buffer:  dw 0x1000
drive:   db 0
