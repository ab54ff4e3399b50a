/* A neighbour that means ill: a partition without an operating system that makes hypercalls with arguments at random,
 * for ever. Half of the numbers are those by which partitions reach each other and their adapters; arguments are unit
 * addresses, addresses in the second MiB, I/O addresses, single bits, small numbers, -1 or anything. It starts as a client of Open
 * Firmware: real mode, 64-bit, big-endian. Built by build.sh. */
	.abiversion 2
	.text
	.globl _start
_start:
	bcl 20,31,1f
1:	mflr 20
	addi 20,20,units-1b
	mftb 14
	ori 14,14,1
	/* I/O pages 0 to 255 of three windows are real pages 256 to 511, for reading and writing */
	li 22,0
2:	li 23,0
3:	li 3,0x20
	lwzx 4,20,22
	sldi 5,23,12
	ori 6,5,3
	oris 6,6,0x10
	sc 1
	addi 23,23,1
	cmpdi 23,256
	blt 3b
	/* its queue, if it has one, is page 16 and what follows by its place */
	li 3,0xfc
	lwzx 4,20,22
	sldi 5,22,12
	addis 5,5,1
	li 6,4096
	sc 1
	addi 22,22,4
	cmpdi 22,16
	blt 2b
4:	/* every interrupt goes on with another call, whatever was written there before */
	li 4,0x100
	bcl 20,31,8f
8:	mflr 5
	addi 5,5,4b-8b
	oris 5,5,0x4800
	ori 5,5,2
9:	stw 5,0(4)
	addi 4,4,0x80
	cmpdi 4,0x1800
	blt 9b
	sync
	isync
	bl arg
	/* a number: one of the list, or anything */
	andi. 18,14,0x300
	beq 5f
	rldicl 15,14,40,58
	sldi 15,15,2
	add 15,15,20
	lwz 15,32(15)
	b 6f
5:	rldicl 15,14,40,55
	sldi 15,15,2
	andi. 18,14,0xc00
	bne 6f
	rldicl 15,14,40,56
	ori 15,15,0xf000
6:	cmpdi 15,0xe0
	beq 4b
	cmpdi 15,0xe4
	beq 4b
	cmpdi 15,0x298
	beq 4b
	bl arg
	mr 4,16
	bl arg
	mr 5,16
	bl arg
	mr 6,16
	bl arg
	mr 7,16
	bl arg
	mr 8,16
	bl arg
	mr 9,16
	bl arg
	mr 10,16
	bl arg
	mr 11,16
	bl arg
	mr 12,16
	mr 3,15
	sc 1
	b 4b

arg:	sldi 19,14,13
	xor 14,14,19
	srdi 19,14,7
	xor 14,14,19
	sldi 19,14,17
	xor 14,14,19
	andi. 18,14,7
	srdi 16,14,19
	beqlr
	cmpwi 18,1
	bne 2f
	andi. 16,16,0xff
	blr
2:	cmpwi 18,3
	bgt 4f
	andi. 16,16,7
	sldi 16,16,2
	lwzx 16,20,16
	blr
4:	cmpwi 18,4
	bne 5f
	clrldi 16,16,44
	clrrdi 16,16,12
	andi. 18,14,8
	beqlr
	oris 16,16,0x10
	blr
5:	cmpwi 18,5
	bne 6f
	clrldi 16,16,44
	oris 16,16,0x10
	blr
6:	cmpwi 18,6
	bne 7f
	andi. 16,16,63
	addi 16,16,13
	li 19,1
	sld 16,19,16
	blr
7:	andi. 16,16,3
	sldi 16,16,12
	addi 16,16,-1
	clrrdi 16,16,12
	blr
	.balign 4
units:
	.long 0x71000200, 0x71003000, 0x71004000, 0x71004001
	.long 0xf1004000, 0x71000100, 0x71000000, 0x80000000
calls:	/* 64 numbers */
	.long 0x1c,0x20,0x138,0x13c,0xfc,0x100,0x104,0x108
	.long 0x110,0x110,0x110,0x110,0x108,0x108,0x108,0x2b0
	.long 0x2a8,0x2a8,0x114,0x118,0x11c,0x120,0x120,0x120
	.long 0x130,0x14c,0x1d4,0x244,0x248,0x54,0x58,0x150
	.long 0x154,0x158,0xdc,0xec,0xf0,0xf4,0xd4,0xd8
	.long 0x64,0x68,0x6c,0x70,0x74,0x24,0x28,0x2c
	.long 0x04,0x08,0x0c,0x10,0x14,0x18,0x124,0x128
	.long 0x31c,0x328,0x368,0x374,0xf000,0xf005,0x2e8,0x448
