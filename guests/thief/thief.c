/* A partition without an operating system that serves disks only to get at its clients' memory, and another that is its
 * prey. Which one it is depends on its adapters: the prey has a virtual SCSI client at 0x71003000; the thief has two
 * servers, the first for a Linux, the second for the prey. The thief copies (H_COPY_RDMA, LoPAR 17.2.3.2) what it may and
 * what it may not, and looks at its buffer each time; the prey looks at its memory when the thief says that it is done.
 * Each check writes a line, "OK" or "FAIL" with its name and what the hypervisor answered. It starts as a client of Open
 * Firmware: real mode, 64-bit, big-endian, no floating point. Built by build.sh. */

typedef unsigned long u64;
typedef unsigned char u8;

enum {
	PUT_TCE = 0x20, PUT_TERM_CHAR = 0x58, REG_CRQ = 0xfc, FREE_CRQ = 0x100, SEND_CRQ = 0x108,
	COPY_RDMA = 0x110, CONFER = 0xe4
};
enum { SUCCESS = 0, CLOSED = 2, PARAMETER = -4, PERMISSION = -11, SOURCE_PARM = -13, DEST_PARM = -14 };
enum { READ = 1, WRITE = 2, BOTH = 3 };

#define PAGE 4096UL
#define WINDOW (256UL << 20)
#define CLIENT 0x71003000UL
#define SERVER 0x71004000UL
#define REMOTE 0x80000000UL
#define VALID 0x8000000000000000UL
#define INITIALIZE 0xc001000000000000UL
#define INITIALIZED 0xc002000000000000UL

static u8 memory[64 * PAGE] __attribute__((aligned(4096)));
static u8 stack[4 * PAGE] __attribute__((aligned(4096), used));

__asm__(".text\n"
	".globl _start\n"
	"_start:\n"
	"	lis 1,stack@ha\n"
	"	addi 1,1,stack@l\n"
	"	addi 1,1,16256\n"
	"	lis 2,.TOC.@ha\n"
	"	addi 2,2,.TOC.@l\n"
	"	bl begin\n"
	"	b .\n");

static long call(u64 number, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	register u64 r3 __asm__("r3") = number;
	register u64 r4 __asm__("r4") = a;
	register u64 r5 __asm__("r5") = b;
	register u64 r6 __asm__("r6") = c;
	register u64 r7 __asm__("r7") = d;
	register u64 r8 __asm__("r8") = e;
	__asm__ volatile("sc 1"
			 : "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7), "+r"(r8)
			 :
			 : "r0", "r9", "r10", "r11", "r12", "ctr", "xer", "cr0", "cr1", "cr5", "cr6", "cr7", "memory");
	return (long)r3;
}

static void letter(char c)
{
	/* Until the console takes it. */
	while (call(PUT_TERM_CHAR, 0, 1, (u64)c << 56, 0, 0) != SUCCESS)
		;
}

static void text(const char *s)
{
	while (*s)
		letter(*s++);
}

static void number(long n)
{
	char digits[24];
	int i = 0;
	u64 v = n < 0 ? -(u64)n : (u64)n;
	if (n < 0)
		letter('-');
	do
		digits[i++] = '0' + v % 10;
	while (v /= 10);
	while (i)
		letter(digits[--i]);
}

static void told(int good, const char *what, long answer)
{
	text(good ? "OK " : "FAIL ");
	text(what);
	letter(' ');
	number(answer);
	text(".\r\n");
}

static void fill(u64 page, u8 byte)
{
	for (u64 i = 0; i < PAGE; i++)
		memory[page * PAGE + i] = byte;
}

/* Whether a page holds nothing but this byte. */
static int holds(u64 page, u8 byte)
{
	for (u64 i = 0; i < PAGE; i++)
		if (((volatile u8 *)memory)[page * PAGE + i] != byte)
			return 0;
	return 1;
}

static void map(u64 liobn, u64 address, u64 page, u64 access)
{
	long answer = call(PUT_TCE, liobn, address, ((u64)memory + page * PAGE) | access, 0, 0);
	if (answer != SUCCESS)
		told(0, "mapping", answer);
}

/* Takes the next message of a queue: waits for it. */
static void take(u64 page, u64 *next, u64 message[2])
{
	volatile u64 *entry = (volatile u64 *)(memory + page * PAGE + *next * 16);
	while (!(entry[0] >> 56))
		call(CONFER, -1UL, 0, 0, 0, 0);
	__asm__ volatile("sync" ::: "memory");
	message[0] = entry[0];
	message[1] = entry[1];
	entry[0] = 0;
	*next = (*next + 1) % (PAGE / 16);
}

static void send(u64 unit, u64 high, u64 low)
{
	long answer = call(SEND_CRQ, unit, high, low, 0, 0);
	if (answer != SUCCESS)
		told(0, "sending", answer);
}

/* The prey's window: */
enum {
	AT_QUEUE = 0x0, AT_BOTH = 0x1000, AT_READ = 0x2000, AT_WRITE = 0x3000, AT_NOTHING = 0x4000, AT_AGAIN = 0x5000,
	AT_BEYOND = 0x6000, AT_END = 0xffff000
};
/* and its pages. Each is followed by one that is not mapped. */
enum { QUEUE = 0, OPEN = 2, READABLE = 4, WRITABLE = 6, AGAIN = 8, END = 10, PAGES = 12 };
/* What a page holds. */
#define FILLING(page) ((u8)(0xa0 + (page)))
#define WRITTEN 0x77
/* What the two say to each other. */
enum { TRIED = 1, UNMAPPED, TRIED_UNMAPPED };

static void prey(void)
{
	u64 next = 0, message[2];
	for (u64 page = 1; page < PAGES; page++)
		fill(page, FILLING(page));
	map(CLIENT, AT_QUEUE, QUEUE, BOTH);
	map(CLIENT, AT_BOTH, OPEN, BOTH);
	map(CLIENT, AT_READ, READABLE, READ);
	map(CLIENT, AT_WRITE, WRITABLE, WRITE);
	map(CLIENT, AT_AGAIN, AGAIN, BOTH);
	map(CLIENT, AT_END, END, BOTH);
	/* What lies past the end of memory is nobody's. */
	call(PUT_TCE, CLIENT, AT_BEYOND, (1UL << 40) | BOTH, 0, 0);
	long answer = call(REG_CRQ, CLIENT, AT_QUEUE, PAGE, 0, 0);
	if (answer == SUCCESS)
		send(CLIENT, INITIALIZE, 0);
	else
		told(answer == CLOSED, "prey: queue", answer);
	for (;;) {
		take(QUEUE, &next, message);
		if (message[0] == INITIALIZE) {
			send(CLIENT, INITIALIZED, 0);
		} else if (message[1] == TRIED) {
			for (u64 page = 1; page < PAGES; page++) {
				int may = page == OPEN || page == WRITABLE;
				told(holds(page, may ? WRITTEN : FILLING(page)), "prey: page", page);
			}
			call(PUT_TCE, CLIENT, AT_BOTH, 0, 0, 0);
			send(CLIENT, VALID, UNMAPPED);
		} else if (message[1] == TRIED_UNMAPPED) {
			told(holds(OPEN, WRITTEN) && holds(AGAIN, FILLING(AGAIN)), "prey: unmapped", 0);
			answer = call(FREE_CRQ, CLIENT, 0, 0, 0, 0);
			told(answer == SUCCESS, "prey: queue goes", answer);
			text("PREY-DONE\r\n");
		}
	}
}

/* The thief's windows: queue, a buffer that is open, one that is only for reading, one that is not mapped. */
enum { MINE = 0, LINUX = 1, BUFFER = 2, LOCKED = 36, FIRST = 0x100000, SHUT = 0x200000 };

static u64 queue_page(u64 unit)
{
	return unit == SERVER ? LINUX : MINE;
}

/* Tries a copy into the buffer; the answer has to be `wanted`, and the buffer untouched unless that is success. */
static void steal(const char *what, long wanted, u64 len, u64 from, u64 address, u64 to, u64 target)
{
	for (u64 page = 0; page < 34; page++)
		fill(BUFFER + page, 0x55);
	fill(LOCKED, 0x55);
	long answer = call(COPY_RDMA, len, from, address, to, target);
	int good = answer == wanted;
	if (wanted != SUCCESS) {
		for (u64 page = 0; page < 34; page++)
			good &= holds(BUFFER + page, 0x55);
		good &= holds(LOCKED, 0x55);
	}
	told(good, what, answer);
}

/* Tries a copy out of the buffer. */
static void plant(const char *what, long wanted, u64 len, u64 from, u64 to, u64 address)
{
	for (u64 page = 0; page < 34; page++)
		fill(BUFFER + page, WRITTEN);
	long answer = call(COPY_RDMA, len, from, FIRST, to, address);
	told(answer == wanted, what, answer);
}

static void open_windows(u64 unit)
{
	map(unit, 0, queue_page(unit), BOTH);
	for (u64 page = 0; page < 34; page++)
		map(unit, FIRST + page * PAGE, BUFFER + page, BOTH);
	map(unit, SHUT, LOCKED, READ);
}

static void begin_queue(u64 unit, u64 *next)
{
	u64 message[2];
	open_windows(unit);
	long answer = call(REG_CRQ, unit, 0, PAGE, 0, 0);
	if (answer == SUCCESS)
		send(unit, INITIALIZE, 0);
	else if (answer != CLOSED)
		told(0, "queue", answer);
	take(queue_page(unit), next, message);
	if (message[0] == INITIALIZE)
		send(unit, INITIALIZED, 0);
	else
		told(message[0] == INITIALIZED, "hello", message[0] >> 48);
}

static void rob_prey(void)
{
	u64 own = SERVER + 1, his = own | REMOTE, next = 0, message[2];
	begin_queue(own, &next);
	steal("read what is open", SUCCESS, PAGE, his, AT_BOTH, own, FIRST);
	told(holds(BUFFER, FILLING(OPEN)), "it is what was there", memory[BUFFER * PAGE]);
	steal("read what is for reading", SUCCESS, PAGE, his, AT_READ, own, FIRST);
	steal("read what is for writing", PERMISSION, 16, his, AT_WRITE, own, FIRST);
	steal("read what is not mapped", PERMISSION, 16, his, AT_NOTHING, own, FIRST);
	steal("read past a page's end", PERMISSION, 16, his, AT_WRITE - 8, own, FIRST);
	steal("read a page and a byte", PERMISSION, PAGE + 1, his, AT_READ, own, FIRST);
	steal("read before a page", PERMISSION, 16, his, AT_AGAIN - 8, own, FIRST);
	steal("read past memory", PERMISSION, 16, his, AT_BEYOND, own, FIRST);
	steal("read into past memory", PERMISSION, 2 * PAGE, his, AT_AGAIN, own, FIRST);
	steal("read past the window", PERMISSION, 16, his, WINDOW, own, FIRST);
	steal("read over the window's end", PERMISSION, 16, his, WINDOW - 8, own, FIRST);
	steal("read far past the window", PERMISSION, 16, his, WINDOW << 8 | AT_BOTH, own, FIRST);
	steal("read at 4 GiB and what is open", PERMISSION, 16, his, 1UL << 32 | AT_BOTH, own, FIRST);
	steal("read round the end of addresses", PERMISSION, 16, his, -8UL, own, FIRST);
	steal("read at the end of addresses", PERMISSION, 1, his, -1UL, own, FIRST);
	steal("read by real address", PERMISSION, 16, his, (u64)memory, own, FIRST);
	steal("read nothing", PARAMETER, 0, his, AT_BOTH, own, FIRST);
	steal("read too much", PARAMETER, (128 << 10) + 1, his, AT_BOTH, own, FIRST);
	steal("read very much", PARAMETER, -1UL, his, AT_BOTH, own, FIRST);
	steal("read half of all", PARAMETER, 1UL << 63, his, AT_BOTH, own, FIRST);
	steal("read as much as goes", PERMISSION, 128 << 10, his, AT_BOTH, own, FIRST);
	steal("read into a page for reading", PERMISSION, 16, his, AT_BOTH, own, SHUT);
	steal("read into what is not mapped", PERMISSION, 16, his, AT_BOTH, own, SHUT + PAGE);
	steal("read to past the own window", PERMISSION, 16, his, AT_BOTH, own, WINDOW);
	steal("read to round the end", PERMISSION, 16, his, AT_BOTH, own, -8UL);
	steal("read over the own buffer's end", PERMISSION, 2 * PAGE, his, AT_BOTH, own, FIRST + 33 * PAGE);
	steal("the client's own number", SOURCE_PARM, 16, CLIENT, AT_BOTH, own, FIRST);
	steal("the client's number as his", SOURCE_PARM, 16, CLIENT | REMOTE, AT_BOTH, own, FIRST);
	steal("an adapter that is not there", SOURCE_PARM, 16, his + 1, AT_BOTH, own, FIRST);
	steal("a number and more", SOURCE_PARM, 16, his | 1UL << 32, AT_BOTH, own, FIRST);
	steal("no number", SOURCE_PARM, 16, 0, AT_BOTH, own, FIRST);
	steal("to a number that is not there", DEST_PARM, 16, his, AT_BOTH, own + 1, FIRST);
	steal("to the client's number", DEST_PARM, 16, his, AT_BOTH, CLIENT, FIRST);
	steal("from him to him", DEST_PARM, 16, his, AT_BOTH, his, AT_AGAIN);
	steal("from him to the other client", DEST_PARM, 16, his, AT_BOTH, SERVER | REMOTE, AT_BOTH);
	steal("the other client who is not there", PERMISSION, 16, SERVER | REMOTE, AT_BOTH, own, FIRST);
	told(call(PUT_TCE, his, AT_NOTHING, (u64)memory | BOTH, 0, 0) == PARAMETER, "map in his window", 0);
	told(call(PUT_TCE, CLIENT, AT_NOTHING, (u64)memory | BOTH, 0, 0) == PARAMETER, "map by his number", 0);
	plant("write what is for reading", PERMISSION, 16, own, his, AT_READ);
	plant("write what is not mapped", PERMISSION, 16, own, his, AT_NOTHING);
	plant("write past a page's end", PERMISSION, 2 * PAGE, own, his, AT_BOTH);
	plant("write before a page", PERMISSION, 16, own, his, AT_AGAIN - 8);
	plant("write into past memory", PERMISSION, 2 * PAGE, own, his, AT_AGAIN);
	plant("write over the window's end", PERMISSION, 16, own, his, WINDOW - 8);
	plant("write round the end", PERMISSION, 16, own, his, -8UL);
	plant("write the wrong client", PERMISSION, 16, own, SERVER | REMOTE, AT_BOTH);
	plant("write by his number", DEST_PARM, 16, own, CLIENT, AT_BOTH);
	plant("write what is open", SUCCESS, PAGE, own, his, AT_BOTH);
	plant("write what is for writing", SUCCESS, PAGE, own, his, AT_WRITE);
	told(call(SEND_CRQ, own, 0xff01000000000000UL, 0, 0, 0) == PARAMETER, "send an event", 0);
	told(call(SEND_CRQ, CLIENT, VALID, 0, 0, 0) != SUCCESS, "send to a number", 0);
	send(own, VALID, TRIED);
	take(queue_page(own), &next, message);
	told(message[1] == UNMAPPED, "he unmapped a page", message[1]);
	steal("read what was open", PERMISSION, 16, his, AT_BOTH, own, FIRST);
	plant("write what was open", PERMISSION, 16, own, his, AT_BOTH);
	steal("read what still is", SUCCESS, 16, his, AT_AGAIN, own, FIRST);
	send(own, VALID, TRIED_UNMAPPED);
	take(queue_page(own), &next, message);
	told(message[0] >> 48 == 0xff02, "his queue went", message[0] >> 48);
	steal("read when his queue has gone", PERMISSION, 16, his, AT_AGAIN, own, FIRST);
	plant("write when his queue has gone", PERMISSION, 16, own, his, AT_AGAIN);
	text("PREY-ROBBED\r\n");
}

/* Answers what Linux asks, so that it has an adapter without disks. */
static void answer_linux(u64 own, const u64 message[2])
{
	u64 his = own | REMOTE, len = message[0] & 0xffff, at = message[1];
	u8 *iu = memory + BUFFER * PAGE;
	u64 tag, format = message[0] >> 48 & 0xff;
	long answer = call(COPY_RDMA, len, his, at, own, FIRST);
	if (answer != SUCCESS)
		told(0, "linux: question", answer);
	tag = *(volatile u64 *)(iu + 8);
	if (format == 2) {
		/* Done; nothing more to say. */
		iu[4] = 0;
		iu[5] = 0;
		len = 16;
	} else {
		int login = iu[0] == 0;
		for (int i = 0; i < 54; i++)
			iu[i] = 0;
		*(volatile u64 *)(iu + 8) = tag;
		if (login) {
			/* Login response: eight requests at a time, direct and indirect lists. */
			iu[0] = 0xc0;
			iu[7] = 8;
			iu[18] = 1;
			iu[22] = 1;
			iu[25] = 6;
			len = 52;
		} else {
			/* Response: there is no such logical unit. */
			iu[0] = 0xc1;
			iu[7] = 1;
			iu[18] = 2;
			iu[19] = 2;
			iu[31] = 18;
			iu[36] = 0x70;
			iu[38] = 5;
			iu[43] = 10;
			iu[48] = 0x25;
			len = 54;
		}
	}
	answer = call(COPY_RDMA, len, own, FIRST, his, at);
	if (answer != SUCCESS)
		told(0, "linux: response", answer);
	send(own, VALID | format << 48 | len, tag);
}

/* Linux begins with a question in a buffer that it says the address of. */
static void rob_linux(void)
{
	u64 own = SERVER, his = own | REMOTE, next = 0, message[2];
	u64 open = 0, shut = 0, other = 0;
	begin_queue(own, &next);
	do
		take(queue_page(own), &next, message);
	while (message[0] >> 56 != 0x80);
	u64 len = message[0] & 0xffff, at = message[1];
	steal("linux: its question", SUCCESS, len, his, at, own, FIRST);
	for (u64 page = 0; page < 34; page++)
		fill(BUFFER + page, 0x55);
	for (u64 address = 0; address < WINDOW; address += PAGE) {
		long answer = call(COPY_RDMA, 8, his, address, own, FIRST);
		if (answer == SUCCESS) {
			open++;
			fill(BUFFER, 0x55);
		} else if (answer == PERMISSION && *(volatile u64 *)(memory + BUFFER * PAGE) == 0x5555555555555555UL) {
			shut++;
		} else {
			other++;
		}
	}
	told(other == 0, "linux: other answers", other);
	told(open > 0 && open < 1024, "linux: pages that are open", open);
	told(open + shut == WINDOW / PAGE, "linux: pages that are shut", shut);
	steal("linux: past its window", PERMISSION, 16, his, at + WINDOW, own, FIRST);
	steal("linux: by its number", SOURCE_PARM, 16, CLIENT, at, own, FIRST);
	steal("linux: as the other client's", PERMISSION, len, (own + 1) | REMOTE, at, own, FIRST);
	text("LINUX-ROBBED\r\n");
	while (message[0] >> 56 != 0xff) {
		if (message[0] >> 56 == 0x80) {
			at = message[1];
			answer_linux(own, message);
		}
		take(queue_page(own), &next, message);
	}
	steal("linux: when it has gone", PERMISSION, len, his, at, own, FIRST);
	text("THIEF-DONE\r\n");
}

/* Called by _start. */
__attribute__((used)) static void begin(void)
{
	/* An adapter that is not there has no queue to be freed. */
	if (call(FREE_CRQ, CLIENT, 0, 0, 0, 0) == SUCCESS) {
		prey();
	} else {
		rob_prey();
		rob_linux();
	}
	for (;;)
		call(CONFER, -1UL, 0, 0, 0, 0);
}
