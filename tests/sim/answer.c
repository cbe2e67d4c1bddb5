/* A strict reader of answers: see answer.h. */
#include "answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void answer_init(answer *a)
{
    memset(a, 0, sizeof(*a));
    a->id = UINT32_MAX;
}

static answer_step broken(answer *a, const char *why)
{
    a->why = why;
    return ANSWER_BROKEN;
}

bool answer_end(const answer *a)
{
    return a->state == ANSWER_TO_END;
}

/* Collect a line. 1: it is complete, without its CRLF; 0: more; -1: it is none. */
static int line_byte(answer *a, uint8_t byte)
{
    if (a->line_len == sizeof(a->line) - 1)
        return -1;
    if (byte == '\n') {
        if (a->line_len == 0 || a->line[a->line_len - 1] != '\r')
            return -1;
        a->line[--a->line_len] = '\0';
        a->line_len = 0;
        return 1;
    }
    if (a->line_len > 0 && a->line[a->line_len - 1] == '\r')
        return -1;
    a->line[a->line_len++] = (char)byte;
    return 0;
}

static bool number(const char *text, int base, uint64_t *out)
{
    if (*text == '\0' || strlen(text) > 12)
        return false;
    char *end;
    *out = strtoull(text, &end, base);
    return *end == '\0' && text[0] != '-' && text[0] != '+' && text[0] != ' ';
}

static answer_step status_line(answer *a)
{
    uint64_t status;
    char digits[4] = {0};
    if (strncmp(a->line, "HTTP/1.1 ", 9) != 0 || strlen(a->line) < 13 || a->line[12] != ' ')
        return broken(a, "status line");
    memcpy(digits, a->line + 9, 3);
    if (!number(digits, 10, &status) || status < 100 || status > 599)
        return broken(a, "status code");
    a->status = (uint32_t)status;
    a->state = ANSWER_FIELD;
    return ANSWER_GOES_ON;
}

static answer_step field(answer *a)
{
    char *colon = strchr(a->line, ':');
    if (!colon || colon == a->line || colon[1] != ' ')
        return broken(a, "field");
    *colon = '\0';
    const char *value = colon + 2;
    uint64_t n;
    if (strcasecmp(a->line, "Content-Length") == 0) {
        if (a->has_length || !number(value, 10, &a->length))
            return broken(a, "Content-Length");
        a->has_length = true;
    } else if (strcasecmp(a->line, "Transfer-Encoding") == 0) {
        if (a->chunked || strcasecmp(value, "chunked") != 0)
            return broken(a, "Transfer-Encoding");
        a->chunked = true;
    } else if (strcasecmp(a->line, "Connection") == 0) {
        a->close |= strcasecmp(value, "close") == 0;
    } else if (strcasecmp(a->line, "X-Id") == 0) {
        if (a->id != UINT32_MAX || !number(value, 10, &n))
            return broken(a, "X-Id");
        a->id = (uint32_t)n;
    } else if (strcasecmp(a->line, "Date") == 0) {
        if (a->has_date || strlen(value) != 29)
            return broken(a, "Date");
        a->has_date = true;
    }
    return ANSWER_GOES_ON;
}

/* The empty line after the fields: what follows? */
static answer_step head_end(answer *a, bool to_head)
{
    if (a->status < 200) {
        if (a->has_length || a->chunked)
            return broken(a, "a body in a 1xx answer");
        return ANSWER_INTERIM;
    }
    if (a->has_length && a->chunked)
        return broken(a, "two lengths");
    if (!a->has_date)
        return broken(a, "no Date");
    /* These are told of heads that were not understood: to which method is not known. */
    to_head &= a->status != 400 && a->status != 408;
    if (to_head || a->status == 204 || a->status == 304)
        return ANSWER_COMPLETE;
    a->left = a->length;
    if (a->chunked)
        a->state = ANSWER_CHUNK_SIZE;
    else if (!a->has_length)
        a->state = ANSWER_TO_END;
    else if (a->left == 0)
        return ANSWER_COMPLETE;
    else
        a->state = ANSWER_BODY;
    return ANSWER_GOES_ON;
}

static answer_step line_complete(answer *a, bool to_head)
{
    bool empty = a->line[0] == '\0';
    switch (a->state) {
    case ANSWER_LINE:
        return status_line(a);
    case ANSWER_FIELD:
        return empty ? head_end(a, to_head) : field(a);
    case ANSWER_CHUNK_SIZE:
        if (!number(a->line, 16, &a->left))
            return broken(a, "chunk size");
        a->state = a->left > 0 ? ANSWER_CHUNK : ANSWER_TRAILER;
        return ANSWER_GOES_ON;
    case ANSWER_CHUNK_END:
        if (!empty)
            return broken(a, "chunk end");
        a->state = ANSWER_CHUNK_SIZE;
        return ANSWER_GOES_ON;
    default:
        if (empty)
            return ANSWER_COMPLETE;
        a->trailer_end |= strcmp(a->line, "X-End: yes") == 0;
        return ANSWER_GOES_ON;
    }
}

answer_step answer_byte(answer *a, uint8_t byte, bool to_head)
{
    a->begun = true;
    switch (a->state) {
    case ANSWER_BODY:
        /* The caller looks at the length: the last byte is told as a body byte too. */
        a->left--;
        return ANSWER_BODY_BYTE;
    case ANSWER_TO_END:
        return ANSWER_BODY_BYTE;
    case ANSWER_CHUNK:
        if (--a->left == 0)
            a->state = ANSWER_CHUNK_END;
        return ANSWER_BODY_BYTE;
    default: {
        int line = line_byte(a, byte);
        if (line < 0)
            return broken(a, "a line that is none");
        return line > 0 ? line_complete(a, to_head) : ANSWER_GOES_ON;
    }
    }
}
