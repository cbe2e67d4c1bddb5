/* Names for addresses: of exported functions, of static ones, of none. */
#include <criterion/criterion.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbol.h"

/* Not exported, and not inlined: found in the program's own table alone. */
static __attribute__((noinline)) int quiet_function(int n)
{
    __asm__ volatile("");
    return n + 1;
}

static const char *name_of(const void *address, bool caller)
{
    static char out[SYMBOL_BYTES];
    memset(out, 'x', sizeof out);
    symbol_name(address, caller, out, sizeof out);
    cr_assert_not_null(memchr(out, '\0', sizeof out));
    return out;
}

static const char *address_of(uintptr_t function, size_t offset)
{
    return (const char *)function + offset;
}

Test(symbol, a_static_function_has_its_name)
{
    cr_assert_eq(quiet_function(1), 2);
    cr_assert_str_eq(name_of(address_of((uintptr_t)&quiet_function, 0), false),
                     "quiet_function+0x0");
    cr_assert_str_eq(name_of(address_of((uintptr_t)&quiet_function, 3), false),
                     "quiet_function+0x3");
}

Test(symbol, so_has_a_function_of_a_library)
{
    const char *name = name_of(address_of((uintptr_t)&getpid, 1), false);
    cr_assert_not_null(strstr(name, "getpid+0x1"), "%s", name); /* or __getpid: the same place */
}

/* A call that never returns can be the last of its function: the address behind it is the next
 * function's. */
Test(symbol, a_return_address_belongs_to_the_call_before_it)
{
    const char *at = name_of(address_of((uintptr_t)&quiet_function, 0), true);
    cr_assert_null(strstr(at, "quiet_function"), "%s", at);
    cr_assert_str_eq(name_of(address_of((uintptr_t)&quiet_function, 1), true),
                     "quiet_function+0x1");
}

Test(symbol, an_address_of_nothing_is_a_number)
{
    cr_assert_str_eq(name_of((const void *)0x10, false), "0x10");
    cr_assert_str_eq(name_of(NULL, true), "0x0");
    int here;
    char number[32];
    snprintf(number, sizeof number, "%p", (void *)&here);
    cr_assert_str_eq(name_of(&here, false), number);
}

Test(symbol, a_short_place_is_enough)
{
    char out[8];
    symbol_name(address_of((uintptr_t)&quiet_function, 0), false, out, sizeof out);
    cr_assert_str_eq(out, "quiet_f");
}

/* ---- files of all kinds ---- */

/* A copy of this program that ends where its bytes do, so that a sanitizer sees a step beyond. */
static uint8_t *program(size_t *len)
{
    struct stat st;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(fstat(fd, &st), 0);
    *len = (size_t)st.st_size;
    uint8_t *bytes = malloc(*len);
    cr_assert_not_null(bytes);
    for (size_t at = 0; at < *len;) {
        ssize_t n = read(fd, bytes + at, *len - at);
        cr_assert_gt(n, 0);
        at += (size_t)n;
    }
    (void)close(fd);
    return bytes;
}

/* A file of four sections: none, symbols, their names, and the rest. */
typedef struct tiny {
    Elf64_Ehdr head;
    Elf64_Shdr sections[3];
    Elf64_Sym symbols[3];
    char names[16];
} tiny;

static tiny tiny_make(void)
{
    tiny t = {
        .head = {.e_ident = ELFMAG,
                 .e_type = ET_DYN,
                 .e_shoff = offsetof(tiny, sections),
                 .e_shnum = 3,
                 .e_shentsize = sizeof(Elf64_Shdr)},
        .sections = {[1] = {.sh_type = SHT_SYMTAB,
                            .sh_link = 2,
                            .sh_offset = offsetof(tiny, symbols),
                            .sh_size = sizeof t.symbols},
                     [2] = {.sh_type = SHT_STRTAB,
                            .sh_offset = offsetof(tiny, names),
                            .sh_size = sizeof t.names}},
        .symbols = {[1] = {.st_info = ELF64_ST_INFO(STB_LOCAL, STT_OBJECT),
                           .st_name = 1,
                           .st_shndx = 1,
                           .st_value = 100,
                           .st_size = 50},
                    [2] = {.st_info = ELF64_ST_INFO(STB_LOCAL, STT_FUNC),
                           .st_name = 5,
                           .st_shndx = 1,
                           .st_value = 100,
                           .st_size = 20}},
        .names = "\0var\0func",
    };
    return t;
}

static bool tiny_find(const tiny *t, uint64_t at, symbol *out)
{
    return symbol_find(hs_span_of(t, sizeof *t), at, out);
}

Test(symbol, a_function_is_found_from_its_start_to_its_end)
{
    tiny t = tiny_make();
    symbol s;
    cr_assert(tiny_find(&t, 100, &s));
    cr_assert_str_eq(s.name, "func");
    cr_assert_eq(s.start, 100);
    cr_assert(tiny_find(&t, 119, &s));
    cr_assert_not(tiny_find(&t, 99, &s));
    cr_assert_not(tiny_find(&t, 120, &s));
}

Test(symbol, a_broken_file_has_no_names)
{
    symbol s;
    for (int i = 0; i < 12; i++) {
        tiny t = tiny_make();
        switch (i) {
        case 0:
            t.head.e_ident[1] = 'F';
            break;
        case 1:
            t.head.e_shentsize--;
            break;
        case 2:
            t.head.e_shoff = UINT64_MAX - 7;
            break;
        case 3:
            t.head.e_shnum = 60;
            break;
        case 4:
            t.sections[1].sh_link = 3;
            break;
        case 5:
            t.sections[1].sh_offset = sizeof t;
            break;
        case 6:
            t.sections[1].sh_size = UINT64_MAX;
            break;
        case 7:
            t.sections[2].sh_type = SHT_NULL;
            break;
        case 8:
            t.sections[2].sh_size = sizeof t.names + 1;
            break;
        case 9:
            t.sections[2].sh_offset = UINT64_MAX;
            break;
        case 10:
            t.names[sizeof t.names - 1] = 'x';
            break;
        case 11:
            t.symbols[2].st_name = sizeof t.names;
            break;
        }
        cr_assert_not(tiny_find(&t, 100, &s), "%d", i);
    }
}

Test(symbol, a_file_may_end_anywhere)
{
    tiny t = tiny_make();
    symbol s;
    for (size_t len = 0; len < sizeof t; len++) {
        uint8_t *bytes = malloc(len ? len : 1);
        cr_assert_not_null(bytes);
        memcpy(bytes, &t, len);
        cr_assert_not(symbol_find(hs_span_of(bytes, len), 100, &s), "%zu", len);
        free(bytes);
    }
}

Test(symbol, nothing_outside_a_spoilt_file_is_read)
{
    tiny whole = tiny_make();
    uint64_t random = 7;
    for (int i = 0; i < 200000; i++) {
        tiny *t = malloc(sizeof *t);
        cr_assert_not_null(t);
        *t = whole;
        for (int k = 0; k < 3; k++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            ((uint8_t *)t)[(random >> 33) % sizeof *t] = (uint8_t)(random >> 25);
        }
        symbol s;
        if (tiny_find(t, 100, &s))
            cr_assert_leq(strlen(s.name), sizeof t->names);
        free(t);
    }
}

Test(symbol, this_program_has_many)
{
    size_t len;
    uint8_t *bytes = program(&len);
    symbol s;
    uint32_t has = 0;
    for (uint64_t at = 0; at < len; at += len / 64)
        has += symbol_find(hs_span_of(bytes, len), at, &s);
    cr_assert_gt(has, 0);
    free(bytes);
}
