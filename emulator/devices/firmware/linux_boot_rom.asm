; Option ROM that boots a Linux kernel handed over through fw_cfg.
;
; The BIOS calls it through its bootstrap entry vector (Plug and Play BIOS Specification 1.0A,
; section 3.2). It copies four items to the addresses that come with them and enters the kernel's
; 16-bit set-up code as the Linux/x86 boot protocol ("Running the kernel") wants.
;
; linux_boot_rom.inc is this file assembled:
;   nasm -f bin -o rom linux_boot_rom.asm && xxd -i < rom > linux_boot_rom.inc
; Both checksums are filled in when the ROM is handed to the firmware.

bits 16
org 0

%define ROM_SIZE 512
%define SCRATCH  0x7c00             ; the boot sector's place, free while we run
%define VALUE    SCRATCH + 16

        db 0x55, 0xaa, ROM_SIZE / 512
        retf                        ; initialisation: nothing to do

        times 0x18 - ($ - $$) db 0
        dw 0                        ; no PCI data structure
        dw plug_and_play
        times 0x20 - ($ - $$) db 0

plug_and_play:                      ; at 20h; the checksum is its byte 9
        db '$PnP', 1, 2             ; revision, length in 16-byte units
        dw 0                        ; next header
        db 0, 0                     ; reserved, checksum
        dd 0                        ; device identifier
        dw maker
        dw product
        db 0x02, 0x00, 0x00         ; device type
        db 0x64                     ; indicators: BEV, shadowable, read-cacheable
        dw 0                        ; boot connection vector
        dw 0                        ; disconnect vector
        dw boot                     ; bootstrap entry vector
        dw 0
        dw 0

maker:   db 'Menagerie', 0
product: db 'Linux loader', 0

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

; eax = the 32-bit number in the item of key ax. Changes ecx, edx.
number: mov ecx, 4
        mov edx, VALUE
        call read
        mov eax, [VALUE]
        ret

; Reads ecx bytes of the item of key ax to address edx. Changes eax, ecx, edx.
read:   shl eax, 16
        mov ax, 0x000a              ; select, read
        bswap eax
        mov [SCRATCH], eax
        bswap ecx
        mov [SCRATCH + 4], ecx
        mov dword [SCRATCH + 8], 0
        bswap edx
        mov [SCRATCH + 12], edx
        mov dx, 0x514
        xor eax, eax
        out dx, eax
        mov dx, 0x518
        mov eax, SCRATCH
        bswap eax
        out dx, eax
.wait:  test dword [SCRATCH], 0xfeffffff ; all but the error bit, in big-endian order
        jnz .wait
        ret

        times ROM_SIZE - ($ - $$) db 0
