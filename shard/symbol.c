/* Names for addresses of code. See symbol.h.
 *
 * A file is data like any other: each offset in it is checked before it is used. */
#include "symbol.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hs_assert.h"

/* `len` things of `bytes` each at `offset` of the file, or NULL where it is shorter. */
static const void *part(hs_span file, uint64_t offset, uint64_t len, size_t bytes)
{
    if (offset > file.len || len > (file.len - offset) / bytes || offset % sizeof(uint64_t) != 0)
        return NULL;
    return file.ptr + offset;
}

/* The name at `at` of a table of strings that ends in a NUL; NULL where there is none. */
static const char *string_at(hs_span file, const ElfW(Shdr) * strings, uint64_t at)
{
    if (strings->sh_type != SHT_STRTAB || strings->sh_offset > file.len ||
        strings->sh_size > file.len - strings->sh_offset || at >= strings->sh_size)
        return NULL;
    const char *base = (const char *)file.ptr + strings->sh_offset;
    return base[strings->sh_size - 1] == '\0' && base[at] != '\0' ? base + at : NULL;
}

/* Look for the function around `at` (an address as the file has it). */
static bool find_in_table(hs_span file, const ElfW(Shdr) * table, const ElfW(Shdr) * strings,
                          uint64_t at, symbol *out)
{
    uint64_t len = table->sh_size / sizeof(ElfW(Sym));
    const ElfW(Sym) *syms = part(file, table->sh_offset, len, sizeof *syms);
    for (uint64_t i = 0; syms && i < len; i++) {
        if (ELF64_ST_TYPE(syms[i].st_info) != STT_FUNC || syms[i].st_shndx == SHN_UNDEF)
            continue;
        if (at < syms[i].st_value || at - syms[i].st_value >= syms[i].st_size)
            continue;
        out->name = string_at(file, strings, syms[i].st_name);
        out->start = syms[i].st_value;
        return out->name != NULL;
    }
    return false;
}

bool symbol_find(hs_span file, uint64_t at, symbol *out)
{
    const ElfW(Ehdr) *head = part(file, 0, 1, sizeof *head);
    if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 ||
        head->e_shentsize != sizeof(ElfW(Shdr)))
        return false;
    const ElfW(Shdr) *sections = part(file, head->e_shoff, head->e_shnum, sizeof *sections);
    for (uint32_t i = 0; sections && i < head->e_shnum; i++)
        if (sections[i].sh_type == SHT_SYMTAB && sections[i].sh_link < head->e_shnum)
            return find_in_table(file, &sections[i], &sections[sections[i].sh_link], at, out);
    return false;
}

/* Where the file of a loaded object is. The dynamic linker's name of the program is how it was
 * started, which may mean another file by now. */
static const char *file_of(const Dl_info *object)
{
    Dl_info program;
    const void *own = (const void *)getauxval(AT_PHDR);
    if (own && dladdr(own, &program) && program.dli_fbase == object->dli_fbase)
        return "/proc/self/exe";
    return object->dli_fname;
}

static hs_span map_file(const char *path)
{
    struct stat st;
    hs_span none = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return none;
    void *at = MAP_FAILED;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0)
        at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    (void)close(fd);
    return at == MAP_FAILED ? none : hs_span_of(at, (size_t)st.st_size);
}

/* Only what is linked to an address of its own keeps that: everything else is moved as a whole. */
static uint64_t moved_by(hs_span file, const Dl_info *object)
{
    const ElfW(Ehdr) *head = part(file, 0, 1, sizeof *head);
    return head && head->e_type == ET_DYN ? (uint64_t)(uintptr_t)object->dli_fbase : 0;
}

static bool name_from_file(const Dl_info *object, uint64_t at, uint64_t look, char *out,
                           size_t bytes)
{
    hs_span file = map_file(file_of(object));
    if (!file.ptr)
        return false;
    symbol f;
    uint64_t moved = moved_by(file, object);
    bool has = symbol_find(file, look - moved, &f);
    if (has) {
        /* Optimising over files gives every static function a longer name: that is noise. */
        const char *more = strstr(f.name, ".lto_priv.");
        int len = (int)(more ? (size_t)(more - f.name) : strnlen(f.name, SYMBOL_BYTES));
        snprintf(out, bytes, "%.*s+0x%" PRIx64, len, f.name, at - moved - f.start);
    }
    int rc = munmap((void *)(uintptr_t)file.ptr, file.len);
    HS_ASSERT(rc == 0);
    return has;
}

void symbol_name(const void *address, bool caller, char *out, size_t bytes)
{
    HS_ASSERT(bytes > 0);
    uint64_t at = (uint64_t)(uintptr_t)address, look = at - caller;
    Dl_info object;
    if (at == 0 || !dladdr((const void *)(uintptr_t)look, &object)) {
        snprintf(out, bytes, "0x%" PRIx64, at);
        return;
    }
    if (object.dli_sname) {
        snprintf(out, bytes, "%s+0x%" PRIx64, object.dli_sname,
                 at - (uint64_t)(uintptr_t)object.dli_saddr);
        return;
    }
    if (name_from_file(&object, at, look, out, bytes))
        return;
    const char *slash = strrchr(object.dli_fname, '/');
    snprintf(out, bytes, "%s+0x%" PRIx64, slash ? slash + 1 : object.dli_fname,
             at - (uint64_t)(uintptr_t)object.dli_fbase);
}
