# Runs single instructions for the corpus under a user-mode emulator. Freestanding; built for either byte order.
#
# Records come on standard input and go back on standard output, changed: HEAD bytes of registers and orders, then
# MEM bytes of memory. Numbers are in the byte order of the program. Layout of the head, at STATE:
#   000 GPR 0..31      100 VSR 0..63, doubleword 0 first    500 CR  508 XER  510 LR  518 CTR  520 TAR  528 FPSCR
#   530 VSCR in doubleword 1 of 16 bytes   540 the branch to the code (word)   548 address of the code
#   558 eight words of code   578 signal   580 its code   588 address of the interrupted instruction
# STATE is below 0x8000, so that displacements off no register reach it and every register can be loaded and stored.

        .machine power8
        .abiversion 2
        .equ STATE, 0x7000
        .equ GATE, 0x6000
        .equ HEAD, 0x590
        .equ DATA, 0x40f00
        .equ MEM, 512
        .equ CODE, 0x50000
        .equ CODE_SIZE, 0x1000

        .macro sys number
        li 0, \number
        sc
        .endm
        .macro map at, size
        lis 3, (\at)@h
        ori 3, 3, (\at)@l
        lis 4, (\size)@h
        ori 4, 4, (\size)@l
        li 5, 7
        li 6, 0x32
        li 7, -1
        li 8, 0
        sys 90
        .endm
        .macro catch signal
        li 3, \signal
        lis 4, action@h
        ori 4, 4, action@l
        li 5, 0
        li 6, 8
        sys 173
        .endm

        .text
        .globl _start
_start: b begin

        .org _start + 0x100
# After the instruction: a branch here, with every register as it left them.
dump:
        .set n, 0
        .rept 32
        std n, STATE+8*n(0)
        .set n, n+1
        .endr
        mfcr 4
        std 4, STATE+0x500(0)
        mfxer 4
        std 4, STATE+0x508(0)
        mflr 4
        std 4, STATE+0x510(0)
        mfctr 4
        std 4, STATE+0x518(0)
        mfspr 4, 815
        std 4, STATE+0x520(0)
        li 3, STATE+0x100
        .set n, 0
        .rept 64
        stxvd2x n, 0, 3
        addi 3, 3, 16
        .set n, n+1
        .endr
        mffs 0
        stfd 0, STATE+0x528(0)
        mfvscr 0
        li 3, STATE+0x530
        stxvd2x 32, 0, 3
# The code's place is filled with traps again.
        ld 3, STATE+0x548(0)
        lis 4, 0x7fe0
        ori 4, 4, 8
        li 5, 8
        mtctr 5
1:      stw 4, 0(3)
        addi 3, 3, 4
        bdnz 1b
        li 4, STATE
        li 5, HEAD
        bl put
        lis 4, DATA@h
        ori 4, 4, DATA@l
        li 5, MEM
        bl put
        b next

put:    mflr 20
        mr 14, 4
        mr 15, 5
1:      li 3, 1
        mr 4, 14
        mr 5, 15
        sys 4
        bso fail
        add 14, 14, 3
        subf. 15, 3, 15
        bne 1b
        mtlr 20
        blr

get:    mflr 20
        mr 14, 4
        mr 15, 5
1:      li 3, 0
        mr 4, 14
        mr 5, 15
        sys 3
        bso fail
        cmpdi 3, 0
        beq end
        add 14, 14, 3
        subf. 15, 3, 15
        bne 1b
        mtlr 20
        blr

end:    li 3, 0
        sys 234
fail:   li 3, 1
        sys 234

begin:  map GATE, 0x2000
        cmpdi 3, GATE
        bne fail
        map 0x40000, 0x2000
        map CODE, CODE_SIZE
        lis 3, stack@h
        ori 3, 3, stack@l
        li 4, 0
        sys 185
        catch 4
        catch 5
        catch 7
        catch 8
        catch 11
        lis 3, CODE@h
        ori 3, 3, CODE@l
        lis 4, 0x7fe0
        ori 4, 4, 8
        li 5, CODE_SIZE/4
        mtctr 5
1:      stw 4, 0(3)
        addi 3, 3, 4
        bdnz 1b

next:   li 4, STATE
        li 5, HEAD
        bl get
        lis 4, DATA@h
        ori 4, 4, DATA@l
        li 5, MEM
        bl get
# The branch to the code, and the code.
        lwz 3, STATE+0x540(0)
        stw 3, GATE(0)
        ld 3, STATE+0x548(0)
        li 4, STATE+0x558
        li 5, 8
        mtctr 5
1:      lwz 6, 0(4)
        stw 6, 0(3)
        addi 3, 3, 4
        addi 4, 4, 4
        bdnz 1b
        ld 3, STATE+0x548(0)
        li 4, GATE
        dcbst 0, 3
        dcbst 0, 4
        sync
        icbi 0, 3
        icbi 0, 4
        isync
# Registers.
        li 3, 0
        std 3, STATE+0x578(0)
        std 3, STATE+0x580(0)
        std 3, STATE+0x588(0)
        li 3, STATE+0x530
        lxvd2x 32, 0, 3
        mtvscr 0
        lfd 0, STATE+0x528(0)
        mtfsf 255, 0, 1, 0
        li 3, STATE+0x100
        .set n, 0
        .rept 64
        lxvd2x n, 0, 3
        addi 3, 3, 16
        .set n, n+1
        .endr
        ld 4, STATE+0x500(0)
        mtcr 4
        ld 4, STATE+0x508(0)
        mtxer 4
        ld 4, STATE+0x510(0)
        mtlr 4
        ld 4, STATE+0x518(0)
        mtctr 4
        ld 4, STATE+0x520(0)
        mtspr 815, 4
        .set n, 0
        .rept 32
        ld n, STATE+8*n(0)
        .set n, n+1
        .endr
        ba GATE

# A signal: note what and where, and go on at dump.
handler:
        std 3, STATE+0x578(0)
        lwa 6, 8(4)
        std 6, STATE+0x580(0)
        ld 6, 488(5)
        std 6, STATE+0x588(0)
        lis 6, dump@h
        ori 6, 6, dump@l
        std 6, 488(5)
        blr

        .data
        .p2align 4
# handler, SA_SIGINFO | SA_ONSTACK | SA_NODEFER, no restorer, empty mask
action: .quad handler, 0x48000004, 0, 0
stack:  .quad space, 0, 65536
        .bss
        .p2align 12
space:  .space 65536
