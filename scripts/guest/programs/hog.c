/*
 * A memory hog that knows what every byte of its memory must be.
 *
 *   hog INDEX SEED MIB TOUCH_PERCENT REWRITE_PERCENT [FIFO]
 *
 * It fills MIB of anonymous memory, touches TOUCH_PERCENT of the pages in random order (verify each, and rewrite
 * enough of them with a new generation number to make REWRITE_PERCENT of all pages), then verifies all pages in order.
 * With a FIFO it waits there before the last pass: whoever opens it decides when (the guest does so after swapoff).
 *
 * Invariant: the content of a page is a function of (seed, page, generation) alone, and the generations are locked
 * in memory, so the truth never lies on the device under test. A page that differs is compared with its older
 * generation too: "stale" says that an overwrite was lost, "garbage" that the bytes came from elsewhere.
 *
 * Exit status: 0 all pages hold what they must, 1 some differ, 2 bad usage or no memory.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, WORDS = PAGE / 8, REPORTED = 3 };

static uint64_t seed;
static uint64_t pages;
static uint64_t differing;
static int hog;
static char line[BUFSIZ];
static uint64_t (*memory)[WORDS];
static uint16_t *generation;

/* The finaliser of splitmix64: a bijection that leaves no pattern a compressor could use. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

/*
 * One page in 16 is zeros, one repeats a word, one is noise. In the others 3 of 8 words are noise and the rest repeat,
 * which leaves about 45 % after compression.
 */
static void content(uint64_t *to, uint64_t page, uint64_t gen)
{
	uint64_t key = mix(seed + page * 0x9e3779b97f4a7c15u + (gen << 48));
	unsigned kind = key & 15;

	if (kind <= 1) {
		uint64_t fill = kind == 0 ? 0 : key;
		for (int i = 0; i < WORDS; i++)
			to[i] = fill;
		return;
	}
	for (int i = 0; i < WORDS; i++)
		to[i] = kind == 2 || (i & 7) < 3 ? mix(key + i) : key ^ (i & 7);
}

static void report(uint64_t page, const uint64_t *want)
{
	static uint64_t older[WORDS];
	const uint64_t *got = memory[page];
	const char *what = "garbage";
	int word = 0;

	while (word < WORDS - 1 && got[word] == want[word])
		word++;
	if (generation[page] > 0) {
		content(older, page, generation[page] - 1u);
		if (memcmp(got, older, PAGE) == 0)
			what = "stale";
	}
	printf("HOG %d BAD page=%llu gen=%u word=%d got=%016llx want=%016llx %s\n", hog, (unsigned long long)page,
	       generation[page], word, (unsigned long long)got[word], (unsigned long long)want[word], what);
}

static void verify(uint64_t page)
{
	static uint64_t want[WORDS];

	content(want, page, generation[page]);
	if (memcmp(memory[page], want, PAGE) == 0)
		return;
	if (differing++ < REPORTED)
		report(page, want);
}

static void touch(uint64_t touches, uint64_t rewrites)
{
	for (uint64_t n = 0; n < touches; n++) {
		uint64_t page = mix(seed ^ (n * 0xd1342543de82ef95u)) % pages;

		verify(page);
		/* The remainder of n * rewrites / touches spreads the rewrites evenly over the touches. */
		if ((n * rewrites) % touches < rewrites)
			content(memory[page], page, ++generation[page]);
	}
}

static int wait_for(const char *fifo)
{
	char byte;
	int fd = open(fifo, O_RDONLY);

	if (fd < 0 || read(fd, &byte, 1) < 0) {
		perror(fifo);
		return -1;
	}
	return close(fd);
}

int main(int argc, char **argv)
{
	if (argc < 6) {
		fprintf(stderr, "usage: hog INDEX SEED MIB TOUCH_PERCENT REWRITE_PERCENT [FIFO]\n");
		return 2;
	}
	hog = atoi(argv[1]);
	seed = mix(strtoull(argv[2], NULL, 0) + 0x9e3779b97f4a7c15u * (uint64_t)(hog + 1));
	pages = strtoull(argv[3], NULL, 0) * (1024 * 1024 / PAGE);

	setvbuf(stdout, line, _IOLBF, sizeof line);
	/* All but the memory under test stays: a hog whose own stack came back wrong could not say so. */
	int locked = mlockall(MCL_CURRENT);

	memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	generation = mmap(NULL, pages * sizeof *generation, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (locked != 0 || memory == MAP_FAILED || generation == MAP_FAILED ||
	    mlock(generation, pages * sizeof *generation) != 0) {
		perror("hog: memory");
		return 2;
	}
	/* A huge page would be one big request; swap traffic in the field is made of single pages. */
	madvise(memory, pages * PAGE, MADV_NOHUGEPAGE);

	for (uint64_t page = 0; page < pages; page++)
		content(memory[page], page, 0);
	printf("HOG %d FILLED pages=%llu\n", hog, (unsigned long long)pages);

	touch(pages * strtoull(argv[4], NULL, 0) / 100, pages * strtoull(argv[5], NULL, 0) / 100);
	printf("HOG %d TOUCHED\n", hog);
	if (argc > 6 && wait_for(argv[6]) != 0)
		return 2;

	for (uint64_t page = 0; page < pages; page++)
		verify(page);
	if (differing > 0) {
		printf("HOG %d BAD pages=%llu differing=%llu\n", hog, (unsigned long long)pages,
		       (unsigned long long)differing);
		return 1;
	}
	printf("HOG %d OK pages=%llu\n", hog, (unsigned long long)pages);
	return 0;
}
