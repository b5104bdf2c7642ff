; What the option ROMs share: the header with the Plug and Play bootstrap entry (Plug and Play BIOS
; Specification 1.0A, section 3.2), and reading fw_cfg by DMA. The checksums are filled in when a ROM
; is handed to the firmware.

%define SCRATCH  0x7c00             ; the boot sector's place, free while we run
%define VALUE    SCRATCH + 16

; option_rom_header size, product: the firmware boots by a jump to `boot`
%macro option_rom_header 2
        db 0x55, 0xaa, %1 / 512
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
product: db %2, 0
%endmacro

; The routines `number` and `read`; ss is 0.
%macro fw_cfg_routines 0
; eax = the 32-bit number in the item of key ax. Changes ecx, edx.
number: mov ecx, 4
        mov edx, VALUE
        call read
        mov eax, [ss:VALUE]
        ret

; Reads ecx bytes of the item of key ax to address edx. Changes eax, ecx, edx.
read:   shl eax, 16
        mov ax, 0x000a              ; select, read
        bswap eax
        mov [ss:SCRATCH], eax
        bswap ecx
        mov [ss:SCRATCH + 4], ecx
        mov dword [ss:SCRATCH + 8], 0
        bswap edx
        mov [ss:SCRATCH + 12], edx
        mov dx, 0x514
        xor eax, eax
        out dx, eax
        mov dx, 0x518
        mov eax, SCRATCH
        bswap eax
        out dx, eax
.wait:  test dword [ss:SCRATCH], 0xfeffffff ; all but the error bit, in big-endian order
        jnz .wait
        ret
%endmacro
