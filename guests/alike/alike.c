/* A partition without an operating system whose memory is like that of another one that runs the same: the hypervisor
 * keeps such pages once. Each of its pages has code, a word, a doubleword, a block and a filling of its own. By the
 * letters at its console it
 *     a to z  changes all pages, each letter in its own way; the first store to a page is that of an instruction, a
 *             store-conditional of a word or doubleword, or a cleared block;
 *     ?       looks at every byte of all pages, and calls the code on them: is all as it was left?
 *     !       makes them what they were;
 *     +       does all this again and again to the first half of them, some pages at a time, with long pauses.
 * Each order is answered by a line, "OK" or "FAIL" with the order, the number of errors and the first of them. Between
 * them it sleeps. It starts as a client of Open Firmware: real mode, 64-bit, big-endian, no floating point. Built by
 * build.sh. */

typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned char u8;

enum { GET_TERM_CHAR = 0x54, PUT_TERM_CHAR = 0x58, CEDE = 0xe0 };

#define PAGE 4096UL
#define PAGES 512UL
#define STACK (4 * PAGE)
/* Where the parts of a page are that change: */
enum { CODE = 0, WORD = 2048, DOUBLE = 2056, BLOCK = 3072 };
#define BLOCK_LEN 128UL
/* 20 milliseconds of the timebase. */
#define PAUSE 10240000UL
/* Pauses of "+", and pages between two of them. */
#define TURNS 400UL
#define AT_ONCE 4UL

static u8 memory[PAGES * PAGE] __attribute__((aligned(65536)));
static u8 stack[STACK] __attribute__((aligned(4096), used));

/* An interrupt of the decrementer only ends the sleep. */
__asm__(".text\n"
	".globl _start\n"
	"_start:\n"
	"	lis 1,stack@ha\n"
	"	addi 1,1,stack@l\n"
	"	addi 1,1,16256\n"
	"	lis 2,.TOC.@ha\n"
	"	addi 2,2,.TOC.@l\n"
	"	bl begin\n"
	"	b .\n"
	".globl tick\n"
	"tick:	mtsprg 0,3\n"
	"	lis 3,0x7fff\n"
	"	mtdec 3\n"
	"	mfsprg 3,0\n"
	"	rfid\n"
	".globl tock\n"
	"tock:\n");
extern const u32 tick[], tock[];

static u64 error_count, first_error;

/* A hypercall; the first three of what it gives go to `gives`. */
static long call(u64 number, u64 a, u64 b, u64 c, u64 *gives)
{
	register u64 r3 __asm__("r3") = number;
	register u64 r4 __asm__("r4") = a;
	register u64 r5 __asm__("r5") = b;
	register u64 r6 __asm__("r6") = c;
	__asm__ volatile("sc 1"
			 : "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6)
			 :
			 : "r0", "r7", "r8", "r9", "r10", "r11", "r12", "ctr", "xer", "cr0", "cr1", "cr5", "cr6", "cr7",
			   "memory");
	gives[0] = r4;
	gives[1] = r5;
	gives[2] = r6;
	return (long)r3;
}

static void letter(char c)
{
	u64 gives[3];
	/* Until the console takes it. */
	while (call(PUT_TERM_CHAR, 0, 1, (u64)c << 56, gives))
		;
}

static void text(const char *s)
{
	while (*s)
		letter(*s++);
}

static void number(u64 v)
{
	char digits[24];
	int i = 0;
	do
		digits[i++] = '0' + v % 10;
	while (v /= 10);
	while (i)
		letter(digits[--i]);
}

/* Sleeps for a moment. */
static void pause(void)
{
	u64 gives[3];
	__asm__ volatile("mtdec %0" : : "r"(PAUSE));
	call(CEDE, 0, 0, 0, gives);
	__asm__ volatile("mtmsrd %0,1" : : "r"(0UL));
}

/* Instructions at this place have changed. */
static void renew(volatile void *at)
{
	__asm__ volatile("dcbst 0,%0\n sync\n icbi 0,%0\n sync\n isync" : : "r"(at) : "memory");
}

static u64 next(u64 *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static u64 seed_of(u64 page)
{
	return (page + 1) * 0x9e3779b97f4a7c15UL;
}

/* What the code on a page answers. */
static u64 answer_of(u64 page, u64 mark)
{
	return page * 32 + mark;
}

/* What belongs at an offset of a page, doublewords, with this mark; `filling` is what the page is filled with there. */
static u64 wanted(u64 page, u64 at, u64 filling, u64 mark)
{
	if (at == CODE) /* li 3,...; blr */
		return (0x38600000 | answer_of(page, mark)) << 32 | 0x4e800020;
	if (at == WORD)
		return filling + (mark << 32);
	if (at == DOUBLE)
		return filling + (mark << 33);
	if (mark && at >= BLOCK && at < BLOCK + BLOCK_LEN)
		return at == BLOCK ? mark : 0;
	return filling;
}

static u64 call_page(u64 page)
{
	u64 (*code)(void) = (u64(*)(void))(memory + page * PAGE + CODE);
	return code();
}

static void wrong(u64 page, u64 at)
{
	if (!error_count++)
		first_error = page * PAGE + at;
}

/* Is a page what it was left as? */
static void look(u64 page, u64 mark)
{
	u64 seed = seed_of(page);
	volatile u64 *m = (volatile u64 *)(memory + page * PAGE);
	for (u64 at = 0; at < PAGE; at += 8)
		if (m[at / 8] != wanted(page, at, next(&seed), mark))
			wrong(page, at);
	if (call_page(page) != answer_of(page, mark))
		wrong(page, CODE + 1);
}

static void make(u64 page)
{
	u64 seed = seed_of(page);
	volatile u64 *m = (volatile u64 *)(memory + page * PAGE);
	for (u64 at = 0; at < PAGE; at += 8) {
		u64 should = wanted(page, at, next(&seed), 0);
		if (m[at / 8] != should)
			m[at / 8] = should;
	}
	renew(m);
}

static void change_code(u64 page, u64 mark)
{
	volatile u32 *code = (volatile u32 *)(memory + page * PAGE + CODE);
	call_page(page);
	*code = 0x38600000 | answer_of(page, mark);
	renew(code);
	if (call_page(page) != answer_of(page, mark))
		wrong(page, CODE + 2);
}

static void change_word(u64 page, u64 mark)
{
	u32 *at = (u32 *)(memory + page * PAGE + WORD), old;
	__asm__ volatile("1: lwarx %0,0,%1\n add 0,%0,%2\n stwcx. 0,0,%1\n bne- 1b"
			 : "=&r"(old)
			 : "r"(at), "r"(mark)
			 : "r0", "cr0", "memory");
	if (*(volatile u32 *)at != (u32)(old + mark))
		wrong(page, WORD + 1);
}

static void change_double(u64 page, u64 mark)
{
	u64 *at = (u64 *)(memory + page * PAGE + DOUBLE), old;
	__asm__ volatile("1: ldarx %0,0,%1\n add 0,%0,%2\n stdcx. 0,0,%1\n bne- 1b"
			 : "=&r"(old)
			 : "r"(at), "r"(mark << 33)
			 : "r0", "cr0", "memory");
	if (*(volatile u64 *)at != old + (mark << 33))
		wrong(page, DOUBLE + 1);
}

static void change_block(u64 page, u64 mark)
{
	u8 *at = memory + page * PAGE + BLOCK;
	__asm__ volatile("dcbz 0,%0" : : "r"(at) : "memory");
	at[7] = mark;
}

/* Four ways to be the first store to a page. */
static void change(u64 page, u64 mark)
{
	static void (*const ways[4])(u64, u64) = { change_code, change_word, change_double, change_block };
	for (u64 n = 0; n < 4; n++)
		ways[(page + n) % 4](page, mark);
}

static void again_and_again(void)
{
	u64 page = 0;
	for (u64 turn = 0; turn < TURNS; turn++) {
		u64 mark = 1 + turn % 26;
		for (u64 n = 0; n < AT_ONCE; n++) {
			look(page, 0);
			change(page, mark);
			look(page, mark);
			make(page);
			look(page, 0);
			page = (page + 1) % (PAGES / 2);
		}
		pause();
	}
}

static void obey(char order, u64 *mark)
{
	u64 page;
	error_count = first_error = 0;
	switch (order) {
	case '?':
		for (page = 0; page < PAGES; page++)
			look(page, *mark);
		break;
	case '!':
		*mark = 0;
		for (page = 0; page < PAGES; page++)
			make(page);
		break;
	case '+':
		again_and_again();
		break;
	default:
		if (order < 'a' || order > 'z')
			return;
		*mark = order - 'a' + 1;
		for (page = 0; page < PAGES; page++)
			change(page, *mark);
	}
	text(error_count ? "FAIL " : "OK ");
	letter(order);
	letter(' ');
	number(error_count);
	letter(' ');
	number(first_error);
	text(".\r\n");
}

/* Called by _start. */
__attribute__((used)) static void begin(void)
{
	u64 mark = 0, gives[3];
	volatile u32 *vector = (volatile u32 *)0x900;
	for (const u32 *from = tick; from < tock; from++) {
		*vector = *from;
		renew(vector++);
	}
	for (u64 page = 0; page < PAGES; page++)
		make(page);
	text("READY\r\n");
	for (;;) {
		if (call(GET_TERM_CHAR, 0, 0, 0, gives) || !gives[0])
			pause();
		for (u64 n = 0; n < gives[0] && n < 16; n++)
			obey(gives[1 + n / 8] >> (56 - n % 8 * 8), &mark);
	}
}
